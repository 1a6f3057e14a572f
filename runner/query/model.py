"""What can be asked about, and what was asked: the words between the two halves."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from runner.errors import InvalidQuery
from runner.types import JSONValue, Path

# --- what can be asked about --------------------------------------------------------------------


class Type(StrEnum):
    """What the values of a field are, where they are not null."""

    UUID = "uuid"
    STRING = "string"
    TEXT = "text"
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    #: ISO 8601 as text.
    TIMESTAMP = "timestamp"
    #: Any JSON value.
    JSON = "json"
    #: No value of its own: the items that name this record.
    ALIAS = "alias"


@dataclass(frozen=True, slots=True)
class ToOne:
    """The field holds the primary key of a record in *collection*."""

    collection: str


@dataclass(frozen=True, slots=True)
class ToMany:
    """The items are the records of *collection* whose *field* holds our primary key."""

    collection: str
    field: str


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a collection."""

    type: Type
    #: Comes only when it is asked for by name, and is not searched.
    hidden: bool = False
    relation: ToOne | ToMany | None = None
    #: Never null.
    required: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Collection:
    """Records of one kind: JSON objects. What a record does not have of its fields, is null."""

    name: str
    fields: Mapping[str, Field]
    #: The field that no two records share, and that all have.
    primary_key: str = "id"


Schema: TypeAlias = Mapping[str, Collection]
"""All collections, by name; those that relations lead to are among them."""


# --- what was asked -----------------------------------------------------------------------------

#: Parts of the path of `json(options, items[0].name)`.
_STEPS: Final = re.compile(r"[\[\].]+")


@dataclass(frozen=True, slots=True)
class Column:
    """A field of a record, or what a function makes of it."""

    field: str
    #: Of the value: `year(date_created)` is an integer.
    type: Type
    #: `year`, `count`, …, or `json`.
    function: str | None = None
    #: Where `json` looks, as it was written: `items[0].name`.
    path: str = ""

    @property
    def key(self) -> str:
        """Its name in an answer: `date_created_year`, `options_items_0_name_json`."""
        if self.function is None:
            return self.field
        parts = (self.field, *filter(None, _STEPS.split(self.path)), self.function)
        return "_".join(parts)

    @property
    def steps(self) -> Path:
        """*path* as keys and indices."""
        steps = re.findall(r"\[([0-9]+)\]|([^\[\].]+)", self.path)
        return tuple(int(index) if index else name for index, name in steps)


@dataclass(frozen=True, slots=True)
class And:
    """All of them hold; without any, it holds of every record."""

    filters: "tuple[Filter, ...]"


@dataclass(frozen=True, slots=True)
class Or:
    """One of them holds; without any, it holds of no record."""

    filters: "tuple[Filter, ...]"


@dataclass(frozen=True, slots=True)
class Compare:
    """
    A comparison of a column with a value.

    As in SQL, null compares to nothing: only `_null`, `_nnull`, `_empty`, `_nempty` hold of it.
    """

    column: Column
    #: A name in `operators.OPERATORS`.
    operator: str
    #: Of the column's type, or a list of such values; dates are ISO 8601 with a zone.
    operand: JSONValue


@dataclass(frozen=True, slots=True)
class Related:
    """Some record, or none, that the *relation* of *field* leads to passes *filter*."""

    field: str
    relation: ToOne | ToMany
    some: bool
    filter: "Filter"


Filter: TypeAlias = And | Or | Compare | Related

EVERYTHING: Final = And(())
NOTHING: Final = Or(())


@dataclass(frozen=True, slots=True)
class Sort:
    """One key of an order. Null comes last, and first if *descending*."""

    column: Column
    descending: bool = False
    #: Fields and their relations, on the way from the record to the one that has the column.
    through: tuple[tuple[str, ToOne], ...] = ()


@dataclass(frozen=True, slots=True)
class Selected:
    """A value of the answer."""

    key: str
    column: Column


@dataclass(frozen=True, slots=True)
class Nested:
    """Records inside of the answer: a list of them, or for a relation to one, it or null."""

    key: str
    field: str
    relation: ToOne | ToMany
    #: Which of the related records, and what of them.
    query: "Query"
    #: Their primary keys instead of them.
    ids: bool = False


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One number, or least or greatest value, out of all records of a group."""

    function: str
    #: None: the records themselves (`count(*)`).
    column: Column | None


@dataclass(frozen=True, slots=True)
class Grouping:
    """The answer is a row for each combination of *columns*, or one row without any."""

    columns: tuple[Column, ...]
    aggregates: tuple[Aggregate, ...]
    #: Each with whether it is descending.
    sort: tuple[tuple[Column | Aggregate, bool], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is wanted of a collection, checked against it."""

    collection: Collection
    selection: tuple[Selected | Nested, ...] = ()
    filter: Filter = EVERYTHING
    #: A text that one of the fields must contain.
    search: str | None = None
    #: Records that are equal in it, or all without one, come by primary key.
    sort: tuple[Sort, ...] = ()
    #: None: all of them.
    limit: int | None = None
    offset: int = 0
    #: Instead of the records; the selection then means nothing, and *sort* is the grouping's.
    grouping: Grouping | None = None
    #: `total_count`, `filter_count`.
    meta: tuple[str, ...] = ()
    #: The format of a file that is wanted instead of the usual answer.
    export: str | None = None
    #: It was asked with `$NOW`, and is another query at another time.
    timed: bool = False

    def names(self) -> Iterator[tuple[str, str]]:
        """Every field that it is about, after the name of its collection; searches apart."""
        name = self.collection.name
        for each in self.selection:
            if isinstance(each, Selected):
                yield name, each.column.field
            else:
                yield name, each.field
                yield from each.query.names()
        for key in self.sort:
            last = name
            for field, relation in key.through:
                yield last, field
                last = relation.collection
            yield last, key.column.field
        if self.grouping is not None:
            yield from ((name, column.field) for column in self.grouping.columns)
            for aggregate in self.grouping.aggregates:
                if aggregate.column is not None:
                    yield name, aggregate.column.field
        yield from _names(self.filter, name)


def _names(filter_: Filter, collection: str) -> Iterator[tuple[str, str]]:
    """The fields that a filter is about."""
    match filter_:
        case And() | Or():
            for each in filter_.filters:
                yield from _names(each, collection)
        case Compare():
            yield collection, filter_.column.field
        case Related():
            yield collection, filter_.field
            yield from _names(filter_.filter, filter_.relation.collection)


def invalid(reason: str) -> InvalidQuery:
    """The error of a query that means nothing: *reason* is a sentence without its full stop."""
    return InvalidQuery(f"Invalid query. {reason}.", reason=reason)
