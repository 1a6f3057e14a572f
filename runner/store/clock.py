"""The time by which executions are due: an argument, so that nobody has to wait for it."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol


class Clock(Protocol):
    """Tells the time, and when it has come. Times are in seconds since 1970."""

    def now(self) -> float:
        """What time it is."""

    def alarm(self, at: float, ring: Callable[[], None], /) -> Callable[[], None]:
        """Call *ring* once, at *at* or earlier, unless what is returned is called before."""


class SystemClock:
    """The time of the machine."""

    #: It may be set while we wait, so it is asked again after so many seconds.
    LOOK_AGAIN: Final = 10.0

    def now(self) -> float:
        """What time it is."""
        return time.time()

    def alarm(self, at: float, ring: Callable[[], None]) -> Callable[[], None]:
        """Call *ring* in the running loop."""
        delay = min(max(at - time.time(), 0.0), self.LOOK_AGAIN)
        return asyncio.get_running_loop().call_later(delay, ring).cancel
