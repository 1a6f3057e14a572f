"""Put the routes together."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial, wraps

from aiohttp import web

from runner.engine import Engine
from runner.errors import RequestsExceeded, RunnerError, UnknownToken
from runner.operators import iso
from runner.records import Recorder
from runner.registry import Registry
from runner.settings import Settings
from runner.types import JSONObject
from runner.web import answers, callers, delivery
from runner.web.brake import Brake
from runner.web.executions import ASKING, QUESTIONS
from runner.web.graphql import AT_ONCE, GRAPHQL
from runner.web.keys import (
    ENGINE,
    LEFT_OUT,
    RECORDER,
    REGISTRY,
    REPEATS,
    SETTINGS,
    SOURCE,
    Handler,
    Source,
)
from runner.web.listing import LISTING, Listing, NextFire
from runner.web.repeats import Repeats
from runner.web.routes import ROUTES
from runner.web.specs import SPECS, Specs

#: Where flows are started.
_DELIVERIES = ("/flows/trigger/", "/events")

BRAKE: web.AppKey[Brake] = web.AppKey("brake", Brake)


def build(
    settings: Settings,
    registry: Registry,
    engine: Engine,
    source_: Source,
    recorder: Recorder,
    next_fire: NextFire = lambda _: None,
    left_out: Callable[[], str] = str,
) -> web.Application:
    """
    The application with all routes, for `server.listening`.

    *left_out* says what of the history is missing; empty: nothing is.
    """
    app = web.Application()
    app[SETTINGS] = settings
    app[REGISTRY] = registry
    app[ENGINE] = engine
    app[SOURCE] = source_
    app[RECORDER] = recorder
    app[LEFT_OUT] = left_out
    app[REPEATS] = Repeats()
    app[BRAKE] = Brake()
    app[LISTING] = Listing(registry, source_, partial(_last_execution, engine), next_fire)
    app[SPECS] = Specs(ROUTES)
    app[ASKING] = asyncio.Semaphore(QUESTIONS)
    app[GRAPHQL] = asyncio.Semaphore(AT_ONCE)
    for route in ROUTES:
        for method in route.methods:
            app.router.add_route(method, route.path, _answering(route.handler))
    return app


def _last_execution(engine: Engine, flow: str) -> JSONObject | None:
    """What the listing says of it: its id, how it ended and when."""
    ended = engine.last(flow)
    if ended is None:
        return None
    finished = iso(datetime.fromtimestamp(ended.at, UTC))
    return {"id": ended.id, "status": ended.status, "finished": finished}


def _answering(handler: Handler) -> Handler:
    """
    Whatever goes wrong in *handler* is answered in the envelope, and never with a stack.

    What aiohttp itself refuses does not get here; the server answers that. A middleware would do
    the same for two more calls a request.
    """

    @wraps(handler)
    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except UnknownToken as error:
            return await _slowly(request, error)
        except RunnerError as error:
            return answers.refuse(error)
        except web.HTTPException:
            raise
        except Exception as error:
            request.app[RECORDER].emit(
                "daemon.warning",
                severity="ERROR",
                message="a request could not be answered",
                error={"name": type(error).__name__, "message": str(error)},
                data={"method": request.method, "path": request.path},
            )
            return answers.refuse(RunnerError())

    return answer


async def _slowly(request: web.Request, error: UnknownToken) -> web.Response:
    """Answer a wrong token: who tries many of them has to wait."""
    ip = callers.accountability(request).ip or ""
    if not request.path.startswith(_DELIVERIES):  # which are recorded by those who take them
        request.app[RECORDER].emit(
            "caller.refused",
            error={"name": type(error).__name__, "message": error.reason, "code": error.code},
            data={"method": request.method, "path": request.path, "ip": ip},
            credentials=delivery.first_credentials(request),
        )
    try:
        await request.app[BRAKE].hold(ip)
    except RequestsExceeded as exceeded:
        return answers.refuse(exceeded)
    return answers.refuse(error)
