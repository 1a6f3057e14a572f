"""Who calls, and what they may do."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from runner.access import Role
from runner.errors import Forbidden, InvalidPayload, UnknownToken
from runner.fit import well_formed
from runner.model import Accountability
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
    sent = token(request)
    if sent is not None:
        caller = settings.caller(sent)
        if caller is None:
            raise UnknownToken("no token of the settings is the one that was sent")
        user, role = caller.user, caller.role
        return Caller(accountability(request, user, role), role, known=True)
    if is_local(request, settings):
        return Caller(accountability(request), _LOCAL, known=True, local=True)
    return Caller(accountability(request), settings.public)


def token(request: web.Request) -> str | None:
    """
    The token of `Authorization: Bearer …` or `?access_token=…`; other schemes are not ours.

    Raises InvalidPayload for two.
    """
    header = bearer(request)
    query = request.query.get("access_token") if request.query_string else None
    if header is not None and query is not None:
        raise InvalidPayload(
            "Invalid payload. The request uses more than one method for including an access token."
        )
    return header if header is not None else query


def bearer(request: web.Request) -> str | None:
    """What stands behind `Authorization: Bearer`."""
    scheme, _, rest = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else None


def address(request: web.Request) -> str:
    """The address that it comes from, as far as trusted proxies can be believed."""
    settings, peer = request.app[SETTINGS], request.remote or ""
    if not settings.trusted_proxies:
        return peer
    # All lines of it: a proxy may add its own below the one that the caller wrote.
    return settings.client_ip(peer, ", ".join(request.headers.getall("X-Forwarded-For", ())))


def accountability(
    request: web.Request, user: str | None = None, role: Role | None = None
) -> Accountability:
    """Who caused what this request starts."""
    headers = request.headers
    agent, origin = headers.get(hdrs.USER_AGENT), headers.get(hdrs.ORIGIN)
    return Accountability(
        user=user,
        role=None if role is None else role.id or role.name,
        admin=role is not None and role.admin,
        ip=address(request),
        user_agent=None if agent is None else well_formed(agent),
        origin=None if origin is None else well_formed(origin),
    )


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
