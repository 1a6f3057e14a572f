"""
The tables of the SQLite store, and how older ones become these.

Each migration is a version; it ends by saying so, in its own transaction. What has been released
is never changed: what comes later is one more at the end.
"""

import sqlite3
from typing import Final

from runner.errors import StoreError

_OURS: Final = 0x72756E6E
"""What SQLite calls the application: `runn`."""

_FIRST: Final = (
    # Executions, accepted or only told of, from their beginning to their end and after.
    """
    CREATE TABLE execution (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        flow TEXT NOT NULL,
        flow_id TEXT NOT NULL,
        digest TEXT NOT NULL,
        revision TEXT NOT NULL,
        generation INTEGER NOT NULL,
        trigger TEXT NOT NULL,
        parent_id TEXT,
        durable INTEGER NOT NULL,
        status TEXT NOT NULL,
        accepted REAL NOT NULL,
        started REAL,
        finished REAL,
        duration_ms REAL,
        error TEXT,
        steps INTEGER NOT NULL DEFAULT 0,
        bytes INTEGER NOT NULL DEFAULT 0,
        -- What follows is needed to run it, and NULL when it has ended.
        due REAL,
        wake REAL,       -- NULL while it runs, too
        takeovers INTEGER,
        cancelled INTEGER,
        pins INTEGER REFERENCES pins,
        needs TEXT
    )
    """,
    "CREATE INDEX execution_live ON execution (wake, number, pins) WHERE needs IS NOT NULL",
    "CREATE INDEX execution_told ON execution (number) WHERE durable = 0 AND finished IS NULL",
    "CREATE INDEX execution_ended ON execution (durable, finished) WHERE finished IS NOT NULL",
    # Digests by flow key, as JSON: executions of one flow in one generation share them.
    "CREATE TABLE pins (number INTEGER PRIMARY KEY, digests TEXT NOT NULL UNIQUE)",
    """
    CREATE TABLE text (
        key TEXT NOT NULL,
        digest TEXT NOT NULL,
        path TEXT NOT NULL,
        content BLOB NOT NULL,
        PRIMARY KEY (key, digest)
    )
    """,
    # The journals of executions that have not ended.
    """
    CREATE TABLE step (
        number INTEGER NOT NULL,
        path TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        kind TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (number, path)
    ) WITHOUT ROWID
    """,
    # The records of executions: lines of JSON, already redacted.
    """
    CREATE TABLE record (
        number INTEGER PRIMARY KEY REFERENCES execution ON DELETE CASCADE,
        lines TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE tick (
        flow_id TEXT PRIMARY KEY,
        timetable TEXT NOT NULL,
        until REAL NOT NULL
    ) WITHOUT ROWID
    """,
    "PRAGMA application_id = 1920298606",
    "PRAGMA user_version = 1",
)

MIGRATIONS: Final = (_FIRST,)
"""From version 0, an empty file, to the one after the last."""


def migrate(connection: sqlite3.Connection, migrations: tuple[tuple[str, ...], ...]) -> None:
    """Take the store to the version that *migrations* lead to. Raises StoreError if it is newer."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection, len(migrations))
        for migration in migrations[version:]:
            for statement in migration:
                connection.execute(statement)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection, known: int) -> int:
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if owner != _OURS and (tables or version or owner):
        raise StoreError("it belongs to another program")
    if version > known:
        raise StoreError(
            f"it is a store of version {version}, and this program knows no later one than"
            f" {known}: run a program that is as new as the one that wrote it"
        )
    return int(version)
