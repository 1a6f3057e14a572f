"""`runner validate`: every mistake, with the daemon's own eyes."""

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from runner import source
from runner.cli import settings_flags, terminal
from runner.errors import RunnerError
from runner.loader import Loader
from runner.model import Issue, Severity
from runner.operations import BUILTIN
from runner.settings import Settings
from runner.version import NAME

_DEFAULT = Path("flows.d")


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to *commands*."""
    parser = commands.add_parser(
        "validate",
        help="name every mistake in flow files",
        description=(
            "Check flow files and the links between them. With --settings, also whether the"
            " secrets and roles that they name exist there."
        ),
        epilog="exit codes: 0 no error, 1 errors (with --strict: any issue), 2 could not run",
    )
    parser.add_argument(
        "paths",
        metavar="PATH",
        nargs="*",
        type=Path,
        help="flow files, or folders of them (default: ./flows.d, or what --settings says)",
    )
    parser.add_argument(
        "--settings", metavar="FILE", type=Path, help="also attach the flows to these settings"
    )
    parser.add_argument(
        "--format",
        choices=list(_FORMATS),
        default="text",
        help="text for people, json for programs, github for annotations, sarif for scanners",
    )
    parser.add_argument("--strict", action="store_true", help="let warnings count as errors do")
    parser.set_defaults(command=validate)


def validate(arguments: argparse.Namespace) -> int:
    """Print all issues; 1 if one of them is an error, or with --strict if there are any."""
    settings = settings_flags.load(arguments) if arguments.settings else None
    home = _DEFAULT if settings is None else settings.flows
    found = [
        issue
        for path in arguments.paths or [home]
        for issue in asyncio.run(_issues(settings, *_root(path, home)))
    ]
    issues = [*dict.fromkeys(found)]  # paths may overlap
    text = _FORMATS[arguments.format](issues)
    if text:
        print(text)
    if arguments.format == "text" and not issues and sys.stdout.isatty():
        print("no issues")
    counts = (arguments.strict or issue.severity is Severity.ERROR for issue in issues)
    return 1 if any(counts) else 0


def _root(path: Path, home: Path) -> tuple[Path, str | None]:
    """
    The folder to read for *path*, and the one file of it that was asked about.

    A file is seen with its neighbours: its key and the flows it names depend on them.
    """
    if not path.is_file():
        return path, None
    root = home if path.is_relative_to(home) else path.parent
    return root, path.relative_to(root).as_posix()


async def _issues(settings: Settings | None, root: Path, only: str | None) -> list[Issue]:
    # What stands beside the flows is looked for beside these.
    attached = None if settings is None else replace(settings, flows=root)
    loaded = await Loader(BUILTIN, attached).load(source.snapshot(root))
    if only is not None and only not in loaded.files:
        rule = "they end in .yaml or .yml, and begin with neither . nor _"
        raise RunnerError(f"{root / only} is not a flow file: {rule}")
    found = [issue for issue in loaded.issues if only in (None, issue.path)]
    return [replace(issue, path=(root / issue.path).as_posix()) for issue in found]


# --- formats ------------------------------------------------------------------------------------


def _text(issues: Sequence[Issue]) -> str:
    return "\n".join(terminal.shown(issue, sys.stdout) for issue in issues)


def _json(issues: Sequence[Issue]) -> str:
    return json.dumps([issue.as_data() for issue in issues], indent=2, ensure_ascii=False)


def _github(issues: Sequence[Issue]) -> str:
    """Workflow commands of GitHub Actions, with its escapes."""
    return "\n".join(
        f"::{issue.severity} file={_escaped(issue.path, ',:')},line={issue.line},"
        f"col={issue.column},title={issue.code}::{_escaped(_sentence(issue))}"
        for issue in issues
    )


def _escaped(text: str, more: str = "") -> str:
    for character in "%\r\n" + more:
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def _sentence(issue: Issue) -> str:
    return f"{issue.message} ({issue.hint})" if issue.hint else issue.message


def _sarif(issues: Sequence[Issue]) -> str:
    """SARIF 2.1.0 (OASIS), the part that code scanners read."""
    run = {
        "tool": {
            "driver": {
                "name": NAME,
                "rules": [{"id": code} for code in sorted({issue.code for issue in issues})],
            }
        },
        "results": [_sarif_result(issue) for issue in issues],
    }
    return json.dumps({"version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False)


def _sarif_result(issue: Issue) -> dict[str, object]:
    region = {"startLine": issue.line, "startColumn": issue.column}
    return {
        "ruleId": issue.code,
        "level": str(issue.severity),
        "message": {"text": _sentence(issue)},
        "locations": [
            {"physicalLocation": {"artifactLocation": {"uri": issue.path}, "region": region}}
        ],
    }


_FORMATS: dict[str, Callable[[Sequence[Issue]], str]] = {
    "text": _text,
    "json": _json,
    "github": _github,
    "sarif": _sarif,
}
