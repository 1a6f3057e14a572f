"""
When to look at the flows folder.

Events only say *that* something may have changed, never what: their paths are wrong after a link
was swapped, some changes have no event at all, and some of many are dropped without a word. So
they only ask for a look, and without them there is one from time to time all the same.
"""

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from watchfiles import awatch

from runner import source
from runner.source import Snapshot

#: How long watchfiles gathers events, in milliseconds: it waits for a step without a new one, but
#: no longer than the debounce. The waiting that matters is ours.
_STEP: Final = 50
_DEBOUNCE: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """How long to wait for what, in seconds."""

    #: Without an event, until a change counts as made …
    quiet: float = 0.25
    #: … and how long events or young files may put that off.
    quiet_max: float = 5.0
    #: The age of the newest file, where a change does not come all at once.
    settle: float = 0.5
    #: Between looks that no event asked for, ± 20 % …
    resync: float = 30.0
    #: … and where events cannot be relied on.
    resync_poll: float = 5.0
    #: How long git may hold its lock before it counts as forgotten.
    index_lock: float = 60.0
    #: Between looks at that lock.
    index_lock_poll: float = 0.05
    #: After a watch was asked for, until it certainly hears.
    deaf: float = 0.1
    #: Before a watch that failed is tried again: at first, and at most.
    backoff: float = 0.2
    backoff_max: float = 10.0


class Watcher:
    """
    Says when *root* may have changed, and whether a change looks finished.

    `listen` must run beside. *warn* is given sentences about what does not work as it should.
    """

    def __init__(self, root: Path, timings: Timings, warn: Callable[[str], None]) -> None:
        self._root = root
        self._timings = timings
        self._warn = warn
        self._dirty = asyncio.Event()
        #: What is watched: path, device and inode. They say whether it is still the same folder.
        self._folders: list[tuple[str, int, int]] = []
        self._moved = asyncio.Event()
        self._hears = False
        self._locked_since: float | None = None
        self._lock_forgotten = False
        #: How many changes were found that no event had announced.
        self.missed = 0

    @property
    def mode(self) -> str:
        """`events`, or `poll` where these cannot be relied on."""
        return "events" if self._hears and not self.missed else "poll"

    def poke(self) -> None:
        """Ask for a look."""
        self._dirty.set()

    # --- when to look

    async def changed(self) -> bool:
        """
        Wait until it is time for a look.

        True: somebody asked for it, and nothing has happened since for a while. False: it is
        just time again.
        """
        every = self._timings.resync if self.mode == "events" else self._timings.resync_poll
        spread = random.uniform(0.8, 1.2)  # noqa: S311 - replicas need not look all at once
        if not await self._asked(every * spread):
            return False
        await self._quiet()
        return True

    async def found_unannounced(self) -> None:
        """Take note of a change that no event told of, although one should have by now."""
        await asyncio.sleep(self._timings.quiet)
        if self._dirty.is_set() or not self._hears:
            return
        self.missed += 1
        if self.missed == 1:
            self._warn(
                f"no event announced a change in {self._root}:"
                f" it is looked at every {self._timings.resync_poll:g} s from now on"
            )

    async def _asked(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._dirty.wait()
        except TimeoutError:
            return False
        self._dirty.clear()
        return True

    async def _quiet(self) -> None:
        until = time.monotonic() + self._timings.quiet_max
        while await self._asked(self._timings.quiet) and time.monotonic() < until:
            pass

    # --- whether a change looks finished

    async def unlocked(self) -> None:
        """Wait while git works on the files, and until all is quiet after that."""
        waited = False
        while await self._is_locked():
            waited = True
            await asyncio.sleep(self._timings.index_lock_poll)
        if waited:
            await self._quiet()

    async def unrest(self, snapshot: Snapshot, since: float) -> float:
        """
        How many seconds to wait before the files of *snapshot* may be taken for finished.

        *since* is the monotonic time at which this waiting began.
        """
        waited = time.monotonic() - since
        if snapshot.atomic or waited >= self._timings.quiet_max:
            return 0.0
        if await self._is_locked():
            return self._timings.index_lock_poll
        age = time.time() - snapshot.newest_mtime
        if age < 0:  # the files have their times from a clock that is ahead of ours
            age = waited
        return max(0.0, self._timings.settle - age)

    async def _is_locked(self) -> bool:
        lock = await asyncio.to_thread(source.index_lock, self._root)
        if lock is None:
            self._locked_since, self._lock_forgotten = None, False
            return False
        if self._locked_since is None:
            self._locked_since = time.monotonic()
        if time.monotonic() - self._locked_since < self._timings.index_lock:
            return True
        if not self._lock_forgotten:
            self._lock_forgotten = True
            self._warn(f"git holds {lock} for too long: the flows are read in spite of it")
        return False

    # --- events

    async def listen(self) -> None:
        """Hear of changes, for ever: a watch that fails or whose folder is gone is set up anew."""
        pause = self._timings.backoff
        while True:
            began = time.monotonic()
            try:
                self._folders = await asyncio.to_thread(source.watch_dirs, self._root)
                await self._hear()
            except Exception as error:  # watchfiles' come in groups, and are of many kinds
                if time.monotonic() - began > self._timings.backoff_max:
                    pause = self._timings.backoff
                self._say_failed(error, first=pause == self._timings.backoff)
                await asyncio.sleep(pause)
                pause = min(2 * pause, self._timings.backoff_max)
            else:
                pause = self._timings.backoff

    async def follow(self) -> None:
        """Have the folders watched that there are now."""
        if self._folders != await asyncio.to_thread(source.watch_dirs, self._root):
            self._moved.set()

    async def _hear(self) -> None:
        self._moved = asyncio.Event()
        # What happened between the last look and the watch had no event.
        up = asyncio.get_running_loop().call_later(self._timings.deaf, self._on_hearing)
        events = awatch(
            *(path for path, _, _ in self._folders),
            watch_filter=None,
            recursive=False,
            step=_STEP,
            debounce=_DEBOUNCE,
            stop_event=self._moved,
        )
        try:
            async with aclosing(events):
                async for _ in events:
                    self.poke()
        finally:
            up.cancel()
            self._hears = False

    def _on_hearing(self) -> None:
        self._hears = True
        self.poke()

    def _say_failed(self, error: Exception, *, first: bool) -> None:
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        if first:
            self._warn(f"the watch on {self._root} failed, and is tried again: {error}")
