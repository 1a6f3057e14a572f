"""What the benchmarks share: servers, load, tables."""

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

#: What callers send: about 128 bytes of JSON.
BODY = (
    '{"id": 12345, "total": 99.5, "customer": "somebody", "lines": [{"sku": "apple", "count": 3}],'
    ' "note": "ring twice"}'
)


def arguments(description: str | None) -> argparse.Namespace:
    """The flags that all benchmarks have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="less of everything")
    return parser.parse_args()


# --- servers ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Server:
    """A process that answers on loopback."""

    process: subprocess.Popen[bytes]
    base: str

    def cpu(self) -> float:
        """Seconds of CPU that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """Resident memory in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        return 0.0 if found is None else int(found[1]) / 1024


@contextlib.contextmanager
def server(
    command: Sequence[str], port: int, probe: str, stdout: int | None = subprocess.DEVNULL
) -> Iterator[Server]:
    """Run *command* until the block ends; it is entered when *probe* answers."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=ROOT, stdout=stdout, env=environment)
    try:
        started = Server(process, f"http://127.0.0.1:{port}")
        await_answer(started.base + probe, process)
        yield started
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def bare(port: int) -> list[str]:
    """The command of a bare aiohttp server with the same loop and JSON library."""
    return [sys.executable, "-m", "tests.bench.bare", str(port)]


def runner(flows: Path, port: int, *more: str) -> list[str]:
    """The command of the daemon."""
    return [
        sys.executable, "-m", "runner", "serve", str(flows), "--listen", f"127.0.0.1:{port}",
        "--state", "none", *more,
    ]  # fmt: skip


def await_answer(url: str, process: subprocess.Popen[bytes], seconds: float = 30) -> None:
    """Return when *url* answers 200."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1):
            return
        time.sleep(0.002)
    raise SystemExit(f"{url} did not answer")


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- load ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Load:
    """What a round of requests came to."""

    per_second: float
    requests: int
    failed: int
    #: Milliseconds.
    p99: float


def wrk(url: str, connections: int, seconds: int, folder: Path) -> Load:
    """POST `BODY` as fast as the server answers."""
    program = shutil.which("wrk")
    if program is None:
        raise SystemExit("this benchmark needs wrk: apt-get install wrk")
    script = folder / "post.lua"
    script.write_text(
        f"wrk.method = 'POST'\nwrk.body = '{BODY}'\n"
        "wrk.headers['Content-Type'] = 'application/json'\n"
    )
    command = [program, "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s"]
    done = subprocess.run([*command, str(script), url], capture_output=True, text=True, check=True)
    text = done.stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    total = re.search(r"(\d+) requests in", text)
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    assert rate
    assert total
    unit = {"us": 0.001, "ms": 1.0, "s": 1000.0}
    return Load(
        per_second=float(rate[1]),
        requests=int(total[1]),
        failed=int(failed[1]) if failed else 0,
        p99=float(p99[1]) * unit[p99[2]] if p99 else 0.0,
    )


# --- figures ------------------------------------------------------------------------------------


def best_of(rounds: int, work: Callable[[], object], count: int) -> float:
    """Nanoseconds of CPU that one of *count* things takes which *work* does: the best round."""
    figures = []
    for _ in range(rounds):
        before = time.process_time_ns()
        work()
        figures.append((time.process_time_ns() - before) / count)
    return min(figures)


def median(figures: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(figures)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns: the first to the left, figures to the right."""
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    for row in (head, *rows):
        first, *rest = (
            cell.ljust(w) if at == 0 else cell.rjust(w)
            for at, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join([first, *rest]))


def ratios(figures: Mapping[str, float]) -> None:
    """The last line of a benchmark: its ratios, for programs."""
    print(
        json.dumps({name: round(value, 3) for name, value in figures.items()}, ensure_ascii=False)
    )
