"""Walk one flow: the only place that decides what runs next."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from runner import datachain
from runner.errors import Conflict, FlowNotFound, OperationError, RunnerError, Unavailable
from runner.ids import random_id
from runner.model import (
    Accountability,
    Event,
    Flow,
    Generation,
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
from runner.types import Chain, JSONObject, JSONValue

#: After so many operations without a pause, others get a turn of the loop.
_TURN = 256


class Turns:
    """How often those flows run now that may not run any number of times at once."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    def take(self, flow: Flow) -> None:
        """Count one more. Raises Conflict where *flow* runs one at a time, else Unavailable."""
        if flow.max_running is None:
            return
        if self._taken[flow.id] >= flow.max_running:
            if flow.single:
                raise Conflict
            raise Unavailable("This flow runs as often as it may; try again later.")
        self._taken[flow.id] += 1

    def give_back(self, flow: Flow) -> None:
        """Count one less."""
        if flow.max_running is None:
            return
        self._taken[flow.id] -= 1
        if not self._taken[flow.id]:
            del self._taken[flow.id]


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
    #: Seconds for each filter flow that does not say it itself: somebody waits for all of them.
    filter_time: float = 30.0
    #: The engine's `start`, for what an execution causes and does not wait for.
    begin: "Begin | None" = None


#: Takes a start and the execution that causes it. Raises RunnerError where that is refused.
Begin: TypeAlias = Callable[[Start, "Execution"], Awaitable["Execution"]]


class _Family:
    """An execution and all that it causes."""

    __slots__ = ("children", "steps")

    def __init__(self) -> None:
        self.children = 0
        self.steps = 0


class Execution:
    """
    One run of one flow; to its operations, the OperationContext.

    It runs in the task that awaits `run`, once.
    """

    __slots__ = (
        "_attempt", "_cancelled", "_chain", "_depth", "_family", "_missing", "_operation",
        "_options", "_record", "_shared", "_task", "_tracked", "_transaction", "flow", "id",
        "start_of", "trace_id",
    )  # fmt: skip

    def __init__(
        self,
        start: Start,
        shared: Shared,
        parent: "Execution | None" = None,
        transaction: object | None = None,
    ) -> None:
        self.id = start.id or random_id()
        self.trace_id = start.trace_id or self.id.replace("-", "")
        self.flow = start.flow
        self.start_of = start
        self._shared = shared
        self._transaction = transaction
        self._depth: int = 1 if parent is None else parent._depth + 1  # noqa: SLF001 - one of us
        self._family: _Family = _Family() if parent is None else parent._family  # noqa: SLF001
        # Of the operation that runs: its key, its try, its options, and paths that led nowhere.
        self._operation = ""
        self._attempt = 1
        self._options: JSONValue = None
        self._missing: list[str] = []
        self._cancelled = False
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
        if parent is not None:
            fields["parent_id"] = parent.id
        self._record = shared.recorder.bind(credentials=start.credentials, **fields)

    # --- as a whole

    async def run(self) -> Result:
        """
        Run to the end and give how it ended; never raises for what the flow does.

        Cancelled by `cancel`, it ends `cancelled`; when the task around it is cancelled by
        somebody else, that is recorded and the cancellation goes on.
        """
        started = time.perf_counter()
        timeout = self.start_of.timeout if self.flow.timeout is None else self.flow.timeout
        self._task = asyncio.current_task()
        if self._tracked:
            self._record.emit("execution.started", data=self._begun())
        try:
            if self._cancelled:
                raise asyncio.CancelledError  # noqa: TRY301 - before it could begin
            if timeout is None:
                result = await self._walk()
            else:
                async with asyncio.timeout(timeout):
                    result = await self._walk()
        except TimeoutError:
            message = f"the flow took longer than {timeout:g} s"
            error = {"name": "Timeout", "message": message, "code": "TIMED_OUT", "status": 504}
            result = Result(Status.TIMED_OUT, error)
        except asyncio.CancelledError:
            error = {"name": "Cancelled", "message": "the execution was cancelled"}
            result = Result(Status.CANCELLED, {**error, "code": "CANCELLED"})
            if not self._cancelled or self._task is None:
                self._finish(result, started)
                raise
            self._task.uncancel()
        self._finish(result, started)
        return result

    def cancel(self) -> None:
        """End it where it is; once is enough."""
        if self._cancelled:
            return
        self._cancelled = True
        if self._task is not None:
            self._task.cancel()

    def answer(self) -> JSONValue:
        """What its trigger's `return` says, whatever the outcome."""
        answer = self.flow.trigger.answer
        return None if answer is None else answer(self._chain)

    def _begun(self) -> JSONObject:
        """What started it."""
        data: JSONObject = {"trigger": self._chain["$trigger"]}
        if self.start_of.nominal is not None:
            data["nominal"] = self.start_of.nominal
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
        flow, chain, family = self.flow, self._chain, self._family
        operation = None if flow.first is None else flow.operations[flow.first]
        outcome: Outcome = Resolved(None)
        guarded = False
        while operation is not None:
            family.steps += 1
            if family.steps % _TURN == 0:
                await asyncio.sleep(0)
            started = time.perf_counter() if self._tracked else 0.0
            self._operation, self._attempt = operation.key, 1
            outcome = await self._try(operation)
            if operation.retry is not None and type(outcome) is Rejected and not operation.pure:
                outcome = await self._retry(operation, operation.retry, outcome)
            if self._tracked:
                self._record_step(operation, outcome, started)
            self._missing.clear()
            chain[operation.key] = chain["$last"] = outcome.value
            if type(outcome) is Rejected:
                chain["$error"] = {**summary(outcome.value), "operation": operation.key}
                guarded = operation.guard
            operation = flow.after(operation, outcome)
        if type(outcome) is Resolved:
            return Result(Status.RESOLVED, self.answer())
        if guarded:
            return Result(Status.RESOLVED, None)
        return Result(Status.REJECTED, outcome.value)

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
            await asyncio.sleep(delay)
            self._attempt += 1
            self._missing.clear()
            self._chain["$execution"] = self._as_data(self._attempt)
            outcome = await self._try(operation)
        self._chain["$execution"] = self._as_data(1)
        return outcome

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

    def log(self, severity: str, message: str) -> None:
        """Write a `log.message` record of the operation that runs."""
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
        start = self._next(self._startable(flow), payload)
        return await self._run_child(start, flow, self._transaction)

    async def emit(self, event: Event, transaction: object | None = None) -> JSONValue:
        """Tell the flows that wait for *event*, and give its payload as they leave it."""
        generation, who = self.start_of.generation, self.accountability
        if event.ahead:

            async def ask(flow: Flow, data: JSONObject) -> JSONValue:
                start = self._next(flow, data)._replace(timeout=self._shared.filter_time)
                return await self._run_child(start, flow.key, transaction)

            return (await filtered(event, generation, who, ask)).payload
        for flow, data in told(event, generation, who):
            try:
                await self._begin(flow, data)
            except RunnerError as error:
                record = self._record.bind(execution_id=None, parent_id=self.id)
                refused(record, flow, event, error)
        return event.payload

    async def _begin(self, flow: Flow, data: JSONObject) -> None:
        """Start *flow* and let it go: it happens outside of any transaction."""
        start = self._next(flow, data)._replace(detached=True)
        if self._shared.begin is None:
            raise Unavailable("Nothing starts here by itself.")
        await self._shared.begin(start, self)

    async def _run_child(self, start: Start, name: str, transaction: object | None) -> JSONValue:
        """Run *start* inside of this execution; *name* is what its flow is called here."""
        child = Execution(start, self._shared, self, transaction)
        turns = self._shared.turns
        try:
            turns.take(child.flow)
        except RunnerError as error:
            raise OperationError(f"the flow {name!r}: {error.message}", code=error.code) from None
        try:
            result = await child.run()
        finally:
            turns.give_back(child.flow)
        if result.status is Status.RESOLVED:
            return result.value
        raise OperationError(str(summary(result.value)["message"]), data=result.value)

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
        if self._depth >= self._shared.max_depth:
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
        )


# --- events -------------------------------------------------------------------------------------


async def filtered(
    event: Event,
    generation: Generation,
    who: Accountability | None,
    ask: Callable[[Flow, JSONObject], Awaitable[JSONValue]],
) -> Event:
    """
    *event*, as the filter flows of *generation* leave it that want it, one after another.

    *ask* runs a flow with its `$trigger` and gives what it returns; what it raises ends it all.
    """
    for listener in generation.listeners.of(event.name, ahead=True):
        data = event.as_data()
        if listener.wants(data, who):
            value = await ask(listener.flow, data)
            if listener.trigger.answer is not None:
                event = event._replace(payload=value)
    return event


def told(
    event: Event, generation: Generation, who: Accountability | None
) -> Iterator[tuple[Flow, JSONObject]]:
    """The flows of *generation* that want to know that *event* happened, each with `$trigger`."""
    for listener in generation.listeners.of(event.name, ahead=False):
        data = event.as_data()
        if listener.wants(data, who):
            yield listener.flow, data


def refused(recorder: Recorder, flow: Flow, event: Event, error: RunnerError) -> None:
    """Record that *event* did not start *flow*: nothing that its cause could do about."""
    code = error.own_code if isinstance(error, OperationError) else error.code
    recorder.emit(
        "trigger.refused",
        flow=flow.key,
        flow_digest=flow.digest,
        trigger=flow.trigger.kind,
        error={"name": type(error).__name__, "message": error.message, "code": code},
        data={"event": event.name},
    )


# --- errors as data -----------------------------------------------------------------------------


def describe(error: Exception) -> JSONObject:
    """An unexpected *error* as the data chain holds it: name, message, code; never a stack."""
    data: JSONObject = {"name": type(error).__name__, "message": str(error)}
    if isinstance(error, RunnerError):
        data["code"] = error.code
    return data


def summary(value: JSONValue) -> JSONObject:
    """A rejection of any shape as an object with at least `name` and `message`."""
    if isinstance(value, list) and value:
        first = summary(value[0])
        messages = "; ".join(str(summary(each)["message"]) for each in value[:10])
        return {**first, "message": messages, "errors": value}
    if isinstance(value, dict):
        return {"name": "Error", "message": "the operation failed", **value}
    return {"name": "Error", "message": "the operation failed" if value is None else str(value)}


def brief(value: JSONValue) -> JSONObject:
    """`error` of a record: name, message and, where known, code."""
    known = summary(value)
    code = {"code": str(known["code"])} if known.get("code") else {}
    return {"name": str(known["name"]), "message": str(known["message"]), **code}


# --- small things -------------------------------------------------------------------------------


def pause(retry: Retry, attempt: int) -> float:
    """Seconds to wait after the failed try number *attempt*."""
    delay = retry.delay * 2 ** (attempt - 1) if retry.backoff == "exponential" else retry.delay
    spread = 1 + retry.jitter * (2 * random.random() - 1)  # noqa: S311 - not a secret
    return min(delay * spread, retry.max_delay)


def _milliseconds(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)
