"""`python -m runner`, and what the command `runner` calls."""

import sys

from runner.cli import main as command_line


def main() -> None:
    """Run the command line and end with its exit code."""
    sys.exit(command_line(sys.argv[1:]))


if __name__ == "__main__":
    main()
