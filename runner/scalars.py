"""
What YAML text without quotes means: the core schema, exactly (YAML 1.2.2 §10.3.2).

Null, booleans, integers and floats have a few spellings; everything else is text.
"""

import math
import re
from typing import Final

from runner.errors import Malformed
from runner.types import JSONValue

_WORDS: Final[dict[str, JSONValue]] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}

#: Possessive, so that a megabyte of digits is looked at once; group 1 has no leading zeros.
_INTEGERS: Final = (
    (re.compile(r"[-+]?(?=[0-9])0*+([0-9]*+)"), 10),
    (re.compile(r"0o(?=[0-7])0*+([0-7]*+)"), 8),
    (re.compile(r"0x(?=[0-9a-fA-F])0*+([0-9a-fA-F]*+)"), 16),
)
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]++|[0-9]++(?:\.[0-9]*+)?)(?:[eE][-+]?[0-9]++)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")

#: More than any 64-bit number has, in whatever base. int() raises at thousands of digits.
_MOST_DIGITS: Final = 22


def meaning(text: str) -> JSONValue:
    """
    The value that *text* stands for, which is often *text* itself.

    Raises Malformed for a number that JSON does not have, or no 64 bits can hold.
    """
    value = _WORDS.get(text, text)
    return _number(text) if value is text and text[0] in "+-.0123456789" else value


def _number(text: str) -> int | float | str:
    """The number that *text* is, else *text*. Raises Malformed if JSON has no such number."""
    for pattern, base in _INTEGERS:
        if match := pattern.fullmatch(text):
            return _integer(match[1], base, negative=text[0] == "-")
    if _FLOAT.fullmatch(text):
        value = float(text)
        if math.isinf(value):
            raise Malformed("this number is too large", hint="put it in quotes")
        return value
    if _NOT_FINITE.fullmatch(text):
        raise Malformed(f"there is no number `{text}` in JSON", hint="put it in quotes")
    return text


def _integer(digits: str, base: int, *, negative: bool) -> int:
    """The integer, if some 64-bit type can hold it."""
    size = int(digits or "0", base) if len(digits) <= _MOST_DIGITS else 1 << 64
    value = -size if negative else size
    if not -(1 << 63) <= value < 1 << 64:
        raise Malformed("this number does not fit into 64 bits", hint="put it in quotes")
    return value
