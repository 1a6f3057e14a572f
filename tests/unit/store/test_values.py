"""What is kept of a value is the value."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import Unwritable
from runner.model import Rejected, Resolved
from runner.store import rows, values
from runner.store.base import Step, WakeAt
from runner.types import JSONValue
from tests.unit.store.places import execution

JSON: st.SearchStrategy[JSONValue] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_a_value_is_read_as_it_was_written(value: JSONValue) -> None:
    """1 stays 1 and 1.0 stays 1.0, and -0.0 its sign."""
    read = values.unpack(values.pack(value, "it"))

    assert repr(read) == repr(value)


def test_a_value_may_be_nested_as_deep_as_can_be_written() -> None:
    """Deeper than what comes from outside: operations put things into each other."""
    value: JSONValue = []
    for _ in range(200):
        value = [value]

    assert values.unpack(values.pack(value, "it")) == value
    for _ in range(1000):
        value = [value]
    with pytest.raises(Unwritable, match=r"^it cannot be kept: "):
        values.pack(value, "it")


@given(JSON, st.none() | st.just({"user": "u", "roles": ["r"]}), st.floats(allow_nan=False))
def test_an_execution_is_read_as_it_was_accepted(
    data: JSONValue, who: dict[str, JSONValue] | None, due: float
) -> None:
    """Everything that a walk needs."""
    wanted = execution(data=data)._replace(accountability=who, due=due, parent_id="p", depth=3)

    assert rows.accepted(rows.row(wanted)) == wanted


@given(
    st.text(),
    st.integers(1, 100),
    JSON.map(Resolved) | JSON.map(Rejected) | st.integers(0, 2**40).map(WakeAt),
)
def test_a_step_is_read_as_it_was_recorded(
    path: str, attempt: int, outcome: Resolved | Rejected | WakeAt
) -> None:
    """Which of the three it was is a part of it."""
    wanted = Step(path, attempt, outcome)

    read = rows.step(rows.step_row(wanted))

    assert read == wanted
    assert type(read.outcome) is type(outcome)


def test_a_time_that_is_none_cannot_be_kept() -> None:
    """As JSON has no word for it."""
    with pytest.raises(Unwritable):
        rows.step_row(Step("first", 1, WakeAt(math.nan)))
