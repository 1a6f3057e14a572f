"""Read items of a collection."""

from functools import partial

from runner.items import given
from runner.items.databases import DATABASES
from runner.items.transaction import looking
from runner.operations import items
from runner.operations.base import OperationContext, OperationSpec, Prepared
from runner.types import JSONObject, JSONValue


def prepare(options: JSONObject) -> Prepared:
    """Warn of what the query says in vain."""
    return Prepared(item_read, warnings=items.query_warnings(options))


async def item_read(options: JSONObject, context: OperationContext) -> JSONValue:
    """
    Resolve with the item that *key* names, with a list where it names several.

    Without *key*, with the items that *query* finds. In a filter event of an item operation, it
    sees what that operation has written so far.
    """
    items.require(options, context, "read")
    database = items.database(options, context)
    library = await database.library()
    caller = context.accountability
    asked = library.reading.Asked(
        collection=options["collection"],
        keys=given.keys(options),
        query=given.query(options) or {},
        caller=None if caller is None else caller.as_data(),
    )
    connect = partial(looking, database, context, items.seconds(context))
    found: JSONValue = await library.reading.read(database, asked, connect)
    return found


OPERATION = OperationSpec(
    type="item-read",
    prepare=prepare,
    resources=(DATABASES,),
    extra=items.EXTRA,
    attach=items.attach,
)
