"""Durations and sizes as people write them."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import schema
from runner.units import parse_duration, parse_size

SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
BYTES = {"": 1, "B": 1, "KB": 10**3, "KiB": 2**10, "MB": 10**6, "MiB": 2**20, "GiB": 2**30}


@given(number=st.integers(0, 10**9 - 1), unit=st.sampled_from(sorted(SECONDS)))
def test_duration_is_its_number_times_its_unit(number: int, unit: str) -> None:
    """Whole numbers of milliseconds come out as the nearest float there is."""
    assert parse_duration(f"{number}{unit}") == pytest.approx(number * SECONDS[unit], rel=1e-15)


@given(number=st.integers(0, 10**12 - 1), unit=st.sampled_from(sorted(BYTES)))
def test_size_is_its_number_times_its_unit(number: int, unit: str) -> None:
    """Sizes are exact."""
    assert parse_size(f"{number}{unit}") == number * BYTES[unit]


def means_something(parse: Callable[[str], float], text: str) -> bool:
    """Whether *parse* takes *text*."""
    try:
        return parse(text) >= 0
    except ValueError:
        return False


@given(text=st.text() | st.from_regex(r"[0-9.]{0,12}[A-Za-z]{0,3}\n?", fullmatch=True))
def test_schema_and_parsers_agree_on_every_text(text: str) -> None:
    """What an editor lets through the daemon takes, and the other way round."""
    for parse, name in ((parse_duration, "duration"), (parse_size, "size")):
        fits = schema.value_check(schema.load("settings")["$defs"][name])(text) is None

        assert fits == means_something(parse, text)


@pytest.mark.parametrize("text", ["200ms", "5s", "2m", "1h", "30d", "1.5s"])
def test_durations_as_people_write_them(text: str) -> None:
    """Each unit once, and a fraction."""
    assert parse_duration(text) > 0


@pytest.mark.parametrize(
    "text", ["", "5", "s", "5 s", "-5s", "5S", "1h30m", "1e3s", "5s\n", "\u0665s"]
)
def test_what_is_no_duration_is_told_what_one_looks_like(text: str) -> None:
    """The message has examples."""
    with pytest.raises(ValueError, match="such as 200ms, 5s"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["", "KiB", "1 KiB", "-1", "1.5MiB", "1mb", "1M", "1\n", "\u0665"])
def test_what_is_no_size_is_told_what_one_looks_like(text: str) -> None:
    """The message has examples."""
    with pytest.raises(ValueError, match="such as 512KiB"):
        parse_size(text)
