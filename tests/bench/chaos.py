"""
Chaos for minutes: whether what was accepted survives whatever happens to those who accepted it.

One process with SQLite, then three replicas with PostgreSQL, under a thousand deliveries each:
processes are killed, stopped for longer than their lease and woken up, and PostgreSQL is stopped
as if somebody had pulled the plug. Ends with exit code 1 when the promise was broken.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tests.bench.common import arguments, ratios, table
from tests.chaos.promise import Verdict
from tests.chaos.trial import Plan, trial
from tests.postgres import server

_ONE = Plan(deliveries=1200, per_second=12, kills=20)
_THREE = Plan(deliveries=1200, per_second=10, kills=12, pauses=5, outages=4, replicas=3)

#: So many sentences are enough to begin with.
_MOST = 50


def main() -> None:
    """Print what was seen of each, and how the promise was broken."""
    one, three = _ONE, _THREE
    if arguments(__doc__).quick:
        one = one._replace(deliveries=50, kills=1)
        three = three._replace(deliveries=50, kills=1, pauses=0, outages=1, replicas=2)
    plans = {"SQLite": one, "PostgreSQL": three}
    began = time.monotonic()
    verdicts = {"SQLite": _sqlite(one), "PostgreSQL": _postgres(three)}
    table(["", *plans], _rows(plans, verdicts))
    print(f"{time.monotonic() - began:.0f} s")
    for store, verdict in verdicts.items():
        for sentence in verdict.broken[:_MOST]:
            print(f"{store}: {sentence}", file=sys.stderr)
    ratios(
        {
            f"{store} {name}": value
            for store, verdict in verdicts.items()
            for name, value in (
                ("finished", 1 - verdict.lost / (verdict.accepted + verdict.ticks)),
                ("operations done", verdict.done / verdict.due),
            )
        }
    )
    sys.exit(any(verdict.broken for verdict in verdicts.values()))


def _sqlite(plan: Plan) -> Verdict:
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(trial(plan, Path(folder)))


def _postgres(plan: Plan) -> Verdict:
    with (
        tempfile.TemporaryDirectory() as folder,
        server() as postgres,
        postgres.database("chaos") as state,
    ):
        return asyncio.run(trial(plan, Path(folder), postgres, state))


def _rows(plans: Mapping[str, Plan], verdicts: Mapping[str, Verdict]) -> list[list[str]]:
    """One for each figure, with a cell for each store."""
    planned = {
        "kills": "processes killed",
        "pauses": "processes stopped and woken up",
        "outages": "PostgreSQL stopped",
    }
    seen = {
        "accepted": "deliveries accepted",
        "ticks": "ticks of a schedule",
        "lost": "executions lost",
        "due": "operations to be done",
        "again": "done again",
        "late": "done late by one that was stopped",
        "finished_again": "executions finished again",
    }
    rows = [
        [name, *(f"{getattr(each, figure):,}" for each in those.values())]
        for those, names in ((plans, planned), (verdicts, seen))
        for figure, name in names.items()
    ]
    return [*rows, ["promises broken", *(f"{len(each.broken)}" for each in verdicts.values())]]


if __name__ == "__main__":
    main()
