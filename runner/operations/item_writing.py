"""What the operations that write items have in common."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from runner.items import given
from runner.items.transaction import begin
from runner.operations import items
from runner.operations.base import Finding, OperationContext
from runner.types import JSONObject, JSONValue


@asynccontextmanager
async def writing(
    options: JSONObject, context: OperationContext, *verbs: str
) -> AsyncIterator[Any]:
    """
    The `writing.Writer` of the collection, in a transaction that is committed after the block.

    Raises OperationError: FORBIDDEN where the operation may not do all of *verbs*.
    """
    items.require(options, context, *verbs)
    database = items.database(options, context)
    library = await database.library()
    tells = options.get("emitEvents") is True
    seconds = items.seconds(context)
    if seconds is None and tells:
        seconds = 2 * database.seconds  # filter flows have as long, and say themselves what hangs
    async with begin(database, context, seconds) as transaction:
        found = await database.collection(options["collection"], transaction.connection)
        yield library.writing.Writer(found, transaction, tells=tells)


@asynccontextmanager
async def choosing(
    options: JSONObject, context: OperationContext, verb: str
) -> AsyncIterator[tuple[Any, list[JSONValue]]]:
    """
    As `writing`, with the primary keys of the items that `key` names, or `query` finds.

    To find items, the operation has to be allowed to read them too.
    """
    keys, query = given.which(options)
    verbs = (verb,) if query is None else (verb, "read")
    async with writing(options, context, *verbs) as writer:
        if query is not None:
            caller = context.accountability
            keys = await writer.find(query, None if caller is None else caller.as_data())
        yield writer, keys


def answer(options: JSONObject, keys: list[JSONValue]) -> JSONValue:
    """What was written: the key where `key` names one, else a list."""
    return keys[0] if len(keys) == len(given.keys(options)) == 1 else keys


def unselected(options: JSONObject) -> tuple[Finding, ...]:
    """A warning where *options* do not say which items, so that they always reject."""
    if "key" in options or "query" in options:
        return ()
    message = "neither `key` nor `query` says which items, so it always rejects"
    return (Finding("no-selection", message, (), "to mean every item, write `query: {limit: -1}`"),)
