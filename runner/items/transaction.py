"""
The transaction that item operations write in, from the first filter event to the commit.

A filter flow runs inside the transaction of the write that it may refuse: what its item operations
read and write belongs to it, on the same connection. A second connection would not see the rows,
would wait for locks that nobody releases, and would take one more from the pool.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

from runner.items.databases import Database
from runner.model import Event
from runner.types import JSONValue


class Context(Protocol):
    """What of the context of an operation this needs."""

    @property
    def transaction(self) -> object | None:
        """The Transaction that all this happens in."""

    async def emit(self, event: Event, transaction: object | None = None) -> JSONValue:
        """Tell the flows that wait for *event*."""


class Transaction:
    """
    One write, and what it caused so far.

    Inside another one of the same database it is a savepoint of it, so that what a filter flow
    catches is undone, and what it did before stays.
    """

    def __init__(self, database: Database, connection: Any, context: Context) -> None:
        self.database = database
        #: SQLAlchemy's AsyncConnection.
        self.connection = connection
        self._context = context
        self._happened: list[tuple[Context, Event]] = []

    @asynccontextmanager
    async def savepoint(self, seconds: float | None = None) -> AsyncIterator[Any]:
        """The connection, for a block that is undone alone where it does not end well."""
        async with self.database.savepoint(self.connection, seconds):
            yield self.connection

    async def ahead(self, event: str, payload: JSONValue, **members: JSONValue) -> JSONValue:
        """The *payload* as filter flows leave it. Raises OperationError where one refuses it."""
        return await self._context.emit(Event(event, payload, members, ahead=True), self)

    def happened(self, event: str, payload: JSONValue, **members: JSONValue) -> None:
        """Tell action flows, once all of this is committed."""
        self._happened.append((self._context, Event(event, payload, members)))

    def around(self, database: Database) -> "Transaction | None":
        """This transaction or the next one around it that is of *database*."""
        return self if self.database is database else _surrounding(self._context, database)

    def take_over(self, inner: "Transaction") -> None:
        """What *inner* has to tell is told, or not, with this."""
        self._happened += inner._happened  # noqa: SLF001 - one of us

    async def tell(self) -> None:
        """Start the action flows: it is committed."""
        for context, event in self._happened:
            await context.emit(event)


def _surrounding(context: Context, database: Database) -> Transaction | None:
    """The transaction of *database* that the flow of *context* runs in."""
    transaction = context.transaction
    return transaction.around(database) if isinstance(transaction, Transaction) else None


@asynccontextmanager
async def begin(
    database: Database, context: Context, seconds: float | None = None
) -> AsyncIterator[Transaction]:
    """
    A transaction for the block, committed when it ends well; then its action flows start.

    All of the block may take *seconds*, or else `limits.request_time`. Raises OperationError.
    """
    outer = _surrounding(context, database)
    if outer is None:
        async with database.transaction(seconds) as connection:
            transaction = Transaction(database, connection, context)
            yield transaction
        await transaction.tell()
    else:
        async with outer.savepoint(seconds) as connection:
            transaction = Transaction(database, connection, context)
            yield transaction
        outer.take_over(transaction)


@asynccontextmanager
async def looking(
    database: Database, context: Context, seconds: float | None = None
) -> AsyncIterator[Any]:
    """
    A connection to read with; it sees what the transaction around it has written.

    Otherwise as `begin`. What fails here leaves that transaction as it was.
    """
    outer = _surrounding(context, database)
    look = database.connection if outer is None else outer.savepoint
    async with look(seconds) as connection:
        yield connection
