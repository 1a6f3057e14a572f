"""
When a schedule fires: cron expressions, time zones, daylight saving.

Expressions are those of Directus (npm's `cron`): five fields, or six with the second first, names,
and presets. We read them ourselves, as libraries take more than that: croniter 7 takes `5-5` for
`*`, and `R` for a time that is another one at every start. Afterwards croniter says which days
fit, and the time of the day follows from three sorted lists: finding that with croniter as well
would take ten times as long.

Days are wanted as Directus wants them: a field that leaves no value out wants nothing, and where
both the day of the month and the day of the week want something, one of them is enough. For
Debian's cron `*/2` wants nothing, for Directus and here it does.

Daylight saving is that of Debian's cron (cron(8)). A job whose minute or hour begins with `*`
follows the clock: what is skipped does not happen, what comes twice happens twice. Any other one
has a fixed time: when that is skipped it fires once right after, when it comes twice only the
first time counts.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from itertools import chain
from types import MappingProxyType
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from runner.errors import Malformed
from runner.mistakes import shown

_SECOND: Final = timedelta(seconds=1)
_MINUTE: Final = timedelta(minutes=1)
_DAY: Final = timedelta(days=1)


class NeverFires(Malformed):
    """No day fits this schedule."""


# --- expressions --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cron:
    """One expression, understood."""

    #: As it was written.
    text: str
    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    #: Day of the month, month and day of the week, as croniter reads them.
    days: str
    #: The minute or the hour begins with `*`.
    follows_clock: bool


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    #: How many values there are: a week has one less, as 0 and 7 are both Sunday.
    size: int
    names: Mapping[str, int] = MappingProxyType({})


def _named(words: str, first: int) -> Mapping[str, int]:
    return {word: number for number, word in enumerate(words.split(), first)}


_FIELDS: Final = (
    _Field("second", 0, 59, 60),
    _Field("minute", 0, 59, 60),
    _Field("hour", 0, 23, 24),
    _Field("day of the month", 1, 31, 31),
    _Field("month", 1, 12, 12, _named("jan feb mar apr may jun jul aug sep oct nov dec", 1)),
    _Field("day of the week", 0, 7, 7, _named("sun mon tue wed thu fri sat", 0)),
)
_WEEKDAY: Final = _FIELDS[-1]

#: The longest that each month can be.
_LONGEST: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

_PRESETS: Final = {
    "@secondly": "* * * * * *",
    "@minutely": "0 * * * * *",
    "@hourly": "0 0 * * * *",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@weekly": "0 0 0 * * 0",
    "@weekdays": "0 0 0 * * 1-5",
    "@weekends": "0 0 0 * * 0,6",
    "@monthly": "0 0 0 1 * *",
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
}

_PART: Final = re.compile(
    r"(?:\*|([0-9]{1,4}|[a-z]+)(?:-([0-9]{1,4}|[a-z]+))?)(?:/([0-9]{1,4}))?",
    re.ASCII | re.IGNORECASE,
)


@lru_cache(maxsize=4096)  # thousands of schedules are written in the same few ways
def parse(text: str) -> Cron:
    """
    Understand a cron expression.

    Raises Malformed with what is wrong and what to write instead, NeverFires for a day that does
    not exist, such as the 30th of February.
    """
    fields = _fields(text)
    values = [_values(field, said) for field, said in zip(_FIELDS, fields, strict=True)]
    _check_days(*values[3:])
    return Cron(
        text=" ".join(text.split()),
        seconds=values[0],
        minutes=values[1],
        hours=values[2],
        days=" ".join(_written(*each) for each in zip(_FIELDS[3:], values[3:], strict=True)),
        follows_clock=fields[1].startswith("*") or fields[2].startswith("*"),
    )


def _fields(text: str) -> list[str]:
    """The six fields of an expression; a second that is not said is 0."""
    fields = _PRESETS.get(text.strip().lower(), text).split()
    if fields and fields[0].startswith("@"):
        hint = f"known: {', '.join(_PRESETS)}"
        raise Malformed(f"{shown(fields[0])} is no name of a schedule", hint=hint)
    if len(fields) not in (5, 6):
        hint = "write minute, hour, day, month and weekday, such as 30 2 * * *; a second may stand"
        message = f"a schedule has five or six fields, not {len(fields) or 'none'}"
        raise Malformed(message, hint=f"{hint} first")
    return fields if len(fields) == 6 else ["0", *fields]


def _values(field: _Field, said: str) -> tuple[int, ...]:
    """All values that one field wants, sorted."""
    values = chain.from_iterable(_part(field, part) for part in said.split(","))
    return tuple(sorted({value % 7 if field is _WEEKDAY else value for value in values}))


def _part(field: _Field, part: str) -> range:
    match = _PART.fullmatch(part)
    if match is None:
        hint = "write a number, a range such as 1-5, a list such as 1,3, a step such as */5, or *"
        raise Malformed(f'"{shown(part)}" cannot be a {field.name}', hint=hint)
    first, last, step = match.groups()
    if step is not None and int(step) == 0:
        raise Malformed(f'"{part}" has a step of zero', hint="leave the step out for every value")
    low = field.low if first is None else _number(field, first)
    high = low if first is not None and step is None else field.high
    if last is not None:
        high = _number(field, last)
    if high < low:
        hint = f"write two of them: {low}-{field.high},{field.low}-{high}"
        raise Malformed(f'the range "{part}" ends before it begins', hint=hint)
    return range(low, high + 1, int(step or 1))


def _number(field: _Field, word: str) -> int:
    number = int(word) if word.isdecimal() else field.names.get(word.lower())
    if number is None:
        hint = f"known: {', '.join(field.names)}" if field.names else "write a number"
        raise Malformed(f'"{shown(word)}" is no {field.name}', hint=hint)
    if not field.low <= number <= field.high:
        hint = f"write {field.low} to {field.high}"
        raise Malformed(f"the {field.name} {number} does not exist", hint=hint)
    return number


def _check_days(days: tuple[int, ...], months: tuple[int, ...], weekdays: tuple[int, ...]) -> None:
    """A day of the week comes in every month; a day of the month may not come in any."""
    longest = max(_LONGEST[month - 1] for month in months)
    if len(weekdays) == _WEEKDAY.size and min(days) > longest:
        message = f"this schedule never fires: none of its months has a day {min(days)}"
        raise NeverFires(message, hint=f"the longest has {longest} days")


def _written(field: _Field, values: tuple[int, ...]) -> str:
    return "*" if len(values) == field.size else ",".join(map(str, values))


# --- the clock on the wall ----------------------------------------------------------------------


def _next_wall(cron: Cron, wall: datetime) -> datetime:
    """The first time after *wall* that fits, both without a zone: no clock is ever changed."""
    day = _first_day(cron.days, wall.date())
    later = _next_time(cron, wall.time()) if day == wall.date() else _first_time(cron)
    if later is None:
        day, later = _first_day(cron.days, wall.date() + _DAY), _first_time(cron)
    return datetime.combine(day, later)


@lru_cache(maxsize=4096)  # thousands of schedules want the same few days
def _first_day(days: str, since: date) -> date:
    """The first day that fits, *since* included."""
    if days == "* * *":
        return since
    # Lazy: it takes 60 ms to import, and a daemon without schedules never needs it.
    from croniter import croniter  # noqa: PLC0415

    before = datetime.combine(since, time()) - _SECOND
    found: datetime = croniter(f"0 0 {days}", before).get_next(datetime)
    return found.date()


def _first_time(cron: Cron) -> time:
    return time(cron.hours[0], cron.minutes[0], cron.seconds[0])


def _next_time(cron: Cron, now: time) -> time | None:
    """The first time of a day after *now* that fits."""
    if now.hour in cron.hours:
        if now.minute in cron.minutes and (second := _above(cron.seconds, now.second)) is not None:
            return time(now.hour, now.minute, second)
        if (minute := _above(cron.minutes, now.minute)) is not None:
            return time(now.hour, minute, cron.seconds[0])
    hour = _above(cron.hours, now.hour)
    return None if hour is None else time(hour, cron.minutes[0], cron.seconds[0])


def _above(values: tuple[int, ...], value: int) -> int | None:
    return next((each for each in values if each > value), None)


# --- what that means in a zone ------------------------------------------------------------------


def time_zone(name: str) -> ZoneInfo:
    """
    The time zone of this name, such as `Europe/Berlin`.

    Raises Malformed. `localtime` and what else a machine adds to the names of IANA is refused: it
    means something else elsewhere.
    """
    if name.startswith(("posix", "right/")) or name in ("localtime", "Factory"):
        raise Malformed("only names of IANA mean the same everywhere")
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, a path, a folder
        raise Malformed(f'there is no time zone "{shown(name)}"') from None


def next_fire(cron: Cron, after: datetime, zone: tzinfo) -> datetime:
    """The first moment after *after*, which has a zone, at which *cron* fires; in UTC."""
    after = after.astimezone(UTC)
    return _following(cron, after, zone) if cron.follows_clock else _fixed(cron, after, zone)


def _fixed(cron: Cron, after: datetime, zone: tzinfo) -> datetime:
    wall = _wall(after, zone)
    while True:
        wall = _next_wall(cron, wall)
        moment = _first_shown(wall, zone)
        if moment > after:
            return moment


def _first_shown(wall: datetime, zone: tzinfo) -> datetime:
    """When the clock first shows *wall*; where that is skipped, when it goes on."""
    while _wall(moment := _moment(wall, zone), zone) != wall:
        wall = wall.replace(second=0) + _MINUTE
    return moment


def _following(cron: Cron, after: datetime, zone: tzinfo) -> datetime:
    wall, local = _wall(after, zone), after.astimezone(zone)
    first = _next_shown(cron, wall, after, zone)
    # Zero, unless the clock is about to be set back by so much, to show this time once more.
    back = _offset(local) - _offset(local.replace(fold=1))
    if not back or first - after < back:
        return first
    return min(first, _next_shown(cron, wall - back, after, zone))


def _next_shown(cron: Cron, wall: datetime, after: datetime, zone: tzinfo) -> datetime:
    """When, after *after*, the clock first shows what fits and comes behind *wall*."""
    while True:
        wall = _next_wall(cron, wall)
        for fold in (0, 1):
            moment = _moment(wall, zone, fold)
            if moment > after and _wall(moment, zone) == wall:
                return moment


def _moment(wall: datetime, zone: tzinfo, fold: int = 0) -> datetime:
    return wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)


def _wall(moment: datetime, zone: tzinfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def _offset(local: datetime) -> timedelta:
    return local.utcoffset() or timedelta()


# --- several expressions in one zone ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Timetable:
    """Fires whenever one of its expressions does, and once where several do."""

    crons: tuple[Cron, ...]
    zone: ZoneInfo

    def next(self, after: datetime) -> datetime:
        """The first fire after *after*, in UTC."""
        return min(next_fire(cron, after, self.zone) for cron in self.crons)

    def last(self, after: datetime, until: datetime) -> datetime | None:
        """
        The last fire after *after* and not after *until*, in UTC.

        However many there are: among those of a year it takes 25 looks.
        """
        low, high = self.next(after), until
        if low > high:
            return None
        while low < high:  # low fires; nothing does between high and until
            middle = low + (high - low) // _SECOND // 2 * _SECOND
            fire = self.next(middle)
            if fire <= high:
                low = fire
            else:
                high = middle
        return low

    def __str__(self) -> str:
        return f"{', '.join(cron.text for cron in self.crons)} ({self.zone.key})"
