"""Secrets never leave: in any form, in any place."""

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import redact
from runner.fit import well_formed
from runner.redact import PLACEHOLDER, Redactor
from runner.types import JSONObject, JSONValue
from tests.records import texts

CANARY = 'Canary/7 "+é~\n%?'

FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "inside a sentence": "before {} after".format,
    "JSON": lambda secret: orjson.dumps({"a": secret}).decode(),
    "JSON in JSON": lambda secret: json.dumps(json.dumps({"a": secret}, ensure_ascii=False)),
    "ASCII JSON": lambda secret: json.dumps({"a": secret}),
    "URL": lambda secret: f"http://host/{quote(secret, safe='')}?x",
    "URL in lower case": lambda secret: re.sub(
        "%..", lambda code: code[0].lower(), quote(secret, safe="")
    ),
    "path": quote,
    "encodeURIComponent": lambda secret: quote(secret, safe="!*'()"),
    "form": lambda secret: f"a={quote_plus(secret)}&b=1",
    "base64": lambda secret: b64encode(secret.encode()).decode(),
    "URL-safe base64": lambda secret: urlsafe_b64encode(secret.encode()).decode(),
    "base64 without padding": lambda secret: b64encode(secret.encode()).decode().rstrip("="),
}
#: What a form must not contain any more; base64 keeps at most the characters at its edges.
PARTS = ("Canary", '7 "+', "nary%2F7", "nary/7", "bmFyeS83", "FuYXJ5Lz", "5hcnkvNy")


def knowing(*secrets: str) -> Redactor:
    """A redactor that has learned *secrets*, in that order."""
    redactor = Redactor()
    for secret in secrets:
        redactor.learn(secret)
    return redactor


@pytest.fixture(params=["learned", "credential"])
def clean(request: pytest.FixtureRequest) -> Callable[[JSONObject], tuple[JSONObject, list[str]]]:
    """Redacts `CANARY`, known in either way, and proves that the fast look saw it coming."""
    learned = request.param == "learned"
    redactor = knowing(CANARY) if learned else Redactor()
    credentials = () if learned else (CANARY,)

    def run(record: JSONObject) -> tuple[JSONObject, list[str]]:
        result = redactor.redact(record, credentials)
        assert redactor.suspicious(orjson.dumps(record), credentials) == (result[0] != record)
        return result

    return run


Clean = Callable[[JSONObject], tuple[JSONObject, list[str]]]


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_found_in_every_form(clean: Clean, form: str) -> None:
    """However a secret was encoded on its way, what identifies it is gone."""
    record, paths = clean({"data": {"text": FORMS[form](CANARY)}})

    assert PLACEHOLDER in record["data"]["text"]
    assert not [part for part in PARTS if part in record["data"]["text"]]
    assert paths == ["data.text"]


@pytest.mark.parametrize("offset", range(6))
def test_a_secret_is_found_inside_a_longer_base64_text(clean: Clean, offset: int) -> None:
    """As in Basic authentication, wherever among the groups of three bytes it begins."""
    text = b64encode(b"u" * offset + CANARY.encode() + b"tail").decode()

    record, _ = clean({"data": {"text": text}})

    assert PLACEHOLDER in record["data"]["text"]
    assert len(record["data"]["text"].replace(PLACEHOLDER, "")) <= 4 * (offset // 3 + 4)


@pytest.mark.parametrize(
    ("record", "path"),
    [
        ({"message": f"it said {CANARY}."}, "message"),
        ({"data": {"a": {"b": [{"c": CANARY}]}}}, "data.a.b.0.c"),
        ({"data": {f"key {CANARY}": 1}}, f"data.key {PLACEHOLDER}"),
        ({"error": {"name": "Error", "message": f"\t{CANARY}"}}, "error.message"),
        ({"data": {"list": [1, [CANARY, 2]]}}, "data.list.1.0"),
    ],
)
def test_a_secret_is_found_in_every_place(clean: Clean, record: JSONObject, path: str) -> None:
    """Messages, errors, keys, arrays: nothing is left out, and the path says where it was."""
    result, paths = clean(record)

    assert not [text for text in texts(result) if "anary" in text]
    assert paths == [path]


def test_the_rest_of_a_text_stays() -> None:
    """Only the secret goes; what stands around it can still be read."""
    record, _ = knowing("s3cr3t-value").redact({"url": "http://u:s3cr3t-value@host/path?q=1"})

    assert record == {"url": f"http://u:{PLACEHOLDER}@host/path?q=1"}


def test_a_record_without_secrets_is_not_suspicious() -> None:
    """The fast look spares nearly all records the walk, and the walk would change nothing."""
    redactor = knowing(CANARY, "1234")
    record = {"event": "execution.finished", "data": {"keys": ["a", 12345, None], "tokens": 3}}

    assert not redactor.suspicious(orjson.dumps(record))
    assert redactor.redact(record) == (record, [])


@pytest.mark.parametrize(
    "key",
    [
        "authorization", "Authorization", "Proxy-Authorization", "cookie", "Set-Cookie",
        "X-Api-Key", "x_api_key", "apikey", "API_KEY", "apiKey", "token", "access_token",
        "refreshToken", "X-Gitlab-Token", "password", "db_password", "passwd", "secret",
        "client-secret", "clientSecret", "signature", "X-Hub-Signature", "x-hub-signature-256",
        "privateKey", "aws_secret_access_key", "auth_data", "credentials",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "value", ["v", "-", "--red", f"{PLACEHOLDER}x", 0, 1.5, -1, ["v"], {"a": 1}]
)
def test_what_stands_under_a_sensitive_key_is_replaced_whole(key: str, value: JSONValue) -> None:
    """At any depth, in any spelling, whatever it is."""
    redactor = Redactor()
    record = {"data": [{"deep": {key: value, "other": "stays"}}]}

    assert redactor.suspicious(orjson.dumps(record))
    assert redactor.redact(record) == (
        {"data": [{"deep": {key: PLACEHOLDER, "other": "stays"}}]},
        [f"data.0.deep.{key}"],
    )


@pytest.mark.parametrize("value", [None, True, False, "", PLACEHOLDER])
def test_values_that_tell_nothing_stay_under_a_sensitive_key(value: JSONValue) -> None:
    """`"token": null` says something useful, and nothing secret."""
    record = {"data": {"token": value}}

    assert not Redactor().suspicious(orjson.dumps(record))
    assert Redactor().redact(record) == (record, [])


@pytest.mark.parametrize("key", ["max_tokens", "tokenizer", "secretary", "keyboard", "key", "pass"])
def test_keys_that_only_look_sensitive_stay(key: str) -> None:
    """A key is sensitive by its end, so that counts and lists can be read."""
    record = {"data": {key: "value"}}

    assert not Redactor().suspicious(orjson.dumps(record))
    assert Redactor().redact(record) == (record, [])


@pytest.mark.parametrize("name", ["header", "name", "key"])
def test_a_value_beside_a_sensitive_name_is_replaced(name: str) -> None:
    """Headers are often written as pairs, by our own `request` operation for one."""
    redactor = Redactor()
    record = {
        "headers": [{"value": "Bearer x", name: "Authorization"}, {name: "Accept", "value": "y"}]
    }

    assert redactor.suspicious(orjson.dumps(record))
    assert redactor.redact(record) == (
        {
            "headers": [
                {"value": PLACEHOLDER, name: "Authorization"},
                {name: "Accept", "value": "y"},
            ]
        },
        ["headers.0.value"],
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1234", PLACEHOLDER),
        (1234, PLACEHOLDER),
        ([1234], [PLACEHOLDER]),
        ("12345", "12345"),
        (12345, 12345),
        ("a 1234", "a 1234"),
        ({"1234": 1}, {"1234": 1}),
    ],
)
def test_a_short_secret_is_replaced_only_as_a_whole_value(
    value: JSONValue, expected: JSONValue
) -> None:
    """Four digits occur everywhere by chance."""
    redactor = knowing("1234")
    record = {"data": {"value": value, "other": 1}}

    assert redactor.redact(record)[0] == {"data": {"value": expected, "other": 1}}
    assert redactor.suspicious(orjson.dumps(record)) or value == expected
    assert Redactor().redact(record, ("1234",)) == redactor.redact(record)


@pytest.mark.parametrize("value", [12345678, 912345678.5, -12345678])
def test_a_number_that_holds_a_secret_is_replaced_whole(value: float) -> None:
    """A number has no parts that could stay."""
    assert knowing("12345678").redact({"data": {"n": value}})[0] == {"data": {"n": PLACEHOLDER}}


def test_the_longest_of_overlapping_secrets_goes_first() -> None:
    """Otherwise the tail of the longer one would stay."""
    redactor = knowing("password-1", "password-1-and-more")

    assert redactor.redact({"a": "password-1-and-more"})[0] == {"a": PLACEHOLDER}


def test_long_secrets_are_found_in_parts() -> None:
    """A copy of half a certificate is still half a certificate."""
    key = "".join(chr(65 + (index * index) % 26) + str(index) for index in range(400))
    redactor = knowing(key)

    whole, _ = redactor.redact({"a": f"<{key}>"})
    half, _ = redactor.redact({"a": f"<{key[: len(key) // 2]}>"})

    assert set(whole["a"].replace(PLACEHOLDER, "")) == set("<>")
    assert len(half["a"]) < 256


def test_the_longest_unused_secrets_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded, and what is read again and again stays known."""
    monkeypatch.setattr(redact, "MAX_PIECES", 3)
    redactor = knowing("secret-1", "secret-2", "secret-3", "secret-1", "secret-4")

    seen = [redactor.suspicious(b'{"a":"secret-%d"}' % number) for number in range(1, 5)]

    assert seen == [True, False, True, True]


def test_too_many_secrets_cost_time_and_never_secrecy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the automaton does not fit into its memory, every record is walked."""
    redactor = knowing(*(f"{number:06}-{'x' * 240}" for number in range(900)))
    monkeypatch.setattr("re2.Set.Compile", lambda _: False)

    assert redactor.suspicious(b"{}")
    assert redactor.redact({"a": f"000042-{'x' * 240}"})[0] == {"a": PLACEHOLDER}


@pytest.mark.parametrize("value", ["", "redacted", PLACEHOLDER, "-"])
def test_parts_of_the_placeholder_are_no_secrets(value: str) -> None:
    """Replacing them would never come to an end."""
    assert knowing(value).redact({"a": PLACEHOLDER})[0] == {"a": PLACEHOLDER}


@pytest.mark.parametrize("length", [0, 1, 300, *range(10_000, 10_020)])
def test_the_beginning_of_a_text_ends_with_no_part_of_a_secret(length: int) -> None:
    """A secret that is cut in two would not be recognised any more."""
    beginning = knowing("s3cr3t/long/value").beginning("s3cr3t/long/value" * 5000, length)

    assert len(beginning) <= length
    assert not set(beginning) - set(PLACEHOLDER)


def test_the_beginning_of_a_short_text_is_all_of_it() -> None:
    """Only what is cut loses anything."""
    assert Redactor().beginning("short", 5) == "short"


def test_keys_that_become_equal_keep_their_values() -> None:
    """Two keys that were different secrets stay two members."""
    record, paths = knowing("secret-1", "secret-2").redact({"secret-1": 1, "secret-2": 2})

    assert record == {PLACEHOLDER: 1, f"{PLACEHOLDER}'": 2}
    assert paths == [PLACEHOLDER, f"{PLACEHOLDER}'"]


SECRETS = st.text(min_size=6, max_size=20).filter(lambda text: text not in PLACEHOLDER)
TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(secret=SECRETS, tree=TREES, before=st.text(max_size=5), after=st.text(max_size=5))
def test_no_tree_keeps_a_secret(secret: str, tree: JSONValue, before: str, after: str) -> None:
    """For any secret in any well-formed place: it is seen, and it is gone."""
    secret, before, after = (well_formed(text) for text in (secret, before, after))
    text = before + secret + after
    record = {
        "data": {"tree": orjson.loads(orjson.dumps(well(tree))), text: text, "list": [[text]]}
    }
    redactor = knowing(secret)

    result, _ = redactor.redact(record)

    assert redactor.suspicious(orjson.dumps(record))
    assert Redactor().suspicious(orjson.dumps(record), (secret,))
    assert not [text for text in texts(result) if secret in text.replace(PLACEHOLDER, "\0")]


def well(value: JSONValue) -> JSONValue:
    """*value* with every text well-formed."""
    if isinstance(value, dict):
        return {well_formed(key): well(item) for key, item in value.items()}
    if isinstance(value, list):
        return [well(item) for item in value]
    return well_formed(value) if isinstance(value, str) else value
