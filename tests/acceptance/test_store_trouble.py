"""Real daemons whose store is in trouble: what is said, what is refused, and what goes on."""

import asyncio
import json
import os
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import pytest

from runner.store.sqlite import SQLiteStore
from runner.types import JSONObject
from tests.acceptance.daemon import Answer, Daemon
from tests.postgres import Server
from tests.unit.store.places import TEXT, execution

KEPT: Final = """
name: Kept
trigger: webhook
options: {method: POST, auth: none, async: true}
operations:
  - {key: nap, type: sleep, options: {milliseconds: 3000}}
  - {key: done, type: transform, options: {json: {done: true}}}
"""
DIRECT: Final = """
name: Direct
trigger: webhook
options: {method: POST, auth: none}
operations:
  - {key: done, type: transform, options: {json: {done: true}}}
"""

#: Seconds that anything may take.
DEADLINE: Final = 60.0

FOREIGN: Final = {"Via": "1.1 proxy"}
"""What a request carries that does not come from this machine."""


def until(condition: Callable[[], object]) -> None:
    """Wait for *condition*."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def daemon_in(home: Path, *arguments: str, settings: JSONObject | None = None) -> Daemon:
    """One that has both flows."""
    daemon = Daemon(home, *arguments, settings=json.dumps(settings or {}))
    daemon.write(kept=KEPT, direct=DIRECT)
    return daemon


def loaded(daemon: Daemon) -> None:
    """Wait for its flows."""
    until(lambda: daemon.get("/readyz").status == 200)


def accept(daemon: Daemon) -> Answer:
    """Ask it to keep 20 kB."""
    return daemon.post("/flows/trigger/kept", {"x": "x" * 20_000})


def status(daemon: Daemon, id_: str) -> str:
    """How an execution stands."""
    return str(daemon.get(f"/executions/{id_}").json["data"]["status"])


def check_refusal(refused: Answer) -> None:
    """It says that it was not kept, when to come again, and nothing of where we keep things."""
    assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
    assert refused.json == {
        "errors": [
            {
                "message": "What is accepted cannot be kept, or looked up, at the moment;"
                " try again later.",
                "extensions": {"code": "SERVICE_UNAVAILABLE"},
            }
        ]
    }


def free_port() -> int:
    """One on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- a store that cannot be opened --------------------------------------------------------------


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder in which something was accepted."""

    async def fill(folder: Path) -> None:
        async with SQLiteStore(folder) as made:
            for _ in range(20):
                await made.accept(execution(data="x" * 1000), [TEXT])

    folder = tmp_path_factory.mktemp("store") / "state"
    asyncio.run(fill(folder))
    return folder


def _a_file(state: Path) -> None:
    shutil.rmtree(state)
    state.touch()


def _text(state: Path) -> None:
    (state / "store.db").write_text("This is not a database. " * 1000)


def _half(state: Path) -> None:
    os.truncate(state / "store.db", (state / "store.db").stat().st_size // 2)


def _rubbish(state: Path) -> None:
    with closing(sqlite3.connect(state / "store.db")) as connection:
        find = "SELECT rootpage FROM sqlite_master WHERE name = 'execution'"
        (page,) = connection.execute(find).fetchone()
    with (state / "store.db").open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xa5" * 4096)


def _rubbish_log(state: Path) -> None:
    (state / "store.db-wal").write_bytes(b"\xa5" * 10_000)


def _newer(state: Path) -> None:
    with closing(sqlite3.connect(state / "store.db")) as connection:
        connection.execute("PRAGMA user_version = 99")


def _of_another_program(state: Path) -> None:
    (state / "store.db").unlink()
    with closing(sqlite3.connect(state / "store.db")) as connection:
        connection.execute("CREATE TABLE theirs (x)")


UNUSABLE: Final[tuple[tuple[Callable[[Path], None], str], ...]] = (
    (_a_file, "the state folder {state} cannot be used: File exists; --state names a folder"),
    (_text, "{state}/store.db is damaged (file is not a database): move it away together with"),
    (_half, "{state}/store.db is damaged (database disk image is malformed): move it away"),
    (_rubbish, "{state}/store.db is damaged ("),
    (_rubbish_log, "{state}/store.db-wal is damaged, and with it what was committed last: move"),
    (_newer, "{state}/store.db cannot be used: it is a store of version 99, and this program"),
    (_of_another_program, "{state}/store.db cannot be used: it belongs to another program"),
)


@pytest.mark.parametrize(
    ("spoil", "says"), UNUSABLE, ids=[spoil.__name__.strip("_") for spoil, _ in UNUSABLE]
)
def test_a_store_that_cannot_be_opened_is_named_and_left_alone(
    tmp_path: Path, store: Path, spoil: Callable[[Path], None], says: str
) -> None:
    """Exit code 2 and one line that says what to do; nothing listens meanwhile."""
    shutil.copytree(store, tmp_path / "state")
    spoil(tmp_path / "state")
    daemon = daemon_in(tmp_path)

    daemon.spawn()
    code = daemon.wait()

    assert code == 2
    assert daemon.stderr.decode().startswith(f"runner: {says.format(state=tmp_path / 'state')}")
    assert daemon.stderr.count(b"\n") == 1
    assert daemon.records == []


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """*folder* cannot be written; skips the test where that cannot be had."""
    if os.geteuid():
        folder.chmod(0o500)
        yield
        folder.chmod(0o700)
        return
    mount("--bind", str(folder), str(folder))
    try:
        mount("-o", "remount,bind,ro", str(folder))
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def mount(*arguments: str) -> None:
    """Mount, or skip the test."""
    if subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode:
        pytest.skip("file systems cannot be mounted here")


def test_a_folder_that_is_read_only_is_named(tmp_path: Path, store: Path) -> None:
    """As that of a container with a read-only root and no volume."""
    shutil.copytree(store, tmp_path / "state")
    (tmp_path / "state" / "store.lock").unlink()
    daemon = daemon_in(tmp_path)

    with read_only(tmp_path / "state"):
        daemon.spawn()
        code = daemon.wait()

    assert code == 2
    assert b"cannot be used: " in daemon.stderr
    assert b"--state names a folder that can be written, or `none`" in daemon.stderr


def test_of_two_daemons_with_one_folder_the_second_one_ends(tmp_path: Path) -> None:
    """It says which process has it, and the first one goes on."""
    with daemon_in(tmp_path) as first:
        loaded(first)
        second = daemon_in(tmp_path)
        second.spawn()
        code = second.wait()
        accepted = accept(first)

    assert code == 2
    assert second.stderr.decode().startswith(
        f"runner: the state folder {first.state} is in use by process {first.process.pid}: "
    )
    assert accepted.status == 202


# --- a full disk --------------------------------------------------------------------------------


Disk: TypeAlias = Callable[[Daemon], AbstractContextManager[None]]


@contextmanager
def no_file_grows(daemon: Daemon) -> Iterator[None]:
    """As on a full disk, every write to a file fails."""
    pid, no_limit = daemon.process.pid, resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, no_limit[1]))
    yield
    with suppress(ProcessLookupError):  # it has ended meanwhile
        resource.prlimit(pid, resource.RLIMIT_FSIZE, no_limit)


@contextmanager
def no_room(daemon: Daemon) -> Iterator[None]:
    """The disk of the state folder is full."""
    ballast = daemon.state / "ballast"
    with pytest.raises(OSError, match="No space left"):
        ballast.write_bytes(bytes(8 << 20))
    yield
    ballast.unlink()


@pytest.fixture(params=["limit", "disk"])
def full(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    """Have the disk of a daemon in *tmp_path* be full for a block."""
    if request.param == "limit":
        yield no_file_grows
        return
    if os.geteuid():
        pytest.skip("only root can mount a disk that is so small")
    (tmp_path / "state").mkdir()
    mount("-t", "tmpfs", "-o", "size=4m", "tmpfs", str(tmp_path / "state"))
    yield no_room
    subprocess.run(["umount", str(tmp_path / "state")], check=True)


def test_what_a_full_disk_cannot_keep_is_refused_and_all_else_goes_on(
    tmp_path: Path, full: Disk
) -> None:
    """Until there is room again: then what was under way ends, and the next one is accepted."""
    with daemon_in(tmp_path) as daemon:
        loaded(daemon)
        before = accept(daemon).json["id"]
        with full(daemon):
            refused = accept(daemon)
            direct = daemon.post("/flows/trigger/direct")
            probe, stranger = daemon.get("/readyz?verbose"), daemon.get("/readyz", headers=FOREIGN)
            asked = daemon.get("/readyz?verbose", headers=FOREIGN)
            daemon.write(direct=DIRECT.replace("done: true", "done: again"))
            reload = daemon.post("/reload")
            after_reload = daemon.post("/flows/trigger/direct")
            failed = daemon.wait_for("store.failed")
            under_way = status(daemon, before)
        after = accept(daemon)
        until(lambda: {status(daemon, each) for each in (before, after.json["id"])} == {"resolved"})
        recovered = daemon.wait_for("store.recovered")
        code = daemon.stop()

    check_refusal(refused)
    assert direct.json == {"done": True}
    assert (probe.status, stranger.status) == (200, 200)
    assert str(daemon.state).encode() in probe.body
    assert b"[-]store failed\n" in asked.body
    assert reload.status == 200
    assert after_reload.json == {"done": "again"}
    assert str(daemon.state) in failed["error"]["message"]
    assert under_way in ("queued", "running", "waiting")
    assert after.status == 202
    assert recovered["severity"] == "INFO"
    assert code == 0


def test_a_daemon_stops_in_its_time_while_the_disk_is_full(tmp_path: Path) -> None:
    """What it could not write down goes on at the next start."""
    with daemon_in(tmp_path, settings={"drain": "1s"}) as daemon:
        loaded(daemon)
        id_ = accept(daemon).json["id"]
        with no_file_grows(daemon):
            check_refusal(accept(daemon))
            daemon.signal(signal.SIGTERM)
            code = daemon.wait()
    with daemon_in(tmp_path) as daemon:
        until(lambda: status(daemon, id_) == "resolved")

    assert code == 0


# --- a store that is taken away -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["store.db", "store.db-wal"])
def test_nothing_is_written_into_files_that_are_gone(tmp_path: Path, name: str) -> None:
    """It would be found by nobody: it is refused, until the runner is started again."""
    with daemon_in(tmp_path, settings={"drain": "0s"}) as daemon:
        loaded(daemon)
        assert accept(daemon).status == 202
        (daemon.state / name).unlink()
        refused, direct = accept(daemon), daemon.post("/flows/trigger/direct")
        failed = daemon.wait_for("store.failed")
        code = daemon.stop()

    check_refusal(refused)
    assert direct.status == 200
    assert failed["error"]["message"] == (
        f"{daemon.state / name} was deleted or replaced under the runner: start it again"
    )
    assert code == 0


# --- PostgreSQL ---------------------------------------------------------------------------------


def test_a_daemon_that_waits_for_postgresql_stops_when_it_is_told_to(tmp_path: Path) -> None:
    """At once, as nothing has begun; until then it says what it waits for."""
    daemon = daemon_in(tmp_path, f"--state=postgresql://runner:hidden@127.0.0.1:{free_port()}/x")
    daemon.spawn()

    waiting = daemon.wait_for("log.library")
    code = daemon.stop()

    assert "PostgreSQL cannot be used: connection failed" in waiting["message"]
    assert code == 0
    assert daemon.records[-1]["event"] == "daemon.stopped"
    assert b"hidden" not in daemon.stdout + daemon.stderr


class Frozen(NamedTuple):
    """A server none of whose processes does anything, although all connections stand."""

    pids: tuple[int, ...]

    @classmethod
    def stop(cls, running: Server) -> "Frozen":
        """The whole of it."""
        main = running.pid()
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        frozen = cls((main, *map(int, children)))
        frozen.signal(signal.SIGSTOP)
        return frozen

    def signal(self, number: signal.Signals) -> None:
        """Send it to those that are there."""
        for pid in self.pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def test_a_postgresql_that_does_not_answer_keeps_nobody_waiting(
    tmp_path: Path, postgres: Server
) -> None:
    """Its connections stand, and nothing comes: a refusal all the same; then everything goes on."""
    with (
        postgres.database("frozen") as url,
        daemon_in(tmp_path, f"--state={url}") as daemon,
    ):
        loaded(daemon)
        before = accept(daemon).json["id"]
        frozen = Frozen.stop(postgres)
        try:
            refused = accept(daemon)
            listing = daemon.get("/executions")
            direct = daemon.post("/flows/trigger/direct")
        finally:
            frozen.signal(signal.SIGCONT)
        until(lambda: accept(daemon).status == 202)
        until(lambda: status(daemon, before) == "resolved")
        code = daemon.stop()

    check_refusal(refused)
    check_refusal(listing)
    assert direct.status == 200
    assert code == 0


def test_a_daemon_stops_in_its_time_while_postgresql_does_not_answer(
    tmp_path: Path, postgres: Server
) -> None:
    """No thread that waits for its answer holds the process up; the exit code is 0."""
    with (
        postgres.database("silent") as url,
        daemon_in(tmp_path, f"--state={url}", "--drain=1s") as daemon,
    ):
        loaded(daemon)
        accept(daemon)
        frozen = Frozen.stop(postgres)
        try:
            code = daemon.stop()
        finally:
            frozen.signal(signal.SIGCONT)

    assert code == 0
    assert "daemon.stopped" in [each["event"] for each in daemon.records[-5:]], daemon.records[-5:]
    assert b"Traceback" not in daemon.stderr


# --- a newer program ----------------------------------------------------------------------------

ADMIN: Final[JSONObject] = {
    "roles": {"admin": {"admin": True}},
    "tokens": [{"name": "ops", "role": "admin", "token": "a-token-of-an-operator"}],
}
BEARER: Final = {"Authorization": "Bearer a-token-of-an-operator"}


def test_a_text_that_a_newer_program_refuses_ends_interrupted_and_can_be_replayed(
    tmp_path: Path,
) -> None:
    """The reason is in the records and in the history; the flow in place gets the same data."""

    def seen(daemon: Daemon, id_: str) -> JSONObject:
        found: JSONObject = daemon.get(f"/executions/{id_}", headers=BEARER).json["data"]
        return found

    with daemon_in(tmp_path, settings=ADMIN) as daemon:
        loaded(daemon)
        id_ = daemon.post("/flows/trigger/kept", {"n": 7}).json["id"]
        until(lambda: seen(daemon, id_)["status"] == "waiting")
        until(lambda: seen(daemon, id_)["records"])
    with closing(sqlite3.connect(tmp_path / "state" / "store.db")) as connection, connection:
        older = KEPT.replace("transform", "transmogrify").encode()
        connection.execute("UPDATE text SET content = ?", (older,))
    with daemon_in(tmp_path, settings=ADMIN) as daemon:
        daemon.write(kept=KEPT.replace("3000", "10"))
        until(lambda: seen(daemon, id_)["status"] == "interrupted")
        ended = daemon.wait_for("execution.finished", execution_id=id_)
        until(lambda: "transmogrify" in seen(daemon, id_)["error"]["message"])
        again = daemon.post(f"/executions/{id_}/replay", headers=BEARER)
        until(lambda: seen(daemon, again.json["id"])["status"] == "resolved")

    assert ended["status"] == "interrupted"
    assert "transmogrify" in ended["error"]["message"]
    assert again.status == 202
