"""Whether the event loop stands still."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from runner import stalls
from runner.records import Recorder
from runner.redact import Redactor
from runner.stalls import Stalls
from runner.types import JSONObject
from tests.world import Kept, problem

BLOCKED = 0.5
SEEN = 0.3


@pytest.fixture
async def kept() -> AsyncIterator[Kept]:
    """What is recorded while somebody looks; the first look has begun."""
    made = Kept()
    watching = asyncio.create_task(Stalls(Recorder(Redactor(), made)).watch())
    await asyncio.sleep(0)
    yield made
    watching.cancel()


def stalls_of(kept: Kept) -> list[JSONObject]:
    """All that is told; a busy machine may add some of its own."""
    return [stall for record in kept.records for stall in record["data"]["stalls"]]


async def told(kept: Kept, stall: float) -> JSONObject:
    """The first record that tells of a stall that long."""
    async with asyncio.timeout(30):
        while True:
            for record in kept.records:
                if any(each["ms"] >= stall * 1000 for each in record["data"]["stalls"]):
                    return record
            await asyncio.sleep(0.01)


async def test_a_loop_that_stood_still_is_recorded_with_how_long_it_did(kept: Kept) -> None:
    """Whoever waited for an answer finds the reason in the records."""
    time.sleep(BLOCKED)

    record = await told(kept, SEEN)

    assert (record["event"], record["severity"]) == ("daemon.stalled", "WARNING")
    assert problem(record) is None


async def test_waiting_for_a_disk_is_told_from_computing(kept: Kept) -> None:
    """The remedy is another one."""
    time.sleep(BLOCKED)

    (stall, *_) = (await told(kept, SEEN))["data"]["stalls"]

    assert stall["cpu_ms"] < stall["ms"] / 2


async def test_stalls_that_follow_are_told_together(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that is always late gets a line now and then, not one each time."""
    monkeypatch.setattr(stalls, "_PAUSE", 3.0)
    time.sleep(BLOCKED)
    await told(kept, SEEN)
    for _ in range(2):
        time.sleep(0.3)
        await asyncio.sleep(0.1)

    async with asyncio.timeout(30):
        while len(stalls_of(kept)) < 3:
            await asyncio.sleep(0.01)

    assert len(kept.records) < len(stalls_of(kept))


async def test_what_was_found_last_is_recorded_at_the_end(kept: Kept) -> None:
    """Nothing is kept for a record that never comes."""
    time.sleep(BLOCKED)
    await told(kept, SEEN)
    time.sleep(BLOCKED)
    await asyncio.sleep(0.2)
    (watching,) = (each for each in asyncio.all_tasks() if "watch" in repr(each.get_coro()))

    watching.cancel()
    await asyncio.wait({watching})

    assert len([each for each in stalls_of(kept) if each["ms"] > SEEN * 1000]) >= 2
