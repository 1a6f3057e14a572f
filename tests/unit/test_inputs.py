"""What a manual start brings, against the fields that its flow asks for."""

from typing import Any

import pytest

from runner import inputs
from runner.errors import Forbidden, InvalidPayload, Malformed
from runner.inputs import check_inputs, check_selection
from runner.model import InputField, Manual
from runner.types import JSONObject, JSONValue, Path

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


# --- as the file says them ----------------------------------------------------------------------


def test_a_field_is_text_that_may_be_left_out() -> None:
    """Unless it says otherwise."""
    assert inputs.compile({"field": "why"}) == InputField(name="why", type="string")


@pytest.mark.parametrize("type_", ["integer", "date", "csv", "json", "boolean"])
def test_a_default_of_null_is_no_value_and_fits_every_type(type_: str) -> None:
    """Whoever leaves the field out then says null."""
    field = inputs.compile({"field": "f", "type": type_, "default": None})

    assert (field.has_default, field.default) == (True, None)


@pytest.mark.parametrize(
    ("meta", "choices"),
    [
        (None, ()),
        ({"options": None}, ()),
        ({"options": {"choices": None}}, ()),
        ({"options": {"choices": [{"text": "S", "value": "s"}, {"text": "M", "value": 5}]}},
         ("s", 5)),
        ({"options": {"choices": ["s", "m"]}}, ("s", "m")),
        ({"options": {"choices": [{"value": "s"}], "allowOther": True}}, ()),
        ({"options": {"choices": [{"text": "G", "children": [{"text": "A", "value": "a"}]},
                                  {"text": "B", "value": "b"}]}}, ("a", "b")),
    ],
)  # fmt: skip
def test_the_choices_of_directus_form_count(meta: Any, choices: tuple[JSONValue, ...]) -> None:
    """Those with children are groups; where others may be typed in, any value will do."""
    assert inputs.compile({"field": "f", "meta": meta}).choices == choices


def test_own_choices_come_first() -> None:
    """What the file says itself is not mixed with what a form offers."""
    field: JSONObject = {"field": "f", "choices": ["a"], "meta": {"options": {"choices": ["b"]}}}

    assert inputs.compile(field).choices == ("a",)


@pytest.mark.parametrize(
    ("field", "at", "message"),
    [
        ({"type": "integer", "default": "30"}, ("default",), "must be of type integer"),
        ({"type": "date", "default": "soon"}, ("default",), "must be of type date"),
        ({"choices": ["s", "m"], "default": "l"}, ("default",), "must be one of s, m"),
        ({"required": True, "default": None}, ("default",), "is required"),
        ({"meta": {"required": True}, "default": None}, ("default",), "is required"),
        ({"type": "integer", "choices": [1, "2"]}, ("choices", 1), "must be of type integer"),
    ],
)
def test_what_the_field_itself_would_refuse_is_a_mistake(
    field: JSONObject, at: Path, message: str
) -> None:
    """It is told when the file is read, not when somebody starts the flow."""
    with pytest.raises(Malformed, match=message) as mistake:
        inputs.compile({"field": "f", **field})

    assert mistake.value.at == at


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
