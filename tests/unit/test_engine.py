"""What may run, what waits, what is refused, and how everything ends."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from runner import engine
from runner.errors import Conflict, Draining, RequestsExceeded, StoreError, Unavailable
from runner.execution import STOPPED, Execution
from runner.ids import random_id
from runner.model import Status
from runner.store.base import Accepted, FlowText, Line
from runner.store.memory import MemoryStore
from runner.tickets import Places
from tests.world import Gate, World

FLOW = """
name: Waits at the gate
trigger: operation
tracking: activity
options: {return: $last}
operations: [{key: wait, type: sleep, options: {milliseconds: 1}}]
"""
SINGLE = FLOW + "concurrency: {mode: single}\n"
PAIR = FLOW + "concurrency: {max: 2}\n"
PARENT = """
name: Starts others
trigger: operation
operations: [{key: each, type: trigger, options: {flow: flow, payload: [1, 2, 3]}}]
"""


@pytest.fixture
def gate() -> Gate:
    """Holds every `sleep`."""
    return Gate()


async def make(gate: Gate, *, max_running: int = 1000, max_queued: int = 10_000) -> World:
    """A world with flows that wait at *gate*."""
    world = World(gate.operations, max_running=max_running, max_queued=max_queued)
    await world.load(flow=FLOW, single=SINGLE, pair=PAIR, parent=PARENT)
    return world


def run(world: World, execution: Execution) -> "asyncio.Task[object]":
    """Wait for the result of *execution* in a task, as a request does."""
    return asyncio.create_task(world.engine.result(execution))


def ends(world: World) -> list[str]:
    """How the executions ended, in the order of the records."""
    return [each["status"] for each in world.said("execution.finished")]


# --- what was -----------------------------------------------------------------------------------


async def test_flows_that_come_and_go_leave_nothing_behind(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How a flow ended last is known of so many flows, however many there ever were."""
    monkeypatch.setattr(engine, "_MAX_LAST", 2)
    world = await make(gate)
    gate.opened.set()

    for name in ("single", "flow", "pair"):
        await world.engine.result(await world.begin(name))

    ids = [world.registry.current.entries[name].id for name in ("single", "flow", "pair")]
    assert [world.engine.last(id_) is not None for id_ in ids] == [False, True, True]


# --- limits -------------------------------------------------------------------------------------


async def test_one_too_many_is_told_to_come_again(gate: Gate) -> None:
    """A caller that waits is refused at the limit, and served when there is room again."""
    world = await make(gate, max_running=1)
    first = run(world, await world.begin("flow"))

    with pytest.raises(Unavailable) as refusal:
        await world.begin("flow")

    assert refusal.value.retry_after >= 1
    gate.opened.set()
    await first
    assert (await world.run("flow")).status is Status.RESOLVED


async def test_nobody_waits_for_an_accepted_execution(gate: Gate) -> None:
    """It runs by itself, and can be asked about while it runs and afterwards."""
    world = await make(gate)

    receipt = await world.accept("flow")
    await gate.holds(1)

    assert receipt.new
    assert not receipt.durable
    assert await world.status(receipt.id) == "running"
    gate.opened.set()
    await world.engine.drain(10)
    assert await world.status(receipt.id) == "resolved"


async def test_accepted_executions_wait_for_a_place(gate: Gate) -> None:
    """At the limit they are queued, and run in the order in which they came."""
    world = await make(gate, max_running=1)
    begun = [await world.accept("flow", n) for n in range(4)]
    await gate.holds(1)

    assert (world.engine.running, world.engine.queued) == (1, 3)
    gate.opened.set()
    await world.engine.settle()
    finished = [each["execution_id"] for each in world.said("execution.finished")]
    assert finished == [each.id for each in begun]


async def test_the_queue_has_an_end(gate: Gate) -> None:
    """When it is full, others are refused as well."""
    world = await make(gate, max_running=1, max_queued=2)
    for _ in range(3):
        await world.accept("flow")

    with pytest.raises(Unavailable):
        await world.accept("flow")
    await world.engine.drain(0)


async def test_a_single_flow_runs_once_at_a_time(gate: Gate) -> None:
    """Another start is a conflict, other flows are not concerned, and afterwards it may again."""
    world = await make(gate)
    first = run(world, await world.begin("single"))

    with pytest.raises(Conflict):
        await world.begin("single")

    other = run(world, await world.begin("flow"))
    gate.opened.set()
    await asyncio.gather(first, other)
    assert (await world.run("single")).status is Status.RESOLVED


async def test_a_flow_may_limit_itself(gate: Gate) -> None:
    """`concurrency.max` refuses one more than so many."""
    world = await make(gate)
    tasks = [run(world, await world.begin("pair")) for _ in range(2)]

    with pytest.raises(Unavailable):
        await world.begin("pair")

    gate.opened.set()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize(
    ("child", "limit", "code"), [("single", 1, "CONFLICT"), ("pair", 2, "SERVICE_UNAVAILABLE")]
)
async def test_a_flow_has_its_limit_also_when_other_flows_start_it(
    gate: Gate, child: str, limit: int, code: str
) -> None:
    """Three at once are too many for it; what could not start rejects the operation."""
    world = await make(gate)
    await world.load(
        single=SINGLE, pair=PAIR, parent=PARENT.replace("flow: flow", f"flow: {child}")
    )
    parent = asyncio.create_task(world.run("parent"))
    await gate.holds(limit)
    gate.opened.set()

    result = await parent

    assert result.status is Status.REJECTED
    assert isinstance(result.value, dict)
    assert result.value["code"] == code
    assert (await world.run(child)).status is Status.RESOLVED


async def test_a_single_flow_that_starts_itself_is_rejected(gate: Gate) -> None:
    """It would wait for itself for ever."""
    world = await make(gate)
    await world.load(
        again=PARENT.replace("flow: flow, payload: [1, 2, 3]", "flow: again")
        + "concurrency: {mode: single}\n"
    )

    result = await world.run("again")

    assert result.status is Status.REJECTED
    assert isinstance(result.value, dict)
    assert result.value["code"] == "CONFLICT"


async def test_queued_starts_wait_for_their_turn(gate: Gate) -> None:
    """A caller waits, in the order they came, and is told to come again when it takes too long."""
    world = World(gate.operations, request_time=0.05)
    await world.load(queued=FLOW + "concurrency: {mode: queued}\n")
    first = run(world, await world.begin("queued"))

    with pytest.raises(Unavailable):
        await world.begin("queued")
    second = asyncio.create_task(world.run("queued"))
    await asyncio.sleep(0)
    gate.opened.set()

    assert await first == await second == (Status.RESOLVED, "through")


async def test_a_restarted_flow_cancels_what_runs(gate: Gate) -> None:
    """Only the newest one matters; its caller waits until the other has ended."""
    world = World(gate.operations)
    await world.load(flow=FLOW + "concurrency: {mode: restart}\n")
    first = run(world, await world.begin("flow"))
    await gate.holds(1)
    second = asyncio.create_task(world.run("flow"))
    await first
    gate.opened.set()

    assert (await second).status is Status.RESOLVED
    assert ends(world) == ["cancelled", "resolved"]


class Behind(MemoryStore):
    """A shared store in which more waits than all who share it can run."""

    shared = True  # type: ignore[misc]
    backlog = 10_000  # type: ignore[misc]


async def test_what_waits_in_a_shared_store_fills_the_queue() -> None:
    """Whoever accepted it; what somebody waits for has its place all the same."""
    world = World(store=Behind(), max_running=5, max_queued=9995)
    await world.load(flow=FLOW.replace("sleep", "transform").replace("milliseconds: 1", "json: 1"))

    with pytest.raises(Unavailable):
        await world.accept("flow")

    assert (await world.run("flow")).status is Status.RESOLVED


class Elsewhere(MemoryStore):
    """A shared store, of which somebody else runs all that is accepted."""

    shared = True  # type: ignore[misc]

    async def accept(self, execution: Accepted, texts: Sequence[FlowText]) -> bool:
        """Accept it."""
        return True


async def test_what_others_run_is_not_kept_in_mind() -> None:
    """A replica that only accepts forgets each when the store has it: its memory is its own."""
    world = World(store=Elsewhere())
    await world.load(flow=FLOW + "concurrency: {mode: queued}\n")

    receipt = await world.accept("flow")

    assert not world.engine.is_accepted(receipt.id)
    assert world.engine.queued == 0
    assert world.engine.idle


class Undecided(MemoryStore):
    """Accepts, or fails to, when it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: asyncio.Queue[asyncio.Future[None]] = asyncio.Queue()

    async def accept(self, execution: Accepted, texts: Sequence[FlowText]) -> bool:
        """Wait for the word."""
        word: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.asked.put_nowait(word)
        await word
        return await super().accept(execution, texts)


async def test_a_delivery_that_comes_twice_at_once_waits_for_the_first() -> None:
    """It is a duplicate when the first is committed; when that fails, it is the first itself."""
    store = Undecided()
    world = World(store=store)
    await world.load(flow=FLOW)
    await world.engine.begin()
    id_ = random_id()
    once, twice, thrice = (asyncio.create_task(world.accept("flow", id=id_)) for _ in range(3))

    (await store.asked.get()).set_exception(StoreError("the disk is full"))
    await asyncio.wait({once})
    word = await store.asked.get()
    assert not twice.done()
    assert not thrice.done()
    word.set_result(None)

    assert isinstance(once.exception(), StoreError)
    assert [(await twice).new, (await thrice).new] == [True, False]
    assert store.asked.empty()


class Lines(MemoryStore):
    """Takes its time, sees where those stand that come, and has no room in lines of two."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Line | None] = []

    async def accept(self, execution: Accepted, texts: Sequence[FlowText]) -> bool:
        """Look, and accept or refuse it."""
        await asyncio.sleep(0)
        self.seen.append(execution.line)
        if execution.line is not None and execution.line.width > 1:
            raise Unavailable
        return await super().accept(execution, texts)


async def test_of_two_restarts_at_once_the_newer_one_stays(gate: Gate) -> None:
    """They do not end each other."""
    world = World(gate.operations, store=Lines())
    await world.load(flow=FLOW + "concurrency: {mode: restart}\n")
    await world.engine.begin()
    older, newer = await asyncio.gather(world.accept("flow"), world.accept("flow"))
    async with asyncio.timeout(30):
        while await world.status(older.id) != "cancelled" or gate.inside != 1:
            await asyncio.sleep(0)
    gate.opened.set()
    await world.engine.settle()

    assert ends(world) == ["cancelled", "resolved"]
    assert await world.status(newer.id) == "resolved"


async def test_a_store_is_told_where_what_is_accepted_stands(gate: Gate) -> None:
    """By flow and key, in few characters, as it may keep that for all who share it."""
    world = World(gate.operations, store=(store := Lines()))
    keyed = FLOW + "concurrency: {mode: queued, key: '{{ $trigger }}'}\n"
    await world.load(flow=FLOW, single=SINGLE, keyed=keyed)

    await world.accept("flow")
    await world.accept("single")
    for data in ("a" * 1000, "a" * 1000, "b"):
        await world.accept("keyed", data)

    none, single, first, second, other = store.seen
    assert none is None
    assert single is not None
    assert (single.width, single.mode) == (1, "single")
    assert first == second != other
    assert len({line.name for line in (single, first, other) if line is not None}) == 3
    assert first is not None
    assert len(first.name) <= 128


async def test_what_the_store_refuses_leaves_nothing_behind(gate: Gate) -> None:
    """Other processes run as many as may: here is room again as soon as there is none of ours."""
    world = World(gate.operations, store=Lines())
    await world.load(pair=PAIR)
    for _ in range(3):  # here, two could be under way
        with pytest.raises(Unavailable):
            await world.accept("pair")

    assert world.engine.queued == 0
    assert world.engine.idle


async def test_the_place_of_who_is_cancelled_before_he_takes_it_is_free() -> None:
    """It was given to him already: it is not lost with him."""
    places = Places(1)
    places.take()
    waiting = asyncio.create_task(places.wait())
    await asyncio.sleep(0)

    places.give_back()
    waiting.cancel()
    await asyncio.wait({waiting})

    assert waiting.cancelled()
    places.take()


async def test_what_has_another_key_is_another_line(gate: Gate) -> None:
    """`concurrency.key` and `rate_limit.key` are rendered over what starts the flow."""
    world = World(gate.operations)
    await world.load(
        line=FLOW + "concurrency: {mode: single, key: '{{ $trigger.a }}'}\n",
        rate=FLOW + "rate_limit: {starts: 1, per: 1h, key: '{{ $trigger }}'}\n",
    )
    gate.opened.set()
    await world.begin("line", {"a": 1})
    await world.begin("line", {"a": {"b": 1}})
    with pytest.raises(Conflict):
        await world.begin("line", {"a": 1})

    await world.run("rate", "a")
    await world.run("rate", "b")
    with pytest.raises(RequestsExceeded):
        await world.begin("rate", "a")


async def test_draining_gives_what_waits_its_turn(gate: Gate) -> None:
    """What was accepted runs if there is time for it."""
    world = await make(gate, max_running=1)
    for _ in range(3):
        await world.accept("flow")
    gate.opened.set()

    await world.engine.drain(10)

    assert ends(world) == ["resolved"] * 3


async def test_a_queued_execution_holds_the_place_of_its_flow(gate: Gate) -> None:
    """What waits counts too: a single flow is never accepted twice."""
    world = await make(gate, max_running=1)
    await world.accept("flow")
    await world.accept("single")

    with pytest.raises(Conflict):
        await world.accept("single")
    await world.engine.drain(0)


async def test_a_cancelled_execution_gives_its_place_back(gate: Gate) -> None:
    """A single flow can run again after a caller's task was cancelled."""
    world = await make(gate)
    task = run(world, await world.begin("single"))
    await gate.holds(1)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    gate.opened.set()
    assert (await world.run("single")).status is Status.RESOLVED
    assert ends(world) == ["cancelled", "resolved"]


async def test_children_use_the_place_of_their_parent(gate: Gate) -> None:
    """A flow that starts others does not wait for itself, however small the limit."""
    world = await make(gate, max_running=1)
    gate.opened.set()

    assert (await world.run("parent")).status is Status.RESOLVED


async def test_ten_thousand_starts_at_once_are_bounded_and_answered(gate: Gate) -> None:
    """As many run as may, all others are refused, and nothing is left over."""
    world = await make(gate, max_running=50, max_queued=0)

    async def one() -> str:
        try:
            return (await world.run("flow")).status
        except Unavailable as refusal:
            return refusal.code

    tasks = [asyncio.create_task(one()) for _ in range(10_000)]
    await gate.holds(50)
    while sum(task.done() for task in tasks) < 9_950:
        await asyncio.sleep(0)
    gate.opened.set()
    answers = Counter(await asyncio.gather(*tasks))

    assert answers == {"resolved": 50, "SERVICE_UNAVAILABLE": 9_950}
    assert (world.engine.running, world.engine.queued) == (0, 0)


# --- drain --------------------------------------------------------------------------------------


async def test_draining_lets_what_runs_finish(gate: Gate) -> None:
    """It ends as it would have, and nothing new begins."""
    world = await make(gate)
    running = run(world, await world.begin("flow"))
    await gate.holds(1)
    drain = asyncio.create_task(world.engine.drain(60))
    await asyncio.sleep(0)

    with pytest.raises(Draining):
        await world.begin("flow")

    assert world.engine.draining
    assert not drain.done()
    gate.opened.set()
    await drain
    assert (await running) == (Status.RESOLVED, "through")


async def test_draining_cancels_what_waits_and_what_is_late(gate: Gate) -> None:
    """Everything that was accepted has a record that says how it ended."""
    world = await make(gate, max_running=2)
    caller = run(world, await world.begin("flow"))
    begun = [await world.accept("flow") for _ in range(4)]
    await gate.holds(2)

    await world.engine.drain(0)

    assert (await caller) == STOPPED
    assert ends(world) == ["cancelled"] * 5
    assert [await world.status(each.id) for each in begun] == ["cancelled"] * 4
    assert (world.engine.running, world.engine.queued, gate.inside) == (0, 0, 0)


async def test_draining_reaches_the_children(gate: Gate) -> None:
    """Sub-flows end with their parent, each with its record."""
    world = await make(gate)
    parent = run(world, await world.begin("parent"))
    await gate.holds(3)

    await world.engine.drain(0)

    await parent
    assert ends(world) == ["cancelled"] * 4


async def test_draining_what_is_idle_is_done_at_once() -> None:
    """Nothing runs, nothing to wait for; saying it twice is no harm."""
    world = World()

    await world.engine.drain(3600)
    await world.engine.drain(3600)


async def test_an_execution_that_was_accepted_but_not_begun_is_cancelled(gate: Gate) -> None:
    """A drain right behind the start finds the execution before its task ran."""
    world = await make(gate)
    begun = await world.accept("flow")

    await world.engine.drain(0)

    assert await world.status(begun.id) == "cancelled"
    assert ends(world) == ["cancelled"]
