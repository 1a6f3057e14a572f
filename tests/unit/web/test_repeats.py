"""Deliveries that come twice."""

import asyncio
import time

import pytest
from aiohttp import web

from runner.web.repeats import Repeated, Repeats
from tests.unit.web.conftest import NO_TOKENS, Answer, Serve, Service
from tests.unit.web.test_webhook_auth import BODY, SECRETS, WAYS, proof

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


def test_long_answers_of_earlier_deliveries_are_forgotten_first() -> None:
    """What is remembered takes 16 MiB at most, whether it stands in bodies or in headers."""
    repeats = Repeats()
    for number in range(300):
        assert repeats.find(str(number)) is None
        repeats.end(str(number), web.Response(headers={"X-Long": "x" * 60_000}))

    last = repeats.find("299")

    assert last is not None
    assert len(last.headers["X-Long"]) == 60_000
    assert repeats.find("0") is None


def test_an_answer_that_is_too_long_is_not_kept() -> None:
    """Its delivery is known all the same."""
    repeats = Repeats()
    repeats.find("a")
    repeats.end("a", web.Response(headers={"X-Long": "x" * 70_000}))

    with pytest.raises(Repeated):
        repeats.find("a")


# --- signed ones --------------------------------------------------------------------------------

IDS = {
    "bitbucket": {"X-Request-UUID": "1"},
    "gitea": {"X-Gitea-Delivery": "1"},
    "github": {"X-GitHub-Delivery": "1"},
    "shopify": {"X-Shopify-Webhook-Id": "1"},
    "hmac": {"Idempotency-Key": "1"},
}
DATED = [
    *("slack", "stripe", "standard-webhooks"),
    *("hmac with a timestamp", "hmac with a part for its time"),
]
JSON = {"Content-Type": "application/json"}


async def signed(serve: Serve, way: str, *, more: str = "") -> Service:
    """A server with a flow that is signed so."""
    return await serve(NO_TOKENS, SECRETS, flow=flow(more, auth=WAYS[way]))


async def sent(service: Service, headers: dict[str, str], body: bytes = BODY) -> Answer:
    """What a delivery is answered."""
    return await service.post("/flows/trigger/flow", data=body, headers={**JSON, **headers})


@pytest.mark.parametrize("way", [*IDS, *DATED])
async def test_a_signed_delivery_that_is_sent_again_is_the_same_execution(
    serve: Serve, way: str
) -> None:
    """By its id, else by its proof: whoever saw it cannot have it run twice."""
    service = await signed(serve, way, more=", async: true")
    headers = {**proof(way), **IDS.get(way, {})}

    first, again = [await sent(service, headers) for _ in range(2)]

    assert (first.status, again.status) == (202, 202)
    assert again.json == {**first.json, "duplicate": True}


@pytest.mark.parametrize("way", [*IDS, *DATED])
async def test_a_signed_delivery_that_is_waited_for_runs_once(serve: Serve, way: str) -> None:
    """The second one gets the answer of the first."""
    service = await signed(serve, way)
    headers = {**proof(way), **IDS.get(way, {})}

    answers = [await sent(service, headers) for _ in range(2)]

    assert [(each.status, each.json) for each in answers] == [(200, {"n": 1})] * 2
    assert len(service.said("execution.finished")) == 1


@pytest.mark.parametrize("way", DATED)
async def test_what_is_not_signed_makes_no_other_delivery(serve: Serve, way: str) -> None:
    """Who sends it again could write anything there; another time or body is another one."""
    service = await signed(serve, way, more=", async: true")
    now = time.time()
    headers = proof(way, now=now)
    changed = {
        **{name: text.replace("v0=00", "v0=ff,v1=00") for name, text in headers.items()},
        "Idempotency-Key": "2",
        "X-GitHub-Delivery": "2",
        "ce-source": "/",
        "ce-id": "2",
    }
    other = {name: "2" if name == "webhook-id" else text for name, text in headers.items()}

    first, second = [await sent(service, each) for each in (headers, changed)]
    later = await sent(service, proof(way, now=now + 1))
    refused = await sent(service, other) if other != headers else None

    assert first.json["id"] == second.json["id"]
    # Its sender signs anew what is sent again; that has an id, or is another one.
    assert (later.json["id"] == first.json["id"]) is (way == "standard-webhooks")
    assert refused is None or refused.status == 401


async def test_another_way_in_that_was_not_gone_makes_no_other_delivery(serve: Serve) -> None:
    """It is who has proven themselves that counts, not who says so."""
    ways = f"[{WAYS['stripe']}, {{kind: token, header: X-Key, secret: S}}]"
    service = await serve(NO_TOKENS, SECRETS, flow=flow(", async: true", auth=ways))
    headers = proof("stripe")

    first = await sent(service, headers)
    again = await sent(service, {**headers, "X-Key": "wrong"})

    assert first.json["id"] == again.json["id"]
