"""Change items of a collection."""

from runner.items import given
from runner.items.databases import DATABASES
from runner.items.refusals import invalid_payload
from runner.operations import items
from runner.operations.base import OperationContext, OperationSpec, Prepared
from runner.operations.item_writing import answer, choosing, unselected, writing
from runner.types import JSONObject, JSONValue


def prepare(options: JSONObject) -> Prepared:
    """Warn where nothing says which items, so that it always rejects, or says it in vain."""
    each_says_it = isinstance(options.get("payload"), list | str)
    warnings = () if each_says_it else unselected(options)
    return Prepared(item_update, warnings=warnings + items.query_warnings(options))


async def item_update(options: JSONObject, context: OperationContext) -> JSONValue:
    """
    Change the items that *key* names, or *query* finds, as *payload* says: all, or nothing.

    Resolves with the key where *key* names one, else with a list of keys, or with null where
    there is no payload. A list as payload changes each item as its element says.
    """
    payload = given.payload(options)
    if payload is None:
        return None
    if isinstance(payload, list):
        return await _each(payload, options, context)
    async with choosing(options, context, "update") as (writer, keys):
        await writer.update(keys, payload)
    return answer(options, keys)


async def _each(
    payload: list[JSONObject], options: JSONObject, context: OperationContext
) -> list[JSONValue]:
    if given.keys(options) or given.query(options) is not None:
        raise invalid_payload("A list of items goes with neither `key` nor `query`")
    async with writing(options, context, "update") as writer:
        keys: list[JSONValue] = await writer.update_each(payload)
    return keys


OPERATION = OperationSpec(
    type="item-update",
    prepare=prepare,
    resources=(DATABASES,),
    extra=items.EXTRA,
    attach=items.attach,
)
