"""What a webhook answers where it says so itself."""

import json
from typing import Any, Final

import pytest

from tests.unit.web.conftest import Answer, Serve, Service


def flow(response: Any, more: str = "", operations: str = "[]") -> str:
    """A webhook with a `response`."""
    return (
        "name: Hook\ntrigger: webhook\n"
        f"options: {{method: POST, auth: none, response: {json.dumps(response)}{more}}}\n"
        f"operations: {operations}\n"
    )


#: Of a flow that ends with null.
NOTHING: Final = "[{key: nothing, type: log, options: {message: m}}]"


async def call(service: Service, body: Any = None) -> Answer:
    """Send *body* as JSON."""
    return await service.post("/flows/trigger/hook", json=body or {})


async def test_status_headers_and_body_come_from_the_chain(serve: Serve) -> None:
    """With their types; a header that turns out to be null is left out."""
    response = {
        "status": 201,
        "headers": {
            "Location": "/orders/{{ order.id }}",
            "X-Total": "{{ order.total }}",
            "X-None": "{{ order.nothing }}",
            "X-Five": 5,
        },
        "body": {"id": "{{ order.id }}", "echo": "{{ $trigger.body.n }}"},
    }
    order = "[{key: order, type: transform, options: {json: {id: 7, total: 2.5}}}]"
    service = await serve(hook=flow(response, operations=order))

    answer = await call(service, {"n": [1]})

    assert (answer.status, answer.json) == (201, {"id": 7, "echo": [1]})
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.headers["X-Flow-Revision"] == "revision-1"
    sent = [answer.headers.get(name) for name in ("Location", "X-Total", "X-None", "X-Five")]
    assert sent == ["/orders/7", "2.5", None, "5"]


@pytest.mark.parametrize(
    ("response", "status", "body"),
    [
        ({"body": {"a": 1}}, 200, b'{"a":1}'),
        ({"body": []}, 200, b"[]"),
        ({"body": 0}, 200, b"0"),
        ({"body": False}, 200, b"false"),
        ({"body": ""}, 200, b'""'),
        ({"body": "text"}, 200, b'"text"'),
        ({"body": None}, 204, b""),
        ({"headers": {"X-A": "1"}}, 204, b""),
        ({"status": 202}, 202, b""),
        ({"status": 404, "body": {"no": 1}}, 404, b'{"no":1}'),
        ({"status": 204, "body": {"a": 1}}, 204, b""),
        ({"status": 304, "body": {"a": 1}}, 304, b""),
        ({"status": "{{ $trigger.body.status }}"}, 418, b""),
        ({"status": "4{{ $trigger.body.rest }}", "body": 1}, 404, b"1"),
        ({"body": "{{ $trigger.body.rest }}"}, 200, b'"04"'),
        ({"body": "{{ nothing.here }}"}, 204, b""),
    ],
)
async def test_what_is_left_out_goes_without_saying(
    serve: Serve, response: Any, status: int, body: bytes
) -> None:
    """200 and JSON; 204 where there is no body; a status that has none sends none."""
    service = await serve(hook=flow(response, operations=NOTHING))

    answer = await call(service, {"status": 418, "rest": "04"})

    assert (answer.status, answer.body) == (status, body)


@pytest.mark.parametrize("body", [None, 1])
async def test_a_flow_does_not_say_what_the_runner_says(serve: Serve, body: Any) -> None:
    """The revision is there once, however its name is written."""
    response = {"headers": {"x-flow-revision": "none"}, "body": body}
    service = await serve(hook=flow(response))

    answer = await call(service)

    assert answer.headers.getall("X-Flow-Revision") == ["revision-1"]


@pytest.mark.parametrize(
    ("kind", "body", "sent", "said"),
    [
        ("text/plain", "héllo", "héllo".encode(), "text/plain; charset=utf-8"),
        ("text/html; charset=UTF-8", "<p>", b"<p>", "text/html; charset=UTF-8"),
        ("application/xml", "<a/>", b"<a/>", "application/xml"),
        ("application/json", "x", b'"x"', "application/json"),
        ("application/problem+json", "x", b'"x"', "application/problem+json"),
        ("text/plain", {"a": 1}, b'{"a":1}', "text/plain"),
    ],
)
async def test_text_of_another_type_is_sent_as_it_is(
    serve: Serve, kind: str, body: Any, sent: bytes, said: str
) -> None:
    """A challenge, a page, a document; everything else is JSON whatever its type is said to be."""
    service = await serve(hook=flow({"headers": {"content-type": kind}, "body": body}))

    answer = await call(service)

    assert (answer.status, answer.body) == (200, sent)
    assert answer.headers.getall("Content-Type") == [said]


@pytest.mark.parametrize(
    ("response", "sent"),
    [
        ({"status": "{{ $trigger.body.a }}"}, 199),
        ({"status": "{{ $trigger.body.a }}"}, 600),
        ({"status": "{{ $trigger.body.a }}"}, True),
        ({"status": "{{ $trigger.body.a }}"}, "200 OK\r\nX: y"),
        ({"status": "{{ $trigger.body.a }}"}, 200.5),
        ({"headers": {"X-A": "{{ $trigger.body.a }}"}}, "a\r\nX-Evil: 1"),
        ({"headers": {"X-A": "a{{ $trigger.body.a }}"}}, "\n"),
        ({"headers": {"X-A": "{{ $trigger.body.a }}"}}, "\x00"),
        ({"headers": {"X-A": "{{ $trigger.body.a }}"}}, {"a": 1}),
        ({"headers": {"X-A": "{{ $trigger.body.a }}"}}, True),
        ({"headers": {"X-A": "{{ $trigger.body.a }}"}}, "x" * 9000),
    ],
)
async def test_what_http_cannot_say_is_said_instead(serve: Serve, response: Any, sent: Any) -> None:
    """500 in the envelope, with the reason and without the value; nobody writes headers of ours."""
    service = await serve(hook=flow(response))

    answer = await call(service, {"a": sent})

    assert (answer.status, answer.code) == (500, "INTERNAL_SERVER_ERROR")
    assert answer.message.startswith("The flow's result cannot be answered: ")
    assert "Evil" not in answer.message
    assert "X-Evil" not in answer.headers


async def test_a_response_that_would_be_endless_is_not_made(serve: Serve) -> None:
    """Values share their parts: what is small in memory may be large when it is written out."""
    copies = json.dumps({"json": ["{{ $trigger.body.a }}"] * 100})
    many = f"[{{type: transform, options: {copies}}}]"
    wide = await serve(hook=flow({"body": "{{ $last }}"}, operations=many))
    text = await serve(hook=flow({"body": "is {{ $last }}"}, operations=many))

    for service in (wide, text):
        answer = await call(service, {"a": "x" * 200_000})
        assert (answer.status, answer.code) == (500, "INTERNAL_SERVER_ERROR")
        assert "longer than 16 MiB" in answer.message


THROW: Final = "[{type: throw-error, options: {status: 409, code: TAKEN, message: no}}]"


async def test_a_rejection_is_answered_as_ever(serve: Serve) -> None:
    """The response is for flows that resolve, unless rejections are no errors to this one."""
    response = {"status": 201, "body": "{{ $last.code }}"}
    error = await serve(hook=flow(response, operations=THROW))
    data = await serve(hook=flow(response, ", error_on_reject: false", THROW))

    assert ((await call(error)).status, (await call(error)).code) == (409, "TAKEN")
    assert ((await call(data)).status, (await call(data)).json) == (201, "TAKEN")


async def test_a_guard_ends_without_content(serve: Serve) -> None:
    """`reject: null` ends the flow with null, not with what it would have said at its end."""
    guard = "[{type: condition, options: {filter: {$trigger: {body: {a: 1}}}}, reject: null}]"
    service = await serve(hook=flow({"status": 201, "body": "done"}, operations=guard))

    assert (await call(service)).status == 204
    assert (await call(service, {"a": 1})).status == 201
