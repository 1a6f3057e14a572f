"""Schedules against a clock that the test sets: nothing here waits for time to pass."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from runner.errors import StoreError
from runner.ids import derived_id
from runner.operators import iso
from runner.store.base import Accepted, FlowText, Tick, Ticks
from runner.store.memory import MemoryStore
from runner.triggers.schedule import Schedules
from runner.types import JSONObject
from tests.world import Gate, World

ID = "5a1a2c6e-9a53-4c58-8d5c-0d6f6a1c2b3d"


def flow(cron: str = "0 * * * *", more: str = "", **options: str) -> str:
    """The text of a flow with a schedule."""
    said = {"cron": json.dumps(cron), **options}
    inside = ", ".join(f"{name}: {value}" for name, value in said.items())
    return f"name: Ticks\nid: {ID}\ntrigger: schedule\noptions: {{{inside}}}\n{more}"


class Clock:
    """Shows what it is told to."""

    def __init__(self, text: str) -> None:
        self.now = datetime.fromisoformat(text).replace(tzinfo=UTC)

    def __call__(self) -> float:
        """The seconds since 1970."""
        return self.now.timestamp()


class Ticking:
    """A world, a clock that begins at noon of a Sunday, and schedules in between."""

    def __init__(self, world: World, ticks: Ticks | None = None) -> None:
        self.world = world
        self.clock = Clock("2026-03-01T12:00:00")
        self.schedules = Schedules(
            world.registry, world.engine, world.recorder, ticks or MemoryStore(), self.clock
        )
        self.detach = world.registry.subscribe(self.schedules.follow)

    async def to(self, text: str) -> float:
        """Set the clock to a time of that day, or to a day and a time, and let it be noticed."""
        day = "" if "T" in text else "2026-03-01T"
        self.clock.now = datetime.fromisoformat(day + text).replace(tzinfo=UTC)
        return await self.schedules.wake()

    async def fired(self) -> list[str]:
        """The nominal times of all that was started so far, in order."""
        await self.world.engine.settle()
        started = self.world.said("execution.started")
        return [each["data"]["nominal"].removeprefix("2026-03-01T")[:8] for each in started]

    @property
    def refused(self) -> list[JSONObject]:
        """What was not started, and why."""
        return self.world.said("trigger.refused")


@pytest.fixture
def ticking(world: World) -> Ticking:
    """Schedules in a world, without a state folder."""
    return Ticking(world)


# --- on time ------------------------------------------------------------------------------------


async def test_a_flow_is_started_when_its_time_comes(ticking: Ticking) -> None:
    """Once for each time, never before, and never for a time that had passed already."""
    await ticking.world.load(a=flow("*/10 * * * *"))

    await ticking.to("12:09:59.999")
    assert await ticking.fired() == []
    await ticking.to("12:10:00")
    await ticking.to("12:10:30")
    assert await ticking.fired() == ["12:10:00"]
    await ticking.to("12:20:05")

    assert await ticking.fired() == ["12:10:00", "12:20:00"]
    assert ticking.refused == []


async def test_an_execution_is_that_of_its_fire(ticking: Ticking) -> None:
    """Its id follows from flow and time; `$trigger` and `$accountability` are null."""
    operations = "operations: [{key: a, type: transform, options: {json: ['{{ $trigger }}']}}]"
    await ticking.world.load(a=flow(more=operations))

    await ticking.to("13:00")
    await ticking.fired()

    (started,) = ticking.world.said("execution.started")
    assert started["execution_id"] == derived_id(ID, "2026-03-01T13:00:00.000Z")
    assert started["data"] == {
        "trigger": None,
        "accountability": None,
        "nominal": "2026-03-01T13:00:00.000Z",
    }
    assert started["trigger"] == "schedule"
    (step,) = ticking.world.said("operation.resolved")
    assert step["data"]["value"] == [None]


async def test_where_every_pod_fires_each_has_its_own_execution(ticking: Ticking) -> None:
    """An id that follows from the time would make them one."""
    await ticking.world.load(a=flow(scope="pod"))

    await ticking.to("13:00")
    await ticking.fired()

    (started,) = ticking.world.said("execution.started")
    assert started["execution_id"] != derived_id(ID, "2026-03-01T13:00:00.000Z")


async def test_a_list_fires_once_where_two_agree(ticking: Ticking) -> None:
    """Several expressions are one schedule."""
    text = flow().replace('"0 * * * *"', '["0 * * * *", "*/30 * * * *"]')
    await ticking.world.load(a=text)

    for time in ("12:30", "13:00", "13:30"):
        await ticking.to(time)

    assert await ticking.fired() == ["12:30:00", "13:00:00", "13:30:00"]


async def test_it_is_the_clock_of_the_zone(ticking: Ticking) -> None:
    """Half past two in Kolkata is nine in the morning."""
    await ticking.world.load(a=flow("30 18 * * *", timezone="Asia/Kolkata"))

    assert ticking.schedules.next_fire(ID) == datetime(2026, 3, 1, 13, 0, tzinfo=UTC)


async def test_the_timer_waits_for_the_first_and_never_for_more_than_a_minute(
    ticking: Ticking,
) -> None:
    """A clock that is set, or a machine that slept, is noticed that late at most."""
    assert await ticking.schedules.wake() == 60
    await ticking.world.load(a=flow("0 18 * * *"), b=flow("5 12 * * *").replace(ID[:8], "b" * 8))

    assert await ticking.to("12:01") == 60
    assert await ticking.to("12:04:15") == 45
    assert await ticking.to("12:05:00") == 60


async def test_jitter_puts_off_by_another_time_each(ticking: Ticking) -> None:
    """Within its limit, the same for the same fire, and the nominal time stays."""
    await ticking.world.load(a=flow("0 * * * *", jitter="10m"))
    waits = []
    for hour in range(13, 23):
        for second in range(600):
            moment = f"{hour}:{second // 60:02}:{second % 60:02}"
            count = len(ticking.world.said("execution.started"))
            await ticking.to(moment)
            if len(ticking.world.said("execution.started")) > count or (
                not ticking.world.engine.idle
            ):
                waits.append(second)
                break

    assert await ticking.fired() == [f"{hour}:00:00" for hour in range(13, 23)]
    assert len(set(waits)) > 5
    assert ticking.refused == []


async def test_jitter_lets_no_fire_overtake_another(ticking: Ticking) -> None:
    """However long it may be, every fire comes, in its turn and before the next one."""
    await ticking.world.load(a=flow("*/10 * * * *", jitter="1h"))
    minutes = [f"{hour}:{minute:02}" for hour in range(12, 16) for minute in range(60)]

    for minute in minutes:
        await ticking.to(minute)

    assert await ticking.fired() == [f"{each}:00" for each in minutes[10::10]]
    assert ticking.refused == []


# --- generations --------------------------------------------------------------------------------


async def test_a_flow_that_did_not_change_keeps_its_place(ticking: Ticking) -> None:
    """However many generations come and go, even at the very second it is due."""
    await ticking.world.load(a=flow("*/10 * * * *"))
    await ticking.to("12:10:00")
    await ticking.world.load(a=flow("*/10 * * * *"), b="name: B\ntrigger: operation\n")
    await ticking.to("12:10:00")
    await ticking.world.load(a=flow("*/10 * * * *", "color: '#112233'\n"))
    await ticking.to("12:10:00.5")
    ticking.clock.now += timedelta(minutes=10)
    await ticking.world.load(a=flow("*/10 * * * *", "icon: bolt\n"))
    await ticking.to("12:20:01")

    assert await ticking.fired() == ["12:10:00", "12:20:00"]
    assert ticking.refused == []


async def test_what_runs_is_the_flow_of_the_generation_in_place(ticking: Ticking) -> None:
    """A change of anything but the timetable takes effect at the next fire."""
    await ticking.world.load(a=flow())
    await ticking.world.load(a=flow(more="color: '#112233'\n"))

    await ticking.to("13:00")
    await ticking.fired()

    (started,) = ticking.world.said("execution.started")
    assert started["generation"] == ticking.world.registry.current.number == 2


async def test_another_timetable_begins_anew(ticking: Ticking) -> None:
    """What the new one would have fired before it was there is not missed."""
    await ticking.world.load(a=flow("0 18 * * *", missed="all"))
    ticking.clock.now += timedelta(minutes=5, seconds=30)
    await ticking.world.load(a=flow("* * * * *", missed="all"))

    await ticking.to("12:06:00")

    assert await ticking.fired() == ["12:06:00"]


@pytest.mark.parametrize("becomes", [None, "name: A\ntrigger: operation\n", "inactive"])
async def test_a_flow_that_goes_is_detached(ticking: Ticking, becomes: str | None) -> None:
    """Removed, switched off, or started by something else."""
    await ticking.world.load(a=flow())
    text = flow(more="status: inactive\n") if becomes == "inactive" else becomes
    await ticking.world.load(**({} if text is None else {"a": text}))

    await ticking.to("13:00")

    assert await ticking.fired() == []
    assert ticking.schedules.next_fire(ID) is None


async def test_a_broken_file_goes_on_firing(ticking: Ticking) -> None:
    """By its last good version."""
    await ticking.world.load(a=flow())
    await ticking.world.load(a=flow("61 * * * *"))

    await ticking.to("13:00")

    assert await ticking.fired() == ["13:00:00"]


async def test_a_generation_that_comes_while_it_fires_harms_nothing(ticking: Ticking) -> None:
    """Others get their turn between two flows, and may take some away."""
    await ticking.world.load(a=flow(), b=flow().replace(ID[:8], "b" * 8))
    ticking.clock.now += timedelta(hours=1)
    waking = asyncio.create_task(ticking.schedules.wake())
    await asyncio.sleep(0)

    await ticking.world.load()
    await waking

    assert await ticking.fired() == ["13:00:00"]


# --- what is attached is said -------------------------------------------------------------------


async def test_what_is_attached_is_said_once(ticking: Ticking) -> None:
    """With its timetable and the next fire; not again for a generation that changes nothing."""
    await ticking.world.load(a=flow(timezone="Europe/Berlin"))
    await ticking.world.load(a=flow(timezone="Europe/Berlin", missed="once"))

    (said,) = ticking.world.said("trigger.attached")
    assert (said["flow"], said["trigger"]) == ("a", "schedule")
    assert said["data"] == {
        "schedule": "0 * * * * (Europe/Berlin)",
        "next_fire": "2026-03-01T13:00:00.000Z",
    }


async def test_of_many_that_are_attached_only_some_are_named(ticking: Ticking) -> None:
    """Ten thousand schedules are no flood: the last record counts the others."""
    texts = {f"f{n:02}": flow(f"{n} * * * *").replace(ID, f"{n:08}{ID[8:]}") for n in range(25)}

    await ticking.world.load(**texts)

    *named, rest = ticking.world.said("trigger.attached")
    assert [each["flow"] for each in named] == [f"f{n:02}" for n in range(20)]
    assert "flow" not in rest
    assert rest["data"] == {"count": 5, "next_fire": "2026-03-01T12:20:00.000Z"}


# --- late and missed ----------------------------------------------------------------------------


async def test_what_is_less_than_a_minute_late_is_not_missed(ticking: Ticking) -> None:
    """A timer that a sleeping machine held up may be that late."""
    await ticking.world.load(a=flow())

    await ticking.to("13:00:59")

    assert await ticking.fired() == ["13:00:00"]
    assert ticking.refused == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, []),
        ({"missed": "skip"}, []),
        ({"missed": "once"}, ["15:50:00"]),
        ({"missed": "once", "within": "1m"}, []),
        ({"missed": "all", "within": "10m"}, ["15:50:00"]),
        (
            {"missed": "all"},
            ["15:00:00", "15:10:00", "15:20:00", "15:30:00", "15:40:00", "15:50:00"],
        ),
    ],
)
async def test_a_machine_that_slept_makes_up_for_what_its_flow_says(
    ticking: Ticking, options: dict[str, str], expected: list[str]
) -> None:
    """Nothing, the last one, or each, oldest first; and what is left out is said once."""
    await ticking.world.load(a=flow("*/10 * * * *", **options))

    await ticking.to("15:55")

    assert await ticking.fired() == expected
    (said,) = ticking.refused
    assert said["error"]["code"] == "MISSED"
    assert said["data"] == {
        "since": "2026-03-01T12:10:00.000Z",
        "until": "2026-03-01T15:55:00.000Z",
        "started": len(expected),
    }


async def test_after_a_long_sleep_it_goes_on_as_before(ticking: Ticking) -> None:
    """What is due at the time of waking fires, and the next one at its time."""
    await ticking.world.load(a=flow("*/10 * * * *"))

    await ticking.to("15:50:10")
    await ticking.to("16:00")

    assert await ticking.fired() == ["15:50:00", "16:00:00"]


@pytest.mark.parametrize("missed", ["skip", "once", "all"])
async def test_a_year_of_seconds_is_no_flood(ticking: Ticking, missed: str) -> None:
    """At most a hundred are made up for, and finding them takes no time worth naming."""
    within = "366d" if missed != "skip" else "1h"
    await ticking.world.load(a=flow("* * * * * *", missed=missed, within=within))

    await ticking.to("2027-03-01T12:00:00")

    await ticking.fired()
    nominal = [each["data"]["nominal"] for each in ticking.world.said("execution.started")]
    assert len(nominal) == (100 if missed == "all" else 1)
    assert nominal[-1] == "2027-03-01T12:00:00.000Z"
    assert nominal == sorted(set(nominal))
    assert len(ticking.refused) == 1


async def test_slow_executions_hold_nothing_up() -> None:
    """Each fire has its execution, whatever became of the one before."""
    gate = Gate()
    ticking = Ticking(World(gate.operations))
    operations = "operations: [{type: sleep, options: {milliseconds: 1}}]\n"
    await ticking.world.load(a=flow("* * * * *", operations))

    for minute in range(1, 6):
        await ticking.to(f"12:0{minute}")
    await gate.holds(5)

    gate.opened.set()
    assert await ticking.fired() == [f"12:0{minute}:00" for minute in range(1, 6)]


# --- a clock that is set ------------------------------------------------------------------------


async def test_a_clock_that_is_set_back_fires_nothing_twice(ticking: Ticking) -> None:
    """What it shows once more is dealt with."""
    await ticking.world.load(a=flow("*/10 * * * *"))

    for time in ("12:10", "12:20", "12:00", "12:10", "12:19:59", "12:20", "12:30"):
        await ticking.to(time)

    assert await ticking.fired() == ["12:10:00", "12:20:00", "12:30:00"]
    assert ticking.refused == []


async def test_a_clock_that_was_wrong_by_days_is_believed_again(ticking: Ticking) -> None:
    """Nobody waits until the year comes that it showed by mistake."""
    await ticking.world.load(a=flow("*/10 * * * *"))
    await ticking.to("2031-01-01T00:00:00")
    await ticking.to("12:05")

    await ticking.to("12:10")

    assert (await ticking.fired())[-1] == "12:10:00"


async def test_a_fire_that_has_its_execution_gets_no_other(ticking: Ticking) -> None:
    """A clock that was put right shows some times again: the same id is the same execution."""
    await ticking.world.load(a=flow("0 * * * *"))
    for time in ("13:00", "14:00", "15:00", "16:00", "12:30", "13:00"):
        await ticking.to(time)

    assert await ticking.fired() == ["13:00:00", "14:00:00", "15:00:00", "16:00:00"]
    assert ticking.refused == []  # nothing is wrong


# --- refused ------------------------------------------------------------------------------------


async def test_what_the_engine_refuses_is_recorded_and_the_next_one_comes() -> None:
    """A full queue, a flow that runs once at a time, a runner that stops: never an error."""
    gate = Gate()
    ticking = Ticking(World(gate.operations))
    operations = "operations: [{type: sleep, options: {milliseconds: 1}}]\n"
    await ticking.world.load(a=flow("* * * * *", f"concurrency: {{mode: single}}\n{operations}"))

    await ticking.to("12:01")
    await ticking.to("12:02")
    gate.opened.set()
    assert await ticking.fired() == ["12:01:00"]
    await ticking.to("12:03")
    assert await ticking.fired() == ["12:01:00", "12:03:00"]
    await ticking.world.engine.drain(0)
    await ticking.to("12:04")

    conflict, draining = ticking.refused
    assert conflict["error"]["code"] == "CONFLICT"
    assert (conflict["flow"], conflict["trigger"]) == ("a", "schedule")
    assert conflict["data"] == {"nominal": "2026-03-01T12:02:00.000Z"}
    assert draining["error"]["code"] == "SERVICE_UNAVAILABLE"


# --- over restarts ------------------------------------------------------------------------------


@pytest.fixture
def kept() -> MemoryStore:
    """What outlives a process."""
    return MemoryStore()


async def restarted(kept: MemoryStore, text: str) -> Ticking:
    """Another process with the same ticks and this flow, a little later."""
    ticking = Ticking(World(), kept)
    ticking.clock.now += timedelta(hours=2, minutes=5)
    await ticking.schedules.recall()
    await ticking.world.load(a=text)
    await ticking.schedules.wake()
    return ticking


@pytest.mark.parametrize(
    ("missed", "expected"),
    [("skip", []), ("once", ["14:00:00"]), ("all", ["13:10:00", "13:20:00"])],
)
async def test_a_restart_makes_up_for_what_was_missed(
    kept: MemoryStore, missed: str, expected: list[str]
) -> None:
    """What is kept says how far it had got, from the moment the schedule was first seen."""
    text = flow("*/10 * * * *", missed=missed, **({} if missed == "skip" else {"within": "1h"}))
    before = Ticking(World(), kept)
    await before.world.load(a=text)
    await before.schedules.wake()

    after = await restarted(kept, text)

    fired = await after.fired()
    assert fired[: len(expected)] == expected
    assert len(fired) == {"skip": 0, "once": 1, "all": 6}[missed]


async def test_a_fire_comes_once_over_a_restart(kept: MemoryStore) -> None:
    """What was dealt with before is not dealt with again."""
    text = flow(missed="all", within="1d")
    before = Ticking(World(), kept)
    await before.world.load(a=text)
    await before.to("13:00:00")

    after = await restarted(kept, text)

    assert await before.fired() == ["13:00:00"]
    assert await after.fired() == ["14:00:00"]


async def test_how_far_it_had_got_is_kept_until_there_are_flows(kept: MemoryStore) -> None:
    """A process that ends before its flows are there takes nothing from the next one."""
    text = flow(missed="once")
    before = Ticking(World(), kept)
    await before.world.load(a=text)
    await before.schedules.wake()

    between = Ticking(World(), kept)
    await between.schedules.recall()
    between.schedules.follow(between.world.registry.current, between.world.registry.current)
    await between.schedules.wake()

    after = await restarted(kept, text)
    assert await after.fired() == ["14:00:00"]


async def test_another_timetable_after_a_restart_begins_anew(kept: MemoryStore) -> None:
    """It was changed while nobody was there: it has missed nothing."""
    before = Ticking(World(), kept)
    await before.world.load(a=flow(missed="all"))
    await before.schedules.wake()

    after = await restarted(kept, flow("*/10 * * * *", missed="all"))

    assert await after.fired() == []


async def test_a_clock_that_was_wrong_before_a_restart_is_no_reason_to_wait(
    kept: MemoryStore,
) -> None:
    """A tick of the far future is not believed."""
    future = datetime(2031, 1, 1, tzinfo=UTC).timestamp()
    await kept.keep_ticks({ID: Tick("0 * * * * (UTC)", future)})

    after = await restarted(kept, flow(missed="all"))

    assert after.schedules.next_fire(ID) == datetime(2026, 3, 1, 15, 0, tzinfo=UTC)


class Ledger:
    """Notes what is to be kept, and cannot keep it as long as it is *full*."""

    def __init__(self) -> None:
        self.full = False
        self.kept: list[set[str]] = []

    async def ticks(self) -> Mapping[str, Tick]:
        """Cannot be read either."""
        if self.full:
            raise StoreError("the disk is full")
        return {}

    async def keep_ticks(self, ticks: Mapping[str, Tick]) -> None:
        """Note whose ticks they are."""
        if self.full:
            raise StoreError("the disk is full")
        self.kept.append(set(ticks))


async def test_only_what_makes_up_for_something_is_kept() -> None:
    """Others cost nothing at all."""
    ticking = Ticking(World(), ledger := Ledger())
    await ticking.world.load(a=flow("* * * * *"))
    await ticking.to("12:01")
    assert ledger.kept == []

    await ticking.world.load(a=flow("* * * * *", missed="once"))
    await ticking.to("12:02")

    assert ledger.kept == [{ID}]


async def test_only_what_got_further_is_kept() -> None:
    """Of ten thousand schedules one fires, and one is written."""
    ticking = Ticking(World(), ledger := Ledger())
    other = ID.replace("5a1a", "0000")
    seldom = flow("0 18 * * *", missed="once").replace(ID, other)
    await ticking.world.load(a=flow("* * * * *", missed="once"), b=seldom)

    await ticking.to("12:01")
    await ticking.to("12:01:30")
    await ticking.to("12:02")

    assert ledger.kept == [{ID, other}, {ID}]


async def test_a_store_that_cannot_keep_ticks_is_said_once() -> None:
    """Schedules fire all the same, and what was not kept is kept when that can be."""
    ticking = Ticking(World(), ledger := Ledger())
    ledger.full = True
    await ticking.schedules.recall()
    await ticking.world.load(a=flow("* * * * *", missed="once"))

    for minute in (1, 2, 3):
        await ticking.to(f"12:0{minute}")

    assert await ticking.fired() == ["12:01:00", "12:02:00", "12:03:00"]
    (said,) = ticking.world.said("daemon.warning")
    assert "cannot be read: the disk is full" in said["message"]
    ledger.full = False
    await ticking.to("12:04")
    assert ledger.kept == [{ID}]
    ledger.full = True
    await ticking.to("12:05")
    assert "cannot be kept" in ticking.world.said("daemon.warning")[1]["message"]


# --- the store ----------------------------------------------------------------------------------


class Away(MemoryStore):
    """A store that is not to be had at times."""

    away = False

    async def accept(self, execution: Accepted, texts: Sequence[FlowText]) -> bool:
        """Accept it if it is there."""
        if self.away:
            raise StoreError("PostgreSQL cannot be used")
        return await super().accept(execution, texts)


@pytest.mark.parametrize(
    ("options", "until", "expected"),
    [
        ({"missed": "skip"}, "13:00:40", ["13:00:00"]),
        ({"missed": "skip"}, "13:30:00", []),
        ({"missed": "once", "within": "1h"}, "13:30:00", ["13:00:00"]),
    ],
)
async def test_a_fire_that_cannot_be_kept_comes_again(
    options: dict[str, str], until: str, expected: list[str]
) -> None:
    """Late if the store is back within the minute, else as `missed` says; said once meanwhile."""
    store = Away()
    ticking = Ticking(World(store=store))
    await ticking.world.load(a=flow(**options))
    store.away = True
    await ticking.to("13:00:00")
    await ticking.to("13:00:01")
    await ticking.to("13:00:02")
    (refused,) = ticking.refused
    assert refused["error"]["message"] == "PostgreSQL cannot be used"
    assert await ticking.schedules.wake() == 1

    store.away = False
    await ticking.to(until)
    await ticking.to("14:00:00")

    assert await ticking.fired() == [*expected, "14:00:00"]
    late = [each["error"]["code"] for each in ticking.refused[1:]]
    assert late == ([] if expected else ["MISSED"])


class Silent(MemoryStore):
    """A store that gives no answer."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def accept(self, execution: Accepted, texts: Sequence[FlowText]) -> bool:
        """Say which execution that is, and wait for ever."""
        self.asked.set_result(execution.id)
        return await asyncio.Event().wait()


async def test_a_fire_comes_again_where_a_stop_left_no_time_for_the_answer(
    kept: MemoryStore,
) -> None:
    """Nobody knows whether it was kept, and it is the same execution: it is not done twice."""
    store, text = Silent(), flow(missed="all", within="1d")
    before = Ticking(World(store=store), kept)
    await before.world.load(a=text)
    before.clock.now += timedelta(hours=2)
    stopped = asyncio.create_task(before.schedules.run())
    id_ = await store.asked
    stopped.cancel()
    await asyncio.wait({stopped})

    after = await restarted(kept, text)

    assert await after.fired() == ["13:00:00", "14:00:00"]
    assert after.world.said("execution.started")[0]["execution_id"] == id_


async def test_while_the_store_is_away_nothing_waits_for_it_twice() -> None:
    """A thousand schedules that are due do not try it one after another, and all come."""
    store = Away()
    ticking = Ticking(World(store=store))
    text = flow()
    await ticking.world.load(
        **{f"f{n}": text.replace(ID, derived_id(ID, str(n))) for n in range(20)}
    )
    store.away = True
    await ticking.to("13:00:00")
    assert len(ticking.refused) == 1

    store.away = False
    await ticking.to("13:00:01")

    assert await ticking.fired() == ["13:00:00"] * 20


class SharedStore(MemoryStore):
    """A store that others run executions of as well."""

    shared = True  # type: ignore[misc]


async def test_what_another_replica_has_started_is_no_news() -> None:
    """Of two that fire at the same moment one is second, every time."""
    store = SharedStore()
    one, other = Ticking(World(store=store)), Ticking(World(store=store))
    for each in (one, other):
        await each.world.load(a=flow())

    for hour in (13, 14):
        await one.to(f"{hour}:00")
        await other.to(f"{hour}:00")

    seen = await store.executions()
    assert {each.id for each in seen} == {
        derived_id(ID, f"2026-03-01T{hour}:00:00.000Z") for hour in (13, 14)
    }
    assert one.refused == other.refused == []


async def test_where_every_pod_fires_it_runs_there() -> None:
    """A store that others share never gets to see it."""
    gate = Gate()
    store = SharedStore()
    ticking = Ticking(World(gate.operations, store=store))
    await ticking.world.load(
        a=flow(scope="pod", more="operations: [{type: sleep, options: {milliseconds: 1}}]\n")
    )

    await ticking.to("13:00")
    await gate.holds(1)
    draining = asyncio.create_task(ticking.world.engine.drain(60))
    await asyncio.sleep(0)
    assert not draining.done()
    gate.opened.set()
    await draining

    assert await ticking.fired() == ["13:00:00"]
    assert ticking.world.said("execution.finished")[0]["status"] == "resolved"
    assert await store.executions() == []


# --- the loop -----------------------------------------------------------------------------------


async def test_it_wakes_up_by_itself(world: World) -> None:
    """The loop attaches what is in place, and a new generation wakes it."""
    looks = iter(range(10**6))
    start = datetime(2026, 3, 1, 12, 59, 59, 990_000, tzinfo=UTC)

    def clock() -> float:
        return start.timestamp() + next(looks) / 1000

    schedules = Schedules(world.registry, world.engine, world.recorder, MemoryStore(), clock)
    running = asyncio.create_task(schedules.run())
    while not world.registry._listeners:  # and from then on it waits
        await asyncio.sleep(0)

    await world.load(a=flow())
    while not world.said("execution.finished"):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait({running})

    (started,) = world.said("execution.started")
    assert started["data"]["nominal"] == iso(datetime(2026, 3, 1, 13, 0, tzinfo=UTC))
    assert running.cancelled()


async def test_what_was_started_last_is_kept(world: World) -> None:
    """A daemon that stops in the middle of many fires starts none of them again."""
    clock = Clock("2026-03-01T12:00:00")
    ticks = MemoryStore()
    schedules = Schedules(world.registry, world.engine, world.recorder, ticks, clock)
    running = asyncio.create_task(schedules.run())
    while not world.registry._listeners:
        await asyncio.sleep(0)
    text = flow(missed="once")
    await world.load(**{f"f{n}": text.replace(ID, derived_id(ID, str(n))) for n in range(50)})
    clock.now += timedelta(hours=1)
    schedules._changed.set()

    while not world.said("execution.started"):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait({running})

    kept = await ticks.ticks()
    started = {each["flow"].removeprefix("f") for each in world.said("execution.started")}
    assert 0 < len(started) < 50
    assert all(kept[derived_id(ID, n)].until == clock() for n in started)


async def test_when_it_ends_it_follows_no_more(world: World) -> None:
    """A daemon that stops attaches nothing new."""
    schedules = Schedules(world.registry, world.engine, world.recorder, MemoryStore())
    running = asyncio.create_task(schedules.run())
    while not world.registry._listeners:
        await asyncio.sleep(0)

    running.cancel()
    await asyncio.wait({running})
    await world.load(a=flow())

    assert schedules.next_fire(ID) is None
