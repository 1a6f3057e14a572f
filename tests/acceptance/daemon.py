"""The real daemon in a process of its own, with folders of its own, on a free port."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

from runner.types import JSONObject
from tests.records import check_record

#: Seconds that anything may take before a test fails.
PATIENCE = 60.0


class Answer(NamedTuple):
    """What came back over HTTP."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Daemon:
    """
    `runner serve`, started when the block is entered and killed at its end.

    It has three folders below *home*: `flows`, `state` and `secrets`. Every line that it writes
    to stdout is checked against the schema of records when it is read.
    """

    def __init__(
        self,
        home: Path,
        *arguments: str,
        settings: str = "{}",
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.home = home
        self.flows, self.state, self.secrets = (home / n for n in ("flows", "state", "secrets"))
        for folder in (self.flows, self.secrets):
            folder.mkdir(exist_ok=True)
        (home / "settings.yaml").write_text(settings)
        self._arguments = arguments
        self._environ = {**os.environ, "PYTHONUNBUFFERED": "1", **(environ or {})}
        self._unread: queue.Queue[bytes | None] = queue.Queue()
        self.records: list[JSONObject] = []
        self.stdout = b""
        self.stderr = b""
        self.url = ""
        self.spawned = False

    def write(self, **files: str) -> None:
        """Write flow files; `__` in a name stands for `/`."""
        for name, text in files.items():
            path = self.flows / f"{name.replace('__', '/')}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            aside = path.with_suffix(".tmp")
            aside.write_text(text)
            aside.replace(path)

    def __enter__(self) -> Self:
        if not self.spawned:
            self.spawn()
        try:
            self.url = self.wait_for("daemon.started")["data"]["listen"]
        except BaseException:
            self.process.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.wait()

    def spawn(self) -> None:
        """Start it, and do not wait for anything."""
        self.spawned = True
        options = ["--listen=127.0.0.1:0", f"--state={self.state}", f"--secrets-dir={self.secrets}"]
        given = {argument.partition("=")[0] for argument in self._arguments}
        if "RUNNER_STATE" in self._environ:
            given.add("--state")
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", "runner", "serve", str(self.flows),
                f"--settings={self.home / 'settings.yaml'}",
                *(option for option in options if option.partition("=")[0] not in given),
                *self._arguments,
            ],
            cwd=Path(__file__).parent.parent.parent,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._readers = [
            threading.Thread(target=self._read_stdout, args=(self.process.stdout,)),
            threading.Thread(target=self._read_stderr, args=(self.process.stderr,)),
        ]
        for reader in self._readers:
            reader.start()

    def _read_stdout(self, stream: IO[bytes]) -> None:
        for line in stream:
            self.stdout += line
            self._unread.put(line)
        self._unread.put(None)
        stream.close()

    def _read_stderr(self, stream: IO[bytes]) -> None:
        self.stderr = stream.read()
        stream.close()

    # --- what it says

    def wait_for(self, event: str, **fields: Any) -> JSONObject:
        """The next record of *event* with these fields; fails when it ends without one."""
        while True:
            record = self._next()
            assert record is not None, f"no {event}: {self.stdout!r} {self.stderr!r}"
            if record["event"] == event and fields.items() <= record.items():
                return record

    def _next(self) -> JSONObject | None:
        line = self._unread.get(timeout=PATIENCE)
        if line is None:
            return None
        self.records.append(check_record(line))
        return self.records[-1]

    def wait(self) -> int:
        """Its exit code, when it has ended; all that it said is in `records` and `stderr` then."""
        code = self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        while not self._unread.empty():
            self._next()
        return code

    # --- what it is told

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def stop(self) -> int:
        """End it as an orchestrator does; its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request; what is not bytes is sent as JSON."""
        sent = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        request = urllib.request.Request(self.url + path, body, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                return Answer(response.status, dict(response.headers), response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), error.read())

    def get(self, path: str, **more: Any) -> Answer:
        """GET."""
        return self.ask("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> Answer:
        """POST."""
        return self.ask("POST", path, body, **more)
