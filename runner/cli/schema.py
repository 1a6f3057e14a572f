"""`runner schema`: the manual, and the schemas for an editor."""

import argparse
from pathlib import Path

from runner import schema as schemas


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to *commands*."""
    parser = commands.add_parser(
        "schema",
        help="print the schema of flows, operations, triggers, settings",
        description=(
            "Print a schema, or all their names. With --out, write all of them into a folder, for"
            " example of another repository, where an editor finds them."
        ),
        epilog="example: runner schema operations/log",
    )
    parser.add_argument(
        "name", metavar="PATH", nargs="?", help="such as flow, operations/log, triggers/webhook"
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="write all schemas below DIR")
    parser.set_defaults(command=schema)


def schema(arguments: argparse.Namespace) -> int:
    """Print or write."""
    if arguments.out is not None:
        for name in schemas.names():
            file = arguments.out / f"{name}.schema.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(schemas.text(name), "utf-8")
            print(file)
    elif arguments.name is not None:
        name = arguments.name.removesuffix(".json").removesuffix(".schema")
        print(schemas.text(name.removeprefix("schemas/")), end="")
    else:
        print("\n".join(schemas.names()))
    return 0
