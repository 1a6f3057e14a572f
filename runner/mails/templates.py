"""
Templates of mails: files beside the flows, filled with data by Jinja, in its sandbox.

A template is its author's, and reviewed in git as the flows are; what strangers have sent is only
ever data in it, and escaped. So the sandbox keeps it from Python, its result and its time are
bounded between two pieces of the result, and nothing more is done about a template that means ill.
"""

import re
import time
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from runner.mails.bodies import Body, as_text
from runner.types import JSONObject

FOLDER: Final = "_mail"
"""Where they are below the flows folder: `base` is the file `_mail/base.html`, and `base.txt` its
text. What begins with `_` is no flow, so that they travel with the flows and are none."""

MAX_RESULT: Final = 1 << 20
"""Characters."""

#: No part of it begins with a dot: what another part of the path names stays out of reach.
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
_MAX_FILE: Final = 1 << 20
_SECONDS: Final = 5.0

#: A jinja2.Environment: it is only loaded when a template is used.
_Environment: TypeAlias = Any


class TemplateMistake(Exception):
    """A template cannot be used; the sentence says which, and why."""


class TemplateMissing(TemplateMistake):
    """There is no template of this name."""


def check(flows: Path, name: str) -> None:
    """
    Make the template *name* of the folder *flows* ready.

    Raises TemplateMissing, and TemplateMistake where it does not parse.
    """
    _template(flows, f"{name}.html")


def names(flows: Path) -> list[str]:
    """The templates there are, sorted."""
    folder = flows / FOLDER
    found = (path.relative_to(folder) for path in folder.rglob("*.html"))
    return sorted(path.with_suffix("").as_posix() for path in found)


def render(flows: Path, name: str, data: JSONObject) -> Body:
    """
    The template *name* of the folder *flows* with *data*. Takes a while: not for the loop.

    Raises TemplateMissing and TemplateMistake.
    """
    html = _rendered(flows, f"{name}.html", data)
    try:
        return Body(html, _rendered(flows, f"{name}.txt", data))
    except TemplateMissing:
        return Body(html, as_text(html))


def _rendered(flows: Path, file: str, data: JSONObject) -> str:
    template = _template(flows, file)
    try:
        return _bounded(template.generate(data))
    except Exception as error:  # its author's code, in a way: whatever it raises is its mistake
        raise TemplateMistake(f"the mail template {FOLDER}/{file} fails: {error}") from None


def _bounded(pieces: Iterable[str]) -> str:
    end = time.monotonic() + _SECONDS
    kept, size = [], 0
    for piece in pieces:
        kept.append(piece)
        size += len(piece)
        if size > MAX_RESULT:
            raise ValueError(f"its result has more than {MAX_RESULT} characters")
        if time.monotonic() > end:
            raise ValueError(f"it takes longer than {_SECONDS:g} s")
    return "".join(kept)


def _template(flows: Path, file: str) -> Any:
    import jinja2  # noqa: PLC0415 - 70 ms, and most processes send no mail

    try:
        return _environment(flows / FOLDER).get_template(file)
    except jinja2.TemplateNotFound as error:
        raise TemplateMissing(f"there is no mail template {FOLDER}/{error}") from None
    except jinja2.TemplateSyntaxError as error:
        where = f"{FOLDER}/{error.name}, line {error.lineno}"
        raise TemplateMistake(f"the mail template {where}: {error.message}") from None


@lru_cache(maxsize=4)
def _environment(folder: Path) -> _Environment:
    """It keeps what it has compiled, for as long as the file looks the same."""
    import jinja2  # noqa: PLC0415 - as above
    from jinja2 import sandbox  # noqa: PLC0415 - as above

    return sandbox.ImmutableSandboxedEnvironment(
        loader=jinja2.FunctionLoader(partial(_load, folder)),
        autoescape=lambda name: name is None or not name.endswith(".txt"),
        undefined=jinja2.ChainableUndefined,  # as in flows: what leads nowhere is nothing
        keep_trailing_newline=True,
        cache_size=100,
    )


def _load(folder: Path, name: str) -> tuple[str, str, Callable[[], bool]] | None:
    """What Jinja wants of a file: source, name, and whether it still is as it was."""
    path = folder / name
    if not _NAME.fullmatch(name):
        return None
    try:
        seen = _look(path)
        if not path.is_file() or not _is_inside(path, folder.parent):
            return None
        with path.open("rb") as file:
            content = file.read(_MAX_FILE + 1)
        source = content.decode()
    except (OSError, UnicodeDecodeError):
        return None
    if len(content) > _MAX_FILE:
        return None
    return source, str(path), lambda: _looks_like(path, seen)


def _is_inside(path: Path, root: Path) -> bool:
    """Links may stay below *root*, as those of a ConfigMap do."""
    return path.resolve().is_relative_to(root.resolve())


def _look(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_ino, status.st_size


def _looks_like(path: Path, seen: tuple[int, int, int]) -> bool:
    try:
        return _look(path) == seen
    except OSError:
        return False
