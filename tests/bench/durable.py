"""
Accepted executions per second in SQLite.

First over HTTP, beside the same flow where nothing survives the process; then by the store alone,
beside rows per second of the barest group commit.
"""

import asyncio
import contextlib
import queue
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from runner import jsontext
from runner.ids import random_id
from runner.model import Resolved, Result, Status
from runner.store.base import Accepted, FlowText, Journal, Step
from runner.store.sqlite import SQLiteStore
from tests.bench import accepts, common

_CALLERS = 64
_STEPS = 3

_TEXT = FlowText("order", "order.yaml", "0" * 64, b"name: Order\ntrigger: webhook\n")
_DATA = {"body": jsontext.parse(common.BODY), "headers": {"content-type": "application/json"}}
_DONE = Result(Status.RESOLVED, None)


class _Keeper(NamedTuple):
    """Something that keeps things."""

    #: Keep one thing, and return when that is committed.
    keep: Callable[[], Awaitable[object]]
    #: Return when nothing is left to be done for so many things.
    end: Callable[[int], Awaitable[None]]


def main() -> None:
    """Both comparisons, one after the other."""
    quick = common.arguments(__doc__).quick
    over_http = accepts.compare(*((1, 1) if quick else (7, 3)))
    print()
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.install()
    alone = asyncio.run(_compare(*((3, 10) if quick else (15, 30))))
    common.ratios(over_http | alone)


async def _compare(rounds: int, each: int) -> dict[str, float]:
    """In turn: the bare thread, accepting alone, and accepting while executions run."""
    names = ("bare", "accepted", "run", "steps")
    figures: dict[str, list[float]] = {name: [] for name in names}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        keepers = {
            "bare": await stack.enter_async_context(_bare(folder / "bare")),
            "accepted": await stack.enter_async_context(_store(folder / "accepted", None)),
            "run": await stack.enter_async_context(_store(folder / "run", 0)),
            "steps": await stack.enter_async_context(_store(folder / "steps", _STEPS)),
        }
        for _ in range(rounds):
            for name, keeper in keepers.items():
                figures[name].append(await _rate(keeper, each))
    rates = {name: statistics.median(figures[name]) for name in names}
    said = {
        "bare": "one row, inserted by a thread",
        "accepted": "accepted, nobody serves",
        "run": "accepted and run to the end",
        "steps": f"accepted and run, {_STEPS} steps recorded",
    }
    rows = [
        [said[name], f"{rates[name]:,.0f}", f"{1e6 / rates[name]:.1f}",
         f"{rates[name] / rates['bare']:.2f}"]
        for name in names
    ]  # fmt: skip
    common.table([f"{_CALLERS} callers at a time", "per s", "µs", "÷ bare"], rows)
    return {name: rates[name] / rates["bare"] for name in names[1:]}


async def _rate(keeper: _Keeper, each: int) -> float:
    """Things per second, kept by so many callers *each*."""

    async def call() -> None:
        for _ in range(each):
            await keeper.keep()

    before = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(_CALLERS)))
    await keeper.end(_CALLERS * each)
    return _CALLERS * each / (time.perf_counter() - before)


async def _nothing(_: int) -> None:
    """There is nothing left to be done."""


# --- what keeps ---------------------------------------------------------------------------------


@asynccontextmanager
async def _store(folder: Path, steps: int | None) -> AsyncIterator[_Keeper]:
    """The store; its executions record so many *steps*; None: they do not run."""
    ended: asyncio.Queue[None] = asyncio.Queue()

    async def walk(_: Accepted, journal: Journal) -> Result:
        for number in range(steps or 0):
            await journal.record(Step(f"step-{number}", 1, Resolved(_DATA)))
        ended.put_nowait(None)
        return _DONE

    async def end(things: int) -> None:
        for _ in range(things):
            await ended.get()

    async with SQLiteStore(folder) as store:

        def keep() -> Awaitable[bool]:
            return store.accept(_execution(), [_TEXT])

        if steps is None:
            yield _Keeper(keep, _nothing)
            return
        serving = asyncio.create_task(store.serve(walk, 1000))
        yield _Keeper(keep, end)
        serving.cancel()
        await asyncio.wait([serving])


def _execution() -> Accepted:
    return Accepted(
        id=random_id(), flow="order", flow_id="1", digest=_TEXT.digest,
        pins={"order": _TEXT.digest}, revision="main", generation=1, trigger="webhook",
        trigger_data=_DATA, accountability=None, trace_id="0" * 32,
    )  # fmt: skip


@asynccontextmanager
async def _bare(folder: Path) -> AsyncIterator[_Keeper]:
    """A thread that inserts what queued into one table, as little as that can be."""
    folder.mkdir()
    connection = sqlite3.connect(folder / "x", isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE row (id TEXT PRIMARY KEY, data TEXT NOT NULL)")
    rows: queue.SimpleQueue[tuple[str, str, asyncio.Future[None]] | None] = queue.SimpleQueue()
    loop = asyncio.get_running_loop()

    def resolve(batch: list[tuple[str, str, asyncio.Future[None]]]) -> None:
        for _, _, future in batch:
            future.set_result(None)

    def write() -> None:
        while (row := rows.get()) is not None:
            batch = [row]
            with contextlib.suppress(queue.Empty):
                while (more := rows.get_nowait()) is not None:
                    batch.append(more)
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO row VALUES (?, ?)", [each[:2] for each in batch])
            connection.execute("COMMIT")
            loop.call_soon_threadsafe(resolve, batch)

    def keep() -> asyncio.Future[None]:
        future: asyncio.Future[None] = loop.create_future()
        rows.put((random_id(), jsontext.write(_execution()._asdict()).decode(), future))
        return future

    thread = threading.Thread(target=write)
    thread.start()
    yield _Keeper(keep, _nothing)
    rows.put(None)
    await asyncio.to_thread(thread.join)
    connection.close()


if __name__ == "__main__":
    main()
