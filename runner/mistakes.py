"""
The YAML parser's complaints, in words for people.

Many flows are written by people who meet YAML for the first time. A complaint says what they did
and what to write instead, in one sentence each.
"""

import re
from typing import Final, NamedTuple

MAX_SHOWN: Final = 60
"""How many characters of a file a message shows in one go."""

UNQUOTED_TEMPLATE: Final = (
    "a value that begins with `{{` must stand in quotes",
    'write "{{ … }}"',
)
"""Message and hint for the mistake that everybody makes once."""

#: A line whose value begins with `{{`.
_UNQUOTED: Final = re.compile(r"(?:[^\"'#]*(?:: |- |[\[,]))? *\{\{")


def explain(problem: str, text: str, at: int, began: int) -> tuple[str, str | None]:
    """
    Say what is wrong with *text* at the index *at*, and what to do about it if that is known.

    *problem* is what the parser says of it, *began* the index at which the thing began that the
    parser was in.
    """
    before = text[text.rfind("\n", 0, at) + 1 : at]
    after = text[at:].partition("\n")[0]
    if _UNQUOTED.match(before):
        return UNQUOTED_TEMPLATE
    line = f"{before}\0{after}"
    mistake = next(
        mistake
        for mistake in _MISTAKES
        if re.search(mistake.problem, problem) and re.search(mistake.line, line)
    )
    rest = shown(after.partition(" #")[0].strip())
    words = {
        "char": shown(after[:1]),
        "rest": rest,
        "quoted": f"'{rest}'" if '"' in rest else f'"{rest}"',
        "line": text.count("\n", 0, began) + 1,
        "problem": problem,
    }
    return mistake.message.format_map(words), mistake.hint and mistake.hint.format_map(words)


def shown(text: str) -> str:
    """*text* as a message may show it: short, and harmless to a terminal."""
    text = text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"
    return text if text.isprintable() else text.encode("unicode_escape").decode()


class _Mistake(NamedTuple):
    """
    What people do, and how it is recognised.

    *problem* is searched in what the parser says (there are two, which word it differently),
    *line* in the line it speaks of, in which a NUL marks the place.
    """

    problem: str
    line: str
    message: str
    hint: str | None = None


#: How the parsers say that a mapping or a list can only go on or end here.
_ENDED: Final = "find expected key|find expected '-'|<block end>"

#: The first that fits is said. `{char}` is the character at the place, `{rest}` the line from there
#: on, `{quoted}` the same in quotes, `{line}` the line on which what the parser was in began.
_MISTAKES: Final = (
    _Mistake("", r"\0\t", "a tab cannot indent", "use spaces"),
    _Mistake(
        "cannot start any token|alphabetic or numeric",
        "",
        "a value that begins with `{char}` must stand in quotes",
        "write {quoted}",
    ),
    _Mistake(
        "mapping values are not allowed",
        r"^[^\"']*: .*\0",
        "a value that contains `: ` must stand in quotes",
        'write key: "value"',
    ),
    _Mistake(
        "mapping values are not allowed",
        "",
        "a key cannot stand here: the value that begins above goes on in this line",
        "begin all keys of one mapping in the same column",
    ),
    _Mistake(
        "unexpected end of stream",
        "",
        "the quote that opens here is never closed",
    ),
    _Mistake(
        "Unicode character escape",
        "",
        "this escape is no character",
        "write the character itself",
    ),
    _Mistake(
        "escape",
        "",
        "this is no escape of YAML",
        "put the text in single quotes, or write each backslash twice",
    ),
    _Mistake(
        "',' or",
        "",
        "a comma is missing here, or the bracket of line {line} is not closed before",
    ),
    _Mistake(
        "node content",
        r"\0$",
        "the file ends where a value was expected",
        "close the bracket of line {line}",
    ),
    _Mistake(
        "node content",
        "",
        "a value is missing before `{char}`",
    ),
    _Mistake(
        "find expected ':'",
        "",
        "this is neither a key with a colon nor part of a value",
        "write `key: value`; a text of several lines begins with | or >",
    ),
    _Mistake(
        "comment or|chomping",
        "",
        "a text cannot begin in the line of its | or >",
        "begin it in the next line, indented",
    ),
    _Mistake(
        "entries are not allowed",
        "",
        "a list cannot begin in the line of its key",
        "begin each `- ` in a line of its own",
    ),
    _Mistake(
        _ENDED,
        r"^ *\0",
        "nothing that this line could belong to begins in its column",
        "begin all keys of one mapping, and all dashes of one list, in the same column",
    ),
    _Mistake(
        _ENDED,
        r"[\"'].*\0",
        "`{rest}` cannot follow the quote that closes before it",
        "put the whole value in one pair of quotes",
    ),
    _Mistake(
        _ENDED,
        "",
        "`{rest}` cannot follow the value that ends before it",
    ),
    _Mistake(
        "tag",
        "",
        "tags are not allowed",
        "remove it; a text that begins with ! needs quotes",
    ),
    _Mistake("", "", "this is not YAML: {problem}"),
)
