"""What is told of executions: by the listing's language, one by one, and as it happens."""

import asyncio
import json
from typing import Any

import pytest

from runner.ids import derived_id
from runner.store.base import Seen, Story
from runner.types import JSONObject
from runner.web import executions
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
SLOW = """
name: Takes its time
trigger: webhook
options: {method: POST, auth: none}
operations: [{key: wait, type: exec, options: {code: "while (true) {}"}}]
"""
ASYNC = "auth: none, async: true"
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


def told(number: int, **more: Any) -> Story:
    """A direct execution: number 0 was the first to begin."""
    at = 1_800_000_000.0 + number
    seen = Seen(
        id=derived_id("0" * 32, str(number)), flow=f"f{number % 7}",
        flow_id=derived_id("0" * 32, "f"), digest="d", revision="r", generation=1,
        trigger="webhook", parent_id=None, durable=False,
        status="rejected" if number % 1000 == 0 else "resolved", accepted=at, started=at,
        finished=at + 0.5, duration_ms=500.0, steps=1,
    )  # fmt: skip
    return Story(seen._replace(**more), b"")


async def asked(service: Service, query: str) -> JSONObject:
    """What is answered to a question."""
    answer = await service.get(f"/executions?{query}", headers=READER)
    assert answer.status == 200, answer.body
    found: JSONObject = answer.json
    return found


async def test_questions_are_about_all_executions(serve: Serve) -> None:
    """However many there are: counts, groups, and what is found far behind."""
    service = await serve(SETTINGS)
    long_ago = told(12_345)._replace(
        seen=told(12_345, id=derived_id("0" * 32, "long"), accepted=0.0, flow="slow").seen
    )
    service.engine.store.write_history([*(told(n) for n in range(8000)), long_ago])

    newest = await asked(service, "fields=flow,accepted&limit=2")
    counts = await asked(service, "limit=0&meta=*&filter[status][_eq]=rejected")
    groups = await asked(service, "aggregate[count]=*&groupBy[]=status")
    first = await asked(service, "sort=accepted&limit=1&fields=flow")
    second = await asked(service, "sort=-accepted&limit=1&offset=7999&fields=flow,accepted")

    assert [each["flow"] for each in newest["data"]] == ["f5", "f4"]
    assert counts == {"meta": {"total_count": 8001, "filter_count": 8}, "data": []}
    assert {each["status"]: each["count"] for each in groups["data"]} == {
        "resolved": 7993, "rejected": 8,
    }  # fmt: skip
    assert first["data"] == [{"flow": "slow"}]
    assert second["data"][0]["flow"] == "f0"


async def test_more_than_can_be_asked_about_is_said(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A count that is not of everything does not look as if it was."""
    monkeypatch.setattr(executions, "_NEWEST", 3000)
    service = await serve(SETTINGS)
    service.engine.store.write_history([told(n) for n in range(3001)])

    counted = await asked(service, "aggregate[count]=*")
    newest = await asked(service, "limit=1&fields=flow")

    assert counted == {"meta": {"newest": 3000}, "data": [{"count": 3000}]}
    assert list(newest) == ["data"]


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


async def test_what_waits_can_be_cancelled(serve: Serve) -> None:
    """Once: it has ended when that is answered, and afterwards there is nothing to cancel."""
    service = await made(serve)
    id_ = (await service.post("/flows/trigger/waits", json={"n": 2})).json["id"]
    await service.engine.settle()

    first = await service.post(f"/executions/{id_}/cancel", headers=ADMIN)
    second = await service.post(f"/executions/{id_}/cancel", headers=ADMIN)
    service.stories.flush()

    assert (first.status, first.json["data"]) == (200, {"id": id_, "status": "cancelled"})
    assert (second.status, second.code) == (409, "CONFLICT")
    assert second.message == "It has ended already: cancelled."
    one = (await service.get(f"/executions/{id_}", headers=ADMIN)).json["data"]
    assert one["status"] == "cancelled"
    assert one["error"]["code"] == "CANCELLED"


@pytest.mark.parametrize("flow", ["slow", "kept"])
async def test_what_runs_can_be_cancelled(serve: Serve, flow: str) -> None:
    """Whether somebody waits for it or not; who does is told that it was meant."""
    service = await serve(SETTINGS, slow=SLOW, kept=SLOW.replace("auth: none", ASYNC))
    call = asyncio.create_task(service.post(f"/flows/trigger/{flow}", json={}))
    async with asyncio.timeout(30):
        while not service.engine.running:
            await asyncio.sleep(0.001)
    (row,) = (await service.get("/executions", headers=READER)).json["data"]

    answer = await service.post(f"/executions/{row['id']}/cancel", headers=ADMIN)
    await service.engine.settle()
    service.stories.flush()

    assert row["status"] == "running"
    assert (answer.status, answer.json["data"]["id"]) == (202, row["id"])
    called = await call
    if flow == "slow":
        assert (called.status, called.code) == (409, "CANCELLED")
    one = (await service.get(f"/executions/{row['id']}", headers=READER)).json["data"]
    assert (one["status"], one["error"]["code"]) == ("cancelled", "CANCELLED")
    (end,) = service.said("execution.finished")
    assert end["status"] == "cancelled"


async def test_nobody_can_cancel_what_never_was(serve: Serve) -> None:
    """404."""
    service = await serve(SETTINGS)

    answer = await service.post(f"/executions/{derived_id('0' * 32, 'x')}/cancel", headers=ADMIN)

    assert answer.status == 404


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


async def test_a_replay_has_the_permissions_of_the_first(serve: Serve) -> None:
    """Not those of who asks for it, who is named: what strangers sent is not an admin's doing."""
    service = await serve(SETTINGS, direct=DIRECT.replace("$trigger.body.n", "$accountability"))
    stranger = await service.post("/flows/trigger/direct", json={})
    service.stories.flush()
    (row,) = (await service.get("/executions", headers=READER)).json["data"]

    for _ in range(2):  # again, from what the first replay was recorded as
        answer = await service.post(f"/executions/{row['id']}/replay", headers=ADMIN)
        await service.engine.settle()
        service.stories.flush()
        replayed, row = row["id"], {"id": answer.json["id"]}

    begun = service.said("execution.started")[-1]["data"]
    assert begun["replay"]["of"] == replayed
    assert begun["replay"]["by"]["role"] == "admin"
    assert begun["accountability"] == stranger.json["n"]
    assert service.said("operation.resolved")[-1]["data"]["value"] == stranger.json
    assert stranger.json["n"]["admin"] is False


async def test_what_is_under_way_can_run_again(serve: Serve) -> None:
    """As far as what started it is known: what runs here, and what sleeps and was told of."""
    service = await serve(SETTINGS, waits=WAITS, slow=SLOW, quiet=WAITS + "tracking: none\n")
    ids = [
        (await service.post(f"/flows/trigger/{flow}", json={"n": 7})).json["id"]
        for flow in ("waits", "quiet")
    ]
    await service.engine.settle()
    service.stories.flush()
    call = asyncio.create_task(service.post("/flows/trigger/slow", json={"n": 8}))
    async with asyncio.timeout(30):
        while not service.engine.running:
            await asyncio.sleep(0.001)
    ids.append(service.engine.direct()[0].id)

    replays = [await service.post(f"/executions/{id_}/replay", headers=ADMIN) for id_ in ids]

    assert [each.status for each in replays] == [202, 422, 202]
    assert "tracking: all" in replays[1].message
    while len(bodies := [
        each["data"]["trigger"]["body"] for each in service.said("execution.started")
    ]) < 4:  # fmt: skip
        await asyncio.sleep(0.001)
    assert bodies == [{"n": 7}, {"n": 8}, {"n": 7}, {"n": 8}]
    for id_ in (ids[2], replays[2].json["id"]):
        await service.post(f"/executions/{id_}/cancel", headers=ADMIN)
    assert (await call).status == 409


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


async def test_a_slow_reader_of_the_stream_holds_nobody_up(serve: Serve) -> None:
    """What there is no room for is left out and counted; then it goes on."""
    service = await made(serve)
    service.kept.lines.clear()
    reader, writer = await service.connect()
    request = "GET /executions/stream HTTP/1.1\r\nHost: here\r\nAuthorization: {}\r\n\r\n"
    writer.write(request.format(READER["Authorization"]).encode())
    await reader.readuntil(b"\n\n")
    writer.transport.pause_reading()  # type: ignore[attr-defined]

    record = service.recorder.bind(execution_id=derived_id("0" * 32, "x"))
    for _ in range(4000):
        record.emit("execution.started", data={"text": "x" * 10_000})
        await asyncio.sleep(0)  # whoever could be slow has every chance
    writer.transport.resume_reading()  # type: ignore[attr-defined]
    async with asyncio.timeout(60):
        while b"event: log.suppressed" not in (line := await reader.readline()):
            assert line
        left_out = json.loads((await reader.readline()).removeprefix(b"data: "))["data"]
        service.recorder.bind(execution_id=derived_id("0" * 32, "y")).emit("execution.started")
        while derived_id("0" * 32, "y").encode() not in await reader.readline():
            pass
    writer.close()

    assert left_out["reason"] == "stream"
    assert 2000 < left_out["count"] < 4000


async def test_a_reader_that_takes_nothing_is_left(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would hold a connection, and what waits for it, for ever."""
    monkeypatch.setattr(executions, "_PATIENCE", 0.2)
    service = await made(serve)
    reader, writer = await service.connect()
    request = "GET /executions/stream HTTP/1.1\r\nHost: here\r\nAuthorization: {}\r\n\r\n"
    writer.write(request.format(READER["Authorization"]).encode())
    await reader.readuntil(b"\n\n")
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    readers = len(service.recorder._press.sinks)

    record = service.recorder.bind(execution_id=derived_id("0" * 32, "x"))
    async with asyncio.timeout(60):
        while len(service.recorder._press.sinks) == readers:
            record.emit("execution.started", data={"text": "x" * 10_000})
            await asyncio.sleep(0.001)
    writer.close()
