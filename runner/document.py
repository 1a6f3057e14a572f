"""
A document: a file's plain data, which knows where everything in it stands.

What the text means is `yaml12`'s to say; here are the bytes, the positions and the issues.
"""

import hashlib
import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from runner import yaml12
from runner.errors import RunnerError
from runner.model import Issue, Severity
from runner.types import JSONObject, Path

MAX_BYTES: Final = 1 << 20
"""Largest file that is parsed."""


class InvalidDocument(RunnerError):
    """
    The file is not a document.

    *issues* says why: one or more, in the order of the file.
    """

    def __init__(self, issues: tuple[Issue, ...]) -> None:
        super().__init__(str(issues[0]))
        self.issues = issues


@dataclass(frozen=True, kw_only=True, eq=False)
class Document:
    """A parsed file."""

    #: The file, relative to the flows folder, with forward slashes.
    path: str
    #: What was parsed, without a byte order mark.
    text: str
    #: The file's bytes, and their sha256 as hex.
    content: bytes
    digest: str
    #: The top-level mapping. Aliases share their value: nothing in it may be changed.
    data: JSONObject

    def issue(
        self,
        code: str,
        message: str,
        at: Path,
        *,
        hint: str | None = None,
        severity: Severity = Severity.ERROR,
        at_key: bool = False,
    ) -> Issue:
        """A finding about the value at *at*, or with *at_key* about its key."""
        line, column = self.key_position(at) if at_key else self.position(at)
        return Issue(
            path=self.path,
            line=line,
            column=column,
            severity=severity,
            code=code,
            message=message,
            hint=hint or None,
        )

    def position(self, at: Path) -> tuple[int, int]:
        """
        Line and column, counted from 1, of the value at *at*.

        Of one that is not there: of the nearest parent that is.
        """
        return self._line_and_column(self._place(at).value)

    def key_position(self, at: Path) -> tuple[int, int]:
        """Line and column, counted from 1, of the key at *at*; a list's item is its own key."""
        return self._line_and_column(self._place(at).key)

    def _line_and_column(self, at: int) -> tuple[int, int]:
        line = bisect_right(self._lines, at)
        return line, at - self._lines[line - 1] + 1

    @cached_property
    def _lines(self) -> list[int]:
        """Where each line begins: a file can have thousands of issues, and counting takes long."""
        return [0, *(found.end() for found in re.finditer("\n", self.text))]

    def _place(self, at: Path) -> yaml12.Place:
        container: Any = self._located.data
        place = self._located.places[None]
        for step in at:
            found = self._located.places.get((id(container), step))
            if found is None:
                break
            place, container = found, container[step]
        return place

    @cached_property
    def _located(self) -> yaml12.Parsed:
        """The text parsed once more, with places: only who asks for a position pays for it."""
        return yaml12.parse(self.text, locate=True)


def parse(path: str, content: bytes) -> Document:
    """
    Parse *content*, the bytes of the file *path*.

    Raises InvalidDocument with every issue that could be found.
    """
    text = _decode(path, content)
    parsed = yaml12.parse(text)
    if parsed.findings:
        raise InvalidDocument(tuple(_issue(path, text, *finding) for finding in parsed.findings))
    digest = hashlib.sha256(content).hexdigest()
    return Document(path=path, text=text, content=content, digest=digest, data=parsed.data)


def _decode(path: str, content: bytes) -> str:
    """The text of *content*, with or without a byte order mark. Raises InvalidDocument."""
    if len(content) > MAX_BYTES:
        message = f"the file has {len(content):,} bytes; {MAX_BYTES:,} are allowed"
        raise InvalidDocument((_issue(path, "", 0, "yaml-size", message, None),))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig")
        message = f"the byte 0x{content[error.start]:02x} is not UTF-8"
        hint = "save the file as UTF-8"
        issue = _issue(path, before, len(before), "yaml-encoding", message, hint)
        raise InvalidDocument((issue,)) from None


def _issue(path: str, text: str, at: int, code: str, message: str, hint: str | None) -> Issue:
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    return Issue(path=path, line=line, column=column, code=code, message=message, hint=hint)
