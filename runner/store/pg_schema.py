"""
The tables of the PostgreSQL store, and how they come to be.

Ours are in the schema `runner`, those of DBOS beside them in `dbos`. A database is only ever
taken forwards, by one process at a time; a program that is older than its database leaves it
alone and says so.
"""

import asyncio
import time
from typing import Final, LiteralString

from psycopg import AsyncConnection, OperationalError

from runner.errors import StoreError
from runner.store.pg_connect import Database, brief

_LOCK: Final = 0x72756E6E6572
"""Advisory lock of whoever migrates: `runner` in ASCII."""

_PATIENCE: Final = 60.0
"""Seconds that somebody else may take to migrate."""

_RETRY: Final = 0.5

_TABLES: Final = """
create table runner.flow_texts (
    key text not null,
    digest text not null,
    path text not null,
    content bytea not null,
    -- When an execution that pins it was last accepted, to the hour.
    used timestamptz not null default now(),
    primary key (digest, key)
);

-- Executions under way, and the history of all that ended. Times are seconds since 1970.
create table runner.executions (
    id text collate "C" primary key,
    number bigint generated always as identity unique,
    flow text not null,
    flow_id text not null,
    digest text not null,
    revision text not null,
    generation integer not null,
    trigger text not null,
    parent_id text,
    durable boolean not null,
    status text not null,
    accepted double precision not null,
    started double precision,
    finished double precision,
    duration_ms double precision,
    error text,
    steps integer not null default 0,
    bytes bigint not null default 0,

    -- The rest is only of use until it has ended. `needs` and `trigger_data`, JSON, and `pins`,
    -- digests by flow key, are what it runs with: null is how everybody knows that it has ended.
    -- Only the last is `jsonb`, which cannot hold everything that JSON can say.
    needs text,
    trigger_data text,
    pins jsonb,
    due double precision,
    -- Which of its DBOS workflows is to run it: a wait begins another one.
    segment integer not null default 0,
    -- Grows whenever somebody begins to run it, or stops: who has an older one has lost it.
    epoch bigint not null default 0,
    owner text,
    takeovers integer not null default 0,
    cancelled boolean not null default false,
    -- Where it stands in a line (`pg_lines`): which one, how many there have their turn at once,
    -- and whether this one has. What has no turn has no workflow.
    line text,
    width integer,
    turn boolean
) with (fillfactor = 80);
create index executions_ended on runner.executions (finished) where needs is null;
create index executions_in_line on runner.executions (line, turn, number)
    where line is not null and needs is not null;

-- The journal of what is under way.
create table runner.steps (
    execution text collate "C" not null,
    path text collate "C" not null,
    attempt integer not null,
    kind text not null check (kind in ('resolved', 'rejected', 'wake')),
    value text not null,
    primary key (execution, path)
);

-- What is told of executions: redacted lines of JSON.
create table runner.records (
    execution text collate "C" not null,
    part bigint generated always as identity,
    lines bytea not null,
    primary key (execution, part)
);

-- How far schedules have got.
create table runner.ticks (
    flow_id text collate "C" primary key,
    timetable text not null,
    until double precision not null
);

-- The last good text of every flow file. A path may be no text at all.
create table runner.last_good (
    path bytea primary key,
    digest text not null,
    content bytea not null
);

-- Who is alive, and until when that may be believed.
create table runner.leases (executor text primary key, expires timestamptz not null);
"""

_BEGIN: Final = """
-- Take an execution over, for the workflow that DBOS gave to `executor`; nothing: it is not to
-- be run, or not by us. The row is locked before DBOS is asked whose the workflow is: of two who
-- begin at once, the one whose workflow it is comes out with the higher epoch.
create function runner.begin(
    execution text, of_segment integer, workflow text, executor text, at double precision
) returns table (
    epoch bigint, takeovers integer, cancelled boolean, line text, needs text, trigger_data text,
    pins jsonb
) language plpgsql as $$
begin
    perform from runner.executions e
        where e.id = execution and e.segment = of_segment and e.needs is not null for update;
    if not found then return; end if;
    perform from dbos.workflow_status w
        where w.workflow_uuid = workflow and w.status = 'PENDING' and w.executor_id = executor;
    if not found then return; end if;
    return query update runner.executions e set
            epoch = e.epoch + 1,
            takeovers = e.takeovers + (e.owner is not null and e.owner <> executor)::integer,
            owner = executor,
            status = 'running',
            started = coalesce(e.started, at)
        where e.id = execution
        returning e.epoch, e.takeovers, e.cancelled, e.line, e.needs, e.trigger_data, e.pins;
end $$;
"""

_MIGRATIONS: Final[tuple[LiteralString, ...]] = (_TABLES + _BEGIN,)
"""What takes a database from each version to the next; never changed, only added to."""


async def migrate(database: Database, wait: float) -> None:
    """
    Bring *database* to the version of this program.

    DBOS needs a connection of its own, and waits *wait* seconds for it. Raises StoreError where
    it cannot be done.
    """
    async with database.session() as connection:
        await _lock(connection)
        async with connection.transaction():
            await _migrate_ours(connection)
        deadline = time.monotonic() + wait
        while True:
            if await asyncio.to_thread(_migrate_dbos, database.url, deadline):
                return
            await asyncio.sleep(_RETRY)


async def _lock(connection: AsyncConnection) -> None:
    """
    Be the only one who migrates, until *connection* is closed: DBOS has connections of its own.

    Trying, and not waiting in PostgreSQL: DBOS makes indexes concurrently, and that waits for
    every statement to end, those that wait for this lock included.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        cursor = await connection.execute("select pg_try_advisory_lock(%s)", [_LOCK])
        if await cursor.fetchone() == (True,):
            return
        if time.monotonic() > deadline:
            message = f"somebody else has been making the tables of the store for {_PATIENCE:g} s"
            raise StoreError(message)
        await asyncio.sleep(0.1)


async def _migrate_ours(connection: AsyncConnection) -> None:
    await connection.execute("create schema if not exists runner")
    await connection.execute("create table if not exists runner.version (number integer not null)")
    cursor = await connection.execute("select coalesce(max(number), 0) from runner.version")
    ((version,),) = await cursor.fetchall()
    if version > len(_MIGRATIONS):
        raise StoreError(
            f"the store is of version {version}, and this program only knows up to"
            f" {len(_MIGRATIONS)}: run a program that is as new as the one that wrote it"
        )
    for migration in _MIGRATIONS[version:]:
        await connection.execute(migration)
    await connection.execute("delete from runner.version")
    await connection.execute("insert into runner.version values (%s)", [len(_MIGRATIONS)])


def _migrate_dbos(url: str, deadline: float) -> bool:
    """Whether the tables of DBOS are as they should be; False: it may be so a little later."""
    from dbos import DBOS  # noqa: PLC0415 - 0.8 s; only who uses PostgreSQL pays for it

    try:
        DBOS.migrate(url)
    except Exception as error:
        away = isinstance(getattr(error, "orig", error), OperationalError)
        if away and time.monotonic() < deadline:
            return False
        raise StoreError(f"the tables of DBOS cannot be made: {brief(error)}") from None
    return True
