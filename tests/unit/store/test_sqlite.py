"""The file: whose it is, what can be wrong with it, and what is left of it after `kill -9`."""

import asyncio
import contextlib
import os
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from runner.errors import StoreError
from runner.store import migrations, work
from runner.store.base import FlowText, Journal, Retention, Store
from runner.store.sqlite import SQLiteStore
from tests.contracts.test_store import story, tell
from tests.unit.store.places import (
    DONE,
    TEXT,
    InFolder,
    ManualClock,
    Walker,
    execution,
    serving,
    status,
    step,
)

ROOT = Path(__file__).parent.parent.parent.parent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A state folder that is not there yet."""
    return tmp_path / "deep" / "state"


async def refusal(folder: Path) -> str:
    """Why the store in *folder* cannot be opened."""
    with pytest.raises(StoreError) as refused:
        async with SQLiteStore(folder):
            pass
    return refused.value.message


# --- whose it is --------------------------------------------------------------------------------


async def test_only_the_owner_can_read_it(folder: Path) -> None:
    """Journals hold raw values."""
    async with SQLiteStore(folder) as store:
        await store.accept(execution(), [TEXT])
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()}

    names = {"store.db", "store.db-wal", "store.db-shm", "store.lock"}
    assert modes == dict.fromkeys(names, 0o600)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_a_folder_serves_one_process_at_a_time(folder: Path) -> None:
    """The second one is told which the first is."""
    async with SQLiteStore(folder):
        message = await refusal(folder)
    async with SQLiteStore(folder):
        pass

    assert message == (
        f"the state folder {folder} is in use by process {os.getpid()}:"
        " a folder serves one runner at a time, so stop that one, or name another folder"
    )


async def test_nothing_of_what_has_ended_is_left_but_its_row(folder: Path) -> None:
    """Its data, its journal and its result may hold secrets."""
    wanted = execution(data="secret-1")
    walker = Walker()
    async with SQLiteStore(folder) as store, serving(store, walker):
        await store.accept(wanted, [TEXT])
        journal = (await walker.next())[1]
        await journal.record(step("first", "secret-2"))
        await store.retain(Retention())
        assert b"secret-1" in (folder / "store.db").read_bytes()
        walker.end(wanted.id, DONE)
        await status(store, wanted.id, "resolved")

    left = b"".join(each.read_bytes() for each in folder.iterdir())
    assert wanted.id.encode() in left
    assert b"secret" not in left


# --- what can be wrong with it ------------------------------------------------------------------


async def test_an_older_program_leaves_a_newer_store_alone(folder: Path) -> None:
    """It could not know what the rest means."""
    async with SQLiteStore(folder):
        pass
    with contextlib.closing(sqlite3.connect(folder / "store.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = (folder / "store.db").read_bytes()

    message = await refusal(folder)

    assert message == (
        f"{folder}/store.db cannot be used: it is a store of version 99, and this program knows"
        " no later one than 1: run a program that is as new as the one that wrote it"
    )
    assert (folder / "store.db").read_bytes() == before


def test_a_store_is_taken_forwards_or_not_at_all(tmp_path: Path) -> None:
    """A migration that fails leaves the version before it."""
    with contextlib.closing(sqlite3.connect(tmp_path / "x", isolation_level=None)) as connection:
        migrations.migrate(connection, migrations.MIGRATIONS)
        second = ("CREATE TABLE more (x)", "PRAGMA user_version = 2")

        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            migrations.migrate(connection, (*migrations.MIGRATIONS, (*second, "DROP TABLE y")))
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        migrations.migrate(connection, (*migrations.MIGRATIONS, second))

        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
        assert connection.execute("SELECT count(*) FROM more").fetchone() == (0,)


async def test_the_file_of_another_program_is_left_alone(folder: Path) -> None:
    """Somebody pointed `--state` at the wrong folder."""
    folder.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(folder / "store.db")) as connection:
        connection.execute("CREATE TABLE execution (x)")

    assert await refusal(folder) == (
        f"{folder}/store.db cannot be used: it belongs to another program"
    )


@pytest.mark.parametrize("beginning", [b"not a database at all" * 99, b"SQLite format 3\0" * 99])
async def test_a_file_that_is_none_of_ours_is_called_damaged(
    folder: Path, beginning: bytes
) -> None:
    """With the way out."""
    folder.mkdir(parents=True)
    (folder / "store.db").write_bytes(beginning)

    message = await refusal(folder)

    assert message.startswith(f"{folder}/store.db is damaged (")
    assert "move it away together with its -wal and -shm files" in message


async def test_damage_that_is_found_later_is_told_then(folder: Path) -> None:
    """The pages behind the first are not read before they are needed."""
    async with SQLiteStore(folder) as store:
        for _ in range(50):
            await store.accept(execution(data="x" * 1000), [TEXT])
    size = (folder / "store.db").stat().st_size
    with (folder / "store.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))

    with pytest.raises(StoreError, match="is damaged"):
        async with SQLiteStore(folder) as store:
            await store.accept(execution(), [TEXT])


async def test_nothing_more_is_written_to_what_is_damaged(folder: Path) -> None:
    """Even where only a reader has met it: more may be wrong than anybody has seen."""
    async with SQLiteStore(folder) as store:
        for _ in range(50):
            await store.accept(wanted := execution(), [TEXT])
        await tell(store, story(InFolder(folder), wanted.id, b"x" * 100_000))
    with contextlib.closing(sqlite3.connect(folder / "store.db")) as connection:
        find = "SELECT rootpage FROM sqlite_master WHERE name = 'record'"
        (page,) = connection.execute(find).fetchone()
    with (folder / "store.db").open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)

    async with SQLiteStore(folder) as store:
        await store.accept(execution(), [TEXT])
        with pytest.raises(StoreError, match="is damaged"):
            await store.records(wanted.id)
        with pytest.raises(StoreError, match="is damaged"):
            await store.accept(execution(), [TEXT])
        assert "move it away" in (store.trouble or "")


async def test_a_log_that_was_never_written_is_no_damage(folder: Path) -> None:
    """As the power leaves it that fails at the wrong moment: nothing was committed in it."""
    async with SQLiteStore(folder) as store:
        await store.accept(wanted := execution(), [TEXT])
    (folder / "store.db-wal").write_bytes(bytes(4096))

    async with SQLiteStore(folder) as store:
        assert await store.find(wanted.id) is not None


async def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A file is in its place."""
    (tmp_path / "state").touch()

    assert await refusal(tmp_path / "state") == (
        f"the state folder {tmp_path}/state cannot be used: File exists;"
        " --state names a folder that can be written, or `none`"
    )


@pytest.fixture
def unprivileged(tmp_path: Path) -> Iterator[None]:
    """Not being root, whom permissions do not stop."""
    if os.geteuid():
        yield
        return
    for each in (tmp_path, *tmp_path.parents[:2]):
        each.chmod(0o755)
    os.seteuid(65534)
    yield
    os.seteuid(0)


@pytest.mark.parametrize("mode", [0o500, 0o000])
async def test_a_folder_that_cannot_be_written_is_told(
    tmp_path: Path, mode: int, unprivileged: None
) -> None:
    """As it is when a volume is mounted read-only."""
    folder = tmp_path / "state"
    with contextlib.suppress(PermissionError):
        folder.mkdir(mode)

    message = await refusal(folder)

    assert message == (
        f"the state folder {folder} cannot be used: Permission denied;"
        " --state names a folder that can be written, or `none`"
    )


async def test_a_folder_that_was_deleted_is_noticed(folder: Path) -> None:
    """Writing would go on, into files that nobody finds again."""
    async with SQLiteStore(folder) as store:
        await store.accept(execution(), [TEXT])
        shutil.rmtree(folder)

        with pytest.raises(StoreError, match="was deleted or replaced under the runner"):
            await store.accept(lost := execution(), [TEXT])

        assert await store.find(lost.id) is None
        assert store.trouble is not None


async def test_who_asks_too_late_is_told(folder: Path) -> None:
    """As a request may that is answered while the daemon stops."""
    async with SQLiteStore(folder) as store:
        pass

    for late in (store.find("x"), store.accept(execution(), [TEXT]), store.cancel("x")):
        with pytest.raises(StoreError, match="the store is closed"):
            await late


# --- a full disk --------------------------------------------------------------------------------


@contextlib.contextmanager
def no_file_grows(size: int) -> Iterator[None]:
    """No file of this process gets larger than *size* bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def fill(store: Store) -> tuple[list[str], str]:
    """The ids of what was accepted until something was not, and why that was not."""
    accepted: list[str] = []
    refused: StoreError | None = None
    while refused is None:
        each = execution(data="x" * 10_000)
        try:
            await store.accept(each, [TEXT])
            accepted.append(each.id)
        except StoreError as error:
            refused = error
    assert await store.find(each.id) is None
    assert refused.status == 503
    return accepted, refused.message


async def test_what_a_full_disk_cannot_keep_is_not_accepted(folder: Path) -> None:
    """What it could keep is there, and it goes on when there is room again."""
    async with SQLiteStore(folder) as store:
        with no_file_grows(300_000):
            accepted, message = await fill(store)
            troubles = [store.trouble]
        await store.accept(after := execution(), [TEXT])
        troubles.append(store.trouble)
    async with SQLiteStore(folder) as store:
        seen = {each.id for each in await store.executions()}

    assert "cannot be read or written (disk I/O error): is the disk" in message
    assert troubles == [message, None]
    assert accepted
    assert seen == {*accepted, after.id}


async def test_a_walk_waits_for_texts_that_cannot_be_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails for a moment ends no execution that began with another flow."""
    clock, walker, read, failed = ManualClock(), Walker(), work.texts, asyncio.Event()
    loop = asyncio.get_running_loop()

    def fails(connection: sqlite3.Connection, pins: Mapping[str, str]) -> Mapping[str, FlowText]:
        monkeypatch.setattr(work, "texts", read)
        loop.call_soon_threadsafe(failed.set)
        raise sqlite3.OperationalError("disk I/O error")

    async with SQLiteStore(folder, clock) as store, serving(store, walker):
        await store.accept(execution(), [TEXT])
        accepted = (await walker.next())[0]
        monkeypatch.setattr(work, "texts", fails)
        reading = asyncio.create_task(store.texts(accepted.pins))
        await failed.wait()
        while not clock.waiting:
            await asyncio.sleep(0.001)
        clock.advance(1)

        assert await reading == {TEXT.key: TEXT}


async def test_a_step_waits_for_a_disk_that_is_full(folder: Path) -> None:
    """What an operation did cannot be undone: it is written down as soon as there is room."""
    clock, walker, wanted = ManualClock(), Walker(), execution()
    async with SQLiteStore(folder, clock) as store, serving(store, walker):
        await store.accept(wanted, [TEXT])
        journal = (await walker.next())[1]
        with no_file_grows(300_000):
            await fill(store)
            recording = asyncio.create_task(journal.record(step("first", "x" * 20_000)))
            while store.trouble is None or not clock.waiting:
                await asyncio.sleep(0)
            assert not recording.done()
        clock.advance(1)
        await recording
    after = Walker()
    async with SQLiteStore(folder, clock) as store, serving(store, after):
        each, journal = await after.next()
        while each != wanted:
            each, journal = await after.next()

    assert journal.recorded("first") == step("first", "x" * 20_000)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
async def test_a_disk_that_is_really_full_is_called_so(tmp_path: Path) -> None:
    """A file system of a megabyte."""
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        async with SQLiteStore(tmp_path / "state") as store:
            (tmp_path / "ballast").write_bytes(b"x" * 300_000)
            accepted, message = await fill(store)
            (tmp_path / "ballast").unlink()
            await store.accept(after := execution(), [TEXT])
            seen = {each.id for each in await store.executions()}
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)

    assert message.startswith(f"the disk of {tmp_path}/state is full: nothing is accepted until")
    assert seen == {*accepted, after.id}


# --- how large it is ----------------------------------------------------------------------------


async def test_what_comes_late_overtakes_nobody(folder: Path) -> None:
    """While those that wait begin one after the other, there are places, and they are theirs."""
    walker, waiting, late = Walker(), [execution() for _ in range(12)], execution()
    async with SQLiteStore(folder) as store:
        for each in waiting:
            await store.accept(each, [TEXT])
        async with serving(store, walker, 6):
            await walker.next()
            await store.accept(late, [TEXT])
            for each in waiting:
                while each.id not in walker.order:
                    await asyncio.sleep(0.001)
                walker.end(each.id)
            await status(store, waiting[-1].id, "resolved")

    assert walker.order[:12] == [each.id for each in waiting]


async def test_what_is_forgotten_takes_no_flow_from_what_comes_next(folder: Path) -> None:
    """Digests that nothing pins any more are forgotten, and known again when they are pinned."""
    async with SQLiteStore(folder) as store:
        await store.accept(first := execution(), [TEXT])
        await store.cancel(first.id)
        await store.retain(Retention())
        await store.accept(second := execution(), [TEXT])

        walker = Walker()
        async with serving(store, walker):
            assert (await walker.next())[0] == second
            assert await store.texts(second.pins) == {TEXT.key: TEXT}
            walker.end(second.id)


async def test_what_is_forgotten_makes_the_file_smaller(tmp_path: Path) -> None:
    """Space that only the store could use again would be of no use to the disk."""
    place = InFolder(tmp_path)
    records = b'"' + b"x" * 20_000 + b'"\n'
    async with place.store() as store:
        await tell(store, *(story(place, records=records) for _ in range(200)))
        await store.retain(Retention(bytes=3_000_000))
        middle = size(place.folder)
        await store.retain(Retention(count=0))

        assert 2_000_000 < middle < 3_200_000
        assert size(place.folder) < 200_000


def size(folder: Path) -> int:
    """Bytes of all its files but the one in shared memory."""
    return sum(each.stat().st_size for each in folder.iterdir() if each.suffix != ".db-shm")


# --- kill -9 ------------------------------------------------------------------------------------


async def test_what_was_said_to_be_kept_survives_a_kill(folder: Path) -> None:
    """Every execution that was accepted, and every step that was recorded; three times over."""
    accepted: set[str] = set()
    recorded: defaultdict[str, set[str]] = defaultdict(set)
    for _ in range(3):
        for line in lines_of_a_victim(folder, 300):
            match line.split():
                case ["accepted", id_]:
                    accepted.add(id_)
                case ["recorded", id_, path]:
                    recorded[id_].add(path)

    walker = Walker()
    known: dict[str, Journal] = {}
    async with SQLiteStore(folder) as store, serving(store, walker, 10_000):
        while accepted - known.keys():
            each, journal = await walker.next()
            known[each.id] = journal

    assert recorded
    for id_, paths in recorded.items():
        assert all(known[id_].recorded(path) for path in paths)


def lines_of_a_victim(folder: Path, lines: int) -> list[str]:
    """What a process said that was killed after so many *lines*."""
    command = [sys.executable, "-m", "tests.unit.store.victim", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout is not None
        said = [victim.stdout.readline() for _ in range(lines)]
        victim.send_signal(signal.SIGKILL)
        said += victim.stdout.readlines()
    assert victim.returncode == -signal.SIGKILL
    return [line for line in said if line.endswith("\n")]
