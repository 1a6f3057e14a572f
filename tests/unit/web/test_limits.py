"""How much is taken at once, and what the others are told."""

import asyncio
from typing import Any

import pytest

from tests.unit.web.conftest import ECHO, Answer, Serve, Service

#: Waits until it is cancelled, or for longer than any test.
SLOW = """
name: Slow
trigger: webhook
%s
options: {method: POST, auth: none%s}
operations: [{key: wait, type: sleep, options: {milliseconds: %s}}]
"""
FOR_EVER = 3_600_000
FEW = "listen: 127.0.0.1:0\nlimits: {executions: 2, queue: 3}\n"


async def start(service: Service, flow: str, count: int) -> list[asyncio.Task[Answer]]:
    """Send *count* requests, and wait until they run."""
    tasks = [asyncio.create_task(service.post(f"/flows/trigger/{flow}")) for _ in range(count)]
    async with asyncio.timeout(10):
        while service.engine.running < count:
            await asyncio.sleep(0)
    return tasks


async def test_a_single_flow_that_runs_answers_409(serve: Serve) -> None:
    """Whoever comes second is told that it runs."""
    service = await serve(slow=SLOW % ("concurrency: {mode: single}", "", FOR_EVER))
    await start(service, "slow", 1)

    answer = await service.post("/flows/trigger/slow")

    assert (answer.status, answer.code) == (409, "CONFLICT")
    await service.engine.drain(0)


async def test_at_the_limit_callers_are_told_to_come_again(serve: Serve) -> None:
    """503 with Retry-After, at once; what runs is not disturbed."""
    service = await serve(FEW, slow=SLOW % ("", "", FOR_EVER), echo=ECHO)
    running = await start(service, "slow", 2)

    answer = await service.post("/flows/trigger/echo")

    assert (answer.status, answer.code) == (503, "SERVICE_UNAVAILABLE")
    assert int(answer.headers["Retry-After"]) > 0
    assert not any(task.done() for task in running)
    await service.engine.drain(0)


async def test_an_asynchronous_start_is_accepted_and_can_be_asked_about(serve: Serve) -> None:
    """202 with id, Location, and that it would not survive the process."""
    service = await serve(slow=SLOW % ("", ", async: true", 1))

    answer = await service.post("/flows/trigger/slow")

    assert answer.status == 202
    assert answer.json == {"id": answer.json["id"], "durable": False}
    assert answer.headers["Location"] == f"/executions/{answer.json['id']}"
    assert answer.headers["X-Flow-Revision"] == "revision-1"
    await service.hear("execution.finished")
    await asyncio.sleep(0)
    seen = (await service.get(answer.headers["Location"])).json["data"]
    assert (seen["id"], seen["flow"], seen["status"]) == (answer.json["id"], "slow", "resolved")
    assert (await service.get("/executions/other")).status == 404


async def test_the_queue_is_bounded(serve: Serve) -> None:
    """What does not run yet waits its turn; beyond the queue it is 503."""
    # With a timeout it is not put away while it sleeps.
    slow = SLOW % ("", ", async: true", FOR_EVER)
    service = await serve(FEW, slow=slow.replace("sleep,", "sleep, timeout: 1m,"))

    answers = [await service.post("/flows/trigger/slow") for _ in range(6)]

    assert [answer.status for answer in answers] == [202] * 5 + [503]
    seen = await service.get(answers[4].headers["Location"])
    assert seen.json["data"]["status"] == "queued"
    await service.engine.drain(0)


async def test_a_caller_that_goes_away_does_not_stop_the_execution(serve: Serve) -> None:
    """It runs to its end, and the records say how that was."""
    service = await serve(slow=SLOW % ("", "", 50))
    (task,) = await start(service, "slow", 1)

    task.cancel()
    record = await service.hear("execution.finished")

    assert record["status"] == "resolved"


async def test_draining_answers_503_and_finishes_what_runs(serve: Serve) -> None:
    """Who waits gets the result; who comes is told to come again."""
    service = await serve(slow=SLOW % ("", "", 100), echo=ECHO)
    (task,) = await start(service, "slow", 1)
    draining = asyncio.create_task(service.engine.drain(10))
    await asyncio.sleep(0)

    json_ = {"Content-Type": "application/json"}
    refused = await service.post("/flows/trigger/echo", data=b"{", headers=json_)  # not looked at

    assert (refused.status, refused.code) == (503, "SERVICE_UNAVAILABLE")
    assert "stopping" in refused.message
    assert int(refused.headers["Retry-After"]) > 0
    await draining
    assert (await task).status == 204


async def test_what_outlasts_the_drain_is_ended_and_answered(serve: Serve) -> None:
    """The caller is told 503, not left with a broken connection."""
    service = await serve(slow=SLOW % ("", "", FOR_EVER))
    (task,) = await start(service, "slow", 1)

    await service.engine.drain(0)

    answer = await task
    assert (answer.status, answer.code) == (503, "SERVICE_UNAVAILABLE")
    assert service.said("execution.finished")[0]["status"] == "cancelled"


@pytest.mark.slow
async def test_ten_thousand_callers_at_once_are_all_answered(serve: Serve) -> None:
    """A thousand run, all others get 503 with Retry-After at once: nothing hangs."""
    service = await serve(slow=SLOW % ("tracking: none", "", FOR_EVER))
    counts = {204: 0, 503: 0}
    refused = asyncio.Event()

    async def one(gate: asyncio.Semaphore) -> None:
        async with gate:
            answer: Any = await service.post("/flows/trigger/slow")
        counts[answer.status] += 1
        assert "Retry-After" in answer.headers
        if counts[503] == 9000:
            refused.set()

    # So many connections at once, that 9,000 answers come while a thousand do not.
    gate = asyncio.Semaphore(4000)
    tasks = [asyncio.create_task(one(gate)) for _ in range(10_000)]
    async with asyncio.timeout(50):
        await refused.wait()
        assert service.engine.running == 1000
        await service.engine.drain(0)
        await asyncio.gather(*tasks)
    assert counts == {204: 0, 503: 10_000}
