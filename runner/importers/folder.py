"""
The folder that imported flows go to: which file is whose, what of it can run, and what is written.

Nothing is written before everything has been compiled and linked, by the loader's own means, with
the flows that are in the folder already.
"""

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path as FilePath
from typing import Final, TypeAlias

from runner import compiler, flowtext, source
from runner.compiler import Compiled
from runner.document import Document, InvalidDocument
from runner.errors import RunnerError
from runner.importers.directus import Imported
from runner.importers.findings import Finding
from runner.importers.names import Names
from runner.loader import Loader
from runner.mistakes import shown
from runner.model import Issue, Severity
from runner.operations import BUILTIN
from runner.types import Path

_LOADER: Final = Loader(BUILTIN, None)

#: What became of the text of a file.
_Compiled: TypeAlias = Compiled | InvalidDocument

#: What is added to the name of a file that is not a flow yet.
_TODO: Final = ".todo"


class Standing(StrEnum):
    """How a file stands to what is in the folder."""

    NEW = "new"
    SAME = "same"
    #: Another text is there, and it was not said that it may go.
    KEPT = "kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """What becomes of one imported flow."""

    path: FilePath
    content: bytes
    #: Whether it is a flow; otherwise it goes to `.todo`, and the issues say why.
    carried: bool
    standing: Standing
    issues: tuple[Issue, ...]


def plan(flows: Iterable[Imported], folder: FilePath, *, force: bool = False) -> list[File]:
    """
    What has to be written for *flows*, in their order; what is exported twice alike counts once.

    With *force*, files that are there may be replaced. Raises RunnerError if *folder* cannot be
    read; it need not exist.
    """
    entries = _entries(folder)
    there = source.snapshot(folder).files if entries else {}
    known = {path: _LOADER.compile(path, content) for path, content in there.items()}
    names = _names(folder, entries, known)
    drafts = []
    for imported, text in _texts(flows):
        path = names.file(imported.id, imported.name)
        content = text.encode()
        drafts.append(
            _Draft(
                imported=imported,
                path=path,
                content=content,
                compiled=_LOADER.compile(path, content),
                kept=not force and there.get(path, content) != content,
            )
        )
    _link(drafts, known)
    return [_file(draft, folder, force=force) for draft in drafts]


def write(file: File) -> None:
    """Put *file* in place, whole or not at all. Raises RunnerError."""
    folder = file.path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # A file of its own would be readable for its owner only; one in a folder is as others are.
        with tempfile.TemporaryDirectory(prefix=".import-", dir=folder) as scratch:
            whole = FilePath(scratch, file.path.name)
            whole.write_bytes(file.content)
            whole.replace(file.path)
    except OSError as error:
        raise RunnerError(f"{file.path} cannot be written: {error.strerror}") from None


def _entries(folder: FilePath) -> list[str]:
    """What is in *folder*, sorted. Raises RunnerError."""
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunnerError(f"{folder} cannot be read: {error.strerror}") from None


def _content(path: FilePath, most: int) -> bytes | None:
    """What is in the file, *most* bytes of it as far as they can be read; None if there is none."""
    try:
        with path.open("rb") as file:
            return file.read(most)
    except FileNotFoundError:
        return None
    except OSError:
        return b""


#: A flow, or what is left to do of one; and how that says its id.
_FILE: Final = re.compile(rf"(.+?)(\.ya?ml)({re.escape(_TODO)})?", re.DOTALL)
_ID: Final = re.compile(rb'^id: "?([^"\n]+)"?$', re.MULTILINE)


def _names(folder: FilePath, entries: Sequence[str], known: Mapping[str, _Compiled]) -> Names:
    """Names for what goes to *folder*, which has *entries*, of which *known* are flows."""
    taken, owned = [], {}
    for match in filter(None, map(_FILE.fullmatch, entries)):
        taken.append(match[1])
        # What is left to do need not be YAML that can be read.
        if match[3] and (found := _ID.search(_content(folder / match[0], 1 << 16) or b"")):
            owned[found[1].decode("utf-8", "replace")] = f"{match[1]}{match[2]}"
    for path, each in known.items():
        if isinstance(each, Compiled):
            taken.append(each.key)
            owned[str(each.document.data.get("id"))] = path
    return Names(taken, owned)


def _texts(flows: Iterable[Imported]) -> Iterator[tuple[Imported, str]]:
    seen = set()
    for imported in flows:
        text = flowtext.write(imported.data, imported.comments)
        if text not in seen:
            seen.add(text)
            yield imported, text


# --- what can run -------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class _Draft:
    """A flow that may become a file."""

    imported: Imported
    path: str
    content: bytes
    compiled: _Compiled
    #: What is there now stays.
    kept: bool
    #: What is wrong with it beside the others.
    linked: list[Issue] = field(default_factory=list)

    @property
    def issues(self) -> list[Issue]:
        """Everything that is to be said of it, in the order of its text."""
        obstacles = [_about("not-carried", each) for each in self.imported.obstacles]
        omissions = [
            _about("left-out", each, severity=Severity.WARNING) for each in self.imported.omissions
        ]
        findings = [self._issue(each) for each in self.imported.findings]
        found = [*obstacles, *omissions, *findings, *self.compiled.issues, *self.linked]
        # An operation that leads to itself in both ways closes one circle twice.
        return sorted(dict.fromkeys(found), key=lambda issue: (issue.line, issue.column))

    def _issue(self, finding: Finding) -> Issue:
        severity, code, message, at, hint = finding
        if isinstance(self.compiled, InvalidDocument):
            return _about(code, message, hint=hint, severity=severity)
        document = self.compiled.document
        return document.issue(code, message, at, hint=hint, severity=severity)

    @property
    def broken(self) -> bool:
        return any(issue.severity is Severity.ERROR for issue in self.issues)


def _about(
    code: str, message: str, *, hint: str | None = None, severity: Severity = Severity.ERROR
) -> Issue:
    """An issue of a file as a whole."""
    return Issue(
        path="", line=1, column=1, severity=severity, code=code, message=message, hint=hint
    )


def _link(drafts: Sequence[_Draft], known: Mapping[str, _Compiled]) -> None:
    """Find what is wrong between the flows, until it is nothing between those that can run."""
    placed = [each for each in drafts if not each.kept]
    while placed:
        all_ = {**known, **{each.path: each.compiled for each in placed}}
        compiled = [each for each in all_.values() if isinstance(each, Compiled)]
        unparsed = [path for path, each in all_.items() if isinstance(each, InvalidDocument)]
        found = compiler.link(compiled, unparsed)
        for each in placed:
            each.linked = [*dict.fromkeys([*each.linked, *found.get(each.path, ())])]
        _leave_callers(drafts, known)
        if not any(each.broken for each in placed):
            return
        placed = [each for each in placed if not each.broken]


def _leave_callers(drafts: Sequence[_Draft], known: Mapping[str, object]) -> None:
    """A flow that starts one that is left behind is left behind as well."""
    callers: dict[str, list[tuple[_Draft, Document, Path]]] = {}
    for each in drafts:
        if isinstance(each.compiled, Compiled):
            for at, name in each.compiled.calls:
                callers.setdefault(name, []).append((each, each.compiled.document, at))
    # An earlier version that is there goes on to serve.
    todo = [each for each in drafts if each.broken and each.path not in known]
    while todo:
        left = todo.pop()
        message = f"it starts {shown(left.imported.name)}, which is left to do as well"
        for caller, document, at in callers.pop(left.imported.id, ()):
            if not caller.broken and caller.path not in known:
                todo.append(caller)
            issue = document.issue("not-carried", message, at)
            if issue not in caller.linked:
                caller.linked.append(issue)


# --- what is written ----------------------------------------------------------------------------

#: So many reasons a file gives that is not a flow yet.
_MAX_REASONS: Final = 20


def _file(draft: _Draft, folder: FilePath, *, force: bool) -> File:
    content, path, issues = draft.content, folder / draft.path, draft.issues
    todo = folder / f"{draft.path}{_TODO}"
    if draft.broken:
        path = todo
        content, issues = _unfinished(draft)
    elif _content(todo, 1) is not None:
        message = f"{todo.name} is left over from when this flow could not be carried"
        issues.append(_about("left-over", message, hint="remove it", severity=Severity.WARNING))
    standing = _standing(path, content, force=force)
    if standing is Standing.KEPT:
        hint = "remove it, or replace it with --force"
        issues.append(_about("differs", "what is there is not what was imported", hint=hint))
    return File(
        path=path,
        content=content,
        carried=not draft.broken,
        standing=standing,
        issues=tuple(replace(each, path=path.as_posix()) for each in issues),
    )


def _standing(path: FilePath, content: bytes, *, force: bool) -> Standing:
    there = _content(path, len(content) + 1)
    if there == content:
        return Standing.SAME
    return Standing.NEW if there is None or force else Standing.KEPT


def _unfinished(draft: _Draft) -> tuple[bytes, list[Issue]]:
    """The text with the reasons why it is no flow in its header; the issues where they are then."""
    errors = [each for each in draft.issues if each.severity is Severity.ERROR]
    longer = 1 + min(len(errors), _MAX_REASONS + 1)
    reasons = [_reason(_lower(each, longer)) for each in errors[:_MAX_REASONS]]
    if len(errors) > _MAX_REASONS:
        reasons.append(f"- and {len(errors) - _MAX_REASONS} more")
    comments = draft.imported.comments
    title = "Not a flow yet, as its name says. What stands in the way:"
    header = "\n".join([comments[()], title, *reasons])
    text = flowtext.write(draft.imported.data, {**comments, (): header})
    return text.encode(), [_lower(each, longer) for each in draft.issues]


def _lower(issue: Issue, lines: int) -> Issue:
    """*issue* so many lines further down, unless it is about the file as a whole."""
    return replace(issue, line=issue.line + lines) if issue.line > 1 else issue


def _reason(issue: Issue) -> str:
    return f"- line {issue.line}: {issue.message}" if issue.line > 1 else f"- {issue.message}"
