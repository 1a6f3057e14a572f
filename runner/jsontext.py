"""Read and write JSON, the way the rest of the package means it."""

import orjson

from runner import fit
from runner.types import JSONValue

#: What `parse` refuses to go beyond when it is not told otherwise.
MAX_DEPTH = 100

#: What `as_text` writes at most, in bytes.
MAX_TEXT = 16 << 20


def parse(text: bytes | str, max_depth: int = MAX_DEPTH) -> JSONValue:
    """
    The value that *text* says.

    Raises ValueError, in a sentence, for what RFC 8259 does not allow (NaN, lone surrogates) and
    for nesting deeper than *max_depth*. Integers beyond 64 bits become floats, as in JavaScript.
    """
    try:
        value: JSONValue = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if "depth" in error.msg:  # beyond what any parser does
            raise ValueError(f"nested deeper than {max_depth}") from None
        raise ValueError(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    if _may_be_deep(text, max_depth) and _is_deeper(value, max_depth):
        raise ValueError(f"nested deeper than {max_depth}")
    return value


def write(value: JSONValue) -> bytes:
    """Compact JSON. Raises ValueError for what JSON cannot say."""
    try:
        return orjson.dumps(value)
    except TypeError as error:  # orjson.JSONEncodeError is one
        raise ValueError(f"this value cannot be written as JSON: {error}") from None


def as_text(value: JSONValue) -> str:
    """
    Text as it is, everything else as JSON.

    Raises ValueError for what JSON cannot say, and for more than about 16 MiB: the parts of a
    value may share what they hold, and sixty operations that each make a pair of `$last` would
    fill any memory.
    """
    if isinstance(value, str):
        return value
    if not fit.is_small(value, MAX_TEXT):
        raise ValueError("this value is too large to be written as text")
    return write(value).decode()


def _may_be_deep(text: bytes | str, max_depth: int) -> bool:
    # Counting brackets costs nothing beside parsing, and nearly always settles it.
    if isinstance(text, str):
        return text.count("[") + text.count("{") > max_depth
    return text.count(b"[") + text.count(b"{") > max_depth


def _is_deeper(value: JSONValue, max_depth: int) -> bool:
    level = [value]
    for _ in range(max_depth):
        level = [
            child
            for each in level
            if isinstance(each, dict | list)
            for child in (each.values() if isinstance(each, dict) else each)
        ]
    return any(isinstance(each, dict | list) for each in level)
