"""Which version of the runner this is."""

from functools import cache
from importlib import metadata
from typing import Final

NAME: Final = "gitops-flow-runner"
"""The distribution, and what records and requests call us."""


@cache
def version() -> str:
    """That of the distribution; 0 in a checkout that was never installed."""
    try:
        return metadata.version(NAME)
    except metadata.PackageNotFoundError:
        return "0"
