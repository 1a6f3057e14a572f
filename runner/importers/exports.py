"""
Find the flows in what Directus exports.

Its Studio exports one flow (`{"version": 1, "flow": …, "operations": […]}`), `GET /flows` and
`GET /flows/:id` answer with `{"data": …}`. Lists of any of these are read as well, and flows that
were taken out of them.
"""

import codecs
import json
from collections import Counter
from collections.abc import Iterator
from typing import Final, NamedTuple

from runner import jsontext
from runner.importers import Unreadable
from runner.mistakes import shown
from runner.types import JSONObject, JSONValue

#: So many of the things that cannot be read are named.
_MAX_UNREAD: Final = 20


class Export(NamedTuple):
    """What an export holds."""

    #: Each with its `operations` in it, as `GET /flows` lists them.
    flows: list[JSONObject]
    #: What in it cannot be read, each with its place: `data[1]: …`.
    unread: list[str]


class _Unread(NamedTuple):
    #: Empty: the whole.
    at: str
    why: str


def read(content: bytes) -> Export:
    """
    The flows in *content*, as far as they can be read.

    Raises Unreadable if it is no JSON, or something else as a whole.
    """
    text = content.removeprefix(codecs.BOM_UTF8)
    try:
        value = jsontext.parse(text)
        json.loads(text, object_pairs_hook=_check_names, parse_int=str, parse_float=str)
    except ValueError as error:
        raise Unreadable(f"this is not JSON: {error}") from None
    export = Export([], [])
    more = 0
    for each in _flows(value, ""):
        if not isinstance(each, _Unread):
            export.flows.append(each)
        elif not each.at:
            raise Unreadable(each.why)
        elif len(export.unread) < _MAX_UNREAD:
            export.unread.append(f"{each.at}: {each.why}")
        else:
            more += 1
    if more:
        export.unread.append(f"and {more:,} more of these")
    return export


def _check_names(members: list[tuple[str, JSONValue]]) -> None:
    """Of two members with one name, JSON keeps the last: that is a guess, and not ours to make."""
    if len(dict(members)) < len(members):
        ((name, _),) = Counter(name for name, _ in members).most_common(1)
        raise Unreadable(f"an object in it has two members with the name {shown(name)}")


def _flows(value: JSONValue, at: str) -> Iterator[JSONObject | _Unread]:
    """The flows in *value*, and what stands in their place; *at* says where *value* stands."""
    match value:
        case list():
            for index, each in enumerate(value):
                yield from _flows(each, f"{at}[{index}]")
        case {"errors": [{"message": str(message)}, *_]}:
            yield _Unread(at, f"this is an error of Directus: {shown(message)}")
        case {"data": [*flows], "meta": {"filter_count": int(count)}} if count > len(flows):
            missing = f"these are {len(flows)} of {count} flows"
            why = f"{missing}: `limit` or Directus' QUERY_LIMIT_MAX holds back the rest"
            yield _Unread(at, why)
        case {"data": data}:
            yield from _flows(data, f"{at}.data".removeprefix("."))
        case dict() if "version" in value and "flow" in value:
            yield _of_studio(value, at)
        case dict() if "trigger" in value or "operations" in value:
            yield value
        case _:
            why = "this is neither a flow nor an export of Directus' Studio nor a list of these"
            yield _Unread(at, why)


def _of_studio(export: JSONObject, at: str) -> JSONObject | _Unread:
    version, flow, operations = export["version"], export["flow"], export.get("operations")
    if type(version) is not int or version != 1:
        which = shown(jsontext.write(version).decode())
        return _Unread(at, f"this export has version {which}; the one that is known is 1")
    if not isinstance(flow, dict) or not isinstance(operations, list):
        return _Unread(at, "this export is not whole: it needs a flow and a list of operations")
    return {**flow, "operations": operations}
