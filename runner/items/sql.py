"""
A `Query` → a statement that gives what `query.run` would of the same records in memory.

Names come from tables as they are in the database, values are bound: no text of a caller is ever
part of a statement. What is different, because a database answers:

- Text is ordered as the collation of its column says; for *lower case* PostgreSQL asks its locale.
- SQLite compares times to the millisecond.
- Sums and averages of fractions may differ in their last digits.
- `real` of PostgreSQL is compared with the digits that it has, and shown with fewer.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    bindparam,
    case,
    false,
    func,
    not_,
    or_,
    select,
    true,
)

from runner.ids import is_uuid
from runner.items.phrases import PARTS, Expression, Phrases, bound
from runner.items.tables import AS_GIVEN, Items
from runner.items.values import Kind, bounded
from runner.operators import as_date, as_number
from runner.query.model import (
    Aggregate,
    And,
    Column,
    Compare,
    Filter,
    Grouping,
    Or,
    Query,
    Related,
    Selected,
    Type,
)
from runner.types import JSONValue

_COMPARE: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "_eq": operator.eq,
    "_neq": operator.ne,
    "_lt": operator.lt,
    "_lte": operator.le,
    "_gt": operator.gt,
    "_gte": operator.ge,
}


class Compiler:
    """Makes statements about those items of one collection of which *conditions* hold."""

    def __init__(self, items: Items, *conditions: Expression) -> None:
        self._items = items
        self._conditions = conditions
        self._say = Phrases(items.sqlite)

    def records(self, query: Query) -> Select[Any]:
        """The fields of the records that *query* is about, in the order of `fields`."""
        found = [self._shown(name) for name in fields(query)]
        return self._from(found).where(*self._where(query)).order_by(*self._order(query))

    def groups(self, query: Query, grouping: Grouping) -> Select[Any]:
        """A row for each group: what it has in common, and then its aggregates."""
        columns = list(grouping.columns)
        counted = [each.column for each in grouping.aggregates if each.column is not None]
        every = list(dict.fromkeys([*columns, *counted]))
        # Inside of another: what is grouped by is a column then, and no longer an expression.
        found = [self._common(each).label(f"c{at}") for at, each in enumerate(every)]
        rows = self._from(found).where(*self._where(query)).subquery()
        named = {each: rows.c[f"c{at}"] for at, each in enumerate(every)}
        values: dict[Column | Aggregate, Expression] = {each: named[each] for each in columns}
        for each in grouping.aggregates:
            values[each] = self._aggregate(each, named)
        order = (*grouping.sort, *((each, False) for each in columns))
        return (
            select(*values.values())
            .select_from(rows)
            .group_by(*(named[each] for each in columns))
            .order_by(*(self._group_key(by, values[by], down) for by, down in order))
        )

    def _from(self, found: Sequence[Expression]) -> Select[Any]:
        # Without any column, there still have to be rows.
        return select(*found or [true().label("row")]).select_from(self._items.table)

    # --- which

    def _where(self, query: Query) -> list[Expression]:
        found = [*self._conditions, self.filter(query.filter)]
        if query.search is not None:
            found.append(self._search(query.search))
        return found

    def filter(self, filter_: Filter) -> Expression:
        """Whether a record passes."""
        match filter_:
            case And(filters):
                return and_(true(), *map(self.filter, filters))
            case Or(filters):
                return or_(false(), *map(self.filter, filters))
            case Compare():
                return self._compare(filter_)
            case Related():
                raise NotImplementedError("collections of databases have no relations")

    def _compare(self, compare: Compare) -> Expression:
        column, name, operand = compare.column, compare.operator, compare.operand
        value = self._comparable(column)
        if name in ("_null", "_nnull", "_empty", "_nempty"):
            return self._state(column, name, wanted=operand is True)
        if name in ("_in", "_nin"):
            operands = [self._operand(column, each) for each in _list(operand)]
            chosen = among(value, operands)
            return chosen if name == "_in" else not_(chosen)
        if name in ("_between", "_nbetween"):
            low, high = (bound(self._operand(column, each)) for each in _list(operand))
            if name == "_between":
                return and_(value >= low, value <= high)
            return or_(value < low, value > high)
        if name in _COMPARE:
            compared: Expression = _COMPARE[name](value, bound(self._operand(column, operand)))
            return compared
        return self._part(value, name.removeprefix("_"), str(operand))

    def _state(self, column: Column, name: str, *, wanted: bool) -> Expression:
        negated = name.startswith("_n") and name != "_null"
        found: Expression
        if column.function is not None:
            found = self._comparable(column).is_(None)
        else:
            test = self._say.is_null if name.endswith("null") else self._say.is_empty
            found = test(self._items.table.columns[column.field], self._kind(column))
        return found if wanted is not negated else not_(found)

    def _part(self, value: Expression, name: str, part: str) -> Expression:
        """`contains`, `starts_with`, `ends_with`, each with `n`, `i` or `ni` before it."""
        plain = next(each for each in PARTS if name.endswith(each))
        prefix = name.removesuffix(plain)
        if "i" in prefix:
            value, part = self._say.fold(value), part.lower()
        found = PARTS[plain](self._say, value, part)
        return not_(found) if "n" in prefix else found

    def _search(self, text: str) -> Expression:
        """Whether a text contains *text* in whatever case, or a number or UUID is it."""
        sought, number = text.lower(), as_number(text)
        tests: list[Expression] = []
        for name, field in self._items.collection.fields.items():
            column = self._items.table.columns[name]
            if field.type in (Type.STRING, Type.TEXT):
                shown = self._say.fold(self._shown(name))
                tests.append(self._say.contains(shown, sought))
            elif field.type in (Type.INTEGER, Type.FLOAT) and number is not None:
                tests.append(column == bound(bounded(number)))
            elif field.type is Type.UUID and is_uuid(sought):
                tests.append(column == bound(sought))
        return or_(false(), *tests)

    # --- in which order

    def _order(self, query: Query) -> list[Expression]:
        asked = [self._key(each.column, each.descending) for each in query.sort]
        return [*asked, *self._items.order]

    def _key(self, column: Column, descending: bool) -> Expression:
        value = self._comparable(column)
        may_be_null = not self._items.collection.fields[column.field].required
        return _directed(value, descending=descending, nulls=may_be_null)

    def _group_key(self, by: Column | Aggregate, value: Expression, descending: bool) -> Expression:
        if isinstance(by, Column) and by.type is Type.TIMESTAMP:
            value = self._say.moment(value, self._kind(by))
        return _directed(value, descending=descending, nulls=True)

    # --- values

    def _kind(self, column: Column) -> Kind:
        return self._items.kinds[column.field]

    def _shown(self, name: str) -> Expression:
        return self._say.shown(self._items.table.columns[name], self._items.kinds[name])

    def _value(self, column: Column) -> Expression:
        """What a column gives, as it is shown."""
        if column.function is None:
            return self._shown(column.field)
        plain, kind = self._items.table.columns[column.field], self._kind(column)
        if column.function == "count":
            return self._say.count(plain, kind)
        return self._say.part(column.function, plain, kind)

    def _common(self, column: Column) -> Expression:
        """What a column gives, as what groups have in common."""
        if column.type is Type.TIMESTAMP:
            return self._say.common(self._items.table.columns[column.field], self._kind(column))
        return self._value(column)

    def _comparable(self, column: Column) -> Expression:
        """What a column gives, as what it is compared and ordered as."""
        if column.type is Type.TIMESTAMP:
            return self._say.moment(self._items.table.columns[column.field], self._kind(column))
        return self._value(column)

    def _operand(self, column: Column, operand: JSONValue) -> Any:
        if column.type is Type.TIMESTAMP:
            moment = as_date(operand)
            assert moment is not None  # noqa: S101 - the language has made sure
            return self._say.operand(moment, self._kind(column))
        if isinstance(operand, int | float) and not isinstance(operand, bool):
            return bounded(operand)
        return operand

    def _aggregate(self, aggregate: Aggregate, named: Mapping[Column, Expression]) -> Expression:
        name = aggregate.function.removesuffix("Distinct")
        if aggregate.column is None:
            return func.count()
        value = named[aggregate.column]
        if aggregate.column.type is Type.JSON:  # of which some is null, and not null for SQL
            null = self._say.is_null(value, self._kind(aggregate.column))
            return func.count(case((not_(null), 1)))
        if aggregate.function.endswith("Distinct"):
            value = value.distinct()
        found: Expression = getattr(func, name)(value)
        return found


def fields(query: Query) -> list[str]:
    """The fields that an answer to *query* is made of, each once."""
    selected = [each.column.field for each in query.selection if isinstance(each, Selected)]
    return list(dict.fromkeys(selected))


def among(column: Expression, chosen: list[Any]) -> Expression:
    """Whether *column* has one of the values, which are as the driver takes them."""
    return column.in_(bindparam(None, chosen, AS_GIVEN, expanding=True))


def _list(operand: JSONValue) -> list[JSONValue]:
    assert isinstance(operand, list)  # noqa: S101 - the language has made sure
    return operand


def _directed(value: Expression, *, descending: bool, nulls: bool) -> Expression:
    """Null comes last, and first if *descending*."""
    found: Any = value.desc() if descending else value.asc()
    if nulls:
        found = found.nulls_first() if descending else found.nulls_last()
    ordered: ColumnElement[Any] = found
    return ordered
