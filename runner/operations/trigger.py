"""Run another flow."""

import asyncio

from runner.errors import Lost, Suspended
from runner.operations.base import OperationContext, OperationSpec, read_json
from runner.types import JSONObject, JSONValue

#: So many elements at most run at the same time, however long the list is.
_AT_ONCE = 1000


async def trigger(options: JSONObject, context: OperationContext) -> JSONValue:
    """
    Run *flow* with *payload*; for a list, once for every element.

    *iterationMode* says how: `parallel` all at once (but a thousand at a time), `serial` one
    after another, `batch` groups of *batchSize*. Results keep the order of the list. Elements
    that run at the same time all get to their end before the first rejection, in the order of
    the list, rejects this operation.
    """
    payload: JSONValue = options.get("payload")
    if isinstance(payload, str):
        payload = read_json("payload", payload)
    if not isinstance(payload, list):
        return await context.start(options["flow"], payload)
    results: list[JSONValue] = []
    # A transaction is a single thread of work: what happens in it, happens in turn.
    size = _size(options) if context.transaction is None else 1
    for at in range(0, len(payload), size):
        group = payload[at : at + size]
        results += await _run_group(options["flow"], group, len(results), context)
    return results


def _size(options: JSONObject) -> int:
    """How many elements run at the same time."""
    return {
        "parallel": _AT_ONCE,
        "serial": 1,
        "batch": int(options.get("batchSize") or 10),
    }[options.get("iterationMode") or "parallel"]


async def _run_group(
    flow: str, group: list[JSONValue], first: int, context: OperationContext
) -> list[JSONValue]:
    if len(group) == 1:
        return [await context.start(flow, group[0], first)]
    runs = (context.start(flow, each, first + at) for at, each in enumerate(group))
    results = await asyncio.gather(*runs, return_exceptions=True)
    failed = [result for result in results if isinstance(result, BaseException)]
    if failed:
        raise _first(failed)
    return [result for result in results if not isinstance(result, BaseException)]


def _first(failed: list[BaseException]) -> BaseException:
    """What counts: nobody runs this any more, or it goes on later, or an element rejected."""
    lost = (each for each in failed if isinstance(each, Lost))
    suspended = [each for each in failed if isinstance(each, Suspended)]
    first = min(suspended, key=lambda each: each.at) if suspended else failed[0]
    return next(lost, first)


OPERATION = OperationSpec(type="trigger", handler=trigger)
