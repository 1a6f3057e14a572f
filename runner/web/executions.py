"""`/executions`: what runs and what ran, to be read, cancelled and run again."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from aiohttp import hdrs, web

from runner import jsontext
from runner.engine import Engine
from runner.errors import Conflict, FlowNotFound, RouteNotFound, RunnerError
from runner.model import Accountability, Flow, Generation, Start, Status
from runner.operators import iso
from runner.query import language
from runner.query.model import Column, Query, Sort, Type
from runner.query.run import Budget
from runner.query.sieve import Sieve
from runner.records import Record
from runner.store.base import Seen
from runner.stories import lines
from runner.types import JSONObject
from runner.web import answers, reading
from runner.web.callers import Caller, identify
from runner.web.keys import ENGINE, RECORDER, REGISTRY
from runner.web.listing import EXECUTIONS, HISTORY

_NEWEST: Final = 100_000
"""So many executions can be asked about in one question: the newest."""

_PAGE: Final = 1000
_LOOKS: Final = 20 * _NEWEST

_LATE: Final = 10.0
"""Seconds that it takes at most until a store is told of an execution that has ended."""

QUESTIONS: Final = 2
"""So many questions are answered at a time: each may look at all there is."""

ASKING: Final = web.AppKey("asking", asyncio.Semaphore)

_BEHIND: Final = 1 << 20
"""Bytes that wait for a reader of the stream; then some records are left out."""

_AT_ONCE: Final = 1 << 16
"""Bytes of what is written to a reader in one go."""

_PATIENCE: Final = 30.0
"""Seconds that a reader of the stream may take nothing at all."""

_SUPPRESSED: Final = "log.suppressed"

_LOOK: Final = 1.0
"""Seconds after which a stream in which nothing happens looks whether the runner stops."""


class NotCancelled(Conflict):
    """There is nothing to cancel."""


class NotReplayable(RunnerError):
    """This cannot run again: no record says what started it, as they do with `tracking: all`."""

    code = "NOT_REPLAYABLE"
    status = 422


# --- reading ------------------------------------------------------------------------------------


async def listing(request: web.Request) -> web.Response:
    """`GET` and `SEARCH` of all that are under way or remembered."""
    caller = _caller(request, "read")
    query = _query(await reading.given(request), caller)
    async with request.app[ASKING]:
        sieve = Sieve(query, HISTORY, Budget(_LOOKS))
        whole = await _sift(query, sieve, request.app[ENGINE])
        return await reading.sifted(query, sieve, {} if whole else {"newest": _NEWEST})


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


async def _sift(query: Query, sieve: Sieve, engine: Engine) -> bool:
    """Have *sieve* take all that could matter; False: there is more than can be asked about."""
    fields = _fields(query)
    page: Sequence[Seen] = engine.direct()
    here, before, count = {each.id for each in page}, None, 0

    def take() -> None:
        sieve.take([_row(each, fields) for each in page])

    await asyncio.to_thread(take)
    while count < _NEWEST:
        found = await engine.store.executions(_PAGE, before)
        page = [each for each in found if each.id not in here]  # it has ended just now
        await asyncio.to_thread(take)
        count += len(found)
        if len(found) < _PAGE or _is_enough(query, sieve, found[-1]):
            return True
        before = found[-1].number
    return not await engine.store.executions(1, before)


def _is_enough(query: Query, sieve: Sieve, last: Seen) -> bool:
    """
    Whether nothing that stands behind *last* can be in the answer, or counts for it.

    The store has them in the order in which it heard of them: of accepted ones that is when they
    were accepted, of all others when they had ended.
    """
    if not sieve.most or len(sieve.rows) < sieve.most or query.meta or query.sort != _BY_TIME:
        return False
    heard = last.accepted if last.durable else last.finished
    return heard is not None and sieve.rows[-1]["accepted"] >= _iso(heard + _LATE)


def _fields(query: Query) -> tuple[str, ...]:
    """Those of an execution that *query* is about."""
    if query.search is not None:
        return tuple(EXECUTIONS.fields)
    return tuple({"id", *(field for _, field in query.names())})


def _row(seen: Seen, fields: Iterable[str] = EXECUTIONS.fields) -> JSONObject:
    row = {name: getattr(seen, name) for name in fields}
    for name in _TIMES & row.keys():
        row[name] = None if row[name] is None else _iso(row[name])
    return row


def _iso(at: float) -> str:
    return iso(datetime.fromtimestamp(at, UTC))


_TIMES: Final = frozenset({"accepted", "started", "finished"})
_BY_TIME: Final = (Sort(Column("accepted", Type.TIMESTAMP), descending=True),)


def _query(given: JSONObject, caller: Caller) -> Query:
    if not given.keys() & {"aggregate", "groupBy"}:  # whose rows have an order of their own
        given = {"sort": "-accepted", **given}
    return language.parse(given, EXECUTIONS, HISTORY, caller=caller.accountability.as_data())


def _caller(request: web.Request, verb: str) -> Caller:
    caller = identify(request)
    caller.require("executions", verb)
    return caller


# --- changing -----------------------------------------------------------------------------------


async def cancel(request: web.Request) -> web.Response:
    """End an execution that is under way: now, or where it runs."""
    _caller(request, "cancel")
    engine, seen = request.app[ENGINE], await _seen(request)
    if not await engine.cancel(seen.id):
        raise await _uncancelled(engine, seen)
    now = await engine.find(seen.id)
    status = seen.status if now is None else now.status
    ended = status == Status.CANCELLED
    headers: dict[str, str] = {} if ended else {hdrs.LOCATION: f"/executions/{seen.id}"}
    data = {"id": seen.id, "status": status}
    return answers.json({"data": data}, 200 if ended else 202, headers)


async def _uncancelled(engine: Engine, seen: Seen) -> NotCancelled:
    """Why there was nothing to cancel."""
    now = await engine.find(seen.id) or seen
    if now.finished is None and now.parent_id is not None:
        message = f"It runs inside of the execution {now.parent_id}, and ends with that."
        return NotCancelled(message, parent=now.parent_id)
    return NotCancelled(f"It has ended already: {now.status}.", status=now.status)


async def replay(request: web.Request) -> web.Response:
    """
    Accept a new execution with what started this one, and the flow as it is now.

    On behalf of whoever caused the first one: who asks for it gives it no more and no less than it
    had, so that nobody can have an administrator run what strangers sent.
    """
    caller = _caller(request, "replay")
    seen = await _seen(request)
    generation, engine = request.app[REGISTRY].current, request.app[ENGINE]
    entry = generation.find(seen.flow_id) or generation.find(seen.flow)
    if entry is None or entry.running is None:
        raise FlowNotFound("The flow of this execution is not there any more, or does not run.")
    cause = engine.begun(seen.id)
    if cause is None:
        records = lines(await engine.store.records(seen.id))
        cause = _recorded(records, entry.running, generation)
    start = Start(
        flow=entry.running,
        generation=generation,
        trigger_data=cause.trigger_data,
        accountability=cause.accountability,
        credentials=cause.credentials,
        replay={"of": seen.id, "by": caller.accountability.as_data()},
    )
    receipt = await engine.accept(start)
    headers: dict[str, str] = {hdrs.LOCATION: f"/executions/{receipt.id}"}
    return answers.json({"id": receipt.id, "durable": receipt.durable}, 202, headers)


def _recorded(records: Iterable[JSONObject], flow: Flow, generation: Generation) -> Start:
    """What began an execution, as its records say. Raises NotReplayable where they do not."""
    for record in records:
        data = record.get("data", {})
        if record["event"].startswith("execution.") and "accountability" in data:
            for how in ("truncated", "redacted"):
                if any(f"{path}.".startswith("data.") for path in record.get(how, ())):
                    raise NotReplayable(f"This cannot run again: what started it was {how}.")
            who = data["accountability"]
            caused_by = None if who is None else Accountability.from_data(who)
            return Start(flow, generation, data["trigger"], caused_by)
    raise NotReplayable


# --- live ---------------------------------------------------------------------------------------


class _Reader:
    """A sink that one client reads, as fast as it likes."""

    def __init__(self) -> None:
        self.waiting: asyncio.Queue[bytes] = asyncio.Queue()
        #: Bytes of them.
        self._size = 0
        self.missed = 0

    def write(self, record: Record, /) -> None:
        """Keep it for the client, if it is of an execution."""
        if "execution_id" not in record.fields:
            return
        event = _event(record.fields["event"], record.line)
        if self._size + len(event) > _BEHIND:
            self.missed += 1
            return
        self._size += len(event)
        self.waiting.put_nowait(event)

    async def some(self) -> bytes:
        """
        What has come, the first of it awaited, and how much could not wait.

        In one go: a write for each would keep the loop busy. Nothing, if nothing comes.
        """
        events = b""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK):
                events = await self.waiting.get()
        while len(events) < _AT_ONCE and not self.waiting.empty():
            events += self.waiting.get_nowait()
        self._size -= len(events)
        if self.missed and self.waiting.empty():
            left_out = {"event": _SUPPRESSED, "data": {"reason": "stream", "count": self.missed}}
            events += _event(_SUPPRESSED, jsontext.write(left_out) + b"\n")
            self.missed = 0
        return events


def _event(name: str, line: bytes) -> bytes:
    return b"event: %b\ndata: %b\n" % (name.encode(), line)


async def stream(request: web.Request) -> web.StreamResponse:
    """
    What happens in executions from now on, as server-sent events.

    It ends when the runner stops, and when the client takes nothing for long.
    """
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
            while not request.app[ENGINE].draining:
                event = await reader.some() or b":\n\n"  # whoever has gone is noticed by it
                async with asyncio.timeout(_PATIENCE):
                    await response.write(event)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()  # an orderly end would wait as long
    finally:
        detach()
    return response
