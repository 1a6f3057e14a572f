"""The PostgreSQL store where it differs from others: PostgreSQL, DBOS, and what they do to us."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import psycopg
import pytest

from runner.errors import StoreError, Unwritable
from runner.ids import random_id
from runner.store import pg_leases, pg_queue, pg_schema
from runner.store.base import Retention, Seen, Story
from runner.store.pg_connect import Database, heeding
from runner.store.pg_leases import Lease, Sweeper
from runner.store.pg_workflows import Pending, Workflows
from runner.store.postgres import PostgresStore
from tests.postgres import Server, server
from tests.unit.store.places import TEXT, Walker, at_once, execution, serving, status, text


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresStore]:
    """A store that is open."""
    async with PostgresStore(url, ttl=1) as opened:
        yield opened


async def _open(url: str) -> None:
    async with PostgresStore(url):
        pass


def asked(url: str, query: str) -> list[tuple[Any, ...]]:
    """What the database says."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(query.encode())
        return cursor.fetchall() if cursor.description else []


#: Those in the middle of a transaction.
_IDLE = """
    from pg_stat_activity
    where datname = current_database() and state = 'idle in transaction'
"""


class Orphans:
    """Two workflows that were somebody's, whom nobody knows."""

    def __init__(self, database: Database, url: str, ids: list[str]) -> None:
        self.database = database
        self.ids = ids
        self.workflows = Workflows(database)
        self._url = url

    def sweeper(self, ttl: float) -> Sweeper:
        """One that finds them; it is alive itself."""
        return Sweeper(self.database, self.workflows, Lease(self.database, "us", ttl), ttl)

    def statuses(self) -> list[str]:
        """In the order of their ids."""
        query = 'select status from dbos.workflow_status order by workflow_uuid collate "C"'
        return [status for (status,) in asked(self._url, query)]


@pytest.fixture
async def orphans(store: PostgresStore, url: str) -> AsyncIterator[Orphans]:
    """Whose process is gone."""
    executions = [execution() for _ in range(2)]
    for each in executions:
        await store.accept(each, [TEXT])
    asked(url, "update dbos.workflow_status set status = 'PENDING', executor_id = 'somebody'")
    database = Database(url)
    await database.open(5)
    made = Orphans(database, url, [each.id for each in executions])
    yield made
    await made.workflows.close()
    await database.close()


# --- acceptance ---------------------------------------------------------------------------------


async def test_batches_with_the_same_executions_do_not_wait_for_each_other(url: str) -> None:
    """Two replicas get the same deliveries in opposite orders: each is accepted once."""
    executions = [execution() for _ in range(200)]
    async with PostgresStore(url) as one, PostgresStore(url) as two:
        answers = await asyncio.gather(
            *(one.accept(each, [TEXT]) for each in executions),
            *(two.accept(each, [TEXT]) for each in reversed(executions)),
        )

    assert answers.count(True) == len(executions)
    assert asked(url, "select count(*) from dbos.workflow_status") == [(200,)]


async def test_what_postgresql_refuses_harms_nobody_else_in_its_batch(
    store: PostgresStore, url: str
) -> None:
    """It has no NUL in texts; the others are accepted."""
    good = [execution() for _ in range(5)]
    bad = execution()._replace(revision="a\0b")

    *answers, refused = await asyncio.gather(
        *(store.accept(each, [TEXT]) for each in good),
        store.accept(bad, [TEXT]),
        return_exceptions=True,
    )

    assert answers == [True] * 5
    assert isinstance(refused, Unwritable)
    assert asked(url, "select count(*) from runner.executions") == [(5,)]


async def test_an_execution_and_its_workflow_are_accepted_together(
    store: PostgresStore, url: str
) -> None:
    """If DBOS does not take it, neither do we."""
    asked(url, "alter table dbos.workflow_input add constraint no check (false) not valid")

    with pytest.raises(StoreError):
        await store.accept(execution(), [TEXT])

    assert asked(url, "select count(*) from runner.executions") == [(0,)]


async def test_texts_are_sent_once(store: PostgresStore, url: str) -> None:
    """Every execution names them, and there they are."""
    await store.accept(execution(), [TEXT])
    asked(url, "update runner.flow_texts set content = 'x'")

    await store.accept(execution(), [TEXT, other := text("other")])

    rows = asked(url, "select key, content from runner.flow_texts order by key")
    assert rows == [("order", b"x"), ("other", other.content)]


# --- PostgreSQL is away -------------------------------------------------------------------------


async def test_a_store_that_is_not_there_is_waited_for_and_then_named(postgres: Server) -> None:
    """With what PostgreSQL says, and for how long it was tried."""
    with pytest.raises(StoreError, match=r'database "nowhere" does not exist.*tried for 0.1 s'):
        await _open_within(postgres.url("nowhere"), 0.1)

    with pytest.raises(StoreError, match="PostgreSQL cannot be used"):
        await _open_within("postgresql://test@127.0.0.1:1/x", 0.1)


async def _open_within(url: str, seconds: float) -> None:
    async with PostgresStore(url, opening=seconds):
        pass


async def test_an_address_that_is_none_is_refused() -> None:
    """Without showing what it holds."""
    with pytest.raises(StoreError, match="address of the store cannot be read") as caught:
        await _open_within("postgresql://user:secret@host/db?nonsense=1", 0.1)

    assert "secret" not in str(caught.value)


async def test_nothing_is_accepted_while_postgresql_is_away_and_all_goes_on_after_it() -> None:
    """A clear error then; what runs waits with its step, and ends when it is back."""
    with server() as own, own.database("away") as url:
        async with PostgresStore(url, ttl=1) as store:
            walker = Walker()
            async with serving(store, walker):
                running = execution()
                await store.accept(running, [TEXT])
                await walker.next()

                own.stop("immediate")
                with pytest.raises(StoreError, match="PostgreSQL cannot be used"):
                    await store.accept(execution(), [TEXT])
                assert store.trouble is not None
                walker.end(running.id)
                own.start()

                await status(store, running.id, "resolved")
                later = execution()
                assert await store.accept(later, [TEXT])
                await walker.next()
                walker.end(later.id)
                await status(store, later.id, "resolved")
            assert store.trouble is None


async def test_a_database_without_connections_left_is_a_clear_error(
    store: PostgresStore, url: str
) -> None:
    """It is said, and over when there is one."""
    asked(url, "create role limited login connection limit 0")
    try:
        with pytest.raises(StoreError, match="too many connections for role"):
            await _open_within(url.replace("test@", "limited@"), 0.1)
    finally:
        asked(url, "drop role limited")


async def test_one_connection_is_too_few_and_that_is_said(store: PostgresStore, url: str) -> None:
    """DBOS has its own: it waits for one, and then says so in one line."""
    asked(url, "create role single login connection limit 1 in role test")
    try:
        with pytest.raises(StoreError, match="too many connections") as raised:
            await _open_within(url.replace("test@", "single@"), 0.1)
        assert "\n" not in raised.value.message
    finally:
        asked(url, "drop role single")


async def test_a_slow_postgresql_is_a_clear_error(url: str) -> None:
    """Somebody locks the table: nobody waits for ever."""
    slow = f"{url}?options=-c%20statement_timeout%3D100"
    async with PostgresStore(slow) as store:
        await store.accept(execution(), [TEXT])
        with psycopg.connect(url) as other:
            other.execute("lock table runner.executions")
            with pytest.raises(StoreError, match="statement timeout"):
                await store.accept(execution(), [TEXT])
        assert await store.accept(execution(), [TEXT])


async def test_a_cancellation_that_a_library_forgets_is_heeded() -> None:
    """As it is where it comes together with what is waited for: a loop would never end."""

    async def forgetful() -> None:
        with heeding(), suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        raise AssertionError

    task = asyncio.create_task(forgetful())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# --- versions -----------------------------------------------------------------------------------


async def test_an_older_program_refuses_a_newer_store(store: PostgresStore, url: str) -> None:
    """And leaves it alone."""
    asked(url, "update runner.version set number = 1000")

    with pytest.raises(StoreError, match=r"version 1000.*as new as the one that wrote it"):
        await _open_within(url, 1)

    assert asked(url, "select number from runner.version") == [(1000,)]


async def test_a_store_is_taken_forwards(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the migrations that it has not had yet, and no others."""
    more = (*pg_schema._MIGRATIONS, "create table runner.later (x integer)")
    monkeypatch.setattr(pg_schema, "_MIGRATIONS", more)

    await _open(url)
    await _open(url)

    assert asked(url, "select number from runner.version") == [(2,)]
    assert asked(url, "select count(*) from runner.later") == [(0,)]


def test_the_names_in_sql_are_those_that_dbos_is_given() -> None:
    """What replicas enqueue is what they listen to."""
    names = (pg_queue.WORKFLOW, pg_queue.QUEUE, pg_queue.APPLICATION, pg_queue.VERSION)

    assert all(f"'{name}'" in pg_queue.ENQUEUE for name in names)


@pytest.mark.parametrize("segment", [0, 1, 10])
def test_workflow_ids_can_be_read_back(segment: int) -> None:
    """They say which execution, and which of its waits."""
    id_ = random_id()

    assert pg_queue.parse_workflow_id(pg_queue.workflow_id(id_, segment)) == (id_, segment)


# --- DBOS ---------------------------------------------------------------------------------------


async def test_one_store_in_a_process_serves(store: PostgresStore, url: str) -> None:
    """There is one DBOS in a process: a second one would get the work of the first."""
    walker = Walker()
    async with serving(store, walker), PostgresStore(url) as second:
        await store.accept(execution(), [TEXT])
        await walker.next()

        with pytest.raises(StoreError, match="serves a PostgreSQL store already"):
            await second.serve(at_once, 1)


async def test_dbos_leaves_our_loop_and_its_threads_alone(store: PostgresStore) -> None:
    """`to_thread` works after it is gone, as before."""
    async with serving(store, at_once):
        await store.accept(wanted := execution(), [TEXT])
        await status(store, wanted.id, "resolved")

    assert await asyncio.to_thread(lambda: 5) == 5


async def test_dbos_says_nothing_of_its_own(
    store: PostgresStore, capfd: pytest.CaptureFixture[str]
) -> None:
    """Stdout is for records, and an orderly stop is nothing to warn of."""
    walker = Walker()
    async with serving(store, walker):
        await store.accept(execution(), [TEXT])
        await walker.next()

    assert capfd.readouterr() == ("", "")
    assert not [handler for handler in logging.getLogger("dbos").handlers if handler.level]


async def test_ended_workflows_do_not_stay(store: PostgresStore, url: str) -> None:
    """Our rows are history enough: those of DBOS would grow for ever."""
    async with serving(store, at_once):
        for _ in range(3):
            await store.accept(wanted := execution(), [TEXT])
            await status(store, wanted.id, "resolved")
        async with asyncio.timeout(20):
            while asked(
                url, "select 1 from dbos.workflow_status union select 1 from dbos.workflow_input"
            ):
                await asyncio.sleep(0.05)


async def test_a_resumed_workflow_of_what_was_cancelled_comes_to_nothing(
    store: PostgresStore, url: str
) -> None:
    """As when a sweeper has listed it just before: nothing undoes a cancellation."""
    await store.accept(wanted := execution(), [TEXT])
    assert await store.cancel(wanted.id)
    workflows = Workflows(database := Database(url))
    await workflows.resume(wanted.id)
    assert asked(url, "select status from dbos.workflow_status") == [("ENQUEUED",)]

    walker = Walker()
    async with serving(store, walker):
        await store.accept(after := execution(), [TEXT])
        assert (await walker.next())[0].id == after.id
        walker.end(after.id)
        await status(store, after.id, "resolved")
    await workflows.close()
    await database.close()

    assert walker.order == [after.id]
    assert (await status(store, wanted.id, "cancelled")).started is None


async def test_what_is_handed_out_twice_is_done_once(store: PostgresStore, url: str) -> None:
    """As when its process was taken for dead by mistake: who runs it goes on."""
    workflows = Workflows(database := Database(url))
    walker = Walker()
    async with serving(store, walker):
        await store.accept(wanted := execution(), [TEXT])
        await walker.next()
        await workflows.resume(wanted.id)
        async with asyncio.timeout(20):
            while asked(url, "select status from dbos.workflow_status") != [("PENDING",)]:
                await asyncio.sleep(0.01)
        await store.accept(after := execution(), [TEXT])
        await walker.next()
        walker.end(wanted.id)
        await status(store, wanted.id, "resolved")
    await workflows.close()
    await database.close()

    assert walker.order == [wanted.id, after.id]
    assert walker.cancelled == [after.id]


@pytest.mark.parametrize(("died", "ends"), [(20, "resolved"), (21, "interrupted")])
async def test_what_too_many_died_of_is_not_run_again(
    store: PostgresStore, url: str, died: int, ends: str
) -> None:
    """It is taken to be the cause, and ends with that reason."""
    await store.accept(wanted := execution(), [TEXT])
    asked(url, f"update runner.executions set takeovers = {died}")

    async with serving(store, at_once):
        seen = await status(store, wanted.id, ends)

    assert (seen.error is None) == (ends == "resolved")


async def test_only_whose_workflow_it_is_begins_an_execution(
    store: PostgresStore, url: str
) -> None:
    """Who was slow to begin what others were given meanwhile takes it from nobody."""
    await store.accept(wanted := execution(), [TEXT])
    asked(url, "update dbos.workflow_status set status = 'PENDING', executor_id = 'another'")
    begin = f"select epoch from runner.begin('{wanted.id}', 0, '{wanted.id}', '%s', 0)"

    assert asked(url, begin % "slow") == []
    assert asked(url, begin % "another") == [(1,)]


async def test_who_has_lost_an_execution_does_not_end_it(store: PostgresStore, url: str) -> None:
    """As when a replica wakes up with its last step done: how it ends says who runs it now."""
    walker = Walker()
    async with serving(store, walker):
        await store.accept(wanted := execution(), [TEXT])
        await walker.next()
        asked(url, "update runner.executions set epoch = epoch + 1, owner = 'another'")
        walker.end(wanted.id)
        async with asyncio.timeout(20):
            while asked(url, "select status from dbos.workflow_status") == [("PENDING",)]:
                await asyncio.sleep(0.01)

        query = "select status, owner, needs is null from runner.executions"
        assert asked(url, query) == [("running", "another", False)]


async def test_what_dbos_gave_up_is_taken_up_again(store: PostgresStore, url: str) -> None:
    """As when somebody cancels a workflow with the tools of DBOS: the execution is ours."""
    await store.accept(wanted := execution(), [TEXT])
    workflows = Workflows(database := Database(url))
    await workflows.drop(wanted.id)
    assert asked(url, "select status from dbos.workflow_status") == [("CANCELLED",)]
    await workflows.close()
    await database.close()

    async with serving(store, at_once):
        await status(store, wanted.id, "resolved")


async def test_what_this_program_cannot_read_ends(store: PostgresStore, url: str) -> None:
    """With the reason, and without harm to others."""
    await store.accept(broken := execution(), [TEXT])
    asked(url, """update runner.executions set needs = '{"odd": 1}'""")

    async with serving(store, at_once):
        seen = await status(store, broken.id, "interrupted")
        await store.accept(other := execution(), [TEXT])
        await status(store, other.id, "resolved")

    assert seen.error is not None
    assert "cannot read what was accepted" in seen.error["message"]


async def test_a_password_is_not_logged(
    postgres: Server, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """DBOS writes down the address that it gets."""
    caplog.set_level(logging.DEBUG, "dbos")
    name = url.rpartition("/")[2]

    await _open(f"{postgres.url(name, password='hunter22')}")

    assert "Initializing DBOS system database" in caplog.text
    assert "hunter22" not in caplog.text


# --- leases -------------------------------------------------------------------------------------


async def test_the_work_of_the_dead_goes_back_into_the_queue(orphans: Orphans) -> None:
    """Whoever has no lease that is valid counts as dead."""
    await orphans.sweeper(ttl=0.1).sweep()

    assert orphans.statuses() == ["ENQUEUED", "ENQUEUED"]


async def test_the_work_of_the_living_stays_where_it_is(orphans: Orphans) -> None:
    """However long it takes."""
    await Lease(orphans.database, "somebody", 60).begin()

    await orphans.sweeper(ttl=0.1).sweep()

    assert orphans.statuses() == ["PENDING", "PENDING"]


async def test_nobody_is_dead_when_postgresql_has_just_started(orphans: Orphans) -> None:
    """Nobody could renew a lease while it was away."""
    await orphans.sweeper(ttl=1e6).sweep()

    assert orphans.statuses() == ["PENDING", "PENDING"]


async def test_who_could_not_renew_does_not_judge_others(orphans: Orphans) -> None:
    """They could not either, perhaps."""
    sweeper = orphans.sweeper(ttl=0.1)  # PostgreSQL has been there for longer
    sweeper._lease.lapsed = time.monotonic() + 60

    await sweeper.sweep()

    assert orphans.statuses() == ["PENDING", "PENDING"]


async def test_only_one_sweeps(orphans: Orphans, url: str) -> None:
    """The others leave it to them."""
    with psycopg.connect(url) as other:
        other.execute("select pg_advisory_xact_lock(%s)", [pg_leases._LOCK])
        await orphans.sweeper(ttl=0.1).sweep()

    assert orphans.statuses() == ["PENDING", "PENDING"]


async def test_who_takes_too_long_to_sweep_stops(orphans: Orphans, url: str) -> None:
    """Somebody else does it then, and what is given away twice is done twice."""
    pending = orphans.workflows.pending
    looks = iter(["for who is dead", "for what is theirs"])

    async def slowly() -> list[Pending]:
        found = await pending()
        if next(looks) == "for what is theirs":
            asked(url, f"select pg_terminate_backend(pid) {_IDLE}")
            async with asyncio.timeout(20):
                while asked(url, f"select {_IDLE}"):
                    await asyncio.sleep(0.01)
        return found

    orphans.workflows.pending = slowly  # type: ignore[method-assign]
    await orphans.sweeper(ttl=0.1).sweep()

    assert orphans.statuses() == ["PENDING", "PENDING"]


async def test_what_was_given_back_meanwhile_is_not_given_away_again(
    orphans: Orphans, url: str
) -> None:
    """As when its process stops: it gives back what it has, and its lease ends."""
    pending = orphans.workflows.pending
    before = await pending()
    asked(url, "update dbos.workflow_status set executor_id = 'us'")
    answers = [before]

    async def first_as_it_was() -> list[Pending]:
        return answers.pop() if answers else await pending()

    orphans.workflows.pending = first_as_it_was  # type: ignore[method-assign]
    await orphans.sweeper(ttl=0.1).sweep()

    assert orphans.statuses() == ["PENDING", "PENDING"]


async def test_a_row_that_somebody_frozen_holds_does_not_stop_the_others(
    orphans: Orphans, url: str
) -> None:
    """Its turn comes with the next sweep."""
    with psycopg.connect(url) as other:
        other.execute(
            "select from dbos.workflow_status where workflow_uuid = %s for update",
            [min(orphans.ids)],
        )
        await orphans.sweeper(ttl=0.1).sweep()

    assert orphans.statuses() == ["PENDING", "ENQUEUED"]
    await orphans.sweeper(ttl=0.1).sweep()
    assert orphans.statuses() == ["ENQUEUED", "ENQUEUED"]


# --- history ------------------------------------------------------------------------------------


async def test_what_is_forgotten_makes_room(store: PostgresStore, url: str) -> None:
    """Tables that lose as much as they get do not grow."""
    size = "select pg_total_relation_size('runner.records')"

    async def fill() -> int:
        store.write_history([_story() for _ in range(100)])
        last = _story()
        store.write_history([last])
        async with asyncio.timeout(20):
            while await store.find(last.seen.id) is None:
                await asyncio.sleep(0.01)
        await store.retain(Retention(bytes=100_000))
        return int(asked(url, size)[0][0])

    first = await fill()
    sizes = [await fill() for _ in range(5)]

    assert max(sizes) < 1.5 * first
    await store.retain(Retention(count=0))
    assert asked(url, size)[0][0] < first


def _story() -> Story:
    records = b'"' + random_id().encode() * 300 + b'"\n'
    now = time.time()
    seen = Seen(
        id=random_id(), flow="order", flow_id="1", digest="2", revision="main", generation=3,
        trigger="manual", parent_id=None, durable=False, status="resolved", accepted=now,
        started=now, finished=now, duration_ms=1.0, steps=1, bytes=len(records),
    )  # fmt: skip
    return Story(seen, records)


async def test_stories_that_nobody_takes_are_dropped_and_counted(url: str) -> None:
    """Memory is not for what PostgreSQL cannot have."""
    async with PostgresStore(url) as store:
        big = [_story()._replace(records=b"x" * (1 << 20)) for _ in range(20)]
        store.write_history(big)
        assert store.dropped == 13


async def test_what_is_told_last_is_told_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is closed while the answer to a commit is under way waits for it."""
    committed = asyncio.Event()
    transaction = Database.transaction

    @asynccontextmanager
    async def slow(database: Database) -> AsyncIterator[psycopg.AsyncConnection]:
        async with transaction(database) as connection:
            yield connection
        committed.set()
        await asyncio.sleep(0.1)

    monkeypatch.setattr(Database, "transaction", slow)
    async with PostgresStore(url) as store:
        store.write_history([_story()])
        await committed.wait()

    assert asked(url, "select steps from runner.executions") == [(1,)]
    assert asked(url, "select count(*) from runner.records") == [(1,)]
    assert store.dropped == 0


# --- what is left to others ---------------------------------------------------------------------


async def test_what_nobody_has_a_place_for_is_counted(store: PostgresStore) -> None:
    """So that no replica accepts more when all of them together are too slow."""
    walker = Walker()
    ids = [random_id() for _ in range(4)]
    async with serving(store, walker, 1):
        for id_ in ids:
            await store.accept(execution(id_), [TEXT])
        assert (await walker.next())[0].id == ids[0]
        async with asyncio.timeout(30):
            while store.backlog != 3:
                await asyncio.sleep(0.01)
        for id_ in ids[1:]:
            await store.cancel(id_)
        async with asyncio.timeout(30):
            while store.backlog:
                await asyncio.sleep(0.01)


async def test_who_hands_over_begins_nothing_more(store: PostgresStore, url: str) -> None:
    """What waits for a place, and what comes later, is for others; what runs goes on."""
    walker = Walker()
    runs, waits, later = (random_id() for _ in range(3))
    async with serving(store, walker, 1):
        await store.accept(execution(runs), [TEXT])
        await walker.next()
        await store.accept(execution(waits), [TEXT])
        await store.hand_over()
        await store.accept(execution(later), [TEXT])
        walker.end(runs)
        await status(store, runs, "resolved")

    assert walker.order == [runs]
    query = "select id, takeovers, owner from runner.executions where needs is not null"
    assert sorted(asked(url, query)) == sorted([(waits, 0, None), (later, 0, None)])
    query = "select distinct status from dbos.workflow_status where status <> 'SUCCESS'"
    assert asked(url, query) == [("ENQUEUED",)]
