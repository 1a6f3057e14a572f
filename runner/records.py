"""Everything that happened leaves through one door: `Recorder.emit`."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol, Self, TypedDict, Unpack

import orjson

from runner import fit
from runner.redact import Redactor
from runner.types import JSONObject
from runner.version import NAME

MAX_LINE: Final = 15_000
"""Bytes of a line with its newline: container runtimes cut lines at 16 KiB."""

MIN_LINE: Final = 2048
"""What the fields of a record that are not data may need."""


# --- the catalogue ------------------------------------------------------------------------------


class Event(NamedTuple):
    """What is known of all records of one event."""

    severity: str
    #: Said when the record has no message of its own.
    message: str
    #: Fields that such a record always has.
    fields: tuple[str, ...] = ()


_EXECUTION: Final = (
    "flow", "flow_digest", "revision", "generation", "execution_id", "trigger",
)  # fmt: skip
_OPERATION: Final = (*_EXECUTION, "operation", "operation_type")

EVENTS: Final[Mapping[str, Event]] = MappingProxyType(
    {
        "daemon.started": Event("INFO", "the runner has started"),
        "daemon.warning": Event("WARNING", "something about the runner deserves a look"),
        "daemon.stalled": Event("WARNING", "the event loop stood still", ("data",)),
        "store.failed": Event("ERROR", "what is accepted cannot be kept", ("error",)),
        "store.recovered": Event("INFO", "what is accepted can be kept again"),
        "daemon.draining": Event("INFO", "the runner is stopping; what runs may finish"),
        "daemon.stopped": Event("INFO", "the runner has stopped"),
        "generation.swapped": Event(
            "INFO", "a new generation of flows is in place", ("generation", "revision")
        ),
        "generation.refused": Event("ERROR", "a generation of flows was refused", ("data",)),
        "flow.invalid": Event("ERROR", "the file of a flow has an issue", ("flow", "data")),
        "trigger.attached": Event("INFO", "a trigger is attached", ("trigger",)),
        "caller.refused": Event("WARNING", "a token is nobody's", ("error", "data")),
        "trigger.refused": Event("WARNING", "a delivery did not start a flow", ("error",)),
        "execution.started": Event("INFO", "an execution has started", _EXECUTION),
        "execution.finished": Event(
            "INFO", "an execution has finished", (*_EXECUTION, "status", "duration_ms")
        ),
        "operation.resolved": Event("INFO", "an operation resolved", (*_OPERATION, "duration_ms")),
        "operation.rejected": Event(
            "WARNING", "an operation rejected", (*_OPERATION, "duration_ms", "error")
        ),
        "operation.retried": Event(
            "WARNING", "an operation is tried again", (*_OPERATION, "attempt", "error")
        ),
        "log.message": Event("INFO", "a flow says something", _OPERATION),
        "log.suppressed": Event("WARNING", "records were left out", ("data",)),
        "log.library": Event("WARNING", "a library says something", ("data",)),
    }
)
"""Every event there is; `schemas/log-record.schema.json` says the same to other programs."""

LIMITED: Final = frozenset({"log.message", "caller.refused", "trigger.refused"})
"""Events that somebody else decides the number of."""

_UNKNOWN: Final = Event("INFO", "something happened")

_OWN: Final = frozenset(
    {
        "timestamp", "severity", "event", "service", "trace_id", "span_id", "flow_digest",
        "generation", "execution_id", "parent_id", "attempt", "status", "duration_ms",
    }
)  # fmt: skip
"""Fields that hold nothing but what this program made: no secret, no user data, and short."""


class Fields(TypedDict, total=False):
    """The fields of a record that tell where it belongs; those that are None are left out."""

    trace_id: str | None
    span_id: str | None
    flow: str | None
    flow_digest: str | None
    revision: str | None
    generation: int | None
    execution_id: str | None
    parent_id: str | None
    trigger: str | None
    operation: str | None
    operation_type: str | None
    attempt: int | None
    status: str | None
    duration_ms: float | None
    #: `name`, `message` and, where known, `code`.
    error: JSONObject | None


class Record(NamedTuple):
    """One record, ready to be read by anybody."""

    fields: JSONObject
    #: The same as one line of JSON, with its newline.
    line: bytes


class Sink(Protocol):
    """Somewhere records go."""

    def write(self, record: Record, /) -> None:
        """Take *record*, at once and without waiting for anything."""


# --- the door -----------------------------------------------------------------------------------


class Recorder:
    """
    Makes records and gives them to its sinks.

    Nothing it is given can make it raise, wait, write a secret, or write a line that is longer
    than *max_line* bytes or not JSON. Of an event in `LIMITED` it takes 50 records a second for
    each flow, 200 in one go, and says ten seconds later how many it left out.
    """

    __slots__ = ("_bound", "_credentials", "_press", "_root")

    def __init__(
        self,
        redactor: Redactor,
        *sinks: Sink,
        service: str = NAME,
        max_line: int = MAX_LINE,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        lines = _Lines(redactor, max(max_line, MIN_LINE))
        self._press = _Press(lines, sinks, service, _Timestamps(clock), _Limit(ticks))
        self._bound: JSONObject = {}
        self._credentials: tuple[str, ...] = ()
        self._root = self

    def bind(self, *, credentials: Collection[str] = (), **fields: Unpack[Fields]) -> Self:
        """The same door for records that all have *fields* and must not show *credentials*."""
        bound = object.__new__(type(self))
        bound._press = self._press
        bound._bound = _present({**self._bound, **fields})
        bound._credentials = (*self._credentials, *credentials)
        bound._root = self._root
        return bound

    def attach(self, sink: Sink) -> Callable[[], None]:
        """Give all records from now on to *sink* as well, until what is returned is called."""
        press = self._press
        press.sinks = (*press.sinks, sink)

        def detach() -> None:
            press.sinks = tuple(each for each in press.sinks if each is not sink)

        return detach

    def emit(
        self,
        event: str,
        *,
        severity: str | None = None,
        message: str | None = None,
        data: JSONObject | None = None,
        credentials: Collection[str] = (),
        **fields: Unpack[Fields],
    ) -> None:
        """
        Record that *event* happened.

        *data* is the only place for what users or other systems made. *severity* is DEBUG, INFO,
        WARNING, ERROR or CRITICAL; it and *message* are the catalogue's where they are not given.
        """
        press = self._press
        if event in LIMITED:
            flow = fields.get("flow") or self._bound.get("flow")
            if not press.limit.admits(event, flow):
                return
        known = EVENTS.get(event, _UNKNOWN)
        record: JSONObject = {
            "timestamp": press.timestamps.now(),
            "severity": severity or known.severity,
            "message": known.message if message is None else message,
            "event": event,
            "service": press.service,
            **self._bound,
            **fields,
        }
        if None in fields.values():
            record = _present(record)
        if data is not None:
            record["data"] = data
        press.print(
            record, (*self._credentials, *credentials) if credentials else self._credentials
        )
        if press.limit.is_due():
            self.flush()

    def flush(self) -> None:
        """Say now what was left out; otherwise a later record brings it to light."""
        for flow, data in self._press.limit.take():
            self._root.emit("log.suppressed", flow=flow, data=data)


def _present(fields: JSONObject) -> JSONObject:
    if None not in fields.values():
        return fields
    return {name: value for name, value in fields.items() if value is not None}


class _Press:
    """What a recorder shares with those that are bound from it."""

    def __init__(
        self,
        lines: "_Lines",
        sinks: tuple[Sink, ...],
        service: str,
        timestamps: "_Timestamps",
        limit: "_Limit",
    ) -> None:
        self.sinks = sinks
        self.service = service
        self.timestamps = timestamps
        self.limit = limit
        self._lines = lines

    def print(self, fields: JSONObject, credentials: Collection[str]) -> None:
        try:
            record = self._lines.record(fields, credentials)
        except Exception:  # what cannot be written must not harm what happened
            self.limit.left_out("failure", fields["event"], None)
            return
        for sink in self.sinks:
            try:
                sink.write(record)
            except Exception:  # the others get their record, and the flow goes on
                self.limit.left_out("sink", type(sink).__name__, None)


class _Timestamps:
    """RFC 3339 in UTC with milliseconds; the second is only written once."""

    _MILLISECONDS: Final = tuple(f".{number:03d}Z" for number in range(1000))

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._second = (0, "1970-01-01T00:00:00")

    def now(self) -> str:
        now = self._clock()
        whole = int(now)
        second, text = self._second
        if whole != second:
            text = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
            self._second = (whole, text)
        return text + self._MILLISECONDS[int((now - whole) * 1000)]


class _Limit:
    """A token bucket for each event and flow, and the count of what is not in the records."""

    RATE: Final = 50
    BURST: Final = 200
    PAUSE: Final = 10.0
    MAX_BUCKETS: Final = 10_000

    def __init__(self, ticks: Callable[[], float]) -> None:
        self._ticks = ticks
        #: How many records may pass, and since when.
        self._buckets: dict[tuple[str, str | None], tuple[float, float]] = {}
        self._left_out: Counter[tuple[str, str, str | None]] = Counter()
        self._due = 0.0

    def admits(self, event: str, flow: str | None) -> bool:
        now = self._ticks()
        tokens, since = self._buckets.get((event, flow), (self.BURST, now))
        tokens = min(self.BURST, tokens + (now - since) * self.RATE)
        if tokens < 1:
            self.left_out("rate", event, flow)
            return False
        if len(self._buckets) >= self.MAX_BUCKETS:
            self._buckets.clear()
        self._buckets[event, flow] = (tokens - 1, now)
        return True

    def left_out(self, reason: str, what: str, flow: str | None) -> None:
        if not self._left_out:
            self._due = self._ticks() + self.PAUSE
        if len(self._left_out) >= self.MAX_BUCKETS:
            flow = None
        self._left_out[reason, what, flow] += 1

    def is_due(self) -> bool:
        return bool(self._left_out) and self._ticks() >= self._due

    def take(self) -> list[tuple[str | None, JSONObject]]:
        """Flow and data of a record for everything that was left out, which is then forgotten."""
        taken, self._left_out = self._left_out, Counter()
        return [
            (
                flow,
                {"reason": reason, "sink" if reason == "sink" else "event": what, "count": count},
            )
            for (reason, what, flow), count in taken.items()
        ]


# --- lines --------------------------------------------------------------------------------------


class _Lines:
    """Writes fields as one line: without secrets, of bounded length, always JSON."""

    def __init__(self, redactor: Redactor, max_line: int) -> None:
        self._redactor = redactor
        self._max_line = max_line

    def record(self, fields: JSONObject, credentials: Collection[str]) -> Record:
        """Most records are harmless, and all they cost is finding that out."""
        line = self._as_it_is(fields)
        if line is None:
            foreign, lost = self._made_plain(_foreign(fields), credentials)
        elif len(line) <= self._max_line and not self._is_suspicious(fields, line, credentials):
            return Record(fields, line)
        else:
            foreign, lost = _foreign(fields), []
        clean, redacted = self._redactor.redact(foreign, credentials)
        # The names of our own fields stay, even where somebody's secret is "operation".
        clean = dict(zip(foreign, clean.values(), strict=True))
        return self._fitted(fields, clean, lost, redacted)

    def _is_suspicious(self, fields: JSONObject, line: bytes, credentials: Collection[str]) -> bool:
        told = "data" in fields or "error" in fields
        if told or fields["message"] is not EVENTS[fields["event"]].message:
            return self._redactor.suspicious(line, credentials)
        # All it holds beside our own fields are names, and those recur.
        get = fields.get
        names = (
            get("flow"),
            get("revision"),
            get("trigger"),
            get("operation"),
            get("operation_type"),
        )
        redactor = self._redactor
        return not redactor.are_harmless(names) or bool(
            credentials and redactor.betrays(line, credentials)
        )

    def _as_it_is(self, fields: JSONObject) -> bytes | None:
        """The line, unless it is far too long, or holds what JSON cannot say."""
        data = fields.get("data")
        if data is not None and not fit.is_small(data, 2 * self._max_line):
            return None
        try:
            line = orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)
        except TypeError:
            return None
        return line if len(line) <= 2 * self._max_line else None

    def _made_plain(
        self, foreign: JSONObject, credentials: Collection[str]
    ) -> tuple[JSONObject, list[str]]:
        """*foreign* as JSON of bearable size, and the paths of what that cost."""
        redactor = self._redactor
        copy, lost = fit.copy(
            foreign,
            2 * self._max_line,
            lambda text, length: redactor.beginning(text, length, credentials),
        )
        # The paths are made of keys, and keys may hold secrets too.
        paths, _ = redactor.redact({"lost": lost}, credentials)
        return copy, paths["lost"]

    def _fitted(
        self, fields: JSONObject, foreign: JSONObject, lost: list[str], redacted: list[str]
    ) -> Record:
        """*fields* with *foreign* in place of what was not ours, in a line that is short enough."""
        own = {name: value for name, value in fields.items() if name in _OWN}
        # The two lists of paths have a sixteenth of the line each; 64 bytes are their names.
        few = self._max_line // 16
        foreign, short = fit.shorten(foreign, self._max_line - fit.size(own) - 2 * few - 64)
        all_fields = own | foreign
        record = {name: all_fields[name] for name in fields if name in all_fields}
        if lost or short:
            record["truncated"] = _few(lost + short, few)
        if redacted:
            record["redacted"] = _few(redacted, few)
        return Record(record, orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))


def _foreign(fields: JSONObject) -> JSONObject:
    return {name: value for name, value in fields.items() if name not in _OWN}


def _few(paths: list[str], room: int) -> list[str]:
    """As many of *paths* as take *room* bytes of JSON."""
    few: list[str] = []
    for path in dict.fromkeys(paths):
        room -= fit.size(path) + 1
        if room < fit.size(fit.CUT) + 1:
            return [*few, fit.CUT]
        few.append(path)
    return few
