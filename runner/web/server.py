"""
Listen: which connections there are, and what becomes of those that speak no HTTP.

aiohttp limits a request's line and headers in size and number. It has no time limit of its own
for them, and no limit for connections; a connection without a whole request ends with the
keep-alive time.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from runner.errors import (
    ContentTooLarge,
    InvalidPayload,
    MethodNotAllowed,
    RouteNotFound,
    RunnerError,
    SettingsError,
    Unavailable,
)
from runner.settings import Listen
from runner.web import answers

MAX_CONNECTIONS: Final = 10_000
"""Whoever comes when so many are open is told to come again."""

#: Seconds until a connection is closed on which nothing goes on, or on which a request's headers
#: do not get finished. Load balancers keep theirs for 60: ours must not be the first to go.
_KEEP_ALIVE: Final = 75.0

#: Seconds for the answers that are still being written when everything has ended.
_LAST_ANSWERS: Final = 2.0

#: Connections that wait to be accepted.
_BACKLOG: Final = 1024


@asynccontextmanager
async def listening(app: web.Application, listen: Listen) -> AsyncIterator[Listen]:
    """
    Serve *app* until the block ends, and give where that is.

    Port 0 is any that is free. Raises SettingsError when the address cannot be had.
    """
    runner = web.AppRunner(app, shutdown_timeout=_LAST_ANSWERS)
    await runner.setup()
    server: asyncio.Server | None = None
    try:
        server = await _bind(runner, listen)
        yield Listen(listen.host, server.sockets[0].getsockname()[1])
    finally:
        if server is not None:
            server.close()
        await runner.cleanup()


async def _bind(runner: web.AppRunner, listen: Listen) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    open_: set[_Connection] = set()

    def connection() -> _Connection:
        assert runner.server is not None  # noqa: S101 - it is set up
        return _Connection(runner.server, open_, loop)

    try:
        return await loop.create_server(connection, *listen, backlog=_BACKLOG, reuse_address=True)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {listen.url}: {error.strerror or error};"
            " choose another address with --listen HOST:PORT"
        ) from None


_OPTIONS: Final[Mapping[str, Any]] = {
    "access_log": None,
    "auto_decompress": False,  # a signature is over the bytes that were sent
    "keepalive_timeout": _KEEP_ALIVE,
}


class _Connection(web.RequestHandler):
    """A connection, on which aiohttp's own answers wear our envelope too."""

    __slots__ = ("_open",)

    def __init__(
        self, manager: web.Server, open_: "set[_Connection]", loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(manager, loop=loop, **_OPTIONS)
        self._open = open_

    def connection_made(self, transport: Any) -> None:  # uvloop's is no asyncio.Transport
        """Take the connection, if there is room for it."""
        if len(self._open) >= MAX_CONNECTIONS:
            transport.write(_NO_ROOM)
            transport.close()
            return
        self._open.add(self)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Leave room for another."""
        self._open.discard(self)
        super().connection_lost(exc)

    def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> Coroutine[Any, Any, tuple[web.StreamResponse, bool]]:
        """Answer; what aiohttp itself refuses, as we do."""
        if isinstance(resp, web.HTTPException):
            resp = answers.refuse(_as_ours(request, resp))
        return super().finish_response(request, resp, start_time)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what does not parse as HTTP; aiohttp's own message would quote it."""
        if status >= 500:
            answer = answers.refuse(RunnerError())
        elif isinstance(exc, LineTooLong):
            answer = answers.refuse(ContentTooLarge("The request's line or a header is too long."))
        else:
            answer = answers.refuse(InvalidPayload("Invalid payload. This is not valid HTTP."))
        answer.force_close()
        return answer


def _as_ours(request: web.BaseRequest, error: web.HTTPException) -> RunnerError:
    match error:
        case web.HTTPNotFound():
            return RouteNotFound(f"Route {request.path} doesn't exist.", path=request.path)
        case web.HTTPMethodNotAllowed():
            return MethodNotAllowed(request.method, tuple(sorted(error.allowed_methods)))
        case web.HTTPRequestEntityTooLarge():
            return ContentTooLarge()
        case _:
            return InvalidPayload(f"Invalid payload. {error.reason}.")


def _raw(answer: web.Response) -> bytes:
    """*answer* as it goes over the wire, where there is no request that it could belong to."""
    body = answer.body
    assert isinstance(body, bytes)  # noqa: S101 - answers are
    head = [f"HTTP/1.1 {answer.status} {answer.reason}", "Connection: close"]
    head += [f"{name}: {value}" for name, value in answer.headers.items()]
    return "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body


_NO_ROOM: Final = _raw(answers.refuse(Unavailable("Too many connections; try again later.")))
