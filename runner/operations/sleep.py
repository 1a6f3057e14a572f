"""Pause the flow."""

from runner.operations.base import OperationContext, OperationSpec
from runner.types import JSONObject


async def sleep(options: JSONObject, context: OperationContext) -> None:
    """Wait for *milliseconds*: in a durable execution over restarts, if it is a second or more."""
    await context.wait(float(options["milliseconds"]) / 1000)


OPERATION = OperationSpec(type="sleep", handler=sleep)
