"""Servers to send requests to, on this machine and with real sockets, and what sends them."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, TypeAlias

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from multidict import CIMultiDict

from runner import outgoing, settings
from runner.outgoing import Client, Request, RequestError, target

# --- servers ------------------------------------------------------------------------------------


class Received(NamedTuple):
    """A request as it arrived."""

    method: str
    #: Path and query, as they were written.
    target: str
    #: By lower-case name.
    headers: dict[str, str]
    body: bytes


#: What goes back for a request: bytes, or pieces of them until the client has gone.
Answer: TypeAlias = Callable[[Received], bytes | Iterable[bytes]]


def reply(status: str = "200 OK", body: bytes = b"", *headers: str, length: int = -1) -> bytes:
    """A response; *length* is what it says of its body where that is not the truth."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length < 0 else length}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode("latin-1") + body


def echo(received: Received) -> bytes:
    """A response that says what was asked."""
    parts = received._asdict() | {"body": received.body.decode()}
    body = b"" if received.method == "HEAD" else json.dumps(parts).encode()
    return reply("200 OK", body, "Content-Type: application/json")


def redirecting(status: int, location: str) -> Callable[[Received], bytes]:
    """The first path is sent on to *location*, others are echoed."""

    def answer(received: Received) -> bytes:
        if received.target != "/first":
            return echo(received)
        return reply(f"{status} Go", b"", f"Location: {location}")

    return answer


class Upstream:
    """A server, and what it has seen."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.port = 0
        self.received: list[Received] = []
        #: How many connections were opened.
        self.connections = 0
        #: A request has come.
        self.asked = asyncio.Event()
        #: A connection was closed by the client.
        self.left = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def url(self) -> str:
        """Where it is, by address."""
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer on one connection until either side has enough."""
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        # `stop` cancels; asyncio would report it.
        ends = (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError)
        with contextlib.suppress(*ends):
            while await self._exchange(reader, writer):
                pass
        self.left.set()
        writer.close()
        self._tasks.discard(task)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("utf-8").split("\r\n")
        method, target, _ = head[0].split(" ")
        fields = (line.partition(": ") for line in head[1:] if line)
        headers = {name.lower(): value for name, _, value in fields}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        received = Received(method, target, headers, body)
        self.received.append(received)
        self.asked.set()
        answer = self.answer(received)
        last = b""
        for last in [answer] if isinstance(answer, bytes) else answer:
            writer.write(last)
            await writer.drain()
        return b"connection: close" not in last.lower()

    async def stop(self) -> None:
        """Hang up on everybody."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def upstream(
    answer: Answer = echo, host: str | None = "127.0.0.1"
) -> AsyncIterator[Upstream]:
    """A server on a free port of *host*, until the block ends."""
    made = Upstream(answer)
    server = await asyncio.start_server(made.serve, host, 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await made.stop()


class Names(AbstractResolver):
    """A name server: each look-up of a name gives its next list of addresses, the last for good."""

    def __init__(self, **names: list[list[str]]) -> None:
        self.names = names

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """What the name leads to now."""
        answers = self.names.get(host.rstrip("."))
        if not answers:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return found(host, port, answers.pop(0) if len(answers) > 1 else answers[0])

    async def close(self) -> None:
        """Nothing to close."""


def found(host: str, port: int, addresses: Iterable[str]) -> list[ResolveResult]:
    """What a look-up gives."""
    return [
        ResolveResult(hostname=host, host=each, port=port, family=0, proto=0, flags=0)
        for each in addresses
    ]


# --- requests -----------------------------------------------------------------------------------


def opened(
    options: Mapping[str, str] | None = None, resolver: AbstractResolver | None = None
) -> AbstractAsyncContextManager[Client]:
    """A client under settings, given as flags; where they say that we listen, nobody does."""
    made = settings.load({"listen": "127.0.0.1:1", **(options or {})}, {})
    return outgoing.opened(made, resolver)


def request(
    url: str, method: str = "GET", body: bytes | None = None, *, tainted: bool = False, **more: Any
) -> Request:
    """What is sent; *more* are headers, with `_` for `-`."""
    headers = CIMultiDict({name.replace("_", "-"): value for name, value in more.items()})
    return Request(method, target(url), headers, body, reviewed=not tainted)


async def failure(client: Client, sent: Request) -> RequestError:
    """The error that comes of *sent*."""
    with pytest.raises(RequestError) as caught:
        await client.send(sent)
    return caught.value


async def code(client: Client, sent: Request) -> str | None:
    """The code of the error that comes of *sent*."""
    return (await failure(client, sent)).own_code
