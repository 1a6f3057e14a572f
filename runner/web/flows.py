"""`/flows` and `/operations`: what Directus' clients list, read-only."""

import hashlib
from typing import Final

from aiohttp import hdrs, web

from runner.errors import MethodNotAllowed
from runner.query import language
from runner.query.model import Collection, Query
from runner.types import JSONObject
from runner.web import bodies, reading
from runner.web.callers import Caller, identify
from runner.web.keys import REGISTRY, Handler
from runner.web.listing import FLOWS, LISTING, OPERATIONS, SCHEMA, is_live

#: What reads; everything else would change something.
_READING: Final = ("GET", "HEAD", "SEARCH")


def listing(collection: Collection) -> Handler:
    """`GET` and `SEARCH` of all records."""

    async def handler(request: web.Request) -> web.Response:
        caller = identify(request)
        caller.require("flows", "read")
        given = await reading.given(request)
        tag = None if request.method == "SEARCH" else _tag(request, caller)
        if tag is not None and tag in request.headers.get(hdrs.IF_NONE_MATCH, ""):
            return web.Response(status=304, headers={hdrs.ETAG: tag})  # no live answer has one
        query = _query(given, caller, collection)
        live = is_live(query)
        answer = await reading.many(query, request.app[LISTING].tables(live=live))
        if tag is not None and not live:
            answer.headers[hdrs.ETAG] = tag
        return answer

    return handler


def single(collection: Collection) -> Handler:
    """`GET` of one: a flow by UUID or key, an operation by UUID."""
    everything = listing(collection)

    async def handler(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"].rstrip("/")
        if not name:
            return await everything(request)
        caller = identify(request)
        caller.require("flows", "read")
        given = bodies.query(request.query_string)
        query = _query(given, caller, collection)
        tables = request.app[LISTING].tables(live=is_live(query))
        names = "id or key" if collection is FLOWS else "id"
        return await reading.single(query, _id(request, name, collection), tables, names)

    return handler


async def read_only(request: web.Request) -> web.Response:
    """Flows change by commit: where, is told to those who may read them."""
    identify(request).require("flows", "read")
    name = request.match_info.get("name", "").rstrip("/")
    allowed = _READING[:2] if name else _READING
    if request.method in ("SEARCH", "OPTIONS"):
        raise MethodNotAllowed(request.method, allowed)
    current = request.app[REGISTRY].current
    operation = request.app[LISTING].tables().by_id(OPERATIONS).get(name.lower(), {})
    entry = current.find(operation.get("flow", name))
    where = "their files" if entry is None else f"the file {entry.path}"
    raise MethodNotAllowed(
        request.method,
        allowed,
        f"Flows are changed by a commit to {where}, not here; revision {current.revision} runs.",
    )


# --- what is asked ------------------------------------------------------------------------------


def _query(given: JSONObject, caller: Caller, collection: Collection) -> Query:
    return language.parse(given, collection, SCHEMA, caller=caller.accountability.as_data())


def _id(request: web.Request, name: str, collection: Collection) -> str:
    entry = request.app[REGISTRY].current.find(name) if collection is FLOWS else None
    return name.lower() if entry is None else entry.id


def _tag(request: web.Request, caller: Caller) -> str:
    """The same for as long as the same caller would get the same answer."""
    told = (request.app[LISTING].version, request.path_qs, repr(caller.accountability[:3]))
    return f'W/"{hashlib.sha256(repr(told).encode("utf-8", "replace")).hexdigest()[:32]}"'
