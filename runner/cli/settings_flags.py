"""Flags that are settings: the same for every command that takes them."""

import argparse
from collections.abc import Callable
from pathlib import Path

from runner import options, settings
from runner.secrets import no_listener
from runner.settings import Settings


def add_settings(parser: argparse.ArgumentParser) -> None:
    """A flag for every setting, with the schema's own words as help."""
    parser.add_argument(
        "--settings",
        metavar="FILE",
        type=Path,
        help=f"a YAML file with settings (or the variable {settings.FILE_VARIABLE})",
    )
    group = parser.add_argument_group(
        "settings", "each also as an environment variable: --limits-body is RUNNER_LIMITS_BODY"
    )
    for option in options.flags():
        default = f" (default {option.default})" if option.default else ""
        group.add_argument(
            option.flag,
            metavar=option.kind.upper(),
            default=None,
            help=f"{option.description}{default}".replace("%", "%%"),
        )


def load(arguments: argparse.Namespace, on_read: Callable[[str], None] = no_listener) -> Settings:
    """The settings that flags, environment and file make. Raises SettingsError."""
    given = {}
    for option in options.flags():
        value = getattr(arguments, option.flag.removeprefix("--").replace("-", "_"), None)
        if value is not None:
            given[option.path] = value
    if getattr(arguments, "folder", None) is not None:
        given["flows"] = str(arguments.folder)
    return settings.load(given, file=arguments.settings, on_read=on_read)
