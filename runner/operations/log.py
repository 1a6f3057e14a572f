"""Say something in the records."""

from runner import jsontext
from runner.operations.base import OperationContext, OperationSpec
from runner.types import JSONObject

_SEVERITIES = {
    "debug": "DEBUG",
    "info": "INFO",
    "warn": "WARNING",
    "warning": "WARNING",
    "error": "ERROR",
}


async def log(options: JSONObject, context: OperationContext) -> None:
    """Write *message* with severity *level* (`info`); what is not text is written as JSON."""
    severity = _SEVERITIES[options.get("level") or "info"]
    context.log(severity, jsontext.as_text(options["message"]))


OPERATION = OperationSpec(type="log", handler=log, pure=True)
