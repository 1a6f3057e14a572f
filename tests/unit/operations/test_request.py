"""What an operation sends, and what its flow gets, against real servers on this machine."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from runner import settings
from runner.model import Result, Severity, Status
from runner.types import JSONObject, JSONValue
from tests.upstream import Received, Upstream, echo, reply, upstream
from tests.world import World

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
async def server() -> AsyncIterator[Upstream]:
    """A server that says what it was asked, unless a test has it answer otherwise."""
    async with upstream() as each:
        yield each


@asynccontextmanager
async def running(options: Mapping[str, str] | None = None, **more: Any) -> AsyncIterator[World]:
    """A world whose operations have what they need, under settings given as flags."""
    world = World(**more)
    made = settings.load({"listen": "127.0.0.1:1", **(options or {})}, {})
    async with world.opened(made):
        yield world


async def ask(url: str, trigger_data: JSONValue = None, **options: Any) -> Result:
    """What an operation gives that asks *url*."""
    async with running() as world:
        return await world.operate("request", {"url": url, **options}, trigger_data)


# --- what comes of it ---------------------------------------------------------------------------

#: What the server answers; what the flow gets of it, and with which code where it rejects.
ANSWERS: dict[str, tuple[bytes, JSONValue, str | None]] = {
    "JSON": (reply("200 OK", b'{"a": [1, null]}'), {"a": [1, None]}, None),
    "JSON in text": (
        reply("200 OK", b'{"looks":"json"}', "Content-Type: text/plain"),
        {"looks": "json"},
        None,
    ),
    "a number": (reply("200 OK", b"42"), 42, None),
    "a string": (reply("200 OK", b'"text"'), "text", None),
    "null": (reply("200 OK", b"null"), None, None),
    "text": (reply("200 OK", b"plain text"), "plain text", None),
    "bad JSON": (reply("200 OK", b"{not json", f"Content-Type: {JSON}"), "{not json", None),
    "NaN": (reply("200 OK", b"NaN"), "NaN", None),
    "JSON that is too deep": (
        reply("200 OK", b"[" * 200 + b"]" * 200),
        "[" * 200 + "]" * 200,
        None,
    ),
    "JSON with a byte order mark": (reply("200 OK", b"\xef\xbb\xbf[1]"), [1], None),
    "JSON that is no UTF-8": (reply("200 OK", b'["\xff"]'), ["\ufffd"], None),
    "JSON in Latin-1": (
        reply("200 OK", b'["\xe9"]', "Content-Type: text/plain; charset=iso-8859-1"),
        ["é"],
        None,
    ),
    "text in Latin-1": (
        reply("200 OK", b"\xe9", "Content-Type: text/plain; charset=iso-8859-1"),
        "é",
        None,
    ),
    "nothing": (reply("200 OK"), "", None),
    "a blank": (reply("200 OK", b" "), " ", None),
    "created": (reply("201 Created", b"{}"), {}, None),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", "", None),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\n\r\n", "", "ERR_BAD_REQUEST"),
    "multiple choices": (reply("300 Multiple Choices", b"[]"), [], "ERR_BAD_REQUEST"),
    "not found": (reply("404 Not Found", b'{"e": 1}'), {"e": 1}, "ERR_BAD_REQUEST"),
    "broken": (reply("500 Internal Server Error", b"boom"), "boom", "ERR_BAD_RESPONSE"),
    "odd": (reply("999 Go away", b""), "", "ERR_BAD_RESPONSE"),
}


@pytest.mark.parametrize(("answer", "data", "code"), ANSWERS.values(), ids=ANSWERS)
async def test_a_response_has_four_keys_and_an_error_three_more(
    server: Upstream, answer: bytes, data: JSONValue, code: str | None
) -> None:
    """Success is 200 to 299; the body is JSON where it can be, else text, and nothing is text."""
    server.answer = lambda _: answer
    line = answer.decode("latin-1").split("\r\n")[0]
    status, _, reason = line.removeprefix("HTTP/1.1 ").partition(" ")

    result = await ask(server.url)

    assert isinstance(result.value, dict)
    assert result.value["status"] == int(status)
    assert result.value["statusText"] == reason
    assert result.value["data"] == data
    assert result.status is (Status.REJECTED if code else Status.RESOLVED)
    assert set(result.value) - {"status", "statusText", "headers", "data"} == (
        {"name", "message", "code"} if code else set()
    )
    assert result.value.get("code") == code
    if code:
        assert result.value["name"] == "RequestError"
        assert result.value["message"] == f"the server answered {status} {reason}"


async def test_a_rejection_is_a_record_with_its_code(server: Upstream) -> None:
    """Whoever reads the records knows what happened."""
    server.answer = lambda _: reply("503 Service Unavailable")
    async with running() as world:
        await world.operate("request", {"url": server.url})

    (record,) = world.said("operation.rejected")
    assert record["error"] == {
        "name": "RequestError",
        "message": "the server answered 503 Service Unavailable",
        "code": "ERR_BAD_RESPONSE",
    }


async def test_where_nobody_answers_there_is_an_error_of_its_own() -> None:
    """With name, message and code, and without the query."""
    result = await ask("http://127.0.0.1:9/x?secret=1")

    assert result == (
        Status.REJECTED,
        {
            "name": "RequestError",
            "message": "GET 127.0.0.1:9: the connection was refused",
            "code": "ECONNREFUSED",
        },
    )


# --- what is sent -------------------------------------------------------------------------------

OBJECT = {"a": 1, "b": [True, None], "é": "ü"}
AS_JSON = '{"a":1,"b":[true,null],"é":"ü"}'
ABSENT: Any = object()


@pytest.mark.parametrize(
    ("method", "body", "given", "sent_type", "sent"),
    [
        ("GET", ABSENT, None, None, ""),
        ("HEAD", ABSENT, None, None, ""),
        ("DELETE", ABSENT, None, None, ""),
        ("POST", ABSENT, None, FORM, ""),
        ("PUT", ABSENT, None, FORM, ""),
        ("PATCH", "", None, FORM, ""),
        ("POST", OBJECT, None, JSON, AS_JSON),
        ("GET", OBJECT, None, JSON, AS_JSON),
        ("SEARCH", {"query": {}}, None, JSON, '{"query":{}}'),
        ("POST", [1, "a"], None, JSON, '[1,"a"]'),
        ("POST", 5, None, JSON, "5"),
        ("POST", True, None, JSON, "true"),
        ("POST", None, None, JSON, "null"),
        ("POST", ' {"a": 1} ', None, JSON, '{"a": 1}'),
        ("POST", "5", None, JSON, "5"),
        ("POST", "a=1&b=2", None, FORM, "a=1&b=2"),
        ("DELETE", "plain", None, None, "plain"),
        ("POST", "plain é", "text/plain", "text/plain", "plain é"),
        ("POST", "a=1&b=2", FORM, FORM, "a=1&b=2"),
        ("POST", '{"a": 1}', "text/plain", "text/plain", '{"a": 1}'),
        ("POST", "plain", JSON, JSON, '"plain"'),
        ("POST", "plain", f"{JSON}; charset=utf-8", f"{JSON}; charset=utf-8", '"plain"'),
        ("POST", OBJECT, "text/plain", "text/plain", AS_JSON),
        ("POST", {"a": "b c", "n": None, "t": True}, FORM, FORM, "a=b+c&t=true"),
        ("POST", {"o": {"p": [1, 2]}, "q": [{"r": 1}]}, FORM, FORM, "o[p][]=1&o[p][]=2&q[0][r]=1"),
        ("POST", [1], FORM, FORM, "[1]"),
    ],
)
@pytest.mark.parametrize("name", ["Content-Type", "content-type"])
async def test_a_body_is_written_as_directus_writes_it(
    server: Upstream,
    method: str,
    body: JSONValue,
    given: str | None,
    sent_type: str | None,
    sent: str,
    name: str,
) -> None:
    """What is JSON is sent as such, also as text; a type that the author names is his own."""
    options: JSONObject = {} if body is ABSENT else {"body": body}
    if given is not None:
        options["headers"] = [{"header": name, "value": given}]

    await ask(server.url, method=method, **options)

    (received,) = server.received
    assert received.method == method
    assert received.headers.get("content-type") == sent_type
    text = received.body.decode()
    assert (text if sent_type != FORM else text.replace("%5B", "[").replace("%5D", "]")) == sent
    expected = "0" if not sent and method not in ("GET", "HEAD") else str(len(received.body))
    assert received.headers.get("content-length", "0") == expected


async def test_templates_are_everywhere(server: Upstream) -> None:
    """In the method, the URL, the headers and the body; types are kept where they can be."""
    data = {"m": "post", "id": 7, "h": "X-B", "v": [1], "headers": [{"header": "X-C", "value": 5}]}

    await ask(
        f"{server.url}/{{{{ $trigger.id }}}}/é?q={{{{ $trigger.v }}}}",
        data,
        method="{{ $trigger.m }}",
        headers=[
            {"header": "X-A", "value": "v{{ $trigger.id }}"},
            {"header": "{{ $trigger.h }}", "value": "{{ $trigger.id }}"},
            {"header": "X-None", "value": "{{ $trigger.none }}"},
            {"header": "X-Yes", "value": True},
        ],
        body={"v": "{{ $trigger.v }}"},
    )
    await ask(server.url, data, headers="{{ $trigger.headers }}")
    await ask(server.url, data, headers="{{ $trigger.none }}")

    first, second, third = server.received
    assert (first.method, first.target) == ("POST", "/7/%C3%A9?q=[1]")
    assert json.loads(first.body) == {"v": [1]}
    assert {name: first.headers.get(name) for name in ("x-a", "x-b", "x-none", "x-yes")} == {
        "x-a": "v7", "x-b": "7", "x-none": None, "x-yes": "true",
    }  # fmt: skip
    assert second.headers["x-c"] == "5"
    assert "x-c" not in third.headers


async def test_the_last_of_two_headers_counts_and_none_lies_about_the_message(
    server: Upstream,
) -> None:
    """A wrong length could make another request of a body."""
    names = {
        "X-A": "first", "x-a": "last", "Content-Length": "5", "Transfer-Encoding": "chunked",
        "Connection": "close", "Expect": "100-continue", "Host": "virtual.example",
    }  # fmt: skip
    headers = [{"header": name, "value": value} for name, value in names.items()]

    await ask(server.url, method="POST", body="a=1&b=2&c=3", headers=headers)

    (received,) = server.received
    assert received.body == b"a=1&b=2&c=3"
    assert received.headers["content-length"] == "11"
    assert received.headers["x-a"] == "last"
    assert received.headers["host"] == "virtual.example"
    assert not {"transfer-encoding", "connection", "expect"} & set(received.headers)


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\0b", {"a": 1}, [1]])
async def test_a_header_is_one_line_of_text(server: Upstream, value: JSONValue) -> None:
    """Data cannot add a second header."""
    result = await ask(
        server.url, {"v": value}, headers=[{"header": "X-A", "value": "{{ $trigger.v }}"}]
    )

    assert isinstance(result.value, dict)
    assert result.value["code"] == "INVALID_OPTIONS"
    assert server.received == []


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"X-A": "1"}},
        {"headers": [{"name": "X-A", "value": "1"}]},
        {"headers": [{"header": "X A", "value": "1"}]},
        {"headers": [{"header": "X-A", "value": "a\nb"}]},
        {"headers": "X-A: 1"},
        {"method": "GET /evil"},
        {"url": ""},
        {"url": None},
        {"max_response": "much"},
        {"idempotency_key": "{{ $trigger }}"},
        {"timeout": "5s"},
    ],
)
async def test_options_that_mean_nothing_are_issues(world: World, options: JSONObject) -> None:
    """The file says it before anything runs."""
    data = {"name": "x", "trigger": "operation"}
    operation = {"type": "request", "options": {"url": "http://a/", **options}}

    loaded = await world.load_files(
        {"flow.yaml": json.dumps({**data, "operations": [operation]}).encode()}
    )

    assert {issue.severity for issue in loaded.issues} == {Severity.ERROR}


@pytest.mark.parametrize(
    "url", ["not a url", "ftp://127.0.0.1/x", "http://me:word@a/", "http://a\n"]
)
async def test_a_url_that_cannot_be_is_a_warning_and_rejects(world: World, url: str) -> None:
    """As in Directus, the flow runs; the author is told before."""
    result = await ask(url)
    by_template = await ask("{{ $trigger }}", url)
    data = {"name": "x", "trigger": "operation"}
    operation = {"type": "request", "options": {"url": url}}
    loaded = await world.load_files(
        {"flow.yaml": json.dumps({**data, "operations": [operation]}).encode()}
    )

    assert isinstance(result.value, dict)
    assert result.value["code"] == "ERR_INVALID_URL"
    assert by_template == result
    (issue,) = loaded.issues
    assert (issue.severity, issue.code) == (Severity.WARNING, "bad-url")
    assert "word" not in issue.message


# --- traces, keys, tries ------------------------------------------------------------------------


async def test_a_request_is_a_span_of_its_execution(server: Upstream) -> None:
    """The trace goes on; each request is a span of its own, unless the author knows better."""
    async with running() as world:
        await world.operate("request", {"url": server.url})
        await world.operate("request", {"url": server.url})
        own = [{"header": "Traceparent", "value": "mine"}]
        await world.operate("request", {"url": server.url, "headers": own})
    traces = [each["trace_id"] for each in world.said("execution.finished")]

    first, second, third = (each.headers["traceparent"] for each in server.received)

    assert re.fullmatch(f"00-{traces[0]}-[0-9a-f]{{16}}-01", first)
    assert re.fullmatch(f"00-{traces[1]}-[0-9a-f]{{16}}-01", second)
    assert first.split("-")[2] != second.split("-")[2]
    assert third == "mine"


RETRIED = """
name: Retried
trigger: operation
options: {return: $last}
operations:
  - key: größe & co
    type: request
    options: {method: POST, url: "URL", idempotency_key: true}
    retry: {attempts: 3, delay: 0ms}
"""


async def test_every_try_has_the_same_key(server: Upstream) -> None:
    """The server can tell a second try from a second order; another execution has another key."""
    server.answer = lambda got: reply("500 Oh") if len(server.received) < 3 else echo(got)
    async with running() as world:
        await world.load(retried=RETRIED.replace("URL", server.url))
        await world.run("retried")
        await world.run("retried")
    ids = [each["execution_id"] for each in world.said("execution.finished")]

    keys = [each.headers["idempotency-key"] for each in server.received]

    assert keys == [f"{ids[0]}/gr%C3%B6%C3%9Fe%20%26%20co"] * 3 + [
        f"{ids[1]}/gr%C3%B6%C3%9Fe%20%26%20co"
    ]


async def test_no_key_is_sent_unasked_and_the_authors_wins(server: Upstream) -> None:
    """It may have a better one."""
    own = [{"header": "idempotency-key", "value": "order-7"}]

    await ask(server.url)
    await ask(server.url, idempotency_key=True, headers=own)

    assert "idempotency-key" not in server.received[0].headers
    assert server.received[1].headers["idempotency-key"] == "order-7"


def hanging(_: Received) -> bytes:
    """No answer."""
    return b""


async def test_the_setting_limits_the_time(server: Upstream) -> None:
    """Where the operation has none of its own."""
    server.answer = hanging
    async with running({"limits.request_time": "20ms"}) as world:
        result = await world.operate("request", {"url": server.url})

    assert isinstance(result.value, dict)
    assert result.value["code"] == "ETIMEDOUT"


TIMED = """
name: Timed
trigger: operation
options: {return: $last}
operations:
  - {key: it, type: request, options: {url: "URL"}, timeout: TIMEOUT}
"""


@pytest.mark.parametrize(("timeout", "answer"), [("1m", echo), ("20ms", hanging)])
async def test_the_time_of_an_operation_counts_alone(
    server: Upstream, timeout: str, answer: Any
) -> None:
    """It may be longer than the setting, or shorter."""
    server.answer = answer
    request_time = {"1m": "0s", "20ms": "1m"}[timeout]
    async with running({"limits.request_time": request_time}) as world:
        await world.load(timed=TIMED.replace("URL", server.url).replace("TIMEOUT", timeout))
        result = await world.run("timed")

    assert isinstance(result.value, dict)
    assert result.value.get("code") == {"1m": None, "20ms": "TIMED_OUT"}[timeout]


async def test_a_cancelled_execution_hangs_up(server: Upstream) -> None:
    """The other side sees that nobody waits any more."""
    server.answer = hanging
    async with running() as world:
        await world.load(timed=TIMED.replace("URL", server.url).replace("TIMEOUT", "1m"))
        begun = await world.begin("timed")
        task = asyncio.create_task(world.engine.result(begun))
        await server.asked.wait()

        begun.cancel()

        await server.left.wait()
        assert (await task).status is Status.CANCELLED


async def test_a_large_response_is_refused(server: Upstream) -> None:
    """By the option, which can only lower what the setting allows."""
    server.answer = lambda _: reply("200 OK", b"x" * 1001)
    async with running({"limits.response": "1000B"}) as world:
        raised = await world.operate("request", {"url": server.url, "max_response": "1MiB"})
    lowered = await ask(server.url, max_response="1000")
    enough = await ask(server.url, max_response="1001")

    for result in (raised, lowered):
        assert isinstance(result.value, dict)
        assert result.value["code"] == "RESPONSE_TOO_LARGE"
    assert enough.status is Status.RESOLVED


# --- who has chosen the host --------------------------------------------------------------------

ENV = {
    "BASE": "http://<here>",
    "HOST": "127.0.0.1",
    "PORT": "<port>",
    "SCHEME": "http",
    "HALF": "http:/",
    "AT": "<here>",
}
DATA = {
    "base": "http://<here>", "host": "127.0.0.1", "port": "<port>", "path": "/x", "here": "<here>",
    "empty": "", "slashes": "//<here>", "slash": "/<here>",
}  # fmt: skip


@pytest.mark.parametrize(
    ("url", "reviewed"),
    [
        ("http://<here>", True),
        ("http://<here>/x", True),
        ("HTTP://<here>?x={{ $trigger.path }}", True),
        ("http://<here>/{{ $trigger.path }}", True),
        ("http://<here>/?{{ $trigger.here }}#{{ $trigger.base }}", True),
        ("http://<here>#{{ $trigger.path }}", True),
        ("http://{{ $env.HOST }}:{{ $env.PORT }}/{{ $trigger.path }}", True),
        ("{{ $env.BASE }}", True),
        ("{{ $env.BASE }}/x", True),
        ("{{ $env.BASE }}/{{ $trigger.path }}", True),
        ("{{ $env.BASE }}{{ $env.MISSING }}", True),
        ("{{ $secrets.BASE }}/{{ $trigger.path }}", True),
        ("{{ $env['BASE'] }}/{{ $trigger.path }}", True),
        ("http://{{ $secrets.AT }}?{{ $trigger.path }}", True),
        ("{{ $env.SCHEME }}://{{ $env.HOST }}:{{ $env.PORT }}/{{ $trigger.empty }}", True),
        ("{{ $trigger.base }}", False),
        ("{{ $trigger.base }}/x", False),
        ("http://{{ $trigger.here }}/x", False),
        ("http://{{ $trigger.host }}:<port>/", False),
        ("http://127.0.0.1:{{ $trigger.port }}/x", False),
        ("http://<here>{{ $trigger.path }}", False),
        ("http://<here>{{ $trigger.empty }}/x", False),
        ("http://<here>{{ $trigger.missing }}", False),
        ("{{ $env.BASE }}{{ $trigger.path }}", False),
        ("{{ $env.BASE }}{{ $trigger.empty }}", False),
        ("http:{{ $trigger.slashes }}/x", False),
        ("http:/{{ $trigger.slash }}/x", False),
        ("http://{{ $trigger.empty }}<here>/x", False),
        ("{{ $env.SCHEME }}:{{ $trigger.slashes }}", False),
        ("{{ $env.SCHEME }}:/{{ $trigger.slash }}", False),
        ("{{ $env.SCHEME }}://{{ $trigger.here }}", False),
        ("{{ $env.HALF }}/{{ $trigger.here }}", False),
        ("{{ $env.HALF }}{{ $trigger.slash }}", False),
        ("{{ $trigger.empty }}http://<here>/", False),
        ("{{ first.base }}/x", False),
        ("{{ $last.base }}/x", False),
        ("{{ $accountability.ip }}{{ $trigger.base }}", False),
    ],
)
async def test_private_addresses_are_for_urls_whose_host_stands_in_the_file(
    server: Upstream, url: str, *, reviewed: bool
) -> None:
    """What the operator configures counts as the file; whatever else may change it does not."""

    def filled(text: str) -> str:
        return text.replace("<here>", f"127.0.0.1:{server.port}").replace(
            "<port>", str(server.port)
        )

    known = {name: filled(text) for name, text in (ENV | DATA).items()}
    async with running(env=known, secrets=known) as world:
        result = await world.operate("request", {"url": filled(url)}, known)

    assert isinstance(result.value, dict)
    assert (result.status is Status.RESOLVED) is reviewed, result.value
    assert bool(server.received) is reviewed
    if not reviewed:
        assert result.value["code"] in ("EGRESS_DENIED", "ERR_INVALID_URL")


async def test_a_tainted_url_works_where_it_is_allowed(server: Upstream) -> None:
    """The operator has said so."""
    async with running({"egress.allow": "127.0.0.0/8"}) as world:
        result = await world.operate("request", {"url": "{{ $trigger }}"}, server.url)

    assert result.status is Status.RESOLVED


async def test_secrets_in_headers_and_urls_are_in_no_record(server: Upstream) -> None:
    """Neither in options nor in errors."""
    server.answer = lambda _: reply("500 No")
    secrets = {"KEY": "a-canary-secret"}
    async with running(secrets=secrets) as world:
        await world.operate(
            "request",
            {
                "url": f"{server.url}/?key={{{{ $secrets.KEY }}}}",
                "headers": [
                    {"header": "X-A", "value": "{{ $secrets.KEY }}"},
                    {"header": "Authorization", "value": "Bearer literal-token"},
                ],
            },
        )

    text = json.dumps(world.records)
    assert server.received[0].headers["x-a"] == "a-canary-secret"
    assert "canary" not in text
    assert "literal-token" not in text
