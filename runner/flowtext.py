"""
Write flow data as YAML text, the way a person would.

Block style, no more quotes than needed, several lines as several lines. What is written here,
`yaml12` reads back as the same data; and as far as it is in our hands, so do readers that keep to
YAML 1.1, for which `on` is no text.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Final

from runner import scalars
from runner.errors import Malformed
from runner.types import JSONObject, JSONValue, Path

_NO_COMMENTS: Final[Mapping[Path, str]] = {}


def write(data: JSONObject, comments: Mapping[Path, str] = _NO_COMMENTS) -> str:
    """
    The text of *data*, its keys in the order they have.

    *comments* stand above what is at their path; that at `()` begins the text. Raises ValueError
    for numbers that JSON does not have.
    """
    lines = [*_comment(comments.get((), ""), "")]
    lines += _Writer(comments).block(data, (), "") if data else ["{}"]
    return "\n".join(lines) + "\n"


# --- lines --------------------------------------------------------------------------------------


class _Writer:
    """Gives the lines of mappings and lists. `indent` is the column of a block, as blanks."""

    def __init__(self, comments: Mapping[Path, str]) -> None:
        self.comments = comments

    def block(self, value: JSONValue, at: Path, indent: str) -> Iterator[str]:
        """The lines of a mapping or list that is not empty."""
        if isinstance(value, dict):
            for key, each in value.items():
                yield from self._above((*at, key), indent)
                *before, prefix = _key(key)
                yield from (f"{indent}{line}" for line in before)
                yield from self._entry(f"{indent}{prefix}", each, (*at, key), indent)
        elif isinstance(value, list):
            for index, each in enumerate(value):
                yield from self._above((*at, index), indent)
                yield from self._item(each, (*at, index), indent)

    def _above(self, at: Path, indent: str) -> Iterator[str]:
        return _comment(self.comments.get(at, ""), indent)

    def _item(self, value: JSONValue, at: Path, indent: str) -> Iterator[str]:
        """One item of a list; a block in it begins in the line of its dash."""
        if not isinstance(value, dict | list) or _inline(value) is not None:
            yield from self._entry(f"{indent}-", value, at, indent)
            return
        first = True
        for line in self.block(value, at, f"{indent}  "):
            if first and line.lstrip().startswith("#"):  # what it is about begins with the dash
                yield line[2:]
            else:
                yield f"{indent}- {line[len(indent) + 2 :]}" if first else line
                first = False

    def _entry(self, prefix: str, value: JSONValue, at: Path, indent: str) -> Iterator[str]:
        """What stands behind and below *prefix*, a key with its colon or a dash."""
        inline = _inline(value)
        if inline is not None:
            yield f"{prefix} {inline}"
        elif isinstance(value, str):
            header, lines = _literal(value)
            yield f"{prefix} {header}"
            yield from (f"{indent}  {line}" if line else "" for line in lines)
        else:
            yield prefix
            yield from self.block(value, at, f"{indent}  ")


def _comment(text: str, indent: str) -> Iterator[str]:
    for line in text.splitlines():
        shown = line if line.isprintable() else line.encode("unicode_escape").decode()
        yield f"{indent}# {shown}".rstrip()


#: The parser looks for the colon of a key within 1024 characters, if it is not told where one
#: begins (YAML 1.2.2 §7.4.2).
_LONG_KEY: Final = 1000


def _key(key: str) -> list[str]:
    """The lines of a key; its value goes on in the last."""
    text = _plain(key) or _quoted(key)
    return [f"{text}:"] if len(text) < _LONG_KEY else [f"? {text}", ":"]


# --- scalars ------------------------------------------------------------------------------------

#: So many numbers stand in one line, such as a position: `[19, 1]`.
_FEW: Final = 4


def _inline(value: JSONValue) -> str | None:
    """*value* in one line, or None where it takes several."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return _float(value)
        case str():
            return None if _is_literal(value) else _plain(value) or _quoted(value)
        case list() if len(value) <= _FEW and all(type(each) is int for each in value):
            return f"[{', '.join(map(str, value))}]"
    return None if value else "{}"


def _float(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError(f"JSON has no number {value}")
    text = repr(value)
    # YAML 1.1 takes an exponent for one only behind a dot.
    return text if "." in text else text.replace("e", ".0e")


#: Text that stands for itself without quotes in any line of a block.
_PLAIN: Final = re.compile(r"""[^-\s?:,\[\]{}#&*!|>'"%@`](?:[^:#]|:(?=\S)|(?<=\S)#)*+(?<!\s)""")

#: What is something else than text by YAML 1.1: booleans, numbers in base 60, dates, and more.
_NOT_TEXT: Final = re.compile(
    r"y|n|yes|no|on|off|=|<<|\.\.\.|[-+]?[0-9][0-9_:.]*|[-+]?0(?:b[01_]+|x[0-9a-f_]+)"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[t ].*)?",
    re.IGNORECASE,
)


def _plain(text: str) -> str | None:
    """*text* as it is, if it can be read in no other way."""
    if not text.isprintable() or "{{" in text or not _PLAIN.fullmatch(text):
        return None
    try:
        return None if _NOT_TEXT.fullmatch(text) or scalars.meaning(text) != text else text
    except Malformed:
        return None


def _quoted(text: str) -> str:
    """*text* in the quotes that leave more of it as it is."""
    if text.isprintable() and "'" not in text and ('"' in text or "\\" in text):
        return f"'{text}'"
    # JSON's escapes are YAML's too; what nobody sees has to be one of them.
    return "".join(
        char if char.isprintable() else _escape(char)
        for char in json.dumps(text, ensure_ascii=False)
    )


def _escape(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


#: What YAML 1.2 does not call printable (§5.1), and what breaks lines in YAML 1.1 and elsewhere.
_UNFIT: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]"
)


def _is_literal(text: str) -> bool:
    """Whether *text* is written in several lines: it has some, and YAML can hold them as is."""
    return "\n" in text.strip("\n") and _UNFIT.search(text) is None


def _literal(text: str) -> tuple[str, list[str]]:
    """The header of a literal block (YAML 1.2.2 §8.1.1), and its lines."""
    # Blanks that begin the text would be taken for its indentation.
    indentation = "2" if text[0] in " \t\n" else ""
    if not text.endswith("\n"):
        return f"|{indentation}-", text.split("\n")
    chomping = "+" if text.endswith("\n\n") else ""
    return f"|{indentation}{chomping}", text[:-1].split("\n")
