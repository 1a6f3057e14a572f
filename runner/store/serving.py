"""Call the walk for everything that is due, so many at a time: what the local stores share."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol, TypeVar

from runner.errors import Lost, StoreError
from runner.model import Result, Status
from runner.store.base import MAX_TAKEOVERS, Accepted, Interrupted, Step, WakeAt, Walk, unheard
from runner.store.clock import Clock
from runner.types import JSONObject

T = TypeVar("T")

_RETRY: Final = 1.0
"""Seconds between attempts to write what must be written."""

_MAX_CLAIMS: Final = 256
"""How many executions begin at a time: what they need is read in one go."""


class Claim(NamedTuple):
    """An execution that is ours to walk."""

    #: How the book calls it.
    number: int
    accepted: Accepted
    #: How many processes died while they ran it.
    takeovers: int = 0
    #: Somebody asked for its end, and it has not come yet.
    cancelled: bool = False
    #: It never ran: its journal is empty.
    fresh: bool = False


class Claims(NamedTuple):
    """What was due, and when there will be something again (infinity: when it is accepted)."""

    due: Sequence[Claim]
    next: float


class Book(Protocol):
    """
    Where it is written down who runs and who waits.

    What is asked first is done first, whether somebody waits for it or not. Everything raises
    StoreError when it cannot be done; nothing has changed then.
    """

    async def claim(self, now: float, limit: int, /) -> Claims:
        """Have at most *limit* of those that are due at *now* run, in order."""

    async def steps(self, number: int, /) -> Mapping[str, Step]:
        """The journal by path."""

    async def record(self, number: int, step: Step, /) -> None:
        """Add to the journal. Raises Lost unless the execution runs, and Unwritable."""

    async def wait(self, number: int, at: float, /) -> float:
        """Have it wait until *at*, and say when it really wakes: at once where it is cancelled."""

    async def finish(self, number: int, status: Status, reason: JSONObject | None, /) -> None:
        """It has ended: forget all that was needed to run it."""

    async def release(self) -> None:
        """Have everything that runs queue again: nobody runs it any more."""


class Serving:
    """
    Runs what a *book* has, and what is accepted meanwhile.

    What is accepted when there is a place for it, and nothing else is due, is written down as
    running at once, and run as soon as that is committed: it costs no other look into the book.
    """

    def __init__(self, book: Book, clock: Clock) -> None:
        self._book = book
        self._clock = clock
        #: None: nobody serves.
        self._walk: Walk | None = None
        self._interrupted: Interrupted = unheard
        #: How many more may run.
        self._free = 0
        #: The earliest moment at which something in the book may be due.
        self._next = -math.inf
        #: More is due than there were places for, as far as we know.
        self._behind = True
        self._news = asyncio.Event()
        self._runs: dict[str, _Run] = {}

    async def serve(self, walk: Walk, at_once: int, interrupted: Interrupted) -> None:
        """What the port says."""
        self._walk, self._interrupted, self._free = walk, interrupted, at_once
        self._next, self._behind = -math.inf, True
        try:
            while True:
                self._news.clear()
                await self._start_due()
                silence = self._clock.alarm(self._next if self._free else math.inf, self._news.set)
                try:
                    await self._news.wait()
                finally:
                    silence()
        finally:
            await self._stop()

    def reserve(self, due: float) -> bool:
        """Whether what is due at *due* and about to be accepted may run at once; takes a place."""
        if self._walk is None or self._behind or not self._free or due > self._clock.now():
            return False
        self._free -= 1
        return True

    def accepted(self, claim: Claim | None, due: float, *, reserved: bool) -> None:
        """Go on with what was accepted; *claim* is None if it was not."""
        if claim is None:
            if reserved:
                self._leave()
        elif not reserved:
            self._behind = self._behind or (not self._free and due <= self._clock.now())
            self._expect(due)
        elif self._walk is not None:  # otherwise it was released with all others
            self._begin(claim, self._walk)

    def cancel(self, id_: str) -> None:
        """Cancel the walk of an execution, if it still runs here."""
        run = self._runs.get(id_)
        if run is None or run.cancelled:
            return
        run.cancelled = True
        if run.walking:
            run.task.cancel()

    # --- from the book to its walk

    async def _start_due(self) -> None:
        walk, now = self._walk, self._clock.now()
        if walk is None or not self._free or self._next > now:
            return
        # What is accepted meanwhile finds places too: otherwise it would have to be claimed, and
        # what is accepted during that, and so on for as long as there is something to do.
        places = min((self._free + 1) // 2, _MAX_CLAIMS)
        self._free, self._next = self._free - places, math.inf
        try:
            claims = await self._book.claim(now, places)
        except StoreError:
            claims = Claims((), now + _RETRY)
        self._free += places - len(claims.due)
        self._behind = claims.next <= now
        self._expect(claims.next)
        for each in claims.due:
            self._begin(each, walk)

    def _expect(self, at: float) -> None:
        self._next = min(self._next, at)
        self._news.set()

    def _leave(self) -> None:
        self._free += 1
        self._news.set()

    def _begin(self, claim: Claim, walk: Walk) -> None:
        id_ = claim.accepted.id
        self._runs[id_] = run = _Run(claim)
        run.task = asyncio.create_task(self._run(run, walk), name=f"execution {id_}")

    async def _stop(self) -> None:
        self._walk, self._free = None, 0
        tasks = [run.task for run in self._runs.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._runs.clear()  # of those that were cancelled before they could begin
        try:
            await self._book.release()
        except StoreError:  # the next start takes them for those of a process that died
            return

    # --- one execution

    async def _run(self, run: "_Run", walk: Walk) -> None:
        try:
            try:
                outcome = await self._outcome(run, walk)
            finally:
                run.walking = False
                self._leave()
            await self._settle(run, outcome)
        finally:
            if self._runs.get(run.claim.accepted.id) is run:
                del self._runs[run.claim.accepted.id]

    async def _outcome(self, run: "_Run", walk: Walk) -> Result | WakeAt | None:
        """What came of it; None where that is somebody else's business now."""
        claim = run.claim
        if claim.takeovers > MAX_TAKEOVERS:
            died = f"{claim.takeovers} processes died while they ran this execution"
            return run.interrupt("Poison", died)
        try:
            journal = _Journal(self, claim.number, await self._steps(claim))
            if claim.cancelled:  # nobody was there to walk it to its end
                self._interrupted(claim.accepted, _CANCELLED)
            if claim.cancelled or run.cancelled:
                return _CANCELLED
            run.walking = True
            return await walk(claim.accepted, journal)
        except Lost:
            return None
        except asyncio.CancelledError:
            if run.cancelled:
                return _CANCELLED
            if self._walk is None:
                raise
            return run.interrupt("CancelledError", _FAILED)
        except Exception as error:  # whatever it is, the next walk would meet it again
            return run.interrupt(type(error).__name__, _FAILED, str(error))

    async def _steps(self, claim: Claim) -> Mapping[str, Step]:
        if claim.fresh:
            return {}
        return await self.insist(lambda: self._book.steps(claim.number))

    async def _settle(self, run: "_Run", outcome: Result | WakeAt | None) -> None:
        number = run.claim.number
        match outcome:
            case WakeAt(at):
                self._expect(await self.insist(lambda: self._book.wait(number, at)))
            case Result(status):
                if run.reason is not None:
                    self._interrupted(run.claim.accepted, outcome)
                await self.insist(lambda: self._book.finish(number, status, run.reason))

    async def record(self, number: int, step: Step) -> None:
        """Add to the journal of an execution, as the port says."""
        await self.insist(lambda: self._book.record(number, step))

    async def insist(self, do: Callable[[], Awaitable[T]]) -> T:
        """For a walk: *do*, however long it takes until the store can; it ends with `serve`."""
        while True:
            try:
                return await do()
            except StoreError:
                if self._walk is None:
                    raise asyncio.CancelledError from None
                again = asyncio.Event()
                silence = self._clock.alarm(self._clock.now() + _RETRY, again.set)
                try:
                    await again.wait()
                finally:
                    silence()


_FAILED: Final = "the runner failed while it ran this execution"

_CANCELLED: Final = Result(
    Status.CANCELLED,
    {"name": "Cancelled", "message": "the execution was cancelled", "code": "CANCELLED"},
)


class _Run:
    """An execution that is walked here."""

    __slots__ = ("cancelled", "claim", "reason", "task", "walking")

    task: asyncio.Task[None]

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        #: Its walk can be cancelled.
        self.walking = False
        #: Somebody wants it to end.
        self.cancelled = False
        #: Why the store ended it.
        self.reason: JSONObject | None = None

    def interrupt(self, name: str, message: str, detail: str = "") -> Result:
        # What an exception says may hold anything: it is told, to be redacted, and not kept.
        self.reason = {"name": name, "message": message, "code": "INTERRUPTED"}
        return Result(Status.INTERRUPTED, {**self.reason, "message": detail or message})


class _Journal:
    """The steps of one execution while it is walked."""

    __slots__ = ("_number", "_serving", "_steps")

    #: Nobody else could have it.
    lost: Final = False

    def __init__(self, serving: Serving, number: int, steps: Mapping[str, Step]) -> None:
        self._serving = serving
        self._number = number
        self._steps = steps

    def recorded(self, path: str) -> Step | None:
        return self._steps.get(path)

    async def record(self, step: Step) -> None:
        await self._serving.record(self._number, step)
