"""
The parameters one by one: what each may look like, before it means anything.

A query string knows only text, so `limit=10` is a number and `fields=a,b` a list; objects come as
JSON text or in brackets. JSON may say all of it directly.
"""

import re
from collections.abc import Mapping
from typing import Final

from runner import jsontext
from runner.operators import as_number
from runner.query.model import invalid
from runner.types import JSONObject, JSONValue

#: Names in a list.
MAX_NAMES: Final = 500
#: The integers that JSON can carry everywhere.
_SAFE: Final = 2**53 - 1

FORMATS: Final = ("csv", "csv_utf8", "json", "xml", "yaml")
COUNTS: Final = ("total_count", "filter_count")

#: Names between commas; those inside of parentheses are part of a name.
_NAME: Final = re.compile(r"(?:[^,(]++|\([^)]*+\)?)++")


def json(name: str, given: Mapping[str, JSONValue]) -> JSONValue:
    """A value that may come as JSON text; None if there is none."""
    value = given.get(name)
    if not isinstance(value, str):
        return value
    if not value:
        return None
    try:
        return jsontext.parse(value)
    except ValueError as error:
        # "nested deeper than …", or what is wrong in which line.
        deep = str(error).startswith("nested")
        raise invalid(
            f"The {name} is {error}" if deep else f"Invalid JSON for {name} object"
        ) from None


def mapping(name: str, given: Mapping[str, JSONValue]) -> JSONObject:
    """An object, empty if there is none."""
    value = json(name, given)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid(f'"{name}" must be of type object')
    return value


def names(name: str, given: Mapping[str, JSONValue], most: int = MAX_NAMES) -> list[str]:
    """A list of names, empty if there is none: one text with commas, or several."""
    value = given.get(name)
    if value is None:
        return []
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list):
        raise invalid(f'"{name}" must be an array')
    found: list[str] = []
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise invalid(f'"{name}[{index}]" must be a string')
        parts = _NAME.findall(text) if "(" in text else text.split(",")
        found += filter(None, (part.strip() for part in parts))
        if len(found) > most:
            raise invalid(f'"{name}" has more than {most} names')
    return found


def page(given: Mapping[str, JSONValue], default: int | None) -> tuple[int | None, int]:
    """How many records (None: all), and how many are left out before them."""
    limit = _integer("limit", given, -1)
    limit = default if limit is None else None if limit < 0 else limit
    offset = _integer("offset", given, 0) or 0
    number = _integer("page", given, 0)
    return limit, offset if not number or limit is None else limit * (number - 1)


def _integer(name: str, given: Mapping[str, JSONValue], least: int) -> int | None:
    value = given.get(name)
    if value is None:
        return None
    number = as_number(value)
    if number is None:
        raise invalid(f'"{name}" must be a number')
    if abs(number) > _SAFE:
        raise invalid(f'"{name}" must be a safe number')
    if number % 1:
        raise invalid(f'"{name}" must be an integer')
    if number < least:
        raise invalid(f'"{name}" must be greater than or equal to {least}')
    return int(number)


def search(given: Mapping[str, JSONValue]) -> str | None:
    """A text to look for."""
    value = given.get("search")
    if value is not None and not isinstance(value, str):
        raise invalid('"search" must be a string')
    return value or None


def meta(given: Mapping[str, JSONValue]) -> tuple[str, ...]:
    """The counts that are wanted beside the answer."""
    wanted = names("meta", given)
    if "*" in wanted:
        return COUNTS
    for index, name in enumerate(wanted):
        if name not in COUNTS:
            raise invalid(f'"meta[{index}]" must be one of [{", ".join(COUNTS)}]')
    return tuple(name for name in COUNTS if name in wanted)


def export(given: Mapping[str, JSONValue]) -> str | None:
    """The format of the file that is wanted."""
    value = given.get("export")
    if value is None or value == "":
        return None
    if not isinstance(value, str) or value not in FORMATS:
        raise invalid(f'"export" must be one of [{", ".join(FORMATS)}]')
    return value
