"""What ran last is known to all replicas, which need not be equally far."""

import asyncio
import os
import uuid
from collections.abc import Iterator

import psycopg
import pytest

from runner.store.pg_lastgood import LastGoodTable
from runner.store.postgres import PostgresStore
from tests.postgres import Server


@pytest.fixture(scope="module")
def database(postgres: Server) -> Iterator[str]:
    """A database that has all tables."""
    with postgres.database(f"lastgood_{uuid.uuid4().hex}") as url:
        asyncio.run(_open(url))
        yield url


async def _open(url: str) -> None:
    async with PostgresStore(url):
        pass


@pytest.fixture
def url(database: str) -> str:
    """Nothing is kept there."""
    with psycopg.connect(database) as connection:
        connection.execute("truncate runner.last_good")
    return database


def versions(url: str) -> dict[str, int]:
    """By path: which transaction wrote the row."""
    with psycopg.connect(url) as connection:
        rows = connection.execute("select path, xmin::text from runner.last_good")
        return {os.fsdecode(path): int(xmin) for path, xmin in rows}


def test_what_one_replica_remembers_another_recalls(url: str) -> None:
    """Whatever bytes its path is made of."""
    strange = os.fsdecode(b"caf\xe9.yaml")
    good = {"b/c.yaml": b"C\0", "a.yaml": b"A", strange: b"S"}
    LastGoodTable(url).remember(good, good)

    other = LastGoodTable(url)

    assert other.recall(["b/c.yaml", strange, "never.yaml"]) == {"b/c.yaml": b"C\0", strange: b"S"}
    assert list(other.recall_all()) == ["a.yaml", "b/c.yaml", strange]
    assert other.complaints() == []


def test_only_what_changed_is_written(url: str) -> None:
    """A text that is kept already is left as it is, by the next replica too."""
    one = LastGoodTable(url)
    one.remember({"a.yaml": b"A", "b.yaml": b"B"}, ["a.yaml", "b.yaml"])
    before = versions(url)

    one.remember({"a.yaml": b"A", "b.yaml": b"B2"}, ["a.yaml", "b.yaml"])
    LastGoodTable(url).remember({"a.yaml": b"A", "b.yaml": b"B2"}, ["a.yaml", "b.yaml"])

    after = versions(url)
    assert before["a.yaml"] == after["a.yaml"]
    assert one.recall_all() == {"a.yaml": b"A", "b.yaml": b"B2"}


def test_who_is_behind_takes_nothing_back(url: str) -> None:
    """A replica at an older revision leaves alone what did not change for it, and is no rival."""
    behind, ahead = LastGoodTable(url), LastGoodTable(url)
    for each in (behind, ahead):
        each.remember({"a.yaml": b"A"}, ["a.yaml"])
    ahead.remember({"a.yaml": b"A2", "new.yaml": b"N"}, ["a.yaml", "new.yaml"])
    written = versions(url)

    behind.remember({"a.yaml": b"A"}, ["a.yaml"])
    behind.remember({"a.yaml": b"A", "mine.yaml": b"M"}, ["a.yaml", "mine.yaml"])
    ahead.remember({"a.yaml": b"A2", "new.yaml": b"N"}, ["a.yaml", "new.yaml"])

    after = versions(url)
    assert {path: after[path] for path in written} == written
    assert ahead.recall_all() == {"a.yaml": b"A2", "mine.yaml": b"M", "new.yaml": b"N"}


def test_a_file_that_left_the_tree_is_forgotten(url: str) -> None:
    """While the replica runs, and before it was started; one that is broken now is not."""
    one = LastGoodTable(url)
    one.remember({"a.yaml": b"A", "b.yaml": b"B", "c.yaml": b"C"}, ["a.yaml", "b.yaml", "c.yaml"])

    one.remember({"a.yaml": b"A"}, ["a.yaml", "b.yaml"])
    assert one.recall_all() == {"a.yaml": b"A", "b.yaml": b"B"}
    LastGoodTable(url).remember({}, ["b.yaml"])

    assert one.recall_all() == {"b.yaml": b"B"}


def test_without_postgresql_nothing_raises(url: str) -> None:
    """It is said once, without the password, and works again when that is over."""
    away = LastGoodTable("postgresql://me:s3cret@127.0.0.1:1/runner")

    away.remember({"a.yaml": b"A"}, ["a.yaml"])
    assert away.recall(["a.yaml"]) == {}
    assert away.recall_all() == {}

    (said,) = away.complaints()
    assert said.startswith("the last good flows cannot be kept: connection")
    assert "s3cret" not in said
    assert away.complaints() == []
    assert away.recall([]) == {}


def test_what_could_not_be_kept_is_kept_the_next_time(url: str) -> None:
    """Nothing counts as known before it is committed."""
    one = LastGoodTable(url)
    one.remember({"a.yaml": b"A"}, ["a.yaml"])
    with psycopg.connect(url) as holder:
        holder.execute("lock table runner.last_good")
        one.remember({"a.yaml": b"A2"}, ["a.yaml"])

    (said,) = one.complaints()
    assert "timeout" in said
    one.remember({"a.yaml": b"A2"}, ["a.yaml"])
    assert one.recall_all() == {"a.yaml": b"A2"}
