"""`runner run`: one execution of one flow, here and now."""

import argparse
import asyncio
import difflib
import sys
from dataclasses import replace
from pathlib import Path

from runner import daemon, jsontext, logs, source
from runner.cli import settings_flags
from runner.errors import FlowNotFound, InvalidPayload, RunnerError
from runner.failures import brief
from runner.inputs import check_inputs
from runner.loader import Loader
from runner.model import Entry, Generation, Manual, Result, Schedule, Start, Status, Webhook
from runner.operations import BUILTIN
from runner.records import Recorder
from runner.redact import Redactor
from runner.registry import Registry
from runner.resources import Resources
from runner.settings import Settings
from runner.store.memory import MemoryStore
from runner.types import JSONObject, JSONValue

#: Largest data file that is read.
_MAX_DATA = 64 * 2**20


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to *commands*."""
    parser = commands.add_parser(
        "run",
        help="run one flow and print its result",
        description=(
            "Run one flow with the daemon's own parts and print its result as JSON. On a terminal,"
            " every step is shown as it happens."
        ),
        epilog=(
            "example: runner run order-check --data '{\"total\": 120}'\n\n"
            "exit codes: 0 resolved, 1 rejected or timed out, 2 could not run"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("flow", metavar="FLOW", help="key or id of the flow, or its file")
    parser.add_argument(
        "--data",
        metavar="JSON|@FILE",
        default="{}",
        help="what starts it: the body of a webhook or manual flow, else $trigger itself, such as"
        ' {"payload": …} for an event flow (default {})',
    )
    parser.add_argument(
        "--query", metavar="NAME=VALUE", action="append", default=[],
        help="a query parameter of a webhook; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--header", metavar="NAME:VALUE", action="append", default=[],
        help="a header of a webhook; may be repeated",
    )  # fmt: skip
    settings_flags.add_settings(parser)
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Run it; 1 unless it resolved."""
    redactor = Redactor()
    settings = settings_flags.load(arguments, redactor.learn)
    data = _data(arguments.data)
    # Steps for people, where there are any to see them.
    sinks = [logs.ConsoleSink(sys.stderr)] if sys.stderr.isatty() else []
    result = asyncio.run(_run(arguments, settings, Recorder(redactor, *sinks), data))
    if result.status is Status.RESOLVED:
        print(jsontext.write(result.value).decode())
        return 0
    error = brief(result.value)
    code = f" [{error['code']}]" if "code" in error else ""
    print(f"runner: {result.status}: {error['message']}{code}", file=sys.stderr)
    return 1


async def _run(
    arguments: argparse.Namespace, settings: Settings, recorder: Recorder, data: JSONValue
) -> Result:
    registry, resources = Registry(), Resources()
    generation = registry.swap(
        await Loader(BUILTIN, settings).load(source.snapshot(settings.flows))
    )
    entry = _find(generation, arguments.flow, settings.flows)
    if entry.flow is None:
        for issue in entry.issues:
            print(replace(issue, path=(settings.flows / issue.path).as_posix()), file=sys.stderr)
        raise RunnerError(f"the flow {entry.key!r} has issues and cannot run")
    # What it causes and does not wait for is over with it.
    engine = daemon.make_engine(settings, recorder, resources, MemoryStore(), registry)
    trigger_data = data
    if isinstance(entry.flow.trigger, Webhook | Manual):
        trigger_data = _request(arguments, entry, data)
    elif isinstance(entry.flow.trigger, Schedule):
        trigger_data = None  # the clock brings nothing
    start = Start(flow=entry.flow, generation=generation, trigger_data=trigger_data)
    async with resources.opened(BUILTIN.resources(BUILTIN), settings):
        return await engine.result(await engine.start(start))


def _find(generation: Generation, name: str, folder: Path) -> Entry:
    entry = generation.find(name)
    if entry is None:
        entry = next(
            (e for e in generation.entries.values() if folder / e.path == Path(name)), None
        )
    if entry is None:
        close = difflib.get_close_matches(name, generation.entries, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "`runner list` shows what there is."
        raise FlowNotFound(f"there is no flow {name!r} in {folder}; {hint}")
    return entry


def _data(text: str) -> JSONValue:
    """Raises RunnerError for what cannot be read as JSON."""
    try:
        if text.startswith("@"):
            with Path(text[1:]).open("rb") as file:
                return jsontext.parse(file.read(_MAX_DATA))
        return jsontext.parse(text)
    except (OSError, ValueError) as error:
        raise RunnerError(f"--data {text[:60]}: {error}") from None


def _request(arguments: argparse.Namespace, entry: Entry, body: JSONValue) -> JSONObject:
    """`$trigger` as if the flow had been called by HTTP."""
    trigger = entry.flow and entry.flow.trigger
    if isinstance(trigger, Manual):
        body = _inputs(trigger, body)
    pairs = (each.partition("=") for each in arguments.query)
    headers = (each.partition(":") for each in arguments.header)
    return {
        "path": f"/trigger/{entry.key}",
        "query": {name: value for name, _, value in pairs},
        "body": body,
        "method": trigger.method if isinstance(trigger, Webhook) else "POST",
        "headers": {name.strip().lower(): value.strip() for name, _, value in headers},
    }


def _inputs(manual: Manual, body: JSONValue) -> JSONObject:
    if not isinstance(body, dict):
        raise RunnerError("--data: a manual flow takes an object")
    try:
        return check_inputs(manual.fields, body)
    except InvalidPayload as error:
        raise RunnerError(f"--data: {error.message}") from None
