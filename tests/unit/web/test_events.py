"""`POST /events`: who may send, what is taken, who hears of it, and what comes back."""

import json
from typing import Any, Final

import pytest

from runner.cloudevents import BATCH, STRUCTURED
from runner.types import JSONObject
from tests.unit.web.conftest import NO_TOKENS, TOKENS, Answer, Serve, Service

SETTINGS: Final = f"{TOKENS}limits: {{event_batch: 3, body: 64KiB, request_time: 100ms}}\n".replace(
    "reader: {flows: [read]}", "reader: {events: [send]}"
)
BOSS: Final = {"Authorization": "Bearer the-admin-token"}
SENDER: Final = {"Authorization": "Bearer the-reader-token"}
EVENT: Final[JSONObject] = {
    "specversion": "1.0",
    "id": "1",
    "source": "/shop",
    "type": "order.placed",
    "data": {"total": 3},
}
HEADERS: Final = {
    "ce-specversion": "1.0",
    "ce-id": "1",
    "ce-source": "/shop",
    "ce-type": "order.placed",
}


def flow(type_: str, operations: str = "", more: str = "", scope: str = "order.*") -> str:
    """A flow that waits for orders."""
    options = f"{{type: {type_}, scope: ['{scope}']{more}}}"
    return f"name: F\ntrigger: event\noptions: {options}\noperations: [{operations}]\n"


#: Makes the total ten times as much.
TENFOLD: Final = flow(
    "filter",
    '{key: made, type: transform, options: {json: {total: "{{ $trigger.payload.total }}0"}}}',
    ", return: $last",
)
HANG: Final = "{key: hang, type: sleep, options: {milliseconds: 60000}}"


async def send(
    service: Service, event: Any = EVENT, kind: str = STRUCTURED, **headers: str
) -> Answer:
    """Send what is structured."""
    more = {**SENDER, "Content-Type": kind, **headers}
    return await service.post("/events", data=json.dumps(event), headers=more)


async def idle(service: Service) -> None:
    """Wait until nothing runs."""
    await service.engine.settle()


def triggers(service: Service) -> list[tuple[str, JSONObject]]:
    """The flows that were started, and with what."""
    started = service.said("execution.started")
    return [(each["flow"], each["data"]["trigger"]) for each in started]


# --- who hears of it ----------------------------------------------------------------------------


async def test_an_event_that_nobody_waits_for_is_taken(serve: Serve) -> None:
    """204: its sender does not have to know who listens."""
    service = await serve(SETTINGS, a=flow("action", scope="other"))

    answer = await send(service)

    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["X-Flow-Revision"] == "revision-1"
    assert triggers(service) == []


async def test_action_flows_are_started_and_not_waited_for(serve: Serve) -> None:
    """202 with the ids of all of them, which can be asked about."""
    service = await serve(SETTINGS, a=flow("action"), b=flow("action"))

    answer = await send(service)
    await idle(service)

    assert answer.status == 202
    assert answer.json["durable"] is False
    started = service.said("execution.started")
    assert answer.json["started"] == [each["execution_id"] for each in started]
    asked = await service.get(f"/executions/{answer.json['started'][0]}", headers=BOSS)
    assert asked.json["data"]["status"] == "resolved"


async def test_filter_flows_answer_with_what_they_made_of_the_event(serve: Serve) -> None:
    """200 with the event; action flows hear of it as it is now."""
    service = await serve(SETTINGS, a=TENFOLD, b=TENFOLD, c=flow("action"))

    answer = await send(service)
    await idle(service)

    assert (answer.status, answer.headers["Content-Type"]) == (200, STRUCTURED)
    assert answer.json == {**EVENT, "data": {"total": "300"}}
    assert [name for name, _ in triggers(service)] == ["a", "b", "c"]
    assert triggers(service)[-1][1]["payload"] == {"total": "300"}


async def test_a_filter_flow_that_does_not_want_the_event_is_not_asked(serve: Serve) -> None:
    """Then nobody answers with the event."""
    wants = ", filters: [{exact: {source: /other}}]"
    service = await serve(SETTINGS, f=flow("filter", more=wants))

    assert (await send(service)).status == 204


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, {"subject": None, "time": None}),
        ({"subject": "42"}, {"subject": "42", "time": None}),
        (
            {"status": "success", "number": 5, "datacontenttype": "application/json"},
            {
                "subject": None,
                "time": None,
                "status": "success",
                "number": 5,
                "datacontenttype": "application/json",
            },
        ),
    ],
)
async def test_a_flow_sees_the_event_and_its_attributes(
    serve: Serve, more: JSONObject, expected: JSONObject
) -> None:
    """Those that are always asked for are there, if only as null."""
    service = await serve(SETTINGS, a=flow("action"))

    await send(service, {**EVENT, **more})
    await idle(service)

    own = {"event": "order.placed", "payload": {"total": 3}, "id": "1", "source": "/shop"}
    assert triggers(service) == [("a", {**own, **expected})]


async def test_the_caller_is_the_one_of_the_token(serve: Serve) -> None:
    """Flows act for whoever sent the event."""
    mine = '{key: k, type: transform, options: {json: {role: "{{ $accountability.role }}"}}}'
    service = await serve(SETTINGS, f=flow("filter", mine, ", return: $last"))

    assert (await send(service)).json["data"] == {"role": "reader"}


async def test_events_of_items_are_about_a_collection(serve: Serve) -> None:
    """The same flow hears of an item operation and of a CloudEvent."""
    short = flow("action", scope="items.create', 'x", more=", collections: [articles]")
    service = await serve(SETTINGS, a=short)

    for type_ in ("items.create", "articles.items.create"):
        answer = await send(service, {**EVENT, "type": type_, "collection": "articles"})
        assert answer.status == 202
    await idle(service)

    assert [data["event"] for _, data in triggers(service)] == ["articles.items.create"] * 2
    assert {data["collection"] for _, data in triggers(service)} == {"articles"}


TRACE: Final = "0af7651916cd43dd8448eb211c80319c"
OTHER: Final = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    ("attribute", "header", "expected"),
    [
        (f"00-{TRACE}-b7ad6b7169203331-01", f"00-{OTHER}-b7ad6b7169203331-01", TRACE),
        (None, f"00-{OTHER}-b7ad6b7169203331-01", OTHER),
        ("nonsense", f"00-{OTHER}-b7ad6b7169203331-01", OTHER),
    ],
)
async def test_an_event_keeps_its_trace(
    serve: Serve, attribute: str | None, header: str, expected: str
) -> None:
    """The event's own one, else that of the request."""
    service = await serve(SETTINGS, a=flow("action"))

    await send(service, {**EVENT, "traceparent": attribute}, traceparent=header)
    await idle(service)

    assert service.said("execution.started")[0]["trace_id"] == expected


# --- in headers, and in lists -------------------------------------------------------------------


async def test_an_event_may_come_in_headers(serve: Serve) -> None:
    """Its data is the body; it goes back structured."""
    service = await serve(SETTINGS, f=TENFOLD)

    answer = await service.post("/events", json={"total": 3}, headers={**SENDER, **HEADERS})

    assert answer.status == 200
    assert answer.json == {
        **EVENT,
        "datacontenttype": "application/json",
        "data": {"total": "30"},
    }


async def test_a_batch_is_answered_as_a_batch(serve: Serve) -> None:
    """Each event on its own, in their order."""
    service = await serve(SETTINGS, f=TENFOLD)
    events = [EVENT, {**EVENT, "id": "2", "type": "other"}, {**EVENT, "id": "3"}]

    answer = await send(service, events, BATCH)

    assert (answer.status, answer.headers["Content-Type"]) == (200, BATCH)
    assert [each["id"] for each in answer.json] == ["1", "2", "3"]
    assert [each["data"]["total"] for each in answer.json] == ["30", 3, "30"]


async def test_a_batch_starts_all_or_nothing(serve: Serve) -> None:
    """Where one event is refused, no flow is told of any."""
    no = "{key: no, type: throw-error, options: {status: 422, code: NO}}"
    service = await serve(
        SETTINGS, a=flow("action"), f=flow("filter", no, ", filters: [{exact: {id: '2'}}]")
    )

    refused = await send(service, [EVENT, {**EVENT, "id": "2"}], BATCH)
    taken = await send(service, [EVENT, {**EVENT, "id": "3"}], BATCH)
    await idle(service)

    assert (refused.status, refused.code) == (422, "NO")
    assert (taken.status, len(taken.json["started"])) == (202, 2)
    assert [name for name, _ in triggers(service)] == ["f", "a", "a"]


@pytest.mark.parametrize(
    ("settings", "events", "status", "code"),
    [
        (SETTINGS, [], 204, None),
        (SETTINGS, [EVENT] * 4, 413, "CONTENT_TOO_LARGE"),
        (SETTINGS, [EVENT, {}], 400, "INVALID_PAYLOAD"),
        (SETTINGS.replace("event_batch: 3, ", ""), [EVENT], 415, "UNSUPPORTED_MEDIA_TYPE"),
    ],
)
async def test_a_batch_has_its_limits(
    serve: Serve, settings: str, events: list[JSONObject], status: int, code: str | None
) -> None:
    """It may be empty, it is taken where the settings say so, and it is no longer than they say."""
    service = await serve(settings, a=flow("action"))

    answer = await send(service, events, BATCH)

    assert answer.status == status
    assert code is None or answer.code == code
    assert triggers(service) == []


# --- refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 403, "FORBIDDEN"),
        ({"Authorization": "Bearer the-editor-token"}, 403, "FORBIDDEN"),
        ({"Authorization": "Bearer nobody"}, 401, "INVALID_CREDENTIALS"),
        (BOSS, 202, None),
        (SENDER, 202, None),
    ],
)
async def test_sending_needs_a_role_that_may(
    serve: Serve, headers: dict[str, str], status: int, code: str | None
) -> None:
    """A refused event is one record, which does not show the token."""
    service = await serve(SETTINGS, a=flow("action"))

    answer = await service.post("/events", json=EVENT, headers={**headers, **HEADERS})

    assert answer.status == status
    assert code is None or answer.code == code
    records = [*service.said("trigger.refused"), *service.said("caller.refused")]
    assert [each["error"]["code"] for each in records] == ([] if code is None else [code])
    assert b"the-editor-token" not in b"".join(service.kept.lines)


async def test_without_tokens_nobody_sends_events(serve: Serve) -> None:
    """Reading and manual starts are open on this machine, events are not."""
    service = await serve(NO_TOKENS, a=flow("action"))

    assert (await service.post("/events", json=EVENT, headers=HEADERS)).code == "FORBIDDEN"


@pytest.mark.parametrize(
    ("body", "kind", "status", "says"),
    [
        (json.dumps({**EVENT, "id": ""}), STRUCTURED, 400, "The event's id"),
        (json.dumps({**EVENT, "type": "runner.started"}), STRUCTURED, 400, "the runner's own"),
        (json.dumps({**EVENT, "type": "items.create"}), STRUCTURED, 400, "its collection"),
        ("{", STRUCTURED, 400, "not JSON"),
        ("{}", "application/json", 400, "no CloudEvent"),
        ("{}", "application/cloudevents+avro", 415, "format"),
        (json.dumps({**EVENT, "data": "a" * 65536}), STRUCTURED, 413, "larger than 65536"),
    ],
)
async def test_what_is_no_event_is_refused_with_the_reason(
    serve: Serve, body: str, kind: str, status: int, says: str
) -> None:
    """In the envelope, and in one record."""
    service = await serve(SETTINGS, a=flow("action", scope="*"))

    answer = await service.post("/events", data=body, headers={**SENDER, "Content-Type": kind})

    assert answer.status == status
    assert says in answer.message
    (refused,) = service.said("trigger.refused")
    assert (refused["trigger"], refused["data"]["status"]) == ("event", status)
    assert triggers(service) == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
async def test_events_are_posted(serve: Serve, method: str) -> None:
    """Everything else is 405."""
    service = await serve(SETTINGS)

    answer = await service.ask(method, "/events", headers=BOSS)

    assert (answer.status, answer.headers["Allow"]) == (405, "POST")


async def test_an_event_may_not_be_compressed(serve: Serve) -> None:
    """As any body."""
    service = await serve(SETTINGS)

    assert (await send(service, **{"Content-Encoding": "gzip"})).status == 415


THROWS: Final = "type: throw-error, options: {status: 422, code: NO, message: never}"
UNREADABLE: Final = "type: transform, options: {json: '{{ $trigger.source }}'}"


@pytest.mark.parametrize(
    ("operation", "headers", "status", "code", "message"),
    [
        (THROWS, SENDER, 422, "NO", "never"),
        (UNREADABLE, BOSS, 500, "INVALID_JSON", "option json is not JSON"),
        (UNREADABLE, SENDER, 500, "INTERNAL_SERVER_ERROR", "An unexpected error occurred."),
    ],
)
async def test_a_filter_flow_that_rejects_refuses_the_event(
    serve: Serve, operation: str, headers: dict[str, str], status: int, code: str, message: str
) -> None:
    """Its caller gets its error as that of a webhook; nobody is told of the event."""
    no = f"{{key: no, {operation}}}"
    service = await serve(SETTINGS, a=flow("action"), f=flow("filter", no))

    answer = await send(service, **headers)

    assert (answer.status, answer.code) == (status, code)
    assert message in answer.message
    assert [name for name, _ in triggers(service)] == ["f"]


@pytest.mark.parametrize("own", ["", "timeout: 20ms\n"])
async def test_a_filter_flow_that_hangs_is_504(serve: Serve, own: str) -> None:
    """By its own limit or by that of the settings; nobody is told of the event."""
    service = await serve(SETTINGS, a=flow("action"), f=flow("filter", HANG) + own)

    answer = await send(service)

    assert (answer.status, answer.code) == (504, "TIMED_OUT")
    (finished,) = service.said("execution.finished")
    assert (finished["flow"], finished["status"]) == ("f", "timed_out")
    assert [name for name, _ in triggers(service)] == ["f"]


async def test_an_event_that_grew_too_large_has_not_happened(serve: Serve) -> None:
    """Values share their parts: written out, this one would be 32 MiB."""
    twice = """{type: transform, options: {json: ["{{ $last }}", "{{ $last }}"]}}"""
    grows = flow("filter", ", ".join([twice] * 15), ", return: $last")
    service = await serve(SETTINGS, a=flow("action"), f=grows + "tracking: activity\n")

    answer = await send(service, {**EVENT, "data": "a" * 1024})

    assert answer.status == 500
    assert triggers(service) == []


async def test_what_cannot_start_is_recorded_and_the_others_do(serve: Serve) -> None:
    """An event of which some flows hear is taken; one of which none does, is refused."""
    once = flow("action", HANG) + "concurrency: {mode: single}\n"
    service = await serve(SETTINGS, a=once, b=flow("action", scope="order.placed"))

    first, second = await send(service), await send(service)
    await service.load(a=once)
    third = await send(service)
    for each in tuple(service.engine._tickets.values()):
        each.cancel()
    await idle(service)

    assert [first.status, second.status, third.status] == [202, 202, 409]
    assert [len(first.json["started"]), len(second.json["started"])] == [2, 1]
    assert [each["flow"] for each in service.said("trigger.refused")] == ["a", "a"]


async def test_a_runner_that_stops_takes_no_events(serve: Serve) -> None:
    """503: come again, to another one."""
    service = await serve(SETTINGS, a=flow("action"))
    await service.engine.drain(1)

    for event in (EVENT, "no event"):  # which nobody looks at
        answer = await send(service, event)

        assert answer.status == 503
        assert "Retry-After" in answer.headers


async def test_an_event_with_too_many_cookies_is_refused(serve: Serve) -> None:
    """Every record would be searched for every one of them."""
    service = await serve(SETTINGS, a=flow("action"))

    answer = await send(service, Cookie="; ".join(f"c{n}=value-{n}" for n in range(201)))

    assert answer.status == 413
    assert triggers(service) == []


async def test_an_event_flow_is_no_webhook(serve: Serve) -> None:
    """It has no address of its own."""
    service = await serve(SETTINGS, a=flow("action"))

    answer = await service.post("/flows/trigger/a", json={}, headers=BOSS)

    assert (answer.status, answer.code) == (404, "ROUTE_NOT_FOUND")
    assert "events only" in answer.message
