"""
Filter rules, as `{"$trigger": {"body": {"total": {"_gte": 100}}}}`.

A filter is compiled once and asked often. Names lead to a field of the data, names beginning with
`_` say what must be true of it, and all of it must hold, save inside `_or`. Whatever can be known
about a rule is checked when it is compiled; an operand that comes from a template is checked when
its value is known, and stays an operand whatever that value is.
"""

import calendar
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any, Final, TypeAlias

from runner.errors import OperationError, RuleError
from runner.operators import FUNCTIONS, OPERATORS, REQUIRED, Operator, Told, iso, show
from runner.types import Chain, JSONObject, JSONValue, Path

#: How deep rules may be nested.
MAX_DEPTH: Final = 100
#: For so many mistakes of one filter it is said what was probably meant.
MAX_GUESSES: Final = 20

OperandFor: TypeAlias = Callable[[JSONValue, Path], Callable[[Chain], JSONValue] | None]
"""Says of the operand at a path how its value is found at run time; None: it is constant."""

_Names: TypeAlias = tuple[str, ...]
_Read: TypeAlias = Callable[[Any], Any]
_Get: TypeAlias = Callable[[Chain, datetime], Any]
_Node: TypeAlias = Callable[[Any, Chain, datetime], list[JSONObject]]
"""Takes what it is about, then the data and the time that operands may need; gives failures."""

_MISSING: Final[Any] = object()

#: The operators that take rules, not an operand.
_COMBINING: Final = ("_and", "_or", "_some", "_none")
#: A function of a field, where the name of one stands: `year(date)`.
_CALL: Final = re.compile(r"(\w+)\((.+)\)")


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """A compiled filter."""

    #: Every field it looks at, from the root of the data; not those inside `_some` and `_none`.
    paths: tuple[_Names, ...]
    _node: _Node

    def failures(self, data: Chain, now: datetime) -> list[JSONObject]:
        """
        What does not hold of *data*, one error object each; an empty list: it passes.

        *now* is an aware time, the value of `$NOW`. Raises OperationError when an operand turns out
        to be one that its operator cannot take.
        """
        return self._node(data, data, now)


def compile(filter: JSONValue, operand: OperandFor | None = None) -> Rule:  # noqa: A002
    """
    Compile a filter; null lets everything pass.

    *operand* is asked about every operand; without it all are constant. Raises RuleError at the
    first mistake, and whatever *operand* raises.
    """
    compiler = _Compiler(operand)
    node = compiler.filter(filter)
    if compiler.errors:
        raise compiler.errors[0]
    return Rule(tuple(compiler.paths), node)


def problems(filter: JSONValue, operand: OperandFor | None = None) -> list[RuleError]:  # noqa: A002
    """Every mistake in a filter, in the order of the file."""
    compiler = _Compiler(operand)
    compiler.filter(filter)
    return compiler.errors


# --- compiling ----------------------------------------------------------------------------------


class _Compiler:
    """Turns objects of rules into nodes, and collects what is wrong with them."""

    def __init__(self, operand: OperandFor | None) -> None:
        self.operand = operand or (lambda value, at: None)
        self.errors: list[RuleError] = []
        self.paths: list[_Names] = []

    def filter(self, value: JSONValue) -> _Node:
        return _all([]) if value is None else self.rules(value, (), None)

    def rules(self, value: JSONValue, at: Path, path: _Names | None) -> _Node:
        """An object of rules about the field at *path*; None: about the data as a whole."""
        if len(at) > MAX_DEPTH:
            return self.wrong(f"rules are nested deeper than {MAX_DEPTH}", at)
        if not isinstance(value, dict):
            return self.wrong(f"rules must be an object, not {show(value)}", at)
        if value:
            return _all([self.rule(key, each, (*at, key), path) for key, each in value.items()])
        if path is None:
            return self.wrong("an empty object of rules", at, "say null to let everything pass")
        self.paths.append(path)
        return _present(path)

    def rule(self, key: str, value: JSONValue, at: Path, path: _Names | None) -> _Node:
        if key in ("_and", "_or"):
            return self.group(key, value, at, path)
        if not key.startswith("_"):
            return self.field(key, value, at, path or ())
        if key not in OPERATORS and key not in _COMBINING:
            hint = self.nearest(key, (*OPERATORS, *_COMBINING))
            return self.wrong(f'unknown operator "{key}"', at, hint)
        if path is None:
            return self.wrong(f'"{key}" needs a field', at, "put it below the name of a field")
        if key in OPERATORS:
            return self.comparison(key, value, at, path)
        return self.quantifier(key, value, at, path)

    def group(self, key: str, value: JSONValue, at: Path, path: _Names | None) -> _Node:
        if not isinstance(value, list):
            return self.wrong(f'"{key}" takes a list of rules', at)
        nodes = [self.rules(each, (*at, i), path) for i, each in enumerate(value)]
        return _all(nodes) if key == "_and" else _any(nodes)

    def quantifier(self, key: str, value: JSONValue, at: Path, path: _Names) -> _Node:
        paths = [*self.paths, path]
        inner = self.rules(value, at, ())
        self.paths = paths  # those inside begin at an item
        return _quantifier(path, inner, some=key == "_some")

    def field(self, name: str, value: JSONValue, at: Path, above: _Names) -> _Node:
        call = _CALL.fullmatch(name)
        if call and call[1] not in FUNCTIONS:
            hint = self.nearest(call[1], FUNCTIONS)
            return self.wrong(f'unknown function "{call[1]}"', at, hint)
        if isinstance(value, dict):
            return self.rules(value, at, (*above, name))
        if value is None:
            return self.wrong("null is not a rule", at, "write {_null: true}")
        return self.comparison("_eq", value, at, (*above, name))

    def comparison(self, key: str, operand: JSONValue, at: Path, path: _Names) -> _Node:
        self.paths.append(_field_of(path))
        operator = OPERATORS[key]
        try:
            if operator.many and isinstance(operand, str) and not self.dynamic(operand, at):
                operand = operand.split(",")
            get = self.dynamic(operand, at)
            if get is not None:
                hidden = self.operand(operand, at) is not None
                return _comparison(path, operator, _prepared(operator, get, at), hidden=hidden)
            prepared = operator.prepare(operand)
        except RuleError as error:
            return self.wrong(f'"{key}" {error.message}, not {show(operand)}', at, error.hint)
        return _comparison(path, operator, lambda data, now: prepared, hidden=False)

    def dynamic(self, value: JSONValue, at: Path) -> _Get | None:
        """How an operand is found at run time; None: it is as it stands here."""
        if len(at) > MAX_DEPTH:
            raise RuleError(f"takes an operand nested at most {MAX_DEPTH} deep")
        if isinstance(value, list):
            parts = [self.dynamic(each, (*at, i)) for i, each in enumerate(value)]
            return _list(value, parts) if any(parts) else None
        get = variable(value) if isinstance(value, str) else None
        if get is not None:
            return get
        render = self.operand(value, at)
        return None if render is None else lambda data, now: render(data)

    def nearest(self, name: str, known: Iterable[str]) -> str | None:
        # Looking for it is slow, and a filter can have thousands of mistakes.
        return _nearest(name, known) if len(self.errors) < MAX_GUESSES else None

    def wrong(self, message: str, at: Path, hint: str | None = None) -> _Node:
        self.errors.append(RuleError(message, at, hint))
        return _all([])


def _list(values: list[Any], parts: list[_Get | None]) -> _Get:
    pairs = list(zip(values, parts, strict=True))
    return lambda data, now: [each if get is None else get(data, now) for each, get in pairs]


def _prepared(operator: Operator, get: _Get, at: Path) -> _Get:
    """Check an operand whenever it is known."""

    def prepared(data: Chain, now: datetime) -> Any:
        try:
            return operator.prepare(get(data, now))
        except RuleError as error:
            rule = ".".join(map(str, at))
            raise OperationError(f"rule {rule} {error.message}", code="INVALID_OPTIONS") from None

    return prepared


def _nearest(name: str, known: Iterable[str]) -> str | None:
    near = get_close_matches(name, list(known), n=1, cutoff=0.7)
    return f'did you mean "{near[0]}"?' if near else None


# --- evaluating ---------------------------------------------------------------------------------


def _all(nodes: list[_Node]) -> _Node:
    def node(subject: Any, data: Chain, now: datetime) -> list[JSONObject]:
        return [failure for each in nodes for failure in each(subject, data, now)]

    return nodes[0] if len(nodes) == 1 else node


def _any(nodes: list[_Node]) -> _Node:
    def node(subject: Any, data: Chain, now: datetime) -> list[JSONObject]:
        failures: list[JSONObject] = []
        for each in nodes:
            found = each(subject, data, now)
            if not found:
                return []
            failures += found
        return failures

    return node


def _present(path: _Names) -> _Node:
    read = _reader(path)

    def node(subject: Any, data: Chain, now: datetime) -> list[JSONObject]:
        return [_required(subject, path)] if read(subject) is _MISSING else []

    return node


def _quantifier(path: _Names, inner: _Node, *, some: bool) -> _Node:
    """Whether an item of a list passes *inner*, or none does."""
    read = _reader(path)
    told = _SOME if some else _NONE

    def node(subject: Any, data: Chain, now: datetime) -> list[JSONObject]:
        items = read(subject)
        if items is _MISSING or items is None:
            return [_required(subject, path)]
        if isinstance(items, list) and some is any(not inner(each, data, now) for each in items):
            return []
        return [_failure(path, told)]

    return node


def _comparison(path: _Names, operator: Operator, operand: _Get, *, hidden: bool) -> _Node:
    """
    Compare a field with an operand.

    A *hidden* one is not shown by failures: it came from a template and may be a secret.
    """
    read = _reader(path)
    test = operator.test

    def node(subject: Any, data: Chain, now: datetime) -> list[JSONObject]:
        prepared = operand(data, now)
        value = read(subject)
        if value is _MISSING:
            if not operator.absent_is_null:
                return [_required(subject, path)]
            value = None
        if test(value, prepared):
            return []
        if value is None and not operator.takes_null:
            return [_failure(path, REQUIRED)]
        told = operator.told(prepared, value)
        return [_failure(path, _without_operand(told) if hidden else told)]

    return node


def _without_operand(told: Told) -> Told:
    return told if told.operand == "" else Told(told.type, told.phrase, "what its template says")


def _field_of(path: _Names) -> _Names:
    """The path without the function that is called on its end."""
    call = _CALL.fullmatch(path[-1]) if path else None
    return (*path[:-1], call[2]) if call else path


def _reader(path: _Names) -> _Read:
    """What finds the value at *path*, or the result of a function of it; _MISSING if nothing."""
    call = _CALL.fullmatch(path[-1]) if path else None
    if call:
        return _result(FUNCTIONS[call[1]], _reader(_field_of(path)))

    def read(subject: Any) -> Any:
        try:
            for name in path:
                subject = subject[name]
        except (KeyError, TypeError):
            return _MISSING
        return subject

    return read


def _result(function: Callable[[JSONValue], JSONValue], read: _Read) -> _Read:
    def read_result(subject: Any) -> Any:
        value = read(subject)
        return value if value is _MISSING else function(value)

    return read_result


# --- failures -----------------------------------------------------------------------------------


_SOME = Told("some", "must have an item that passes")
_NONE = Told("none", "must have no item that passes")


def _failure(path: _Names, told: Told) -> JSONObject:
    field, *rest = path or ("",)
    return {
        "name": "FailedValidation",
        "message": f'Validation failed: "{".".join(path)}" {told.phrase} {told.operand}'.rstrip()
        + ".",
        "code": "FAILED_VALIDATION",
        "status": 400,
        "extensions": {"field": field, "path": rest, "type": told.type, **told.shown},
    }


def _required(subject: Any, path: _Names) -> JSONObject:
    """The failure of a missing field, at the name where the way to it ends."""
    for depth, name in enumerate(path):
        if not isinstance(subject, Mapping):
            return _failure(path[:depth], REQUIRED)
        if name not in subject:
            return _failure(path[: depth + 1], REQUIRED)
        subject = subject[name]
    return _failure(path, REQUIRED)


# --- variables: $NOW, $CURRENT_USER, … ----------------------------------------------------------

#: Possessive, so that a megabyte of blanks is looked at once.
_NOW = re.compile(
    r"\$NOW(?:\(\s*+(?P<amount>[+-]?\s*+[0-9]++(?:\.[0-9]++)?+)?\s*+(?P<unit>[a-z]*+)\s*+\))?",
    re.IGNORECASE,
)

#: Months and seconds of a unit, by each of its names; a bare number is days.
_UNITS: Final = {
    name: (months, seconds)
    for names, months, seconds in (
        ("years year yrs yr y", 12, 0.0),
        ("months month mths mth mo", 1, 0.0),
        ("weeks week w", 0, 604_800.0),
        ("days day d", 0, 86_400.0),
        ("hours hour hrs hr h", 0, 3_600.0),
        ("minutes minute mins min m", 0, 60.0),
        ("seconds second secs sec s", 0, 1.0),
        ("milliseconds millisecond msecs msec ms", 0, 0.001),
    )
    for name in names.split()
}
#: In days; farther than anybody means, and near enough to be a date.
_FARTHEST: Final = 366_000

_CALLER: Final = {"$CURRENT_USER": "user", "$CURRENT_ROLE": "role", "$CURRENT_ROLES": "roles"}


def variable(text: str) -> _Get | None:
    """
    How to find what `$NOW`, `$CURRENT_USER` and the like stand for; None: it is only a text.

    Raises RuleError for one that does not exist.
    """
    if text in _CALLER:
        return _caller(_CALLER[text])
    if text.startswith("$CURRENT_"):
        raise RuleError(f"takes {', '.join(_CALLER)}", hint=_nearest(text, _CALLER))
    if text == "$NOW" or text.startswith("$NOW("):
        return _now(text)
    return None


def _caller(member: str) -> _Get:
    def get(data: Chain, now: datetime) -> JSONValue:
        caller = data.get("$accountability")
        value: JSONValue = caller.get(member) if isinstance(caller, dict) else None
        return [] if value is None and member == "roles" else value

    return get


def _now(text: str) -> _Get:
    match = _NOW.fullmatch(text)
    unit = _UNITS.get((match["unit"] or "days").lower()) if match else None
    if match is None or unit is None:
        raise RuleError("takes $NOW, $NOW(-1 year), $NOW(2 hours), $NOW(-30 days)")
    amount = float("".join((match["amount"] or "0").split()))
    months, seconds = amount * unit[0], amount * unit[1]
    if abs(months) * 31 + abs(seconds) / 86_400 > _FARTHEST:
        raise RuleError(f"takes a time at most {_FARTHEST} days away")
    if months % 1:
        raise RuleError("takes whole months")
    later = timedelta(seconds=seconds)
    return lambda data, now: iso(_add_months(now.astimezone(UTC), int(months)) + later)


def _add_months(moment: datetime, months: int) -> datetime:
    """The same day of another month, or the last one where it is shorter."""
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return moment.replace(year=year, month=month + 1, day=min(moment.day, last))
