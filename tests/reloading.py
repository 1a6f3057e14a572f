"""A real folder with a real reloader on it, and everything that comes of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

from runner import settings
from runner.lastgood import LastGoodFolder
from runner.loader import Loader
from runner.model import Generation, State
from runner.operations import BUILTIN, OperationSet
from runner.records import Recorder
from runner.redact import Redactor
from runner.registry import Registry
from runner.reload import Reloader
from runner.types import JSONObject
from runner.watch import Timings
from tests.world import Kept, problem

QUICK = Timings(
    quiet=0.05,
    quiet_max=2.0,
    settle=0.1,
    resync=60.0,
    resync_poll=0.1,
    index_lock=30.0,
    index_lock_poll=0.01,
    deaf=0.05,
    backoff=0.05,
    backoff_max=0.2,
)
"""What waits waits briefly; a look that no event asks for does not come while a test runs."""

PATIENCE = 20.0
"""After so many seconds, what a test waits for will not come."""

BROKEN = "name: ["


def flow(version: str = "1", **more: str) -> str:
    """The text of a flow whose description is *version*."""
    lines = {"name": "A flow", "trigger": "manual", "description": f'"{version}"', **more}
    return "".join(f"{name}: {value}\n" for name, value in lines.items())


class Reloading:
    """A flows folder, what is loaded from it, and every record."""

    def __init__(
        self,
        root: Path,
        state: Path | None = None,
        *,
        on_invalid: str = "isolate",
        operations: OperationSet = BUILTIN,
        timings: Timings = QUICK,
        **options: str,
    ) -> None:
        self.root = root
        self.kept = Kept()
        self.registry = Registry()
        self.generations: asyncio.Queue[Generation] = asyncio.Queue()
        self.registry.subscribe(lambda _, after: self.generations.put_nowait(after))
        given = {"flows": str(root), "on_invalid": on_invalid, **options}
        loaded = settings.load(given, {})
        self.reloader = Reloader(
            root,
            Loader(operations, loaded),
            self.registry,
            LastGoodFolder(state, root),
            Recorder(Redactor(), self.kept),
            replace(loaded, state=state),
            timings,
        )

    # --- the folder

    def write(self, path: str, text: str | None = None) -> None:
        """Write a flow file, folders included; no text means any flow."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(flow() if text is None else text)

    def remove(self, path: str) -> None:
        """Remove a flow file."""
        (self.root / path).unlink()

    # --- what comes of it

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watch the folder meanwhile."""
        task = asyncio.create_task(self.reloader.watch())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def next(self) -> Generation:
        """The next generation that is put in place."""
        async with asyncio.timeout(PATIENCE):
            return await self.generations.get()

    @property
    def current(self) -> Generation:
        """What is in place."""
        return self.registry.current

    @property
    def versions(self) -> dict[str, str | None]:
        """The descriptions of the flows that run, by key."""
        return versions(self.current)

    @property
    def states(self) -> dict[str, State]:
        """The states of all flows, by key."""
        return {key: entry.state for key, entry in self.current.entries.items()}

    @property
    def ready(self) -> JSONObject:
        """The condition that `GET /source` shows."""
        (condition,) = self.reloader.status()["conditions"]
        assert isinstance(condition, dict)
        return condition

    def said(self, event: str) -> list[JSONObject]:
        """The records of one event."""
        return [record for record in self.kept.records if record["event"] == event]

    def check_records(self) -> None:
        """Every record is what its schema says."""
        for record in self.kept.records:
            assert problem(record) is None, f"{problem(record)}: {record}"


def versions(generation: Generation) -> dict[str, str | None]:
    """The descriptions of the flows that run in *generation*, by key."""
    entries = generation.entries
    return {key: entry.flow.description for key, entry in entries.items() if entry.flow}
