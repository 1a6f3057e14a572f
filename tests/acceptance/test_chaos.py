"""Chaos for a minute; `tests.bench.chaos` is the long one."""

from pathlib import Path

import pytest

from tests.chaos.promise import Verdict
from tests.chaos.trial import Plan, trial
from tests.postgres import Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def check(verdict: Verdict, plan: Plan) -> None:
    """Nothing was lost, and nothing came twice that should not."""
    print(verdict)  # how often operations ran again is worth knowing
    assert verdict.broken == []
    assert (verdict.accepted, verdict.lost) == (plan.deliveries, 0)
    assert verdict.ticks > 1


async def test_what_one_process_accepted_survives_that_it_is_killed(tmp_path: Path) -> None:
    """SQLite: each delivery and each tick has one execution, which goes on behind its last step."""
    plan = Plan(deliveries=150, per_second=12, kills=4)

    verdict = await trial(plan, tmp_path)

    check(verdict, plan)


async def test_what_three_replicas_accepted_survives_all_that_happens_to_them(
    tmp_path: Path, postgres: Server
) -> None:
    """PostgreSQL: the same where they are killed and stopped, and PostgreSQL itself is as well."""
    plan = Plan(deliveries=150, per_second=10, kills=3, pauses=1, outages=1, replicas=3)

    with postgres.database("chaos") as state:
        verdict = await trial(plan, tmp_path, postgres, state)

    check(verdict, plan)
