"""What a reload puts in place, what it refuses, and what it says of either."""

import asyncio
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from runner.errors import RunnerError, Unavailable
from runner.loader import Loader
from runner.model import State
from runner.reload import Refused
from runner.source import Snapshot
from runner.watch import Timings, Watcher
from tests.reloading import BROKEN, PATIENCE, QUICK, Reloading, flow
from tests.repository import BOB, Repository, at

Make = Callable[..., Reloading]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes reloaders on one folder, with one state: each is another process."""
    made: list[Reloading] = []

    def one(**options: object) -> Reloading:
        each = Reloading(tmp_path / "flows", tmp_path / "state", **options)  # type: ignore[arg-type]
        made.append(each)
        return each

    (tmp_path / "flows").mkdir()
    yield one
    for each in made:
        each.check_records()


@pytest.fixture
def folder(make: Make) -> Reloading:
    """A folder with two flows, loaded by nobody so far."""
    folder = make()
    folder.write("a.yaml")
    folder.write("b.yaml")
    return folder


# --- what changes ------------------------------------------------------------------------------


async def test_a_first_load_puts_all_flows_in_place(folder: Reloading) -> None:
    """The generation is numbered, and a record says what is in it."""
    generation = await folder.reloader.reload()

    assert generation is folder.current
    assert (generation.number, list(generation.entries)) == (1, ["a", "b"])
    (record,) = folder.said("generation.swapped")
    assert record["generation"] == 1
    assert record["revision"] == generation.revision
    assert record["data"] == {
        "digest": generation.digest,
        "flows": {"active": 2, "inactive": 0, "stale": 0, "invalid": 0},
        "added": ["a", "b"],
        "changed": [],
        "removed": [],
    }


async def test_a_swap_says_what_came_changed_and_went(folder: Reloading) -> None:
    """The record names the flows that differ, and no others."""
    folder.write("c.yaml")
    await folder.reloader.reload()
    folder.write("a.yaml", flow("2"))
    folder.remove("b.yaml")
    folder.write("d.yaml")

    await folder.reloader.reload()

    data = folder.said("generation.swapped")[1]["data"]
    assert (data["added"], data["changed"], data["removed"]) == (["d"], ["a"], ["b"])


async def test_the_same_content_is_no_new_generation(folder: Reloading) -> None:
    """Identical bytes, new times and modes change nothing."""
    before = await folder.reloader.reload()
    folder.write("a.yaml")
    os.utime(folder.root / "b.yaml", (1, 1))
    (folder.root / "b.yaml").chmod(0o600)

    assert await folder.reloader.reload() is before
    assert len(folder.said("generation.swapped")) == 1


async def test_a_flow_that_did_not_change_stays_the_same_object(folder: Reloading) -> None:
    """Counters and schedules of a flow are untouched by its neighbours."""
    before = (await folder.reloader.reload()).entries
    folder.write("b.yaml", flow("2"))

    after = (await folder.reloader.reload()).entries

    assert after["a"].flow is before["a"].flow
    assert after["b"].flow is not before["b"].flow


async def test_a_secret_that_arrives_is_a_new_generation(make: Make, tmp_path: Path) -> None:
    """What settings lack makes issues too: they go although no file has changed."""
    folder = make(secrets_dir=str(tmp_path))
    auth = "{method: POST, auth: {kind: bearer, secret: TOKEN}}"
    folder.write("a.yaml", flow(trigger="webhook", options=auth))
    before = await folder.reloader.reload()
    assert [issue.code for issue in before.entries["a"].issues] == ["unknown-secret"]

    (tmp_path / "TOKEN").write_text("a long secret")
    generation = await folder.reloader.reload()

    assert generation.number == 2
    assert generation.entries["a"].issues == ()


async def test_a_disabled_flow_does_not_run(make: Make) -> None:
    """The setting `disable` is seen at every load."""
    folder = make(disable="a")
    folder.write("a.yaml")

    await folder.reloader.reload()

    assert folder.states == {"a": State.INACTIVE}


# --- files with errors -------------------------------------------------------------------------


async def test_a_broken_file_harms_itself_alone(folder: Reloading) -> None:
    """It keeps its last good version; the others get their new ones."""
    await folder.reloader.reload()
    folder.write("a.yaml", BROKEN)
    folder.write("b.yaml", flow("2"))

    await folder.reloader.reload()

    assert folder.states == {"a": State.STALE, "b": State.ACTIVE}
    assert folder.versions == {"a": "1", "b": "2"}


async def test_a_file_that_never_was_good_runs_nothing(folder: Reloading) -> None:
    """It is listed with its issues."""
    folder.write("c.yaml", BROKEN)

    await folder.reloader.reload()

    assert folder.states["c"] is State.INVALID
    assert [issue.code for issue in folder.current.entries["c"].issues] == ["yaml-syntax"]


async def test_a_broken_file_is_said_once(folder: Reloading) -> None:
    """One record for each file and mistake, however often it is looked at."""
    await folder.reloader.reload()
    for text in (BROKEN, BROKEN, "- a list", "- a list"):
        folder.write("a.yaml", text)
        await folder.reloader.reload()

    records = folder.said("flow.invalid")
    assert [record["flow"] for record in records] == ["a", "a"]
    assert records[0]["data"]["issues"][0]["code"] == "yaml-syntax"
    assert "a.yaml:1:" in records[0]["message"]
    assert "its last good version runs" in records[0]["message"]


async def test_a_file_that_breaks_again_is_said_again(folder: Reloading) -> None:
    """Between two records of one mistake, the file was good."""
    for text in (BROKEN, flow(), BROKEN):
        folder.write("a.yaml", text)
        await folder.reloader.reload()

    first, second = folder.said("flow.invalid")
    assert "nothing of it runs" in first["message"]
    assert "its last good version runs" in second["message"]


async def test_the_last_good_version_survives_a_restart(folder: Reloading, make: Make) -> None:
    """The next process knows what the one before it ran."""
    await folder.reloader.reload()
    folder.write("a.yaml", BROKEN)
    await folder.reloader.reload()
    await folder.reloader.saved()

    after = make()
    await after.reloader.reload()

    assert after.states == folder.states == {"a": State.STALE, "b": State.ACTIVE}
    assert after.versions == {"a": "1", "b": "1"}


async def test_a_deleted_flow_does_not_come_back_broken(folder: Reloading, make: Make) -> None:
    """What left the tree is forgotten, by a process that is started later too."""
    await folder.reloader.reload()
    folder.remove("a.yaml")
    await folder.reloader.reload()
    await folder.reloader.saved()
    folder.write("a.yaml", BROKEN)

    after = make()
    await after.reloader.reload()

    assert after.states == {"a": State.INVALID, "b": State.ACTIVE}


@pytest.mark.parametrize("restarted", [False, True])
async def test_neither_of_two_files_with_one_key_replaces_what_runs(
    folder: Reloading, make: Make, *, restarted: bool
) -> None:
    """Both have the issue; the one that ran goes on, after a restart too."""
    await folder.reloader.reload()
    folder.write("c.yaml", flow("2", key="a"))
    await folder.reloader.reload()
    await folder.reloader.saved()

    now = make() if restarted else folder
    await now.reloader.reload()

    assert now.versions == {"a": "1", "b": "1"}
    assert now.states == {"a": State.STALE, "b": State.ACTIVE, "c.yaml": State.INVALID}
    assert {issue["path"] for issue in now.reloader.status()["issues"]} == {"a.yaml", "c.yaml"}


@pytest.mark.parametrize("restarted", [False, True])
async def test_flows_of_a_folder_that_cannot_be_read_go_on(
    make: Make, tmp_path: Path, restarted: bool
) -> None:
    """Nobody has removed them: they are stale, beside what can be read, as often as one looks."""
    folder = make()
    folder.write("team.yaml", flow("1"))
    folder.write("team/a.yaml", flow("1"))
    await folder.reloader.reload()
    await folder.reloader.saved()
    (folder.root / "team").rename(tmp_path / "elsewhere")
    (folder.root / "team").symlink_to(tmp_path / "elsewhere")

    now = make() if restarted else folder
    for _ in range(2):
        await now.reloader.reload()
        await now.reloader.saved()

    assert now.versions == {"team": "1", "team/a": "1"}
    assert now.states == {
        "team": State.ACTIVE, "team/a": State.STALE, "team/": State.INVALID,
    }  # fmt: skip
    codes = [(issue["path"], issue["code"]) for issue in now.reloader.status()["issues"]]
    assert codes == [("team/", "outside-root"), ("team/a.yaml", "outside-root")]

    (folder.root / "team").unlink()
    await now.reloader.reload()

    assert now.versions == {"team": "1"}


# --- on_invalid: refuse ------------------------------------------------------------------------


async def test_refuse_leaves_the_whole_generation_in_place(make: Make) -> None:
    """One broken file keeps all changes of a commit from being put in place."""
    folder = make(on_invalid="refuse")
    folder.write("a.yaml")
    before = await folder.reloader.reload()
    folder.write("a.yaml", flow("2"))
    folder.write("b.yaml", BROKEN)

    with pytest.raises(Refused, match=r"with an error: 1, the first: b\.yaml:1:"):
        await folder.reloader.reload()

    assert folder.current is before
    (record,) = folder.said("generation.refused")
    assert record["data"]["reason"] == "ValidationFailed"
    assert record["data"]["issues"][0]["path"] == "b.yaml"
    assert [record["flow"] for record in folder.said("flow.invalid")] == ["b"]


async def test_a_refused_generation_is_said_once(make: Make) -> None:
    """Looking again says nothing; another commit with the same mistake does."""
    folder = make(on_invalid="refuse")
    folder.write("b.yaml", BROKEN)
    for version in ("1", "1", "2"):
        folder.write("a.yaml", flow(version))
        with pytest.raises(Refused):
            await folder.reloader.reload()

    assert len(folder.said("generation.refused")) == 2
    assert len(folder.said("flow.invalid")) == 1


async def test_a_first_start_with_a_broken_tree_is_not_ready(make: Make) -> None:
    """Nothing ran before, so nothing can be put in place."""
    folder = make(on_invalid="refuse")
    folder.write("a.yaml", BROKEN)

    with pytest.raises(Refused):
        await folder.reloader.reload()

    assert folder.current.number == 0


async def test_a_restart_with_a_broken_tree_runs_what_ran_last(make: Make) -> None:
    """The refused commit is refused by the next process as well."""
    before = make(on_invalid="refuse")
    before.write("a.yaml")
    before.write("b.yaml")
    await before.reloader.reload()
    await before.reloader.saved()
    before.write("a.yaml", flow("2"))
    before.write("b.yaml", BROKEN)

    after = make(on_invalid="refuse")
    with pytest.raises(Refused):
        await after.reloader.reload()
    assert (after.versions, after.current.revision) == ({"a": "1", "b": "1"}, "last-good")

    after.write("b.yaml", flow("2"))
    await after.reloader.reload()
    assert after.versions == {"a": "2", "b": "2"}


# --- nothing left ------------------------------------------------------------------------------


async def test_all_flows_gone_is_held_back(folder: Reloading) -> None:
    """An unmounted volume looks like a wish to delete everything."""
    before = await folder.reloader.reload()
    folder.remove("a.yaml")
    folder.remove("b.yaml")

    for _ in range(2):
        with pytest.raises(Refused, match="allow_empty"):
            await folder.reloader.reload()

    assert folder.current is before
    assert folder.ready["reason"] == "Empty"
    (record,) = folder.said("generation.refused")
    assert record["data"]["reason"] == "Empty"


async def test_nothing_but_new_broken_files_is_held_back_too(folder: Reloading) -> None:
    """What counts is whether a flow would run."""
    await folder.reloader.reload()
    folder.remove("a.yaml")
    folder.remove("b.yaml")
    folder.write("c.yaml", BROKEN)

    with pytest.raises(Refused, match="left to run: none"):
        await folder.reloader.reload()


async def test_all_files_broken_is_not_empty(folder: Reloading) -> None:
    """Each keeps its last good version, so nothing has to be held back."""
    await folder.reloader.reload()
    folder.write("a.yaml", BROKEN)
    folder.write("b.yaml", BROKEN)

    await folder.reloader.reload()

    assert folder.states == {"a": State.STALE, "b": State.STALE}


async def test_no_flow_is_put_in_place_on_request(folder: Reloading) -> None:
    """`allow_empty` says that it is meant."""
    await folder.reloader.reload()
    folder.remove("a.yaml")
    folder.remove("b.yaml")

    generation = await folder.reloader.reload(allow_empty=True)

    assert (generation.number, dict(generation.entries)) == (2, {})
    assert await folder.reloader.reload() is generation


async def test_no_flow_is_put_in_place_by_setting(make: Make) -> None:
    """Where the setting says so, nobody is asked."""
    folder = make(allow_empty="true")
    folder.write("a.yaml")
    await folder.reloader.reload()
    folder.remove("a.yaml")

    assert (await folder.reloader.reload()).entries == {}


async def test_an_empty_folder_is_a_fine_beginning(make: Make) -> None:
    """Nothing ran before: there is nothing to hold back."""
    folder = make()

    generation = await folder.reloader.reload()

    assert (generation.number, dict(generation.entries)) == (1, {})
    assert folder.ready["status"] == "True"


async def test_a_restart_on_an_empty_folder_runs_what_ran_last(
    folder: Reloading, make: Make
) -> None:
    """A process that finds its volume not mounted behaves as the one that lost it."""
    await folder.reloader.reload()
    await folder.reloader.saved()
    folder.remove("a.yaml")
    folder.remove("b.yaml")

    after = make()
    with pytest.raises(Refused):
        await after.reloader.reload()
    assert after.versions == {"a": "1", "b": "1"}
    await after.reloader.reload(allow_empty=True)
    assert after.versions == {}


# --- the folder itself -------------------------------------------------------------------------


async def test_a_folder_that_is_gone_leaves_everything_running(folder: Reloading) -> None:
    """Said once when it goes and once when it is back, however often it is looked at."""
    before = await folder.reloader.reload()
    away = folder.root.rename(folder.root.with_name("away"))

    for _ in range(3):
        with pytest.raises(Unavailable, match="does not exist"):
            await folder.reloader.reload()
    assert folder.current is before
    assert (folder.ready["status"], folder.ready["reason"]) == ("False", "SourceUnavailable")

    away.rename(folder.root)
    assert await folder.reloader.reload() is before
    assert folder.ready["status"] == "True"
    assert len(folder.said("generation.refused")) == 1
    (warning,) = folder.said("daemon.warning")
    assert (warning["severity"], "can be used again" in warning["message"]) == ("INFO", True)


async def test_a_first_start_without_a_folder_is_not_ready(make: Make) -> None:
    """It becomes ready when the folder is there."""
    folder = make()
    folder.root.rmdir()
    with pytest.raises(Unavailable):
        await folder.reloader.reload()
    assert folder.current.number == 0

    folder.write("a.yaml")

    assert (await folder.reloader.reload()).number == 1


async def test_a_restart_without_the_folder_runs_what_ran_last(
    folder: Reloading, make: Make
) -> None:
    """The flows outlive the volume they came from."""
    await folder.reloader.reload()
    await folder.reloader.saved()
    folder.root.rename(folder.root.with_name("away"))

    after = make()
    with pytest.raises(Unavailable):
        await after.reloader.reload()

    assert after.versions == {"a": "1", "b": "1"}


async def test_a_full_disk_does_not_stop_reloads(make: Make, tmp_path: Path) -> None:
    """It is said once that a restart would not know what runs now."""
    (tmp_path / "state").write_text("a file is in the way")
    folder = make()
    for version in ("1", "2", "3"):
        folder.write("a.yaml", flow(version))
        await folder.reloader.reload()
    await folder.reloader.saved()

    assert folder.versions == {"a": "3"}
    assert len(folder.said("daemon.warning")) == 1


async def test_a_defect_that_a_file_brings_to_light_is_survived(
    folder: Reloading, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What runs goes on, and the attempt is not silent."""

    def defect(*_: object) -> None:
        raise ZeroDivisionError("by a file")

    before = await folder.reloader.reload()
    monkeypatch.setattr(Loader, "compile", defect)
    folder.write("a.yaml", flow("2"))

    with pytest.raises(RunnerError, match="ZeroDivisionError: by a file"):
        await folder.reloader.reload()

    assert folder.current is before
    assert folder.ready["reason"] == "Failed"
    assert len(folder.said("generation.refused")) == 1


# --- one at a time -----------------------------------------------------------------------------


async def test_those_who_wait_are_answered_together(folder: Reloading) -> None:
    """A hundred requests during one load cause one more."""
    answers = await asyncio.gather(*(folder.reloader.reload() for _ in range(100)))

    assert {answer.number for answer in answers} == {1}
    assert [each["total"] for each in folder.reloader.status()["history"]] == [2]


async def test_a_change_made_before_a_request_is_in_its_answer(folder: Reloading) -> None:
    """A load that had begun before is not the answer to a request made after the change."""
    first = asyncio.create_task(folder.reloader.reload())
    while not folder.reloader._begun:
        await asyncio.sleep(0)
    folder.write("a.yaml", flow("2"))

    generation = await folder.reloader.reload()
    await first

    entry = generation.entries["a"]
    assert entry.flow is not None
    assert entry.flow.description == "2"


async def test_those_who_wait_are_refused_together(folder: Reloading) -> None:
    """A refusal is an answer to everybody who asked before it began."""
    await folder.reloader.reload()
    folder.remove("a.yaml")
    folder.remove("b.yaml")

    answers = await asyncio.gather(
        *(folder.reloader.reload() for _ in range(5)), return_exceptions=True
    )
    allowed = await folder.reloader.reload(allow_empty=True)

    assert [type(answer) for answer in answers] == [Refused] * 5
    assert allowed.entries == {}


async def test_a_permission_is_not_answered_by_a_refusal(folder: Reloading) -> None:
    """Who allows no flow to be left gets a load of their own, whoever waits beside them."""
    await folder.reloader.reload()
    folder.remove("a.yaml")
    folder.remove("b.yaml")

    refused, also, allowed = await asyncio.gather(
        folder.reloader.reload(),
        folder.reloader.reload(),
        folder.reloader.reload(allow_empty=True),
        return_exceptions=True,
    )

    assert (type(refused), type(also)) == (Refused, Refused)
    assert allowed is folder.current


# --- the status --------------------------------------------------------------------------------


async def test_the_status_before_the_first_load_is_unknown(make: Make) -> None:
    """Nothing was tried, so nothing is claimed."""
    folder = make()

    status = folder.reloader.status()

    assert (folder.ready["status"], folder.ready["reason"]) == ("Unknown", "Progressing")
    assert (status["generation"], status["lastAttemptedTime"], status["history"]) == (0, None, [])


async def test_the_status_says_what_is_in_place(folder: Reloading) -> None:
    """With Flux' words, so that people recognise it."""
    generation = await folder.reloader.reload()

    status = folder.reloader.status()

    assert status["path"] == str(folder.root)
    assert status["kind"] == "folder"
    assert (status["generation"], status["digest"]) == (1, generation.digest)
    assert status["lastAttemptedRevision"] == status["lastAppliedRevision"] == generation.revision
    assert status["watch"] == {"mode": "poll", "missed": 0}
    assert status["flows"] == {"active": 2, "inactive": 0, "stale": 0, "invalid": 0}
    assert status["issues"] == []
    assert folder.ready["reason"] == "Succeeded"
    assert folder.ready["observedGeneration"] == 1


async def test_a_commit_that_changes_no_flow_counts_as_applied(folder: Reloading) -> None:
    """No new generation, and still an answer to the question whether a commit has arrived."""
    git = folder.root / ".git"
    git.mkdir()
    (git / "HEAD").write_text("1" * 40)
    before = await folder.reloader.reload()
    (git / "HEAD").write_text("2" * 40)

    assert await folder.reloader.reload() is before
    status = folder.reloader.status()
    assert (status["kind"], status["revision"]) == ("git", "1" * 40)
    assert status["lastAttemptedRevision"] == status["lastAppliedRevision"] == "2" * 40


async def test_the_condition_keeps_its_time_until_it_turns(folder: Reloading) -> None:
    """`lastTransitionTime` is since when it is so, not when it was last looked at."""
    times = []
    for text in (flow(), flow("2"), BROKEN, "name: {", flow("3")):
        folder.write("a.yaml", text)
        await folder.reloader.reload()
        times.append((folder.ready["status"], folder.ready["lastTransitionTime"]))

    assert [status for status, _ in times] == ["True", "True", "False", "False", "True"]
    assert times[0] == times[1]
    assert times[2] == times[3]


async def test_a_refused_revision_is_attempted_and_not_applied(make: Make) -> None:
    """What runs and what was last seen are told apart."""
    folder = make(on_invalid="refuse")
    folder.write("a.yaml")
    before = await folder.reloader.reload()
    folder.write("a.yaml", BROKEN)
    with pytest.raises(Refused):
        await folder.reloader.reload()

    status = folder.reloader.status()

    assert status["lastAppliedRevision"] == status["revision"] == before.revision
    assert status["lastAttemptedRevision"] != before.revision
    assert [issue["code"] for issue in status["issues"]] == ["yaml-syntax"]
    assert [(each["status"], each["generation"]) for each in status["history"]] == [
        ("ValidationFailed", None),
        ("Succeeded", 1),
    ]


async def test_the_history_is_short_and_begins_with_the_last(folder: Reloading) -> None:
    """Five contents, each with how often it was loaded."""
    for version in ("1", "2", "3", "4", "5", "6", "6", "5"):
        folder.write("a.yaml", flow(version))
        await folder.reloader.reload()

    history = folder.reloader.status()["history"]

    assert [each["generation"] for each in history] == [7, 6, 4, 3, 2]
    assert [each["total"] for each in history] == [2, 2, 1, 1, 1]


# --- who created the flows ---------------------------------------------------------------------


@pytest.fixture
def checkout(make: Make, tmp_path: Path) -> tuple[Repository, Reloading]:
    """A folder with a flow, in a git work tree with a commit."""
    if shutil.which("git") is None:
        pytest.skip("git is not here")
    repository = Repository(tmp_path)
    (repository.top / ".git/info/exclude").write_text("state\n")  # it changes meanwhile
    folder = make()
    repository.commit("a.yaml", text=flow())
    return repository, folder


async def until(condition: Callable[[], object]) -> None:
    """Wait for what comes after a generation."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


async def test_who_created_a_flow_is_known_after_it_is_in_place(
    checkout: tuple[Repository, Reloading],
) -> None:
    """A commit of what runs already is no new generation, and its author is known all the same."""
    repository, folder = checkout
    async with folder.watching():
        await folder.next()
        await until(lambda: folder.reloader.created.get("a.yaml"))
        folder.write("b.yaml")
        await folder.next()
        repository.commit(author=BOB)

        await folder.reloader.reload()
        await until(lambda: folder.reloader.created.get("b.yaml"))

    assert folder.reloader.created.get("a.yaml") == at(0)
    assert folder.reloader.created.get("b.yaml") == at(1, BOB)
    assert folder.current.number == 2


async def test_a_slow_git_holds_nothing_up(
    checkout: tuple[Repository, Reloading], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flows are in place without it, the next ones too, and the end does not wait for it."""
    _, folder = checkout
    git, pipe = tmp_path / "bin" / "git", tmp_path / "pid"
    git.parent.mkdir()
    git.write_text(f"#!/bin/sh\necho $$ > {pipe}\nexec sleep 1000\n")
    git.chmod(0o755)
    os.mkfifo(pipe)
    monkeypatch.setenv("PATH", f"{git.parent}:{os.environ['PATH']}")
    async with folder.watching():
        await folder.next()
        pid = int(await asyncio.to_thread(pipe.read_text))
        folder.write("b.yaml")

        assert list((await folder.next()).entries) == ["a", "b"]

    assert folder.reloader.created.get("a.yaml") is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_history_that_cannot_be_read_is_said(
    checkout: tuple[Repository, Reloading],
) -> None:
    """The flows run all the same: it is for information only."""
    repository, folder = checkout
    shutil.rmtree(repository.top / ".git" / "objects")
    async with folder.watching():
        await folder.next()
        await until(lambda: folder.said("daemon.warning"))

    (record,) = folder.said("daemon.warning")
    assert record["severity"] == "INFO"
    assert record["message"].startswith("who created the flows is not known: fatal: ")
    assert folder.states == {"a": State.ACTIVE}


# --- when a change looks finished ----------------------------------------------------------------


def _snapshot(age: float, *, atomic: bool = False) -> Snapshot:
    return Snapshot(
        files={},
        issues=(),
        digest="",
        revision="",
        kind="folder",
        atomic=atomic,
        newest_mtime=time.time() - age,
    )


@pytest.mark.parametrize(
    ("age", "atomic", "waited", "rests"),
    [
        pytest.param(1000, False, 0, True, id="old files"),
        pytest.param(0, False, 0, False, id="young files"),
        pytest.param(0, True, 0, True, id="young files of an atomic layout"),
        pytest.param(0, False, 1000, True, id="always young files"),
        pytest.param(-1e6, False, 0, False, id="a clock ahead of ours"),
        pytest.param(-1e6, False, 300, True, id="a clock ahead of ours, after a while"),
    ],
)
async def test_files_are_finished_when_none_is_young(
    tmp_path: Path, age: float, waited: float, *, atomic: bool, rests: bool
) -> None:
    """A change that does not come at once has to be of a certain age, within limits."""
    watcher = Watcher(tmp_path, replace(QUICK, settle=200.0, quiet_max=999.0), print)
    snapshot = _snapshot(age, atomic=atomic)

    unrest = await watcher.unrest(snapshot, time.monotonic() - waited)

    assert (unrest == 0) is rests
    assert unrest <= 200.0


async def test_files_are_not_finished_while_git_holds_its_lock(tmp_path: Path) -> None:
    """However old they are: the next one may be written now."""
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "index.lock").touch()
    watcher = Watcher(tmp_path, QUICK, print)

    assert await watcher.unrest(_snapshot(1000), time.monotonic()) > 0


async def test_a_lock_that_git_forgot_is_waited_for_once(tmp_path: Path) -> None:
    """It is said, and does not delay the next load again."""
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "index.lock").touch()
    warnings: list[str] = []
    watcher = Watcher(tmp_path, replace(QUICK, index_lock=0.05), warnings.append)

    for _ in range(3):
        await watcher.unlocked()

    (warning,) = warnings
    assert "index.lock" in warning


async def test_a_poke_asks_for_a_look(tmp_path: Path) -> None:
    """Whoever knows better need not wait for an event."""
    watcher = Watcher(tmp_path, Timings(quiet=0.0, resync=1000.0, resync_poll=1000.0), print)
    watcher.poke()

    assert await watcher.changed()


async def test_a_look_comes_without_being_asked_for(tmp_path: Path) -> None:
    """Events may be lost, so nothing depends on them."""
    watcher = Watcher(tmp_path, replace(QUICK, resync_poll=0.01), print)

    assert not await watcher.changed()


@pytest.mark.parametrize(
    ("hears", "poked", "missed"), [(True, False, 1), (True, True, 0), (False, False, 0)]
)
async def test_only_an_event_that_never_came_is_missed(
    tmp_path: Path, *, hears: bool, poked: bool, missed: int
) -> None:
    """Word of a change may come a moment after the change, and none comes without a watch."""
    watcher = Watcher(tmp_path, QUICK, lambda _: None)
    watcher._hears = hears
    if poked:
        watcher.poke()

    await watcher.found_unannounced()

    assert watcher.missed == missed


async def test_endless_events_put_a_look_off_for_a_while_only(tmp_path: Path) -> None:
    """A folder that is never quiet is looked at all the same."""
    watcher = Watcher(tmp_path, replace(QUICK, quiet=10.0, quiet_max=0.05), print)

    async def noise() -> None:
        while True:
            watcher.poke()
            await asyncio.sleep(0)

    task = asyncio.create_task(noise())
    assert await watcher.changed()
    task.cancel()


async def test_a_key_that_is_switched_off_and_not_there_is_said_once(tmp_path: Path) -> None:
    """A mistyped `disable` leaves a flow running that somebody wanted to stop."""
    reloading = Reloading(tmp_path, disable="one,tow")
    reloading.write("one.yaml")
    reloading.write("two.yaml")
    await reloading.reloader.reload()
    reloading.write("two.yaml", flow("2"))
    await reloading.reloader.reload()

    warnings = [each["message"] for each in reloading.said("daemon.warning")]

    assert warnings == ["the setting disable names 'tow', and there is no flow of this key"]
    assert reloading.states == {"one": State.INACTIVE, "two": State.ACTIVE}
