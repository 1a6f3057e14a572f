"""
Ten minutes of mixed load with reloads: memory, handles and store stay flat, and nothing stalls.

    python -m tests.bench.soak              ten minutes
    python -m tests.bench.soak --minutes 60
    python -m tests.bench.soak --quick      too short to see a slow leak, long enough for a fast one

A real daemon with its state in a folder is under a bounded load of every kind (soak_load.py),
while its flows change every few seconds (soak_flows.py). It is looked at from outside, each
second. The first fifth of the time is for warming up: flat is when the median of the last fifth
is where that of the second one was. What the event loop stood still, the daemon records itself
(`daemon.stalled`); of that is taken off what the machine did to it at the same moment, as
control.py sees it. The exit code is 1 when anything is not as it should be.
"""

import argparse
import asyncio
import contextlib
import json
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
from aiohttp import web

from tests.bench import common, soak_load
from tests.bench.soak_flows import SECRET, SETTINGS, Repository
from tests.bench.soak_verdict import FEW, LONG_STALL, Late, Sample, Seen, Stall, judge, own

MIB = 1 << 20

_QUICK = 40.0
"""Seconds."""

_PATIENCE = 60.0
"""Seconds for what has to happen anyway: a start, an end."""


# --- the run ------------------------------------------------------------------------------------


def main() -> None:
    """Soak it, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{_QUICK:.0f} seconds")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (10)")
    given = parser.parse_args()
    seconds = _QUICK if given.quick else given.minutes * 60
    with TemporaryDirectory() as folder:
        good = asyncio.run(_soak(Path(folder), seconds, quick=given.quick))
    sys.exit(0 if good else 1)


async def _soak(folder: Path, seconds: float, *, quick: bool) -> bool:
    async with _sink() as sink, _daemon(folder, sink) as daemon:
        handles = daemon.seen.handles
        handles.append(_handles(daemon.process.pid))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=200)) as session:
            client = soak_load.Client(daemon.url, session, daemon.repository)
            if not quick:
                await soak_load.fill(client)
            await _under_load(daemon, client, seconds)
        handles.append(await _at_rest(daemon.process.pid, handles[0] + FEW))
        code = await daemon.stop()
    return _tell(daemon.seen, client, code, quick=quick)


async def _under_load(daemon: "_Daemon", client: soak_load.Client, seconds: float) -> None:
    looking = asyncio.create_task(_look(daemon, client, seconds))
    load = asyncio.create_task(soak_load.run(client, seconds))
    died = asyncio.create_task(daemon.process.wait())
    await asyncio.wait({looking, load, died}, return_when=asyncio.FIRST_COMPLETED)
    if died.done():
        client.surprises["the daemon ended before it was told to"] += 1
    for task in (looking, load, died):
        task.cancel()
    await asyncio.wait({looking, load, died})
    if not load.cancelled():
        load.result()


async def _at_rest(pid: int, few: int) -> int:
    """Handles, when they are *few*, or that takes too long."""
    until = time.monotonic() + _PATIENCE
    with contextlib.suppress(OSError):  # it has gone
        while (handles := _handles(pid)) > few and time.monotonic() < until:
            await asyncio.sleep(0.5)
        return handles
    return 0


async def _look(daemon: "_Daemon", client: soak_load.Client, seconds: float) -> None:
    began, seen = time.monotonic(), daemon.seen
    print(f"{'time':>6} {'answers':>8} " + " ".join(f"{name:>15}" for name in Sample._fields))
    every = max(1, round(seconds / 40))
    while True:
        sample = await asyncio.to_thread(
            _sample, daemon.process.pid, daemon.state, seen.events.total()
        )
        seen.samples.append(sample)
        if (len(seen.samples) - 1) % every == 0:
            figures = " ".join(f"{figure:15.1f}" for figure in sample)
            passed = time.monotonic() - began
            print(f"{passed:5.0f}s {client.answers.total():8} {figures}", flush=True)
        await asyncio.sleep(1)


def _tell(seen: Seen, client: soak_load.Client, code: int, *, quick: bool) -> bool:
    print()
    for stall in sorted(seen.stalls, key=lambda each: -own(each, seen.control))[:10]:
        at = datetime.fromtimestamp(stall.at).strftime("%H:%M:%S.%f")[:-3]
        mine = own(stall, seen.control)
        print(f"stall at {at}: {stall.long:.0f} ms, of its own {mine:.0f}, CPU {stall.cpu:.0f}")
    print(f"{len(seen.stalls)} stalls of more than {LONG_STALL:.0f} ms")
    for what, count in [*client.surprises.most_common(20), *seen.errors.most_common(20)]:
        print(f"{count} times: {what}")
    if code:
        print(f"it ended with {code}")
    longest = max((each.late for each in seen.control), default=0.0) * 1000
    print(f"a bare loop beside it was late by {longest:.0f} ms at most")
    print(f"{client.repository.versions} versions, {dict(client.answers)}, {dict(seen.events)}\n")
    findings = judge(seen, quick=quick) if len(seen.samples) >= 10 else []
    common.table(
        ["what", "before", "after", "most", ""],
        [
            [f.what, f"{f.before:.1f}", f"{f.after:.1f}", f"{f.most:.1f}", "" if f.good else "NO"]
            for f in findings
        ],
    )
    by_name = {
        each.what.partition(" (")[0]: each.after / each.before for each in findings if each.before
    }
    common.ratios({name: ratio for name, ratio in by_name.items() if ratio > 0})
    return all(each.good for each in findings) and not (client.surprises or seen.errors or code)


# --- looking from outside -----------------------------------------------------------------------


def _sample(pid: int, state: Path, records: int) -> Sample:
    status = Path(f"/proc/{pid}/status").read_text()
    children = list(_children(pid))
    sizes = {file.name: _size(file) for file in state.rglob("*") if file.is_file()}
    return Sample(
        memory=_figure(status, "VmRSS") / 1024,
        handles=_handles(pid),
        threads=int(_figure(status, "Threads")),
        children=len(children),
        children_memory=sum(_memory(each) for each in children),
        store=sum(sizes.values()) / MIB,
        wal=sizes.get("store.db-wal", 0) / MIB,
        records=records,
    )


def _handles(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _figure(status: str, name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+)", status, re.MULTILINE)
    return 0.0 if found is None else float(found[1])


def _children(pid: int) -> Iterator[int]:
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            yield from map(int, (thread / "children").read_text().split())


def _memory(pid: int) -> float:
    with contextlib.suppress(OSError):
        return _figure(Path(f"/proc/{pid}/status").read_text(), "VmRSS") / 1024
    return 0.0


def _size(file: Path) -> int:
    with contextlib.suppress(OSError):
        return file.stat().st_size
    return 0


# --- the processes ------------------------------------------------------------------------------


class _Daemon:
    """`runner serve`, and a control beside it."""

    def __init__(self, process: asyncio.subprocess.Process, home: Path, flows: Repository) -> None:
        self.process = process
        self.state = home / "state"
        self.repository = flows
        self.url = ""
        self.seen = Seen([], [], [], Counter(), Counter(), [])
        self.started = asyncio.Event()

    async def read(self) -> None:
        """Take its records until it ends."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            record = json.loads(line)
            self.seen.events[record["event"]] += 1
            if record["event"] == "daemon.started":
                self.url = record["data"]["listen"]
                self.started.set()
            elif record["event"] == "daemon.stalled":
                self.seen.stalls.extend(map(_stall, record["data"]["stalls"]))
            elif record["event"].startswith("daemon.") and record["severity"] != "INFO":
                self.seen.errors[record["message"]] += 1

    async def read_control(self, control: asyncio.subprocess.Process) -> None:
        """Take what the control says."""
        assert control.stdout is not None
        async for line in control.stdout:
            self.seen.control.append(Late(*map(float, line.split())))

    async def stop(self) -> int:
        """Have it drain; its exit code."""
        with contextlib.suppress(ProcessLookupError):  # it has ended already: the code says how
            self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(_PATIENCE):
            return await self.process.wait()


def _stall(said: dict[str, Any]) -> Stall:
    return Stall(datetime.fromisoformat(said["at"]).timestamp(), said["ms"], said["cpu_ms"])


@contextlib.asynccontextmanager
async def _daemon(home: Path, sink: str) -> AsyncIterator[_Daemon]:
    flows = Repository(home, sink)
    flows.publish()
    (home / "secrets").mkdir()
    (home / "secrets" / "SOAK").write_text(SECRET)
    (home / "settings.yaml").write_text(SETTINGS)
    process = await _spawn(
        "runner", "serve", str(flows.link), "--listen=127.0.0.1:0", f"--state={home / 'state'}",
        f"--secrets-dir={home / 'secrets'}", f"--settings={home / 'settings.yaml'}",
    )  # fmt: skip
    control = await _spawn("tests.bench.control", str(process.pid))
    daemon = _Daemon(process, home, flows)
    readers = [
        asyncio.create_task(daemon.read()), asyncio.create_task(daemon.read_control(control)),
    ]  # fmt: skip
    try:
        async with asyncio.timeout(_PATIENCE):
            await daemon.started.wait()
            await _ready(daemon.url)
        yield daemon
    finally:
        for each in (process, control):
            if each.returncode is None:
                each.kill()
            await each.wait()
        await asyncio.wait(readers)


async def _spawn(*module: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", *module, cwd=common.ROOT, stdout=pipe, limit=MIB
    )


async def _ready(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{url}/readyz") as response:
                if response.status == 200:
                    return
            await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def _sink() -> AsyncIterator[str]:
    """A server that flows call; its URL."""
    runner = web.AppRunner(soak_load.sink(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", common.free_port())
    await site.start()
    try:
        yield site.name
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    main()
