"""
From the files of a folder to compiled flows, with the work of the last time kept.

The daemon and every command go through here, so nothing is accepted by one and refused by the
other.
"""

import asyncio
import gc
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from runner import compiler
from runner.compiler import Compiled
from runner.document import InvalidDocument, parse
from runner.ids import is_uuid
from runner.model import Flow, Issue, Severity
from runner.operations import OperationSet
from runner.settings import Settings
from runner.source import Snapshot

#: The loop gets its turn at least this often, in seconds, while files are compiled.
_SLICE = 0.002

#: Bytes of a file that is compiled beside the loop: one of a megabyte takes a second, and ten
#: seconds to say all that may be wrong with it.
_LARGE = 1 << 14


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """What became of one flow file."""

    path: str
    #: The key it has, or would have.
    key: str
    #: None where an issue is an error.
    flow: Flow | None
    issues: tuple[Issue, ...]
    #: Its text, as it was read; empty where it could not be read.
    content: bytes = b""
    #: What it says its name and its id are, for those who ask for it although it does not run.
    name: str = ""
    id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What became of a whole snapshot."""

    #: By path, sorted.
    files: Mapping[str, File] = field(default_factory=dict)
    digest: str = ""
    revision: str = ""

    @property
    def issues(self) -> list[Issue]:
        """All issues, by file and then in the order of the text."""
        found = [issue for file in self.files.values() for issue in file.issues]
        return sorted(found, key=lambda issue: (issue.path, issue.line, issue.column))

    @property
    def broken(self) -> bool:
        """Whether any file has an error."""
        return any(issue.severity is Severity.ERROR for issue in self.issues)


class Loader:
    """
    Compiles snapshots; a file whose bytes did not change keeps its compiled flow.

    With *settings* None, flows are checked and linked but not attached to anything.
    """

    def __init__(self, operations: OperationSet, settings: Settings | None) -> None:
        self._operations = operations
        self._settings = settings
        self._known: dict[str, tuple[bytes, Compiled | InvalidDocument]] = {}

    async def load(self, snapshot: Snapshot) -> Loaded:
        """Parse and compile what changed, link and attach everything. Yields to the loop."""
        with _no_collection():
            known = await self._compile(snapshot)
            if not self._known:
                _forget_youth()
        hidden = self._hidden(snapshot)
        known |= {path: self._known[path] for path in hidden}
        self._known = known
        compiled = [each for _, each in known.values() if isinstance(each, Compiled)]
        unparsed = [path for path, (_, each) in known.items() if isinstance(each, InvalidDocument)]
        unparsed += [issue.path for issue in snapshot.issues]
        more = compiler.link(compiled, unparsed)
        for each in compiled if self._settings is not None else ():
            found = compiler.attach(each, self._settings)  # type: ignore[arg-type]
            if found:
                more.setdefault(each.document.path, []).extend(found)
        files = {
            path: _file(path, content, each, more.get(path, []))
            for path, (content, each) in known.items()
        }
        for path, issue in hidden.items():
            files[path] = replace(files[path], flow=None, issues=(replace(issue, path=path),))
        for issue in snapshot.issues:
            read = files.get(issue.path) or _unread(issue.path)
            files[issue.path] = replace(read, issues=(*read.issues, issue))
        return Loaded(
            files=dict(sorted(files.items())), digest=snapshot.digest, revision=snapshot.revision
        )

    async def _compile(
        self, snapshot: Snapshot
    ) -> dict[str, tuple[bytes, Compiled | InvalidDocument]]:
        known = {}
        turn = time.monotonic() + _SLICE
        for path, content in snapshot.files.items():
            before = self._known.get(path)
            if before is not None and before[0] == content:
                known[path] = before
                continue
            if len(content) > _LARGE:
                known[path] = (content, await asyncio.to_thread(self.compile, path, content))
            else:
                known[path] = (content, self.compile(path, content))
            if time.monotonic() > turn:
                await asyncio.sleep(0)
                turn = time.monotonic() + _SLICE
        return known

    def expect(self, texts: Mapping[str, bytes]) -> None:
        """Before a first load: files that were there, should their folder not be readable now."""
        self._known = {path: (text, self.compile(path, text)) for path, text in texts.items()}

    def _hidden(self, snapshot: Snapshot) -> dict[str, Issue]:
        """Known files of folders that cannot be read: nobody removed them, so they stay known."""
        return {
            path: issue
            for path in sorted(self._known.keys() - snapshot.files.keys())
            for issue in snapshot.unread_folders
            if path.startswith(issue.path)
        }

    def compile(self, path: str, content: bytes) -> Compiled | InvalidDocument:
        """One file on its own: parsed and compiled, or what its text lacks to be parsed."""
        try:
            return compiler.compile(parse(path, content), self._operations)
        except InvalidDocument as error:
            return error


def _file(path: str, content: bytes, each: Compiled | InvalidDocument, more: list[Issue]) -> File:
    if isinstance(each, InvalidDocument):
        key = compiler.default_key(path)
        return File(path=path, key=key, flow=None, issues=each.issues, content=content, name=key)
    whole = each.with_issues(more) if more else each
    name, id_ = each.document.data.get("name"), each.document.data.get("id")
    return File(
        path=path,
        key=each.key,
        flow=whole.flow,
        issues=whole.issues,
        content=content,
        name=name if isinstance(name, str) else each.key,
        id=id_ if isinstance(id_, str) and is_uuid(id_) else None,
    )


def _unread(path: str) -> File:
    key = compiler.default_key(path)
    return File(path=path, key=key, flow=None, issues=(), name=key)


@contextmanager
def _no_collection() -> Iterator[None]:
    # Documents make many objects and no garbage: looking for some takes a quarter of a load.
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _forget_youth() -> None:
    """Spare the next collection a look at everything that a first load has made."""
    frozen = gc.get_freeze_count()
    gc.freeze()
    if not frozen:
        gc.unfreeze()
