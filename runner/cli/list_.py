"""`runner list`: the flows of a folder at a glance."""

import argparse
import asyncio
import json
from pathlib import Path

from runner import source
from runner.loader import File, Loader
from runner.model import Manual, Webhook
from runner.operations import BUILTIN


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
    parser.add_argument("--format", choices=["text", "json"], default="text")
    parser.set_defaults(command=list_)


def list_(arguments: argparse.Namespace) -> int:
    """Print one line a flow; 1 if one of them cannot run."""
    loaded = asyncio.run(Loader(BUILTIN, None).load(source.snapshot(arguments.folder)))
    rows = [_row(file) for file in sorted(loaded.files.values(), key=lambda file: file.key)]
    if arguments.format == "json":
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        widths = [max((len(row[name]) for row in rows), default=0) for name in _COLUMNS]
        for row in rows:
            cells = (row[name].ljust(width) for name, width in zip(_COLUMNS, widths, strict=True))
            print("  ".join(cells).rstrip())
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
        case _:
            starts = "other flows"
    state = "active" if file.flow.active else "inactive"
    return {"state": state, "key": file.key, "starts": starts, "name": file.name}
