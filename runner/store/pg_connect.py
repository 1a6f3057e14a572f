"""
Connections to one PostgreSQL database, and what becomes of them when it is away.

Ours wait for nobody: what cannot be had soon is a StoreError, and who must not give up insists.
Those that DBOS asks for wait: it would otherwise say for every poll that it failed, and keep its
threads, and with them the process, until PostgreSQL is back.
"""

import asyncio
import logging
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final, LiteralString, TypeVar
from urllib.parse import quote, urlencode
from weakref import WeakSet

import psycopg
from psycopg import conninfo
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from runner.errors import StoreError, Unwritable
from runner.version import NAME

PATIENCE: Final = 3.0
"""Seconds that a connection of the pool may take."""

_RECONNECT: Final = 1.0
"""
Seconds that the pool tries to replace a connection. Its pauses double: after an hour without
PostgreSQL the next attempt would be an hour away. Afterwards it tries when somebody asks.
"""

_STATEMENT: Final = 20.0
"""Seconds after which PostgreSQL gives up; whoever waits for an answer to a request has more."""

_SILENCE: Final = _STATEMENT + 2.0
"""Seconds after which PostgreSQL that does not even do that is taken for stopped, or cut off."""

_MAX_CONNECTIONS: Final = 8
_RETRY: Final = 0.5
_SAY_EVERY: Final = 10.0
_PRIVILEGES: Final = "the runner's role needs CREATE on the database, and owns what it makes there"

#: A partner that is gone is noticed within half a minute.
_DEFAULTS: Final = {
    "application_name": NAME,
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",
}

#: Locks of who stops in the middle of a transaction are given back, and committed is on the disk.
#: An address may say otherwise.
_OPTIONS: Final = "-c idle_in_transaction_session_timeout=5000 -c synchronous_commit=on"

_log = logging.getLogger(__name__)

_Done = TypeVar("_Done")


def arguments(url: str) -> dict[str, Any]:
    """What a connection to *url* is made with. Raises StoreError where that cannot be read."""
    try:
        given = {name: str(value) for name, value in conninfo.conninfo_to_dict(url).items()}
    except psycopg.ProgrammingError as error:
        raise StoreError(f"the address of the store cannot be read: {brief(error)}") from None
    options = f"{_OPTIONS} {given.pop('options', '')}".strip()
    return {**_DEFAULTS, **given, "options": options}


class Closed(Exception):
    """The store is closed, and nobody should try again."""


class Database:
    """
    One PostgreSQL database.

    Raises StoreError from every method that asks it something, when it cannot be reached, is too
    slow, or has no connection left; Unwritable when it will never take a value.
    """

    def __init__(self, url: str) -> None:
        self._arguments = arguments(url)
        options = self._arguments["options"]
        self._pool = AsyncConnectionPool(
            kwargs={
                **self._arguments,
                "options": f"-c statement_timeout={_STATEMENT * 1000:.0f} {options}",
                "autocommit": True,
            },
            min_size=1,
            max_size=_MAX_CONNECTIONS,
            timeout=PATIENCE,
            reconnect_timeout=_RECONNECT,
            # After a restart of PostgreSQL nobody gets a connection of before.
            check=_check,
            open=False,
        )
        quieten(logging.getLogger("psycopg.pool"))
        self._said = -_SAY_EVERY
        #: Those that threads of DBOS have.
        self._lent: WeakSet[psycopg.Connection] = WeakSet()
        self._lending = threading.Lock()
        #: Why it could not be asked when that was last tried.
        self.trouble: str | None = None

    async def open(self, wait: float) -> None:
        """Reach it within *wait* seconds, in which it may still be starting."""
        deadline = time.monotonic() + wait
        while True:
            try:
                async with self.session() as connection:
                    known = {"user": connection.info.user, "dbname": connection.info.dbname}
                    self._arguments = {**known, **self._arguments}
                return await self._pool.open()
            except StoreError as error:
                if time.monotonic() + _RETRY > deadline:
                    raise StoreError(f"{error} (tried for {wait:g} s)") from None
                self._say(str(error))
                await asyncio.sleep(_RETRY)

    async def close(self) -> None:
        """Give all connections back."""
        await self._pool.close(PATIENCE)
        self.hang_up()

    # --- ours

    @asynccontextmanager
    async def session(self) -> AsyncIterator[psycopg.AsyncConnection]:
        """A connection outside the pool, in which statements may take as long as they need."""
        try:
            connect = psycopg.AsyncConnection.connect
            with heeding():
                async with await connect(**self._arguments, autocommit=True) as connection:
                    yield connection
        except psycopg.Error as error:
            raise self._failed(error) from None
        self.trouble = None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[psycopg.AsyncConnection]:
        """What is done with the connection is done together, or not at all."""
        try:
            with heeding():
                async with self._pool.connection() as connection:
                    with _answered(connection, _SILENCE):
                        async with connection.transaction():
                            yield connection
        except (psycopg.Error, UnicodeEncodeError) as error:
            raise self._failed(error) from None
        self.trouble = None

    async def ask(
        self, query: LiteralString, parameters: Sequence[object] | dict[str, object] = ()
    ) -> list[tuple[Any, ...]]:
        """The rows that *query*, a transaction of its own, gives."""
        try:
            with heeding():
                async with self._pool.connection() as connection:
                    with _answered(connection, _SILENCE):
                        cursor = await connection.execute(query, parameters)
                        rows = await cursor.fetchall() if cursor.description else []
        except (psycopg.Error, UnicodeEncodeError) as error:
            raise self._failed(error) from None
        self.trouble = None
        return rows

    async def insist(
        self, query: LiteralString, parameters: Sequence[object] | dict[str, object] = ()
    ) -> list[tuple[Any, ...]]:
        """
        The same, however long it takes: for what must not be given up.

        When the connection breaks at the wrong moment *query* is run twice.
        """
        return await self.persist(lambda: self.ask(query, parameters))

    async def persist(self, do: Callable[[], Awaitable[_Done]]) -> _Done:
        """What *do* gives, called until it does not raise StoreError."""
        while True:
            try:
                return await do()
            except StoreError as error:
                self._say(str(error))
                await asyncio.sleep(_RETRY)

    # --- of DBOS

    @property
    def url(self) -> str:
        """The address, once it is open, in the form that SQLAlchemy reads."""
        rest = dict(self._arguments)
        user, name = quote(rest.pop("user"), safe=""), quote(rest.pop("dbname"), safe="")
        # Here, and not among the others: what is here is not logged.
        password = quote(rest.pop("password", ""), safe="")
        more = urlencode(rest, quote_via=quote)
        return f"postgresql://{user}{password and ':'}{password}@/{name}?{more}"

    def connect_patiently(self, closed: threading.Event) -> psycopg.Connection:
        """For a thread of DBOS: a connection, however long that takes. Raises Closed."""
        while not closed.is_set():
            try:
                return self._lend(psycopg.connect(**self._arguments))
            except psycopg.OperationalError as error:
                self._say(f"PostgreSQL cannot be used: {brief(error)}")
                closed.wait(_RETRY)
        raise Closed

    def connect_once(self, options: str) -> psycopg.Connection:
        """For a thread: a connection with *options* of PostgreSQL, now or never."""
        options = f"{self._arguments['options']} {options}"
        return self._lend(psycopg.connect(**{**self._arguments, "options": options}))

    def hang_up(self) -> None:
        """Break all of these: their threads wait for an answer for as long as it takes."""
        with self._lending:
            lent = list(self._lent)
        for connection in lent:
            _hang_up(connection)

    def _lend(self, connection: psycopg.Connection) -> psycopg.Connection:
        with self._lending:
            self._lent.add(connection)
        return connection

    # --- troubles

    def _failed(self, error: Exception) -> StoreError | Unwritable:
        if isinstance(error, psycopg.DataError | UnicodeEncodeError):
            return Unwritable(f"PostgreSQL does not take this value: {brief(error)}")
        if isinstance(error, psycopg.errors.InsufficientPrivilege):
            reason = f"{brief(error)}; {_PRIVILEGES}"
        elif isinstance(error, PoolTimeout):
            reason = f"no connection within {PATIENCE:g} s"
        else:
            reason = brief(error)
        self.trouble = f"PostgreSQL cannot be used: {reason}"
        return StoreError(self.trouble)

    def _say(self, message: str) -> None:
        """Once in a while, however many find out."""
        now = time.monotonic()
        if now - self._said >= _SAY_EVERY:
            self._said = now
            _log.warning("%s; trying again", message)


@contextmanager
def heeding() -> Iterator[None]:
    """
    In here no cancellation gets lost.

    psycopg waits with `asyncio.wait_for`, which up to Python 3.11 forgets one that comes together
    with what it waits for (python/cpython#86296): a loop that asks again would never end.
    """
    task = asyncio.current_task()
    asked = 0 if task is None else task.cancelling()
    try:
        yield
    finally:
        if task is not None and task.cancelling() > asked:
            raise asyncio.CancelledError


def brief(error: Exception) -> str:
    """The first line: the others are hints for whoever sits at a terminal."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


# --- one that does not answer -------------------------------------------------------------------


@contextmanager
def _answered(connection: psycopg.AsyncConnection, within: float) -> Iterator[None]:
    """
    Hang up after so many seconds: who waits for an answer finds the connection broken then.

    Cancelling would not do: psycopg waits until the server has confirmed that.
    """
    timer = asyncio.get_running_loop().call_later(within, _hang_up, connection)
    try:
        yield
    finally:
        timer.cancel()


def _hang_up(connection: psycopg.AsyncConnection | psycopg.Connection) -> None:
    with (
        suppress(OSError, psycopg.Error),  # it is closed already
        socket.socket(fileno=os.dup(connection.fileno())) as ours,
    ):
        ours.shutdown(socket.SHUT_RDWR)


async def _check(connection: psycopg.AsyncConnection) -> None:
    with _answered(connection, PATIENCE):
        await AsyncConnectionPool.check_connection(connection)


# --- what libraries say of that -----------------------------------------------------------------


def quieten(logger: logging.Logger) -> None:
    """Have *logger* say the same thing every ten seconds at most."""
    if not any(isinstance(each, _OnceInAWhile) for each in logger.filters):
        logger.addFilter(_OnceInAWhile())


class _OnceInAWhile(logging.Filter):
    """What is said at one place of a program is the same thing."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        place, now = (record.pathname, record.lineno), time.monotonic()
        if now - self._said.get(place, -_SAY_EVERY) < _SAY_EVERY:
            return False
        self._said[place] = now
        return True
