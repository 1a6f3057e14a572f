"""`/executions`: what runs and what ran, to be read, cancelled and run again."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from aiohttp import hdrs, web

from runner.errors import FlowNotFound, RouteNotFound, RunnerError
from runner.model import Start
from runner.operators import iso
from runner.query import language
from runner.query.model import Query
from runner.query.tables import Tables
from runner.records import Record
from runner.store.base import Seen, Store
from runner.stories import lines
from runner.types import JSONObject
from runner.web import answers, reading
from runner.web.callers import Caller, identify
from runner.web.keys import ENGINE, RECORDER, REGISTRY
from runner.web.listing import EXECUTIONS, HISTORY

_NEWEST: Final = 10_000
"""So many executions can be asked about in one question: the newest."""

_PAGE: Final = 1000

_BEHIND: Final = 1000
"""So many records wait for a reader of the stream; then some are left out."""

_LOOK: Final = 1.0
"""Seconds after which a stream in which nothing happens looks whether the runner stops."""


class NotReplayable(RunnerError):
    """This execution cannot run again: it is not known what started it."""

    code = "NOT_REPLAYABLE"
    status = 422


# --- reading ------------------------------------------------------------------------------------


async def listing(request: web.Request) -> web.Response:
    """`GET` and `SEARCH` of the newest ones."""
    caller = _caller(request, "read")
    query = _query(await reading.given(request), caller)
    rows = [_row(seen) for seen in await _newest(request.app[ENGINE].store)]
    return await reading.many(query, Tables(HISTORY, {EXECUTIONS.name: rows}))


async def one(request: web.Request) -> web.Response:
    """How an execution stands, and its records."""
    _caller(request, "read")
    seen = await _seen(request)
    records = lines(await request.app[ENGINE].store.records(seen.id))
    return answers.json({"data": {**_row(seen), "records": records}})


async def _seen(request: web.Request) -> Seen:
    seen = await request.app[ENGINE].find(request.match_info["id"].lower())
    if seen is None:
        raise RouteNotFound("There is no such execution, or it was forgotten.")
    return seen


async def _newest(store: Store) -> list[Seen]:
    found: list[Seen] = []
    while len(found) < _NEWEST:
        page = await store.executions(_PAGE, found[-1].number if found else None)
        found += page
        if len(page) < _PAGE:
            break
    return found


def _row(seen: Seen) -> JSONObject:
    row = {name: getattr(seen, name) for name in EXECUTIONS.fields}
    for name in ("accepted", "started", "finished"):
        at = row[name]
        row[name] = None if at is None else iso(datetime.fromtimestamp(at, UTC))
    return row


def _query(given: JSONObject, caller: Caller) -> Query:
    given = {"sort": "-accepted", **given}
    return language.parse(given, EXECUTIONS, HISTORY, caller=caller.accountability.as_data())


def _caller(request: web.Request, verb: str) -> Caller:
    caller = identify(request)
    caller.require("executions", verb)
    return caller


# --- changing -----------------------------------------------------------------------------------


async def cancel(request: web.Request) -> web.Response:
    """End an accepted execution that is under way."""
    _caller(request, "cancel")
    seen = await _seen(request)
    ended = await request.app[ENGINE].cancel(seen.id)
    return answers.json({"data": {"id": seen.id, "cancelled": ended}})


async def replay(request: web.Request) -> web.Response:
    """Accept a new execution with what started this one, and the flow as it is now."""
    caller = _caller(request, "replay")
    seen = await _seen(request)
    generation, engine = request.app[REGISTRY].current, request.app[ENGINE]
    entry = generation.find(seen.flow_id) or generation.find(seen.flow)
    if entry is None or entry.running is None:
        raise FlowNotFound("The flow of this execution is not there any more, or does not run.")
    start = Start(
        flow=entry.running,
        generation=generation,
        trigger_data=_trigger_data(lines(await engine.store.records(seen.id))),
        accountability=caller.accountability,
    )
    receipt = await engine.accept(start)
    headers: dict[str, str] = {hdrs.LOCATION: f"/executions/{receipt.id}"}
    return answers.json({"id": receipt.id, "durable": receipt.durable}, 202, headers)


def _trigger_data(records: Iterable[JSONObject]) -> JSONObject | None:
    for record in records:
        if record["event"] == "execution.started" and "data" in record:
            for how in ("truncated", "redacted"):
                if any(f"{path}.".startswith("data.") for path in record.get(how, ())):
                    raise NotReplayable(f"This cannot run again: what started it was {how}.")
            data: JSONObject | None = record["data"].get("trigger")
            return data
    raise NotReplayable


# --- live ---------------------------------------------------------------------------------------


class _Reader:
    """A sink that one client reads."""

    def __init__(self) -> None:
        self.waiting: asyncio.Queue[bytes] = asyncio.Queue(_BEHIND)
        self.missed = 0

    def write(self, record: Record, /) -> None:
        """Keep it for the client, if it is of an execution."""
        if "execution_id" not in record.fields:
            return
        event = f"event: {record.fields['event']}\ndata: ".encode()
        try:
            self.waiting.put_nowait(event + record.line + b"\n")
        except asyncio.QueueFull:
            self.missed += 1


async def stream(request: web.Request) -> web.StreamResponse:
    """What happens in executions from now on, as server-sent events."""
    _caller(request, "read")
    headers = {hdrs.CONTENT_TYPE: "text/event-stream", hdrs.CACHE_CONTROL: "no-store"}
    if request.method == "HEAD":
        return web.Response(headers=headers)
    response = web.StreamResponse(headers=headers)
    reader = _Reader()
    detach: Callable[[], None] = request.app[RECORDER].attach(reader)
    try:
        await response.prepare(request)
        await response.write(b": records of executions\n\n")
        with suppress(ConnectionError):
            await _pass_on(reader, response, lambda: request.app[ENGINE].draining)
    finally:
        detach()
    return response


async def _pass_on(
    reader: _Reader, response: web.StreamResponse, stops: Callable[[], bool]
) -> None:
    while not stops():
        try:
            async with asyncio.timeout(_LOOK):
                event = await reader.waiting.get()
        except TimeoutError:
            event = b":\n\n"  # whoever has gone is noticed by it
        if reader.missed:
            event = b": %d records were left out\n\n" % reader.missed + event
            reader.missed = 0
        await response.write(event)
