"""Accepted webhooks per second over HTTP: kept in SQLite, and by the process alone."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.bench import common, flows

_CONNECTIONS = 64
_PATIENCE = 120.0

#: What is said of each, and how it is asked for: the flow, and whether there is a folder.
_CASES = {
    "kept": ("accepted, kept in SQLite (FULL)", "accepted", True),
    "unkept": ("accepted, --state none", "accepted", False),
    "direct": ("synchronous, --state none", "direct", False),
}


class _Round(NamedTuple):
    """One target under load, until all that it was asked for had ended."""

    per_second: float
    #: Microseconds of CPU for each.
    cpu: float
    refused: int


@dataclass(frozen=True)
class _Daemon:
    """A daemon whose records can be counted."""

    server: common.Server
    records: Path

    def ended(self) -> int:
        """How many executions have ended so far."""
        return self.records.read_bytes().count(b'"event":"execution.finished"')


def compare(rounds: int, seconds: int) -> dict[str, float]:
    """Print a table, and give what is kept beside what is not."""
    made: dict[str, list[_Round]] = {name: [] for name in _CASES}
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder = Path(temporary)
        written = flows.write(
            folder / "flows",
            {
                "direct": flows.chain(1, "activity"),
                "accepted": flows.chain(1, "activity", asynchronous=True),
            },
        )
        states = {True: str(folder / "state"), False: "none"}
        daemons = {
            kept: stack.enter_context(_daemon(written, state, folder / f"records-{kept}"))
            for kept, state in states.items()
        }
        for _, flow, kept in _CASES.values():
            _load(daemons[kept], flow, 1, folder)  # warm
        for _ in range(rounds):
            for name, (_, flow, kept) in _CASES.items():
                made[name].append(_load(daemons[kept], flow, seconds, folder))
    return _told(made)


@contextmanager
def _daemon(made: Path, state: str, records: Path) -> Iterator[_Daemon]:
    port = common.free_port()
    command = common.runner(made, port, "--state", state)
    with (
        records.open("wb") as stdout,
        common.server(command, port, "/readyz", stdout.fileno()) as server,
    ):
        yield _Daemon(server, records)


def _load(daemon: _Daemon, flow: str, seconds: int, folder: Path) -> _Round:
    """An execution counts when it was accepted and has ended: what waits is still to be done."""
    ended, cpu, began = daemon.ended(), daemon.server.cpu(), time.perf_counter()
    url = f"{daemon.server.base}/flows/trigger/{flow}"
    load = common.wrk(url, _CONNECTIONS, seconds, folder)
    accepted = load.requests - load.failed
    while daemon.ended() - ended < accepted:
        if time.perf_counter() - began > _PATIENCE:
            raise SystemExit(f"{flow}: what was accepted has not ended")
        time.sleep(0.02)
    took = time.perf_counter() - began
    return _Round(accepted / took, (daemon.server.cpu() - cpu) / accepted * 1e6, load.failed)


def _told(made: dict[str, list[_Round]]) -> dict[str, float]:
    rows: list[list[str]] = []
    ratios: dict[str, float] = {}
    for name, (said, _, _) in _CASES.items():
        pairs = list(zip(made["kept"], made[name], strict=True))
        of_rate = common.median([kept.per_second / each.per_second for kept, each in pairs])
        of_cpu = common.median([each.cpu / kept.cpu for kept, each in pairs])
        rate = common.median([each.per_second for each in made[name]])
        micros = common.median([each.cpu for each in made[name]])
        refused = sum(each.refused for each in made[name])
        rows.append(
            [said, f"{rate:,.0f}", f"{of_rate:.2f}", f"{micros:.0f}", f"{of_cpu:.2f}", f"{refused}"]
        )
        if name != "kept":
            ratios |= {f"accepts ÷ {name}": of_rate, f"accepts ÷ {name}, cpu": of_cpu}
    head = [f"{_CONNECTIONS} connections", "run/s", "kept ÷", "CPU µs", "kept ÷", "not 202"]
    common.table(head, rows)
    return ratios
