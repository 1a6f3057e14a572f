"""
Whether the event loop stands still: while it does, everybody waits.

A task wakes often and notes how late it woke. What made it late is one of three: the loop itself
computed for long, it waited for something (a disk, another thread), or the machine gave the
process no time. The CPU time that the loop's thread has used meanwhile tells the first from the
others.
"""

import asyncio
import time
from datetime import UTC, datetime
from typing import Final, NamedTuple

from runner.operators import iso
from runner.records import Recorder

LONG: Final = 0.1
"""Seconds; what is shorter is not worth a word."""

_EVERY: Final = 0.05
"""Seconds between looks: as much of a stall may go unseen, and looks are not for nothing."""

_PAUSE: Final = 10.0
"""Seconds between records, so that a machine that is always late fills no disk."""

_MANY: Final = 50
"""So many stalls are listed in one record; more are counted."""


class Stall(NamedTuple):
    """The loop stood still."""

    #: When it went on, in seconds since 1970.
    at: float
    #: For how many seconds, and how many of these its own thread computed.
    seconds: float
    cpu: float


class Stalls:
    """Records that the loop stood still: at once, then what comes within ten seconds together."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._found: list[Stall] = []
        self._left_out = 0
        #: The next record comes no earlier; of the clock of `time.monotonic`.
        self._next = 0.0

    async def watch(self) -> None:
        """Look until it is cancelled."""
        try:
            while True:
                await self._look()
        finally:
            self.flush()

    async def _look(self) -> None:
        began, cpu = time.monotonic(), time.thread_time()
        await asyncio.sleep(_EVERY)
        now = time.monotonic()
        late = now - began - _EVERY
        if late > LONG:
            self._note(Stall(time.time(), late, time.thread_time() - cpu))
        if self._found and now >= self._next:
            self._next = now + _PAUSE
            self.flush()

    def _note(self, stall: Stall) -> None:
        """Keep it for the next record."""
        if len(self._found) < _MANY:
            self._found.append(stall)
        else:
            self._left_out += 1

    def flush(self) -> None:
        """Record what was found."""
        found, self._found = self._found, []
        left_out, self._left_out = self._left_out, 0
        if not found:
            return
        longest = max(each.seconds for each in found)
        times = "" if len(found) + left_out == 1 else f"{len(found) + left_out} times, for up to "
        self._recorder.emit(
            "daemon.stalled",
            message=f"the event loop stood still for {times}{longest * 1000:.0f} ms",
            data={"stalls": [_as_data(each) for each in found], "left_out": left_out},
        )


def _as_data(stall: Stall) -> dict[str, str | float]:
    return {
        "at": iso(datetime.fromtimestamp(stall.at, UTC)),
        "ms": round(stall.seconds * 1000, 1),
        "cpu_ms": round(stall.cpu * 1000, 1),
    }
