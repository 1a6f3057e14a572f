"""Find items, as `item-read` asks for them."""

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from sqlalchemy import Row, Select
from sqlalchemy.ext.asyncio import AsyncConnection

from runner import jsontext
from runner.errors import InvalidQuery, OperationError
from runner.items import sql, values
from runner.items.databases import Database
from runner.items.given import MAX_ITEMS
from runner.items.phrases import Expression
from runner.items.refusals import invalid_query
from runner.items.tables import Items
from runner.items.values import Convert, Misfit
from runner.query import language
from runner.query.model import Aggregate, Column, Grouping, Query, Selected
from runner.query.tables import Tables, reader
from runner.types import JSONObject, JSONValue

Connect: TypeAlias = Callable[[], AbstractAsyncContextManager[AsyncConnection]]
"""A connection to read with, for a block."""

#: Rows that are fetched at a time, where there may be more.
_AT_ONCE: Final = 200

#: Plans that are kept for a table, and how long what is asked may be for that, in characters.
_PLANS: Final = 100
_MAX_KEPT: Final = 2000

#: Errors of who believes a table to be what it was.
_OUTDATED: Final = ("COLLECTION_CHANGED", "INVALID_QUERY")

_NO_TABLES: Final = Tables({}, {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked for."""

    collection: str
    #: Primary keys; none of them: all items that the query finds.
    keys: Sequence[JSONValue] = ()
    #: Parameters of the query language.
    query: Mapping[str, JSONValue] = field(default_factory=dict)
    #: `$accountability`: whom `$CURRENT_USER` and its like mean.
    caller: JSONObject | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """How it is found."""

    statement: Select[Any]
    #: Rows that come at most.
    limit: int
    #: Makes JSON of a row.
    make: Callable[[Row[Any]], JSONObject]
    #: The server keeps the rows while they are fetched.
    server_side: bool


async def read(database: Database, asked: Asked, connect: Connect) -> JSONValue:
    """
    The item with the one key that is *asked* for, or a list of items.

    Raises OperationError: FORBIDDEN where the one item, or the collection, is not there,
    INVALID_QUERY, RESULT_TOO_LARGE, and what *database* raises.
    """
    try:
        return await _read(database, asked, connect)
    except OperationError as error:
        if error.own_code not in _OUTDATED:
            raise
    database.forget(asked.collection)  # somebody may have changed it beside us
    return await _read(database, asked, connect)


async def _read(database: Database, asked: Asked, connect: Connect) -> JSONValue:
    async with connect() as connection:
        items: Items = await database.collection(asked.collection, connection)
        rows = await _rows(_plan(asked, items), connection, database.most)
    if len(asked.keys) != 1:
        return rows
    if not rows:
        raise no_such_item()
    return rows[0]


def no_such_item() -> OperationError:
    """The error of an item that is not there, in the words of one that may not be read."""
    message = "You don't have permission to access this."
    return OperationError(message, name="Forbidden", code="FORBIDDEN", status=403)


def _plan(asked: Asked, items: Items) -> _Plan:
    """A plan; to make one takes as long as to use it, so those that are small are kept."""
    who = asked.caller and [asked.caller[each] for each in ("user", "role")]
    text = repr((asked.keys, asked.query, who))  # integers may be too large for JSON
    plan: _Plan | None = items.worked_out.get(text)
    if plan is not None:
        return plan
    query = _query(asked, items)
    plan = _made(query, asked, items)
    if len(text) <= _MAX_KEPT and not query.timed:
        if len(items.worked_out) >= _PLANS:
            items.worked_out.clear()
        items.worked_out[text] = plan
    return plan


def _query(asked: Asked, items: Items) -> Query:
    collection = items.collection
    given = dict(asked.query)
    if asked.keys:
        given.setdefault("limit", len(asked.keys))
    try:
        return language.parse(given, collection, {collection.name: collection}, caller=asked.caller)
    except InvalidQuery as error:
        raise invalid_query(str(error.extensions["reason"])) from None


def _made(query: Query, asked: Asked, items: Items) -> _Plan:
    compiler = sql.Compiler(items, *_among(asked.keys, items))
    if query.grouping is None:
        statement, make = compiler.records(query), _of_record(query, items)
    else:
        statement = compiler.groups(query, query.grouping)
        make = _of_group(query.grouping, items)
    # One more than there may be shows that there are more.
    limit = MAX_ITEMS + 1 if query.limit is None else min(query.limit, MAX_ITEMS + 1)
    return _Plan(
        statement=statement.limit(limit).offset(query.offset or None),
        limit=limit,
        make=make,
        server_side=not items.sqlite,
    )


def _among(keys: Sequence[JSONValue], items: Items) -> Iterator[Expression]:
    """Whether an item has one of the *keys*, if there are any."""
    if not keys:
        return
    if items.key is None:
        message = f'the collection "{items.name}" has no primary key of one column'
        raise OperationError(message, code="NO_PRIMARY_KEY")
    found = []
    for each in keys:
        with suppress(Misfit):  # which is the key of no item
            found.append(values.write(each, items.kinds[items.key.name], sqlite=items.sqlite))
    yield sql.among(items.key, found)


async def _rows(plan: _Plan, connection: AsyncConnection, most: int) -> list[JSONObject]:
    """The rows as JSON, as long as there are not too many and they are not too large."""
    found: list[JSONObject] = []
    room = most
    async with aclosing(_parts(plan, connection)) as parts:
        async for part in parts:
            rows = [plan.make(row) for row in part]
            found += rows
            if len(found) > MAX_ITEMS:
                raise _too_large(f"more than {MAX_ITEMS} items")
            room -= len(jsontext.write(rows))
            if room < 0:
                raise _too_large(f"more than {most} bytes")
    return found


async def _parts(
    plan: _Plan, connection: AsyncConnection
) -> AsyncGenerator[Sequence[Row[Any]], None]:
    if plan.limit <= _AT_ONCE:
        yield (await connection.execute(plan.statement)).all()
        return
    if plan.server_side and not connection.in_nested_transaction():
        # PostgreSQL keeps rows for later only in a transaction.
        await connection.rollback()
        await connection.execution_options(isolation_level="READ COMMITTED")
    result = await connection.stream(plan.statement)
    try:
        async for part in result.partitions(_AT_ONCE):
            yield part
    finally:  # `async with` would not, after an error
        await result.close()


def _too_large(what: str) -> OperationError:
    message = f"The answer has {what}: ask for fewer items or fields."
    return OperationError(message, code="RESULT_TOO_LARGE")


# --- from rows to JSON --------------------------------------------------------------------------


def _of_record(query: Query, items: Items) -> Callable[[Row[Any]], JSONObject]:
    converts = [(name, items.readers[name]) for name in sql.fields(query)]
    selected = [each for each in query.selection if isinstance(each, Selected)]

    def record(row: Row[Any]) -> JSONObject:
        return {name: convert(value) for (name, convert), value in zip(converts, row, strict=False)}

    if [each.key for each in selected] == [name for name, _ in converts]:
        return record
    reads = [(each.key, reader(each.column, items.collection, _NO_TABLES)) for each in selected]

    def view(row: Row[Any]) -> JSONObject:
        found = record(row)
        return {key: read(found) for key, read in reads}

    return view


def _of_group(grouping: Grouping, items: Items) -> Callable[[Row[Any]], JSONObject]:
    def convert(column: Column) -> Convert:
        return items.readers[column.field] if column.function is None else values.read

    common = [(each.key, convert(each)) for each in grouping.columns]
    numbers = [(each, _aggregated(each, convert)) for each in grouping.aggregates]

    def group(row: Row[Any]) -> JSONObject:
        found: JSONObject = {
            key: read(value) for (key, read), value in zip(common, row, strict=False)
        }
        counted: JSONObject = {}
        for (each, read), value in zip(numbers, row[len(common) :], strict=True):
            name = "*" if each.column is None else each.column.key
            counted.setdefault(each.function, {})[name] = read(value)
        for name, of in counted.items():
            found[name] = of["*"] if list(of) == ["*"] else of
        return found

    return group


def _aggregated(aggregate: Aggregate, convert: Callable[[Column], Convert]) -> Convert:
    if aggregate.column is not None and aggregate.function in ("min", "max"):
        return convert(aggregate.column)
    average = aggregate.function.startswith("avg")
    return lambda value: None if value is None else values.total(value, fraction=average)
