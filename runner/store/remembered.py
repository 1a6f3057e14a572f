"""What the store in memory knows of executions: of those that have ended, only so much."""

import heapq
from collections import OrderedDict
from collections.abc import Sequence
from itertools import count, islice
from typing import Final

from runner.model import Status
from runner.store.base import Retention, Seen, Story
from runner.types import JSONObject

#: How many executions that have ended are remembered, and how many bytes of records.
_MAX_ENDED: Final = 10_000
_MAX_BYTES: Final = 16 << 20


class Remembered:
    """Executions by number; those that ended first are forgotten first."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._by_id: dict[str, int] = {}
        self._seen: dict[int, Seen] = {}
        self._records: OrderedDict[int, bytes] = OrderedDict()
        self._bytes = 0
        #: By the time of their end; what was accepted here apart, as its ids are to be known.
        self._told: list[tuple[float, int]] = []
        self._accepted: list[tuple[float, int]] = []
        #: Those that are only told of, and go on.
        self._open: set[int] = set()

    # --- what happens

    def begin(self, seen: Seen) -> int:
        """Remember one that nothing is known of, and give its number."""
        number = next(self._numbers)
        self._seen[number] = seen._replace(number=number)
        self._by_id[seen.id] = number
        return number

    def update(self, number: int, *, status: str, started: float | None) -> None:
        """It stands otherwise; that it *started* is noted once."""
        seen = self._seen[number]
        began = started if seen.started is None else seen.started
        self._seen[number] = seen._replace(status=status, started=began)

    def end(self, number: int, status: Status, error: JSONObject | None, at: float) -> None:
        """It has ended."""
        seen = self._seen[number]
        self._seen[number] = seen._replace(status=status, error=error or seen.error, finished=at)
        self._end(self._accepted, number, at)

    def _end(self, ended: list[tuple[float, int]], number: int, at: float) -> None:
        heapq.heappush(ended, (at, number))
        if len(ended) > _MAX_ENDED:
            self._forget_oldest(ended)

    def tell(self, story: Story) -> None:
        """Add *story* to what is known."""
        told = story.seen
        number = self._by_id.get(told.id)
        if number is None:
            number = self.begin(told)
            self._open.add(number)
        else:
            seen = self._seen[number]
            self._seen[number] = seen._replace(
                duration_ms=told.duration_ms or seen.duration_ms,
                error=told.error or seen.error,
                steps=seen.steps + told.steps,
                bytes=seen.bytes + told.bytes,
            )
        if told.finished is not None and number in self._open:
            self._leave(number, told.status, told.finished)
        self._add(number, story.records)

    def _leave(self, number: int, status: str, at: float) -> None:
        """It was only told of, and has ended."""
        self._open.remove(number)
        self._seen[number] = self._seen[number]._replace(status=status, finished=at)
        self._end(self._told, number, at)

    def _add(self, number: int, records: bytes) -> None:
        if number not in self._seen:  # it ended before all that are remembered
            return
        self._records[number] = self._records.get(number, b"") + records
        self._bytes += len(records)
        while self._bytes > _MAX_BYTES:
            _, oldest = self._records.popitem(last=False)
            self._bytes -= len(oldest)

    # --- what is known

    def find(self, id_: str) -> Seen | None:
        """The execution with this id."""
        number = self._by_id.get(id_)
        return None if number is None else self._seen[number]

    def newest(self, limit: int, before: int | None) -> Sequence[Seen]:
        """At most *limit*, newest first."""
        older = (
            seen
            for number, seen in reversed(self._seen.items())
            if before is None or number < before
        )
        return list(islice(older, limit))

    def records(self, id_: str) -> bytes:
        """The records of an execution."""
        return self._records.get(self._by_id.get(id_, 0), b"")

    # --- forgetting

    def retain(self, keep: Retention, now: float) -> int:
        """Forget what is beyond *keep*, and say how many executions that were."""
        before = len(self._seen)
        for number in tuple(self._open):
            parent = self.find(self._seen[number].parent_id or "")
            if parent is None or parent.finished is not None:
                self._leave(number, Status.INTERRUPTED, now)
        for ended in (self._told, self._accepted):
            while keep.age is not None and ended and ended[0][0] < now - keep.age:
                self._forget_oldest(ended)
        while self._is_too_much(keep) and (ended := self._told or self._accepted):
            self._forget_oldest(ended)
        return before - len(self._seen)

    def _is_too_much(self, keep: Retention) -> bool:
        ended = len(self._told) + len(self._accepted)
        return (keep.count is not None and ended > keep.count) or (
            keep.bytes is not None and self._bytes > keep.bytes
        )

    def _forget_oldest(self, ended: list[tuple[float, int]]) -> None:
        _, number = heapq.heappop(ended)
        del self._by_id[self._seen.pop(number).id]
        self._bytes -= len(self._records.pop(number, b""))
