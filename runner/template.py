"""
Compile and render ``{{ path }}``.

A template is compiled once, when its flow is loaded, and rendered often. A string that is exactly
one template gives the value itself, with its type; otherwise values are written into the text as
JavaScript would write them. A path that leads nowhere gives null, or nothing inside a text.
``{{{{`` writes a literal ``{{``. Keys of objects are never rendered, and what was rendered is not
rendered again.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from json.encoder import encode_basestring as quote
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from runner.errors import OperationError, TemplateError
from runner.fit import is_small
from runner.types import Chain, Check, JSONValue, Path

#: Longest path text between braces, in characters, and most segments of a path: Directus' limits.
MAX_LENGTH: Final = 1000
MAX_DEPTH: Final = 10

#: Longest text that is made out of templates, in characters.
MAX_TEXT: Final = 16 << 20

CheckFor: TypeAlias = Callable[[Path, bool], Check | None]
"""Finds the check for the string at a path; the flag says that it is one template and no text."""

_Get: TypeAlias = Callable[[Chain], Any]
"""Gives what is at a path, or _MISSING."""

_MISSING: Final[Any] = object()


class Reference(NamedTuple):
    """One use of the data chain."""

    #: Where the string stands inside the compiled value.
    at: Path
    #: Names from the root of the chain: `("$trigger", "body", "id")`.
    path: tuple[str, ...]
    #: The text between the braces, trimmed.
    source: str


class Render(Protocol):
    """
    Gives a value with every template replaced.

    Constant parts are shared between renderings: a reader must not change them. The source of
    every path that leads nowhere is appended to *missing*. Raises OperationError when a check that
    was given to `compile` objects.
    """

    def __call__(self, data: Chain, missing: list[str] | None = None, /) -> JSONValue:
        """Render for *data*."""


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """A JSON value whose strings may have templates, ready to render."""

    #: What was compiled.
    source: JSONValue
    #: Every use of the data chain, in the order of the source.
    references: tuple[Reference, ...]
    #: Called like a method, and cheaper than one that calls it.
    render: Render

    @property
    def constant(self) -> bool:
        """Whether it renders to the same value whatever the data."""
        return not self.references


def compile(value: JSONValue, check: CheckFor | None = None) -> Template:
    """
    Compile every string inside *value*.

    *check* is asked once for every string with a template; the check it returns, if any, sees what
    the string was rendered to. Raises TemplateError at the first string that does not parse.
    """
    references: list[Reference] = []
    fixed, render = _compile(value, (), check, references)
    return Template(value, tuple(references), render or (lambda data, missing=None: fixed))


def problems(value: JSONValue) -> list[TemplateError]:
    """Everything in *value* that `compile` would raise, one a string, in the order of the value."""
    return [problem for at, text in _strings(value, ()) if (problem := _problem(text, at))]


def has_template(text: str) -> bool:
    """Whether *text* opens a template: a ``{{`` that is not half of the literal ``{{{{``."""
    return "{{" in text.replace("{{{{", "")


class PathGetter:
    """A bare path, as `return: $last.id` has it. Missing gives null."""

    __slots__ = ("_get", "path")

    def __init__(self, path: tuple[str, ...]) -> None:
        self.path = path
        self._get = _getter(path)

    def __call__(self, data: Chain) -> JSONValue:
        """The value at the path."""
        value = self._get(data)
        return None if value is _MISSING else value


def compile_path(text: str) -> PathGetter:
    """Compile a path that stands without braces. Raises TemplateError when it does not parse."""
    if "{{" in text:
        raise TemplateError(
            "a path stands here without braces", hint=f"write {text.strip(' {}') or '$last'}"
        )
    return PathGetter(_parse_path(text))


# --- values -------------------------------------------------------------------------------------


def _compile(
    value: JSONValue, at: Path, check: CheckFor | None, references: list[Reference]
) -> tuple[JSONValue, Render | None]:
    """The value where it is constant, otherwise what renders it."""
    if isinstance(value, str):
        return _compile_text(value, at, check, references)
    if not isinstance(value, dict | list):
        return value, None
    fixed = value.copy()
    live = []
    for key, item in list(_items(value)):
        fixed[key], render = _compile(item, (*at, key), check, references)
        if render is not None:
            live.append((key, render))
    return (None, _tree(fixed, live)) if live else (fixed, None)


def _compile_text(
    text: str, at: Path, check: CheckFor | None, references: list[Reference]
) -> tuple[JSONValue, Render | None]:
    pieces = _pieces(text, at)
    found = [piece for piece in pieces if isinstance(piece, Reference)]
    if not found:
        return "".join(map(str, pieces)), None
    references += found
    whole = len(pieces) == 1
    render = _whole(found[0]) if whole else _interpolation(pieces)
    leaf_check = check(at, whole) if check else None
    return None, _checked(render, leaf_check, at) if leaf_check else render


def _items(value: dict[str, Any] | list[Any]) -> Iterator[tuple[Any, Any]]:
    return iter(value.items()) if isinstance(value, dict) else enumerate(value)


def _strings(value: JSONValue, at: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield at, value
    elif isinstance(value, dict | list):
        for key, item in _items(value):
            yield from _strings(item, (*at, key))


def _problem(text: str, at: Path) -> TemplateError | None:
    try:
        _pieces(text, at)
    except TemplateError as error:
        return error
    return None


# --- rendering ----------------------------------------------------------------------------------


def _tree(fixed: Any, live: list[tuple[Any, Render]]) -> Render:
    """Render an object or an array: a copy of its constant members, and the others put in."""

    def render(data: Chain, missing: list[str] | None = None) -> JSONValue:
        result: JSONValue = fixed.copy()
        for key, child in live:
            result[key] = child(data, missing)  # type: ignore[index]
        return result

    return render


def _whole(reference: Reference) -> Render:
    get = _getter(reference.path)
    source = reference.source

    def render(data: Chain, missing: list[str] | None = None) -> JSONValue:
        value = get(data)
        if value is not _MISSING:
            return value  # type: ignore[no-any-return]
        if missing is not None:
            missing.append(source)
        return None

    return _fast(reference.path, render)


def _interpolation(pieces: list[str | Reference]) -> Render:
    form = "".join("%s" if isinstance(p, Reference) else p.replace("%", "%%") for p in pieces)
    slots = [(_getter(p.path), p.source) for p in pieces if isinstance(p, Reference)]

    def render(data: Chain, missing: list[str] | None = None) -> JSONValue:
        texts = []
        for get, source in slots:
            value = get(data)
            if type(value) is str:
                texts.append(value)
            elif value is not _MISSING:
                texts.append(str(value) if type(value) is int else _bounded_json(value))
            elif missing is not None:
                texts.append("")
                missing.append(source)
            else:
                texts.append("")
        if sum(map(len, texts)) > MAX_TEXT:
            raise _too_large()
        return form % tuple(texts)

    return render


def _bounded_json(value: JSONValue) -> str:
    # Values share their parts: small in memory, one can be endless when it is written out.
    if isinstance(value, dict | list) and not is_small(value, MAX_TEXT):
        raise _too_large()
    return to_json(value)


def _too_large() -> OperationError:
    return OperationError("an option would be longer than 16 MiB", code="INVALID_OPTIONS")


def _checked(render: Render, check: Check, at: Path) -> Render:
    name = f"option {_dotted(at)}: " if at else ""

    def checked(data: Chain, missing: list[str] | None = None) -> JSONValue:
        value = render(data, missing)
        complaint = check(value)
        if complaint is not None:
            raise OperationError(name + complaint, code="INVALID_OPTIONS")
        return value

    return checked


def _dotted(at: Path) -> str:
    """`headers[0].value`"""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in at)
    return text.removeprefix(".")


# --- text ---------------------------------------------------------------------------------------


def to_json(value: JSONValue) -> str:
    """Compact JSON as JavaScript's `JSON.stringify` writes it; integers keep all their digits."""
    if isinstance(value, str):
        return quote(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return js_number(value)
    if isinstance(value, list):
        return f"[{','.join([to_json(item) for item in value])}]"
    if isinstance(value, dict):
        return f"{{{','.join([f'{quote(key)}:{to_json(item)}' for key, item in value.items()])}}}"
    return str(value)


def js_number(number: float) -> str:
    """
    A float as JavaScript's `String()` writes it: `1`, `0.00001`, `1e-7`, `1e+21`.

    Python and JavaScript agree on the digits, not on where the exponent begins (ECMA-262, 6.1.6.1).
    """
    text = repr(number + 0.0)  # -0 is written 0
    mantissa, has_exponent, exponent = text.partition("e")
    if not has_exponent:
        return text.removesuffix(".0")
    if 1e-6 <= abs(number) < 1e21:
        return format(Decimal(text), "f")
    return f"{mantissa}e{int(exponent):+d}"


# --- looking up ---------------------------------------------------------------------------------

_INDEX = re.compile("0|[1-9][0-9]*")


@lru_cache(maxsize=4096)  # flows say the same few paths again and again
def _getter(path: tuple[str, ...]) -> _Get:
    """What finds *path* in a chain; _MISSING where it leads nowhere."""
    steps = [(name, int(name) if _INDEX.fullmatch(name) else None) for name in path]

    def walk(data: Chain, _: list[str] | None = None) -> Any:
        value = data.get(path[0], _MISSING)
        for name, index in steps[1:]:
            if type(value) is dict:
                value = value.get(name, _MISSING)
            elif type(value) is list:
                value = _member(value, name, index)
            else:
                return _MISSING
        return value

    return _fast(path, walk)


def _member(items: list[Any], name: str, index: int | None) -> Any:
    if index is None:
        return len(items) if name == "length" else _MISSING
    return items[index] if index < len(items) else _MISSING


def _fast(path: tuple[str, ...], otherwise: Render) -> Render:
    """
    Try plain subscripts before *otherwise*: right whenever all names lead through objects.

    The usual lengths are written out: the loop costs half as much again.
    """
    first, *rest = path
    if any(_INDEX.fullmatch(name) or name == "length" for name in rest):
        return otherwise

    def two(data: Any, missing: list[str] | None = None) -> Any:
        try:
            return data[first][second]
        except (KeyError, TypeError):
            return otherwise(data, missing)

    def three(data: Any, missing: list[str] | None = None) -> Any:
        try:
            return data[first][second][third]
        except (KeyError, TypeError):
            return otherwise(data, missing)

    def many(data: Any, missing: list[str] | None = None) -> Any:
        try:
            value = data[first]
            for name in rest:
                value = value[name]
        except (KeyError, TypeError):
            return otherwise(data, missing)
        return value

    match rest:
        case [second]:
            return two
        case [second, third]:
            return three
    return many


# --- parsing ------------------------------------------------------------------------------------


def _pieces(text: str, at: Path) -> list[str | Reference]:
    """Split into literal texts and references. Raises TemplateError."""
    pieces: list[str | Reference] = []
    start = 0
    while (opened := text.find("{{", start)) >= 0:
        if opened > start:
            pieces.append(text[start:opened])
        if text.startswith("{{{{", opened):
            pieces.append("{{")
            start = opened + 4
            continue
        closed = text.find("}}", opened + 2)
        inner = text[opened + 2 : closed]
        if closed < 0 or "{{" in inner:
            hint = "close it with }}, or write {{{{ for a literal {{"
            raise TemplateError('"{{" is never closed', at, hint)
        pieces.append(Reference(at, _parse_path(inner, at), inner.strip()))
        start = closed + 2
    if start < len(text):
        pieces.append(text[start:])
    return pieces


def _parse_path(text: str, at: Path = ()) -> tuple[str, ...]:
    """Parse `a.b[0]["c d"]` into its names. Raises TemplateError."""
    if len(text) > MAX_LENGTH:
        raise TemplateError(f"a path is longer than {MAX_LENGTH} characters", at)
    source = text.strip()
    if not source:
        raise TemplateError("a path is empty", at, "name a value of the data chain, like $last")
    try:
        names = _names(source)
    except TemplateError as error:
        raise TemplateError(f'{error.message} in "{source}"', at, error.hint) from None
    if len(names) > MAX_DEPTH:
        raise TemplateError(
            f'"{source}" is {len(names)} names deep; {MAX_DEPTH} is the limit',
            at,
            "take it in two steps, with a transform operation between them",
        )
    return names


_PARTS = re.compile(r"\.|\[[^\]]*\]?|[^.\[]+")
_SHAPE = re.compile(r"(a|\[)(\.a|\[)*")


@lru_cache(maxsize=4096)
def _names(source: str) -> tuple[str, ...]:
    """Take a path apart. Raises TemplateError without saying where."""
    parts = [part for found in _PARTS.findall(source) if (part := found.strip())]
    shape = "".join(part[0] if part[0] in ".[" else "a" for part in parts)
    if "[a" in shape:
        raise TemplateError('something follows "]"', hint="put a dot between them")
    if not _SHAPE.fullmatch(shape):
        raise TemplateError("a name is missing beside a dot")
    return tuple(_in_brackets(part) if part[0] == "[" else part for part in parts if part != ".")


def _in_brackets(part: str) -> str:
    key = part[1:-1].strip()
    if part[-1] != "]" or "[" in key:
        raise TemplateError('"[" is never closed', hint="close it with ]")
    if not key:
        raise TemplateError("nothing stands between brackets", hint='[0], or ["a key"]')
    if key[0] not in _QUOTES and key[-1] not in _QUOTES:
        return key.removeprefix("+")
    if len(key) < 2 or key[0] != key[-1]:
        raise TemplateError("the quotes do not match", hint='["a key"]')
    return key[1:-1]


_QUOTES = "\"'`"
