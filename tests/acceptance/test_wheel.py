"""The image without a container engine: the lines of the Dockerfile, carried out one by one.

`/opt/runner`, `/state` and so on lie below a temporary folder, a virtual environment stands for
the Python image, and what ENV, USER, ENTRYPOINT and CMD say is what the daemon is started with.
"""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]

#: Installing everything takes as long as the package index does.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

#: The folders of the image that our lines name.
OURS = re.compile(r"(?<![\w./])/(src|dist|opt/runner|state|flows)\b")

#: Whom `USER` names. Whoever is not root cannot become somebody else, and stays who they are.
USER, GROUP = (65532, 65532) if os.getuid() == 0 else (os.getuid(), os.getgid())


class Line(NamedTuple):
    """One instruction: `ENV`, and what it says."""

    name: str
    text: str


class Image:
    """What `docker build` would make, below *root*."""

    def __init__(self, root: Path, python: str) -> None:
        self.root = root
        self.workdir = root
        #: What ENV says.
        self.variables: dict[str, str] = {}
        #: What all other instructions of this kind say: ENTRYPOINT, USER, ….
        self.settings: dict[str, str] = {}
        run([python, "-m", "venv", str(root / "python")])

    def build(self, dockerfile: str) -> None:
        """Carry out all stages; they share one file system."""
        tools = {"PATH": f"{self.root}/python/bin:/usr/bin:/bin"}
        for line in lines(dockerfile):
            match line.name:
                case "WORKDIR":
                    self.workdir = Path(self.placed(line.text))
                    self.workdir.mkdir()
                case "COPY":
                    self._copy(line.text)
                case "RUN":
                    run(["/bin/sh", "-c", self.placed(line.text)], cwd=self.workdir, env=tools)
                case "ENV":
                    self.variables |= dict(each.split("=", 1) for each in shlex.split(line.text))
                case "HEALTHCHECK":
                    self.settings[line.name] = line.text.partition(" CMD ")[2]
                case _:
                    self.settings[line.name] = line.text

    def _copy(self, text: str) -> None:
        *names, target = shlex.split(text)
        if names[0].startswith("--from="):
            assert names[1:] == [target], "stages share one file system: the place must be the same"
            return
        for name in names:
            source, to = ROOT / name, self.workdir / target
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, to, ignore=ignored, dirs_exist_ok=True)
            else:
                shutil.copy(source, to)

    def placed(self, text: str) -> str:
        """*text* with our folders where they are here."""
        return OURS.sub(rf"{self.root}/\1", text).replace("65532", str(USER))

    def environment(self, port: int) -> dict[str, str]:
        """What the process sees: what ENV says and nothing else, on another port."""
        env = {name: self.placed(value) for name, value in self.variables.items()}
        return env | {"RUNNER_LISTEN": env["RUNNER_LISTEN"].replace("8055", str(port))}

    def command(self, *names: str) -> list[str]:
        """ENTRYPOINT, CMD or HEALTHCHECK, in the form that needs no shell."""
        return [word for name in names for word in json.loads(self.settings[name])]

    def files(self) -> set[str]:
        """Everything there is outside the state folder."""
        every = self.root.rglob("*")
        return {str(path) for path in every if self.root / "state" not in [path, *path.parents]}


def lines(dockerfile: str) -> list[Line]:
    """The instructions of a Dockerfile, without comments and continuations."""
    text = re.sub(r"^#.*\n", "", dockerfile, flags=re.MULTILINE).replace("\\\n", " ")
    parts = (line.partition(" ") for line in text.splitlines() if line.strip())
    return [Line(name, re.sub(r"\s+", " ", rest).strip()) for name, _, rest in parts]


def run(command: list[str], cwd: Path | None = None, env: Mapping[str, str] | None = None) -> None:
    """Run to the end, and show what was said if that is a failure."""
    done = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def python_for_all() -> str:
    """A Python that the user of the image may run as well: one in root's home is out of reach."""
    check = "import sys, ensurepip; sys.exit(sys.version_info < (3, 11))"
    for candidate in (
        os.path.realpath(sys.executable),
        "/usr/bin/python3",
        "/usr/local/bin/python3",
    ):
        try:
            done = subprocess.run([candidate, "-c", check], user=USER, group=GROUP, check=False)
        except OSError:
            continue
        if done.returncode == 0:
            return candidate
    pytest.skip("there is no Python with ensurepip here that another user may run")


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """The built image with the example flows mounted: all of it read-only, but for its state."""
    # Not tmp_path: only its owner may enter that.
    root = Path(tempfile.mkdtemp(prefix="image-"))
    root.chmod(0o755)
    try:
        image = Image(root, python_for_all())
        image.build((ROOT / "Dockerfile").read_text("utf-8"))
        shutil.copytree(ROOT / "flows.d", root / "flows")
        for name in ("opt", "flows", "src", "dist"):
            run(["chmod", "-R", "a-w", str(root / name)])
        yield image
    finally:
        run(["chmod", "-R", "u+w", str(root)])
        shutil.rmtree(root)


@contextmanager
def container(image: Image, port: int) -> Iterator[subprocess.Popen[str]]:
    """The process that `docker run --read-only` would make PID 1."""
    process = subprocess.Popen(
        image.command("ENTRYPOINT", "CMD"),
        env=image.environment(port),
        cwd="/",
        user=USER,
        group=GROUP,
        extra_groups=[] if os.getuid() == 0 else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def healthy(image: Image, port: int) -> bool:
    """Whether the image's own health check thinks so."""
    check = image.command("HEALTHCHECK")
    done = subprocess.run(
        check, env=image.environment(port), capture_output=True, timeout=30, check=False
    )
    return done.returncode == 0


def get(port: int, path: str) -> str:
    """The body that answers a GET."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def wait_until_ready(process: subprocess.Popen[str], port: int) -> None:
    """Ask until the first generation is in place."""
    deadline = time.monotonic() + 30
    while True:
        assert process.poll() is None, process.communicate()
        try:
            get(port, "/readyz")
        except OSError:
            assert time.monotonic() < deadline, "not ready after 30 s"
            time.sleep(0.05)
        else:
            return


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_the_image_serves_flows_without_root_and_without_writing_anywhere_but_its_state(
    image: Image,
) -> None:
    """Built, installed and started as the Dockerfile says, it answers, and SIGTERM ends it."""
    port = free_port()
    before = image.files()

    with container(image, port) as process:
        wait_until_ready(process, port)
        status = Path(f"/proc/{process.pid}/status").read_text("ascii")
        answers = [get(port, path) for path in ("/livez", "/readyz", "/server/ping")]
        greeting = json.loads(get(port, "/flows/trigger/hello?name=Ada"))
        healthy_before = healthy(image, port)
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=30)

    assert re.search(rf"^Uid:\t{USER}\t{USER}\t", status, re.MULTILINE)
    assert answers == ["ok", "ok", "pong"]
    assert greeting == {"hello": "Ada"}
    assert (healthy_before, healthy(image, port)) == (True, False)
    assert (process.returncode, stderr) == (0, "")
    records = [json.loads(line) for line in stdout.splitlines()]
    assert records[-1]["event"] == "daemon.stopped"
    assert image.files() == before


def test_the_image_keeps_the_last_good_flows_where_a_volume_can_be(image: Image) -> None:
    """What has to outlive the container is below the one declared volume, for its user only."""
    state = Path(image.placed(image.settings["VOLUME"]))

    assert state == Path(image.environment(0)["RUNNER_STATE"])
    assert (state.stat().st_uid, state.stat().st_mode & 0o777) == (USER, 0o700)


def test_the_user_of_the_image_is_a_number_other_than_root(image: Image) -> None:
    """Kubernetes' runAsNonRoot can only judge numbers."""
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", image.settings["USER"])


def test_the_build_context_has_what_is_copied_and_nothing_else(image: Image) -> None:
    """`.dockerignore` lets through exactly what COPY names."""
    copied = {
        name
        for line in lines((ROOT / "Dockerfile").read_text("utf-8"))
        if line.name == "COPY" and not line.text.startswith("--from")
        for name in line.text.split()[:-1]
    }
    ignore = (ROOT / ".dockerignore").read_text("utf-8").splitlines()

    assert {line[1:] for line in ignore if line.startswith("!")} == copied
    assert "*" in ignore


def test_the_wheel_is_the_package_with_its_schemas_and_nothing_else(image: Image) -> None:
    """Schemas travel inside the package; tests, flows and the README's folder do not."""
    (path,) = (image.root / "dist").glob("*.whl")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]

    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())

    assert path.name == f"gitops_flow_runner-{version}-py3-none-any.whl"
    schemas = {f"runner/schemas/{each.relative_to(ROOT / 'schemas')}" for each in schema_files()}
    assert schemas | {"runner/py.typed", "runner/__main__.py"} <= names
    assert {name.split("/")[0] for name in names} == {
        "runner",
        f"gitops_flow_runner-{version}.dist-info",
    }


def schema_files() -> list[Path]:
    """The schemas of the checkout."""
    return list((ROOT / "schemas").rglob("*.json"))
