"""
Where a folder comes from: a git-sync link, a ConfigMap, a git work tree, or nowhere in particular.

Nothing here runs `git`: the image has none, and its few files are read faster than it starts.
Facts: kubernetes pkg/volume/util/atomic_writer.go, git-sync v4 README, gitrepository-layout(5).
"""

import os
import re
from pathlib import Path
from typing import Final, NamedTuple

COMMIT: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
"""The name of a commit: SHA-1 or SHA-256."""

#: git-sync's work trees, as part of a path without links.
_WORKTREE: Final = re.compile(rf"/\.worktrees/({COMMIT.pattern})(?:/|$)")

#: What git takes for the name of a branch or tag, as far as it matters here.
_REF: Final = re.compile(r"refs/(?!.*\.\.)[^\0\s\\]+")

#: As many as Linux follows in one path.
_MAX_LINKS: Final = 40

#: A ref that is a name for another ref: git itself follows five.
_MAX_REFS: Final = 5

#: How much is read of a file below `.git`; only packed-refs can be large.
_MAX_BYTES: Final = 16 << 20


class Place(NamedTuple):
    """Where a configured path leads to."""

    #: The real folder in which the files are: of a ConfigMap, its current version.
    folder: str
    #: Every link that was met on the way, as a path whose parent is real.
    links: tuple[str, ...]


class Provenance(NamedTuple):
    """What is known of where a folder's content comes from."""

    #: `git`, `git-sync`, `configmap` or `folder`.
    kind: str
    #: The commit, or the ConfigMap's version.
    revision: str | None
    #: The next version comes all at once.
    atomic: bool


def locate(root: Path) -> Place:
    """Follow *root*, and the `..data` of a ConfigMap in it. Raises OSError if it leads nowhere."""
    path = root.absolute()
    if (path / "..data").is_symlink():
        path = path / "..data"
    return Place(os.path.realpath(path, strict=True), _links(path))


def trace(root: Path, place: Place) -> Provenance:
    """Say where the content of *place*, to which *root* leads, comes from."""
    for link in place.links:
        name = Path(_target(Path(link))).name
        if link.endswith("/..data"):
            return Provenance("configmap", name, atomic=True)
        if COMMIT.fullmatch(name):
            return Provenance("git-sync", name, atomic=True)
    if found := _WORKTREE.search(place.folder):
        return Provenance("git-sync", found[1], atomic=True)
    atomic = root.is_symlink()
    git = git_folder(place.folder)
    if git is None:
        return Provenance("folder", None, atomic)
    return Provenance("git", _head(git), atomic)


def git_folder(folder: str) -> Path | None:
    """The folder with HEAD and the index of the git work tree around *folder*, if it is in one."""
    for each in (Path(folder), *Path(folder).parents):
        git = each / ".git"
        if git.is_dir():
            return git
        if git.is_file():  # of a worktree or submodule: says where the folder is
            return each / _read(git).removeprefix("gitdir:").strip()
    return None


def _links(path: Path) -> tuple[str, ...]:
    """The links met while the system resolves the absolute *path*; some, if it leads nowhere."""
    links: list[str] = []
    here, parts = Path("/"), str(path).split("/")[::-1]
    while parts and len(links) < _MAX_LINKS:
        part = parts.pop()
        below = here.parent if part == ".." else here / part
        if not below.is_symlink():
            here = below
            continue
        links.append(str(below))
        target = _target(below)
        here = Path("/") if target.startswith("/") else here
        parts += target.split("/")[::-1]
    return tuple(links)


def _target(link: Path) -> str:
    """What *link* says; empty if it is gone by now."""
    try:
        return str(link.readlink())
    except OSError:
        return ""


# --- git's own files ----------------------------------------------------------------------------


def _head(git: Path) -> str | None:
    """The commit that is checked out; None before the first, or where it cannot be read."""
    common = git / (_read(git / "commondir").strip() or ".")
    value = _read(git / "HEAD").strip()
    for _ in range(_MAX_REFS):
        if COMMIT.fullmatch(value):
            return value
        ref = value.removeprefix("ref:").strip()
        if not _REF.fullmatch(ref):
            return None
        value = (_read(common / ref) or _packed(common, ref)).strip()
    return None


def _packed(common: Path, ref: str) -> str:
    """What `packed-refs` says of *ref*: lines of a commit, a space and a ref."""
    found = re.search(rf"^(\S+) {re.escape(ref)}$", _read(common / "packed-refs"), re.MULTILINE)
    return found[1] if found else ""


def _read(file: Path) -> str:
    """The text of *file*; empty if it cannot be read."""
    try:
        if not file.is_file():  # opening a pipe would wait
            return ""
        with file.open("rb") as opened:
            return opened.read(_MAX_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
