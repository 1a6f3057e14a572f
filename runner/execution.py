"""Walk one flow: the only place that decides what runs next."""

import asyncio
import hashlib
import math
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from runner import datachain, jsontext
from runner.errors import (
    Draining,
    FlowNotFound,
    Lost,
    OperationError,
    RunnerError,
    Suspended,
    Unavailable,
)
from runner.failures import brief, describe, summary
from runner.ids import derived_id, random_id
from runner.listeners import filtered, refused, told
from runner.model import (
    Accountability,
    Concurrency,
    Event,
    Family,
    Flow,
    Operation,
    OperationTrigger,
    Outcome,
    Rejected,
    Resolved,
    Result,
    Retry,
    Start,
    Status,
    starter,
)
from runner.operations.base import ExecutionRef
from runner.records import Fields, Recorder
from runner.resources import Resources
from runner.store.base import WakeAt
from runner.template import Template
from runner.trail import Trail
from runner.turns import Holder, Rates, Turns
from runner.types import Chain, JSONObject, JSONValue

#: After so many operations without a pause, others get a turn of the loop.
_TURN = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all executions of a daemon have in common."""

    recorder: Recorder
    #: `$env`.
    env: Mapping[str, str]
    #: `$secrets`.
    secrets: datachain.Secrets
    #: What operations share: connections, worker processes.
    resources: Resources = field(default_factory=Resources)
    #: How many flows may stand in each other, the first one included.
    max_depth: int = 16
    #: How many executions one execution may cause, children of children included.
    max_fanout: int = 10_000
    #: Of those that other flows start too: they need no place of their own, but their turn.
    turns: Turns = field(default_factory=Turns)
    rates: Rates = field(default_factory=Rates)
    #: Seconds that somebody waits: for a turn, and for each filter flow that does not say it.
    request_time: float = 30.0
    #: The engine's `accept`, for what an execution causes and does not wait for.
    begin: "Begin | None" = None


#: Raises RunnerError where a start is refused.
Begin: TypeAlias = Callable[[Start], Awaitable[object]]


def line(start: Start, key: Template | None, shared: Shared) -> tuple[str, str]:
    """The name of the line in which *start* stands, and of what its rate is counted by."""
    if key is None:
        return start.flow.id, ""
    who = start.accountability
    rendered = key.render(
        {
            "$trigger": start.trigger_data,
            "$accountability": None if who is None else who.as_data(),
            "$env": dict(shared.env),
        }
    )
    text = rendered if isinstance(rendered, str) else jsontext.write(rendered).decode()
    # Of bounded length, and nobody else's business.
    return start.flow.id, hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def count(start: Start, shared: Shared) -> None:
    """Count one start of a flow. Raises RequestsExceeded where that is one too many."""
    limit = start.flow.rate_limit
    if limit is not None:
        shared.rates.count(line(start, limit.key, shared), limit)


CANCELLED: Final = Result(
    Status.CANCELLED,
    {"name": "Cancelled", "message": "the execution was cancelled", "code": "CANCELLED"},
)
"""How an execution ends that somebody did not want any more."""

STOPPED: Final = Result(
    Status.CANCELLED,
    {"name": "Draining", "message": "the runner stopped before it ended", "code": Draining.code},
)
"""How an execution ends that lives in a process which ends."""


class Execution:
    """
    One run of one flow; to its operations, the OperationContext.

    It runs in the task that awaits `run`, once.
    """

    __slots__ = (
        "_attempt", "_cancelled", "_chain", "_emitted", "_family", "_holder", "_missing",
        "_operation", "_options", "_record", "_replaying", "_shared", "_task", "_tracked", "_trail",
        "_transaction", "began", "flow", "id", "start_of", "trace_id",
    )  # fmt: skip

    def __init__(
        self,
        start: Start,
        shared: Shared,
        parent: "Execution | None" = None,
        transaction: object | None = None,
        *,
        trail: Trail | None = None,
        holder: Holder | None = None,
    ) -> None:
        self.id = start.id or random_id()
        self.trace_id = start.trace_id or self.id.replace("-", "")
        self.flow = start.flow
        self.start_of = start
        self._shared = shared
        self._transaction = transaction
        #: Where its steps are kept; None: it is direct.
        self._trail = trail
        #: What waits for it: its parent, or the one that has its turn.
        self._holder: Holder | None = holder if parent is None else parent
        self._family = start.family or Family(self.id)
        # Of the operation that runs: its key, its try, its options, and paths that led nowhere.
        self._operation = ""
        self._attempt = 1
        self._options: JSONValue = None
        self._missing: list[str] = []
        #: How many events it told so far.
        self._emitted = 0
        #: Seconds on the clock of `time.perf_counter`.
        self.began = 0.0
        #: What it does now, an earlier walk has done and recorded already.
        self._replaying = False
        #: How it ends, where somebody has ended it.
        self._cancelled: Result | None = None
        self._task: asyncio.Task[object] | None = None
        self._tracked = start.flow.tracking == "all"
        accountability = start.accountability
        self._chain = datachain.begin(
            start.trigger_data,
            None if accountability is None else accountability.as_data(),
            shared.env,
            shared.secrets,
            self._as_data(1),
        )
        fields: Fields = {
            "flow": start.flow.key,
            "flow_digest": start.flow.digest,
            "revision": start.generation.revision,
            "generation": start.generation.number,
            "execution_id": self.id,
            "trigger": start.flow.trigger.kind,
            "trace_id": self.trace_id,
        }
        if start.parent_id is not None:
            fields["parent_id"] = start.parent_id
        self._record = shared.recorder.bind(credentials=start.credentials, **fields)

    # --- as a whole

    async def run(self) -> Result:
        """
        Run to the end and give how it ended; never raises for what the flow does.

        Cancelled by `cancel`, it ends `cancelled`; when the task around it is cancelled by
        somebody else, that is recorded and the cancellation goes on: unless it is kept and goes
        on after a restart. One that is kept raises Suspended where it has to wait for long.
        """
        self.began = started = time.perf_counter()
        timeout = self.start_of.timeout if self.flow.timeout is None else self.flow.timeout
        self._task = asyncio.current_task()
        if self._trail is not None:
            return await self._resume(self._trail, timeout)
        if self._tracked:
            self._record.emit("execution.started", data=self._begun())
        try:
            result = await self._end(timeout, timeout)
        except asyncio.CancelledError:
            self._finish(CANCELLED, started)
            raise
        self._finish(result, started)
        return result

    async def _end(self, seconds: float | None, said: float | None) -> Result:
        """How it ends; *said* is the whole of the time of which *seconds* are the rest."""
        try:
            if self._cancelled is not None:
                raise asyncio.CancelledError  # noqa: TRY301 - before it could begin
            if seconds is None:
                return await self._walk()
            if seconds <= 0:
                raise TimeoutError  # noqa: TRY301 - it was put away until then
            async with asyncio.timeout(seconds):
                return await self._walk()
        except TimeoutError:
            message = f"the flow took longer than {said:g} s"
            error = {"name": "Timeout", "message": message, "code": "TIMED_OUT", "status": 504}
            return Result(Status.TIMED_OUT, error)
        except asyncio.CancelledError:
            if self._cancelled is None or self._task is None:
                raise
            self._task.uncancel()
            return self._cancelled

    async def _resume(self, trail: Trail, seconds: float | None) -> Result:
        """Run from where an earlier walk has left it."""
        now, started = trail.now(), time.perf_counter()
        self._replaying = trail.begun(tuple(self.flow.operations))
        if self.flow.tracking != "none" and not self._replaying:
            self._record.emit("execution.started", data=self._begun() if self._tracked else None)
        deadline = rest = None
        try:
            if seconds is not None:
                deadline = await trail.begin(now) + seconds
                rest = max(deadline - trail.now(), 0.0)
            result = await self._end(rest, seconds)
        except Suspended as suspended:
            await trail.begin(now)
            raise Suspended(min(suspended.at, deadline or suspended.at)) from None
        except asyncio.CancelledError:
            if not trail.goes_on():
                self._finish(CANCELLED, started)
            raise
        if trail.began is not None:
            started = time.perf_counter() - max(trail.now() - trail.began, 0.0)
        self._finish(result, started)
        return result

    def unbegun(self) -> Result:
        """End it `cancelled` where it has not begun."""
        self._finish(CANCELLED, time.perf_counter())
        return CANCELLED

    @property
    def parent(self) -> Holder | None:
        """What waits for it."""
        return self._holder

    def cancel(self, end: Result = CANCELLED) -> None:
        """End it where it is, with *end*; once is enough."""
        if self._cancelled is not None:
            return
        self._cancelled = end
        if self._task is not None:
            self._task.cancel()

    def answer(self) -> JSONValue:
        """What its trigger's `return` says, whatever the outcome."""
        answer = self.flow.trigger.answer
        return None if answer is None else answer(self._chain)

    def _begun(self) -> JSONObject:
        """What started it."""
        chain, start = self._chain, self.start_of
        data: JSONObject = {
            "trigger": chain["$trigger"],
            "accountability": chain["$accountability"],
        }
        if start.nominal is not None:
            data["nominal"] = start.nominal
        if start.replay is not None:
            data["replay"] = start.replay
        return data

    def _finish(self, result: Result, started: float) -> None:
        if result.status is not Status.RESOLVED:
            self._record.emit(
                "execution.finished",
                severity="WARNING",
                status=result.status,
                duration_ms=_milliseconds(started),
                error=brief(result.value),
                operation=self._operation or None,
            )
        elif self.flow.tracking != "none":
            self._record.emit(
                "execution.finished",
                status=result.status,
                duration_ms=_milliseconds(started),
                operation=self._operation or None,
            )

    # --- operation by operation

    async def _walk(self) -> Result:
        flow, chain, family, trail = self.flow, self._chain, self._family, self._trail
        operation = None if flow.first is None else flow.operations[flow.first]
        outcome: Outcome = Resolved(None)
        guarded = False
        while operation is not None:
            family.steps += 1
            if family.steps % _TURN == 0:
                await asyncio.sleep(0)
            started = time.perf_counter() if self._tracked else 0.0
            self._operation, self._attempt = operation.key, 1
            if trail is None or operation.pure:
                outcome = await self._try(operation)
                if operation.retry is not None and type(outcome) is Rejected:
                    outcome = await self._retry(operation, operation.retry, outcome)
            else:
                outcome = await self._keep(operation, trail)
            if self._tracked and not self._replaying:
                self._record_step(operation, outcome, started)
            self._missing.clear()
            if self._attempt > 1:  # what follows is at its first try
                chain["$execution"] = self._as_data(1)
            chain[operation.key] = chain["$last"] = outcome.value
            if type(outcome) is Rejected:
                chain["$error"] = self._error(outcome)
                guarded = operation.guard
            operation = flow.after(operation, outcome)
        if type(outcome) is Resolved:
            return Result(Status.RESOLVED, self.answer())
        if guarded:
            return Result(Status.RESOLVED, None)
        return Result(Status.REJECTED, outcome.value)

    async def _keep(self, operation: Operation, trail: Trail) -> Outcome:
        """The outcome that an earlier walk has kept, else that of running it, which is kept."""
        path = trail.path(operation.key)
        step = trail.step(path)
        if step is not None and not isinstance(step.outcome, WakeAt):
            self._replaying, self._attempt = True, step.attempt
            return step.outcome
        self._replaying, self._emitted = False, 0
        if step is not None and isinstance(step.outcome, WakeAt):
            self._again(step.attempt)
            await trail.until(step.outcome.at)
        outcome = await self._try(operation)
        if operation.retry is not None and type(outcome) is Rejected:
            outcome = await self._retry(operation, operation.retry, outcome)
        return await trail.keep(path, self._attempt, outcome)

    async def _try(self, operation: Operation) -> Outcome:
        self._options = None
        try:
            options: Any = operation.options.render(self._chain, self._missing)
            self._options = options
            if operation.timeout is None or operation.pure:
                return Resolved(await operation.handler(options, self))
            return Resolved(await self._timed(operation, options, operation.timeout))
        except OperationError as error:
            return Rejected(error.as_data())
        except Lost:  # it is somebody else's now, who knows what follows
            raise
        except Exception as error:  # an operation is foreign code: its failure is data
            return Rejected(describe(error))

    async def _timed(self, operation: Operation, options: Any, seconds: float) -> JSONValue:
        try:
            async with asyncio.timeout(seconds) as limit:
                return await operation.handler(options, self)
        except TimeoutError:
            if not limit.expired():
                raise  # its own, which says better what took too long
            message = f"the operation took longer than {seconds:g} s"
            raise OperationError(message, name="Timeout", code="TIMED_OUT", status=504) from None

    async def _retry(self, operation: Operation, retry: Retry, outcome: Outcome) -> Outcome:
        """Try again until it resolves or no try is left; templates are rendered anew."""
        while type(outcome) is Rejected and self._attempt < retry.attempts:
            if retry.when is not None and not retry.when({"$error": self._error(outcome)}):
                break
            delay = pause(retry, self._attempt)
            self._record.emit(
                "operation.retried",
                severity="WARNING",
                operation=operation.key,
                operation_type=operation.type,
                attempt=self._attempt,
                error=brief(outcome.value),
                data={"delay_ms": round(delay * 1000)},
            )
            if self._trail is None:
                await asyncio.sleep(delay)
            else:
                path = self._trail.path(operation.key)
                await self._trail.wait(path, self._attempt + 1, delay)
            self._again(self._attempt + 1)
            outcome = await self._try(operation)
        return outcome

    def _again(self, attempt: int) -> None:
        """What follows is try number *attempt*."""
        self._attempt, self._emitted = attempt, 0
        self._missing.clear()
        self._chain["$execution"] = self._as_data(attempt)

    def _error(self, outcome: Outcome) -> JSONObject:
        """`$error` of a rejection."""
        return {**summary(outcome.value), "operation": self._operation}

    def _record_step(self, operation: Operation, outcome: Outcome, started: float) -> None:
        resolved = type(outcome) is Resolved
        data: JSONObject = {"options": self._options, "value": outcome.value}
        if self._missing:
            data["missing"] = list(self._missing)
        self._record.emit(
            "operation.resolved" if resolved else "operation.rejected",
            severity="INFO" if resolved else "WARNING",
            operation=operation.key,
            operation_type=operation.type,
            attempt=self._attempt,
            duration_ms=_milliseconds(started),
            error=None if resolved else brief(outcome.value),
            data=data,
        )

    def _as_data(self, attempt: int) -> JSONObject:
        return {
            "id": self.id,
            "attempt": attempt,
            "revision": self.start_of.generation.revision,
        }

    # --- OperationContext

    @property
    def data(self) -> Chain:
        """The data chain so far."""
        return self._chain

    @property
    def env(self) -> Mapping[str, str]:
        """`$env`."""
        return self._shared.env

    @property
    def accountability(self) -> Accountability | None:
        """Who caused this execution."""
        return self.start_of.accountability

    @property
    def execution(self) -> ExecutionRef:
        """Which try of which operation runs."""
        timeout = self.flow.operations[self._operation].timeout
        return ExecutionRef(self.id, self._operation, self._attempt, self.trace_id, timeout)

    @property
    def resources(self) -> Resources:
        """What operations share."""
        return self._shared.resources

    @property
    def permissions(self) -> str:
        """What operations may do that do not say it."""
        return self.flow.accountability

    @property
    def transaction(self) -> object | None:
        """The database transaction that all this happens in."""
        return self._transaction

    async def wait(self, seconds: float) -> None:
        """Go on after so many *seconds*; where that is a while and all is kept, in another walk."""
        timeout = self.flow.operations[self._operation].timeout
        if self._trail is None or (timeout is not None and timeout < seconds):
            await asyncio.sleep(seconds)
            return
        path = f"{self._trail.path(self._operation, self._attempt)}#wait"
        step = self._trail.step(path)
        if step is not None and isinstance(step.outcome, WakeAt):
            await self._trail.until(step.outcome.at)
        else:
            await self._trail.wait(path, self._attempt, seconds)

    def log(self, severity: str, message: str) -> None:
        """Write a `log.message` record of the operation that runs, unless that is done."""
        if self._replaying:
            return
        key = self._operation
        self._record.emit(
            "log.message",
            severity=severity,
            message=message,
            operation=key,
            operation_type=self.flow.operations[key].type,
        )

    async def start(self, flow: str, payload: JSONValue, index: int | None = None) -> JSONValue:
        """Run another flow of the same generation and give what it returns."""
        if self._trail is None:
            start = self._next(self._startable(flow), payload)
            return await self._run_child(start, flow, self._transaction)
        path = self._trail.child(self._operation, self._attempt, index or 0)
        step = self._trail.step(path)
        if step is not None:
            self._family.children += 1
            outcome: Any = step.outcome
        else:
            start = self._next(self._startable(flow), payload)
            start = start._replace(id=Trail.id(self.id, path))
            outcome = await self._kept_child(start, flow, path, self._trail)
        if type(outcome) is Resolved:
            return outcome.value
        raise OperationError(str(summary(outcome.value)["message"]), data=outcome.value)

    async def _kept_child(self, start: Start, name: str, path: str, trail: Trail) -> Outcome:
        """Run *start* inside of this execution, and keep how it ends at *path*."""
        attempt = self._attempt
        try:
            value = await self._run_child(start, name, None, trail.below(path))
            return await trail.keep(path, attempt, Resolved(value))
        except OperationError as error:
            return await trail.keep(path, attempt, Rejected(error.as_data()))

    async def emit(self, event: Event, transaction: object | None = None) -> JSONValue:
        """Tell the flows that wait for *event*, and give its payload as they leave it."""
        generation, who = self.start_of.generation, self.accountability
        if event.ahead:

            async def ask(flow: Flow, data: JSONObject) -> JSONValue:
                start = self._next(flow, data)._replace(timeout=self._shared.request_time)
                return await self._run_child(start, flow.key, transaction)

            return (await filtered(event, generation, who, ask)).payload
        self._emitted += 1
        number = self._emitted
        for flow, data in told(event, generation, who):
            try:
                await self._begin(flow, data, number)
            except RunnerError as error:
                record = self._record.bind(execution_id=None, parent_id=self.id)
                refused(record, flow, event, error)
        return event.payload

    async def _begin(self, flow: Flow, data: JSONObject, number: int) -> None:
        """
        Start *flow* and let it go: it happens outside of any transaction.

        It hears of the event with this *number* of those that the operation tells.
        """
        if self._shared.begin is None:
            raise Unavailable("Nothing starts here by itself.")
        start = self._next(flow, data)
        if self._trail is not None:
            # Should the operation run again, it tells nobody twice, whoever else hears it then.
            path = self._trail.path(self._operation, self._attempt)
            start = start._replace(id=derived_id(flow.id, f"{self.id}/{path}/{number}"))
        await self._shared.begin(start)

    async def _run_child(
        self, start: Start, name: str, transaction: object | None, trail: Trail | None = None
    ) -> JSONValue:
        """Run *start* inside of this execution; *name* is what its flow is called here."""
        child = Execution(start, self._shared, self, transaction, trail=trail)
        try:
            turn = await child.admitted()
        except RunnerError as error:
            message = f"the flow {name!r}: {error.message}"
            raise OperationError(message, code=error.code, status=error.status) from None
        try:
            result = await child.run()
        finally:
            if turn is not None:
                self._shared.turns.give_back(turn, child)
        if result.status is Status.RESOLVED:
            return result.value
        raise OperationError(str(summary(result.value)["message"]), data=result.value)

    async def admitted(self) -> tuple[str, str] | None:
        """
        Wait until its flow may run once more; gives the line in which its turn is given back.

        Raises what `Rates.count` and `Turns.take` raise. What has begun already is not refused.
        """
        flow, start, shared = self.flow, self.start_of, self._shared
        if flow.concurrency is None and flow.rate_limit is None:
            return None
        begun = self._trail is not None and self._trail.begun(tuple(flow.operations))
        if not begun:
            count(start, shared)
        if flow.concurrency is None:
            return None
        name = line(start, flow.concurrency.key, shared)
        if begun:
            await shared.turns.take(name, self, patient(flow.concurrency), math.inf)
        else:
            await shared.turns.take(name, self, flow.concurrency, shared.request_time)
        return name

    def _startable(self, name: str) -> Flow:
        entry = self.start_of.generation.find(name)
        if entry is None:
            raise OperationError(f"there is no flow {name!r}", code=FlowNotFound.code)
        flow = entry.running
        if flow is None:
            raise OperationError(f"the flow {name!r} is {entry.state}", code="FLOW_UNAVAILABLE")
        if not isinstance(flow.trigger, OperationTrigger):
            by = starter(flow.trigger)
            message = f"the flow {name!r} is started by {by}, not by other flows"
            raise OperationError(message, code="TRIGGER_MISMATCH")
        return flow

    def _next(self, flow: Flow, trigger_data: JSONValue) -> Start:
        """What begins one more execution of those that this one causes."""
        if self.start_of.depth >= self._shared.max_depth:
            message = f"flows start each other more than {self._shared.max_depth} deep"
            raise OperationError(message, code="DEPTH_EXCEEDED")
        if self._family.children >= self._shared.max_fanout:
            message = f"one execution caused more than {self._shared.max_fanout} others"
            raise OperationError(message, code="FANOUT_EXCEEDED")
        self._family.children += 1
        return Start(
            flow=flow,
            generation=self.start_of.generation,
            trigger_data=trigger_data,
            accountability=self.start_of.accountability,
            credentials=self.start_of.credentials,
            trace_id=self.trace_id,
            parent_id=self.id,
            depth=self.start_of.depth + 1,
            family=self._family,
        )


def patient(concurrency: Concurrency) -> Concurrency:
    """For what was accepted: it waits, whatever becomes of others."""
    return replace(concurrency, mode="queued")


# --- small things -------------------------------------------------------------------------------


def pause(retry: Retry, attempt: int) -> float:
    """Seconds to wait after the failed try number *attempt*."""
    delay = retry.delay * 2 ** (attempt - 1) if retry.backoff == "exponential" else retry.delay
    spread = 1 + retry.jitter * (2 * random.random() - 1)  # noqa: S311 - not a secret
    return min(delay * spread, retry.max_delay)


def _milliseconds(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)
