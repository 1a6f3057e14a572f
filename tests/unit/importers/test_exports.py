"""Finding the flows in what Directus exports."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.importers import Unreadable, exports
from runner.types import JSONObject

FLOW = {"id": "a", "name": "A", "trigger": "webhook", "operation": None}
LISTED: JSONObject = {**FLOW, "operations": []}


@pytest.mark.parametrize(
    ("value", "flows"),
    [
        ({"version": 1, "flow": FLOW, "operations": []}, [LISTED]),
        ({"data": [LISTED, LISTED]}, [LISTED, LISTED]),
        ({"data": LISTED}, [LISTED]),
        ([LISTED, {"version": 1, "flow": FLOW, "operations": []}], [LISTED, LISTED]),
        (LISTED, [LISTED]),
        (FLOW, [FLOW]),
        ({"data": [LISTED], "meta": {"filter_count": 1}}, [LISTED]),
        ({"data": []}, []),
        ([], []),
    ],
)
def test_every_form_gives_flows_with_their_operations(value: Any, flows: list[Any]) -> None:
    """As the API lists them, whoever wrote them."""
    assert exports.read(json.dumps(value).encode()) == flows


def test_a_byte_order_mark_is_no_mistake() -> None:
    """Editors put one there."""
    assert exports.read(b"\xef\xbb\xbf" + json.dumps([LISTED]).encode()) == [LISTED]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "this is not JSON: .* line 1, column 1"),
        (b'{"data": [{"name": "A", "tri', "this is not JSON: .* line 1"),
        (b"<html></html>", "this is not JSON"),
        (b'{"data": NaN}', "this is not JSON"),
        (b"\xff\xfe{\x00", "this is not JSON"),
        (b"[" * 101 + b"]" * 101, "nested deeper than 100"),
        (b"[" * 5_000_000, "this is not JSON"),
        (b'{"data": [{"name": "A", "name": "B"}]}', "two members with the name name"),
        (b'{"version": 2, "flow": {}, "operations": []}', "has version 2; the one .* known is 1"),
        (b'{"version": "\x7f1", "flow": {}}', r"has version \\x7f1"),
        (b'{"version": 1, "flow": {}}', "not whole"),
        (b'{"version": 1, "flow": null, "operations": []}', "not whole"),
        (b'{"version": 1, "flow": {}, "operations": {}}', "not whole"),
        (b'{"errors": [{"message": "You are nobody."}]}', "error of Directus: You are nobody."),
        (b'{"data": [], "meta": {"filter_count": 250}}', "these are 0 of 250 flows"),
        (b'{"data": null}', "neither an export"),
        (b'{"data": ["7c1d"]}', "neither an export"),
        (b"{}", "neither an export"),
        (b"7", "neither an export"),
        (b'"flows"', "neither an export"),
    ],
)
def test_what_holds_no_flows_is_refused_with_the_reason(content: bytes, reason: str) -> None:
    """In a sentence, and without a stack."""
    with pytest.raises(Unreadable, match=reason):
        exports.read(content)


@given(st.binary(max_size=40) | st.text(st.sampled_from('{}[]",:data1n flowversioe'), max_size=60))
def test_nothing_else_is_ever_raised(content: bytes | str) -> None:
    """Whatever somebody takes for an export."""
    with suppress(Unreadable):
        flows = exports.read(content if isinstance(content, bytes) else content.encode())
        assert all(isinstance(flow, dict) for flow in flows)
