"""One thread writes for everybody: what queued while the last commit ran is the next one."""

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple, TypeVar

from runner.errors import StoreError

T = TypeVar("T")
Item = TypeVar("Item")

#: So many jobs at most share a commit.
_BATCH: Final = 256

#: SQL by whether commits wait for the disk.
_SYNC: Final = {True: "PRAGMA synchronous = FULL", False: "PRAGMA synchronous = NORMAL"}

#: Bytes of what nobody waits for that may be in the queue.
_MAX_SPARE: Final = 8 << 20


class _Job(NamedTuple):
    work: Callable[..., Any]
    #: Who waits for what comes of it.
    future: asyncio.Future[Any] | None
    #: It cannot be part of a transaction.
    alone: bool = False
    #: Called with what came of it, whether anybody still waits or not.
    then: Callable[[Any], None] | None = None
    #: Of a job that nobody waits for: its bytes, and how many things it is about.
    size: int = 0
    things: int = 0
    #: What *work* is to do together with what others want of it; None: it takes no items.
    item: object = None


class _Done(NamedTuple):
    job: _Job
    value: Any = None
    error: Exception | None = None


class Writer:
    """
    Does jobs on *connection*, many to a commit, in the order in which they come.

    There is no timer: a job that is alone is committed at once, and under load the time that the
    disk takes for one commit gathers the next. A failing batch is taken apart, so that only the
    job fails that is the cause; where no transaction can begin, everybody is told at once. *check*
    is called before each transaction; *explain* says what an error of SQLite means. Jobs may run
    twice, and must have no effect but on the connection.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        check: Callable[[], None],
        explain: Callable[[sqlite3.Error], StoreError],
    ) -> None:
        self._connection = connection
        self._check = check
        self._explain = explain
        self._loop = asyncio.get_running_loop()
        self._jobs: deque[_Job] = deque()
        self._spare: deque[_Job] = deque()
        self._spare_size = 0
        self._wake = threading.Event()
        self._closing = False
        #: Whether a commit is on the disk when it returns: what nobody waits for can get lost.
        self._synced = False
        #: What the last transaction failed with.
        self.trouble: StoreError | None = None
        #: How many of the things that nobody waits for were not done.
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)
        self._thread.start()

    def do(
        self,
        work: Callable[[sqlite3.Connection], T],
        *,
        alone: bool = False,
        then: Callable[[T | None], None] | None = None,
    ) -> asyncio.Future[T]:
        """
        What *work* returns or raises, when that is committed; cancelling it undoes nothing.

        *then* is called before, whatever became of who waits, with what *work* returned, or None.
        A job that cannot be part of a transaction runs *alone*. Raises StoreError once closed.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._add(_Job(work, future, alone, then))
        return future

    def do_among(
        self,
        work: Callable[[sqlite3.Connection, Sequence[Item]], Sequence[T]],
        item: Item,
        *,
        then: Callable[[T | None], None] | None = None,
    ) -> asyncio.Future[T]:
        """
        The same for one *item* of *work*, which is given all at once that queued one after another.

        Python lets another thread run at every statement, and takes milliseconds to come back
        from a busy loop: a batch is to take few statements, however many jobs it has.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._add(_Job(work, future, then=then, item=item))
        return future

    def _add(self, job: _Job) -> None:
        if self._closing:
            raise StoreError("the store is closed")
        self._jobs.append(job)
        if not self._wake.is_set():  # looking is cheaper
            self._wake.set()

    def offer(
        self, work: Callable[[sqlite3.Connection], object], *, size: int, things: int
    ) -> None:
        """
        Do *work* when there is time, or drop it and count its *things*; *size* is in bytes.

        One such job at most rides in a commit, so that nobody waits long for what nobody waits for.
        """
        if self._closing or self._spare_size + size > _MAX_SPARE:
            self.dropped += things
            return
        self._spare_size += size
        self._spare.append(_Job(work, None, size=size, things=things))
        self._wake.set()

    async def close(self) -> None:
        """Do what is in the queue, and end."""
        self._closing = True
        self._wake.set()
        await asyncio.to_thread(self._thread.join)

    # --- in the loop

    def _resolve(self, done: list[_Done]) -> None:
        for job, value, error in done:
            if error is None:
                self.trouble = None
            elif isinstance(error, StoreError):
                self.trouble = error
            if job.then is not None:
                job.then(value)
            if job.future is None:
                self._spare_size -= job.size
                self.dropped += 0 if error is None else job.things
            elif job.future.cancelled():
                continue
            elif error is None:
                job.future.set_result(value)
            else:
                job.future.set_exception(error)

    # --- in the thread

    def _run(self) -> None:
        while not (self._closing and not self._jobs and not self._spare):
            self._wake.wait()
            self._wake.clear()
            for batch in iter(self._batch, []):
                # One call for all of them: waking the loop costs more than most jobs.
                self._loop.call_soon_threadsafe(self._resolve, self._commit(batch))

    def _batch(self) -> list[_Job]:
        batch: list[_Job] = []
        while self._jobs and len(batch) < _BATCH:
            if self._jobs[0].alone:
                return batch or [self._jobs.popleft()]
            batch.append(self._jobs.popleft())
        if self._spare:
            batch.append(self._spare.popleft())
        return batch

    def _commit(self, batch: list[_Job]) -> list[_Done]:
        try:
            self._check()
            self._sync(any(job.future is not None for job in batch))
            if not batch[0].alone:
                self._connection.execute("BEGIN IMMEDIATE")
        except Exception as error:  # of nobody's job: the others would only wait for the same
            waiting = [self._jobs.popleft() for _ in range(len(self._jobs))]
            return [_Done(job, error=self._told(error)) for job in (*batch, *waiting)]
        try:
            return self._done(batch)
        except Exception as error:  # of anybody's job, or of the disk: each is told its own
            if len(batch) == 1:
                return [_Done(batch[0], error=self._told(error))]
        return [done for job in batch for done in self._commit([job])]

    def _sync(self, wanted: bool) -> None:
        """Wait for the disk at each commit, or leave that to the next one that somebody awaits."""
        if wanted is not self._synced:
            self._connection.execute(_SYNC[wanted])
            self._synced = wanted

    def _done(self, batch: list[_Job]) -> list[_Done]:
        connection = self._connection
        try:
            done = [*_did(connection, batch)]
            if connection.in_transaction:
                connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # a full disk may have ended it
                connection.execute("ROLLBACK")
            raise
        return done

    def _told(self, error: Exception) -> Exception:
        return self._explain(error) if isinstance(error, sqlite3.Error) else error


def _did(connection: sqlite3.Connection, batch: Sequence[_Job]) -> Iterator[_Done]:
    """What came of each job, in order."""
    for work, jobs in groupby(batch, key=lambda job: job.work):
        some = [*jobs]
        if some[0].item is None:
            yield from [_Done(job, work(connection)) for job in some]
        else:
            yield from map(_Done, some, work(connection, [job.item for job in some]))
