"""Names of fields as callers write them: `name`, `operation.key`, `year(date_created)`."""

import json
import re
from typing import Final

from runner.operators import FUNCTIONS
from runner.query.model import Collection, Column, Type, invalid

#: How many names a path may have: the field, and the relations that lead to it.
MAX_DEPTH: Final = 10
#: Characters of a name; a longer one is none of a field.
_MAX_NAME: Final = 300
_MAX_SHOWN: Final = 60

#: `operation.year(date_created)`; the relations may as well stand inside.
_CALL: Final = re.compile(r"(?:([^()]*)\.)?(\w++)\(([^(),]*+)(?:,([^()]*+))?\)")

#: What `json` finds its way by: `items[0].name`, `[0]`.
_PATH: Final = re.compile(r"(?:[\w -]+|\[[0-9]{1,9}\])(?:\.[\w -]+|\[[0-9]{1,9}\])*")


def shown(name: str) -> str:
    """A name that a caller wrote, as a message may show it: short, in quotes, harmless."""
    text = name if len(name) <= _MAX_SHOWN else f"{name[: _MAX_SHOWN - 1]}…"
    return json.dumps(text, ensure_ascii=not text.isprintable())


def unknown(name: str, collection: Collection) -> str:
    """What to say of a field that is not there."""
    return f'There is no field {shown(name)} in "{collection.name}"'


def split(text: str) -> list[str]:
    """
    The names of a path; a function is part of the last one.

    `operation.year(date_created)` and `year(operation.date_created)` are the same.
    """
    if len(text) > _MAX_NAME:
        return [text]
    call = _CALL.fullmatch(text)
    if call is None:
        return text.split(".")
    before, function, argument, path = call.groups()
    inside = argument if before is None else f"{before}.{argument}"
    *relations, field = [each.strip() for each in inside.split(".")]
    more = "" if path is None else f",{path.strip()}"
    return [*relations, f"{function}({field}{more})"]


def find(name: str, collection: Collection) -> Column | None:
    """
    The column that one name of a path means; None if there is no such field.

    Raises InvalidQuery for a function that does not exist, or cannot be applied to the field.
    """
    field = collection.fields.get(name)
    if field is not None:
        return Column(name, field.type)
    call = _CALL.fullmatch(name) if name.endswith(")") and len(name) <= _MAX_NAME else None
    if call is None:
        return None
    _, function, argument, path = call.groups()
    if function not in FUNCTIONS and function != "json":
        raise invalid(f"There is no function {shown(function)}")
    field = collection.fields.get(argument)
    if field is None:
        return None
    if not _applies(function, field.type) or (path is None) is (function == "json"):
        raise invalid(f"{shown(name)} cannot be computed")
    if function == "json":
        return _json(argument, path)
    return Column(argument, Type.INTEGER, function)


def _applies(function: str, type_: Type) -> bool:
    if function == "json":
        return type_ is Type.JSON
    return type_ in ((Type.JSON, Type.ALIAS) if function == "count" else (Type.TIMESTAMP,))


def _json(field: str, path: str) -> Column:
    if not _PATH.fullmatch(path):
        raise invalid(f"{shown(path)} is no path into JSON")
    column = Column(field, Type.JSON, "json", path)
    if len(column.steps) > MAX_DEPTH:
        raise invalid(f"{shown(path)} has more than {MAX_DEPTH} steps")
    return column
