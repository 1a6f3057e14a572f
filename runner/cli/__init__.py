"""The command line: reads arguments, calls the parts, prints, exits; computes nothing.

Exit codes: 0 clean, 1 issues or a flow that did not resolve, 2 could not run.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence

from runner.cli import import_, list_, run, schema, serve, validate
from runner.errors import RunnerError

__all__ = ["main"]

_EPILOG = """
examples:
  runner serve flows.d                      serve the flows of a folder on 127.0.0.1:8055
  runner validate flows.d                   name every mistake, as CI and the daemon see it
  runner run order-check --data '{"id": 7, "total": 120}'
  runner schema operations/log              what an operation takes, in words
  runner schema --out schemas               the schemas for your editor
  runner import directus export.json --out flows.d

exit codes: 0 clean, 1 errors or a flow that did not resolve, 2 could not run
"""

_COMMANDS = (serve, validate, run, list_, schema, import_)


def main(argv: Sequence[str]) -> int:
    """Run one command and give its exit code."""
    parser = argparse.ArgumentParser(
        prog="runner",
        description="Runs flows that live as YAML files in git.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add(commands)
    arguments = parser.parse_args(argv)
    try:
        code: int = arguments.command(arguments)
    except RunnerError as error:
        print(f"runner: {error.message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader has seen enough; Python would complain again while it closes stdout.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code
