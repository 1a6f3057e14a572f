"""
The last good text of every flow file, kept over restarts: in a folder, or wherever else.

In a folder it is a file each, named by the sha256 of the flow file's path. Its first line is the
sha256 of all that follows, so that nothing damaged is ever parsed; the second says of which folder
and which path the rest is the text.

Nothing waits for the disk itself to have it (a thousand files would take five seconds): that
matters only when the power fails, and then git still has what was good, and the digest tells.
"""

import hashlib
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple, Protocol

#: No kept file is larger: a flow file has at most 1 MiB.
_MAX_BYTES: Final = 2 << 20

#: What we write, finished or not; anything else in the folder is left alone.
_OURS: Final = re.compile(r"[0-9a-f]{64}(\.tmp)?")


class _Kept(NamedTuple):
    """The last good text of one flow file."""

    root: str
    path: str
    text: bytes


class LastGood(Protocol):
    """
    Keeps texts by the paths of flow files.

    No method raises, as flows must go on without them: what went wrong is in `complaints`. All
    of them wait for a disk or a network. `remember` must not run twice at once.
    """

    def recall(self, paths: Collection[str], /) -> Mapping[str, bytes]:
        """The texts of those of *paths* that are kept."""

    def recall_all(self) -> Mapping[str, bytes]:
        """All texts that are kept, by path, sorted."""

    def remember(self, good: Mapping[str, bytes], tree: Collection[str], /) -> None:
        """
        Keep *good*, texts by path, and forget every path that is not in *tree*.

        Only what changed is written.
        """

    def complaints(self) -> list[str]:
        """What went wrong since this was last asked; a lasting trouble is said once."""


class LastGoodFolder:
    """
    Keeps texts in *folder*; with None, keeps nothing.

    *root* is the flows folder: what was good in another one is not recalled.
    """

    def __init__(self, folder: Path | None, root: Path) -> None:
        self._folder = folder
        self._root = str(root.absolute())
        #: Digest by name of what is in the folder; None: not looked yet.
        self._digests: dict[str, str] | None = None
        self._complaints: list[str] = []
        #: What was complained of and is not well again: the names of files, and "" for the folder.
        self._ill: set[str] = set()

    def recall(self, paths: Collection[str]) -> Mapping[str, bytes]:
        """The texts of those of *paths* that are kept."""
        if self._folder is None:
            return {}
        found = (self._read(self._folder / _name(path)) for path in paths)
        return {kept.path: kept.text for kept in found if kept and kept.root == self._root}

    def recall_all(self) -> Mapping[str, bytes]:
        """All texts that are kept, by path, sorted."""
        found = (self._read(file) for file in self._files())
        texts = {kept.path: kept.text for kept in found if kept and kept.root == self._root}
        return dict(sorted(texts.items()))

    def remember(self, good: Mapping[str, bytes], tree: Collection[str]) -> None:
        """
        Keep *good*, texts by path, and forget every path that is not in *tree*.

        Only what changed is written; each text is whole before it takes the place of the one
        before.
        """
        if self._folder is None:
            return
        try:
            self._forget(tree)
            self._write_all(self._folder, good)
        except OSError as error:
            reason = error.strerror or str(error)
            self._complain("", f"the last good flows cannot be kept in {self._folder}: {reason}")
        else:
            self._ill.discard("")

    def complaints(self) -> list[str]:
        """What went wrong since this was last asked; a lasting trouble is said once."""
        said, self._complaints = self._complaints, []
        return said

    # --- writing

    def _write_all(self, folder: Path, good: Mapping[str, bytes]) -> None:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        if self._digests is None:
            self._digests = {file.name: _digest(kept) for file, kept in self._sound()}
        for path, text in good.items():
            name, kept = _name(path), _Kept(self._root, path, text)
            digest = _digest(kept)
            if self._digests.get(name) != digest:
                _write(folder / name, f"{digest}\n".encode() + _body(kept))
                self._digests[name] = digest
                self._ill.discard(name)

    def _forget(self, tree: Collection[str]) -> None:
        names = {_name(path) for path in tree}
        for file in self._files(unfinished=True):
            if file.name not in names:
                file.unlink(missing_ok=True)
                if self._digests is not None:
                    self._digests.pop(file.name, None)

    # --- reading

    def _files(self, *, unfinished: bool = False) -> list[Path]:
        try:
            files = sorted(self._folder.iterdir()) if self._folder else []
        except FileNotFoundError:
            return []
        except OSError as error:
            reason = error.strerror or str(error)
            self._complain("", f"the last good flows in {self._folder} cannot be read: {reason}")
            return []
        return [
            file
            for file in files
            if (match := _OURS.fullmatch(file.name)) and (unfinished or not match[1])
        ]

    def _sound(self) -> Iterator[tuple[Path, _Kept]]:
        for file in self._files():
            if kept := self._read(file):
                yield file, kept

    def _read(self, file: Path) -> _Kept | None:
        try:
            with file.open("rb") as opened:
                digest, _, body = opened.read(_MAX_BYTES).partition(b"\n")
        except FileNotFoundError:
            return None
        except OSError as error:
            self._complain(file.name, f"{file} cannot be read and is ignored: {error.strerror}")
            return None
        kept = _parse(body) if hashlib.sha256(body).hexdigest().encode() == digest else None
        if kept is None or _name(kept.path) != file.name:
            self._complain(file.name, f"{file} is damaged and ignored")
            return None
        return kept

    def _complain(self, about: str, sentence: str) -> None:
        if about not in self._ill:
            self._ill.add(about)
            self._complaints.append(sentence)


def _name(path: str) -> str:
    """The name of the file that keeps the text of *path*."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()


def _parse(body: bytes) -> _Kept | None:
    head, _, text = body.partition(b"\n")
    try:
        root, path = json.loads(head)
    except ValueError:  # whole, and yet not ours: another version wrote it
        return None
    return _Kept(root, path, text)


def _body(kept: _Kept) -> bytes:
    return json.dumps([kept.root, kept.path]).encode() + b"\n" + kept.text


def _digest(kept: _Kept) -> str:
    return hashlib.sha256(_body(kept)).hexdigest()


def _write(file: Path, content: bytes) -> None:
    """Put *content* in the place of *file*, all of it or none."""
    temporary = file.with_suffix(".tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(temporary, flags, 0o600), "wb") as opened:
        opened.write(content)
    temporary.replace(file)
