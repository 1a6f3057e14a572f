"""When schedules fire: what can be written, daylight saving, and what another reading says."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice, pairwise
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

from runner import cron
from runner.cron import NeverFires, Timetable
from runner.errors import Malformed

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "cron.json").read_text("utf-8")
)

#: What Directus answers, and we do not: `crontab(5)` knows two more names, and Directus finds out
#: only later that there is no such day.
OURS = {"@annually": True, "@midnight": True, "0 0 0 31 2 *": False}

BERLIN = "Europe/Berlin"
NEW_YORK = "America/New_York"
LORD_HOWE = "Australia/Lord_Howe"


def fires(expression: str, after: str, zone: str = "UTC", count: int = 3) -> list[str]:
    """The next fires after *after*, a local time in *zone*, as its clock shows them."""
    place = ZoneInfo(zone)
    moment, found = datetime.fromisoformat(after).replace(tzinfo=place), []
    for _ in range(count):
        moment = cron.next_fire(cron.parse(expression), moment, place)
        found.append(shown(moment.astimezone(place)))
    return found


def shown(local: datetime) -> str:
    """Day, time and offset, without the zeros at the end of the last two."""
    return f"{local:%m-%d %H:%M:%S}".removesuffix(":00") + f"{local:%z}".removesuffix("00")


# --- what can be written ------------------------------------------------------------------------


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(vector["cron"]))
def test_an_expression_is_valid_where_it_is_in_directus(vector: dict[str, Any]) -> None:
    """Recorded answers of its own code, less what differs on purpose."""
    expression = vector["cron"]

    try:
        cron.parse(expression)
        valid = True
    except Malformed:
        valid = False

    assert valid == OURS.get(expression, vector["valid"])


WRONG = {
    "5-1 * * * *": "ends before it begins",
    "0 22-2 * * *": "ends before it begins",
    "R * * * *": '"R" is no minute',
    "H * * * *": '"H" is no minute',
    "R(0-10) * * * *": "cannot be a minute",
    "0 0 15W * *": "cannot be a day of the month",
    "0 0 * * 5L": "cannot be a day of the week",
    "0 0 * * 5#2": "cannot be a day of the week",
    "0 0 ? * *": "cannot be a day of the month",
    "0-10~3 * * * *": "cannot be a minute",
    "*/0 * * * *": "step of zero",
    "0 0/0 * * *": "step of zero",
    "*-5 * * * *": "cannot be a minute",
    "1,,2 * * * *": "cannot be a minute",
    "0 0 * * 8": "the day of the week 8 does not exist",
    "0 0 * * MON-JAN": '"JAN" is no day of the week',
    "JAN 0 * * *": '"JAN" is no minute',
    "@every 5m": "@every is no name of a schedule",
    "@reboot": "@reboot is no name of a schedule",
    "\u0665 * * * *": "cannot be a minute",
    "99999 * * * *": "cannot be a minute",
    "0 0 1 1 * 2026 7": "five or six fields, not 7",
    "": "five or six fields, not none",
    " ": "five or six fields, not none",
}


@pytest.mark.parametrize("expression", WRONG)
def test_what_is_wrong_is_said_with_what_to_write(expression: str) -> None:
    """Among it all that croniter would take: random, hashed, last, nearest, wrapped."""
    with pytest.raises(Malformed) as raised:
        cron.parse(expression)

    assert WRONG[expression] in raised.value.message
    assert raised.value.hint


@given(st.text("0123456789*/,-@ \t#?~LWRHjansu\u0665\u017f", max_size=30) | st.text(max_size=30))
def test_any_text_is_a_schedule_or_told_what_is_wrong(text: str) -> None:
    """Whatever stands in a file, nothing worse comes of it; and what is a schedule fires."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    said = None
    try:
        fire = cron.next_fire(cron.parse(text), start, UTC)
    except Malformed as error:
        said = error.message

    assert fire > start if said is None else said.isprintable() and len(said) < 200


@pytest.mark.parametrize(
    "expression", ["0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "0 0 0 31 feb *", "0 0 30-31 2 */1"]
)
def test_a_day_that_does_not_exist_is_found_at_once(expression: str) -> None:
    """Not when the schedule is to be attached, or never."""
    with pytest.raises(NeverFires, match="never fires"):
        cron.parse(expression)


@pytest.mark.parametrize(
    ("expression", "first"),
    [
        ("0 0 29 2 *", "2028-02-29"),
        ("0 0 30 2,3 *", "2026-03-30"),
        ("0 0 30 2 1", "2026-02-02"),  # one of the two days is enough
        ("0 0 31 * *", "2026-01-31"),
    ],
)
def test_a_rare_day_is_a_day(expression: str, first: str) -> None:
    """What exists in some years, or by another field, is no mistake."""
    found = cron.next_fire(cron.parse(expression), datetime(2026, 1, 1, tzinfo=UTC), UTC)

    assert found.date().isoformat() == first


def test_a_leap_day_is_found_over_a_turn_of_the_century() -> None:
    """There is none in 2100, so it takes eight years."""
    found = cron.next_fire(cron.parse("0 0 29 2 *"), datetime(2096, 3, 1, tzinfo=UTC), UTC)

    assert found == datetime(2104, 2, 29, tzinfo=UTC)


EQUAL = {
    "5-5 * * * *": "5 * * * *",  # croniter 7: every minute
    "0 0 1-1 * *": "0 0 1 * *",  # croniter 7: every day
    "0 0 5-5/3 * *": "0 0 5 * *",
    "*/100 * * * *": "0 * * * *",
    "50/5 * * * *": "50,55 * * * *",
    "1-10/4 * * * *": "1,5,9 * * * *",
    "0 0 * * 7": "0 0 * * SUN",
    "0 0 * * 5-7": "0 0 * * 0,5,6",
    "0 0 * * 5/2": "0 0 * * 0,5",
    "0 0 * * 0-7": "0 0 * * *",
    "0 0 1-31 * 1": "0 0 * * 1",  # a field that leaves nothing out wants nothing
    "0 0 13 * 0-6": "0 0 13 * *",
    "0 0 * JAN-MAR *": "0 0 * 1,2,3 *",
    "00 09 * * 01-05": "0 9 * * 1-5",
    "@WEEKDAYS": "0 0 * * 1-5",
    " @daily ": "0 0 0 * * *",
    "@midnight": "@daily",
    "@annually": "0 0 1 1 *",
    "@weekends": "0 0 * * SAT,SUN",
    "@monthly": "0 0 1 * *",
    "@minutely": "* * * * *",
    "\t0  0   * * * ": "0 0 * * *",
}


@pytest.mark.parametrize("expression", EQUAL)
def test_two_ways_to_write_one_schedule(expression: str) -> None:
    """They fire at the same times."""
    start = "2026-01-10T12:00:00"

    assert fires(expression, start, count=10) == fires(EQUAL[expression], start, count=10)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("*/20 * * * * *", ["01-10 12:00:20+00", "01-10 12:00:40+00", "01-10 12:01+00"]),
        ("30 59 23 * * *", ["01-10 23:59:30+00", "01-11 23:59:30+00", "01-12 23:59:30+00"]),
        ("0 12 * * *", ["01-11 12:00+00", "01-12 12:00+00", "01-13 12:00+00"]),
        ("0 0 13 * 5", ["01-13 00:00+00", "01-16 00:00+00", "01-23 00:00+00"]),  # either
        ("0 0 */2 * 1", ["01-11 00:00+00", "01-12 00:00+00", "01-13 00:00+00"]),  # Debian: both
        ("0 0 * * 1,3", ["01-12 00:00+00", "01-14 00:00+00", "01-19 00:00+00"]),
        ("58,59 59 23 31 12 *", ["12-31 23:59:58+00", "12-31 23:59:59+00", "12-31 23:59:58+00"]),
    ],
)
def test_the_second_stands_first_and_days_are_either(expression: str, expected: list[str]) -> None:
    """As in Directus; five fields fire at second 0."""
    assert fires(expression, "2026-01-10T12:00:00") == expected


def test_what_is_left_of_a_second_is_no_reason_to_wait() -> None:
    """Strictly after, on whole seconds."""
    every = cron.parse("* * * * * *")
    half = datetime(2026, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)

    assert cron.next_fire(every, half, UTC) == datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert cron.next_fire(every, half.replace(microsecond=0), UTC).second == 1


# --- daylight saving ----------------------------------------------------------------------------

#: Expression, zone, local time to begin at, and what follows. Berlin skips 02:00 to 03:00 on
#: 2026-03-29, and has them twice on 2026-10-25; New York on 03-08, and 01:00 to 02:00 on 11-01.
DAYLIGHT = [
    # skipped: a fixed time fires once, right after
    ("30 2 * * *", BERLIN, "2026-03-28T12:00", ["03-29 03:00+02", "03-30 02:30+02"]),
    ("0,30 2 * * *", BERLIN, "2026-03-28T12:00", ["03-29 03:00+02", "03-30 02:00+02"]),
    ("0 2,3 * * *", BERLIN, "2026-03-28T12:00", ["03-29 03:00+02", "03-30 02:00+02"]),
    ("15 30 2 * * *", BERLIN, "2026-03-28T12:00", ["03-29 03:00+02", "03-30 02:30:15+02"]),
    ("30 2 * * *", NEW_YORK, "2026-03-07T12:00", ["03-08 03:00-04", "03-09 02:30-04"]),
    # skipped: what follows the clock does not happen
    ("*/30 * * * *", BERLIN, "2026-03-29T01:00", ["03-29 01:30+01", "03-29 03:00+02"]),
    ("0 */2 * * *", BERLIN, "2026-03-29T00:00", ["03-29 04:00+02", "03-29 06:00+02"]),
    ("*/20 2 * * *", BERLIN, "2026-03-28T12:00", ["03-30 02:00+02", "03-30 02:20+02"]),
    # twice: a fixed time fires the first time only
    ("30 2 * * *", BERLIN, "2026-10-24T12:00", ["10-25 02:30+02", "10-26 02:30+01"]),
    ("0 30 2 * * *", BERLIN, "2026-10-24T12:00", ["10-25 02:30+02", "10-26 02:30+01"]),
    ("30 1 * * *", NEW_YORK, "2026-10-31T12:00", ["11-01 01:30-04", "11-02 01:30-05"]),
    ("0 1,2 * * *", NEW_YORK, "2026-10-31T12:00", ["11-01 01:00-04", "11-01 02:00-05"]),
    ("30 1-3 * * *", NEW_YORK, "2026-11-01T00:00", ["11-01 01:30-04", "11-01 02:30-05"]),
    # twice: what follows the clock happens twice
    ("0 * * * *", BERLIN, "2026-10-25T01:30", ["10-25 02:00+02", "10-25 02:00+01"]),
    ("*/30 * * * *", BERLIN, "2026-10-25T02:00", ["10-25 02:30+02", "10-25 02:00+01"]),
    ("* 30 * * * *", BERLIN, "2026-10-25T02:30:58", ["10-25 02:30:59+02", "10-25 02:30+01"]),
    # half an hour only, which cronsim gets wrong
    ("*/20 * * * *", LORD_HOWE, "2026-10-04T01:40", ["10-04 02:40+11", "10-04 03:00+11"]),
    ("*/20 * * * *", LORD_HOWE, "2026-04-05T01:20", ["04-05 01:40+11", "04-05 01:40+1030"]),
    ("45 1 * * *", LORD_HOWE, "2026-04-04T12:00", ["04-05 01:45+11", "04-06 01:45+1030"]),
    ("10 2 * * *", LORD_HOWE, "2026-10-03T12:00", ["10-04 02:30+11", "10-05 02:10+11"]),
    # midnight itself
    ("0 0 * * *", "America/Havana", "2026-03-07T12:00", ["03-08 01:00-04", "03-09 00:00-04"]),
    ("@hourly", "America/Havana", "2026-03-07T22:30", ["03-07 23:00-05", "03-08 01:00-04"]),
]


@pytest.mark.parametrize(("expression", "zone", "after", "expected"), DAYLIGHT)
def test_daylight_saving_is_that_of_debians_cron(
    expression: str, zone: str, after: str, expected: list[str]
) -> None:
    """Fixed times fire once, whatever the clock does; the others follow it."""
    assert fires(expression, after, zone, 2) == expected


def test_the_second_pass_of_an_hour_is_not_the_first() -> None:
    """Asked while the clock shows 02:10 for the second time, 02:30 of the first is over."""
    place = ZoneInfo(BERLIN)
    second = datetime(2026, 10, 25, 2, 10, tzinfo=place, fold=1)

    fixed = cron.next_fire(cron.parse("30 2 * * *"), second, place).astimezone(place)
    wild = cron.next_fire(cron.parse("*/30 * * * *"), second, place).astimezone(place)

    assert fixed.isoformat() == "2026-10-26T02:30:00+01:00"
    assert wild.isoformat() == "2026-10-25T02:30:00+01:00"


# --- beside another reading ---------------------------------------------------------------------

#: Zones and a year in which their clocks are set, at midnight too, and by half an hour's offset.
CLOCKS = [
    (BERLIN, 2026),
    (NEW_YORK, 2026),
    ("America/Havana", 2026),
    ("America/St_Johns", 2026),
    ("America/Sao_Paulo", 2017),
    ("Africa/Cairo", 2026),
    ("Africa/Casablanca", 2026),
    ("Asia/Tehran", 2017),
    ("Australia/Sydney", 2026),
    ("Europe/Dublin", 2026),
    ("Pacific/Apia", 2017),
    ("UTC", 2026),
]


@cache
def transitions(zone: str, year: int) -> list[datetime]:
    """When the clocks of *zone* are set; where they never are, some moments all the same."""
    place, start = ZoneInfo(zone), datetime(year, 1, 1, tzinfo=UTC)
    times = [start + timedelta(minutes=30 * n) for n in range(366 * 48)]
    offsets = [each.astimezone(place).utcoffset() for each in times]
    found = [times[n] for n in range(1, len(times)) if offsets[n] != offsets[n - 1]]
    return found or [start, start + timedelta(days=180)]


def field(rng: Random, low: int, high: int, *, stars: bool = True) -> str:
    """
    One field of an expression that cronsim reads as we do.

    It reads `5-5/3` as `5/3`; everything else in which it differs is in the tests below.
    """
    kind = rng.choice(["star", "step", "list"] if stars else ["list"])
    if kind != "list":
        return "*" if kind == "star" else f"*/{rng.randint(1, high + 3)}"
    parts = []
    for _ in range(rng.randint(1, 3)):
        first = rng.randint(low, high - 1)
        last, step = rng.randint(first + 1, high), rng.randint(1, 7)
        parts.append(
            rng.choice([f"{first}", f"{first}-{last}", f"{first}-{last}/{step}", f"{first}/{step}"])
        )
    return ",".join(parts)


def days(rng: Random) -> tuple[str, str]:
    """
    Day of the month and of the week, restricted by one field at most.

    Or by two, of which none begins with `*` (Debian: then both must fit) or leaves nothing out
    (Debian: that is a restriction too).
    """
    kind = rng.choice(["any", "any", "month", "week", "either"])
    stars = kind != "either"
    day = field(rng, 1, 29, stars=stars) if kind in ("month", "either") else "*"
    weekday = field(rng, 0, 5, stars=stars) if kind in ("week", "either") else "*"
    free = cron.parse(f"0 0 {day} * {weekday}").days.split().count("*")
    return (day, weekday) if stars or free == 1 else days(rng)


def expression_of(rng: Random) -> str:
    """An expression that means the same to cronsim, which takes no time with a second for fixed."""
    minute, hour = field(rng, 0, 59), field(rng, 0, 23)
    day, weekday = days(rng)
    month = rng.choice(["*", "*", field(rng, 1, 12)])
    follows = minute.startswith("*") or hour.startswith("*")
    second = f"{field(rng, 0, 59)} " if follows and rng.random() < 0.5 else ""
    return f"{second}{minute} {hour} {day} {month} {weekday}"


def cases(clock: tuple[str, int], count: int) -> Iterator[tuple[str, datetime]]:
    """*count* expressions, each with moments up to 30 hours before every transition of a clock."""
    rng = Random(clock[0])
    for _ in range(count):
        expression = expression_of(rng)
        for transition in transitions(*clock):
            yield expression, transition - timedelta(minutes=rng.randint(1, 30 * 60))


def has_midnight(local: datetime) -> bool:
    """Whether the day of *local* begins with 00:00."""
    midnight = local.replace(hour=0, minute=0, second=0, fold=0)
    return midnight.astimezone(UTC).astimezone(local.tzinfo).hour == 0


@pytest.mark.parametrize("clock", CLOCKS)
def test_around_every_transition_cronsim_says_the_same(clock: tuple[str, int]) -> None:
    """
    Another program that claims Debian's rules: zero differences but the documented ones.

    1,200 expressions altogether, each at every transition of a zone.
    """
    place = ZoneInfo(clock[0])
    for expression, start in cases(clock, 100):
        mine = cron.parse(expression)
        ours = theirs = start
        for _ in range(5):
            ours = cron.next_fire(mine, ours, place)
            theirs = next(CronSim(expression, theirs.astimezone(place))).astimezone(UTC)
            days = [ours.astimezone(place), theirs.astimezone(place)]
            if mine.follows_clock and not all(map(has_midnight, days)):
                break  # cronsim begins every day at midnight, also where no clock shows that
            assert ours == theirs, (expression, start)


@pytest.mark.parametrize(
    ("expression", "zone", "after"),
    [
        ("0 0 */2 * 1", "UTC", "2026-01-10T12:00"),  # ours: either day; Debian: both
        ("0 0 13 * 0-6", "UTC", "2026-01-10T12:00"),  # ours: the 13th; Debian: either, so always
        ("0 0 5-5/3 * *", "UTC", "2026-01-10T12:00"),  # ours: the 5th; cronsim: from the 5th on
        ("0 30 2 * * *", BERLIN, "2026-10-25T02:30"),  # ours: fixed; cronsim: never with seconds
        ("0 */2 1 * 0", "America/Havana", "2026-03-07T12:00"),  # cronsim: at no midnight
        ("*/20 */15 * * *", LORD_HOWE, "2026-04-04T23:00"),  # cronsim steps by whole hours
    ],
)
def test_the_differences_that_are_documented_are_there(
    expression: str, zone: str, after: str
) -> None:
    """Should one of them be gone, the test above can be less careful."""
    place = ZoneInfo(zone)
    ours = theirs = datetime.fromisoformat(after).replace(tzinfo=place)
    mine = cron.parse(expression)
    pairs = []
    for _ in range(12):
        ours = cron.next_fire(mine, ours, place)
        theirs = next(CronSim(expression, theirs))
        pairs.append((ours, theirs.astimezone(UTC)))

    assert any(one != other for one, other in pairs)


@pytest.mark.parametrize("clock", CLOCKS)
def test_later_never_means_earlier(clock: tuple[str, int]) -> None:
    """Every fire is after the moment it was asked for, and a later question has no earlier one."""
    place = ZoneInfo(clock[0])
    for expression, start in cases(clock, 20):
        mine, later = cron.parse(expression), start + timedelta(minutes=len(expression) * 10)

        first, second = cron.next_fire(mine, start, place), cron.next_fire(mine, later, place)

        assert start < first <= second, (expression, start)
        assert later < second, (expression, start)


# --- timetables ---------------------------------------------------------------------------------


def timetable(*expressions: str, zone: str = "UTC") -> Timetable:
    """Several schedules in one zone."""
    return Timetable(tuple(map(cron.parse, expressions)), cron.time_zone(zone))


def test_several_expressions_are_one_timetable() -> None:
    """The earliest counts, and what two of them say fires once."""
    table = timetable("0 9 * * *", "0 */9 * * *")
    moment, found = datetime(2026, 1, 1, tzinfo=UTC), []
    for _ in range(4):
        moment = table.next(moment)
        found.append(moment.hour)

    assert found == [9, 18, 0, 9]
    assert str(table) == "0 9 * * *, 0 */9 * * * (UTC)"


@pytest.mark.parametrize("clock", CLOCKS)
def test_the_last_fire_is_the_one_that_nothing_follows(clock: tuple[str, int]) -> None:
    """Found by halving, over a transition, it is one that fires, and the next one is too late."""
    for expression, after in cases(clock, 20):
        table, until = timetable(expression, zone=clock[0]), after + timedelta(hours=31)

        last = table.last(after, until)

        first = table.next(after)
        assert (last is None) == (first > until), (expression, after)
        if last is not None:
            assert first <= last <= until < table.next(last), (expression, after)
            assert table.next(last - timedelta(seconds=1)) == last, (expression, after)


def test_the_last_fire_of_many_takes_few_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A schedule of every second that was away for a year does not hold up the others."""
    looks: list[datetime] = []
    look = cron.next_fire

    def counted(mine: cron.Cron, after: datetime, zone: ZoneInfo) -> datetime:
        looks.append(after)
        return look(mine, after, zone)

    monkeypatch.setattr(cron, "next_fire", counted)
    until = datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)

    last = timetable("* * * * * *").last(until - timedelta(days=365), until)

    assert last == until.replace(microsecond=0)
    assert len(looks) < 30


# --- zones --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "Europe/Berln", "CEST", "Europe", "", "/etc/passwd", "../UTC", "zone.tab", "UTC\0", "ü",
        "localtime", "Factory", "posix/UTC", "right/UTC", "posixrules", "x" * 300,
    ],
)  # fmt: skip
def test_what_is_no_zone_is_said(name: str) -> None:
    """Neither paths and folders are zones, nor what only this machine calls one."""
    with pytest.raises(Malformed):
        cron.time_zone(name)


def run(code: str, **environ: str) -> str:
    """What a process of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(Path(__file__).parents[2]), **environ},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_zones_are_there_where_the_system_has_none() -> None:
    """A container of nothing but Python has the package `tzdata`."""
    code = "from runner import cron; print(cron.time_zone('Europe/Berlin').key)"

    assert run(code, PYTHONTZPATH="") == "Europe/Berlin"


@pytest.mark.parametrize(("expression", "loaded"), [("30 2 * * *", False), ("@weekly", True)])
def test_croniter_is_loaded_for_days_only(expression: str, *, loaded: bool) -> None:
    """A daemon whose schedules are for every day never pays for it."""
    code = f"""
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from runner import cron
cron.next_fire(cron.parse({expression!r}), datetime.now(UTC), UTC)
print("croniter" in sys.modules)
"""
    assert run(code) == str(loaded)


def test_fires_go_on() -> None:
    """A hundred thousand seconds of the finest schedule, in order and without a gap."""

    def every() -> Any:
        moment = datetime(2026, 10, 24, 22, tzinfo=UTC)
        while True:
            moment = cron.next_fire(cron.parse("* * * * * *"), moment, ZoneInfo(BERLIN))
            yield moment

    found = list(islice(every(), 20_000))

    assert {b - a for a, b in pairwise(found)} == {timedelta(seconds=1)}
