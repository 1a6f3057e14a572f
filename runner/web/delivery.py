"""What a caller sent, as a flow sees it: `$trigger`, without what they proved themselves with."""

import base64
import re
from functools import lru_cache
from typing import Final

from aiohttp import hdrs, web

from runner.fit import well_formed
from runner.model import Webhook
from runner.redact import PLACEHOLDER, SENSITIVE
from runner.types import JSONObject
from runner.web import bodies
from runner.web.keys import SETTINGS

MAX_CREDENTIALS: Final = 200
"""A browser keeps at most 180 cookies for a site."""

_CREDENTIAL_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})

#: W3C Trace Context: version, trace id, span id, flags; later versions may have more behind it.
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:$|-)"
)


async def read(request: web.Request, webhook: Webhook | None = None) -> JSONObject:
    """
    `$trigger` of a start by *request*.

    Credential headers read `--redacted--`, unless *webhook* exposes them. Raises what
    `bodies.read` and `bodies.parse` do, and InvalidQuery.
    """
    limits = request.app[SETTINGS].limits
    max_body = (webhook and webhook.max_body) or limits.body
    body = await bodies.read(request, max_body)
    content_type = request.headers.get(hdrs.CONTENT_TYPE, "")
    return {
        "path": well_formed(request.path.removeprefix("/flows")),
        "query": bodies.query(well_formed(request.rel_url.raw_query_string)),
        "body": await bodies.parse(body, content_type, limits.json_depth),
        "method": request.method,
        "headers": _headers(request, webhook),
    }


def credentials(request: web.Request, auth_header: str = "") -> tuple[str, ...]:
    """Everything in *request* that proves somebody to be somebody; no record may show it."""
    found: list[str] = []
    for name, value in request.headers.items():
        key = name.lower()
        if key == "cookie":
            found += _cookies(value)
        elif key == auth_header or is_sensitive(key):
            found += _credential(value)
    if request.query_string:
        found += [value for name, value in request.query.items() if is_sensitive(name.lower())]
    return tuple(value for value in found if value)


@lru_cache(maxsize=1024)
def is_sensitive(name: str) -> bool:
    """Whether what stands under *name*, in lower case, is a credential, as in records."""
    return name.replace("-", "_").endswith(SENSITIVE)


def trace_id(request: web.Request) -> str | None:
    """The caller's trace, where they say one."""
    match = _TRACEPARENT.match(request.headers.get("traceparent", ""))
    return None if match is None else match[1]


def _headers(request: web.Request, webhook: Webhook | None) -> JSONObject:
    """Lower-case names; what is there twice is joined, as Node does."""
    headers: JSONObject = {}
    for name, value in request.headers.items():
        key = name.lower()
        text = well_formed(value)
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    hidden = _CREDENTIAL_HEADERS & headers.keys()
    if webhook is not None:
        hidden |= {webhook.auth.header} & headers.keys()
        hidden -= webhook.expose_headers
    for key in hidden:
        headers[key] = PLACEHOLDER
    return headers


def _credential(value: str) -> list[str]:
    """The value of a credential header, and what is in it."""
    scheme, _, rest = value.partition(" ")
    found = [value, rest.strip()]
    if scheme.lower() == "basic":
        found.append(_password(rest))
    return found


def _password(basic: str) -> str:
    try:
        return base64.b64decode(basic, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def _cookies(header: str) -> list[str]:
    return [pair.partition("=")[2].strip(' "') for pair in header.split(";")]
