"""What an accepted execution is in this process until it ends, and the places in which they run."""

import asyncio
from collections import deque
from collections.abc import Callable

from runner.errors import Unavailable
from runner.execution import Execution
from runner.model import Concurrency, Start
from runner.store.base import Line
from runner.turns import Holder


class Places:
    """So many run at once; those who wait get the places that become free, in order."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: deque[asyncio.Future[None]] = deque()

    def take(self) -> None:
        """Have a place now. Raises Unavailable."""
        if self._free <= 0:
            raise Unavailable("Too many executions are under way; try again later.")
        self._free -= 1

    async def wait(self) -> None:
        """Have a place as soon as one is free."""
        if self._free > 0:
            self._free -= 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.give_back()
            raise

    def give_back(self) -> None:
        """Give a place to who has waited longest."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._free += 1


class Ticket:
    """An accepted execution while it is under way in this process: walked, waiting or asleep."""

    __slots__ = (
        "_cancel", "_kept", "begun", "concurrency", "credentials", "execution", "family",
        "has_turn", "id", "name", "waits",
    )  # fmt: skip

    #: Nobody waits for it.
    parent: Holder | None = None

    def __init__(
        self,
        id_: str,
        start: Start,
        name: tuple[str, str] | None,
        concurrency: Concurrency | None,
        cancel: Callable[[str], None],
    ) -> None:
        self.id = id_
        #: Of its line.
        self.name = name
        self.concurrency = concurrency
        #: All of them: the store has only those that it needs.
        self.credentials = start.credentials
        self.family = start.family
        #: While it is walked.
        self.execution: Execution | None = None
        #: It waits for its turn, it has it, it had a place.
        self.waits = self.has_turn = self.begun = False
        self._cancel = cancel
        self._kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def kept(self) -> bool:
        """Whether it is committed, when that is known."""
        await asyncio.wait({self._kept})
        return self._kept.result()

    def settle(self, kept: bool) -> None:
        """Say whether it is committed."""
        if not self._kept.done():
            self._kept.set_result(kept)

    @property
    def line(self) -> Line | None:
        """Where it stands, for a store that knows who else does."""
        if self.name is None or self.concurrency is None:
            return None
        return Line(
            " ".join(filter(None, self.name)), self.concurrency.width, self.concurrency.mode
        )

    @property
    def is_near(self) -> bool:
        """Whether it is about to begin."""
        return not self.begun and not self.waits

    def cancel(self) -> None:
        """End it where it is."""
        self._cancel(self.id)
