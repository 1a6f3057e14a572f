"""
The port behind which accepted executions are kept until they have ended, and told of afterwards.

What is accepted is run to its end, whatever dies in between: the store keeps what an execution
needs, calls a *walk* for it, and keeps a journal of its steps, from which the next walk goes on.
An execution and everything that its flows start are one unit with one journal.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, NamedTuple, Protocol, Self, TypeAlias

from runner.model import Outcome, Result
from runner.types import JSONObject, JSONValue

MAX_TAKEOVERS: Final = 20
"""So many processes may die while they run an execution before it is taken to be the cause."""

MAX_VALUE: Final = 16 << 20
"""Bytes of the JSON text of one value that a store keeps: trigger data, the value of a step."""

OLD_TICKS: Final = 2 * 366 * 86_400.0
"""Seconds after which it is forgotten how far a schedule had got."""

# --- what is kept -------------------------------------------------------------------------------


class FlowText(NamedTuple):
    """The text that a flow was compiled from."""

    key: str
    #: The file, relative to the flows folder.
    path: str
    #: sha256 of *content*, as hex.
    digest: str
    content: bytes


class Line(NamedTuple):
    """Executions of which only so many may run at once, in the order in which they came."""

    #: At most 128 characters.
    name: str
    #: How many at once.
    width: int
    #: What becomes of one more: `parallel`, `single`, `queued` or `restart`.
    mode: str


class Accepted(NamedTuple):
    """All that is needed to run an execution, today or after a restart."""

    id: str
    #: Key, id and digest of its flow.
    flow: str
    flow_id: str
    digest: str
    #: Digests by flow key: of its flow, and of all flows that their texts name.
    pins: Mapping[str, str]
    revision: str
    generation: int
    #: What kind of trigger started it.
    trigger: str
    #: Becomes `$trigger`.
    trigger_data: JSONValue
    accountability: JSONObject | None
    #: W3C trace id, 32 hex digits.
    trace_id: str
    parent_id: str | None = None
    #: How many flows stand in each other, this one included.
    depth: int = 1
    #: Seconds since 1970: it does not start before.
    due: float = 0.0
    #: Of a schedule: when it fires by its timetable, in RFC 3339.
    nominal: str | None = None
    #: Which execution it repeats, and who asked for it.
    replay: JSONObject | None = None
    #: What no record may show, of what the caller authenticated with: only what stands in
    #: `trigger_data` anyway.
    credentials: tuple[str, ...] = ()
    #: The execution that all of this began with, where that is another one, and how many others
    #: that one had caused by now.
    root: str | None = None
    caused: int = 0
    #: Where it waits for its turn, in a store that processes share; a walk is not told.
    line: Line | None = None


class WakeAt(NamedTuple):
    """Nothing is to be done before *at*, in seconds since 1970."""

    at: float


class Step(NamedTuple):
    """
    One operation of an execution ran, or waits.

    *path* is `<operation>`, or `<operation>/<index>/<operation of the child>` and so on: unique
    in the execution.
    """

    path: str
    attempt: int
    outcome: Outcome | WakeAt


class Journal(Protocol):
    """The steps of one execution, while it is walked."""

    @property
    def lost(self) -> bool:
        """Whether the execution is not ours any more: what is cancelled now goes on elsewhere."""

    def recorded(self, path: str, /) -> Step | None:
        """What earlier walks recorded last at *path*; waits for nothing."""

    async def record(self, step: Step, /) -> None:
        """
        Keep *step*, in the place of one with its path: it is committed when this returns.

        While the store cannot be written this waits. Raises Lost when the execution is not ours
        any more, and Unwritable when the step's value cannot be kept; nothing is then.
        """


#: Runs an execution to its end, or to a wait: it is called again then, and the execution holds
#: no task and no memory meanwhile.
Walk: TypeAlias = Callable[[Accepted, Journal], Awaitable[Result | WakeAt]]


class Tick(NamedTuple):
    """How far a schedule has got."""

    #: By which it fires; with another one it begins anew.
    timetable: str
    #: What fires until then, this moment included, is dealt with. In seconds since 1970.
    until: float


# --- what is told -------------------------------------------------------------------------------


class Seen(NamedTuple):
    """What can be said of an execution: not its data. Times are in seconds since 1970."""

    id: str
    flow: str
    flow_id: str
    digest: str
    revision: str
    generation: int
    trigger: str
    parent_id: str | None
    #: It is, or was, in a store that survives the process.
    durable: bool
    #: `queued`, `running`, `waiting`, or how it ended.
    status: str
    accepted: float
    started: float | None = None
    finished: float | None = None
    duration_ms: float | None = None
    #: `name`, `message` and, where known, `code`.
    error: JSONObject | None = None
    #: How many operations ran.
    steps: int = 0
    #: Of its records.
    bytes: int = 0
    #: Given by the store: later ones have higher numbers.
    number: int = 0


#: Told of each execution that the store itself ends: as `interrupted`, or as `cancelled`.
Interrupted: TypeAlias = Callable[[Accepted | Seen, Result], None]


def unheard(execution: Accepted | Seen, result: Result) -> None:
    """Nobody wants to know."""


class Story(NamedTuple):
    """
    What is told of one execution, or of a part of it: its row and its records, already redacted.

    Where `finished` is None it goes on: inside of one that was accepted, if it is not one itself.
    """

    seen: Seen
    #: Lines of JSON, each with its newline.
    records: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How much is kept of executions that have ended; None: no limit."""

    #: Seconds since the end.
    age: float | None = None
    #: How many executions.
    count: int | None = None
    #: Of everything the store keeps.
    bytes: int | None = None


# --- the port -----------------------------------------------------------------------------------


class Ticks(Protocol):
    """Keeps how far schedules have got."""

    async def ticks(self) -> Mapping[str, Tick]:
        """All that are known, by flow id."""

    async def keep_ticks(self, ticks: Mapping[str, Tick], /) -> None:
        """
        Keep *ticks*, by flow id, beside those of other flows.

        One with the timetable that is known only ever moves forward: of several processes some
        are further than others.
        """


class Store(Ticks, Protocol):
    """
    Keeps executions from their acceptance to their end, and history after it.

    `async with` opens and closes it. Opening, and every method that waits, raises StoreError,
    in a sentence that says what to do, when the store cannot be used.
    """

    @property
    def kind(self) -> str:
        """`memory`, `sqlite` or `postgresql`."""

    @property
    def durable(self) -> bool:
        """Whether what was accepted survives the process."""

    @property
    def shared(self) -> bool:
        """Whether other processes may run what is accepted here, and we what they accept."""

    @property
    def backlog(self) -> int:
        """About how many executions wait in a shared store until some process begins them."""

    @property
    def trouble(self) -> str | None:
        """Why the store could not be written when that was last tried."""

    @property
    def dropped(self) -> int:
        """How many stories were left out so far, as there was no room or no store for them."""

    async def __aenter__(self) -> Self:
        """Open it: what is left from an earlier process is taken over by `serve`."""

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        """Write what is still to be written, and close it."""

    # --- running

    async def accept(self, execution: Accepted, texts: Sequence[FlowText]) -> bool:
        """
        Keep *execution*, to be run, and the *texts* that it pins; committed when this returns.

        False: one with this id is known, under way or ended, and nothing has changed. Raises
        Unwritable when its data cannot be kept. A store that processes share minds its `line` as
        well: it raises Conflict (`single`) and Unavailable (`parallel`) where that is full, and
        ends those that stand there before it (`restart`).
        """

    async def serve(self, walk: Walk, at_once: int, interrupted: Interrupted = unheard) -> None:
        """
        Call *walk* for everything that is accepted and has not ended; runs until it is cancelled.

        At most *at_once* run at the same time, in the order in which they are due and were
        accepted; where processes share the store, each when it has its turn in its `line`, which
        it keeps until it has ended. A walk that raises ends its execution `interrupted`; so does
        its takeover after more than `MAX_TAKEOVERS`. On cancellation walks are cancelled, and what
        has not ended is left for the next start.
        """

    async def hand_over(self) -> None:
        """
        Begin nothing more, where others share the store and do; what runs goes on meanwhile.

        To be called when `serve` is soon to be cancelled. Does not raise.
        """

    async def texts(self, pins: Mapping[str, str]) -> Mapping[str, FlowText]:
        """The texts of *pins* (digests by flow key) by flow key; kept as long as they are pinned.

        By key and digest: files that are copies of each other have one digest and two keys.
        """

    async def cancel(self, id_: str) -> bool:
        """
        End an execution; False: it is not under way.

        One that is queued or waits has ended `cancelled` when this returns. The walk of one that
        runs is cancelled, and how it ends is its own business; should the process die before, it
        is not walked again.
        """

    # --- history

    def write_history(self, stories: Sequence[Story]) -> None:
        """
        Tell of executions, soon: waits for nothing, and what there is no room for is dropped.

        A second story of an execution adds its records to those of the first; what has ended does
        not go on any more. Of an execution that was accepted here the store knows better how it
        stands: its status stays.
        """

    async def find(self, id_: str) -> Seen | None:
        """An execution that is under way or remembered."""

    async def executions(self, limit: int = 1000, before: int | None = None) -> Sequence[Seen]:
        """At most *limit* executions, newest first; those with a lower number than *before*."""

    async def records(self, id_: str) -> bytes:
        """The records of an execution as lines of JSON; empty if there are none."""

    async def retain(self, keep: Retention) -> int:
        """
        Forget what is beyond *keep*, oldest first, and say how many executions that were.

        What is only told of, and did not end before the execution that it runs inside of, is
        `interrupted` from then on.

        The ids of accepted executions are known for a day, unless there is no room for anything
        else: as long, a duplicate delivery is known to be one. Ticks that are older than two years
        are forgotten.
        """
