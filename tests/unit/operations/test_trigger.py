"""Other flows, once or for every element of a list."""

import asyncio

import pytest

from runner.model import Status
from runner.operations import OperationContext, OperationSet
from runner.types import JSONObject, JSONValue
from tests.world import Gate, Script, World, standing_in_for_sleep

CHILD = """
name: Waits
trigger: operation
tracking: none
options: {return: $trigger}
operations: [{type: sleep, options: {milliseconds: 1}}]
"""
PARENT = """
name: Starts
trigger: operation
tracking: none
options: {return: $last}
operations:
  - key: each
    type: trigger
    options: {flow: child, payload: "{{ $trigger }}", iterationMode: MODE, batchSize: 2}
"""


async def make(operations: OperationSet, mode: str) -> World:
    """A world in which a flow starts another for every element."""
    world = World(operations)
    await world.load(flow=PARENT.replace("MODE", mode), child=CHILD)
    return world


class Peak:
    """Stands in for `sleep`: counts how many are in it at once."""

    def __init__(self) -> None:
        self.inside = 0
        self.most = 0

    async def __call__(self, options: JSONObject, context: OperationContext) -> None:
        """Stay for a turn of the loop."""
        self.inside += 1
        self.most = max(self.most, self.inside)
        await asyncio.sleep(0)
        self.inside -= 1


@pytest.mark.parametrize(("mode", "at_once"), [("parallel", 5), ("serial", 1), ("batch", 2)])
async def test_a_mode_says_how_many_run_at_once(mode: str, at_once: int) -> None:
    """All, one after another, or in groups; results keep the order of the list."""
    peak = Peak()
    world = await make(standing_in_for_sleep(peak), mode)

    result = await world.run("flow", [1, 2, 3, 4, 5])

    assert result == (Status.RESOLVED, [1, 2, 3, 4, 5])
    assert peak.most == at_once


async def test_parallel_is_bounded() -> None:
    """However long a list is, a thousand elements at most run at the same time."""
    gate = Gate()
    world = await make(gate.operations, "parallel")
    task = asyncio.create_task(world.run("flow", list(range(1500))))

    await gate.holds(1000)
    for _ in range(100):
        await asyncio.sleep(0)

    assert gate.inside == 1000
    gate.opened.set()
    assert (await task).value == list(range(1500))


@pytest.mark.parametrize("mode", ["parallel", "serial", "batch"])
@pytest.mark.parametrize("payload", [5, "text", None, True, {"a": [1]}, 1.5])
async def test_what_is_not_a_list_runs_once(mode: str, payload: JSONValue) -> None:
    """Whatever the mode; text is read as JSON."""
    world = await make(Script(None).operations, mode)
    expected = Status.REJECTED if payload == "text" else Status.RESOLVED

    result = await world.run("flow", payload)

    assert result.status is expected
    assert result.value == payload or expected is Status.REJECTED


async def test_a_rejection_stops_the_groups_behind_it() -> None:
    """In batches, the group runs to its end and the next one does not begin."""
    script = Script(None, ValueError("two"), None, None)
    world = await make(script.operations, "batch")

    result = await world.run("flow", [1, 2, 3, 4])

    assert result.value == {"name": "ValueError", "message": "two"}
    assert len(script.tries) == 2


async def test_a_cancelled_parent_takes_its_children_along() -> None:
    """None of them runs on by itself."""
    gate = Gate()
    world = await make(gate.operations, "parallel")
    begun = await world.begin("flow", [1, 2, 3])
    task = asyncio.create_task(world.engine.result(begun))
    await gate.holds(3)

    begun.cancel()

    assert (await task).status is Status.CANCELLED
    assert gate.inside == 0
    assert [each["status"] for each in world.said("execution.finished")] == ["cancelled"] * 4


async def test_children_tell_their_parent(world: World) -> None:
    """Records of a child carry the parent's id and share its trace."""
    await world.load(
        flow="name: x\ntrigger: operation\n"
        "operations: [{type: trigger, options: {flow: child, payload: [1, 2]}}]",
        child="name: y\ntrigger: operation\n",
    )

    await world.run("flow")

    parent, one, two = (record for record in world.said("execution.started"))
    assert "parent_id" not in parent
    assert one["parent_id"] == two["parent_id"] == parent["execution_id"]
    assert one["trace_id"] == two["trace_id"] == parent["trace_id"]
    ids = {each["execution_id"] for each in (parent, one, two)}
    assert len(ids) == 3


async def test_a_flow_runs_in_the_generation_it_began_in() -> None:
    """A reload in between changes nothing for what is under way."""
    gate = Gate()
    world = World(gate.operations)
    waits = """
name: x
trigger: operation
options: {return: $last}
operations:
  - {type: sleep, options: {milliseconds: 1}}
  - {type: trigger, options: {flow: child}}
"""
    answer = "name: y\ntrigger: operation\noptions: {return: v}\noperations: [%s]"
    transform = "{key: v, type: transform, options: {json: '\"%s\"'}}"
    await world.load(flow=waits, child=answer % transform % "old")
    task = asyncio.create_task(world.run("flow"))
    await gate.holds(1)

    await world.load(flow=waits, child=answer % transform % "new")
    gate.opened.set()

    assert (await task).value == "old"
    assert (await world.run("flow")).value == "new"
    assert {each["generation"] for each in world.said("execution.finished")} == {1, 2}
