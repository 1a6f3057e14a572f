"""The benchmarks work: each still measures something and says it in its last line."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.postgres import programs

ROOT = Path(__file__).parent.parent
BENCHMARKS = [
    "chaos",
    "dispatch",
    "durable",
    "durable_postgres",
    "exec",
    "http",
    "items",
    "listing",
    "load",
    "logs",
    "request",
    "schedule",
    "soak",
    "start",
    "templates",
]
NEEDS_WRK = {"durable", "http", "logs"}
NEEDS_POSTGRES = {"chaos", "durable_postgres"}


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_ends_with_its_ratios(name: str) -> None:
    """Figures are for a quiet machine; that they can be had is for every one."""
    if name in NEEDS_WRK and shutil.which("wrk") is None:
        pytest.skip("wrk is not installed (Debian: apt-get install wrk)")
    if name in NEEDS_POSTGRES and programs() is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    command = [sys.executable, "-m", f"tests.bench.{name}", "--quick"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    *table, last = done.stdout.splitlines()
    assert len(table) >= 3
    assert all(value > 0 for value in json.loads(last).values())


def test_every_benchmark_is_among_them() -> None:
    """One that is never run rots."""
    runnable = {
        path.stem
        for path in (ROOT / "tests" / "bench").glob("*.py")
        if "def main() -> None:" in path.read_text()
    }

    assert runnable == set(BENCHMARKS)
