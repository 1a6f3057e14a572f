"""
What SQLite and PostgreSQL say differently, side by side.

Each phrase is an expression of SQLAlchemy's, made of columns and of bound values alone.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Integer,
    Text,
    and_,
    bindparam,
    case,
    cast,
    extract,
    func,
    or_,
)
from sqlalchemy.dialects.postgresql import JSONB

from runner.items.tables import AS_GIVEN
from runner.items.values import Kind

Expression: TypeAlias = ColumnElement[Any]

#: How SQLite writes a time; texts in this form are ordered as what they say.
_MOMENT: Final = "%Y-%m-%d %H:%M:%f"

#: Parts of a date, by their names in a query: for SQLite's `strftime`, and PostgreSQL's `extract`.
_PARTS: Final = {
    "year": ("%Y", "year"),
    "month": ("%m", "month"),
    "day": ("%d", "day"),
    "weekday": ("%w", "dow"),
    "hour": ("%H", "hour"),
    "minute": ("%M", "minute"),
    "second": ("%S", "second"),
    "day_of_year": ("%j", "doy"),
}

#: JSON with nothing in it.
_EMPTY: Final = ("null", '""', "[]", "{}")


def bound(value: Any) -> Expression:
    """A value as the driver takes it, kept apart from the statement."""
    return bindparam(None, value, AS_GIVEN)


@dataclass(frozen=True, slots=True)
class Phrases:
    """One of the two."""

    sqlite: bool

    def shown(self, column: Expression, kind: Kind) -> Expression:
        """A column as it is selected, and compared where it is text."""
        as_text = kind in (Kind.OTHER, Kind.TIME) and not self.sqlite
        return cast(column, Text) if as_text else column

    # --- dates

    def moment(self, column: Expression, kind: Kind) -> Expression:
        """A date as what it is compared as."""
        return self._strftime(_MOMENT, column) if self.sqlite else column

    def common(self, column: Expression, kind: Kind) -> Expression:
        """A date as what it has in common with others that are the same."""
        if not self.sqlite:
            return column
        return self._strftime("%Y-%m-%d" if kind is Kind.DATE else _MOMENT, column)

    def operand(self, moment: datetime, kind: Kind) -> datetime | str:
        """*moment*, which is in UTC, as the driver takes what `moment` is compared with."""
        naive = moment.replace(tzinfo=None)
        if self.sqlite:
            return naive.isoformat(" ", "milliseconds")
        return moment if kind is Kind.TIMESTAMP else naive

    def part(self, name: str, column: Expression, kind: Kind) -> Expression:
        """A part of a date, in UTC: an integer."""
        if name == "week":
            return self._week(column, kind)
        format_, field = _PARTS[name]
        if self.sqlite:
            return cast(self._strftime(format_, column), Integer)
        if kind is Kind.TIMESTAMP:
            column = func.timezone("UTC", column)
        return cast(func.floor(extract(field, cast(column, DateTime))), Integer)

    def _week(self, column: Expression, kind: Kind) -> Expression:
        """Weeks begin on Sunday, and the first is the one with the 1st of January."""
        saturday = 6 - self.part("weekday", column, kind)  # in so many days
        december = self.part("month", column, kind) == 12
        weeks = (self.part("day_of_year", column, kind) + saturday - 1) // 7
        return case(
            (and_(december, self.part("day", column, kind) + saturday > 31), 1), else_=weeks + 1
        )

    def _strftime(self, format_: str, column: Expression) -> Expression:
        """Numbers are milliseconds since 1970; for SQLite they would be days."""
        number = func.typeof(column).in_(("integer", "real"))
        value = case((number, column.op("/")(1000.0)), else_=column)
        return func.strftime(format_, value, case((number, "unixepoch"), else_="+0 days"))

    # --- texts

    def fold(self, text: Expression) -> Expression:
        """In lower case."""
        return func.fold(text) if self.sqlite else func.lower(text)

    def contains(self, text: Expression, part: str) -> Expression:
        """Whether *part* stands in *text*, which is no pattern."""
        if self.sqlite:  # whose LIKE does not know upper case from lower
            return func.instr(text, bound(part)) > 0
        return _like(text, f"%{_escaped(part)}%")

    def starts_with(self, text: Expression, part: str) -> Expression:
        """Whether *text* begins with *part*."""
        if self.sqlite:
            return func.substr(text, 1, len(part)) == bound(part)
        return _like(text, f"{_escaped(part)}%")

    def ends_with(self, text: Expression, part: str) -> Expression:
        """Whether *text* ends with *part*."""
        if self.sqlite:
            return func.substr(text, -len(part)) == bound(part)
        return _like(text, f"%{_escaped(part)}")

    # --- what may be empty

    def is_null(self, column: Expression, kind: Kind) -> Expression:
        """Whether a value is null, in SQL or in JSON."""
        return self._json(column, kind) == "null" if kind is Kind.JSON else column.is_(None)

    def is_empty(self, column: Expression, kind: Kind) -> Expression:
        """Whether it is null, or has nothing in it."""
        if kind is Kind.JSON:
            return self._json(column, kind).in_(_EMPTY)
        if kind is Kind.ARRAY:
            return func.coalesce(func.cardinality(column), 0) == 0
        if kind is Kind.BYTES:
            return func.coalesce(func.length(column), 0) == 0
        return or_(column.is_(None), self.shown(column, kind) == "")

    def count(self, column: Expression, kind: Kind) -> Expression:
        """The length of a list; null of what is none."""
        if kind is Kind.BYTES:
            return cast(None, Integer)
        if self.sqlite:
            is_list = func.json_type(column) == "array"
            length = case((is_list, func.json_array_length(column)))
            return case((func.json_valid(column) == 1, length))
        value = func.to_jsonb(column)
        return case((func.jsonb_typeof(value) == "array", func.jsonb_array_length(value)))

    def _json(self, column: Expression, kind: Kind) -> Expression:
        """JSON as compact text, and so are null and text that is no JSON."""
        if not self.sqlite:
            return func.coalesce(cast(cast(column, JSONB), Text), "null")
        return case(
            (column.is_(None), "null"),
            (func.json_valid(column) == 1, func.json(column)),
            (column == "", '""'),
            else_="",
        )


def _escaped(part: str) -> str:
    return re.sub(r"([%_/])", r"/\1", part)


def _like(text: Expression, pattern: str) -> Expression:
    return text.like(bound(pattern), escape="/")


#: How `_contains` and its like are said.
PARTS: Final[dict[str, Callable[[Phrases, Expression, str], Expression]]] = {
    "contains": Phrases.contains,
    "starts_with": Phrases.starts_with,
    "ends_with": Phrases.ends_with,
}
