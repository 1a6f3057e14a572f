"""The verdict of the soak: it must be able to say no."""

from collections import Counter
from typing import Any

import pytest

from tests.bench.soak_verdict import Late, Sample, Seen, Stall, judge, own

CALM = Sample(
    memory=100.0,
    handles=40,
    threads=13,
    children=2,
    children_memory=20.0,
    store=12.0,
    wal=4.0,
    records=0,
)
NOON = 43_200.0


def verdict(samples: list[Sample], stalls: list[Stall] | None = None, rest: int = 30) -> list[str]:
    """What is not as it should be."""
    seen = Seen(samples, stalls or [], [], Counter(), Counter(), [28, rest])
    return [finding.what for finding in judge(seen, quick=False) if not finding.good]


def test_what_warms_up_and_then_stays_is_flat() -> None:
    """Caches fill in the first fifth."""
    warming = [CALM._replace(memory=70.0 + number, handles=number) for number in range(20)]

    assert verdict(warming + [CALM] * 80) == []


@pytest.mark.parametrize(
    ("figure", "what"),
    [
        ("memory", "memory (MiB)"),
        ("handles", "handles under load"),
        ("threads", "threads"),
        ("children", "processes of scripts"),
        ("children_memory", "memory of scripts (MiB)"),
        ("store", "store at its largest (MiB)"),
    ],
)
def test_what_grows_all_the_time_is_not_flat(figure: str, what: str) -> None:
    """A leak of one a second is one."""
    grown: list[dict[str, Any]] = [{figure: 40.0 + number} for number in range(100)]
    samples = [CALM._replace(**each) for each in grown]

    assert what in verdict(samples)


def test_one_high_sample_is_no_leak() -> None:
    """It is the median that counts."""
    assert verdict([CALM] * 90 + [CALM._replace(memory=500.0)] + [CALM] * 9) == []


def test_a_handle_for_every_caller_is_no_leak_unless_it_stays() -> None:
    """When everybody has gone, it is as it was."""
    busy = [CALM._replace(handles=40 + number // 4) for number in range(100)]

    assert verdict(busy) == []
    assert verdict(busy, rest=40) == ["handles at rest"]


def test_a_stall_that_a_bare_loop_does_not_see_is_ours() -> None:
    """Nobody else is to blame."""
    assert verdict([CALM] * 10, [Stall(NOON, 150.0, 150.0)]) == ["longest stall of its own (ms)"]


@pytest.mark.parametrize(
    ("control", "left"),
    [
        ([], 200.0),
        ([Late(NOON, 0.18, 0.0)], 20.0),  # the whole machine stood still
        ([Late(NOON, 0.0, 0.15)], 50.0),  # the daemon alone got no processor
        ([Late(NOON, 0.18, 0.15)], 20.0),
        ([Late(NOON - 5, 1.0, 1.0)], 200.0),  # another time
        ([Late(NOON + 0.01, 5.0, 0.0)], 0.0),  # longer than ours
    ],
)
def test_what_the_machine_did_at_the_same_time_is_taken_off(
    control: list[Late], left: float
) -> None:
    """On a busy machine every process waits now and then."""
    assert own(Stall(NOON, 200.0, 0.0), control) == pytest.approx(left)


def test_what_the_loop_computed_was_its_own_whatever_the_machine_did() -> None:
    """A long computation is no shorter for being interrupted."""
    assert own(Stall(NOON, 200.0, 120.0), [Late(NOON, 0.2, 0.2)]) == 120.0
