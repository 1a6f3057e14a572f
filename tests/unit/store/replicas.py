"""Replicas of tests: processes of `postgres_replica` that share a database."""

import asyncio
import contextlib
import json
import signal
import sys
from collections import Counter


class Replica:
    """A process of `postgres_replica`, and what it said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._news = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout
        async for line in self.process.stdout:
            self.lines.append(line.decode().strip())
            self._news.set()
        self._news.set()

    async def said(self, line: str, times: int = 1) -> None:
        """Return when it said so."""
        async with asyncio.timeout(30):
            while self.count(line) < times:
                assert not self._reading.done(), (line, self.lines)
                self._news.clear()
                await self._news.wait()

    def count(self, beginning: str) -> int:
        """How many of its lines begin so."""
        return sum(f"{line} ".startswith(f"{beginning} ") for line in self.lines)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    async def end(self, number: signal.Signals = signal.SIGKILL) -> int:
        """End it, and say how it did."""
        with contextlib.suppress(ProcessLookupError):
            self.send(number)
        code = await asyncio.wait_for(self.process.wait(), 30)
        await self._reading
        return code


class Cluster:
    """Replicas that share a database."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.replicas: list[Replica] = []

    async def replica(self, **options: object) -> Replica:
        """Another one, which is open."""
        made = await self.starting(**options)
        await made.said("open")
        return made

    async def starting(self, **options: object) -> Replica:
        """Another one."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.unit.store.postgres_replica"),
            json.dumps({"url": self.url, **options}),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        self.replicas.append(Replica(process))
        return self.replicas[-1]

    def effects(self, word: str) -> Counter[str]:
        """How often each thing was done, by anybody."""
        lines = (line for replica in self.replicas for line in replica.lines)
        return Counter(line for line in lines if line.startswith(f"{word} "))
