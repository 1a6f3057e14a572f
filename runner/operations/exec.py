"""Run JavaScript."""

from runner import datachain, fit, jsontext, template
from runner.errors import OperationError
from runner.operations.base import Finding, OperationContext, OperationSpec, Prepared
from runner.scripts import SCRIPTS
from runner.types import JSONObject, JSONValue

_HINT = "read the value from `data`, which is the data chain"


def prepare(options: JSONObject) -> Prepared:
    """Warn of templates in *code*: whoever chooses a value that is pasted there writes code."""
    if not template.has_template(options["code"]):
        return Prepared(exec_)
    message = "a template in code: what it is replaced with runs as code"
    return Prepared(exec_, warnings=(Finding("template-in-code", message, ("code",), _HINT),))


async def exec_(options: JSONObject, context: OperationContext) -> JSONValue:
    """
    Resolve with what the function that *code* exports returns for a copy of the data chain.

    It rejects with what the function throws. What it says on the console goes into the records,
    also where it rejects.
    """
    ran = await context.resources[SCRIPTS].run(options["code"], _data(context))
    for severity, message in ran.lines:
        context.log(severity, message)
    if ran.error is not None:
        raise ran.error
    return ran.value


def _data(context: OperationContext) -> bytes:
    chain = context.data
    asides = {"$error": chain["$error"], "$execution": chain["$execution"]}
    data = {**datachain.everything(chain), **asides}
    # What is small may still be large when it is written: of some characters JSON makes six.
    text = jsontext.write(data) if fit.is_small(data, jsontext.MAX_TEXT) else None
    if text is None or len(text) > jsontext.MAX_TEXT:
        raise OperationError("the data chain is too large for a script", code="DATA_TOO_LARGE")
    return text


OPERATION = OperationSpec(type="exec", prepare=prepare, resources=(SCRIPTS,))
