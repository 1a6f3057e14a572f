"""The clock of the machine is set while things are under way: nothing is lost, or done twice."""

from pathlib import Path

import pytest

from runner.model import Result, Status
from runner.store.base import Retention, Store, WakeAt
from tests.unit.store.places import (
    DAY,
    DONE,
    TEXT,
    InFolder,
    InMemory,
    Walker,
    execution,
    serving,
    status,
)

HOUR = 3600.0
MONTH = 30 * DAY
KEEP_A_MONTH = Retention(age=MONTH)


@pytest.fixture(params=[InMemory, InFolder])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> InMemory:
    """A place with a clock that obeys."""
    made: InMemory = request.param(tmp_path)
    return made


async def asleep(place: InMemory, store: Store, walker: Walker, seconds: float) -> str:
    """The id of an execution that waits for so long."""
    await store.accept(wanted := execution(), [TEXT])
    await walker.next()
    walker.end(wanted.id, WakeAt(place.now() + seconds))
    await status(store, wanted.id, "waiting")
    return wanted.id


async def test_a_clock_that_leaps_ahead_wakes_what_sleeps_once(place: InMemory) -> None:
    """It is due by what the clock says, and putting the clock right does not wake it again."""
    walker = Walker()
    async with place.store() as store, serving(store, walker):
        id_ = await asleep(place, store, walker, HOUR / 2)

        await place.advance(HOUR)
        await walker.next()
        await place.advance(-HOUR)
        walker.end(id_)
        await status(store, id_, "resolved")
        await place.advance(2 * HOUR)

    assert walker.order == [id_, id_]


async def test_a_clock_that_is_set_back_loses_nothing_that_sleeps(place: InMemory) -> None:
    """It wakes when the clock has come there again, and what is accepted meanwhile runs at once."""
    walker = Walker()
    async with place.store() as store, serving(store, walker):
        sleeping = await asleep(place, store, walker, 10)

        await place.advance(-HOUR)
        await store.accept(now := execution(), [TEXT])
        begun = (await walker.next())[0].id
        walker.end(now.id)
        await status(store, now.id, "resolved")
        still = (await store.find(sleeping)) or pytest.fail("it is gone")
        await place.advance(HOUR + 10)
        woken = (await walker.next())[0].id
        walker.end(sleeping)
        await status(store, sleeping, "resolved")

    assert (begun, still.status, woken) == (now.id, "waiting", sleeping)


async def test_a_clock_that_is_wrong_by_months_forgets_nothing_under_way(place: InMemory) -> None:
    """Only what has ended has an age."""
    walker = Walker()
    async with place.store() as store, serving(store, walker):
        sleeping = await asleep(place, store, walker, 10)
        await store.accept(running := execution(), [TEXT])
        await walker.next()

        for seconds in (2 * MONTH, -4 * MONTH, 2 * MONTH + 10):
            await place.advance(seconds)
            await store.retain(KEEP_A_MONTH)
        await walker.next()

        for each in (sleeping, running.id):
            walker.end(each)
            await status(store, each, "resolved")

    assert walker.order == [sleeping, running.id, sleeping]


async def test_what_ended_while_the_clock_was_ahead_is_kept_and_forgotten_in_its_time(
    place: InMemory,
) -> None:
    """It is not old yet, and not for ever young: the newest is the one that came last."""
    walker = Walker()
    async with place.store() as store, serving(store, walker):
        await place.advance(HOUR)
        ids = []
        for result in (DONE, Result(Status.REJECTED, None)):
            await store.accept(each := execution(), [TEXT])
            await walker.next()
            walker.end(each.id, result)
            await status(store, each.id, result.status)
            ids.append(each.id)
            await place.advance(-HOUR)
        await place.advance(HOUR)

        kept = await store.retain(KEEP_A_MONTH)
        listed = [seen.id for seen in await store.executions()]
        await place.advance(MONTH + 2 * HOUR)
        forgotten = await store.retain(KEEP_A_MONTH)

    assert kept == 0
    assert listed == ids[::-1]
    assert forgotten == len(ids)
