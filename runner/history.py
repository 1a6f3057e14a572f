"""
Who created a flow file, and when, as far as the history of a git repository tells.

The newest commit that added the file says it: its author, and the author's date. Renames are not
followed, as a new path is a new flow. A shallow clone would answer wrongly and without an error
(every file was created by the commit at which it begins), so nothing is taken from one.
"""

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from runner import provenance
from runner.ids import derived_id

#: Users are known by the UUID that follows from their address below this.
USERS: Final = "0d9a1c9e-6a57-4a9c-8f0e-5b7f3c1d2e84"

#: Seconds that git gets for one revision, all of its commands together.
_TIMEOUT: Final = 60.0

#: How much git may say: a hundred bytes or so for every file that was ever added.
_MAX_BYTES: Final = 32 << 20

#: What git needs of our environment. GIT_DIR and the like would lead it elsewhere, and the rest
#: may hold secrets.
_PASSED_ON: Final = {"PATH", "HOME", "XDG_CONFIG_HOME", "SUDO_UID"}

_ENVIRONMENT: Final = {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}

#: A partial clone fetches what it lacks unless that is forbidden.
_GIT: Final = ("git", "--no-replace-objects", "-c", "protocol.allow=never")

#: Whatever the configuration of user and repository says; `-c` shows what a merge itself adds.
_LOG: Final = (
    *("-c", "log.follow=false", "-c", "log.showRoot=true"),
    *("log", "-z", "-c", "--topo-order", "--no-renames", "--no-show-signature", "--no-color"),
    *("--encoding=UTF-8", "--diff-filter=A", "--name-status", "--format=%x01%at%x02%ae%x02%an"),
)

_FLOWS: Final = ("*.yaml", "*.yml")


class Created(NamedTuple):
    """Who created a file, and when."""

    #: RFC 3339 in UTC with milliseconds; None where the commit has no date that can be read.
    date: str | None
    #: The UUID of the author's address; None where the commit has none.
    user: str | None
    #: The author's name.
    author: str | None


_NOBODY: Final = Created(None, None, None)


class _Known(NamedTuple):
    """All that is known as of one commit."""

    revision: str
    #: The path from the top of the work tree to the flows folder; ends with a slash or is empty.
    prefix: bytes
    #: By path relative to the flows folder.
    files: Mapping[str, Created]


_NOTHING: Final = _Known("", b"", {})


class _GitError(Exception):
    """Git failed; its first words say why."""


class History:
    """What git knows of the files in the flows folder *root*."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._asked = ""
        self._known = _NOTHING
        self._ill = False

    @property
    def created(self) -> Mapping[str, Created]:
        """Who created the flow files, and when, by path; another mapping after each refresh."""
        return self._known.files

    async def refresh(self, revision: str) -> str | None:
        """
        Know all that the commit *revision* knows; of a revision that is no commit, nothing.

        A revision is asked for once. Does not raise: where git fails, nothing is known. Gives
        what is to be said of that; a lasting trouble is said once.
        """
        if revision == self._asked:
            return None
        self._asked = revision
        try:
            async with asyncio.timeout(_TIMEOUT):
                self._known = await self._look_up(revision)
        except FileNotFoundError:  # there is no git, or the folder has just gone
            self._known = _NOTHING
        except (_GitError, OSError) as error:
            self._known = _NOTHING
            return self._complain(str(error) or f"git takes more than {_TIMEOUT:g} s")
        self._ill = False
        return None

    async def _look_up(self, revision: str) -> _Known:
        folder = await asyncio.to_thread(_work_tree, self._root)
        if folder is None or not provenance.COMMIT.fullmatch(revision):
            return _NOTHING
        answer = await _git(folder, "rev-parse", "--is-shallow-repository", "--show-prefix")
        shallow, _, rest = answer.partition(b"\n")
        if shallow != b"false":
            return _NOTHING
        prefix = rest.removesuffix(b"\n")
        before = self._known
        if before.prefix != prefix or not await _is_ancestor(folder, before.revision, revision):
            before = _NOTHING
        commits = f"{before.revision}..{revision}" if before.revision else revision
        log = await _git(folder, *_LOG, commits, "--", *_FLOWS)
        added = await asyncio.to_thread(_parse, log, prefix)
        return _Known(revision, prefix, {**before.files, **added})

    def _complain(self, reason: str) -> str | None:
        if self._ill:
            return None
        self._ill = True
        return f"who created the flows is not known: {reason}"


def _work_tree(root: Path) -> str | None:
    """The real folder that *root* leads to, if it is in a git work tree."""
    folder = provenance.locate(root).folder
    return folder if provenance.git_folder(folder) else None


# --- what git says ------------------------------------------------------------------------------


def _parse(log: bytes, prefix: bytes) -> dict[str, Created]:
    """
    Read a log of additions, newest first: a commit, then a status and a path for each file.

    All are separated by NUL, and of statuses and paths only the latter can look like a commit.
    """
    files: dict[str, Created] = {}
    created = _NOBODY
    tokens = iter(log.split(b"\0"))
    for token in tokens:
        if token.startswith(b"\x01"):
            created = _created(token[1:])
        elif token.strip():
            path = next(tokens, b"").removeprefix(prefix)
            files.setdefault(os.fsdecode(path), created)
    return files


def _created(commit: bytes) -> Created:
    seconds, address, name = commit.decode("utf-8", "replace").split("\x02", 2)
    address = address.strip().lower()
    user = derived_id(USERS, address) if address else None
    return Created(_date(seconds), user, name.strip() or None)


def _date(seconds: str) -> str | None:
    try:
        moment = datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):  # a commit may say anything
        return None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


# --- asking it ----------------------------------------------------------------------------------


async def _is_ancestor(folder: str, before: str, after: str) -> bool:
    """Whether all that *before* knows is a part of what *after* knows; not after a forced push."""
    if not before:
        return False
    try:
        await _git(folder, "merge-base", "--is-ancestor", before, after)
    except _GitError:
        return False
    return True


async def _git(folder: str, *arguments: str) -> bytes:
    """What git prints in *folder*. Raises _GitError, and OSError where it cannot be run."""
    process = await asyncio.create_subprocess_exec(
        *(*_GIT, *arguments),
        cwd=folder,
        env=_environment(),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        start_new_session=True,  # so that what it starts can be ended with it
    )
    try:
        output = await _read(process.stdout)
        errors = await _read(process.stderr)
        code = await process.wait()
    except BaseException:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()  # it ends only when its pipes have been read
        raise
    if code:
        said = errors.decode("utf-8", "replace").partition("\n")[0]
        raise _GitError(said or f"git ended with {code}")
    return output


async def _read(stream: asyncio.StreamReader | None) -> bytes:
    """All of *stream*. Raises _GitError if it is too much."""
    assert stream is not None  # noqa: S101 - it is a pipe
    try:
        await stream.readexactly(_MAX_BYTES)
    except asyncio.IncompleteReadError as end:
        return end.partial
    raise _GitError(f"git says more than {_MAX_BYTES:,} bytes")


def _environment() -> dict[str, str]:
    passed_on = {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED_ON or name.startswith("GIT_CONFIG")
    }
    return passed_on | _ENVIRONMENT
