"""The folder that imported flows go to: nothing is lost, nothing half-written."""

import os
from pathlib import Path
from typing import Any

import pytest

from runner import source
from runner.errors import RunnerError
from runner.importers import directus, folder
from runner.importers.folder import File, Standing
from runner.loader import Loader
from runner.model import Severity
from runner.operations import BUILTIN
from runner.types import JSONObject, JSONValue


def id_(number: int) -> str:
    """The id of a flow."""
    return f"00000000-0000-4000-a000-{number:012x}"


def flow(number: int, name: str = "Order", **more: Any) -> JSONObject:
    """A flow that can be carried."""
    return {"id": id_(number), "name": name, "trigger": "operation", "operations": [], **more}


def broken(number: int, name: str = "Order") -> JSONObject:
    """A flow that cannot."""
    return flow(number, name, operation="x", operations=["x"])


def caller(number: int, called: int, name: str = "Caller") -> JSONObject:
    """A flow that starts another one."""
    options = {"flow": id_(called)}
    row = {"id": id_(0xA000 + number), "key": "call", "type": "trigger", "options": options}
    return flow(number, name, operation=row["id"], operations=[row])


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder that is not there yet."""
    return tmp_path / "sub" / "flows"


def bring(out: Path, *flows: JSONObject, force: bool = False) -> list[File]:
    """Import *flows* into *out*."""
    files = folder.plan(directus.convert(flows), out, force=force)
    for file in files:
        if file.standing is Standing.NEW:
            folder.write(file)
    return files


def names(out: Path) -> list[str]:
    """What is in *out*."""
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())


def said(files: list[File]) -> list[str]:
    """The codes of all issues."""
    return [issue.code for file in files for issue in file.issues]


async def errors(out: Path) -> list[str]:
    """What `validate` would refuse."""
    loaded = await Loader(BUILTIN, None).load(source.snapshot(out))
    return [str(issue) for issue in loaded.issues if issue.severity is Severity.ERROR]


# --- names --------------------------------------------------------------------------------------


def test_a_plan_writes_nothing(out: Path) -> None:
    """Not even the folder."""
    assert folder.plan(directus.convert([flow(1)]), out)
    assert not out.exists()


def test_flows_become_files_of_their_name(out: Path) -> None:
    """In the order of the export."""
    bring(out, flow(1), flow(2), flow(3, "Other"))

    assert names(out) == ["order-2.yaml", "order.yaml", "other.yaml"]
    assert f"id: {id_(2)}" in (out / "order-2.yaml").read_text()


def test_a_flow_keeps_the_file_that_it_has(out: Path) -> None:
    """Wherever somebody has moved it, and whatever it is called by now."""
    bring(out, flow(1), flow(2))
    (out / "billing").mkdir()
    (out / "order-2.yaml").rename(out / "billing" / "intake.yml")

    files = bring(out, flow(2), flow(3), flow(1))

    assert [file.standing for file in files] == [Standing.SAME, Standing.NEW, Standing.SAME]
    assert names(out) == ["billing/intake.yml", "order-2.yaml", "order.yaml"]


def test_what_is_left_to_do_keeps_its_name_too(out: Path) -> None:
    """Another flow of that name gets another one."""
    bring(out, broken(1))
    files = bring(out, flow(2), broken(1))

    assert [file.path.name for file in files] == ["order-2.yaml", "order.yaml.todo"]
    assert [file.standing for file in files] == [Standing.NEW, Standing.SAME]


@pytest.mark.parametrize("words", ["x " * 600_000, "{{ }}"], ids=["too long", "a template"])
def test_so_it_does_if_nobody_can_read_it_as_yaml(out: Path, words: str) -> None:
    """It is known by its id, wherever that stands."""
    row = {"id": id_(9), "key": "k", "type": "log", "options": {"message": words}}
    long = flow(1, description=None, operation=row["id"], operations=[row])

    (first,), (second,) = bring(out, long), bring(out, long)

    assert not first.carried
    assert (second.path, second.standing) == (first.path, Standing.SAME)


def test_names_of_other_flows_are_taken(out: Path) -> None:
    """By file, by key, and whether or not they can be read."""
    out.mkdir(parents=True)
    (out / "Order.yml").write_text("name: Mine\ntrigger: operation\n")
    (out / "other.yaml").write_text("name: Mine\ntrigger: operation\nkey: third\n")
    (out / "fourth.yaml").write_text("{")
    (out / "fifth.yaml.todo").write_bytes(b"\xff")

    bring(out, *(flow(n, name) for n, name in enumerate(["Order", "Third", "Fourth", "Fifth"])))

    brought = ["fifth-2.yaml", "fourth-2.yaml", "order-2.yaml", "third-2.yaml"]
    assert [name for name in names(out) if "-2" in name] == brought


def test_what_is_exported_twice_alike_counts_once(out: Path) -> None:
    """Two exports may overlap."""
    assert len(bring(out, flow(1), flow(1))) == 1


def test_two_flows_with_one_id_are_both_left_to_do(out: Path) -> None:
    """Neither is more right than the other."""
    files = bring(out, flow(1), flow(1, "Another"))

    assert names(out) == ["another.yaml.todo", "order.yaml.todo"]
    assert said(files) == ["duplicate-id", "duplicate-id"]


# --- what is there already ----------------------------------------------------------------------


def test_what_says_something_else_is_not_replaced(out: Path) -> None:
    """It may have been changed on purpose; that is said."""
    bring(out, flow(1), broken(2, "Broken"))
    (out / "order.yaml").write_text(f"name: Mine\nid: {id_(1)}\ntrigger: operation\n")
    (out / "broken.yaml.todo").write_text(f"name: Mine\nid: {id_(2)}\n")

    files = bring(out, flow(1), broken(2, "Broken"))

    assert [file.standing for file in files] == [Standing.KEPT, Standing.KEPT]
    assert said(files) == ["differs", "not-carried", "differs"]
    assert all("Mine" in (out / name).read_text() for name in names(out))


def test_with_force_it_is_replaced(out: Path) -> None:
    """At the same place."""
    bring(out, flow(1))
    (out / "order.yaml").rename(out / "mine.yaml")
    (out / "mine.yaml").write_text(f"name: Mine\nid: {id_(1)}\ntrigger: operation\n")

    files = bring(out, flow(1), force=True)

    assert [file.standing for file in files] == [Standing.NEW]
    assert names(out) == ["mine.yaml"]
    assert "name: Order" in (out / "mine.yaml").read_text()


def test_a_flow_that_can_be_carried_now_points_to_what_is_left_over(out: Path) -> None:
    """Somebody may have worked on it, so it stays."""
    bring(out, broken(1))

    files = bring(out, flow(1))

    assert names(out) == ["order.yaml", "order.yaml.todo"]
    assert said(files) == ["left-over"]
    assert files[0].carried


def test_a_flow_that_cannot_be_carried_any_more_leaves_what_runs(out: Path) -> None:
    """And those that start it go on to find it."""
    bring(out, flow(1), caller(2, 1))

    files = bring(out, broken(1), caller(2, 1))

    assert [file.carried for file in files] == [False, True]
    assert names(out) == ["caller.yaml", "order.yaml", "order.yaml.todo"]


def test_a_file_that_cannot_be_read_is_not_replaced(out: Path) -> None:
    """A folder of that name, for example."""
    (out / "order.yaml").mkdir(parents=True)

    assert [file.path.name for file in bring(out, flow(1))] == ["order-2.yaml"]


# --- what can run -------------------------------------------------------------------------------


async def test_flows_that_start_each_other_are_carried_together(out: Path) -> None:
    """By id, in whatever order they are exported."""
    files = bring(out, caller(2, 1), flow(1))

    assert [file.carried for file in files] == [True, True]
    assert await errors(out) == []


async def test_a_flow_may_start_one_that_was_there_before(out: Path) -> None:
    """The whole folder is linked."""
    bring(out, flow(1))

    assert [file.carried for file in bring(out, caller(2, 1))] == [True]
    assert await errors(out) == []


def test_a_flow_that_starts_an_unknown_one_is_left_to_do(out: Path) -> None:
    """In Directus it would get null; here nobody would know."""
    files = bring(out, caller(2, 1))

    assert names(out) == ["caller.yaml.todo"]
    assert said(files) == ["unknown-flow"]


async def test_what_starts_a_flow_that_is_left_to_do_is_left_to_do(out: Path) -> None:
    """Over any number of flows, each with its reason."""
    chain = [caller(n, n + 1, f"Caller {n}") for n in range(50)]

    files = bring(out, *chain, broken(50), flow(99, "Free"))

    assert [file.path.name for file in files if file.carried] == ["free.yaml"]
    assert said(files) == ["not-carried"] * 51
    assert files[0].issues[0].message == "it starts Caller 1, which is left to do as well"
    assert await errors(out) == []


def test_every_reason_is_told_at_once(out: Path) -> None:
    """An author who is at it shall not have to come back."""
    row = caller(2, 1)
    row["operations"] += [{**caller(2, 9)["operations"][0], "id": id_(3), "key": "again"}]
    row["operations"][0]["resolve"] = id_(3)

    files = bring(out, row, broken(1))

    assert sorted(said(files)) == ["not-carried", "not-carried", "unknown-flow"]


def test_the_reasons_stand_in_the_file_with_their_lines(out: Path) -> None:
    """Those that are told, at the lines where they are told."""
    rows: list[JSONObject] = [
        {"id": id_(0xB000 + n), "key": f"k{n}", "type": "nope", "resolve": id_(0xB001 + n)}
        for n in range(30)
    ]
    rows[-1]["resolve"] = None
    (file,) = bring(out, flow(1, operation=rows[0]["id"], operations=rows))

    lines = file.content.decode().splitlines()
    reasons = [line for line in lines if line.startswith("# - ")]
    assert len(reasons) == 21
    assert reasons[-1] == "# - and 10 more"
    for issue in file.issues:
        assert lines[issue.line - 1].strip() == "type: nope"
    assert reasons[0] == f"# - line {file.issues[0].line}: {file.issues[0].message}"


def test_issues_are_about_the_file_that_is_written(out: Path) -> None:
    """A terminal or an editor opens it."""
    files = bring(out, broken(1), flow(2, folder="x"))

    for file in files:
        assert {issue.path for issue in file.issues} == {file.path.as_posix()}
        assert file.path.exists()


def test_an_operation_that_leads_to_itself_in_both_ways_is_one_circle(out: Path) -> None:
    """It is said once."""
    own = id_(0xB000)
    row = {"id": own, "key": "a", "type": "log", "options": {"message": "m"}}
    (file,) = bring(
        out, flow(1, operation=own, operations=[{**row, "resolve": own, "reject": own}])
    )

    assert [issue.code for issue in file.issues] == ["cycle"]
    assert file.content.count(b"a \xe2\x86\x92 a") == 1


def logging(number: int, message: JSONValue, **more: Any) -> JSONObject:
    """A flow that writes *message*."""
    row = {"id": id_(0xC000), "key": "say", "type": "log", "options": {"message": message}, **more}
    return flow(number, operation=row["id"], operations=[row])


@pytest.mark.parametrize("message", ["{{ $secrets.DB }}", ["{{{{"]])
def test_what_would_mean_something_else_is_left_to_do(out: Path, message: JSONValue) -> None:
    """With the line of its place, in the file and on the terminal."""
    (file,) = bring(out, logging(1, message))

    (issue,) = file.issues
    lines = file.content.decode().splitlines()
    assert not file.carried
    assert "{{" in lines[issue.line - 1]
    assert f"# - line {issue.line}: {issue.message}" in lines


def test_a_plain_secret_is_carried_with_a_warning_at_its_line(out: Path) -> None:
    """Nobody is told what it is."""
    (file,) = bring(out, logging(1, {"password": "hunter2"}))

    (issue,) = file.issues
    assert file.carried
    assert (issue.severity, issue.code) == (Severity.WARNING, "literal-secret")
    assert file.content.decode().splitlines()[issue.line - 1].strip() == "password: hunter2"
    assert "hunter2" not in str(issue)


def test_what_is_to_be_said_is_said_of_texts_that_nobody_can_parse(out: Path) -> None:
    """Then it is about the file."""
    (file,) = bring(out, logging(1, ["x" * 1_100_000, "{{ $secrets.DB }}"]))

    assert ("foreign-root", 1) in [(issue.code, issue.line) for issue in file.issues]


# --- writing ------------------------------------------------------------------------------------


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    """Before anything is done."""
    (tmp_path / "file").write_text("")

    with pytest.raises(RunnerError, match="file cannot be read: Not a directory"):
        bring(tmp_path / "file", flow(1))


def test_what_cannot_be_written_is_an_error_and_leaves_nothing(out: Path) -> None:
    """No half a file, no scratch file."""
    (file,) = folder.plan(directus.convert([flow(1)]), out)
    file.path.mkdir(parents=True)

    with pytest.raises(RunnerError, match=r"order\.yaml cannot be written: Is a directory"):
        folder.write(file)

    assert [path.name for path in out.iterdir()] == ["order.yaml"]
    assert list(file.path.iterdir()) == []


def test_what_a_killed_import_left_is_in_nobodys_way(out: Path) -> None:
    """In a container the next process has the same id."""
    out.mkdir(parents=True)
    (out / f".{os.getpid()}.tmp").write_text("half a")

    bring(out, flow(1))

    assert names(out) == [f".{os.getpid()}.tmp", "order.yaml"]


def test_a_file_is_readable_for_everybody_who_may(out: Path) -> None:
    """It goes to git like one that was written by hand."""
    bring(out, flow(1))
    (out / "by-hand").write_text("")

    assert (out / "order.yaml").stat().st_mode == (out / "by-hand").stat().st_mode
