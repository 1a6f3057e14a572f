"""
Notifications of users, the newest of each, in one SQLite file of the state folder.

Without a state folder they are kept in memory, as long as the process lives. Nothing is opened
before somebody is told something, or asks.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from runner.errors import Draining, Unavailable
from runner.operators import iso
from runner.resources import Resource
from runner.settings import Settings
from runner.types import JSONObject

T = TypeVar("T")

#: A sqlite3.Connection: the module is loaded with the first notification.
_Connection: TypeAlias = Any

KEPT: Final = 1000
"""How many notifications a user has at most; an older one goes when one more comes."""

# AUTOINCREMENT: an id that is gone never comes back for another notification.
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS notifications (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    timestamp TEXT NOT NULL,
    status TEXT NOT NULL,
    recipient TEXT NOT NULL,
    sender TEXT,
    subject TEXT NOT NULL,
    message TEXT,
    collection TEXT,
    item TEXT
);
CREATE INDEX IF NOT EXISTS by_recipient ON notifications (recipient, id);
"""
# A key that is there already: the same notification, told once more.
_INSERT: Final = """
INSERT INTO notifications
    (timestamp, status, recipient, sender, subject, message, collection, item, key)
VALUES (?, 'inbox', ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET key = excluded.key
RETURNING id
"""
_TRIM: Final = """
DELETE FROM notifications WHERE recipient = ?1 AND id <= (
    SELECT id FROM notifications WHERE recipient = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2
)
"""
_SELECT: Final = """
SELECT id, timestamp, status, recipient, sender, subject, message, collection, item
FROM notifications WHERE recipient = ? ORDER BY id
"""


class Notification(NamedTuple):
    """What somebody is told."""

    #: Whose inbox it goes to: a UUID, lower-case.
    recipient: str
    #: On whose behalf: a UUID.
    sender: str | None
    subject: str
    message: str | None
    #: What it is about.
    collection: str | None
    item: str | None
    #: The same for every try to tell this; nothing else has it.
    key: str


class Inbox:
    """The notifications of all users; *folder* None keeps them in memory."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        # SQLite waits for disks: beside the loop, and in one thread, so that nobody has to lock.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inbox")
        self._connection: _Connection = None

    async def add(self, notifications: Sequence[Notification]) -> list[int]:
        """
        Keep *notifications*, all or none, and give their ids.

        One whose key is there already is not kept twice. Raises Unavailable.
        """

        def adding(connection: _Connection) -> list[int]:
            now = iso(datetime.now(UTC))
            with connection:
                made = [connection.execute(_INSERT, (now, *each)).fetchall() for each in wanted]
                for recipient in {each.recipient for each in wanted}:
                    connection.execute(_TRIM, (recipient, KEPT))
            return [id_ for [(id_,)] in made]

        wanted = list(notifications)
        return await self._run(adding)

    async def of(self, user: str) -> list[JSONObject]:
        """What *user* has been told, the oldest first, with Directus' names. Raises Unavailable."""

        def selecting(connection: _Connection) -> list[JSONObject]:
            found = connection.execute(_SELECT, (user,))
            names = [column[0] for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found]

        return await self._run(selecting)

    async def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            await self._run(lambda connection: connection.close())
            self._connection = None
        self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[[_Connection], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            working = loop.run_in_executor(self._thread, self._work, work)
        except RuntimeError:  # it is closed
            raise Draining from None
        return await working

    def _work(self, work: Callable[[_Connection], T]) -> T:
        import sqlite3  # noqa: PLC0415 - most processes notify nobody

        try:
            if self._connection is None:
                self._connection = _connect(self._folder)
            return work(self._connection)
        except (sqlite3.Error, OSError) as error:
            raise Unavailable(f"the inbox cannot be used: {error}") from None


def _connect(folder: Path | None) -> _Connection:
    import sqlite3  # noqa: PLC0415 - as above

    name = ":memory:" if folder is None else str(_file(folder))
    connection = sqlite3.connect(name, timeout=5.0, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.executescript(_TABLE)
    return connection


def _file(folder: Path) -> Path:
    """The file, for its owner alone: SQLite gives what it puts beside it the same mode."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / "inbox.db"
    os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    return file


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Inbox]:
    inbox = Inbox(settings.folder)
    try:
        yield inbox
    finally:
        await inbox.close()


INBOX: Final = Resource(open=_opened)
"""The notifications of all users."""
