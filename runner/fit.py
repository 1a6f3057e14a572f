"""Make any value fit into a record: valid JSON, of bounded size, in bounded time."""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from itertools import islice
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

import orjson

from runner.types import JSONObject, JSONValue

CUT: Final = "…"
"""Ends a text that was shortened, and stands for a value that was left out."""

MAX_DEPTH: Final = 100
"""Levels of a value that are copied; JSON from outside may not be deeper either."""

#: What every part may have before the largest are shortened, in bytes.
_GRAIN: Final = 256
#: What a number or another small value is taken to cost, in bytes.
_SMALL: Final = 8
_MAX_KEY: Final = 200

_SCALARS: Final = frozenset((bool, int, type(None)))
_TEXTUAL: Final = (datetime, date, time, UUID, PurePath, Decimal)


def is_small(value: object, room: int) -> bool:
    """
    Whether *value* is plain JSON of roughly at most *room* bytes, found out in so many steps.

    A value whose parts share what they hold can be small in memory and endless when it is written
    out, and a serializer that began cannot be stopped. Says False for NaN, infinities, and every
    type that JSON does not have; does not look into texts and at the size of integers.
    """
    todo: list[Any] = [value]
    for item in todo:  # it grows while we read it
        kind = type(item)
        if kind is str:
            room -= len(item)
        elif kind is dict:
            room -= _SMALL * len(item)
            if room < 0:
                return False
            todo += item
            todo += item.values()
        elif kind is list:
            room -= len(item)
            if room < 0:
                return False
            todo += item
        elif kind is float:
            if item - item:  # not 0 of NaN and of infinities
                return False
        elif kind not in _SCALARS:
            return False
    return room >= 0


def well_formed(text: str) -> str:
    """*text*, with U+FFFD where it has half a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


# --- anything → JSON ----------------------------------------------------------------------------


def copy(
    source: Mapping[str, object], room: int, beginning: Callable[[str, int], str]
) -> tuple[JSONObject, list[str]]:
    """
    *source* as JSON of about *room* bytes at most, and the dotted paths of what was shortened.

    It takes about as many steps as bytes: the parts of a value share its room evenly, and what
    one leaves over goes to the next. *beginning* gives at most so many characters of a text.
    NaN and infinities become null; integers beyond 64 bits, dates, UUIDs and paths become text;
    of an exception name and message remain; of what else JSON cannot say, the name of its type.
    """
    copier = _Copier(beginning)
    return copier.members(source, room, ())[0], copier.lost


class _Copier:
    def __init__(self, beginning: Callable[[str, int], str]) -> None:
        self._beginning = beginning
        self.lost: list[str] = []

    def _copy(self, value: object, room: int, at: tuple[str, ...]) -> tuple[JSONValue, int]:
        """The copy and what it took of the room."""
        if isinstance(value, str):
            return self._text(value, room, at)
        if value is None or isinstance(value, bool | int | float):
            return _number(value), _SMALL
        if isinstance(value, Enum):
            return self._copy(value.value, room, at)
        if isinstance(value, BaseException):
            value = {"name": type(value).__name__, "message": str(value)}
        if isinstance(value, Mapping | list | tuple | set | frozenset):
            if room < _SMALL or len(at) > MAX_DEPTH:
                self._lose(at)
                return CUT, _SMALL
            if isinstance(value, Mapping):
                return self.members(value, room, at)
            return self._items(value, room, at)
        text = str(value) if isinstance(value, _TEXTUAL) else f"<{type(value).__name__}>"
        return self._text(text, room, at)

    def _text(self, text: str, room: int, at: tuple[str, ...]) -> tuple[str, int]:
        if len(text) <= room:
            return well_formed(text), len(text) + 2
        self._lose(at)
        # Cutting means looking for secrets around the cut: not for a handful of characters.
        kept = self._beginning(text, room) if room >= _GRAIN else ""
        return well_formed(kept) + CUT, max(room, _SMALL)

    def _items(
        self, items: Iterable[object], room: int, at: tuple[str, ...]
    ) -> tuple[list[JSONValue], int]:
        total = len(items)  # type: ignore[arg-type]
        kept = min(total, max(room, 0) // _SMALL)
        if kept < total:
            self._lose(at)
        copy = []
        left = room
        for index, item in enumerate(islice(items, kept)):
            value, cost = self._copy(item, left // (kept - index), (*at, str(index)))
            copy.append(value)
            left -= cost
        return copy, room - left + 2

    def members(
        self, source: Mapping[Any, object], room: int, at: tuple[str, ...]
    ) -> tuple[dict[str, JSONValue], int]:
        kept = min(len(source), max(room, 0) // _SMALL)
        if kept < len(source):
            self._lose(at)
        copy: dict[str, JSONValue] = {}
        left = room
        for index, (name, item) in enumerate(islice(source.items(), kept)):
            key = self._key(name, at)
            share = left // (kept - index) - len(key)
            copy[key], cost = self._copy(item, share, (*at, key))
            left -= cost + len(key)
        return copy, room - left + 2

    def _key(self, name: object, at: tuple[str, ...]) -> str:
        if name is None or isinstance(name, bool | int | float):
            return orjson.dumps(_number(name)).decode().strip('"')
        if not isinstance(name, str):
            return f"<{type(name).__name__}>"
        if len(name) <= _MAX_KEY:
            return well_formed(name)
        key = well_formed(self._beginning(name, _MAX_KEY)) + CUT
        self._lose((*at, key))
        return key

    def _lose(self, at: tuple[str, ...]) -> None:
        self.lost.append(".".join(at))


def _number(value: Any) -> JSONValue:
    """What JSON says for null, true, false and a number."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if -(2**63) <= value < 2**64:
        return int(value)
    # Python refuses to write out thousands of digits, and nobody wants to read them.
    bits = value.bit_length()
    return str(value) if bits < 4096 else f"<int of {bits} bits>"


# --- JSON → shorter JSON ------------------------------------------------------------------------


def shorten(source: JSONObject, room: int) -> tuple[JSONObject, list[str]]:
    """
    *source* in at most *room* bytes of compact JSON, and the dotted paths of what was shortened.

    The largest parts give way. *room* is at least two bytes.
    """
    lost: list[str] = []
    short: JSONObject = _shorten(source, room, (), lost)
    return short, lost


def size(value: JSONValue) -> int:
    """Bytes of *value* as compact JSON."""
    return len(orjson.dumps(value))


def _shorten(value: Any, room: int, at: tuple[str, ...], lost: list[str]) -> Any:
    if size(value) <= room:
        return value
    if not isinstance(value, dict | list):
        lost.append(".".join(at))
        return _shorten_text(value, room)
    names = list(value) if isinstance(value, dict) else [str(each) for each in range(len(value))]
    parts = list(value.values()) if isinstance(value, dict) else value
    frame = [size(name) + 2 if isinstance(value, dict) else 1 for name in names]
    shares = _shares(frame, [size(part) for part in parts], room - 2)
    if len(shares) < len(parts):
        lost.append(".".join(at))
    short = [
        _shorten(part, share, (*at, name), lost)
        for name, part, share in zip(names, parts, shares, strict=False)
    ]
    return dict(zip(names, short, strict=False)) if isinstance(value, dict) else short


def _shorten_text(text: str, room: int) -> str:
    # Characters take one to six bytes each: look for the last that fits.
    room -= size(CUT)
    fitting = bisect_right(range(len(text)), room, key=lambda length: size(text[:length]) - 2)
    return text[: max(fitting - 1, 0)] + CUT


def _shares(frame: list[int], sizes: list[int], room: int) -> list[int]:
    """
    What each part may take, of as many from the front as there is sensible room for.

    *frame* is what a part takes besides. Small parts get what they take; the large ones share
    the rest evenly.
    """
    kept = 0
    for extra, each in zip(frame, sizes, strict=True):
        if room < extra + min(each, _GRAIN):
            break
        room -= extra + min(each, _GRAIN)
        kept += 1
    room += sum(min(each, _GRAIN) for each in sizes[:kept])
    level = 0
    for done, each in enumerate(sorted(sizes[:kept])):
        level = room // (kept - done)
        if each > level:
            break
        room -= each
    return [min(each, level) for each in sizes[:kept]]
