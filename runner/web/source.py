"""`GET /source` and `POST /reload`: what is loaded, from where, since when; load now."""

from aiohttp import web

from runner.web import answers
from runner.web.callers import identify
from runner.web.keys import SOURCE


async def show(request: web.Request) -> web.Response:
    """The state of the flows folder, in Flux' words."""
    identify(request).require("source", "read")
    return answers.json({"data": request.app[SOURCE].status()})


async def reload(request: web.Request) -> web.Response:
    """Load now, and answer when that is done."""
    identify(request).require("source", "reload")
    allow_empty = request.query.get("allow_empty", "").lower() in ("true", "1")
    await request.app[SOURCE].reload(allow_empty=allow_empty)
    return answers.json({"data": request.app[SOURCE].status()})
