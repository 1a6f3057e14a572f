"""Which flows hear of an event, and what becomes of it."""

from collections.abc import Awaitable, Callable, Iterator

from runner.errors import OperationError, RunnerError
from runner.model import Accountability, Event, Flow, Generation
from runner.records import Recorder
from runner.types import JSONObject, JSONValue


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
