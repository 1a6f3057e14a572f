"""The world outside: it notes what is done to it, and forgets nothing."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from tests.chaos.flows import REFUSED
from tests.chaos.seen import Effect

_SLOW: Final = 0.2
"""Seconds until it answers, at most: there should be something that can be interrupted."""


@asynccontextmanager
async def sink(effects: list[Effect]) -> AsyncIterator[str]:
    """Add to *effects* what is done while the block runs; gives the address to do it at."""

    async def note(request: web.Request) -> web.Response:
        said = await request.json()
        step = f"{said['step']}@{said['attempt']}"
        effects.append(
            Effect(time.monotonic(), said["process"], said["execution"], step, said["own"])
        )
        await asyncio.sleep(random.uniform(0, _SLOW))
        return web.json_response(None, status=503 if step == REFUSED else 200)

    app = web.Application()
    app.router.add_post("/effects", note)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        # All that a process has to do may come at once when it starts: nobody is turned away.
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=4096)
        await site.start()
        (address,) = runner.addresses
        yield f"http://127.0.0.1:{address[1]}"
    finally:
        await runner.cleanup()
