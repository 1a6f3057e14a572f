"""Put the routes together."""

from aiohttp import web

from runner.engine import Engine
from runner.errors import RunnerError
from runner.records import Recorder
from runner.registry import Registry
from runner.settings import Settings
from runner.web import answers, executions, flows, health, source, trigger
from runner.web.keys import ENGINE, RECORDER, REGISTRY, SETTINGS, SOURCE, Handler, Source


def build(
    settings: Settings, registry: Registry, engine: Engine, source_: Source, recorder: Recorder
) -> web.Application:
    """The application with all routes, for `server.listening`."""
    app = web.Application(middlewares=[_errors])
    app[SETTINGS] = settings
    app[REGISTRY] = registry
    app[ENGINE] = engine
    app[SOURCE] = source_
    app[RECORDER] = recorder
    app.router.add_routes(
        [
            web.route("*", "/flows/trigger/{name:.+}", trigger.trigger),
            web.get("/flows", flows.listing),
            web.get("/flows/{name:.*}", flows.one),
            web.route("*", "/flows", flows.read_only),
            web.route("*", "/flows/{name:.*}", flows.read_only),
            web.get("/executions/{id}", executions.one),
            web.get("/source", source.show),
            web.post("/reload", source.reload),
            web.get("/livez", health.livez),
            web.get("/readyz", health.readyz),
            web.get("/server/ping", health.ping),
        ]
    )
    return app


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever goes wrong is answered in the envelope, and never with a stack."""
    try:
        return await handler(request)
    except RunnerError as error:
        return answers.refuse(error)
    except web.HTTPException:
        raise  # the server answers these, together with those that no middleware sees
    except Exception as error:
        request.app[RECORDER].emit(
            "daemon.warning",
            severity="ERROR",
            message="a request could not be answered",
            error={"name": type(error).__name__, "message": str(error)},
            data={"method": request.method, "path": request.path},
        )
        return answers.refuse(RunnerError())
