"""`python -m runner`, and what the command `runner` calls."""

import gc
import sys

# Importing makes many objects and no garbage: looking for some costs a tenth of the start.
gc.disable()

from runner.cli import main as command_line  # noqa: E402

gc.freeze()
gc.enable()


def main() -> None:
    """Run the command line and end with its exit code."""
    sys.exit(command_line(sys.argv[1:]))


if __name__ == "__main__":
    main()
