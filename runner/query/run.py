"""A `Query`, and records in memory → the answer."""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Final, NamedTuple, TypeAlias

from runner.query import aggregates, predicates
from runner.query.model import EVERYTHING, Nested, Query, Selected, Sort, ToMany, ToOne, invalid
from runner.query.order import comparable, ordered
from runner.query.predicates import Predicate
from runner.query.tables import Read, Tables, reader
from runner.types import JSONObject, JSONValue

#: Values that an answer may have: somebody has to write them out.
MAX_VALUES: Final = 500_000
#: How many of them may stand in it again, because relations lead to their records several times.
MAX_REPEATED: Final = 200_000
#: How often records may be looked at to find, sort and group them.
MAX_LOOKS: Final = 500_000

_Pick: TypeAlias = Callable[[Sequence[JSONObject]], Sequence[JSONObject]]


class Answer(NamedTuple):
    """What was found."""

    data: list[JSONObject]
    #: `total_count` and `filter_count`, as far as they were asked for; None if neither.
    meta: JSONObject | None


class Budget:
    """How much may be asked for, by one query or by several that belong together."""

    def __init__(self, looks: int | None = None) -> None:
        self._values = MAX_VALUES
        self._repeated = MAX_REPEATED
        self._max_looks = self._looks = MAX_LOOKS if looks is None else looks

    def values(self, records: int, often: int, width: int) -> None:
        """Take *width* values of each of *records*, which stand in the answer *often* in all."""
        self._values -= often * width
        self._repeated -= (often - records) * width
        if self._values < 0:
            raise invalid(f"The answer would have more than {MAX_VALUES} values")
        if self._repeated < 0:
            raise invalid(f"The answer would repeat more than {MAX_REPEATED} values")

    def looks(self, looks: int) -> None:
        """Take *looks* at a record."""
        self._looks -= looks
        if self._looks < 0:
            most = f"more than {self._max_looks} looks at a record"
            raise invalid(f"Finding the answer would take {most}")


def run(query: Query, tables: Tables, budget: Budget | None = None) -> Answer:
    """
    Answer *query*.

    Raises InvalidQuery, before there is much to do, when it is more than *budget* has left; a
    budget of its own is MAX_VALUES, MAX_REPEATED and MAX_LOOKS. Values of the answer are those of
    the records, and the same record stands in it as the same object: nobody may change them.
    """
    budget = budget or Budget()
    budget.looks(looks(query, tables))
    collection = query.collection
    records = tables.rows(collection)
    passes = passing(query, tables)
    found = records if passes is None else list(filter(passes, records))
    if query.grouping is not None:
        rows = _slice(query, aggregates.rows(query.grouping, found, collection, tables))
        budget.values(len(rows), len(rows), len(rows[0]) if rows else 0)
        data = list(rows)
    else:
        order = ordering(query, tables)
        data = _Views(tables, budget).top(query, _slice(query, order(found)))
    counts = {"total_count": len(records), "filter_count": len(found)}
    return Answer(data, {name: counts[name] for name in query.meta} or None)


def one(
    query: Query, key: JSONValue, tables: Tables, budget: Budget | None = None
) -> JSONObject | None:
    """
    The record with the primary key *key*, unless the filter or the search does not let it pass.

    What else *query* says of several records means nothing here. Raises as `run` does.
    """
    budget = budget or Budget()
    budget.looks(looks(query, tables))
    record = tables.by_id(query.collection).get(key)
    passes = passing(query, tables)
    if record is None or not (passes is None or passes(record)):
        return None
    return _Views(tables, budget).top(query, [record])[0]


# --- how much it is -----------------------------------------------------------------------------


def effort(query: Query, tables: Tables) -> float:
    """About how many values have to be looked at or written to answer; it is cheap to say."""
    rows = len(tables.rows(query.collection))
    count = rows if query.limit is None else min(query.limit, rows)
    return looks(query, tables) + count * _width(query, tables)


def looks(query: Query, tables: Tables) -> int:
    """How often records are looked at, at most: every one once for every rule, key, column."""
    collection = query.collection
    each = sum(1 + len(key.through) for key in query.sort)
    if query.search is not None:
        each += len(collection.fields)
    if query.grouping is not None:
        each += len(query.grouping.columns) + len(query.grouping.aggregates)
    nested = sum(looks(e.query, tables) for e in query.selection if isinstance(e, Nested))
    here = len(tables.rows(collection)) * each if each else 0
    return here + predicates.looks(query.filter, collection, tables) + nested


def _width(query: Query, tables: Tables) -> float:
    """The values of one record, with as many items as records have on average."""
    width = 1.0
    for each in query.selection:
        if isinstance(each, Selected):
            width += 1
        elif isinstance(each.relation, ToOne):
            width += _width(each.query, tables)
        else:
            items = len(tables.rows(each.query.collection))
            many = items / (len(tables.rows(query.collection)) or 1)
            width += many * _width(each.query, tables)
    return width


# --- which, in which order ----------------------------------------------------------------------


def passing(query: Query, tables: Tables) -> Predicate | None:
    """Whether a record is among those that are wanted; None: they all are."""
    tests = []
    if query.filter != EVERYTHING:
        tests.append(predicates.compile(query.filter, query.collection, tables))
    if query.search is not None:
        tests.append(predicates.search(query.search, query.collection))
    return predicates.every(tests) if tests else None


def ordering(query: Query, tables: Tables) -> _Pick:
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
    """
    Makes of records what was asked of them.

    It goes from relation to relation with all records at once, each of which is looked at once
    however often relations lead to it: what they multiply is known before it is made.
    """

    def __init__(self, tables: Tables, budget: Budget) -> None:
        self._tables = tables
        self._budget = budget

    def top(self, query: Query, records: Sequence[JSONObject]) -> list[JSONObject]:
        """What *query* selects of each of the records."""
        return self._views(query, records, [1] * len(records))

    def _views(
        self, query: Query, records: Sequence[JSONObject], often: Sequence[int]
    ) -> list[JSONObject]:
        """The same; no two *records* are one, and each stands in the answer so *often*."""
        self._budget.values(len(records), sum(often), len(query.selection) + 1)
        # Most are fields as they are, for which nothing needs to be called; the others take
        # the places that are kept for them.
        names: list[tuple[str, str]] = []
        others: list[tuple[str, Iterable[JSONValue]]] = []
        for each in query.selection:
            if isinstance(each, Selected) and each.column.function is None:
                names.append((each.key, each.column.field))
            else:
                names.append((each.key, ""))
                others.append((each.key, self._values(each, query, records, often)))
        views: list[JSONObject] = [
            {key: record.get(name) for key, name in names} for record in records
        ]
        for key, values in others:
            for view, value in zip(views, values, strict=True):
                view[key] = value
        return views

    def _values(
        self,
        selected: Selected | Nested,
        query: Query,
        records: Sequence[JSONObject],
        often: Sequence[int],
    ) -> Iterable[JSONValue]:
        """A value for each of the records."""
        if isinstance(selected, Selected):
            return map(reader(selected.column, query.collection, self._tables), records)
        if isinstance(selected.relation, ToOne):
            return self._related(selected, records, often)
        keys = [record[query.collection.primary_key] for record in records]
        values = self._keys if selected.ids else self._items
        return values(selected, selected.relation, keys, often)

    def _related(
        self, nested: Nested, records: Sequence[JSONObject], often: Sequence[int]
    ) -> Iterable[JSONValue]:
        """The records that a relation leads to, or null."""
        by_id = self._tables.by_id(nested.query.collection)
        passes = passing(nested.query, self._tables)
        keys = [record.get(nested.field) for record in records]
        times: dict[JSONValue, int] = {}
        for key, count in zip(keys, often, strict=True):
            if key in by_id:
                times[key] = times.get(key, 0) + count
        if passes is not None:
            times = {key: count for key, count in times.items() if passes(by_id[key])}
        found = [by_id[key] for key in times]
        views = self._views(nested.query, found, list(times.values()))
        return map(dict(zip(times, views, strict=True)).get, keys)

    def _items(
        self, nested: Nested, relation: ToMany, keys: Sequence[JSONValue], often: Sequence[int]
    ) -> Iterable[JSONValue]:
        """The items of each record; no two have one in common."""
        items, pick = self._tables.items(relation), self._pick(nested.query)
        picked = [pick(items.get(key, ())) for key in keys]
        flat = [item for some in picked for item in some]
        times = [count for some, count in zip(picked, often, strict=True) for _ in some]
        views = iter(self._views(nested.query, flat, times))
        return [list(islice(views, len(some))) for some in picked]

    def _keys(
        self, nested: Nested, relation: ToMany, keys: Sequence[JSONValue], often: Sequence[int]
    ) -> Iterable[JSONValue]:
        """Their primary keys."""
        collection = nested.query.collection
        found: list[list[JSONValue]]
        if nested.query == Query(collection=collection):  # all of them
            item_keys = self._tables.item_keys(relation)
            found = [item_keys.get(key, []) for key in keys]
        else:
            items, pick = self._tables.items(relation), self._pick(nested.query)
            name = collection.primary_key
            found = [[item[name] for item in pick(items.get(key, ()))] for key in keys]
        total = sum(len(some) * count for some, count in zip(found, often, strict=True))
        self._budget.values(sum(map(len, found)), total, 1)
        return found

    def _pick(self, query: Query) -> _Pick:
        """What chooses among the items of a record."""
        passes, order = passing(query, self._tables), ordering(query, self._tables)

        def pick(records: Sequence[JSONObject]) -> Sequence[JSONObject]:
            found = records if passes is None else list(filter(passes, records))
            return _slice(query, order(found))

        return pick
