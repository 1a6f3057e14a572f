"""The door through which everything that begins a flow goes."""

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

from runner import kept
from runner.errors import Conflict, Draining, StoreError, Suspended, Unavailable
from runner.execution import CANCELLED, STOPPED, Execution, Shared, count, line, patient
from runner.failures import brief
from runner.ids import random_id
from runner.model import Family, Generation, Result, Start, Status
from runner.operations import BUILTIN, OperationSet
from runner.pins import Pins
from runner.resources import Resources
from runner.store.base import Accepted, Journal, Seen, Store, WakeAt
from runner.tickets import Places, Ticket
from runner.trail import Trail
from runner.types import JSONObject

_MAX_LAST: Final = 50_000
"""Of so many flows it is known how they ended last."""


class Ended(NamedTuple):
    """What can be said of the last execution of a flow."""

    id: str
    status: Status
    #: Seconds since 1970.
    at: float


class Receipt(NamedTuple):
    """What was accepted, and how sure that is."""

    id: str
    #: False: it was accepted before, by the same delivery.
    new: bool
    #: It survives the process.
    durable: bool


class Engine:
    """
    Admits executions, counts them, and ends them when the daemon stops.

    Somebody waits for *direct* ones, which begin at once or are refused. What is accepted is run
    from the *store*, while `serve` runs. At most *max_running* run at once; of what is accepted,
    *max_queued* more may wait to begin. *current* gives the flows that are in place.
    """

    def __init__(
        self,
        shared: Shared,
        store: Store,
        current: Callable[[], Generation],
        operations: OperationSet = BUILTIN,
        *,
        max_running: int = 1000,
        max_queued: int = 10_000,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._shared = replace(shared, begin=self.accept)
        self._store = store
        self._current = current
        self._now = now
        self._pins = Pins(operations)
        self._places = Places(max_running)
        self._max_running = max_running
        self._max_queued = max_queued
        #: Those that run, and where each has its turn.
        self._running: dict[Execution, tuple[str, str] | None] = {}
        #: Those that were accepted here or that an earlier process left, until they end.
        self._tickets: dict[str, Ticket] = {}
        self._lines: dict[tuple[str, str], dict[Ticket, None]] = {}
        #: By root: those of which something is under way here.
        self._families: WeakValueDictionary[str, Family] = WeakValueDictionary()
        #: How many of them have not begun.
        self._queued = 0
        #: Cancellations that nobody waits for.
        self._tasks: set[asyncio.Task[bool]] = set()
        #: By id of the flow.
        self._last: dict[str, Ended] = {}
        self._serving: asyncio.Task[None] | None = None
        self._draining = False
        self._stopping = False
        #: Made by `drain`: set when something has ended.
        self._left: asyncio.Event | None = None

    @property
    def running(self) -> int:
        """How many executions run."""
        return len(self._running)

    @property
    def queued(self) -> int:
        """How many accepted executions have not begun."""
        return self._queued

    @property
    def store(self) -> Store:
        """Where accepted executions are kept."""
        return self._store

    @property
    def resources(self) -> Resources:
        """What operations share."""
        return self._shared.resources

    @property
    def draining(self) -> bool:
        """Whether nothing starts any more."""
        return self._draining

    @property
    def idle(self) -> bool:
        """Whether nothing runs, and nothing that was accepted is about to."""
        if self._running:
            return False
        # What waits for a turn while nothing runs waits for something that sleeps.
        return not any(each.is_near for each in self._tickets.values())

    async def find(self, id_: str) -> Seen | None:
        """An execution that is under way or remembered, and how it stands."""
        seen = await self._store.find(id_)
        ticket = self._tickets.get(id_)
        if seen is None and (direct := self._direct(id_)) is not None:
            return _running(direct, self._now())
        if seen is None or ticket is None or ticket.begun or seen.status != "running":
            return seen
        return seen._replace(status="queued", started=None)  # for its turn, or for a place

    def is_accepted(self, id_: str) -> bool:
        """Whether this is an accepted execution that has not ended, as far as we know."""
        return id_ in self._tickets

    def direct(self) -> list[Seen]:
        """The direct executions that run here; no store knows them before they have ended."""
        now = self._now()
        return [_running(each, now) for each in self._running if each.id not in self._tickets]

    def begun(self, id_: str) -> Start | None:
        """What began the execution with this id, while it runs here."""
        ticket = self._tickets.get(id_)
        execution = self._direct(id_) if ticket is None else ticket.execution
        return None if execution is None else execution.start_of

    def last(self, flow: str) -> Ended | None:
        """The execution of the flow with this id that ended last, while the process lives."""
        return self._last.get(flow)

    def check(self, *, durable: bool) -> None:
        """
        Raise Draining and Unavailable where nothing could start now.

        *durable* ones may wait to begin.
        """
        if self._draining:
            raise Draining(retry_after=5)
        free = self._max_running - len(self._running)
        if durable:
            free += self._max_queued - self._queued - self._store.backlog
        if free <= 0:
            raise Unavailable("Too many executions are under way; try again later.")

    # --- direct

    async def start(self, start: Start) -> Execution:
        """
        Begin an execution of which the caller awaits `result`.

        Raises Draining, RequestsExceeded, Conflict (the flow runs once at a time, and does), and
        Unavailable (a limit is reached, or its turn does not come).
        """
        self.check(durable=False)
        execution = Execution(start, self._shared)
        turn = await execution.admitted()
        try:
            if turn is not None:  # some time may have passed
                self.check(durable=False)
            self._places.take()
        except BaseException:
            if turn is not None:
                self._shared.turns.give_back(turn, execution)
            raise
        self._running[execution] = turn
        return execution

    async def result(self, execution: Execution) -> Result:
        """Run an execution that was started, in the caller's own task."""
        status = Status.CANCELLED
        try:
            result = await execution.run()
            status = result.status
            return result
        finally:
            self._end(execution, status)
            turn = self._leave(execution)
            if turn is not None:
                self._shared.turns.give_back(turn, execution)

    def _leave(self, execution: Execution) -> tuple[str, str] | None:
        turn = self._running.pop(execution)
        self._places.give_back()
        self._look()
        return turn

    def _look(self) -> None:
        """Who waits until nothing runs may look again."""
        if self._left is not None:
            self._left.set()

    def _end(self, execution: Execution, status: Status) -> None:
        self._last[execution.flow.id] = Ended(execution.id, status, time.time())
        if len(self._last) > _MAX_LAST:  # flows come and go
            del self._last[next(iter(self._last))]

    # --- accepted

    async def accept(self, start: Start) -> Receipt:
        """
        Keep an execution, which runs by itself; it is committed when this returns.

        A start whose id is known changes nothing. Raises Draining, RequestsExceeded, Conflict,
        Unavailable and, of it, StoreError; and Unwritable for data that cannot be kept.
        """
        seconds = self._shared.request_time
        try:
            async with asyncio.timeout(seconds):
                return await self._accept(start)
        except TimeoutError:  # it may be kept yet, as if the answer had got lost
            raise StoreError(f"the store has not answered within {seconds:g} s") from None

    async def _accept(self, start: Start) -> Receipt:
        self.check(durable=True)
        id_ = start.id or random_id()
        if start.id is not None and await self._is_known(start):
            return Receipt(id_, new=False, durable=self._store.durable)
        count(start, self._shared)
        pinned = self._pins.of(start)
        ticket = self._ticket(id_, start)
        older = tuple(self._others(ticket))
        new = False
        if start.family is not None:
            self._families[start.family.root] = start.family
        try:
            accepted = kept.keep(start, ticket.id, ticket.line, pinned.pins)
            new = await self._store.accept(accepted, pinned.texts)
        finally:
            ticket.settle(new or ticket.execution is not None)
            # What is shared is run by whoever has a place, and comes back here only if we have.
            if ticket.execution is None and (self._store.shared or not new):
                self._forget(ticket)
        if new and ticket.concurrency is not None and ticket.concurrency.mode == "restart":
            self._replace(older)
        return Receipt(id_, new=new, durable=self._store.durable)

    async def _is_known(self, start: Start) -> bool:
        """Whether it is, where a duplicate could otherwise be refused."""
        assert start.id is not None  # noqa: S101 - the caller has looked
        while (ticket := self._tickets.get(start.id)) is not None:
            if await ticket.kept():
                return True
        limited = start.flow.concurrency is not None or start.flow.rate_limit is not None
        return limited and await self._store.find(start.id) is not None

    def _ticket(self, id_: str, start: Start) -> Ticket:
        """What is accepted has its place in the line. Raises Conflict and Unavailable."""
        ticket = self._found(id_, start)
        concurrency = ticket.concurrency
        if concurrency is not None and concurrency.mode in ("single", "parallel"):
            under_way = sum(1 for _ in self._others(ticket))
            if under_way >= concurrency.width:
                self._forget(ticket)
                ticket.settle(False)
                if concurrency.mode == "single":
                    raise Conflict
                raise Unavailable("This flow runs as often as it may; try again later.")
        return ticket

    def _found(self, id_: str, start: Start) -> Ticket:
        """The ticket of what is accepted, or was by an earlier process."""
        concurrency = start.flow.concurrency
        name = None if concurrency is None else line(start, concurrency.key, self._shared)
        ticket = Ticket(id_, start, name, concurrency, self._cancel_soon)
        self._tickets[id_] = ticket
        if name is not None:
            self._lines.setdefault(name, {})[ticket] = None
        self._queued += 1
        return ticket

    def _others(self, ticket: Ticket) -> Iterator[Ticket | Execution]:
        """What else is under way in the line of *ticket*."""
        if ticket.name is not None:
            yield from (each for each in self._lines[ticket.name] if each is not ticket)
            yield from (each for each, turn in self._running.items() if turn == ticket.name)

    def _replace(self, older: Iterable[Ticket | Execution]) -> None:
        """Cancel what is still under way of *older*: only the newest one matters."""
        for each in older:
            if each.id in self._tickets or each in self._running:
                each.cancel()

    def _forget(self, ticket: Ticket) -> None:
        """It is not under way any more."""
        if self._tickets.get(ticket.id) is ticket:
            del self._tickets[ticket.id]
            self._begin(ticket)
            if ticket.name is not None:
                line_ = self._lines[ticket.name]
                del line_[ticket]
                if not line_:
                    del self._lines[ticket.name]
                if ticket.has_turn:
                    self._shared.turns.give_back(ticket.name, ticket)
            self._look()

    def _begin(self, ticket: Ticket) -> None:
        if not ticket.begun:
            ticket.begun = True
            self._queued -= 1

    # --- walks

    async def serve(self) -> None:
        """Run what is accepted, until it is cancelled or everything is drained."""
        at_once = self._max_running
        if not self._store.shared:  # what waits for a place here, nobody else could run
            at_once += self._max_queued
        self._serving = asyncio.create_task(
            self._store.serve(self._walk, at_once, self._ended), name="store"
        )
        try:
            await asyncio.wait({self._serving})
        finally:
            await self._stop_serving()
        if not self._serving.cancelled():
            self._serving.result()

    async def _stop_serving(self) -> None:
        if self._serving is not None and not self._serving.done():
            self._stopping = True  # before anything is cancelled that goes on later
            self._serving.cancel()
            await asyncio.wait({self._serving})

    async def _walk(self, accepted: Accepted, journal: Journal) -> Result | WakeAt:
        """Run an execution from where the last walk has left it."""
        ticket = self._tickets.get(accepted.id)
        try:
            current = self._current()
            generation = await self._pins.generation(accepted, current, self._store)
            start = kept.recall(accepted, generation)._replace(family=self._family(accepted))
        except BaseException:
            if ticket is not None:
                self._forget(ticket)
            raise
        if ticket is None:
            ticket = self._found(accepted.id, start)
            ticket.settle(True)
        start = start._replace(credentials=ticket.credentials)
        trail = Trail(journal, lambda: journal.lost or self._goes_on(), self._now)
        execution = Execution(start, self._shared, trail=trail, holder=ticket)
        ticket.execution = execution
        outcome: Result | WakeAt | None = None
        try:
            outcome = await self._run(ticket, execution, trail)
        except asyncio.CancelledError:
            if not self._stopping or self._store.durable:
                raise
            outcome = CANCELLED  # and recorded
        finally:
            ticket.execution = None
            if not isinstance(outcome, WakeAt) or self._store.shared:
                self._forget(ticket)
        return outcome

    def _family(self, accepted: Accepted) -> Family:
        """What *accepted* belongs to, with all of it that is known here or was when it began."""
        root = accepted.root or accepted.id
        family = self._families.get(root)
        if family is None:
            family = self._families[root] = Family(root)
        family.children = max(family.children, accepted.caused)
        return family

    async def _run(self, ticket: Ticket, execution: Execution, trail: Trail) -> Result | WakeAt:
        """Run when it has its turn, and then a place."""
        try:
            await self._turn(ticket)
            await self._places.wait()
        except Conflict:
            return execution.unbegun()
        except asyncio.CancelledError:
            if not trail.goes_on():
                execution.unbegun()
            raise
        self._begin(ticket)
        self._running[execution] = None
        try:
            result = await execution.run()
        except Suspended as suspended:
            return WakeAt(suspended.at)
        finally:
            self._leave(execution)
        self._end(execution, result.status)
        return result

    async def _turn(self, ticket: Ticket) -> None:
        """What was accepted is never refused, and keeps its turn while it sleeps."""
        if ticket.name is None or ticket.concurrency is None or ticket.has_turn:
            return
        ticket.waits = True
        self._look()
        turns, concurrency = self._shared.turns, patient(ticket.concurrency)
        await turns.take(ticket.name, ticket, concurrency, math.inf)
        ticket.has_turn, ticket.waits = True, False

    def _goes_on(self) -> bool:
        """Whether what is cancelled now goes on at the next start."""
        return self._stopping and self._store.durable

    def _ended(self, which: Accepted | Seen, result: Result) -> None:
        """Record what did not end by running."""
        credentials = which.credentials if isinstance(which, Accepted) else ()
        self._shared.recorder.bind(credentials=credentials).emit(
            "execution.finished",
            severity="WARNING",
            flow=which.flow,
            flow_digest=which.digest,
            revision=which.revision,
            generation=which.generation,
            execution_id=which.id,
            parent_id=which.parent_id,
            trigger=which.trigger,
            trace_id=which.trace_id if isinstance(which, Accepted) else None,
            status=result.status,
            duration_ms=_milliseconds(which),
            error=brief(result.value),
            data=self._cause(which),
        )

    def _cause(self, which: Accepted | Seen) -> JSONObject | None:
        """What it can be replayed with, if nobody has said it, and its flow lets it be said."""
        entry = self._current().find(which.flow_id)
        flow = None if entry is None else entry.flow
        if isinstance(which, Seen) or flow is None or flow.tracking != "all":
            return None
        return {"trigger": which.trigger_data, "accountability": which.accountability}

    # --- ending

    async def cancel(self, id_: str) -> bool:
        """
        End an execution that is under way; False: it is not.

        What waits has ended when this returns; what runs, here or elsewhere, ends soon. What runs
        inside of another execution ends with that alone.
        """
        ticket = self._tickets.get(id_)
        if ticket is None and (direct := self._direct(id_)) is not None:
            direct.cancel()
            return True
        walked = ticket is not None and ticket.execution is not None
        if ticket is not None and ticket.execution is not None:
            ticket.execution.cancel()
        ended = await self._store.cancel(id_)
        if ticket is not None and not walked:
            walked = self._tickets.get(id_) is not ticket or ticket.execution is not None
        if ticket is not None and not walked:
            self._forget(ticket)
        if ended and walked:  # whoever walks it records how it ends
            return True
        seen = await self._store.find(id_)
        cancelled = seen is not None and seen.status == Status.CANCELLED
        if ended and seen is not None and (cancelled or ticket is not None):
            self._ended(seen, CANCELLED)
        return ended or (walked and cancelled)  # it may have ended before the store was asked

    def _direct(self, id_: str) -> Execution | None:
        """The direct execution with this id, while it runs here."""
        return next((each for each in self._running if each.id == id_), None)

    def _cancel_soon(self, id_: str) -> None:
        task = asyncio.create_task(self.cancel(id_), name=f"cancel {id_}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self, timeout: float) -> None:  # noqa: ASYNC109 - a budget, not a deadline
        """
        Start nothing more, give what runs *timeout* seconds, and stop the rest.

        What the store keeps goes on at the next start, or at once in another process that shares
        it; all else ends `cancelled`.
        """
        self._draining = True
        self._left = asyncio.Event()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._store.hand_over()
                await self._emptied()
        self._stopping = True
        for execution in [each for each in self._running if each.id not in self._tickets]:
            execution.cancel(STOPPED)
        await self._stop_serving()
        await self._emptied()
        if not self._store.durable:
            await self._end_all()

    async def _emptied(self) -> None:
        """Wait until nothing runs and nothing is about to."""
        assert self._left is not None  # noqa: S101 - `drain` has made it
        while self._running or (self._serves and not self.idle):
            self._left.clear()
            await self._left.wait()

    @property
    def _serves(self) -> bool:
        return self._serving is not None and not self._serving.done()

    async def _end_all(self) -> None:
        """What this process has accepted ends with it: say so."""
        for id_ in tuple(self._tickets):
            await self.cancel(id_)


def _milliseconds(which: Accepted | Seen) -> float:
    """How long *which*, which does not run any more, was under way, as far as that is known."""
    if isinstance(which, Accepted) or which.started is None:
        return 0.0
    ended = time.time() if which.finished is None else which.finished
    return max(0.0, round((ended - which.started) * 1000, 3))


def _running(execution: Execution, now: float) -> Seen:
    """What can be said of an execution that runs here, at *now*."""
    start, flow = execution.start_of, execution.flow
    began = now - (time.perf_counter() - execution.began) if execution.began else now
    return Seen(
        id=execution.id,
        flow=flow.key,
        flow_id=flow.id,
        digest=flow.digest,
        revision=start.generation.revision,
        generation=start.generation.number,
        trigger=flow.trigger.kind,
        parent_id=start.parent_id,
        durable=False,
        status="running",
        accepted=began,
        started=began,
    )
