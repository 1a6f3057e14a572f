"""Make a value from other values."""

from runner import jsontext
from runner.errors import OperationError
from runner.operations.base import OperationContext, OperationSpec
from runner.types import JSONObject, JSONValue


async def transform(options: JSONObject, context: OperationContext) -> JSONValue:
    """Give *json* as it was rendered; text is read as JSON."""
    value: JSONValue = options["json"]
    if not isinstance(value, str):
        return value
    try:
        return jsontext.parse(value)
    except ValueError as error:
        raise OperationError(f"option json is not JSON: {error}", code="INVALID_JSON") from None


OPERATION = OperationSpec(type="transform", handler=transform, pure=True)
