"""Values of columns: what they are as JSON, and what JSON is to them."""

import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from runner import jsontext
from runner.items import values
from runner.items.values import Kind, Misfit
from runner.types import JSONValue

BERLIN = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("value", "json"),
    [
        (None, None),
        (True, True),
        (5, 5),
        ("text", "text"),
        (1.5, 1.5),
        (math.nan, None),
        (-math.inf, None),
        (Decimal("12.30"), 12.3),
        (Decimal("3.00"), 3),
        (Decimal("NaN"), None),
        (Decimal(9007199254740993), 9007199254740993),
        (Decimal("12345678901234567890.5"), "12345678901234567890.5"),
        (Decimal("0.1000000000000000055"), "0.1000000000000000055"),
        (datetime(2024, 1, 2, 3, 4, 5), "2024-01-02T03:04:05"),
        (datetime(2024, 1, 2, 3, 4, 5, 678000), "2024-01-02T03:04:05.678"),
        (datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), "2024-01-02T03:04:05.000Z"),
        (datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=BERLIN), "2024-01-02T01:04:05.000006Z"),
        (date(2024, 1, 2), "2024-01-02"),
        (time(3, 4, 5), "03:04:05"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (b"\x00\xff", "AP8="),
        (memoryview(b"a"), "YQ=="),
        ([1, Decimal("0.5"), [None, date(2024, 1, 2)]], [1, 0.5, [None, "2024-01-02"]]),
        (timedelta(days=1), "1 day, 0:00:00"),
    ],
)
def test_values_of_drivers_as_json(value: Any, json: JSONValue) -> None:
    """Exact where JSON can be, and never what it cannot say."""
    assert values.read(value) == json
    assert type(values.read(value)) is type(json)


@pytest.mark.parametrize(
    ("kind", "value", "json"),
    [
        (Kind.BOOLEAN, 1, True),
        (Kind.BOOLEAN, 0, False),
        (Kind.BOOLEAN, None, None),
        (Kind.BOOLEAN, "yes", "yes"),
        (Kind.BOOLEAN, 2, 2),
        (Kind.JSON, '{"a": [1]}', {"a": [1]}),
        (Kind.JSON, "null", None),
        (Kind.JSON, "no JSON", "no JSON"),
        (Kind.JSON, 5, 5),
        (Kind.JSON, b"x", "eA=="),
        (Kind.TIMESTAMP, "2024-01-02 03:04:05", "2024-01-02T03:04:05.000Z"),
        (Kind.TIMESTAMP, "2024-01-02T03:04:05+02:00", "2024-01-02T01:04:05.000Z"),
        (Kind.TIMESTAMP, 1704164645678, "2024-01-02T03:04:05.678Z"),
        (Kind.TIMESTAMP, 1e300, 1e300),
        (Kind.TIMESTAMP, "soon", "soon"),
        (Kind.DATETIME, "2024-01-02 03:04:05", "2024-01-02T03:04:05"),
        (Kind.DATETIME, "2024-01-02 03:04:05-03", "2024-01-02T06:04:05.000Z"),
        (Kind.DATETIME, 1704164645000, "2024-01-02T03:04:05"),
        (Kind.DATETIME, "2024-01-02", "2024-01-02"),
        (Kind.DATE, "2024-01-02", "2024-01-02"),
        (Kind.DATE, 1704164645000, "2024-01-02"),
        (Kind.DATE, None, None),
        (Kind.INTEGER, "five", "five"),
        (Kind.TEXT, b"five", "Zml2ZQ=="),
    ],
)
def test_values_of_sqlite_as_json(kind: Kind, value: Any, json: JSONValue) -> None:
    """Any value may stand in any column; one that is not of its type stays as it is."""
    assert values.reader(kind, sqlite=True)(value) == json


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
everything = scalars | st.datetimes(timezones=st.timezones() | st.none()) | st.decimals()


@given(st.sampled_from(Kind), everything, st.booleans())
def test_whatever_a_driver_gives_becomes_json(kind: Kind, value: Any, sqlite: bool) -> None:
    """Nothing in a database can stop the data chain from being written."""
    assume(sqlite or kind is not Kind.JSON)  # which our own parser has read
    assume(not (sqlite and isinstance(value, Decimal | datetime)))
    assume(not isinstance(value, int) or -(1 << 63) <= value < 1 << 63)
    try:
        found = values.reader(kind, sqlite=sqlite)(value)
    except OverflowError:
        assert isinstance(value, datetime)  # the first and last hours of all times
        return
    jsontext.write(found)


# --- to a driver --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "json", "postgresql", "sqlite"),
    [
        (Kind.TEXT, "x", "x", "x"),
        (Kind.TEXT, 5, "5", "5"),
        (Kind.TEXT, {"a": 1}, '{"a":1}', '{"a":1}'),
        (Kind.INTEGER, 5, 5, 5),
        (Kind.INTEGER, "5", 5, 5),
        (Kind.INTEGER, 5.0, 5, 5),
        (Kind.FLOAT, "1.5", 1.5, 1.5),
        (Kind.DECIMAL, "12.30", Decimal("12.30"), 12.3),
        (Kind.DECIMAL, 0.1, Decimal("0.1"), 0.1),
        (Kind.BOOLEAN, True, True, True),
        (Kind.BOOLEAN, "false", False, False),
        (Kind.BOOLEAN, 0, False, False),
        (
            Kind.UUID,
            "ABCDEF00-0000-0000-0000-000000000001",
            *["abcdef00-0000-0000-0000-000000000001"] * 2,
        ),
        (Kind.DATE, "2024-01-02", date(2024, 1, 2), "2024-01-02"),
        (Kind.TIME, "03:04", time(3, 4), "03:04:00"),
        (
            Kind.DATETIME,
            "2024-01-02T03:04:05",
            datetime(2024, 1, 2, 3, 4, 5),
            "2024-01-02 03:04:05",
        ),
        (
            Kind.TIMESTAMP,
            "2024-01-02T03:04:05+02:00",
            datetime(2024, 1, 2, 1, 4, 5, tzinfo=UTC),
            "2024-01-02 01:04:05",
        ),
        (Kind.JSON, [1, "a"], '[1,"a"]', '[1,"a"]'),
        (Kind.JSON, "text", '"text"', '"text"'),
        (Kind.ARRAY, [1], [1], [1]),
        (Kind.BYTES, "AP8=", b"\x00\xff", b"\x00\xff"),
        (Kind.OTHER, 5, "5", 5),
        (Kind.JSON, None, None, None),
    ],
)
def test_json_as_values_of_drivers(
    kind: Kind, json: JSONValue, postgresql: Any, sqlite: Any
) -> None:
    """Texts that say a number, a boolean or a date count as one."""
    assert values.write(json, kind, sqlite=False) == postgresql
    assert values.write(json, kind, sqlite=True) == sqlite


@pytest.mark.parametrize(
    ("kind", "json", "message"),
    [
        (Kind.INTEGER, "five", "an integer"),
        (Kind.INTEGER, 1.5, "an integer"),
        (Kind.INTEGER, 1 << 63, "an integer"),
        (Kind.INTEGER, True, "an integer"),
        (Kind.FLOAT, [1], "a number"),
        (Kind.BOOLEAN, "maybe", "true or false"),
        (Kind.UUID, "x", "a UUID"),
        (Kind.DATE, "31.12.2024", "a date like 2024-12-31"),
        (Kind.TIME, "25:00", "a time like 23:59:59"),
        (Kind.TIMESTAMP, 5, "a date and time like 2024-12-31T23:59:59Z"),
        (Kind.ARRAY, {"a": 1}, "a list"),
        (Kind.BYTES, "ä", "base64"),
    ],
)
def test_what_does_not_fit_says_what_would(kind: Kind, json: JSONValue, message: str) -> None:
    """The value itself is not repeated."""
    with pytest.raises(Misfit) as caught:
        values.write(json, kind, sqlite=False)

    assert str(caught.value) == message


ROUND: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.TEXT: st.text(),
    Kind.INTEGER: st.integers(-(2**63), 2**63 - 1),
    Kind.FLOAT: st.floats(allow_nan=False, allow_infinity=False),
    Kind.BOOLEAN: st.booleans(),
    Kind.UUID: st.uuids().map(str),
    Kind.DATE: st.dates().map(str),
    Kind.DATETIME: st.datetimes().map(values.read),
    Kind.TIMESTAMP: st.datetimes(timezones=st.just(UTC)).map(values.read),
    Kind.JSON: st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    ).filter(lambda value: value is not None),
    Kind.BYTES: st.binary().map(values.read),
}


@given(st.data())
def test_what_was_read_can_be_written_and_read_again(data: st.DataObject) -> None:
    """On SQLite, where a value passes through a file as it is."""
    kind = data.draw(st.sampled_from(sorted(ROUND)))
    json = data.draw(ROUND[kind])

    written = values.write(json, kind, sqlite=True)

    assert values.reader(kind, sqlite=True)(written) == json
