"""Fail on purpose."""

from runner import jsontext
from runner.errors import OperationError
from runner.operations.base import OperationContext, OperationSpec
from runner.types import JSONObject


async def throw_error(options: JSONObject, context: OperationContext) -> None:
    """Reject with *code*, *status* and *message*; the defaults are Directus'."""
    message = jsontext.as_text(options.get("message", "An unexpected error occurred."))
    code = options.get("code", "INTERNAL_SERVER_ERROR").upper()
    raise OperationError(message, code=code, status=int(options.get("status", 500)), name="Error")


OPERATION = OperationSpec(type="throw-error", handler=throw_error, pure=True)
