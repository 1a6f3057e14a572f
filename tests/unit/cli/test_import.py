"""`runner import`: what people and scripts see of it."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.cli import import_, main
from runner.types import JSONObject
from tests.unit.importers.server import FLOWS, says, serving

Runner = Callable[..., tuple[int, str, str]]


@pytest.fixture
def runner(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Runner:
    """Run `runner import directus` in an empty folder; give exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DIRECTUS_TOKEN", raising=False)
    monkeypatch.setenv("no_proxy", "*")

    def run(*argv: object) -> tuple[int, str, str]:
        try:
            code = main(["import", "directus", *(str(each) for each in argv)])
        except SystemExit as error:  # argparse ends like this
            code = int(error.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return run


def flow(name: str, type_: str = "log", **more: Any) -> JSONObject:
    """A flow as Directus lists it, with one operation; its id follows from its name."""
    id_ = f"00000000-0000-4000-a000-{name.encode().hex():0>12}"
    row = {"id": id_, "key": "say", "type": type_, "options": {"message": "hello"}}
    shape = {"id": id_, "name": name, "trigger": "operation", "operation": id_}
    return {**shape, "operations": [row], **more}


def export(*flows: JSONObject, name: str = "export.json") -> str:
    """Write an answer of the API; give its name."""
    Path(name).write_text(json.dumps({"data": flows}))
    return name


# --- what is written ----------------------------------------------------------------------------


def test_flows_are_written_and_their_paths_printed(runner: Runner) -> None:
    """A script gets the paths, people the sum."""
    assert runner(export(flow("one"), flow("two")), "--out", "flows") == (
        0,
        "flows/one.yaml\nflows/two.yaml\n",
        "2 written\n",
    )


def test_what_is_written_can_be_served(runner: Runner) -> None:
    """`validate` has nothing to say of it."""
    runner(export(flow("one")), "--out", "flows")

    assert main(["validate", "flows"]) == 0


def test_a_second_run_has_nothing_to_say(runner: Runner) -> None:
    """The same bytes are a silent success."""
    runner(export(flow("one", folder="x")), "--out", "flows")

    assert runner("export.json", "--out", "flows") == (0, "", "")


def test_what_cannot_be_carried_goes_to_a_todo_with_its_reasons(runner: Runner) -> None:
    """On stderr, with file and line; the others are carried."""
    code, out, err = runner(export(flow("one"), flow("two", "throttle")), "--out", "flows")

    reason, total = err.splitlines()
    assert code == 1
    assert out.split() == ["flows/one.yaml", "flows/two.yaml.todo"]
    assert reason.startswith("flows/two.yaml.todo:10:11: error: operations[0].type must be one of")
    assert reason.endswith('not "throttle" [unknown-type]')
    assert total == "1 written, 1 left to do"


def test_warnings_are_printed_and_counted(runner: Runner) -> None:
    """They do not change the exit code: the flow is carried."""
    code, _, err = runner(export(flow("one", folder="x")), "--out", "flows")

    assert code == 0
    assert err.splitlines() == [
        "flows/one.yaml:1:1: warning: left out, as flows here do not have it: folder [left-out]",
        "1 written, 1 warning",
    ]


def test_a_plain_secret_is_told_and_never_shown(runner: Runner) -> None:
    """The flow is carried, so exit is 0."""
    row = flow("one", "request")
    headers = [{"header": "Authorization", "value": "Bearer hunter2"}]
    row["operations"][0]["options"] = {
        "url": "https://example.com?token=abcdef",
        "headers": headers,
    }

    code, out, err = runner(export(row), "--out", "flows")

    assert (code, out) == (0, "flows/one.yaml\n")
    assert err.count("[literal-secret]") == 2
    assert "hunter2" not in err
    assert "abcdef" not in err
    assert main(["validate", "flows"]) == 0


def test_a_dry_run_says_what_it_would_do(runner: Runner) -> None:
    """And does nothing."""
    written = export(flow("one", folder="x"), flow("two", "throttle"))

    code, out, err = runner(written, "--out", "flows", "--dry-run")

    assert code == 1
    assert out.split() == ["flows/one.yaml", "flows/two.yaml.todo"]
    assert err.splitlines()[-1] == "1 would be written, 1 left to do, 1 warning"
    assert not Path("flows").exists()


def test_a_file_that_says_something_else_stays_unless_forced(runner: Runner) -> None:
    """Somebody has worked on it."""
    runner(export(flow("one")), "--out", "flows")
    file = Path("flows/one.yaml")
    written = file.read_text()
    file.write_text(f"# mine\n{written}")

    code, out, err = runner("export.json", "--out", "flows")
    kept = file.read_text()
    forced = runner("export.json", "--out", "flows", "--force")

    assert (code, out) == (1, "")
    assert err.splitlines() == [
        "flows/one.yaml:1:1: error: what is there is not what was imported "
        "(remove it, or replace it with --force) [differs]",
        "1 not replaced",
    ]
    assert kept.startswith("# mine")
    assert forced == (0, "flows/one.yaml\n", "1 written\n")
    assert file.read_text() == written


def test_severity_has_a_colour_on_a_terminal(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And only there."""
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", terminal)

    runner(export(flow("one", folder="x"), flow("two", "throttle")), "--out", "flows")

    assert " \x1b[33mwarning\x1b[0m:" in terminal.getvalue()
    assert " \x1b[31merror\x1b[0m:" in terminal.getvalue()


# --- what is read -------------------------------------------------------------------------------


def test_several_exports_are_read_together(runner: Runner) -> None:
    """Flows in one may start flows of the other."""
    called = flow("two")
    start = {"type": "trigger", "options": {"flow": called["id"]}}
    caller = flow("one")
    caller["operations"] = [{**caller["operations"][0], **start}]

    assert runner(export(caller), export(called, name="b.json"), "--out", "flows")[0] == 0


def test_standard_input_is_read(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in `curl … | runner import directus - --out flows`."""
    stdin = io.TextIOWrapper(io.BytesIO(json.dumps(flow("one")).encode()))
    monkeypatch.setattr("sys.stdin", stdin)

    assert runner("-", "--out", "flows")[:2] == (0, "flows/one.yaml\n")


def test_an_export_that_cannot_be_read_is_named_and_the_others_are_imported(runner: Runner) -> None:
    """Exit 1: not everything was carried."""
    Path("cut.json").write_text('{"data": [{"name"')

    code, out, err = runner("cut.json", "gone.json", ".", export(flow("one")), "--out", "flows")

    assert (code, out) == (1, "flows/one.yaml\n")
    cut, gone, folder, total = err.splitlines()
    assert cut.startswith("cut.json: this is not JSON: ")
    assert gone == "gone.json: it cannot be read: No such file or directory"
    assert folder == ".: it cannot be read: Is a directory"
    assert total == "1 written"


@pytest.mark.parametrize(
    "content", ["", "{}", '{"data": []}', "[]", "[7]", '{"version": 3, "flow": {}}']
)
def test_where_there_is_nothing_to_import_nothing_is_written(runner: Runner, content: str) -> None:
    """Exit 2, so that a script notices."""
    Path("export.json").write_text(content)

    code, out, err = runner("export.json", "--out", "flows")

    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == "runner: no flows were found, so nothing was written"
    assert not Path("flows").exists()


def test_what_can_be_read_of_an_export_is_imported(runner: Runner) -> None:
    """The rest is named with its place, and exit is 1."""
    Path("export.json").write_text(json.dumps([flow("one"), {"foo": 1}]))

    code, out, err = runner("export.json", "--out", "flows")

    assert (code, out) == (1, "flows/one.yaml\n")
    assert err.splitlines() == [
        "export.json: [1]: this is neither a flow nor an export of Directus' Studio nor a list of"
        " these",
        "1 written",
    ]


def test_an_export_that_is_too_long_is_refused(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it is parsed."""
    monkeypatch.setattr(import_, "MAX_BYTES", 1 << 20)
    Path("export.json").write_bytes(b" " * (1 << 21))

    code, _, err = runner("export.json", "--out", "flows")

    assert code == 2
    assert err.startswith("export.json: it is longer than 1 MiB\n")


def test_a_flow_of_a_million_operations_is_refused_with_the_reason(runner: Runner) -> None:
    """And without a file of a million operations."""
    row = json.dumps({"id": "x", "key": "k"})
    head = json.dumps({**flow("one"), "operations": []})
    million = ",".join([row] * 1_000_000)
    Path("export.json").write_text(head.replace('"operations": []', f'"operations": [{million}]'))

    code, out, err = runner("export.json", "--out", "flows")

    assert (code, out) == (1, "flows/one.yaml.todo\n")
    assert "it has 1,000,000 operations; 10,000 are allowed [not-carried]" in err
    assert Path("flows/one.yaml.todo").stat().st_size < 1000


# --- a Directus that runs -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "environ", "sent"),
    [
        (["--token", "given"], {"DIRECTUS_TOKEN": "set"}, "Bearer given"),
        (["--token-file", "token"], {"DIRECTUS_TOKEN": "set"}, "Bearer kept"),
        ([], {"DIRECTUS_TOKEN": "set"}, "Bearer set"),
        ([], {"DIRECTUS_TOKEN": ""}, None),
        ([], {}, None),
    ],
)
def test_the_token_comes_from_a_flag_a_file_or_the_environment(
    runner: Runner, monkeypatch: pytest.MonkeyPatch, argv: list[str], environ: Any, sent: Any
) -> None:
    """In this order."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    Path("token").write_text("kept\n")

    with serving(says(FLOWS)) as server:
        code, out, _ = runner("--url", server.url, *argv, "--out", "flows")

    assert (code, out) == (1, "flows/a.yaml.todo\n")
    assert server.asked[0]["headers"].get("Authorization") == sent


def test_a_directus_that_refuses_is_named(runner: Runner) -> None:
    """One clear sentence, and exit 2."""
    with serving(says("{}", 401)) as server:
        code, out, err = runner("--url", server.url, "--token", "x", "--out", "flows")

    assert (code, out) == (2, "")
    assert err.splitlines()[0] == f"{server.url}: the token is not valid"


def test_a_password_in_the_address_is_not_repeated(runner: Runner) -> None:
    """It may be in the log of some CI by the next minute."""
    _, _, err = runner("--url", "https://user:secret@example.com", "--out", "flows")

    assert err.startswith("--url: the URL of a Directus is written like ")
    assert "secret" not in err


def test_files_and_a_directus_are_read_together(runner: Runner) -> None:
    """Exit 1 if one of them cannot be."""
    with serving(says("<html>")) as server:
        code, out, err = runner(export(flow("one")), "--url", server.url, "--out", "flows")

    assert (code, out) == (1, "flows/one.yaml\n")
    assert err.startswith(f"{server.url}: this is not JSON: ")


def test_a_token_file_that_is_not_there_exits_2(runner: Runner) -> None:
    """Nothing is asked without it."""
    code, _, err = runner("--url", "http://127.0.0.1:1", "--token-file", "gone", "--out", "flows")

    assert code == 2
    assert err.startswith("runner: the token cannot be read: ")


# --- help ---------------------------------------------------------------------------------------


def test_without_a_source_the_way_is_shown(runner: Runner) -> None:
    """Exit 2, as for every call that cannot be understood."""
    assert runner("--out", "flows") == (
        2,
        "",
        "runner: name a FILE to import, or a Directus with --url\n",
    )
    assert runner("export.json")[0] == 2


@pytest.mark.parametrize("argv", [["import", "--help"], ["import", "directus", "--help"]])
def test_help_teaches(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """It says what can be read and shows how."""
    with pytest.raises(SystemExit):
        main(argv)

    told = capsys.readouterr().out
    assert "runner import directus export.json --out flows.d" in told
