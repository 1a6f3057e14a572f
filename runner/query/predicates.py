"""Filter and search → functions that say of a record whether it passes."""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from runner.operators import OPERATORS, as_number
from runner.query.model import And, Collection, Compare, Filter, Or, Related, ToMany, Type
from runner.query.order import comparable, moment
from runner.query.tables import Read, Tables, reader
from runner.types import JSONObject, JSONValue

Predicate: TypeAlias = Callable[[JSONObject], bool]

#: Values are of the operand's type by now, so that one of several is found without comparing it
#: with each.
_WANTED: Final = {"_eq": True, "_in": True, "_neq": False, "_nin": False}

_NUMBERS: Final = (Type.INTEGER, Type.FLOAT)


def compile(filter_: Filter, collection: Collection, tables: Tables) -> Predicate:
    """
    What says it of records of *collection*.

    Each record of each collection is looked at once for every rule, however filters are nested:
    what must be true of related records is asked of all of them first, as a semi-join does.
    """
    match filter_:
        case And():
            return every([compile(each, collection, tables) for each in filter_.filters])
        case Or():
            return _any([compile(each, collection, tables) for each in filter_.filters])
        case Compare():
            return _comparison(filter_, collection, tables)
        case Related():
            return _related(filter_, collection, tables)


def looks(filter_: Filter, collection: Collection, tables: Tables) -> int:
    """How often records are looked at for a filter: every one once for each of its rules."""
    match filter_:
        case And() | Or():
            return sum(looks(each, collection, tables) for each in filter_.filters)
        case Compare():
            return len(tables.rows(collection))
        case Related():
            target = tables.target(filter_.relation)
            return len(tables.rows(collection)) + looks(filter_.filter, target, tables)


def every(predicates: Sequence[Predicate]) -> Predicate:
    """Whether all of them hold."""

    def passes(record: JSONObject) -> bool:
        for each in predicates:  # noqa: SIM110 - a generator would cost more than most of them
            if not each(record):
                return False
        return True

    return passes


def _any(predicates: Sequence[Predicate]) -> Predicate:
    def passes(record: JSONObject) -> bool:
        for each in predicates:  # noqa: SIM110
            if each(record):
                return True
        return False

    return passes


def _comparison(compare: Compare, collection: Collection, tables: Tables) -> Predicate:
    read = comparable(reader(compare.column, collection, tables), compare.column.type)
    if compare.operator in _WANTED:
        return _choice(compare, read)
    operator = OPERATORS[compare.operator]
    test, operand = operator.test, operator.prepare(compare.operand)
    if operator.absent_is_null:
        return lambda record: test(read(record), operand)
    return lambda record: (value := read(record)) is not None and test(value, operand)


def _choice(compare: Compare, read: Read) -> Predicate:
    operand: Any = compare.operand
    values = operand if isinstance(operand, list) else [operand]
    if compare.column.type is Type.TIMESTAMP:
        values = [moment(each) for each in values]
    chosen, wanted = frozenset(values), _WANTED[compare.operator]
    return lambda record: (value := read(record)) is not None and (value in chosen) is wanted


def _related(related: Related, collection: Collection, tables: Tables) -> Predicate:
    relation, some = related.relation, related.some
    target = tables.target(relation)
    passes = compile(related.filter, target, tables)
    passing = filter(passes, tables.rows(target))
    if isinstance(relation, ToMany):
        ours, field = collection.primary_key, relation.field
    else:
        ours, field = related.field, target.primary_key
    found = {record.get(field) for record in passing}
    return lambda record: (record.get(ours) in found) is some


def search(text: str, collection: Collection) -> Predicate:
    """
    Whether a field contains *text*, in whatever case.

    UUIDs and numbers must be equal to it. What is hidden, and what is JSON, is not searched.
    """
    sought, number = text.lower(), as_number(text)
    shown = {name: field.type for name, field in collection.fields.items() if not field.hidden}
    texts = [name for name, type_ in shown.items() if type_ in (Type.STRING, Type.TEXT)]
    equal: list[tuple[str, JSONValue]] = [
        (name, sought) for name, type_ in shown.items() if type_ is Type.UUID
    ]
    if number is not None:
        equal += [(name, number) for name, type_ in shown.items() if type_ in _NUMBERS]

    def passes(record: JSONObject) -> bool:
        for name in texts:
            value = record.get(name)
            if value is not None and sought in value.lower():
                return True
        return any(record.get(name) == value for name, value in equal)

    return passes
