"""`POST /events`: CloudEvents, and the flows that wait for them."""

from typing import Final

from aiohttp import hdrs, web

from runner import cloudevents, jsontext
from runner.cloudevents import BATCH, STRUCTURED, CloudEvent
from runner.errors import RunnerError, Unavailable
from runner.fit import is_small
from runner.triggers.event import Asked, Cause, Refused, Told, ask, tell
from runner.types import JSONObject
from runner.web import answers, bodies, callers, delivery
from runner.web.contract import TOKEN, Answer, Promise
from runner.web.keys import ENGINE, RECORDER, REGISTRY, SETTINGS
from runner.web.shapes import TEXT, errors, items, members


async def send(request: web.Request) -> web.Response:
    """
    Have filter flows look at what was sent, then tell action flows of it.

    Of a batch, all events pass the filter flows, or nothing of it is told.
    """
    app = request.app
    try:
        caller = callers.identify(request)
        caller.require("events", "send")
        generation = app[REGISTRY].current
        if generation.number == 0:
            raise Unavailable("The flows are not loaded yet; try again later.")
        # Before the body is read: what cannot start should not fill the memory first.
        app[ENGINE].check(durable=True)
        sent = await _read(request)
        who, trace_id = caller.accountability, _trace_id(request, sent)
        cause = Cause(generation, who, delivery.credentials(request), trace_id)
        return await _answer(request, sent, cause)
    except Refused as refused:
        headers = {"X-Flow-Revision": generation.revision}
        trusted = caller.accountability.admin
        return answers.failure(refused.result, trusted=trusted, headers=headers)
    except RunnerError as error:
        delivery.record_refusal(request, error, trigger="event")
        raise


async def _read(request: web.Request) -> tuple[CloudEvent, ...]:
    limits = request.app[SETTINGS].limits
    body = await bodies.read(request, limits.body)
    return cloudevents.read(
        request.headers.get(hdrs.CONTENT_TYPE, ""),
        request.headers.items(),
        body,
        max_depth=limits.json_depth,
        max_batch=limits.event_batch,
    )


def _trace_id(request: web.Request, sent: tuple[CloudEvent, ...]) -> str | None:
    """The trace that an event names, where one alone is sent, else the request."""
    own = sent[0].attributes.get("traceparent") if len(sent) == 1 else None
    header = request.headers.get("traceparent")
    return delivery.trace_id(None if own is None else str(own)) or delivery.trace_id(header)


async def _answer(request: web.Request, sent: tuple[CloudEvent, ...], cause: Cause) -> web.Response:
    engine, recorder = request.app[ENGINE], request.app[RECORDER]
    seconds = request.app[SETTINGS].limits.request_time
    asked = [await ask(engine, each.as_event(ahead=True), cause, seconds) for each in sent]
    headers = {"X-Flow-Revision": cause.generation.revision}
    answer = None
    if any(left.flows for left in asked):
        # Before anybody is told: an event that cannot be answered has not happened.
        batch = cloudevents.is_batch(request.headers.get(hdrs.CONTENT_TYPE, ""))
        answer = _events(sent, asked, headers, batch=batch)
    told = [await tell(engine, left.event._replace(ahead=False), cause, recorder) for left in asked]
    return _started(told, headers) if answer is None else answer


# --- answers ------------------------------------------------------------------------------------


def _events(
    sent: tuple[CloudEvent, ...], asked: list[Asked], headers: dict[str, str], *, batch: bool
) -> web.Response:
    """What filter flows made of the events, in the form in which structured ones are sent."""
    pairs = zip(sent, asked, strict=True)
    left = [each.with_data(after.event.payload).as_json() for each, after in pairs]
    # Values share their parts: small in memory, one can be endless when it is written out.
    if not is_small(left, jsontext.MAX_TEXT):
        raise RunnerError("the event would be longer than 16 MiB")
    kind = BATCH if batch else STRUCTURED
    said = jsontext.write(left if batch else left[0])
    return answers.written(said, 200, {**headers, hdrs.CONTENT_TYPE: kind})


def _started(told: list[Told], headers: dict[str, str]) -> web.Response:
    """204 where no flow wants them; where none that does can start, why not."""
    receipts = [receipt for each in told for receipt in each.started]
    if receipts:
        started, durable = [each.id for each in receipts], receipts[0].durable
        return answers.json({"started": started, "durable": durable}, 202, headers)
    refused = [error for each in told for error in each.refused]
    if refused:
        return answers.refuse(refused[0], headers)
    return web.Response(status=204, headers=headers)


# --- what it promises ---------------------------------------------------------------------------

_ATTRIBUTE: Final[JSONObject] = {"type": ["string", "boolean", "integer", "null"]}
_EVENT: Final[JSONObject] = {
    **members(
        ["specversion", "id", "source", "type"],
        specversion={"const": "1.0"},
        id={**TEXT, "minLength": 1},
        source={**TEXT, "minLength": 1, "format": "uri-reference"},
        type={**TEXT, "minLength": 1},
        data={},
        data_base64={"type": ["string", "null"], "contentEncoding": "base64"},
    ),
    "additionalProperties": _ATTRIBUTE,
}
_REVISION: Final = {"X-Flow-Revision": "The commit, or what stands for it, of the flows."}

PROMISE: Final = Promise(
    summary="Tell flows of an event",
    description=(
        "A CloudEvent 1.0: structured as JSON, or with its attributes in `ce-` headers; batches"
        " are taken where the setting `limits.event_batch` allows. Filter flows look at it first."
    ),
    needs=("events", "send"),
    security=TOKEN,
    body={STRUCTURED: _EVENT, BATCH: items(_EVENT)},
    answers={
        "200": Answer(
            "The event, as filter flows leave it.",
            {STRUCTURED: _EVENT, BATCH: items(_EVENT)},
            _REVISION,
        ),
        "202": Answer(
            "Flows were told; nobody waits for them.",
            {"application/json": members(started=items(TEXT), durable={"type": "boolean"})},
            _REVISION,
        ),
        "204": Answer("No flow wants it.", {}, _REVISION),
        "4XX": Answer(
            "It is no event, or a filter flow refuses it with this status.",
            {"application/json": errors()},
        ),
        "5XX": Answer(
            "It cannot be told now, or a filter flow refuses it with this status.",
            {"application/json": errors()},
        ),
    },
)
