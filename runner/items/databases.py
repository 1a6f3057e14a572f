"""
The databases of the settings, opened at their first use.

Nothing here needs SQLAlchemy to be loaded. What it returns of SQLAlchemy's is `Any` therefore; who
uses it (`reading`, `writing`, …) is loaded when it is needed, and names the types again.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from runner.errors import OperationError
from runner.resources import Resource
from runner.settings import DatabaseSettings, Limits, Settings

#: Seconds after which a table is looked at again: somebody may have given it more columns.
_FRESH: Final = 10.0


class Database:
    """
    One database: its tables as they are, and a few connections to it.

    Whatever goes wrong with it is an OperationError, and its next use begins anew. The code is
    DATABASE_UNAVAILABLE where it cannot be reached or has gone away, DATABASE_BUSY where somebody
    else holds a lock or all connections for too long, TIMED_OUT, COLLECTION_CHANGED where a table
    or column is not there any more, and DATABASE_ERROR for the rest.
    """

    def __init__(self, given: DatabaseSettings, limits: Limits) -> None:
        self.name = given.name
        self._given = given
        #: Bytes that an answer may have.
        self.most: Final = limits.response
        #: How long one use may take that does not say it itself.
        self.seconds = limits.request_time
        self._engine: Any = None
        self._opening = threading.Lock()
        self._seen: dict[str, tuple[float, Any]] = {}

    async def library(self) -> Any:
        """The module `library`: all that needs SQLAlchemy."""
        # Beside the loop, which would stand still while it is loaded.
        return _library() if self._engine is not None else await asyncio.to_thread(_library)

    def open(self) -> Any:
        """Make ready to connect; the first time, that loads the library and a driver."""
        with self._opening:
            if self._engine is None:
                self._engine = _library().engines.Engine(self._given.url)
            return self._engine

    async def collection(self, name: str, connection: Any = None) -> Any:
        """
        The `tables.Items` of the table or view *name*, as it was ten seconds ago at most.

        *connection* is where to look, for whoever has one. Raises OperationError.
        """
        when, found = self._seen.get(name, (0.0, None))
        if found is not None and time.monotonic() - when < _FRESH:
            return found
        if connection is not None:
            return await self._reflected(name, connection)
        async with self.connection() as own:
            return await self._reflected(name, own)

    def forget(self, name: str) -> None:
        """Look at the table *name* again when it is needed, for it may have changed."""
        self._seen.pop(name, None)

    @asynccontextmanager
    async def connection(self, seconds: float | None = None) -> AsyncIterator[Any]:
        """
        An AsyncConnection for reading; every statement sees what is committed by then.

        All of the block may take *seconds*, or else `limits.request_time`. Raises OperationError.
        """
        async with self._guarded(seconds) as engine, engine.reading.connect() as connection:
            yield connection

    @asynccontextmanager
    async def transaction(self, seconds: float | None = None) -> AsyncIterator[Any]:
        """
        An AsyncConnection in a transaction, committed when the block ends well.

        As with `connection`, otherwise. On SQLite, it holds the lock for writing from the start.
        """
        async with self._guarded(seconds) as engine, engine.writing.begin() as connection:
            yield connection

    @asynccontextmanager
    async def savepoint(self, connection: Any, seconds: float | None = None) -> AsyncIterator[None]:
        """
        A part of the transaction of *connection* that is undone where the block does not end well.

        As with `connection`, otherwise.
        """
        async with self._guarded(seconds), connection.begin_nested():
            yield

    async def close(self) -> None:
        """End all connections."""
        if self._engine is not None:
            await self._engine.close()

    async def _reflected(self, name: str, connection: Any) -> Any:
        tables = (await self.library()).tables
        found = await connection.run_sync(tables.reflect, name)
        if found is None:
            raise no_such_collection(name)
        self._seen[name] = time.monotonic(), found
        return found

    @asynccontextmanager
    async def _guarded(self, seconds: float | None) -> AsyncIterator[Any]:
        """The engine, whose errors in the block become ours."""
        seconds = seconds or self.seconds
        library = await self.library()
        try:
            engine = self._engine or await asyncio.to_thread(self.open)
            async with asyncio.timeout(seconds) as limit:
                yield engine
        except TimeoutError:
            if not limit.expired():
                raise
            message = f'the database "{self.name}" took longer than {seconds:g} s'
            raise OperationError(message, name="Timeout", code="TIMED_OUT", status=504) from None
        except library.failures.ERRORS as error:
            raise library.failures.explained(error, self.name) from None


class Databases:
    """All databases of the settings, by name."""

    def __init__(self, settings: Settings) -> None:
        #: Those that the databases are from: their roles say who may do what.
        self.settings: Final = settings
        self._databases: Mapping[str, Database] = {
            name: Database(given, settings.limits) for name, given in settings.databases.items()
        }

    def get(self, name: str) -> Database:
        """The database *name*. Raises OperationError where the settings have none."""
        try:
            return self._databases[name]
        except KeyError:
            message = f'the settings have no database "{name}"'
            raise OperationError(message, code="UNKNOWN_DATABASE") from None

    def warm(self) -> None:
        """Begin to load what a first use needs."""
        threading.Thread(target=self._open, daemon=True).start()

    def _open(self) -> None:
        for each in self._databases.values():
            with suppress(Exception):  # whoever uses it is told
                each.open()

    async def close(self) -> None:
        """End all connections of all of them."""
        for each in self._databases.values():
            await each.close()


def no_such_collection(name: str) -> OperationError:
    """The error of a collection that is not there; as in Directus, it is that of one forbidden."""
    return OperationError(
        f'There is no collection "{name}".', name="Forbidden", code="FORBIDDEN", status=403
    )


def _library() -> Any:
    """All that needs SQLAlchemy; the first time, that takes a fifth of a second."""
    from runner.items import library  # noqa: PLC0415 - brings SQLAlchemy, which few flows need

    return library


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Databases]:
    databases = Databases(settings)
    try:
        yield databases
    finally:
        await databases.close()


DATABASES: Final = Resource(open=_opened, warm=Databases.warm)
"""What item operations work on."""
