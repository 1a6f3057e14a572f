"""The parameters `aggregate` and `groupBy`, and what `sort` means beside them."""

from collections.abc import Mapping
from typing import Final

from runner.query import columns, parameters
from runner.query.columns import shown
from runner.query.model import Aggregate, Collection, Column, Grouping, Type, invalid
from runner.types import JSONValue

#: Aggregates, and fields to group by: each costs a pass.
MAX_AGGREGATES: Final = 50
MAX_COLUMNS: Final = 20

_NUMBERS: Final = frozenset((Type.INTEGER, Type.FLOAT))
_ORDERED: Final = _NUMBERS | {Type.TIMESTAMP, Type.STRING, Type.TEXT}
_COMPARABLE: Final = _ORDERED | {Type.UUID, Type.BOOLEAN}

#: The types that an aggregate takes.
_TAKES: Final[Mapping[str, frozenset[Type]]] = {
    "count": _COMPARABLE | {Type.JSON},
    "countAll": _COMPARABLE,
    "countDistinct": _COMPARABLE,
    "sum": _NUMBERS,
    "sumDistinct": _NUMBERS,
    "avg": _NUMBERS,
    "avgDistinct": _NUMBERS,
    "min": _ORDERED,
    "max": _ORDERED,
}


def parse(given: Mapping[str, JSONValue], collection: Collection) -> Grouping | None:
    """Read them; None if the answer is the records themselves. Raises InvalidQuery."""
    grouped = {
        name: _column(name, collection, _COMPARABLE, "groupBy")
        for name in parameters.names("groupBy", given, MAX_COLUMNS)
    }
    aggregates = _aggregates(parameters.mapping("aggregate", given), collection)
    if not grouped and not aggregates:
        return None
    known = _known(grouped, aggregates)
    sort = []
    for name in parameters.names("sort", given, MAX_COLUMNS):
        by = known.get(name.removeprefix("-"))
        if by is None:
            raise invalid(f'"sort" cannot use {shown(name)} here')
        sort.append((by, name.startswith("-")))
    return Grouping(tuple(dict.fromkeys(grouped.values())), aggregates, tuple(sort))


def _aggregates(wanted: Mapping[str, JSONValue], collection: Collection) -> tuple[Aggregate, ...]:
    found: list[Aggregate] = []
    for function in wanted:
        if function not in _TAKES:
            raise invalid(f"There is no aggregate {shown(function)}")
        names = parameters.names(function, wanted, MAX_AGGREGATES)
        if not names:
            raise invalid(f'"{function}" takes the names of fields')
        for name in names:
            of_records = function == "countAll" or (function == "count" and name == "*")
            column = None if of_records else _column(name, collection, _TAKES[function], function)
            found.append(Aggregate(function, column))
    if len(found) > MAX_AGGREGATES:
        raise invalid(f'"aggregate" has more than {MAX_AGGREGATES} fields')
    return tuple(dict.fromkeys(found))


def _column(name: str, collection: Collection, types: frozenset[Type], what: str) -> Column:
    column = columns.find(name, collection)
    if column is None:
        raise invalid(columns.unknown(name, collection))
    if column.type not in types:
        raise invalid(f'"{what}" cannot take {shown(name)}')
    return column


def _known(
    grouped: Mapping[str, Column], aggregates: tuple[Aggregate, ...]
) -> dict[str, Column | Aggregate]:
    """What the groups can be sorted by, under each of its names."""
    known: dict[str, Column | Aggregate] = {}
    for each in aggregates:
        known.setdefault(each.function, each)
        if each.column is not None:
            known[f"{each.function}.{each.column.key}"] = each
    for name, column in grouped.items():
        known[name] = known[column.key] = column
    return known
