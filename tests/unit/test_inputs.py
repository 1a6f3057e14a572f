"""What a manual start brings, against the fields that its flow asks for."""

from typing import Any

import pytest

from runner.errors import Forbidden, InvalidPayload
from runner.inputs import check_inputs, check_selection
from runner.model import InputField, Manual
from runner.types import JSONValue

GOOD: list[tuple[str, JSONValue]] = [
    ("string", ""), ("text", "x"), ("integer", -5), ("bigInteger", 10**30), ("bigInteger", "-12"),
    ("float", 1.5), ("float", 2), ("decimal", "12.50"), ("decimal", 1), ("boolean", False),
    ("json", [{}]), ("json", None), ("csv", "a,b"), ("csv", ["a"]), ("date", "2026-02-28"),
    ("time", "12:30"), ("time", "12:30:59.5"), ("dateTime", "2026-02-28T12:30:00"),
    ("timestamp", "2026-02-28T12:30:00Z"), ("timestamp", "2026-02-28T12:30:00+02:00"),
    ("uuid", "5a1a2c6e-9a53-4c58-8d5c-0d6f6a1c2b3d"),
]  # fmt: skip

BAD: list[tuple[str, JSONValue]] = [
    ("string", 5), ("text", ["x"]), ("integer", 1.5), ("integer", True), ("integer", "5"),
    ("bigInteger", "1.5"), ("bigInteger", "9" * 101), ("bigInteger", "٣"), ("float", "1.5"),
    ("float", True), ("decimal", "1e5"), ("decimal", ""), ("boolean", 1), ("boolean", "true"),
    ("csv", 5), ("date", "2026-02-30"), ("date", ""), ("date", 20260228), ("time", "25:00"),
    ("time", "noon"), ("dateTime", "yesterday"), ("timestamp", 0), ("uuid", "5a1a2c6e"),
    ("uuid", {}),
]  # fmt: skip


@pytest.mark.parametrize(("type_", "value"), GOOD)
def test_a_value_of_the_type_passes(type_: str, value: JSONValue) -> None:
    """It arrives as it was sent."""
    assert check_inputs([InputField(name="f", type=type_)], {"f": value}) == {"f": value}


@pytest.mark.parametrize(("type_", "value"), BAD)
def test_a_value_of_another_type_is_refused(type_: str, value: JSONValue) -> None:
    """With the name of the field and the type that it must be of."""
    with pytest.raises(InvalidPayload) as refusal:
        check_inputs([InputField(name="f", type=type_)], {"f": value})

    assert refusal.value.message == f'Invalid payload. "f" must be of type {type_}.'


def test_every_field_that_does_not_fit_is_named() -> None:
    """One answer tells the caller everything."""
    fields = [
        InputField(name="a", type="integer"),
        InputField(name="b", type="string", required=True),
        InputField(name="c", type="string", choices=("x", "y")),
    ]

    with pytest.raises(InvalidPayload) as refusal:
        check_inputs(fields, {"a": "1", "c": "z"})

    assert refusal.value.message == (
        'Invalid payload. "a" must be of type integer; "b" is required; "c" must be one of x, y.'
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [({}, {"days": 30}), ({"days": 5}, {"days": 5}), ({"days": None}, {"days": None})],
)
def test_a_default_stands_in_for_what_is_left_out(body: Any, expected: Any) -> None:
    """Null was said, and is not left out."""
    field = InputField(name="days", type="integer", default=30, has_default=True)

    assert check_inputs([field], body) == expected


def test_a_required_field_may_not_be_null() -> None:
    """Null is no value."""
    with pytest.raises(InvalidPayload, match='"days" is required'):
        check_inputs([InputField(name="days", type="integer", required=True)], {"days": None})


def test_several_choices_may_be_chosen_where_a_list_is_sent() -> None:
    """Each item of a `csv` or `json` list must be one of them."""
    field = InputField(name="tags", type="csv", choices=("a", "b"))

    assert check_inputs([field], {"tags": ["b", "a"]}) == {"tags": ["b", "a"]}
    with pytest.raises(InvalidPayload, match="must be one of a, b"):
        check_inputs([field], {"tags": ["a", "c"]})


@pytest.mark.parametrize(("choices", "value"), [((1,), True), ((0,), False), ((True,), 1)])
def test_a_choice_is_of_its_own_type(choices: Any, value: JSONValue) -> None:
    """True is not 1, though Python thinks so."""
    with pytest.raises(InvalidPayload):
        check_inputs([InputField(name="f", type="json", choices=choices)], {"f": value})


def test_members_that_no_field_describes_pass() -> None:
    """As in Directus: collection and keys are among them."""
    body = {"collection": "articles", "keys": [1], "more": {}}

    assert check_inputs([InputField(name="f", type="string")], body) == body


# --- what it is started for ---------------------------------------------------------------------


def manual(**more: Any) -> Manual:
    """A manual flow for articles."""
    return Manual(answer=lambda chain: None, **{"collections": ("articles",), **more})


def test_a_selection_names_its_collection() -> None:
    """The collection is given back, for whoever asks whether the caller may read it."""
    assert check_selection(manual(), {"collection": "articles", "keys": [1]}) == "articles"
    assert check_selection(manual(require_selection=False), {"collection": "articles"}) == (
        "articles"
    )


def test_a_flow_that_is_not_about_items_needs_no_selection() -> None:
    """Without `collections` nothing is asked for."""
    assert check_selection(manual(collections=None), {}) is None


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"collection": 5, "keys": [1]},
        {"collection": "users", "keys": [1]},
        {"collection": "articles"},
        {"collection": "articles", "keys": []},
        {"collection": "articles", "keys": "1"},
    ],
)
def test_what_the_flow_is_not_for_is_forbidden(body: Any) -> None:
    """The caller is told no more than that; the records know why."""
    with pytest.raises(Forbidden) as refusal:
        check_selection(manual(), body)

    assert refusal.value.reason
    assert refusal.value.reason not in refusal.value.message


def test_an_empty_list_of_collections_lets_nobody_start() -> None:
    """It is a list, and nothing is on it."""
    with pytest.raises(Forbidden):
        check_selection(manual(collections=()), {"collection": "articles", "keys": [1]})
