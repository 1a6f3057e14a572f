"""Where records go when they leave the process: a pipe, or a person's terminal."""

import logging
import math
import os
import re
import select
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Final, Protocol, cast

import orjson
import structlog

from runner.records import EVENTS, MAX_LINE, Fields, Record, Recorder
from runner.redact import Redactor
from runner.types import JSONObject

_STDOUT: Final = 1
_LAST_LINES: Final = 5.0
"""Seconds that the reader of stdout has for the last lines when the process ends."""


@contextmanager
def to_stdout(
    redactor: Redactor, *, max_line: int = MAX_LINE, fd: int = _STDOUT
) -> Iterator[Recorder]:
    """
    The recorder of a daemon: JSON lines on *fd*, with what libraries say among them.

    At the end the reader gets five seconds for the last lines.
    """
    writer = Writer(fd)
    recorder = Recorder(redactor, LineSink(writer), max_line=max_line)
    writer.on_dropped = lambda count: recorder.emit(
        "log.suppressed", data={"reason": "stdout", "count": count}
    )
    detach = configure(recorder)
    try:
        yield recorder
    finally:
        detach()
        recorder.flush()
        writer.close(_LAST_LINES)


class LineSink:
    """Gives the lines of records to a writer."""

    def __init__(self, writer: "Writer") -> None:
        self._write = writer.write

    def write(self, record: Record) -> None:
        """Take *record*, at once."""
        self._write(record.line)


# --- the writer ---------------------------------------------------------------------------------


class Writer:
    """
    Writes lines to a file descriptor from a thread of its own.

    Every `write()` is of whole lines, and of no more than a pipe takes in one piece (PIPE_BUF,
    4096 bytes; a longer line is alone): short lines never get split, whenever the process dies.
    One for each line would cost the event loop a third of its time, in changes of thread.

    Who gives it a line never waits: what does not fit into the queue is dropped and counted, and
    *on_dropped* is told the count when the reader is back, at most every ten seconds. A reader
    that is gone costs lines and nothing else. The descriptor may be non-blocking.
    """

    #: After the first line the thread lets some more come: waking it for each would cost
    #: the other threads more than writing it.
    GATHER: Final = 0.02
    REPORT_EVERY: Final = 10.0

    def __init__(self, fd: int, *, max_lines: int = 10_000, max_bytes: int = 16 << 20) -> None:
        self.on_dropped: Callable[[int], None] = lambda _: None
        self._fd = fd
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._begin()
        if hasattr(os, "register_at_fork"):
            begin = weakref.WeakMethod(self._begin)
            os.register_at_fork(after_in_child=lambda: (again := begin()) and again())

    def _begin(self) -> None:
        """Nothing is queued. In a forked child the lines are the parent's, and so is the thread."""
        self._lock = threading.Lock()
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._dropped = 0
        self._said = 0
        self._report_at = 0.0
        self._busy = False
        self._closed = False
        self._deadline = math.inf
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def write(self, line: bytes) -> None:
        """Take *line*, which ends with its newline, or drop it; at once in any case."""
        with self._lock:
            full = len(self._lines) >= self._max_lines or self._bytes >= self._max_bytes
            # What the thread itself says is the count of what was dropped: that has to pass.
            if (full or self._closed) and threading.current_thread() is not self._thread:
                self._dropped += 1
                return
            self._lines.append(line)
            self._bytes += len(line)
            if self._busy:
                return
            self._busy = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="records", daemon=True)
                self._thread.start()
        self._wake.set()

    def close(self, timeout: float) -> int:
        """Give the reader *timeout* seconds for what is queued; how many lines it did not get."""
        self._deadline = time.monotonic() + timeout
        self._closed = True
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout)
        with self._lock:
            return len(self._lines) + self._dropped

    # --- in the thread

    def _run(self) -> None:
        reading = True
        while self._wait():
            reading = self._put_some()
            if reading and self._dropped > self._said and time.monotonic() >= self._report_at:
                self._report()
        if reading and self._dropped > self._said:
            self._report()
        while self._lines:
            self._put_some()

    def _wait(self) -> bool:
        """Whether there is another line to write, as soon as that is known."""
        while not self._lines:
            with self._lock:
                self._busy = bool(self._lines)
                self._wake.clear()
            if self._closed:
                return bool(self._lines)
            if not self._busy:
                self._wake.wait()
                self._closing.wait(self.GATHER)
        return True

    def _put_some(self) -> bool:
        """Write the first lines; False if the reader will not take them."""
        count, lines = self._first_lines()
        written = self._put(lines)
        with self._lock:
            # They stood in the queue until now: what is under way is not written yet.
            for _ in range(count):
                self._bytes -= len(self._lines.popleft())
            self._dropped += 0 if written else count
        return written

    def _first_lines(self) -> tuple[int, bytes]:
        """As many whole lines as the system writes in one piece, at least one."""
        lines, size = [self._lines[0]], len(self._lines[0])
        while len(lines) < len(self._lines):
            line = self._lines[len(lines)]
            size += len(line)
            if size > select.PIPE_BUF:
                break
            lines.append(line)
        return len(lines), b"".join(lines)

    def _put(self, lines: bytes) -> bool:
        """Write all of *lines*, however long the reader takes; False if it will not take it."""
        rest = memoryview(lines)
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:
                if time.monotonic() >= self._deadline:
                    return False
                self._await_reader()
            except OSError:  # it is gone, or the disk is full: that costs these records, no more
                return False
        return True

    def _await_reader(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        poll.poll(100)  # ms; a deadline may be set meanwhile

    def _report(self) -> None:
        count = self._dropped - self._said
        self._said += count
        self._report_at = time.monotonic() + self.REPORT_EVERY
        self.on_dropped(count)


# --- what libraries say -------------------------------------------------------------------------


def configure(recorder: Recorder, level: int = logging.WARNING) -> Callable[[], None]:
    """
    Send what is said through structlog and logging to *recorder*, until the result is called.

    structlog: everything from INFO on; an event of the catalogue stays that event. logging: from
    *level* on, as `log.library`. An exception becomes `error` with name and message, never a stack.
    """
    handler = _Handler(recorder, level)
    logging.getLogger().addHandler(handler)
    structlog.configure(
        processors=[_with_error],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *names: _Logger(recorder, *names),
        cache_logger_on_first_use=False,
    )

    def detach() -> None:
        logging.getLogger().removeHandler(handler)
        structlog.reset_defaults()

    return detach


class _Handler(logging.Handler):
    """What logging has to say, as `log.library`."""

    def __init__(self, recorder: Recorder, level: int) -> None:
        super().__init__(level)
        self._recorder = recorder

    def emit(self, record: logging.LogRecord) -> None:
        """Pass *record* on."""
        try:
            message = record.getMessage()
        except Exception:  # the library's arguments do not fit its message
            message = str(record.msg)
        self._recorder.emit(
            "log.library",
            severity=_severity(record.levelno),
            message=message,
            error=_error(record.exc_info),
            data={"logger": record.name},
        )


class _Logger:
    """What structlog calls in the end: every method is a severity."""

    def __init__(self, recorder: Recorder, name: str | None = None) -> None:
        self._recorder = recorder
        self._name = name

    def debug(self, event: str, **fields: Any) -> None:
        self._emit("DEBUG", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        self._emit("INFO", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._emit("WARNING", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        self._emit("ERROR", event, fields)

    def critical(self, event: str, **fields: Any) -> None:
        self._emit("CRITICAL", event, fields)

    msg = info
    warn = warning
    fatal = critical
    exception = error

    def _emit(self, severity: str, event: str, fields: JSONObject) -> None:
        own = {name: fields.pop(name) for name in Fields.__annotations__ if name in fields}
        data = {**fields.pop("data", {}), **fields}
        if event in EVENTS:
            message = data.pop("message", None)
        else:
            message, event = event, "log.library"
            data = {"logger": self._name or "structlog", **data}
        self._recorder.emit(
            event, severity=severity, message=message, data=data or None, **cast("Fields", own)
        )


def _with_error(
    _logger: object, _method: str, fields: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """structlog's `exc_info`, in any of its forms, as `error`."""
    error = _error(fields.pop("exc_info", None))
    fields.pop("stack_info", None)
    return fields if error is None else {**fields, "error": error}


def _error(exc_info: object) -> JSONObject | None:
    if exc_info is True:
        exc_info = sys.exc_info()
    error = exc_info[1] if isinstance(exc_info, tuple) else exc_info
    if not isinstance(error, BaseException):
        return None
    return {"name": type(error).__name__, "message": str(error)}


def _severity(level: int) -> str:
    names = ((logging.CRITICAL, "CRITICAL"), (logging.ERROR, "ERROR"), (logging.WARNING, "WARNING"))
    least = "DEBUG" if level < logging.INFO else "INFO"
    return next((name for floor, name in names if level >= floor), least)


# --- for people ---------------------------------------------------------------------------------


class _Stream(Protocol):
    def write(self, text: str, /) -> object:
        """Show *text*."""


#: Everything that moves the cursor, changes colours or turns text around.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")

_COLOURS: Final = {"DEBUG": 2, "INFO": 36, "WARNING": 33, "ERROR": 31, "CRITICAL": 35}
_WHERE: Final = ("flow", "operation")
_SHOWN: Final = ("status", "duration_ms", "attempt")
_WRONG: Final = ("name", "message")


class ConsoleSink:
    """One line a record for a person: when, how bad, what, where, and the rest as it fits."""

    def __init__(self, stream: _Stream, *, colour: bool = True) -> None:
        self._stream = stream
        self._colour = colour

    def write(self, record: Record) -> None:
        """Show *record*."""
        self._stream.write(self.render(record.fields) + "\n")

    def render(self, fields: JSONObject) -> str:
        """The line for *fields*; what a terminal would obey is shown as text instead."""
        severity = fields["severity"]
        error = fields.get("error", {})
        parts = [
            self._paint(2, fields["timestamp"][11:23]),
            self._paint(_COLOURS.get(severity, 0), f"{severity:8}"),
            self._paint(0, f"{fields['event']:19}"),
            self._paint(1, " / ".join(fields[name] for name in _WHERE if name in fields)),
            self._paint(0, fields["message"]),
            self._paint(2, " ".join(f"{name}={fields[name]}" for name in _SHOWN if name in fields)),
            self._paint(31, ": ".join(str(error[name]) for name in _WRONG if name in error)),
            self._paint(2, orjson.dumps(fields["data"]).decode() if "data" in fields else ""),
        ]
        return " ".join(part for part in parts if part)

    def _paint(self, colour: int, text: str) -> str:
        text = _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour and colour and text else text
