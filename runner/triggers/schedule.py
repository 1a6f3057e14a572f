"""
Schedules: the clock starts flows.

All that are attached stand in one heap, and one timer waits for the first of them. The clock on
the wall may be set, and stands still to the timers while the machine sleeps, so it is read again
at every wake, and the timer never waits for longer than a minute.

What a schedule fires until some moment is *dealt with* once, whatever the clock does: a fire is
late, or missed, and then its flow's `missed` decides, but it never comes twice. What the store
cannot take is not dealt with. Nobody waits here for an execution, so slow ones hold nothing up.
"""

import asyncio
import heapq
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from runner.engine import Engine
from runner.errors import RunnerError, StoreError
from runner.ids import derived_id
from runner.model import Flow, Generation, Schedule, Start
from runner.operators import iso
from runner.records import Recorder
from runner.registry import Registry
from runner.store.base import Tick, Ticks
from runner.types import JSONObject

#: Seconds between two looks at the clock, at most.
_LOOK_EVERY: Final = 60.0

#: A fire that is less than this late is not missed: a machine that wakes up is noticed that late.
_LATE: Final = timedelta(seconds=60)

#: A clock that is set back by more was wrong before (cron(8) of Debian says the same).
_CORRECTION: Final = timedelta(hours=3)

#: How many fires of one schedule are made up for in one go.
_MAX_MISSED: Final = 100

#: How many schedules are announced by name in one go.
_MAX_NAMED: Final = 20

_SECOND: Final = timedelta(seconds=1)


class Schedules:
    """
    Starts the flows that have a schedule, as long as `run` runs.

    *clock* gives the time in seconds since 1970. A flow that a new generation brings keeps its
    place as long as its timetable is the same.
    """

    def __init__(
        self,
        registry: Registry,
        engine: Engine,
        recorder: Recorder,
        ticks: Ticks,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._registry = registry
        self._engine = engine
        self._recorder = recorder
        self._ticks = ticks
        self._clock = clock
        #: By id of the flow.
        self._places: dict[str, _Place] = {}
        #: When each is due, and whose place it is.
        self._heap: list[tuple[datetime, str]] = []
        self._generation = registry.current
        #: The latest that the clock has said, unless it was wrong.
        self._seen = datetime.fromtimestamp(clock(), UTC)
        #: Ticks of an earlier process that no flow has taken up yet; those saved last.
        self._recalled: dict[str, Tick] = {}
        self._saved: dict[str, Tick] = {}
        self._unsaved = False
        self._complained = False
        #: The store could not keep a fire, which has to come again.
        self._failed = False
        self._changed = asyncio.Event()
        #: What runs in this process because it fires in every one of several.
        self._here: set[asyncio.Task[None]] = set()

    def next_fire(self, flow: str) -> datetime | None:
        """When the flow with this id fires next, in UTC; None where no schedule starts it."""
        place = self._places.get(flow)
        return None if place is None else place.nominal

    async def run(self) -> None:
        """Attach what is in place and what comes, and start it when its time has come."""
        await self.recall()
        detach = self._registry.subscribe(self.follow)
        try:
            self.follow(self._generation, self._registry.current)
            while True:
                self._changed.clear()
                seconds = await self.wake()
                with suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await self._changed.wait()
        finally:
            detach()
            await self._save()  # of what was started just now

    async def wake(self) -> float:
        """Start what is due now, and give the seconds until there may be more."""
        now = self._look()
        while self._heap and self._heap[0][0] <= now and not self._failed:
            await self._fire(self._places[self._heap[0][1]], now)
            await asyncio.sleep(0)  # ten thousand may be due, and others want a turn
        if self._failed:
            self._failed = False
            self._arrange()
        await self._save()
        if not self._heap:
            return _LOOK_EVERY
        return min(_LOOK_EVERY, max(0.0, (self._heap[0][0] - self._look()).total_seconds()))

    def _look(self) -> datetime:
        """The time. When it turns out that the clock was wrong, everything begins anew."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        if now < self._seen - _CORRECTION:
            for place in self._places.values():
                place.advance(now)
            self._arrange()
            self._seen = now
        self._seen = max(self._seen, now)
        return now

    # --- attaching

    def follow(self, _: Generation, generation: Generation) -> None:
        """Attach the schedules of *generation*, and detach all others."""
        now = self._look()
        before, self._places = self._places, {}
        fresh = []
        for flow, schedule in _schedules(generation):
            place = before.get(flow.id)
            if place is None or place.timetable != str(schedule.timetable):
                place = _Place(flow, schedule, self._until(flow, schedule, now))
                fresh.append(place)
            elif place.flow is not flow:
                place.become(flow, schedule)
            self._places[flow.id] = place
        self._generation = generation
        self._arrange()
        self._announce(fresh)
        # Before the first flows, nothing is known of those that had got somewhere.
        self._unsaved = generation.number > 0
        self._changed.set()

    def _until(self, flow: Flow, schedule: Schedule, now: datetime) -> datetime:
        """How far an earlier process has got; without any, a schedule begins now."""
        tick = self._recalled.pop(flow.id, None)
        if tick is None or tick.timetable != str(schedule.timetable):
            return now
        until = datetime.fromtimestamp(tick.until, UTC)
        return now if until > now + _CORRECTION else until

    def _arrange(self) -> None:
        self._heap = [(place.due, id_) for id_, place in self._places.items()]
        heapq.heapify(self._heap)

    def _announce(self, fresh: "list[_Place]") -> None:
        for place in fresh[:_MAX_NAMED]:
            data = {"schedule": place.timetable, "next_fire": iso(place.nominal)}
            self._recorder.emit(
                "trigger.attached", flow=place.flow.key, trigger=Schedule.kind, data=data
            )
        if rest := fresh[_MAX_NAMED:]:
            first = min(place.nominal for place in rest)
            self._recorder.emit(
                "trigger.attached",
                message=f"{len(rest)} more schedules are attached",
                trigger=Schedule.kind,
                data={"count": len(rest), "next_fire": iso(first)},
            )

    # --- firing

    async def _fire(self, place: "_Place", now: datetime) -> None:
        """Start what is due of *place*, the first of the heap, and put it where it belongs."""
        flow, shared, first = place.flow, place.schedule.shared, place.nominal
        until = now - place.delay
        fires = place.wanted(until)
        place.advance(until)
        heapq.heapreplace(self._heap, (place.due, flow.id))
        self._unsaved = self._unsaved or place.is_kept
        if not fires or fires[0] != first:
            error = {"name": "Missed", "message": "the time of a schedule was missed"}
            data = {"since": iso(first), "until": iso(until), "started": len(fires)}
            self._refuse(flow, {**error, "code": "MISSED"}, data)
        for nominal in fires:
            start = self._start(flow, nominal, shared=shared)
            try:
                await self._begin(start, shared=shared)
            except asyncio.CancelledError:  # if it is kept, it comes again, and to nothing
                place.advance(nominal - _SECOND)
                raise
            except StoreError as error:  # and then it comes late, or `missed` decides
                if place.put_back(nominal, now + _SECOND):
                    self._refuse_start(start, error)
                self._failed = True
                break

    def _start(self, flow: Flow, nominal: datetime, *, shared: bool) -> Start:
        return Start(
            flow=flow,
            generation=self._generation,
            trigger_data=None,
            id=_id(flow, nominal) if shared else None,
            nominal=iso(nominal),
        )

    async def _begin(self, start: Start, *, shared: bool) -> None:
        """Accept it, or say why not. Raises StoreError where that may be otherwise soon."""
        if shared or not self._engine.store.shared:
            await self._accept(start)
        else:  # who shares the store would run what is accepted here
            task = asyncio.create_task(self._run_here(start))
            self._here.add(task)
            task.add_done_callback(self._here.discard)

    async def _accept(self, start: Start) -> None:
        try:
            # If it has its execution already, all is well: another process was faster, or one
            # that died before it could note how far it had got.
            await self._engine.accept(start)
        except StoreError:
            raise
        except RunnerError as error:
            self._refuse_start(start, error)

    async def _run_here(self, start: Start) -> None:
        try:
            await self._engine.result(await self._engine.start(start))
        except RunnerError as error:
            self._refuse_start(start, error)

    def _refuse_start(self, start: Start, error: RunnerError) -> None:
        told = {"name": type(error).__name__, "message": error.message, "code": error.code}
        self._refuse(start.flow, told, {"nominal": start.nominal})

    def _refuse(self, flow: Flow, error: JSONObject, data: JSONObject) -> None:
        self._recorder.emit(
            "trigger.refused", flow=flow.key, trigger=Schedule.kind, error=error, data=data
        )

    # --- over restarts

    async def recall(self) -> None:
        """Learn how far an earlier process has got."""
        try:
            self._saved = dict(await self._ticks.ticks())
        except StoreError as error:
            self._complain(f"how far schedules had got cannot be read: {error}")
        self._recalled = dict(self._saved)

    async def _save(self) -> None:
        """Keep how far those have got that make up for what they miss."""
        if not self._unsaved:
            return
        self._unsaved = False
        kept = {id_: place.tick for id_, place in self._places.items() if place.is_kept}
        changed = {id_: tick for id_, tick in kept.items() if self._saved.get(id_) != tick}
        if not changed:
            return
        try:
            await self._ticks.keep_ticks(changed)
        except StoreError as error:
            self._complain(f"how far schedules have got cannot be kept: {error}")
        else:
            self._saved, self._complained = kept, False

    def _complain(self, sentence: str) -> None:
        """Say it; a lasting trouble is said once."""
        if not self._complained:
            self._recorder.emit("daemon.warning", message=sentence)
        self._complained = True


class _Place:
    """A schedule that is attached, and how far it has got."""

    __slots__ = ("delay", "due", "flow", "late", "nominal", "schedule", "timetable", "until")

    def __init__(self, flow: Flow, schedule: Schedule, until: datetime) -> None:
        self.timetable = str(schedule.timetable)
        self.until = until
        #: The fire that was put back last.
        self.late: datetime | None = None
        self.become(flow, schedule)

    def become(self, flow: Flow, schedule: Schedule) -> None:
        """Go on as another version of the flow, with the same timetable."""
        self.flow = flow
        self.schedule = schedule
        self.advance(self.until)

    def advance(self, until: datetime) -> None:
        """What fires until *until* is dealt with; what comes next?"""
        self.until = until
        self.nominal = self.schedule.timetable.next(until)
        self.delay = _delay(self.flow, self.schedule, self.nominal)
        self.due = self.nominal + self.delay

    def put_back(self, nominal: datetime, due: datetime) -> bool:
        """Have the fire of *nominal* come again at *due*; whether that is the first time."""
        self.advance(nominal - _SECOND)
        self.due = due
        again, self.late = self.late == nominal, nominal
        return not again

    def wanted(self, until: datetime) -> list[datetime]:
        """Those of the fires until *until* that are worth starting, oldest first."""
        schedule = self.schedule
        within = timedelta(seconds=0 if schedule.missed == "skip" else schedule.within)
        since = max(self.until, until - max(_LATE, within))
        most = _MAX_MISSED if schedule.missed == "all" else 1
        fires: list[datetime] = []
        while len(fires) < most and (fire := schedule.timetable.last(since, until)) is not None:
            fires.append(fire)
            until = fire - _SECOND
        return fires[::-1]

    @property
    def is_kept(self) -> bool:
        """Whether a restart must not lose how far it has got."""
        return self.schedule.missed != "skip"

    @property
    def tick(self) -> Tick:
        """How far it has got."""
        return Tick(self.timetable, self.until.timestamp())


def _schedules(generation: Generation) -> Iterator[tuple[Flow, Schedule]]:
    for entry in generation.entries.values():
        flow = entry.running
        if flow is not None and isinstance(flow.trigger, Schedule):
            yield flow, flow.trigger


def _id(flow: Flow, nominal: datetime) -> str:
    """The execution that *flow* has for the fire of *nominal*, wherever it runs."""
    return derived_id(flow.id, iso(nominal))


def _delay(flow: Flow, schedule: Schedule, nominal: datetime) -> timedelta:
    """How long a start is put off: as good as random, and the same in all replicas."""
    if not schedule.jitter:
        return timedelta()
    # Until the next fire at most: one that was overtaken would count as missed.
    most = min(timedelta(seconds=schedule.jitter), schedule.timetable.next(nominal) - nominal)
    return most * (int(_id(flow, nominal)[:8], 16) / 2**32)
