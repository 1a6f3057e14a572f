"""Bring flows from elsewhere: read what was exported, write it as flow files."""

from typing import Final

from runner.errors import RunnerError

MAX_BYTES: Final = 64 << 20
"""Largest export that is read."""


class Unreadable(RunnerError):
    """There is nothing here that can be read as flows."""
