"""What an export says that must not be carried without a word: other names, and plain secrets."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from runner import template
from runner.errors import TemplateError
from runner.importers import credentials
from runner.mistakes import shown
from runner.model import Severity
from runner.redact import PAIRS, PLACEHOLDER, is_sensitive
from runner.types import JSONObject, JSONValue, Path


class Finding(NamedTuple):
    """Something about a place in the data of a flow."""

    severity: Severity
    code: str
    message: str
    at: Path
    hint: str


def _operations(sequence: JSONValue, at: Path) -> Iterator[tuple[Path, JSONValue, JSONValue]]:
    """Type and options of every operation, nested ones included, and where the options stand."""
    for index, each in enumerate(sequence if isinstance(sequence, list) else ()):
        yield (*at, index, "options"), each.get("type"), each.get("options")
        yield from _operations(each.get("reject"), (*at, index, "reject"))


# --- what means something else here -------------------------------------------------------------

#: Roots that Directus does not have.
_OURS: Final = {
    "$secrets": "a secret",
    "$error": "the last rejection",
    "$execution": "something about the execution",
}

_MEANT: Final = "decide what is meant, then take .todo off the name"


def changed(data: JSONObject) -> Iterator[Finding]:
    """What would silently mean something else in a flow than it meant in Directus."""
    for at, type_, options in _operations(data.get("operations"), ("operations",)):
        for each in credentials.references(type_, options):
            yield from _foreign(each.path[0], each.source, (*at, *each.at))
        yield from _literal_braces(options, at)
    match data:
        case {"options": {"return": str(answer)}}:
            try:
                root = template.compile_path(answer).path[0]
            except TemplateError:
                return  # it is the compiler's to say
            yield from _foreign(root, answer, ("options", "return"))


def _foreign(root: str, source: str, at: Path) -> Iterator[Finding]:
    if root in _OURS:
        message = f'"{shown(source)}" led nowhere in Directus; here it would read {_OURS[root]}'
        yield Finding(Severity.ERROR, "foreign-root", message, at, _MEANT)


def _literal_braces(value: JSONValue, at: Path) -> Iterator[Finding]:
    if isinstance(value, str) and "{{{{" in value:
        message = "`{{{{` writes `{{` here; in Directus it begins a template"
        yield Finding(Severity.ERROR, "literal-braces", message, at, _MEANT)
    elif isinstance(value, dict | list):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _literal_braces(each, (*at, key))


# --- secrets ------------------------------------------------------------------------------------

#: What the file says above it.
COMMENT: Final = "This looks like a secret. Put it into one: {{ $secrets.NAME }}"

#: What stands under a sensitive name and gives nothing away.
_HARMLESS: Final = frozenset({"", "bearer", "basic", PLACEHOLDER})

#: In the text of a URL, a form or JSON: a name and its value.
_NAMED: Final = re.compile(
    r'(?:^|[?&])([^=&?#\s{}]{1,64})=([^&#\s]+)|"([^"\\]{1,64})"\s*:\s*"([^"]+)"'
)
_IN_ADDRESS: Final = re.compile(r"://[^/\s@:]{0,64}:([^/\s@]{1,256})@")


def secrets(data: JSONObject) -> Iterator[Finding]:
    """Values in operations that are called as secrets are, and stand there as they are."""
    for at, _, options in _operations(data.get("operations"), ("operations",)):
        yield from _secrets(options, at, None)


def _secrets(value: JSONValue, at: Path, name: str | None) -> Iterator[Finding]:
    """*name* is the sensitive one that *value* stands under, however deep."""
    match value:
        case dict():
            for key, each in value.items():
                yield from _secrets(each, (*at, key), _sensitive(key, value) or name)
        case list():
            for index, each in enumerate(value):
                yield from _secrets(each, (*at, index), name)
        case str() | int() | float() if name is not None and _tells(value):
            yield _secret(name, at)
        case str():
            for each in _in_text(value):
                yield _secret(each, at)


def _secret(name: str, at: Path) -> Finding:
    message = f'the value of "{shown(name)}" looks like a secret, and goes into git as it stands'
    hint = "put it into a secret: {{ $secrets.NAME }}"
    return Finding(Severity.WARNING, "literal-secret", message, at, hint)


def _sensitive(key: str, members: JSONObject) -> str | None:
    """The name that makes the member *key* of *members* sensitive, as records have it."""
    names = [key, *(members.get(each) for each in PAIRS)] if key == "value" else [key]
    return next((n for n in names if isinstance(n, str) and is_sensitive(n)), None)


def _tells(value: str | float) -> bool:
    if isinstance(value, str):
        return "{{" not in value and value.strip().lower() not in _HARMLESS
    return not isinstance(value, bool)


def _in_text(text: str) -> dict[str, None]:
    """The names of the secrets in *text*, each once."""
    pairs = [(m[1] or m[3], m[2] or m[4]) for m in _NAMED.finditer(text)]
    found = [name for name, value in pairs if is_sensitive(name) and _tells(value)]
    found += ["user:password@" for m in _IN_ADDRESS.finditer(text) if _tells(m[1])]
    return dict.fromkeys(found)
