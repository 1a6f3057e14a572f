"""What is told of executions, and forgetting it."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Any, Final, LiteralString

from runner import jsontext
from runner.errors import StoreError, Unwritable
from runner.store.base import OLD_TICKS, Retention, Seen, Story
from runner.store.pg_connect import Database

_MAX_QUEUE: Final = 8 << 20
"""Bytes of records that may wait for being written."""

_MAX_BATCH: Final = 64
_MAX_RECORDS: Final = 4 << 20
"""Bytes of records that one execution may have: beyond that, nothing is added."""

_RETRY: Final = 0.5
_LAST: Final = 5.0
"""Seconds for the last stories when the store is closed."""

_KNOWN: Final = 86_400.0
"""Seconds that the ids of accepted executions are known, while others can be forgotten."""

TEXTS: Final = 86_400.0
"""Seconds that a text is kept which nothing pins: somebody may be about to, and not send it."""

_SLICE: Final = 200
_ROW: Final = 1024
"""Bytes that an execution takes beside its records, with its share of the indexes."""

# In the order of their ids, as another replica may tell of the same ones in another order.
_HOLD: Final[LiteralString] = (
    "select from runner.executions where id = any(%s) order by id for update"
)

_WRITE: Final[LiteralString] = """
insert into runner.executions as known (
    id, flow, flow_id, digest, revision, generation, trigger, parent_id, durable, status,
    accepted, started, finished, duration_ms, error, steps, bytes
) values (
    %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s
) on conflict (id) do update set
    status = case when known.durable or excluded.finished is null
        then known.status else excluded.status end,
    finished = case when known.durable or excluded.finished is null
        then known.finished else excluded.finished end,
    started = coalesce(known.started, excluded.started),
    duration_ms = coalesce(excluded.duration_ms, known.duration_ms),
    error = coalesce(excluded.error, known.error),
    steps = known.steps + excluded.steps,
    bytes = known.bytes + excluded.bytes
"""

_ADD_RECORDS: Final[LiteralString] = """
insert into runner.records (execution, lines)
select id, %s from runner.executions where id = %s and bytes - %s < %s
"""

_SEEN: Final[LiteralString] = """
select id, flow, flow_id, digest, revision, generation, trigger, parent_id, durable, status,
    accepted, started, finished, duration_ms, error, steps, bytes, number
from runner.executions
"""
_FIND: Final[LiteralString] = _SEEN + "where id = %s"
_LIST: Final[LiteralString] = _SEEN + "where number < %s order by number desc limit %s"
_RECORDS: Final[LiteralString] = (
    "select lines from runner.records where execution = %s order by part"
)

_OLD: Final[LiteralString] = """
select id from runner.executions where needs is null and finished < %(before)s
order by finished limit %(limit)s
"""

# Those that ended first; of the durable ones those of the last day only if there are none.
_OLDEST: Final[LiteralString] = """
select id from runner.executions where needs is null and finished is not null
order by durable and finished >= %(before)s, finished limit %(limit)s
"""

_FORGET: Final[LiteralString] = """
with beyond as (
    delete from runner.executions where id in ({}) returning id, bytes
), told as (
    delete from runner.records using beyond where execution = beyond.id
)
select count(*), coalesce(sum(bytes), 0)::bigint from beyond
"""

_SIZE: Final[LiteralString] = """
select count(*), coalesce(sum(bytes), 0)::bigint
from runner.executions where needs is null and finished is not null
"""

# What its parent has left behind.
_LEFT: Final[LiteralString] = """
update runner.executions child set status = 'interrupted', finished = %s
where needs is null and finished is null and not exists (
    select from runner.executions where id = child.parent_id and finished is null
)
"""

_UNUSED: Final[LiteralString] = """
delete from runner.flow_texts as spare
where used < now() - make_interval(secs => %s) and not exists (
    select from runner.executions, jsonb_each_text(pins) as pin
    where needs is not null and pin.key = spare.key and pin.value = spare.digest
)
"""

_GONE: Final[LiteralString] = "delete from runner.ticks where until < %s"

_LOCK: Final = 0x666F72676574
"""Advisory lock of who forgets: `forget` in ASCII."""


class History:
    """The stories of executions; `run` writes those that were offered."""

    def __init__(self, database: Database, spare: float) -> None:
        self._database = database
        self._spare = spare
        self._stories: deque[Story] = deque()
        self._size = 0
        self._news = asyncio.Event()
        self._closed = False
        #: How many were left out.
        self.dropped = 0

    # --- telling

    def offer(self, stories: Sequence[Story]) -> None:
        """Write *stories* when there is time; those that there is no room for are dropped."""
        for story in stories:
            size = len(story.records) + _ROW
            if self._size + size > _MAX_QUEUE:
                self.dropped += 1
                continue
            self._size += size
            self._stories.append(story)
        self._news.set()

    async def run(self) -> None:
        """Write what is offered, until `close` is called."""
        while not self._closed:
            await self._news.wait()
            try:
                while self._stories:
                    await self._write_some()
                self._news.clear()
            except StoreError:  # meanwhile the queue is what there is room for
                await asyncio.sleep(_RETRY)

    async def close(self, running: asyncio.Task[None]) -> None:
        """
        Have *running*, the task of `run`, write the last ones, if that is soon.

        Cancelled in the middle of a commit, nobody would know whether that was written.
        """
        self._closed = True
        self._news.set()
        await asyncio.wait([running], timeout=_LAST)
        running.cancel()
        await asyncio.wait([running])
        self.dropped += len(self._stories)

    async def _write_some(self) -> None:
        some = list(islice(self._stories, _MAX_BATCH))
        try:
            await self._write(some)
        except Unwritable:
            for story in some:
                await self._write_alone(story)
        for _ in some:
            self._size -= len(self._stories.popleft().records) + _ROW

    async def _write_alone(self, story: Story) -> None:
        try:
            await self._write([story])
        except Unwritable:
            self.dropped += 1

    async def _write(self, stories: Sequence[Story]) -> None:
        async with self._database.transaction() as connection, connection.pipeline():
            await connection.execute(_HOLD, [[seen.id for seen, _ in stories]])
            for seen, records in stories:
                error = None if seen.error is None else jsontext.write(seen.error).decode()
                row = (*seen[:14], error, seen.steps, seen.bytes)
                await connection.execute(_WRITE, row)
                if records:
                    limit = (records, seen.id, seen.bytes, _MAX_RECORDS)
                    await connection.execute(_ADD_RECORDS, limit)

    # --- asking

    async def find(self, id_: str) -> Seen | None:
        """The execution with this id."""
        rows = await self._database.ask(_FIND, [id_])
        return _seen(rows[0]) if rows else None

    async def executions(self, limit: int, before: int | None) -> list[Seen]:
        """The newest first."""
        rows = await self._database.ask(_LIST, [(1 << 62) if before is None else before, limit])
        return [_seen(row) for row in rows]

    async def records(self, id_: str) -> bytes:
        """The records of the execution with this id."""
        return b"".join(lines for (lines,) in await self._database.ask(_RECORDS, [id_]))

    # --- forgetting

    async def retain(self, keep: Retention) -> int:
        """
        Forget what is beyond *keep*, in slices, unless another replica does.

        The limit of bytes is for what rows and records take. PostgreSQL uses the room of what is
        forgotten again, and gives it back to the disk where it is at the end of a table.
        """
        async with self._database.session() as connection:
            cursor = await connection.execute("select pg_try_advisory_lock(%s)", [_LOCK])
            if await cursor.fetchone() != (True,):
                return 0
            forgotten = await self._forget(keep)
            await self._database.ask(_LEFT, [time.time()])
            await self._database.ask(_UNUSED, [self._spare])
            await self._database.ask(_GONE, [time.time() - OLD_TICKS])
            if forgotten:
                await connection.execute("vacuum runner.executions, runner.records")
            return forgotten

    async def _forget(self, keep: Retention) -> int:
        forgotten = 0
        if keep.age is not None:
            while some := (await self._forget_some(_OLD, time.time() - keep.age, _SLICE))[0]:
                forgotten += some
        ((count, size),) = await self._database.ask(_SIZE)
        size += count * _ROW
        while True:
            surplus = 0 if keep.count is None else count - keep.count
            if keep.bytes is not None and size > keep.bytes:
                surplus = max(surplus, min(_SLICE, 1 + (size - keep.bytes) * count // size))
            if surplus <= 0:
                return forgotten
            some, freed = await self._forget_some(
                _OLDEST, time.time() - _KNOWN, min(surplus, _SLICE)
            )
            if not some:
                return forgotten
            forgotten, count, size = forgotten + some, count - some, size - freed - some * _ROW

    async def _forget_some(
        self, which: LiteralString, before: float, limit: int
    ) -> tuple[int, int]:
        """How many were forgotten, and their bytes."""
        query = _FORGET.format(which)
        ((count, size),) = await self._database.ask(query, {"before": before, "limit": limit})
        return count, size


def _seen(row: tuple[Any, ...]) -> Seen:
    seen = Seen(*row)
    told: Any = None if row[14] is None else jsontext.parse(row[14])
    return seen._replace(error=told)
