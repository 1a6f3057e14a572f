"""Who created a flow, and when: held against real repositories, which the real git made."""

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import history
from runner.history import Created, History
from runner.ids import derived_id
from tests.repository import BOB, Repository, at

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not here")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository without a commit."""
    return Repository(tmp_path / "repository")


async def known(folder: Path, revision: str, *paths: str) -> list[Created | None]:
    """What a new history knows of *paths*; nothing went wrong."""
    asked = History(folder)
    assert await asked.refresh(revision) is None
    return [asked.created.get(path) for path in paths]


# --- what is known ------------------------------------------------------------------------------


async def test_a_flow_was_created_by_the_author_of_the_commit_that_added_it(
    repository: Repository,
) -> None:
    """Not by its committer, nor by those who changed it later."""
    repository.commit("a.yaml")
    repository.commit("a.yaml", "team/b.yml", author=BOB)
    head = repository.commit("a.yaml")

    got = await known(repository.flows, head, "a.yaml", "team/b.yml", "c.yaml")

    assert got == [at(0), at(1, BOB), None]


async def test_the_folder_may_be_the_whole_repository(repository: Repository) -> None:
    """Paths are relative to the folder that is asked about."""
    head = repository.commit("a.yaml")

    assert await known(repository.top, head, "flows/a.yaml", "a.yaml") == [at(0), None]


async def test_a_moment_is_told_in_utc_with_milliseconds(repository: Repository) -> None:
    """Whatever the zone of the author, it reads as Directus prints it."""
    repository.commit()
    (repository.flows / "a.yaml").touch()
    repository.git("add", "-A")
    repository.git("commit", "-qm", "a", "--date", "2026-03-04T01:02:03+0200")

    (created,) = await known(repository.flows, repository.head, "a.yaml")

    assert created is not None
    assert created.date == "2026-03-03T23:02:03.000Z"


async def test_a_user_is_an_address_however_it_is_written(repository: Repository) -> None:
    """Capitals make no other user; another address does."""
    repository.commit("a.yaml")
    repository.commit("b.yaml", author="A. Lovelace <ADA@Example.com>")
    head = repository.commit("c.yaml", author="Ada <ada@example.org>")

    a, b, c = await known(repository.flows, head, "a.yaml", "b.yaml", "c.yaml")

    assert (a, b) == (at(0), at(1)._replace(author="A. Lovelace"))
    assert c == at(2)._replace(user=derived_id(history.USERS, "ada@example.org"))


async def test_an_author_without_an_address_is_no_user(repository: Repository) -> None:
    """The name alone is told."""
    head = repository.commit("a.yaml", author="Ada <>")

    assert await known(repository.flows, head, "a.yaml") == [at(0)._replace(user=None)]


async def test_a_renamed_flow_is_a_new_one(repository: Repository) -> None:
    """As its key is another, too."""
    repository.commit("a.yaml")
    repository.git("mv", "flows/a.yaml", "flows/b.yaml")
    head = repository.commit(author=BOB)

    assert await known(repository.flows, head, "b.yaml") == [at(1, BOB)]


async def test_a_flow_that_came_back_was_created_when_it_did(repository: Repository) -> None:
    """Between the two there was none."""
    repository.commit("a.yaml")
    (repository.flows / "a.yaml").unlink()
    repository.commit()
    head = repository.commit("a.yaml", author=BOB)

    assert await known(repository.flows, head, "a.yaml") == [at(2, BOB)]


async def test_a_merged_flow_was_created_on_its_branch(repository: Repository) -> None:
    """By its author, not by whom merged it; what only the merge adds is the merger's."""
    repository.commit("a.yaml")
    repository.git("checkout", "-qb", "branch")
    repository.commit("b.yaml", author=BOB)
    repository.git("checkout", "-q", "main")
    repository.commit("c.yaml")
    repository.git("merge", "-q", "--no-ff", "--no-commit", "branch")
    head = repository.commit("d.yaml")

    got = await known(repository.flows, head, "a.yaml", "b.yaml", "c.yaml", "d.yaml")

    assert got == [at(0), at(1, BOB), at(2), at(3)]


@pytest.mark.parametrize("name", ["grün.yaml", "a b\tc.yaml", "a\nb.yaml", "\x01.yaml", "A.yaml"])
async def test_a_file_may_have_any_name(repository: Repository, name: str) -> None:
    """Nothing in it is taken for what git says."""
    repository.commit(name)
    head = repository.commit("b.yaml", author=BOB)

    assert await known(repository.flows, head, name, "b.yaml") == [at(0), at(1, BOB)]


async def test_a_name_need_not_be_utf_8(repository: Repository) -> None:
    """Bytes are bytes."""
    name = os.fsdecode(b"\xff.yaml")
    (repository.flows / name).touch()
    head = repository.commit()

    assert await known(repository.flows, head, name) == [at(0)]


async def test_the_settings_of_a_repository_change_nothing(repository: Repository) -> None:
    """Nobody's configuration may alter what is read, or have a program run."""
    repository.commit("a.yaml")
    head = repository.commit("b.yaml")
    for key, value in {
        "log.follow": "true", "log.showRoot": "false", "log.showSignature": "true",
        "diff.renames": "copies", "color.ui": "always", "i18n.logOutputEncoding": "ISO-8859-1",
        "gpg.program": "/bin/false", "core.pager": "/bin/false",
    }.items():  # fmt: skip
        repository.git("config", key, value)

    assert await known(repository.flows, head, "a.yaml", "b.yaml") == [at(0), at(1)]


async def test_the_environment_leads_to_no_other_repository(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the runner is started by a hook of git."""
    other = Repository(tmp_path / "other")
    other.commit("a.yaml", author=BOB)
    head = repository.commit("a.yaml")
    monkeypatch.setenv("GIT_DIR", str(other.top / ".git"))

    assert await known(repository.flows, head, "a.yaml") == [at(0)]


# --- where from ---------------------------------------------------------------------------------


async def test_a_work_tree_of_git_sync_has_the_whole_history(repository: Repository) -> None:
    """It has the form `.worktrees/<commit>`, and a link leads to it."""
    repository.commit("a.yaml")
    head = repository.commit("b.yaml", author=BOB)
    repository.git("worktree", "add", "-q", "--detach", f".worktrees/{head}", head)
    link = repository.top / "current"
    link.symlink_to(f".worktrees/{head}")

    got = await known(link / "flows", head, "a.yaml", "b.yaml")

    assert got == [at(0), at(1, BOB)]


async def test_a_shallow_clone_knows_nothing(repository: Repository, tmp_path: Path) -> None:
    """To git, its first commit has created all there is."""
    repository.commit("a.yaml")
    head = repository.commit("b.yaml", author=BOB)
    url = f"file://{repository.top}"
    repository.git("clone", "-q", "--depth=1", url, str(tmp_path / "shallow"))

    assert await known(tmp_path / "shallow/flows", head, "a.yaml", "b.yaml") == [None, None]


async def test_a_clone_without_blobs_knows_everything(
    repository: Repository, tmp_path: Path
) -> None:
    """What was in the files is not asked for, so nothing has to be fetched."""
    repository.git("config", "uploadpack.allowFilter", "true")
    repository.commit("a.yaml")
    head = repository.commit("b.yaml", author=BOB)
    url = f"file://{repository.top}"
    repository.git("clone", "-q", "--filter=blob:none", "-n", url, str(tmp_path / "clone"))
    (tmp_path / "clone/flows").mkdir()
    repository.top.rename(tmp_path / "gone")

    assert await known(tmp_path / "clone/flows", head, "a.yaml", "b.yaml") == [at(0), at(1, BOB)]


def _no_repository(repository: Repository) -> None:
    shutil.rmtree(repository.top / ".git")


def _no_folder(repository: Repository) -> None:
    shutil.rmtree(repository.top)


@pytest.mark.parametrize("arrange", [_no_repository, _no_folder])
async def test_without_a_repository_nothing_is_known(
    repository: Repository, arrange: Callable[[Repository], None]
) -> None:
    """Nor is there anything to say of it."""
    head = repository.commit("a.yaml")
    arrange(repository)

    assert await known(repository.flows, head, "a.yaml") == [None]


async def test_without_git_nothing_is_known(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As in the image, where it is not missed."""
    head = repository.commit("a.yaml")
    monkeypatch.setenv("PATH", str(tmp_path))

    assert await known(repository.flows, head, "a.yaml") == [None]


@pytest.mark.parametrize("revision", ["sha256:0123456789ab", "..2026_01_01", "HEAD", "--all"])
async def test_only_a_commit_is_asked_about(repository: Repository, revision: str) -> None:
    """The revision of any other folder is none of git's."""
    repository.commit("a.yaml")

    assert await known(repository.flows, revision, "a.yaml") == [None]


# --- what goes wrong ----------------------------------------------------------------------------


async def test_what_git_complains_of_is_said_once(repository: Repository) -> None:
    """Nothing is known then; a trouble that is over can be said again."""
    head = repository.commit("a.yaml")
    asked = History(repository.flows)

    said = [await asked.refresh(each) for each in ("1" * 40, "2" * 40, head, "3" * 40)]

    assert [sentence is not None for sentence in said] == [True, False, False, True]
    assert str(said[0]).startswith("who created the flows is not known: fatal: ")
    assert asked.created.get("a.yaml") is None


async def test_a_repository_of_somebody_else_is_not_trusted(repository: Repository) -> None:
    """Git's own protection stays in place: such a repository may have programs run."""
    if os.getuid() != 0:
        pytest.skip("only root can give a folder away")
    head = repository.commit("a.yaml")
    for each in (repository.top, repository.top / ".git", repository.flows):
        os.chown(each, 12345, 12345)
    asked = History(repository.flows)

    said = await asked.refresh(head)

    assert "dubious ownership" in str(said)
    assert asked.created.get("a.yaml") is None


def fake_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A program in the place of git."""
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("script", "seconds", "reason"),
    [
        ("cat /dev/zero", 30, "git says more than 1,000 bytes"),
        ("exec cat /dev/zero >&2", 30, "git says more than 1,000 bytes"),
        ("cat /dev/zero >&2", 0.1, "git takes more than 0.1 s"),
        ("sleep 1000", 0.1, "git takes more than 0.1 s"),
        ("exit 3", 30, "git ended with 3"),
        ("kill -9 $$", 30, "git ended with -9"),
    ],
)
async def test_git_is_bounded(
    repository: Repository,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    seconds: float,
    reason: str,
) -> None:
    """It, and what it starts, may neither take for ever nor say any amount."""
    head = repository.commit("a.yaml")
    fake_git(tmp_path, monkeypatch, script)
    monkeypatch.setattr(history, "_MAX_BYTES", 1000)
    monkeypatch.setattr(history, "_TIMEOUT", seconds)

    said = await History(repository.flows).refresh(head)

    assert said == f"who created the flows is not known: {reason}"


async def test_who_stops_waiting_stops_git(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopping daemon leaves no process behind."""
    head = repository.commit("a.yaml")
    pipe = tmp_path / "pid"
    os.mkfifo(pipe)
    fake_git(tmp_path, monkeypatch, f"echo $$ > {pipe}\nexec sleep 1000")
    task = asyncio.create_task(History(repository.flows).refresh(head))
    pid = int(await asyncio.to_thread(pipe.read_text))

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_git_is_given_no_secret(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the environment, it gets what it needs to know its user's settings, and no more."""
    head = repository.commit("a.yaml")
    fake_git(tmp_path, monkeypatch, f"env > {tmp_path}/seen\nexit 1")
    monkeypatch.setenv("ORDERS_TOKEN", "a secret")
    monkeypatch.setenv("HOME", "/home/of-somebody")

    await History(repository.flows).refresh(head)

    seen = (tmp_path / "seen").read_text().splitlines()
    assert {"HOME=/home/of-somebody", "GIT_TERMINAL_PROMPT=0", "LC_ALL=C"} <= set(seen)
    assert "ORDERS_TOKEN=a secret" not in seen


# --- one revision after the other ---------------------------------------------------------------


async def test_a_later_commit_adds_to_what_is_known(repository: Repository) -> None:
    """Only what is new is read, and all of it is what reading everything would give."""
    asked = History(repository.flows)
    await asked.refresh(repository.commit("a.yaml"))
    repository.git("checkout", "-qb", "branch")
    repository.commit("b.yaml", author=BOB)
    repository.git("checkout", "-q", "main")
    await asked.refresh(repository.commit("c.yaml"))
    repository.git("merge", "-q", "--no-ff", "branch", "-m", "merged")

    assert await asked.refresh(repository.head) is None

    paths = ("a.yaml", "b.yaml", "c.yaml")
    got = [asked.created.get(path) for path in paths]
    assert got == [at(0), at(1, BOB), at(2)]
    assert got == await known(repository.flows, repository.head, *paths)


async def test_only_new_commits_are_read(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the history is, a commit costs what a commit costs."""
    first = repository.commit("a.yaml")
    second = repository.commit("b.yaml")
    real, seen = shutil.which("git"), tmp_path / "seen"
    fake_git(tmp_path, monkeypatch, f'echo "$*" >> {seen}\nexec {real} "$@"')
    asked = History(repository.flows)

    for revision in (first, second, second):
        await asked.refresh(revision)

    logs = [line for line in seen.read_text().splitlines() if " log " in line]
    ranges = [line.partition(" -- ")[0].split()[-1] for line in logs]
    assert ranges == [first, f"{first}..{second}"]


async def test_a_rewritten_history_is_read_anew(repository: Repository) -> None:
    """After a forced push, what the old commits said is void."""
    asked = History(repository.flows)
    await asked.refresh(repository.commit("a.yaml", "b.yaml"))
    repository.git("checkout", "-q", "--orphan", "again")
    (repository.flows / "b.yaml").unlink()

    await asked.refresh(repository.commit("a.yaml", author=BOB))

    assert [asked.created.get("a.yaml"), asked.created.get("b.yaml")] == [at(1, BOB), None]


async def test_a_link_may_lead_to_another_folder_of_the_same_commits(
    repository: Repository, tmp_path: Path
) -> None:
    """What is known is known of paths in one folder."""
    link = tmp_path / "link"
    link.symlink_to(repository.flows / "one")
    asked = History(link)
    await asked.refresh(repository.commit("one/a.yaml", "two/b.yaml"))
    link.unlink()
    link.symlink_to(repository.flows / "two")

    await asked.refresh(repository.commit(author=BOB))

    assert [asked.created.get("a.yaml"), asked.created.get("b.yaml")] == [None, at(0)]


# --- what a commit may say ----------------------------------------------------------------------


@given(
    seconds=st.one_of(st.integers().map(str), st.text(st.characters(exclude_characters="\0\2"))),
    address=st.text(st.characters(codec="utf-8", exclude_characters="\0\2")),
    name=st.text(st.characters(codec="utf-8", exclude_characters="\0")),
)
def test_a_commit_may_say_anything(seconds: str, address: str, name: str) -> None:
    """Dates out of range, empty names: what cannot be read is not known, and nothing raises."""
    commit = f"\1{seconds}\2{address}\2{name}".encode("utf-8", "replace")
    log = commit + b"\0\nA\0flows/a.yaml\0" + commit + b"\0\0AA\0flows/\1b.yaml\0"

    files = history._parse(log, b"flows/")

    assert set(files) == {"a.yaml", "\1b.yaml"}
    assert files["a.yaml"] == files["\1b.yaml"]
    assert files["a.yaml"].author == (name.strip() or None)
    assert (files["a.yaml"].user is None) == (not address.strip())
