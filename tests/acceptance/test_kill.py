"""A real daemon that is killed with SIGKILL, and goes on where it was."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from runner.types import JSONObject
from tests.acceptance.daemon import PATIENCE, Daemon

FLOW = """
name: Five steps
trigger: webhook
options: {method: POST, auth: none, async: true}
operations:
  - {key: s1, type: request, options: {url: "URL/1/{{ $trigger.body.n }}", idempotency_key: true}}
  - {key: s2, type: request, options: {url: "URL/2/{{ $trigger.body.n }}", idempotency_key: true}}
  - {key: nap, type: sleep, options: {milliseconds: 1500}}
  - {key: sub, type: trigger, options: {flow: child, payload: ["{{ $trigger.body.n }}", other]}}
  - {key: s3, type: request, options: {url: "URL/3/{{ $trigger.body.n }}", idempotency_key: true}}
"""
CHILD = """
name: In the middle
trigger: operation
options: {return: $last}
operations:
  - {key: c, type: request, options: {url: "URL/c/{{ $trigger }}", idempotency_key: true}}
"""


class Log:
    """A server that notes what it is asked for."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        log = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                log.lines.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait_for(self, line: str) -> None:
        """Wait until somebody asked for it."""
        until = time.monotonic() + PATIENCE
        while line not in self.lines:
            assert time.monotonic() < until, self.lines
            time.sleep(0.005)


@pytest.fixture
def log() -> Iterator[Log]:
    """One that listens."""
    made = Log()
    yield made
    made.server.shutdown()
    made.server.server_close()


def ended(daemon: Daemon, id_: str) -> JSONObject:
    """How an execution ended."""
    until = time.monotonic() + PATIENCE
    while True:
        answer = daemon.get(f"/executions/{id_}")
        assert answer.status == 200
        seen: JSONObject = answer.json["data"]
        if seen["status"] not in ("queued", "running", "waiting"):
            return seen
        assert time.monotonic() < until, seen
        time.sleep(0.02)


def test_what_was_accepted_goes_on_after_a_kill(tmp_path: Path, log: Log) -> None:
    """Behind its last operation, over two kills, with flows whose files have gone meanwhile."""
    ids = []
    with Daemon(tmp_path) as daemon:
        daemon.write(flow=FLOW.replace("URL", log.url), child=CHILD.replace("URL", log.url))
        daemon.wait_for("generation.swapped")
        while "child" not in [each["id"] for each in daemon.get("/flows?fields=id").json["data"]]:
            if len(daemon.get("/flows").json["data"]) == 2:
                break
        for n in range(20):
            answer = daemon.post("/flows/trigger/flow", {"n": n})
            assert (answer.status, answer.json["durable"]) == (202, True)
            ids.append(answer.json["id"])
        log.wait_for("/2/0")
        daemon.process.kill()  # some are at their first operation, some sleep

    with Daemon(tmp_path) as daemon:
        daemon.write(
            flow="name: Another one\ntrigger: schedule\noptions: {cron: '0 0 1 1 *'}\n",
            child="name: Another one\ntrigger: manual\n",
        )
        log.wait_for("/c/19")
        daemon.process.kill()

    with Daemon(tmp_path) as daemon:
        (daemon.flows / "child.yaml").unlink()
        statuses = [ended(daemon, id_)["status"] for id_ in ids]
        again = daemon.get(f"/executions/{ids[0]}").json["data"]["status"]
        assert daemon.stop() == 0

    counts = Counter(log.lines)
    assert statuses == ["resolved"] * 20
    assert again == "resolved"
    for n in range(20):
        for step in ("1", "2", "c", "3"):
            # At least once, and once more for each kill at the very most.
            assert 1 <= counts[f"/{step}/{n}"] <= 3
    assert sum(counts[f"/{step}/{n}"] for step in "123" for n in range(20)) < 100
