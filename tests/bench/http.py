"""
Requests per second of webhook flows beside a bare aiohttp handler that does the same work.

With history on: what is told of executions is written to a folder, as it is where nobody says
otherwise.
"""

import tempfile
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

from tests.bench import common, flows


def main() -> None:
    """Both servers at once, loaded in turn."""
    quick = common.arguments(__doc__).quick
    rounds, seconds = (1, 1) if quick else (5, 3)
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder = Path(temporary)
        names = {
            f"{n}-{tracking}": flows.chain(n, tracking)
            for n in (1, 10)
            for tracking in ("activity", "all")
        }
        made = flows.write(folder / "flows", names)
        ports = common.free_port(), common.free_port()
        bare = stack.enter_context(common.server(common.bare(ports[0]), ports[0], "/server/ping"))
        ours = stack.enter_context(
            common.server(
                common.runner(made, ports[1], "--state", str(folder / "state")), ports[1], "/readyz"
            )
        )
        targets = {"bare": (bare, "/one")}
        targets |= {name: (ours, f"/flows/trigger/{name}") for name in names}
        measure(targets, rounds, seconds, folder)


def measure(
    targets: dict[str, tuple[common.Server, str]], rounds: int, seconds: int, folder: Path
) -> None:
    """Every target in every round, so that a slow minute hits all of them."""
    rate: dict[tuple[str, int], list[float]] = defaultdict(list)
    cpu: dict[tuple[str, int], list[float]] = defaultdict(list)
    p99: dict[tuple[str, int], list[float]] = defaultdict(list)
    for server, path in targets.values():
        common.wrk(server.base + path, 16, 1, folder)  # warm
    for _ in range(rounds):
        for connections in (16, 64):
            for name, (server, path) in targets.items():
                before = server.cpu()
                load = common.wrk(server.base + path, connections, seconds, folder)
                if load.failed:
                    raise SystemExit(f"{name}: {load.failed} requests failed")
                rate[name, connections].append(load.per_second)
                cpu[name, connections].append((server.cpu() - before) / load.requests * 1e6)
                p99[name, connections].append(load.p99)
    rows: list[list[str]] = []
    figures: dict[str, float] = {}
    for (name, connections), rates in rate.items():
        of_rate = common.median(
            [ours / bare for ours, bare in zip(rates, rate["bare", connections], strict=True)]
        )
        micros = common.median(cpu[name, connections])
        of_cpu = common.median(cpu["bare", connections]) / micros
        tail = common.median(p99[name, connections])
        row = [name, str(connections), f"{common.median(rates):,.0f}", f"{of_rate:.2f}"]
        rows.append([*row, f"{micros:.1f}", f"{of_cpu:.2f}", f"{tail:.1f}"])
        if name != "bare":
            figures[f"{name}@{connections}"] = of_rate
            figures[f"{name}@{connections} cpu"] = of_cpu
    head = ["flow", "connections", "req/s", "÷ bare", "CPU µs/req", "÷ bare", "p99 ms"]
    common.table(head, rows)
    common.ratios(figures)


if __name__ == "__main__":
    main()
