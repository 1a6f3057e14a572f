"""The store in a folder: one SQLite file, one thread that writes to it, one process at a time."""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from runner.errors import StoreError
from runner.model import Status
from runner.store import past, rows, work
from runner.store.base import (
    Accepted,
    FlowText,
    Interrupted,
    Retention,
    Seen,
    Step,
    Story,
    Tick,
    Walk,
    unheard,
)
from runner.store.clock import Clock, SystemClock
from runner.store.file import File
from runner.store.folder import locked
from runner.store.serving import Claim, Claims, Serving
from runner.store.values import pack
from runner.store.writer import Writer
from runner.types import JSONObject

T = TypeVar("T")

_FILE: Final = "store.db"

_STORIES: Final = 512
"""So many stories are written in one transaction at most."""


class SQLiteStore:
    """
    Keeps everything in *folder*, which serves one process at a time.

    What is committed is on the disk (WAL, `synchronous=FULL`): it survives the process, the
    system and the power. The file can be read by its owner only, as journals hold raw values.
    """

    kind: Final = "sqlite"
    durable: Final = True
    shared: Final = False
    backlog: Final = 0

    _file: File
    _writer: Writer
    _reader: "_Reader"
    _serving: Serving
    _opened: AsyncExitStack

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        self._folder = folder
        self._clock = clock or SystemClock()
        #: Numbers of pins that are in the file.
        self._known: dict[str, int] = {}

    # --- open and close

    async def __aenter__(self) -> Self:
        """Open the file, and make it if it is not there."""
        self._file = file = File(self._folder / _FILE)
        async with AsyncExitStack() as stack:
            stack.enter_context(locked(self._folder))
            writing, reading = stack.enter_context(file.opened())
            self._reader = _Reader(reading, file)
            stack.callback(self._reader.close)
            self._writer = Writer(writing, file.check, file.explain)
            stack.push_async_callback(self._writer.close)
            book = _Book(self._writer, self._reader, self._clock)
            self._serving = Serving(book, self._clock)
            self._opened = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write what is still to be written, and close the file."""
        await self._opened.aclose()

    @property
    def trouble(self) -> str | None:
        """Why the last transaction failed, or the next one will."""
        trouble = self._file.damage or self._writer.trouble
        return None if trouble is None else trouble.message

    # --- running

    async def accept(self, execution: Accepted, texts: Sequence[FlowText]) -> bool:
        """Insert it, and have it run when it is committed, whether the caller waits or not."""
        row = rows.row(execution)
        reserved, known = self._serving.reserve(execution.due), self._known
        new = work.New(row, texts, self._clock.now(), reserved, known.get(row.pins))

        def accepted(kept: work.Kept | None) -> None:
            claim = None
            if kept is not None:
                claim = Claim(kept.number, execution, fresh=True)
                known[row.pins] = kept.pins
            self._serving.accepted(claim, execution.due, reserved=reserved)

        return await self._writer.do_among(work.accept, new, then=accepted) is not None

    async def serve(self, walk: Walk, at_once: int, interrupted: Interrupted = unheard) -> None:
        """Run what is accepted."""
        await self._serving.serve(walk, at_once, interrupted)

    async def hand_over(self) -> None:
        """There is nobody else."""

    async def texts(self, pins: Mapping[str, str]) -> Mapping[str, FlowText]:
        """The texts of *pins* by flow key; a walk waits for them as for its journal."""
        return await self._serving.insist(lambda: self._reader.ask(partial(work.texts, pins=pins)))

    async def cancel(self, id_: str) -> bool:
        """End it, or have it end."""
        under_way = await self._writer.do(partial(work.cancel, id_=id_, now=self._clock.now()))
        self._serving.cancel(id_)
        return under_way

    # --- ticks

    async def ticks(self) -> Mapping[str, Tick]:
        """How far schedules have got, by flow id."""
        return await self._reader.ask(work.ticks)

    async def keep_ticks(self, ticks: Mapping[str, Tick]) -> None:
        """Write *ticks*."""
        await self._writer.do(partial(work.keep_ticks, ticks=dict(ticks)))

    # --- history

    @property
    def dropped(self) -> int:
        """How many stories were left out so far."""
        return self._writer.dropped

    def write_history(self, stories: Sequence[Story]) -> None:
        """Write *stories* when there is time, and room in the queue."""
        for at in range(0, len(stories), _STORIES):
            some = stories[at : at + _STORIES]
            size = sum(len(story.records) for story in some)
            self._writer.offer(partial(past.write, stories=some), size=size, things=len(some))

    async def find(self, id_: str) -> Seen | None:
        """The execution with this id."""
        return await self._reader.ask(partial(past.find, id_=id_))

    async def executions(self, limit: int = 1000, before: int | None = None) -> Sequence[Seen]:
        """The newest first."""
        return await self._reader.ask(partial(past.executions, limit=limit, before=before))

    async def records(self, id_: str) -> bytes:
        """The records of an execution."""
        return await self._reader.ask(partial(past.records, id_=id_))

    async def retain(self, keep: Retention) -> int:
        """Forget in small slices, so that nobody waits long, and make the file smaller."""
        do, forgotten = self._writer.do, 0
        while some := await do(partial(past.forget, keep=keep, now=self._clock.now())):
            forgotten += some
        self._known = {}  # it holds for what is accepted before the next line
        await do(partial(past.tidy, now=self._clock.now()))
        while await do(past.give_back):
            pass
        await do(past.shrink, alone=True)
        return forgotten


class _Book:
    """What runs and what waits, in the file."""

    def __init__(self, writer: Writer, reader: "_Reader", clock: Clock) -> None:
        self._do = writer.do
        self._do_among = writer.do_among
        self._ask = reader.ask
        self._clock = clock

    async def claim(self, now: float, limit: int) -> Claims:
        return await self._do(partial(work.claim, now=now, limit=limit))

    async def steps(self, number: int) -> Mapping[str, Step]:
        return await self._ask(partial(work.steps, number=number))

    async def record(self, number: int, step: Step) -> None:
        await self._do(partial(work.record, number=number, step=rows.step_row(step)))

    async def wait(self, number: int, at: float) -> float:
        return await self._do(partial(work.wait, number=number, at=at))

    async def finish(self, number: int, status: Status, reason: JSONObject | None) -> None:
        text, now = pack(reason, "the reason") if reason else None, self._clock.now()
        await self._do_among(work.finish, work.Ended(number, status, now, text))

    async def release(self) -> None:
        await self._do(work.release)


class _Reader:
    """Answers questions in a thread of its own: a long answer keeps no commit waiting."""

    def __init__(self, connection: sqlite3.Connection, file: File) -> None:
        self._connection = connection
        self._file = file
        self._thread = ThreadPoolExecutor(1, "store-reader")
        self._closed = False

    async def ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """The answer to *question*, which sees all that is committed."""
        if self._closed:
            raise StoreError("the store is closed")
        with self._file.explained():
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, question, self._connection)

    def close(self) -> None:
        """Answer what was asked, and end."""
        self._closed = True
        self._thread.shutdown()
