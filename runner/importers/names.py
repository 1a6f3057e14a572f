"""What the files of imported flows are called."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Final

from runner.ids import is_uuid

#: Characters of a name: with four bytes each and its endings, file systems take it.
_LONGEST: Final = 50


class Names:
    """
    Gives every flow the file that it has already, else one of its name that is free.

    *taken* are names without ending, *owned* the file of each flow that has one, by the flow's id.
    """

    def __init__(self, taken: Iterable[str], owned: Mapping[str, str]) -> None:
        # Where some file systems see no difference, neither do we. The key `trigger` is reserved.
        self._taken = {"trigger", *(name.casefold() for name in taken)}
        self._owned = dict(owned)
        self._numbers: dict[str, int] = {}

    def file(self, id_: str, name: str) -> str:
        """The file of a flow, below the folder; asked once for each flow."""
        return self._owned.pop(id_, None) or f"{self._free(slug(name))}.yaml"

    def _free(self, name: str) -> str:
        free = name
        while free in self._taken or is_uuid(free):  # a key cannot look like an id
            self._numbers[name] = self._numbers.get(name, 1) + 1
            free = f"{name}-{self._numbers[name]}"
        self._taken.add(free)
        return free


def slug(name: str) -> str:
    """*name* as a file is called: lower-case words joined by dashes, Latin ones without accents."""
    bare = re.sub("['\u2019\u0300-\u036f]", "", unicodedata.normalize("NFKD", name.casefold()))
    words = re.sub(r"[\W_]+", "-", unicodedata.normalize("NFC", bare))
    return words.strip("-")[:_LONGEST].strip("-") or "flow"
