"""Whether what was seen of a daemon in the soak is as it should be."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tests.bench import common

LONG_STALL = 100.0
"""Milliseconds; with --quick, which runs wherever there is no telling who else does, ten times."""

FEW = 8
"""So many handles more are no leak: a file that is opened at its first use stays open."""

_TICK = 50.0
"""Milliseconds between two looks of the daemon at its loop."""

_STORE_BOUND = 36.0
"""MiB: three times what retention allows, as it is looked after only now and then."""

# --- what was seen ------------------------------------------------------------------------------


class Sample(NamedTuple):
    """How the daemon stands: sizes in MiB."""

    memory: float
    handles: int
    threads: int
    #: Processes that it has made, and their memory.
    children: int
    children_memory: float
    #: The state folder, and of that what is not the database itself.
    store: float
    wal: float
    records: int


class Stall(NamedTuple):
    """The event loop stood still: milliseconds."""

    #: When it went on, in seconds since 1970.
    at: float
    long: float
    cpu: float


class Late(NamedTuple):
    """What the machine did in one tick: seconds."""

    at: float
    #: By which a bare loop was late.
    late: float
    #: That a thread of the daemon waited for a processor, and others perhaps for that thread.
    waited: float


class Seen(NamedTuple):
    """Everything that was seen of a daemon."""

    samples: list[Sample]
    stalls: list[Stall]
    control: list[Late]
    #: Of its records: by event, those that are errors by message.
    events: Counter[str]
    errors: Counter[str]
    #: Handles before anybody came, and when everybody had gone.
    handles: list[int]


# --- the verdict --------------------------------------------------------------------------------


def own(stall: Stall, control: Sequence[Late]) -> float:
    """
    Milliseconds of *stall* that were not the machine's: what it computed, at the least.

    It may have begun a tick earlier than it was noticed.
    """
    began, ended = stall.at - (stall.long + _TICK) / 1000, stall.at + _TICK / 1000
    around = [each for each in control if each.at > began and each.at - each.late < ended]
    waited = sum(each.waited for each in around)
    late = sum(_overlap(each, began, ended) for each in around)
    return max(min(stall.cpu, stall.long), stall.long - max(waited, late) * 1000)


def _overlap(each: Late, began: float, ended: float) -> float:
    return max(0.0, min(each.at, ended) - max(each.at - each.late, began))


class Finding(NamedTuple):
    """One thing that had to be flat, or short."""

    what: str
    before: float
    after: float
    most: float

    @property
    def good(self) -> bool:
        """Whether it is as it should be."""
        return self.after <= self.most


def judge(seen: Seen, *, quick: bool) -> list[Finding]:
    """What was flat and what was not; a *quick* look is at what still warms up."""
    slack = 0.25 if quick else 0.05

    def medians(what: Callable[[Sample], float]) -> tuple[float, float]:
        count = max(1, len(seen.samples) // 5)
        second, last = seen.samples[count : 2 * count], seen.samples[-count:]
        return common.median([*map(what, second)]), common.median([*map(what, last)])

    def flat(name: str, what: Callable[[Sample], float], more: float) -> Finding:
        before, after = medians(what)
        return Finding(name, before, after, before * (1 + slack) + more)

    fresh, rest = seen.handles
    stalls = [own(each, seen.control) for each in seen.stalls]
    store = max(sample.store for sample in seen.samples)
    return [
        flat("memory (MiB)", lambda each: each.memory, 0),
        flat("memory of scripts (MiB)", lambda each: each.children_memory, 5),
        # Whoever is slow to be answered holds a connection meanwhile.
        flat("handles under load", lambda each: each.handles, 50),
        Finding("handles at rest", fresh, rest, fresh + FEW),
        flat("threads", lambda each: each.threads, 2),
        flat("processes of scripts", lambda each: each.children, 1),
        Finding(
            "store at its largest (MiB)", medians(lambda each: each.store)[0], store, _STORE_BOUND
        ),
        Finding(
            "longest stall of its own (ms)",
            0,
            max(stalls, default=0.0),
            LONG_STALL * (10 if quick else 1),
        ),
    ]
