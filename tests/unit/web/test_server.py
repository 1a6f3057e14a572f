"""Connections, and those who do not speak HTTP as they should."""

import asyncio

import aiohttp
import pytest

from runner.errors import SettingsError
from runner.settings import Listen
from runner.web import server
from tests.unit.web.conftest import Serve, Service

LONG = b"a" * 9000
MANY = b"".join(b"X-%d: a\r\n" % number for number in range(200))


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (b"GARBAGE\r\n\r\n", 400, "INVALID_PAYLOAD"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "INVALID_PAYLOAD"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "INVALID_PAYLOAD"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nNo Header: canary\r\n\r\n", 400, "INVALID_PAYLOAD"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", 400, "INVALID_PAYLOAD"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + MANY + b"\r\n", 400, "INVALID_PAYLOAD"),
        (b"GET http://[::1 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "INVALID_PAYLOAD"),
        (b"GET /" + LONG + b" HTTP/1.1\r\nHost: a\r\n\r\n", 413, "CONTENT_TOO_LARGE"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + LONG + b"\r\n\r\n", 413, "CONTENT_TOO_LARGE"),
        (b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", 404, "ROUTE_NOT_FOUND"),
        (b"GET //x HTTP/1.1\r\nHost: a\r\n\r\n", 404, "ROUTE_NOT_FOUND"),
        (b"GET /../livez HTTP/1.1\r\nHost: a\r\n\r\n", 404, "ROUTE_NOT_FOUND"),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 404, "ROUTE_NOT_FOUND"),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 404, "ROUTE_NOT_FOUND"),
        (b"BREW /livez HTTP/1.1\r\nHost: a\r\n\r\n", 400, "INVALID_PAYLOAD"),
        (b"POST /livez HTTP/1.1\r\nHost: a\r\n\r\n", 405, "METHOD_NOT_ALLOWED"),
        (b"GET /x HTTP/1.1\r\nHost: a\r\nExpect: cake\r\n\r\n", 400, "INVALID_PAYLOAD"),
    ],
)
async def test_every_error_wears_the_envelope(
    echo: Service, request_: bytes, status: int, code: str
) -> None:
    """Also where no handler was reached; nothing that was sent is quoted, nothing is recorded."""
    answer = await echo.raw(request_)

    assert (answer.status, answer.code) == (status, code)
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert b"canary" not in answer.body
    assert echo.kept.records == []


async def test_an_error_of_ours_shows_no_stack(
    echo: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller learns that it happened, the records learn what."""

    def broken() -> None:
        raise KeyError("a mistake of ours")

    monkeypatch.setattr(echo.folder, "status", broken)

    answer = await echo.get("/source")

    assert (answer.status, answer.code) == (500, "INTERNAL_SERVER_ERROR")
    assert answer.message == "An unexpected error occurred."
    (record,) = echo.kept.records
    assert record["error"] == {"name": "KeyError", "message": "'a mistake of ours'"}


async def test_who_expects_to_be_asked_is_asked(echo: Service) -> None:
    """`Expect: 100-continue`, as curl sends it with large bodies."""
    answer = await echo.post("/flows/trigger/echo", json={}, expect100=True)

    assert answer.status == 200


async def test_a_connection_too_many_is_told_so(
    echo: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 at once instead of silence; a place that gets free is taken again."""
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 1)
    _, writer = await echo.connect()
    writer.write(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")

    refused = await echo.raw(b"")

    assert (refused.status, refused.code) == (503, "SERVICE_UNAVAILABLE")
    assert int(refused.headers["Retry-After"]) > 0
    writer.close()
    await writer.wait_closed()
    async with asyncio.timeout(10):
        while (await echo.raw(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")).status != 200:
            pass


async def test_headers_that_never_end_end_the_connection(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drop at a time keeps a connection no longer than silence does."""
    monkeypatch.setattr(server, "_OPTIONS", {**server._OPTIONS, "keepalive_timeout": 0.2})
    service = await serve()
    reader, writer = await service.connect()

    async with asyncio.timeout(10):
        writer.write(b"GET /livez HTTP/1.1\r\nX-Slow: ")
        rest = await reader.read()

    assert rest == b""
    writer.close()


async def test_a_taken_port_is_said_in_a_sentence(echo: Service) -> None:
    """With the address, and what to do about it."""
    port = int(echo.url.rsplit(":", 1)[1])

    with pytest.raises(SettingsError, match=rf"cannot listen on {echo.url}: .*--listen HOST:PORT"):
        async with server.listening(echo.app, Listen("127.0.0.1", port)):
            pass


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
async def test_an_address_that_is_not_ours_is_said_too(echo: Service, host: str) -> None:
    """Whether it is another machine's or nobody's."""
    with pytest.raises(SettingsError, match=f"cannot listen on http://{host}:1"):
        async with server.listening(echo.app, Listen(host, 1)):
            pass


async def test_ipv6_addresses_have_their_brackets(serve: Serve) -> None:
    """What is announced can be called."""
    service = await serve('listen: "[::1]:0"')

    assert service.url.startswith("http://[::1]:")
    async with aiohttp.ClientSession() as session, session.get(service.url + "/flows") as response:
        assert response.status == 200
