"""The operation types, a file each."""

from runner.operations import condition, log, sleep, throw_error, transform, trigger
from runner.operations.base import OperationContext, OperationSet, OperationSpec

__all__ = ["BUILTIN", "OperationContext", "OperationSet", "OperationSpec"]

BUILTIN = OperationSet(
    (
        condition.OPERATION,
        log.OPERATION,
        sleep.OPERATION,
        throw_error.OPERATION,
        transform.OPERATION,
        trigger.OPERATION,
    )
)
