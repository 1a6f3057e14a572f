"""`GET /executions/:id`: what became of an execution that nobody waited for."""

from aiohttp import web

from runner.errors import RouteNotFound
from runner.web import answers
from runner.web.callers import identify
from runner.web.keys import ENGINE


async def one(request: web.Request) -> web.Response:
    """How the execution stands: queued, running, or how it ended. Known while the process lives."""
    identify(request).require("executions", "read")
    seen = request.app[ENGINE].find(request.match_info["id"])
    if seen is None:
        raise RouteNotFound("There is no such execution, or it was forgotten.")
    return answers.json({"data": seen._asdict()})
