"""`/flows` and `/operations`: what Directus' clients list, read-only."""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from aiohttp import hdrs, web

from runner.errors import FlowNotFound, InvalidPayload, MethodNotAllowed
from runner.fit import is_small
from runner.query import export, language
from runner.query.model import Collection, Query, invalid
from runner.query.run import effort, one, run
from runner.query.tables import Tables
from runner.types import JSONObject
from runner.web import answers, bodies
from runner.web.callers import Caller, identify
from runner.web.keys import REGISTRY, SETTINGS, Handler
from runner.web.listing import FLOWS, LISTING, OPERATIONS, SCHEMA, is_live

#: Of an answer, about.
_MAX_BYTES: Final = 64 << 20

#: What reads; everything else would change something.
_READING: Final = ("GET", "HEAD", "SEARCH")

#: Values that are looked at or written; beyond, others should not have to wait for an answer.
_LARGE: Final = 20_000


def listing(collection: Collection) -> Handler:
    """`GET` and `SEARCH` of all records."""

    async def handler(request: web.Request) -> web.Response:
        caller = identify(request)
        caller.require("flows", "read")
        given = await _given(request)
        tag = None if request.method == "SEARCH" else _tag(request, caller)
        if tag is not None and tag in request.headers.get(hdrs.IF_NONE_MATCH, ""):
            return web.Response(status=304, headers={hdrs.ETAG: tag})  # no live answer has one
        query = _query(given, caller, collection)
        live = is_live(query)
        answer = await _listed(query, request.app[LISTING].tables(live=live))
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
        return await _single(query, _id(request, name, collection), tables)

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


def _id(request: web.Request, name: str, collection: Collection) -> str:
    entry = request.app[REGISTRY].current.find(name) if collection is FLOWS else None
    return name.lower() if entry is None else entry.id


def _or_key(collection: Collection) -> str:
    return " or key" if collection is FLOWS else ""


# --- what is answered ---------------------------------------------------------------------------


async def _listed(query: Query, tables: Tables) -> web.Response:
    size = effort(query, tables)

    def answer() -> web.Response:
        found = run(query, tables)
        # Records share their options: few in memory, they can be endless when written out.
        if size > _LARGE and not is_small(found.data, _MAX_BYTES):
            raise invalid(f"The answer would be longer than {_MAX_BYTES} bytes")
        return _answer(query, found.data, found.meta)

    return await _beside(answer, size)


async def _single(query: Query, key: str, tables: Tables) -> web.Response:
    def answer() -> web.Response:
        found = one(query, key, tables)
        if found is None:
            raise FlowNotFound(f"There is none of this id{_or_key(query.collection)} here.")
        return _answer(query, found, None)

    return await _beside(answer, effort(replace(query, limit=1), tables))


async def _beside(answer: Callable[[], web.Response], size: float) -> web.Response:
    """Run *answer*: what is large, beside the loop."""
    return await asyncio.to_thread(answer) if size > _LARGE else answer()


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
