"""What a caller sent, as the flow sees it."""

from io import BytesIO
from typing import Any

import pytest
from yarl import URL

from runner.web import bodies
from tests.unit.web.conftest import ECHO, TOKENS, Answer, Serve, Service

GET_ECHO = ECHO.replace("POST", "GET")
SMALL = "limits: {body: 1000B, json_depth: 5}\nlisten: 127.0.0.1:0\n"


async def test_a_flow_sees_path_query_body_method_and_headers(echo: Service) -> None:
    """`$trigger` has the five members that Directus gives it; the path is that below `/flows`."""
    answer = await echo.post("/flows/trigger/echo?q=1", json={"b": 1})

    seen = answer.json
    assert list(seen) == ["path", "query", "body", "method", "headers"]
    assert seen["path"] == "/trigger/echo"
    assert seen["query"] == {"q": "1"}
    assert seen["body"] == {"b": 1}
    assert seen["method"] == "POST"
    assert seen["headers"]["content-type"] == "application/json"


async def test_headers_are_lower_case_and_joined(echo: Service) -> None:
    """What comes twice is one value, as Node makes it."""
    answer = await echo.raw(
        b"POST /flows/trigger/echo HTTP/1.1\r\nHost: localhost\r\n"
        b"X-Custom: A\r\nX-Multi: b\r\nx-multi: c\r\n\r\n"
    )

    assert answer.json["headers"] == {"host": "localhost", "x-custom": "A", "x-multi": "b, c"}


async def test_the_query_of_a_webhook_is_the_flows_own(serve: Serve) -> None:
    """Names that mean something to Directus mean nothing here, and it is decoded once."""
    service = await serve(echo=GET_ECHO)
    url = f"{service.url}/flows/trigger/echo?limit=abc&page=-1&filter=%7Bbad&a=1%262&b=%2526"

    async with service.session.get(URL(url, encoded=True)) as response:
        query = (await response.json())["query"]

    assert query == {"limit": "abc", "page": "-1", "filter": "{bad", "a": "1&2", "b": "%26"}


CREDENTIALS = {
    "Authorization": "Basic dXNlcjpwYXNzd29yZA==",
    "Cookie": "sid=abcdef123; theme=dark-blue",
    "Proxy-Authorization": "Basic Zm9v",
}


async def test_credential_headers_are_hidden_from_the_flow(echo: Service) -> None:
    """They read `--redacted--`, also where the webhook lets everybody in."""
    answer = await echo.post("/flows/trigger/echo", headers=CREDENTIALS)

    for name in CREDENTIALS:
        assert answer.json["headers"][name.lower()] == "--redacted--"


async def test_a_flow_can_ask_for_credential_headers(serve: Serve) -> None:
    """Those in `expose_headers`, and no others; records never show them."""
    exposing = ECHO.replace("auth: none", "auth: none, expose_headers: [authorization]")
    service = await serve(echo=exposing)

    answer = await service.post("/flows/trigger/echo", headers=CREDENTIALS)

    assert answer.json["headers"]["authorization"] == CREDENTIALS["Authorization"]
    assert answer.json["headers"]["cookie"] == "--redacted--"
    assert b"dXNlcjpwYXNzd29yZA" not in b"".join(service.kept.lines)


@pytest.mark.parametrize(
    ("sent", "canary"),
    [
        ({"headers": {"Authorization": "Digest canary-12345"}}, "canary-12345"),
        ({"headers": {"Authorization": "Basic dXNlcjpjYW5hcnktMTIzNDU="}}, "canary-12345"),
        ({"headers": {"Cookie": "a=1; sid=canary-12345"}}, "canary-12345"),
        ({"headers": {"Cookie": 'sid="canary-12345"'}}, "canary-12345"),
        ({"headers": {"X-Api-Key": "canary-12345"}}, "canary-12345"),
        ({"headers": {"X-Hub-Signature-256": "sha256=canary-12345"}}, "sha256=canary-12345"),
        ({"params": {"token": "canary-12345"}}, "canary-12345"),
    ],
)
async def test_no_record_shows_what_a_caller_proves_themselves_with(
    echo: Service, sent: dict[str, Any], canary: str
) -> None:
    """Not where it stood, and not where a copy of it stands."""
    await echo.post("/flows/trigger/echo", json={"copy": f"see {canary}!"}, **sent)

    lines = b"".join(echo.kept.lines)
    assert b"see --redacted--!" in lines
    assert canary.encode() not in lines


async def test_too_many_cookies_are_refused(echo: Service) -> None:
    """Every record is searched for every one, so their number is limited."""
    cookies = "; ".join(f"c{i}=value-{i}" for i in range(201))

    answer = await echo.post("/flows/trigger/echo", headers={"Cookie": cookies})

    assert (answer.status, answer.code) == (413, "CONTENT_TOO_LARGE")


async def test_bytes_that_are_not_utf_8_are_no_error_of_ours(echo: Service) -> None:
    """In a header they read as replacement characters; in a request line they are refused."""
    head = b"POST /flows/trigger/echo%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"

    header = await echo.raw(head % b"" + b"X-Odd: \xff\xfe\r\nUser-Agent: \xe9\r\n\r\n")
    query = await echo.raw(head % b"?a=\xff" + b"\r\n")
    encoded = await echo.raw(head % b"?a=%ff" + b"\r\n")

    assert header.json["headers"]["x-odd"] == "\ufffd\ufffd"
    assert (query.status, query.code) == (400, "INVALID_PAYLOAD")
    assert encoded.json["query"] == {"a": "\ufffd"}


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_is_as_large_as_the_limit_says(serve: Serve, chunked: bool) -> None:
    """N bytes are read, N + 1 are 413, whether the size was announced or not."""
    service = await serve(SMALL, echo=ECHO)

    async def send(size: int) -> Answer:
        async def chunks() -> Any:
            yield b"x" * (size // 2)
            yield b"x" * (size - size // 2)

        data = chunks() if chunked else b"x" * size
        headers = {"Content-Type": "text/plain"}
        return await service.post("/flows/trigger/echo", data=data, headers=headers)

    assert (await send(1000)).json["body"] == "x" * 1000
    refused = await send(1001)
    assert (refused.status, refused.code) == (413, "CONTENT_TOO_LARGE")


async def test_a_flow_may_take_larger_bodies_than_others(serve: Serve) -> None:
    """`max_body` is in place of the setting, in both directions."""
    large = ECHO.replace("auth: none", "auth: none, max_body: 2MiB")
    small = ECHO.replace("auth: none", "auth: none, max_body: 10B")
    service = await serve(large=large, small=small)
    headers = {"Content-Type": "text/plain"}

    taken = await service.post(
        "/flows/trigger/large", data=BytesIO(b"x" * 2_000_000), headers=headers
    )
    refused = await service.post("/flows/trigger/small", data=b"x" * 11, headers=headers)

    assert len(taken.json["body"]) == 2_000_000
    assert refused.status == 413


async def test_json_is_as_deep_as_the_setting_says(serve: Serve) -> None:
    """The limit of the settings, not the parser's."""
    service = await serve(SMALL, echo=ECHO)
    headers = {"Content-Type": "application/json"}

    assert (await service.post("/flows/trigger/echo", data="[[[[[1]]]]]", headers=headers)).json
    refused = await service.post("/flows/trigger/echo", data="[[[[[[1]]]]]]", headers=headers)
    assert (refused.status, refused.code) == (400, "INVALID_PAYLOAD")
    assert "deeper than 5" in refused.message


@pytest.mark.parametrize(
    "headers", [{"Content-Encoding": "gzip"}, {"Content-Encoding": "identity"}]
)
async def test_a_compressed_body_is_415(echo: Service, headers: dict[str, str]) -> None:
    """Nothing is unpacked: neither a bomb, nor what somebody signed."""
    answer = await echo.post("/flows/trigger/echo", data=b"\x1f\x8b not gzip", headers=headers)

    assert (answer.status, answer.code) == (415, "UNSUPPORTED_MEDIA_TYPE")


HEAD = b"POST /flows/trigger/echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"


@pytest.mark.parametrize(
    ("rest", "status"),
    [
        (b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200),
        (b"Transfer-Encoding: chunked\r\n\r\n2;ext=1\r\nok\r\n0\r\nTrailer: x\r\n\r\n", 200),
        (b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 415),
        (b"Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n", 400),
        (b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n", 400),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n", 400),
        (b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nokk", 400),
        (b"Content-Length: -1\r\n\r\n", 400),
        (b"Content-Length: 2\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nok", 200),
    ],
)
async def test_bodies_are_framed_as_http_says(echo: Service, rest: bytes, status: int) -> None:
    """What two readers could read in two ways is refused."""
    answer = await echo.raw(HEAD + rest)

    assert answer.status == status
    if status == 200:
        assert answer.json["body"] == "ok"
    else:
        assert answer.code


async def test_a_caller_who_leaves_in_the_middle_is_no_error_of_ours(echo: Service) -> None:
    """The delivery is refused, which is recorded, and that is all."""
    _, writer = await echo.connect()
    writer.write(HEAD + b"Content-Length: 10\r\n\r\nfew")
    await writer.drain()
    writer.close()

    record = await echo.hear("trigger.refused")

    assert "did not arrive whole" in record["error"]["message"]
    assert len(echo.kept.records) == 1


async def test_a_body_has_its_time(echo: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who announces a body and does not send it is told so, and holds nothing."""
    monkeypatch.setattr(bodies, "BODY_TIME", 0.05)

    answer = await echo.raw(HEAD + b"Content-Length: 10\r\n\r\nslow")

    assert (answer.status, answer.code) == (400, "INVALID_PAYLOAD")
    assert "did not arrive within" in answer.message


async def test_the_callers_trace_goes_on(echo: Service) -> None:
    """A valid traceparent gives the records its trace id; any other is as none."""
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    sent = [
        f"00-{trace}-00f067aa0ba902b7-01",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"ff-{trace}-00f067aa0ba902b7-01",
        "nonsense",
    ]
    for value in sent:
        await echo.post("/flows/trigger/echo", headers={"traceparent": value})

    traces = [record["trace_id"] for record in echo.said("execution.started")]
    assert traces[0] == trace
    assert trace not in traces[1:]
    assert len(set(traces)) == 4


async def test_who_called_is_in_accountability(serve: Serve) -> None:
    """User, role, address, agent and origin, with Directus' names."""
    service = await serve(
        TOKENS,
        who=ECHO + "operations: [{type: transform, options: {json: '{{ $accountability }}'}}]",
    )
    more = {"User-Agent": "curl", "Origin": "http://there"}

    public = (await service.post("/flows/trigger/who", headers=more)).json
    editor = (
        await service.post(
            "/flows/trigger/who", headers={**more, "Authorization": "Bearer the-editor-token"}
        )
    ).json
    admin = (await service.post("/flows/trigger/who?access_token=the-admin-token")).json

    assert public == {
        "user": None,
        "role": None,
        "roles": [],
        "admin": False,
        "app": False,
        "ip": "127.0.0.1",
        "userAgent": "curl",
        "origin": "http://there",
    }
    assert editor["user"] == "00000000-0000-4000-a000-0000000000e2"
    assert editor["role"] == "00000000-0000-4000-a000-0000000000e1"
    assert editor["roles"] == [editor["role"]]
    assert (editor["admin"], admin["admin"], admin["role"]) == (False, True, "admin")


@pytest.mark.parametrize(
    ("trusted", "forwarded", "ip"),
    [
        ("[]", "1.2.3.4", "127.0.0.1"),
        ("[127.0.0.1]", "1.2.3.4", "1.2.3.4"),
        ("[127.0.0.0/8, 10.0.0.0/8]", "6.6.6.6, 1.2.3.4, 10.1.1.1", "1.2.3.4"),
        ("[127.0.0.1]", "6.6.6.6, nonsense", "127.0.0.1"),
    ],
)
async def test_forwarded_addresses_count_from_trusted_proxies_only(
    serve: Serve, trusted: str, forwarded: str, ip: str
) -> None:
    """Everybody else may write what they like into X-Forwarded-For."""
    service = await serve(
        f"listen: 127.0.0.1:0\ntrusted_proxies: {trusted}\n",
        who=ECHO
        + "operations: [{type: transform, options: {json: {ip: '{{ $accountability.ip }}'}}}]",
    )

    answer = await service.post("/flows/trigger/who", headers={"X-Forwarded-For": forwarded})

    assert answer.json == {"ip": ip}
