"""
Find the flows in what Directus exports.

Its Studio exports one flow (`{"version": 1, "flow": …, "operations": […]}`), `GET /flows` and
`GET /flows/:id` answer with `{"data": …}`. Lists of any of these are read as well, and flows that
were taken out of them.
"""

import codecs
import json
from collections.abc import Iterator

from runner import jsontext
from runner.importers import Unreadable
from runner.mistakes import shown
from runner.types import JSONObject, JSONValue


def read(content: bytes) -> list[JSONObject]:
    """
    The flows in *content*, each with its `operations` in it, as `GET /flows` lists them.

    Raises Unreadable.
    """
    text = content.removeprefix(codecs.BOM_UTF8)
    try:
        value = jsontext.parse(text)
        json.loads(text, object_pairs_hook=_check_names, parse_int=str, parse_float=str)
    except ValueError as error:
        raise Unreadable(f"this is not JSON: {error}") from None
    return list(_flows(value))


def _check_names(members: list[tuple[str, JSONValue]]) -> None:
    """Of two members with one name, JSON keeps the last: that is a guess, and not ours to make."""
    names = [name for name, _ in members]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise Unreadable(f"an object in it has two members with the name {shown(twice)}")


def _flows(value: JSONValue) -> Iterator[JSONObject]:
    match value:
        case list():
            for each in value:
                yield from _flows(each)
        case {"errors": [{"message": str(message)}, *_]}:
            raise Unreadable(f"this is an error of Directus: {shown(message)}")
        case {"data": [*flows], "meta": {"filter_count": int(count)}} if count > len(flows):
            missing = f"these are {len(flows)} of {count} flows"
            raise Unreadable(f"{missing}: `limit` or Directus' QUERY_LIMIT_MAX holds back the rest")
        case {"data": data}:
            yield from _flows(data)
        case {"version": 1, "flow": dict(flow), "operations": list(operations)}:
            yield {**flow, "operations": operations}
        case {"version": 1, "flow": _}:
            raise Unreadable("this export is not whole: it needs a flow and a list of operations")
        case {"version": version, "flow": _}:
            which = f"this export has version {shown(str(version))}"
            raise Unreadable(f"{which}; the one that is known is 1")
        case dict() if "trigger" in value or "operations" in value:
            yield value
        case _:
            raise Unreadable("this is neither an export of Directus' Studio nor a list of flows")
