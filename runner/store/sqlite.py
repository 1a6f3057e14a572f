"""The store in a folder: one SQLite file, one thread that writes to it, one process at a time."""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from runner.errors import StoreError
from runner.model import Status
from runner.store import migrations, past, rows, work
from runner.store.base import (
    Accepted,
    FlowText,
    Interrupted,
    Retention,
    Seen,
    Step,
    Story,
    Walk,
    unheard,
)
from runner.store.clock import Clock, SystemClock
from runner.store.folder import locked
from runner.store.serving import Claim, Claims, Serving
from runner.store.values import pack
from runner.store.writer import Writer
from runner.types import JSONObject

T = TypeVar("T")

_FILE: Final = "store.db"

_BUSY: Final = 5.0
"""Seconds to wait for somebody who looks into the file with a tool of their own."""

_STORIES: Final = 64
"""So many stories are written in one transaction at most."""


class SQLiteStore:
    """
    Keeps everything in *folder*, which serves one process at a time.

    What is committed is on the disk (WAL, `synchronous=FULL`): it survives the process, the
    system and the power. The file can be read by its owner only, as journals hold raw values.
    """

    durable: Final = True

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
        file = self._folder / _FILE
        async with AsyncExitStack() as stack:
            stack.enter_context(locked(self._folder))
            with _explained(file):
                writing = stack.enter_context(closing(_open(file)))
                reading = stack.enter_context(closing(_connect(file)))
                reading.execute("PRAGMA query_only = ON")
            self._reader = _Reader(reading, file)
            stack.callback(self._reader.close)
            self._writer = Writer(writing, _still_there(file), partial(_explain, file))
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
        """Why the last transaction failed."""
        return None if self._writer.trouble is None else self._writer.trouble.message

    # --- running

    async def accept(self, execution: Accepted, texts: Sequence[FlowText]) -> bool:
        """Insert it, and have it run when it is committed, whether the caller waits or not."""
        row = rows.row(execution)
        reserved, known = self._serving.reserve(execution.due), self._known
        accept = partial(
            work.accept,
            row=row,
            texts=texts,
            now=self._clock.now(),
            running=reserved,
            pins=known.get(row.pins),
        )

        def accepted(kept: work.Kept | None) -> None:
            claim = None
            if kept is not None:
                claim = Claim(kept.number, execution, fresh=True)
                known[row.pins] = kept.pins
            self._serving.accepted(claim, execution.due, reserved=reserved)

        return await self._writer.do(accept, then=accepted) is not None

    async def serve(self, walk: Walk, at_once: int, interrupted: Interrupted = unheard) -> None:
        """Run what is accepted."""
        await self._serving.serve(walk, at_once, interrupted)

    async def texts(self, pins: Mapping[str, str]) -> Mapping[str, FlowText]:
        """The texts of *pins* by flow key."""
        return await self._reader.ask(partial(work.texts, pins=pins))

    async def cancel(self, id_: str) -> bool:
        """End it, or have it end."""
        under_way = await self._writer.do(partial(work.cancel, id_=id_, now=self._clock.now()))
        self._serving.cancel(id_)
        return under_way

    # --- ticks

    async def last_ticks(self) -> Mapping[str, float]:
        """The latest ticks by flow id."""
        return await self._reader.ask(work.last_ticks)

    async def tick(self, flow_id: str, at: float) -> None:
        """Note a tick."""
        await self._writer.do(partial(work.tick, flow_id=flow_id, at=at))

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
        await self._do(partial(work.finish, number=number, status=status, reason=text, now=now))

    async def release(self) -> None:
        await self._do(work.release)


class _Reader:
    """Answers questions in a thread of its own: a long answer keeps no commit waiting."""

    def __init__(self, connection: sqlite3.Connection, file: Path) -> None:
        self._connection = connection
        self._file = file
        self._thread = ThreadPoolExecutor(1, "store-reader")
        self._closed = False

    async def ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """The answer to *question*, which sees all that is committed."""
        if self._closed:
            raise StoreError("the store is closed")
        with _explained(self._file):
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, question, self._connection)

    def close(self) -> None:
        """Answer what was asked, and end."""
        self._closed = True
        self._thread.shutdown()


# --- the file -----------------------------------------------------------------------------------


def _open(file: Path) -> sqlite3.Connection:
    """A connection to the store in *file* as this version has it."""
    # SQLite gives the files beside it the same permissions.
    os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    new = file.stat().st_size == 0
    connection = _connect(file)
    try:
        if new:  # it must be known before the first page is written
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        migrations.migrate(connection, migrations.MIGRATIONS)
        work.take_over(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=_BUSY, isolation_level=None, check_same_thread=False)
    for pragma in _PRAGMAS:
        connection.execute(pragma)
    return connection


_PRAGMAS: Final = (
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",  # what is deleted is overwritten: journals hold raw values
    "PRAGMA temp_store = MEMORY",
)


def _still_there(file: Path) -> Callable[[], None]:
    """A check that *file* is the one that is open: writing goes on in one that was deleted."""
    opened = file.stat()

    def check() -> None:
        try:
            there = os.path.samestat(file.stat(), opened)
        except OSError:
            there = False
        if not there:
            raise StoreError(f"{file} was deleted or replaced under the runner: start it again")

    return check


# --- what went wrong ----------------------------------------------------------------------------


@contextmanager
def _explained(file: Path) -> Iterator[None]:
    """Whatever makes *file* unusable, as a StoreError."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explain(file, error) from None
    except OSError as error:
        raise StoreError(f"{file} cannot be used: {error.strerror or error}") from None
    except StoreError as error:
        raise StoreError(f"{file} cannot be used: {error.message}") from None


def _explain(file: Path, error: sqlite3.Error) -> StoreError:
    """What *error* means, and what to do about it. Codes: sqlite.org/rescode.html."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    says = _MEANINGS.get(code, "{file} cannot be used: {error}")
    return StoreError(says.format(file=file, folder=file.parent, error=error))


_MEANINGS: Final = {
    sqlite3.SQLITE_FULL: (
        "the disk of {folder} is full: nothing is accepted until there is room again"
    ),
    sqlite3.SQLITE_IOERR: (
        "{file} cannot be read or written ({error}): is the disk of {folder} full or gone?"
    ),
    sqlite3.SQLITE_READONLY: (
        "{file} cannot be written: the runner needs write access to {folder} and all in it"
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "{file} cannot be opened: the runner needs write access to {folder} and all in it"
    ),
    sqlite3.SQLITE_BUSY: (
        "{file} is locked by another program: close what looks into it, and try again"
    ),
    sqlite3.SQLITE_CORRUPT: (
        "{file} is damaged ({error}): move it away together with its -wal and -shm files and"
        " start again; what was under way in it does not go on"
    ),
}
_MEANINGS[sqlite3.SQLITE_NOTADB] = _MEANINGS[sqlite3.SQLITE_CORRUPT]
