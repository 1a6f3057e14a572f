"""The store without a disk: what is accepted lives as long as the process."""

import heapq
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final, Self

from runner.errors import Lost
from runner.model import Status
from runner.store.base import (
    OLD_TICKS,
    Accepted,
    FlowText,
    Interrupted,
    Retention,
    Seen,
    Step,
    Story,
    Tick,
    Walk,
    unheard,
)
from runner.store.clock import Clock, SystemClock
from runner.store.remembered import Remembered
from runner.store.rows import row, step_row
from runner.store.serving import Claim, Claims, Serving
from runner.types import JSONObject


class MemoryStore:
    """Keeps executions in memory, and of those that have ended only so many."""

    kind: Final = "memory"
    durable: Final = False
    shared: Final = False
    backlog: Final = 0
    trouble: Final = None

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._past = Remembered()
        self._book = _Book(self._past, self._clock)
        self._serving = Serving(self._book, self._clock)
        self._ticks: dict[str, Tick] = {}

    async def __aenter__(self) -> Self:
        """There is nothing to open."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """There is nothing to close."""

    # --- running

    async def accept(self, execution: Accepted, texts: Sequence[FlowText]) -> bool:
        """Remember it, and have it run."""
        if self._past.find(execution.id) is not None:
            return False
        row(execution)  # refuses what other stores could not keep
        reserved = self._serving.reserve(execution.due)
        number = self._book.add(execution, texts, running=reserved)
        claim = Claim(number, execution, fresh=True)
        self._serving.accepted(claim, execution.due, reserved=reserved)
        return True

    async def serve(self, walk: Walk, at_once: int, interrupted: Interrupted = unheard) -> None:
        """Run what is accepted."""
        await self._serving.serve(walk, at_once, interrupted)

    async def hand_over(self) -> None:
        """There is nobody else."""

    async def texts(self, pins: Mapping[str, str]) -> Mapping[str, FlowText]:
        """The texts of *pins* by flow key."""
        return self._book.texts(pins)

    async def cancel(self, id_: str) -> bool:
        """End it, or have it end."""
        under_way = self._book.cancel(id_)
        self._serving.cancel(id_)
        return under_way

    # --- ticks

    async def ticks(self) -> Mapping[str, Tick]:
        """How far schedules have got, by flow id."""
        return dict(self._ticks)

    async def keep_ticks(self, ticks: Mapping[str, Tick]) -> None:
        """Remember *ticks*."""
        for flow_id, tick in ticks.items():
            known = self._ticks.get(flow_id)
            if known is None or known.timetable != tick.timetable or known.until < tick.until:
                self._ticks[flow_id] = tick

    # --- history

    @property
    def dropped(self) -> int:
        """Nothing is."""
        return 0

    def write_history(self, stories: Sequence[Story]) -> None:
        """Remember *stories*."""
        for story in stories:
            self._past.tell(story)

    async def find(self, id_: str) -> Seen | None:
        """The execution with this id."""
        return self._past.find(id_)

    async def executions(self, limit: int = 1000, before: int | None = None) -> Sequence[Seen]:
        """The newest first."""
        return self._past.newest(limit, before)

    async def records(self, id_: str) -> bytes:
        """The records of an execution."""
        return self._past.records(id_)

    async def retain(self, keep: Retention) -> int:
        """Forget what is beyond *keep*."""
        since = self._clock.now() - OLD_TICKS
        self._ticks = {id_: tick for id_, tick in self._ticks.items() if tick.until >= since}
        return self._past.retain(keep, self._clock.now())


class _Work:
    """What is needed to run an execution."""

    __slots__ = ("accepted", "cancelled", "status", "steps", "wake")

    def __init__(self, accepted: Accepted, status: str) -> None:
        self.accepted = accepted
        self.status = status
        self.wake = accepted.due
        self.cancelled = False
        self.steps: dict[str, Step] = {}


class _Book:
    """What runs and what waits, in memory."""

    def __init__(self, past: Remembered, clock: Clock) -> None:
        self._past = past
        self._clock = clock
        self._work: dict[int, _Work] = {}
        #: When which of them wakes; of those that ended, or wake at another time, too.
        self._heap: list[tuple[float, int]] = []
        self._texts: dict[tuple[str, str], FlowText] = {}
        #: How many of them pin a text.
        self._pinned: Counter[tuple[str, str]] = Counter()

    def add(self, execution: Accepted, texts: Sequence[FlowText], *, running: bool) -> int:
        """Begin with *execution*, and give its number."""
        status = "running" if running else "queued"
        number = self._past.begin(_seen(execution, status, self._clock.now()))
        self._work[number] = _Work(execution, status)
        if not running:
            heapq.heappush(self._heap, (execution.due, number))
        self._pinned.update(execution.pins.items())
        pinned = {(text.key, text.digest): text for text in texts}
        self._texts |= {pin: text for pin, text in pinned.items() if pin in self._pinned}
        return number

    def texts(self, pins: Mapping[str, str]) -> Mapping[str, FlowText]:
        found = (self._texts.get(pin) for pin in pins.items())
        return {text.key: text for text in found if text is not None}

    def cancel(self, id_: str) -> bool:
        seen = self._past.find(id_)
        each = None if seen is None else self._work.get(seen.number)
        if seen is None or each is None:
            return False
        if each.status == "running":
            each.cancelled = True
        else:
            self._end(seen.number, Status.CANCELLED, None)
        return True

    async def claim(self, now: float, limit: int) -> Claims:
        claims: list[Claim] = []
        while (wake := self._first()) <= now and len(claims) < limit:
            number = heapq.heappop(self._heap)[1]
            each = self._work[number]
            self._stand(number, "running", self._clock.now())
            claims.append(Claim(number, each.accepted, cancelled=each.cancelled))
        return Claims(claims, wake)

    def _first(self) -> float:
        """When the next one wakes."""
        while self._heap:
            wake, number = self._heap[0]
            each = self._work.get(number)
            if each is not None and each.status != "running" and each.wake == wake:
                return wake
            heapq.heappop(self._heap)
        return math.inf

    async def steps(self, number: int) -> Mapping[str, Step]:
        return dict(self._work[number].steps)

    async def record(self, number: int, step: Step) -> None:
        step_row(step)
        each = self._work.get(number)
        if each is None or each.status != "running":
            raise Lost
        each.steps[step.path] = step

    async def wait(self, number: int, at: float) -> float:
        each = self._work[number]
        each.wake = 0.0 if each.cancelled else at
        self._stand(number, "waiting")
        return each.wake

    async def finish(self, number: int, status: Status, reason: JSONObject | None) -> None:
        self._end(number, status, reason)

    async def release(self) -> None:
        for number, each in self._work.items():
            if each.status == "running":
                self._stand(number, "queued")

    def _stand(self, number: int, status: str, started: float | None = None) -> None:
        each = self._work[number]
        each.status = status
        self._past.update(number, status=status, started=started)
        if status != "running":
            heapq.heappush(self._heap, (each.wake, number))

    def _end(self, number: int, status: Status, reason: JSONObject | None) -> None:
        pins = self._work.pop(number).accepted.pins
        self._past.end(number, status, reason, self._clock.now())
        for pin in pins.items():
            self._pinned[pin] -= 1
            if not self._pinned[pin]:
                del self._pinned[pin]
                self._texts.pop(pin, None)


def _seen(execution: Accepted, status: str, now: float) -> Seen:
    each = execution
    return Seen(
        each.id, each.flow, each.flow_id, each.digest, each.revision, each.generation,
        each.trigger, each.parent_id, durable=False, status=status, accepted=now,
        started=now if status == "running" else None,
    )  # fmt: skip
