"""The operation types, a file each."""

from runner.operations import (
    condition,
    item_create,
    item_delete,
    item_read,
    item_update,
    json_web_token,
    log,
    mail,
    notification,
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
        item_create.OPERATION,
        item_delete.OPERATION,
        item_read.OPERATION,
        item_update.OPERATION,
        json_web_token.OPERATION,
        log.OPERATION,
        mail.OPERATION,
        notification.OPERATION,
        request.OPERATION,
        sleep.OPERATION,
        throw_error.OPERATION,
        transform.OPERATION,
        trigger.OPERATION,
    )
)
