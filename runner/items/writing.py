"""Add, change and remove items: rows of one table, in one transaction, told to event flows."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import Column, CursorResult, Executable, Table, delete, insert, update
from sqlalchemy.exc import DBAPIError

from runner.errors import OperationError
from runner.items import reading, values, violations
from runner.items.phrases import bound
from runner.items.refusals import invalid_payload
from runner.items.tables import Items
from runner.items.transaction import Transaction
from runner.items.values import Kind
from runner.schema import nearest, quoted
from runner.types import JSONObject, JSONValue

#: What of a query says which items; the rest says how they are shown.
_CHOOSE: Final = ("filter", "search", "sort", "limit", "offset", "page")


class Writer:
    """
    Writes items of one collection.

    Where *tells*, filter flows may change what is written, or refuse it, before it is; action
    flows are told once it is committed. Everything raises OperationError.
    """

    def __init__(self, items: Items, transaction: Transaction, *, tells: bool) -> None:
        self._items = items
        self._transaction = transaction
        self._tells = tells
        self._key = _key(items)

    async def create(self, items: Sequence[JSONObject]) -> list[JSONValue]:
        """Add *items*, and give their primary keys in the same order."""
        if not self._tells:
            return await self._insert(items)
        keys: list[JSONValue] = []
        for each in items:
            item = _object(await self._ahead("create", each))
            keys += await self._insert([item])
            self._happened("create", item, key=keys[-1])
        return keys

    async def find(self, query: JSONObject, caller: JSONObject | None) -> list[JSONValue]:
        """The primary keys of the items that *query* finds: all of them, unless it has a limit."""
        name = self._key.name
        chosen: JSONObject = {each: query[each] for each in _CHOOSE if each in query}
        chosen = {"limit": -1, **chosen, "fields": [name]}
        asked = reading.Asked(collection=self._items.name, query=chosen, caller=caller)
        transaction = self._transaction
        found: Any = await reading.read(transaction.database, asked, transaction.savepoint)
        return [each[name] for each in found]

    async def update_each(self, items: Sequence[JSONObject]) -> list[JSONValue]:
        """Change every item as its element says, which names its primary key; give the keys."""
        name = self._key.name
        if any(each.get(name) is None for each in items):
            raise invalid_payload(f"An element has no primary key, {self._shown(name)}")
        for each in items:
            changes = {field: value for field, value in each.items() if field != name}
            await self.update([each[name]], changes)
        return [each[name] for each in items]

    async def update(self, keys: list[JSONValue], changes: JSONObject) -> None:
        """Change the items with these *keys* in the same way; those that are not there are not."""
        if not keys:
            return
        if self._tells:
            changes = _object(await self._ahead("update", changes, keys=keys))
        await self._update(keys, changes)
        if self._tells:
            self._happened("update", changes, keys=keys)

    async def delete(self, keys: list[JSONValue]) -> list[JSONValue]:
        """Remove the items with these *keys*, or those that a filter flow names in their place."""
        if self._tells and keys:
            left = await self._ahead("delete", keys)
            keys = left if isinstance(left, list) else keys
        if keys:
            await self._execute(delete(self._table).where(self._among(keys)))
        if self._tells and keys:
            self._happened("delete", keys, keys=keys)
        return keys

    # --- events

    async def _ahead(self, what: str, payload: JSONValue, **members: JSONValue) -> JSONValue:
        name = self._items.name
        event = f"{name}.items.{what}"
        return await self._transaction.ahead(event, payload, **members, collection=name)

    def _happened(self, what: str, payload: JSONValue, **members: JSONValue) -> None:
        name = self._items.name
        event = f"{name}.items.{what}"
        self._transaction.happened(event, payload, **members, collection=name)

    # --- statements

    async def _insert(self, items: Sequence[JSONObject]) -> list[JSONValue]:
        await self._look_again(items)
        rows = [self._complete(self._row(each)) for each in items]
        statement = insert(self._table).returning(self._key, sort_by_parameter_order=True)
        keys: list[JSONValue] = []
        # What a row leaves out gets its default: rows that leave out the same are one statement.
        for _, group in groupby(rows, key=dict.keys):
            result = await self._execute(statement, [*group], items, adds=True)
            keys += map(self._items.readers[self._key.name], result.scalars())
        if None in keys:  # SQLite lets a key be null, unless it is a number
            raise violations.required(self._key.name)
        return keys

    async def _update(self, keys: list[JSONValue], changes: JSONObject) -> None:
        await self._look_again([changes])
        row = self._row(changes)
        if not row:
            return
        # Without names of their own, which could be those of the keys in the statement.
        sets = {name: bound(value) for name, value in row.items()}
        statement = update(self._table).where(self._among(keys)).values(sets)
        await self._execute(statement, items=[changes])

    def _among(self, keys: Iterable[JSONValue]) -> Any:
        return self._key.in_([self._value(self._key.name, each) for each in keys])

    async def _execute(
        self,
        statement: Executable,
        rows: Any = None,
        items: Sequence[JSONObject] = (),
        *,
        adds: bool = False,
    ) -> CursorResult[Any]:
        try:
            result: CursorResult[Any] = await self._transaction.connection.execute(statement, rows)
        except DBAPIError as error:
            refused = violations.explain(error, self._table, items, adds=adds)
            if refused is None:
                raise
            raise refused from None
        return result

    # --- values

    @property
    def _table(self) -> Table:
        return self._items.table

    async def _look_again(self, items: Iterable[JSONObject]) -> None:
        """Somebody may have added columns beside us."""
        if all(each.keys() <= self._items.kinds.keys() for each in items):
            return
        transaction, name = self._transaction, self._items.name
        transaction.database.forget(name)
        self._items = await transaction.database.collection(name, transaction.connection)
        self._key = _key(self._items)

    def _row(self, item: JSONObject) -> JSONObject:
        """*item* as the driver takes it."""
        for name in item:
            self._check_field(name)
        return {name: self._value(name, value) for name, value in item.items()}

    def _complete(self, row: JSONObject) -> JSONObject:
        """A new *row* with a primary key, unless the database makes one."""
        key = self._key
        if row.get(key.name) is None:
            row.pop(key.name, None)
            if key.server_default is None and key is not self._table.autoincrement_column:
                if self._items.kinds[key.name] is not Kind.UUID:
                    raise violations.required(key.name)
                row[key.name] = str(uuid4())
        return row

    def _check_field(self, name: str) -> None:
        """See that *name* is a field that can be written."""
        column = self._table.columns.get(name)
        if column is None:
            guess = nearest(name, self._items.kinds)
            raise invalid_payload(f"There is no field {self._shown(name)}{guess}")
        if column.computed is not None or (column.identity is not None and column.identity.always):
            raise invalid_payload(f"{self._shown(name)} is made by the database")

    def _value(self, name: str, value: JSONValue) -> Any:
        try:
            return values.write(value, self._items.kinds[name], sqlite=self._items.sqlite)
        except values.Misfit as misfit:
            raise invalid_payload(f"{self._shown(name)} has to be {misfit}") from None

    def _shown(self, name: str) -> str:
        return f"{quoted(name)} in {quoted(self._items.name)}"


def _key(items: Items) -> Column[Any]:
    if items.key is None or not items.table.primary_key:
        message = f"the collection {quoted(items.name)} has no primary key of one column"
        raise OperationError(message, code="NO_PRIMARY_KEY")
    return items.key


def _object(payload: JSONValue) -> JSONObject:
    """What filter flows made of a payload; null is nothing."""
    if payload is None:
        return {}
    if isinstance(payload, dict):
        return payload
    raise invalid_payload("A filter flow made something else of it than an object")
