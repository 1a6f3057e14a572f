"""
The parameter `filter`: JSON → a tree of comparisons, checked against the collections.

The operators are those of filter rules; which of them a field takes depends on its type, and an
operand becomes a value of that type here, so that whoever answers the query only compares.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from runner import rules
from runner.errors import RuleError
from runner.ids import is_uuid
from runner.operators import OPERATORS, as_date, as_number, show
from runner.query import columns
from runner.query.columns import shown
from runner.query.model import (
    EVERYTHING,
    NOTHING,
    And,
    Collection,
    Column,
    Compare,
    Filter,
    Or,
    Related,
    Schema,
    ToMany,
    ToOne,
    Type,
    invalid,
)
from runner.types import JSONObject, JSONValue

#: How deep a filter may be nested.
MAX_DEPTH: Final = rules.MAX_DEPTH
#: Comparisons and relations in all filters of a query: each is asked about every record.
MAX_RULES: Final = 100
#: Values in all lists of all filters of a query.
MAX_VALUES: Final = 10_000
#: Characters of a text that is looked for inside of others.
MAX_PART: Final = 1000

# --- operators of a type ------------------------------------------------------------------------

_EQUAL: Final = frozenset(("_eq", "_neq", "_in", "_nin"))
_NULL: Final = frozenset(("_null", "_nnull"))
_EMPTY: Final = frozenset(("_empty", "_nempty"))
_ORDER: Final = frozenset(("_lt", "_lte", "_gt", "_gte", "_between", "_nbetween"))
_PARTS: Final = frozenset(
    name for name in OPERATORS if name.endswith(("contains", "starts_with", "ends_with"))
)
_TEXT: Final = _EQUAL | _NULL | _EMPTY | _PARTS
_ORDERED: Final = _EQUAL | _NULL | _ORDER

OPERATORS_OF: Final[Mapping[Type, frozenset[str]]] = {
    Type.UUID: _EQUAL | _NULL,
    Type.STRING: _TEXT,
    Type.TEXT: _TEXT,
    Type.INTEGER: _ORDERED,
    Type.FLOAT: _ORDERED,
    Type.BOOLEAN: _EQUAL | _NULL,
    Type.TIMESTAMP: _ORDERED,
    Type.JSON: _NULL | _EMPTY,
    Type.ALIAS: frozenset(),
}
"""What can be said of a field; as in Directus, `_regex` and `_submitted` are not among it."""

# --- operands of a type -------------------------------------------------------------------------


def _uuid(value: JSONValue) -> str | None:
    return value.lower() if isinstance(value, str) and is_uuid(value) else None


def _text(value: JSONValue) -> str:
    return value if isinstance(value, str) else show(value)


def _boolean(value: JSONValue) -> bool | None:
    return value if isinstance(value, bool) else None


def _timestamp(value: JSONValue) -> str | None:
    moment = as_date(value)
    return None if moment is None else moment.isoformat()


#: What an operand must be, and how it becomes that; None: it cannot.
_TYPED: Final[Mapping[Type, tuple[str, Callable[[JSONValue], JSONValue]]]] = {
    Type.UUID: ("a UUID", _uuid),
    Type.STRING: ("a text", _text),
    Type.TEXT: ("a text", _text),
    Type.INTEGER: ("a number", as_number),
    Type.FLOAT: ("a number", as_number),
    Type.BOOLEAN: ("true or false", _boolean),
    Type.TIMESTAMP: ("a date", _timestamp),
}

#: What these texts mean as operands: a query string has no other way to say it.
_WORDS: Final[Mapping[str, JSONValue]] = {"true": True, "false": False, "null": None}

_NOT_AN_OBJECT: Final = "Invalid filter object"


class Filters:
    """Reads the filters of one query, and counts what they ask."""

    def __init__(self, schema: Schema, caller: JSONObject | None, now: datetime) -> None:
        self._schema = schema
        self._chain: JSONObject = {"$accountability": caller}
        self._now = now
        self._rules = 0
        self._values_left = MAX_VALUES
        #: Whether what was read means something else at another time.
        self.timed = False

    def parse(self, value: JSONValue, collection: Collection) -> Filter:
        """Read a filter of records of *collection*. Raises InvalidQuery."""
        return self._record(value, collection, 0)

    def _record(self, value: JSONValue, collection: Collection, depth: int) -> Filter:
        """An object of rules about a record."""
        _check_depth(depth)
        if not isinstance(value, dict):
            raise invalid(_NOT_AN_OBJECT)
        return _group(
            "_and", [self._member(*each, collection, depth + 1) for each in value.items()]
        )

    def _member(self, key: str, value: JSONValue, collection: Collection, depth: int) -> Filter:
        if key in ("_and", "_or"):
            return _group(key, [self._record(each, collection, depth) for each in _list(value)])
        column = columns.find(key, collection)
        if column is None or column.function == "json":
            raise invalid(f'Invalid filter key {shown(key)} on "{collection.name}"')
        if column.type is Type.ALIAS:
            return self._items(column, value, collection, depth)
        return self._column(column, value, collection, depth)

    def _column(
        self, column: Column, value: JSONValue, collection: Collection, depth: int
    ) -> Filter:
        """The rules about one field, or a value that it must be equal to."""
        _check_depth(depth)
        if value is None:
            raise invalid(_NOT_AN_OBJECT)
        if value == []:
            return EVERYTHING
        if not isinstance(value, dict):
            return self._compare(column, "_eq", value)
        return _group(
            "_and", [self._rule(column, *each, collection, depth + 1) for each in value.items()]
        )

    def _rule(
        self, column: Column, key: str, value: JSONValue, collection: Collection, depth: int
    ) -> Filter:
        if key in ("_and", "_or"):
            parts = [self._column(column, each, collection, depth) for each in _list(value)]
            return _group(key, parts)
        if key.startswith("_"):
            return self._compare(column, key, value)
        relation = collection.fields[column.field].relation
        if not isinstance(relation, ToOne) or column.function is not None:
            raise invalid(f'Invalid filter key {shown(key)} on "{column.field}"')
        return self._related(column.field, relation, {key: value}, depth)

    def _items(
        self, column: Column, value: JSONValue, collection: Collection, depth: int
    ) -> Filter:
        """What must be true of some item, or of none."""
        relation = collection.fields[column.field].relation
        if not isinstance(value, dict) or not isinstance(relation, ToMany):
            raise invalid(_NOT_AN_OBJECT)
        parts: list[Filter] = []
        rest: JSONObject = {}  # of one and the same item
        for key, each in value.items():
            if key in ("_some", "_none"):
                some = key == "_some"
                parts.append(self._related(column.field, relation, each, depth, some=some))
            elif key.startswith("_") and key not in ("_and", "_or"):
                raise invalid(_no_operator(column, key))
            else:
                rest[key] = each
        if rest:
            parts.append(self._related(column.field, relation, rest, depth))
        return _group("_and", parts)

    def _related(
        self,
        field: str,
        relation: ToOne | ToMany,
        value: JSONValue,
        depth: int,
        *,
        some: bool = True,
    ) -> Filter:
        self._count()
        target = self._schema[relation.collection]
        return Related(field, relation, some, self._record(value, target, depth))

    # --- comparisons

    def _compare(self, column: Column, key: str, value: JSONValue) -> Filter:
        self._count()
        if key not in OPERATORS_OF[column.type]:
            raise invalid(_no_operator(column, key))
        if key in _NULL or key in _EMPTY:
            return Compare(column, key, _flag(key, value))
        if OPERATORS[key].many:
            return self._choice(column, key, value)
        found, variable = self._value(key, value)
        if found is None and variable:
            return NOTHING  # nobody is equal to a caller who is nobody
        if found is None and key in ("_eq", "_neq"):
            return Compare(column, "_null" if key == "_eq" else "_nnull", True)
        return Compare(column, key, _typed(column, key, found))

    def _choice(self, column: Column, key: str, value: JSONValue) -> Filter:
        values = self._values(key, value)
        operand = [_typed(column, key, each) for each in values if each is not None]
        if key in ("_between", "_nbetween") and len(operand) != 2:
            raise invalid(f'"{key}" takes two values')
        return Compare(column, key, operand)

    def _values(self, key: str, value: JSONValue) -> list[JSONValue]:
        if isinstance(value, str):
            found, variable = self._value(key, value)
            if variable and isinstance(found, list):
                return found
            value = [*value.split(",")] if value else []
        if isinstance(value, dict):  # what a query string makes of high indices
            value = list(value.values())
        if not isinstance(value, list) or not value:
            raise invalid(f'"{key}" has to be an array of values')
        self._values_left -= len(value)
        if self._values_left < 0:
            raise invalid(f"The filters have more than {MAX_VALUES} values in lists")
        return [self._value(key, each)[0] for each in value]

    def _value(self, key: str, value: JSONValue) -> tuple[JSONValue, bool]:
        """What an operand stands for, and whether a variable said so."""
        if not isinstance(value, str):
            return value, False
        try:
            get = rules.variable(value)
        except RuleError as error:
            raise invalid(f'"{key}" {error.message}') from None
        if get is not None:
            self.timed |= value.startswith("$NOW")
            return get(self._chain, self._now), True
        return _WORDS.get(value, value), False

    def _count(self) -> None:
        self._rules += 1
        if self._rules > MAX_RULES:
            raise invalid(f"The filters have more than {MAX_RULES} rules")


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise invalid(f"The filter is nested deeper than {MAX_DEPTH}")


def _typed(column: Column, key: str, value: JSONValue) -> JSONValue:
    if value is None or isinstance(value, list | dict):
        raise invalid(f'The filter value for "{key}" has to be a string, number, or boolean')
    if value == "":
        raise invalid(f'"{key}" takes no empty text, use "_empty" or "_nempty"')
    if key in _PARTS and isinstance(value, str) and len(value) > MAX_PART:
        raise invalid(f'"{key}" takes a text of at most {MAX_PART} characters')
    what, convert = _TYPED[column.type]
    typed = convert(value)
    if typed is None:
        raise invalid(f'"{key}" of "{column.key}" takes {what}, not {shown(_text(value))}')
    return typed


def _flag(key: str, value: JSONValue) -> bool:
    """`_null` and its like take true, false, or nothing at all."""
    flag = _WORDS.get(value, value) if isinstance(value, str) else value
    if flag == "" or isinstance(flag, bool):
        return flag is not False
    raise invalid(f'"{key}" has to be a boolean')


def _no_operator(column: Column, key: str) -> str:
    return f'"{column.type}" field type does not contain the {shown(key)} filter operator'


def _list(value: JSONValue) -> list[JSONValue]:
    if not isinstance(value, list):
        raise invalid(_NOT_AN_OBJECT)
    return value


def _group(key: str, filters: list[Filter]) -> Filter:
    """All of them, or one; an empty rule is none, also where it is one of several."""
    kept = tuple(each for each in filters if each is not EVERYTHING)
    if len(kept) < 2:
        return kept[0] if kept else EVERYTHING
    return Or(kept) if key == "_or" else And(kept)
