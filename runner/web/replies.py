"""Answer what the `response` of a webhook says."""

import re
from collections.abc import Mapping
from typing import Final

from aiohttp import hdrs, web
from multidict import CIMultiDict

from runner import jsontext
from runner.types import JSONObject, JSONValue

_STATUS: Final = re.compile("[2-5][0-9]{2}")
_WITHOUT_BODY: Final = (204, 205, 304)

_DEFAULTS: Final = {
    str(hdrs.CONTENT_TYPE): "application/json; charset=utf-8",
    str(hdrs.CACHE_CONTROL): "no-cache",
}
_JSON: Final = re.compile(r"[^/]+/([^;]*\+)?json\s*(;.*)?", re.IGNORECASE)
#: What would end the line, and with it the header.
_CONTROL: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f]")
_MAX_HEADER: Final = 8190


def reply(said: JSONObject, ours: Mapping[str, str]) -> web.Response:
    """
    What *said* says: `{status, headers, body}`, each of which may be missing.

    A body is JSON; text of another content type is sent as it is. The headers in *ours* win.
    Raises ValueError, in a sentence, for what cannot be said over HTTP.
    """
    status, body = _status(said.get("status")), said.get("body")
    headers = CIMultiDict(_headers(said.get("headers", {})))
    headers.update(ours)
    if body is None or status in _WITHOUT_BODY:
        return web.Response(status=status or 204, headers=headers)
    for name, value in _DEFAULTS.items():
        headers.setdefault(name, value)
    kind = headers[hdrs.CONTENT_TYPE]
    if isinstance(body, str) and not _JSON.fullmatch(kind):
        content = body.encode("utf-8", "replace")
        if kind.startswith("text/") and "charset" not in kind:
            headers[hdrs.CONTENT_TYPE] = f"{kind}; charset=utf-8"
    else:
        content = jsontext.write(body)
    return web.Response(status=status or 200, headers=headers, body=content)


def _status(value: JSONValue) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not _STATUS.fullmatch(str(value)):
        raise ValueError("the status of a response is a number from 200 to 599")
    return int(str(value))


def _headers(said: JSONObject) -> dict[str, str]:
    """Headers as they are sent; one that is null is left out."""
    return {name: _text(name, value) for name, value in said.items() if value is not None}


def _text(name: str, value: JSONValue) -> str:
    plain = isinstance(value, str | int | float) and not isinstance(value, bool)
    text = str(value)
    if not plain or len(text) > _MAX_HEADER or _CONTROL.search(text):
        raise ValueError(f"the header {name} is no text of one line, or is too long")
    return text.encode("utf-8", "replace").decode()
