"""Whether the store can be used."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runner.errors import StoreError
from runner.records import Recorder
from runner.redact import Redactor
from runner.store.base import Store
from runner.store.sqlite import SQLiteStore
from runner.troubles import Troubles
from tests.unit.store.places import TEXT, execution
from tests.world import Kept, problem


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """That of the store."""
    return tmp_path / "state"


@pytest.fixture
async def store(folder: Path) -> AsyncIterator[Store]:
    """One in which something is."""
    async with SQLiteStore(folder) as opened:
        await opened.accept(execution(), [TEXT])
        yield opened


@pytest.fixture
async def kept(store: Store) -> AsyncIterator[Kept]:
    """What is recorded of it."""
    made = Kept()
    watching = asyncio.create_task(Troubles(store, Recorder(Redactor(), made), every=0.001).watch())
    yield made
    watching.cancel()


@contextmanager
def elsewhere(file: Path) -> Iterator[None]:
    """*file* is not where it was."""
    away = file.with_name(f"{file.name}.away")
    file.rename(away)
    yield
    away.rename(file)


async def said(kept: Kept, *events: str) -> None:
    """Wait until these, and nothing else, are recorded."""
    async with asyncio.timeout(30):
        while [record["event"] for record in kept.records] != list(events):
            await asyncio.sleep(0.001)


async def test_a_trouble_is_said_once_and_its_end_too(
    folder: Path, store: Store, kept: Kept
) -> None:
    """Whoever reads the records knows since when, why, and until when nothing was accepted."""
    with elsewhere(folder / "store.db"):
        for _ in range(2):
            with pytest.raises(StoreError):
                await store.accept(execution(), [TEXT])
            await said(kept, "store.failed")
    await store.accept(execution(), [TEXT])
    await said(kept, "store.failed", "store.recovered")

    failed = kept.records[0]
    assert failed["severity"] == "ERROR"
    assert failed["error"]["message"] == store_gone(folder)
    assert [problem(record) for record in kept.records] == [None, None]


async def test_another_trouble_is_said_although_the_first_is_not_over(
    folder: Path, store: Store, kept: Kept
) -> None:
    """The remedy is another one."""
    with elsewhere(folder / "store.db-wal"):
        with pytest.raises(StoreError):
            await store.accept(execution(), [TEXT])
        await said(kept, "store.failed")
        with elsewhere(folder / "store.db"), pytest.raises(StoreError):
            await store.accept(execution(), [TEXT])
        await said(kept, "store.failed", "store.failed")


def store_gone(folder: Path) -> str:
    """What is said of one that was deleted."""
    return f"{folder}/store.db was deleted or replaced under the runner: start it again"
