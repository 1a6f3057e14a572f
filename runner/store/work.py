"""
The SQL of what is under way: functions of a connection, for the thread that writes.

Whatever the loop can do beforehand it does: rows are made there.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from sqlite3 import Connection
from typing import Any, Final, NamedTuple

from runner import jsontext
from runner.errors import Lost
from runner.model import Status
from runner.store import rows
from runner.store.base import FlowText, Step, Tick
from runner.store.rows import Row, StepRow
from runner.store.serving import Claim, Claims

# --- acceptance ---------------------------------------------------------------------------------


class New(NamedTuple):
    """An execution that is to be inserted."""

    row: Row
    texts: Sequence[FlowText]
    now: float
    #: It runs as soon as it is inserted.
    running: bool
    #: The number of its pins, where that is known.
    pins: int | None


class Kept(NamedTuple):
    """An execution that was inserted."""

    number: int
    #: The number of its pins.
    pins: int


def accept(connection: Connection, executions: Sequence[New]) -> list[Kept | None]:
    """Insert *executions*; None: the id of that one is known."""
    return [kept for some in rows.portions(executions) for kept in _insert(connection, some)]


def _insert(connection: Connection, some: Sequence[New]) -> list[Kept | None]:
    pins = [
        _pin(connection, each.row.pins, each.texts) if each.pins is None else each.pins
        for each in some
    ]
    columns = chain.from_iterable(map(_columns, some, pins))
    done = connection.execute(_ACCEPT[len(some)], tuple(columns))
    last = 0 if done.lastrowid is None or done.rowcount < 1 else done.lastrowid
    first = last - max(done.rowcount, 0) + 1  # their numbers follow each other
    if done.rowcount == len(some):
        return [*map(Kept, range(first, last + 1), pins)]
    found = connection.execute(_ACCEPTED, (first, last)).fetchall() if last else []
    numbers: dict[str, int] = dict(found)
    taken = [numbers.pop(str(each.row.seen[0]), None) for each in some]
    return [
        None if number is None else Kept(number, pin)
        for number, pin in zip(taken, pins, strict=True)
    ]


def _columns(each: New, pins: int) -> tuple[object, ...]:
    row, now = each.row, each.now
    how = ("running", now, now, None) if each.running else ("queued", now, None, row.due)
    return (*row.seen, *how, row.due, pins, row.needs)


def _pin(connection: Connection, pins: str, texts: Sequence[FlowText]) -> int:
    found = connection.execute("SELECT number FROM pins WHERE digests = ?", (pins,)).fetchone()
    if found is not None:
        return int(found[0])
    connection.executemany(_ADD_TEXT, [(t.key, t.digest, t.path, t.content) for t in texts])
    added = connection.execute(_ADD_PINS, (pins,)).lastrowid
    return int(added or 0)


_ACCEPT: Final = rows.statements(
    """
    INSERT INTO execution
        (id, flow, flow_id, digest, revision, generation, trigger, parent_id, durable,
         status, accepted, started, wake, due, takeovers, cancelled, pins, needs)
    VALUES {}
    ON CONFLICT (id) DO NOTHING
    """,
    "(?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, 0, 0, ?, ?)",
)
_ACCEPTED: Final = "SELECT id, number FROM execution WHERE number BETWEEN ? AND ?"
_ADD_PINS: Final = "INSERT INTO pins (digests) VALUES (?)"
_ADD_TEXT: Final = """
    INSERT INTO text (key, digest, path, content) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING
"""

# --- running ------------------------------------------------------------------------------------


def take_over(connection: Connection) -> None:
    """Whatever ran when the process before us ended has to run again."""
    connection.execute(_TAKE_OVER)


def release(connection: Connection) -> None:
    """Whatever runs goes back into the queue."""
    connection.execute(_RELEASE)


_TAKE_OVER: Final = """
    UPDATE execution SET status = 'queued', wake = due, takeovers = takeovers + 1
    WHERE needs IS NOT NULL AND wake IS NULL
"""
_RELEASE: Final = """
    UPDATE execution SET status = 'queued', wake = due WHERE needs IS NOT NULL AND wake IS NULL
"""


def claim(connection: Connection, now: float, limit: int) -> Claims:
    """Have those run that are due at *now*."""
    due = connection.execute(_DUE, (now, limit)).fetchall()
    connection.executemany(_RUN, [(now, each[0]) for each in due])
    (next_,) = connection.execute(_NEXT).fetchone()
    return Claims([_claim(each) for each in due], math.inf if next_ is None else next_)


def _claim(row: tuple[Any, ...]) -> Claim:
    number, takeovers, cancelled, walked, due, pins, needs, *seen = row
    accepted = rows.accepted(Row(tuple(seen), due, pins, needs))
    return Claim(number, accepted, takeovers, bool(cancelled), fresh=not walked)


_DUE: Final = """
    SELECT execution.number, takeovers, cancelled,
           EXISTS (SELECT 1 FROM step WHERE step.number = execution.number),
           due, digests, needs,
           id, flow, flow_id, digest, revision, generation, trigger, parent_id
    FROM execution JOIN pins ON pins.number = execution.pins
    WHERE needs IS NOT NULL AND wake <= ?
    ORDER BY wake, execution.number LIMIT ?
"""
_RUN: Final = """
    UPDATE execution SET status = 'running', wake = NULL, started = coalesce(started, ?)
    WHERE number = ?
"""
_NEXT: Final = "SELECT min(wake) FROM execution WHERE needs IS NOT NULL"


def wait(connection: Connection, number: int, at: float) -> float:
    """Have it wait; what somebody wants to end wakes at once."""
    row = connection.execute(_WAIT, (at, number)).fetchone()
    return math.inf if row is None else float(row[0])


_WAIT: Final = """
    UPDATE execution SET status = 'waiting', wake = CASE cancelled WHEN 1 THEN 0 ELSE ? END
    WHERE number = ? AND needs IS NOT NULL RETURNING wake
"""


class Ended(NamedTuple):
    """How an execution ended, and when; *reason* is JSON."""

    number: int
    status: Status
    now: float
    reason: str | None = None


def finish(connection: Connection, executions: Sequence[Ended]) -> list[None]:
    """They have ended: their journals and all that they needed are deleted."""
    ended = jsontext.write([[*each] for each in executions]).decode()
    connection.execute(_FINISH, (ended,))
    connection.execute(_FORGET_STEPS, (ended,))
    return [None] * len(executions)


_FINISH: Final = """
    UPDATE execution SET
        status = ended.value ->> 1, finished = ended.value ->> 2,
        error = coalesce(ended.value ->> 3, error),
        due = NULL, wake = NULL, takeovers = NULL, cancelled = NULL, pins = NULL, needs = NULL
    FROM json_each(?) AS ended
    WHERE execution.number = ended.value ->> 0 AND needs IS NOT NULL
"""
_FORGET_STEPS: Final = """
    DELETE FROM step WHERE number IN (SELECT value ->> 0 FROM json_each(?))
"""


def cancel(connection: Connection, id_: str, now: float) -> bool:
    """End it, or note that it is to end; False: it is not under way."""
    row = connection.execute(_UNDER_WAY, (id_,)).fetchone()
    if row is None:
        return False
    number, status = row
    if status == "running":
        connection.execute("UPDATE execution SET cancelled = 1 WHERE number = ?", (number,))
    else:
        finish(connection, [Ended(number, Status.CANCELLED, now)])
    return True


_UNDER_WAY: Final = "SELECT number, status FROM execution WHERE id = ? AND needs IS NOT NULL"

# --- the journal --------------------------------------------------------------------------------


def record(connection: Connection, number: int, step: StepRow) -> None:
    """Add to the journal of what runs. Raises Lost where nothing does."""
    if connection.execute(_RECORD, (*step, number)).rowcount < 1:
        raise Lost


_RECORD: Final = """
    INSERT INTO step (number, path, attempt, kind, value)
    SELECT number, ?, ?, ?, ? FROM execution WHERE number = ? AND status = 'running'
    ON CONFLICT DO UPDATE SET
        attempt = excluded.attempt, kind = excluded.kind, value = excluded.value
"""


def steps(connection: Connection, number: int) -> Mapping[str, Step]:
    """The journal by path."""
    found = connection.execute(_STEPS, (number,))
    return {each[0]: rows.step(StepRow(*each)) for each in found}


_STEPS: Final = "SELECT path, attempt, kind, value FROM step WHERE number = ?"

# --- beside them --------------------------------------------------------------------------------


def texts(connection: Connection, pins: Mapping[str, str]) -> Mapping[str, FlowText]:
    """The texts of *pins* by flow key."""
    find = "SELECT key, path, digest, content FROM text WHERE key = ? AND digest = ?"
    found = (connection.execute(find, pin).fetchone() for pin in pins.items())
    return {row[0]: FlowText(*row) for row in found if row is not None}


def ticks(connection: Connection) -> dict[str, Tick]:
    """How far schedules have got, by flow id."""
    found = connection.execute("SELECT flow_id, timetable, until FROM tick")
    return {flow_id: Tick(timetable, until) for flow_id, timetable, until in found}


def keep_ticks(connection: Connection, ticks: Mapping[str, Tick]) -> None:
    """Keep them; with the same timetable a schedule only moves forward."""
    connection.executemany(_KEEP_TICK, [(flow_id, *tick) for flow_id, tick in ticks.items()])


_KEEP_TICK: Final = """
    INSERT INTO tick (flow_id, timetable, until) VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET timetable = excluded.timetable, until = excluded.until
    WHERE tick.timetable <> excluded.timetable OR tick.until < excluded.until
"""
