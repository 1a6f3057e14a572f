"""What the records tell of each execution, put together for those who ask later."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from runner import jsontext
from runner.records import Record
from runner.store.base import Seen, Store, Story
from runner.types import JSONObject

_TOGETHER: Final = 0.1
"""Seconds in which stories that end are handed over in one go."""

_MAX_OPEN: Final = 20_000
"""So many executions are listened to at a time."""

_MAX_BYTES: Final = 1 << 20
"""Of the records of one execution; its last one is always kept."""

_MAX_ALL: Final = 32 << 20
"""Of all that is not handed over yet."""


class _Open:
    __slots__ = ("lines", "size", "steps")

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.size = 0
        self.steps = 0


class Stories:
    """
    A sink that gives the *store* the story of each execution when that has ended.

    It waits for nothing, and what there is no room for is dropped and counted. *flow_id* gives
    the id of the flow with a key.
    """

    def __init__(
        self, store: Store, flow_id: Callable[[str], str], clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._flow_id = flow_id
        self._clock = clock
        self._open: dict[str, _Open] = {}
        self._ended: list[Story] = []
        #: Bytes of both.
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        #: How many records were left out.
        self.dropped = 0

    def write(self, record: Record, /) -> None:
        """Take a record, if it is of an execution."""
        fields = record.fields
        id_ = fields.get("execution_id")
        if id_ is None:
            return
        event = fields["event"]
        known = self._open.get(id_)
        if known is None:
            known = self._begin(id_)
        if event == "execution.finished":
            self._end(id_, known, record)
        elif known.size < _MAX_BYTES and self._size < _MAX_ALL:
            known.steps += event in ("operation.resolved", "operation.rejected")
            known.lines.append(record.line)
            known.size += len(record.line)
            self._size += len(record.line)
        else:
            self.dropped += 1

    def flush(self) -> None:
        """Hand over what has ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        ended, self._ended = self._ended, []
        if ended:
            self._size -= sum(len(each.records) for each in ended)
            self._store.write_history(ended)

    def _begin(self, id_: str) -> _Open:
        if len(self._open) >= _MAX_OPEN:
            first = next(iter(self._open))
            lost = self._open.pop(first)
            self._size -= lost.size
            self.dropped += len(lost.lines)
        known = self._open[id_] = _Open()
        return known

    def _end(self, id_: str, known: _Open, record: Record) -> None:
        del self._open[id_]
        self._size += len(record.line)
        records = b"".join((*known.lines, record.line))
        self._ended.append(Story(self._seen(record, known.steps, len(records)), records))
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_TOGETHER, self.flush)

    def _seen(self, record: Record, steps: int, size: int) -> Seen:
        fields, now = record.fields, self._clock()
        began = now - fields["duration_ms"] / 1000
        return Seen(
            id=fields["execution_id"],
            flow=fields["flow"],
            flow_id=self._flow_id(fields["flow"]),
            digest=fields["flow_digest"],
            revision=fields["revision"],
            generation=fields["generation"],
            trigger=fields["trigger"],
            parent_id=fields.get("parent_id"),
            durable=False,
            status=str(fields["status"]),
            accepted=began,
            started=began,
            finished=now,
            duration_ms=fields["duration_ms"],
            error=_error(record),
            steps=steps,
            bytes=size,
        )


def _error(record: Record) -> JSONObject | None:
    """That of the line, in which nothing is that nobody may see."""
    if "error" not in record.fields:
        return None
    said = jsontext.parse(record.line)
    return said["error"] if isinstance(said, dict) else None


def lines(records: bytes) -> list[JSONObject]:
    """The records of an execution as they were told."""
    found = (jsontext.parse(line) for line in records.splitlines())
    return [each for each in found if isinstance(each, dict)]
