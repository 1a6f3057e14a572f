"""Pause the flow."""

import asyncio

from runner.operations.base import OperationContext, OperationSpec
from runner.types import JSONObject


async def sleep(options: JSONObject, context: OperationContext) -> None:
    """Wait for *milliseconds*; a stopping daemon interrupts the wait."""
    await asyncio.sleep(float(options["milliseconds"]) / 1000)


OPERATION = OperationSpec(type="sleep", handler=sleep)
