"""Every way in which a folder of flows is changed in practice is noticed, once, and whole."""

import asyncio
import os
import random
import shutil
import subprocess
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import watchfiles

from runner import source, watch
from runner.lastgood import LastGoodFolder
from runner.model import Generation, State
from tests.reloading import BROKEN, QUICK, Reloading, flow, versions

Edit = Callable[[Path, str], None]


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Reloading]:
    """A folder with the flow `a`, being watched, its first generation in place."""
    folder = Reloading(tmp_path / "flows", tmp_path / "state")
    folder.write("a.yaml")
    async with folder.watching():
        await folder.next()
        yield folder
    folder.check_records()


async def settled(folder: Reloading) -> Generation:
    """What is in place when all that could follow has followed."""
    generation = await folder.reloader.reload()
    assert generation.digest == source.snapshot(folder.root).digest
    return generation


# --- one file -----------------------------------------------------------------------------------


def _in_place(file: Path, text: str) -> None:
    file.write_text(text)


def _replace(file: Path, text: str) -> None:
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.write_text(text)
    temporary.replace(file)


def _replace_under_a_flow_name(file: Path, text: str) -> None:
    temporary = file.with_name("temporary.yaml")
    temporary.write_text(text)
    temporary.replace(file)


def _vim(file: Path, text: str) -> None:
    # backupcopy=auto: is the folder writable? move away, write anew, remove the backup.
    probe = file.with_name("4913")
    probe.touch()
    probe.unlink()
    backup = file.with_name(f"{file.name}~")
    file.rename(backup)
    file.write_text(text)
    backup.unlink()


def _remove_and_create(file: Path, text: str) -> None:
    file.unlink()
    file.write_text(text)


def _with_old_times(file: Path, text: str) -> None:
    # rsync -t, cp -p and tar keep the times of what they copy.
    file.write_text(text)
    os.utime(file, (1, 1))


def _with_future_times(file: Path, text: str) -> None:
    file.write_text(text)
    os.utime(file, (2e9, 2e9))


@pytest.mark.parametrize(
    "edit",
    [
        _in_place,
        _replace,
        _replace_under_a_flow_name,
        _vim,
        _remove_and_create,
        _with_old_times,
        _with_future_times,
    ],
)
async def test_an_edited_file_is_one_generation(folder: Reloading, edit: Edit) -> None:
    """However an editor saves; and again, as a watch may end with the file it was on."""
    for version in ("2", "3", "4"):
        edit(folder.root / "a.yaml", flow(version))

        assert versions(await folder.next()) == {"a": version}

    assert (await settled(folder)).number == 4
    assert folder.reloader.status()["watch"]["missed"] == 0


async def test_a_file_that_is_written_again_is_no_generation(folder: Reloading) -> None:
    """Identical bytes, a touch and a chmod are looked at, and change nothing."""
    before = folder.current
    folder.write("a.yaml")
    (folder.root / "a.yaml").touch()
    (folder.root / "a.yaml").chmod(0o600)
    (folder.root / ".hidden.yaml").write_text(flow())

    folder.write("b.yaml")

    assert (await folder.next()).number == before.number + 1
    assert folder.current.entries["a"].flow is before.entries["a"].flow


async def test_a_slowly_written_file_is_one_generation(tmp_path: Path) -> None:
    """Half a file is not loaded, even where it would be a flow."""
    folder = Reloading(tmp_path / "flows", timings=replace(QUICK, settle=1.0, quiet_max=9.0))
    folder.write("a.yaml")
    text = flow("2") + "".join(f"# line {number}\n" for number in range(10))
    async with folder.watching():
        await folder.next()
        with (folder.root / "a.yaml").open("w") as opened:
            for line in text.splitlines(keepends=True):
                opened.write(line)
                opened.flush()
                await asyncio.sleep(0.05)  # what is tested is time itself

        generation = await folder.next()

    assert folder.generations.empty()
    assert generation.digest == source.snapshot(folder.root).digest
    assert folder.said("flow.invalid") == []


async def test_a_broken_file_is_stale_until_it_is_good(folder: Reloading) -> None:
    """The author sees the mistake; the callers see no difference."""
    folder.write("a.yaml", BROKEN)
    assert (await folder.next()).entries["a"].state is State.STALE

    folder.write("a.yaml", flow("2"))

    assert versions(await folder.next()) == {"a": "2"}
    assert folder.states == {"a": State.ACTIVE}


# --- folders ------------------------------------------------------------------------------------


async def test_a_new_folder_is_seen_with_what_is_in_it(folder: Reloading) -> None:
    """`mkdir -p a/b/c` and a file in it at once; afterwards it is watched as well."""
    folder.write("x/y/z/deep.yaml")
    assert "x/y/z/deep" in versions(await folder.next())

    folder.write("x/y/z/deep.yaml", flow("2"))

    assert versions(await folder.next())["x/y/z/deep"] == "2"
    assert folder.reloader.status()["watch"]["missed"] == 0


async def test_a_removed_folder_takes_its_flows_away(folder: Reloading) -> None:
    """What was deleted does not run."""
    folder.write("x/b.yaml")
    await folder.next()

    shutil.rmtree(folder.root / "x")

    assert versions(await folder.next()) == {"a": "1"}


def _move_away(root: Path) -> None:
    root.rename(root.with_name("away"))


@pytest.mark.parametrize("remove", [shutil.rmtree, _move_away])
async def test_a_folder_that_is_made_anew_is_followed(
    folder: Reloading, remove: Callable[[Path], None]
) -> None:
    """It has the same name and is another one: the watch on the old one is dead."""
    remove(folder.root)
    folder.write("a.yaml", flow("2"))
    assert versions(await folder.next()) == {"a": "2"}

    folder.write("a.yaml", flow("3"))

    assert versions(await folder.next()) == {"a": "3"}


async def test_a_folder_that_appears_later_is_loaded(tmp_path: Path) -> None:
    """The daemon may be there before its volume, or before the folder around that."""
    folder = Reloading(tmp_path / "repo" / "deploy" / "flows")
    async with folder.watching():
        async with asyncio.timeout(10):
            while folder.ready["reason"] != "SourceUnavailable":
                await asyncio.sleep(0.01)

        folder.write("a.yaml")

        assert (await folder.next()).number == 1


async def test_a_name_that_is_not_utf8_stops_nothing(folder: Reloading) -> None:
    """It has an issue, and the files beside it are still followed."""
    name = os.fsdecode(b"caf\xe9.yaml")
    (folder.root / name).write_text(flow())
    generation = await folder.next()
    assert [entry.state for entry in generation.entries.values()].count(State.INVALID) == 1

    folder.write("a.yaml", flow("2"))

    assert versions(await folder.next()) == {"a": "2"}


def _random_change(folder: Reloading, dice: random.Random, number: int) -> None:
    """Something that somebody might do to a folder; `a.yaml` is always there afterwards."""
    name = dice.choice(("b.yaml", "x/c.yaml", "x/y/d.yaml"))
    match dice.randrange(6):
        case 0:
            shutil.rmtree(folder.root / "x", ignore_errors=True)
        case 1:
            folder.root.rename(folder.root.with_name(f"away-{number}"))
        case 2 if (folder.root / "x").exists():
            (folder.root / "x").rename(folder.root / f"z-{number}")
        case 3:
            folder.write(name, BROKEN)
        case _:
            folder.write(name, flow(str(number)))
    folder.write("a.yaml", flow(str(number)))


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_is_done_the_last_state_is_loaded(folder: Reloading, seed: int) -> None:
    """Changes that fall into a load, or between a look and a watch, are not lost."""
    dice = random.Random(seed)
    for number in range(2, 25):
        _random_change(folder, dice, number)
        # Some changes come at once, some while the one before is being loaded.
        with suppress(TimeoutError):
            async with asyncio.timeout(dice.choice((0, 0, 0.02, 0.1, 0.3))):
                await folder.generations.get()

    final = source.snapshot(folder.root).digest
    while folder.current.digest != final:
        await folder.next()

    assert folder.reloader.status()["watch"]["missed"] == 0


# --- layouts that change at once ----------------------------------------------------------------


class ConfigMap:
    """A mounted ConfigMap, changed as the kubelet changes it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0
        folder.mkdir()

    def update(self, files: dict[str, str]) -> str:
        """Put *files* in place; gives the name of the version."""
        self.count += 1
        name = f"..2026_01_01_00_00_00.{self.count:010}"
        (self.folder / name).mkdir()
        for path, text in files.items():
            (self.folder / name / path).write_text(text)
        data = self.folder / "..data"
        before = data.resolve() if self.count > 1 else None
        (self.folder / "..data_tmp").symlink_to(name)
        (self.folder / "..data_tmp").rename(data)
        for path in files:
            if not (self.folder / path).is_symlink():
                (self.folder / path).symlink_to(f"..data/{path}")
        for link in self.folder.glob("[!.]*"):
            if link.name not in files:
                link.unlink()
        if before:
            shutil.rmtree(before)
        return name


async def test_a_configmap_is_followed_through_many_versions(tmp_path: Path) -> None:
    """Each is one generation, known by its own name; keys come and go."""
    config = ConfigMap(tmp_path / "flows")
    config.update({"a.yaml": flow("1")})
    folder = Reloading(tmp_path / "flows")
    async with folder.watching():
        await folder.next()
        for version in ("2", "3", "4"):
            name = config.update({"a.yaml": flow(version), f"{version}.yaml": flow(version)})

            generation = await folder.next()

            assert versions(generation) == {"a": version, version: version}
            assert generation.revision == name
        assert (await settled(folder)).number == 4
    assert folder.reloader.status()["kind"] == "configmap"


class GitSync:
    """A volume as git-sync keeps it: a link to the work tree of a commit."""

    def __init__(self, volume: Path) -> None:
        self.volume = volume
        self.count = 0
        volume.mkdir()

    def update(self, version: str) -> str:
        """Put another commit in place; gives its hash."""
        self.count += 1
        commit = f"{self.count:040x}"
        tree = self.volume / ".worktrees" / commit
        (tree / "flows" / "sub").mkdir(parents=True)
        (tree / "flows" / "a.yaml").write_text(flow(version))
        (tree / "flows" / "sub" / "b.yaml").write_text(flow(version))
        before = (self.volume / "current").resolve() if self.count > 1 else None
        (self.volume / "temporary").symlink_to(f".worktrees/{commit}")
        (self.volume / "temporary").rename(self.volume / "current")
        if before:
            shutil.rmtree(before)
        return commit


@pytest.mark.parametrize("below", ["flows", "flows/sub"])
async def test_git_sync_is_followed_through_many_commits(tmp_path: Path, below: str) -> None:
    """Each is one generation, known by its commit; the link is not the last part of the path."""
    volume = GitSync(tmp_path / "git")
    volume.update("1")
    folder = Reloading(tmp_path / "git" / "current" / below)
    async with folder.watching():
        await folder.next()
        for version in ("2", "3", "4"):
            commit = volume.update(version)

            generation = await folder.next()

            assert set(versions(generation).values()) == {version}
            assert generation.revision == commit
        assert (await settled(folder)).number == 4


async def test_only_the_last_of_many_quick_commits_stays(tmp_path: Path) -> None:
    """Whatever was skipped, no generation mixes two commits."""
    volume = GitSync(tmp_path / "git")
    volume.update("0")
    folder = Reloading(tmp_path / "git" / "current" / "flows")
    async with folder.watching():
        await folder.next()
        for version in range(1, 6):
            volume.update(str(version))

        generation = await folder.next()
        while versions(generation)["a"] != "5":
            generation = await folder.next()

        assert versions(generation) == {"a": "5", "sub/b": "5"}


# --- git work trees -----------------------------------------------------------------------------


def _git(tree: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
    command = ["git", "-C", str(tree), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _commit(tree: Path, version: str, *, count: int) -> None:
    (tree / "flows").mkdir(exist_ok=True)
    for number in range(count):
        (tree / "flows" / f"{number:04}.yaml").write_text(flow(version))
    _git(tree, "add", "-A")
    _git(tree, "commit", "-qm", version)


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose two commits, on `one` and `two`, differ in each of 1,000 flows."""
    origin = tmp_path_factory.mktemp("origin")
    _git(origin, "init", "-qb", "one")
    _commit(origin, "1", count=1000)
    _git(origin, "checkout", "-qb", "two")
    _commit(origin, "2", count=1000)
    _git(origin, "checkout", "-q", "one")
    return origin


@pytest.mark.parametrize("command", ["checkout -q two", "pull -q --ff-only origin two"])
async def test_a_commit_of_a_thousand_files_is_one_generation(
    tmp_path: Path, origin: Path, command: str
) -> None:
    """git writes one file after the other; what is put in place is the commit."""
    tree = tmp_path / "tree"
    _git(tmp_path, "clone", "-q", str(origin), str(tree))
    folder = Reloading(tree / "flows")
    async with folder.watching():
        await folder.next()

        await asyncio.to_thread(_git, tree, *command.split())
        generation = await folder.next()

        assert set(versions(generation).values()) == {"2"}
        assert generation.revision == _git(tree, "rev-parse", "HEAD")
        assert (await settled(folder)).number == 2


async def test_nothing_is_loaded_while_git_holds_its_lock(folder: Reloading) -> None:
    """A checkout may be slow: between two of its files, all is quiet."""
    lock = folder.root / ".git" / "index.lock"
    lock.parent.mkdir()
    lock.touch()
    folder.write("a.yaml", flow("2"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(4 * (QUICK.quiet + QUICK.settle)):
            await folder.generations.get()

    folder.write("b.yaml", flow("2"))
    lock.unlink()

    assert versions(await folder.next()) == {"a": "2", "b": "2"}


# --- events that fail ---------------------------------------------------------------------------


async def test_a_watch_that_dies_is_set_up_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said once; what happened meanwhile is found."""
    folder = Reloading(tmp_path / "flows")
    folder.write("a.yaml")
    tries = 0

    def dying(*paths: Any, **options: Any) -> AsyncGenerator[Any, None]:
        nonlocal tries
        tries += 1
        if tries > 3:
            return watchfiles.awatch(*paths, **options)
        folder.write("a.yaml", flow("2"))
        raise ExceptionGroup("watch", [OSError("no more watches")])

    monkeypatch.setattr(watch, "awatch", dying)
    async with folder.watching():
        while versions(await folder.next()) != {"a": "2"}:
            pass
        async with asyncio.timeout(10):
            while folder.reloader.status()["watch"]["mode"] != "events":
                await asyncio.sleep(0.01)
        folder.write("a.yaml", flow("3"))
        assert versions(await folder.next()) == {"a": "3"}

    (warning,) = folder.said("daemon.warning")
    assert "no more watches" in warning["message"]


async def _deaf(*_: Any, stop_event: asyncio.Event, **__: Any) -> AsyncGenerator[Any, None]:
    await stop_event.wait()
    nothing: set[Any] = set()
    for each in nothing:
        yield each


async def test_changes_without_events_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on NFS, or below an overlay: found by looking, said once, looked for more often then."""
    monkeypatch.setattr(watch, "awatch", _deaf)
    folder = Reloading(tmp_path / "flows", timings=replace(QUICK, resync=0.2))
    folder.write("a.yaml")
    async with folder.watching():
        await folder.next()
        while folder.reloader.status()["watch"]["mode"] != "events":
            await asyncio.sleep(0.01)
        for version in ("2", "3", "4"):
            folder.write("a.yaml", flow(version))
            assert versions(await folder.next()) == {"a": version}

    status = folder.reloader.status()["watch"]
    assert status["mode"] == "poll"
    assert status["missed"] >= 1
    (warning,) = folder.said("daemon.warning")
    assert "no event announced" in warning["message"]


async def test_a_poke_is_as_good_as_an_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGHUP, where events do not come."""
    monkeypatch.setattr(watch, "awatch", _deaf)
    folder = Reloading(tmp_path / "flows")
    folder.write("a.yaml")
    async with folder.watching():
        await folder.next()
        folder.write("a.yaml", flow("2"))

        folder.reloader.poke()

        assert versions(await folder.next()) == {"a": "2"}
    assert folder.said("daemon.warning") == []


async def test_the_end_leaves_nothing_undone(tmp_path: Path) -> None:
    """A watch that is cancelled ends with its tasks, and with what is good on the disk."""
    folder = Reloading(tmp_path / "flows", tmp_path / "state")
    folder.write("a.yaml")
    before = asyncio.all_tasks()
    async with folder.watching():
        await folder.next()

    assert asyncio.all_tasks() == before
    last_good = LastGoodFolder(tmp_path / "state", folder.root)
    assert last_good.recall_all() == {"a.yaml": flow().encode()}
