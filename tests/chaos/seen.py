"""What is seen of a trial from outside, and what should be."""

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple, TypeAlias

from runner.ids import derived_id
from runner.operators import iso

# --- what should be -----------------------------------------------------------------------------


class Step(NamedTuple):
    """One try of one operation, which is seen outside."""

    name: str
    #: What has a higher one begins later, and only when this one is committed ...
    place: int
    #: ... unless both are in lanes, and not in the same one: lanes run at the same time.
    lane: int | None = None

    def follows(self, other: "Step") -> bool:
        """Whether it begins only when *other* is committed."""
        return self.place > other.place and not self.beside(other)

    def beside(self, other: "Step") -> bool:
        """Whether both may run at the same time."""
        return None not in (self.lane, other.lane) and self.lane != other.lane


#: The steps that an execution has, by name.
Steps: TypeAlias = Mapping[str, Step]


class Schedule(NamedTuple):
    """The ticks that there must be of a flow that fires every second."""

    #: The id of the flow.
    flow: str
    #: Seconds since 1970 of the first one and the last one.
    first: int
    last: int

    def executions(self) -> set[str]:
        """Those that they have, whoever starts them."""
        return {tick(self.flow, second) for second in range(self.first, self.last + 1)}


def tick(flow: str, second: int) -> str:
    """The execution of the tick at a *second* since 1970 of the *flow* with this id."""
    return derived_id(flow, iso(datetime.fromtimestamp(second, UTC)))


# --- what was -----------------------------------------------------------------------------------


class Effect(NamedTuple):
    """What an operation did outside."""

    #: Seconds of a clock that only goes forward, and is the same for everybody.
    at: float
    process: str
    #: What was accepted.
    execution: str
    step: str
    #: The execution that did it: that one, or one that its flow started.
    own: str


class Disruption(NamedTuple):
    """A process was stopped until it was woken up; or killed, for ever."""

    process: str
    since: float
    until: float = math.inf


class Ending(NamedTuple):
    """A process said that an execution has finished."""

    process: str
    execution: str
    status: str


@dataclass
class Seen:
    """All that was seen of a trial."""

    effects: list[Effect] = field(default_factory=list)
    disruptions: list[Disruption] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)
    #: By delivery: the execution, once for each time that somebody was told it was accepted.
    accepted: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    #: By execution: how it stands in the end, as the runner says.
    statuses: dict[str, str] = field(default_factory=dict)
    #: What a sender should never be told.
    surprises: list[str] = field(default_factory=list)
