"""A value made from other values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.model import Status
from runner.types import JSONValue
from tests.world import World


@pytest.mark.parametrize(
    ("json", "expected"),
    [
        (5, 5),
        (None, None),
        ([], []),
        ({"a": {"b": "{{ $trigger.n }}"}}, {"a": {"b": 7}}),
        ({"{{ $trigger.n }}": 1}, {"{{ $trigger.n }}": 1}),
        ('{"n": {{ $trigger.n }} }', {"n": 7}),
        ('"text"', "text"),
        ("{{ $trigger }}", {"n": 7}),
        ("true", True),
    ],
)
async def test_a_value_is_rendered_and_text_is_read(
    world: World, json: JSONValue, expected: JSONValue
) -> None:
    """Strings inside a value are templates; a string as the whole is JSON once it is rendered."""
    assert await world.operate("transform", {"json": json}, {"n": 7}) == (
        Status.RESOLVED,
        expected,
    )


@pytest.mark.parametrize("json", ["", "text", "{'a': 1}", "[1,]", "NaN", '"\\ud800"'])
async def test_text_that_is_not_json_rejects(world: World, json: str) -> None:
    """The message says where it ends to be JSON."""
    result = await world.operate("transform", {"json": json})

    assert result.status is Status.REJECTED
    assert isinstance(result.value, dict)
    assert result.value["code"] == "INVALID_JSON"
    assert result.value["message"].startswith("option json is not JSON: ")


@given(st.recursive(st.none() | st.booleans() | st.integers(-5, 5), st.lists, max_leaves=5))
async def test_a_whole_value_passes_unchanged(value: JSONValue) -> None:
    """What a template alone in its string finds is what comes out."""
    result = await World().operate("transform", {"json": {"it": "{{ $trigger }}"}}, value)

    assert result == (Status.RESOLVED, {"it": value})
