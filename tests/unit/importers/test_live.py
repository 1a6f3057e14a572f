"""Reading a Directus that runs: one request, against a real server."""

import socket
import threading
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

import pytest

from runner.importers import Unreadable, exports, live
from tests.unit.importers.server import FLOWS, says, serving


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine uses, these servers are here."""
    monkeypatch.setenv("no_proxy", "*")


def test_all_flows_with_all_their_operations_are_asked_for() -> None:
    """Whatever number Directus would give by itself, on every level."""
    with serving(says(FLOWS)) as server:
        content = live.fetch(f"{server.url}/cms/", "secret")

    (asked,) = server.asked
    assert [flow["name"] for flow in exports.read(content).flows] == ["A"]
    assert urlsplit(asked["path"]).path == "/cms/flows"
    assert parse_qs(urlsplit(asked["path"]).query) == {
        "fields": ["*,operations.*"],
        "limit": ["-1"],
        "deep[operations][_limit]": ["-1"],
        "meta": ["filter_count"],
    }
    assert asked["headers"]["Authorization"] == "Bearer secret"


def test_without_a_token_none_is_sent() -> None:
    """Directus will say what it thinks of that."""
    with serving(says(FLOWS)) as server:
        live.fetch(server.url)

    assert "Authorization" not in server.asked[0]["headers"]


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (401, "{}", "^the token is not valid$"),
        (
            401,
            '{"errors": [{"message": "Invalid user credentials."}]}',
            r"^the token is not valid \(Invalid user credentials\.\)$",
        ),
        (403, '{"errors": []}', "^the caller may not read flows and operations: give a token"),
        (404, "<html>", "^there is no Directus at this URL$"),
        (503, "7", "^it answered 503 Service Unavailable$"),
        (500, '{"errors": [{"message": "\\u001b[31m"}]}', r"\(\\x1b\[31m\)$"),
    ],
)
def test_a_refusal_is_told_in_a_sentence(status: int, body: str, reason: str) -> None:
    """With what Directus says itself, harmless to a terminal."""
    with serving(says(body, status)) as server, pytest.raises(Unreadable, match=reason):
        live.fetch(server.url, "secret")


def test_a_redirection_to_another_server_is_not_followed() -> None:
    """It would get the token."""
    with serving(says(FLOWS)) as other:
        elsewhere = f"{other.url}/flows"
        told = f"it leads to {other.url}: give that URL"
        with (
            serving(says("", 302, Location=elsewhere)) as server,
            pytest.raises(Unreadable, match=told),
        ):
            live.fetch(server.url, "secret")

    assert other.asked == []


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://127.0.0.1/", "https://127.0.0.1/"]
)
def test_a_redirection_to_something_else_is_not_followed(location: str) -> None:
    """Not to another scheme either, and least of all to a file."""
    with serving(says("", 302, Location=location)) as server, pytest.raises(Unreadable):
        live.fetch(server.url, "secret")


def test_a_redirection_on_the_same_server_is_followed() -> None:
    """With the token."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        moved = handler.path.startswith("/flows")
        (says("", 301, Location="/cms/flows") if moved else says(FLOWS))(handler)

    with serving(answer) as server:
        assert live.fetch(server.url, "secret").decode() == FLOWS

    assert server.asked[1]["path"] == "/cms/flows"
    assert server.asked[1]["headers"]["Authorization"] == "Bearer secret"


def test_a_circle_of_redirections_ends() -> None:
    """With the server's own words."""
    with (
        serving(says("", 302, Location="/flows")) as server,
        pytest.raises(Unreadable, match="302"),
    ):
        live.fetch(server.url)

    assert len(server.asked) < 20


@pytest.mark.parametrize(
    "url",
    ["directus.example.com", "ftp://x", "file:///etc/passwd", "http://", "http://[", "",
     "http://user:secret@example.com", "https://user@example.com"],
)  # fmt: skip
def test_an_address_that_is_none_is_refused(url: str) -> None:
    """Nor does a password belong into it."""
    with pytest.raises(Unreadable, match="written like https://directus") as caught:
        live.fetch(url)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:0x50", "http://127.0.0.1:99999", "http://a b"])
def test_an_address_that_cannot_be_asked_is_refused(url: str) -> None:
    """In a sentence too."""
    with pytest.raises(Unreadable, match="it cannot be reached: "):
        live.fetch(url)


@pytest.mark.parametrize("token", ["", " ", "a\nb", "a\r\nX-Evil: 1", "é"])
def test_a_token_that_no_header_takes_is_refused(token: str) -> None:
    """Before anything is sent, and without showing it."""
    with pytest.raises(Unreadable, match="the token is empty, or has characters that no token has"):
        live.fetch("http://127.0.0.1:1", token)


def test_a_server_that_is_not_there_is_said_to_be_so() -> None:
    """In the words of the system."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    with pytest.raises(Unreadable, match=r"^it cannot be reached: Connection refused$"):
        live.fetch(f"http://127.0.0.1:{port}")


def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while without a byte."""
    monkeypatch.setattr(live, "TIMEOUT", 0.05)
    over = threading.Event()

    def answer(_: BaseHTTPRequestHandler) -> None:
        over.wait(30)

    with serving(answer) as server:
        with pytest.raises(Unreadable, match="timed out"):
            live.fetch(server.url)
        over.set()


def test_an_answer_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """However steadily it comes."""
    monkeypatch.setattr(live, "DEADLINE", -1.0)

    with serving(says("[" * 100)) as server, pytest.raises(Unreadable, match="not complete after"):
        live.fetch(server.url)


def test_an_answer_that_is_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it fills the memory."""
    monkeypatch.setattr(live, "MAX_BYTES", 1 << 20)

    with serving(says(" " * (2 << 20))) as server, pytest.raises(Unreadable, match="than 1 MiB"):
        live.fetch(server.url)


def test_an_answer_that_is_no_http_is_refused() -> None:
    """Some other service listens there."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"SSH-2.0-x\r\n")

    with serving(answer) as server, pytest.raises(Unreadable, match="it cannot be reached: "):
        live.fetch(server.url)
