"""Query strings and bodies, as values."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import InvalidPayload, InvalidQuery, RunnerError, UnsupportedMediaType
from runner.types import JSONValue
from runner.web import bodies

_LOOP = asyncio.Runner()


@pytest.fixture(autouse=True, scope="module")
def _close() -> Iterator[None]:
    yield
    _LOOP.close()


def parse(body: bytes, content_type: str = "", depth: int = 100) -> JSONValue:
    """`bodies.parse` to its end."""
    return _LOOP.run(bodies.parse(body, content_type, depth))


QUERIES: list[tuple[str, Any]] = [
    ("", {}),
    ("a=1&b=two", {"a": "1", "b": "two"}),
    ("a=1&a=2", {"a": ["1", "2"]}),
    ("a%5B%5D=1&a%5B%5D=2", {"a": ["1", "2"]}),
    ("a[0]=x&a[1]=y", {"a": ["x", "y"]}),
    ("a[20]=x", {"a": ["x"]}),
    ("a[21]=x", {"a": {"21": "x"}}),
    ("a=&b", {"a": "", "b": ""}),
    ("a.b=1", {"a.b": "1"}),
    ("filter%5Ba%5D%5B_eq%5D=1", {"filter": {"a": {"_eq": "1"}}}),
    ("a[b][]=1&a[b][]=2", {"a": {"b": ["1", "2"]}}),
    ("a+b=c+d", {"a b": "c d"}),
    ("a=1%262&b=%2526", {"a": "1&2", "b": "%26"}),
    ("a=%E2%98%83", {"a": "☃"}),
    ("limit=abc&meta=zzz&export=csv", {"limit": "abc", "meta": "zzz", "export": "csv"}),
    ("__proto__[x]=1&constructor=2&toString=3&a[__proto__]=4&b=5", {"a": {}, "b": "5"}),
    ("a=1,2", {"a": "1,2"}),
]


@pytest.mark.parametrize(("text", "value"), QUERIES)
def test_a_query_is_read_as_directus_reads_it(text: str, value: Any) -> None:
    """Brackets nest, repetition makes lists, an index above 20 is a key, all scalars are text."""
    assert bodies.query(text) == value


@pytest.mark.parametrize("name", ["a", "a[]"])
def test_a_long_list_stays_a_list(name: str) -> None:
    """Only indices are limited, not how often a name comes."""
    assert bodies.query("&".join(f"{name}={i}" for i in range(25))) == {
        "a": [str(i) for i in range(25)]
    }


def test_a_query_of_too_many_parameters_is_refused() -> None:
    """A thousand are read; more are not silently dropped."""
    assert len(bodies.query("&".join(f"a{i}=1" for i in range(1000)))) == 1000
    with pytest.raises(InvalidQuery):
        bodies.query("&".join(f"a{i}=1" for i in range(1001)))


def test_a_query_deeper_than_ten_brackets_ends_in_a_key() -> None:
    """What is deeper is not lost, and nests no further."""
    value: Any = bodies.query("a" + "[b]" * 5000 + "=1")

    for _ in range(11):
        (value,) = value.values()
    assert list(value.values()) == ["1"]


@given(st.text(alphabet="ab[]=&%0123456789+.é\x00", max_size=60) | st.text(max_size=60))
def test_any_query_is_a_value_or_refused(text: str) -> None:
    """Nothing that anybody writes behind a question mark is an error of ours, and all is JSON."""
    cleaned = text.encode("utf-8", "replace").decode()
    with contextlib.suppress(InvalidPayload, InvalidQuery, UnsupportedMediaType):
        orjson.dumps(bodies.query(cleaned))


JSON = "application/json"
FORM = "application/x-www-form-urlencoded"

BODIES: list[tuple[bytes, str, Any]] = [
    (b"", "", {}),
    (b"", JSON, {}),
    (b"", "image/png", {}),
    (b'{"a":1}', JSON, {"a": 1}),
    (b"[1]", JSON, [1]),
    (b'{"a":1}', "Application/JSON; charset=utf-8", {"a": 1}),
    (b'{"a":1}', "application/vnd.api+json", {"a": 1}),
    (b'{"a":1,"a":2}', JSON, {"a": 2}),
    (b'{"a":18446744073709551616}', JSON, {"a": 18446744073709551616.0}),
    (b'{"a":9223372036854775807}', JSON, {"a": 9223372036854775807}),
    ('{"a":"ß☃"}'.encode(), JSON, {"a": "ß☃"}),
    (b"a=1&b[c]=2", FORM, {"a": "1", "b": {"c": "2"}}),
    (b"plain", "text/plain", "plain"),
    (b"caf\xe9", "text/plain; charset=latin-1", "café"),
    (b"caf\xe9", 'text/plain; charset="ISO-8859-1"', "café"),
    ("\u20ac".encode("cp1252"), "text/plain; charset=Windows-1252", "\u20ac"),
    ("\u2603".encode("utf-16-le"), "text/plain; charset=UTF-16LE", "\u2603"),
    ("\u65e5".encode("shift_jis"), "text/plain; charset=Shift_JIS", "\u65e5"),
    (b'{"a":1}', "text/plain", '{"a":1}'),
    (b"<a/>", "text/xml", "<a/>"),
    (b'{"a":1}', "", {"a": 1}),
    (b"5", "", 5),
    (b"plain", "", "plain"),
]


@pytest.mark.parametrize(("body", "content_type", "value"), BODIES)
def test_a_body_is_what_its_type_says(body: bytes, content_type: str, value: Any) -> None:
    """JSON, forms and text; nothing at all is `{}`; without a type, JSON if it parses."""
    assert parse(body, content_type) == value


REFUSED: list[tuple[bytes, str, type[RunnerError]]] = [
    (b'"str"', JSON, InvalidPayload),
    (b"1", JSON, InvalidPayload),
    (b"null", JSON, InvalidPayload),
    (b"{", JSON, InvalidPayload),
    (b" ", JSON, InvalidPayload),
    (b'{"a":NaN}', JSON, InvalidPayload),
    (b'{"a":Infinity}', JSON, InvalidPayload),
    (b'{"a":"\\ud800"}', JSON, InvalidPayload),
    (b'{"a":"\xff"}', JSON, InvalidPayload),
    (b"\xff", "text/plain", InvalidPayload),
    (b"\xff", "", InvalidPayload),
    (b"\xff", FORM, InvalidPayload),
    (b"&" * 1001, FORM, InvalidPayload),
    (b"a", "text/plain; charset=klingon", UnsupportedMediaType),
    (b"a", "text/plain; charset=hex", UnsupportedMediaType),
    (b"a", "text/plain; charset=iso-8859-99", UnsupportedMediaType),
    (b"\\ud800", "text/plain; charset=unicode_escape", UnsupportedMediaType),
    (b"+2AA-", "text/plain; charset=utf-7", UnsupportedMediaType),
    (b"a" * 9999, "text/plain; charset=idna", UnsupportedMediaType),
    (b"a" * 9999, "text/plain; charset=punycode", UnsupportedMediaType),
    (b"a", "application/xml", UnsupportedMediaType),
    (b"a", "image/png", UnsupportedMediaType),
    (b"a", "application/octet-stream", UnsupportedMediaType),
    (b"a", "nonsense", UnsupportedMediaType),
    (b"a", "multipart/form-data", InvalidPayload),
    (b"a", "multipart/form-data; boundary=x", InvalidPayload),
    (b"--x\r\n\r\nno name\r\n--x--\r\n", "multipart/form-data; boundary=x", InvalidPayload),
    (b"preamble\r\n--x--\r\n", "multipart/form-data; boundary=x", InvalidPayload),
    (b"a", "multipart/mixed; boundary=x", UnsupportedMediaType),
]


@pytest.mark.parametrize(("body", "content_type", "error"), REFUSED)
def test_a_body_that_cannot_be_meant_is_refused(
    body: bytes, content_type: str, error: type[RunnerError]
) -> None:
    """400 for what does not parse, 415 for what nobody here can read."""
    with pytest.raises(error) as caught:
        parse(body, content_type)
    assert type(caught.value) is error


def test_json_is_as_deep_as_the_limit_says() -> None:
    """One level more is refused, however small the body."""
    assert parse(b"[" * 100 + b"1" + b"]" * 100, JSON) != []
    with pytest.raises(InvalidPayload, match="deeper than 100"):
        parse(b"[" * 101 + b"1" + b"]" * 101, JSON)
    with pytest.raises(InvalidPayload):
        parse(b"[" * 100_000 + b"]" * 100_000, JSON)


FORM_DATA = (
    b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    b'--x\r\nContent-Disposition: form-data; name="b"\r\n\r\nfirst\r\n'
    b'--x\r\nContent-Disposition: form-data; name="b"\r\n\r\nsecond\r\n'
    b'--x\r\nContent-Disposition: form-data; name="f"; filename="t.csv"\r\n'
    b"Content-Type: text/csv\r\n\r\nx;y\r\n--x--\r\n"
)


def test_a_multipart_form_is_an_object() -> None:
    """Fields are text, a repeated one is a list, a file says its name and type."""
    assert parse(FORM_DATA, "multipart/form-data; boundary=x") == {
        "a": "1",
        "b": ["first", "second"],
        "f": {"filename": "t.csv", "type": "text/csv", "content": "x;y"},
    }


def test_a_part_may_be_as_large_as_a_body() -> None:
    """The limit of the body is the only one: a file of 300 KiB arrives whole."""
    form = FORM_DATA.replace(b"x;y", b"x" * 300_000)
    value: Any = parse(form, "multipart/form-data; boundary=x")

    assert value["f"]["content"] == "x" * 300_000


def test_a_large_form_is_read_like_a_small_one() -> None:
    """Only where it is read differs."""
    assert parse(b"a=" + b"x" * 100_000 + b"&b[c]=1", FORM) == {
        "a": "x" * 100_000,
        "b": {"c": "1"},
    }


def test_a_multipart_form_has_a_limited_number_of_parts() -> None:
    """A megabyte of tiny parts is nobody's form."""
    part = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n'
    with pytest.raises(InvalidPayload, match="more than 1000 parts"):
        parse(part * 1001 + b"--x--\r\n", "multipart/form-data; boundary=x")


@given(
    st.binary(max_size=200) | st.sampled_from(list(FORM_DATA.split(b"\r\n"))).map(lambda b: b * 3),
    st.sampled_from([JSON, FORM, "multipart/form-data; boundary=x", "text/plain", "", "a/b"]),
)
def test_any_body_is_a_value_or_refused(body: bytes, content_type: str) -> None:
    """No bytes under any type are an error of ours."""
    with contextlib.suppress(InvalidPayload, InvalidQuery, UnsupportedMediaType):
        orjson.dumps(parse(body, content_type))


@given(st.lists(st.tuples(st.integers(0, len(FORM_DATA) - 1), st.integers(0, 255)), max_size=8))
def test_a_damaged_form_is_a_value_or_refused(damage: list[tuple[int, int]]) -> None:
    """Wherever a multipart form is damaged, the answer is a value or a 4xx."""
    form = bytearray(FORM_DATA)
    for at, byte in damage:
        form[at] = byte
    with contextlib.suppress(InvalidPayload, InvalidQuery, UnsupportedMediaType):
        orjson.dumps(parse(bytes(form), "multipart/form-data; boundary=x"))
