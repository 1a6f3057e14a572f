"""Run scripts in processes of their own: a few, kept ready, each with one script at a time."""

import asyncio
import os
import signal
import socket
import struct
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, cast

from runner import jsontext
from runner.errors import OperationError
from runner.resources import Resource
from runner.settings import Settings
from runner.types import JSONObject, JSONValue

#: What the processes run; it says how one speaks with them. To import it would bring the engine
#: here, so what both sides must know is written twice.
_PROGRAM: Final = Path(__file__).with_name("script_worker.py")
_REQUEST: Final = struct.Struct("<II")
_REPORT: Final = struct.Struct("<I?")
_MAX_REPORT: Final = (16 << 20) + (1 << 20)

#: Seconds beyond its time after which a script is killed. Nearly always the engine has ended it
#: before, and its process can tell what it has said.
_GRACE: Final = 0.5

#: Seconds after which a process that is not ready yet is given up.
_PATIENCE: Final = 30.0

#: What a larger setting comes to: the engine could not count that far.
_MAX_SECONDS: Final = 86_400.0
_MAX_MEMORY: Final = 1 << 40
#: What a smaller setting comes to: three times an empty context.
_MIN_MEMORY: Final = 1 << 20


class Ran(NamedTuple):
    """What became of a script."""

    value: JSONValue
    #: Why there is no value.
    error: OperationError | None
    #: What it said: severities and messages.
    lines: list[tuple[str, str]]


class Scripts:
    """
    Runs scripts that may take *seconds* and *memory* (bytes) each, *size* of them at once.

    Processes are started when they are needed, and stay. One that ends, for whatever reason,
    takes at most the script that it ran with it, and another one takes its place.
    """

    def __init__(self, seconds: float, memory: int, size: int) -> None:
        self._seconds = min(seconds, _MAX_SECONDS)
        self._memory = min(max(memory, _MIN_MEMORY), _MAX_MEMORY)
        self._size = size
        self._workers: set[_Worker] = set()
        #: The one that has been idle for longest is first: it had most time to prepare itself.
        self._idle: deque[_Worker] = deque()
        self._waiting: deque[_Call] = deque()
        self._closed = False

    def warm(self) -> None:
        """Start all processes, so that no script has to wait for one."""
        self._start(self._size)

    async def run(self, code: str, data: bytes) -> Ran:
        """
        Run *code* with *data*, a JSON object, as soon as a process has nothing else to do.

        Whatever becomes of the script is told, and never raised; cancelling this ends the script.
        """
        text = code.encode()
        request = _REQUEST.pack(len(text), len(data)) + text + data
        call = _Call(request, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        self._assign()
        try:
            return self._ran(await call.report)
        except OperationError as error:
            return Ran(None, error, [])
        finally:
            if call.report.cancelled():
                self._abandon(call)

    async def close(self) -> None:
        """End all processes, whatever they do; nothing may be run any more."""
        self._closed = True
        self._refuse_waiting("the runner is stopping")
        workers = tuple(self._workers)
        for worker in workers:
            worker.kill()
        await asyncio.gather(*(worker.ended for worker in workers))

    # --- processes

    def _assign(self) -> None:
        """Give what waits to idle processes, and start processes for the rest."""
        while self._waiting and self._idle:
            self._idle.popleft().begin(self._waiting.popleft())
        if self._waiting:
            starting = sum(not worker.ready for worker in self._workers)
            self._start(len(self._waiting) - starting)

    def _start(self, number: int) -> None:
        """Start *number* processes, as far as there may be so many."""
        for _ in range(min(number, self._size - len(self._workers))):
            try:
                worker = _Worker(self._seconds, self._memory, self._on_idle, self._on_end)
            except OSError as error:
                self._on_failed_start(str(error))
                return
            self._workers.add(worker)

    def _on_idle(self, worker: "_Worker") -> None:
        self._idle.append(worker)
        self._assign()

    def _on_end(self, worker: "_Worker", how: str) -> None:
        self._workers.discard(worker)
        with suppress(ValueError):
            self._idle.remove(worker)
        if self._closed:
            return
        if not worker.ready:
            self._on_failed_start(how)
            return
        if worker.used:  # else whatever ends it might do so again and again
            self._start(1)
        self._assign()

    def _on_failed_start(self, why: str) -> None:
        # Where there are others, they come to what waits, sooner or later.
        if not self._workers:
            self._refuse_waiting(f"no process can be started for scripts: {why}")

    def _refuse_waiting(self, message: str) -> None:
        for call in self._waiting:
            call.fail(OperationError(message, code="SCRIPTS_UNAVAILABLE"))
        self._waiting.clear()

    def _abandon(self, call: "_Call") -> None:
        """Nobody waits for *call* any more; there is no other way to end it."""
        with suppress(ValueError):
            self._waiting.remove(call)
        for worker in self._workers:
            if worker.call is call:
                worker.kill()

    # --- reports

    def _ran(self, report: bytes) -> Ran:
        try:
            said = cast("JSONObject", jsontext.parse(report))
        except ValueError as error:
            message = f"the result of the script cannot be read: {error}"
            return Ran(None, OperationError(message, code="INVALID_RESULT"), [])
        lines = [(severity, message) for severity, message in said.get("console", ())]
        if said.get("unsaid"):
            lines.append(("WARNING", f"lines left out: {said['unsaid']}"))
        return Ran(said.get("value"), None if "value" in said else self._error(said), lines)

    def _error(self, said: JSONObject) -> OperationError:
        if "thrown" in said:
            return OperationError("the script threw a value", data=_thrown(said["thrown"]))
        if "error" in said:
            return OperationError(said["error"]["message"], data=said["error"])
        match said["failed"]:
            case "TIMED_OUT":
                return _timed_out(self._seconds)
            case "OUT_OF_MEMORY":
                message = f"the script needed more than {self._memory / (1 << 20):g} MiB of memory"
                return OperationError(message, code="OUT_OF_MEMORY")
            case "PENDING":
                return OperationError("the script waits for a promise that never settles")
            case _:
                message = "the result of the script is larger than 16 MiB"
                return OperationError(message, code="INVALID_RESULT")


def _thrown(value: JSONValue) -> JSONValue:
    """A text that is JSON stands for what it says."""
    if isinstance(value, str):
        with suppress(ValueError):
            return jsontext.parse(value)
    return value


def _timed_out(seconds: float) -> OperationError:
    message = f"the script took longer than {seconds:g} s"
    return OperationError(message, name="Timeout", code="TIMED_OUT", status=504)


# --- one process --------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class _Call:
    """A script that waits or runs."""

    request: bytes
    report: asyncio.Future[bytes]

    def finish(self, report: bytes) -> None:
        if not self.report.done():
            self.report.set_result(report)

    def fail(self, error: OperationError) -> None:
        if not self.report.done():
            self.report.set_exception(error)


class _Worker(asyncio.Protocol):
    """
    A process: it starts, is ready, and then idle or with a call.

    *on_idle* is told whenever it could begin a call; *on_end* that it is gone, and how that came.
    Raises OSError when no process can be made.
    """

    def __init__(
        self,
        seconds: float,
        memory: int,
        on_idle: Callable[["_Worker"], None],
        on_end: Callable[["_Worker", str], None],
    ) -> None:
        self.ready = False
        #: Whether it has begun a call.
        self.used = False
        self.call: _Call | None = None
        self._seconds = seconds
        self._on_idle = on_idle
        self._on_end = on_end
        self._received = bytearray()
        self._loop = asyncio.get_running_loop()
        #: Done when nothing of it is left.
        self.ended: asyncio.Future[None] = self._loop.create_future()
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = _spawn(theirs.fileno(), str(seconds), str(memory))
            except OSError:
                ours.close()
                raise
        self._timer = self._loop.call_later(_PATIENCE, self.kill)
        connecting = self._loop.create_unix_connection(lambda: self, sock=ours)
        self._connecting = self._loop.create_task(connecting)

    def begin(self, call: _Call) -> None:
        """Run *call*; only where it is idle."""
        self.used = True
        self.call = call
        self._transport.write(call.request)
        self._timer = self._loop.call_later(self._seconds + _GRACE, self._on_late)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    # --- what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what requests are written to."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Take the next part of a report."""
        self._received += data
        if len(self._received) < _REPORT.size:
            return
        size, ends = _REPORT.unpack_from(self._received)
        missing = _REPORT.size + size - len(self._received)
        if size > _MAX_REPORT or missing < 0:
            self.kill()  # it is not our program any more that speaks
        elif missing == 0:
            report = bytes(self._received[_REPORT.size :])
            self._received.clear()
            self._on_report(report, ends)

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        self.kill()  # should it have closed nothing but the socket
        how = _ending(self._process.wait())  # at once, as no script can hold up a SIGKILL
        self._timer.cancel()
        if self.call is not None:
            message = f"the process of the script ended: {how}"
            self.call.fail(OperationError(message, code="SCRIPT_LOST"))
            self.call = None
        self.ended.set_result(None)
        self._on_end(self, how)

    def _on_report(self, report: bytes, ends: bool) -> None:
        if self.call is not None:
            self.call.finish(report)
            self.call = None
        elif self.ready:
            self.kill()  # nobody has asked
            return
        self._timer.cancel()
        self.ready = True
        if not ends:
            self._on_idle(self)

    def _on_late(self) -> None:
        if self.call is not None:
            self.call.fail(_timed_out(self._seconds))
        self.kill()


def _spawn(stdin: int, *arguments: str) -> subprocess.Popen[bytes]:
    """
    Start the program: alone in its session, so that Ctrl-C does not reach it before we have
    drained, with nothing of our environment but where Python's own library is.
    """
    kept = "LD_LIBRARY_PATH"
    return subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-I", str(_PROGRAM), *arguments],
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        cwd="/",
        env={kept: os.environ[kept]} if kept in os.environ else {},
        start_new_session=True,
    )


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.strsignal(-code) or f"signal {-code}"


# --- the resource -------------------------------------------------------------------------------


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Scripts]:
    size = min(4, max(2, os.cpu_count() or 2))
    scripts = Scripts(settings.limits.script_time, settings.limits.script_memory, size)
    try:
        yield scripts
    finally:
        await scripts.close()


SCRIPTS: Final = Resource(open=_opened, warm=Scripts.warm)
"""The processes of a daemon: as many as there are processors, two to four."""
