"""`runner import`: flows from elsewhere, as files."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from runner.cli import terminal
from runner.errors import RunnerError
from runner.importers import MAX_BYTES, Unreadable, directus, exports, folder, live
from runner.importers.folder import File, Standing
from runner.model import Severity
from runner.types import JSONObject

_TOKEN = "DIRECTUS_TOKEN"  # noqa: S105 - the name of the variable

_DIRECTUS = f"""
what can be read:
  an export of Directus' Studio, of one flow
  the answer of GET /flows?fields=*,operations.*&limit=-1, or of GET /flows/<id>?fields=…
  a Directus that runs: --url, with the token of a user who may read flows and operations

Each flow becomes DIR/<its name>.yaml, which `runner validate` accepts. What cannot be carried goes
to DIR/<its name>.yaml.todo, which is not a flow, with the reasons in it and here. Ids, keys and
positions stay as they are. Of an export of the Studio nobody knows whether the flow was active; it
is here. A flow that is in DIR already keeps its file.

examples:
  runner import directus export.json --out flows.d
  {_TOKEN}=… runner import directus --url https://directus.example.com --out flows.d --dry-run

exit codes: 0 all carried, 1 some not, 2 nothing could be read
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to *commands*."""
    parser = commands.add_parser(
        "import",
        help="bring flows from Directus",
        description="Bring flows from elsewhere: write them as flow files.",
        epilog="example: runner import directus export.json --out flows.d",
    )
    sources = parser.add_subparsers(metavar="SOURCE", required=True)
    _add_directus(sources)


def _add_directus(sources: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = sources.add_parser(
        "directus",
        help="flows as Directus exports or lists them",
        description="Write flows of Directus as flow files, the way a person would.",
        epilog=_DIRECTUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", metavar="FILE", nargs="*", help="an export; - is standard input")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, required=True, help="folder to write the flows to"
    )
    parser.add_argument("--url", metavar="URL", help="read the flows of this Directus as well")
    token = parser.add_mutually_exclusive_group()
    token.add_argument(
        "--token-file", metavar="FILE", type=Path, help="a file that holds the token for --url"
    )
    token.add_argument(
        "--token",
        metavar="TOKEN",
        help=f"the token itself; others can see it in the list of processes, so rather use"
        f" --token-file or the environment variable {_TOKEN}",
    )
    parser.add_argument(
        "--force", action="store_true", help="replace files that say something else"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be written, and write nothing"
    )
    parser.set_defaults(command=import_directus)


def import_directus(arguments: argparse.Namespace) -> int:
    """Write what can be carried; print the paths, and on stderr all that is to be said."""
    flows: list[JSONObject] = []
    unread = 0
    for name, content in _sources(arguments):
        try:
            export = exports.read(content())
        except Unreadable as error:
            export = exports.Export([], [error.message])
        flows += export.flows
        unread += len(export.unread)
        for told in export.unread:
            print(f"{name}: {told}", file=sys.stderr)
    if not flows:
        raise Unreadable("no flows were found, so nothing was written")
    files = folder.plan(directus.convert(flows), arguments.out, force=arguments.force)
    for file in files:
        _place(file, dry_run=arguments.dry_run)
    _sum_up(files, dry_run=arguments.dry_run)
    carried = all(file.carried and file.standing is not Standing.KEPT for file in files)
    return 0 if carried and not unread else 1


# --- what is read -------------------------------------------------------------------------------


def _sources(arguments: argparse.Namespace) -> list[tuple[str, Callable[[], bytes]]]:
    """The name of each, and what reads it; that raises Unreadable."""
    sources: list[tuple[str, Callable[[], bytes]]] = []
    for name in arguments.files:
        shown = "standard input" if name == "-" else name
        sources.append((shown, partial(_content, name)))
    if arguments.url is not None:
        # Somebody may have put a password into it.
        shown = "--url" if "@" in arguments.url else arguments.url
        sources.append((shown, partial(live.fetch, arguments.url, _token(arguments))))
    if not sources:
        raise Unreadable("name a FILE to import, or a Directus with --url")
    return sources


def _content(name: str) -> bytes:
    try:
        if name == "-":
            content = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise Unreadable(f"it cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise Unreadable(f"it is longer than {MAX_BYTES >> 20} MiB")
    return content


def _token(arguments: argparse.Namespace) -> str | None:
    """What the caller shows to Directus, if anything. Raises RunnerError."""
    token: str | None = arguments.token
    if arguments.token_file is not None:
        try:
            token = arguments.token_file.read_text("utf-8").strip()
        except (OSError, ValueError) as error:
            raise RunnerError(f"the token cannot be read: {error}") from None
    return token if token is not None else os.environ.get(_TOKEN) or None


# --- what is said -------------------------------------------------------------------------------


def _place(file: File, *, dry_run: bool) -> None:
    """Write it where that is due; of what is there as it should be, say nothing."""
    if file.standing is Standing.NEW and not dry_run:
        folder.write(file)
    if file.standing is Standing.NEW:
        print(file.path)
    if file.standing is not Standing.SAME or not file.carried:
        for issue in file.issues:
            print(terminal.shown(issue, sys.stderr), file=sys.stderr)


def _sum_up(files: Sequence[File], *, dry_run: bool) -> None:
    """`12 written, 1 left to do, 3 warnings`; nothing where nothing happened."""
    new = [file for file in files if file.standing is Standing.NEW]
    said = [file for file in files if file.standing is not Standing.SAME]
    warnings = sum(issue.severity is Severity.WARNING for file in said for issue in file.issues)
    counts = {
        "would be written" if dry_run else "written": sum(file.carried for file in new),
        "left to do": sum(not file.carried for file in files),
        "not replaced": sum(file.standing is Standing.KEPT for file in files),
        "warning" if warnings == 1 else "warnings": warnings,
    }
    told = [f"{count} {what}" for what, count in counts.items() if count]
    if told:
        print(", ".join(told), file=sys.stderr)
