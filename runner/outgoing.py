"""
Requests to other servers: kept connections, a guard at every socket, limits for what comes back.

Two pools of connections, one for each of the two policies of `runner.egress`: a request never
rides on a connection that it might not have opened. Names are resolved once, by whatever opens
the connection, and the guard sees the address that comes of it.
"""

import asyncio
import errno
import io
import re
import socket
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from ipaddress import ip_address
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import urljoin

from aiohttp import (
    AddrInfoType,
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorSSLError,
    ClientError,
    ClientOSError,
    ClientPayloadError,
    ClientResponse,
    ClientResponseError,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    ServerDisconnectedError,
    TCPConnector,
    hdrs,
)
from aiohttp.abc import AbstractResolver
from aiohttp.http_exceptions import ContentEncodingError
from multidict import CIMultiDict
from yarl import URL

from runner import egress
from runner.egress import Address
from runner.errors import OperationError
from runner.fit import well_formed
from runner.resources import Resource
from runner.settings import Listen, Settings
from runner.version import NAME, version

T = TypeVar("T")

MAX_REDIRECTS: Final = 5
"""So many redirects are followed; one more is an error."""

_MAX_CONNECTIONS: Final = 200
#: A server that hangs must not take the connections of all others.
_MAX_CONNECTIONS_TO_ONE: Final = 100

#: aiohttp warns of bodies beyond this that are given as bytes: they would be written at once.
_LARGE_BODY: Final = 1 << 20


class RequestError(OperationError):
    """
    The request failed.

    *code* is Node's where Node has one. The message never has what may be secret: the query, and
    headers.
    """


class Request(NamedTuple):
    """What is sent, and to whom."""

    #: In capitals.
    method: str
    #: What `target` made of a text.
    url: URL
    headers: CIMultiDict[str]
    body: bytes | None = None
    #: Host and port stand in the flow file, or the operator has said them.
    reviewed: bool = False
    #: Largest body of a response, in bytes; the setting may be lower.
    max_response: int | None = None


class Response(NamedTuple):
    """What came back, after all redirects."""

    status: int
    #: What the server calls the status.
    reason: str
    #: By lower-case name; `set-cookie` is a list, others are joined by a comma.
    headers: dict[str, Any]
    #: Without its content encoding.
    body: bytes

    @property
    def charset(self) -> str:
        """The character set that the content type names: `utf-8` unless we know another."""
        type_ = self.headers.get("content-type", "")
        named = _CHARSET.search(type_) if "=" in type_ else None
        return "utf-8" if named is None else named[1].lower()

    @property
    def text(self) -> str:
        """The body as text, with U+FFFD for what is none."""
        return self.body.decode(self.charset, "replace").removeprefix("\ufeff")


#: Those that browsers know, and Python by the same name. Its other codecs are not meant for
#: strangers: some turn a megabyte into minutes.
_CHARSET: Final = re.compile(
    r"charset\s*=\s*[\"']?(us-ascii|utf-16(?:le|be)?|iso-8859-(?:[1-9]|1[013-6])|latin1|koi8-[ru]"
    r"|windows-125[0-8]|macintosh|shift_jis|euc-jp|euc-kr|iso-2022-jp|gbk|gb2312|gb18030"
    r"|big5)(?![\w-])",
    re.IGNORECASE | re.ASCII,
)


# --- URLs ---------------------------------------------------------------------------------------

_URL: Final = re.compile(
    r"(https?)://((?:\[[0-9a-f:.]+\]|[^][:@%\\/?#\x00-\x20]+)(?::[0-9]{0,5})?)([/?][^#]*)?(?:#.*)?",
    re.IGNORECASE,
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_HOST: Final = re.compile(r"[a-z0-9_.-]{1,253}|[0-9a-f]*:[0-9a-f:]+")
#: Servers take 8 KiB or so; encoding megabytes would only hold everybody up.
_MAX_URL: Final = 1 << 16
#: What is written as it is; a `%` is, if it begins an escape.
_TO_ENCODE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})|[^!#-;=?-\[\]_a-z~]")


def target(text: str) -> URL:
    """
    The URL that *text* says: what an URL cannot have is percent-encoded, a fragment is dropped.

    Raises RequestError for what is no address of http or https, for credentials before the host,
    for control characters, and for more than 64 Ki characters.
    """
    if len(text) > _MAX_URL:
        raise _invalid(f"it is longer than {_MAX_URL} characters")
    if _CONTROL.search(text):
        raise _invalid("it has a line break or another control character")
    parts = _URL.fullmatch(text)
    if parts is None:
        raise _invalid(_mistake(text))
    scheme, authority, rest = parts.groups()
    try:
        base = URL(f"{scheme.lower()}://{authority}")
        # What a header had that is no UTF-8 goes back as it came.
        raw = (rest or "/").encode("utf-8", "surrogateescape")
    except ValueError:  # a port beyond 65535, a host that no DNS can have, half a surrogate pair
        raise _invalid(_mistake(text)) from None
    if not _HOST.fullmatch(base.raw_host or ""):
        raise _invalid("its host is no host name")
    encoded = _TO_ENCODE.sub(lambda byte: b"%%%02X" % byte[0][0], raw).decode("ascii")
    path = encoded if encoded[0] == "/" else "/" + encoded
    return URL(f"{base.scheme}://{base.raw_authority}{path}", encoded=True)


def _mistake(text: str) -> str:
    scheme, _, rest = text.partition("://")
    if scheme.lower() not in ("http", "https"):
        return "it does not begin with http:// or https://"
    if "@" in re.split(r"[/?#]", rest, maxsplit=1)[0]:
        return "it has credentials before the host; send them as a header"
    return "its host or port is none"


def _invalid(why: str) -> RequestError:
    return RequestError(f"the URL cannot be used: {why}", code="ERR_INVALID_URL")


# --- the guard ----------------------------------------------------------------------------------


class _Hop:
    """One request to one server, on its way."""

    __slots__ = ("host", "refusal")

    def __init__(self, host: str) -> None:
        self.host = host
        self.refusal: str | None = None


#: A socket is made in the task that asked for it, or in one that this started.
_HOP: Final[ContextVar[_Hop]] = ContextVar("hop")


class _Guard:
    """Makes the sockets of one policy, each for an address that may be reached."""

    def __init__(self, settings: Settings, *, reviewed: bool) -> None:
        self._egress = settings.egress
        self._listen = settings.listen
        self._reviewed = reviewed

    def __call__(self, info: AddrInfoType) -> socket.socket:
        family, type_, protocol, _, (where, port, *_) = info
        address = ip_address(str(where).partition("%")[0])
        hop = _HOP.get()
        refusal = self._egress.refusal(
            hop.host,
            address,
            reviewed=self._reviewed,
            ours=port == self._listen.port and _listens(self._listen, egress.plain(address)),
        )
        if refusal is None:
            return socket.socket(family, type_, protocol)
        hop.refusal = refusal
        raise PermissionError(errno.EACCES, refusal)


def _listens(listen: Listen, address: Address) -> bool:
    """Whether *listen*, whatever its port, may be behind *address*."""
    try:
        own = egress.plain(ip_address(listen.host))
    except ValueError:  # a name, of this machine
        own = None
    if address.is_unspecified or own == address:
        return True
    everywhere = own is None or own.is_unspecified
    return everywhere and (address.is_loopback or _is_of_this_machine(address))


def _is_of_this_machine(address: Address) -> bool:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True


# --- time ---------------------------------------------------------------------------------------


class _TimeLimit:
    """
    Ends what takes longer than *seconds*, with one timer for all of it.

    A timer for each request, as `asyncio.timeout` has it, costs a fifteenth of the request.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        #: When the time of each is up, the oldest first.
        self._ends: dict[asyncio.Task[Any], float] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def within(self, work: Awaitable[T]) -> T:
        """The outcome of *work*. Raises TimeoutError when it takes too long."""
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None  # noqa: S101 - a coroutine runs in one
        cancelling = task.cancelling()
        self._ends[task] = loop.time() + self.seconds
        if self._timer is None:
            self._timer = loop.call_later(self.seconds, self._look)
        try:
            return await work
        except asyncio.CancelledError:
            if task in self._ends or task.uncancel() > cancelling:
                raise  # somebody else has cancelled it
            raise TimeoutError from None
        finally:
            self._ends.pop(task, None)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        for task, end in list(self._ends.items()):
            if end > loop.time():
                self._timer = loop.call_at(end, self._look)
                break
            del self._ends[task]
            task.cancel()


# --- the client ---------------------------------------------------------------------------------


class Client:
    """Sends requests, and keeps connections for the next ones."""

    def __init__(self, settings: Settings, resolver: AbstractResolver | None = None) -> None:
        self._limit = _TimeLimit(settings.limits.request_time)
        self._max_response = settings.limits.response
        self._sessions = {
            reviewed: _session(_Guard(settings, reviewed=reviewed), resolver)
            for reviewed in (False, True)
        }

    async def send(self, request: Request, *, limited: bool = True) -> Response:
        """
        The response to *request*, whatever its status, or that to which it redirects.

        It may take as long as the setting says, or, when it is not *limited*, as the caller is
        ready to wait. A redirect to another origin takes no credentials along, and cannot reach
        private addresses. Raises RequestError when there is no response, or none that can be used.
        """
        if not limited:
            return await self._follow(request)
        try:
            return await self._limit.within(self._follow(request))
        except TimeoutError:
            message = f"it took longer than {self._limit.seconds:g} s"
            raise _failed(request, "ETIMEDOUT", message) from None

    async def close(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()

    async def _follow(self, request: Request) -> Response:
        for _ in range(1 + MAX_REDIRECTS):
            outcome = await self._exchange(request)
            if isinstance(outcome, Response):
                return outcome
            request = outcome
        message = f"it was redirected more than {MAX_REDIRECTS} times"
        raise _failed(request, "ERR_FR_TOO_MANY_REDIRECTS", message)

    async def _exchange(self, request: Request) -> Response | Request:
        """The response, or the request that is to be sent in its place."""
        hop = _Hop(request.url.raw_host or "")
        _HOP.set(hop)
        method, url, headers, body, *_ = request
        untyped = body is not None and hdrs.CONTENT_TYPE not in headers
        try:
            answer = await self._sessions[request.reviewed].request(
                method,
                url,
                headers=headers,
                data=io.BytesIO(body) if body is not None and len(body) > _LARGE_BODY else body,
                skip_auto_headers=(hdrs.CONTENT_TYPE,) if untyped else None,
                allow_redirects=False,
            )
            try:
                if answer.status in _REDIRECTS and hdrs.LOCATION in answer.headers:
                    return _redirected(request, answer.status, answer.headers[hdrs.LOCATION])
                return await self._read(request, answer)
            finally:
                # What has not been read to its end takes its connection along.
                answer.release()
        except (ClientError, OSError, ValueError) as error:
            if hop.refusal is not None:
                message = f"it must not be reached: {hop.refusal}"
                raise _failed(request, "EGRESS_DENIED", message) from None
            raise _failed(request, *_reason(error)) from None

    async def _read(self, request: Request, answer: ClientResponse) -> Response:
        limit = self._max_response
        if request.max_response is not None:
            limit = min(limit, request.max_response)
        size, chunks = 0, []
        # Decoded piece by piece: what unpacks to a thousand times its size is left in the middle.
        while chunk := await answer.content.readany():
            size += len(chunk)
            if size > limit:
                message = f"the response is larger than {limit} bytes"
                raise _failed(request, "RESPONSE_TOO_LARGE", message)
            chunks.append(chunk)
        reason = _clean(answer.reason or "")
        return Response(answer.status, reason, _headers(answer), b"".join(chunks))


def _session(guard: _Guard, resolver: AbstractResolver | None) -> ClientSession:
    connector = TCPConnector(
        limit=_MAX_CONNECTIONS,
        limit_per_host=_MAX_CONNECTIONS_TO_ONE,
        resolver=resolver,
        socket_factory=guard,
    )
    return ClientSession(
        connector=connector,
        headers={
            hdrs.ACCEPT: "application/json, text/plain, */*",
            hdrs.USER_AGENT: f"{NAME}/{version()}",
        },
        cookie_jar=DummyCookieJar(),
        timeout=ClientTimeout(total=None, sock_connect=None),
        # A proxy would connect where we could not see it.
        trust_env=False,
    )


@asynccontextmanager
async def opened(
    settings: Settings, resolver: AbstractResolver | None = None
) -> AsyncIterator[Client]:
    """A client under *settings*, closed at the end of the block."""
    client = Client(settings, resolver)
    try:
        yield client
    finally:
        await client.close()


CLIENT: Final = Resource(open=opened)


# --- responses ----------------------------------------------------------------------------------

#: Content encodings that aiohttp takes off.
_ENCODINGS: Final = frozenset({"gzip", "deflate", "br", "zstd"})


def _headers(answer: ClientResponse) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    for given, value in answer.headers.items():
        name, text = _clean(given.lower()), _clean(value)
        if name == "set-cookie":
            headers.setdefault(name, []).append(text)
        elif name in headers:
            headers[name] += f", {text}"
        else:
            headers[name] = text
    if headers.get("content-encoding", "").lower() in _ENCODINGS:
        del headers["content-encoding"]
    return headers


def _clean(text: str) -> str:
    """*text* as JSON can say it: aiohttp marks bytes that are no UTF-8 as half surrogate pairs."""
    return text if text.isascii() else well_formed(text)


# --- redirects ----------------------------------------------------------------------------------

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})

#: Headers that are for one server: its name, and whatever looks like a credential.
_PERSONAL: Final = re.compile(
    "host|.*(?:auth|cookie|credential|jwt|passw|secret|session|signature|token).*"
    "|(?!idempotency-).*key.*",
    re.IGNORECASE,
)


def _redirected(request: Request, status: int, location: str) -> Request:
    """What a browser would send next. Raises RequestError where *location* leads nowhere."""
    try:
        url = target(urljoin(str(request.url), location))
    except (RequestError, ValueError):
        message = "it was redirected to what is no URL of http or https"
        raise _failed(request, "ERR_INVALID_URL", message) from None
    headers = request.headers.copy()
    if url.origin() != request.url.origin():
        request = request._replace(reviewed=False)
        _drop(headers, _PERSONAL)
    if (status == 303 and request.method not in ("GET", "HEAD")) or (
        status in (301, 302) and request.method == "POST"
    ):
        request = request._replace(method="GET", body=None)
        _drop(headers, _OF_THE_BODY)
    return request._replace(url=url, headers=headers)


_OF_THE_BODY: Final = re.compile("content-.*", re.IGNORECASE)


def _drop(headers: CIMultiDict[str], pattern: re.Pattern[str]) -> None:
    for name in {name for name in headers if pattern.fullmatch(name)}:
        headers.popall(name)


# --- failures -----------------------------------------------------------------------------------


def _failed(request: Request, code: str, message: str) -> RequestError:
    url = request.url
    where = f"{request.method} {url.host_subcomponent}:{url.port}"
    return RequestError(f"{where}: {message}", code=code)


_MESSAGES: Final = {
    "ECONNREFUSED": "the connection was refused",
    "ECONNRESET": "the connection broke before the response was complete",
    "EHOSTUNREACH": "there is no way to the host",
    "ENETUNREACH": "there is no way to the network",
    "ETIMEDOUT": "nobody answered",
    "ENOTFOUND": "there is no host of this name",
    "EAI_AGAIN": "the name of the host could not be looked up",
    "ERR_BAD_RESPONSE": "the response is not HTTP",
    "ERR_INVALID_URL": "the URL or a header cannot be sent",
    "ERR_NETWORK": "the connection failed",
}


def _reason(error: Exception) -> tuple[str, str]:
    """Code and message for *error*; what libraries say may quote what is secret."""
    match error:
        case ClientConnectorCertificateError():
            why = getattr(error.certificate_error, "verify_message", "it cannot be verified")
            return "ERR_TLS_CERTIFICATE", f"the certificate is not accepted: {why}"
        case ClientConnectorSSLError():
            return "ERR_TLS_HANDSHAKE", "there is no TLS to be spoken with it"
        case ClientPayloadError(__cause__=ContentEncodingError()):
            return "ERR_BAD_RESPONSE", "the response is not encoded as it says"
    code = _code(error)
    return code, _MESSAGES.get(code, f"the connection failed ({code})")


def _code(error: Exception) -> str:
    match error:
        case ClientConnectorDNSError():
            temporary = error.os_error.errno == socket.EAI_AGAIN
            return "EAI_AGAIN" if temporary else "ENOTFOUND"
        case ServerDisconnectedError() | ClientPayloadError() | ConnectionResetError():
            return "ECONNRESET"
        case ClientOSError() | OSError():
            known = errno.errorcode.get(error.errno or 0, "ERR_NETWORK")
            return "ECONNRESET" if known == "EPIPE" else known
        case ValueError():
            return "ERR_INVALID_URL"
        case ClientResponseError():
            return "ERR_BAD_RESPONSE"
        case _:
            return "ERR_NETWORK"
