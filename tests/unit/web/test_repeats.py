"""Deliveries that come twice."""

import asyncio

import pytest

from tests.unit.web.conftest import NO_TOKENS, Serve

FLOW = """
name: Takes deliveries
trigger: webhook
options: {{method: POST, auth: {auth}{more}}}
operations:
  - {{key: said, type: transform, options: {{json: {{n: "{{{{ $trigger.body.n }}}}"}}}}}}
{operations}
"""
ENVIRON = {"S": "let-me-in"}
SECRET = {"secret": "let-me-in", "Content-Type": "application/json"}


def flow(
    more: str = "", auth: str = "{kind: token, header: secret, secret: S}", ops: str = ""
) -> str:
    """A webhook that answers what it was sent."""
    return FLOW.format(more=more, auth=auth, operations=ops)


NAMES: list[dict[str, str]] = [
    {"Idempotency-Key": '"one"'},
    {"webhook-id": "msg_1"},
    {"X-GitHub-Delivery": "72d3162e"},
    {"ce-source": "/a", "ce-id": "1"},
]


@pytest.mark.parametrize("name", NAMES)
async def test_a_repeated_delivery_is_the_same_execution(
    serve: Serve, name: dict[str, str]
) -> None:
    """202 with the id of the first; it ran once."""
    service = await serve(NO_TOKENS, ENVIRON, flow=flow(", async: true"))

    first, second = [
        await service.post("/flows/trigger/flow", json={"n": n}, headers={**SECRET, **name})
        for n in (1, 2)
    ]

    assert (first.status, second.status) == (202, 202)
    assert first.json == {"id": second.json["id"], "durable": False}
    assert second.json == {**first.json, "duplicate": True}
    await service.engine.settle()
    assert len(service.said("execution.finished")) == 1


async def test_a_caller_that_waits_gets_the_answer_of_the_first(serve: Serve) -> None:
    """While the process lives; the flow ran once. In quotes or not, a key is the same."""
    service = await serve(NO_TOKENS, ENVIRON, flow=flow())

    answers = [
        await service.post("/flows/trigger/flow", json={"n": n}, headers={**SECRET, **each})
        for n, each in enumerate(
            [{"Idempotency-Key": "a"}, {"Idempotency-Key": '"a"'}, {"Idempotency-Key": "b"}]
        )
    ]

    assert [each.json for each in answers] == [{"n": 0}, {"n": 0}, {"n": 2}]
    assert len(service.said("execution.finished")) == 2


async def test_a_delivery_that_failed_may_come_again(serve: Serve) -> None:
    """That is what its sender repeats it for."""
    throws = "  - {key: no, type: throw-error, options: {status: 502, code: NO, message: 'no'}}"
    service = await serve(NO_TOKENS, ENVIRON, flow=flow(ops=throws))

    answers = [
        await service.post(
            "/flows/trigger/flow", json={"n": 1}, headers={**SECRET, "webhook-id": "1"}
        )
        for _ in range(2)
    ]

    assert [each.status for each in answers] == [502, 502]
    assert len(service.said("execution.finished")) == 2


async def test_a_delivery_that_still_runs_is_a_conflict(serve: Serve) -> None:
    """There is no answer that could be given."""
    slow = "  - {key: wait, type: sleep, options: {milliseconds: 3600000}}"
    service = await serve(NO_TOKENS, ENVIRON, flow=flow(ops=slow))
    headers = {**SECRET, "webhook-id": "1"}
    first = asyncio.create_task(service.post("/flows/trigger/flow", json={}, headers=headers))
    async with asyncio.timeout(10):
        while not service.engine.running:
            await asyncio.sleep(0)

    second = await service.post("/flows/trigger/flow", json={}, headers=headers)

    assert (second.status, second.code) == (409, "CONFLICT")
    await service.engine.drain(0)
    await first


async def test_a_flow_may_say_what_a_delivery_is_called(serve: Serve) -> None:
    """`idempotency.key` is a template; where it gives null, no delivery is a repeated one."""
    key = ', async: true, idempotency: {key: "{{ $trigger.body.n }}"}'
    service = await serve(NO_TOKENS, ENVIRON, flow=flow(key))

    ids = [
        (await service.post("/flows/trigger/flow", json=body, headers=SECRET)).json["id"]
        for body in ({"n": 1}, {"n": 1}, {"n": 2}, {}, {})
    ]

    assert ids[0] == ids[1]
    assert len(set(ids)) == 4


async def test_a_stranger_cannot_name_a_delivery(serve: Serve) -> None:
    """Otherwise they could have that of another taken for a repeated one."""
    service = await serve(NO_TOKENS, ENVIRON, flow=flow(", async: true", auth="none"))

    ids = [
        (
            await service.post(
                "/flows/trigger/flow", json={"n": 1}, headers={"Idempotency-Key": "a"}
            )
        ).json["id"]
        for _ in range(2)
    ]

    assert ids[0] != ids[1]
