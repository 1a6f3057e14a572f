"""What the interpreter adds to an operation that does nothing, beside a plain await of it."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

from runner.compiler import Compiled
from runner.datachain import Secrets
from runner.execution import Execution, Shared
from runner.loader import Loader
from runner.model import Generation, Start
from runner.operations import BUILTIN, OperationSpec
from runner.records import Recorder
from runner.redact import Redactor
from tests.bench import common

_OPERATIONS = 100
_SHARED = Shared(recorder=Recorder(Redactor()), env={}, secrets=Secrets(lambda name: name))


async def _nothing(options: Any, context: Any) -> None:
    return None


def main() -> None:
    """A chain of 100, in turn with 100 awaits in a loop."""
    count = 50 if common.arguments(__doc__).quick else 2_000
    asyncio.run(_compare(count))


async def _compare(count: int) -> None:
    flow = _flow()
    figures: dict[str, list[float]] = {"await": [], "activity": []}
    for _ in range(5):
        figures["await"].append(await _time(_awaits, count))
        figures["activity"].append(await _time(lambda: _execution(flow).run(), count))
    floor = min(figures["await"])
    whole = min(figures["activity"])
    rows = [
        ["plain await in a loop", f"{floor / _OPERATIONS:.0f}", "1"],
        ["an operation of a chain", f"{whole / _OPERATIONS:.0f}", f"{whole / floor:.1f}"],
    ]
    common.table([f"per operation of {_OPERATIONS}", "ns", "÷ await"], rows)
    common.ratios({"operation": whole / floor})


async def _time(work: Any, count: int) -> float:
    before = time.process_time_ns()
    for _ in range(count):
        await work()
    return (time.process_time_ns() - before) / count


async def _awaits() -> None:
    for _ in range(_OPERATIONS):
        await _nothing(None, None)


def _flow() -> Any:
    operations = BUILTIN.with_(OperationSpec(type="log", handler=_nothing, pure=True))
    text = "name: Chain\ntrigger: operation\ntracking: activity\noperations:\n"
    text += '  - {type: log, options: {message: "x"}}\n' * _OPERATIONS
    compiled = Loader(operations, None).compile("chain.yaml", text.encode())
    assert isinstance(compiled, Compiled)
    assert compiled.flow is not None
    return compiled.flow


def _execution(flow: Any) -> Execution:
    now = datetime.now(UTC)
    generation = Generation(number=1, digest="", revision="", loaded=now, entries={}, keys={})
    return Execution(Start(flow=flow, generation=generation, trigger_data=None), _SHARED)


if __name__ == "__main__":
    main()
