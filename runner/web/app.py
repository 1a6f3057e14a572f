"""Put the routes together."""

from functools import wraps

from aiohttp import web

from runner.engine import Engine
from runner.errors import RequestsExceeded, RunnerError, UnknownToken
from runner.records import Recorder
from runner.registry import Registry
from runner.settings import Settings
from runner.web import answers, callers, delivery, executions, flows, health, source, trigger
from runner.web.brake import Brake
from runner.web.keys import ENGINE, RECORDER, REGISTRY, SETTINGS, SOURCE, Handler, Source

#: Where webhooks and manual flows are started.
_DELIVERIES = "/flows/trigger/"

BRAKE: web.AppKey[Brake] = web.AppKey("brake", Brake)


def build(
    settings: Settings, registry: Registry, engine: Engine, source_: Source, recorder: Recorder
) -> web.Application:
    """The application with all routes, for `server.listening`."""
    app = web.Application()
    app[SETTINGS] = settings
    app[REGISTRY] = registry
    app[ENGINE] = engine
    app[SOURCE] = source_
    app[RECORDER] = recorder
    app[BRAKE] = Brake()
    for method, path, handler in _ROUTES:
        app.router.add_route(method, path, _answering(handler))
    return app


_ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("*", "/flows/trigger/{name:.+}", trigger.trigger),
    ("GET", "/flows", flows.listing),
    ("HEAD", "/flows", flows.listing),
    ("GET", "/flows/{name:.*}", flows.one),
    ("HEAD", "/flows/{name:.*}", flows.one),
    ("*", "/flows", flows.read_only),
    ("*", "/flows/{name:.*}", flows.read_only),
    ("GET", "/executions/{id}", executions.one),
    ("HEAD", "/executions/{id}", executions.one),
    ("GET", "/source", source.show),
    ("HEAD", "/source", source.show),
    ("POST", "/reload", source.reload),
    ("GET", "/livez", health.livez),
    ("HEAD", "/livez", health.livez),
    ("GET", "/readyz", health.readyz),
    ("HEAD", "/readyz", health.readyz),
    ("GET", "/server/ping", health.ping),
    ("HEAD", "/server/ping", health.ping),
)


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
    if not request.path.startswith(_DELIVERIES):  # which are recorded with their flow
        request.app[RECORDER].emit(
            "caller.refused",
            error={"name": type(error).__name__, "message": error.reason, "code": error.code},
            data={"method": request.method, "path": request.path, "ip": ip},
            credentials=delivery.credentials(request),
        )
    try:
        await request.app[BRAKE].hold(ip)
    except RequestsExceeded as exceeded:
        return answers.refuse(exceeded)
    return answers.refuse(error)
