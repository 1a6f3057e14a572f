"""Add items to a collection."""

from runner.items import given
from runner.items.databases import DATABASES
from runner.operations import items
from runner.operations.base import OperationContext, OperationSpec
from runner.operations.item_writing import writing
from runner.types import JSONObject, JSONValue


async def item_create(options: JSONObject, context: OperationContext) -> JSONValue:
    """
    Add what *payload* says, one item or a list of them: all of it, or nothing.

    Resolves with the list of their primary keys, or with null where there is no payload.
    """
    payload = given.payload(options)
    if payload is None:
        return None
    added = payload if isinstance(payload, list) else [payload]
    async with writing(options, context, "create") as writer:
        keys: list[JSONValue] = await writer.create(added)
    return keys


OPERATION = OperationSpec(
    type="item-create",
    handler=item_create,
    resources=(DATABASES,),
    extra=items.EXTRA,
    attach=items.attach,
)
