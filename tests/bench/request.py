"""How many requests an operation sends, beside bare calls of the same HTTP client."""

import asyncio
import contextlib
import gc
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp

from runner import settings
from runner.compiler import Compiled
from runner.datachain import Secrets
from runner.execution import Execution, Shared
from runner.loader import Loader
from runner.model import Flow, Generation, Start, Status
from runner.operations import BUILTIN
from runner.records import Recorder
from runner.redact import Redactor
from runner.resources import Resources
from tests.bench import common

_AT_ONCE = (1, 64)
_SECONDS = 0.3

_FLOW = """
name: Asks
trigger: operation
tracking: activity
options: {return: ask}
operations:
  - key: ask
    type: request
    options:
      method: POST
      url: URL
      headers: [{header: X-Order, value: "{{ $trigger.id }}"}]
      body: "{{ $trigger }}"
"""

_Call = Callable[[], Awaitable[None]]


def main() -> None:
    """One after another and 64 at once, in turn with bare calls, to one server process."""
    rounds = 2 if common.arguments(__doc__).quick else 20
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.install()
    port = common.free_port()
    with common.server(common.bare(port), port, "/server/ping") as server:
        asyncio.run(_compare(f"{server.base}/one", rounds))


async def _compare(url: str, rounds: int) -> None:
    made, resources = settings.load({}, {}), Resources()
    rows, ratios = [], {}
    async with (
        aiohttp.ClientSession() as session,
        resources.opened(BUILTIN.resources(["request"]), made),
    ):
        bare, ours = _bare(session, url), _operation(url, resources)
        gc.freeze()  # as the daemon does
        for at_once in _AT_ONCE:
            pairs = [
                (await _per_second(bare, at_once), await _per_second(ours, at_once))
                for _ in range(rounds)
            ]
            # Of each pair: a machine with other work is not equally fast for long.
            ratio = common.median([whole / floor for floor, whole in pairs])
            figures = [common.median([pair[which] for pair in pairs]) for which in (0, 1)]
            rows.append([str(at_once), *(f"{each:.0f}" for each in figures), f"{ratio:.2f}"])
            ratios[f"at_once_{at_once}"] = ratio
    common.table(["at once", "bare calls/s", "operations/s", "÷ bare"], rows)
    common.ratios(ratios)


async def _per_second(call: _Call, at_once: int) -> float:
    """How often *call* ends in a second, with so many under way."""
    count = 0
    began = time.perf_counter()

    async def repeat() -> None:
        nonlocal count
        while time.perf_counter() - began < _SECONDS:
            await call()
            count += 1

    await asyncio.gather(*(repeat() for _ in range(at_once)))
    return count / (time.perf_counter() - began)


def _bare(session: aiohttp.ClientSession, url: str) -> _Call:
    body = json.loads(common.BODY)

    async def call() -> None:
        headers = {"X-Order": str(body["id"])}
        async with session.request("POST", url, headers=headers, json=body) as answer:
            assert (await answer.json())["id"] == body["id"]

    return call


def _operation(url: str, resources: Resources) -> _Call:
    body = json.loads(common.BODY)
    shared = Shared(
        recorder=Recorder(Redactor()), env={}, secrets=Secrets(str), resources=resources
    )
    now = datetime.now(UTC)
    generation = Generation(number=1, digest="", revision="", loaded=now, entries={}, keys={})
    start = Start(flow=_flow(url), generation=generation, trigger_data=body)

    async def call() -> None:
        result: Any = await Execution(start, shared).run()
        assert result.status is Status.RESOLVED, result
        assert result.value["data"]["id"] == body["id"]

    return call


def _flow(url: str) -> Flow:
    compiled = Loader(BUILTIN, None).compile("asks.yaml", _FLOW.replace("URL", url).encode())
    assert isinstance(compiled, Compiled)
    assert compiled.flow is not None, compiled.issues
    return compiled.flow


if __name__ == "__main__":
    main()
