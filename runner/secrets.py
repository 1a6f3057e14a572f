"""Secrets by name, read at the moment they are used, so that rotating one needs no restart."""

import os
import re
import stat
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import unquote

from runner.errors import RunnerError

RESERVED: Final = "RUNNER_"
"""Environment variables that begin so are settings, never secrets."""

_SECRET_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_MAX_SECRET: Final = 1 << 20

# File systems count time in ticks, the coarsest ones in 2 s. A file that was written just now may
# be written again and look the same, so what was read from it is not kept.
_SETTLED_NS: Final = 2_000_000_000

_Fingerprint: TypeAlias = tuple[int, int, int]


class _SecretFile(NamedTuple):
    """What was read from a file, for as long as the file looks the same."""

    path: Path
    seen: _Fingerprint
    value: str


def no_listener(_value: str) -> None:
    """Nobody wants to know what was read."""


class SecretMissing(RunnerError):
    """A secret cannot be read."""


class Secrets:
    """
    Secrets by name: the files of one folder, read again when they change, then the environment.

    *on_read* is told every value before anybody gets it, so that no record can show it.
    """

    def __init__(
        self,
        secrets_dir: Path | None,
        environ: Mapping[str, str],
        on_read: Callable[[str], None] = no_listener,
    ) -> None:
        self._dir = secrets_dir
        self._environ = environ
        self._on_read = on_read
        self._files: dict[str, _SecretFile] = {}
        self._told: dict[str, str] = {}

    def get(self, name: str) -> str:
        """
        The secret *name*, as its file says at this moment, else as the environment does.

        Raises SecretMissing where there is none; an empty one is none, for it would let anybody in.
        """
        return self._first(name, self._from_file, self._from_environment)

    def __contains__(self, name: str) -> bool:
        """Whether `get` has a value for *name*."""
        try:
            self.get(name)
        except SecretMissing:
            return False
        return True

    def reader(self, given: str | Mapping[str, str]) -> Callable[[], str]:
        """
        How to get what *given* stands for: a literal, `{env: NAME}` or `{file: NAME}`.

        The returned function reads at each call, and raises SecretMissing as `get` does.
        """
        match given:
            case str():
                self._on_read(given)
                return lambda: given
            case {"env": name}:
                return partial(self._first, name, self._from_environment)
        return partial(self._first, given["file"], self._from_file)

    def address_reader(self, given: str | Mapping[str, str]) -> Callable[[], str]:
        """As `reader`, for an address: the passwords in it are told alone too."""
        read = self.reader(given)

        def reading() -> str:
            address = read()
            for password in _passwords(address):
                self._on_read(password)
            return address

        return reading

    def _first(self, name: str, *sources: Callable[[str], str | None]) -> str:
        if not _SECRET_NAME.fullmatch(name):
            raise SecretMissing(
                f"{name!r} cannot name a secret: write letters, digits, `_`, `.` and `-`,"
                " a letter or `_` first"
            )
        for source in sources:
            if value := source(name):
                return self._tell(name, value)
        places = " and ".join(self._place(source, name) for source in sources)
        raise SecretMissing(f"the secret {name!r} is missing or empty; looked at {places}")

    def _place(self, source: Callable[[str], str | None], name: str) -> str:
        if source == self._from_environment:
            reserved = " (which is a setting, never a secret)" if name.startswith(RESERVED) else ""
            return f"the environment variable {name}{reserved}"
        return f"the file {self._dir / name}" if self._dir else "no file (there is no secrets_dir)"

    def _tell(self, name: str, value: str) -> str:
        if self._told.get(name) != value:
            self._on_read(value)
            self._told[name] = value
        return value

    def _from_environment(self, name: str) -> str | None:
        return None if name.startswith(RESERVED) else self._environ.get(name)

    def _from_file(self, name: str) -> str | None:
        if self._dir is None:
            return None
        kept = self._files.get(name)
        try:
            if kept is not None and kept.seen == _fingerprint(kept.path.stat()):
                return kept.value
            return self._read(name, self._dir / name)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(name, str(error.strerror)) from None

    def _read(self, name: str, path: Path) -> str:
        if not stat.S_ISREG(path.stat().st_mode):
            raise _unreadable(name, "it is not a regular file")
        # Kubernetes mounts a secret as a link to a link; both stay inside the folder.
        real = path.resolve(strict=True)
        if not real.is_relative_to(path.parent.resolve()):
            raise _unreadable(name, "it is a link out of the folder of the secrets")
        with real.open("rb") as file:
            status = os.fstat(file.fileno())
            value = _decode(name, file.read(_MAX_SECRET + 1))
        if time.time_ns() - status.st_mtime_ns > _SETTLED_NS:
            self._files[name] = _SecretFile(path, _fingerprint(status), value)
        return value


#: Between `:` and `@` as libraries read it that end a host at a `/` and such that do not, and in
#: the parameters that libpq reads.
_PASSWORDS: Final = (
    re.compile(r"://[^:/]*:([^/?#]*)@"),
    re.compile(r"://[^:/]*:([^@]*)@"),
    re.compile(r"[?&](?:ssl)?password=([^&]*)"),
)


def _passwords(address: str) -> set[str]:
    """What may be a password in *address*, as it stands there and as it is meant."""
    found = {each for pattern in _PASSWORDS for each in pattern.findall(address) if each}
    return found | {unquote(each) for each in found}


def _fingerprint(status: os.stat_result) -> _Fingerprint:
    return status.st_mtime_ns, status.st_ino, status.st_size


def _decode(name: str, content: bytes) -> str:
    if len(content) > _MAX_SECRET:
        raise _unreadable(name, "it is larger than 1 MiB")
    try:
        return content.decode().removesuffix("\n")
    except UnicodeDecodeError:
        # Python's own message shows bytes of the secret.
        raise _unreadable(name, "it is not UTF-8 text") from None


def _unreadable(name: str, why: str) -> SecretMissing:
    return SecretMissing(f"the file of the secret {name!r} cannot be read: {why}")
