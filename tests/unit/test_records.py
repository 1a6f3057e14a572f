"""Every line is JSON, short, without secrets, and as the schema says."""

import enum
import json
import uuid
from collections import OrderedDict, UserDict
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import fit
from runner.records import EVENTS, MIN_LINE, Fields, Record, Recorder
from runner.redact import PLACEHOLDER, Redactor
from runner.types import JSONObject
from tests.records import SCHEMA, Kept, check_record, texts

CANARY = "Canary-4f9d/sec"

WHERE: dict[str, Any] = {
    "flow": "billing/order-intake",
    "flow_digest": "9f86d081" * 8,
    "revision": "1f0c2d7a" * 5,
    "generation": 7,
    "execution_id": "3b8f7a5e-1c1d-4c59-9d0e-9a4a4ad2d0c1",
    "trigger": "webhook",
}
STEP: dict[str, Any] = {**WHERE, "operation": "warehouse", "operation_type": "request"}
ERROR: JSONObject = {"name": "Error", "message": "no", "code": "NO"}


class Clock:
    """Time that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1_774_749_599.9994

    def __call__(self) -> float:
        """Tell it."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The clock of the recorder."""
    return Clock()


@pytest.fixture
def kept() -> Kept:
    """All records, checked."""
    return Kept()


@pytest.fixture
def redactor() -> Redactor:
    """It knows the canary."""
    redactor = Redactor()
    redactor.learn(CANARY)
    return redactor


@pytest.fixture
def recorder(redactor: Redactor, kept: Kept, clock: Clock) -> Recorder:
    """A recorder on a standing clock."""
    return Recorder(redactor, kept, clock=clock, ticks=clock)


# --- the fields ---------------------------------------------------------------------------------


def test_a_record_has_its_fields_in_order(recorder: Recorder, kept: Kept) -> None:
    """Who reads raw lines sees when, how bad, what, and then where."""
    bound = recorder.bind(**WHERE)

    bound.emit("execution.finished", status="resolved", duration_ms=1.5, data={"a": 1})

    assert list(kept.last) == [
        "timestamp", "severity", "message", "event", "service",
        *WHERE, "status", "duration_ms", "data",
    ]  # fmt: skip
    assert kept.last["timestamp"] == "2026-03-29T01:59:59.999Z"
    assert kept.last["severity"] == "INFO"


def test_timestamps_are_utc_with_milliseconds(recorder: Recorder, kept: Kept, clock: Clock) -> None:
    """Also across a second, backwards, and before 1970 was a second old."""
    for clock.now in (1_774_749_599.9999, 1_774_749_600.0, 1_774_749_599.0, 0.0625):
        recorder.emit("daemon.stopped")

    assert [record["timestamp"] for record in kept.records] == [
        "2026-03-29T01:59:59.999Z",
        "2026-03-29T02:00:00.000Z",
        "2026-03-29T01:59:59.000Z",
        "1970-01-01T00:00:00.062Z",
    ]


def test_what_is_none_is_left_out(recorder: Recorder, kept: Kept) -> None:
    """An absent field is absent, never null, bound or not."""
    bound = recorder.bind(parent_id=None, trace_id=None, **WHERE)

    bound.emit("log.message", operation="log", operation_type="log", error=None, attempt=None)

    assert not {"parent_id", "trace_id", "error", "attempt"} & set(kept.last)


def test_bound_fields_are_in_every_record_and_in_no_other(recorder: Recorder, kept: Kept) -> None:
    """Binding makes another door and leaves the first as it was."""
    recorder.bind(**WHERE).bind(trace_id="4bf92f3577b34da6a3ce929d0e0e4736").emit(
        "execution.started", data={"trigger": None}
    )
    recorder.emit("daemon.stopped")

    assert kept.records[0]["flow"] == WHERE["flow"]
    assert kept.records[0]["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert "flow" not in kept.records[1]


def test_severity_and_message_can_be_told(recorder: Recorder, kept: Kept) -> None:
    """The catalogue only speaks where nobody else does."""
    recorder.emit("daemon.warning", severity="ERROR", message="the setting is not used")

    assert (kept.last["severity"], kept.last["message"]) == ("ERROR", "the setting is not used")


# --- the catalogue and the schema ---------------------------------------------------------------


@pytest.mark.parametrize("event", EVENTS)
def test_every_event_with_its_fields_meets_the_schema(
    recorder: Recorder, kept: Kept, event: str
) -> None:
    """What the catalogue requires is enough for the schema."""
    recorder.emit(event, **_fields(event), data=_data(event))

    assert kept.last["event"] == event


@pytest.mark.parametrize(
    ("event", "field"), [(event, field) for event in EVENTS for field in EVENTS[event].fields]
)
def test_the_schema_requires_what_the_catalogue_does(event: str, field: str) -> None:
    """Leaving out any required field is seen, by the name of the event."""
    record = {**_head(event), **_fields(event), "data": _data(event)}
    check_record(json.dumps(record).encode() + b"\n")
    del record[field]

    with pytest.raises(AssertionError, match=field):
        check_record(json.dumps(record).encode() + b"\n")


def test_the_schema_knows_the_same_events_and_fields() -> None:
    """Two lists of one thing, held together here."""
    properties = SCHEMA["properties"]

    assert properties["event"]["enum"] == list(EVENTS)
    assert [rule["if"]["properties"]["event"]["const"] for rule in SCHEMA["allOf"]] == list(EVENTS)
    assert set(properties) - set(Fields.__annotations__) == {
        "timestamp", "severity", "message", "event", "service", "data", "truncated", "redacted",
    }  # fmt: skip
    assert set(Fields.__annotations__) <= set(properties)


def test_the_schema_explains_every_property_with_an_example() -> None:
    """The schema is the documentation of the lines."""
    for name, schema in _properties(SCHEMA):
        assert schema.get("description"), name
        assert schema.get("examples"), name


def _properties(schema: JSONObject) -> list[tuple[str, JSONObject]]:
    own = list(schema.get("properties", {}).items())
    return own + [each for _, inner in own for each in _properties(inner)]


def _head(event: str) -> JSONObject:
    return {
        "timestamp": "2026-03-29T01:59:59.999Z",
        "severity": "INFO",
        "message": "m",
        "event": event,
        "service": "s",
    }


def _fields(event: str) -> dict[str, Any]:
    known = {**STEP, "error": ERROR, "attempt": 1, "status": "resolved", "duration_ms": 0.5}
    needed = EVENTS[event].fields
    return {name: value for name, value in known.items() if name in needed}


def _data(event: str) -> JSONObject:
    special: dict[str, JSONObject] = {
        "log.suppressed": {"reason": "rate", "count": 3, "event": "log.message"},
        "log.library": {"logger": "asyncio"},
    }
    return special.get(event, {"trigger": {"body": 1}})


# --- values that JSON cannot say ----------------------------------------------------------------


class Colour(enum.Enum):
    """An enumeration that is not text."""

    RED = "red"


class Word(str):
    """Text, nearly."""

    __slots__ = ()


class Odd:
    """Something that JSON has no word for, and that must not be asked."""

    def __repr__(self) -> str:
        raise RuntimeError("never ask")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), None),
        (float("-inf"), None),
        ("\ud800 lone", "\ufffd lone"),
        ("\ud83d\ude00", "😀"),
        ({"\udfff": 1}, {"\ufffd": 1}),
        (2**63, 2**63),
        (2**64, str(2**64)),
        (-(2**63) - 1, str(-(2**63) - 1)),
        (10**5000, "<int of 16610 bits>"),
        ({1: "a", 2.5: "b", None: "c", (1, 2): "e"},
         {"1": "a", "2.5": "b", "null": "c", "<tuple>": "e"}),
        ((1, 2), [1, 2]),
        ({"only"}, ["only"]),
        (OrderedDict(a=(1,)), {"a": [1]}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (UserDict({"a": 1}), {"a": 1}),
        (datetime(2026, 3, 29, tzinfo=UTC), "2026-03-29 00:00:00+00:00"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (PurePosixPath("/a/b"), "/a/b"),
        (Decimal("1.50"), "1.50"),
        (Colour.RED, "red"),
        (Word("word"), "word"),
        (ValueError("bad"), {"name": "ValueError", "message": "bad"}),
        (b"bytes", "<bytes>"),
        (Odd(), "<Odd>"),
        (iter([1]), "<list_iterator>"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_json_cannot_say_is_said_another_way(
    recorder: Recorder, kept: Kept, value: Any, expected: Any
) -> None:
    """Whatever an operation gives, the line is JSON and the rest of it is there."""
    recorder.emit("daemon.warning", data={"value": value, "odd": Odd(), "rest": 1})

    assert kept.last["data"] == {"value": expected, "odd": "<Odd>", "rest": 1}


def test_lone_surrogates_are_harmless_everywhere(recorder: Recorder, kept: Kept) -> None:
    """In messages and errors too, which come from other people's exceptions."""
    recorder.emit("daemon.warning", message="a \ud800", error={"name": "E", "message": "\udc80"})

    assert kept.last["message"] == "a \ufffd"
    assert kept.last["error"]["message"] == "\ufffd"


@pytest.mark.parametrize("depth", [99, 150, 300, 5000])
def test_deep_values_end_at_a_limit(recorder: Recorder, kept: Kept, depth: int) -> None:
    """Neither the serializer's recursion nor ours is ever exhausted."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]

    recorder.emit("daemon.warning", data={"value": value, "rest": 1})

    assert kept.last["data"]["rest"] == 1
    assert ("truncated" in kept.last) == (depth > 250)


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"a": inner}])
def test_the_deepest_value_that_can_be_written_is_redacted(
    recorder: Recorder, kept: Kept, wrap: Callable[[Any], Any]
) -> None:
    """What the serializer manages, the search for secrets manages too."""
    value: Any = CANARY
    for _ in range(245):
        value = wrap(value)

    recorder.emit("daemon.warning", data={"value": value})
    recorder.emit("daemon.warning", data={"value": value, "pad": "p" * 16_000})

    assert [PLACEHOLDER in str(record["data"]) for record in kept.records] == [True, True]
    assert CANARY not in str(kept.records)


def test_a_value_that_holds_itself_ends(recorder: Recorder, kept: Kept) -> None:
    """A circle is deep, not endless."""
    circle: JSONObject = {"rest": 1}
    circle["self"] = circle

    recorder.emit("daemon.warning", data=circle)

    assert kept.last["data"]["rest"] == 1
    assert kept.last["truncated"]


# --- size ---------------------------------------------------------------------------------------


def test_a_large_record_keeps_what_identifies_it(recorder: Recorder, kept: Kept) -> None:
    """Of 40 KB, the largest part of the data gives way and is named."""
    data = {"options": {"body": "é\n" * 20_000, "url": "http://host"}, "value": {"status": 200}}

    recorder.bind(**WHERE).emit(
        "operation.resolved", operation="o", operation_type="request", duration_ms=1, data=data
    )

    assert {name: kept.last[name] for name in WHERE} == WHERE
    assert kept.last["data"]["options"]["url"] == "http://host"
    assert kept.last["data"]["value"] == {"status": 200}
    assert kept.last["data"]["options"]["body"].endswith(fit.CUT)
    assert kept.last["truncated"] == ["data.options.body"]
    assert len(kept.lines[-1]) > 12_000


@pytest.mark.parametrize(
    "data",
    [
        {"list": list(range(100_000))},
        {"list": [{"id": number, "name": "x" * 200} for number in range(1000)]},
        {"texts": ["\0" * 9000, "y" * 9000, "é" * 9000]},
        {f"key {number}": "value " * 9 for number in range(5000)},
        {"deep": json.loads('{"a":' * 80 + '"' + "z" * 40_000 + '"' + "}" * 80)},
        {"a": "x" * 15_000},
        {"many": [["x" * 300] * 40] * 40},
    ],
    ids=lambda data: next(iter(data))[:9],
)
@pytest.mark.parametrize("max_line", [MIN_LINE, 4000, 15_000])
def test_no_data_makes_a_line_too_long(redactor: Redactor, data: JSONObject, max_line: int) -> None:
    """Whatever shape the data has, the line fits, and something of the data is there."""
    kept = Kept(max_line)

    Recorder(redactor, kept, max_line=max_line).emit("daemon.warning", data=data)

    assert kept.last["data"]
    assert kept.last["truncated"]
    assert len(kept.lines[0]) > max_line // 3


@pytest.mark.parametrize("name", ["message", "flow", "revision", "operation", "trigger"])
def test_no_field_makes_a_line_too_long(recorder: Recorder, kept: Kept, name: str) -> None:
    """Not only data can be long: so can messages, and names that somebody chose."""
    fields: dict[str, Any] = {**STEP, name: "\\" * 40_000}

    recorder.emit("log.message", data={"x": "y" * 40_000}, **fields)

    assert kept.last["execution_id"] == WHERE["execution_id"]
    assert set(kept.last["truncated"]) == {name, "data.x"}


def test_long_keys_are_cut(recorder: Recorder, kept: Kept) -> None:
    """A key is nearly never long, and then it is data."""
    recorder.emit("daemon.warning", data={"k" * 40_000: {"l" * 40_000: 1}})

    outer, inner = "k" * 200 + fit.CUT, "l" * 200 + fit.CUT
    assert kept.last["data"] == {outer: {inner: 1}}
    assert kept.last["truncated"] == [f"data.{outer}", f"data.{outer}.{inner}"]


def test_shared_values_never_explode(recorder: Recorder, kept: Kept) -> None:
    """Forty levels of two references each are 10¹² copies; counting stops long before."""
    value: Any = "x" * 100
    for _ in range(40):
        value = {"a": value, "b": value}
    lists: Any = "x" * 1_000_000
    for _ in range(10):
        lists = [lists] * 1000

    recorder.emit("daemon.warning", data={"maps": value, "lists": lists, "rest": 1})

    assert kept.last["data"]["rest"] == 1
    assert kept.last["truncated"]


@given(
    st.recursive(
        st.none() | st.integers() | st.floats() | st.text(st.characters(), max_size=300),
        lambda inner: (
            st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=90), inner, max_size=20)
        ),
        max_leaves=60,
    ),
    st.integers(2, 3000),
)
def test_shortening_keeps_the_promised_size(value: Any, room: int) -> None:
    """Any JSON fits into any room, is whole where it fitted before, and the losses are named."""
    plain, _ = fit.copy({"value": value}, 10**6, lambda text, length: text[:length])

    short, lost = fit.shorten(plain, room)

    assert fit.size(short) <= room
    assert (short == plain) == (not lost) == (fit.size(plain) <= room)


# --- secrets ------------------------------------------------------------------------------------


def _nested(text: str) -> JSONObject:
    return {"a": [{"b": {text: text, "list": [text, f"x{text}x"]}}], "url": f"http://u:{text}@h/"}


@pytest.mark.parametrize("learned", [True, False])
def test_a_canary_is_in_no_line_whatever_the_way(learned: bool) -> None:
    """Every field that somebody else can fill, every error, every list of paths."""
    redactor, kept = Redactor(), Kept()
    if learned:
        redactor.learn(CANARY)
    recorder = Recorder(redactor, kept).bind(credentials=() if learned else (CANARY,), **WHERE)
    odd = {"nan": float("nan"), "big": 2**70, f"{CANARY}": Odd()}
    long = {"pad": "p" * 40_000, CANARY: {"text": f"{'.' * 12_000}{CANARY}" * 9}}
    error = {"name": "E", "message": f"could not log in with {CANARY}", "code": CANARY}

    for data in (_nested(CANARY), odd, long, {CANARY * 90: [CANARY] * 9000}):
        recorder.emit("operation.rejected", operation=CANARY, operation_type="t", duration_ms=1,
                      message=f"m {CANARY}", error=error, data=data)  # fmt: skip
    recorder.emit("log.message", operation="o", operation_type="log", flow=f"a/{CANARY}")

    assert len(kept.records) == 5
    assert not [text for text in texts(kept.records) if "Canary" in text]
    assert all(record["redacted"] for record in kept.records)


@pytest.mark.parametrize("phase", range(len(CANARY)))
def test_a_secret_at_the_cut_is_not_cut_in_two(recorder: Recorder, kept: Kept, phase: int) -> None:
    """Half a secret would not be recognised, and would still be half a secret."""
    text = "." * phase + CANARY * 9000

    recorder.emit("daemon.warning", data={"text": text})
    recorder.emit("daemon.warning", data={"text": text, **dict.fromkeys("abcdefgh")})
    recorder.emit("daemon.warning", data={text: 1})

    for record in kept.records:
        assert record["truncated"]
        left = {text for text in texts(record["data"]) if len(text) > 9}
        assert not set("".join(left)) - set("." + PLACEHOLDER + fit.CUT)


def test_what_was_replaced_is_named(recorder: Recorder, kept: Kept) -> None:
    """Who replays an execution from its records has to know what they do not say."""
    recorder.emit("daemon.warning", data={"headers": {"Cookie": "a=b"}, "x": [CANARY]})

    assert kept.last["data"] == {"headers": {"Cookie": PLACEHOLDER}, "x": [PLACEHOLDER]}
    assert kept.last["redacted"] == ["data.headers.Cookie", "data.x.0"]


@pytest.mark.parametrize("secret", ["operation", "warehouse!", "execution.finished", "resolved"])
def test_the_runners_own_words_stay_whatever_the_secrets_are(
    recorder: Recorder, redactor: Redactor, kept: Kept, secret: str
) -> None:
    """A careless secret costs the text that holds it, not the fields that pipelines need."""
    redactor.learn(secret)

    recorder.emit("execution.finished", status="resolved", duration_ms=1.0, **STEP,
                  data={"text": secret})  # fmt: skip

    assert (kept.last["event"], kept.last["status"]) == ("execution.finished", "resolved")
    assert kept.last["operation"] == "warehouse"
    assert kept.last["data"]["text"] == PLACEHOLDER


@given(
    secret=st.text(min_size=6, max_size=12).filter(lambda text: text not in PLACEHOLDER),
    tree=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.text(max_size=9) | st.integers(), inner, max_size=4)
        ),
        max_leaves=20,
    ),
    filler=st.integers(0, 16_000),
)
def test_any_tree_with_any_secret_becomes_a_clean_line(secret: str, tree: Any, filler: int) -> None:
    """The three promises at once: JSON, short, and no secret."""
    redactor, kept = Redactor(), Kept()
    redactor.learn(secret)
    data = {"tree": tree, "filler": "f" * filler + secret, secret: [secret, {"x": f"<{secret}>"}]}

    Recorder(redactor, kept).emit("daemon.warning", message=f"m{secret}", data=data)

    clean = fit.well_formed(secret)
    foreign = [kept.last["message"], kept.last["data"], kept.last["redacted"]]
    assert not [text for text in texts(foreign) if clean in text.replace(PLACEHOLDER, "\0")]


# --- sinks --------------------------------------------------------------------------------------


class Broken:
    """A sink that takes nothing."""

    def write(self, record: Record, /) -> None:
        """Fail."""
        raise OSError("full")


def test_a_broken_sink_harms_no_other_and_is_reported(
    redactor: Redactor, kept: Kept, clock: Clock
) -> None:
    """The others get every record, and after ten seconds the word that one does not."""
    recorder = Recorder(redactor, Broken(), kept, clock=clock, ticks=clock)
    recorder.emit("daemon.started")
    clock.now += 10
    recorder.emit("daemon.stopped")

    assert [record["event"] for record in kept.records] == [
        "daemon.started", "daemon.stopped", "log.suppressed",
    ]  # fmt: skip
    assert kept.last["data"] == {"reason": "sink", "sink": "Broken", "count": 2}


def test_a_sink_that_is_attached_gets_records_until_it_is_detached(
    recorder: Recorder, kept: Kept
) -> None:
    """Attaching gives what detaches; bound doors follow at once."""
    bound, late = recorder.bind(flow="a"), Kept()
    detach = recorder.attach(late)
    bound.emit("daemon.started")
    detach()
    bound.emit("daemon.stopped")

    assert [record["event"] for record in late.records] == ["daemon.started"]
    assert len(kept.records) == 2


def test_sinks_get_the_redacted_record_in_both_forms(redactor: Redactor) -> None:
    """Who wants the fields need not parse the line, and sees no more than the line says."""
    records: list[Record] = []

    class Both:
        def write(self, record: Record, /) -> None:
            records.append(record)

    Recorder(redactor, Both()).emit("daemon.warning", data={"a": CANARY, "n": float("nan")})

    assert records[0].fields == check_record(records[0].line)


def test_what_cannot_be_written_at_all_is_counted(recorder: Recorder, kept: Kept) -> None:
    """A mapping that breaks while it is read costs its own record."""

    class Hostile(UserDict[str, int]):
        def items(self) -> Any:
            raise RuntimeError("no")

    recorder.emit("daemon.warning", data={"value": Hostile(a=1)})
    recorder.flush()

    assert [record["data"] for record in kept.records] == [
        {"reason": "failure", "event": "daemon.warning", "count": 1}
    ]


# --- too many -----------------------------------------------------------------------------------


@pytest.fixture
def emit(recorder: Recorder) -> Callable[..., None]:
    """Emit an event of a flow so many times."""

    def emit(event: str, flow: str, times: int) -> None:
        fields: dict[str, Any] = {**STEP, "flow": flow, "error": ERROR, "attempt": 1}
        for _ in range(times):
            recorder.emit(event, **fields)

    return emit


def test_a_flow_that_says_too_much_is_cut_short_and_that_is_said(
    emit: Callable[..., None], recorder: Recorder, kept: Kept, clock: Clock
) -> None:
    """200 in one go, 50 a second, and one record for what is missing."""
    emit("log.message", "noisy", 250)
    clock.now += 1
    emit("log.message", "noisy", 60)
    clock.now += 10
    recorder.emit("daemon.stopped")

    said = [record for record in kept.records if record["event"] == "log.message"]
    suppressed = [record for record in kept.records if record["event"] == "log.suppressed"]
    assert len(said) == 200 + 50
    assert [(each["flow"], each["data"]) for each in suppressed] == [
        ("noisy", {"reason": "rate", "event": "log.message", "count": 60})
    ]


def test_flows_and_events_are_limited_each_by_itself(
    emit: Callable[..., None], recorder: Recorder, kept: Kept
) -> None:
    """One noisy flow takes nothing from another."""
    for event in ("log.message", "trigger.refused"):
        for flow in ("a", "b"):
            emit(event, flow, 201)
    recorder.flush()

    suppressed = [record for record in kept.records if record["event"] == "log.suppressed"]
    assert len(kept.records) == 4 * 200 + 4
    assert [each["data"]["count"] for each in suppressed] == [1, 1, 1, 1]


def test_other_events_are_never_left_out(emit: Callable[..., None], kept: Kept) -> None:
    """What happened to an execution is not a matter of how often it happens."""
    emit("operation.retried", "busy", 1000)

    assert len(kept.records) == 1000
