"""
What a filter rule can say of a value: comparisons, and functions of a field.

Small pure functions in two tables, OPERATORS and FUNCTIONS. They know nothing of rules, so that
whatever else filters means the same by the same names.
"""

import json
import operator as compare
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from runner.errors import RuleError
from runner.types import JSONValue

#: Longest regular expression, in characters.
MAX_PATTERN: Final = 1000
#: What a compiled one may take, in bytes: counted repetitions multiply.
_PATTERN_MEMORY: Final = 1 << 20


# --- the shape of an operator -------------------------------------------------------------------


class Told(NamedTuple):
    """What a failure says."""

    #: One word for the reason.
    type: str
    #: What must be: the sentence after the name of the field.
    phrase: str
    #: The operand, where the phrase needs one to end.
    operand: str = ""
    #: What else the failure shows.
    shown: Mapping[str, JSONValue] = MappingProxyType({})


REQUIRED: Final = Told("required", "is required")


@dataclass(frozen=True, slots=True, eq=False)
class Operator:
    """One comparison of a value with an operand; pure, and of use to anything that filters."""

    #: Makes of an operand what *test* takes. Raises RuleError: "takes …", without the operand.
    prepare: Callable[[JSONValue], Any]
    #: Takes the value and the prepared operand.
    test: Callable[[Any, Any], bool]
    #: Takes the prepared operand and the value that failed.
    told: Callable[[Any, Any], Told]
    #: The operand is a list, for which a text with commas may stand.
    many: bool = False
    #: Null is a value like others; otherwise failing with it means that a value is required.
    takes_null: bool = False
    #: A missing field is null; otherwise it fails.
    absent_is_null: bool = False


# --- values -------------------------------------------------------------------------------------

_NUMERIC = re.compile(r"\s*[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*")
_LONGEST_NUMBER = 400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def as_number(value: JSONValue) -> int | float | None:
    """A number, or a text that looks like one; None for all else, and for true and false."""
    if isinstance(value, int | float):
        return None if isinstance(value, bool) else value
    if not isinstance(value, str) or len(value) > _LONGEST_NUMBER:
        return None
    if not _NUMERIC.fullmatch(value):
        return None
    try:
        return int(value)
    except ValueError:
        return float(value)


def as_date(value: JSONValue) -> datetime | None:
    """The UTC time that an ISO 8601 text means, without a zone it is UTC; None for all else."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        if moment is None or moment.tzinfo is UTC:
            return moment
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _moment(value: JSONValue) -> int | float | None:
    """Milliseconds since 1970: a number of them, or a date."""
    number = as_number(value)
    if number is not None:
        return number
    date = as_date(value)
    return None if date is None else milliseconds(date)


def milliseconds(moment: datetime) -> float:
    """Since 1970, of a time with a zone."""
    return (moment - _EPOCH) / _MILLISECOND


def iso(moment: datetime) -> str:
    """A UTC time as JavaScript's `toISOString` writes it."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def show(value: JSONValue) -> str:
    """A value in a message: JSON, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 100 else f"{text[:99]}…"


# --- equality -----------------------------------------------------------------------------------


def same(one: JSONValue, other: JSONValue) -> bool:
    """Strict equality all the way down: true is not 1, and 1 is 1.0."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def _among(value: JSONValue, valid: list[JSONValue]) -> bool:
    for each in valid:  # noqa: SIM110 - a generator would cost more than the comparison
        if same(value, each):
            return True
    return False


def _not_among(value: JSONValue, invalid: list[JSONValue]) -> bool:
    return not _among(value, invalid)


def _equal(operand: JSONValue) -> list[JSONValue]:
    """The values that count as *operand*: a number and its text are the same."""
    if isinstance(operand, list):
        raise RuleError("takes one value", hint="use _in for one of several")
    number = as_number(operand)
    if number is None:
        return [operand]
    return [number, operand if isinstance(operand, str) else show(number).removesuffix(".0")]


def _values(operand: JSONValue) -> list[JSONValue]:
    """A list of values: as it is, from a text with commas, or an object's."""
    if isinstance(operand, str):
        return list(operand.split(","))
    if isinstance(operand, dict):
        return list(operand.values())
    if isinstance(operand, list):
        return operand
    raise RuleError("takes a list")


def _told_choice(negated: str, *, many: bool) -> Callable[[list[JSONValue], Any], Told]:
    """The type says how many values there were to choose from: `_eq: 5` also takes the text "5"."""
    must = "must not be" if negated else "must be"
    kind = "invalid" if negated else "valid"

    def told(values: list[JSONValue], value: Any) -> Told:
        match values:
            case [None]:
                return Told(f"{negated}null", f"{must} null")
            case [""]:
                return Told(f"{negated}empty", f"{must} empty")
            case [one]:
                return Told(f"{negated}eq", must, show(one), {kind: one})
        operand = f"one of {show(values)}" if many else show(values[0])
        return Told(f"{negated}in", must, operand, {kind: values})

    return told


def _choice(prepare: Callable[[JSONValue], Any], negated: str = "", *, many: bool) -> Operator:
    test = _not_among if negated else _among
    return Operator(prepare, test, _told_choice(negated, many=many), many=many, takes_null=True)


# --- null and empty -----------------------------------------------------------------------------


def _state(name: str, test: Callable[[Any], bool], *, wanted: bool) -> Operator:
    """`_null` and its like: *test*, or with `false` for an operand the opposite."""

    def prepare(operand: JSONValue) -> bool:
        if operand != "" and not isinstance(operand, bool):
            raise RuleError("takes true or false")
        return (operand is not False) is wanted

    def told(positive: bool, value: Any) -> Told:
        prefix, must = ("", "must be") if positive else ("n", "must not be")
        return Told(prefix + name, f"{must} {name}")

    return Operator(
        prepare,
        lambda value, positive: test(value) is positive,
        told,
        takes_null=True,
        absent_is_null=True,
    )


def _is_null(value: JSONValue) -> bool:
    return value is None


def _is_empty(value: JSONValue) -> bool:
    return value is None or value in ("", [], {})


# --- order --------------------------------------------------------------------------------------


class _Bound(NamedTuple):
    """What a value is ordered against, and how a value is read for that."""

    limit: int | float
    read: Callable[[JSONValue], int | float | None]
    shown: JSONValue

    def holds(self, relation: Callable[[Any, Any], bool], value: JSONValue) -> bool:
        number = self.read(value)
        return number is not None and relation(number, self.limit)


def _bound(operand: JSONValue) -> _Bound:
    """A number (null is 0), or else a date, against which numbers are milliseconds since 1970."""
    number = 0 if operand is None or operand == "" else as_number(operand)
    if number is not None:
        return _Bound(number, as_number, number)
    date = as_date(operand)
    if date is None:
        hint = "write a date as 2024-12-31 or 2024-12-31T23:59:59Z"
        raise RuleError("takes a number or a date", hint=hint)
    return _Bound(milliseconds(date), _moment, iso(date))


def _range(operand: JSONValue) -> tuple[_Bound, _Bound]:
    values = _values(operand)
    if len(values) != 2:
        raise RuleError("takes two values", hint="[from, to]")
    return _bound(values[0]), _bound(values[1])


def _ordering(type_: str, words: str, relation: Callable[[Any, Any], bool]) -> Operator:
    def test(value: JSONValue, bound: _Bound) -> bool:
        return bound.holds(relation, value)

    def told(bound: _Bound, value: Any) -> Told:
        return Told(type_, f"must be {words}", show(bound.shown), {"valid": bound.shown})

    return Operator(_bound, test, told)


def _told_range(must: str, type_: str) -> Callable[[tuple[_Bound, _Bound], Any], Told]:
    def told(bounds: tuple[_Bound, _Bound], value: Any) -> Told:
        low, high = (bound.shown for bound in bounds)
        operand = f"{show(low)} and {show(high)}"
        return Told(type_, f"{must} between", operand, {"valid": [low, high]})

    return told


def _between(value: JSONValue, bounds: tuple[_Bound, _Bound]) -> bool:
    low, high = bounds
    return low.holds(compare.ge, value) and high.holds(compare.le, value)


def _not_between(value: JSONValue, bounds: tuple[_Bound, _Bound]) -> bool:
    low, high = bounds
    return low.holds(compare.lt, value) or high.holds(compare.gt, value)


# --- text ---------------------------------------------------------------------------------------


def _text(operand: JSONValue) -> str:
    if not isinstance(operand, str):
        raise RuleError("takes a text", hint="put it in quotes")
    return operand


def _texts(value: JSONValue) -> list[str] | None:
    """The texts in which `_contains` looks: one, or those of a list."""
    if isinstance(value, list):
        return [each for each in value if isinstance(each, str)]
    return _only_text(value)


def _only_text(value: JSONValue) -> list[str] | None:
    return [value] if isinstance(value, str) else None


def _text_operators(
    name: str,
    verb: str,
    holds: Callable[[str, str], bool],
    texts: Callable[[JSONValue], list[str] | None],
) -> dict[str, Operator]:
    """An operator with its three relatives: `n` for not, `i` for either case, `ni` for both."""

    def make(prefix: str) -> Operator:
        wanted = "n" not in prefix
        fold = str.lower if "i" in prefix else str

        def test(value: JSONValue, operand: str) -> bool:
            found = texts(value)
            if found is None:
                return False
            sought = fold(operand)
            for each in found:
                if holds(fold(each), sought):
                    return wanted
            return not wanted

        def told(operand: str, value: Any) -> Told:
            phrase = f"must {verb}" if wanted else f"must not {verb}"
            return Told(prefix + name, phrase, show(operand), {"substring": operand})

        return Operator(_text, test, told)

    return {f"_{prefix}{name}": make(prefix) for prefix in ("", "n", "i", "ni")}


def _pattern(operand: JSONValue) -> Any:
    """Compile for RE2, whose time is linear in the text, whatever the expression."""
    import re2  # noqa: PLC0415 - takes 20 ms to load, and few flows need it

    source = _text(operand)
    if len(source) > MAX_PATTERN:
        raise RuleError(f"takes an expression of at most {MAX_PATTERN} characters")
    if len(source) > 1 and source[0] == source[-1] == "/":
        source = source[1:-1]
    options = re2.Options()
    options.max_mem = _PATTERN_MEMORY
    options.log_errors = False
    try:
        return re2.compile(source, options)
    except re2.error as error:
        hint = _what_re2_says(error.args[0].decode(errors="replace"))
        raise RuleError("takes a regular expression", hint=hint) from None


def _what_re2_says(reason: str) -> str:
    """`missing ): (ab` in words."""
    what, _, where = reason.partition(": ")
    if re.match(r"\(\?|\\[1-9]", where):
        return f"RE2 has no look-around and no back references: `{where}`"
    return f"{what} in `{where}`" if where else what


def _matches(value: JSONValue, pattern: Any) -> bool:
    return isinstance(value, str) and pattern.search(value) is not None


def _told_pattern(pattern: Any, value: Any) -> Told:
    return Told("regex", "must match", show(pattern.pattern), {"invalid": value})


def _is_true(operand: JSONValue) -> bool:
    if operand is not True:
        raise RuleError("takes true")
    return True


# --- the table ----------------------------------------------------------------------------------

OPERATORS: Final[Mapping[str, Operator]] = {
    "_eq": _choice(_equal, many=False),
    "_neq": _choice(_equal, "n", many=False),
    "_in": _choice(_values, many=True),
    "_nin": _choice(_values, "n", many=True),
    "_null": _state("null", _is_null, wanted=True),
    "_nnull": _state("null", _is_null, wanted=False),
    "_empty": _state("empty", _is_empty, wanted=True),
    "_nempty": _state("empty", _is_empty, wanted=False),
    "_lt": _ordering("lt", "less than", compare.lt),
    "_lte": _ordering("lte", "at most", compare.le),
    "_gt": _ordering("gt", "greater than", compare.gt),
    "_gte": _ordering("gte", "at least", compare.ge),
    "_between": Operator(_range, _between, _told_range("must be", "between"), many=True),
    "_nbetween": Operator(_range, _not_between, _told_range("must not be", "nbetween"), many=True),
    **_text_operators("contains", "contain", compare.contains, _texts),
    **_text_operators("starts_with", "start with", str.startswith, _only_text),
    **_text_operators("ends_with", "end with", str.endswith, _only_text),
    "_regex": Operator(_pattern, _matches, _told_pattern),
    "_submitted": Operator(
        _is_true, lambda value, operand: True, lambda operand, value: REQUIRED, takes_null=True
    ),
}
"""Every comparison by its name in a filter."""


# --- functions: count(items), year(date), … -----------------------------------------------------


def _of_date(part: Callable[[datetime], int]) -> Callable[[JSONValue], int | None]:
    return lambda value: None if (moment := as_date(value)) is None else part(moment)


def _week(moment: datetime) -> int:
    """Weeks begin on Sunday, and the first is the one with the 1st of January."""
    until_saturday = (5 - moment.weekday()) % 7
    if moment.month == 12 and moment.day + until_saturday > 31:
        return 1
    return (moment.timetuple().tm_yday + until_saturday - 1) // 7 + 1


def _count(value: JSONValue) -> int | None:
    return len(value) if isinstance(value, list) else None


FUNCTIONS: Final[Mapping[str, Callable[[JSONValue], int | None]]] = {
    "year": _of_date(lambda moment: moment.year),
    "month": _of_date(lambda moment: moment.month),
    "week": _of_date(_week),
    "day": _of_date(lambda moment: moment.day),
    "weekday": _of_date(lambda moment: moment.isoweekday() % 7),
    "hour": _of_date(lambda moment: moment.hour),
    "minute": _of_date(lambda moment: moment.minute),
    "second": _of_date(lambda moment: moment.second),
    "count": _count,
}
"""Parts of a date, in UTC (Sunday is weekday 0), and the length of a list; null for others."""
