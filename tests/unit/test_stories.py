"""What can be read of executions afterwards, and while they sleep."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from runner.daemon import say_left_out
from runner.ids import derived_id, random_id
from runner.store.base import Store
from runner.store.memory import MemoryStore
from runner.store.sqlite import SQLiteStore
from runner.stories import LeftOut, Stories, lines
from tests.unit.store.places import ManualClock, eventually
from tests.world import Gate, World

PARENT = """
name: Sleeps in another flow
trigger: operation
operations:
  - {key: before, type: transform, options: {json: 1}}
  - {key: inside, type: trigger, options: {flow: child}}
"""
CHILD = """
name: Sleeps
trigger: operation
operations:
  - {key: first, type: transform, options: {json: "{{ $trigger }}"}}
  - {key: nap, type: sleep, options: {milliseconds: 60000}}
"""
WAITS = """
name: Waits at the gate
trigger: operation
operations: [{key: wait, type: sleep, options: {milliseconds: 1}}]
"""


def following(world: World, store: Store) -> Stories:
    """What tells *store* of all executions of *world*."""
    stories = Stories(store, lambda key: key, world.engine.is_accepted)
    world.recorder.attach(stories)
    return stories


@asynccontextmanager
async def process(folder: Path, clock: ManualClock) -> AsyncIterator[World]:
    """One that serves the flows, and leaves what sleeps to the next."""
    async with SQLiteStore(folder, clock) as store:
        world = World(store=store, now=clock.now)
        await world.load(parent=PARENT, child=CHILD)
        stories = following(world, store)
        await world.engine.begin()
        try:
            yield world
        finally:
            await world.engine.drain(0)
            stories.flush()


async def events(store: Store, id_: str) -> list[str]:
    """The records of an execution, each by its event and operation."""
    told = lines(await store.records(id_))
    return [f"{each['event']} {each.get('operation', '')}".rstrip() for each in told]


async def child_of(store: Store, id_: str) -> str | None:
    """The execution that runs inside of this one, where that is known."""
    seen = await store.executions()
    return next((each.id for each in seen if each.parent_id == id_), None)


async def test_the_story_of_what_sleeps_is_told_before_it_ends(tmp_path: Path) -> None:
    """That of what it started as well; another process goes on telling it."""
    clock = ManualClock()
    begun = ["execution.started", "operation.resolved first"]
    async with process(tmp_path, clock) as world:
        receipt = await world.accept("parent")

        async def told() -> bool:
            return await child_of(world.store, receipt.id) is not None

        await eventually(told)
        child = await child_of(world.store, receipt.id)
        assert child is not None
        assert await events(world.store, child) == begun
        assert await events(world.store, receipt.id) == [
            "execution.started", "operation.resolved before",
        ]  # fmt: skip
        sleeping = await world.store.find(child)
    clock.advance(61)
    async with process(tmp_path, clock) as again:

        async def ended() -> bool:
            return await again.status(receipt.id) == "resolved"

        await eventually(ended)
    async with SQLiteStore(tmp_path, clock) as store:
        whole = await events(store, child)
        seen = await store.find(child)

    assert sleeping is not None
    assert (sleeping.status, sleeping.finished, sleeping.steps) == ("running", None, 1)
    assert whole == [*begun, "operation.resolved nap", "execution.finished nap"]
    assert seen is not None
    assert (seen.status, seen.steps) == ("resolved", 2)
    assert seen.finished is not None


@pytest.mark.parametrize("accepted", [False, True])
async def test_a_direct_execution_is_told_of_when_it_has_ended(accepted: bool) -> None:
    """Before, it is known where it runs; an accepted one is told of at once."""
    store, gate = MemoryStore(), Gate()
    world = World(gate.operations, store=store)
    await world.load(flow=WAITS)
    stories = following(world, store)
    if accepted:
        id_ = (await world.accept("flow")).id
    else:
        execution = await world.begin("flow")
        id_, run = execution.id, asyncio.create_task(world.engine.result(execution))
    await gate.holds(1)

    stories.flush()
    before = await events(store, id_)
    gate.opened.set()
    await (world.engine.settle() if accepted else run)
    stories.flush()

    assert before == (["execution.started"] if accepted else [])
    assert await events(store, id_) == [
        "execution.started", "operation.resolved wait", "execution.finished wait",
    ]  # fmt: skip


async def test_what_there_is_no_room_for_is_counted_and_said() -> None:
    """Each time how many more there are; nothing where there are none."""
    world = World()
    stories = following(world, MemoryStore())
    record = world.recorder.bind(execution_id=derived_id("0" * 32, "x"))
    said = say_left_out(world.recorder, stories.left_out, LeftOut())
    for _ in range(150):
        record.emit("execution.started", data={"text": "x" * 10_000})

    for _ in range(2):
        said = say_left_out(world.recorder, stories.left_out, said)

    (told,) = world.said("log.suppressed")
    assert told["data"]["reason"] == "history"
    assert 0 < told["data"]["records"] == told["data"]["count"] < 150
    assert said == (0, told["data"]["records"])
    world.kept.lines = [line for line in world.kept.lines if b"log.suppressed" in line]


async def test_of_too_many_direct_executions_those_that_resolved_are_left_out_first() -> None:
    """History costs a bounded part of the time; what went wrong is what somebody will look for."""
    clock, store = ManualClock(), MemoryStore()
    world = World()
    stories = Stories(store, lambda key: key, clock=clock.now)
    world.recorder.attach(stories)

    for _ in range(3000):
        finish(world, "resolved")
    after_many = stories.dropped
    finish(world, "rejected")
    after_failure = stories.dropped
    stories.flush()
    clock.advance(1)
    stories.flush()  # a second later there is room for others
    for _ in range(1000):
        finish(world, "resolved")
    stories.flush()

    assert after_many == after_failure == 1000
    assert len(await store.executions(10_000)) == 2000 + 1 + 499
    assert stories.left_out.records == 1501


async def test_an_accepted_execution_is_told_of_however_many_there_are() -> None:
    """It was promised to somebody."""
    store = MemoryStore()
    world = World()
    stories = Stories(store, lambda key: key, lambda _: True, ManualClock().now)
    world.recorder.attach(stories)

    for _ in range(3000):
        finish(world, "resolved")

    assert stories.dropped == 0
    stories.flush()


def finish(world: World, status: str) -> None:
    """Record the end of another execution."""
    world.recorder.emit(
        "execution.finished",
        flow="flow", flow_digest="0", revision="main", generation=1, trigger="webhook",
        execution_id=random_id(), status=status, duration_ms=0.5,
    )  # fmt: skip
