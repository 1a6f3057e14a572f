"""Read the flows of a Directus that runs, with one request."""

import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import IO, Final

from runner import jsontext
from runner.importers import MAX_BYTES, Unreadable
from runner.mistakes import shown

TIMEOUT: Final = 30.0
"""Seconds without a byte after which a server is given up."""

DEADLINE: Final = 300.0
"""Seconds after which an answer that still goes on is given up."""

#: All flows with all their operations: lists inside of an answer end at 100 unless told otherwise.
_QUERY: Final = {
    "fields": "*,operations.*",
    "limit": "-1",
    "deep[operations][_limit]": "-1",
    "meta": "filter_count",
}


def fetch(url: str, token: str | None = None) -> bytes:
    """
    What the Directus at *url* answers to `GET /flows`.

    *token* goes to no other server. Raises Unreadable with what keeps the flows from being read.
    """
    address = f"{_base(url)}/flows?{urllib.parse.urlencode(_QUERY)}"
    request = urllib.request.Request(address, headers=_headers(token))  # noqa: S310 - it is HTTP
    opener = urllib.request.build_opener(_SameServer)
    try:
        with opener.open(request, timeout=TIMEOUT) as response:
            return _body(response)
    except urllib.error.HTTPError as error:
        with error:
            raise Unreadable(_refusal(error)) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        reason = getattr(reason, "strerror", None) or reason
        raise Unreadable(f"it cannot be reached: {shown(str(reason))}") from None


def _base(url: str) -> str:
    """*url* less what does not belong to it. Raises Unreadable."""
    try:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.username is None:
            return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    except ValueError:
        pass  # it is none either
    raise Unreadable("the URL of a Directus is written like https://directus.example.com")


def _headers(token: str | None) -> dict[str, str]:
    headers = {"Accept": "application/json"}
    if token is not None:
        if not (token.isascii() and token.isprintable()) or not token.strip():
            raise Unreadable("the token is empty, or has characters that no token has")
        headers["Authorization"] = f"Bearer {token}"
    return headers


def _body(response: http.client.HTTPResponse) -> bytes:
    deadline = time.monotonic() + DEADLINE
    body = bytearray()
    while chunk := response.read1(1 << 16):
        body += chunk
        if len(body) > MAX_BYTES:
            raise Unreadable(f"the answer is longer than {MAX_BYTES >> 20} MiB")
        if time.monotonic() > deadline:
            raise Unreadable(f"the answer was not complete after {DEADLINE:.0f} seconds")
    return bytes(body)


def _refusal(error: urllib.error.HTTPError) -> str:
    """What the server says instead of flows, in a sentence."""
    reason = {
        401: "the token is not valid",
        403: "the caller may not read flows and operations: give a token of a user who may",
        404: "there is no Directus at this URL",
    }.get(error.code, f"it answered {error.code} {shown(error.reason)}")
    try:
        answer = jsontext.parse(error.read(1 << 16))
        said = answer["errors"][0]["message"]  # type: ignore[index,call-overload]
    except (OSError, http.client.HTTPException, ValueError, KeyError, IndexError, TypeError):
        return reason
    return f"{reason} ({shown(str(said))})"


class _SameServer(urllib.request.HTTPRedirectHandler):
    """Follows redirections as long as they stay where the token belongs."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        asked, led = urllib.parse.urlsplit(req.full_url), urllib.parse.urlsplit(newurl)
        if (asked.scheme, asked.netloc) != (led.scheme, led.netloc):
            elsewhere = shown(f"{led.scheme}://{led.netloc}")
            raise Unreadable(f"it leads to {elsewhere}: give that URL, if it is the right one")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
