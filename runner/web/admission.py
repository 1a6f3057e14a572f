"""Whom a webhook lets in: where they come from, and how they prove themselves."""

import base64
import hmac
import ipaddress
import time
from collections.abc import Callable
from typing import TypeAlias

from aiohttp import hdrs, web

from runner import signatures
from runner.egress import Places
from runner.errors import Forbidden, InvalidCredentials, RunnerError, Unavailable
from runner.model import Accountability, Auth, Webhook
from runner.secrets import SecretMissing
from runner.web import callers
from runner.web.keys import SETTINGS
from runner.web.repeats import Proof

Verify: TypeAlias = Callable[[bytes], Proof]
"""Takes the bytes of the body; raises what `admit` does."""


class CannotAuthenticate(Unavailable):
    """
    This flow cannot check its callers now; try again later.

    *reason* is for the records; the caller is not told.
    """

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


def check_address(request: web.Request, webhook: Webhook) -> None:
    """Raise Forbidden where callers have to come from elsewhere, whatever they know."""
    ip = callers.address(request)
    try:
        allowed = Places(networks=webhook.allow_ips).have(ipaddress.ip_address(ip))
    except ValueError:
        allowed = False
    if not allowed:
        raise Forbidden(f"the address {ip or 'of the caller'} is not in allow_ips")


def caller(request: web.Request, webhook: Webhook) -> Accountability:
    """
    Who starts the flow: a caller of the runner, where they bring a token of the settings too.

    Raises UnknownToken for a token that nobody has.
    """
    # The Authorization header of such a webhook carries its own secret, not one of our tokens;
    # and without a token there is nobody to look up.
    has_token = hdrs.AUTHORIZATION in request.headers or request.query_string
    if "authorization" in webhook.auth_headers or not has_token or callers.token(request) is None:
        return callers.accountability(request)
    return callers.identify(request).accountability


def admit(request: web.Request, webhook: Webhook) -> Proof | Verify:
    """
    How somebody has proven themselves; of those who sign, what finds that out with the body.

    Raises InvalidCredentials where no way is open any more, and CannotAuthenticate where one would
    be if its secret were there: nobody is let in by that.
    """
    refusals: list[RunnerError] = []
    signed: list[Auth] = []
    proof: Proof | None = None
    for auth in webhook.auth:  # all of them, so that the time taken tells nothing
        if auth.scheme is not None and auth.header in request.headers:
            signed.append(auth)
        elif refusal := _refusal(request, auth):
            refusals.append(refusal)
        else:
            proof = proof or Proof(auth.header)
    if proof is not None:
        return proof
    if not signed:  # before the body is read: a stranger's costs nothing
        raise _told(webhook, refusals)

    def verify(body: bytes) -> Proof:
        found = [_signature(request, each, body) for each in signed]
        for each in found:
            if isinstance(each, Proof):
                return each
        raise _told(webhook, [*refusals, *(e for e in found if not isinstance(e, Proof))])

    return verify


def _told(webhook: Webhook, refusals: list[RunnerError]) -> RunnerError:
    """Of *refusals*, that of a missing secret: whoever runs this has to know. Else all in one."""
    for each in refusals:
        if isinstance(each, CannotAuthenticate):
            return each
    reasons = [each.reason for each in refusals if isinstance(each, InvalidCredentials)]
    kinds = dict.fromkeys(each.kind for each in webhook.auth)
    challenges = tuple(_CHALLENGES[each] for each in kinds if each in _CHALLENGES)
    return InvalidCredentials("; ".join(reasons), challenges)


#: By kind, what RFC 9110 wants to be told with a 401; for other kinds there is no such word.
_CHALLENGES = {"bearer": "Bearer", "basic": 'Basic realm="flow", charset="UTF-8"'}


# --- one way ------------------------------------------------------------------------------------


def _refusal(request: web.Request, auth: Auth) -> RunnerError | None:
    """Why what the header carries is not the secret itself; None: it is."""
    given = b"" if auth.scheme is not None else _given(request, auth)
    if not given:
        return InvalidCredentials(f"there is no credential in the header {auth.header}")
    keys, missing = _keys(request, auth)
    matches = False
    for each in keys:
        matches |= hmac.compare_digest(given, each)
    if matches:
        return None
    wrong = f"the credential in the header {auth.header} is not the secret"
    return missing or InvalidCredentials(wrong)


def _signature(request: web.Request, auth: Auth, body: bytes) -> Proof | RunnerError:
    """How *body* is signed, or why it is not."""
    assert auth.scheme is not None  # noqa: S101 - the caller has seen to it
    keys, missing = _keys(request, auth)
    headers: dict[str, str] = {}
    for name in auth.scheme.headers:
        values = request.headers.getall(name, ())
        if len(values) > 1:
            # What is verified would not be what the flow sees.
            return InvalidCredentials(f"the header {name} is there more than once")
        headers.update((name, value) for value in values)
    try:
        message = signatures.verify(auth.scheme, keys, headers, body, time.time())
    except InvalidCredentials as refusal:
        return missing or refusal
    return Proof(auth.header, auth.scheme, message)


def _keys(request: web.Request, auth: Auth) -> tuple[list[bytes], CannotAuthenticate | None]:
    """What would prove somebody, by each secret; and why another one is not to be had."""
    keys: list[bytes] = []
    missing: CannotAuthenticate | None = None
    for name in auth.secrets:
        try:
            keys.append(_key(auth, request.app[SETTINGS].secrets.get(name)))
        except SecretMissing as error:
            missing = CannotAuthenticate(error.message)
        except ValueError as error:
            missing = CannotAuthenticate(f"the secret {name!r} cannot be used: {error}")
    return keys, missing


def _key(auth: Auth, secret: str) -> bytes:
    if auth.scheme is not None:
        return signatures.key(auth.scheme, secret)
    if auth.username is not None:
        secret = f"{auth.username}:{secret}"
    elif auth.kind == "basic" and ":" not in secret:
        raise ValueError("it must be user and password, with a colon between them")
    return _bytes(secret)


def _given(request: web.Request, auth: Auth) -> bytes:
    match auth.kind:
        case "bearer":
            return _bytes(callers.bearer(request) or "")
        case "basic":
            return _decoded(request.headers.get(auth.header, ""))
    return _bytes(request.headers.get(auth.header, ""))


def _decoded(header: str) -> bytes:
    """`user:password` of a header as RFC 7617 has it; empty where it is none."""
    scheme, _, rest = header.partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(rest.strip(), validate=True)
    except ValueError:
        return b""


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
