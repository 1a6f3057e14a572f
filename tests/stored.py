"""Databases for tests of item operations: the same tables on SQLite and on PostgreSQL."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

import psycopg

from runner import settings
from runner.settings import Settings
from runner.types import JSONObject
from tests.postgres import Server

#: What differs in how tables are made.
_WORDS: Final = {
    "sqlite": {"SERIAL": "INTEGER PRIMARY KEY AUTOINCREMENT", "BYTES": "BLOB", "DOUBLE": "DOUBLE"},
    "postgresql": {
        "SERIAL": "SERIAL PRIMARY KEY",
        "BYTES": "BYTEA",
        "DOUBLE": "DOUBLE PRECISION",
        "TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE",
    },
}

EDITOR: Final = "00000000-0000-4000-a000-0000000000e1"

ROLES: Final[JSONObject] = {
    "admin": {"admin": True},
    "editor": {"id": EDITOR, "collections": {"articles": ["read"]}},
    "writer": {"collections": {"articles": ["read", "create", "update", "delete"]}},
}

ARTICLES: Final = """
    CREATE TABLE articles (
        id SERIAL,
        title VARCHAR(255) NOT NULL,
        status VARCHAR(255) DEFAULT 'draft',
        views INTEGER DEFAULT 0,
        tags JSON,
        created TIMESTAMPTZ DEFAULT CURRENT_TIMESTAMP
    );
    INSERT INTO articles (title, status, views, tags, created) VALUES
        ('First', 'published', 10, '["a", "b"]', '2024-01-01 00:00:00Z'),
        ('Second', 'draft', 20, NULL, '2024-02-01 00:00:00Z'),
        ('Third', 'published', 30, '["c"]', '2024-03-01 00:00:00Z');
"""
"""Three articles; the next one gets the key 4."""


class Stored:
    """One database, which nobody else uses; what is done here is committed at once."""

    def __init__(self, kind: str, url: str, folder: Path) -> None:
        #: `sqlite` or `postgresql`.
        self.kind = kind
        self.url = url
        self._folder = folder

    def settings(self, **more: Any) -> Settings:
        """Settings that have it as their `default`."""
        data = {"databases": {"default": {"url": self.url}}, "roles": ROLES, **more}
        file = self._folder / "settings.yaml"
        file.write_text(json.dumps(data))
        return settings.load({}, {}, file)

    def execute(self, script: str) -> None:
        """Run statements; types that differ are in the words of _WORDS."""
        for word, meaning in _WORDS[self.kind].items():
            script = script.replace(word, meaning)
        with self._connected() as connection:
            if self.kind == "sqlite":
                connection.executescript(script)
            else:
                connection.execute(script)

    def insert(self, table: str, rows: list[tuple[Any, ...]]) -> None:
        """Add *rows*, each with a value for every column."""
        if not rows:
            return
        mark = "?" if self.kind == "sqlite" else "%s"
        marks = ", ".join([mark] * len(rows[0]))
        with self._connected() as connection, contextlib.closing(connection.cursor()) as cursor:
            cursor.executemany(f'INSERT INTO "{table}" VALUES ({marks})', rows)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a query finds."""
        with self._connected() as connection:
            return list(connection.execute(query).fetchall())

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Any]:
        if self.kind == "sqlite":
            path = self.url.removeprefix("sqlite:///")
            connection: Any = sqlite3.connect(path, isolation_level=None, timeout=30)
        else:
            connection = psycopg.connect(self.url, autocommit=True)
        with contextlib.closing(connection):
            yield connection


@contextlib.contextmanager
def sqlite(folder: Path) -> Iterator[Stored]:
    """An empty database in a file of *folder*."""
    path = folder / "data.db"
    path.touch()
    yield Stored("sqlite", f"sqlite:///{path}", folder)


@contextlib.contextmanager
def postgresql(server: Server, folder: Path) -> Iterator[Stored]:
    """An empty schema, which is much faster to make than a database, and looks like one."""
    name = f"test-{uuid4()}"
    everywhere = Stored("postgresql", server.url("postgres"), folder)
    everywhere.execute(f'CREATE SCHEMA "{name}"')
    try:
        options = quote(f'-csearch_path="{name}"')
        yield Stored("postgresql", f"{everywhere.url}?options={options}", folder)
    finally:
        everywhere.execute(f'DROP SCHEMA "{name}" CASCADE')
