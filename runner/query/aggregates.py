"""Groups of records, and what they come to."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from runner.query.model import Aggregate, Collection, Column, Grouping, Type
from runner.query.order import comparable, moment, ordered
from runner.query.tables import Read, Tables, reader
from runner.types import JSONObject, JSONValue

_Reduce: TypeAlias = Callable[[Sequence[JSONObject]], JSONValue]

#: Larger integers are none in JSON.
_MOST: Final = 2**63


def _sum(values: list[Any]) -> Any:
    total = sum(values)
    return total if -_MOST <= total < _MOST else float(total)


def _average(values: list[Any]) -> Any:
    return sum(values) / len(values)


#: Of values that are not null; of none, all but the count is null.
_REDUCE: Final[Mapping[str, Callable[[list[Any]], Any]]] = {
    "count": len,
    "sum": _sum,
    "avg": _average,
    "min": min,
    "max": max,
}


def rows(
    grouping: Grouping, records: Sequence[JSONObject], collection: Collection, tables: Tables
) -> list[JSONObject]:
    """A row for each group of *records*, as *grouping* sorts them, or else by what they share."""
    reads = [reader(each, collection, tables) for each in grouping.columns]
    groups: dict[tuple[Any, ...], list[JSONObject]] = {} if reads else {(): list(records)}
    for record in records if reads else ():
        groups.setdefault(tuple(read(record) for read in reads), []).append(record)
    keys = [each.key for each in grouping.columns]
    reduces = [(each, _reduce(each, collection, tables)) for each in grouping.aggregates]
    found = [
        dict(zip(keys, values, strict=True)) | _reduced(group, reduces)
        for values, group in groups.items()
    ]
    usual = [(each, False) for each in grouping.columns]
    for by, descending in reversed((*grouping.sort, *usual)):
        found = ordered(found, _value(by), descending=descending)
    return found


def _reduced(
    group: Sequence[JSONObject], reduces: Sequence[tuple[Aggregate, _Reduce]]
) -> JSONObject:
    """`{"count": 5}` of records, `{"count": {"id": 5}}` of fields, `{"*": 5, "id": 5}` of both."""
    found: JSONObject = {}
    for aggregate, reduce in reduces:
        name = "*" if aggregate.column is None else aggregate.column.key
        found.setdefault(aggregate.function, {})[name] = reduce(group)
    return {
        function: values["*"] if list(values) == ["*"] else values
        for function, values in found.items()
    }


def _value(by: Column | Aggregate) -> Read:
    """What gives a value of a row that was made here."""
    if isinstance(by, Column):
        return comparable(lambda row: row[by.key], by.type)
    function, column = by.function, by.column
    if column is None:
        return lambda row: value["*"] if isinstance(value := row[function], dict) else value
    read: Read = lambda row: row[function][column.key]  # noqa: E731
    return comparable(read, column.type) if function in ("min", "max") else read


def _reduce(aggregate: Aggregate, collection: Collection, tables: Tables) -> _Reduce:
    column, function = aggregate.column, aggregate.function.removesuffix("Distinct")
    if column is None:
        return len
    read, reduce = reader(column, collection, tables), _REDUCE[function]
    distinct = function != aggregate.function
    if column.type is Type.TIMESTAMP and function in ("min", "max"):
        reduce = _of_dates(reduce)

    def reduced(group: Sequence[JSONObject]) -> JSONValue:
        values = [each for each in map(read, group) if each is not None]
        if not values and function != "count":
            return None
        result: JSONValue = reduce(list(dict.fromkeys(values)) if distinct else values)
        return result

    return reduced


def _of_dates(extreme: Callable[..., Any]) -> Callable[[list[Any]], Any]:
    """The first or last of texts that are dates; one that is none is null."""
    return lambda texts: extreme(
        (each for each in texts if moment(each) is not None), key=moment, default=None
    )
