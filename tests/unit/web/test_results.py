"""What a caller gets for what a flow ended with."""

from io import BytesIO
from typing import Any

import orjson
import pytest

from tests.unit.web.conftest import TOKENS, Answer, Serve, Service
from tests.upstream import reply, upstream

HEAD = "trigger: webhook\noptions: {method: POST, auth: none%s}\noperations:\n"
SAY = f"name: Say\n{HEAD % ', return: $trigger.body.v'}  - {{type: log, options: {{message: x}}}}\n"
THROW = f"""name: Throw
{HEAD}  - key: t
    type: throw-error
    options:
      status: "{{{{ $trigger.body.status }}}}"
      code: "{{{{ $trigger.body.code }}}}"
      message: "no!"
"""
RULES = f"""name: Rules
{HEAD}  - key: c
    type: condition
    options: {{filter: {{$trigger: {{body: {{a: {{_eq: 1}}, b: {{_gt: 5}}}}}}}}}}
"""
BROKEN = f"""name: Broken
{HEAD}  - key: t
    type: transform
    options: {{json: "{{{{ $trigger.body.text }}}}"}}
"""


async def call(service: Service, flow: str, body: Any, **headers: str) -> Answer:
    """Start a flow with a body."""
    return await service.post(f"/flows/trigger/{flow}", json=body, headers=headers)


@pytest.mark.parametrize("value", [0, False, "", "text", 1.5, True, [], {}, [1, "a"], {"a": None}])
async def test_a_result_is_json_as_it_is(serve: Serve, value: Any) -> None:
    """Also what is falsy; text is a JSON string."""
    service = await serve(say=SAY)

    answer = await call(service, "say", {"v": value})

    assert (answer.status, answer.json) == (200, value)
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.headers["X-Flow-Revision"] == "revision-1"


@pytest.mark.parametrize("body", [{"v": None}, {}])
async def test_only_null_has_no_content(serve: Serve, body: Any) -> None:
    """Null, and what is not there."""
    service = await serve(say=SAY)

    answer = await call(service, "say", body)

    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["X-Flow-Revision"] == "revision-1"


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (418, "TEAPOT", (418, "TEAPOT", "no!")),
        ("404", "gone", (404, "GONE", "no!")),
        (503, "BUSY", (503, "BUSY", "no!")),
        (500, "OOPS", (500, "OOPS", "no!")),
    ],
)
async def test_a_rejection_answers_its_own_status(
    serve: Serve, status: Any, code: str, told: tuple[int, str, str]
) -> None:
    """An error that names status and code was meant for the caller."""
    service = await serve(throw=THROW % "")

    answer = await call(service, "throw", {"status": status, "code": code})

    assert (answer.status, answer.code, answer.message) == told
    assert answer.headers["X-Flow-Revision"] == "revision-1"


async def test_error_on_reject_false_answers_as_directus_does(serve: Serve) -> None:
    """200 and the error as data."""
    service = await serve(throw=THROW % ", error_on_reject: false")

    answer = await call(service, "throw", {"status": 418, "code": "TEAPOT"})

    assert answer.status == 200
    assert answer.json == {"name": "Error", "message": "no!", "code": "TEAPOT", "status": 418}


async def test_a_failed_condition_names_every_part(serve: Serve) -> None:
    """400 with one FAILED_VALIDATION for each."""
    service = await serve(rules=RULES % "")

    answer = await call(service, "rules", {"a": 2, "b": 1})

    assert answer.status == 400
    errors = answer.json["errors"]
    assert [error["extensions"]["code"] for error in errors] == ["FAILED_VALIDATION"] * 2
    assert [error["extensions"]["path"] for error in errors] == [["body", "a"], ["body", "b"]]


async def test_an_unexpected_failure_is_told_to_admins_only(serve: Serve) -> None:
    """Everybody else learns that it happened; the records know all of it."""
    service = await serve(TOKENS, broken=BROKEN % "")

    public = await call(service, "broken", {"text": "{"})
    editor = await call(service, "broken", {"text": "{"}, Authorization="Bearer the-editor-token")
    admin = await call(service, "broken", {"text": "{"}, Authorization="Bearer the-admin-token")

    for answer in (public, editor):
        assert (answer.status, answer.code) == (500, "INTERNAL_SERVER_ERROR")
        assert answer.message == "An unexpected error occurred."
    assert admin.status == 500
    assert "option json is not JSON" in admin.message
    assert "option json" in service.said("execution.finished")[0]["error"]["message"]


async def test_a_flow_that_took_too_long_is_504(serve: Serve) -> None:
    """With the limit in the message."""
    sleep = "  - {type: sleep, options: {milliseconds: 9000}}\n"
    service = await serve(slow=f"name: Slow\ntimeout: 50ms\n{HEAD % ''}{sleep}")

    answer = await call(service, "slow", {})

    assert (answer.status, answer.code) == (504, "TIMED_OUT")
    assert "0.05 s" in answer.message


async def test_an_operation_that_took_too_long_is_504_too(serve: Serve) -> None:
    """Whatever hung, its caller is told that it was the time, and not that something broke."""
    sleep = "  - {type: sleep, timeout: 20ms, options: {milliseconds: 9000}}\n"
    service = await serve(slow=f"name: Slow\n{HEAD % ''}{sleep}")

    answer = await call(service, "slow", {})

    assert (answer.status, answer.code) == (504, "TIMED_OUT")


async def test_all_may_be_returned_and_holds_no_secret(serve: Serve) -> None:
    """`$all` is the chain without `$secrets`, `$error` and `$execution`."""
    service = await serve(
        environ={"KEY": "the-canary-secret"},
        all=f"name: All\n{HEAD % ', return: $all'}  - "
        "{key: t, type: transform, options: {json: {n: '{{ $trigger.body.n }}'}}}\n",
    )

    answer = await call(service, "all", {"n": 1})

    assert set(answer.json) == {"$trigger", "$last", "$accountability", "$env", "t"}
    assert answer.json["t"] == {"n": 1}


async def test_a_large_result_arrives_whole(serve: Serve) -> None:
    """Some megabytes are nothing special."""
    service = await serve(say=SAY.replace("auth: none", "auth: none, max_body: 5MiB"))
    value = ["x" * 1000] * 3000
    body = BytesIO(orjson.dumps({"v": value}))

    answer = await service.post(
        "/flows/trigger/say", data=body, headers={"Content-Type": "application/json"}
    )

    assert answer.json == value


async def test_a_result_that_json_cannot_say_is_an_error(serve: Serve) -> None:
    """The flow ran; its caller gets an envelope with the reason, not half an answer."""
    deeper = "  - {type: transform, options: {json: [['{{ $last }}']]}}\n" * 200
    service = await serve(deep=f"name: Deep\n{HEAD % ''}{deeper}")

    answer = await call(service, "deep", {})

    assert (answer.status, answer.code) == (500, "INTERNAL_SERVER_ERROR")
    assert "cannot be written as JSON" in answer.message


async def test_a_result_that_would_be_endless_is_told_to_be(serve: Serve) -> None:
    """Values share their parts: sixty doublings fit into memory, not into an answer."""
    head = "name: Doubles\ntrigger: webhook\ntracking: none\noptions: {auth: none}\noperations:\n"
    double = '  - {type: transform, options: {json: ["{{ $last }}", "{{ $last }}"]}}\n'
    service = await serve(doubles=head + double * 60)

    answer = await service.get("/flows/trigger/doubles")

    assert answer.status == 500
    assert "longer than 16 MiB" in answer.message


ASKS = f"""name: Asks
{HEAD % ""}  - key: ask
    type: request
    options: {{url: "URL"}}
"""


async def test_what_another_server_answered_is_not_our_answer(serve: Serve) -> None:
    """Its status, code and body are the flow's; only an admin sees what happened."""
    async with upstream(lambda _: reply("404 Not Found", b'{"code": "SECRET"}')) as other:
        service = await serve(TOKENS, asks=ASKS.replace("URL", other.url))

        stranger = await call(service, "asks", {})
        boss = await call(service, "asks", {}, Authorization="Bearer the-admin-token")

    assert (stranger.status, stranger.code) == (500, "INTERNAL_SERVER_ERROR")
    assert stranger.message == "An unexpected error occurred."
    assert (boss.status, boss.code) == (500, "ERR_BAD_REQUEST")
    assert boss.message == "the server answered 404 Not Found"


async def test_a_flow_cannot_call_the_runner_that_runs_it(serve: Serve) -> None:
    """Callers from this machine may be trusted, and a flow would be one."""
    service = await serve()
    await service.load(asks=ASKS.replace("URL", f"{service.url}/server/ping"))

    answer = await call(service, "asks", {})

    assert answer.status == 500
    (rejected,) = service.said("operation.rejected")
    assert rejected["error"]["code"] == "EGRESS_DENIED"
    assert "this runner listens there" in rejected["error"]["message"]
