"""
Lines: only so many executions of a flow at once, over all replicas.

One that stands in a line has no workflow of DBOS until it has its *turn*, which it keeps until it
has ended. Whoever ends one gives its turn to the next, and enqueues that, in the same transaction:
a turn is always somebody's, whose work is taken over when its process dies, or free. So nothing
has to look for lines that stand still.

Whoever is about to count, or to change, who stands in a line holds its lock, and takes that before
any row of it.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final, LiteralString

from psycopg import AsyncConnection, AsyncCursor

from runner.errors import Conflict, RunnerError, Unavailable
from runner.store.base import Line, Seen
from runner.store.pg_accept import GIVEN, Offer, offered
from runner.store.pg_connect import Database
from runner.store.pg_queue import ENQUEUE

_Cursor = AsyncCursor[tuple[Any, ...]]

# In one order, so that two who need several of them do not wait for each other.
_LOCK: Final[LiteralString] = """
select pg_advisory_xact_lock(lock) from (
    select distinct hashtextextended(name, 0) as lock from unnest(%s::text[]) as names (name)
    order by lock
) as locks
"""

# Nobody passes one that stands before him, though he might have room: widths change with the flow.
# More than so many never become free at once that none of them is left to give a turn later.
_GIVE: Final[LiteralString] = """
with segments as (
    update runner.executions set turn = true
    where id in (
        select waiting.id
        from unnest(%s::text[]) as lines (name),
        lateral (
            select count(*) as number from runner.executions
            where line = name and turn and needs is not null
        ) as having_turn,
        lateral (
            select id, min(width) over places as width, row_number() over places as place
            from runner.executions
            where line = name and not turn and needs is not null
            window places as (order by number)
            order by number limit 256
        ) as waiting
        where having_turn.number + place <= waiting.width
    )
    returning id, segment, due
)
"""
_TURNS: Final[LiteralString] = _GIVE + ENQUEUE

# --- those that come ----------------------------------------------------------------------------

CANCEL: Final[LiteralString] = """
, ended as (
    update runner.executions under_way
    set status = 'cancelled', finished = %(now)s, needs = null, trigger_data = null,
        pins = null
    from found where under_way.id = found.id and found.owner is null
    returning found.id
), asked as (
    update runner.executions under_way set cancelled = true
    from found where under_way.id = found.id and found.owner is not null
), forgotten as (
    delete from runner.steps using ended where execution = ended.id
)
"""
"""The middle of a statement which has `found (id, owner)`: those are cancelled."""

_OLDER: Final[LiteralString] = """
with found as (
    select id, flow, flow_id, digest, revision, generation, trigger, parent_id, durable,
        'cancelled', accepted, started, owner
    from runner.executions
    where line = %(line)s and needs is not null
        and not exists (select from runner.executions where id = %(id)s)
    order by id for update
)
"""
_ENDED: Final[LiteralString] = "select * from found where owner is null"
_REPLACE: Final[LiteralString] = _OLDER + CANCEL + _ENDED

# What comes twice is known, however full its line is.
_GET_IN: Final[LiteralString] = """
, its as (
    select %s::text as name, %s::integer as places, %s::boolean as refuses
), met as (
    select its.*, refuses
        and not exists (select from runner.executions join given using (id))
        and (
            select count(*) >= places from (
                select from runner.executions
                where line = name and needs is not null limit places
            ) as under_way
        ) as refused
    from its
), standing as (
    insert into runner.executions (
        id, flow, flow_id, digest, revision, generation, trigger, parent_id, due, accepted,
        needs, trigger_data, pins, durable, status, line, width, turn
    )
    select given.*, true, 'queued', name, places, false from given, met where not refused
    on conflict (id) do nothing
    returning id
)
select refused, exists (select from standing) from met
"""
_STAND: Final[LiteralString] = GIVEN + _GET_IN


class Lines:
    """Keeps what stands in a line; *replaced* is told of each that a newer one has ended."""

    def __init__(self, database: Database, replaced: Callable[[Seen], None]) -> None:
        self._database = database
        self._replaced = replaced

    async def keep(self, batch: Sequence[Offer]) -> list[bool | RunnerError]:
        """What came of each of *batch*, in the order in which they came."""
        lines = [(offer, offer.execution.line) for offer in batch]
        standing = [(offer, line) for offer, line in lines if line is not None]
        async with self._database.transaction() as connection, connection.pipeline():
            names = [line.name for _, line in standing]
            await connection.execute(_LOCK, [names])
            cursors = [await _stand(connection, offer, line) for offer, line in standing]
            await connection.execute(_TURNS, [names])
        outcomes: list[bool | RunnerError] = []
        for (_, line), (older, stands) in zip(standing, cursors, strict=True):
            for row in [] if older is None else await older.fetchall():
                self._replaced(Seen(*row[:-1]))
            ((refused, new),) = await stands.fetchall()
            outcomes.append(_refusal(line) if refused else new)
        return outcomes


async def _stand(
    connection: AsyncConnection, offer: Offer, line: Line
) -> tuple[_Cursor | None, _Cursor]:
    """Those that *offer* has ended, and what came of it."""
    older, now = None, time.time()
    if line.mode == "restart":
        parameters = {"line": line.name, "id": offer.execution.id, "now": now}
        older = await connection.execute(_REPLACE, parameters)
    refuses = line.mode in ("single", "parallel")
    given = [[column] for column in offered(offer, now)]
    stands = await connection.execute(_STAND, [*given, line.name, line.width, refuses])
    return older, stands


def _refusal(line: Line) -> RunnerError:
    if line.mode == "single":
        return Conflict()
    return Unavailable("This flow runs as often as it may; try again later.")


# --- those that leave ---------------------------------------------------------------------------


async def leave(
    database: Database,
    line: str | None,
    query: LiteralString,
    parameters: Sequence[object] | dict[str, object],
) -> list[tuple[Any, ...]]:
    """
    The rows that *query* gives, which ends an execution in *line*: the next one has its turn.

    None: it stands in no line.
    """
    if line is None:
        return await database.ask(query, parameters)
    async with database.transaction() as connection, connection.pipeline():
        await connection.execute(_LOCK, [[line]])
        cursor = await connection.execute(query, parameters)
        await connection.execute(_TURNS, [[line]])
    return await cursor.fetchall() if cursor.description else []
