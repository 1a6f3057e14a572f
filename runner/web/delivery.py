"""What a caller sent, as a flow sees it: `$trigger`, without what they proved themselves with."""

import base64
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

from aiohttp import hdrs, web

from runner.errors import ContentTooLarge, RunnerError
from runner.fit import well_formed
from runner.model import Webhook
from runner.redact import PLACEHOLDER, SENSITIVE
from runner.types import JSONObject
from runner.web import bodies, callers
from runner.web.keys import RECORDER, SETTINGS
from runner.web.repeats import Proof

#: A browser keeps at most 180 cookies for a site.
_MAX_CREDENTIALS: Final = 200

_NONE: Final[frozenset[str]] = frozenset()
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
    #: What *verify* said of it.
    proof: Proof | None = None


async def read(
    request: web.Request,
    webhook: Webhook | None = None,
    verify: Callable[[bytes], Proof] | None = None,
) -> Delivery:
    """
    What a start by *request* has to go on.

    *verify* sees the bytes of the body before anything is made of them. Credential headers read
    `--redacted--`, unless *webhook* exposes them. Raises what *verify*, `bodies.read` and
    `bodies.parse` do, InvalidQuery, and ContentTooLarge for too many cookies.
    """
    limits = request.app[SETTINGS].limits
    headers, found = _headers(request, _NONE if webhook is None else webhook.auth_headers)
    _check_number(found)
    body = await bodies.read(request, (webhook and webhook.max_body) or limits.body)
    proof = None if verify is None else verify(body)
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
    return Delivery(data, found, trace_id(headers.get("traceparent")), proof)


def credentials(request: web.Request) -> tuple[str, ...]:
    """What in *request* proves somebody to be somebody. Raises ContentTooLarge for too much."""
    _, found = _headers(request, _NONE)
    _check_number(found)
    return found


def first_credentials(
    request: web.Request, auth_headers: frozenset[str] = _NONE
) -> tuple[str, ...]:
    """The same for the record of a request that is refused: not all, where there are too many."""
    return _headers(request, auth_headers)[1][:_MAX_CREDENTIALS]


def _check_number(found: tuple[str, ...]) -> None:
    # Every record is searched for every one of them.
    if len(found) > _MAX_CREDENTIALS:
        raise ContentTooLarge("The request has too many cookies.")


def record_refusal(
    request: web.Request,
    error: RunnerError,
    auth_headers: frozenset[str] = _NONE,
    *,
    severity: str | None = None,
    flow: str | None = None,
    trigger: str | None = None,
) -> None:
    """One record for what starts nothing: the cause that the caller is not told."""
    request.app[RECORDER].emit(
        "trigger.refused",
        severity=severity,
        flow=flow,
        trigger=trigger,
        error={
            "name": type(error).__name__,
            "message": getattr(error, "reason", error.message),
            "code": error.code,
        },
        data={
            "status": error.status,
            "method": request.method,
            "path": request.path,
            "ip": callers.address(request),
        },
        credentials=first_credentials(request, auth_headers),
    )


@lru_cache(maxsize=1024)
def is_sensitive(name: str) -> bool:
    """Whether what stands under *name*, in lower case, is a credential, as in records."""
    return name.replace("-", "_").endswith(SENSITIVE)


def trace_id(traceparent: str | None) -> str | None:
    """The trace that the value of a `traceparent` header names."""
    match = None if traceparent is None else _TRACEPARENT.match(traceparent)
    return None if match is None else match[1]


def _headers(
    request: web.Request, auth_headers: frozenset[str]
) -> tuple[JSONObject, tuple[str, ...]]:
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
        if key in auth_headers or is_sensitive(key):
            found += _cookies(value) if key == "cookie" else _credential(value)
    if request.query_string:
        found += [value for name, value in request.query.items() if is_sensitive(name.lower())]
    return headers, tuple(filter(None, found))


def _hide_credentials(headers: JSONObject, webhook: Webhook | None) -> None:
    hidden = _CREDENTIAL_HEADERS & headers.keys()
    if webhook is not None:
        hidden |= webhook.auth_headers & headers.keys()
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
