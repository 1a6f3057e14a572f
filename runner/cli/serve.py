"""`runner serve`: the daemon."""

import argparse
from pathlib import Path

from runner import daemon, logs
from runner.cli import settings_flags
from runner.redact import Redactor


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to *commands*."""
    parser = commands.add_parser(
        "serve",
        help="serve the flows of a folder",
        description=(
            "Serve the flows of a folder: answer their webhooks, reload them when they change,"
            " and write every execution to stdout as JSON lines."
        ),
    )
    parser.add_argument(
        "folder", metavar="FLOWS", nargs="?", type=Path, help="folder of the flow files"
    )
    settings_flags.add_settings(parser)
    parser.set_defaults(command=serve)


def serve(arguments: argparse.Namespace) -> int:
    """Run until a signal ends it."""
    redactor = Redactor()
    settings = settings_flags.load(arguments, redactor.learn)
    with logs.to_stdout(redactor, max_line=settings.limits.log_line) as recorder:
        daemon.run(settings, recorder)
    return 0
