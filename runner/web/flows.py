"""`/flows` and `/operations`: what Directus' clients list, read-only."""

import hashlib
from datetime import UTC, datetime
from typing import Final

from aiohttp import hdrs, web

from runner.errors import FlowNotFound, InvalidPayload, MethodNotAllowed
from runner.query import export, language
from runner.query.model import Collection, Query
from runner.query.run import one, run
from runner.query.tables import Tables
from runner.types import JSONObject, JSONValue
from runner.web import answers, bodies
from runner.web.callers import Caller, identify
from runner.web.keys import REGISTRY, SETTINGS, Handler
from runner.web.listing import FLOWS, LISTING, LIVE, OPERATIONS, SCHEMA

#: What reads; everything else would change something.
_READING: Final = ("GET", "HEAD", "SEARCH")


def listing(collection: Collection) -> Handler:
    """`GET` and `SEARCH` of all records."""

    async def handler(request: web.Request) -> web.Response:
        caller = identify(request)
        caller.require("flows", "read")
        given = await _given(request)
        if request.method == "SEARCH" or _is_live(given):
            return _listed(request, caller, given, collection)
        tag = _tag(request, caller)
        if tag in request.headers.get(hdrs.IF_NONE_MATCH, ""):
            return web.Response(status=304, headers={hdrs.ETAG: tag})
        answer = _listed(request, caller, given, collection)
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
        found = one(query, _id(request, name, collection), _tables(request, given))
        if found is None:
            raise FlowNotFound(f"There is none of this id{_or_key(collection)} here.")
        return _answer(query, found, None)

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


async def _given(request: web.Request) -> JSONObject:
    """The parameters, from the URL or from the body of a SEARCH."""
    in_url = bodies.query(request.query_string)
    if request.method != "SEARCH":
        return in_url
    body = await bodies.read_json(request, request.app[SETTINGS].limits)
    if not isinstance(body, dict):
        raise InvalidPayload("Invalid payload. The body must be an object.")
    for name in body:
        if name not in ("query", "keys"):
            raise InvalidPayload(f"Invalid payload. {answers.quoted(name)} is not allowed.")
    query = body.get("query", in_url)
    if not isinstance(query, dict):
        raise InvalidPayload('Invalid payload. "query" must be of type object.')
    return query


def _query(given: JSONObject, caller: Caller, collection: Collection) -> Query:
    return language.parse(given, collection, SCHEMA, caller=caller.accountability.as_data())


def _tables(request: web.Request, given: JSONObject) -> Tables:
    return request.app[LISTING].tables(live=_is_live(given))


def _is_live(given: JSONValue) -> bool:
    """Whether it may be about what changes without a new generation."""
    said = repr(given)
    return any(name in said for name in (*LIVE, "$NOW"))


def _id(request: web.Request, name: str, collection: Collection) -> str:
    entry = request.app[REGISTRY].current.find(name) if collection is FLOWS else None
    return name.lower() if entry is None else entry.id


def _or_key(collection: Collection) -> str:
    return " or key" if collection is FLOWS else ""


# --- what is answered ---------------------------------------------------------------------------


def _listed(
    request: web.Request, caller: Caller, given: JSONObject, collection: Collection
) -> web.Response:
    query = _query(given, caller, collection)
    found = run(query, _tables(request, given))
    return _answer(query, found.data, found.meta)


def _answer(
    query: Query, data: list[JSONObject] | JSONObject, meta: JSONObject | None
) -> web.Response:
    if query.export is None:
        return answers.json({"data": data} if meta is None else {"meta": meta, "data": data})
    file = export.write(query.export, data, query.collection.name, datetime.now(UTC))
    disposition = f'attachment; filename="{file.name}"'
    headers = {hdrs.CONTENT_TYPE: file.content_type, hdrs.CONTENT_DISPOSITION: disposition}
    return web.Response(body=file.content, headers=headers)


def _tag(request: web.Request, caller: Caller) -> str:
    """The same for as long as the same caller would get the same answer."""
    told = (request.app[LISTING].version, request.path_qs, repr(caller.accountability[:3]))
    return f'W/"{hashlib.sha256(repr(told).encode("utf-8", "replace")).hexdigest()[:32]}"'
