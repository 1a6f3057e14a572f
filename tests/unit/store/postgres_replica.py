"""
A replica for tests: a process that serves a PostgreSQL store, and says what it does.

It says it in lines `<word> <execution> <more>` on stdout. What its walks do is in the trigger data
of executions: steps that wait until a file is there, a wait, a death; and a file that nobody else
may have locked meanwhile.
"""

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runner.errors import Lost, StoreError
from runner.model import Resolved, Result, Status
from runner.store import pg_walks
from runner.store.base import Accepted, Journal, Seen, Step, WakeAt
from runner.store.postgres import PostgresStore


def say(*words: object) -> None:
    """One line, in one piece."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def told(execution: Accepted | Seen, result: Result) -> None:
    """It was not a walk that ended it."""
    say("told", execution.id, result.status)


async def walk(execution: Accepted, journal: Journal) -> Result | WakeAt:
    """Do what the trigger data says, step by step."""
    trigger: Any = execution.trigger_data
    data = trigger["body"]
    say("walk", execution.id)
    if data.get("die"):
        os._exit(1)
    try:
        with _alone(execution.id, data.get("alone")):
            await _steps(execution.id, data, journal)
        if data.get("wait") and journal.recorded("wait") is None:
            at = time.time() + data["wait"]
            await journal.record(Step("wait", 1, WakeAt(at)))
            say("waits", execution.id)
            return WakeAt(at)
    except Lost:
        say("lost", execution.id)
        raise
    except asyncio.CancelledError:
        say("cancelled", execution.id)
        raise
    say("done", execution.id)
    return Result(Status.RESOLVED, None)


@contextlib.contextmanager
def _alone(id_: str, path: str | None) -> Iterator[None]:
    """Hold the file at *path*, which a process that dies lets go; say so where others do."""
    if path is None:
        yield
        return
    with Path(path).open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("crowded", id_)
        yield


async def _steps(id_: str, data: Any, journal: Journal) -> None:
    for number in range(data["steps"]):
        if journal.recorded(f"s{number}") is None:
            await _step(id_, number, data)
            await journal.record(Step(f"s{number}", 1, Resolved(number)))
            say("recorded", id_, number)


async def _step(id_: str, number: int, data: Any) -> None:
    say("begins", id_, number)
    gate = data.get("gate")
    if gate and number == data["steps"] - 1:
        while not Path(gate).exists():
            await asyncio.sleep(0.01)
    await asyncio.sleep(data.get("pause", 0))
    say("did", id_, number)


async def main() -> None:
    """Serve until SIGTERM; the options are JSON, in the first argument."""
    options = json.loads(sys.argv[1])
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    if "takeovers" in options:
        setattr(pg_walks, "MAX_TAKEOVERS", options["takeovers"])  # noqa: B010 - of this process
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    store = PostgresStore(options["url"], ttl=options.get("ttl", 1.0), opening=10)
    async with store:
        say("open", os.getpid())
        serving = asyncio.create_task(store.serve(walk, options.get("at_once", 8), told))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
    say("closed", os.getpid())


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except StoreError as error:
        say("error", error.message)
        sys.exit(2)
