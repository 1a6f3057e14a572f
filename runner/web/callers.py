"""Who calls, and what they may do."""

import hmac
import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from runner.access import Role
from runner.errors import (
    Forbidden,
    InvalidCredentials,
    InvalidPayload,
    Unavailable,
    UnknownToken,
)
from runner.fit import well_formed
from runner.model import Accountability, Auth
from runner.secrets import SecretMissing
from runner.settings import Settings
from runner.web.keys import SETTINGS

#: What a caller on this machine may do where no token is configured. Reloading is among it: it
#: only loads what is in the folder anyway.
_LOCAL = Role(
    name="local",
    verbs={
        "flows": frozenset({"read", "trigger"}),
        "executions": frozenset({"read"}),
        "source": frozenset({"read", "reload"}),
    },
)

#: Somebody stands between us and the caller: then loopback says nothing about who it is.
_FORWARDED = frozenset(
    {"forwarded", "via", "x-real-ip", "x-client-ip", "cf-connecting-ip", "true-client-ip"}
)


class CannotAuthenticate(Unavailable):
    """
    This flow cannot check its callers now; try again later.

    *reason* is for the records; the caller is not told.
    """

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who calls, with the role that their token has."""

    accountability: Accountability
    role: Role
    #: Somebody vouches for them: a token, or that they are on this machine.
    known: bool = False
    #: On this machine, while no token is configured.
    local: bool = False

    def require(self, area: str, verb: str) -> None:
        """Raise Forbidden unless the role has *verb* in *area*."""
        if not self.role.allows(area, verb):
            raise Forbidden(f"the role {self.role.name} may not {verb} {area}")

    def may_read(self, collection: str) -> bool:
        """Whether items of *collection* may be read."""
        return self.local or self.role.allows_collection(collection, "read")


# --- callers of the runner ----------------------------------------------------------------------


def identify(request: web.Request) -> Caller:
    """
    The caller that the request's token names, or the public.

    Raises UnknownToken for one that nobody has, and InvalidPayload for two tokens.
    """
    settings = request.app[SETTINGS]
    token = _token(request)
    if token is not None:
        caller = settings.caller(token)
        if caller is None:
            raise UnknownToken("no token of the settings is the one that was sent")
        user, role = caller.user, caller.role
        return Caller(accountability(request, user, role), role, known=True)
    if is_local(request, settings):
        return Caller(accountability(request), _LOCAL, known=True, local=True)
    return Caller(accountability(request), settings.public)


def _token(request: web.Request) -> str | None:
    """The token of `Authorization: Bearer …` or `?access_token=…`; other schemes are not ours."""
    header = _bearer(request)
    query = request.query.get("access_token") if request.query_string else None
    if header is not None and query is not None:
        raise InvalidPayload(
            "Invalid payload. The request uses more than one method for including an access token."
        )
    return header if header is not None else query


def _bearer(request: web.Request) -> str | None:
    scheme, _, rest = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else None


def accountability(
    request: web.Request, user: str | None = None, role: Role | None = None
) -> Accountability:
    """Who caused what this request starts."""
    settings, headers = request.app[SETTINGS], request.headers
    ip, agent, origin = request.remote or "", headers.get(hdrs.USER_AGENT), headers.get(hdrs.ORIGIN)
    if settings.trusted_proxies:
        # All lines of it: a proxy may add its own below the one that the caller wrote.
        ip = settings.client_ip(ip, ", ".join(headers.getall("X-Forwarded-For", ())))
    return Accountability(
        user=user,
        role=None if role is None else role.id or role.name,
        admin=role is not None and role.admin,
        ip=ip,
        user_agent=None if agent is None else well_formed(agent),
        origin=None if origin is None else well_formed(origin),
    )


# --- callers of a webhook -----------------------------------------------------------------------


def admit(request: web.Request, auth: Auth) -> Accountability:
    """
    Who calls a webhook that lets in whom *auth* says.

    Raises InvalidCredentials for others, and CannotAuthenticate when a secret is missing and no
    other one matches: nobody is let in by that.
    """
    if auth.kind != "none":
        _check_secret(request, auth)
    # The Authorization header of such a webhook carries its own secret, not one of our tokens;
    # and without a token there is nobody to look up.
    has_token = hdrs.AUTHORIZATION in request.headers or request.query_string
    if auth.header == "authorization" or not has_token or _token(request) is None:
        return accountability(request)
    return identify(request).accountability


def _check_secret(request: web.Request, auth: Auth) -> None:
    given = _bearer(request) if auth.kind == "bearer" else request.headers.get(auth.header)
    if not given:
        raise InvalidCredentials(f"there is no credential in the header {auth.header}")
    sent = given.encode("utf-8", "surrogateescape")
    matches, missing = False, None
    # All are compared, so that the time taken does not say which one was close.
    for name in auth.secrets:
        try:
            secret = request.app[SETTINGS].secrets.get(name)
        except SecretMissing as error:
            missing = error
        else:
            matches |= hmac.compare_digest(sent, secret.encode("utf-8", "surrogateescape"))
    if matches:
        return
    if missing is not None:
        # Not open, and not the caller's fault either: whoever runs this has to know.
        raise CannotAuthenticate(missing.message)
    raise InvalidCredentials(f"the credential in the header {auth.header} is not the secret")


# --- callers without a token --------------------------------------------------------------------


def is_local(request: web.Request, settings: Settings) -> bool:
    """
    Whether reading and manual runs are open without a token.

    Only while none is configured, we listen on loopback only, and nothing hints that the request
    comes from elsewhere: a proxy in between, a page of another site (`Origin`, `Sec-Fetch-Site`),
    or a foreign name that resolves to this machine (`Host`).
    """
    headers = request.headers
    if settings.has_tokens or not settings.loopback or any(map(_tells_of_a_proxy, headers)):
        return False
    host = headers.get(hdrs.HOST, "")
    origin = headers.get(hdrs.ORIGIN)
    return (
        _is_loopback(request.remote or "")
        and names_loopback(host)
        and headers.get("Sec-Fetch-Site", "none") in ("none", "same-origin")
        and (origin is None or origin == f"http://{host}")
    )


def _tells_of_a_proxy(header: str) -> bool:
    name = header.lower()
    return name in _FORWARDED or name.startswith("x-forwarded-")


def names_loopback(host: str) -> bool:
    """Whether the value of a Host header is this machine's own name or address."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name == "localhost" or _is_loopback(name)


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
