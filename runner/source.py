"""
Find and read the flow files: which files, which bytes, which revision.

A snapshot is consistent: the whole tree looked the same before and after it was read. It is
complete: what could not be read has an issue. And it is known by its content alone, as times of
modification mean nothing after a checkout or on a mounted volume.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from runner import provenance
from runner.document import MAX_BYTES
from runner.errors import SourceError
from runner.model import Issue, Severity

MAX_TRIES: Final = 5
"""How often a folder that changes while it is read is read again."""

MAX_ENTRIES: Final = 100_000
"""How many files and folders are looked at: with more, it is not a flows folder."""

MAX_TOTAL: Final = 256 << 20
"""How many bytes all flow files may have together."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Snapshot:
    """All flow files as they were at one moment."""

    #: By path relative to the flows folder, with forward slashes; sorted.
    files: Mapping[str, bytes]
    #: Of the files and folders that could not be read, and of the files that will never be new;
    #: sorted. The path of a folder ends with a slash.
    issues: tuple[Issue, ...]
    #: sha256 over the sorted paths and bytes, and over the issues, as hex.
    digest: str
    #: The commit or the ConfigMap's version, else `sha256:` and the beginning of the digest.
    revision: str
    #: Where they come from: `git`, `git-sync`, `configmap` or `folder`.
    kind: str
    #: The next version comes all at once: nothing has to settle before it is read.
    atomic: bool
    #: When the newest file was changed, in seconds since the epoch.
    newest_mtime: float

    @property
    def unread_folders(self) -> list[Issue]:
        """The issues of folders: what is in these is not known."""
        return [issue for issue in self.issues if issue.path.endswith("/")]


def snapshot(root: Path) -> Snapshot:
    """
    Read all flow files below *root*.

    Raises SourceError if *root* is no folder that can be read, is too large to be meant, or does
    not stop changing.
    """
    for _ in range(MAX_TRIES):
        place = _locate(root)
        tree = _Walk(place.folder).run()
        files, issues = _read_all(tree)
        if _locate(root) == place and _Walk(place.folder).run() == tree:
            break
    else:
        raise SourceError(f"the flows folder {root} kept changing while it was read; try again")
    digest = _digest(files, issues)
    origin = provenance.trace(root, place)
    return Snapshot(
        files=files,
        issues=tuple(issues),
        digest=digest,
        revision=origin.revision or f"sha256:{digest[:12]}",
        kind=origin.kind,
        atomic=origin.atomic,
        newest_mtime=max((file.mtime_ns for file in tree.files.values()), default=0) / 1e9,
    )


def watch_dirs(root: Path) -> list[tuple[str, int, int]]:
    """
    The folders in which something changes whenever a flow file does: path, device, inode; sorted.

    A watch belongs to an inode: when a folder is made anew, the watch is dead, although the name
    is the same. Of a *root* that leads nowhere, all that is above it is watched.
    """
    root = root.absolute()
    paths = {str(root.parent)}
    try:
        place = _locate(root)
        tree = _Walk(place.folder).run()
    except SourceError:
        paths.update(map(str, (*root.parents, *Path(os.path.realpath(root)).parents)))
    else:
        paths.update(str(Path(link).parent) for link in place.links)
        paths.update(str(Path(file.real).parent) for file in tree.files.values())
        paths.update(tree.folders)
    return sorted(_identified(paths))


def index_lock(root: Path) -> Path | None:
    """The lock that git holds while it changes the work tree around *root*, if it holds it now."""
    try:
        git = provenance.git_folder(_locate(root).folder)
        lock = git / "index.lock" if git else None
        return lock if lock and lock.exists() else None
    except (SourceError, OSError):  # git's folder need not be ours to look into
        return None


def _locate(root: Path) -> provenance.Place:
    try:
        place = provenance.locate(root)
        os.scandir(place.folder).close()
    except FileNotFoundError:
        raise SourceError(f"the flows folder {root} does not exist: create or mount it") from None
    except NotADirectoryError:
        raise SourceError(f"{root} is not a folder: name the folder with the flows") from None
    except OSError as error:
        raise SourceError(f"the flows folder {root} cannot be read: {error.strerror}") from None
    return place


def _identified(paths: Iterable[str]) -> Iterator[tuple[str, int, int]]:
    for path in paths:
        try:
            status = Path(path).stat()
        except OSError:
            continue
        yield path, status.st_dev, status.st_ino


# --- which files --------------------------------------------------------------------------------


class _File(NamedTuple):
    """A flow file, and what changes when it is changed or replaced."""

    real: str
    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


class _Tree(NamedTuple):
    """What there is below a folder."""

    #: By path relative to it.
    files: dict[str, _File]
    #: Device and inode of every folder that was looked into, by real path.
    folders: dict[str, tuple[int, int]]
    issues: list[Issue]


class _Folder(NamedTuple):
    """A folder that is to be looked into."""

    #: Relative to the flows folder: empty, or ends with a slash.
    path: str
    real: str
    #: Device and inode of all that it was reached through.
    above: frozenset[tuple[int, int]]


class _Walk:
    """One walk through a folder; links are followed as long as they stay in it."""

    def __init__(self, root: str) -> None:
        self.inside = root.rstrip("/") + "/"
        self.todo = [_Folder("", root, frozenset())]
        self.tree = _Tree({}, {}, [])
        self.entries = 0

    def run(self) -> _Tree:
        """
        Find the flow files.

        Raises SourceError if the folder cannot be read, or there are too many entries.
        """
        while self.todo:
            folder = self.todo.pop()
            try:
                self._look_into(folder)
            except OSError as error:
                if not folder.path:
                    raise SourceError(f"{self.inside} cannot be read: {error.strerror}") from None
                self._report(folder.path, "unreadable", _reason(error))
        return self.tree

    def _look_into(self, folder: _Folder) -> None:
        status = Path(folder.real).stat()
        identity = (status.st_dev, status.st_ino)
        if identity in folder.above:  # a link to a folder that it stands in
            return
        self.tree.folders[folder.real] = identity
        with os.scandir(folder.real) as entries:
            for entry in entries:
                self._count()
                if entry.name.startswith((".", "_")):
                    continue
                path = folder.path + entry.name
                try:
                    self._look_at(path, entry, folder.above | {identity})
                except OSError as error:
                    self._report(path, "unreadable", _reason(error))

    def _look_at(
        self, path: str, entry: "os.DirEntry[str]", above: frozenset[tuple[int, int]]
    ) -> None:
        if entry.is_dir():
            path += "/"
        elif not _is_flow(entry.name):
            return
        if not entry.name.isprintable():
            hint = "rename it: a name is UTF-8, without control characters"
            self._report(path, "file-name", "this name cannot be a part of a flow key", hint)
            return
        real = os.path.realpath(entry.path, strict=True) if entry.is_symlink() else entry.path
        if not f"{real}/".startswith(self.inside):
            hint = "copy what it links to into the flows folder"
            self._report(path, "outside-root", "this link leads out of the flows folder", hint)
            return
        status = entry.stat()
        if stat.S_ISDIR(status.st_mode):
            self.todo.append(_Folder(path, real, above))
        elif not stat.S_ISREG(status.st_mode):
            self._report(path, "not-a-file", "this is a pipe, a socket or a device", "remove it")
        elif status.st_size > MAX_BYTES:
            message = f"the file has {status.st_size:,} bytes; {MAX_BYTES:,} are allowed"
            self._report(path, "yaml-size", message)
        else:
            self._add(path, real, status)

    def _add(self, path: str, real: str, status: os.stat_result) -> None:
        self.tree.files[path] = _File(real, *_fingerprint(status))
        if status.st_nlink == 0:  # the version that is mounted was deleted long ago
            message = "this file is mounted with subPath, so it will never change"
            hint = "mount the whole volume into the flows folder"
            self._report(path, "subpath-mount", message, hint, Severity.WARNING)

    def _count(self) -> None:
        self.entries += 1
        if self.entries > MAX_ENTRIES:
            limit = f"more than {MAX_ENTRIES:,} files and folders"
            raise SourceError(f"{self.inside} holds {limit}: name the folder with the flows")

    def _report(
        self,
        path: str,
        code: str,
        message: str,
        hint: str | None = None,
        severity: Severity = Severity.ERROR,
    ) -> None:
        self.tree.issues.append(_issue(path, code, message, hint, severity))


def _is_flow(name: str) -> bool:
    return name.endswith((".yaml", ".yml")) and not name.endswith((".test.yaml", ".test.yml"))


# --- which bytes --------------------------------------------------------------------------------


def _read_all(tree: _Tree) -> tuple[dict[str, bytes], list[Issue]]:
    """The content of the files of *tree*, and all issues. Raises SourceError if it is too much."""
    total = sum(file.size for file in tree.files.values())
    if total > MAX_TOTAL:
        raise SourceError(f"the flow files have {total:,} bytes; {MAX_TOTAL:,} are allowed")
    contents: dict[str, bytes] = {}
    issues = list(tree.issues)
    for path, file in sorted(tree.files.items()):
        try:
            contents[path] = _read(file)
        except OSError as error:
            issues.append(_issue(path, "unreadable", _reason(error)))
    return contents, sorted(issues, key=str)


def _read(file: _File) -> bytes:
    """The content of the very file that was found, and of nothing that took its place."""
    descriptor = os.open(file.real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as opened:
        if _File(file.real, *_fingerprint(os.fstat(descriptor))) != file:
            raise OSError(errno.ESTALE, "it was replaced while it was read")
        return opened.read(file.size)


def _fingerprint(status: os.stat_result) -> tuple[int, int, int, int, int]:
    """What changes when a file is written or replaced."""
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _reason(error: OSError) -> str:
    return f"this cannot be read: {error.strerror}"


def _issue(
    path: str,
    code: str,
    message: str,
    hint: str | None = None,
    severity: Severity = Severity.ERROR,
) -> Issue:
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in path)
    return Issue(
        path=shown, line=1, column=1, severity=severity, code=code, message=message, hint=hint
    )


def _digest(files: Mapping[str, bytes], issues: Iterable[Issue]) -> str:
    """Names the content: lengths keep one file from looking like two."""
    digest = hashlib.sha256()
    for path, content in files.items():
        digest.update(f"{path}\0{len(content)}\0".encode())
        digest.update(content)
    for issue in issues:
        digest.update(f"{issue}\0".encode())
    return digest.hexdigest()
