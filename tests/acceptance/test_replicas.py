"""Several real daemons that share a real PostgreSQL: what one accepts, whoever lives runs."""

import itertools
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
import pytest

from runner.types import JSONObject
from tests.acceptance.daemon import Daemon
from tests.postgres import Server, server

#: Each starts two daemons or three, and some wait for one to be taken for dead.
pytestmark = pytest.mark.timeout(240)

PASSWORD = "s3cret-of-the-store"

#: Seconds that anything may take: a process that is silent counts as dead after ten.
DEADLINE = 60.0

WORK = """
name: Work
trigger: webhook
options: {method: POST, async: true, auth: {kind: bearer, secret: TOKEN}}
operations:
  - {key: first, type: request, options: {url: "URL/first/{{ $trigger.body.n }}"}}
  - {key: second, type: request, options: {url: "URL/second/{{ $trigger.body.n }}"}, timeout: 60s}
  - {key: third, type: request, options: {url: "URL/third/{{ $trigger.body.n }}"}}
"""
TOKEN = "token-of-the-caller"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
OTHER = "name: Work\ntrigger: manual\n"


class Outside:
    """A server that notes what it is asked for, and answers `/second/…` when its gate is open."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gate = threading.Event()
        outside = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outside.asked.append(self.path)
                if self.path.startswith("/second/"):
                    outside.gate.wait(DEADLINE)
                try:
                    self.send_response(200)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                except ConnectionError:  # whoever asked was killed
                    self.close_connection = True

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Let all who wait go."""
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()

    def counts(self, path: str) -> int:
        """How often it was asked for *path*."""
        return Counter(self.asked)[path]


def until(condition: Callable[[], object]) -> None:
    """Wait for *condition*."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


@pytest.fixture
def outside() -> Iterator[Outside]:
    """What the flows talk to."""
    made = Outside()
    yield made
    made.close()


@pytest.fixture
def url(postgres: Server) -> Iterator[str]:
    """The address of a new database, with a password that nobody may say."""
    name = f"replicas_{uuid.uuid4().hex}"
    with postgres.database(name):
        yield postgres.url(name, password=PASSWORD)


Replica: TypeAlias = Callable[..., Daemon]


@pytest.fixture
def replica(url: str, tmp_path: Path, outside: Outside) -> Iterator[Replica]:
    """Start a daemon with flows of its own; all share one database."""
    numbers = itertools.count(1)
    started: list[Daemon] = []
    with ExitStack() as stack:

        def start(*arguments: str, **flows: str) -> Daemon:
            home = tmp_path / str(next(numbers))
            home.mkdir()
            daemon = Daemon(home, *arguments, environ={"RUNNER_STATE": url})
            (daemon.secrets / "TOKEN").write_text(TOKEN)
            daemon.write(**{name: text.replace("URL", outside.url) for name, text in flows.items()})
            stack.enter_context(daemon)
            started.append(daemon)
            daemon.wait_for("generation.swapped")
            return daemon

        yield start
    for each in started:
        each.wait()
        assert PASSWORD.encode() not in each.stdout + each.stderr
        assert b"Traceback" not in each.stderr


def accept(daemon: Daemon, name: str, **headers: str) -> str:
    """Deliver *name* to the flow `work`, and give the execution's id."""
    answer = daemon.post("/flows/trigger/work", {"n": name}, headers={**BEARER, **headers})
    assert answer.status == 202, answer
    assert answer.json["durable"]
    return str(answer.json["id"])


def seen(daemon: Daemon, id_: str) -> JSONObject:
    """What a daemon says of an execution."""
    answer = daemon.get(f"/executions/{id_}")
    assert answer.status == 200, answer
    data: JSONObject = answer.json["data"]
    return data


def takeovers(url: str, id_: str) -> int:
    """How many processes died while they ran it."""
    with psycopg.connect(url) as connection:
        query = "select takeovers from runner.executions where id = %s"
        ((number,),) = connection.execute(query, [id_]).fetchall()
        return int(number)


def said(daemon: Daemon, event: str, **fields: str) -> list[JSONObject]:
    """The records of a daemon that has ended."""
    daemon.wait()
    return [
        each for each in daemon.records if each["event"] == event and fields.items() <= each.items()
    ]


# --- work is shared -----------------------------------------------------------------------------


def test_what_one_accepts_all_run(replica: Replica, outside: Outside) -> None:
    """More than one has places for; each is known everywhere at once, and a duplicate is one."""
    small = "--limits-executions=2"
    one, other = (replica(small, work=WORK) for _ in range(2))
    ids = []
    for n in range(4):
        ids.append(accept(one, f"{n}", **{"Idempotency-Key": f"{n}"}))
        assert seen(other, ids[-1])["id"] == ids[-1]

    until(lambda: sum(each.startswith("/second/") for each in outside.asked) == 4)
    running = {each["id"] for each in one.get("/executions").json["data"]}
    again = other.post(
        "/flows/trigger/work", {"n": "2"}, headers={**BEARER, "Idempotency-Key": "2"}
    )
    outside.gate.set()
    until(lambda: all(seen(other, id_)["status"] == "resolved" for id_ in ids))
    verbose = other.get("/readyz?verbose").body.decode()
    assert (one.stop(), other.stop()) == (0, 0)

    assert running == set(ids)
    assert (again.status, again.json["id"], again.json["duplicate"]) == (202, ids[2], True)
    assert Counter(outside.asked).most_common(1)[0][1] == 1
    assert [len(said(each, "execution.started", flow="work")) for each in (one, other)] == [2, 2]
    assert "[+]store ok (postgresql)" in verbose


# --- whoever ends -------------------------------------------------------------------------------


def test_what_a_dead_one_ran_another_finishes(replica: Replica, outside: Outside, url: str) -> None:
    """After kill -9, behind its last finished operation, with the flow that it began with."""
    one = replica(work=WORK)
    id_ = accept(one, "x")
    until(lambda: outside.counts("/second/x") == 1)
    other = replica(work=OTHER)
    one.process.kill()

    until(lambda: outside.counts("/second/x") == 2)
    assert takeovers(url, id_) == 1
    outside.gate.set()
    until(lambda: seen(other, id_)["status"] == "resolved")

    assert other.stop() == 0
    assert Counter(outside.asked) == {"/first/x": 1, "/second/x": 2, "/third/x": 1}
    (finished,) = said(other, "execution.finished", execution_id=id_)
    (started,) = said(one, "execution.started", execution_id=id_)
    assert finished["flow_digest"] == started["flow_digest"]


def test_who_is_stopped_finishes_what_it_runs(replica: Replica, outside: Outside) -> None:
    """After SIGTERM it begins nothing more, and others do; what it runs has its time."""
    one = replica(work=WORK)
    first = accept(one, "x")
    until(lambda: outside.counts("/second/x") == 1)
    other = replica(work=WORK)
    one.signal(signal.SIGTERM)
    until(lambda: one.get("/readyz").status == 503)

    second = accept(other, "y")
    until(lambda: outside.counts("/second/y") == 1)
    outside.gate.set()

    assert one.wait() == 0
    until(lambda: seen(other, second)["status"] == "resolved")
    assert other.stop() == 0
    assert set(Counter(outside.asked).values()) == {1}
    for daemon, id_ in ((one, first), (other, second)):
        finished = said(daemon, "execution.finished")
        ends = [(each["execution_id"], each["status"]) for each in finished]
        assert ends == [(id_, "resolved")]


def test_who_is_stopped_hands_over(replica: Replica, outside: Outside, url: str) -> None:
    """When its time is over; that is no death. The other does not have the file any more."""
    one = replica("--drain=1s", work=WORK)
    id_ = accept(one, "x")
    until(lambda: outside.counts("/second/x") == 1)
    other = replica(other=OTHER)

    assert one.stop() == 0
    until(lambda: outside.counts("/second/x") == 2)
    assert takeovers(url, id_) == 0
    outside.gate.set()
    until(lambda: seen(other, id_)["status"] == "resolved")

    assert other.stop() == 0
    assert Counter(outside.asked) == {"/first/x": 1, "/second/x": 2, "/third/x": 1}
    assert said(one, "execution.finished") == []


# --- schedules ----------------------------------------------------------------------------------

EVERY_SECOND = """
name: Tick
trigger: schedule
options: {cron: "* * * * * *", scope: SCOPE}
operations: [{key: said, type: log, options: {message: "{{ $execution.id }}"}}]
"""


def test_a_schedule_fires_once_or_in_each(replica: Replica) -> None:
    """`cluster`: once over all replicas, and the others do not complain; `pod`: in each of them."""
    texts = {scope: EVERY_SECOND.replace("SCOPE", scope) for scope in ("cluster", "pod")}
    both = [replica(**texts) for _ in range(2)]
    for each in both:
        for _ in range(3):
            each.wait_for("execution.finished", flow="pod")
    assert [each.stop() for each in both] == [0, 0]

    fires = {
        flow: [
            datetime.fromisoformat(each["data"]["nominal"])
            for daemon in both
            for each in said(daemon, "execution.started", flow=flow)
        ]
        for flow in texts
    }
    assert len(fires["cluster"]) == len(set(fires["cluster"]))
    assert max(Counter(fires["pod"]).values()) == 2
    nominal = sorted(fires["cluster"])
    assert nominal[-1] - nominal[0] == timedelta(seconds=len(nominal) - 1)
    refused = [each for daemon in both for each in said(daemon, "trigger.refused")]
    assert [each for each in refused if each["error"]["code"] != "MISSED"] == []


# --- what is good -------------------------------------------------------------------------------


def test_a_new_replica_runs_what_was_good_last(replica: Replica, url: str) -> None:
    """Though it never saw its file without the error."""
    one = replica(greet="name: Hello\ntrigger: webhook\noptions: {auth: none, method: GET}\n")
    with psycopg.connect(url) as connection:
        until(lambda: connection.execute("select from runner.last_good").fetchall())
    other = replica(greet="name: Hello\ntrigger: webhok\n")

    listed = other.get("/flows/greet?fields=name,state").json["data"]
    answers = [each.get("/flows/trigger/greet").status for each in (one, other)]

    assert listed == {"name": "Hello", "state": "stale"}
    assert answers == [200, 200]


# --- PostgreSQL ---------------------------------------------------------------------------------


def test_an_older_program_leaves_a_newer_store_alone(
    replica: Replica, url: str, tmp_path: Path
) -> None:
    """It says so and ends; what is there stays as it is."""
    assert replica().stop() == 0
    with psycopg.connect(url) as connection:
        connection.execute("update runner.version set number = 99")
    daemon = Daemon(tmp_path, environ={"RUNNER_STATE": url})

    daemon.spawn()

    assert daemon.wait() == 2
    assert b"runner: the store is of version 99, and this program" in daemon.stderr


def test_postgresql_may_come_late_and_go_away(tmp_path: Path) -> None:
    """Waited for at the start; without it nothing is accepted, and what is direct goes on."""
    with server() as own, own.database("late"):
        own.stop()
        url = own.url("late", password=PASSWORD)
        daemon = Daemon(tmp_path, environ={"RUNNER_STATE": url})
        daemon.write(
            work="name: W\ntrigger: webhook\noptions: {auth: none, method: POST, async: true}\n",
            now="name: N\ntrigger: webhook\noptions: {auth: none, method: POST}\n",
        )
        daemon.spawn()
        waiting = daemon.wait_for("log.library")
        own.start()
        with daemon:
            daemon.wait_for("generation.swapped")
            assert daemon.post("/flows/trigger/work").status == 202
            own.stop("immediate")
            refused = daemon.post("/flows/trigger/work")
            direct = daemon.post("/flows/trigger/now")
            verbose = daemon.get("/readyz?verbose").body.decode()
            own.start()
            until(lambda: daemon.post("/flows/trigger/work").status == 202)
            until(lambda: "[+]store ok" in daemon.get("/readyz?verbose").body.decode())
            daemon.signal(signal.SIGTERM)
            assert daemon.wait() == 0

    assert "PostgreSQL cannot be used" in waiting["message"]
    assert "trying again" in waiting["message"]
    assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
    assert direct.status == 200
    assert "[-]store PostgreSQL cannot be used" in verbose
    assert PASSWORD.encode() not in daemon.stdout + daemon.stderr
