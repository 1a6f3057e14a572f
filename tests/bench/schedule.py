"""Attaching 10,000 schedules beside croniter alone, and what a wake costs."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from croniter import croniter

from runner import cron
from runner.datachain import Secrets
from runner.engine import Engine
from runner.execution import Shared
from runner.model import Entry, Flow, Generation, Schedule, State
from runner.records import Recorder
from runner.redact import Redactor
from runner.registry import Registry
from runner.store.memory import MemoryStore
from runner.triggers.schedule import Schedules
from tests.bench import common

_NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
_ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "UTC")


def main() -> None:
    """No two schedules are the same."""
    quick = common.arguments(__doc__).quick
    count, rounds = (500, 1) if quick else (10_000, 3)
    texts = [_expression(number) for number in range(count)]
    generation = _generation(texts)
    alone, attach, idle, fire = [], [], [], []
    for _ in range(rounds):
        alone.append(_seconds(lambda: _croniter(texts)))
        schedules = _Bench()
        attach.append(_seconds(partial(schedules.follow, generation)))
        idle.append(schedules.wakes(timedelta(), 1000) / 1000)
        seconds = schedules.wakes(timedelta(seconds=1), 900)
        fire.append(seconds / schedules.fired)
    base = common.median(alone)
    rows = [
        [f"croniter alone: build and ask {count}", f"{base:.3f} s", "1"],
        [
            f"attach {count}",
            f"{common.median(attach):.3f} s",
            f"{common.median(attach) / base:.3f}",
        ],
        ["a wake at which nothing is due", f"{common.median(idle) * 1e6:.1f} µs", ""],
        ["a fire, with the start of its execution", f"{common.median(fire) * 1e6:.0f} µs", ""],
    ]
    common.table(["what", "time", "÷ croniter"], rows)
    pairs = zip(attach, alone, strict=True)
    common.ratios(
        {
            "attach": common.median([a / b for a, b in pairs]),
            f"attach {count} (s)": common.median(attach),
            "fire (µs)": common.median(fire) * 1e6,
        }
    )


def _expression(number: int) -> str:
    """Fixed times of one day, every so many minutes, certain days: a mixture, each another one."""
    shapes = ("{m} {h} * * *", "{m}/20 * * * *", "{m} {h} * * MON-FRI", "{m} {h} 1 * *")
    shape = shapes[number % len(shapes)]
    minute, hour = number // 4 % 60, number // 240 % 24
    return f"{number % 59} " + shape.format(m=minute, h=hour)


def _generation(texts: list[str]) -> Generation:
    flows = [_flow(number, text) for number, text in enumerate(texts)]
    entries = {
        flow.key: Entry(
            id=flow.id, key=flow.key, name=flow.name, path=flow.path, state=State.ACTIVE, flow=flow
        )
        for flow in flows
    }
    keys = {entry.id: entry.key for entry in entries.values()}
    return Generation(number=1, digest="", revision="", loaded=_NOON, entries=entries, keys=keys)


def _flow(number: int, text: str) -> Flow:
    zone = ZoneInfo(_ZONES[number % len(_ZONES)])
    table = cron.Timetable((cron.parse(text),), zone)
    return Flow(
        id=f"00000000-0000-4000-8000-{number:012}",
        key=f"flow-{number}",
        name="Flow",
        path=f"flow-{number}.yaml",
        digest="",
        trigger=Schedule(timetable=table, answer=lambda _: None),
        operations=MappingProxyType({}),
        tracking="none",
    )


def _croniter(texts: list[str]) -> None:
    """What one would write first."""
    for number, text in enumerate(texts):
        zone = ZoneInfo(_ZONES[number % len(_ZONES)])
        start = _NOON.astimezone(zone)
        croniter(text, start, second_at_beginning=True).get_next(datetime)


def _seconds(work: Any) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


class _Bench:
    """Schedules with a clock that can be set."""

    def __init__(self) -> None:
        recorder = Recorder(Redactor())
        shared = Shared(recorder=recorder, env={}, secrets=Secrets(str))
        self._registry = Registry()
        store = MemoryStore()
        self._engine = Engine(shared, store, lambda: self._attached, max_queued=100_000)
        self._now = _NOON
        self._schedules = Schedules(self._registry, self._engine, recorder, store, self._clock)
        self._attached: Generation = self._registry.current

    def _clock(self) -> float:
        return self._now.timestamp()

    def follow(self, generation: Generation) -> None:
        """Attach all schedules of *generation*."""
        cron._first_day.cache_clear()
        self._attached = generation
        self._schedules.follow(self._registry.current, generation)

    @property
    def fired(self) -> int:
        """How many executions have ended."""
        return sum(self._engine.last(e.id) is not None for e in self._attached.entries.values())

    def wakes(self, later: timedelta, times: int) -> float:
        """Seconds that *times* wakes take, each *later* than the one before."""
        return _seconds(lambda: asyncio.run(self._wake(later, times)))

    async def _wake(self, later: timedelta, times: int) -> None:
        serving = asyncio.create_task(self._engine.serve())
        for _ in range(times):
            self._now += later
            await self._schedules.wake()
        while not self._engine.idle:
            await asyncio.sleep(0)
        serving.cancel()


if __name__ == "__main__":
    main()
