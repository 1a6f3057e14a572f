"""What the records tell of each execution, put together for those who ask later."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from runner import jsontext
from runner.records import Record
from runner.store.base import Seen, Store, Story
from runner.types import JSONObject

_TOGETHER: Final = 0.5
"""Seconds in which stories that end are handed over in one go."""

_PART: Final = 1.0
"""Seconds after which what is known so far of an accepted execution is handed over."""

_MAX_OPEN: Final = 20_000
"""So many executions are listened to at a time."""

_MAX_BYTES: Final = 1 << 20
"""Of the records of one execution; its last one is always kept."""

_MAX_ALL: Final = 32 << 20
"""Of all that is not handed over yet."""

_RATE: Final = 500
"""Direct executions a second that are told of: a twentieth of what a core has time for, at most."""

_LARGE: Final = 8 << 10
"""Bytes of records that take as much time again as another execution."""

_BURST: Final = 4000
"""So many more after a quiet time; the last half of them are those that went wrong."""


class _Open:
    __slots__ = ("lines", "seen", "size", "steps")

    def __init__(self, seen: Seen | None) -> None:
        #: What a part of its story says of it; None: it is told when it has ended.
        self.seen = seen
        self.lines: list[bytes] = []
        self.size = 0
        self.steps = 0


_NOTHING: Final = _Open(None)
"""Of an execution of which nothing was said before its end."""


class LeftOut(NamedTuple):
    """What of the history there was no room for, so far."""

    #: Of which nothing was told, or a part is missing.
    executions: int = 0
    records: int = 0

    def __str__(self) -> str:
        return f"{self.executions} executions, {self.records} records"


class Stories:
    """
    A sink that gives the *store* the story of each execution when that has ended.

    Those that were accepted, and what they start, may sleep, or go on in another process: their
    stories come in parts, a second after what they tell of. It waits for nothing, and what there
    is no room for is dropped and counted; so is a part of the direct ones where there are too
    many, first of all those that resolved. *flow_id* gives the id of the flow with a key;
    *is_accepted* says whether an execution that runs was accepted.
    """

    def __init__(
        self,
        store: Store,
        flow_id: Callable[[str], str],
        is_accepted: Callable[[str], bool] = lambda _: False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._flow_id = flow_id
        self._is_accepted = is_accepted
        self._clock = clock
        self._open: dict[str, _Open] = {}
        self._ended: list[Story] = []
        #: Bytes of both.
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._part_timer: asyncio.TimerHandle | None = None
        #: How many direct ones may be told of now, and when that was counted.
        self._room: float = _BURST
        self._counted = clock()
        #: How many records were left out.
        self.dropped = 0

    def write(self, record: Record, /) -> None:
        """Take a record, if it is of an execution."""
        fields = record.fields
        id_ = fields.get("execution_id")
        if id_ is None:
            return
        event = fields["event"]
        if event == "execution.finished":
            self._end(id_, record)
            return
        known = self._open.get(id_)
        if known is None:
            known = self._begin(id_, fields)
        if known.size < _MAX_BYTES and self._size < _MAX_ALL:
            known.steps += event in ("operation.resolved", "operation.rejected")
            known.lines.append(record.line)
            known.size += len(record.line)
            self._size += len(record.line)
            if known.seen is not None and self._part_timer is None:
                self._part_timer = asyncio.get_running_loop().call_later(_PART, self._tell)
        else:
            self.dropped += 1

    @property
    def left_out(self) -> LeftOut:
        """By the store, and here."""
        return LeftOut(self._store.dropped, self.dropped)

    def flush(self) -> None:
        """Hand over what has ended, and parts of what may go on elsewhere."""
        self._tell()
        self._hand_over()

    def _hand_over(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._clock()
        self._room = min(self._room + max(now - self._counted, 0.0) * _RATE, _BURST)
        self._counted = now
        ended, self._ended = self._ended, []
        if ended:
            self._size -= sum(len(each.records) for each in ended)
            self._store.write_history(ended)

    def _tell(self) -> None:
        """Hand over what is known so far; nothing of it stays in memory."""
        if self._part_timer is not None:
            self._part_timer.cancel()
            self._part_timer = None
        parts: list[Story] = []
        for each in self._open.values():
            if each.seen is not None and each.lines:
                seen = each.seen._replace(steps=each.steps, bytes=each.size)
                parts.append(Story(seen, b"".join(each.lines)))
                self._size -= each.size
                each.lines, each.size, each.steps = [], 0, 0
        if parts:
            self._store.write_history(parts)

    def _begin(self, id_: str, fields: JSONObject) -> _Open:
        if len(self._open) >= _MAX_OPEN:
            first = next(iter(self._open))
            lost = self._open.pop(first)
            self._size -= lost.size
            self.dropped += len(lost.lines)
        known = self._open[id_] = _Open(self._part(id_, fields))
        return known

    def _part(self, id_: str, fields: JSONObject) -> Seen | None:
        """What is said of an execution that begins, where its story comes in parts."""
        if not self._is_accepted(id_):
            parent: str = fields.get("parent_id", "")
            known = self._open.get(parent)
            if not self._is_accepted(parent) and (known is None or known.seen is None):
                return None
        now = self._clock()
        return Seen(
            id_, fields["flow"], self._flow_id(fields["flow"]), fields["flow_digest"],
            fields["revision"], fields["generation"], fields["trigger"], fields.get("parent_id"),
            durable=False, status="running", accepted=now, started=now,
        )  # fmt: skip

    def _end(self, id_: str, record: Record) -> None:
        known = self._open.pop(id_, _NOTHING)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_TOGETHER, self._hand_over)
        self._size -= known.size
        size = known.size + len(record.line)
        if known.seen is None and not self._has_room(record, size):
            self.dropped += len(known.lines) + 1
            return
        self._size += size
        records = b"".join((*known.lines, record.line))
        self._ended.append(Story(self._seen(record, known.steps, size), records))

    def _has_room(self, record: Record, size: int) -> bool:
        """Whether an execution with so many bytes of records is told of."""
        if self._is_accepted(record.fields["execution_id"]):
            return True
        kept_free = _BURST / 2 if record.fields["status"] == "resolved" else 0
        if self._room <= kept_free:
            return False
        self._room -= 1 + size // _LARGE
        return True

    def _seen(self, record: Record, steps: int, size: int) -> Seen:
        fields, now = record.fields, self._clock()
        flow, duration = fields["flow"], fields["duration_ms"]
        began = now - duration / 1000
        return Seen(
            fields["execution_id"], flow, self._flow_id(flow), fields["flow_digest"],
            fields["revision"], fields["generation"], fields["trigger"], fields.get("parent_id"),
            durable=False, status=str(fields["status"]), accepted=began, started=began,
            finished=now, duration_ms=duration,
            error=_error(record) if "error" in fields else None, steps=steps, bytes=size,
        )  # fmt: skip


def _error(record: Record) -> JSONObject | None:
    """That of the line, in which nothing is that nobody may see."""
    said = jsontext.parse(record.line)
    return said["error"] if isinstance(said, dict) else None


def lines(records: bytes) -> list[JSONObject]:
    """The records of an execution as they were told."""
    found = (jsontext.parse(line) for line in records.splitlines())
    return [each for each in found if isinstance(each, dict)]
