"""What every store promises, whatever it is made of. Another one is another parameter."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from runner.errors import Lost, Unwritable
from runner.ids import random_id
from runner.model import Rejected, Resolved, Result, Status
from runner.store.base import (
    MAX_TAKEOVERS,
    Accepted,
    Journal,
    Retention,
    Seen,
    Step,
    Store,
    Story,
    Tick,
    WakeAt,
)
from runner.types import JSONObject
from tests.unit.store.places import (
    DAY,
    DONE,
    TEXT,
    InFolder,
    InMemory,
    Place,
    Walker,
    at_once,
    eventually,
    execution,
    serving,
    status,
    step,
    text,
)

PLACES: dict[str, Callable[[Path], Place]] = {"memory": InMemory, "sqlite": InFolder}
#: Those whose stores survive the process.
DURABLE = ("sqlite",)


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where the store is."""
    return PLACES[request.param](tmp_path)


@pytest.fixture(params=DURABLE)
def lasting(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where a store is that survives."""
    return PLACES[request.param](tmp_path)


@pytest.fixture
async def store(place: Place) -> AsyncIterator[Store]:
    """A store that is open."""
    async with place.store() as opened:
        yield opened


@pytest.fixture
def walker() -> Walker:
    """Leads the walks."""
    return Walker()


async def accept(store: Store, *executions: Accepted) -> None:
    """Accept them, one after the other."""
    for each in executions:
        assert await store.accept(each, [TEXT])


# --- acceptance ---------------------------------------------------------------------------------


async def test_what_is_accepted_is_run(store: Store, walker: Walker) -> None:
    """The walk gets all that was accepted, and an empty journal."""
    wanted = execution(data={"id": 7, "deep": [{"ä": 1.5}]})

    async with serving(store, walker):
        await accept(store, wanted)
        got, journal = await walker.next()
        walker.end(got.id)
        seen = await status(store, wanted.id, "resolved")

    assert got == wanted
    assert journal.recorded("first") is None
    assert (seen.flow, seen.digest, seen.durable) == ("order", TEXT.digest, store.durable)
    assert seen.accepted <= (seen.started or 0) <= (seen.finished or 0)


async def test_what_was_accepted_before_anybody_served_is_run(store: Store, walker: Walker) -> None:
    """It is told of as queued meanwhile."""
    wanted = execution(data=[1, None, "x"])
    await accept(store, wanted)
    assert (await status(store, wanted.id, "queued")).started is None

    async with serving(store, walker):
        got, _ = await walker.next()
        walker.end(got.id)
        await status(store, wanted.id, "resolved")

    assert got == wanted


async def test_a_duplicate_is_known_before_and_after_the_end(store: Store, walker: Walker) -> None:
    """It changes nothing, and is never run."""
    first = execution(data="first")
    again = execution(first.id, data="again")
    await accept(store, first)
    assert not await store.accept(again, [TEXT])

    async with serving(store, walker):
        got, _ = await walker.next()
        assert not await store.accept(again, [TEXT])
        walker.end(first.id)
        await status(store, first.id, "resolved")
        assert not await store.accept(again, [TEXT])

    assert got == first
    assert walker.order == [first.id]


async def test_of_duplicates_at_the_same_time_one_is_accepted(store: Store) -> None:
    """As when a sender is impatient."""
    id_ = random_id()

    answers = await asyncio.gather(*(store.accept(execution(id_), [TEXT]) for _ in range(20)))

    assert sorted(answers) == [False] * 19 + [True]


async def test_duplicates_among_many_of_a_moment_are_told_apart(store: Store) -> None:
    """Each id is accepted once, whoever is accepted together with it."""
    known = random_id()
    assert await store.accept(execution(known), [TEXT])
    ids = [random_id() for _ in range(100)]
    sent = [*ids[:50], known, *ids, known]

    answers = await asyncio.gather(*(store.accept(execution(id_), [TEXT]) for id_ in sent))

    accepted = [id_ for id_, new in zip(sent, answers, strict=True) if new]
    assert sorted(accepted) == sorted(ids)


async def test_many_are_accepted_at_the_same_time(store: Store) -> None:
    """Each is run once."""
    ids = [random_id() for _ in range(500)]
    walked = []

    async def walk(each: Accepted, _: Journal) -> Result:
        walked.append(each.id)
        return DONE

    async with serving(store, walk, 50):
        await asyncio.gather(*(store.accept(execution(id_), [TEXT]) for id_ in ids))
        for id_ in ids:
            await status(store, id_, "resolved")

    assert sorted(walked) == sorted(ids)


async def test_a_caller_that_goes_away_does_not_stop_what_it_began(
    store: Store, walker: Walker
) -> None:
    """Its execution is run, as it may have been told already."""
    wanted = execution()

    async with serving(store, walker):
        caller = asyncio.create_task(store.accept(wanted, [TEXT]))
        await asyncio.sleep(0)
        caller.cancel()
        got, _ = await walker.next()
        walker.end(got.id)
        await status(store, wanted.id, "resolved")


SHARED: list[Any] = [0] * 8
for _ in range(60):
    SHARED = [SHARED, SHARED]


UNWRITABLE = {
    "large integer": 1 << 64,
    "half a surrogate pair": "\ud800",
    "NaN": math.nan,
    "infinity": [math.inf],
    "no JSON": {"x": object()},
    "number as a name": {1: 2},
    "too large": "x" * (16 << 20),
    "endless when written": SHARED,
}


@pytest.mark.parametrize("value", UNWRITABLE.values(), ids=list(UNWRITABLE))
async def test_what_cannot_be_kept_is_refused(store: Store, value: object) -> None:
    """And does not come back as something else; nothing is accepted."""
    wanted = execution(data=value)

    with pytest.raises(Unwritable, match="trigger data cannot be kept"):
        await store.accept(wanted, [TEXT])

    assert await store.find(wanted.id) is None


# --- order --------------------------------------------------------------------------------------


async def test_what_is_due_first_runs_first(place: Place, store: Store) -> None:
    """Of those that are due at the same time, what was accepted first."""
    now = place.now()
    dues = [now - 1, now - 3, now - 2, now - 3, 0, now - 1]
    executions = [execution(due=due) for due in dues]
    await accept(store, *executions)
    order: list[str] = []

    async def walk(each: Accepted, _: Journal) -> Result:
        order.append(each.id)
        return DONE

    async with serving(store, walk, 1):
        for each in executions:
            await status(store, each.id, "resolved")

    assert order == [executions[at].id for at in (4, 1, 3, 2, 0, 5)]


async def test_only_so_many_run_at_the_same_time(store: Store, walker: Walker) -> None:
    """The others are queued, and come when there is a place."""
    executions = [execution() for _ in range(5)]
    await accept(store, *executions[:2])

    async with serving(store, walker, 2):
        await walker.next()
        await walker.next()
        await accept(store, *executions[2:])
        for each in executions[2:]:
            await status(store, each.id, "queued")
        assert walker.running == 2

        for done, begins in zip(executions, executions[2:], strict=False):
            walker.end(done.id)
            assert (await walker.next())[0].id == begins.id
            assert walker.running == 2
        for each in executions[-2:]:
            walker.end(each.id)
            await status(store, each.id, "resolved")

    assert walker.order == [each.id for each in executions]


async def test_nothing_starts_before_it_is_due(place: Place, store: Store, walker: Walker) -> None:
    """Whoever is due comes by, whoever is not waits."""
    later, now = execution(due=place.now() + place.long), execution()

    async with serving(store, walker):
        await accept(store, later, now)
        assert (await walker.next())[0].id == now.id
        assert (await status(store, later.id, "queued")).started is None

        await place.advance(place.long)
        assert (await walker.next())[0] == later


# --- waiting and the journal --------------------------------------------------------------------


async def test_an_execution_that_waits_goes_on_in_its_time(
    place: Place, store: Store, walker: Walker
) -> None:
    """Its next walk finds in the journal what the last one recorded."""
    wanted = execution()
    steps = [
        step("first", {"total": 7.5}),
        Step("second", 2, Rejected({"name": "Timeout", "message": "…"})),
        Step("each/3/second", 1, Resolved(None)),
        Step("third", 1, WakeAt(place.now() + place.long)),
    ]

    async with serving(store, walker):
        await accept(store, wanted)
        _, journal = await walker.next()
        for each in steps:
            await journal.record(each)
        walker.end(wanted.id, WakeAt(place.now() + place.long))
        await status(store, wanted.id, "waiting")
        assert walker.running == 0

        await place.advance(place.long)
        again, journal = await walker.next()

    assert again == wanted
    assert [journal.recorded(each.path) for each in steps] == steps
    assert journal.recorded("fourth") is None


async def test_a_wait_that_is_over_is_none(place: Place, store: Store, walker: Walker) -> None:
    """Nothing is lost when it takes longer to wait than to be due."""
    wanted = execution()

    async with serving(store, walker):
        await accept(store, wanted)
        for _ in range(3):
            await walker.next()
            walker.end(wanted.id, WakeAt(place.now() - 1))
        await walker.next()
        walker.end(wanted.id)
        await status(store, wanted.id, "resolved")


async def test_waiting_takes_nobodys_place(place: Place, store: Store, walker: Walker) -> None:
    """Any number may wait."""
    first, second = execution(), execution()

    async with serving(store, walker, 1):
        await accept(store, first, second)
        await walker.next()
        walker.end(first.id, WakeAt(place.now() + place.long))

        assert (await walker.next())[0].id == second.id


async def test_of_a_path_the_last_record_counts(store: Store, walker: Walker) -> None:
    """As when an operation is tried again."""
    wanted = execution()

    async with serving(store, walker):
        await accept(store, wanted)
        _, journal = await walker.next()
        await journal.record(Step("first", 1, WakeAt(5.5)))
        await journal.record(step("first", "at last", attempt=2))
        walker.end(wanted.id, WakeAt(0))
        _, journal = await walker.next()

    assert journal.recorded("first") == step("first", "at last", attempt=2)


@pytest.mark.parametrize("value", [math.nan, 1 << 64, {1: 2}])
async def test_a_step_that_cannot_be_kept_fails_alone(
    store: Store, walker: Walker, value: object
) -> None:
    """The walk is told, and goes on as it likes."""
    wanted = execution()

    async with serving(store, walker):
        await accept(store, wanted)
        _, journal = await walker.next()
        with pytest.raises(Unwritable, match="value of first cannot be kept"):
            await journal.record(step("first", value))
        await journal.record(step("second"))
        walker.end(wanted.id, WakeAt(0))
        _, journal = await walker.next()

    assert journal.recorded("first") is None
    assert journal.recorded("second") == step("second")


async def test_a_journal_is_lost_with_its_execution(store: Store, walker: Walker) -> None:
    """Who still holds one learns that it is not his any more."""
    ended, waiting = execution(), execution()

    async with serving(store, walker):
        await accept(store, ended, waiting)
        journals = [(await walker.next())[1] for _ in range(2)]
        walker.end(ended.id)
        walker.end(waiting.id, WakeAt(math.inf))
        await status(store, ended.id, "resolved")
        await status(store, waiting.id, "waiting")

        for journal in journals:
            with pytest.raises(Lost):
                await journal.record(step())


async def test_a_walk_that_lost_its_execution_ends_nothing(store: Store, walker: Walker) -> None:
    """Whoever has it now says how it ends."""
    wanted = execution()

    async with serving(store, walker):
        await accept(store, wanted)
        await walker.next()
        walker.fail(wanted.id, Lost())
        await accept(store, after := execution())
        await walker.next()
        walker.end(after.id)
        await status(store, after.id, "resolved")

        seen = await store.find(wanted.id)

    assert seen is not None
    assert seen.finished is None


# --- ends ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ended", list(Status))
async def test_an_execution_ends_as_its_walk_says(
    store: Store, walker: Walker, ended: Status
) -> None:
    """The value, which may hold anything, is not kept."""
    wanted = execution()

    async with serving(store, walker):
        await accept(store, wanted)
        await walker.next()
        walker.end(wanted.id, Result(ended, {"message": "…"}))
        seen = await status(store, wanted.id, ended)

    assert seen.error is None


async def test_a_walk_that_raises_ends_interrupted(store: Store) -> None:
    """Only who redacts is told what the exception says."""
    wanted = execution()
    heard: list[tuple[Accepted, Result]] = []

    async def walk(each: Accepted, journal: Journal) -> Result:
        raise ValueError("token abc")

    task = asyncio.create_task(store.serve(walk, 8, lambda *told: heard.append(told)))
    await accept(store, wanted)
    seen = await status(store, wanted.id, "interrupted")
    task.cancel()

    ((told, result),) = heard
    assert told == wanted
    assert result.status is Status.INTERRUPTED
    assert result.value == {"name": "ValueError", "message": "token abc", "code": "INTERRUPTED"}
    assert seen.error is not None
    assert seen.error["name"] == "ValueError"
    assert "abc" not in str(seen)


async def test_a_walk_that_is_cancelled_from_within_ends_interrupted(store: Store) -> None:
    """Nobody wanted that: something that it needed was stopped."""
    wanted = execution()

    async def walk(each: Accepted, journal: Journal) -> Result:
        raise asyncio.CancelledError

    async with serving(store, walk):
        await accept(store, wanted)

        await status(store, wanted.id, "interrupted")


async def test_who_stops_serving_leaves_the_rest_for_the_next(
    place: Place, store: Store, walker: Walker
) -> None:
    """Their walks are cancelled, and begin again with what they recorded."""
    running, waiting, queued = (execution() for _ in range(3))
    async with serving(store, walker, 2):
        await accept(store, running, waiting)
        journal = (await walker.next())[1]
        await walker.next()
        await journal.record(step())
        walker.end(waiting.id, WakeAt(place.now() + place.long))
        await status(store, waiting.id, "waiting")
    await accept(store, queued)

    after = Walker()
    async with serving(store, after, 2):
        begun = [await after.next() for _ in range(2)]
        await status(store, waiting.id, "waiting")

    assert walker.cancelled == [running.id]
    recorded = {each.id: journal.recorded("first") for each, journal in begun}
    assert recorded == {running.id: step(), queued.id: None}


# --- cancel -------------------------------------------------------------------------------------


async def test_what_is_queued_can_be_cancelled(store: Store, walker: Walker) -> None:
    """It has ended when that returns, and never runs."""
    wanted = execution()
    await accept(store, wanted)

    assert await store.cancel(wanted.id)

    seen = await store.find(wanted.id)
    assert seen is not None
    assert seen.status == "cancelled"
    async with serving(store, walker):
        await accept(store, after := execution())
        assert (await walker.next())[0] == after


async def test_what_waits_can_be_cancelled(place: Place, store: Store, walker: Walker) -> None:
    """It does not wake."""
    wanted = execution()

    async with serving(store, walker):
        await accept(store, wanted)
        await walker.next()
        walker.end(wanted.id, WakeAt(place.now() + place.long))
        await status(store, wanted.id, "waiting")
        assert await store.cancel(wanted.id)
        await status(store, wanted.id, "cancelled")

        await place.advance(place.long)
        await accept(store, after := execution())
        assert (await walker.next())[0] == after


async def test_what_runs_can_be_cancelled(store: Store, walker: Walker) -> None:
    """More than once is once."""
    wanted = execution()

    async with serving(store, walker):
        await accept(store, wanted)
        await walker.next()
        assert await store.cancel(wanted.id)
        await store.cancel(wanted.id)
        await status(store, wanted.id, "cancelled")

    assert walker.cancelled == [wanted.id]


async def test_what_runs_may_say_how_it_ends_when_it_is_cancelled(store: Store) -> None:
    """Its answer counts."""
    wanted = execution()
    began = asyncio.Event()

    async def walk(each: Accepted, journal: Journal) -> Result:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await journal.record(step("last"))
        return Result(Status.TIMED_OUT, None)

    async with serving(store, walk):
        await accept(store, wanted)
        await began.wait()
        assert await store.cancel(wanted.id)

        await status(store, wanted.id, "timed_out")


async def test_what_is_cancelled_while_it_begins_to_wait_ends(
    place: Place, store: Store, walker: Walker
) -> None:
    """However far it got with that."""
    executions = [execution() for _ in range(20)]

    async with serving(store, walker, 20):
        await accept(store, *executions)
        for _ in executions:
            await walker.next()
        for turns, each in enumerate(executions):
            walker.end(each.id, WakeAt(place.now() + place.long))
            for _ in range(turns):
                await asyncio.sleep(0)
            assert await store.cancel(each.id)

        for each in executions:
            await status(store, each.id, "cancelled")


async def test_what_has_ended_or_never_was_cannot_be_cancelled(store: Store) -> None:
    """It stays as it is."""
    wanted = execution()
    async with serving(store, at_once):
        await accept(store, wanted)
        await status(store, wanted.id, "resolved")

        assert not await store.cancel(wanted.id)
        assert not await store.cancel(random_id())

    await status(store, wanted.id, "resolved")


# --- texts --------------------------------------------------------------------------------------


async def test_the_texts_of_what_is_under_way_are_kept(store: Store, walker: Walker) -> None:
    """By flow key: of two copies of one file, each has its own."""
    child, old, new = text("child", TEXT.content), text("x", b"old"), text("x", b"new")
    first, second = execution(texts=(child, old)), execution(texts=(new,))
    await store.accept(first, [TEXT, child, old])
    await store.accept(second, [TEXT, new])

    assert await store.texts(first.pins) == {"order": TEXT, "child": child, "x": old}
    assert await store.texts(second.pins) == {"order": TEXT, "x": new}
    assert await store.texts({"order": "unknown", "unknown": TEXT.digest}) == {}


async def test_texts_are_forgotten_when_nothing_is_under_way_that_pins_them(store: Store) -> None:
    """Git has them; a text that somebody still pins stays."""
    old, new = text("x", b"old"), text("x", b"new")
    first, second = execution(texts=(old,)), execution(texts=(new,))
    await store.accept(first, [TEXT, old])
    await store.accept(second, [TEXT, new])
    await store.cancel(first.id)

    await store.retain(Retention())

    assert await store.texts(first.pins) == {"order": TEXT}
    assert await store.texts(second.pins) == {"order": TEXT, "x": new}


# --- ticks --------------------------------------------------------------------------------------


async def test_a_schedule_only_moves_forward(place: Place, store: Store) -> None:
    """However far the processes are that keep its ticks, and whatever each of them knows of."""
    now = place.now()
    await store.keep_ticks({"a": Tick("hourly", now), "b": Tick("daily", now + 60)})
    await store.keep_ticks({"a": Tick("hourly", now + 60.5)})
    await store.keep_ticks({"a": Tick("hourly", now + 30), "c": Tick("daily", now)})
    await store.keep_ticks({})

    assert await store.ticks() == {
        "a": Tick("hourly", now + 60.5),
        "b": Tick("daily", now + 60),
        "c": Tick("daily", now),
    }


async def test_a_schedule_with_another_timetable_begins_anew(place: Place, store: Store) -> None:
    """Wherever the one before had got to."""
    now = place.now()
    await store.keep_ticks({"a": Tick("hourly", now)})

    await store.keep_ticks({"a": Tick("daily", now - 60)})

    assert await store.ticks() == {"a": Tick("daily", now - 60)}


async def test_schedules_that_are_long_gone_are_forgotten(place: Place, store: Store) -> None:
    """Those that fired within the last year are not."""
    now = place.now()
    recent, old = Tick("hourly", now - 365 * DAY), Tick("hourly", now - 3 * 365 * DAY)
    await store.keep_ticks({"a": recent, "b": old})

    await store.retain(Retention(age=1, count=0))

    assert await store.ticks() == {"a": recent}


# --- history ------------------------------------------------------------------------------------


def story(place: Place, id_: str | None = None, records: bytes = b"{}\n", **more: Any) -> Story:
    """What is told of a direct execution."""
    at = place.now()
    seen = Seen(
        id=id_ or random_id(), flow="order", flow_id="1", digest="2", revision="main", generation=3,
        trigger="manual", parent_id=None, durable=False, status="resolved", accepted=at,
        started=at, finished=at + 1, duration_ms=1000.0, steps=2, bytes=len(records),
    )  # fmt: skip
    return Story(seen._replace(**more), records)


async def tell(store: Store, *stories: Story) -> None:
    """Write *stories*, and return when they can be read."""
    store.write_history(stories)

    async def told() -> bool:
        return (await store.find(stories[-1].seen.id)) is not None

    await eventually(told)


async def test_what_was_told_of_an_execution_can_be_read(place: Place, store: Store) -> None:
    """Its row, and its records byte by byte."""
    error: JSONObject = {"name": "Timeout", "message": "…", "code": "TIMED_OUT"}
    records = '{"event":"execution.started"}\n{"message":"ä\\u0000"}\n'.encode()
    wanted = story(place, records=records, status="timed_out", error=error, parent_id="p")

    await tell(store, wanted)

    seen = await store.find(wanted.seen.id)
    assert seen is not None
    assert seen._replace(number=0) == wanted.seen
    assert await store.records(wanted.seen.id) == records


async def test_of_whom_nothing_was_told_nothing_is_known(store: Store) -> None:
    """No error: it may have been forgotten."""
    assert await store.find(random_id()) is None
    assert await store.records(random_id()) == b""
    assert await store.executions() == []


async def test_executions_are_listed_newest_first(place: Place, store: Store) -> None:
    """Slice by slice, those that are under way as well."""
    told = [story(place) for _ in range(5)]
    await tell(store, *told)
    await accept(store, under_way := execution())
    ids = [under_way.id, *(each.seen.id for each in reversed(told))]

    first = await store.executions(4)
    rest = await store.executions(4, before=first[-1].number)

    assert [each.id for each in (*first, *rest)] == ids
    assert [each.id for each in await store.executions()] == ids


async def test_a_second_story_continues_the_first(place: Place, store: Store) -> None:
    """As when an execution went on after a restart."""
    first = story(place, records=b'{"at":1}\n')
    second = story(place, first.seen.id, records=b'{"at":2}\n', duration_ms=2.5)
    await tell(store, first)

    store.write_history([second])

    async def appended() -> bool:
        return await store.records(first.seen.id) == b'{"at":1}\n{"at":2}\n'

    await eventually(appended)
    seen = await store.find(first.seen.id)
    assert seen is not None
    assert (seen.steps, seen.bytes, seen.duration_ms) == (4, 18, 2.5)


async def test_the_store_knows_best_how_an_accepted_execution_stands(
    place: Place, store: Store, walker: Walker
) -> None:
    """The story of its end may come before the end is written down."""
    wanted = execution()
    told = story(place, wanted.id, durable=True, status="rejected", error={"name": "X"})

    async with serving(store, walker):
        await accept(store, wanted)
        await walker.next()
        store.write_history([told])

        async def heard() -> bool:
            return await store.records(wanted.id) == told.records

        await eventually(heard)
        running = await status(store, wanted.id, "running")
        walker.end(wanted.id, Result(Status.REJECTED, None))
        ended = await status(store, wanted.id, "rejected")

    assert running.finished is None
    assert (ended.error, ended.steps, ended.duration_ms) == ({"name": "X"}, 2, 1000.0)


def part(place: Place, id_: str | None = None, records: bytes = b"{}\n", **more: Any) -> Story:
    """What is told of an execution that goes on."""
    going_on = {"finished": None, "duration_ms": None, "status": "running"}
    return story(place, id_, records, **{**going_on, **more})


async def test_a_story_may_come_in_parts(place: Place, store: Store) -> None:
    """It goes on until one of them says that it has ended; what comes late changes no end."""
    first = part(place, records=b'{"at":1}\n')
    id_ = first.seen.id
    await tell(store, first)
    going_on = await store.find(id_)

    store.write_history([story(place, id_, b'{"at":2}\n', status="rejected")])
    store.write_history([part(place, id_, b'{"at":3}\n')])

    async def appended() -> bool:
        return (await store.records(id_)).count(b"at") == 3

    await eventually(appended)
    assert going_on is not None
    assert (going_on.status, going_on.finished, going_on.duration_ms) == ("running", None, None)
    ended = await store.find(id_)
    assert ended is not None
    assert (ended.status, ended.duration_ms, ended.steps) == ("rejected", 1000.0, 6)
    assert ended.finished is not None


async def test_a_part_of_an_accepted_one_does_not_say_how_it_stands(
    place: Place, store: Store
) -> None:
    """The store knows that better; its records are there while it waits."""
    await accept(store, queued := execution())
    store.write_history([part(place, queued.id, b'{"at":1}\n')])

    async def appended() -> bool:
        return await store.records(queued.id) != b""

    await eventually(appended)
    assert (await status(store, queued.id, "queued")).finished is None
    assert await store.retain(Retention()) == 0
    assert (await status(store, queued.id, "queued")).steps == 2


async def test_what_ended_with_its_parent_does_not_go_on_for_ever(
    place: Place, store: Store
) -> None:
    """Nobody is left to tell how it ended."""
    parents = [execution(), execution()]
    await accept(store, *parents)
    children = [part(place, parent_id=each.id) for each in parents]
    grandchild = part(place, parent_id=children[1].seen.id)
    await tell(store, *children, grandchild)
    assert await store.cancel(parents[0].id)

    await store.retain(Retention())

    lost = await status(store, children[0].seen.id, "interrupted")
    assert lost.finished is not None
    for each in (children[1], grandchild):
        assert (await status(store, each.seen.id, "running")).finished is None
    store.write_history([story(place, children[1].seen.id)])
    await status(store, children[1].seen.id, "resolved")


# --- retention ----------------------------------------------------------------------------------


async def test_what_is_too_old_is_forgotten(place: Place, store: Store) -> None:
    """With its records; what is younger, or under way, stays."""
    old = [story(place) for _ in range(120)]
    await accept(store, under_way := execution())
    await tell(store, *old)
    await place.advance(place.long)
    await tell(store, young := story(place))

    assert await store.retain(Retention(age=place.long / 2)) == 120

    assert {each.id for each in await store.executions()} == {young.seen.id, under_way.id}
    assert await store.records(old[0].seen.id) == b""


async def test_what_is_too_much_is_forgotten_oldest_first(place: Place, store: Store) -> None:
    """Whatever the order in which it was told."""
    now = place.now()
    told = [story(place, finished=now + at) for at in (3, 1, 2, 5, 4)]
    await tell(store, *told)

    assert await store.retain(Retention(count=3)) == 2
    assert await store.retain(Retention(count=3)) == 0

    assert [each.finished for each in await store.executions()] == [now + 4, now + 5, now + 3]


async def test_the_ids_of_deliveries_are_forgotten_last(place: Place, store: Store) -> None:
    """Whatever else is told goes first, though it ended later: a duplicate is known to be one."""
    await accept(store, delivery := execution())
    await store.cancel(delivery.id)
    await place.advance(1)
    await tell(store, *(story(place) for _ in range(3)))

    assert await store.retain(Retention(count=1)) == 3
    assert not await store.accept(delivery, [TEXT])
    assert await store.retain(Retention(count=0)) == 1

    assert await store.accept(delivery, [TEXT])


async def test_what_takes_too_much_room_is_forgotten(place: Place, store: Store) -> None:
    """As far as it takes, and no further than the last that ended."""
    records = b'"' + b"x" * 50_000 + b'"\n'
    told = [story(place, records=records) for _ in range(60)]
    await accept(store, under_way := execution())
    await tell(store, *told)

    forgotten = await store.retain(Retention(bytes=2_000_000))

    left = {each.id for each in await store.executions()}
    assert 0 < forgotten < 60
    assert under_way.id in left
    assert told[-1].seen.id in left
    assert await store.retain(Retention(bytes=0)) == 60 - forgotten
    assert [each.id for each in await store.executions()] == [under_way.id]


# --- restarts and crashes -----------------------------------------------------------------------


async def test_a_store_says_whether_it_lasts(place: Place, store: Store) -> None:
    """`durable` is what a caller is told who gets a 202."""
    assert store.durable == (type(place) is not InMemory)
    assert store.trouble is None
    assert store.dropped == 0


async def test_after_a_restart_everything_goes_on(lasting: Place, walker: Walker) -> None:
    """What ran, waited or was queued; what had ended is known."""
    running, waiting, later, ended = (execution() for _ in range(4))
    later = later._replace(due=lasting.now() + lasting.long)
    async with lasting.store() as store, serving(store, walker):
        await accept(store, running, waiting, ended, later)
        journal = (await walker.next())[1]
        await journal.record(step())
        await walker.next()
        await walker.next()
        walker.end(waiting.id, WakeAt(lasting.now() + lasting.long))
        walker.end(ended.id)
        await status(store, waiting.id, "waiting")
        await status(store, ended.id, "resolved")
        await store.keep_ticks({"a": Tick("hourly", 1.5)})
        await tell(store, told := story(lasting))

    after = Walker()
    async with lasting.store() as store, serving(store, after):
        got, journal = await after.next()
        assert not await store.accept(ended, [TEXT])
        assert await store.texts(waiting.pins) == {"order": TEXT}
        assert await store.ticks() == {"a": Tick("hourly", 1.5)}
        assert await store.records(told.seen.id) == told.records
        await lasting.advance(lasting.long)
        rest = [(await after.next())[0] for _ in range(2)]

    assert (got, journal.recorded("first")) == (running, step())
    assert sorted(rest) == sorted([waiting, later])


async def test_after_a_crash_an_execution_goes_on_behind_its_last_step(
    lasting: Place, walker: Walker
) -> None:
    """All that `record` and `accept` returned for is there."""
    running, queued = execution(), execution()
    steps = [step(f"each/{at}/one", {"at": at}) for at in range(20)]
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(lasting.store())
        await stack.enter_async_context(serving(store, walker, 1))
        await accept(store, running, queued)
        journal = (await walker.next())[1]
        await asyncio.gather(*(journal.record(each) for each in steps))
        await lasting.crash()

    after = Walker()
    async with lasting.store() as store, serving(store, after, 1):
        got, journal = await after.next()
        assert [journal.recorded(each.path) for each in steps] == steps
        after.end(running.id)
        assert (await after.next())[0] == queued

    assert got == running


async def test_an_execution_that_kills_its_process_ends(lasting: Place) -> None:
    """After so many takeovers it is interrupted, and the reason is kept; others are not harmed."""
    poison, innocent = execution(), execution(due=lasting.now() + DAY)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(lasting.store())
        await accept(store, poison, innocent)
        for _ in range(MAX_TAKEOVERS + 1):
            walker = Walker()
            await stack.enter_async_context(serving(store, walker))
            assert (await walker.next())[0] == poison
            await lasting.crash()
            store = await stack.enter_async_context(lasting.store())
        heard: list[Result] = []
        walker = Walker()
        task = asyncio.create_task(
            store.serve(walker, 8, lambda each, result: heard.append(result))
        )
        seen = await status(store, poison.id, "interrupted")
        task.cancel()

    assert walker.order == []
    assert seen.error is not None
    assert seen.error["message"] == "21 processes died while they ran this execution"
    assert [result.value for result in heard] == [seen.error]


async def test_a_stop_is_no_takeover(lasting: Place) -> None:
    """A daemon may be restarted as often as it takes."""
    wanted = execution()
    async with lasting.store() as store:
        await accept(store, wanted)
    for _ in range(MAX_TAKEOVERS + 2):
        walker = Walker()
        async with lasting.store() as store, serving(store, walker):
            assert (await walker.next())[0] == wanted


async def test_what_was_to_be_cancelled_is_not_walked_again(lasting: Place) -> None:
    """The process may die before the walk has heard of it; then the store says how it ended."""
    wanted = execution()
    deaf = asyncio.Event()

    async def walk(each: Accepted, journal: Journal) -> Result:
        began.set()
        while not deaf.is_set():
            try:
                await deaf.wait()
            except asyncio.CancelledError:
                continue
        return DONE

    began = asyncio.Event()
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(lasting.store())
        await stack.enter_async_context(serving(store, walk))
        await accept(store, wanted)
        await began.wait()
        assert await store.cancel(wanted.id)
        await lasting.crash()
        deaf.set()

    heard: list[Result] = []
    walker = Walker()
    async with lasting.store() as store:
        task = asyncio.create_task(
            store.serve(walker, 8, lambda each, result: heard.append(result))
        )
        await status(store, wanted.id, "cancelled")
        task.cancel()

    assert walker.order == []
    assert [result.status for result in heard] == [Status.CANCELLED]
