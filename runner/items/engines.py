"""How databases are connected to, and what they are told first."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import event, types
from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.engine import URL, Connection, Dialect, make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import await_only

from runner import jsontext

CONNECTIONS: Final = 5
"""To one database. An operation has at most one, for a statement or two."""

#: Seconds to wait for one of them.
_PATIENCE: Final = 10.0
#: Seconds to wait for a lock that another process holds.
_LOCK: Final = 5
#: Seconds of it that are waited for in one go by who writes.
_MOMENT: Final = 0.1
#: Seconds to wait for a server to let us in.
_CONNECT: Final = 10

#: Types that tables of SQLite are declared with, and that SQLAlchemy does not know there.
_SQLITE_TYPES: Final = {"JSONB": types.JSON, "TIMESTAMPTZ": types.TIMESTAMP, "UUID": types.Uuid}


class Engine:
    """The connections to one database, made when they are needed, a few at a time."""

    #: For statements that are transactions of their own.
    reading: AsyncEngine
    #: For transactions that write.
    writing: AsyncEngine

    def __init__(self, url: Callable[[], str]) -> None:
        """*url* is read again for every connection: a password may have been rotated."""
        self.sqlite = _address(url()).get_backend_name() == "sqlite"
        self.reading = _connections(url, CONNECTIONS)
        if self.sqlite:
            event.listen(self.reading.sync_engine, "connect", _be_patient)
            # A file has one writer at a time: ours wait for each other here, and not in SQLite.
            self.writing = _connections(url, 1)
            event.listen(self.writing.sync_engine, "begin", _lock)
        else:
            self.writing = self.reading
            # A statement alone is a transaction of its own: two round trips less.
            self.reading = self.reading.execution_options(isolation_level="AUTOCOMMIT")

    async def close(self) -> None:
        """End all connections."""
        await self.reading.dispose()
        await self.writing.dispose()


def _connections(url: Callable[[], str], number: int) -> AsyncEngine:
    engine = create_async_engine(
        _address(url()),
        pool_size=number,
        max_overflow=0,
        pool_timeout=_PATIENCE,
        json_deserializer=jsontext.parse,
        hide_parameters=True,
    )
    event.listen(engine.sync_engine, "do_connect", partial(_connect, url))
    if engine.dialect.name == "sqlite":
        vars(engine.dialect)["ischema_names"] = SQLiteDialect.ischema_names | _SQLITE_TYPES
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    return engine


def _address(text: str) -> URL:
    """The address with a driver, and with what a driver must know."""
    path = text.removeprefix("sqlite:///")
    if path != text:
        # `rw`: a mistyped name must not make a new, empty file.
        query = {"uri": "true", "mode": "rw", "timeout": str(_MOMENT)}
        file = f"file:{quote(str(Path(path).absolute()))}"
        return URL.create("sqlite+aiosqlite", database=file, query=query)
    url = make_url(text)
    usual = {"connect_timeout": str(_CONNECT), "application_name": "gitops-flow-runner"}
    return url.set(drivername="postgresql+psycopg", query=usual | dict(url.query))


def _connect(
    url: Callable[[], str], dialect: Dialect, _: object, arguments: list[Any], more: dict[str, Any]
) -> None:
    """Have a connection made to where *url* leads by now."""
    arguments[:], fresh = dialect.create_connect_args(_address(url()))
    more |= fresh
    if dialect.name == "postgresql":
        # Prepared statements outlive what they were prepared for, behind a pgbouncer too.
        more["prepare_threshold"] = None


def _prepare_sqlite(connection: Any, _: object) -> None:
    # Python's own idea of when a transaction begins knows no savepoints, and begins too late.
    connection.isolation_level = None
    connection.run_async(
        lambda driver: driver.create_function("fold", 1, _fold, deterministic=True)
    )
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    with suppress(OperationalError, connection.dbapi.sqlite.OperationalError):
        # A file that may only be read stays as it is; so does one that somebody is using.
        cursor.execute("PRAGMA journal_mode = WAL")
    cursor.close()


def _fold(value: Any) -> Any:
    """SQLite's own `lower` knows the letters of ASCII only."""
    return value.lower() if isinstance(value, str) else value


def _be_patient(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_LOCK * 1000}")
    cursor.close()


def _lock(connection: Connection) -> None:
    """
    Begin with the lock for writing: whoever reads first, and then writes, may never get it.

    Others may hold it for long. It is asked for again and again: while a thread waits inside
    SQLite, nobody can stop it.
    """
    until = time.monotonic() + _LOCK
    while True:
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        except OperationalError as error:
            if not _is_busy(error) or time.monotonic() > until:
                raise
            await_only(asyncio.sleep(_MOMENT))
        else:
            return


def _is_busy(error: OperationalError) -> bool:
    return getattr(error.orig, "sqlite_errorname", "").startswith("SQLITE_BUSY")
