"""Replicas that share a PostgreSQL store: real processes, really killed, stopped and woken up."""

import asyncio
import signal
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from runner.errors import StoreError
from runner.store.base import Accepted
from runner.store.postgres import PostgresStore
from tests.postgres import Server, server
from tests.unit.store.places import TEXT, execution, status
from tests.unit.store.replicas import Cluster, Replica

pytestmark = pytest.mark.slow


@pytest.fixture
def url(postgres: Server) -> Iterator[str]:
    """An empty database."""
    with postgres.database(f"replicas_{uuid.uuid4().hex}") as url:
        yield url


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresStore]:
    """A store that serves nothing: it only accepts and looks."""
    async with PostgresStore(url, ttl=1) as opened:
        yield opened


def work(**data: object) -> Accepted:
    """An execution that does what *data* says."""
    return execution(data={"steps": 2, **data})


async def test_what_a_killed_replica_ran_goes_on_behind_its_last_step(
    cluster: Cluster, store: PostgresStore, tmp_path: Path
) -> None:
    """kill -9: another one takes over, does the step that was under way, and none before it."""
    one = await cluster.replica()
    accepted = work(gate=str(tmp_path / "gate"))
    await store.accept(accepted, [TEXT])
    await one.said(f"begins {accepted.id} 1")
    two = await cluster.replica()

    await one.end()
    (tmp_path / "gate").touch()
    await two.said(f"done {accepted.id}")
    seen = await status(store, accepted.id, "resolved")

    assert seen.error is None
    assert cluster.effects("did") == {f"did {accepted.id} 0": 1, f"did {accepted.id} 1": 1}


async def test_a_stopped_replica_that_wakes_up_finds_that_it_has_lost(
    cluster: Cluster, store: PostgresStore, tmp_path: Path
) -> None:
    """SIGSTOP, then SIGCONT: it does no harm beyond the operation that it was in."""
    one = await cluster.replica()
    accepted = work(gate=str(tmp_path / "gate"), steps=1)
    await store.accept(accepted, [TEXT])
    await one.said(f"begins {accepted.id} 0")
    two = await cluster.replica()

    one.send(signal.SIGSTOP)
    await two.said(f"begins {accepted.id} 0")
    one.send(signal.SIGCONT)  # its operation is still under way, and so is ours
    async with asyncio.timeout(20):
        while not one.count(f"cancelled {accepted.id}"):
            await asyncio.sleep(0.01)
    (tmp_path / "gate").touch()
    await two.said(f"done {accepted.id}")
    await status(store, accepted.id, "resolved")
    later = work(steps=1)
    await two.end()
    await store.accept(later, [TEXT])
    await one.said(f"done {later.id}")

    assert cluster.effects("done")[f"done {accepted.id}"] == 1
    assert one.count(f"recorded {accepted.id}") == 0


async def test_a_replica_that_was_taken_for_dead_cannot_write_any_more(
    cluster: Cluster, store: PostgresStore, tmp_path: Path
) -> None:
    """It wakes up in the middle of a step that ends at once: its result is refused."""
    one = await cluster.replica()
    accepted = work(gate=str(tmp_path / "gate"), steps=1)
    await store.accept(accepted, [TEXT])
    await one.said(f"begins {accepted.id} 0")
    two = await cluster.replica()

    one.send(signal.SIGSTOP)
    (tmp_path / "gate").touch()
    await two.said(f"done {accepted.id}")
    await status(store, accepted.id, "resolved")
    one.send(signal.SIGCONT)
    async with asyncio.timeout(20):
        while not (one.count(f"lost {accepted.id}") or one.count(f"cancelled {accepted.id}")):
            await asyncio.sleep(0.01)

    assert one.count(f"recorded {accepted.id}") == 0
    assert one.count(f"done {accepted.id}") == 0


async def test_a_takeover_does_not_undo_a_cancellation(
    cluster: Cluster, store: PostgresStore, tmp_path: Path
) -> None:
    """Cancelled between the death of its process and the takeover, it is not walked again."""
    one = await cluster.replica()
    accepted = work(gate=str(tmp_path / "gate"))
    await store.accept(accepted, [TEXT])
    await one.said(f"begins {accepted.id} 1")

    await one.end()
    assert await store.cancel(accepted.id)
    two = await cluster.replica()
    await status(store, accepted.id, "cancelled")

    assert two.count("walk") == 0


async def test_what_is_cancelled_elsewhere_stops_here(
    cluster: Cluster, store: PostgresStore, tmp_path: Path
) -> None:
    """The walk of an execution is cancelled in whichever process it runs."""
    one = await cluster.replica()
    accepted = work(gate=str(tmp_path / "never"))
    await store.accept(accepted, [TEXT])
    await one.said(f"begins {accepted.id} 1")

    assert await store.cancel(accepted.id)
    await one.said(f"cancelled {accepted.id}")
    await status(store, accepted.id, "cancelled")

    assert not await store.cancel(accepted.id)


async def test_an_execution_that_kills_its_processes_ends(
    cluster: Cluster, store: PostgresStore
) -> None:
    """After more deaths than are allowed it is interrupted, and the reason is kept."""
    accepted = work(die=True)
    await store.accept(accepted, [TEXT])
    for _ in range(3):
        dying = await cluster.starting(takeovers=2, ttl=0.5)
        assert await asyncio.wait_for(dying.process.wait(), 30) == 1
    await cluster.replica(takeovers=2, ttl=0.5)

    seen = await status(store, accepted.id, "interrupted")

    assert seen.error is not None
    assert "3 processes died" in seen.error["message"]


async def test_a_wait_survives_its_process(cluster: Cluster, store: PostgresStore) -> None:
    """An execution that waits is woken up by whoever is there when it is time."""
    one = await cluster.replica()
    accepted = work(wait=2)
    await store.accept(accepted, [TEXT])
    await one.said(f"waits {accepted.id}")
    await status(store, accepted.id, "waiting")

    await one.end()
    two = await cluster.replica()
    await two.said(f"done {accepted.id}")
    await status(store, accepted.id, "resolved")

    assert two.count("did") == 0


async def test_a_replica_that_leaves_gives_its_work_to_others_at_once(
    cluster: Cluster, store: PostgresStore, tmp_path: Path
) -> None:
    """SIGTERM is no death: nobody waits until a lease is over, and no takeover is counted."""
    one = await cluster.replica(ttl=600)
    accepted = work(gate=str(tmp_path / "gate"))
    await store.accept(accepted, [TEXT])
    await one.said(f"begins {accepted.id} 1")
    two = await cluster.replica(ttl=600, takeovers=0)

    assert await one.end(signal.SIGTERM) == 0
    (tmp_path / "gate").touch()
    await two.said(f"done {accepted.id}")

    await status(store, accepted.id, "resolved")


async def test_replicas_that_start_at_once_make_the_tables_once(cluster: Cluster, url: str) -> None:
    """Three processes and an empty database: all of them work."""
    replicas = await asyncio.gather(*(cluster.replica() for _ in range(3)))
    async with PostgresStore(url) as store:
        accepted = work()
        await store.accept(accepted, [TEXT])
        await status(store, accepted.id, "resolved")

    assert len(replicas) == 3
    with psycopg.connect(url) as connection:
        assert connection.execute("select number from runner.version").fetchall() == [(1,)]


async def test_a_replica_ends_in_time_while_postgresql_is_away(tmp_path: Path) -> None:
    """Neither its own tasks nor the threads of DBOS keep it: they do not wait for PostgreSQL."""
    with server() as own, own.database("away") as url:
        try:
            async with _replica(url) as one, PostgresStore(url, ttl=1) as store:
                accepted = work(gate=str(tmp_path / "gate"))
                await store.accept(accepted, [TEXT])
                await one.said(f"begins {accepted.id} 1")
                own.stop("immediate")
                (tmp_path / "gate").touch()
                await one.said(f"did {accepted.id} 1")
                async with asyncio.timeout(15):
                    assert await one.end(signal.SIGTERM) == 0
        finally:
            own.start()


@asynccontextmanager
async def _replica(url: str) -> AsyncIterator[Replica]:
    cluster = Cluster(url)
    try:
        yield await cluster.replica()
    finally:
        for replica in cluster.replicas:
            await replica.end()


async def test_nothing_accepted_is_lost_when_postgresql_and_replicas_die_under_load() -> None:
    """PostgreSQL is pulled out twice, replicas are killed: all ends once, in the store and out."""
    with server() as own, own.database("chaos") as url:
        cluster = Cluster(url)
        try:
            for _ in range(2):
                await cluster.replica(ttl=2)
            async with PostgresStore(url, ttl=2) as store:
                accepted = [work(steps=3, pause=0.02) for _ in range(150)]
                sending = asyncio.create_task(_send(store, accepted))
                for _ in range(2):
                    await asyncio.sleep(0.5)
                    own.stop("immediate")
                    await asyncio.sleep(0.5)
                    own.start()
                    await cluster.replicas[-2].end()
                    await cluster.replica(ttl=2)
                await sending
                for each in accepted:
                    await status(store, each.id, "resolved")
        finally:
            for replica in cluster.replicas:
                await replica.end()

    twice = {line: count for line, count in cluster.effects("did").items() if count > 1}
    assert len(cluster.effects("did")) == 450
    # Those that were under way when their process, or PostgreSQL, died: two walks of eight each.
    assert sum(twice.values()) - len(twice) <= 2 * 2 * 2 * 8, twice


async def _send(store: PostgresStore, executions: list[Accepted]) -> None:
    """Have them accepted, whatever happens."""
    for each in executions:
        while True:
            try:
                await store.accept(each, [TEXT])
                break
            except StoreError:
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.005)
