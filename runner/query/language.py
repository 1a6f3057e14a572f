"""
Parameters → a `Query`.

Whatever is wrong with them is said, and nothing is too much: a query that asks for more than
anybody means is refused here, before anything is looked for.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple, TypeAlias

from runner.query import columns, grouping, parameters
from runner.query.columns import shown
from runner.query.filters import Filters
from runner.query.model import (
    Collection,
    Column,
    Filter,
    Nested,
    Query,
    Schema,
    Selected,
    Sort,
    ToMany,
    ToOne,
    Type,
    invalid,
)
from runner.types import JSONObject, JSONValue

#: How many records come when nobody says how many.
DEFAULT_LIMIT: Final = 100
#: Keys of an order: each costs a pass.
MAX_KEYS: Final = 20
#: Relations that are followed: with `*.*.*.*` they multiply.
MAX_NESTED: Final = 200

#: What `deep` may say of a relation.
_DEEP: Final = frozenset(("filter", "search", "sort", "limit", "offset", "page", "alias"))

_Path: TypeAlias = tuple[str, ...]


def parse(
    given: Mapping[str, JSONValue],
    collection: Collection,
    schema: Schema,
    *,
    caller: JSONObject | None = None,
    now: datetime | None = None,
) -> Query:
    """
    Read the parameters of a question about *collection*; those that nobody knows are ignored.

    *caller* has the `user`, `role` and `roles` that `$CURRENT_USER` and its like stand for, *now*
    is the time that `$NOW` is. Raises InvalidQuery. A name in `fields` that is none of a field is
    left out, as Directus does; everywhere else it is an error.
    """
    reader = _Reader(schema, Filters(schema, caller, now or datetime.now(UTC)))
    level = _Level(collection, given, parameters.mapping("deep", given))
    paths = [tuple(columns.split(name)) for name in parameters.names("fields", given)]
    return reader.query(level, list(dict.fromkeys(paths)) or [("*",)])


class _Level(NamedTuple):
    """What is said of the records of a relation, or of those that the whole query is about."""

    collection: Collection
    given: Mapping[str, JSONValue]
    #: What is said of relations, by the name or alias of each.
    deep: JSONObject
    #: How many relations lead here.
    depth: int = 0


class _Reader:
    """Reads one query, and counts what it asks."""

    def __init__(self, schema: Schema, filters: Filters) -> None:
        self._schema = schema
        self._filters = filters
        self._nested = 0

    def query(self, level: _Level, paths: Sequence[_Path]) -> Query:
        """The whole of it."""
        given = level.given
        grouped = grouping.parse(given, level.collection)
        limit, offset = parameters.page(given, DEFAULT_LIMIT)
        return Query(
            collection=level.collection,
            selection=self._selection(level, paths),
            filter=self._filter(level),
            search=parameters.search(given),
            sort=() if grouped else self._sort(level),
            limit=limit,
            offset=offset,
            grouping=grouped,
            meta=parameters.meta(given),
            export=parameters.export(given),
            timed=self._filters.timed,  # by now all of them are read
        )

    def _inner(self, level: _Level, paths: Sequence[_Path]) -> Query:
        """What is wanted of the records of a relation: all of them, unless `deep` says less."""
        limit, offset = parameters.page(level.given, None)
        return Query(
            collection=level.collection,
            selection=self._selection(level, paths),
            filter=self._filter(level),
            search=parameters.search(level.given),
            sort=self._sort(level),
            limit=limit,
            offset=offset,
        )

    def _filter(self, level: _Level) -> Filter:
        value = level.given.get("filter")
        if value is None or value == "":
            value = {}
        elif isinstance(value, str):
            value = parameters.json("filter", level.given)
        return self._filters.parse(value, level.collection)

    # --- order

    def _sort(self, level: _Level) -> tuple[Sort, ...]:
        names = parameters.names("sort", level.given, MAX_KEYS)
        return tuple(self._key(name, level.collection) for name in names)

    def _key(self, name: str, collection: Collection) -> Sort:
        *relations, last = columns.split(name.removeprefix("-"))
        if len(relations) >= columns.MAX_DEPTH:
            raise invalid(f'"sort" goes deeper than {columns.MAX_DEPTH}')
        through = []
        for each in relations:
            field = collection.fields.get(each)
            if field is None:
                raise invalid(columns.unknown(each, collection))
            if not isinstance(field.relation, ToOne):
                raise invalid(
                    f'"sort" cannot go through {shown(each)}, which leads to no one record'
                )
            through.append((each, field.relation))
            collection = self._schema[field.relation.collection]
        column = columns.find(last, collection)
        if column is None:
            raise invalid(columns.unknown(last, collection))
        if column.type in (Type.JSON, Type.ALIAS):
            raise invalid(f'"sort" cannot use {shown(last)}')
        return Sort(column, name.startswith("-"), tuple(through))

    # --- fields

    def _selection(self, level: _Level, paths: Sequence[_Path]) -> tuple[Selected | Nested, ...]:
        collection, alias = level.collection, _alias(level.given)
        wanted = _wanted(paths, collection)
        selection: list[Selected | Nested] = []
        for name, inner in wanted.items():
            column = columns.find(alias.get(name, name), collection)
            if column is None:
                continue
            key = name if name in alias else column.key
            relation = _relation(column, collection)
            if relation is not None and (inner or isinstance(relation, ToMany)):
                query = self._inner(self._below(name, relation, level), inner)
                selection.append(Nested(key, column.field, relation, query, ids=not inner))
            elif not inner:
                selection.append(Selected(key, column))
        for name in level.deep:
            relation = _relation(columns.find(alias.get(name, name), collection), collection)
            if relation is None:
                raise invalid(columns.unknown(name, collection))
            if name not in wanted:  # its mistakes are mistakes all the same
                self._inner(self._below(name, relation, level), ())
        return tuple(selection)

    def _below(self, name: str, relation: ToOne | ToMany, level: _Level) -> _Level:
        """What `deep` says of the records of a relation."""
        self._nested += 1
        if self._nested > MAX_NESTED:
            raise invalid(f"The query follows more than {MAX_NESTED} relations")
        if level.depth + 1 >= columns.MAX_DEPTH:
            raise invalid(f"The query goes deeper than {columns.MAX_DEPTH}")
        said = parameters.mapping(name, level.deep)
        given: JSONObject = {}
        deep: JSONObject = {}
        for key, value in said.items():
            if not key.startswith("_"):
                deep[key] = value
            elif key[1:] in _DEEP:
                given[key[1:]] = value
            else:
                raise invalid(f'"deep" has no {shown(key)}')
        return _Level(self._schema[relation.collection], given, deep, level.depth + 1)


def _wanted(paths: Sequence[_Path], collection: Collection) -> dict[str, list[_Path]]:
    """The names that come at this level, each with the paths that go on inside of it."""
    usual = [name for name, field in collection.fields.items() if not field.hidden]
    wanted: dict[str, list[_Path]] = {}
    for name, *inner in paths:
        for each in usual if name == "*" else [name]:
            found = wanted.setdefault(each, [])
            if inner and (name != "*" or collection.fields[each].relation is not None):
                found.append(tuple(inner))
    return wanted


def _relation(column: Column | None, collection: Collection) -> ToOne | ToMany | None:
    if column is None or column.function is not None:
        return None
    return collection.fields[column.field].relation


def _alias(given: Mapping[str, JSONValue]) -> dict[str, str]:
    """The names of fields that stand under other names in the answer."""
    alias = parameters.mapping("alias", given)
    for name, field in alias.items():
        if not isinstance(field, str) or "." in name or "." in field:
            raise invalid(f'"alias" takes names without dots, not {shown(name)}')
    return alias
