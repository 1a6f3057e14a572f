"""Records in memory, and the ways from one to another."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, TypeAlias

from runner.operators import FUNCTIONS
from runner.query.model import Collection, Column, Schema, ToMany, ToOne
from runner.types import JSONObject, JSONValue, Path

Read: TypeAlias = Callable[[JSONObject], Any]
"""Gives a value of a record."""


class Tables:
    """
    The records of all collections, to be asked many times: indexes are made once, when needed.

    Of a collection without records (one that is kept elsewhere) there are those that others name,
    with a primary key and nothing else. Nobody may change the records any more. Several threads may
    ask at once; at worst, they make the same index.
    """

    def __init__(self, schema: Schema, rows: Mapping[str, Iterable[JSONObject]]) -> None:
        self.schema = schema
        self._given = {name: list(records) for name, records in rows.items()}
        self._rows: dict[str, list[JSONObject]] = {}
        self._by_id: dict[str, dict[JSONValue, JSONObject]] = {}
        self._items: dict[ToMany, dict[JSONValue, list[JSONObject]]] = {}
        self._item_keys: dict[ToMany, dict[JSONValue, list[JSONValue]]] = {}

    def rows(self, collection: Collection) -> Sequence[JSONObject]:
        """All records, by primary key."""
        rows = self._rows.get(collection.name)
        if rows is None:
            records = self._given.get(collection.name)
            rows = self._named(collection) if records is None else records
            rows = self._rows[collection.name] = sorted(
                rows, key=itemgetter(collection.primary_key)
            )
        return rows

    def by_id(self, collection: Collection) -> Mapping[JSONValue, JSONObject]:
        """The same, to be found by primary key."""
        found = self._by_id.get(collection.name)
        if found is None:
            key = collection.primary_key
            found = {record[key]: record for record in self.rows(collection)}
            self._by_id[collection.name] = found
        return found

    def items(self, relation: ToMany) -> Mapping[JSONValue, Sequence[JSONObject]]:
        """The items of each record that has some, by primary key."""
        found = self._items.get(relation)
        if found is None:
            found = {}
            for record in self.rows(self.target(relation)):
                found.setdefault(record.get(relation.field), []).append(record)
            self._items[relation] = found  # only now: another thread may be waiting for it
        return found

    def item_keys(self, relation: ToMany) -> Mapping[JSONValue, list[JSONValue]]:
        """The primary keys of the same; looking into each item would take ten times as long."""
        found = self._item_keys.get(relation)
        if found is None:
            key = self.target(relation).primary_key
            found = self._item_keys[relation] = {
                ours: [item[key] for item in items] for ours, items in self.items(relation).items()
            }
        return found

    def target(self, relation: ToOne | ToMany) -> Collection:
        """The collection that a relation leads to."""
        return self.schema[relation.collection]

    def _named(self, collection: Collection) -> list[JSONObject]:
        names = {
            record.get(name)
            for other in self.schema.values()
            for name, field in other.fields.items()
            if field.relation == ToOne(collection.name)
            for record in self._given.get(other.name, ())
        }
        return [{collection.primary_key: name} for name in names - {None}]


class Overlay(Tables):
    """
    The same tables, but for the records of one collection: *rows* stand for those with their keys.

    What leads to other records must be equal in both, so that all other indexes can be shared.
    """

    def __init__(self, tables: Tables, collection: Collection, rows: Iterable[JSONObject]) -> None:
        super().__init__(tables.schema, {collection.name: rows})
        self._tables = tables
        self._collection = collection.name

    def rows(self, collection: Collection) -> Sequence[JSONObject]:
        """All records, by primary key."""
        ours = collection.name == self._collection
        return super().rows(collection) if ours else self._tables.rows(collection)

    def by_id(self, collection: Collection) -> Mapping[JSONValue, JSONObject]:
        """The same, to be found by primary key."""
        ours = collection.name == self._collection
        return super().by_id(collection) if ours else self._tables.by_id(collection)

    def items(self, relation: ToMany) -> Mapping[JSONValue, Sequence[JSONObject]]:
        """The items of each record that has some, by primary key."""
        ours = relation.collection == self._collection
        return super().items(relation) if ours else self._tables.items(relation)

    def item_keys(self, relation: ToMany) -> Mapping[JSONValue, list[JSONValue]]:
        """The primary keys of the same."""
        return self._tables.item_keys(relation)


def reader(column: Column, collection: Collection, tables: Tables) -> Read:
    """What gives the value of *column* of a record of *collection*."""
    relation = collection.fields[column.field].relation
    if isinstance(relation, ToMany):
        items, key = tables.items(relation), collection.primary_key
        return lambda record: len(items.get(record[key], ()))
    name = column.field
    if column.function is None:
        return lambda record: record.get(name)
    if column.function == "json":
        steps = column.steps
        return lambda record: _at(record.get(name), steps)
    function = FUNCTIONS[column.function]
    return lambda record: function(record.get(name))


def _at(value: JSONValue, steps: Path) -> JSONValue:
    """What is found inside *value*; null if nothing."""
    for step in steps:
        try:
            value = value[step]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            return None
    return value
