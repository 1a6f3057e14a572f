"""
Answers as files: CSV, JSON, XML and YAML, laid out as Directus lays them out.

Values are written as they are. A text that begins with `=` stays one in a CSV: a program that
reads the file wants the value, and what a spreadsheet makes of it is the spreadsheet's business.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple, TypeAlias

from runner import flowtext
from runner.query.model import invalid
from runner.types import JSONObject, JSONValue

#: Values in a file with those inside of JSON, and cells of a table: there, every name inside of
#: JSON is a column, if only one record has it.
MAX_CELLS: Final = 500_000

_Data: TypeAlias = Sequence[JSONObject] | JSONObject


class File(NamedTuple):
    """Something to save."""

    content: bytes
    content_type: str
    name: str


def write(format_: str, data: _Data, collection: str, now: datetime) -> File:
    """
    Write *data*, records or one of them, in one of `parameters.FORMATS`.

    The file is named after *collection* and *now*. Raises InvalidQuery for a table with more
    columns than anybody means, and for too many values in any other file.
    """
    if not _is_small(data):
        raise invalid(f"The file would have more than {MAX_CELLS} values, ask for fewer fields")
    layout = _LAYOUTS[format_]
    name = f"{collection} {now:%Y%m%d-%H%M%S}.{layout.ending}"
    content = layout.text(data).encode("utf-8", "replace")
    return File(content, f"{layout.content_type}; charset=utf-8", name)


def _is_small(data: _Data) -> bool:
    """Whether there are at most MAX_CELLS values; looks at no more than that."""
    left = MAX_CELLS
    todo: list[JSONValue] = [data] if isinstance(data, dict) else [*data]
    while todo and left > 0:
        value = todo.pop()
        left -= 1
        if isinstance(value, dict | list):
            left -= len(value)
            inside = value.values() if isinstance(value, dict) else value
            todo += [each for each in inside if isinstance(each, dict | list)]
    return left >= 0


# --- csv ----------------------------------------------------------------------------------------


def _csv(data: _Data) -> str:
    """A column for each name, in the order in which they are first seen; no records, no text."""
    rows = [dict(_flat(record)) for record in ([data] if isinstance(data, dict) else data)]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if len(columns) * len(rows) > MAX_CELLS:
        raise invalid(f"The table would have more than {MAX_CELLS} cells, ask for fewer fields")
    lines = [map(_cell, columns)] if rows else []
    lines += [map(_cell, map(row.get, columns)) for row in rows]
    return "\n".join(",".join(line) for line in lines)


def _csv_utf8(data: _Data) -> str:
    """The same, with the mark by which spreadsheets know UTF-8."""
    return f"\ufeff{_csv(data)}"


def _flat(record: JSONObject, above: str = "") -> Iterator[tuple[str, JSONValue]]:
    """The members of an object; those of objects inside of it have dots in their names."""
    for name, value in record.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _cell(value: JSONValue) -> str:
    """Text in quotes, lists as JSON in quotes, the rest bare."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else _compact(value)
    return '"' + text.replace('"', '""') + '"' if isinstance(value, str | list | dict) else text


def _compact(value: JSONValue) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# --- json, yaml ---------------------------------------------------------------------------------


def _json(data: _Data) -> str:
    return json.dumps(data, indent="\t", ensure_ascii=False)


def _yaml(data: _Data) -> str:
    if isinstance(data, dict):
        return flowtext.write(data)
    return "".join(map(_yaml_item, data)) or "[]\n"


def _yaml_item(record: JSONObject) -> str:
    return "- " + re.sub(r"\n(?=[^\n])", "\n  ", flowtext.write(record))


# --- xml ----------------------------------------------------------------------------------------

_NOT_IN_NAMES: Final = re.compile(r"^(?![A-Za-z_])|[^A-Za-z0-9_.-]")
#: What XML 1.0 cannot hold, not even as a reference (§2.2).
_NOT_IN_TEXTS: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

#: A reader would take a bare return for the end of a line. `xml.sax.saxutils` has this, too, and
#: takes 50 ms to load.
_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})


def _xml(data: _Data) -> str:
    """An element for each member, named after it, and several for a list."""
    inside = data if isinstance(data, dict) else {"data": [*data]}
    return "\n".join(("<?xml version='1.0'?>", *_elements("data", inside, "")))


def _elements(name: str, value: JSONValue, indent: str) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from _elements(name, each, indent)
    elif not isinstance(value, dict):
        text = value if isinstance(value, str) else _compact(value)
        text = _NOT_IN_TEXTS.sub("\ufffd", text)
        yield f"{indent}<{name}>{text.translate(_ESCAPES)}</{name}>"
    elif not value:
        yield f"{indent}<{name}/>"
    else:
        yield f"{indent}<{name}>"
        for key, each in value.items():
            yield from _elements(_NOT_IN_NAMES.sub("_", key), each, f"{indent}    ")
        yield f"{indent}</{name}>"


# --- the table ----------------------------------------------------------------------------------


class _Layout(NamedTuple):
    ending: str
    content_type: str
    text: Callable[[_Data], str]


_LAYOUTS: Final[Mapping[str, _Layout]] = {
    "csv": _Layout("csv", "text/csv", _csv),
    "csv_utf8": _Layout("csv", "text/csv", _csv_utf8),
    "json": _Layout("json", "application/json", _json),
    "xml": _Layout("xml", "text/xml", _xml),
    "yaml": _Layout("yaml", "text/yaml", _yaml),
}
