"""
Accept executions many at a time.

Each commit keeps what queued while the last one ran: there is no timer, one that is alone is
committed at once, and under load a commit is shared by hundreds. With our row of an execution
goes the row of DBOS by which it will be run, so that either both are there or neither. What
stands in a line is kept by `pg_lines`: nothing else waits for that.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, LiteralString, NamedTuple, TypeAlias

from runner.errors import RunnerError, StoreError
from runner.store.base import Accepted, FlowText
from runner.store.pg_connect import Database
from runner.store.pg_queue import ENQUEUE
from runner.store.values import pack

_FLUSHERS: Final = 2
"""While one commits, the other gathers; more of them only make smaller batches."""

_MAX_BATCH: Final = 256
_MAX_BATCH_BYTES: Final = 16 << 20
_MAX_QUEUE: Final = 10_000

_KNOWN_FOR: Final = 3600.0
"""Seconds for which a text that was sent is known to be there: less than those of `TEXTS`."""

_MAX_KNOWN: Final = 10_000
_CLOSED: Final = "the store is closed"

_TEXTS: Final[LiteralString] = """
insert into runner.flow_texts (digest, key, path, content)
select * from unnest(%s::text[], %s::text[], %s::text[], %s::bytea[]) as given (digest, key)
order by digest, key
on conflict (digest, key) do update set used = now()
"""

# Binary, as writing lists as text takes three times as long as all the rest together.
GIVEN: Final[LiteralString] = """
with given as (
    select * from unnest(
        %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::integer[], %b::text[],
        %b::text[], %b::double precision[], %b::double precision[], %b::text[], %b::text[],
        %b::text[]::jsonb[]
    ) as given (
        id, flow, flow_id, digest, revision, generation, trigger, parent_id, due, accepted,
        needs, trigger_data, pins
    )
)
"""
"""The beginning of a statement, whose parameters are a list for each column of `offered`."""

# In the order of their ids, as another batch may hold the same ones: whoever is second waits for
# the first, and never the other way around as well.
_INSERT: Final[LiteralString] = """
, segments as (
    insert into runner.executions (
        id, flow, flow_id, digest, revision, generation, trigger, parent_id, due, accepted,
        needs, trigger_data, pins, durable, status
    )
    select *, true, 'queued' from given order by id
    on conflict (id) do nothing
    returning id, segment, due
)
"""
_ACCEPT: Final[LiteralString] = GIVEN + _INSERT + ENQUEUE


class Offer(NamedTuple):
    """An execution that somebody waits to be accepted."""

    execution: Accepted
    texts: Sequence[FlowText]
    #: JSON of the pins, of the trigger data, and of everything else.
    pins: str
    trigger_data: str
    needs: str
    future: asyncio.Future[bool]

    @property
    def size(self) -> int:
        """About its bytes."""
        return len(self.needs) + len(self.trigger_data)


Keep: TypeAlias = Callable[[Sequence[Offer]], Awaitable[Sequence[bool | RunnerError]]]
"""Keeps a batch, and gives what came of each: it is new, it is known, or why it is refused."""


class Acceptance:
    """The way in: `run` serves those who wait in `accept`, by *keep*."""

    def __init__(self, database: Database, keep: Keep | None = None) -> None:
        self._database = database
        self._keep = keep or self._keep_all
        self._offers: deque[Offer] = deque()
        self._news = asyncio.Event()
        self._closed = False
        #: When a text was last sent, by digest and key.
        self._known: dict[tuple[str, str], float] = {}

    async def accept(self, execution: Accepted, texts: Sequence[FlowText]) -> bool:
        """What the port says."""
        if self._closed:
            raise StoreError(_CLOSED)
        if len(self._offers) >= _MAX_QUEUE:
            raise StoreError(f"{_MAX_QUEUE} executions wait for being accepted")
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        pins = pack(dict(execution.pins), "the pins")
        trigger_data = pack(execution.trigger_data, "the trigger data")
        rest = execution._replace(pins={}, trigger_data=None, line=None)._asdict()
        needs = pack({**rest, "credentials": [*execution.credentials]}, "the execution")
        self._offers.append(Offer(execution, texts, pins, trigger_data, needs, future))
        self._news.set()
        return await future

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(_FLUSHERS):
                tasks.create_task(self._flush())

    def close(self) -> None:
        """Who still waits is told that nothing is accepted any more."""
        self._closed = True
        while self._offers:
            _tell(self._offers.popleft(), StoreError(_CLOSED))

    async def _flush(self) -> None:
        while True:
            await self._news.wait()
            batch = self._gather()
            if not self._offers:
                self._news.clear()
            if batch:
                await self._commit(batch)

    def _gather(self) -> list[Offer]:
        batch: list[Offer] = []
        size = 0
        while self._offers and len(batch) < _MAX_BATCH and size < _MAX_BATCH_BYTES:
            batch.append(self._offers.popleft())  # whether its caller still waits or not
            size += batch[-1].size
        return batch

    async def _commit(self, batch: list[Offer]) -> None:
        try:
            await self._send(batch)
            outcomes = await self._keep(batch)
        except StoreError as error:
            for offer in batch:
                _tell(offer, error)
        except Exception as error:  # one of them cannot be kept: the others do not suffer for it
            if len(batch) == 1:
                _tell(batch[0], error)
                return
            for offer in batch:
                await self._commit([offer])
        except BaseException:
            self._offers.extendleft(reversed(batch))  # `close` tells them
            raise
        else:
            for offer, outcome in zip(batch, outcomes, strict=True):
                _tell(offer, outcome)

    async def _keep_all(self, batch: Sequence[Offer]) -> list[bool | RunnerError]:
        now = time.time()
        rows = [offered(offer, now) for offer in batch]
        parameters = list(map(list, zip(*rows, strict=True)))
        taken = {row[0] for row in await self._database.ask(_ACCEPT, parameters)}
        outcomes: list[bool | RunnerError] = []
        for offer in batch:
            outcomes.append(offer.execution.id in taken)
            taken.discard(offer.execution.id)  # a second one in the same batch is a duplicate
        return outcomes

    # --- texts

    async def _send(self, batch: list[Offer]) -> None:
        """Have the texts of *batch* where they are needed."""
        unknown = self._unknown(batch)
        if not unknown:
            return
        texts = zip(*((t.digest, t.key, t.path, t.content) for t in unknown), strict=True)
        await self._database.ask(_TEXTS, list(map(list, texts)))
        if len(self._known) + len(unknown) > _MAX_KNOWN:
            self._known.clear()
        self._known.update(((text.digest, text.key), time.time()) for text in unknown)

    def _unknown(self, batch: list[Offer]) -> list[FlowText]:
        """The texts that PostgreSQL was not told of for an hour."""
        since = time.time() - _KNOWN_FOR
        return list(
            {
                (text.digest, text.key): text
                for offer in batch
                for text in offer.texts
                if self._known.get((text.digest, text.key), 0.0) < since
            }.values()
        )


def offered(offer: Offer, now: float) -> tuple[object, ...]:
    """The columns of *offer*, which is accepted *now*."""
    one = offer.execution
    return (
        *(one.id, one.flow, one.flow_id, one.digest, one.revision, one.generation),
        *(one.trigger, one.parent_id, float(one.due), now),
        *(offer.needs, offer.trigger_data, offer.pins),
    )


def _tell(offer: Offer, outcome: bool | Exception) -> None:
    if offer.future.done():  # nobody waits any more
        return
    if isinstance(outcome, Exception):
        offer.future.set_exception(outcome)
    else:
        offer.future.set_result(outcome)
