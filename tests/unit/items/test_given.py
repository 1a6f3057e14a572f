"""What item operations are told."""

import pytest

from runner.errors import OperationError
from runner.items import given
from runner.types import JSONObject, JSONValue


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (1, [1]),
        (0, [0]),
        ("a", ["a"]),
        ("1,3", ["1", "3"]),
        ([1, "b"], [1, "b"]),
        ([1, 1], [1, 1]),
        (1.5, [1.5]),
        ([], []),
        ("", []),
        (None, []),
    ],
)
def test_keys_come_as_one_as_a_list_or_as_text(key: JSONValue, expected: list[JSONValue]) -> None:
    """They are as they were written, in their order; nothing is no key."""
    assert given.keys({"key": key}) == expected


def test_an_absent_option_says_nothing() -> None:
    """No keys, no query, no payload."""
    assert given.keys({}) == []
    assert given.query({}) is None
    assert given.payload({}) is None


@pytest.mark.parametrize("key", [True, {"id": 1}, [None], [1, [2]], [False], ["a", {}]])
def test_what_cannot_be_a_key_is_refused(key: JSONValue) -> None:
    """A template that leads nowhere must not turn into another key."""
    assert _refused(given.keys, {"key": key}) == "INVALID_PAYLOAD"


@pytest.mark.parametrize(
    ("query", "expected"),
    [({}, {}), ({"limit": 1}, {"limit": 1}), ('{"limit": 1}', {"limit": 1}), ("", None)],
)
def test_a_query_is_an_object_or_its_text(query: JSONValue, expected: JSONValue) -> None:
    """Text is read as JSON."""
    assert given.query({"query": query}) == expected


@pytest.mark.parametrize(
    ("query", "code"),
    [([], "INVALID_QUERY"), (5, "INVALID_QUERY"), ("zzz", "INVALID_JSON"), ("[]", "INVALID_QUERY")],
)
def test_another_query_is_refused(query: JSONValue, code: str) -> None:
    """It never means every item by mistake."""
    assert _refused(given.query, {"query": query}) == code


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({}, {}),
        ({"a": 1}, {"a": 1}),
        ('{"a": 1}', {"a": 1}),
        ('[{"a": 1}]', [{"a": 1}]),
        ([], []),
        ("null", None),
        ("", None),
        (None, None),
    ],
)
def test_a_payload_is_one_item_or_a_list(payload: JSONValue, expected: JSONValue) -> None:
    """As it is, or as JSON text."""
    assert given.payload({"payload": payload}) == expected


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (5, "INVALID_PAYLOAD"),
        (True, "INVALID_PAYLOAD"),
        ([1], "INVALID_PAYLOAD"),
        ([{}, None], "INVALID_PAYLOAD"),
        ("{", "INVALID_JSON"),
        ('"text"', "INVALID_PAYLOAD"),
    ],
)
def test_another_payload_is_refused(payload: JSONValue, code: str) -> None:
    """The code says whether it is no JSON, or no item."""
    assert _refused(given.payload, {"payload": payload}) == code


def test_there_is_a_most_that_one_operation_writes() -> None:
    """They are one transaction, and their keys one value of the data chain."""
    many = given.MAX_ITEMS + 1

    assert len(given.keys({"key": [1] * given.MAX_ITEMS})) == given.MAX_ITEMS
    assert _refused(given.keys, {"key": [1] * many}) == "INVALID_PAYLOAD"
    assert _refused(given.keys, {"key": ",".join(["1"] * many)}) == "INVALID_PAYLOAD"
    assert _refused(given.payload, {"payload": [{}] * many}) == "INVALID_PAYLOAD"


def _refused(read: object, options: JSONObject) -> str | None:
    assert callable(read)
    with pytest.raises(OperationError) as caught:
        read(options)
    return caught.value.own_code
