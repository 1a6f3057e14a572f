"""Probes: whether the process lives, and whether it can take work."""

from aiohttp import web

from runner.web import callers
from runner.web.keys import ENGINE, LEFT_OUT, REGISTRY

_TEXT = "text/plain"


async def livez(_: web.Request) -> web.Response:
    """The event loop answers; nothing else is asked of it."""
    return web.Response(text="ok", content_type=_TEXT)


async def readyz(request: web.Request) -> web.Response:
    """
    A first generation is in place and nothing is draining.

    A later bad commit does not make it unready: what ran before still runs.
    """
    checks = {
        "generation": request.app[REGISTRY].current.number > 0,
        "draining": not request.app[ENGINE].draining,
    }
    ready = all(checks.values())
    status = 200 if ready else 503
    if "verbose" not in request.query:
        return web.Response(text="ok" if ready else "not ready", status=status, content_type=_TEXT)
    lines = [
        f"[{'+' if good else '-'}]{name} {'ok' if good else 'failed'}"
        for name, good in checks.items()
    ]
    # What it cannot keep it refuses by itself; who waits for an answer can still be served.
    lines.append(_store(request))
    left_out = request.app[LEFT_OUT]()
    lines.append(f"[+]history ok ({left_out} left out)" if left_out else "[+]history ok")
    return web.Response(text="\n".join([*lines, ""]), status=status, content_type=_TEXT)


def _store(request: web.Request) -> str:
    store = request.app[ENGINE].store
    if store.trouble is None:
        return f"[+]store ok ({store.kind})"
    # It names folders and servers: not for everybody.
    may_read = callers.identify(request).role.allows("source", "read")
    return f"[-]store {store.trouble if may_read else 'failed'}"


async def ping(_: web.Request) -> web.Response:
    """What Directus answers."""
    return web.Response(text="pong", content_type=_TEXT)
