"""
Events that no execution causes: those sent from outside, and those of the runner itself.

What an operation causes, its execution tells by itself; all of them find their flows alike.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

from runner import jsontext, listeners
from runner.engine import Engine, Receipt
from runner.errors import RunnerError
from runner.ids import random_id
from runner.model import (
    OWN_EVENTS,
    Accountability,
    Event,
    Flow,
    Generation,
    Result,
    Start,
    Status,
)
from runner.operators import iso
from runner.records import Record, Recorder
from runner.registry import Registry
from runner.types import JSONObject, JSONValue
from runner.version import version


class Cause(NamedTuple):
    """Where an event comes from: who may see what, and which flows there are."""

    generation: Generation
    accountability: Accountability | None = None
    credentials: tuple[str, ...] = ()
    trace_id: str | None = None

    def start(self, flow: Flow, data: JSONObject) -> Start:
        """What begins an execution of *flow* by it."""
        return Start(
            flow=flow,
            generation=self.generation,
            trigger_data=data,
            accountability=self.accountability,
            credentials=self.credentials,
            trace_id=self.trace_id,
        )


class Refused(Exception):
    """A filter flow did not let the event pass; *result* says how it ended."""

    def __init__(self, result: Result) -> None:
        super().__init__(result.status)
        self.result = result


class Asked(NamedTuple):
    """An event as filter flows leave it."""

    event: Event
    #: How many there were.
    flows: int


async def ask(engine: Engine, event: Event, cause: Cause, seconds: float) -> Asked:
    """
    Have filter flows look at *event* before it happens, each for so many *seconds* at most.

    Raises Refused with the result of the first one that does not resolve, and what
    `Engine.start` raises.
    """
    flows = 0

    async def run(flow: Flow, data: JSONObject) -> JSONValue:
        nonlocal flows
        flows += 1
        start = cause.start(flow, data)._replace(timeout=seconds)
        result = await engine.result(await engine.start(start))
        if result.status is not Status.RESOLVED:
            raise Refused(result)
        return result.value

    left = await listeners.filtered(event, cause.generation, cause.accountability, run)
    return Asked(left, flows)


class Told(NamedTuple):
    """What became of telling an event."""

    #: What was accepted, new or not.
    started: list[Receipt]
    #: Why flows that want it did not start; it is recorded.
    refused: list[RunnerError]


async def tell(engine: Engine, event: Event, cause: Cause, recorder: Recorder) -> Told:
    """Start the action flows that want to know that *event* happened, and wait for none."""
    told = Told([], [])
    for flow, data in listeners.told(event, cause.generation, cause.accountability):
        try:
            told.started.append(await engine.accept(cause.start(flow, data)))
        except RunnerError as error:
            told.refused.append(error)
            listeners.refused(recorder, flow, event, error)
    return told


# --- the runner's own ---------------------------------------------------------------------------

#: Events that wait to be told; what comes when so many do is left out of the records' account.
_MAX_WAITING: Final = 10_000

#: How many traces are remembered that the runner's own events began.
_MAX_TRACES: Final = 10_000

#: By event of the records. An execution that somebody cancelled neither failed nor succeeded.
_NAMES: Final = {
    "generation.swapped": "runner.generation.swapped",
    "daemon.draining": "runner.stopping",
}
_ENDINGS: Final = {
    Status.RESOLVED.value: "runner.flow.succeeded",
    Status.REJECTED.value: "runner.flow.failed",
    Status.TIMED_OUT.value: "runner.flow.failed",
    Status.INTERRUPTED.value: "runner.flow.failed",
}

#: Of the record of a generation, beside its data.
_WHICH: Final = ("generation", "revision")

#: Of the record of an execution that ended, what its event tells.
_TOLD: Final = (
    "flow", *_WHICH, "trigger", "status", "duration_ms", "operation", "error", "trace_id",
)  # fmt: skip


class OwnEvents:
    """
    Tells flows what happens to the runner, as its records say it: without secrets.

    It listens to the records only while a flow waits for such events. Executions that it starts,
    and all that these cause, have traces of its own, of which it tells nothing: a flow that hears
    of failures and fails does not hear of that.
    """

    def __init__(self, registry: Registry, engine: Engine, recorder: Recorder) -> None:
        self._registry = registry
        self._engine = engine
        self._recorder = recorder
        self._waiting: asyncio.Queue[Event] = asyncio.Queue(_MAX_WAITING)
        self._traces: dict[str, None] = {}
        self._detach: Callable[[], None] | None = None

    async def run(self) -> None:
        """Tell one event after another, until it is cancelled."""
        unsubscribe = self._registry.subscribe(self._swapped)
        try:
            while True:
                event = await self._waiting.get()
                await self._tell(event)
                self._waiting.task_done()
        finally:
            unsubscribe()
            self._listen(False)

    async def settle(self, seconds: float) -> None:
        """Wait until everything that happened is told: so many *seconds* at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._waiting.join()

    def write(self, record: Record, /) -> None:
        """Note down what a record says; the recorder counts what there is no room for."""
        fields = record.fields
        event = fields["event"]
        if event == "execution.finished":
            name = _ENDINGS.get(fields["status"])
        else:
            name = _NAMES.get(event)
        if name is None or not self._registry.current.listeners.of(name, ahead=False):
            return
        if fields.get("trace_id") not in self._traces:
            self._waiting.put_nowait(_event(name, record))

    def _swapped(self, before: Generation, now: Generation) -> None:
        self._listen(now.listeners.hear_of(OWN_EVENTS))
        if before.number == 0:
            payload = {"version": version(), "generation": now.number, "revision": now.revision}
            event = Event(f"{OWN_EVENTS}started", payload, {"time": iso(now.loaded)})
            self._waiting.put_nowait(event)

    def _listen(self, wanted: bool) -> None:
        if wanted and self._detach is None:
            self._detach = self._recorder.attach(self)
        elif not wanted and self._detach is not None:
            self._detach()
            self._detach = None

    async def _tell(self, event: Event) -> None:
        trace_id = random_id().replace("-", "")
        self._traces[trace_id] = None
        if len(self._traces) > _MAX_TRACES:
            del self._traces[next(iter(self._traces))]
        cause = Cause(self._registry.current, trace_id=trace_id)
        await tell(self._engine, event, cause, self._recorder)


def _event(name: str, record: Record) -> Event:
    fields = jsontext.parse(record.line)  # what is in its fields is nearly JSON
    assert isinstance(fields, dict)  # noqa: S101 - as every record is
    if record.fields["event"] == "execution.finished":
        payload = {"execution": fields["execution_id"], "parent": fields.get("parent_id")}
        payload |= {name: fields.get(name) for name in _TOLD}
    else:
        payload = {name: fields[name] for name in _WHICH if name in fields}
        payload |= fields.get("data", {})
    return Event(name, payload, {"time": fields["timestamp"]})
