"""Make a value from other values."""

from runner.operations.base import OperationContext, OperationSpec, read_json
from runner.types import JSONObject, JSONValue


async def transform(options: JSONObject, context: OperationContext) -> JSONValue:
    """Give *json* as it was rendered; text is read as JSON."""
    value: JSONValue = options["json"]
    return read_json("json", value) if isinstance(value, str) else value


OPERATION = OperationSpec(type="transform", handler=transform, pure=True)
