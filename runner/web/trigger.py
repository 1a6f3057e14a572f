"""`/flows/trigger/:id`: webhooks and manual starts."""

from collections.abc import Callable

from aiohttp import hdrs, web

from runner import jsontext
from runner.engine import Receipt
from runner.errors import (
    FlowInvalid,
    FlowNotFound,
    Forbidden,
    InvalidPayload,
    MethodNotAllowed,
    RunnerError,
    Unavailable,
)
from runner.execution import Execution
from runner.fit import is_small
from runner.inputs import check_inputs, check_selection
from runner.model import (
    Accountability,
    Entry,
    EventTrigger,
    Flow,
    Generation,
    Manual,
    OperationTrigger,
    Result,
    Schedule,
    Start,
    State,
    Status,
    Trigger,
    Webhook,
)
from runner.registry import first_error
from runner.types import Chain, JSONObject, JSONValue
from runner.web import admission, answers, callers, delivery, replies
from runner.web.delivery import Delivery
from runner.web.keys import ENGINE, REGISTRY, REPEATS, SETTINGS
from runner.web.repeats import Proof, execution_id
from runner.webhooks import unanswerable


async def trigger(request: web.Request) -> web.StreamResponse:
    """Start the flow named by the rest of the path, and answer as its trigger says."""
    app = request.app
    generation, engine = app[REGISTRY].current, app[ENGINE]
    entry = generation.find(request.match_info["name"].rstrip("/"))
    try:
        if generation.number == 0:
            # A sender that hears "no such flow" may never come again.
            raise Unavailable("The flows are not loaded yet; try again later.")
        flow = _running(entry)
        start = await _start(request, generation, flow)
        headers = {"X-Flow-Revision": generation.revision}
        if getattr(flow.trigger, "asynchronous", False):
            return _accepted(await engine.accept(start), headers)
        if start.id is not None:
            return await _once(request, start._replace(id=None), start.id, headers)
        execution = await engine.start(start)
    except Unwanted as error:
        _record_refusal(request, entry, error, severity="INFO")
        return web.Response(status=error.status)
    except RunnerError as error:
        _record_refusal(request, entry, error)
        raise
    return _respond(execution, await engine.result(execution), headers)


async def _once(
    request: web.Request, start: Start, name: str, headers: dict[str, str]
) -> web.StreamResponse:
    """Run a delivery that has a *name*, unless it came before."""
    engine, repeats = request.app[ENGINE], request.app[REPEATS]
    known = repeats.find(name)
    if known is not None:
        return known
    answer: web.Response | None = None
    try:
        execution = await engine.start(start)
        answer = _respond(execution, await engine.result(execution), headers)
    finally:
        repeats.end(name, answer)
    return answer


def _running(entry: Entry | None) -> Flow:
    if entry is None or entry.state is State.INACTIVE:
        raise FlowNotFound("There is no active flow of this id or key.")
    if entry.flow is None:
        code = first_error(entry)
        raise FlowInvalid(f"The file of this flow has an issue and cannot run: {code}.", issue=code)
    return entry.flow


async def _start(request: web.Request, generation: Generation, flow: Flow) -> Start:
    """Everything about this request, checked in the order in which it may be trusted."""
    match flow.trigger:
        case Webhook() as webhook:
            who, brought = await _webhook(request, webhook)
        case Manual() as manual:
            who, brought = await _manual(request, manual)
        case OperationTrigger():
            raise FlowNotFound("This flow is started by other flows only.")
        case EventTrigger():
            raise FlowNotFound("This flow is started by events only.")
        case Schedule():
            raise FlowNotFound("This flow is started by its schedule only.")
    return Start(
        flow=flow,
        generation=generation,
        trigger_data=brought.data,
        accountability=who,
        credentials=brought.credentials,
        trace_id=brought.trace_id,
        id=execution_id(request, flow, who, brought.data, request.app[SETTINGS].env, brought.proof),
    )


async def _webhook(request: web.Request, webhook: Webhook) -> tuple[Accountability, Delivery]:
    _check_method(request, webhook.method)
    if webhook.allow_ips:
        admission.check_address(request, webhook)
    proof = admission.admit(request, webhook) if webhook.auth else None
    who = admission.caller(request, webhook)
    # Before the body is read: what cannot start should not fill the memory first.
    request.app[ENGINE].check(durable=webhook.asynchronous)
    if isinstance(proof, Proof):
        brought = (await delivery.read(request, webhook))._replace(proof=proof)
    else:
        brought = await delivery.read(request, webhook, proof)
    if webhook.wants is not None:
        _check_wanted(webhook.wants, who, brought)
    if webhook.misfits is not None:
        _check_body(webhook.misfits, brought)
    return who, brought


class Unwanted(RunnerError):
    """The trigger's filter does not want this delivery."""

    code = "FILTERED"
    status = 204


def _check_wanted(wants: Callable[[Chain], bool], who: Accountability, brought: Delivery) -> None:
    if not wants({"$trigger": brought.data, "$accountability": who.as_data()}):
        raise Unwanted


def _check_body(misfits: Callable[[JSONValue], list[str]], brought: Delivery) -> None:
    paths = misfits(brought.data["body"])
    if paths:
        where = ", ".join(paths)
        raise InvalidPayload(f"Invalid payload. The body does not fit: {where}.", paths=paths)


async def _manual(request: web.Request, manual: Manual) -> tuple[Accountability, Delivery]:
    _check_method(request, "POST")
    caller = callers.identify(request)
    if not caller.known:
        raise Forbidden("a manual flow is started by known callers only")
    caller.require("flows", "trigger")
    brought = await delivery.read(request)
    body = brought.data["body"]
    if not isinstance(body, dict):
        raise InvalidPayload("Invalid payload. The body must be an object.")
    collection = check_selection(manual, body)
    if collection is not None and not caller.may_read(collection):
        raise Forbidden(f"the caller may not read the collection {collection!r}")
    brought.data["body"] = check_inputs(manual.fields, body)
    return caller.accountability, brought


def _check_method(request: web.Request, method: str) -> None:
    if request.method != method:
        raise MethodNotAllowed(request.method, (method,))


# --- answers ------------------------------------------------------------------------------------


def _accepted(receipt: Receipt, headers: dict[str, str]) -> web.Response:
    headers[hdrs.LOCATION] = f"/executions/{receipt.id}"
    body: JSONObject = {"id": receipt.id, "durable": receipt.durable}
    if not receipt.new:
        body["duplicate"] = True
    return answers.json(body, 202, headers)


def _respond(execution: Execution, result: Result, headers: dict[str, str]) -> web.Response:
    trigger_ = execution.flow.trigger
    if result.status is Status.RESOLVED:
        return _value(trigger_, result.value, headers)
    if result.status is Status.REJECTED and not getattr(trigger_, "error_on_reject", True):
        return _value(trigger_, execution.answer(), headers)
    who = execution.accountability
    return answers.failure(result, trusted=who is not None and who.admin, headers=headers)


def _value(trigger_: Trigger, value: JSONValue, headers: dict[str, str]) -> web.Response:
    # Values share their parts: small in memory, one can be endless when it is written out.
    if not is_small(value, jsontext.MAX_TEXT):
        return replies.reply(unanswerable("it would be longer than 16 MiB"), headers)
    try:
        if isinstance(value, dict) and isinstance(trigger_, Webhook) and trigger_.responds:
            return replies.reply(value, headers)
        return answers.json(value, headers=headers)
    except ValueError as error:
        return replies.reply(unanswerable(str(error)), headers)


def _record_refusal(
    request: web.Request,
    entry: Entry | None,
    error: RunnerError,
    severity: str | None = None,
) -> None:
    """One record for a delivery that starts nothing: the cause that the caller is not told."""
    trigger_ = entry.flow.trigger if entry is not None and entry.flow is not None else None
    auth_headers = trigger_.auth_headers if isinstance(trigger_, Webhook) else frozenset[str]()
    delivery.record_refusal(
        request,
        error,
        auth_headers,
        severity=severity,
        flow=None if entry is None else entry.key,
        trigger=None if trigger_ is None else trigger_.kind,
    )
