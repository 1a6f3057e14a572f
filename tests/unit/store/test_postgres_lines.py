"""Lines: how many executions of a flow run at once holds over all that share a PostgreSQL store."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from runner.engine import Engine
from runner.errors import Conflict, StoreError, Unavailable
from runner.model import Result, Status
from runner.store.base import Accepted, Line, Seen, WakeAt
from runner.store.postgres import PostgresStore
from tests.unit.store.places import TEXT, Walker, at_once, execution, serving, status
from tests.unit.store.replicas import Cluster, Replica
from tests.world import World


def stands(mode: str, width: int = 1, name: str = "order", **data: object) -> Accepted:
    """An execution that stands in a line, and does what *data* says."""
    return execution(data={"steps": 1, **data})._replace(line=Line(name, width, mode))


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresStore]:
    """A store that is open."""
    async with PostgresStore(url, ttl=1) as opened:
        yield opened


async def accepted(store: PostgresStore, *executions: Accepted) -> list[str]:
    """The ids of *executions*, which are new, one after the other."""
    for each in executions:
        assert await store.accept(each, [TEXT])
    return [each.id for each in executions]


def asked(url: str, query: str) -> list[Any]:
    """The first column of what the database says."""
    with psycopg.connect(url, autocommit=True) as connection:
        return [row[0] for row in connection.execute(query.encode()).fetchall()]


def having_turn(url: str) -> list[str]:
    """Who may begin, in the order in which they came: all others have no workflow."""
    query = "select id from runner.executions join dbos.workflow_status on id = workflow_uuid"
    return asked(url, f"{query} where needs is not null order by number")


# --- those that come ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "width", "error"),
    [("single", 1, Conflict), ("parallel", 1, Unavailable), ("parallel", 3, Unavailable)],
)
async def test_of_those_that_come_at_once_only_so_many_are_accepted(
    url: str, mode: str, width: int, error: type[Exception]
) -> None:
    """Whichever replicas they come to; the others are told why, and leave nothing behind."""
    async with PostgresStore(url) as one, PostgresStore(url) as two:
        answers = await asyncio.gather(
            *(each.accept(stands(mode, width), [TEXT]) for _ in range(20) for each in (one, two)),
            return_exceptions=True,
        )

    kinds = Counter(each if each is True else type(each) for each in answers)
    assert kinds == {True: width, error: 40 - width}
    assert len(having_turn(url)) == width
    assert asked(url, "select count(*) from runner.executions") == [width]


async def test_a_full_store_is_not_a_full_line(store: PostgresStore) -> None:
    """What says that a line is full does not say that the store has a trouble."""
    await accepted(store, stands("parallel"))

    with pytest.raises(Unavailable, match="runs as often as it may") as caught:
        await store.accept(stands("parallel"), [TEXT])

    assert not isinstance(caught.value, StoreError)
    assert store.trouble is None


async def test_a_delivery_that_comes_twice_is_known_however_full_its_line_is(url: str) -> None:
    """To any replica, at once or later: it is no conflict with itself."""
    once = stands("single")
    async with PostgresStore(url) as one, PostgresStore(url) as two:
        answers = await asyncio.gather(
            *(each.accept(once, [TEXT]) for _ in range(5) for each in (one, two))
        )

        assert sorted(answers) == [False] * 9 + [True]
        assert await two.accept(once, [TEXT]) is False


async def test_lines_do_not_know_each_other(store: PostgresStore, url: str) -> None:
    """Nor does what stands in none."""
    one, other = stands("single", name="one"), stands("single", name="other")

    await accepted(store, one, other, execution(), execution())

    assert len(having_turn(url)) == 4


async def test_those_that_are_queued_have_their_turn_in_the_order_they_came(
    store: PostgresStore, url: str
) -> None:
    """So many at once; whoever leaves gives his turn to the next, and only a turn that he had."""
    first, second, third, fourth, fifth = await accepted(
        store, *(stands("queued", 2) for _ in range(5))
    )
    assert having_turn(url) == [first, second]

    assert await store.cancel(third)
    assert having_turn(url) == [first, second]
    assert await store.cancel(first)
    assert having_turn(url) == [second, fourth]
    assert await store.cancel(second)
    assert having_turn(url) == [fourth, fifth]


async def test_nobody_passes_who_came_before_him(store: PostgresStore, url: str) -> None:
    """Not even when the flow was changed, and there would be room for him."""
    narrow = await accepted(store, *(stands("queued", 1) for _ in range(2)))
    wide = await accepted(store, *(stands("queued", 3) for _ in range(3)))

    assert having_turn(url) == narrow[:1]
    await store.cancel(narrow[0])
    assert having_turn(url) == narrow[1:]
    await store.cancel(narrow[1])
    assert having_turn(url) == wide


async def test_many_lines_do_not_wait_for_each_other(url: str) -> None:
    """Two replicas take from twenty lines in opposite orders: all are accepted."""
    executions = [stands("queued", name=f"line {number % 20}") for number in range(200)]
    async with PostgresStore(url) as one, PostgresStore(url) as two:
        answers = await asyncio.gather(
            *(one.accept(each, [TEXT]) for each in executions),
            *(two.accept(each, [TEXT]) for each in reversed(executions)),
        )

    assert answers.count(True) == 200
    assert len(having_turn(url)) == 20


async def test_who_stops_in_the_middle_holds_up_nobody_but_his_line(
    store: PostgresStore, url: str
) -> None:
    """What stands in no line is accepted meanwhile."""
    with psycopg.connect(url) as other:
        other.execute("select pg_advisory_xact_lock(hashtextextended('order', 0))")
        waits = asyncio.create_task(store.accept(stands("queued"), [TEXT]))
        await accepted(store, execution())
        assert not waits.done()

    assert await waits


# --- a newer one takes the place ----------------------------------------------------------------


async def test_a_restart_ends_at_once_what_has_not_begun(store: PostgresStore, url: str) -> None:
    """It is told; and a delivery that is known ends nothing."""
    told: list[tuple[str, Status]] = []

    def interrupted(which: Accepted | Seen, result: Result) -> None:
        told.append((which.id, result.status))

    older, other, newer = stands("restart"), stands("restart", name="other"), stands("restart")
    walker = Walker()
    serve = asyncio.create_task(store.serve(walker, 0, interrupted))  # there is no place
    try:
        await accepted(store, older, other, newer)
        assert not await store.accept(older, [TEXT])
    finally:
        serve.cancel()
        await asyncio.wait([serve])

    assert told == [(older.id, Status.CANCELLED)]
    assert (await status(store, older.id, "cancelled")).finished is not None
    assert having_turn(url) == [other.id, newer.id]


async def test_a_restart_ends_what_sleeps(store: PostgresStore, url: str) -> None:
    """However long it would have."""
    older, newer = stands("restart"), stands("restart")
    walker = Walker()
    async with serving(store, walker):
        await accepted(store, older)
        await walker.next()
        walker.end(older.id, WakeAt(1e11))
        await status(store, older.id, "waiting")

        await accepted(store, newer)

        await status(store, older.id, "cancelled")
        assert (await walker.next())[0].id == newer.id


async def test_a_restart_begins_when_the_older_one_has_ended(
    store: PostgresStore, url: str
) -> None:
    """That is cancelled where it runs, and may take its time; of those that wait one remains."""
    older, between, newer = (stands("restart") for _ in range(3))
    walker = Walker()
    async with serving(store, walker):
        await accepted(store, older)
        await walker.next()

        await accepted(store, between, newer)

        await status(store, between.id, "cancelled")
        await status(store, older.id, "cancelled")
        assert (await walker.next())[0].id == newer.id

    assert walker.cancelled[:1] == [older.id]
    assert walker.order == [older.id, newer.id]


# --- through the engine -------------------------------------------------------------------------

SINGLE = """
name: Once at a time
trigger: operation
concurrency: {mode: single}
operations: [{key: nothing, type: transform, options: {json: null}}]
"""


async def test_a_flow_that_runs_elsewhere_is_a_conflict_here(url: str) -> None:
    """Two replicas that know nothing of each other but their store."""
    async with PostgresStore(url) as one, PostgresStore(url) as two:
        here, there = World(store=one), World(store=two)
        for world in (here, there):
            await world.load(flow=SINGLE)
        under_way = await Engine.accept(here.engine, here.start("flow"))

        with pytest.raises(Conflict):
            await Engine.accept(there.engine, there.start("flow"))

        assert there.engine.queued == 0
        assert await there.engine.cancel(under_way.id)
        assert (await Engine.accept(there.engine, there.start("flow"))).new


# --- turns are kept, and given on ---------------------------------------------------------------


async def test_who_sleeps_keeps_his_turn(store: PostgresStore, url: str) -> None:
    """Until he has ended."""
    first, second = await accepted(store, stands("queued"), stands("queued"))
    walker = Walker()
    async with serving(store, walker):
        await walker.next()
        walker.end(first, WakeAt(1e11))
        await status(store, first, "waiting")
        assert asked(url, "select id from runner.executions where turn") == [first]

        await store.cancel(first)

        assert (await walker.next())[0].id == second


async def test_what_cannot_be_read_gives_its_turn_on(store: PostgresStore, url: str) -> None:
    """It ends, and the line goes on."""
    broken, after = await accepted(store, stands("queued"), stands("queued"))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            """update runner.executions set needs = '{"odd": 1}' where id = %s""", [broken]
        )

    async with serving(store, at_once):
        await status(store, broken, "interrupted")
        await status(store, after, "resolved")


async def test_of_two_at_once_never_more_run(store: PostgresStore) -> None:
    """The third begins when one of them ends."""
    first, second, third = await accepted(store, *(stands("queued", 2) for _ in range(3)))
    walker = Walker()
    async with serving(store, walker):
        assert {(await walker.next())[0].id for _ in range(2)} == {first, second}
        assert (await status(store, third, "queued")).started is None

        walker.end(second)

        assert (await walker.next())[0].id == third
        assert walker.running == 2


async def test_what_waits_for_its_turn_is_counted_with_what_waits(store: PostgresStore) -> None:
    """The queue has its bounds, also where nothing but a line holds it up."""
    walker = Walker()
    async with serving(store, walker):
        await accepted(store, *(stands("queued") for _ in range(4)))
        await walker.next()
        async with asyncio.timeout(30):
            while store.backlog != 3:
                await asyncio.sleep(0.01)


# --- over processes -----------------------------------------------------------------------------


@pytest.mark.slow
async def test_never_two_at_once_over_replicas_that_are_killed(
    cluster: Cluster, store: PostgresStore, url: str, tmp_path: Path
) -> None:
    """Of three processes the one that has the turn is killed, and again: all ends, in order."""
    replicas = await asyncio.gather(*(cluster.replica() for _ in range(3)))
    work = [stands("queued", alone=str(tmp_path / "alone"), pause=0.1, steps=2) for _ in range(12)]
    sending = asyncio.create_task(accepted(store, *work))
    await (await busy(replicas)).end()
    await (await busy(replicas)).end()
    ids = await sending
    for id_ in ids:
        await status(store, id_, "resolved")

    assert not cluster.effects("crowded")
    assert asked(url, "select id from runner.executions order by started") == ids


async def busy(replicas: list[Replica]) -> Replica:
    """The one of *replicas* that is in the middle of a step; it is no longer one of them."""
    async with asyncio.timeout(30):
        while True:
            for each in replicas:
                if each.lines[-1].startswith("begins"):
                    replicas.remove(each)
                    return each
            await asyncio.sleep(0.01)


@pytest.mark.slow
async def test_the_turn_of_a_killed_replica_is_taken_over_and_then_given_on(
    cluster: Cluster, store: PostgresStore, tmp_path: Path
) -> None:
    """kill -9: the next one waits until another replica has ended what was under way."""
    gate = tmp_path / "gate"
    first, second = stands("queued", gate=str(gate), steps=2), stands("queued")
    one = await cluster.replica()
    await accepted(store, first, second)
    await one.said(f"begins {first.id} 1")
    two = await cluster.replica()

    await one.end()
    await two.said(f"begins {first.id} 1")
    assert (await status(store, second.id, "queued")).started is None
    gate.touch()
    await two.said(f"done {second.id}")

    words = [line for line in two.lines if line.startswith("done")]
    assert words == [f"done {first.id}", f"done {second.id}"]
    assert cluster.effects("did")[f"did {first.id} 0"] == 1


@pytest.mark.slow
async def test_what_is_cancelled_elsewhere_gives_its_turn_on(
    cluster: Cluster, store: PostgresStore, tmp_path: Path
) -> None:
    """The next one begins when the walk has ended, in whichever process that was."""
    older, newer = stands("queued", gate=str(tmp_path / "never")), stands("queued")
    one = await cluster.replica()
    await accepted(store, older, newer)
    await one.said(f"begins {older.id} 0")

    assert await store.cancel(older.id)
    await one.said(f"done {newer.id}")

    words = [line for line in one.lines if line.startswith(("cancelled", "done"))]
    assert words == [f"cancelled {older.id}", f"done {newer.id}"]
    await status(store, older.id, "cancelled")


@pytest.mark.slow
async def test_a_restart_ends_what_runs_elsewhere(
    cluster: Cluster, store: PostgresStore, tmp_path: Path
) -> None:
    """Accepted by one process, it ends what another one runs, and begins after that."""
    older = stands("restart", gate=str(tmp_path / "never"), alone=str(tmp_path / "alone"))
    newer = stands("restart", alone=str(tmp_path / "alone"))
    one, two = await cluster.replica(), await cluster.replica()
    await accepted(store, older)
    first = await busy([one, two])

    await accepted(store, newer)
    await first.said(f"cancelled {older.id}")
    await status(store, older.id, "cancelled")
    await status(store, newer.id, "resolved")

    assert not cluster.effects("crowded")


@pytest.mark.slow
async def test_what_a_newer_one_has_ended_is_not_walked_by_who_takes_it_over(
    cluster: Cluster, store: PostgresStore, tmp_path: Path
) -> None:
    """Its process died: the next one ends it, says so, and gives its turn to the newer one."""
    older, newer = stands("restart", gate=str(tmp_path / "never")), stands("restart")
    one = await cluster.replica()
    await accepted(store, older)
    await one.said(f"begins {older.id} 0")
    await one.end()

    await accepted(store, newer)
    two = await cluster.replica()
    await two.said(f"done {newer.id}")

    assert two.count(f"walk {older.id}") == 0
    assert two.count(f"told {older.id} cancelled") == 1
