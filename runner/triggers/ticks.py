"""How far each schedule has got, kept over restarts."""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple, Protocol

#: A hundred bytes a schedule: no file of ours is larger.
_MAX_BYTES: Final = 64 << 20


class Tick(NamedTuple):
    """How far one schedule has got."""

    #: By which it fires; with another one it begins anew.
    timetable: str
    #: What fires until then, this moment included, is dealt with.
    until: datetime


class Ticks(Protocol):
    """Keeps a tick for each flow, by the flow's id."""

    def load(self) -> Mapping[str, Tick]:
        """Those that were saved last. Raises OSError, and ValueError for what nobody can read."""

    def save(self, ticks: Mapping[str, Tick]) -> None:
        """Keep *ticks* and nothing else. Raises OSError."""


class FileTicks:
    """
    Keeps ticks in a JSON file, which is replaced whole; with None, keeps nothing.

    Nothing waits for the disk itself to have it: what the power takes is fired once more, and has
    the same execution id again.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file

    def load(self) -> Mapping[str, Tick]:
        """Those of the file; none where there is no file yet."""
        if self._file is None:
            return {}
        try:
            with self._file.open("rb") as opened:
                data = json.loads(opened.read(_MAX_BYTES))
            return {id_: _tick(*each) for id_, each in data.items()}
        except FileNotFoundError:
            return {}
        except (TypeError, AttributeError) as error:  # JSON, but not ours
            raise ValueError(str(error)) from None

    def save(self, ticks: Mapping[str, Tick]) -> None:
        """Put a new file in the place of the one before."""
        if self._file is None:
            return
        data = {id_: [each.timetable, each.until.isoformat()] for id_, each in ticks.items()}
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = self._file.with_suffix(".tmp")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(temporary, flags, 0o600), "w") as opened:
            json.dump(data, opened)
        temporary.replace(self._file)


def _tick(timetable: str, until: str) -> Tick:
    return Tick(str(timetable), datetime.fromisoformat(until).astimezone(UTC))
