"""The command line: what people and scripts see."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from runner import schema
from runner.cli import main

GOOD = """name: Good
trigger: webhook
options: {method: POST, auth: none}
operations:
  - key: sum
    type: transform
    options: {json: {total: "{{ $trigger.body.total }}", name: "{{ $trigger.query.name }}"}}
"""
BROKEN = "name: Broken\ntrigger: webhok\n"
REJECTS = """name: Rejects
trigger: operation
operations:
  - {key: no, type: throw-error, options: {code: NOPE, message: "not today, {{ $trigger.who }}"}}
"""


@pytest.fixture
def flows(tmp_path: Path) -> Path:
    """A folder with one good flow."""
    folder = tmp_path / "flows"
    folder.mkdir()
    (folder / "good.yaml").write_text(GOOD)
    return folder


@pytest.fixture
def runner(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Run a command; give exit code, stdout and stderr."""
    monkeypatch.delenv("RUNNER_SETTINGS", raising=False)

    def run(*argv: object) -> tuple[int, str, str]:
        try:
            code = main([str(each) for each in argv])
        except SystemExit as error:  # argparse ends like this
            code = int(error.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return run


Runner = Callable[..., tuple[int, str, str]]


# --- validate -----------------------------------------------------------------------------------


def test_a_clean_folder_says_nothing_and_exits_0(runner: Runner, flows: Path) -> None:
    """Silence in a pipe means that all is well."""
    assert runner("validate", flows) == (0, "", "")


def test_validate_reads_the_folder_that_the_settings_name(
    runner: Runner, flows: Path, tmp_path: Path
) -> None:
    """Without a path, it looks at what the daemon would serve."""
    (flows / "broken.yaml").write_text(BROKEN)
    (tmp_path / "settings.yaml").write_text(f"flows: {flows}\n")

    code, out, _ = runner("validate", "--settings", tmp_path / "settings.yaml")

    assert code == 1
    assert out.startswith(f"{flows}/broken.yaml:2:10: error:")


def test_issues_are_printed_with_their_place_and_exit_1(runner: Runner, flows: Path) -> None:
    """The path is the one that was given, so that an editor or a terminal can open it."""
    (flows / "broken.yaml").write_text(BROKEN)

    code, out, _ = runner("validate", flows)

    assert code == 1
    assert out.splitlines() == [
        f"{flows}/broken.yaml:2:10: error: trigger must be one of event, webhook, schedule, manual,"
        ' operation, not "webhok" (did you mean "webhook"?) [unknown-trigger]'
    ]


def test_warnings_are_printed_and_count_only_if_strict(runner: Runner, flows: Path) -> None:
    """The daemon runs such a flow."""
    (flows / "good.yaml").write_text(GOOD.replace("$trigger.query.name", "nobody.name"))

    code, out, _ = runner("validate", flows)

    assert code == 0
    assert "good.yaml:7:64: warning: " in out
    assert runner("validate", flows, "--strict") == (1, out, "")


def test_strict_changes_nothing_about_a_clean_folder(runner: Runner, flows: Path) -> None:
    """There is nothing to count."""
    assert runner("validate", flows, "--strict") == (0, "", "")


def test_paths_that_overlap_name_an_issue_once(runner: Runner, flows: Path) -> None:
    """A folder, and a file in it."""
    (flows / "broken.yaml").write_text(BROKEN)

    _, out, _ = runner("validate", flows, flows / "broken.yaml")

    assert len(out.splitlines()) == 1


def test_one_file_is_checked_with_its_neighbours_in_sight(runner: Runner, flows: Path) -> None:
    """Only its own issues are shown, and flows that it names are found beside it."""
    (flows / "broken.yaml").write_text(BROKEN)
    (flows / "caller.yaml").write_text(
        "name: C\ntrigger: operation\noperations:\n  - {type: trigger, options: {flow: rejects}}\n"
    )
    (flows / "rejects.yaml").write_text(REJECTS)

    assert runner("validate", flows / "caller.yaml") == (0, "", "")
    assert runner("validate", flows / "broken.yaml")[0] == 1


@pytest.mark.parametrize("name", ["_draft.yaml", "notes.txt", "good.test.yaml"])
def test_a_file_that_is_no_flow_is_not_called_clean(runner: Runner, flows: Path, name: str) -> None:
    """Nobody looked at it, and that is said."""
    (flows / name).write_text(BROKEN)

    code, _, err = runner("validate", flows / name)

    assert code == 2
    assert "is not a flow file" in err


def test_a_folder_that_is_not_there_exits_2_and_says_so(runner: Runner, tmp_path: Path) -> None:
    """`1` is about flows, `2` about not having been able to look."""
    code, out, err = runner("validate", tmp_path / "nothing")

    assert (code, out) == (2, "")
    assert "nothing" in err
    assert err.startswith("runner: ")


def test_json_has_every_member_of_an_issue(runner: Runner, flows: Path) -> None:
    """Programs read what people read."""
    (flows / "broken.yaml").write_text(BROKEN)

    code, out, _ = runner("validate", flows, "--format", "json")

    assert code == 1
    assert json.loads(out) == [
        {
            "path": f"{flows}/broken.yaml",
            "line": 2,
            "column": 10,
            "severity": "error",
            "code": "unknown-trigger",
            "message": "trigger must be one of event, webhook, schedule, manual, operation,"
            ' not "webhok"',
            "hint": 'did you mean "webhook"?',
        }
    ]


def test_json_of_a_clean_folder_is_an_empty_list(runner: Runner, flows: Path) -> None:
    """A program need not look at the exit code."""
    assert runner("validate", flows, "--format", "json") == (0, "[]\n", "")


def test_github_annotations_escape_what_would_end_them(runner: Runner, flows: Path) -> None:
    """A file name with a comma stays in its property."""
    (flows / "a,b.yaml").write_text(BROKEN)

    _, out, _ = runner("validate", flows, "--format", "github")

    assert out.startswith(f"::error file={flows}/a%2Cb.yaml,line=2,col=10,title=unknown-trigger::")
    assert out.count("\n") == 1


def test_sarif_is_what_scanners_take(runner: Runner, flows: Path) -> None:
    """The members that code scanning asks for are there, at the right place."""
    (flows / "broken.yaml").write_text(BROKEN)

    _, out, _ = runner("validate", flows, "--format", "sarif")

    log = json.loads(out)
    result = log["runs"][0]["results"][0]
    assert log["version"] == "2.1.0"
    assert result["ruleId"] == "unknown-trigger"
    assert result["level"] == "error"
    assert result["locations"][0]["physicalLocation"]["region"] == {
        "startLine": 2,
        "startColumn": 10,
    }


def test_with_settings_secrets_and_roles_are_looked_for(
    runner: Runner, flows: Path, tmp_path: Path
) -> None:
    """What the daemon would miss, CI misses too."""
    (flows / "hook.yaml").write_text(
        "name: Hook\ntrigger: webhook\naccountability: editr\n"
        "options: {auth: {kind: bearer, secret: NOT_THERE}}\n"
    )
    settings = tmp_path / "settings.yaml"
    settings.write_text("roles: {editor: {flows: [read]}}\n")

    assert runner("validate", flows)[0] == 0
    code, out, _ = runner("validate", flows, "--settings", settings)

    assert code == 1
    assert 'there is no secret "NOT_THERE"' in out
    assert 'no role "editr"' in out
    assert 'did you mean "editor"?' in out


def test_a_typo_in_the_settings_file_has_its_place_and_exits_2(
    runner: Runner, flows: Path, tmp_path: Path
) -> None:
    """Settings are checked like flows."""
    settings = tmp_path / "settings.yaml"
    settings.write_text("listen: 127.0.0.1:1\nlimts: {body: 1MiB}\n")

    code, _, err = runner("validate", flows, "--settings", settings)

    assert code == 2
    assert "settings.yaml:2:1" in err
    assert "limits" in err


# --- run ----------------------------------------------------------------------------------------


def test_run_prints_the_result_alone(runner: Runner, flows: Path) -> None:
    """In a pipe, stdout is JSON and nothing else."""
    code, out, err = runner(
        "run", "good", "--flows", flows, "--data", '{"total": 5}', "--query", "name=Ann"
    )

    assert (code, err) == (0, "")
    assert json.loads(out) == {"total": 5, "name": "Ann"}


def test_run_reads_data_from_a_file(runner: Runner, flows: Path, tmp_path: Path) -> None:
    """As curl does it."""
    (tmp_path / "data.json").write_text('{"total": 7}')

    code, out, _ = runner("run", "good", "--flows", flows, "--data", f"@{tmp_path}/data.json")

    assert code == 0
    assert json.loads(out)["total"] == 7


def test_run_takes_the_file_of_a_flow_too(runner: Runner, flows: Path) -> None:
    """What tab completion writes works."""
    assert runner("run", flows / "good.yaml", "--flows", flows)[0] == 0


def test_a_flow_that_rejects_exits_1_with_its_reason(runner: Runner, flows: Path) -> None:
    """Scripts see the exit code, people the message and the code."""
    (flows / "rejects.yaml").write_text(REJECTS)

    code, out, err = runner("run", "rejects", "--flows", flows, "--data", '{"who": "Bob"}')

    assert (code, out) == (1, "")
    assert err == "runner: rejected: not today, Bob [NOPE]\n"


def test_an_unknown_flow_exits_2_with_the_nearest_name(runner: Runner, flows: Path) -> None:
    """A typo is answered with what was meant."""
    code, _, err = runner("run", "godo", "--flows", flows)

    assert code == 2
    assert "did you mean 'good'?" in err


def test_a_flow_with_issues_exits_2_and_names_them(runner: Runner, flows: Path) -> None:
    """The same words as `validate`."""
    (flows / "broken.yaml").write_text(BROKEN)

    code, _, err = runner("run", "broken", "--flows", flows)

    assert code == 2
    assert f"{flows}/broken.yaml:2:10: error:" in err


MANUAL = """name: Manual
trigger: manual
options:
  fields:
    - {field: days, type: integer, default: 30}
    - {field: reason, required: true}
operations:
  - {key: all, type: transform, options: {json: "{{ $trigger.body }}"}}
"""


def test_run_fills_in_and_checks_the_fields_of_a_manual_flow(runner: Runner, flows: Path) -> None:
    """What the daemon would refuse does not run here, and defaults are the same."""
    (flows / "manual.yaml").write_text(MANUAL)

    code, out, _ = runner("run", "manual", "--flows", flows, "--data", '{"reason": "spring"}')
    assert (code, json.loads(out)) == (0, {"days": 30, "reason": "spring"})

    for data, reason in [("{}", '"reason" is required'), ("[]", "takes an object")]:
        code, out, err = runner("run", "manual", "--flows", flows, "--data", data)
        assert (code, out) == (2, "")
        assert reason in err


@pytest.mark.parametrize("data", ["{", "@/nowhere.json", "NaN"])
def test_data_that_is_not_json_exits_2(runner: Runner, flows: Path, data: str) -> None:
    """Nothing runs with half of what was meant."""
    code, out, err = runner("run", "good", "--flows", flows, "--data", data)

    assert (code, out) == (2, "")
    assert err.startswith(f"runner: --data {data}")


# --- list and schema ----------------------------------------------------------------------------


def test_list_says_state_key_and_how_to_start(runner: Runner, flows: Path) -> None:
    """One line a flow, broken ones among them."""
    (flows / "broken.yaml").write_text(BROKEN)

    code, out, _ = runner("list", flows)

    assert code == 1
    assert [line.split() for line in out.splitlines()] == [
        ["invalid", "broken", "-", "Broken"],
        ["active", "good", "POST", "/flows/trigger/good", "Good"],
    ]


EVENT = """name: Event
trigger: event
options: {type: %s, scope: %s, collections: [%s]}
operations: [{key: e, type: transform, options: {json: {told: "{{ $trigger.event }}"}}}]
"""


@pytest.mark.parametrize(
    ("type_", "scope", "collections", "expected"),
    [
        ("filter", "items.create", "a", "asked before a.items.create"),
        ("action", "[com.example.*, x]", "", "told of com.example.*, x"),
        ("action", "[a, b, c, d, e]", "", "told of a, b, c and 2 more"),
        ("action", "items.create", "", "told of nothing"),
    ],
)
def test_list_says_which_events_a_flow_waits_for(
    runner: Runner, flows: Path, type_: str, scope: str, collections: str, expected: str
) -> None:
    """With their collections, as they are told."""
    (flows / "good.yaml").write_text(EVENT % (type_, scope, collections))

    _, out, _ = runner("list", flows)

    assert " ".join(out.split()) == f"active good {expected} Event"


def test_an_event_flow_is_run_with_its_whole_trigger(runner: Runner, flows: Path) -> None:
    """What is given is `$trigger`; an action flow returns nothing."""
    (flows / "event.yaml").write_text(EVENT % ("action", "x", ""))
    returning = EVENT.replace("scope", "return: $last, scope")
    (flows / "filter.yaml").write_text(returning % ("filter", "x", ""))
    data = '{"event": "x", "payload": 1}'

    assert runner("run", "event", "--flows", flows, "--data", data) == (0, "null\n", "")
    assert runner("run", "filter", "--flows", flows, "--data", data) == (0, '{"told":"x"}\n', "")


SCHEDULE = """name: Often
trigger: schedule
options: {cron: ["30 2 * * *", "30 14 * * *"], timezone: Asia/Kolkata}
"""


def test_the_clock_brings_nothing(runner: Runner, flows: Path) -> None:
    """A schedule that is run by hand has no trigger data either."""
    (flows / "often.yaml").write_text(SCHEDULE)

    assert runner("run", "often", "--flows", flows, "--data", '{"a": 1}') == (0, "null\n", "")


def test_list_says_when_schedules_fire_next(runner: Runner, flows: Path) -> None:
    """On the clock of their zone, with its offset; of other flows nothing."""
    (flows / "often.yaml").write_text(SCHEDULE)
    (flows / "off.yaml").write_text(SCHEDULE + "status: inactive\n")

    code, out, _ = runner("list", flows, "--next", 3)

    assert code == 0
    good, off, often, *fires = out.splitlines()
    assert "good" in good
    assert off.split()[:2] == ["inactive", "off"]
    assert "30 2 * * *, 30 14 * * * (Asia/Kolkata)" in often
    assert len(fires) == 3
    for fire in fires:
        assert re.fullmatch(r"  \d{4}-\d\d-\d\dT(02|14):30:00\+05:30  Asia/Kolkata", fire)
    assert fires == sorted(fires)


def test_list_says_the_same_to_programs(runner: Runner, flows: Path) -> None:
    """Zone and fires where there are any and they are asked for."""
    (flows / "often.yaml").write_text(SCHEDULE)

    good, often = json.loads(runner("list", flows, "--next", 2, "--format", "json")[1])
    plain = json.loads(runner("list", flows, "--format", "json")[1])

    assert "next" not in good
    assert often["timezone"] == "Asia/Kolkata"
    assert len(often["next"]) == 2
    assert all("next" not in each for each in plain)


@pytest.mark.parametrize("count", ["0", "-1", "1001", "10000", "x", "1e3", "9" * 30])
def test_list_shows_a_bounded_number_of_fires(runner: Runner, flows: Path, count: str) -> None:
    """Anything else is told what to write."""
    code, _, err = runner("list", flows, f"--next={count}")

    assert code == 2
    assert "is not a number from 1 to 1000" in err


def test_schema_prints_a_schema_or_all_names(runner: Runner) -> None:
    """The names that it prints are names that it takes."""
    code, out, _ = runner("schema")

    assert code == 0
    for name in out.split():
        assert json.loads(runner("schema", name)[1])["$schema"]


def test_an_unknown_schema_exits_2_with_the_nearest_name(runner: Runner) -> None:
    """The answer lists what there is."""
    code, _, err = runner("schema", "operations/lug")

    assert code == 2
    assert "operations/log" in err


def test_schemas_written_elsewhere_still_refer_to_each_other(
    runner: Runner, tmp_path: Path
) -> None:
    """Another repository gets files that an editor can follow without this package."""
    assert runner("schema", "--out", tmp_path / "schemas")[0] == 0

    for name in schema.names():
        written = json.loads((tmp_path / "schemas" / f"{name}.schema.json").read_text())
        jsonschema.Draft202012Validator.check_schema(written)
        for reference in _references(written):
            file = reference.partition("#")[0]
            start = tmp_path / "schemas" / f"{name}.schema.json"
            assert not file or (start.parent / file).is_file(), reference


def _references(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for each in value.values() for found in _references(each)]
    if isinstance(value, list):
        return [found for each in value for found in _references(each)]
    return []


# --- help ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["serve", "validate", "run", "list", "schema"])
def test_every_command_explains_itself(runner: Runner, command: str) -> None:
    """`--help` says in a sentence what the command is for."""
    code, out, _ = runner(command, "--help")

    assert code == 0
    assert out.startswith(f"usage: runner {command}")
    assert len(out.splitlines()) > 5


def test_without_a_command_the_way_to_help_is_shown(runner: Runner) -> None:
    """Exit 2, as for every call that cannot be understood."""
    code, _, err = runner()

    assert code == 2
    assert "usage: runner" in err
