"""The README is true: its commands run, its files are good, its tables are complete."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple, cast

import pytest
import yaml

from runner import options, schema, settings
from runner.cli import main
from runner.operations import BUILTIN
from runner.records import EVENTS
from runner.settings import NOT_YET
from runner.types import JSONObject
from runner.web.app import build
from runner.web.keys import Source
from tests.world import World

ROOT: Final = Path(__file__).parent.parent
README: Final = (ROOT / "README.md").read_text("utf-8")

#: Stands in printed text for what differs from run to run.
VARIES: Final = "…"


def blocks(language: str, text: str = README) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def like(text: str) -> re.Pattern[str]:
    """Matches *text*, with anything in place of `…`."""
    return re.compile(re.escape(text).replace(VARIES, ".*?"), re.DOTALL)


# --- the commands -------------------------------------------------------------------------------

SERVE, TEST = blocks("sh")[:2]
CI = blocks("sh")[-1]


class Step(NamedTuple):
    """A command of the tour, and what it prints."""

    command: str
    output: str


def steps() -> list[Step]:
    """Every `$ command` of the README with the lines below it, in order."""
    found = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", "".join(blocks("console")), re.MULTILINE)
    return [Step(command, output.rstrip("\n")) for command, output in found]


class Place:
    """A folder with the example flows, a `.venv` as the README makes it, and a free port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "flows.d", folder / "flows.d")
        command = folder / ".venv/bin/runner"
        command.parent.mkdir(parents=True)
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m runner "$@"\n')
        command.chmod(0o755)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}

    def here(self, text: str) -> str:
        """*text* with the port that is ours here."""
        return text.replace("8055", str(self.port))

    def run(self, step: Step) -> str:
        """What the command of *step* prints; after an edit, not before the daemon has seen it."""
        before = self.loaded() if step.command.startswith("sed") else None
        done = subprocess.run(
            ["bash", "-c", self.here(step.command)],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=30,
            check=False,
        )
        self.wait_until(lambda: before is None or self.loaded() != before)
        return done.stdout.rstrip("\n")

    def loaded(self) -> str:
        """The digest of the files that were last loaded."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/source", timeout=10) as answer:
            digest: str = json.load(answer)["data"]["digest"]
            return digest

    @contextmanager
    def serving(self, **env: str) -> Iterator[Path]:
        """The daemon as the README starts it; gives the file that holds its standard output."""
        words = self.here(SERVE).strip().rpartition("&& ")[2].split()
        records = self.folder / "records"
        with records.open("wb") as stdout:
            process = subprocess.Popen(
                [*words, "--listen", f"127.0.0.1:{self.port}"],
                cwd=self.folder,
                env=self.env | env,
                stdout=stdout,
            )
        try:
            self.wait_until(lambda: process.poll() is not None or self.ready())
            assert process.poll() is None, "the daemon did not start"
            yield records
        finally:
            process.terminate()
            process.wait(30)

    def ready(self) -> bool:
        """Whether the daemon has flows."""
        with suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=10).close()
            return True
        return False

    @staticmethod
    def wait_until(holds: Callable[[], bool]) -> None:
        """Ask again and again, for 20 seconds at most."""
        deadline = time.monotonic() + 20
        while not holds():
            assert time.monotonic() < deadline, "not within 20 seconds"
            time.sleep(0.02)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Where a stranger would type the commands."""
    if shutil.which("curl") is None or shutil.which("bash") is None:
        pytest.skip("the tour uses bash and curl")
    return Place(tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_every_command_of_the_tour_prints_what_the_readme_says(place: Place) -> None:
    """From the first call to the last example, against one daemon, in order."""
    with place.serving() as records:
        for step in steps():
            assert like(step.output).fullmatch(place.run(step)), step.command
        shown = records.read_text("utf-8").splitlines()

    (record,) = blocks("json")
    assert any(like(record.strip()).fullmatch(line) for line in shown), "\n".join(shown)


@pytest.mark.slow
def test_the_deploy_hook_lets_in_whoever_has_the_secret(place: Place) -> None:
    """With `DEPLOY_TOKEN` in front, as the README says, its own call is accepted."""
    (call,) = (step for step in steps() if "X-Deploy-Token" in step.command)
    (name, token) = re.findall(r"`(DEPLOY_TOKEN)=([\w-]+)` in front", README)[0]

    with place.serving(**{name: token}):
        answer = place.run(call)
        stranger = place.run(Step(call.command.replace(token, "let-me-too"), ""))

    assert like('{"id":"…","durable":true} 202').fullmatch(answer)
    assert stranger.endswith(" 401")


def test_ci_runs_the_test_command_of_the_readme() -> None:
    """Word for word: what a stranger types is what is known to work."""
    assert CI.strip() == ".ci/run"
    assert TEST in (ROOT / ".ci/run").read_text("utf-8")


# --- the files ----------------------------------------------------------------------------------


def documents() -> list[str]:
    """The YAML of the README: a flow, settings, a sidecar."""
    return blocks("yaml")


async def test_the_flows_in_the_readme_have_no_issue(world: World) -> None:
    """What it shows, `validate` accepts."""
    flows = [text for text in documents() if "trigger:" in text]

    assert flows
    for flow in flows:
        assert await world.issues(intake=flow) == []


def test_the_settings_in_the_readme_are_accepted(tmp_path: Path) -> None:
    """The example can be copied into a settings file."""
    (text,) = (text for text in documents() if "tokens:" in text)
    file = tmp_path / "settings.yaml"
    file.write_text(text, "utf-8")
    (tmp_path / "CI_TOKEN").write_text("0123456789abcdef", "utf-8")

    loaded = settings.load({"secrets_dir": str(tmp_path)}, {}, file)

    assert [token.name for token in loaded.tokens] == ["ci"]


def test_the_sidecar_in_the_readme_mounts_what_the_image_expects() -> None:
    """It parses, and its places and port are those of the Dockerfile."""
    (text,) = (text for text in documents() if "restartPolicy" in text)
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")

    (container,) = yaml.safe_load(text)["initContainers"]

    mounted = [mount["mountPath"] for mount in container["volumeMounts"]]
    assert mounted == ["/flows", "/state", settings.load({}, {}).secrets_dir.as_posix()]
    assert "RUNNER_FLOWS=/flows" in dockerfile
    assert "RUNNER_STATE=/state" in dockerfile
    assert f"EXPOSE {container['ports'][0]['containerPort']}\n" in dockerfile


def test_every_link_in_the_readme_leads_somewhere() -> None:
    """Files exist, and so do headings."""
    links = re.findall(r"\]\(([^)]+)\)", README)
    titles = re.findall(r"^## (.*)$", README, re.MULTILINE)
    headings = {"#" + title.lower().replace(" ", "-") for title in titles}

    missing = [link for link in links if link not in headings and not (ROOT / link).exists()]

    assert missing == []


# --- the tables ---------------------------------------------------------------------------------


def waits(path: str) -> bool:
    """Whether the setting at *path* is only checked so far."""
    return any(f"{path}.".startswith(f"{each}.") for each in NOT_YET)


def settings_table() -> str:
    """One row for each setting that has a flag and an effect, in the schema's first sentence."""
    rows = ["| flag | default | what |", "|---|---|---|"]
    for option in options.flags():
        if not waits(option.path):
            default = f"`{option.default}`" if option.default else ""
            what = option.description.partition(". ")[0].rstrip(".") + "."
            rows.append(f"| `{option.flag}` | {default} | {what} |")
    return "\n".join(rows)


def test_the_table_of_settings_is_that_of_the_schema() -> None:
    """Every flag with its default; copy the left side into the README when this fails."""
    table = re.search(r"<!-- settings: .*?-->\n(.*?)\n?<!-- /settings -->", README, re.DOTALL)

    assert table is not None
    assert settings_table() == table[1]


def test_the_readme_names_every_setting_that_is_not_in_the_table() -> None:
    """What only the file can say is in the example; what has no effect yet is said to have none."""
    in_file = {path for path, _ in options.leaves(schema.load("settings"))}
    only_file = in_file - {option.path for option in options.flags()}
    paragraphs = [" ".join(text.split()) for text in README.split("\n\n")]
    (without_effect,) = (text for text in paragraphs if "checked and has no effect yet" in text)

    named = {path: rf"^{path.partition('.')[0]}:" for path in only_file}
    shown = {path for path, at in named.items() if re.search(at, README, re.MULTILINE)}

    assert {path for path in only_file - shown if not waits(path)} == set()
    assert set(re.findall(r"`([a-z_.]+)`", without_effect)) == set(NOT_YET)


def names() -> list[str]:
    """Everything that a table of the README has to list."""
    triggers = [name.partition("/")[2] for name in schema.names() if name.startswith("triggers/")]
    return [*BUILTIN, *triggers, *EVENTS]


@pytest.mark.parametrize("name", names())
def test_the_readme_lists_every_operation_trigger_and_event(name: str) -> None:
    """Each is in the first column of a table."""
    first_cells = re.findall(r"^\| ([^|]*) \|", README, re.MULTILINE)

    assert any(f"`{name}`" in cell for cell in first_cells)


def test_the_readme_lists_every_route(world: World) -> None:
    """What the application answers is in the table, whatever a variable part is called there."""
    source = cast("Source", None)  # no handler is called
    app = build(settings.load({}, {}), world.registry, world.engine, source, world.recorder)
    routes = {resource.canonical for resource in app.router.resources()}
    written = re.findall(r"`(?:[A-Z]+ )?(/[^`?]*)`", README)

    missing = {re.sub("{.*?}", "{}", each) for each in routes}
    missing -= {re.sub("{.*?}", "{}", each) for each in written}

    assert missing == set()


def test_the_readme_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """As `runner --help` does."""
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = re.findall(r"^    (\w+)  ", capsys.readouterr().out, re.MULTILINE)

    assert commands
    assert [name for name in commands if f"| `runner {name}" not in README] == []


def test_what_is_not_there_yet_is_not_there() -> None:
    """A feature that comes leaves the list; the schema of flows says what has come."""
    missing = README.partition("## Not there yet")[2].partition("\n## ")[0]
    flow: JSONObject = schema.load("flow")

    there = {*BUILTIN, *flow["properties"]["trigger"]["enum"]}

    assert [name for name in there if f"`{name}`" in missing] == []
