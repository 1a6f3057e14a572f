"""`GET /executions/:id`: what became of an execution that nobody waited for."""

from aiohttp import web

from runner.errors import RouteNotFound
from runner.web import answers
from runner.web.callers import identify
from runner.web.keys import ENGINE


async def one(request: web.Request) -> web.Response:
    """How the execution stands: queued, running, waiting, or how it ended."""
    identify(request).require("executions", "read")
    seen = await request.app[ENGINE].find(request.match_info["id"])
    if seen is None:
        raise RouteNotFound("There is no such execution, or it was forgotten.")
    return answers.json({"data": {"id": seen.id, "flow": seen.flow, "status": seen.status}})
