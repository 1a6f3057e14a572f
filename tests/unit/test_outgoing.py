"""Requests to real servers on this machine: what goes out, what comes back, what goes wrong."""

import asyncio
import gzip
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp.abc import ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from runner.outgoing import Client, Request, RequestError, Response, target
from tests.upstream import (
    Names,
    Received,
    Upstream,
    code,
    echo,
    failure,
    opened,
    redirecting,
    reply,
    request,
    upstream,
)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """A client under the default settings."""
    async with opened() as each:
        yield each


@pytest.fixture
async def server() -> AsyncIterator[Upstream]:
    """A server that says what it was asked, unless a test has it answer otherwise."""
    async with upstream() as each:
        yield each


# --- URLs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://a", "http://a/"),
        ("HTTP://Host.Example/Path", "http://host.example/Path"),
        ("https://a:8443/x?y=1#z", "https://a:8443/x?y=1"),
        ("http://a?x=1", "http://a/?x=1"),
        ("http://a#?/x", "http://a/"),
        ("http://a/a b", "http://a/a%20b"),
        ("http://a/a%20b?x=%zz&y=%2C%2f,%", "http://a/a%20b?x=%25zz&y=%2C%2f,%25"),
        ("http://a/é?ü=☃", "http://a/%C3%A9?%C3%BC=%E2%98%83"),
        ('http://a/<>"{}|\\^`', "http://a/%3C%3E%22%7B%7D%7C%5C%5E%60"),
        ("http://a/!$&'()*+,;=:@[]~_-.", "http://a/!$&'()*+,;=:@[]~_-."),
        ("http://a/x?u=http://b/?c#d", "http://a/x?u=http://b/?c"),
        ("http://bücher.example/", "http://xn--bcher-kva.example/"),
        ("http://[::1]:8055/", "http://[::1]:8055/"),
        ("http://127.0.0.1/", "http://127.0.0.1/"),
        ("http://a.:80/", "http://a./"),
        ("http://a:/", "http://a/"),
        ("http://my_db/", "http://my_db/"),
    ],
)
def test_a_url_is_encoded_once(text: str, expected: str) -> None:
    """What is encoded already stays so; what cannot be in a URL is encoded; no fragment is sent."""
    assert str(target(text)) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "http:// or https://"),
        ("not a url", "http:// or https://"),
        ("ftp://a/x", "http:// or https://"),
        ("file:///etc/passwd", "http:// or https://"),
        ("http:a", "http:// or https://"),
        ("http:/a", "http:// or https://"),
        ("//a/x", "http:// or https://"),
        (" http://a/", "http:// or https://"),
        ("http://user:word@a/", "credentials"),
        ("http://127.0.0.1:80@evil/", "credentials"),
        ("http://@a/", "credentials"),
        ("http://a\r\nX: y/", "control character"),
        ("http://a/x\ny", "control character"),
        ("http://a/\0", "control character"),
        ("http:///x", "host or port"),
        ("http://:80/", "host or port"),
        ("http://a:99999/", "host or port"),
        ("http://a:+80/", "host or port"),
        ("http://a:8x/", "host or port"),
        ("http://a b/", "host or port"),
        ("http://a\\b/", "host or port"),
        ("http://a%2fb/", "host or port"),
        ("http://[::1/", "host or port"),
        ("http://[::1]x/", "host or port"),
        ("http://[fe80::1%25eth0]/", "host or port"),
        ("http://a\u00adb/", "host or port"),
        ("http://a|b/", "host"),
        ("http://*/", "host"),
        ("http://a/\ud800", "host or port"),
        (f"http://{'a' * 254}/", "no host name"),
        ("http://a/" + " " * 70_000, "longer than 65536"),
    ],
)
def test_what_is_no_url_is_refused(text: str, words: str) -> None:
    """Before anything is sent, and without repeating it: it may hold a secret."""
    with pytest.raises(RequestError, match=words) as caught:
        target(text)

    assert caught.value.own_code == "ERR_INVALID_URL"
    assert "word" not in caught.value.message


@given(st.text() | st.text().map("http://a/".__add__) | st.from_regex(r"https?://[^/]{1,20}/.*"))
def test_any_text_is_a_url_or_refused(text: str) -> None:
    """And what came of it is a URL that stays as it is."""
    try:
        url = target(text)
    except RequestError:
        return
    assert target(str(url)) == url
    assert str(url).isascii()
    assert url.raw_host
    assert url.scheme in ("http", "https")


# --- what goes out and comes back ---------------------------------------------------------------


async def test_a_request_arrives_as_it_was_meant(client: Client, server: Upstream) -> None:
    """Method, target, headers and body, and who sends it."""
    url = f"{server.url}/a%20b?x=%2C"

    response = await client.send(request(url, "SEARCH", b"{}", X_A="1", Content_Type="text/x"))

    (received,) = server.received
    assert response.status == 200
    assert received.method == "SEARCH"
    assert received.target == "/a%20b?x=%2C"
    assert received.body == b"{}"
    assert received.headers["x-a"] == "1"
    assert received.headers["content-type"] == "text/x"
    assert received.headers["accept"] == "application/json, text/plain, */*"
    assert received.headers["user-agent"].startswith("gitops-flow-runner")
    assert received.headers["accept-encoding"].startswith("gzip, deflate")


async def test_headers_of_the_request_win(client: Client, server: Upstream) -> None:
    """Whatever their case."""
    await client.send(request(server.url, ACCEPT="text/x", user_agent="me", accept_encoding="br"))

    (received,) = server.received
    assert received.headers["accept"] == "text/x"
    assert received.headers["user-agent"] == "me"
    assert received.headers["accept-encoding"] == "br"


async def test_a_body_without_a_type_gets_none(client: Client, server: Upstream) -> None:
    """Whoever wants one says it."""
    await client.send(request(server.url, "DELETE", b"x"))

    assert "content-type" not in server.received[0].headers


async def test_a_large_body_arrives(client: Client, server: Upstream) -> None:
    """Some megabytes, also behind a redirect that keeps them."""
    server.answer = lambda got: (
        reply("307 Temporary Redirect", b"", "Location: /again") if got.target == "/" else echo(got)
    )
    body = b"x" * (3 << 20)

    await client.send(request(server.url, "POST", body))

    assert [each.body == body for each in server.received] == [True, True]


async def test_headers_of_a_response_have_lower_case_names(
    client: Client, server: Upstream
) -> None:
    """Repeated ones are joined, cookies a list, and what is no UTF-8 still fits into JSON."""
    headers = ("X-A: 1", "Set-Cookie: a=1; Path=/", "x-a: 2", "set-cookie: b=2", "X-B: \xff")
    server.answer = lambda _: reply("299 Fine \xff", b"x", *headers)

    response = await client.send(request(server.url))

    assert response.status == 299
    assert response.reason == "Fine \ufffd"
    assert response.headers == {
        "content-length": "1",
        "x-a": "1, 2",
        "set-cookie": ["a=1; Path=/", "b=2"],
        "x-b": "\ufffd",
    }


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "GZIP"])
async def test_a_compressed_body_is_unpacked(
    client: Client, server: Upstream, encoding: str
) -> None:
    """And its header is gone, as it would no longer be true."""
    pack = zlib.compress if encoding == "deflate" else gzip.compress
    server.answer = lambda _: reply("200 OK", pack(b"text" * 9), f"Content-Encoding: {encoding}")

    response = await client.send(request(server.url))

    assert response.body == b"text" * 9
    assert "content-encoding" not in response.headers


async def test_an_unknown_encoding_is_left_as_it_is(client: Client, server: Upstream) -> None:
    """Its header stays."""
    server.answer = lambda _: reply("200 OK", b"?", "Content-Encoding: rot13")

    response = await client.send(request(server.url))

    assert (response.body, response.headers["content-encoding"]) == (b"?", "rot13")


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("text/plain", "é".encode(), "é"),
        ("text/plain; charset=utf-8", b"\xef\xbb\xbfbom", "bom"),
        ("text/plain; charset=ISO-8859-1", b"\xe9", "é"),
        ('text/plain; charset="windows-1252"', b"\x80", "€"),
        ("text/plain;charset=utf-16", "é".encode("utf-16"), "é"),
        ("text/plain; charset=utf-16le", "\ufeffé".encode("utf-16-le"), "é"),
        ("text/plain; charset=shift_jis", "日".encode("shift_jis"), "日"),
        ("text/plain", b"a\xffb", "a\ufffdb"),
        ("text/plain; charset=no-such", "é".encode(), "é"),
        ("text/plain; charset=punycode", b"a", "a"),
        ("text/plain; charset=iso-8859-1-x", "é".encode(), "é"),
        ("", b"", ""),
    ],
)
def test_text_is_decoded_as_its_type_says(content_type: str, body: bytes, text: str) -> None:
    """As browsers do; what is not text in that character set is U+FFFD, never an error."""
    assert Response(200, "OK", {"content-type": content_type}, body).text == text


async def test_connections_are_kept(client: Client, server: Upstream) -> None:
    """Three requests, one after the other, take one."""
    for _ in range(3):
        await client.send(request(server.url))

    assert (len(server.received), server.connections) == (3, 1)


async def test_no_cookie_is_kept(server: Upstream) -> None:
    """One flow's session is not another's."""
    server.answer = lambda _: reply("200 OK", b"", "Set-Cookie: session=1")
    async with opened(resolver=Names(shop=[["127.0.0.1"]])) as client:
        for _ in range(2):
            await client.send(request(f"http://shop:{server.port}/"))

    assert "cookie" not in server.received[1].headers


async def test_a_proxy_in_the_environment_is_not_asked(
    server: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would connect where the guard cannot see it."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    async with opened() as client:
        await client.send(request(server.url))

    assert len(server.received) == 1


# --- redirects ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        (301, "GET", "GET"), (302, "GET", "GET"), (303, "GET", "GET"), (307, "GET", "GET"),
        (308, "GET", "GET"), (301, "POST", "GET"), (302, "POST", "GET"), (303, "POST", "GET"),
        (307, "POST", "POST"), (308, "POST", "POST"), (301, "PUT", "PUT"), (303, "PUT", "GET"),
        (302, "DELETE", "DELETE"), (308, "PATCH", "PATCH"), (301, "HEAD", "HEAD"),
        (303, "HEAD", "HEAD"),
    ],
)  # fmt: skip
async def test_a_redirect_is_followed_as_browsers_do(
    client: Client, server: Upstream, status: int, method: str, then: str
) -> None:
    """The method, and with it the body and what describes it, stays or becomes GET."""
    server.answer = redirecting(status, "/second")
    body = b"x" if method in ("POST", "PUT", "PATCH") else None
    sent = request(f"{server.url}/first", method, body, Content_Type="text/x", Authorization="me")

    await client.send(sent)

    second = server.received[1]
    kept = body if then == method else None
    assert (second.method, second.target, second.body) == (then, "/second", kept or b"")
    assert ("content-type" in second.headers) is (then == method)
    assert second.headers["authorization"] == "me"


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("second?x=1", "/deep/second?x=1"),
        ("../second", "/second"),
        ("?y", "/deep/first?y"),
        ("/a b#c", "/a%20b"),
        ("//127.0.0.1:PORT/x", "/x"),
        ("http://127.0.0.1:PORT/%zz", "/%25zz"),
        ("/\xc3\xa9", "/%C3%A9"),
        ("/\xe9", "/%E9"),
    ],
)
async def test_where_a_redirect_leads_is_read_as_browsers_do(
    client: Client, server: Upstream, location: str, expected: str
) -> None:
    """Relative to where it was, and encoded where that is missing."""
    to = location.replace("PORT", str(server.port))
    server.answer = lambda got: (
        reply("302 Found", b"", f"Location: {to}") if got.target == "/deep/first" else echo(got)
    )

    await client.send(request(f"{server.url}/deep/first"))

    assert server.received[1].target == expected


@pytest.mark.parametrize(
    "location",
    ["ftp://127.0.0.1/", "file:///etc/passwd", "http://me:word@127.0.0.1/", "http://[",
     "javascript:x", "http://a:99999/"],
)  # fmt: skip
async def test_a_redirect_to_nowhere_is_an_error(
    client: Client, server: Upstream, location: str
) -> None:
    """Other schemes, credentials, and what is no URL."""
    server.answer = redirecting(302, location)

    error = await failure(client, request(f"{server.url}/first"))

    assert error.own_code == "ERR_INVALID_URL"
    assert "word" not in error.message


@pytest.mark.parametrize("status", [300, 304, 305, 306])
async def test_other_statuses_of_that_kind_are_answers(
    client: Client, server: Upstream, status: int
) -> None:
    """Only five statuses mean: ask there."""
    server.answer = lambda _: reply(f"{status} X", b"", "Location: /second")

    assert (await client.send(request(server.url))).status == status


async def test_a_redirect_that_does_not_say_where_is_an_answer(
    client: Client, server: Upstream
) -> None:
    """Without a location there is nowhere to go."""
    server.answer = lambda _: reply("302 Found", b"x")

    assert (await client.send(request(server.url))).status == 302


@pytest.mark.parametrize(("hops", "status"), [(5, 200), (6, None)])
async def test_five_redirects_are_enough(
    client: Client, server: Upstream, hops: int, status: int | None
) -> None:
    """One more is an error; a loop ends there too."""
    server.answer = lambda got: (
        reply("302 Found", b"", f"Location: /{int(got.target[1:]) - 1}")
        if got.target != "/0"
        else echo(got)
    )
    sent = request(f"{server.url}/{hops}")

    if status is None:
        assert await code(client, sent) == "ERR_FR_TOO_MANY_REDIRECTS"
    else:
        assert (await client.send(sent)).status == status

    assert len(server.received) == 6


async def test_credentials_stay_where_they_belong(server: Upstream) -> None:
    """A redirect to another origin loses what looks like a credential, and keeps the rest."""
    secrets = {
        "Authorization", "Cookie", "Proxy-Authorization", "X-Api-Key", "X-Auth-Token", "X-Secret",
        "PRIVATE-TOKEN", "X-Session-Id", "X-Hub-Signature-256", "X-Amz-Credential", "apikey",
    }  # fmt: skip
    others = {"Accept", "X-Order", "Content-Type", "Idempotency-Key", "traceparent"}
    headers = CIMultiDict(dict.fromkeys(secrets | others, "value"))
    headers["Host"] = "virtual.example"
    async with upstream() as other, opened({"egress.allow": "127.0.0.1"}) as client:
        server.answer = redirecting(307, f"{other.url}/second")
        url = target(f"{server.url}/first")

        await client.send(Request("POST", url, headers, b"x", reviewed=True))

    (before,), (after,) = server.received, other.received
    assert {name.lower() for name in secrets | others} <= set(before.headers)
    assert before.headers["host"] == "virtual.example"
    assert after.headers["host"] == f"127.0.0.1:{other.port}"
    assert {name for name, value in after.headers.items() if value == "value"} == {
        name.lower() for name in others
    }


# --- limits -------------------------------------------------------------------------------------


def endless(_: Received) -> Iterable[bytes]:
    """A body that goes on until the client has gone."""
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    while True:
        yield b"4000\r\n" + b"x" * 0x4000 + b"\r\n"


async def test_a_response_without_end_is_cut_off(client: Client, server: Upstream) -> None:
    """At the limit, and the connection with it."""
    server.answer = endless

    assert await code(client, request(server.url)) == "RESPONSE_TOO_LARGE"
    await server.left.wait()


@pytest.mark.parametrize(("size", "expected"), [(1000, 200), (1001, "RESPONSE_TOO_LARGE")])
@pytest.mark.parametrize("where", ["setting", "request"])
async def test_the_limit_is_that_of_the_body(
    server: Upstream, where: str, size: int, expected: int | str
) -> None:
    """To the byte; a request may lower the setting, and not raise it."""
    server.answer = lambda _: reply("200 OK", b"x" * size)
    limits = {"setting": ("1000B", 2000), "request": ("2000B", 1000)}[where]

    async with opened({"limits.response": limits[0]}) as client:
        sent = request(server.url)._replace(max_response=limits[1])
        found = (await client.send(sent)).status if expected == 200 else await code(client, sent)

    assert found == expected


async def test_a_bomb_is_left_before_it_goes_off(client: Client, server: Upstream) -> None:
    """What counts is what a body unpacks to: here, a thousand times its size."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    server.answer = lambda _: reply("200 OK", packed, "Content-Encoding: gzip")

    assert len(packed) < 1 << 17
    assert await code(client, request(server.url)) == "RESPONSE_TOO_LARGE"
    await server.left.wait()


async def test_a_server_that_says_nothing_is_not_waited_for(server: Upstream) -> None:
    """Longer than the setting says; its connection goes too."""
    server.answer = lambda _: b""

    async with opened({"limits.request_time": "30ms"}) as client:
        error = await failure(client, request(f"{server.url}/?secret=1"))
        await server.left.wait()

    assert error.own_code == "ETIMEDOUT"
    assert error.message == f"GET 127.0.0.1:{server.port}: it took longer than 0.03 s"


async def test_the_time_limit_holds_for_the_body_and_over_redirects(server: Upstream) -> None:
    """Headers alone are no answer."""
    server.answer = lambda got: (
        reply("302 Found", b"", "Location: /body")
        if got.target == "/"
        else reply("200 OK", b"begun", length=10)
    )

    async with opened({"limits.request_time": "100ms"}) as client:
        assert await code(client, request(server.url)) == "ETIMEDOUT"

    assert [each.target for each in server.received] == ["/", "/body"]


async def test_each_request_has_its_own_time(server: Upstream) -> None:
    """Those that hang end one after the other; those in between are none the worse."""
    server.answer = lambda got: b"" if got.target == "/hang" else echo(got)

    async with opened({"limits.request_time": "100ms"}) as client:
        hanging = [asyncio.create_task(code(client, request(f"{server.url}/hang")))]
        assert (await client.send(request(server.url))).status == 200
        for _ in range(20):  # some time passes
            assert (await client.send(request(server.url))).status == 200
        hanging.append(asyncio.create_task(code(client, request(f"{server.url}/hang"))))
        assert (await client.send(request(server.url))).status == 200
        assert await asyncio.gather(*hanging) == ["ETIMEDOUT", "ETIMEDOUT"]
        assert (await client.send(request(server.url))).status == 200


async def test_whoever_waits_may_set_the_time(server: Upstream) -> None:
    """Then the setting does not count."""
    async with opened({"limits.request_time": "0s"}) as client:
        assert await code(client, request(server.url)) == "ETIMEDOUT"
        assert (await client.send(request(server.url), limited=False)).status == 200


async def test_a_cancelled_request_leaves_nothing_behind(client: Client, server: Upstream) -> None:
    """Its connection is closed, the task ends cancelled, and the next request works."""
    server.answer = lambda got: b"" if got.target == "/hang" else echo(got)
    task = asyncio.create_task(client.send(request(f"{server.url}/hang")))
    await server.asked.wait()

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await server.left.wait()

    assert task.cancelled()
    assert (await client.send(request(server.url))).status == 200


async def test_closing_hangs_up(server: Upstream) -> None:
    """No connection outlives the client."""
    async with opened() as client:
        await client.send(request(server.url))
        assert not server.left.is_set()

    await server.left.wait()


# --- servers that misbehave ---------------------------------------------------------------------


def lines(*head: str, body: bytes = b"") -> bytes:
    """What a server writes before it hangs up."""
    return "\r\n".join([*head, "Connection: close", "", ""]).encode() + body


OK = "HTTP/1.1 200 OK"
CHUNKED = "Transfer-Encoding: chunked"
GZIP = "Content-Encoding: gzip"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lines(OK, "Content-Length: 100", body=b"short"), "ECONNRESET"),
        (lines(OK, CHUNKED, body=b"5\r\nab"), "ECONNRESET"),
        (lines(OK, CHUNKED, body=b"zz\r\nab"), "ERR_BAD_RESPONSE"),
        (b"\r\nConnection: close", "ERR_BAD_RESPONSE"),
        (lines("SSH-2.0-OpenSSH_9.9"), "ERR_BAD_RESPONSE"),
        (lines("HTTP/1.1 abc OK"), "ERR_BAD_RESPONSE"),
        (lines("HTTP/9.9 200 OK"), "ERR_BAD_RESPONSE"),
        (lines(OK, "Content-Length: -1"), "ERR_BAD_RESPONSE"),
        (lines(OK, "Content-Length: 1", "Content-Length: 2", body=b"ab"), "ERR_BAD_RESPONSE"),
        (lines(OK, "X: " + "x" * 99999), "ERR_BAD_RESPONSE"),
        (lines(OK, *["X: y"] * 999), "ERR_BAD_RESPONSE"),
        (lines(OK, GZIP, body=b"no gzip"), "ERR_BAD_RESPONSE"),
    ],
)
async def test_what_is_no_response_is_an_error(
    client: Client, server: Upstream, answer: bytes, expected: str
) -> None:
    """Truncated, not HTTP, boundless, or not what it says it is; nothing of it is repeated."""
    server.answer = lambda _: answer

    error = await failure(client, request(server.url, "POST"))

    assert error.own_code == expected
    assert error.message.startswith(f"POST 127.0.0.1:{server.port}: the ")
    assert "OpenSSH" not in error.message


async def test_a_body_longer_than_it_says_ends_where_it_says(
    client: Client, server: Upstream
) -> None:
    """And what is left over is not taken for the next response."""
    server.answer = lambda got: (
        reply("200 OK", b"first" + reply("200 OK", b"forged"), length=5)
        if got.target == "/lies"
        else reply("200 OK", b"second")
    )

    first = await client.send(request(f"{server.url}/lies"))
    second = await client.send(request(server.url))

    assert (first.body, second.body) == (b"first", b"second")


async def test_a_refused_connection_is_named(client: Client) -> None:
    """By Node's code; the message says who, and not what was asked."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        error = await failure(client, request(f"http://127.0.0.1:{port}/x?secret=1", X="secret"))

    assert error.as_data() == {
        "name": "RequestError",
        "message": f"GET 127.0.0.1:{port}: the connection was refused",
        "code": "ECONNREFUSED",
    }


async def test_a_name_that_nobody_knows_is_named() -> None:
    """And one that could not be looked up just now is told apart from it."""
    async with opened(resolver=Names()) as client:
        assert await code(client, request("http://nobody/")) == "ENOTFOUND"
    async with opened(resolver=Unwell()) as client:
        assert await code(client, request("http://nobody/")) == "EAI_AGAIN"


class Unwell(Names):
    """A name server that does not answer."""

    async def resolve(self, *_: Any, **__: Any) -> list[ResolveResult]:
        """Says so."""
        raise socket.gaierror(socket.EAI_AGAIN, "try again")


async def test_a_name_that_no_dns_can_have_is_refused(client: Client) -> None:
    """A label of more than 63 characters."""
    assert await code(client, request(f"http://{'x' * 64}.example/")) == "ERR_INVALID_URL"


async def test_tls_with_a_server_that_has_none_is_an_error(client: Client) -> None:
    """It is not spoken to in the clear."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(reply("400 Bad Request"))
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as plain:
        port = plain.sockets[0].getsockname()[1]
        error = await failure(client, request(f"https://127.0.0.1:{port}/"))

    assert error.own_code == "ERR_TLS_HANDSHAKE"


async def test_a_certificate_that_nobody_vouches_for_is_an_error(
    client: Client, tmp_path: Path
) -> None:
    """TLS without knowing with whom is none."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(self_signed(tmp_path))
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        error = await failure(client, request(f"https://localhost:{port}/?secret=1"))

    assert error.own_code == "ERR_TLS_CERTIFICATE"
    assert error.message.endswith("the certificate is not accepted: self-signed certificate")


def self_signed(folder: Path) -> Path:
    """A file with a key and a certificate for `localhost` that it has signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    today = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certificate.public_bytes(Encoding.PEM)
    )
    return file
