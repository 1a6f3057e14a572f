"""Accepted executions: over restarts and changed files, behind the last step that was kept."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from runner.engine import Engine
from runner.errors import Conflict, OperationError, RequestsExceeded, StoreError, Unavailable
from runner.ids import NAMESPACE, derived_id
from runner.model import Event, Status
from runner.operations import BUILTIN, OperationContext, OperationSpec
from runner.store.sqlite import SQLiteStore
from runner.types import JSONObject, JSONValue
from tests.unit.store.places import ManualClock
from tests.world import World

FLOW = """
name: Three steps
trigger: operation
options: {return: $all}
operations:
  - {key: first, type: request, options: {url: "http://first/"}}
  - {key: made, type: transform, options: {json: {of: "{{ first }}"}}}
  - {key: told, type: log, options: {message: "made {{ made.of }}"}}
  - {key: second, type: request, options: {url: "http://second/"}}
  - {key: third, type: request, options: {url: "http://third/"}}
"""
PARENT = """
name: Starts others
trigger: operation
options: {return: $last}
operations:
  - key: each
    type: trigger
    options: {flow: child, payload: [a, b, c], iterationMode: MODE}
  - {key: after, type: request, options: {url: "http://after/"}}
"""
CHILD = """
name: One of them
trigger: operation
options: {return: work}
operations:
  - {key: work, type: request, options: {url: "http://{{ $trigger }}/"}}
"""


class Server:
    """Stands in for `request`: notes who came, and holds those that it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.keys: list[str] = []
        self.held: set[str] = set()
        self.failing: dict[str, int] = {}
        self.came = asyncio.Event()

    async def __call__(self, options: JSONObject, context: OperationContext) -> JSONValue:
        """Be asked."""
        host: str = options["url"].removeprefix("http://").removesuffix("/")
        self.asked.append(host)
        self.keys.append(context.execution.idempotency_key)
        self.came.set()
        if self.failing.get(host, 0) > 0:
            self.failing[host] -= 1
            raise OperationError("not now", status=503)
        if host in self.held:
            await asyncio.Event().wait()
        return host.upper()

    async def is_asked(self, host: str) -> None:
        """Wait until somebody asks for *host*."""
        while host not in self.asked:
            self.came.clear()
            await self.came.wait()


class Home:
    """A folder with a store in it, and processes that use it one after another."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock()
        self.server = Server()

    @asynccontextmanager
    async def process(self, **files: str) -> AsyncIterator[World]:
        """One that serves these flows; it stops at the end of the block, whatever runs."""
        async with SQLiteStore(self.folder, self.clock) as store:
            operations = BUILTIN.with_(OperationSpec(type="request", handler=self.server))
            world = World(operations, store=store, now=self.clock.now)
            await world.load(**files)
            await world.engine.begin()
            try:
                yield world
            finally:
                await world.engine.drain(0)

    async def ended(self, world: World, id_: str, status: str = "resolved") -> None:
        """Wait until the execution stands so."""
        async with asyncio.timeout(10):
            while await world.status(id_) != status:
                await asyncio.sleep(0.001)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty one."""
    return Home(tmp_path / "state")


def said(world: World, event: str) -> list[str]:
    """The operations, or messages, that the records of *event* are of."""
    return [each.get("operation") or each["event"] for each in world.said(event)]


# --- behind the last step -----------------------------------------------------------------------


@pytest.mark.parametrize("later", [{"flow": FLOW}, {"flow": FLOW.replace("first", "other")}, {}])
async def test_it_goes_on_behind_the_last_finished_operation(
    home: Home, later: dict[str, str]
) -> None:
    """With the flow it began with, whether its file is the same, another or gone."""
    home.server.held = {"second"}
    async with home.process(flow=FLOW) as world:
        receipt = await world.accept("flow", {"a": 1})
        await home.server.is_asked("second")
    assert said(world, "operation.resolved") == ["first", "made", "told"]
    assert said(world, "execution.finished") == []
    home.server.held.clear()

    async with home.process(**later) as again:
        await home.ended(again, receipt.id)

    assert receipt.durable
    assert home.server.asked == ["first", "second", "second", "third"]
    assert len(set(home.server.keys[1:3])) == 1
    assert said(again, "execution.started") == []
    assert said(again, "log.message") == []
    assert said(again, "operation.resolved") == ["second", "third"]
    (end,) = again.said("execution.finished")
    assert (end["status"], end["revision"], end["generation"]) == ("resolved", "revision-1", 1)


@pytest.mark.parametrize(
    ("tracking", "told"),
    [
        ("all", ["execution.started", "operation.resolved", "execution.finished"]),
        ("activity", ["execution.started", "execution.finished"]),
        ("none", []),
    ],
)
async def test_what_was_accepted_says_that_it_begins_and_ends(
    home: Home, tracking: str, told: list[str]
) -> None:
    """As much as `tracking` says: whoever reads `started` alone knows what was under way."""
    work = "{type: transform, options: {json: 1}}"
    flow = f"{{name: A, trigger: operation, tracking: {tracking}, operations: [{work}]}}"
    async with home.process(flow=flow) as world:
        await home.ended(world, (await world.accept("flow", {"a": 1})).id)
    events = [each["event"] for each in world.records if "execution_id" in each]
    assert events == told
    for each in world.said("execution.started"):
        assert ("data" in each) == (tracking == "all")


@pytest.mark.parametrize("mode", ["serial", "parallel", "batch"])
async def test_what_a_list_has_done_is_not_done_again(home: Home, mode: str) -> None:
    """Each element has its place in the journal; the sub-flow is that of the beginning."""
    home.server.held = {"b"}
    async with home.process(parent=PARENT.replace("MODE", mode), child=CHILD) as world:
        receipt = await world.accept("parent")
        await home.server.is_asked("b")
        while mode != "serial" and len(world.said("execution.finished")) < 2:
            await asyncio.sleep(0.001)
    home.server.held.clear()

    async with home.process() as again:
        await home.ended(again, receipt.id)

    counts = {host: home.server.asked.count(host) for host in ("a", "b", "c", "after")}
    assert counts == {"a": 1, "b": 2, "c": 1, "after": 1}
    ids = {each["execution_id"] for w in (world, again) for each in w.said("execution.finished")}
    assert derived_id(receipt.id, "each/0") in ids


async def test_a_text_that_does_not_compile_any_more_ends_it_with_the_reason(home: Home) -> None:
    """It is said, and nothing hangs."""
    home.server.held = {"second"}
    async with home.process(flow=FLOW) as world:
        receipt = await world.accept("flow")
        await home.server.is_asked("second")

    async with SQLiteStore(home.folder, home.clock) as store:
        later = World(BUILTIN.without("request"), store=store, now=home.clock.now)
        await later.engine.begin()
        await home.ended(later, receipt.id, "interrupted")
        await later.engine.drain(0)

    (end,) = later.said("execution.finished")
    assert end["status"] == "interrupted"
    assert "request are switched off" in end["error"]["message"]


@pytest.mark.parametrize("tracking", ["all", "activity"])
async def test_what_ends_before_it_begins_says_what_it_can_be_replayed_with(
    home: Home, tracking: str
) -> None:
    """As far as its flow says such things, and never what the caller proved themselves by."""
    async with SQLiteStore(home.folder, home.clock) as store:
        world = World(store=store, now=home.clock.now)
        await world.load(flow=CHILD)
        start = world.start("flow", {"a": "the-key-of-somebody"})
        accepted = await Engine.accept(
            world.engine, start._replace(credentials=("the-key-of-somebody",))
        )

    async with SQLiteStore(home.folder, home.clock) as store:
        later = World(BUILTIN.without("request"), store=store, now=home.clock.now)
        await later.load(flow=f"{{name: Now, trigger: operation, tracking: {tracking}}}")
        await later.engine.begin()
        await home.ended(later, accepted.id, "interrupted")
        await later.engine.drain(0)

    (end,) = later.said("execution.finished")
    told = {"trigger": {"a": "--redacted--"}, "accountability": None}
    assert end.get("data") == (told if tracking == "all" else None)


async def test_of_two_at_the_same_time_one_is_accepted(home: Home) -> None:
    """The other one is told so when that is certain."""
    id_ = derived_id(NAMESPACE, "delivery")
    async with home.process(flow=FLOW) as world:
        receipts = await asyncio.gather(*(world.accept("flow", id=id_) for _ in range(5)))
        await home.ended(world, id_)

    assert sorted(each.new for each in receipts) == [False] * 4 + [True]
    assert home.server.asked == ["first", "second", "third"]


async def test_what_was_accepted_once_is_not_accepted_again(home: Home) -> None:
    """Not while it runs, not afterwards, not after a restart."""
    async with home.process(flow=FLOW) as world:
        id_ = derived_id(NAMESPACE, "delivery")
        first = await world.accept("flow", id=id_)
        second = await world.accept("flow", id=id_)
        await home.ended(world, id_)
        third = await world.accept("flow", id=id_)
    async with home.process(flow=FLOW) as again:
        fourth = await again.accept("flow", id=id_)

    assert [each.new for each in (first, second, third, fourth)] == [True, False, False, False]
    assert home.server.asked == ["first", "second", "third"]


async def test_a_store_that_does_not_answer_keeps_nobody_waiting(home: Home) -> None:
    """The refusal is in time; what was written down yet runs, as if the answer had got lost."""
    async with SQLiteStore(home.folder, home.clock) as store:
        operations = BUILTIN.with_(OperationSpec(type="request", handler=home.server))
        world = World(operations, store=store, now=home.clock.now, request_time=0.05)
        await world.load(flow=FLOW)
        await world.engine.begin()
        with closing(sqlite3.connect(home.folder / "store.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match=r"has not answered within 0\.05 s"):
                await world.accept("flow", id=(id_ := derived_id(NAMESPACE, "delivery")))
        await home.ended(world, id_)
        await world.engine.drain(0)


# --- what only its start knew -------------------------------------------------------------------

TOLD = """
name: Says what it was told
trigger: operation
concurrency: {mode: queued}
operations:
  - {key: first, type: request, options: {url: "http://first/"}}
  - {key: said, type: log, options: {message: "{{ $trigger.said }}"}}
"""


async def test_a_restart_forgets_neither_the_time_nor_what_is_secret(home: Home) -> None:
    """Of the caller's credentials it keeps those that stand in the trigger data anyway."""
    home.server.held = {"first"}
    async with home.process(flow=TOLD) as world:
        await world.accept("flow")
        await home.server.is_asked("first")
        waits = await world.accept(
            "flow",
            {"said": "it is the-callers-token"},
            credentials=("the-callers-token", "of-nobody-else"),
            nominal="2026-11-22T03:00:00.000Z",
        )
    home.server.held.clear()
    files = b"".join(file.read_bytes() for file in home.folder.iterdir())

    async with home.process(flow=TOLD) as again:
        await home.ended(again, waits.id)

    assert b"the-callers-token" in files
    assert b"of-nobody-else" not in files
    begun = {each["execution_id"]: each for each in again.said("execution.started")}
    assert begun[waits.id]["data"]["nominal"] == "2026-11-22T03:00:00.000Z"
    assert "it is --redacted--" in [each["message"] for each in again.said("log.message")]
    assert b"the-callers-token" not in b"".join(again.kept.lines)


async def test_no_record_shows_a_credential_that_the_store_does_not_know(home: Home) -> None:
    """While its process lives: an operation may come upon what the caller sent."""
    flow = TOLD.replace("$trigger.said }}", "$trigger.one }}{{ $trigger.other }}")
    async with home.process(flow=flow) as world:
        parts: JSONObject = {"one": "of-nobody", "other": "-else"}
        receipt = await world.accept("flow", parts, credentials=("of-nobody-else",))
        await home.ended(world, receipt.id)

    assert [each["message"] for each in world.said("log.message")] == ["--redacted--"]


# --- waiting ------------------------------------------------------------------------------------

RETRIES = """
name: Tries again
trigger: operation
options: {return: $last}
operations:
  - key: first
    type: request
    options: {url: "http://first/"}
    retry: {attempts: 3, delay: 1m}
  - {key: after, type: transform, options: {json: "{{ $execution.attempt }}"}}
"""
SLEEPS = """
name: Sleeps
trigger: operation
tracking: all
operations:
  - {key: pause, type: sleep, options: {milliseconds: 3600000}}
  - {key: first, type: request, options: {url: "http://first/"}}
"""


async def test_a_pause_between_tries_survives(home: Home) -> None:
    """It waits without a task, and the try that comes next is the next one."""
    home.server.failing = {"first": 2}
    async with home.process(flow=RETRIES) as world:
        receipt = await world.accept("flow")
        await home.ended(world, receipt.id, "waiting")
        assert world.engine.idle
    home.clock.advance(61)
    async with home.process() as again:
        while len(home.server.asked) < 2:
            await asyncio.sleep(0.001)
        await home.ended(again, receipt.id, "waiting")
        home.clock.advance(61)
        await home.ended(again, receipt.id)

    assert home.server.asked == ["first"] * 3
    assert [each["attempt"] for each in again.said("operation.retried")] == [2]
    tried, after = again.said("operation.resolved")
    assert tried["attempt"] == 3
    assert (after["attempt"], after["data"]["value"]) == (1, 1)


async def test_a_sleep_survives(home: Home) -> None:
    """It ends when it would have ended, and is told once."""
    async with home.process(flow=SLEEPS) as world:
        receipt = await world.accept("flow")
        await home.ended(world, receipt.id, "waiting")
    home.clock.advance(3601)
    async with home.process(flow=SLEEPS) as again:
        await home.ended(again, receipt.id)

    assert (said(world, "execution.started"), said(again, "execution.started")) == (
        ["execution.started"], [],
    )  # fmt: skip
    assert said(again, "operation.resolved") == ["pause", "first"]
    (end,) = again.said("execution.finished")
    assert end["duration_ms"] >= 3_600_000


async def test_the_time_of_a_flow_goes_on_while_it_sleeps(home: Home) -> None:
    """Its timeout counts from its beginning, and wakes it."""
    async with home.process(flow=SLEEPS + "timeout: 10s\n") as world:
        receipt = await world.accept("flow")
        await home.ended(world, receipt.id, "waiting")
        home.clock.advance(11)
        await home.ended(world, receipt.id, "timed_out")

    assert home.server.asked == []


# --- limits -------------------------------------------------------------------------------------


async def test_a_single_flow_is_under_way_while_it_sleeps(home: Home) -> None:
    """409, until it has ended; what has another key is another line."""
    key = 'concurrency: {mode: single, key: "{{ $trigger }}"}\n'
    async with home.process(flow=SLEEPS + key) as world:
        first = await world.accept("flow", "a")
        await home.ended(world, first.id, "waiting")
        with pytest.raises(Conflict):
            await world.accept("flow", "a")
        await world.accept("flow", "b")
        home.clock.advance(3601)
        await home.ended(world, first.id)

        await world.accept("flow", "a")


async def test_parallel_flows_are_refused_beyond_their_limit(home: Home) -> None:
    """503 for one more."""
    async with home.process(flow=SLEEPS + "concurrency: {max: 2}\n") as world:
        await world.accept("flow")
        await world.accept("flow")
        with pytest.raises(Unavailable):
            await world.accept("flow")


async def test_queued_ones_run_one_after_another(home: Home) -> None:
    """Nothing that was accepted is refused, and the order is that in which they came."""
    flow = FLOW.replace("first/", "{{ $trigger }}/") + "concurrency: {mode: queued}\n"
    home.server.held = {"a"}
    async with home.process(flow=flow) as world:
        receipts = [await world.accept("flow", "a")]
        await home.server.is_asked("a")
        receipts += [await world.accept("flow", name) for name in "bc"]
        assert [await world.status(each.id) for each in receipts] == ["running", "queued", "queued"]
        assert await world.engine.cancel(receipts[0].id)
        for each in receipts[1:]:
            await home.ended(world, each.id)

    assert home.server.asked == ["a", "b", "second", "third", "c", "second", "third"]
    assert [each["status"] for each in world.said("execution.finished")] == [
        "cancelled", "resolved", "resolved",
    ]  # fmt: skip


async def test_what_goes_on_elsewhere_is_not_said_to_have_ended(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process has taken it over, and says how it ends."""
    home.server.held = {"first"}
    async with home.process(flow=FLOW) as world:
        receipt = await world.accept("flow")
        await home.server.is_asked("first")
        monkeypatch.setattr("runner.store.serving._Journal.lost", True)
        (task,) = (each for each in asyncio.all_tasks() if receipt.id in each.get_name())
        task.cancel()
        await asyncio.wait([task])

    assert "cancelled" not in [each["status"] for each in world.said("execution.finished")]


async def test_a_restarted_one_takes_the_place_of_what_runs(home: Home) -> None:
    """What ran ends `cancelled`, with its record."""
    home.server.held = {"first"}
    async with home.process(flow=FLOW + "concurrency: {mode: restart}\n") as world:
        old = await world.accept("flow")
        await home.server.is_asked("first")
        home.server.held.clear()
        new = await world.accept("flow")
        await home.ended(world, new.id)
        await home.ended(world, old.id, "cancelled")

    assert [each["status"] for each in world.said("execution.finished")] == [
        "cancelled", "resolved",
    ]  # fmt: skip


async def test_a_flow_starts_as_often_as_its_rate_says(home: Home) -> None:
    """One more is told when to come again; a duplicate is no start."""
    async with home.process(flow=FLOW + "rate_limit: {starts: 2, per: 1h}\n") as world:
        first = await world.accept("flow", id=derived_id(NAMESPACE, "1"))
        await world.accept("flow")
        with pytest.raises(RequestsExceeded) as refusal:
            await world.accept("flow")
        again = await world.accept("flow", id=first.id)

    assert refusal.value.retry_after > 60
    assert not again.new


async def test_a_child_that_sleeps_is_one_start(home: Home) -> None:
    """What has begun is not refused when it goes on."""
    once = "rate_limit: {starts: 1, per: 2h}\n"
    parent = PARENT.replace("[a, b, c], iterationMode: MODE", "[a]")
    async with home.process(parent=parent, child=SLEEPS + once) as world:
        receipt = await world.accept("parent")
        await home.ended(world, receipt.id, "waiting")
        home.clock.advance(3601)
        await home.ended(world, receipt.id)

    assert home.server.asked == ["first", "after"]


async def test_what_slept_took_as_long_as_all_of_it(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its duration counts from its beginning, and not from where it fell asleep."""
    head, pause, first = SLEEPS.strip().rsplit("\n", 2)

    async def ten_seconds(options: JSONObject, context: OperationContext) -> JSONValue:
        home.clock.advance(10)
        return None

    monkeypatch.setattr(home, "server", ten_seconds)
    async with home.process(flow=f"{head}\n{first}\n{pause}\n") as world:
        receipt = await world.accept("flow")
        await home.ended(world, receipt.id, "waiting")
        home.clock.advance(3600)
        await home.ended(world, receipt.id)

    (end,) = world.said("execution.finished")
    assert end["duration_ms"] >= 3_610_000


# --- cancelling ---------------------------------------------------------------------------------


async def test_what_waits_or_runs_can_be_cancelled(home: Home) -> None:
    """Each has one record that says so, and a second time there is nothing to cancel."""
    home.server.held = {"first"}
    async with home.process(flow=FLOW, sleeps=SLEEPS) as world:
        running, waiting = await world.accept("flow"), await world.accept("sleeps")
        await home.server.is_asked("first")
        await home.ended(world, waiting.id, "waiting")
        home.clock.advance(61)

        for each in (running, waiting):
            assert await world.engine.cancel(each.id)
            await home.ended(world, each.id, "cancelled")
            assert not await world.engine.cancel(each.id)

    ends = world.said("execution.finished")
    assert [each["execution_id"] for each in ends] == [running.id, waiting.id]
    assert {each["status"] for each in ends} == {"cancelled"}
    assert ends[1]["duration_ms"] == 61_000
    assert (world.engine.running, world.engine.queued) == (0, 0)


# --- events -------------------------------------------------------------------------------------

TELLS = """
name: Tells
trigger: operation
operations:
  - {key: tell, type: sleep, options: {milliseconds: 1}}
"""
HEARS = """
name: Hears
trigger: event
options: {type: action, scope: happened}
operations:
  - {key: heard, type: request, options: {url: "http://heard/"}}
"""


async def test_an_operation_that_runs_again_tells_nobody_twice(home: Home) -> None:
    """It died between telling and being finished: only a flow that is new has not heard it."""

    async def tell(options: JSONObject, context: OperationContext) -> JSONValue:
        await context.emit(Event("happened", None, {}))
        return await home.server({"url": "http://told/"}, context)

    ends = []
    for hold in ({"told"}, set[str]()):
        home.server.held = hold
        async with SQLiteStore(home.folder, home.clock) as store:
            specs = (
                OperationSpec(type="request", handler=home.server),
                OperationSpec(type="sleep", handler=tell),
            )
            world = World(BUILTIN.with_(*specs), store=store, now=home.clock.now)
            new = {} if hold else {"also": HEARS.replace("//heard", "//also")}
            await world.load(tells=TELLS, hears=HEARS, **new)
            await world.engine.begin()
            if hold:
                receipt = await world.accept("tells")
                await home.server.is_asked("heard")
                await home.server.is_asked("told")
                while not world.said("execution.finished"):
                    await asyncio.sleep(0.001)
            else:
                await home.ended(world, receipt.id)
                await world.engine.settle()
            await world.engine.drain(0)
            ends += [each["flow"] for each in world.said("execution.finished")]

    assert home.server.asked.count("heard") == 1
    assert sorted(ends) == ["also", "hears", "tells"]


async def test_another_try_tells_again() -> None:
    """It is another event: what the first try told may have come to nothing."""
    tries = []

    async def tell(options: JSONObject, context: OperationContext) -> None:
        await context.emit(Event("happened", None, {}))
        tries.append(context.execution.attempt)
        if len(tries) == 1:
            raise OperationError("not now")

    world = World(BUILTIN.with_(OperationSpec(type="sleep", handler=tell)))
    retry = "milliseconds: 1}, retry: {attempts: 2, delay: 1ms}"
    hears = HEARS.replace("type: request", "type: log").replace("url:", "message:")
    await world.load(tells=TELLS.replace("milliseconds: 1}", retry), hears=hears)
    await world.accept("tells")
    await world.engine.settle()

    assert tries == [1, 2]
    assert len(world.said("log.message")) == 2


TELLS_EACH_OTHER = """
name: Tells the other one
trigger: event
options: {type: action, scope: SCOPE}
operations:
  - {key: tell, type: request, options: {url: "EVENT"}}
"""
PING = TELLS_EACH_OTHER.replace("SCOPE", "ping").replace("EVENT", "pong")
PONG = TELLS_EACH_OTHER.replace("SCOPE", "pong").replace("EVENT", "ping")


async def tell_thrice(options: JSONObject, context: OperationContext) -> JSONValue:
    """Stands in for `request`: tells whoever hears it, as three items that were written do."""
    for _ in range(3):
        await context.emit(Event(options["url"], None, {}))
    return None


async def test_flows_that_tell_each_other_come_to_an_end() -> None:
    """All that one execution causes is counted together, however deep it is."""
    world = World(BUILTIN.with_(OperationSpec(type="request", handler=tell_thrice)), max_fanout=50)
    await world.load(ping=PING, pong=PONG)

    await world.accept("ping")
    await world.accept("ping")
    await world.engine.settle()
    await world.engine.drain(0)

    assert len(world.said("execution.finished")) == 2 * (1 + 50)
    refusals = {each["error"]["code"] for each in world.said("trigger.refused")}
    assert refusals == {"FANOUT_EXCEEDED"}


async def test_what_an_execution_caused_is_counted_over_a_restart(home: Home) -> None:
    """What it told goes on in another process, and knows how many there are."""
    fetch = TELLS_EACH_OTHER.replace("SCOPE", "pong").replace("EVENT", "http://held/")
    home.server.held = {"held"}

    async def request(options: JSONObject, context: OperationContext) -> JSONValue:
        if options["url"] == "http://held/":
            await home.server(options, context)
            return await tell_thrice({"url": "ping"}, context)
        return await tell_thrice(options, context)

    async def lead(world: World) -> None:
        if home.server.held:
            await home.ended(world, (await world.accept("ping")).id)
            while home.server.asked.count("held") < 3:
                await asyncio.sleep(0.001)
            home.server.held.clear()
            return
        while {each.status for each in await world.store.executions()} != {"resolved"}:
            await asyncio.sleep(0.001)

    said = []
    for _ in range(2):
        async with SQLiteStore(home.folder, home.clock) as store:
            operations = BUILTIN.with_(OperationSpec(type="request", handler=request))
            world = World(operations, store=store, now=home.clock.now, max_fanout=5)
            await world.load(ping=PING, pong=fetch)
            await world.engine.begin()
            async with asyncio.timeout(30):
                await lead(world)
            await world.engine.drain(0)
            said.append(len(world.said("execution.finished")))

    # 1 that began it; then its 3, and as many more as were left when the first was accepted.
    assert said == [1, 3 + 4]


async def test_without_a_disk_everything_ends_with_the_process() -> None:
    """What waits and what runs is said to be cancelled."""
    world = World()
    await world.load(flow=SLEEPS)
    receipt = await world.accept("flow")
    while await world.status(receipt.id) != "waiting":
        await asyncio.sleep(0)

    await world.engine.drain(0)

    assert not receipt.durable
    (end,) = world.said("execution.finished")
    assert (end["status"], end["execution_id"]) == (Status.CANCELLED, receipt.id)
