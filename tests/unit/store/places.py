"""Places where stores are: opened, left, crashed, and opened again; with a clock that obeys."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Protocol

from runner.ids import derived_id, random_id
from runner.model import Resolved, Result, Status
from runner.store.base import Accepted, FlowText, Journal, Seen, Step, Store, WakeAt, Walk
from runner.store.memory import MemoryStore
from runner.store.sqlite import SQLiteStore

DAY = 86_400.0
DONE = Result(Status.RESOLVED, None)


class ManualClock:
    """It is later when somebody says so."""

    def __init__(self) -> None:
        self._now = 1_800_000_000.0
        self._alarms: dict[int, tuple[float, Callable[[], None]]] = {}
        self._numbers = count()

    def now(self) -> float:
        """What time it is."""
        return self._now

    def alarm(self, at: float, ring: Callable[[], None]) -> Callable[[], None]:
        """Call *ring* when it is *at*."""
        number = next(self._numbers)
        self._alarms[number] = (at, ring)
        if at <= self._now:
            asyncio.get_running_loop().call_soon(ring)
        return lambda: self._silence(number)

    def _silence(self, number: int) -> None:
        self._alarms.pop(number, None)

    @property
    def waiting(self) -> bool:
        """Whether anybody waits for a moment of this day."""
        return any(at < self._now + DAY for at, _ in self._alarms.values())

    def advance(self, seconds: float) -> None:
        """Have it so much later."""
        self._now += seconds
        for at, ring in list(self._alarms.values()):
            if at <= self._now:
                ring()


class Place(Protocol):
    """Where the stores of a test keep what they keep."""

    #: So many seconds are a long wait here.
    long: float

    def store(self) -> Store:
        """A store that is not open yet; it finds what the one before left."""

    def now(self) -> float:
        """What time it is for the store."""

    async def advance(self, seconds: float) -> None:
        """Have it so much later for the store."""

    async def crash(self) -> None:
        """What is committed is all that is left; the store that is open has no part in it."""


class InMemory:
    """Nowhere: nothing is left of a store."""

    long = DAY

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()

    def store(self) -> Store:
        """A new one."""
        return MemoryStore(self.clock)

    def now(self) -> float:
        """What the clock says."""
        return self.clock.now()

    async def advance(self, seconds: float) -> None:
        """At once."""
        self.clock.advance(seconds)

    async def crash(self) -> None:
        """Not here."""
        raise NotImplementedError


class InFolder(InMemory):
    """A folder with an SQLite file."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._folders: Iterator[Path] = (folder / f"state-{number}" for number in count())
        self.folder = next(self._folders)

    def store(self) -> Store:
        """In the folder."""
        return SQLiteStore(self.folder, self.clock)

    async def crash(self) -> None:
        """Go on with a copy of the files: as they are, a process that is killed leaves them."""
        folder = next(self._folders)
        shutil.copytree(self.folder, folder)
        self.folder = folder


# --- executions ---------------------------------------------------------------------------------


def text(key: str = "order", content: bytes = b"name: Order") -> FlowText:
    """The text of a flow."""
    return FlowText(key, f"{key}.yaml", derived_id("0" * 32, repr(content)), content)


TEXT = text()


def execution(
    id_: str | None = None,
    *,
    due: float = 0.0,
    data: object = None,
    texts: tuple[FlowText, ...] = (),
) -> Accepted:
    """An execution of the flow `order`."""
    return Accepted(
        id=id_ or random_id(),
        flow="order",
        flow_id=derived_id("0" * 32, "order"),
        digest=TEXT.digest,
        pins={each.key: each.digest for each in (TEXT, *texts)},
        revision="main@1",
        generation=1,
        trigger="webhook",
        trigger_data={"body": data},
        accountability={"user": None, "role": "ci"},
        trace_id="0af7651916cd43dd8448eb211c80319c",
        due=due,
        nominal="2026-11-22T03:00:00.000Z",
        replay={"of": TEXT.digest, "by": None},
        credentials=("let-me-in", "ä"),
        root=TEXT.digest,
        caused=7,
    )


def step(path: str = "first", value: object = 1, attempt: int = 1) -> Step:
    """An operation that resolved."""
    return Step(path, attempt, Resolved(value))  # type: ignore[arg-type]


# --- walks --------------------------------------------------------------------------------------


async def at_once(execution: Accepted, journal: Journal) -> Result | WakeAt:
    """Has nothing to do."""
    return DONE


class Walker:
    """A walk that a test leads: it says who began, and goes on when it is told."""

    def __init__(self) -> None:
        self.began: asyncio.Queue[tuple[Accepted, Journal]] = asyncio.Queue()
        #: Ids in the order in which they began, and in which they were cancelled.
        self.order: list[str] = []
        self.cancelled: list[str] = []
        self._answers: dict[str, asyncio.Future[Result | WakeAt]] = {}

    async def __call__(self, execution: Accepted, journal: Journal) -> Result | WakeAt:
        """Run until `end`."""
        answer: asyncio.Future[Result | WakeAt] = asyncio.get_running_loop().create_future()
        self._answers[execution.id] = answer
        self.order.append(execution.id)
        self.began.put_nowait((execution, journal))
        try:
            return await answer
        except asyncio.CancelledError:
            self.cancelled.append(execution.id)
            raise

    @property
    def running(self) -> int:
        """How many walks there are now."""
        return sum(not each.done() for each in self._answers.values())

    async def next(self) -> tuple[Accepted, Journal]:
        """The next one that begins."""
        async with asyncio.timeout(20):
            return await self.began.get()

    def end(self, id_: str, outcome: Result | WakeAt = DONE) -> None:
        """Have the walk of *id_* return *outcome*."""
        self._answers[id_].set_result(outcome)

    def fail(self, id_: str, error: Exception) -> None:
        """Have the walk of *id_* raise *error*."""
        self._answers[id_].set_exception(error)


@asynccontextmanager
async def serving(store: Store, walk: Walk, at_once: int = 8) -> AsyncIterator[None]:
    """Have *store* serve for the block."""
    task = asyncio.create_task(store.serve(walk, at_once))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled(), task.exception()


async def status(store: Store, id_: str, wanted: str) -> Seen:
    """What is seen of an execution as soon as it has the status *wanted*."""
    seen = None
    try:
        async with asyncio.timeout(20):
            while (seen := await store.find(id_)) is None or seen.status != wanted:
                await asyncio.sleep(0)
    except TimeoutError:
        raise AssertionError(f"not {wanted}: {seen}") from None
    return seen


async def eventually(true: Callable[[], Awaitable[bool]]) -> None:
    """Return when *true* says so."""
    async with asyncio.timeout(20):
        while not await true():
            await asyncio.sleep(0)
