"""
Who is alive, and what becomes of the work of those who are not.

Every process has a lease that it renews; a sweeper, one at a time over all of them, gives the
work of those whose lease is over back to the queue. A lease that is over by mistake costs an
operation that is done twice, and nothing else: epochs decide who writes (`pg_walks`).
"""

import asyncio
import logging
import time
from collections.abc import Collection
from typing import Final, LiteralString

from psycopg import AsyncConnection

from runner.errors import StoreError
from runner.store.pg_connect import Database
from runner.store.pg_queue import ENQUEUE, parse_workflow_id
from runner.store.pg_workflows import Workflows

TTL: Final = 10.0
"""Seconds until a process that is silent counts as dead; longer than PostgreSQL is usually away."""

_LOCK: Final = 0x7377656570
"""Advisory lock of who sweeps: `sweep` in ASCII."""

_SLICE: Final = 1000
"""So many workflows that have ended are deleted at once."""

_SLICES: Final = 10
"""So often in one sweep: others have a turn."""

_AT_ONCE: Final = 100
"""So many workflows are given to others at once."""

_log = logging.getLogger(__name__)

_RENEW: Final[LiteralString] = """
insert into runner.leases values (%s, now() + make_interval(secs => %s))
on conflict (executor) do update set expires = excluded.expires
"""

# Nobody could renew while PostgreSQL was away: after it every lease looks dead.
_MAY_SWEEP: Final[LiteralString] = """
select pg_try_advisory_xact_lock(%s)
    and now() - pg_postmaster_start_time() > make_interval(secs => %s)
"""

# Fails where the lock is lost, as its transaction has ended: somebody else may sweep. And asking
# keeps it from ending, for PostgreSQL ends what says nothing for five seconds.
_STILL_OURS: Final[LiteralString] = "select 1"

_LIVE: Final[LiteralString] = "select executor from runner.leases where expires > now()"

_BURY: Final[LiteralString] = "delete from runner.leases where expires < now() - interval '1 day'"

# Of workflows that have ended those whose segment has not: something failed that never should.
_STUCK: Final[LiteralString] = """
select ended.id, ended.segment, ours.owner
from unnest(%s::text[], %s::integer[]) as ended (id, segment)
join runner.executions ours
    on ours.id = ended.id and ours.segment = ended.segment and ours.needs is not null
"""

_AGAIN: Final[LiteralString] = """
with segments as (
    update runner.executions
    set segment = segment + 1, status = 'queued', owner = null, takeovers = takeovers + 1
    where id = %s and segment = %s and needs is not null
    returning id, segment, due
)
"""
_REVIVE: Final[LiteralString] = _AGAIN + ENQUEUE


class Lease:
    """That of this process, which calls itself *executor*."""

    def __init__(self, database: Database, executor: str, ttl: float) -> None:
        self._database = database
        self._ttl = ttl
        self.executor = executor
        #: When a renewal failed last.
        self.lapsed = -float("inf")

    async def begin(self) -> None:
        """Be alive, however long it takes to say so."""
        await self._database.insist(_RENEW, [self.executor, self._ttl])

    async def keep(self) -> None:
        """Renew it in time, in a task that waits for nothing else; runs until cancelled."""
        while True:
            await asyncio.sleep(self._ttl / 3)
            try:
                await self._database.ask(_RENEW, [self.executor, self._ttl])
            except StoreError:
                self.lapsed = time.monotonic()

    async def end(self) -> None:
        """Be dead, and known to be."""
        await self._database.ask("delete from runner.leases where executor = %s", [self.executor])


class Sweeper:
    """Gives the work of the dead back to the queue, and forgets what has ended."""

    def __init__(self, database: Database, workflows: Workflows, lease: Lease, ttl: float) -> None:
        self._database = database
        self._workflows = workflows
        self._lease = lease
        self._ttl = ttl

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await self.sweep()
            await asyncio.sleep(self._ttl / 3)

    async def sweep(self) -> None:
        """Once, unless somebody else does, or nobody can tell who is alive. Does not raise."""
        if time.monotonic() - self._lease.lapsed < self._ttl:
            return
        try:
            async with self._database.transaction() as connection:
                cursor = await connection.execute(_MAY_SWEEP, [_LOCK, self._ttl])
                if await cursor.fetchone() == (True,):
                    await self._sweep(connection)
        except Exception as error:  # the next one looks at everything again
            _log.warning("the work of dead processes was not taken over: %s", error)

    async def give_back(self, but: Collection[str] = ()) -> None:
        """Have others run what this process was given, *but* some workflows. Does not raise."""
        try:
            for workflow in await self._workflows.pending():
                if workflow.executor == self._lease.executor and workflow.id not in but:
                    await self._workflows.resume(workflow.id)
        except Exception as error:  # others find it when they sweep
            _log.warning("the work of this process was not given to others: %s", error)

    async def _sweep(self, connection: AsyncConnection) -> None:
        # In this order: whoever began one that is pending had a lease by then.
        pending = await self._workflows.pending()
        cursor = await connection.execute(_LIVE)
        live = {executor for (executor,) in await cursor.fetchall()}
        if dead := {workflow.executor for workflow in pending} - live:
            await self._take_over(connection, dead)
        for _ in range(_SLICES):
            await connection.execute(_STILL_OURS)
            if not await self._tidy(live):
                break
        await connection.execute(_BURY)

    async def _take_over(self, connection: AsyncConnection, dead: set[str]) -> None:
        # Asked once more, as one that stops gives its work back before its lease ends: what is
        # pending now is with somebody who lives, and would be done twice.
        left = [each.id for each in await self._workflows.pending() if each.executor in dead]
        for at in range(0, len(left), _AT_ONCE):
            await self._resume(connection, left[at : at + _AT_ONCE])

    async def _resume(self, connection: AsyncConnection, workflows: list[str]) -> None:
        await connection.execute(_STILL_OURS)
        try:
            await self._workflows.resume(*workflows)
        except Exception as error:  # somebody stopped in the middle of something locks a row
            if len(workflows) == 1:
                _log.warning("an execution was not taken over yet: %s", error)
                return
            half = len(workflows) // 2
            await self._resume(connection, workflows[:half])
            await self._resume(connection, workflows[half:])

    async def _tidy(self, live: set[str]) -> bool:
        """Delete workflows that have ended; whether there may be more of them."""
        ended = {parse_workflow_id(id_): id_ for id_ in await self._workflows.ended(_SLICE)}
        if not ended:
            return False
        stuck = await self._database.ask(_STUCK, list(map(list, zip(*ended, strict=True))))
        for id_, segment, owner in stuck:
            del ended[id_, segment]
            if owner not in live:
                await self._database.ask(_REVIVE, [id_, segment])
        await self._workflows.delete(list(ended.values()))
        return len(ended) == _SLICE
