"""What a manual flow asks for, and whether a start brought it."""

import json
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time

from runner.errors import Forbidden, InvalidPayload, Malformed
from runner.model import InputField, Manual
from runner.types import JSONObject, JSONValue

_TIME = re.compile(r"\d\d:\d\d(:\d\d(\.\d+)?)?")


def compile(field: JSONObject) -> InputField:
    """
    One of `fields`. What Directus' form of it says counts too: that it is required, its choices.

    Raises Malformed for a default or a choice that the field itself would not take.
    """
    meta = field.get("meta") or {}
    compiled = InputField(
        name=field["field"],
        type=field.get("type", "string"),
        required=bool(field.get("required") or meta.get("required")),
        default=field.get("default"),
        has_default="default" in field,
        choices=tuple(field["choices"] if "choices" in field else _choices(meta)),
    )
    for index, choice in enumerate(field.get("choices", ())):
        if not _fits(compiled.type, choice):
            message = f"a choice must be of type {compiled.type}, as the field is"
            raise Malformed(message, ("choices", index))
    problem = _problem(compiled, compiled.default) if compiled.has_default else None
    if problem is not None:
        raise Malformed(f"the default does not fit: {problem}", ("default",))
    return compiled


def _choices(meta: JSONObject) -> Iterator[JSONValue]:
    """The values that Directus' form offers; none where it takes others too."""
    options = meta.get("options")
    options = options if isinstance(options, dict) else {}
    offered = options.get("choices")
    if options.get("allowOther") or not isinstance(offered, list):
        return
    for each in offered:
        if isinstance(each, dict) and "children" in each:
            yield from _choices({"options": {"choices": each["children"]}})
        else:
            yield each.get("value") if isinstance(each, dict) else each


def check_selection(manual: Manual, body: JSONObject) -> str | None:
    """
    The collection that *body* starts the flow for; None where it is not about items.

    Raises Forbidden for what the flow is not for, in Directus' order.
    """
    if manual.collections is None:
        return None
    collection, keys = body.get("collection"), body.get("keys")
    if not isinstance(collection, str):
        raise Forbidden("the body names no collection")
    if collection not in manual.collections:
        raise Forbidden(f"the flow is not for the collection {collection!r}")
    if manual.require_selection and not (isinstance(keys, list) and keys):
        raise Forbidden("the body selects no items in keys")
    return collection


def check_inputs(fields: Sequence[InputField], body: JSONObject) -> JSONObject:
    """
    *body* with the defaults of what it leaves out.

    Raises InvalidPayload naming every field that is missing or not of its type. Members that no
    field describes pass, as in Directus.
    """
    checked = {field.name: field.default for field in fields if field.has_default} | body
    problems = [text for field in fields if (text := _problem(field, checked.get(field.name)))]
    if problems:
        raise InvalidPayload(f"Invalid payload. {'; '.join(problems)}.")
    return checked


def _problem(field: InputField, value: JSONValue) -> str | None:
    if value is None:
        return f'"{field.name}" is required' if field.required else None
    if not _fits(field.type, value):
        return f'"{field.name}" must be of type {field.type}'
    if field.choices and not _chosen(field.choices, value):
        return f'"{field.name}" must be one of {", ".join(map(str, field.choices))}'
    return None


def _chosen(choices: Sequence[JSONValue], value: JSONValue) -> bool:
    """Whether *value*, or every item of it, is one of *choices*."""
    # As JSON, in which true is not 1.
    known = {json.dumps(choice, sort_keys=True) for choice in choices}
    items = value if isinstance(value, list) and value not in choices else [value]
    return all(json.dumps(item, sort_keys=True) in known for item in items)


def _fits(type_: str, value: JSONValue) -> bool:
    try:
        return _TYPES[type_](value)
    except ValueError:
        return False


def _is_text(value: JSONValue) -> bool:
    return isinstance(value, str)


def _is_integer(value: JSONValue) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: JSONValue) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_digits(value: JSONValue) -> bool:
    return isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,100}", value) is not None


def _is_decimal(value: JSONValue) -> bool:
    return (
        isinstance(value, str)
        and re.fullmatch(r"-?[0-9]{1,100}(\.[0-9]{1,100})?", value) is not None
    )


def _reads(parse: Callable[[str], object]) -> Callable[[JSONValue], bool]:
    def check(value: JSONValue) -> bool:
        return isinstance(value, str) and bool(parse(value))

    return check


def _is_time(value: JSONValue) -> bool:
    return isinstance(value, str) and bool(_TIME.fullmatch(value) and time.fromisoformat(value))


_TYPES: dict[str, Callable[[JSONValue], bool]] = {
    "string": _is_text,
    "text": _is_text,
    "csv": lambda value: isinstance(value, str | list),
    "json": lambda _: True,
    "boolean": lambda value: isinstance(value, bool),
    "integer": _is_integer,
    "bigInteger": lambda value: _is_integer(value) or _is_digits(value),
    "float": _is_number,
    "decimal": lambda value: _is_number(value) or _is_decimal(value),
    "uuid": _reads(uuid.UUID),
    "date": _reads(date.fromisoformat),
    "time": _is_time,
    "dateTime": _reads(datetime.fromisoformat),
    "timestamp": _reads(datetime.fromisoformat),
}
"""By type, whether a value is one. The names are Directus' field types."""
