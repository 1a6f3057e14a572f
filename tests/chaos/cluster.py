"""Daemons that share their flows and their store, and what is done to them."""

import asyncio
import json
import signal
import time
from pathlib import Path
from typing import NamedTuple

from tests.acceptance.daemon import Daemon
from tests.chaos.flows import PROCESS, SECRET, files
from tests.chaos.seen import Disruption, Ending, Seen

_SETTINGS = json.dumps({"env_allow": [PROCESS]})


class _Replica(NamedTuple):
    name: str
    daemon: Daemon


class Cluster:
    """
    So many *replicas*, with their flows below *home*; *state*: where they keep what they accept.

    Whatever happens to them, and how executions end that they finish, is noted in *seen*.
    """

    def __init__(self, home: Path, replicas: int, state: str | None, seen: Seen) -> None:
        self._home = home
        self._arguments = () if state is None else (f"--state={state}",)
        self._seen = seen
        self._starts = 0
        self._replicas = [self._replica() for _ in range(replicas)]

    def __len__(self) -> int:
        return len(self._replicas)

    def _replica(self) -> _Replica:
        self._starts += 1
        name = f"process-{self._starts}"
        environ = {PROCESS: name}
        daemon = Daemon(self._home, *self._arguments, settings=_SETTINGS, environ=environ)
        return _Replica(name, daemon)

    async def start(self, sink: str) -> None:
        """Start them all, with flows that ask the *sink*."""
        for key, text in files(sink).items():
            (self._home / "flows" / f"{key}.yaml").write_text(text)
        (self._home / "secrets" / "CHAOS").write_text(SECRET)
        await asyncio.gather(*(_started(each.daemon) for each in self._replicas))

    def addresses(self) -> list[str]:
        """Where they listen; at that of one that was killed nobody does."""
        return [each.daemon.url for each in self._replicas if each.daemon.url]

    async def kill(self, number: int) -> None:
        """`kill -9`."""
        name, daemon = self._replicas[number]
        self._seen.disruptions.append(Disruption(name, time.monotonic()))
        daemon.process.kill()
        await self._ended(name, daemon)

    async def replace(self, number: int) -> None:
        """Start another one in the place of one that was killed."""
        replica = self._replica()
        await _started(replica.daemon)
        self._replicas[number] = replica

    async def pause(self, number: int, seconds: float) -> None:
        """Stop one, and wake it up so many *seconds* later."""
        name, daemon = self._replicas[number]
        since = time.monotonic()
        daemon.signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        self._seen.disruptions.append(Disruption(name, since, time.monotonic()))
        daemon.signal(signal.SIGCONT)

    async def stop(self) -> None:
        """End them as an orchestrator does."""
        for _, daemon in self._replicas:
            daemon.signal(signal.SIGTERM)
        for name, daemon in self._replicas:
            code = await self._ended(name, daemon)
            if code != 0:
                said = daemon.stderr.decode()
                self._seen.surprises.append(f"{name} stopped with exit code {code}: {said}")

    def end(self) -> None:
        """Leave nothing behind, whatever happened."""
        for _, daemon in self._replicas:
            if hasattr(daemon, "process"):
                daemon.__exit__()

    async def _ended(self, name: str, daemon: Daemon) -> int:
        code = await asyncio.to_thread(daemon.wait)
        self._seen.endings += (
            Ending(name, record["execution_id"], record["status"])
            for record in daemon.records
            if record["event"] == "execution.finished"
        )
        return code


async def _started(daemon: Daemon) -> None:
    await asyncio.to_thread(daemon.__enter__)
