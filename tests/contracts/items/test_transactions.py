"""What becomes of a write when its database does not do its part."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from runner.model import Status
from runner.operations import OperationContext
from runner.types import JSONObject, JSONValue
from tests import stored
from tests.postgres import Server
from tests.stored import Stored
from tests.world import World, standing_in_for_sleep

WRITE = b"""
name: Write
trigger: operation
options: {return: $last}
operations:
  - key: it
    type: item-update
    options: {collection: articles, key: 1, payload: {title: changed}, emitEvents: true}
    timeout: 500ms
"""
PATIENT = WRITE.replace(b"    timeout: 500ms\n", b"")
PAUSE = b"""
name: Pause
trigger: event
options: {type: filter, scope: [items.update], collections: [articles]}
operations:
  - {type: item-update, options: {collection: articles, key: 2, payload: {title: inside}}}
  - {type: sleep, options: {milliseconds: 1}}
"""


def titles(database: Stored) -> list[str]:
    """What is committed."""
    return [title for (title,) in database.rows("SELECT title FROM articles ORDER BY id")]


@contextlib.contextmanager
def locked(database: Stored) -> Iterator[None]:
    """Somebody else writes the same item, and takes their time."""
    connection: Any
    if database.kind == "sqlite":
        path = database.url.removeprefix("sqlite:///")
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
    else:
        connection = psycopg.connect(database.url)
    connection.execute("UPDATE articles SET title = 'theirs' WHERE id = 1")
    try:
        yield
    finally:
        connection.rollback()
        connection.close()


async def test_waiting_for_a_lock_ends_when_the_time_is_up(world: World, database: Stored) -> None:
    """Nothing is written later, and the next one finds the database as it should be."""
    await world.load_files({"write.yaml": WRITE, "patient.yaml": PATIENT})
    await world.run("patient")  # by now everything is loaded

    with locked(database):
        late = await world.run("write")
    after = await world.run("write")

    assert late.value["code"] == "TIMED_OUT"  # type: ignore[index, call-overload]
    assert after == (Status.RESOLVED, 1)
    assert titles(database) == ["changed", "Second", "Third"]


@pytest.mark.slow
async def test_a_file_that_somebody_else_writes_for_too_long_is_busy(tmp_path: Path) -> None:
    """SQLite waits five seconds for a lock."""
    with stored.sqlite(tmp_path) as database:
        database.execute(stored.ARTICLES)
        world = World()
        await world.load_files({"write.yaml": PATIENT})
        async with world.opened(database.settings()):
            with locked(database):
                busy = await world.run("write")
            after = await world.run("write")

    assert busy.value["code"] == "DATABASE_BUSY"  # type: ignore[index, call-overload]
    assert after.status is Status.RESOLVED


class Breaker:
    """Stands in for `sleep`: pulls the plug of the server, once."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.pulled = False

    async def __call__(self, options: JSONObject, context: OperationContext) -> JSONValue:
        """Stop the server in the middle of what it does."""
        if not self.pulled:
            self.pulled = True
            await asyncio.to_thread(self._server.stop, "immediate")
        return None


@pytest.fixture
async def restarted(postgres: Server) -> AsyncIterator[Server]:
    """The server, which runs again afterwards."""
    yield postgres
    with contextlib.suppress(AssertionError):  # it runs already
        await asyncio.to_thread(postgres.start)


async def test_a_server_that_goes_away_in_the_middle_commits_nothing(
    restarted: Server, tmp_path: Path
) -> None:
    """The operation rejects and says so; once the server is back, the next one works."""
    breaker = Breaker(restarted)
    world = World(standing_in_for_sleep(breaker))
    await world.load_files({"write.yaml": PATIENT, "pause.yaml": PAUSE})

    with restarted.database(f"test-{uuid4()}") as url:
        database = Stored("postgresql", url, tmp_path)
        database.execute(stored.ARTICLES)
        database.execute("CHECKPOINT")  # the server does not wait for the disk otherwise
        async with world.opened(database.settings()):
            lost = await world.run("write")
            gone = await world.run("write")
            await asyncio.to_thread(restarted.start)
            before = titles(database)
            after = await world.run("write")

        assert breaker.pulled
        assert lost.value["code"] == "DATABASE_UNAVAILABLE"  # type: ignore[index, call-overload]
        assert gone.value["code"] == "DATABASE_UNAVAILABLE"  # type: ignore[index, call-overload]
        assert before == ["First", "Second", "Third"]
        assert after == (Status.RESOLVED, 1)
        assert titles(database) == ["changed", "inside", "Third"]
