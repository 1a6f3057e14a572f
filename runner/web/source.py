"""`GET /source` and `POST /reload`: what is loaded, from where, since when; load now."""

from typing import Final

from aiohttp import web

from runner.errors import InvalidQuery
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
    await request.app[SOURCE].reload(allow_empty=_flag(request, "allow_empty"))
    return answers.json({"data": request.app[SOURCE].status()})


def _flag(request: web.Request, name: str) -> bool:
    """What is said of *name*, and no if nothing is; a typing mistake is not a no."""
    text = request.query.get(name, "false").lower()
    if text not in _FLAGS:
        raise InvalidQuery(f'Invalid query. "{name}" must be true or false.')
    return _FLAGS[text]


_FLAGS: Final = {"true": True, "1": True, "false": False, "0": False}
