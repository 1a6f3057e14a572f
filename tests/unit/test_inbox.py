"""What users were told: kept over restarts, bounded, each once."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from runner import inbox
from runner.errors import Draining, Unavailable
from runner.inbox import Inbox, Notification

ANN, BOB = "00000000-0000-4000-a000-0000000000e1", "00000000-0000-4000-a000-0000000000e2"


def note(recipient: str = ANN, key: str = "k", subject: str = "S") -> Notification:
    """A small one."""
    return Notification(recipient, None, subject, None, None, None, key)


@asynccontextmanager
async def opened(folder: Path | None) -> AsyncIterator[Inbox]:
    """An inbox, closed at the end."""
    made = Inbox(folder)
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture(params=["file", "memory"])
async def box(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Inbox]:
    """An inbox of either kind."""
    async with opened(tmp_path / "state" if request.param == "file" else None) as made:
        yield made


async def test_what_somebody_was_told_can_be_read(box: Inbox) -> None:
    """With Directus' names, the oldest first, and nobody else's."""
    told = Notification(ANN, BOB, "S", "M", "orders", "5", "a")

    ids = await box.add([told, note(BOB, "b"), note(ANN, "c", "later")])

    first, second = await box.of(ANN)
    time = first.pop("timestamp")
    assert ids == [1, 2, 3]
    assert first == {
        "id": 1, "status": "inbox", "recipient": ANN, "sender": BOB, "subject": "S",
        "message": "M", "collection": "orders", "item": "5",
    }  # fmt: skip
    assert len(str(time)) == len("2026-01-31T12:00:00.000Z")
    assert (second["id"], second["subject"]) == (3, "later")
    assert [each["id"] for each in await box.of(BOB)] == [2]
    assert await box.of("somebody else") == []


async def test_nothing_is_told_twice(box: Inbox) -> None:
    """A key that is there already has the id that it had."""
    first = await box.add([note(key="a"), note(key="b")])

    again = await box.add([note(key="b", subject="other"), note(key="a"), note(key="c")])

    assert (first, again[:2]) == ([1, 2], [2, 1])
    assert again[2] > 2
    assert [each["subject"] for each in await box.of(ANN)] == ["S", "S", "S"]


async def test_an_inbox_is_bounded(box: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go; ids never come back; others' stay."""
    monkeypatch.setattr(inbox, "KEPT", 3)
    await box.add([note(BOB, "bob")])
    for number in range(5):
        await box.add([note(ANN, f"{number}a"), note(ANN, f"{number}b")])

    assert [each["id"] for each in await box.of(ANN)] == [9, 10, 11]
    assert len(await box.of(BOB)) == 1
    assert await box.add([note(ANN, "more")]) == [12]


async def test_many_at_once_are_all_kept(box: Inbox) -> None:
    """Each has an id of its own."""
    ids = await asyncio.gather(*(box.add([note(key=str(number))]) for number in range(100)))

    assert sorted(id_ for (id_,) in ids) == list(range(1, 101))


async def test_a_file_outlives_the_process(tmp_path: Path) -> None:
    """And several of them may write to it."""
    async with opened(tmp_path) as first, opened(tmp_path) as second:
        await first.add([note(key="a")])
        await second.add([note(key="b")])
        assert len(await first.of(ANN)) == 2

    async with opened(tmp_path) as third:
        assert [each["id"] for each in await third.of(ANN)] == [1, 2]


async def test_nobody_else_reads_the_file(tmp_path: Path) -> None:
    """Whatever the umask: the folder and all files are the owner's."""
    before = os.umask(0)
    try:
        async with opened(tmp_path / "a/state") as box:
            await box.add([note()])
            files = sorted((tmp_path / "a/state").iterdir())
            modes = {stat.S_IMODE(file.stat().st_mode) for file in files}
    finally:
        os.umask(before)

    assert [file.name for file in files] == ["inbox.db", "inbox.db-shm", "inbox.db-wal"]
    assert modes == {0o600}
    assert stat.S_IMODE((tmp_path / "a/state").stat().st_mode) == 0o700


async def test_nothing_is_opened_before_it_is_needed(tmp_path: Path) -> None:
    """A daemon that notifies nobody has no such file."""
    async with opened(tmp_path):
        pass

    assert list(tmp_path.iterdir()) == []


async def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    """In a sentence, each time, until it can."""
    (tmp_path / "state").write_text("a file")
    async with opened(tmp_path / "state") as box:
        for _ in range(2):
            with pytest.raises(Unavailable, match=r"the inbox cannot be used: .*File exists"):
                await box.add([note()])

        (tmp_path / "state").unlink()

        assert await box.add([note()]) == [1]


@pytest.mark.parametrize("content", [b"no database" * 100, b"\0" * 100])
async def test_a_damaged_file_is_told(tmp_path: Path, content: bytes) -> None:
    """Nobody knows what was in it, so it is left as it is."""
    (tmp_path / "inbox.db").write_bytes(content)

    async with opened(tmp_path) as box:
        with pytest.raises(Unavailable, match="not a database"):
            await box.of(ANN)

    assert (tmp_path / "inbox.db").read_bytes() == content


async def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Who may write to the folder does not choose what else is written."""
    (tmp_path / "inbox.db").symlink_to(tmp_path / "other.db")

    async with opened(tmp_path) as box:
        with pytest.raises(Unavailable):
            await box.add([note()])

    assert not (tmp_path / "other.db").exists()


async def test_after_the_end_there_is_no_inbox() -> None:
    """Whoever still asks is told that the runner is stopping."""
    async with opened(None) as box:
        await box.add([note()])

    with pytest.raises(Draining):
        await box.of(ANN)
