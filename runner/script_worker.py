"""
The process that runs scripts, one after another, each in a fresh context.

`runner/scripts.py` starts this file and speaks with it over its standard input, a socket. It
imports nothing of the package: a script that broke out of its engine would find an empty
environment, no file that it may open, and no secret. It ends when the socket does.

A request is the sizes of two texts, and the texts: the code, and the data as JSON. A report is its
size, whether the process ends now, and a JSON object that says what became of the script: `value`,
`thrown` (a value that is no error), `error`, or `failed` (`PENDING`, `TIMED_OUT`,
`OUT_OF_MEMORY`, `TOO_LARGE`); and `console` and `unsaid`, where it has said something. The first
report is empty: it means ready.
"""

import os
import resource
import struct
import sys
import time

# The heart of `quickjs`: the rest of it starts threads, and takes longer to load than Python does.
from _quickjs import Context, JSException

REQUEST = struct.Struct("<II")
REPORT = struct.Struct("<I?")

#: A longer report is not sent: 16 MiB of result, and what the script has said.
MAX_REPORT = (16 << 20) + (1 << 20)

#: What a script that has used up its memory gets on top, to report: bytes.
RESERVE = 1 << 20

#: What the largest request and report take beside the memory of the script: bytes.
HEADROOM = 256 << 20

#: A script that ran for less cannot have used much memory: seconds.
SHORT = 0.001

SOCKET = 0
CHUNK = 1 << 16


def main(seconds: float, memory: int) -> None:
    """Run scripts that may take *seconds* and *memory* (bytes) each, until nobody asks any more."""
    prelude, reporter = _read("script_prelude.js"), _read("script_report.js")
    process = Process(seconds, memory)
    script = Script(prelude, reporter, seconds, memory)
    process.confine()
    _send(b"", ends=False)
    while request := _receive():
        started = time.monotonic()
        report = script.run(*request, started + seconds)
        grown = time.monotonic() > started + SHORT and process.has_grown()
        # Without memory even for an error, the engine throws null, or loses the promise.
        if grown and report.startswith((b'{"thrown":null', b'{"failed":"PENDING"')):
            report = script.failed("OUT_OF_MEMORY")
        _send(report, ends=grown)
        if grown:  # what takes its place is small again
            return
        # Whoever was woken by the report comes first: what follows is for later.
        os.sched_yield()
        del script  # before there is another
        script = Script(prelude, reporter, seconds, memory)
        process.renew()


class Script:
    """A fresh context, and the script that runs in it."""

    def __init__(self, prelude: str, reporter: str, seconds: float, memory: int) -> None:
        self._context = Context()
        self._step = self._context.eval(prelude)(reporter)
        self._context.set_memory_limit(memory)
        self._context.set_time_limit(seconds)
        self._memory = memory

    def run(self, code: str, data: str, deadline: float) -> bytes:
        """The report of a script that has until *deadline*."""
        try:
            report = self._run(code, data, deadline)
        except (JSException, MemoryError, TimeoutError):
            # What an exception says is for the script to choose; what time it is is not.
            late = time.monotonic() >= deadline
            return self.failed("TIMED_OUT" if late else "OUT_OF_MEMORY")
        return report if len(report) <= MAX_REPORT else self.failed("TOO_LARGE")

    def _run(self, code: str, data: str, deadline: float) -> bytes:
        self._step(code, self._context.parse_json(data))
        while self._context.execute_pending_job():
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._context.set_time_limit(left)  # of every call, not of all together
        return _encoded(self._step(""))

    def failed(self, why: str) -> bytes:
        """The report of a script that did not come to its end; it has what the script had said."""
        self._context.set_memory_limit(self._memory + RESERVE)
        try:
            return _encoded(self._step(why))
        except (JSException, MemoryError):
            return b'{"failed":"%s"}' % why.encode()


def _encoded(report: str | None) -> bytes:
    if report is None:  # no memory to take it out of the context
        raise MemoryError
    return (_mended(report) if "\\ud" in report else report).encode()


def _mended(report: str) -> str:
    """JSON with U+FFFD for every half of a character, which readers of JSON refuse."""
    # The engine escapes no others; where a backslash is escaped itself, no escape begins.
    parts = (part.split("\\ud") for part in report.split("\\\\"))
    whole = ("\\ufffd".join([part, *(each[3:] for each in more)]) for part, *more in parts)
    return "\\\\".join(whole)


# --- this process -------------------------------------------------------------------------------


class Process:
    """What this process may take, and what it has taken."""

    def __init__(self, seconds: float, memory: int) -> None:
        self._seconds = seconds
        self._memory = memory
        self._before = 0
        try:
            self._status = os.open("/proc/self/status", os.O_RDONLY)
        except OSError:
            self._status = -1  # not Linux

    def confine(self) -> None:
        """Take away what no script needs; only a fault of the engine would ever ask for it."""
        self._before = self._size(b"VmHWM:")
        for limit in (resource.RLIMIT_CORE, resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC):
            resource.setrlimit(limit, (0, 0))
        if size := self._size(b"VmSize:"):
            _limit(resource.RLIMIT_AS, size + self._memory + HEADROOM)
        self.renew()

    def renew(self) -> None:
        """Grant the time of one more script: not even one that nobody can end runs for ever."""
        _limit(resource.RLIMIT_CPU, int(time.process_time() + self._seconds) + 2)

    def has_grown(self) -> bool:
        """Whether a script has used most of its memory; never, where the system does not say."""
        return self._size(b"VmHWM:") > self._before + self._memory * 3 // 4

    def _size(self, name: bytes) -> int:
        """One of the sizes of this process, in bytes, under Linux' name for it; 0: not known."""
        if self._status < 0:
            return 0
        _, _, rest = os.pread(self._status, CHUNK, 0).partition(name)
        return int(rest.split(maxsplit=1)[0]) * 1024 if rest else 0


def _limit(which: int, most: int) -> None:
    """Allow *most*, or the less that the runner itself is allowed."""
    _, hard = resource.getrlimit(which)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(which, (most, hard))


def _read(name: str) -> str:
    # pathlib takes longer to load than all else here.
    with open(os.path.join(os.path.dirname(__file__), name), encoding="utf-8") as file:  # noqa: PTH118, PTH120, PTH123
        return file.read()


# --- the socket ---------------------------------------------------------------------------------


def _receive() -> tuple[str, str] | None:
    """Code and data of the next request; None: there will be none."""
    frame = bytearray()
    whole, code, data = REQUEST.size, 0, 0
    while len(frame) < whole:
        part = os.read(SOCKET, CHUNK)
        if not part:
            return None
        frame += part
        if len(frame) >= REQUEST.size:
            code, data = REQUEST.unpack_from(frame)
            whole = REQUEST.size + code + data
    text = REQUEST.size + code
    return frame[REQUEST.size : text].decode(), frame[text:].decode()


def _send(report: bytes, *, ends: bool) -> None:
    frame = memoryview(REPORT.pack(len(report), ends) + report)
    while frame:
        frame = frame[os.write(SOCKET, frame) :]


if __name__ == "__main__":
    try:
        main(float(sys.argv[1]), int(sys.argv[2]))
    except BrokenPipeError:
        sys.exit()  # the runner has ended while a script ran
