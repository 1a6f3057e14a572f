"""A process that accepts executions and records steps until it is killed, and says what is kept."""

import asyncio
import sys
from itertools import count
from pathlib import Path

from runner.store.base import Accepted, Journal, Store
from runner.store.sqlite import SQLiteStore
from tests.unit.store.places import TEXT, execution, step


def say(what: str) -> None:
    """Print *what*, at once."""
    print(what, flush=True)


async def walk(each: Accepted, journal: Journal) -> None:
    """Record steps for ever, each with a line when `record` has returned."""
    for number in count():
        path = f"each/{number}/one"
        await journal.record(step(path, {"number": number}))
        say(f"recorded {each.id} {path}")


async def call(store: Store) -> None:
    """Have executions accepted for ever, each with a line when `accept` has returned."""
    while True:
        each = execution()
        await store.accept(each, [TEXT])
        say(f"accepted {each.id}")


async def main() -> None:
    """Until somebody kills us."""
    async with SQLiteStore(Path(sys.argv[1])) as store, asyncio.TaskGroup() as tasks:
        tasks.create_task(store.serve(walk, 4))  # type: ignore[arg-type]
        for _ in range(4):
            tasks.create_task(call(store))


if __name__ == "__main__":
    asyncio.run(main())
