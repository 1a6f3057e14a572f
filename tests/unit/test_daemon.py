"""How the parts are started and stopped, in this process."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from runner import daemon, settings
from runner.errors import RunnerError, SettingsError
from runner.operations.base import Extra
from runner.records import Record, Recorder
from runner.redact import Redactor
from runner.reload import Reloader
from runner.types import JSONObject
from tests.records import Kept

ERROR: JSONObject = {"name": "Forbidden", "message": "no", "code": "FORBIDDEN"}


class Running:
    """A daemon in a task, and what it said so far."""

    def __init__(self, flows: Path, listen: str = "127.0.0.1:0", state: str = "none") -> None:
        made = settings.load({"flows": str(flows), "listen": listen, "state": state}, {}, None)
        self.kept = Kept()
        self.started = asyncio.Event()
        self.recorder = Recorder(Redactor(), self.kept, self)
        self.suppressed = asyncio.Event()
        self.task = asyncio.create_task(daemon.serve(made, self.recorder))

    def write(self, record: Record, /) -> None:
        """Notice that it listens, and that it has left out records."""
        if record.fields["event"] == "daemon.started":
            self.started.set()
        if record.fields["event"] == "log.suppressed":
            self.suppressed.set()

    @property
    def records(self) -> list[JSONObject]:
        """What it said."""
        return self.kept.records


async def test_it_says_what_it_does_in_order(tmp_path: Path) -> None:
    """Started with its address, draining, stopped; in between, what it loaded."""
    running = Running(tmp_path)
    await running.started.wait()

    os.kill(os.getpid(), signal.SIGTERM)
    await running.task

    events = [record["event"] for record in running.records]
    assert events[0] == "daemon.started"
    assert events[-2:] == ["daemon.draining", "daemon.stopped"]
    assert running.records[0]["data"]["listen"].startswith("http://127.0.0.1:")
    assert running.records[0]["data"]["pid"] == os.getpid()


async def test_what_was_left_out_is_said_although_nothing_else_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood of deliveries that ends does not keep its count to itself."""
    monkeypatch.setattr(daemon, "_FLUSH_EVERY", 0.01)
    running = Running(tmp_path)
    await running.started.wait()

    for _ in range(300):
        running.recorder.emit("trigger.refused", flow="a", error=ERROR)
    await running.suppressed.wait()

    os.kill(os.getpid(), signal.SIGTERM)
    await running.task
    (said,) = [each for each in running.records if each["event"] == "log.suppressed"]
    assert (said["flow"], said["data"]["event"]) == ("a", "trigger.refused")


def test_a_module_that_is_missing_does_not_start_it_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only uvloop may be missing; whatever else cannot be imported is an error."""
    served = []

    async def serve(*_: object) -> None:
        served.append(1)
        raise ImportError("no module of that name")

    monkeypatch.setattr(daemon, "serve", serve)
    made = settings.load({"flows": str(tmp_path)}, {}, None)

    with pytest.raises(ImportError):
        daemon.run(made, Recorder(Redactor()))

    assert served == [1]


async def test_a_taken_address_is_an_error_of_the_settings(tmp_path: Path) -> None:
    """Nothing was started that would have to be said to stop."""
    first = Running(tmp_path)
    await first.started.wait()
    address = first.records[0]["data"]["listen"].removeprefix("http://")

    second = Running(tmp_path, address)
    with pytest.raises(SettingsError, match="cannot listen on"):
        await second.task

    assert second.records == []
    # The second one has taken over the signals of this process.
    first.task.cancel()
    await asyncio.wait({first.task})


async def test_a_part_that_fails_ends_it_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not go on half alive; the records say what failed, without a stack."""

    async def broken(_: Reloader) -> None:
        raise ExceptionGroup("of a task group", [KeyError("something")])

    monkeypatch.setattr(Reloader, "watch", broken)
    running = Running(tmp_path)

    with pytest.raises(RunnerError, match="a part of it failed: KeyError"):
        await running.task

    last = running.records[-1]
    assert (last["event"], last["severity"]) == ("daemon.stopped", "CRITICAL")
    assert last["error"] == {"name": "KeyError", "message": "'something'"}


def test_a_store_that_takes_more_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And nothing of the address, which may hold a password."""
    monkeypatch.setattr(daemon, "_CLUSTER", Extra("cluster", ("not_installed",)))
    shared = settings.load({"state": "postgresql://me:s3cret@db/runner"}, {})

    with pytest.raises(SettingsError) as caught:
        daemon.make_store(shared)

    assert "pip install 'gitops-flow-runner[cluster]'" in caught.value.message
    assert "s3cret" not in caught.value.message
