"""A database answers as records in memory do."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner import jsontext
from runner.items import reading
from runner.items.databases import Database
from runner.query import language, run
from runner.query.filters import OPERATORS_OF
from runner.query.model import Type
from runner.query.tables import Tables
from runner.types import JSONObject, JSONValue
from tests import stored
from tests.stored import Stored

TABLE: Final = """
    CREATE TABLE things (
        id INTEGER PRIMARY KEY, text VARCHAR(99), uuid UUID, integer INTEGER, float DOUBLE,
        decimal NUMERIC(12, 2), truth BOOLEAN, day DATE, clock TIME, at TIMESTAMP,
        moment TIMESTAMPTZ, json JSON, needed VARCHAR(9) NOT NULL
    )
"""
TABLE_OF_SQLITE: Final = TABLE.replace("at TIMESTAMP,", "at DATETIME,")

TYPES: Final = {
    "id": Type.INTEGER, "text": Type.TEXT, "uuid": Type.UUID, "integer": Type.INTEGER,
    "float": Type.FLOAT, "decimal": Type.FLOAT, "truth": Type.BOOLEAN, "day": Type.TIMESTAMP,
    "clock": Type.TEXT, "at": Type.TIMESTAMP, "moment": Type.TIMESTAMP, "json": Type.JSON,
    "needed": Type.TEXT,
}  # fmt: skip
PARTS: Final = ("year", "month", "week", "day", "weekday", "hour", "minute", "second")
COMPUTED: Final = {
    f"{part}({name})": Type.INTEGER for part in PARTS for name in ("day", "at", "moment")
} | {"count(json)": Type.INTEGER}

# --- rows ---------------------------------------------------------------------------------------

#: Where weeks and years begin and end, and some in between.
moments = st.one_of(
    st.sampled_from([datetime(2023, 12, 31, 23, 59, 59, 999000), datetime(2024, 2, 29)]),
    st.datetimes(datetime(1999, 12, 20), datetime(2030, 1, 10)),
).map(lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000))
texts = st.text("aAbBäÄ%_/\\' ", max_size=4)
numbers = st.integers(-3, 3)
quarters = st.integers(-9, 9).map(lambda number: number / 4)
uuids = st.sampled_from([str(UUID(int=number)) for number in (1, 2, 0xABC)])
documents = st.sampled_from(
    ["null", '""', "[]", "{}", "[1, 2]", '["[]"]', '{"a": [null]}', '"text"', "5", "[[]]"]
)
rows = st.lists(
    st.tuples(
        st.none() | texts, st.none() | uuids, st.none() | numbers, st.none() | quarters,
        st.none() | quarters, st.none() | st.booleans(), st.none() | moments, st.none() | moments,
        st.none() | moments, st.none() | moments, st.none() | documents, texts,
    ),
    max_size=8,
)  # fmt: skip


def stored_row(key: int, row: tuple[Any, ...], kind: str) -> tuple[Any, ...]:
    """A row as its driver takes it."""
    text, uuid, integer, float_, decimal, truth, day, clock, at, moment, json, needed = row
    values = [
        key, text, uuid, integer, float_, decimal, truth,
        day and day.date(), clock and clock.time(), at, moment and moment.replace(tzinfo=UTC),
        json, needed,
    ]  # fmt: skip
    if kind == "sqlite":
        # All the ways there are to write them there.
        values[9] = at and (str(at) if key % 2 else int(at.replace(tzinfo=UTC).timestamp() * 1000))
        values[10] = moment and (f"{moment.isoformat()}Z" if key % 2 else f"{moment} +00:00"[:-7])
        values = [str(each) if isinstance(each, date | time) else each for each in values]
    return tuple(values)


# --- queries ------------------------------------------------------------------------------------


def operands(type_: Type) -> st.SearchStrategy[Any]:
    """What a field of a type is compared with."""
    dates = st.one_of(moments, moments.map(lambda moment: moment.date())).map(
        lambda moment: moment.isoformat()
    )
    return {
        Type.TEXT: texts.filter(bool) | st.just("12:00:00"),
        Type.UUID: uuids,
        Type.INTEGER: numbers | quarters | st.sampled_from([2, 7, 12, 10**30, -(10**400), "1"]),
        Type.FLOAT: numbers | quarters,
        Type.BOOLEAN: st.booleans(),
        Type.TIMESTAMP: dates,
    }[type_]


@st.composite
def comparisons(draw: st.DrawFn) -> JSONObject:
    """One rule about one field."""
    name, type_ = draw(st.sampled_from([*TYPES.items()] * 3 + [*COMPUTED.items()]))
    operator = draw(st.sampled_from(sorted(OPERATORS_OF[type_])))
    if operator in ("_null", "_nnull", "_empty", "_nempty"):
        return {name: {operator: draw(st.booleans())}}
    if operator in ("_between", "_nbetween"):
        return {name: {operator: draw(st.lists(operands(type_), min_size=2, max_size=2))}}
    if operator in ("_in", "_nin"):
        return {name: {operator: draw(st.lists(operands(type_), min_size=1, max_size=3))}}
    return {name: {operator: draw(operands(type_))}}


filters = st.recursive(
    comparisons(),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: {"_and": parts}),
        st.lists(inner, max_size=3).map(lambda parts: {"_or": parts}),
    ),
    max_leaves=4,
)
sortable = st.sampled_from([name for name in (TYPES | COMPUTED) if name != "json"])
directions = st.sampled_from(["", "-"])
sorts = st.lists(st.tuples(directions, sortable).map("".join), max_size=3)
searches = st.one_of(texts.filter(bool), uuids, st.sampled_from(["1", "-0.25", "12:", "Ä"]))
selections = st.lists(
    st.sampled_from([*TYPES, *COMPUTED, "*", "json(json, a[0])"]), min_size=1, max_size=4
)
records = st.fixed_dictionaries(
    {"fields": selections},
    optional={
        "filter": filters,
        "sort": sorts,
        "search": searches,
        "limit": st.integers(-1, 9),
        "offset": st.integers(0, 3),
    },
)
aggregates = st.fixed_dictionaries(
    {},
    optional={
        "count": st.sampled_from(["*", "json", ["*", "text"]]),
        "countDistinct": st.sampled_from(["text", "truth", "moment"]),
        "sum": st.sampled_from(["integer", "float", "decimal"]),
        "sumDistinct": st.just("integer"),
        "avg": st.sampled_from(["integer", "decimal"]),
        "avgDistinct": st.just("float"),
        "min": st.sampled_from(["text", "day", "integer", "clock", "at"]),
        "max": st.sampled_from(["moment", "float", "day", "needed", "at"]),
    },
)
grouped = st.sampled_from(
    ["text", "uuid", "integer", "truth", "decimal", "year(day)", "week(moment)", "weekday(at)"]
)


@st.composite
def groupings(draw: st.DrawFn) -> JSONObject:
    """Aggregates, for all records or for groups of them."""
    query: JSONObject = {"aggregate": {"count": "*"} | draw(aggregates)}
    if columns := draw(st.lists(grouped, max_size=2)):
        query["groupBy"] = columns
        known = ["count", *columns]
        query["sort"] = draw(
            st.lists(st.tuples(directions, st.sampled_from(known)).map("".join), max_size=2)
        )
    if draw(st.booleans()):
        query["filter"] = draw(filters)
    return query


questions = st.lists(st.one_of(records, records, groupings()), min_size=4, max_size=8)

# --- the comparison -----------------------------------------------------------------------------


class Both:
    """A table, and the same records in memory."""

    def __init__(self, place: Stored, loop: asyncio.Runner) -> None:
        made = place.settings()
        self._place = place
        self._loop = loop
        self._database = Database(made.databases["default"], made.limits)

    def fill(self, given_rows: list[tuple[Any, ...]]) -> None:
        """Put other rows in place."""
        self._place.execute("DELETE FROM things")
        found = [stored_row(key, row, self._place.kind) for key, row in enumerate(given_rows, 1)]
        self._place.insert("things", found)

    def asked(self, query: JSONObject) -> JSONValue:
        """What the database answers."""
        connect = partial(self._database.connection, None)
        asked = reading.Asked(collection="things", query=query)
        return self._loop.run(reading.read(self._database, asked, connect))

    def in_memory(self, query: JSONObject, found: list[JSONObject]) -> JSONValue:
        """What `query.run` answers."""
        items = self._loop.run(self._database.collection("things"))
        schema = {"things": items.collection}
        parsed = language.parse(query, items.collection, schema)
        return run.run(parsed, Tables(schema, {"things": found})).data

    def check(self, given_rows: list[tuple[Any, ...]], queries: list[JSONObject]) -> None:
        """Both give the same for all *queries*."""
        self.fill(given_rows)
        found: Any = self.asked({"limit": -1})
        assert len(found) == len(given_rows)
        jsontext.write(found)
        for query in queries:
            assert rounded(self.asked(query)) == rounded(self.in_memory(query, found)), query


def rounded(value: Any) -> Any:
    """Averages end in other digits."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return round(value, 9) if isinstance(value, float) else value


@contextmanager
def opened(place: Stored, table: str) -> Iterator[Both]:
    """The table in *place*, and a loop to ask about it."""
    place.execute(table)
    with asyncio.Runner() as loop:
        both = Both(place, loop)
        yield both
        loop.run(both._database.close())


@pytest.fixture(scope="module")
def in_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """A file."""
    folder = tmp_path_factory.mktemp("sql")
    with stored.sqlite(folder) as place, opened(place, TABLE_OF_SQLITE) as both:
        yield both


@pytest.fixture(scope="module")
def in_postgresql(postgres: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """A server."""
    folder: Path = tmp_path_factory.mktemp("sql")
    with stored.postgresql(postgres, folder) as place, opened(place, TABLE) as both:
        yield both


@settings(max_examples=40)
@given(rows, questions)
def test_sqlite_answers_as_memory_does(
    in_sqlite: Both, given_rows: list[tuple[Any, ...]], queries: list[JSONObject]
) -> None:
    """Filters, searches, orders, pages, groups, functions: whatever is asked."""
    in_sqlite.check(given_rows, queries)


@settings(max_examples=40)
@given(rows, questions)
def test_postgresql_answers_as_memory_does(
    in_postgresql: Both, given_rows: list[tuple[Any, ...]], queries: list[JSONObject]
) -> None:
    """The same on a server."""
    in_postgresql.check(given_rows, queries)
