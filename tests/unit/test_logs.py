"""Lines reach whoever reads them, and nobody who writes one ever waits."""

import io
import json
import logging
import os
import re
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import structlog

from runner import logs
from runner.logs import ConsoleSink, LineSink, Writer
from runner.records import Recorder
from runner.redact import PLACEHOLDER, Redactor
from runner.types import JSONObject
from tests.records import Kept, check_record

LINE = b"x" * 99 + b"\n"


class Pipe:
    """A pipe whose reading end is ours."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def drain(self, size: int) -> bytes:
        """Read exactly *size* bytes."""
        read = bytearray()
        while len(read) < size:
            read += os.read(self.reader, size - len(read))
        return bytes(read)

    @contextmanager
    def reading(self) -> Iterator[list[bytes]]:
        """Read in a thread until the writing end is closed, which happens at the end."""
        read: list[bytes] = []

        def run() -> None:
            while more := os.read(self.reader, 65536):
                read.append(more)

        thread = threading.Thread(target=run)
        thread.start()
        yield read
        os.close(self.writer)
        self.writer = -1
        thread.join(10)

    def close_reader(self) -> None:
        """The reader goes away."""
        os.close(self.reader)
        self.reader = -1

    def close(self) -> None:
        """Nothing is left open."""
        for fd in (self.reader, self.writer):
            if fd >= 0:
                os.close(fd)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A pipe; without a reader it takes 64 KiB."""
    pipe = Pipe()
    yield pipe
    pipe.close()


def fill(writer: Writer, pipe: Pipe) -> None:
    """Let *writer* write until the pipe takes no more, and its queue drops."""
    os.set_blocking(pipe.writer, False)
    for _ in range(100_000):
        writer.write(LINE)


def let_go(writer: Writer, pipe: Pipe) -> None:
    """End a thread that waits for the reader."""
    pipe.close_reader()
    assert writer._thread is not None
    writer._thread.join(10)
    assert not writer._thread.is_alive()


# --- the writer ---------------------------------------------------------------------------------


def test_lines_arrive_whole_and_in_order(pipe: Pipe) -> None:
    """What was said first is read first."""
    writer = Writer(pipe.writer)
    lines = [b"line %d\n" % number for number in range(500)]

    for line in lines:
        writer.write(line)

    assert writer.close(10) == 0
    assert pipe.drain(len(b"".join(lines))) == b"".join(lines)


def test_a_write_is_of_whole_lines_and_as_long_as_a_pipe_takes_in_one_piece(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else who writes to the same pipe gets in between, and no death splits a line."""
    written: list[bytes] = []
    write = os.write

    def spy(fd: int, data: bytes) -> int:
        written.append(bytes(data))
        return write(fd, data)

    monkeypatch.setattr("os.write", spy)
    writer = Writer(pipe.writer)

    long = b"x" * 2 * select.PIPE_BUF + b"\n"
    lines = [*[LINE] * 50, long, *[LINE] * 50]
    for line in lines:
        writer.write(line)
    writer.close(10)

    assert b"".join(written) == b"".join(lines)
    assert all(each.endswith(b"\n") for each in written)
    assert all(len(each) <= select.PIPE_BUF or each == long for each in written)
    assert 3 <= len(written) < len(lines)


def test_lines_from_many_threads_stay_whole(pipe: Pipe) -> None:
    """Anybody may write, and all at once."""
    writer = Writer(pipe.writer)
    lines = [bytes([97 + number]) * 60 + b"\n" for number in range(8)]

    def write(line: bytes) -> None:
        for _ in range(100):
            writer.write(line)

    threads = [threading.Thread(target=write, args=(line,)) for line in lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert writer.close(10) == 0
    read = pipe.drain(8 * 100 * 61).splitlines(keepends=True)
    assert sorted(read) == sorted(lines * 100)


@pytest.mark.parametrize("blocking", [True, False])
def test_a_reader_that_stops_neither_blocks_nor_costs_memory(pipe: Pipe, blocking: bool) -> None:
    """The queue is bounded by lines; what is beyond it is dropped and counted."""
    os.set_blocking(pipe.writer, blocking)
    writer = Writer(pipe.writer, max_lines=1000)

    for _ in range(5000):
        writer.write(LINE)

    # It came to an end, so nobody waited; and nearly nothing was written.
    assert len(writer._lines) <= 1000
    assert writer.close(0.05) >= 5000 - 65536 // len(LINE) - 1
    let_go(writer, pipe)


def test_the_queue_is_bounded_by_bytes_too(pipe: Pipe) -> None:
    """A few enormous lines weigh as much as many small ones."""
    os.set_blocking(pipe.writer, False)
    writer = Writer(pipe.writer, max_bytes=1_000_000)
    line = b"y" * 99_999 + b"\n"

    for _ in range(100):
        writer.write(line)

    assert writer._bytes <= 1_100_000
    assert writer.close(0.05) == 100
    let_go(writer, pipe)


def test_what_was_dropped_is_said_when_the_reader_is_back(pipe: Pipe) -> None:
    """The count reaches the reader in a line of its own, although the queue was full."""
    writer = Writer(pipe.writer, max_lines=100)
    said: list[int] = []

    def say(count: int) -> None:
        said.append(count)
        writer.write(b"dropped\n")

    writer.on_dropped = say
    fill(writer, pipe)
    with pipe.reading() as read:
        lost = writer.close(10)

    lines = b"".join(read).splitlines(keepends=True)
    assert set(lines) == {LINE, b"dropped\n"}
    assert lines.count(LINE) == 100_000 - lost
    assert sum(said) == lost


def test_a_slow_reader_gets_whole_lines_in_order(pipe: Pipe) -> None:
    """A line that the pipe took in parts is never torn by the next."""
    os.set_blocking(pipe.writer, False)
    writer = Writer(pipe.writer)
    lines = [b"%06d" % number + b"z" * 9_993 + b"\n" for number in range(60)]

    for line in lines:
        writer.write(line)
    read = b""
    while len(read) < 60 * 10_000:
        read += os.read(pipe.reader, 777)

    assert read == b"".join(lines)
    assert writer.close(10) == 0


def test_a_reader_that_is_gone_costs_lines_and_nothing_else(pipe: Pipe) -> None:
    """EPIPE is the reader's business: flows go on, lines are counted."""
    writer = Writer(pipe.writer)
    pipe.close_reader()

    for _ in range(1000):
        writer.write(LINE)

    assert writer.close(10) == 1000


def test_a_descriptor_that_is_closed_costs_lines_and_nothing_else() -> None:
    """As when the process was started without a stdout."""
    reader, fd = os.pipe()
    os.close(reader)
    os.close(fd)
    writer = Writer(fd)

    writer.write(LINE)

    assert writer.close(10) == 1


def test_closing_waits_no_longer_than_it_is_told(pipe: Pipe) -> None:
    """The process ends, whatever the reader does."""
    os.set_blocking(pipe.writer, True)
    writer = Writer(pipe.writer)
    for _ in range(2000):
        writer.write(LINE)

    began = time.monotonic()
    assert writer.close(0.05) > 0

    assert time.monotonic() - began < 5
    let_go(writer, pipe)


def test_a_closed_writer_takes_nothing(pipe: Pipe) -> None:
    """What comes after the end is counted, not kept."""
    writer = Writer(pipe.writer)
    assert writer.close(1) == 0

    writer.write(LINE)

    assert writer.close(1) == 1


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_writes_its_own_lines_only(pipe: Pipe) -> None:
    """The queue of the parent is the parent's, and the child has a thread when it needs one."""
    writer = Writer(pipe.writer)
    writer.write(b"parent\n")

    child = os.fork()
    if child == 0:
        writer.write(b"child\n")
        os._exit(writer.close(10))
    status = os.waitpid(child, 0)[1]

    assert (status, writer.close(10)) == (0, 0)
    assert sorted(pipe.drain(len("parent\nchild\n")).splitlines()) == [b"child", b"parent"]


# --- to stdout ----------------------------------------------------------------------------------


def test_the_daemons_records_reach_stdout(pipe: Pipe) -> None:
    """What happened and what libraries say, in one place and one form."""
    with logs.to_stdout(Redactor(), fd=pipe.writer) as recorder:
        recorder.emit("daemon.started")
        logging.getLogger("asyncio").error("slow callback")
        structlog.get_logger().info("daemon.stopped")

    os.set_blocking(pipe.reader, False)
    records = [check_record(line) for line in os.read(pipe.reader, 65536).splitlines(keepends=True)]
    assert [each["event"] for each in records] == [
        "daemon.started",
        "log.library",
        "daemon.stopped",
    ]


def test_dropped_lines_become_a_record(pipe: Pipe) -> None:
    """The record of what is missing is as good as any other."""
    os.set_blocking(pipe.writer, False)
    kept = Kept()
    with ExitStack() as reading, logs.to_stdout(Redactor(), fd=pipe.writer) as recorder:
        for _ in range(12_000):
            recorder.emit("daemon.warning")
        recorder.attach(kept)
        reading.enter_context(pipe.reading())

    assert kept.records
    assert {each["data"]["reason"] for each in kept.records} == {"stdout"}


def test_the_interpreter_ends_with_nobody_reading() -> None:
    """A daemon whose stdout is stuck can be stopped."""
    program = (
        "from runner import logs\nfrom runner.redact import Redactor\n"
        "logs._LAST_LINES = 0.1\n"
        "with logs.to_stdout(Redactor()) as recorder:\n"
        "    for _ in range(2000): recorder.emit('daemon.warning')\n"
        "import sys; sys.stderr.write('done')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    assert process.stdout is not None
    with process.stdout, process.stderr:
        assert process.stderr.read() == b"done"
        assert process.wait(20) == 0


# --- libraries ----------------------------------------------------------------------------------


@pytest.fixture
def kept() -> Iterator[Kept]:
    """What structlog and logging say, as records."""
    kept, redactor = Kept(), Redactor()
    redactor.learn("Canary-4f9d")
    detach = logs.configure(Recorder(redactor, kept))
    yield kept
    detach()


def test_structlog_ends_in_the_recorder(kept: Kept) -> None:
    """An event of the catalogue with its fields; whatever else there is becomes data."""
    structlog.get_logger().warning("daemon.warning", flow="a", message="look", setting="cors")

    assert (kept.last["event"], kept.last["severity"]) == ("daemon.warning", "WARNING")
    assert (kept.last["flow"], kept.last["message"]) == ("a", "look")
    assert kept.last["data"] == {"setting": "cors"}


def test_what_is_no_event_of_ours_is_the_librarys_message(kept: Kept) -> None:
    """Sentences stay sentences, and say who spoke."""
    structlog.get_logger("pool").error("no connection left", size=4)

    assert (kept.last["event"], kept.last["message"]) == ("log.library", "no connection left")
    assert kept.last["data"] == {"logger": "pool", "size": 4}


@pytest.mark.parametrize(
    ("method", "severities"),
    [
        ("debug", []),
        ("info", ["INFO"]),
        ("warn", ["WARNING"]),
        ("exception", ["ERROR"]),
        ("fatal", ["CRITICAL"]),
    ],
)
def test_structlogs_methods_are_severities(kept: Kept, method: str, severities: list[str]) -> None:
    """Debugging is left out, everything else has its word."""
    getattr(structlog.get_logger(), method)("daemon.warning")

    assert [record["severity"] for record in kept.records] == severities


@pytest.mark.parametrize("library", ["structlog", "logging"])
def test_an_exception_is_name_and_message(kept: Kept, library: str) -> None:
    """Never a stack: those hold values of variables, and many lines."""
    log: Any = structlog.get_logger() if library == "structlog" else logging.getLogger("asyncio")

    try:
        raise ValueError("bad Canary-4f9d")
    except ValueError:
        log.exception("it failed")

    assert kept.last["error"] == {"name": "ValueError", "message": f"bad {PLACEHOLDER}"}
    assert kept.last["message"] == "it failed"
    assert "Traceback" not in str(kept.last)


@pytest.mark.parametrize(
    ("level", "severities"),
    [
        (logging.INFO, []),
        (logging.WARNING, ["WARNING"]),
        (logging.ERROR, ["ERROR"]),
        (logging.CRITICAL, ["CRITICAL"]),
        (55, ["CRITICAL"]),
    ],
)
def test_logging_ends_in_the_recorder(kept: Kept, level: int, severities: list[str]) -> None:
    """From WARNING on, with the name of the logger."""
    logging.getLogger("aiohttp.server").log(level, "half %s", "told")

    assert [record["severity"] for record in kept.records] == severities
    assert all(record["data"] == {"logger": "aiohttp.server"} for record in kept.records)
    assert all(record["message"] == "half told" for record in kept.records)


def test_a_message_that_its_arguments_do_not_fit_is_still_said(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library's mistake does not become ours."""
    root = logging.getLogger()
    ours = [each for each in root.handlers if type(each).__module__ == logs.__name__]
    monkeypatch.setattr(root, "handlers", ours)  # not pytest's, which would raise

    logging.getLogger("odd").warning("%d items", "no number")

    assert kept.last["message"] == "%d items"


def test_detaching_leaves_logging_as_it_was() -> None:
    """Tests and commands come and go."""
    before = logging.getLogger().handlers[:]
    detach = logs.configure(Recorder(Redactor()))

    detach()

    assert logging.getLogger().handlers == before
    assert not structlog.is_configured()


# --- people -------------------------------------------------------------------------------------

STEP: JSONObject = {
    "timestamp": "2026-03-29T01:59:59.999Z",
    "severity": "WARNING",
    "message": "an operation rejected",
    "event": "operation.rejected",
    "service": "gitops-flow-runner",
    "flow": "billing/intake",
    "operation": "warehouse",
    "duration_ms": 1.5,
    "error": {"name": "Timeout", "message": "took too long"},
    "data": {"value": "\u202e\x9b"},
}


def rendered(fields: JSONObject, *, colour: bool = False) -> str:
    """The line that a person would see."""
    return ConsoleSink(io.StringIO(), colour=colour).render(fields)


def test_a_person_sees_one_line_a_record() -> None:
    """When, how bad, what, where, and why."""
    assert rendered({**STEP, "data": {"value": 1}}) == (
        "01:59:59.999 WARNING  operation.rejected  billing/intake / warehouse an operation rejected"
        ' duration_ms=1.5 Timeout: took too long {"value":1}'
    )


def test_colours_are_only_paint() -> None:
    """Without them the line is the same."""
    painted = rendered(STEP, colour=True)

    assert re.sub("\x1b\\[[0-9]+m", "", painted) == rendered(STEP)
    assert painted != rendered(STEP)


@pytest.mark.parametrize(
    "evil", ["\x1b[2J", "\r", "\n", "\x9b31m", "\u202e", "\u2028", "\x7f", "\x00"]
)
def test_nothing_a_flow_says_moves_the_terminal(evil: str) -> None:
    """Escape sequences, line ends and turned text are shown, not obeyed."""
    fields = {**STEP, "message": evil, "flow": evil, "error": {"name": evil, "message": evil}}

    assert evil not in rendered({**fields, "data": {evil: evil}})


def test_a_console_gets_a_line_for_every_record() -> None:
    """Through the same door as all other sinks."""
    stream = io.StringIO()
    recorder = Recorder(Redactor(), ConsoleSink(stream, colour=False))

    recorder.emit("daemon.started")
    recorder.emit("daemon.stopped", data={"a": 1})

    assert [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()] == [
        "INFO     daemon.started      the runner has started",
        'INFO     daemon.stopped      the runner has stopped {"a":1}',
    ]


def test_lines_go_from_the_recorder_to_the_writer(pipe: Pipe) -> None:
    """The sink between them adds and takes nothing."""
    writer = Writer(pipe.writer)
    kept = Kept()

    Recorder(Redactor(), kept, LineSink(writer)).emit("daemon.started")

    assert writer.close(10) == 0
    assert json.loads(pipe.drain(len(kept.lines[0]))) == kept.last
