"""JSON as the package reads and writes it."""

import contextlib
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import jsontext
from runner.types import JSONValue

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)


@given(json_values)
def test_what_is_written_is_read_again(value: Any) -> None:
    """Writing and reading gives the same value, with the same types."""
    again = jsontext.parse(jsontext.write(value))

    assert again == value
    assert json.dumps(again) == json.dumps(value)


@given(st.text() | st.binary())
def test_no_text_does_worse_than_a_sentence(text: str | bytes) -> None:
    """Anything is a value or a ValueError."""
    with contextlib.suppress(ValueError):
        jsontext.parse(text)


@pytest.mark.parametrize(
    "text",
    ["", "NaN", "[Infinity]", "{'a': 1}", "[1,]", "01", '"\\ud800"', b'"\xff"', "nul", "1 2"],
)
def test_what_json_does_not_allow_is_refused(text: str | bytes) -> None:
    """RFC 8259 and no more, with the place where it ends to be JSON."""
    with pytest.raises(ValueError, match="line 1, column"):
        jsontext.parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("18446744073709551615", 18446744073709551615),
        ("18446744073709551616", 18446744073709551616.0),
        ("-9223372036854775809", -9223372036854775809.0),
        ("1e400", None),
    ],
)
def test_integers_beyond_64_bits_become_floats(text: str, expected: float | None) -> None:
    """As in JavaScript; what is too large for that is refused."""
    if expected is None:
        with pytest.raises(ValueError, match="number"):
            jsontext.parse(text)
    else:
        assert jsontext.parse(text) == expected
        assert type(jsontext.parse(text)) is type(expected)


@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_depth_is_limited(brackets: str) -> None:
    """So many levels and no more, in lists and objects, as text and as bytes."""
    opening = brackets[0] if brackets == "[]" else '{"a":'

    def nested(depth: int) -> str:
        return opening * (depth - 1) + brackets + brackets[1] * (depth - 1)

    jsontext.parse(nested(5), max_depth=5)
    for text in (nested(6), nested(6).encode(), nested(100_000)):
        with pytest.raises(ValueError, match="nested deeper than 5"):
            jsontext.parse(text, max_depth=5)


def test_wide_is_not_deep() -> None:
    """A thousand brackets beside each other are no depth."""
    assert jsontext.parse("[" + "[]," * 999 + "[]]", max_depth=2) == [[]] * 1000


@pytest.mark.parametrize("value", [object(), {1: 2}, "\ud800", 2**64, {"a": {1, 2}}])
def test_what_json_cannot_say_is_not_written(value: Any) -> None:
    """A sentence, not a crash deep inside a library."""
    with pytest.raises(ValueError, match="cannot be written as JSON"):
        jsontext.write(value)


def test_what_is_not_a_number_is_null() -> None:
    """Floats that JSON does not have are written as JavaScript writes them."""
    assert jsontext.write([math.nan, math.inf]) == b"[null,null]"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("as it is", "as it is"), ({"a": [1, None]}, '{"a":[1,null]}'), (1, "1")],
)
def test_text_stays_and_all_else_becomes_json(value: Any, expected: str) -> None:
    """What is said to people has no quotes around it."""
    assert jsontext.as_text(value) == expected


def test_a_value_that_never_ends_is_not_written_as_text() -> None:
    """Sixty pairs of pairs are a few kilobytes in memory, and more than there is on paper."""
    value: JSONValue = "x"
    for _ in range(60):
        value = [value, value]

    with pytest.raises(ValueError, match="too large to be written as text"):
        jsontext.as_text(value)
