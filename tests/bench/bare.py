"""The floor: a bare aiohttp handler that does the same JSON work, on the same loop."""

import asyncio
import contextlib
import signal
import sys

import orjson
from aiohttp import web


async def handler(request: web.Request) -> web.Response:
    """What the one-operation flow does, in plain Python."""
    body = orjson.loads(await request.read())
    result = {"id": body["id"], "total": body["total"], "note": f"order {body['id']}"}
    headers = {"Content-Type": "application/json; charset=utf-8"}
    return web.Response(body=orjson.dumps(result), headers=headers)


async def ping(_: web.Request) -> web.Response:
    """Whether it is there."""
    return web.Response(text="pong")


async def main(port: int) -> None:
    """Serve until a signal comes."""
    app = web.Application()
    app.router.add_post("/one", handler)
    app.router.add_get("/server/ping", ping)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await runner.cleanup()


if __name__ == "__main__":
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.install()
    asyncio.run(main(int(sys.argv[1])))
