"""What a slow and a stopped reader of stdout cost: requests per second and memory."""

import contextlib
import os
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.bench import common, flows


def main() -> None:
    """Three daemons at once, one for each kind of reader, loaded in turn."""
    quick = common.arguments(__doc__).quick
    rounds, seconds = (1, 1) if quick else (5, 3)
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder = Path(temporary)
        made = flows.write(folder / "flows", {"one": flows.chain(1, "activity")})
        servers = {
            kind: stack.enter_context(_serve(made, kind)) for kind in ("fast", "slow", "stopped")
        }
        rate: dict[str, list[float]] = defaultdict(list)
        before: dict[str, float] = {}
        for kind, server in servers.items():
            common.wrk(server.base + "/flows/trigger/one", 16, 1, folder)
            before[kind] = server.memory()
        for _ in range(rounds):
            for kind, server in servers.items():
                load = common.wrk(server.base + "/flows/trigger/one", 16, seconds, folder)
                rate[kind].append(load.per_second)
        rows: list[list[str]] = []
        figures: dict[str, float] = {}
        for kind, server in servers.items():
            share = common.median([a / b for a, b in zip(rate[kind], rate["fast"], strict=True)])
            grown = server.memory() - before[kind]
            rows.append(
                [
                    kind,
                    f"{common.median(rate[kind]):,.0f}",
                    f"{share:.2f}",
                    f"{server.memory():.0f}",
                    f"{grown:+.0f}",
                ]
            )
            figures |= {kind: share, f"{kind} MB": server.memory()} if kind != "fast" else {}
        common.table(["reader", "req/s", "÷ fast", "MB", "MB grown"], rows)
        common.ratios(figures)


@contextlib.contextmanager
def _serve(made: Path, kind: str) -> Iterator[common.Server]:
    reading, writing = os.pipe()
    port = common.free_port()
    if kind != "stopped":
        threading.Thread(target=_read, args=(reading, kind), daemon=True).start()
    with common.server(common.runner(made, port), port, "/readyz", stdout=writing) as server:
        os.close(writing)
        yield server
        # A writer that waits for the reader would not end before its deadline.
        if kind == "stopped":
            os.close(reading)


def _read(fd: int, kind: str) -> None:
    size, pause = (1 << 16, 0.0) if kind == "fast" else (4096, 0.01)
    while os.read(fd, size):
        if pause:
            time.sleep(pause)


if __name__ == "__main__":
    main()
