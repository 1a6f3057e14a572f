"""
Run what DBOS hands out: begin an execution, keep its journal, and write down how that ended.

Whoever begins an execution gets an *epoch*, and everything is written on condition that it is
still the latest one: a process that was taken for dead, and wakes up, finds that it has lost, and
an execution has one result however many believe that they run it.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final, LiteralString

from runner.errors import Lost
from runner.model import Result, Status
from runner.store import pg_lines, rows
from runner.store.base import MAX_TAKEOVERS, Accepted, Interrupted, Step, WakeAt, Walk
from runner.store.pg_connect import Database
from runner.store.pg_queue import ENQUEUE, workflow_id
from runner.store.values import pack, unpack
from runner.types import JSONObject

_WATCH: Final = 1.0
"""Seconds until a walk whose execution was cancelled, or lost, elsewhere is cancelled."""

_LAST: Final = 3.0
"""Seconds for writing down how executions ended when the store is closed."""

_FAILED: Final = "the runner failed while it ran this execution"

CANCELLED: Final = Result(
    Status.CANCELLED,
    {"name": "Cancelled", "message": "the execution was cancelled", "code": "CANCELLED"},
)

_BEGIN: Final[LiteralString] = "select * from runner.begin(%s, %s, %s, %s, %s)"

_STEPS: Final[LiteralString] = (
    "select path, attempt, kind, value from runner.steps where execution = %s"
)

# The row is locked: who begins it meanwhile waits, and then reads a journal that has this step.
_RECORD: Final[LiteralString] = """
with ours as (
    select id from runner.executions
    where id = %s and epoch = %s and needs is not null for share
)
insert into runner.steps (execution, path, attempt, kind, value)
select id, %s, %s, %s, %s from ours
on conflict (execution, path) do update
    set attempt = excluded.attempt, kind = excluded.kind, value = excluded.value
returning execution
"""

_SUSPEND: Final[LiteralString] = """
with segments as (
    update runner.executions
    set status = 'waiting', owner = null, epoch = epoch + 1, segment = segment + 1,
        due = case when cancelled then 0 else %s end
    where id = %s and epoch = %s and segment = %s and needs is not null
    returning id, segment, due
)
"""
_WAIT: Final[LiteralString] = _SUSPEND + ENQUEUE

_FINISH: Final[LiteralString] = """
with finished as (
    update runner.executions
    set status = %s, error = coalesce(%s, error), finished = %s, owner = null,
        needs = null, trigger_data = null, pins = null
    where id = %s and epoch = %s and needs is not null
    returning id
)
delete from runner.steps using finished where execution = finished.id
"""

# Of the walks with these ids and epochs: those that are somebody else's now, or to be ended.
_LOOK: Final[LiteralString] = """
select walks.id, ours.id is not null
from unnest(%s::text[], %s::bigint[]) as walks (id, epoch)
left join runner.executions ours
    on ours.id = walks.id and ours.epoch = walks.epoch and ours.needs is not null
where ours.id is null or ours.cancelled
"""

_RELEASE: Final[LiteralString] = (
    "update runner.executions set owner = null, status = 'queued'"
    " where owner = %s and needs is not null"
)


class Walks:
    """The walks of this process, which calls itself *executor*."""

    def __init__(
        self, database: Database, executor: str, walk: Walk, at_once: int, interrupted: Interrupted
    ) -> None:
        self._database = database
        self._executor = executor
        self._walk = walk
        # DBOS has a limit of its own, but that of the replica that was started last.
        self._places = asyncio.Semaphore(at_once)
        #: One begins after the other, in the order in which DBOS hands them out.
        self._order = asyncio.Lock()
        self._interrupted = interrupted
        self._runs: dict[str, _Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        #: Of them that which has an execution: one after the other.
        self._having: dict[str, asyncio.Task[None]] = {}
        self._stopping = False

    async def run(self, id_: str, segment: int) -> None:
        """
        Run a segment of an execution: from its start or a wait, to its end or the next wait.

        When this returns, that has come and is committed, or it is not ours to run.
        """
        if self._stopping:
            raise asyncio.CancelledError
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - we are in one
        self._tasks.add(task)
        try:
            # It is handed out again where we were taken for dead: what we do already we do once.
            while id_ in self._having:
                await asyncio.wait([self._having[id_]])
            self._having[id_] = task
            async with self._places:
                async with self._order:
                    if self._stopping:
                        raise asyncio.CancelledError
                    run = await self._begin(id_, segment)
                if run is not None:
                    await self._settle(run, self._verdict(run) or await self._outcome(run))
        finally:
            self._tasks.discard(task)
            if self._having.get(id_) is task:
                del self._having[id_]

    def cancel(self, id_: str) -> None:
        """Cancel the walk of an execution, if it still runs here."""
        run = self._runs.get(id_)
        if run is not None:
            run.cancel()

    async def watch(self) -> None:
        """Cancel the walks of what is cancelled, or taken over, elsewhere; until cancelled."""
        while True:
            await asyncio.sleep(_WATCH)
            runs = {run.id: run for run in self._runs.values() if not run.ending}
            if not runs:
                continue
            epochs = [run.epoch for run in runs.values()]
            for id_, ours in await self._database.insist(_LOOK, [list(runs), epochs]):
                runs[id_].cancel(lost=not ours)

    def refuse(self) -> None:
        """Begin no others; what is cancelled from now on was not meant by anybody."""
        self._stopping = True

    async def begun(self) -> set[str]:
        """The workflows of those that run, when nothing is just about to."""
        async with self._order:
            return {workflow_id(run.id, run.segment) for run in self._runs.values()}

    async def stop(self) -> None:
        """Cancel all walks; how those ended that have ended is written down first, if it can be."""
        self.refuse()
        for task in [run.task for run in self._runs.values() if run.task is not None]:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_LAST)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def release(self) -> None:
        """Nobody runs what we ran: that is no death of a process. Raises StoreError."""
        await self._database.ask(_RELEASE, [self._executor])

    # --- one of them

    async def _begin(self, id_: str, segment: int) -> "_Run | None":
        workflow = workflow_id(id_, segment)
        parameters = [id_, segment, workflow, self._executor, time.time()]
        begun = await self._database.insist(_BEGIN, parameters)
        if not begun:
            return None
        epoch, takeovers, cancelled, line, needs, trigger_data, pins = begun[0]
        steps = [] if epoch == 1 else await self._database.insist(_STEPS, [id_])
        try:
            accepted = _accepted(needs, trigger_data, pins)
            journal = {row[0]: rows.step(rows.StepRow(*row)) for row in steps}
        except (TypeError, ValueError) as error:  # another program wrote that, or somebody
            await self._finish(id_, epoch, line, Status.INTERRUPTED, _unreadable(error))
            return None
        return _Run(accepted, segment, epoch, line, takeovers, cancelled, journal)

    def _verdict(self, run: "_Run") -> Result | None:
        """What becomes of it before it is walked; None: it is walked."""
        if run.takeovers > MAX_TAKEOVERS:
            died = f"{run.takeovers} processes died while they ran this execution"
            return run.interrupt("Poison", died)
        if run.cancelled:  # nobody was there to walk it to its end
            self._interrupted(run.accepted, CANCELLED)
            return CANCELLED
        return None

    async def _outcome(self, run: "_Run") -> Result | WakeAt | None:
        """What came of its walk; None where that is somebody else's business now."""
        journal = _Journal(self._database, run)
        run.task = asyncio.current_task()
        self._runs[run.id] = run
        try:
            return await self._walk(run.accepted, journal)
        except Lost:
            return None
        except asyncio.CancelledError:
            if run.lost:
                return None
            if run.cancelled:
                return CANCELLED
            if self._stopping:
                raise
            return run.interrupt("CancelledError", _FAILED)
        except Exception as error:  # whatever it is, the next walk would meet it again
            return run.interrupt(type(error).__name__, _FAILED, str(error))
        finally:
            run.task = None
            if self._runs.get(run.id) is run:
                del self._runs[run.id]

    async def _settle(self, run: "_Run", outcome: Result | WakeAt | None) -> None:
        match outcome:
            case WakeAt(at):
                await self._database.insist(_WAIT, [at, run.id, run.epoch, run.segment])
            case Result(status):
                if run.reason is not None:
                    self._interrupted(run.accepted, outcome)
                await self._finish(run.id, run.epoch, run.line, status, run.reason)

    async def _finish(
        self, id_: str, epoch: int, line: str | None, status: Status, reason: JSONObject | None
    ) -> None:
        error = None if reason is None else pack(reason, "the reason")
        parameters = [status.value, error, time.time(), id_, epoch]
        database = self._database
        await database.persist(lambda: pg_lines.leave(database, line, _FINISH, parameters))


def _accepted(needs: str, trigger_data: str, pins: Mapping[str, str]) -> Accepted:
    fields: Any = unpack(needs)
    rest = Accepted(**fields)
    credentials = tuple(rest.credentials)
    return rest._replace(trigger_data=unpack(trigger_data), pins=pins, credentials=credentials)


def _unreadable(error: Exception) -> JSONObject:
    message = f"this program cannot read what was accepted: {error}"
    return {"name": "Unreadable", "message": message, "code": "INTERRUPTED"}


class _Run:
    """An execution that is walked here."""

    __slots__ = (
        "accepted", "cancelled", "epoch", "line", "lost", "reason", "segment", "steps",
        "takeovers", "task",
    )  # fmt: skip

    def __init__(
        self,
        accepted: Accepted,
        segment: int,
        epoch: int,
        line: str | None,
        takeovers: int,
        cancelled: bool,
        steps: Mapping[str, Step],
    ) -> None:
        self.accepted = accepted
        self.segment = segment
        self.epoch = epoch
        #: Where it has its turn until it has ended.
        self.line = line
        self.takeovers = takeovers
        #: What earlier walks recorded, by path.
        self.steps = steps
        #: Somebody wants it to end.
        self.cancelled = cancelled
        #: Somebody else runs it.
        self.lost = False
        #: Why the store ended it.
        self.reason: JSONObject | None = None
        #: Where its walk runs, while that can be cancelled.
        self.task: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        return self.accepted.id

    @property
    def ending(self) -> bool:
        return self.cancelled or self.lost

    def cancel(self, *, lost: bool = False) -> None:
        """Once is enough."""
        if self.ending or self.task is None:
            return
        self.cancelled, self.lost = not lost, lost
        self.task.cancel()

    def interrupt(self, name: str, message: str, detail: str = "") -> Result:
        # What an exception says may hold anything: it is told, to be redacted, and not kept.
        self.reason = {"name": name, "message": message, "code": "INTERRUPTED"}
        return Result(Status.INTERRUPTED, {**self.reason, "message": detail or message})


class _Journal:
    """The steps of one execution while it is walked."""

    __slots__ = ("_database", "_run")

    def __init__(self, database: Database, run: _Run) -> None:
        self._database = database
        self._run = run

    def recorded(self, path: str) -> Step | None:
        return self._run.steps.get(path)

    @property
    def lost(self) -> bool:
        return self._run.lost

    async def record(self, step: Step) -> None:
        run = self._run
        if run.lost:
            raise Lost
        row = rows.step_row(step)
        if not await self._database.insist(_RECORD, [run.id, run.epoch, *row]):
            run.lost = True
            raise Lost
