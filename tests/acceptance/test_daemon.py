"""The daemon as a process: how it starts, what it says, how it stops."""

import http.client
import os
import shutil
import signal
import socket
import threading
import time
from pathlib import Path
from queue import Queue

import pytest

from tests.acceptance.daemon import PATIENCE, Answer, Daemon
from tests.repository import BOB, Repository, at

HELLO = """
name: Hello
trigger: webhook
options: {method: GET, auth: none}
operations: [{key: a, type: transform, options: {json: %s}}]
"""
SLEEP = """
name: Sleep
trigger: webhook
options: {method: POST, auth: none}
operations:
  - {key: wait, type: sleep, options: {milliseconds: %s}}
  - {key: done, type: transform, options: {json: {done: true}}}
"""
BROKEN = "name: Broken\ntrigger: webhook\n"


@pytest.fixture
def home(tmp_path: Path) -> Daemon:
    """A daemon that is not started yet."""
    return Daemon(tmp_path)


def in_background(daemon: Daemon, path: str) -> "Queue[Answer | Exception]":
    """POST in a thread, and wait until the execution runs; the answer comes through the queue."""
    answers: Queue[Answer | Exception] = Queue()

    def ask() -> None:
        try:
            answers.put(daemon.post(path))
        except Exception as error:  # the test looks at it
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    daemon.wait_for("execution.started")
    return answers


# --- start --------------------------------------------------------------------------------------


def test_a_flow_answers_and_a_change_is_live(home: Daemon) -> None:
    """From a file to an answer, and from an edit to the next one."""
    home.write(hello=HELLO % 1)
    with home as daemon:
        daemon.wait_for("generation.swapped")
        assert daemon.get("/readyz").status == 200
        assert daemon.get("/flows/trigger/hello").json == 1

        daemon.write(hello=HELLO % 2)
        daemon.wait_for("generation.swapped")

        assert daemon.get("/flows/trigger/hello").json == 2
        assert daemon.stop() == 0
    # A busy machine may have something to say about itself.
    events = [each["event"] for each in daemon.records if each["event"] != "daemon.stalled"]
    assert events[0] == "daemon.started"
    assert events[-2:] == ["daemon.draining", "daemon.stopped"]
    assert daemon.stderr == b""


def test_a_setting_without_effect_says_so(tmp_path: Path) -> None:
    """Nothing is accepted and silently ignored."""
    settings = "cors: {origins: [http://localhost]}\n"
    with Daemon(tmp_path, settings=settings) as daemon:
        said = daemon.wait_for("daemon.warning")["data"]["setting"]

    assert said == "cors"


def test_a_settings_typo_is_named_with_its_place(tmp_path: Path) -> None:
    """Exit code 2, line and column, and what was probably meant; nothing is served."""
    daemon = Daemon(tmp_path, settings="drain: 5s\nlimts: {body: 1MiB}\n")
    daemon.spawn()

    assert daemon.wait() == 2
    assert daemon.stdout == b""
    assert b"settings.yaml:2:1: error:" in daemon.stderr
    assert b"limits" in daemon.stderr
    assert b"Traceback" not in daemon.stderr


def test_a_taken_port_is_said_and_ends_it(home: Daemon, tmp_path: Path) -> None:
    """Exit code 2 and one sentence with the address."""
    with home as first:
        (tmp_path / "other").mkdir()
        second = Daemon(tmp_path / "other", f"--listen={first.url.removeprefix('http://')}")
        second.spawn()

        assert second.wait() == 2
    assert second.stderr.startswith(f"runner: cannot listen on {first.url}".encode())
    assert second.stderr.count(b"\n") == 1
    assert second.records == []


def test_a_missing_folder_keeps_it_unready_until_it_is_there(home: Daemon) -> None:
    """It lives, says what is missing, and takes the folder when it appears."""
    home.write(hello=HELLO % 1)
    away = home.flows.rename(home.home / "away")
    with home as daemon:
        said = daemon.wait_for("generation.refused")
        assert str(daemon.flows) in said["message"] + str(said)
        assert (daemon.get("/livez").status, daemon.get("/readyz").status) == (200, 503)
        assert daemon.get("/flows/trigger/hello").status == 503

        away.rename(daemon.flows)
        assert daemon.post("/reload").status == 200

        assert daemon.get("/readyz").status == 200
        assert daemon.get("/flows/trigger/hello").json == 1


def test_an_empty_folder_is_served(home: Daemon) -> None:
    """Whoever begins has no flow yet; the first one is live when it is written."""
    with home as daemon:
        daemon.wait_for("generation.swapped")
        assert daemon.get("/readyz").status == 200
        assert daemon.get("/flows").json == {"data": []}

        daemon.write(hello=HELLO % 1)
        daemon.wait_for("generation.swapped")

        assert daemon.get("/flows/trigger/hello").json == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_folder_is_said(home: Daemon) -> None:
    """As a missing one."""
    home.flows.chmod(0)
    with home as daemon:
        daemon.wait_for("generation.refused")
        assert (daemon.get("/livez").status, daemon.get("/readyz").status) == (200, 503)
    home.flows.chmod(0o700)


def test_a_broken_file_harms_itself_alone(home: Daemon) -> None:
    """Its flow answers 503 with the issue's code, the record has the place, the others run."""
    home.write(hello=HELLO % 1, broken=BROKEN)
    with home as daemon:
        daemon.wait_for("generation.swapped")
        said = daemon.wait_for("flow.invalid")

        answer = daemon.post("/flows/trigger/broken")

        assert answer.status == 503
        assert answer.json["errors"][0]["extensions"]["issue"] == "missing-key"
        assert said["flow"] == "broken"
        assert said["data"]["issues"][0]["path"] == "broken.yaml"
        assert daemon.get("/flows/trigger/hello").json == 1


def test_the_last_good_version_survives_a_restart(home: Daemon, tmp_path: Path) -> None:
    """A file that broke keeps what it was, also for a daemon that never saw it whole."""
    home.write(hello=HELLO % 1)
    with home as daemon:
        daemon.wait_for("generation.swapped")
        assert daemon.stop() == 0
    home.write(hello=BROKEN)

    with Daemon(tmp_path) as daemon:
        daemon.wait_for("generation.swapped")
        assert daemon.get("/flows/trigger/hello").json == 1
        assert daemon.get("/flows/hello?fields=state").json == {"data": {"state": "stale"}}


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not here")
def test_a_checkout_tells_who_created_its_flows(tmp_path: Path) -> None:
    """The history is asked once the flows are in place; a new commit adds to it."""
    repository = Repository(tmp_path / "checkout")
    (tmp_path / "flows").symlink_to(repository.flows)
    repository.commit("a.yaml", text=HELLO % 1)
    with Daemon(tmp_path) as daemon:
        known = [_row_with_author(daemon, "a")]
        repository.commit("b.yaml", text=HELLO % 2, author=BOB)
        daemon.signal(signal.SIGHUP)  # the file may have been loaded before it was committed
        known.append(_row_with_author(daemon, "b"))

        assert daemon.stop() == 0
    assert known == [at(0)._asdict(), at(1, BOB)._asdict()]
    assert not [record for record in daemon.records if record["event"] == "daemon.warning"]


def _row_with_author(daemon: Daemon, key: str) -> dict[str, str]:
    """What is told of a flow's creation, as soon as it is."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        answer = daemon.get(f"/flows/{key}?fields=date_created,user_created,author")
        if answer.status == 200 and (row := answer.json["data"])["author"]:
            return dict(zip(("date", "user", "author"), row.values(), strict=True))
    raise AssertionError(f"nobody has created {key}")


# --- stop ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(home: Daemon, number: signal.Signals) -> None:
    """What runs ends and is answered; who comes meanwhile is told 503; then it ends with 0."""
    home.write(sleep=SLEEP % 600)
    with home as daemon:
        daemon.wait_for("generation.swapped")
        answers = in_background(daemon, "/flows/trigger/sleep")

        daemon.signal(number)
        daemon.wait_for("daemon.draining")
        refused = daemon.post("/flows/trigger/sleep")
        unready = daemon.get("/readyz")
        alive = daemon.get("/livez")

        assert (refused.status, unready.status, alive.status) == (503, 503, 200)
        assert refused.headers["Retry-After"]
        answer = answers.get(timeout=PATIENCE)
        assert isinstance(answer, Answer)
        assert (answer.status, answer.json) == (200, {"done": True})
        assert daemon.wait() == 0
    assert daemon.records[-1]["event"] == "daemon.stopped"


def test_what_outlasts_the_drain_is_ended_and_answered(tmp_path: Path) -> None:
    """The time is the setting's; the caller gets 503 and the records say `cancelled`."""
    daemon = Daemon(tmp_path, "--drain=200ms")
    daemon.write(sleep=SLEEP % 3_600_000)
    with daemon:
        daemon.wait_for("generation.swapped")
        answers = in_background(daemon, "/flows/trigger/sleep")

        assert daemon.stop() == 0

        answer = answers.get(timeout=PATIENCE)
        assert isinstance(answer, Answer)
        assert answer.status == 503
    (finished,) = [r for r in daemon.records if r["event"] == "execution.finished"]
    assert finished["status"] == "cancelled"


def test_a_second_signal_ends_it_at_once(home: Daemon) -> None:
    """Nobody has to wait for the drain who does not want to."""
    home.write(sleep=SLEEP % 3_600_000)
    with home as daemon:
        daemon.wait_for("generation.swapped")
        in_background(daemon, "/flows/trigger/sleep")
        daemon.signal(signal.SIGTERM)
        daemon.wait_for("daemon.draining")

        assert daemon.stop() == 128 + signal.SIGTERM


def test_an_idle_connection_does_not_hold_it_up(home: Daemon) -> None:
    """Neither one that is kept alive, nor one that never said a word."""
    with home as daemon:
        daemon.wait_for("generation.swapped")
        address = daemon.url.removeprefix("http://")
        kept = http.client.HTTPConnection(address, timeout=PATIENCE)
        kept.request("GET", "/livez")
        assert kept.getresponse().read() == b"ok"
        silent = socket.create_connection((address.split(":")[0], int(address.split(":")[1])))

        assert daemon.stop() == 0
        kept.close()
        silent.close()


def test_sighup_looks_at_the_folder(home: Daemon) -> None:
    """And changes nothing where nothing changed; the daemon goes on."""
    home.write(hello=HELLO % 1)
    with home as daemon:
        daemon.wait_for("generation.swapped")
        before = daemon.get("/source").json["data"]["generation"]

        daemon.signal(signal.SIGHUP)

        assert daemon.get("/flows/trigger/hello").json == 1
        assert daemon.post("/reload").json["data"]["generation"] == before
        assert daemon.stop() == 0
