"""What is told of executions: by the listing's language, one by one, and as it happens."""

import asyncio
import json

import pytest

from tests.unit.web.conftest import Serve, Service

WAITS = """
name: Waits
trigger: webhook
options: {method: POST, auth: none, async: true}
operations:
  - {key: said, type: log, options: {message: "{{ $trigger.body.n }}"}}
  - {key: wait, type: sleep, options: {milliseconds: 3600000}}
"""
DIRECT = """
name: Answers
trigger: webhook
options: {method: POST, auth: none}
operations: [{key: it, type: transform, options: {json: {n: "{{ $trigger.body.n }}"}}}]
"""
SETTINGS = """
listen: 127.0.0.1:0
roles:
  admin: {admin: true}
  reader: {executions: [read]}
tokens:
  - {name: a, role: admin, token: the-admins-token}
  - {name: r, role: reader, token: the-readers-token}
"""
ADMIN = {"Authorization": "Bearer the-admins-token"}
READER = {"Authorization": "Bearer the-readers-token"}


async def made(serve: Serve) -> Service:
    """A server with a direct execution that has ended."""
    service = await serve(SETTINGS, direct=DIRECT, waits=WAITS)
    await service.post("/flows/trigger/direct", json={"n": 1})
    service.stories.flush()
    return service


async def test_executions_are_listed_in_the_query_language(serve: Serve) -> None:
    """The newest first; filtered, and as many fields as are asked for."""
    service = await made(serve)
    accepted = await service.post("/flows/trigger/waits", json={"n": 2})
    await service.engine.settle()

    every = (await service.get("/executions", headers=READER)).json["data"]
    some = await service.get(
        "/executions?filter[status][_eq]=waiting&fields=id,flow", headers=READER
    )

    assert [each["flow"] for each in every] == ["waits", "direct"]
    assert every[1]["status"] == "resolved"
    assert every[1]["durable"] is False
    assert every[1]["steps"] == 1
    assert every[1]["finished"] >= every[1]["started"]
    assert some.json["data"] == [{"id": accepted.json["id"], "flow": "waits"}]


async def test_an_execution_is_shown_with_its_records(serve: Serve) -> None:
    """Those that were written, as they were written."""
    service = await made(serve)
    (row,) = (await service.get("/executions", headers=READER)).json["data"]

    one = (await service.get(f"/executions/{row['id']}", headers=READER)).json["data"]

    events = [each["event"] for each in one["records"]]
    assert events == ["execution.started", "operation.resolved", "execution.finished"]
    assert one["records"][1]["data"]["value"] == {"n": 1}


@pytest.mark.parametrize("what", ["cancel", "replay"])
async def test_readers_change_nothing(serve: Serve, what: str) -> None:
    """Each is a verb of its own."""
    service = await made(serve)
    (row,) = (await service.get("/executions", headers=READER)).json["data"]

    answer = await service.post(f"/executions/{row['id']}/{what}", headers=READER)

    assert (answer.status, answer.code) == (403, "FORBIDDEN")
    assert (await service.get("/executions")).status == 403


async def test_what_is_under_way_can_be_cancelled(serve: Serve) -> None:
    """Once; afterwards there is nothing to cancel."""
    service = await made(serve)
    id_ = (await service.post("/flows/trigger/waits", json={"n": 2})).json["id"]
    await service.engine.settle()

    first = await service.post(f"/executions/{id_}/cancel", headers=ADMIN)
    second = await service.post(f"/executions/{id_}/cancel", headers=ADMIN)
    service.stories.flush()

    assert first.json["data"] == {"id": id_, "cancelled": True}
    assert second.json["data"]["cancelled"] is False
    one = (await service.get(f"/executions/{id_}", headers=ADMIN)).json["data"]
    assert one["status"] == "cancelled"
    assert one["error"]["code"] == "CANCELLED"


async def test_an_execution_can_run_again(serve: Serve) -> None:
    """With what started it, and the flow as it is now."""
    service = await made(serve)
    (row,) = (await service.get("/executions", headers=READER)).json["data"]
    await service.load(direct=DIRECT.replace("json: {n", "json: {m"), waits=WAITS)

    answer = await service.post(f"/executions/{row['id']}/replay", headers=ADMIN)
    await service.engine.settle()

    assert answer.status == 202
    assert answer.json["id"] != row["id"]
    assert service.said("operation.resolved")[-1]["data"]["value"] == {"m": 1}


async def test_what_is_not_known_whole_cannot_run_again(serve: Serve) -> None:
    """422, which says why; a flow that has gone is 404."""
    service = await made(serve)
    await service.post("/flows/trigger/direct", json={"n": 1, "token": "abcdefghij"})
    service.stories.flush()
    secret, plain = (await service.get("/executions", headers=READER)).json["data"]

    hidden = await service.post(f"/executions/{secret['id']}/replay", headers=ADMIN)
    await service.load(waits=WAITS)
    gone = await service.post(f"/executions/{plain['id']}/replay", headers=ADMIN)

    assert (hidden.status, hidden.code) == (422, "NOT_REPLAYABLE")
    assert "redacted" in hidden.message
    assert gone.status == 404


async def test_the_stream_tells_what_happens(serve: Serve) -> None:
    """Each record as an event; it ends when the runner stops."""
    service = await made(serve)
    async with service.session.get(f"{service.url}/executions/stream", headers=READER) as stream:
        assert stream.headers["Content-Type"] == "text/event-stream"
        assert (await stream.content.readline()).startswith(b":")
        await service.post("/flows/trigger/direct", json={"n": 5})
        async with asyncio.timeout(10):
            while not (line := await stream.content.readline()).startswith(b"event:"):
                pass
            data = json.loads((await stream.content.readline()).removeprefix(b"data: "))
            await service.engine.drain(0)
            await stream.content.read()

    head = await service.ask("HEAD", "/executions/stream", headers=READER)
    assert (head.status, head.headers["Content-Type"]) == (200, "text/event-stream")
    assert line == b"event: execution.started\n"
    assert data["flow"] == "direct"
