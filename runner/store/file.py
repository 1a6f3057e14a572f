"""The file of the SQLite store: opened, watched, and what is wrong with it."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final

from runner.errors import StoreError
from runner.store import migrations, work

_BUSY: Final = 5.0
"""Seconds to wait for somebody who looks into the file with a tool of their own."""

_PRAGMAS: Final = (
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",  # what is deleted is overwritten: journals hold raw values
    "PRAGMA temp_store = MEMORY",
)

_NEEDED: Final = ("execution", "pins", "text", "step")
"""The tables without which nothing that was accepted can run."""

#: How a log of SQLite begins (sqlite.org/fileformat2.html#the_write_ahead_log), and one that was
#: made when the power failed.
_LOG_BEGINS: Final = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83", bytes(4), b"")


class File:
    """
    The file at *path*, and the log beside it.

    Whatever makes them unusable is a StoreError, in a sentence that says what to do. Once they
    have turned out to be damaged, nothing is written to them any more.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = path.with_name(f"{path.name}-wal")
        #: As they were opened.
        self._opened: dict[Path, os.stat_result] = {}
        #: How they are damaged, as far as anybody has noticed.
        self.damage: StoreError | None = None

    # --- open

    @contextmanager
    def opened(self) -> Iterator[tuple[sqlite3.Connection, sqlite3.Connection]]:
        """A connection that writes, to the store as this version has it, and one that reads."""
        with ExitStack() as stack:
            with self.explained():
                # SQLite gives the files beside it the same permissions.
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
                self._check_log()
                writing = stack.enter_context(closing(self._connect()))
                self._prepare(writing)
                reading = stack.enter_context(closing(self._connect()))
                reading.execute("PRAGMA query_only = ON")
                self._opened = {path: path.stat() for path in (self._path, self._log)}
            yield writing, reading

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=_BUSY, isolation_level=None, check_same_thread=False
        )
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        if self._path.stat().st_size == 0:  # it must be known before the first page is written
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        try:
            migrations.migrate(connection, migrations.MIGRATIONS)
        except StoreError as error:
            raise StoreError(f"{self._path} cannot be used: {error.message}") from None
        for table in _NEEDED:  # what was told may be a gigabyte, and keeps nothing from running
            (found, *_) = connection.execute("SELECT * FROM pragma_quick_check(?)", (table,))
            if found != ("ok",):
                raise self._damaged(f"in the table {table}")
        work.take_over(connection)

    def _check_log(self) -> None:
        """SQLite takes a log that it cannot read for an empty one, and says nothing."""
        try:
            with self._log.open("rb") as log:
                begins = log.read(4)
        except FileNotFoundError:
            return
        if begins not in _LOG_BEGINS:
            raise StoreError(
                f"{self._log} is damaged, and with it what was committed last: move it away and"
                f" start again; what is in {self._path.name} goes on"
            )

    # --- watch

    def check(self) -> None:
        """Look whether what is written can be found again: a file that was deleted takes it all."""
        if self.damage is not None:
            raise self.damage
        for path, opened in self._opened.items():
            try:
                there = os.path.samestat(path.stat(), opened)
            except OSError:
                there = False
            if not there:
                raise StoreError(f"{path} was deleted or replaced under the runner: start it again")

    # --- what went wrong

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Have an error of SQLite, or of the system, be a StoreError."""
        try:
            yield
        except sqlite3.Error as error:
            raise self.explain(error) from None
        except OSError as error:
            raise StoreError(f"{self._path} cannot be used: {error.strerror or error}") from None

    def explain(self, error: sqlite3.Error) -> StoreError:
        """What *error* means, and what to do about it. Codes: sqlite.org/rescode.html."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return self._damaged(str(error))
        says = _MEANINGS.get(code, "{file} cannot be used: {error}")
        return StoreError(says.format(file=self._path, folder=self._path.parent, error=error))

    def _damaged(self, how: str) -> StoreError:
        self.damage = StoreError(
            f"{self._path} is damaged ({how}): move it away together with its -wal and -shm files"
            " and start the runner again; what was under way in it does not go on"
        )
        return self.damage


_MEANINGS: Final = {
    sqlite3.SQLITE_FULL: (
        "the disk of {folder} is full: nothing is accepted until there is room again"
    ),
    sqlite3.SQLITE_IOERR: (
        "{file} cannot be read or written ({error}): is the disk of {folder} full or gone?"
    ),
    sqlite3.SQLITE_READONLY: (
        "{file} cannot be written: the runner needs write access to {folder} and all in it"
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "{file} cannot be opened: the runner needs write access to {folder} and all in it"
    ),
    sqlite3.SQLITE_BUSY: (
        "{file} is locked by another program: close what looks into it, and try again"
    ),
}
