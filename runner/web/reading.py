"""What listings are asked, in the URL or in the body of a SEARCH, and what they answer."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from aiohttp import hdrs, web

from runner.errors import FlowNotFound, InvalidPayload
from runner.fit import is_small
from runner.query import export
from runner.query.model import Query, invalid
from runner.query.run import effort, one, run
from runner.query.sieve import Sieve
from runner.query.tables import Tables
from runner.types import JSONObject
from runner.web import answers, bodies
from runner.web.keys import SETTINGS

#: Of an answer, about.
_MAX_BYTES: Final = 64 << 20

#: Values that are looked at or written; beyond, others should not have to wait for an answer.
_LARGE: Final = 20_000


async def given(request: web.Request) -> JSONObject:
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


async def many(query: Query, tables: Tables) -> web.Response:
    """The answer to a question about all records."""
    size = effort(query, tables)

    def answer() -> web.Response:
        found = run(query, tables)
        # Records share their options: few in memory, they can be endless when written out.
        if size > _LARGE and not is_small(found.data, _MAX_BYTES):
            raise invalid(f"The answer would be longer than {_MAX_BYTES} bytes")
        return _answer(query, found.data, found.meta)

    return await _beside(answer, size)


async def sifted(query: Query, sieve: Sieve, note: JSONObject) -> web.Response:
    """The answer to a question about what *sieve* has taken; *note* stands in its `meta` too."""

    def answer() -> web.Response:
        found = sieve.answer()
        return _answer(query, found.data, {**(found.meta or {}), **note} or None)

    return await asyncio.to_thread(answer)


async def single(query: Query, key: str, tables: Tables, names: str) -> web.Response:
    """The answer to a question about the record with this *key*; *names* says what keys are."""

    def answer() -> web.Response:
        found = one(query, key, tables)
        if found is None:
            raise FlowNotFound(f"There is none of this {names} here.")
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
