"""The judge of the chaos: what it finds, and what it lets pass."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

import pytest

from tests.chaos.flows import DELIVERY, TICK, TICK_FLOW
from tests.chaos.promise import Verdict, judge
from tests.chaos.seen import Disruption, Effect, Ending, Schedule, Seen, tick

TICKS: Final = Schedule(TICK_FLOW, 1_000_000, 1_000_002)
ONE: Final = "execution-1"
GOOD: Final = [*DELIVERY]


def effects(*steps: str, since: float = 10.0, process: str = "a", own: str = "") -> list[Effect]:
    """One step a second."""
    return [
        Effect(since + at, process, ONE, step, own or f"{ONE}/{step.rpartition('/')[0]}")
        for at, step in enumerate(steps)
    ]


def good() -> Seen:
    """One delivery and three ticks to which nothing happened."""
    ids = sorted(TICKS.executions())
    seen = Seen(effects=effects(*GOOD), endings=[Ending("a", ONE, "resolved")])
    seen.effects += (Effect(1.0, "a", id_, "tick@1", id_) for id_ in ids)
    seen.accepted["delivery"] += [ONE, ONE]
    seen.statuses = dict.fromkeys([ONE, *ids], "resolved")
    return seen


def verdict(seen: Seen) -> Verdict:
    """That of the flows of the chaos."""
    return judge(seen, DELIVERY, TICK, TICKS)


def test_what_went_well_is_counted() -> None:
    """Every delivery, every tick and every operation once."""
    figures = asdict(verdict(good()))

    assert figures == {
        "broken": [], "accepted": 1, "ticks": 3, "lost": 0, "due": 13, "done": 13, "again": 0,
        "late": 0, "finished_again": 0,
    }  # fmt: skip


# --- what breaks the promise --------------------------------------------------------------------


def _never_finished(seen: Seen) -> None:
    seen.statuses[ONE] = "running"


def _ended_otherwise(seen: Seen) -> None:
    seen.statuses[ONE] = "interrupted"


def _not_to_be_found(seen: Seen) -> None:
    del seen.statuses[ONE]


def _one_step_is_missing(seen: Seen) -> None:
    seen.effects = [each for each in seen.effects if each.step != "child/1/two@1"]


def _two_executions(seen: Seen) -> None:
    seen.accepted["delivery"].append(tick(TICK_FLOW, TICKS.first))


def _a_tick_is_missing(seen: Seen) -> None:
    id_ = tick(TICK_FLOW, TICKS.first + 1)
    seen.effects = [each for each in seen.effects if each.execution != id_]
    del seen.statuses[id_]


def _a_tick_came_twice(seen: Seen) -> None:
    seen.effects.append(Effect(2.0, "a", "another", "tick@1", "another"))


def _a_tick_ran_again(seen: Seen) -> None:
    id_ = tick(TICK_FLOW, TICKS.first)
    seen.effects.append(Effect(2.0, "a", id_, "tick@1", id_))


def _nobody_sent_it(seen: Seen) -> None:
    seen.effects.append(Effect(2.0, "a", "unheard-of", "first@1", "unheard-of"))


def _again_for_no_reason(seen: Seen) -> None:
    seen.effects += effects("last@1", since=50)


def _again_though_another_was_killed(seen: Seen) -> None:
    seen.effects += effects("last@1", since=50, process="b")
    seen.disruptions.append(Disruption("c", 40))


def _again_though_it_was_woken_up_before(seen: Seen) -> None:
    seen.effects += effects("last@1", since=50, process="b")
    seen.disruptions.append(Disruption("a", 5, 15))


def _committed_and_again_after_a_kill(seen: Seen) -> None:
    seen.effects += effects("stubborn@2", since=50, process="b")
    seen.disruptions.append(Disruption("a", 40))


def _committed_in_its_lane(seen: Seen) -> None:
    seen.effects += effects("child/0/one@1", since=19, process="b")
    seen.disruptions.append(Disruption("a", 18.5))


def _a_zombie_goes_on(seen: Seen) -> None:
    seen.effects += effects("first@1", "stubborn@1", since=50, process="z")
    seen.disruptions.append(Disruption("z", 10, 49))


def _a_zombie_goes_on_into_a_lane(seen: Seen) -> None:
    seen.effects += effects("stubborn@2", "child/0/one@1", since=50, process="z")
    seen.disruptions.append(Disruption("z", 10, 49))


def _a_zombie_goes_on_in_a_lane(seen: Seen) -> None:
    seen.effects += effects("child/0/one@1", "child/0/two@1", since=50, process="z")
    seen.disruptions.append(Disruption("z", 10, 49))


def _a_child_that_is_another_one(seen: Seen) -> None:
    seen.effects += effects("last@1", since=50, process="b", own="a child")
    seen.disruptions.append(Disruption("a", 40))


def _no_step_of_it(seen: Seen) -> None:
    seen.effects += effects("last@2", since=50)


def _finished_in_two_ways(seen: Seen) -> None:
    seen.endings.append(Ending("b", ONE, "interrupted"))
    seen.disruptions.append(Disruption("a", 40))


def _finished_twice_for_no_reason(seen: Seen) -> None:
    seen.endings.append(Ending("b", ONE, "resolved"))
    seen.disruptions.append(Disruption("c", 40))


def _a_sender_was_told_nonsense(seen: Seen) -> None:
    seen.surprises.append("delivery was answered 500")


BAD: Final[dict[str, Callable[[Seen], None]]] = {
    "is running": _never_finished,
    "is interrupted": _ended_otherwise,
    "is unknown": _not_to_be_found,
    "never did child/1/two@1": _one_step_is_missing,
    "has several executions": _two_executions,
    "is unknown, and never did tick@1": _a_tick_is_missing,
    "another ran, and nobody": _a_tick_came_twice,
    "nothing had happened to a": _a_tick_ran_again,
    "unheard-of ran, and nobody": _nobody_sent_it,
    "came again, and nothing had happened": _again_for_no_reason,
    "nothing had happened": _again_though_another_was_killed,
    " nothing had happened to a": _again_though_it_was_woken_up_before,
    "came again, and was committed": _committed_and_again_after_a_kill,
    "again, and was committed": _committed_in_its_lane,
    "stubborn@1', own='execution-1/') came again, and was committed": _a_zombie_goes_on,
    "child/0/one@1', own='execution-1/child/0') came again": _a_zombie_goes_on_into_a_lane,
    "child/0/two@1', own='execution-1/child/0') came again": _a_zombie_goes_on_in_a_lane,
    "has another execution than before": _a_child_that_is_another_one,
    "is no step of it": _no_step_of_it,
    "in several ways: interrupted, resolved": _finished_in_two_ways,
    "finished twice, and nothing": _finished_twice_for_no_reason,
    "was answered 500": _a_sender_was_told_nonsense,
}


@pytest.mark.parametrize(
    ("said", "spoil"), BAD.items(), ids=lambda each: getattr(each, "__name__", "")
)
def test_a_broken_promise_is_found(said: str, spoil: Callable[[Seen], None]) -> None:
    """One thing that must not be is one sentence."""
    seen = good()
    spoil(seen)

    broken = verdict(seen).broken

    assert len(broken) == 1
    assert said in broken[0]


# --- what does not ------------------------------------------------------------------------------


def _killed_in_the_middle(seen: Seen) -> dict[str, int]:
    seen.effects += effects("last@1", since=50, process="b")
    seen.endings = [Ending("b", ONE, "resolved")]
    seen.disruptions.append(Disruption("a", 40))
    return {"again": 1, "done": 14}


def _killed_while_several_ran(seen: Seen) -> dict[str, int]:
    seen.effects = [each for each in seen.effects if each.step != "child/2/two@1"]
    seen.effects += effects("child/2/two@1", since=18, process="b")
    seen.effects += effects("child/1/two@1", since=18.5, process="b")
    seen.disruptions.append(Disruption("a", 17.5))
    return {"again": 1, "done": 14}


def _a_zombie_is_late_once(seen: Seen) -> dict[str, int]:
    seen.effects += effects("first@1", since=50, process="z")
    seen.disruptions.append(Disruption("z", 10, 49))
    return {"late": 1, "done": 14}


def _a_zombie_is_late_in_two_lanes(seen: Seen) -> dict[str, int]:
    seen.effects += effects("child/0/one@1", "child/1/one@1", since=50, process="z")
    seen.disruptions.append(Disruption("z", 10, 49))
    return {"late": 2, "done": 15}


def _its_own_work_comes_back_to_one_that_was_stopped(seen: Seen) -> dict[str, int]:
    seen.effects += effects("last@1", since=50)
    seen.disruptions.append(Disruption("a", 20, 49))
    return {"again": 1, "done": 14}


def _finished_and_killed_before_that_was_committed(seen: Seen) -> dict[str, int]:
    seen.endings.append(Ending("b", ONE, "resolved"))
    seen.disruptions.append(Disruption("a", 40))
    return {"finished_again": 1}


def _a_tick_after_the_last(seen: Seen) -> dict[str, int]:
    id_ = tick(TICK_FLOW, TICKS.last + 1)
    seen.effects.append(Effect(60.0, "a", id_, "tick@1", id_))
    return {}


@pytest.mark.parametrize(
    "happen",
    [
        _killed_in_the_middle,
        _killed_while_several_ran,
        _a_zombie_is_late_once,
        _a_zombie_is_late_in_two_lanes,
        _its_own_work_comes_back_to_one_that_was_stopped,
        _finished_and_killed_before_that_was_committed,
        _a_tick_after_the_last,
    ],
)
def test_what_the_promise_allows_is_counted_and_no_more(
    happen: Callable[[Seen], dict[str, int]],
) -> None:
    """At least once per operation, where something had happened to who did it."""
    seen = good()
    allowed = happen(seen)

    figures: dict[str, Any] = asdict(verdict(seen))

    assert figures == {**asdict(verdict(good())), **allowed}
