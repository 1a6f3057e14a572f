"""The SQL of what is told of executions, and of forgetting it: functions of a connection."""

from collections.abc import Sequence
from itertools import chain
from sqlite3 import Connection
from typing import Any, Final

from runner import jsontext
from runner.store import rows
from runner.store.base import OLD_TICKS, Retention, Seen, Story

#: Seconds that the ids of accepted executions are known, while others can be forgotten.
_KNOWN: Final = 86_400.0

#: How many executions are forgotten in one transaction.
_SLICE: Final = 50

# --- telling ------------------------------------------------------------------------------------


def write(connection: Connection, stories: Sequence[Story]) -> None:
    """Insert *stories*, or add them to what is told already."""
    for some in rows.portions(stories):
        columns = chain.from_iterable(_columns(seen) for seen, _ in some)
        connection.execute(_WRITE[len(some)], tuple(columns))
    for some in rows.portions([each for each in stories if each.records]):
        lines = chain.from_iterable((seen.id, records.decode()) for seen, records in some)
        connection.execute(_ADD_RECORDS[len(some)], tuple(lines))


def _columns(seen: Seen) -> tuple[object, ...]:
    if seen.error is None:
        return seen[:17]
    return (*seen[:14], jsontext.write(seen.error).decode(), seen.steps, seen.bytes)


_WRITE: Final = rows.statements(
    """
    INSERT INTO execution
        (id, flow, flow_id, digest, revision, generation, trigger, parent_id, durable, status,
         accepted, started, finished, duration_ms, error, steps, bytes)
    VALUES {}
    ON CONFLICT (id) DO UPDATE SET
        status = iif(durable OR excluded.finished IS NULL, status, excluded.status),
        finished = iif(durable OR excluded.finished IS NULL, finished, excluded.finished),
        started = coalesce(started, excluded.started),
        duration_ms = coalesce(excluded.duration_ms, duration_ms),
        error = coalesce(excluded.error, error),
        steps = steps + excluded.steps,
        bytes = bytes + excluded.bytes
    """,
    "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
)
# One that has 4 MiB of records gets no more.
_ADD_RECORDS: Final = rows.statements(
    """
    WITH told (id, said) AS (VALUES {})
    INSERT INTO record (number, lines)
    SELECT number, said FROM told CROSS JOIN execution USING (id) WHERE true
    ON CONFLICT DO UPDATE SET lines = lines || excluded.lines WHERE length(lines) < 4194304
    """,
    "(?, ?)",
)

# --- asking -------------------------------------------------------------------------------------

_SEEN: Final = """
    SELECT id, flow, flow_id, digest, revision, generation, trigger, parent_id, durable, status,
           accepted, started, finished, duration_ms, error, steps, bytes, number
    FROM execution
"""
_FIND: Final = _SEEN + "WHERE id = ?"
_LIST: Final = _SEEN + "WHERE number < ? ORDER BY number DESC LIMIT ?"


def find(connection: Connection, id_: str) -> Seen | None:
    """The execution with this id."""
    row = connection.execute(_FIND, (id_,)).fetchone()
    return None if row is None else _seen(row)


def executions(connection: Connection, limit: int, before: int | None) -> list[Seen]:
    """The newest first."""
    found = connection.execute(_LIST, (1 << 62 if before is None else before, limit))
    return [_seen(row) for row in found]


def records(connection: Connection, id_: str) -> bytes:
    """The records of the execution with this id."""
    find = "SELECT lines FROM record JOIN execution USING (number) WHERE id = ?"
    row = connection.execute(find, (id_,)).fetchone()
    return b"" if row is None else row[0].encode()


def _seen(row: tuple[Any, ...]) -> Seen:
    durable, error = row[8], row[14]
    told: Any = None if error is None else jsontext.parse(error)
    return Seen(*row)._replace(durable=bool(durable), error=told)


# --- forgetting ---------------------------------------------------------------------------------


def forget(connection: Connection, keep: Retention, now: float) -> int:
    """Forget some of what is beyond *keep*, and say how many that were; 0: nothing is."""
    numbers = _beyond(connection, keep, now)
    connection.executemany("DELETE FROM execution WHERE number = ?", numbers)
    return len(numbers)


def _beyond(connection: Connection, keep: Retention, now: float) -> list[tuple[int]]:
    if keep.age is not None:
        old = connection.execute(_OLD, (now - keep.age, _SLICE)).fetchall()
        if old:
            return old
    if keep.count is not None:
        surplus = _number(connection, _ENDED) - keep.count
        if surplus > 0:
            return _oldest(connection, min(surplus, _SLICE), now)
    if keep.bytes is not None and _used(connection) > keep.bytes:
        return _oldest(connection, _SLICE, now)
    return []


def _oldest(connection: Connection, limit: int, now: float) -> list[tuple[int]]:
    """Those that ended first; of the durable ones those of the last day only if there are none."""
    found = connection.execute(_OLDEST, {"limit": limit, "known": now - _KNOWN}).fetchall()
    return found or connection.execute(_OLDEST, {"limit": limit, "known": now + 1}).fetchall()


def _used(connection: Connection) -> int:
    pages = _number(connection, "PRAGMA page_count") - _number(connection, "PRAGMA freelist_count")
    return pages * _number(connection, "PRAGMA page_size")


def _number(connection: Connection, query: str) -> int:
    (number,) = connection.execute(query).fetchone()
    return int(number)


_ENDED: Final = "SELECT count(*) FROM execution WHERE finished IS NOT NULL"
_OLD: Final = """
    SELECT number FROM execution WHERE durable IN (0, 1) AND finished < ? ORDER BY finished LIMIT ?
"""
_OLDEST: Final = """
    SELECT number FROM (
        SELECT * FROM (
            SELECT number, finished FROM execution
            WHERE durable = 0 AND finished IS NOT NULL ORDER BY finished LIMIT :limit
        ) UNION ALL SELECT * FROM (
            SELECT number, finished FROM execution
            WHERE durable = 1 AND finished < :known ORDER BY finished LIMIT :limit
        )
    ) ORDER BY finished LIMIT :limit
"""


def tidy(connection: Connection, now: float) -> None:
    """
    Forget the texts that nothing pins any more, and schedules that are long gone; end what its
    parent has left behind.
    """
    connection.execute(_LEFT, (now,))
    connection.execute(_UNPINNED)
    connection.execute(_UNUSED)
    connection.execute("DELETE FROM tick WHERE until < ?", (now - OLD_TICKS,))


_LEFT: Final = """
    UPDATE execution AS child SET status = 'interrupted', finished = ?
    WHERE durable = 0 AND finished IS NULL AND NOT EXISTS (
        SELECT 1 FROM execution WHERE id = child.parent_id AND finished IS NULL
    )
"""
_UNPINNED: Final = """
    DELETE FROM pins WHERE number NOT IN (SELECT pins FROM execution WHERE needs IS NOT NULL)
"""
_UNUSED: Final = """
    DELETE FROM text WHERE NOT EXISTS (
        SELECT 1 FROM pins, json_each(pins.digests) AS pin
        WHERE pin.key = text.key AND pin.value = text.digest
    )
"""


def give_back(connection: Connection) -> bool:
    """Take some free pages out of the file; False: there are no more."""
    before = _number(connection, "PRAGMA freelist_count")
    connection.execute(_GIVE_BACK).fetchall()
    return 0 < _number(connection, "PRAGMA freelist_count") < before


_GIVE_BACK: Final = "PRAGMA incremental_vacuum(1000)"


def shrink(connection: Connection) -> None:
    """Give what is free back to the disk. Not for a transaction."""
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
