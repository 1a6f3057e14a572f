"""The door through which everything that begins a flow goes."""

import asyncio
import time
from collections import deque
from dataclasses import replace
from typing import NamedTuple

from runner.errors import Draining, Unavailable
from runner.execution import Execution, Shared
from runner.model import Result, Start, Status
from runner.resources import Resources

#: How many executions that nobody waits for can still be asked about when they have ended.
_REMEMBERED = 1000


class Seen(NamedTuple):
    """What can be said of a detached execution: not its data."""

    id: str
    flow: str
    #: `queued`, `running`, or how it ended.
    status: str


class Ended(NamedTuple):
    """What can be said of the last execution of a flow."""

    id: str
    status: Status
    #: Seconds since 1970.
    at: float


class Engine:
    """
    Admits executions, counts them, and ends them when the daemon stops.

    At most *max_running* run at once. Of those that nobody waits for, *max_queued* more may wait
    for their turn; everybody else is told to come again.
    """

    def __init__(
        self, shared: Shared, *, max_running: int = 1000, max_queued: int = 10_000
    ) -> None:
        self._shared = replace(shared, begin=self.start)
        self._max_running = max_running
        self._max_queued = max_queued
        self._running: set[Execution] = set()
        self._queue: deque[Execution] = deque()
        self._tasks: set[asyncio.Task[Result]] = set()
        #: Detached executions by id: those that wait or run, and the last that ended.
        self._under_way: dict[str, Seen] = {}
        self._ended: dict[str, Seen] = {}
        #: By id of the flow.
        self._last: dict[str, Ended] = {}
        self._draining = False
        #: Made by `drain`: set when nothing runs any more.
        self._idle: asyncio.Event | None = None

    @property
    def running(self) -> int:
        """How many executions run."""
        return len(self._running)

    @property
    def queued(self) -> int:
        """How many executions wait for their turn."""
        return len(self._queue)

    @property
    def resources(self) -> Resources:
        """What operations share."""
        return self._shared.resources

    @property
    def draining(self) -> bool:
        """Whether nothing starts any more."""
        return self._draining

    async def start(self, start: Start, parent: Execution | None = None) -> Execution:
        """
        Begin an execution, which *parent* causes.

        A detached one runs by itself, at once or in its turn; of any other the caller awaits
        `result`. Raises Draining, Conflict (the flow runs once at a time, and does), and
        Unavailable (a limit is reached).
        """
        full = self.check(detached=start.detached)
        if start.flow.max_running is not None:
            self._shared.turns.take(start.flow)
        execution = Execution(start, self._shared, parent)
        if full:
            self._queue.append(execution)
            self._under_way[execution.id] = Seen(execution.id, execution.flow.key, "queued")
        else:
            self._admit(execution)
        return execution

    def check(self, *, detached: bool) -> bool:
        """
        Whether an execution would have to wait for its turn.

        Raises Draining and Unavailable where it could not even do that.
        """
        if self._draining:
            raise Draining(retry_after=5)
        full = len(self._running) >= self._max_running
        if full and (not detached or len(self._queue) >= self._max_queued):
            raise Unavailable("Too many executions are under way; try again later.")
        return full

    def find(self, id_: str) -> Seen | None:
        """A detached execution that waits or runs, or is among the last that ended."""
        return self._under_way.get(id_) or self._ended.get(id_)

    def last(self, flow: str) -> Ended | None:
        """The execution of the flow with this id that ended last, while the process lives."""
        return self._last.get(flow)

    async def result(self, execution: Execution) -> Result:
        """Run an execution that is not detached, in the caller's own task."""
        status = Status.CANCELLED
        try:
            result = await execution.run()
            status = result.status
            return result
        finally:
            self._leave(execution, status)

    async def drain(self, timeout: float) -> None:  # noqa: ASYNC109 - a budget, not a deadline
        """Start nothing more, give what runs *timeout* seconds, cancel the rest."""
        self._draining = True
        self._idle = asyncio.Event()
        if not self._running:
            return
        try:
            async with asyncio.timeout(timeout):
                await self._idle.wait()
        except TimeoutError:
            for execution in (*self._queue, *self._running):
                execution.cancel()
            await self._idle.wait()

    def _admit(self, execution: Execution) -> None:
        self._running.add(execution)
        if execution.start_of.detached:
            self._under_way[execution.id] = Seen(execution.id, execution.flow.key, "running")
            task = asyncio.create_task(self.result(execution), name=f"execution {execution.id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _leave(self, execution: Execution, status: Status) -> None:
        self._running.discard(execution)
        flow = execution.flow
        self._last[flow.id] = Ended(execution.id, status, time.time())
        if execution.start_of.detached:
            del self._under_way[execution.id]
            self._ended[execution.id] = Seen(execution.id, flow.key, status)
            if len(self._ended) > _REMEMBERED:
                del self._ended[next(iter(self._ended))]
        if flow.max_running is not None:
            self._shared.turns.give_back(flow)
        if self._queue:
            self._admit(self._queue.popleft())
        if self._idle is not None and not self._running:
            self._idle.set()
