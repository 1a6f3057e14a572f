"""
Whose turn it is: of flows that may not run any number of times at once, or not often.

What waits here waits in this process; executions that a store keeps wait there.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol, TypeAlias

from runner.errors import Conflict, Reentry, RequestsExceeded, Unavailable
from runner.model import Concurrency, RateLimit

Name: TypeAlias = Hashable
"""Of a line: a flow's id and, where the flow has one, its rendered `key`."""

_MAX_RATES: Final = 10_000
"""So many callers are told apart by a rate limit; then those that were quiet are forgotten."""


class Holder(Protocol):
    """An execution, to those who wait for it."""

    @property
    def parent(self) -> "Holder | None":
        """The execution that started it and waits for it."""

    def cancel(self) -> None:
        """End it where it is."""


class _Line:
    """Those that have their turn, and those that wait for it in the order they came."""

    __slots__ = ("holders", "waiting")

    def __init__(self) -> None:
        self.holders: dict[Holder, None] = {}
        self.waiting: deque[tuple[Holder, asyncio.Future[None]]] = deque()


class Turns:
    """Gives executions their turn; at most *max_waiting* wait at any time."""

    def __init__(self, max_waiting: int = 10_000) -> None:
        self._lines: dict[Name, _Line] = {}
        self._max_waiting = max_waiting
        self._waiting = 0

    async def take(
        self, name: Name, holder: Holder, concurrency: Concurrency, patience: float
    ) -> None:
        """
        Wait until *holder* may run, *patience* seconds at most; `give_back` ends its turn.
        With endless patience it is not counted among those that wait.

        `parallel`: Unavailable where as many run as may. `single`: Conflict where one runs.
        `queued`: in the order they came. `restart`: those that run are cancelled, and those that
        wait for that get Conflict. Raises Reentry for what would wait for itself for ever, and
        Unavailable where too many wait, or it took too long.
        """
        line = self._lines.setdefault(name, _Line())
        try:
            if len(line.holders) >= concurrency.width or line.waiting:
                await self._wait(line, holder, concurrency, patience)
            line.holders[holder] = None
        finally:
            self._forget(name, line)

    def give_back(self, name: Name, holder: Holder) -> None:
        """End the turn of *holder*: the next one has it."""
        line = self._lines[name]
        del line.holders[holder]
        self._next(line)
        self._forget(name, line)

    async def _wait(
        self, line: _Line, holder: Holder, concurrency: Concurrency, patience: float
    ) -> None:
        if concurrency.mode == "parallel":
            raise Unavailable("This flow runs as often as it may; try again later.")
        if holder.parent is not None and self._stuck(line, holder, set()):
            raise Reentry
        if concurrency.mode == "single":
            raise Conflict
        if self._waiting >= self._max_waiting and patience < math.inf:
            raise Unavailable("Too many executions wait for their turn; try again later.")
        if concurrency.mode == "restart":
            _clear(line)
        with self._place(line, holder, patience) as turn:
            try:
                async with asyncio.timeout(patience if patience < math.inf else None):
                    await turn
            except TimeoutError:
                message = f"This flow is busy: its turn did not come within {patience:g} s."
                raise Unavailable(message) from None

    @contextmanager
    def _place(
        self, line: _Line, holder: Holder, patience: float
    ) -> Iterator[asyncio.Future[None]]:
        """A place at the end of the line; whoever leaves it without a turn lets others pass."""
        counted = patience < math.inf  # others are counted by those who accepted them
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        place = (holder, turn)
        line.waiting.append(place)
        self._waiting += counted
        try:
            yield turn
        except BaseException:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                # It had its turn already, and will not use it.
                del line.holders[holder]
                self._next(line)
            raise
        finally:
            self._waiting -= counted
            if place in line.waiting:
                line.waiting.remove(place)

    def _next(self, line: _Line) -> None:
        """Give the turn that has become free to the first one who still wants it."""
        while line.waiting:
            holder, turn = line.waiting.popleft()
            if not turn.done():
                line.holders[holder] = None
                turn.set_result(None)
                return

    def _forget(self, name: Name, line: _Line) -> None:
        if not line.holders and not line.waiting:
            self._lines.pop(name, None)

    def _stuck(self, line: _Line, holder: Holder, seen: set[int]) -> bool:
        """Whether nobody in *line* can end before *holder* does."""
        if id(line) in seen:
            return True
        seen.add(id(line))
        return all(
            each in _ancestors(holder)
            or any(self._stuck(other, holder, seen) for other in self._waited_for(each))
            for each in line.holders
        )

    def _waited_for(self, holder: Holder) -> Iterator[_Line]:
        """The lines in which *holder*, or something that it waits for, waits."""
        for line in self._lines.values():
            if any(each is holder or holder in _ancestors(each) for each, _ in line.waiting):
                yield line


def _ancestors(holder: Holder) -> Iterator[Holder]:
    """Those that wait for *holder*, its parent first."""
    parent = holder.parent
    while parent is not None:
        yield parent
        parent = parent.parent


def _clear(line: _Line) -> None:
    """Make place: only the newest one matters."""
    for _, turn in line.waiting:
        if not turn.done():
            turn.set_exception(Conflict("A newer start of this flow has taken its place."))
    for each in line.holders:
        each.cancel()


# --- not too often ------------------------------------------------------------------------------


class Rates:
    """
    How often flows start.

    The generic cell rate algorithm (ITU-T I.371): a start moves the time at which the flow would
    be quiet again by one interval; one that would move it further ahead than the whole period
    is too much. It keeps one number a name.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._quiet: dict[Name, float] = {}

    def count(self, name: Name, limit: RateLimit) -> None:
        """Count one start. Raises RequestsExceeded, which says when there is room for the next."""
        now = self._clock()
        interval = limit.per / limit.starts
        quiet = max(self._quiet.get(name, now), now) + interval
        ahead = quiet - now - limit.per
        if ahead > 1e-9:
            raise RequestsExceeded(
                "This flow was started too often; try again later.", retry_after=int(ahead) + 1
            )
        # In the order of the last start, so that the first ones are the quietest.
        self._quiet.pop(name, None)
        self._quiet[name] = quiet
        if len(self._quiet) > _MAX_RATES:
            del self._quiet[next(iter(self._quiet))]
