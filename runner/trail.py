"""What an execution has done, in the words of a journal: where it goes on after a restart."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Self
from urllib.parse import quote

from runner.errors import Suspended, Unwritable
from runner.ids import derived_id
from runner.model import Outcome, Rejected
from runner.store.base import Journal, Step, WakeAt

_WORTH_IT: Final = 1.0
"""Seconds: for less, an execution is not put away."""


class Trail:
    """
    The part of a *journal* that belongs to one execution.

    The journal is that of the execution which nobody started but the engine; those that its flows
    start have their *place* in it: `<operation>/<index>/`.
    """

    __slots__ = ("_began", "_journal", "_place", "goes_on", "now")

    def __init__(
        self,
        journal: Journal,
        goes_on: Callable[[], bool],
        now: Callable[[], float] = time.time,
        place: str = "",
    ) -> None:
        self._journal = journal
        self._place = place
        #: When it began, where this walk has written it down.
        self._began: float | None = None
        #: Whether what is cancelled now goes on later.
        self.goes_on = goes_on
        #: The time, in seconds since 1970.
        self.now = now

    def path(self, operation: str, attempt: int = 1) -> str:
        """Of the step of an *operation*; what belongs to a later *attempt* has one of its own."""
        path = self._place + quote(operation, safe="")
        return path if attempt == 1 else f"{path}@{attempt}"

    def child(self, operation: str, attempt: int, index: int) -> str:
        """The path of the result of what an *operation* starts for element *index*."""
        return f"{self.path(operation, attempt)}/{index}"

    def below(self, child: str) -> Self:
        """The trail of the execution whose result is at the path *child*."""
        return type(self)(self._journal, self.goes_on, self.now, f"{child}/")

    @staticmethod
    def id(execution: str, child: str) -> str:
        """Of the execution whose result is at the path *child*: the same after a restart."""
        return derived_id(execution, child)

    # --- what was

    def step(self, path: str) -> Step | None:
        """What an earlier walk left at *path*."""
        return self._journal.recorded(path)

    @property
    def began(self) -> float | None:
        """When the execution began, in seconds since 1970, where that is written down."""
        step = self._journal.recorded(self._beginning)
        if step is not None and isinstance(step.outcome, WakeAt):
            return step.outcome.at
        return self._began

    def begun(self, operations: tuple[str, ...]) -> bool:
        """Whether an earlier walk has left anything here; *operations* are those of the flow."""
        steps = (self._journal.recorded(self.path(each)) for each in operations)
        return self.began is not None or any(steps)

    # --- what is

    async def begin(self, at: float) -> float:
        """Write down that the execution began *at*, unless it is; gives when it did."""
        if (began := self.began) is None:
            self._began = began = at
            await self._journal.record(Step(self._beginning, 1, WakeAt(began)))
        return began

    async def keep(self, path: str, attempt: int, outcome: Outcome) -> Outcome:
        """Write *outcome* down, or, where it cannot be, that instead; gives what is written."""
        try:
            await self._journal.record(Step(path, attempt, outcome))
        except Unwritable as error:
            data = {"name": "Unwritable", "message": error.message, "code": error.code}
            outcome = Rejected(data)
            await self._journal.record(Step(path, attempt, outcome))
        return outcome

    async def wait(self, path: str, attempt: int, seconds: float) -> None:
        """
        Write down that *attempt* is due in so many *seconds*, and wait for it.

        Raises Suspended where that is a while.
        """
        at = self.now() + seconds
        await self._journal.record(Step(path, attempt, WakeAt(at)))
        await self.until(at)

    async def until(self, at: float) -> None:
        """Wait for the time *at*. Raises Suspended where that is a while."""
        rest = at - self.now()
        if rest >= _WORTH_IT:
            raise Suspended(at)
        await asyncio.sleep(max(rest, 0.0))

    @property
    def _beginning(self) -> str:
        return f"{self._place}$began"
