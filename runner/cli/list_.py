"""`runner list`: the flows of a folder at a glance."""

import argparse
import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from runner import source
from runner.loader import File, Loader
from runner.model import EventTrigger, Flow, Manual, Schedule, Webhook
from runner.operations import BUILTIN
from runner.types import JSONObject

#: How many fires of one schedule are listed at most.
_MAX_NEXT: Final = 1000


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to *commands*."""
    parser = commands.add_parser(
        "list",
        help="list the flows of a folder",
        description="List the flows of a folder: state, key, what starts them, name.",
    )
    parser.add_argument(
        "folder", metavar="FLOWS", nargs="?", type=Path, default=Path("flows.d"),
        help="folder of the flow files (default ./flows.d)",
    )  # fmt: skip
    parser.add_argument(
        "--next", metavar="N", type=_count, default=0,
        help="say when each schedule fires the next N times",
    )  # fmt: skip
    parser.add_argument("--format", choices=["text", "json"], default="text")
    parser.set_defaults(command=list_)


def _count(text: str) -> int:
    if not text.isdecimal() or len(text) > 4 or not 1 <= int(text) <= _MAX_NEXT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {_MAX_NEXT}")
    return int(text)


def list_(arguments: argparse.Namespace) -> int:
    """Print one line a flow; 1 if one of them cannot run."""
    loaded = asyncio.run(Loader(BUILTIN, None).load(source.snapshot(arguments.folder)))
    files = sorted(loaded.files.values(), key=lambda file: file.key)
    now = datetime.now(UTC)
    rows = [{**_row(file), **_next(file.flow, now, arguments.next)} for file in files]
    if arguments.format == "json":
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        widths = [max((len(row[name]) for row in rows), default=0) for name in _COLUMNS]
        for row in rows:
            cells = (row[name].ljust(width) for name, width in zip(_COLUMNS, widths, strict=True))
            print("  ".join(cells).rstrip())
            for fire in row.get("next", ()):
                print(f"  {fire}  {row['timezone']}")
    return 1 if loaded.broken else 0


_COLUMNS = ("state", "key", "starts", "name")


def _row(file: File) -> dict[str, str]:
    if file.flow is None:
        return {"state": "invalid", "key": file.key, "starts": "-", "name": file.name}
    match file.flow.trigger:
        case Webhook(method=method):
            starts = f"{method} /flows/trigger/{file.key}"
        case Manual():
            starts = f"POST /flows/trigger/{file.key} (manual)"
        case Schedule(timetable=timetable):
            starts = str(timetable)
        case EventTrigger(filter=filter_, scope=scope):
            more = f" and {len(scope) - 3} more" if len(scope) > 3 else ""
            names = ", ".join(scope[:3]) or "nothing"
            starts = f"{'asked before' if filter_ else 'told of'} {names}{more}"
        case _:
            starts = "other flows"
    state = "active" if file.flow.active else "inactive"
    return {"state": state, "key": file.key, "starts": starts, "name": file.name}


def _next(flow: Flow | None, now: datetime, count: int) -> JSONObject:
    """The next *count* fires of its schedule, on the clock of its zone."""
    if flow is None or not flow.active or not isinstance(flow.trigger, Schedule) or not count:
        return {}
    zone = flow.trigger.timetable.zone
    fires = _fires(flow.trigger, now, count)
    return {"timezone": zone.key, "next": [each.astimezone(zone).isoformat() for each in fires]}


def _fires(schedule: Schedule, after: datetime, count: int) -> Iterator[datetime]:
    for _ in range(count):
        after = schedule.timetable.next(after)
        yield after
