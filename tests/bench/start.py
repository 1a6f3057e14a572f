"""Start to first answer, and memory after it, beside bare aiohttp."""

import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from tests.bench import common, flows


def main() -> None:
    """Both started in turn, several times."""
    rounds = 2 if common.arguments(__doc__).quick else 9
    seconds, memory = defaultdict(list), defaultdict(list)
    with tempfile.TemporaryDirectory() as temporary:
        made = flows.write(
            Path(temporary) / "flows", {f"flow-{n}": flows.realistic(n) for n in range(10)}
        )
        for _ in range(rounds):
            port = common.free_port()
            for name, command, probe in (
                ("bare aiohttp", common.bare(port), "/server/ping"),
                ("runner, 10 flows", common.runner(made, port), "/readyz"),
            ):
                took, used = _start(command, port, probe)
                seconds[name].append(took)
                memory[name].append(used)
    rows = [
        [name, f"{common.median(seconds[name]) * 1000:.0f}", f"{common.median(memory[name]):.0f}"]
        for name in seconds
    ]
    common.table(["what", "ms to first answer", "MB"], rows)
    bare, ours = seconds.values()
    common.ratios(
        {
            "start": common.median([a / b for a, b in zip(ours, bare, strict=True)]),
            "MB": common.median(memory["runner, 10 flows"]),
        }
    )


def _start(command: Sequence[str], port: int, probe: str) -> tuple[float, float]:
    started = time.perf_counter()
    with common.server(command, port, probe, stdout=subprocess.DEVNULL) as server:
        return time.perf_counter() - started, server.memory()


if __name__ == "__main__":
    main()
