"""
Whether what arrived is what somebody who has the secret has sent, and lately.

How a sender signs is a `Scheme`, which is only data: presets fill one in. Formulas are those that
the senders publish; Standard Webhooks is the specification of that name. Bytes go in, and a refusal
or nothing comes out: no sockets, no clock.
"""

import base64
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from runner.errors import InvalidCredentials

TOLERANCE: Final = 300.0
"""Seconds between the clocks of sender and receiver that senders' own libraries allow."""

_FIELD: Final = re.compile(r"\{(body|timestamp|id)\}")
_TIMESTAMP: Final = re.compile("[0-9]{1,12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """How a sender signs. Names of headers are in lower case."""

    #: Where the signature is.
    header: str
    #: `sha256`, `sha384` or `sha512`, always as HMAC.
    algorithm: str = "sha256"
    #: `hex` or `base64`.
    encoding: str = "hex"
    #: What stands before a signature, as `sha256=` does.
    prefix: str = ""
    #: What stands between several parts of the header; empty: it has one.
    separator: str = ""
    #: What is signed; `{body}`, `{timestamp}` and `{id}` stand for what was sent.
    signed: str = "{body}"
    #: The header that says when it was sent, in seconds since 1970; empty: none does.
    timestamp: str = ""
    #: The part of the signature's own header that does, as `t` in `t=1492774577,v1=…`.
    timestamp_param: str = ""
    #: Seconds that it may be old, or ahead of our clock.
    tolerance: float = TOLERANCE
    #: The header that names the delivery: one that is sent again has the same.
    id: str = ""
    #: The secret is the key in base64, behind `whsec_`; otherwise its text is the key.
    encoded_key: bool = False

    @property
    def dated(self) -> bool:
        """Whether it says when it was sent; what does not can be sent again, for ever."""
        return bool(self.timestamp or self.timestamp_param)

    @property
    def headers(self) -> tuple[str, ...]:
        """Everything that `verify` reads; `id` only where it is signed."""
        id_ = self.id if "id" in self.fields else ""
        return tuple(filter(None, (self.header, self.timestamp, id_)))

    @property
    def fields(self) -> frozenset[str]:
        """What of `body`, `timestamp` and `id` is signed."""
        return frozenset(_FIELD.findall(self.signed))


PRESETS: Final[Mapping[str, Scheme]] = MappingProxyType(
    {
        "bitbucket": Scheme(header="x-hub-signature", prefix="sha256=", id="x-request-uuid"),
        "gitea": Scheme(header="x-gitea-signature", id="x-gitea-delivery"),
        "github": Scheme(header="x-hub-signature-256", prefix="sha256=", id="x-github-delivery"),
        "shopify": Scheme(
            header="x-shopify-hmac-sha256", encoding="base64", id="x-shopify-webhook-id"
        ),
        "slack": Scheme(
            header="x-slack-signature",
            prefix="v0=",
            signed="v0:{timestamp}:{body}",
            timestamp="x-slack-request-timestamp",
        ),
        # Its `v0` is for tests only. The text of the secret is the key, `whsec_` included.
        "stripe": Scheme(
            header="stripe-signature",
            prefix="v1=",
            separator=",",
            signed="{timestamp}.{body}",
            timestamp_param="t",
        ),
        # Its `v1a` has no secret but a public key, and every sender of it sends `v1` too.
        "standard-webhooks": Scheme(
            header="webhook-signature",
            encoding="base64",
            prefix="v1,",
            separator=" ",
            signed="{id}.{timestamp}.{body}",
            timestamp="webhook-timestamp",
            id="webhook-id",
            encoded_key=True,
        ),
    }
)
"""By kind of `auth`, how those sign that call themselves so."""


def key(scheme: Scheme, secret: str) -> bytes:
    """The key that *secret* is. Raises ValueError, without a word of it, where it cannot be one."""
    if not scheme.encoded_key:
        return _bytes(secret)
    text = secret.removeprefix("whsec_")
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        decoded = b""
    if not decoded:
        raise ValueError("it must be a key in base64, like whsec_MfKQ9r8GKYqrTwjUPD8ILPZI")
    return decoded


def verify(
    scheme: Scheme, keys: Sequence[bytes], headers: Mapping[str, str], body: bytes, now: float
) -> bytes:
    """
    What was signed: *body*, and what else the scheme has; raises InvalidCredentials, with the
    cause, unless it is signed with one of *keys*.

    *headers* has those of `scheme.headers` that came, by lower-case name; what in them is no UTF-8
    is a lone surrogate. *now* is in seconds since 1970.
    """
    sent = headers.get(scheme.header, "")
    parts = [part.strip() for part in sent.split(scheme.separator)] if scheme.separator else [sent]
    given = [_given(scheme, part) for part in parts if part.startswith(scheme.prefix)]
    if not any(given):
        raise InvalidCredentials(f"there is no signature in the header {scheme.header}")
    message = b"".join(_message(scheme, parts, headers, body, now))
    matches = False
    # All of them, so that the time taken does not say which one was close.
    for each in keys:
        expected = _encode(scheme, hmac.digest(each, message, scheme.algorithm))
        for signature in given:
            matches |= hmac.compare_digest(expected, signature)
    if not matches:
        raise InvalidCredentials(f"the header {scheme.header} has no signature of this body")
    return message


def _message(
    scheme: Scheme, parts: Sequence[str], headers: Mapping[str, str], body: bytes, now: float
) -> Iterator[bytes]:
    """What should have been signed, in pieces."""
    values = {"body": body}
    if scheme.dated:
        values["timestamp"] = _timestamp(scheme, parts, headers, now)
    if scheme.id in scheme.headers:
        values["id"] = _bytes(headers.get(scheme.id, ""))
        if not values["id"]:
            raise InvalidCredentials(f"the header {scheme.id} is missing")
    for index, piece in enumerate(_FIELD.split(scheme.signed)):
        yield values[piece] if index % 2 else piece.encode()


def _timestamp(
    scheme: Scheme, parts: Sequence[str], headers: Mapping[str, str], now: float
) -> bytes:
    if scheme.timestamp_param:
        name = f"{scheme.timestamp_param}="
        found = [part.removeprefix(name) for part in parts if part.startswith(name)]
        text = found[0] if len(found) == 1 else ""
    else:
        text = headers.get(scheme.timestamp, "")
    where = f"the timestamp in the header {scheme.timestamp or scheme.header}"
    if not _TIMESTAMP.fullmatch(text):
        raise InvalidCredentials(f"{where} is missing, or is not in seconds since 1970")
    off = abs(now - int(text))
    if off > scheme.tolerance:
        allowed = f"{scheme.tolerance:g} s are allowed"
        raise InvalidCredentials(f"{where} is {off:.0f} s from now; {allowed}")
    return text.encode()


def _given(scheme: Scheme, part: str) -> bytes:
    text = part.removeprefix(scheme.prefix)
    return _bytes(text.lower() if scheme.encoding == "hex" else text)


def _encode(scheme: Scheme, digest: bytes) -> bytes:
    return digest.hex().encode() if scheme.encoding == "hex" else base64.b64encode(digest)


def _bytes(text: str) -> bytes:
    # `compare_digest` takes text that is ASCII only: what is not would be an error of ours.
    return text.encode("utf-8", "surrogateescape")
