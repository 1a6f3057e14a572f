"""
Check documents against the JSON Schemas in `schemas/`, which are also the manual.

Two validators share one set of files. jsonschema-rs answers yes or no, 200 times as fast, for
every document and every rendered leaf; jsonschema is asked only to explain a no. A test holds
that they agree.
"""

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache, lru_cache, partial
from importlib import resources
from importlib.resources.abc import Traversable
from itertools import islice
from pathlib import Path as FilePath
from typing import Any, Final, NamedTuple, TypeAlias, cast

import jsonschema_rs

from runner.document import Document
from runner.errors import Malformed, RunnerError
from runner.model import Issue
from runner.types import Check, JSONObject, JSONValue, Path

#: A jsonschema.ValidationError; jsonschema itself is imported only when something is wrong.
_Error: TypeAlias = Any

# Relative references between the files resolve below this; nothing is ever fetched.
_BASE = "file:///schemas/"
_SUFFIX = ".schema.json"
_TEMPLATE = "#/$defs/template"

MAX_ISSUES: Final = 100
"""How many issues of one document are told: one of a megabyte can have forty thousand."""


class UnknownSchema(RunnerError):
    """There is no schema of this name."""


# --- the files ----------------------------------------------------------------------------------


@cache
def _folder() -> Traversable:
    """`schemas/` inside the installed package, or at the top of a checkout."""
    inside = resources.files("runner") / "schemas"
    return inside if inside.is_dir() else FilePath(__file__).resolve().parent.parent / "schemas"


def _walk(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for item in sorted(folder.iterdir(), key=lambda each: each.name):
        if item.is_dir():
            yield from _walk(item, f"{prefix}{item.name}/")
        elif item.name.endswith(_SUFFIX):
            yield prefix + item.name.removesuffix(_SUFFIX), item


@cache
def _files() -> dict[str, str]:
    return {name: item.read_text("utf-8") for name, item in _walk(_folder())}


@cache
def _schemas() -> dict[str, JSONObject]:
    return {name: json.loads(text) for name, text in _files().items()}


def names() -> list[str]:
    """All schemas: `flow`, `operations/log`, `triggers/webhook`, …"""
    return list(_files())


def text(name: str) -> str:
    """The schema as its file has it. Raises UnknownSchema."""
    try:
        return _files()[name]
    except KeyError:
        raise UnknownSchema(
            f"There is no schema {name!r}{nearest(name, names())}; there are {', '.join(names())}."
        ) from None


def load(name: str) -> JSONObject:
    """The schema as data. Raises UnknownSchema."""
    text(name)
    return _schemas()[name]


# --- yes or no ----------------------------------------------------------------------------------


@cache
def _registry() -> jsonschema_rs.Registry:
    return jsonschema_rs.Registry([(_uri(name), schema) for name, schema in _schemas().items()])


def _uri(name: str) -> str:
    return f"{_BASE}{name}{_SUFFIX}"


def _compile(schema: JSONObject) -> Callable[[JSONValue], bool]:
    validator = jsonschema_rs.validator_for(schema, registry=_registry())
    return cast("Callable[[JSONValue], bool]", validator.is_valid)


@cache
def _fits(name: str) -> Callable[[JSONValue], bool]:
    return _compile({"$ref": _uri(name)})


def parts(schema: JSONObject) -> jsonschema_rs.ValidatorMap:
    """
    Validators of a *schema* that the author of a flow wrote, by pointer: `#`, `#/properties/id`.

    It is of draft 2020-12; nothing is fetched, formats are checked, and expressions run in linear
    time, whatever a caller sends. Raises Malformed with the path inside of *schema*.
    """
    try:
        jsonschema_rs.Draft202012Validator(schema, **_FOREIGN)
    except jsonschema_rs.ValidationError as error:
        at = tuple(error.instance_path)
        regex = "expressions run in linear time: they have no look-around and no back reference"
        hint = regex if at[-1:] == ("pattern",) or "patternProperties" in at[-2:] else None
        wrong = (
            f"{_show(cast('JSONValue', error.instance))} cannot stand here" if at else error.message
        )
        raise Malformed(f"in JSON Schema, {wrong}", at, hint) from None
    return jsonschema_rs.validator_map_for(schema, **_FOREIGN)


_FOREIGN: Final[Any] = {
    "offline": True,
    "validate_formats": True,
    "ignore_unknown_formats": False,
    "pattern_options": jsonschema_rs.RegexOptions(),
}


def check(document: Document, name: str = "flow") -> list[Issue]:
    """All issues of *document* under the schema *name*, in the order of the text."""
    if _fits(name)(document.data):
        return []
    every = (each for error in _errors(name, document.data) for each in _explain(document, error))
    issues = list(islice(every, MAX_ISSUES))
    # The two validators agree, and a test holds it; should they not, a no stays a no.
    found = dict.fromkeys(issues or [_unexplained(document)])  # each once, and in this order
    return sorted(found, key=lambda issue: (issue.line, issue.column, issue.code))


# --- leaves that are known only at run time -----------------------------------------------------


def option_check(operation_type: str) -> Callable[[Path, bool], Check | None]:
    """
    What `template.compile` asks for every string with a template in the options of a type.

    The returned function takes where the string stands and whether it is a single template. It
    gives None where the schema lets anything through, else a check of the rendered value.
    """
    return partial(_check_at, operation_type)


@lru_cache(maxsize=4096)  # flows put templates in the same few places
def _check_at(operation_type: str, at: Path, whole: bool) -> Check | None:
    schema = _schema_at(load(f"operations/{operation_type}"), at)
    # Text around a template makes text, which a bare `type: string` always accepts.
    if schema is None or (schema.get("type") == "string" and not whole and len(schema) == 1):
        return None
    return _leaf_check(json.dumps(schema))


@cache
def _leaf_check(schema_text: str) -> Check:
    return value_check(json.loads(schema_text))


def value_check(schema: JSONObject) -> Check:
    """A check of single values against an inline *schema*."""
    fits = _compile(schema)
    wanted = _wanted(schema)

    def misfit(value: JSONValue) -> str | None:
        return None if fits(value) else f"must be {_but_not(value, wanted)}"

    return misfit


def _schema_at(schema: JSONObject, at: Path) -> JSONObject | None:
    """What constrains the value at *at*, without annotations and without `or a template`."""
    for step in at:
        branches = [schema, *schema.get("anyOf", ())]
        found = next((sub for each in branches if (sub := _child(each, step)) is not None), None)
        if found is None:
            return None
        schema = found
    choices: list[JSONObject] = _rendered(schema.get("anyOf", []))
    if choices:
        return choices[0] if len(choices) == 1 else {"anyOf": choices}
    constraints = {
        key: _rendered(value)
        for key, value in schema.items()
        if key not in ("title", "description", "examples", "default", "$schema")
    }
    return constraints or None


def _child(schema: JSONObject, step: str | int) -> JSONObject | None:
    found = (
        schema.get("items")
        if isinstance(step, int)
        else schema.get("properties", {}).get(step, schema.get("additionalProperties"))
    )
    return found if isinstance(found, dict) else None


def _rendered(schema: Any) -> Any:
    """A part of a schema as a rendered value has to fit it: nowhere is a template left in that."""
    if isinstance(schema, dict):
        return {key: _rendered(value) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_rendered(each) for each in schema if not _is_template(each)]
    return schema


def _is_template(schema: Any) -> bool:
    return isinstance(schema, dict) and str(schema.get("$ref", "")).endswith(_TEMPLATE)


# --- explaining ---------------------------------------------------------------------------------


@cache
def _explainer(name: str) -> Any:
    # Lazy: importing jsonschema costs a quarter of the start, and most files are right.
    import jsonschema  # noqa: PLC0415
    from referencing import Registry  # noqa: PLC0415
    from referencing.jsonschema import DRAFT202012  # noqa: PLC0415

    # A file that says `$schema` would be checked by jsonschema's own class instead of this one.
    registry: Any = Registry().with_resources(
        (_uri(each), DRAFT202012.create_resource(_without(schema, "$schema")))
        for each, schema in _schemas().items()
    )
    extend: Any = jsonschema.validators.extend
    validator = extend(jsonschema.Draft202012Validator, {"pattern": _explain_pattern})
    return validator({"$ref": _uri(name)}, registry=registry)


def _without(schema: JSONObject, name: str) -> JSONObject:
    return {key: value for key, value in schema.items() if key != name}


def _explain_pattern(_: Any, pattern: str, instance: JSONValue, __: JSONObject) -> Iterator[_Error]:
    import jsonschema  # noqa: PLC0415

    # Python's `$` also matches before a last newline; ECMA's, which schemas mean, does not.
    ecma = re.sub(r"(?<!\\)\$$", r"\\Z", pattern)
    if isinstance(instance, str) and not re.search(ecma, instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


def _unexplained(document: Document) -> Issue:
    return document.issue("bad-value", "the file does not fit the schema", ())


def _errors(name: str, data: JSONValue) -> Iterator[_Error]:
    for error in _explainer(name).iter_errors(data):
        yield from _useful(error)


def _useful(error: _Error) -> Iterator[_Error]:
    """For `X or a template`, what is wrong with X; for everything else the error itself."""
    branches = error.validator_value if error.validator == "anyOf" else ()
    real = [index for index, each in enumerate(branches) if not _is_template(each)]
    if len(real) == 1 and len(branches) > 1:
        for sub in error.context or ():
            if sub.schema_path[0] == real[0]:
                yield from _useful(sub)
    else:
        yield error


def _explain(document: Document, error: _Error) -> Iterator[Issue]:
    at: Path = tuple(error.absolute_path)
    explain = _EXPLANATIONS.get(str(error.validator), _explain_value)
    for finding in explain(error, at):
        yield document.issue(
            finding.code, finding.message, finding.at, hint=finding.hint, at_key=finding.at_key
        )


class _Finding(NamedTuple):
    code: str
    message: str
    hint: str | None
    at: Path
    #: It is about the key, not about what the key says.
    at_key: bool = False


def _explain_unknown(error: _Error, at: Path) -> Iterator[_Finding]:
    known = list(error.schema.get("properties", ()))
    for key in error.instance:
        if key not in known:
            hint = nearest(key, known, prefix="") or f"known here: {', '.join(known)}"
            message = f"{quoted(key)} is not a key of {_name(at)}"
            yield _Finding("unknown-key", message, hint, (*at, key), at_key=True)


def _explain_missing(error: _Error, at: Path) -> Iterator[_Finding]:
    key = next(each for each in error.validator_value if f"'{each}'" in error.message)
    hint = _example_of(error.schema, key)
    yield _Finding("missing-key", f"{_name(at)} needs {quoted(key)}", hint, at)


def _explain_forbidden(error: _Error, at: Path) -> Iterator[_Finding]:
    reason = error.schema.get("description")
    message = f"{quoted(str(at[-1]))} does not belong here"
    yield _Finding("unknown-key", message, reason, at, at_key=True)


def _explain_choice(error: _Error, at: Path) -> Iterator[_Finding]:
    choices = [str(each) for each in error.schema.get("enum", [error.schema.get("const")])]
    code = {"type": "unknown-type", "trigger": "unknown-trigger"}.get(str(at[-1]), "unknown-value")
    hint = nearest(str(error.instance), choices, prefix="") or _example(error)
    wanted = choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    message = f"{_name(at)} must be {wanted}, not {_show(error.instance)}"
    yield _Finding(code, message, hint, at)


def _explain_value(error: _Error, at: Path) -> Iterator[_Finding]:
    shown = _show(error.instance)
    if isinstance(error.instance, list):
        shown = f"a list of {len(error.instance)}"
    elif error.instance == {}:
        shown = "{}"
    message = f"{_name(at)} must be {_wanted(error.schema)}, not {shown}"
    hint = None if "pattern" in error.schema else _example(error)
    yield _Finding("bad-value", message, hint, at)


def _explain_type(error: _Error, at: Path) -> Iterator[_Finding]:
    types = _types(error.schema)
    message = f"{_name(at)} must be {_but_not(error.instance, _kinds(error.schema))}"
    hint = _example(error)
    if isinstance(error.instance, dict) and "array" in types:
        hint = "begin each item of a list with `- `"
    elif "string" in types and not isinstance(error.instance, dict | list):
        hint = hint if "pattern" in error.schema else "put the value in quotes"
    yield _Finding("wrong-type", message, hint, at)


_EXPLANATIONS: dict[str, Callable[[_Error, Path], Iterator[_Finding]]] = {
    "additionalProperties": _explain_unknown,
    "required": _explain_missing,
    "enum": _explain_choice,
    "const": _explain_choice,
    "type": _explain_type,
    "not": _explain_forbidden,  # `false` would be shorter, but such an error does not say where
}


# --- words --------------------------------------------------------------------------------------


def nearest(word: str, known: Iterable[str], prefix: str = "; ") -> str:
    """*prefix* and `did you mean "…"?` where one of *known* is close to *word*, else nothing."""
    lower = {each.lower(): each for each in known}
    close = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.6)
    return f"{prefix}did you mean {quoted(lower[close[0]])}?" if close else ""


class Guesses:
    """
    `did you mean "…"?` for names that are not in *known*.

    Looking for the nearest of many names is slow, and a file can have thousands of wrong ones: it
    is done for the first twenty of them, among the first thousand.
    """

    def __init__(self, known: Iterable[str]) -> None:
        self._known = list(islice(known, 1000))
        self._made: dict[str, str] = {}

    def hint(self, word: str) -> str:
        """What was meant by *word*; empty where nothing comes to mind."""
        if word not in self._made and len(self._made) < 20:
            self._made[word] = nearest(word, self._known, prefix="")
        return self._made.get(word, "")


def quoted(word: str) -> str:
    """*word* as messages show names."""
    return json.dumps(word, ensure_ascii=False)


def _name(at: Path) -> str:
    """*at* as a person would point: `operations[2].options`, or `the file`."""
    words = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in at)
    return words.removeprefix(".") or "the file"


def _show(value: JSONValue) -> str:
    """*value*, short enough for a sentence."""
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    shown = json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= 60 else f"{shown[:57]}…"


def _but_not(value: JSONValue, wanted: str) -> str:
    """*wanted*, and what *value* is instead; of a text nothing at all, as it may be a secret."""
    if isinstance(value, str) and value:
        return wanted if wanted.startswith(("text", "one of")) else f"{wanted}, not text"
    return f"{wanted}, not {_show(value)}"


_TYPE_NAMES = {
    "string": "text",
    "object": "a mapping",
    "array": "a list",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


def _types(schema: JSONObject) -> list[str]:
    found = schema.get("type", [])
    return [found] if isinstance(found, str) else list(found)


def _kinds(schema: JSONObject) -> str:
    return _or([_TYPE_NAMES[each] for each in _types(schema)])


def _or(kinds: list[str]) -> str:
    *others, last = kinds or ["something else"]
    return f"{', '.join(others)} or {last}" if others else last


def _wanted(schema: JSONObject) -> str:
    """What *schema* asks for, in words; of several ways to say it, the first one."""
    if "anyOf" in schema:
        template = " or a template" if any(map(_is_template, schema["anyOf"])) else ""
        return _wanted(schema["anyOf"][0]) + template
    if "enum" in schema:
        return "one of " + ", ".join(str(each) for each in schema["enum"])
    if "patternErrorMessage" in schema:  # editors show it too
        return str(schema["patternErrorMessage"]).removeprefix("must be ")
    return _or([_limited(schema, each) for each in _types(schema)])


def _limited(schema: JSONObject, kind: str) -> str:
    """One type of those that *schema* allows, with its limits."""
    limit = _limit(schema, *_LIMITS[kind]) if kind in _LIMITS else None
    limits = [] if limit is None else [limit]
    if kind == "string" and "pattern" in schema:
        example = schema.get("examples", [None])[0]
        limits.append(f"matching {schema['pattern']}" if example is None else f"like {example}")
    return " ".join([_TYPE_NAMES[kind], ", ".join(limits)]).strip()


#: Names of a lower and an upper limit, and what they count.
_LIMITS = {
    "integer": ("minimum", "maximum", ""),
    "number": ("minimum", "maximum", ""),
    "string": ("minLength", "maxLength", " characters"),
    "array": ("minItems", "maxItems", " items"),
    "object": ("minProperties", "maxProperties", " keys"),
}


def _limit(schema: JSONObject, low: str, high: str, unit: str) -> str | None:
    if low in schema and schema[low] == schema.get(high):
        return f"of {schema[low]}{unit}"
    if low in schema and high in schema:
        return f"{'of' if unit else 'from'} {schema[low]} to {schema[high]}{unit}"
    if low in schema and unit and schema[low] == 1:
        return "that is not empty"
    if low in schema:
        return f"of at least {schema[low]}{unit}"
    return f"of at most {schema[high]}{unit}" if high in schema else None


def _example(error: _Error) -> str | None:
    """An example of the value that *error* is about."""
    nearby = [error.schema, error.parent.schema] if error.parent else [error.schema]
    examples = next((each["examples"] for each in nearby if "examples" in each), None)
    return f"for example {_json(examples[0])}" if examples else None


def _example_of(schema: JSONObject, key: str) -> str | None:
    """What the missing *key* could say."""
    wanted = schema.get("properties", {}).get(key, {})
    name = str(wanted.get("$ref", "")).removesuffix(_SUFFIX)
    wanted = _schemas().get(name, wanted)
    if "examples" in wanted:
        return f"for example {key}: {_json(wanted['examples'][0])}"
    return f"one of {', '.join(map(str, wanted['enum']))}" if "enum" in wanted else None


def _json(value: JSONValue) -> str:
    return json.dumps(value, ensure_ascii=False)
