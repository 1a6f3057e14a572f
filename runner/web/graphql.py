"""`/graphql/system` and `/graphql`: how documents come in over HTTP."""

import asyncio
from functools import cache
from typing import Any, Final

from aiohttp import web

from runner import jsontext
from runner.errors import InvalidPayload, MethodNotAllowed
from runner.query.run import Budget
from runner.query.tables import Tables
from runner.types import JSONObject, JSONValue
from runner.web import answers, bodies
from runner.web.callers import Caller, identify
from runner.web.keys import REGISTRY, SETTINGS
from runner.web.listing import FLOWS, LISTING, OPERATIONS, SCHEMA

AT_ONCE: Final = 2
"""Documents that are looked at together; the others wait for their turn."""

GRAPHQL: Final = web.AppKey("graphql", asyncio.Semaphore)

#: Collections by the names of their queries, for those who may read flows.
_ROOTS = {"flows": FLOWS.name, "operations": OPERATIONS.name}


async def system(request: web.Request) -> web.Response:
    """Flows and operations, for those who may read them; to others there are none."""
    caller = identify(request)
    return await _answer(request, caller, readable=caller.role.allows("flows", "read"))


async def items(request: web.Request) -> web.Response:
    """The items of collections: none so far."""
    return await _answer(request, identify(request), readable=False)


async def _answer(request: web.Request, caller: Caller, *, readable: bool) -> web.Response:
    if request.method not in ("GET", "POST"):
        raise MethodNotAllowed(request.method, ("GET", "POST"))
    document, variables, operation = await _asked(request)
    tables = request.app[LISTING].tables()
    async with request.app[GRAPHQL]:
        # Beside the loop: a document may take a while to check, and the library to load.
        answer = await asyncio.to_thread(
            _answered, document, variables, operation, tables, caller, readable=readable
        )
    if answer is None:
        raise _refused(request, caller)
    return answers.json(answer)


def _answered(
    document: str,
    variables: JSONObject,
    operation: str | None,
    tables: Tables,
    caller: Caller,
    *,
    readable: bool,
) -> JSONObject | None:
    """The answer; None for what is no query."""
    engine, library = _system(readable=readable)
    asked = library.Asked(document, variables, operation)
    parsed, kind = engine.read(asked)
    if kind is not None and kind.value != "query":
        return None
    context = library.Context(tables, caller.accountability.as_data(), Budget())
    answer: JSONObject = engine.answer(parsed, asked, context)
    return answer


def _refused(request: web.Request, caller: Caller) -> MethodNotAllowed:
    """Why there are no mutations; how flows change is told to those who may read them."""
    if request.method == "GET":
        return MethodNotAllowed("GET", ("POST",))
    caller.require("flows", "read")
    revision = request.app[REGISTRY].current.revision
    return MethodNotAllowed(
        "POST",
        ("GET", "POST"),  # for queries
        f"Flows are changed by a commit to their files, not here; revision {revision} runs.",
    )


@cache
def _system(*, readable: bool) -> Any:
    # Lazy: graphql-core takes 0.2 s and 10 MB, and most daemons are never asked.
    from runner.web import graphql_system  # noqa: PLC0415

    return graphql_system.System(SCHEMA, _ROOTS if readable else {}), graphql_system


async def _asked(request: web.Request) -> tuple[str, JSONObject, str | None]:
    """The document, its variables, and which of its operations to run."""
    given: JSONValue
    if request.method == "GET":
        given = dict(request.query)
        if isinstance(given.get("variables"), str):
            given["variables"] = _variables(given["variables"])
    else:
        given = await bodies.read_json(request, request.app[SETTINGS].limits)
    if not isinstance(given, dict) or not isinstance(given.get("query"), str):
        raise InvalidPayload("Invalid payload. Must provide query string.")
    variables, operation = given.get("variables"), given.get("operationName")
    if variables is not None and not isinstance(variables, dict):
        raise InvalidPayload("Invalid payload. The variables must be an object.")
    if operation is not None and not isinstance(operation, str):
        raise InvalidPayload("Invalid payload. The name of the operation must be a string.")
    return given["query"], variables or {}, operation or None


def _variables(text: str) -> JSONValue:
    try:
        return jsontext.parse(text)
    except ValueError:
        raise InvalidPayload("Invalid payload. The variables are not JSON.") from None
