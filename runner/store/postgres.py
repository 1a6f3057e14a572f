"""
The store for several replicas: a PostgreSQL database, and DBOS to share the work out.

All that is known of an execution is in tables of ours (`pg_schema`). It is accepted together with
a workflow of DBOS (`pg_accept`), which DBOS hands to a replica that has a place (`pg_dispatch`),
where it is walked (`pg_walks`); what dead replicas left is given to others (`pg_leases`).
"""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Final, LiteralString, Self

from runner import ids
from runner.errors import StoreError
from runner.store import pg_lines, pg_schema
from runner.store.base import (
    Accepted,
    FlowText,
    Interrupted,
    Retention,
    Seen,
    Story,
    Tick,
    Walk,
    unheard,
)
from runner.store.pg_accept import Acceptance
from runner.store.pg_connect import Database
from runner.store.pg_dispatch import Dispatch
from runner.store.pg_history import TEXTS, History
from runner.store.pg_leases import TTL, Lease, Sweeper
from runner.store.pg_lines import Lines
from runner.store.pg_queue import BACKLOG, workflow_id
from runner.store.pg_walks import CANCELLED, Walks
from runner.store.pg_workflows import Workflows

_COUNT: Final = 1.0
"""Seconds between looks at how much there is to do."""

_POLLS: Final = 0.5
"""Seconds in which a poll of DBOS may yet bring something, when it is told to stop."""

OPENING: Final = 30.0
"""Seconds that PostgreSQL has to answer when the runner starts: both may be starting."""

_FOUND: Final[LiteralString] = """
with found as (
    select id, owner, segment from runner.executions
    where id = %(id)s and needs is not null for update
)
"""
_WHERE: Final[LiteralString] = "select owner, segment from found"
_CANCEL: Final[LiteralString] = _FOUND + pg_lines.CANCEL + _WHERE

_LINE: Final[LiteralString] = (
    "select line from runner.executions where id = %s and needs is not null"
)

_TEXTS: Final[LiteralString] = """
select key, path, digest, content from runner.flow_texts
join unnest(%s::text[], %s::text[]) as pins (key, digest) using (key, digest)
"""

_TICKS: Final[LiteralString] = "select flow_id, timetable, until from runner.ticks"

# In the order of their ids, as another replica may keep the same ones.
_KEEP_TICKS: Final[LiteralString] = """
insert into runner.ticks as known (flow_id, timetable, until)
select * from unnest(%s::text[], %s::text[], %s::double precision[]) as given (flow_id) order by 1
on conflict (flow_id) do update set timetable = excluded.timetable, until = excluded.until
where known.timetable <> excluded.timetable or known.until < excluded.until
"""


class PostgresStore:
    """
    Keeps everything in the database at *url*, which any number of replicas may share.

    *ttl* is how many seconds a replica may be silent until others take its work over, *opening*
    how many PostgreSQL has to answer at first, and *spare* how many a text is kept that nothing
    pins any more.
    """

    kind: Final = "postgresql"
    durable: Final = True
    shared: Final = True

    _database: Database
    _acceptance: Acceptance
    _in_line: Acceptance
    _history: History
    _opened: AsyncExitStack

    def __init__(
        self, url: str, *, ttl: float = TTL, opening: float = OPENING, spare: float = TEXTS
    ) -> None:
        self._url = url
        self._ttl = ttl
        self._opening = opening
        self._spare = spare
        self._serving: asyncio.Task[None] | None = None
        #: What it says in the port.
        self.backlog = 0
        self._walks: Walks | None = None
        self._hand_over: Callable[[], Awaitable[None]] | None = None
        self._interrupted: Interrupted = unheard

    # --- open and close

    async def __aenter__(self) -> Self:
        """Reach PostgreSQL, in which what is needed is made where it is not there."""
        async with AsyncExitStack() as stack:
            self._database = database = Database(self._url)
            stack.push_async_callback(database.close)
            await database.open(self._opening)
            await pg_schema.migrate(database, self._opening)
            self._workflows = Workflows(database)
            stack.push_async_callback(self._workflows.close)
            self._acceptance = Acceptance(database)
            self._in_line = Acceptance(database, Lines(database, self._replaced).keep)
            self._history = History(database, self._spare)
            stack.callback(self._acceptance.close)
            stack.callback(self._in_line.close)
            for task in (self._acceptance.run(), self._in_line.run()):
                stack.push_async_callback(_ended, asyncio.create_task(task))
            telling = asyncio.create_task(self._history.run())
            stack.push_async_callback(self._history.close, telling)
            self._opened = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop serving, write what is still to be written, and give all connections back."""
        if self._serving is not None:
            await _ended(self._serving)
        await self._opened.aclose()

    @property
    def trouble(self) -> str | None:
        """Why PostgreSQL could not be used when that was last tried."""
        return self._database.trouble

    # --- running

    async def accept(self, execution: Accepted, texts: Sequence[FlowText]) -> bool:
        """Insert it together with its workflow; one in a line has that when it has its turn."""
        way_in = self._acceptance if execution.line is None else self._in_line
        return await way_in.accept(execution, texts)

    def _replaced(self, older: Seen) -> None:
        """A newer one has taken its place. Its workflow comes to nothing when it is due."""
        self._interrupted(older, CANCELLED)

    async def serve(self, walk: Walk, at_once: int, interrupted: Interrupted = unheard) -> None:
        """Run what this replica is given; one store in a process can do that."""
        self._interrupted = interrupted
        self._serving = task = asyncio.create_task(self._serve(walk, at_once, interrupted))
        try:
            await asyncio.shield(task)
        finally:
            await _ended(task)

    async def _serve(self, walk: Walk, at_once: int, interrupted: Interrupted) -> None:
        executor = f"{socket.gethostname()}-{os.getpid()}-{ids.random_id()}"
        lease = Lease(self._database, executor, self._ttl)
        sweeper = Sweeper(self._database, self._workflows, lease, self._ttl)
        walks = Walks(self._database, executor, walk, at_once, interrupted)
        dispatch = Dispatch(self._database, executor)
        self._walks = walks

        async def hand_over() -> None:
            walks.refuse()
            dispatch.retire()
            if self.trouble is not None:  # to ask would take longer than there may be time
                return
            await sweeper.give_back(but=await walks.begun())
            await asyncio.sleep(_POLLS)
            await sweeper.give_back(but=await walks.begun())

        self._hand_over = hand_over
        try:
            # Before anything can be ours: what belongs to who has no lease is taken away.
            await lease.begin()
            await dispatch.start(walks.run, at_once)
            async with asyncio.TaskGroup() as tasks:
                for each in (lease.keep(), walks.watch(), sweeper.run(), self._count()):
                    tasks.create_task(each)
        finally:
            self._walks = self._hand_over = None
            await self._stop(walks, dispatch, lease, sweeper)

    async def _count(self) -> None:
        """Know how much there is to do; until cancelled."""
        while True:
            with suppress(StoreError):
                ((self.backlog,),) = await self._database.ask(BACKLOG)
            await asyncio.sleep(_COUNT)

    async def _stop(self, walks: Walks, dispatch: Dispatch, lease: Lease, sweeper: Sweeper) -> None:
        """End, and have others go on at once with what is left."""
        await walks.stop()
        await dispatch.stop()
        await walks.stop()  # what it handed out between the two
        if self.trouble is not None:  # others go on when the lease is over
            return
        try:
            await walks.release()
            await sweeper.give_back()
            await lease.end()
        except StoreError:  # as above
            return

    async def hand_over(self) -> None:
        """Others get what was not begun."""
        if self._hand_over is not None:
            await self._hand_over()

    async def texts(self, pins: Mapping[str, str]) -> Mapping[str, FlowText]:
        """The texts of *pins* by flow key; a walk waits for them as for its journal."""
        rows = await self._database.insist(_TEXTS, [list(pins), list(pins.values())])
        return {row[0]: FlowText(*row) for row in rows}

    async def cancel(self, id_: str) -> bool:
        """
        End it, or have it end.

        That is written where every beginning looks first, so that no takeover undoes it.
        """
        found = await self._database.ask(_LINE, [id_])
        line = found[0][0] if found else None
        parameters: dict[str, object] = {"id": id_, "now": time.time()}
        rows = await pg_lines.leave(self._database, line, _CANCEL, parameters)
        if not rows:
            return False
        owner, segment = rows[0]
        if owner is None:
            await self._workflows.drop(workflow_id(id_, segment))
        elif self._walks is not None:
            self._walks.cancel(id_)
        return True

    # --- ticks

    async def ticks(self) -> Mapping[str, Tick]:
        """How far schedules have got, by flow id."""
        rows = await self._database.ask(_TICKS)
        return {flow_id: Tick(timetable, until) for flow_id, timetable, until in rows}

    async def keep_ticks(self, ticks: Mapping[str, Tick]) -> None:
        """Write *ticks*."""
        timetables, untils = zip(*ticks.values(), strict=True) if ticks else ((), ())
        await self._database.ask(_KEEP_TICKS, [list(ticks), list(timetables), list(untils)])

    # --- history

    @property
    def dropped(self) -> int:
        """How many stories were left out so far."""
        return self._history.dropped

    def write_history(self, stories: Sequence[Story]) -> None:
        """Write *stories* when there is time, and room in the queue."""
        self._history.offer(stories)

    async def find(self, id_: str) -> Seen | None:
        """The execution with this id."""
        return await self._history.find(id_)

    async def executions(self, limit: int = 1000, before: int | None = None) -> Sequence[Seen]:
        """The newest first."""
        return await self._history.executions(limit, before)

    async def records(self, id_: str) -> bytes:
        """The records of an execution."""
        return await self._history.records(id_)

    async def retain(self, keep: Retention) -> int:
        """Forget in small slices."""
        return await self._history.retain(keep)


async def _ended(task: asyncio.Task[None]) -> None:
    """Cancel *task*, once, and wait until it has ended."""
    if not task.cancelling():
        task.cancel()
    await asyncio.wait([task])
