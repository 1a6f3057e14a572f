"""CloudEvents: every rule of the specification that `cloudevents` checks is a case here."""

import json
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import cloudevents
from runner.cloudevents import BATCH, STRUCTURED, CloudEvent
from runner.errors import ContentTooLarge, InvalidPayload, RunnerError, UnsupportedMediaType
from runner.types import JSONObject, JSONValue

VECTORS: Final = Path(__file__).parent.parent / "vectors" / "cloudevents"
HTTP: Final = json.loads((VECTORS / "http.json").read_text())
JSON: Final = json.loads((VECTORS / "structured.json").read_text())
EVENT: Final = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "com.example.order"}


def rule(case: object) -> str:
    """What a case is about."""
    assert isinstance(case, dict)
    return str(case["rule"])


def structured(event: JSONValue) -> CloudEvent:
    """An event as it is read from a body."""
    (read,) = cloudevents.read(STRUCTURED, (), json.dumps(event).encode())
    return read


# --- what is read -------------------------------------------------------------------------------


@pytest.mark.parametrize("case", JSON["valid"], ids=rule)
def test_a_valid_event_is_read_as_it_was_meant(case: JSONObject) -> None:
    """Attributes that are null are not there; data is what its type says."""
    event = structured(case["event"])

    assert (event.id, event.source, event.type) == ("1", case["event"]["source"], EVENT["type"])
    assert event.attributes == case["attributes"]
    assert (event.data, event.binary) == (case["data"], case["binary"])


@pytest.mark.parametrize("case", JSON["invalid"], ids=rule)
def test_an_invalid_event_is_refused_with_its_reason(case: JSONObject) -> None:
    """The SDK would take some of them."""
    with pytest.raises(InvalidPayload) as caught:
        structured(case["event"])

    assert case["says"] in caught.value.message


def sent(case: JSONObject, **more: Any) -> tuple[CloudEvent, ...]:
    """What is read of a request."""
    headers = [(name, value) for name, value in case["headers"]]
    return cloudevents.read(case["content_type"] or "", headers, case["body"].encode(), **more)


@pytest.mark.parametrize("case", HTTP["valid"], ids=rule)
def test_an_event_in_headers_is_read_as_it_was_meant(case: JSONObject) -> None:
    """Attributes are headers, the body is the data."""
    (event,) = sent(case)

    assert (event.id, event.source, event.type) == (case["id"], "/shop", EVENT["type"])
    assert event.attributes == case["attributes"]
    assert (event.data, event.binary) == (case["data"], case["binary"])


@pytest.mark.parametrize("case", HTTP["invalid"], ids=rule)
def test_an_invalid_request_is_refused_with_its_reason(case: JSONObject) -> None:
    """What is wrong decides the status: of the event, of the format, of the size."""
    with pytest.raises(RunnerError) as caught:
        sent(case, max_batch=3)

    assert case["status"] == caught.value.status
    assert case["says"] in caught.value.message


@pytest.mark.parametrize(
    ("events", "ids"), [([], []), ([EVENT], ["1"]), ([EVENT, {**EVENT, "id": "2"}], ["1", "2"])]
)
def test_a_batch_is_a_list_that_may_be_empty(events: list[JSONObject], ids: list[str]) -> None:
    """Its events keep their order."""
    content_type = "Application/CloudEvents-Batch+JSON; charset=utf-8"
    read = cloudevents.read(content_type, (), json.dumps(events).encode(), max_batch=2)

    assert [each.id for each in read] == ids


def test_batches_are_refused_unless_they_are_asked_for() -> None:
    """The specification forbids to send one to who did not ask for it."""
    with pytest.raises(UnsupportedMediaType):
        cloudevents.read(BATCH, (), b"[]")


def test_a_batch_has_a_limit() -> None:
    """One more is too large."""
    with pytest.raises(ContentTooLarge):
        cloudevents.read(BATCH, (), json.dumps([EVENT] * 3).encode(), max_batch=2)


def test_data_may_not_be_nested_without_end() -> None:
    """The limit is that of all bodies."""
    event = {**EVENT, "data": [[[]]]}

    assert structured(event).data == [[[]]]
    with pytest.raises(InvalidPayload, match="nested deeper than 3"):
        cloudevents.read(STRUCTURED, (), json.dumps(event).encode(), max_depth=3)


def test_bytes_in_headers_that_are_not_utf8_are_refused() -> None:
    """The server hands them over as surrogates."""
    headers = [*((f"ce-{name}", value) for name, value in EVENT.items()), ("ce-a", "\udcff")]

    with pytest.raises(InvalidPayload, match="ce-a is not UTF-8"):
        cloudevents.read("", headers, b"")


# --- what flows see -----------------------------------------------------------------------------


def test_a_flow_sees_the_attributes_and_some_of_them_always() -> None:
    """`id`, `source`, `subject` and `time` are there even where they are null."""
    event = structured({**EVENT, "data": {"a": 1}, "traceparent": "00-x", "payload": "not this"})

    assert event.as_event(ahead=False).as_data() == {
        "event": "com.example.order",
        "payload": {"a": 1},
        "id": "1",
        "source": "/shop",
        "subject": None,
        "time": None,
        "traceparent": "00-x",
    }


@pytest.mark.parametrize("type_", ["items.create", "articles.items.create"])
def test_events_of_items_have_one_name_however_they_are_sent(type_: str) -> None:
    """The attribute `collection` says whose items these are."""
    event = structured({**EVENT, "type": type_, "collection": "articles"})

    assert event.name == "articles.items.create"
    assert event.as_event(ahead=True).members["collection"] == "articles"


# --- what goes back -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "data", "expected"),
    [
        (None, {"b": 2}, {"data": {"b": 2}}),
        (None, "text", {"data": "text"}),
        (None, None, {}),
        ("application/json", [1], {"datacontenttype": "application/json", "data": [1]}),
        ("text/plain", "b", {"datacontenttype": "text/plain", "data": "b"}),
        ("text/plain", {"b": 2}, {"datacontenttype": "application/json", "data": {"b": 2}}),
        ("image/png", "b", {"datacontenttype": "application/json", "data": "b"}),
    ],
)
def test_other_data_has_a_type_that_fits_it(
    content_type: str | None, data: JSONValue, expected: JSONObject
) -> None:
    """What a filter flow makes of it is JSON, unless text takes the place of text."""
    event = structured({**EVENT, "datacontenttype": content_type, "data_base64": "MQ=="})

    assert event.with_data(data).as_json() == {**EVENT, **expected}


def test_data_that_nobody_touched_goes_back_as_it_came() -> None:
    """Bytes stay bytes."""
    event = {**EVENT, "datacontenttype": "image/png", "data_base64": "iVBORw0="}
    read = structured(event)

    assert read.with_data(read.data).as_json() == event


# --- whatever comes -----------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn")), min_size=1)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1).filter(
    lambda name: name not in {*EVENT, "data", "subject", "time", "datacontenttype", "dataschema"}
)
VALUES = TEXTS | st.booleans() | st.integers(-(2**31), 2**31 - 1)
DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
HEADERS = st.lists(
    st.tuples(st.sampled_from(["ce-id", "ce-type", "ce-a", "ce-"]) | st.text(), st.text())
)


@given(st.dictionaries(NAMES, VALUES, max_size=4), TEXTS, DATA)
def test_what_is_written_is_read_again(
    extensions: dict[str, str | int | bool], id_: str, data: JSONValue
) -> None:
    """Structured JSON there and back is the same event."""
    event = structured({**EVENT, **extensions, "id": id_, "data": data, "type": "t"})

    assert event == structured(event.as_json())
    assert event.attributes == extensions


@given(TEXTS)
def test_any_text_can_be_sent_in_a_header(text: str) -> None:
    """Written as the specification says, it is read as it was."""
    plain = {chr(code) for code in range(0x21, 0x7F)} - {'"', "%"}
    quoted = "".join(each if each in plain else quote(each, safe="") for each in text)
    headers = [*((f"ce-{name}", value) for name, value in EVENT.items()), ("ce-subject", quoted)]
    (event,) = cloudevents.read("", headers, b"")

    assert event.attributes == {"subject": text}


@given(
    st.sampled_from(["", STRUCTURED, BATCH, "application/json", "text/plain", "image/png"])
    | st.text(),
    HEADERS,
    st.binary() | st.just(json.dumps(EVENT).encode()),
)
def test_whatever_comes_is_an_event_or_refused(
    content_type: str, headers: list[tuple[str, str]], body: bytes
) -> None:
    """Nothing else is raised."""
    required = [(f"ce-{name}", value) for name, value in EVENT.items()]
    for sent_headers in (headers, [*required, *headers]):
        try:
            read = cloudevents.read(content_type, sent_headers, body, max_batch=10)
        except RunnerError as error:
            assert error.status in (400, 413, 415)  # noqa: PT017
        else:
            assert all(isinstance(each, CloudEvent) for each in read)
