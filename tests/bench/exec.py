"""What a script costs, each in a fresh context of another process, beside a bare engine call."""

import asyncio
import contextlib
import statistics
import time
from datetime import UTC, datetime

from _quickjs import Context

from runner import jsontext, settings
from runner.compiler import Compiled
from runner.datachain import Secrets, everything
from runner.execution import Execution, Shared
from runner.loader import Loader
from runner.model import Flow, Generation, Start
from runner.operations import BUILTIN
from runner.records import Recorder
from runner.redact import Redactor
from runner.resources import Resources
from runner.scripts import SCRIPTS
from tests.bench import common

_CALLS = 200

_ORDER = {"id": 7, "lines": [{"sku": "apple", "count": count, "price": 2.5} for count in range(5)]}
_SUM = "data.$trigger.lines.reduce((sum, line) => sum + line.count * line.price, 0)"

_FLOW = f"""
name: Counts
trigger: operation
tracking: activity
options: {{return: count}}
operations:
  - key: count
    type: exec
    options:
      code: "module.exports = async function(data) {{ return {_SUM} }}"
"""

#: Compiled once, in this process; text in and out.
_BARE = f"(text) => {{ const data = JSON.parse(text); return JSON.stringify({_SUM}) }}"


def main() -> None:
    """One after another, in turn with bare calls."""
    rounds = 5 if common.arguments(__doc__).quick else 50
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.install()
    asyncio.run(_compare(rounds))


async def _compare(rounds: int) -> None:
    resources = Resources()
    shared = Shared(
        recorder=Recorder(Redactor()),
        env={},
        secrets=Secrets(lambda name: name),
        resources=resources,
    )
    flow = _flow()
    figures: dict[str, list[float]] = {"bare": [], "exec": []}
    async with resources.opened([SCRIPTS], settings.load({}, {})):
        resources.warm([SCRIPTS])
        await _executions(flow, shared)  # until all processes are there
        for _ in range(rounds):
            figures["bare"].append(_bare_calls(flow, shared))
            figures["exec"].append(await _executions(flow, shared))
    bare, whole = (statistics.median(figures[name]) for name in ("bare", "exec"))
    rows = [
        ["bare call of a compiled function", f"{bare * 1e6:.1f}", "1"],
        ["exec, the whole execution", f"{whole * 1e6:.1f}", f"{whole / bare:.1f}"],
    ]
    common.table([f"{_CALLS} calls, one after another", "µs", "÷ bare"], rows)
    common.ratios({"exec": whole / bare})


def _bare_calls(flow: Flow, shared: Shared) -> float:
    """Seconds a call, for the data that the script of an execution gets."""
    text = jsontext.write(everything(_execution(flow, shared).data)).decode()
    function = Context().eval(_BARE)
    before = time.perf_counter()
    for _ in range(_CALLS):
        function(text)
    return (time.perf_counter() - before) / _CALLS


async def _executions(flow: Flow, shared: Shared) -> float:
    """Seconds an execution."""
    before = time.perf_counter()
    for _ in range(_CALLS):
        result = await _execution(flow, shared).run()
        assert result.value == 25.0, result
    return (time.perf_counter() - before) / _CALLS


def _flow() -> Flow:
    compiled = Loader(BUILTIN, None).compile("counts.yaml", _FLOW.encode())
    assert isinstance(compiled, Compiled)
    assert compiled.flow is not None, compiled.issues
    return compiled.flow


def _execution(flow: Flow, shared: Shared) -> Execution:
    now = datetime.now(UTC)
    generation = Generation(number=1, digest="", revision="", loaded=now, entries={}, keys={})
    return Execution(Start(flow=flow, generation=generation, trigger_data=_ORDER), shared)


if __name__ == "__main__":
    main()
