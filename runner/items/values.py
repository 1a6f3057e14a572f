"""
Values of columns, as JSON and as drivers have them.

What a column holds is known from its declared type; on SQLite, any value may stand in any column,
and one that is not what the type says stays as it is.

| kind | JSON |
|---|---|
| integer, float | a number; NaN and the infinities are null |
| decimal | a number, unless a double would change it: then text |
| boolean | true or false (SQLite keeps 1 and 0) |
| text | text |
| uuid | text, lower case |
| timestamp (with a zone; on SQLite, TIMESTAMP) | `2024-12-31T23:59:59.000Z`, in UTC |
| datetime (without) | `2024-12-31T23:59:59` |
| date, time | `2024-12-31`, `23:59:59` |
| json | what it says; text that is not JSON, as text |
| array (PostgreSQL) | a list |
| bytes | base64 |
| other | what the database writes as text |

Parts of a second are written where there are some. SQLite has no dates: it keeps texts that
ISO 8601 or its own functions write, in UTC without a zone, or milliseconds since 1970, as Directus
does. What is written here is `2024-12-31 23:59:59`.
"""

import base64
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, TypeAlias
from uuid import UUID

from runner import jsontext
from runner.ids import is_uuid
from runner.operators import as_date, as_number
from runner.query.model import Type
from runner.types import JSONValue

Convert: TypeAlias = Callable[[Any], Any]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INT64: Final = 1 << 63


class Kind(StrEnum):
    """What the values of a column are."""

    TEXT = "text"
    INTEGER = "integer"
    FLOAT = "float"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    UUID = "uuid"
    DATE = "date"
    TIME = "time"
    DATETIME = "datetime"
    TIMESTAMP = "timestamp"
    JSON = "json"
    ARRAY = "array"
    BYTES = "bytes"
    OTHER = "other"


TYPES: Final[Mapping[Kind, Type]] = {
    Kind.TEXT: Type.TEXT,
    Kind.INTEGER: Type.INTEGER,
    Kind.FLOAT: Type.FLOAT,
    Kind.DECIMAL: Type.FLOAT,
    Kind.BOOLEAN: Type.BOOLEAN,
    Kind.UUID: Type.UUID,
    Kind.DATE: Type.TIMESTAMP,
    Kind.TIME: Type.TEXT,
    Kind.DATETIME: Type.TIMESTAMP,
    Kind.TIMESTAMP: Type.TIMESTAMP,
    Kind.JSON: Type.JSON,
    Kind.ARRAY: Type.JSON,
    # Nothing can be said of them but whether they are there.
    Kind.BYTES: Type.JSON,
    Kind.OTHER: Type.TEXT,
}
"""What a query can say of them."""


# --- from a driver ------------------------------------------------------------------------------


def read(value: Any) -> JSONValue:
    """Any value of a driver as JSON; what none of the drivers gives, as text."""
    convert = _READ.get(type(value), str)
    found: JSONValue = value if convert is None else convert(value)
    return found


def reader(kind: Kind, *, sqlite: bool) -> Convert:
    """What makes JSON of the values of a column."""
    return _READ_SQLITE.get(kind, read) if sqlite else _READ_POSTGRESQL.get(kind, read)


def _float(value: float) -> float | None:
    return value if math.isfinite(value) else None


def decimal(value: Decimal) -> JSONValue:
    """A number, unless a double would change it: then text."""
    if not value.is_finite():
        return None
    if -_INT64 <= value < _INT64 and value == int(value):
        return int(value)
    number = float(value)
    return number if Decimal(repr(number)) == value else str(value)


def total(value: float | Decimal, *, fraction: bool) -> JSONValue:
    """A sum, or with *fraction* an average, of whatever a database adds up to: a number."""
    if fraction:
        return _float(float(value))
    found = decimal(value) if isinstance(value, Decimal) else read(value)
    return _float(float(value)) if isinstance(found, str) else found


def _datetime(value: datetime) -> str:
    """As short as it is exact; with a zone, milliseconds are always there, as in JavaScript."""
    parts = "milliseconds" if value.microsecond % 1000 == 0 else "microseconds"
    if value.tzinfo is None:
        return value.isoformat(timespec=parts if value.microsecond else "seconds")
    return value.astimezone(UTC).isoformat(timespec=parts).replace("+00:00", "Z")


def _list(value: list[Any]) -> list[JSONValue]:
    return [read(each) for each in value]


def _bytes(value: bytes) -> str:
    return base64.b64encode(value).decode()


_READ: Final[Mapping[type, Convert | None]] = {
    type(None): None,
    bool: None,
    int: None,
    str: None,
    float: _float,
    Decimal: decimal,
    datetime: _datetime,
    date: date.isoformat,
    time: time.isoformat,
    UUID: str,
    bytes: _bytes,
    memoryview: _bytes,
    list: _list,
}

#: psycopg has read it with our own parser.
_READ_POSTGRESQL: Final[Mapping[Kind, Convert]] = {Kind.JSON: lambda value: value}


def _sqlite_boolean(value: Any) -> JSONValue:
    return value == 1 if value in (0, 1) else read(value)


def _sqlite_json(value: Any) -> JSONValue:
    if not isinstance(value, str):
        return read(value)
    try:
        return jsontext.parse(value)
    except ValueError:
        return value


def _sqlite_date(value: Any) -> JSONValue:
    moment = _since_1970(value)
    return _sqlite_datetime(value) if moment is None else moment.date().isoformat()


def _sqlite_datetime(value: Any) -> JSONValue:
    moment = _since_1970(value) or as_date(value)
    if moment is None or (isinstance(value, str) and len(value) <= len("2024-12-31")):
        return read(value)
    zoned = isinstance(value, str) and re.search(r"[Zz]$|[+-]\d\d(:?\d\d)?$", value[10:])
    return _datetime(moment if zoned else moment.replace(tzinfo=None))


def _sqlite_timestamp(value: Any) -> JSONValue:
    moment = _since_1970(value) or as_date(value)
    return read(value) if moment is None else _datetime(moment)


def _since_1970(value: Any) -> datetime | None:
    """The time that a number of milliseconds means; None of all else."""
    if not isinstance(value, int | float):
        return None
    try:
        return _EPOCH + timedelta(milliseconds=value)
    except (OverflowError, ValueError):
        return None


_READ_SQLITE: Final[Mapping[Kind, Convert]] = {
    Kind.BOOLEAN: _sqlite_boolean,
    Kind.JSON: _sqlite_json,
    Kind.DATE: _sqlite_date,
    Kind.DATETIME: _sqlite_datetime,
    Kind.TIMESTAMP: _sqlite_timestamp,
}


# --- to a driver --------------------------------------------------------------------------------


class Misfit(ValueError):
    """A JSON value that is none of the column's: the text says what it has to be."""


def write(value: JSONValue, kind: Kind, *, sqlite: bool) -> Any:
    """
    What a driver takes for a JSON value of a column of *kind*; null is null in all of them.

    Texts that say a number, a boolean or a date count as one. Raises Misfit.
    """
    if value is None:
        return None
    convert, must_be = (_WRITE_SQLITE if sqlite else _WRITE)[kind]
    found = convert(value)
    if found is None:
        raise Misfit(must_be)
    return found


def bounded(number: float) -> float:
    """*number* as drivers take it: integers beyond 64 bits are none."""
    if not isinstance(number, int) or -_INT64 <= number < _INT64:
        return number
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _integer(value: JSONValue) -> int | None:
    number = as_number(value)
    if number is None or not -_INT64 <= number < _INT64 or number != int(number):
        return None
    return int(number)


def _number(value: JSONValue) -> float | None:
    number = as_number(value)
    return None if number is None else bounded(number)


def _decimal(value: JSONValue) -> Decimal | None:
    return None if as_number(value) is None else Decimal(str(value).strip())


def _truth(value: JSONValue) -> bool | None:
    return {"true": True, "false": False, "1": True, "0": False}.get(_text(value).lower())


def _text(value: JSONValue) -> str:
    return value if isinstance(value, str) else jsontext.write(value).decode()


def _scalar(value: JSONValue) -> JSONValue:
    return _text(value) if isinstance(value, dict | list) else value


def _json(value: JSONValue) -> str:
    return jsontext.write(value).decode()


def _uuid(value: JSONValue) -> str | None:
    return value.lower() if isinstance(value, str) and is_uuid(value) else None


def _day(value: JSONValue) -> date | None:
    moment = as_date(value)
    return None if moment is None else moment.date()


def _naive(value: JSONValue) -> datetime | None:
    moment = as_date(value)
    return None if moment is None else moment.replace(tzinfo=None)


def _clock(value: JSONValue) -> time | None:
    try:
        return time.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _items(value: JSONValue) -> list[JSONValue] | None:
    return value if isinstance(value, list) else None


def _blob(value: JSONValue) -> bytes | None:
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else None
    except ValueError:
        return None


def _shown(convert: Convert) -> Convert:
    """As SQLite's own functions write it."""

    def shown(value: JSONValue) -> str | None:
        found = convert(value)
        return None if found is None else str(found)

    return shown


_WRITE: Final[Mapping[Kind, tuple[Convert, str]]] = {
    Kind.TEXT: (_text, "a text"),
    Kind.INTEGER: (_integer, "an integer"),
    Kind.FLOAT: (_number, "a number"),
    Kind.DECIMAL: (_decimal, "a number"),
    Kind.BOOLEAN: (_truth, "true or false"),
    Kind.UUID: (_uuid, "a UUID"),
    Kind.DATE: (_day, "a date like 2024-12-31"),
    Kind.TIME: (_clock, "a time like 23:59:59"),
    Kind.DATETIME: (_naive, "a date and time like 2024-12-31T23:59:59"),
    Kind.TIMESTAMP: (as_date, "a date and time like 2024-12-31T23:59:59Z"),
    Kind.JSON: (_json, "JSON"),
    Kind.ARRAY: (_items, "a list"),
    Kind.BYTES: (_blob, "base64"),
    Kind.OTHER: (_text, "a text"),
}

_WRITE_SQLITE: Final[Mapping[Kind, tuple[Convert, str]]] = {
    **_WRITE,
    Kind.DECIMAL: (_number, "a number"),
    Kind.OTHER: (_scalar, "a value"),
    **{
        kind: (_shown(convert), must_be)
        for kind, convert, must_be in (
            (Kind.DATE, _day, _WRITE[Kind.DATE][1]),
            (Kind.TIME, _clock, _WRITE[Kind.TIME][1]),
            (Kind.DATETIME, _naive, _WRITE[Kind.DATETIME][1]),
            (Kind.TIMESTAMP, _naive, _WRITE[Kind.TIMESTAMP][1]),
        )
    },
}
