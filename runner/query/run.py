"""A `Query`, and records in memory → the answer."""

from collections.abc import Callable, Sequence, Sized
from typing import Final, NamedTuple, TypeAlias, TypeVar

from runner.query import aggregates, predicates
from runner.query.model import EVERYTHING, Nested, Query, Selected, Sort, ToMany, ToOne, invalid
from runner.query.order import comparable, ordered
from runner.query.predicates import Predicate
from runner.query.tables import Read, Tables, reader
from runner.types import JSONObject, JSONValue

#: Values that an answer may have: relations multiply them, and somebody has to write them out.
MAX_VALUES: Final = 2_000_000

_Pick: TypeAlias = Callable[[Sequence[JSONObject]], Sequence[JSONObject]]
_Things = TypeVar("_Things", bound=Sized)


class Answer(NamedTuple):
    """What was found."""

    data: list[JSONObject]
    #: `total_count` and `filter_count`, as far as they were asked for; None if neither.
    meta: JSONObject | None


def run(query: Query, tables: Tables) -> Answer:
    """
    Answer *query*.

    Raises InvalidQuery when the answer would be larger than anybody means. Values of the answer
    are those of the records, not copies: nobody may change them.
    """
    collection = query.collection
    records = tables.rows(collection)
    passes = _passes(query, tables)
    found = records if passes is None else list(filter(passes, records))
    if query.grouping is not None:
        rows = aggregates.rows(query.grouping, found, collection, tables)
        data = list(_slice(query, rows))
    else:
        order = _order(query, tables)
        data = _Views(tables).all(query, _slice(query, order(found)))
    counts = {"total_count": len(records), "filter_count": len(found)}
    return Answer(data, {name: counts[name] for name in query.meta} or None)


def one(query: Query, key: JSONValue, tables: Tables) -> JSONObject | None:
    """
    The record with the primary key *key*, unless the filter or the search does not let it pass.

    What else *query* says of several records means nothing here.
    """
    record = tables.by_id(query.collection).get(key)
    passes = _passes(query, tables)
    if record is None or not (passes is None or passes(record)):
        return None
    return _Views(tables).all(query, [record])[0]


# --- which, in which order ----------------------------------------------------------------------


def _passes(query: Query, tables: Tables) -> Predicate | None:
    """Whether a record is among those that are wanted; None: they all are."""
    tests = []
    if query.filter != EVERYTHING:
        tests.append(predicates.compile(query.filter, query.collection, tables))
    if query.search is not None:
        tests.append(predicates.search(query.search, query.collection))
    return predicates.every(tests) if tests else None


def _order(query: Query, tables: Tables) -> _Pick:
    """What puts records into the order that is wanted."""
    keys = [(_sort_value(each, query, tables), each.descending) for each in query.sort]

    def order(records: Sequence[JSONObject]) -> Sequence[JSONObject]:
        for read, descending in reversed(keys):
            records = ordered(records, read, descending=descending)
        return records

    return order


def _sort_value(sort: Sort, query: Query, tables: Tables) -> Read:
    collection = query.collection
    hops = []
    for field, relation in sort.through:
        collection = tables.target(relation)
        hops.append((field, tables.by_id(collection)))
    last = comparable(reader(sort.column, collection, tables), sort.column.type)

    def read(record: JSONObject) -> JSONValue:
        for field, by_id in hops:
            found = by_id.get(record.get(field))
            if found is None:
                return None
            record = found
        value: JSONValue = last(record)
        return value

    return read if hops else last


def _slice(query: Query, records: Sequence[JSONObject]) -> Sequence[JSONObject]:
    end = None if query.limit is None else query.offset + query.limit
    return records if query.offset == 0 and end is None else records[query.offset : end]


# --- what of them -------------------------------------------------------------------------------


class _Views:
    """Makes of records what was asked of them, and counts what that comes to."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._left = MAX_VALUES

    def all(self, query: Query, records: Sequence[JSONObject]) -> list[JSONObject]:
        """What *query* selects of each of the records."""
        return self._view(query)(records)

    def _bounded(self, things: _Things, width: int = 1) -> _Things:
        """The same *things*, counted; each has *width* values."""
        self._left -= len(things) * width
        if self._left < 0:
            raise invalid(f"The answer would have more than {MAX_VALUES} values")
        return things

    def _view(self, query: Query) -> Callable[[Sequence[JSONObject]], list[JSONObject]]:
        # Most are fields as they are, for which nothing needs to be called; the others take
        # the places that are kept for them.
        names: list[tuple[str, str]] = []
        reads: list[tuple[str, Read]] = []
        for each in query.selection:
            if isinstance(each, Selected) and each.column.function is None:
                names.append((each.key, each.column.field))
            else:
                names.append((each.key, ""))
                reads.append((each.key, self._read(each, query)))

        def view(records: Sequence[JSONObject]) -> list[JSONObject]:
            views = [
                {key: record.get(name) for key, name in names}
                for record in self._bounded(records, len(names) + 1)
            ]
            for key, read in reads:
                for each, record in zip(views, records, strict=True):
                    each[key] = read(record)
            return views

        return view

    def _read(self, selected: Selected | Nested, query: Query) -> Read:
        if isinstance(selected, Selected):
            return reader(selected.column, query.collection, self._tables)
        if not isinstance(selected.relation, ToMany):
            return self._related(selected, selected.relation)
        read = self._keys if selected.ids else self._items
        return read(selected, selected.relation, query.collection.primary_key)

    def _related(self, nested: Nested, relation: ToOne) -> Read:
        """The record that a relation leads to, or null."""
        by_id = self._tables.by_id(nested.query.collection)
        passes = _passes(nested.query, self._tables)
        view, field = self._view(nested.query), nested.field

        def read(record: JSONObject) -> JSONObject | None:
            found = by_id.get(record.get(field))
            if found is None or not (passes is None or passes(found)):
                return None
            return view([found])[0]

        return read

    def _items(self, nested: Nested, relation: ToMany, key: str) -> Read:
        """The items of a record."""
        items = self._tables.items(relation)
        pick, view = self._pick(nested.query), self._view(nested.query)
        return lambda record: view(pick(items.get(record[key], ())))

    def _keys(self, nested: Nested, relation: ToMany, key: str) -> Read:
        """Their primary keys."""
        collection = nested.query.collection
        if nested.query == Query(collection=collection):  # all of them
            item_keys = self._tables.item_keys(relation)
            return lambda record: self._bounded(item_keys.get(record[key], []))
        items, pick = self._tables.items(relation), self._pick(nested.query)
        item_key = collection.primary_key
        return lambda record: [each[item_key] for each in pick(items.get(record[key], ()))]

    def _pick(self, query: Query) -> _Pick:
        """What chooses among the items of a record; each that is looked at counts, too."""
        passes, order = _passes(query, self._tables), _order(query, self._tables)

        def pick(records: Sequence[JSONObject]) -> Sequence[JSONObject]:
            found = self._bounded(records)
            if passes is not None:
                found = list(filter(passes, found))
            return _slice(query, order(found))

        return pick
