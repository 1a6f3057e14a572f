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
    assert exports.read(json.dumps(value).encode()) == (flows, [])


def test_a_byte_order_mark_is_no_mistake() -> None:
    """Editors put one there."""
    assert exports.read(b"\xef\xbb\xbf" + json.dumps([LISTED]).encode()).flows == [LISTED]


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
        (b'{"version": "\x7f1", "flow": {}}', r'has version "\\x7f1"; the one that is known is 1'),
        (b'{"version": "1", "flow": {}, "operations": []}', 'has version "1"; the one .* is 1'),
        (b'{"version": 1.0, "flow": {}, "operations": []}', r"has version 1\.0; the one .* is 1"),
        (b'{"version": true, "flow": {}, "operations": []}', "has version true; the one .* is 1"),
        (b'{"version": 1, "flow": {}}', "not whole"),
        (b'{"version": 1, "flow": null, "operations": []}', "not whole"),
        (b'{"version": 1, "flow": {}, "operations": {}}', "not whole"),
        (b'{"errors": [{"message": "You are nobody."}]}', "error of Directus: You are nobody."),
        (b'{"data": [], "meta": {"filter_count": 250}}', "these are 0 of 250 flows"),
        (b"{}", "neither a flow nor an export"),
        (b"7", "neither a flow nor an export"),
        (b'"flows"', "neither a flow nor an export"),
    ],
)
def test_what_holds_no_flows_is_refused_with_the_reason(content: bytes, reason: str) -> None:
    """In a sentence, and without a stack."""
    with pytest.raises(Unreadable, match=reason):
        exports.read(content)


@pytest.mark.parametrize(
    ("value", "unread"),
    [
        ([LISTED, {"foo": 1}], ["[1]: this is neither"]),
        ([[7], LISTED], ["[0][0]: this is neither"]),
        ({"data": [None, LISTED, "7c1d"]}, ["data[0]: this is neither", "data[2]: this is"]),
        ([{"version": 2, "flow": FLOW}, LISTED], ["[0]: this export has version 2; "]),
        ([{"version": 1, "flow": FLOW}, LISTED], ["[0]: this export is not whole"]),
        ([LISTED, {"data": [{}]}], ["[1].data[0]: this is neither"]),
        ([LISTED, {"errors": [{"message": "no"}]}], ["[1]: this is an error of Directus: no"]),
        ([*[7] * 1022, LISTED], [*(f"[{n}]: this" for n in range(20)), "and 1,002 more of these"]),
    ],
)
def test_what_can_be_read_is_read_beside_what_cannot(value: Any, unread: list[str]) -> None:
    """One element does not spoil the others, and is named by its place."""
    export = exports.read(json.dumps(value).encode())

    assert export.flows == [LISTED]
    assert len(export.unread) == len(unread)
    assert all(told.startswith(start) for told, start in zip(export.unread, unread, strict=True))


def test_of_many_names_the_one_that_is_there_twice_is_found() -> None:
    """With one look at each: a look at all for each would take minutes, and the test's time."""
    names = [f"n{number}" for number in range(100_000)]
    text = ",".join(f'"{name}":0' for name in [*names, names[-1]])

    with pytest.raises(Unreadable, match="two members with the name n99999"):
        exports.read(f"{{{text}}}".encode())


@given(st.binary(max_size=40) | st.text(st.sampled_from('{}[]",:data1n flowversioe'), max_size=60))
def test_nothing_else_is_ever_raised(content: bytes | str) -> None:
    """Whatever somebody takes for an export."""
    with suppress(Unreadable):
        export = exports.read(content if isinstance(content, bytes) else content.encode())
        assert all(isinstance(flow, dict) for flow in export.flows)
