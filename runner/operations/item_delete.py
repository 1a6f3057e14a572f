"""Remove items of a collection."""

from runner.items.databases import DATABASES
from runner.operations import items
from runner.operations.base import OperationContext, OperationSpec, Prepared
from runner.operations.item_writing import answer, choosing, unselected
from runner.types import JSONObject, JSONValue


def prepare(options: JSONObject) -> Prepared:
    """Warn where nothing says which items, so that it always rejects, or says it in vain."""
    return Prepared(item_delete, warnings=unselected(options) + items.query_warnings(options))


async def item_delete(options: JSONObject, context: OperationContext) -> JSONValue:
    """
    Remove the items that *key* names, or *query* finds: all of them, or nothing.

    Resolves with the key where *key* names one, else with a list of keys.
    """
    async with choosing(options, context, "delete") as (writer, keys):
        removed = await writer.delete(keys)
    return answer(options, removed)


OPERATION = OperationSpec(
    type="item-delete",
    prepare=prepare,
    resources=(DATABASES,),
    extra=items.EXTRA,
    attach=items.attach,
)
