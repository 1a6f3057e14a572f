"""What a caller sent, as a flow sees it: `$trigger`, without what they proved themselves with."""

import base64
import re
from functools import lru_cache
from typing import Final, NamedTuple

from aiohttp import hdrs, web

from runner.errors import ContentTooLarge
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


class Delivery(NamedTuple):
    """What one request brought."""

    #: Becomes `$trigger`.
    data: JSONObject
    #: Everything in it that proves somebody to be somebody; no record may show it.
    credentials: tuple[str, ...]
    #: The caller's W3C trace, where they say one.
    trace_id: str | None


async def read(request: web.Request, webhook: Webhook | None = None) -> Delivery:
    """
    What a start by *request* has to go on.

    Credential headers read `--redacted--`, unless *webhook* exposes them. Raises what
    `bodies.read` and `bodies.parse` do, InvalidQuery, and ContentTooLarge for too many cookies.
    """
    limits = request.app[SETTINGS].limits
    headers, found = _headers(request, "" if webhook is None else webhook.auth.header)
    if len(found) > MAX_CREDENTIALS:
        # Every record is searched for every one of them.
        raise ContentTooLarge("The request has too many cookies.")
    body = await bodies.read(request, (webhook and webhook.max_body) or limits.body)
    if found:
        _hide_credentials(headers, webhook)
    data = {
        "path": well_formed(request.path.removeprefix("/flows")),
        "query": bodies.query(well_formed(request.rel_url.raw_query_string)),
        "body": await bodies.parse(
            body, request.headers.get(hdrs.CONTENT_TYPE, ""), limits.json_depth
        ),
        "method": request.method,
        "headers": headers,
    }
    return Delivery(data, found, _trace_id(headers.get("traceparent")))


def credentials(request: web.Request, auth_header: str = "") -> tuple[str, ...]:
    """Values in *request* that prove somebody to be somebody."""
    return _headers(request, auth_header)[1]


@lru_cache(maxsize=1024)
def is_sensitive(name: str) -> bool:
    """Whether what stands under *name*, in lower case, is a credential, as in records."""
    return name.replace("-", "_").endswith(SENSITIVE)


def _trace_id(traceparent: str | None) -> str | None:
    match = None if traceparent is None else _TRACEPARENT.match(traceparent)
    return None if match is None else match[1]


def _headers(request: web.Request, auth_header: str) -> tuple[JSONObject, tuple[str, ...]]:
    """
    Headers as Node has them, and the credentials in them and in the query.

    Names are in lower case; what is there twice is joined.
    """
    headers: JSONObject = {}
    found: list[str] = []
    for name, value in request.headers.items():
        key = name.lower()
        text = value if value.isascii() else well_formed(value)
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
        if is_sensitive(key) or key == auth_header:
            found += _cookies(value) if key == "cookie" else _credential(value)
    if request.query_string:
        found += [value for name, value in request.query.items() if is_sensitive(name.lower())]
    return headers, tuple(filter(None, found))


def _hide_credentials(headers: JSONObject, webhook: Webhook | None) -> None:
    hidden = _CREDENTIAL_HEADERS & headers.keys()
    if webhook is not None:
        hidden |= {webhook.auth.header} & headers.keys()
        hidden -= webhook.expose_headers
    for key in hidden:
        headers[key] = PLACEHOLDER


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
