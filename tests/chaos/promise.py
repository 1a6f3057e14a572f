"""
Whether what was promised was kept: at least once per operation, once per delivery or tick.

An operation is *committed* when its outcome is written down, and the next one begins only then:
when the next one was seen, it must not be seen again. What was not committed when its process
died is done again, so whatever is seen twice was under way in a process that was disrupted since.

A process that was stopped for longer than its lease is a zombie when it wakes up: it believes
that its executions are still its own, until it writes something down and learns that they are
not. So in each of them it may still do the one operation that it was in or about to begin,
however late that is (nobody can tell it in time), but no second one. Of operations that run at
the same time, as the elements of a list do, it may have been in each.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos.seen import Disruption, Effect, Schedule, Seen, Step, Steps


@dataclass
class Verdict:
    """What was seen in figures, and how the promise was broken, in sentences."""

    broken: list[str] = field(default_factory=list)
    #: Deliveries that were accepted, and ticks that were due.
    accepted: int = 0
    ticks: int = 0
    #: Of both: that did not get to their end.
    lost: int = 0
    #: Operations that had to be done, and that were done.
    due: int = 0
    done: int = 0
    #: Of these: once more, as their process was disrupted; and by a zombie, behind a later one.
    again: int = 0
    late: int = 0
    #: How often an execution was said to have finished that was said to before, with one outcome.
    finished_again: int = 0


def judge(seen: Seen, delivery: Steps, tick: Steps, schedule: Schedule) -> Verdict:
    """Hold what was *seen* against the steps that a *delivery* and a *tick* of *schedule* have."""
    deliveries = {each for executions in seen.accepted.values() for each in executions}
    ticks = schedule.executions()
    due = {**dict.fromkeys(deliveries, delivery), **dict.fromkeys(ticks, tick)}
    verdict = Verdict(
        accepted=len(deliveries),
        ticks=len(ticks),
        due=sum(map(len, due.values())),
        done=sum(each.execution in due for each in seen.effects),
    )
    effects = _by_execution(seen.effects)
    verdict.broken += seen.surprises
    verdict.broken += _doubles(seen)
    verdict.broken += _lost(seen, due, effects, verdict)
    # The clock goes on: ticks that come while the trial ends may get to their end or not.
    later = schedule._replace(first=schedule.last + 1, last=schedule.last + 1000)
    known = {**due, **dict.fromkeys(later.executions(), tick)}
    for id_, those in effects.items():
        if id_ in known:
            verdict.broken += _walked(those, known[id_], seen.disruptions, verdict)
        else:
            verdict.broken.append(f"{id_} ran, and nobody was told that it was accepted")
    verdict.broken += _finished(seen, verdict)
    return verdict


def _by_execution(effects: Iterable[Effect]) -> Mapping[str, Sequence[Effect]]:
    found = defaultdict(list)
    for each in sorted(effects):
        found[each.execution].append(each)
    return found


def _doubles(seen: Seen) -> Iterator[str]:
    """What has more than one execution."""
    for delivery, executions in seen.accepted.items():
        if len(set(executions)) > 1:
            yield f"{delivery} has several executions: {', '.join(sorted(set(executions)))}"


def _lost(
    seen: Seen,
    due: Mapping[str, Steps],
    effects: Mapping[str, Sequence[Effect]],
    verdict: Verdict,
) -> Iterator[str]:
    """What did not get to its end."""
    for id_, steps in due.items():
        missing = steps.keys() - {each.step for each in effects.get(id_, ())}
        status = seen.statuses.get(id_, "unknown")
        if missing or status != "resolved":
            verdict.lost += 1
            never = f", and never did {', '.join(sorted(missing))}" if missing else ""
            yield f"{id_} is {status}{never}"


def _walked(
    effects: Sequence[Effect], steps: Steps, disruptions: Sequence[Disruption], verdict: Verdict
) -> Iterator[str]:
    """What is wrong with the order in which one execution did what it did."""
    before: list[tuple[Effect, Step]] = []
    for effect in effects:
        step = steps.get(effect.step)
        if step is None:
            yield f"{effect} is no step of it"
            continue
        zombie = _woke(effect, step, before, disruptions)
        same = [earlier for earlier, its in before if its == step]
        if same and same[-1].own != effect.own:
            yield f"{effect} has another execution than before"
        if any(its.follows(step) for _, its in before):
            verdict.late += 1
            if not zombie:
                yield f"{effect} came again, and was committed"
        elif same:
            verdict.again += 1
            if not zombie and not _disrupted(same[-1], effect, disruptions):
                yield f"{effect} came again, and nothing had happened to {same[-1].process}"
        before.append((effect, step))


def _disrupted(first: Effect, again: Effect, disruptions: Sequence[Disruption]) -> bool:
    """Whether something happened to the process that did it *first*, until it was done *again*."""
    return any(
        each.process == first.process and each.since <= again.at and each.until >= first.at
        for each in disruptions
    )


def _woke(
    effect: Effect,
    step: Step,
    before: Sequence[tuple[Effect, Step]],
    disruptions: Sequence[Disruption],
) -> bool:
    """Whether it is the first that its process did since it woke up, but for what runs beside."""
    mine = (
        earlier.at
        for earlier, its in before
        if earlier.process == effect.process and not its.beside(step)
    )
    last = max(mine, default=0.0)
    return any(
        each.process == effect.process and last < each.until <= effect.at for each in disruptions
    )


def _finished(seen: Seen, verdict: Verdict) -> Iterator[str]:
    """What is wrong with how often executions were said to have finished, and how."""
    said = defaultdict(list)
    for each in seen.endings:
        said[each.execution].append(each)
    disrupted = {each.process for each in seen.disruptions}
    for id_, endings in said.items():
        verdict.finished_again += len(endings) - 1
        statuses = sorted({each.status for each in endings})
        if len(statuses) > 1:
            yield f"{id_} has finished in several ways: {', '.join(statuses)}"
        if sum(each.process not in disrupted for each in endings) > 1:
            yield f"{id_} has finished twice, and nothing had happened in between"
