"""The operation types, a file each."""

from runner.operations import (
    condition,
    json_web_token,
    log,
    request,
    sleep,
    throw_error,
    transform,
    trigger,
)
from runner.operations import exec as exec_
from runner.operations.base import OperationContext, OperationSet, OperationSpec

__all__ = ["BUILTIN", "OperationContext", "OperationSet", "OperationSpec"]

BUILTIN = OperationSet(
    (
        condition.OPERATION,
        exec_.OPERATION,
        json_web_token.OPERATION,
        log.OPERATION,
        request.OPERATION,
        sleep.OPERATION,
        throw_error.OPERATION,
        transform.OPERATION,
        trigger.OPERATION,
    )
)
