"""
Tokens made, checked and read.

Tokens that are compared byte by byte were made by Directus 10.13.4 or by jsonwebtoken 9.0.3.
"""

import base64
import string
from datetime import datetime
from functools import cache
from types import SimpleNamespace
from typing import Any, Final

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from runner import jsontext, schema
from runner.document import InvalidDocument
from runner.errors import OperationError
from runner.model import Severity, Status
from runner.operations import claims, json_web_token, jws
from runner.types import JSONObject, JSONValue
from tests.world import World, compiled

NOW: Final = 1700000000
SECRET: Final = "s3cret"
#: As long as the longest digest, or PyJWT warns.
LONG: Final = "0123456789abcdef" * 4

#: `{sub: "1", iat: 1700000000}`, signed with SECRET.
TOKEN: Final = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxIiwiaWF0IjoxNzAwMDAwMDAwfQ"
    ".zdr9E1hsshzwxMvk8Aqfx3kBZuZFbyinKKV2hNvqAdo"
)


# --- keys ---------------------------------------------------------------------------------------


@cache
def key(name: str) -> Any:
    """A private key, made once."""
    curves = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
    match name:
        case "RSA" | "RSA-1024":
            return rsa.generate_private_key(65537, 2048 if name == "RSA" else 1024)
        case "Ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        case "Ed448":
            return ed448.Ed448PrivateKey.generate()
        case "secp256k1":
            return ec.generate_private_key(ec.SECP256K1())
    return ec.generate_private_key(curves[name])


@cache
def private(name: str) -> str:
    """A private key as PEM."""
    data = key(name).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return str(data.decode())


@cache
def public(name: str) -> str:
    """The public key that belongs to it."""
    form = PublicFormat.SubjectPublicKeyInfo
    return str(key(name).public_key().public_bytes(Encoding.PEM, form).decode())


#: What signs and what verifies, for every algorithm.
KEYS: Final = {
    **dict.fromkeys(("HS256", "HS384", "HS512"), None),
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    "ES256": "P-256",
    "ES384": "P-384",
    "ES512": "P-521",
    "EdDSA": "Ed25519",
}


def pair(algorithm: str) -> tuple[str, str]:
    """What signs, and what verifies."""
    name = KEYS[algorithm]
    return (LONG, LONG) if name is None else (private(name), public(name))


# --- the operation ------------------------------------------------------------------------------


async def operate(operation: str, **options: Any) -> Any:
    """
    What a flow of this operation resolves with. Raises Rejected with its error.

    What cannot stand in a file comes by templates, as it does in life.
    """
    data = {name: value for name, value in options.items() if name != "options"}
    templates = {name: f"{{{{ $trigger.{name} }}}}" for name in data}
    given_ = {"operation": operation, **options, **templates}
    result = await World().operate("json-web-token", given_, data)
    if result.status is Status.RESOLVED:
        return result.value
    raise Rejected(result.value)


class Rejected(Exception):
    """The operation rejected."""

    def __init__(self, error: Any) -> None:
        super().__init__(error)
        self.error = error


async def rejection(operation: str, **options: Any) -> Any:
    """The error of an operation that rejects."""
    with pytest.raises(Rejected) as rejected:
        await operate(operation, **options)
    return rejected.value.error


async def sign(payload: JSONValue, **options: Any) -> str:
    """A token that was signed with SECRET."""
    return str(await operate("sign", payload=payload, secret=SECRET, options=options))


async def verify(token: str, secret: str = SECRET, **options: Any) -> Any:
    """What verifying gives at the time NOW, unless *options* say another one."""
    more = {"clockTimestamp": NOW, **options}
    return await operate("verify", token=token, secret=secret, options=more)


async def refusal(token: str, secret: str = SECRET, **options: Any) -> Any:
    """The error that verifying gives."""
    more = {"clockTimestamp": NOW, **options}
    return await rejection("verify", token=token, secret=secret, options=more)


def no_token(message: str) -> JSONObject:
    """The usual error."""
    return {"name": "JsonWebTokenError", "message": message}


def token_of(header: bytes | JSONValue, payload: bytes | JSONValue, signature: str) -> str:
    """A token of any parts; what is not text is written as JSON."""
    return f"{segment(header)}.{segment(payload)}.{signature}"


def segment(part: Any) -> str:
    """A part of a token."""
    data = part.encode() if isinstance(part, str) else part
    data = data if isinstance(data, bytes) else jsontext.write(data)
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


# --- signing ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "secret", "options", "token"),
    [
        ({"sub": "1", "iat": NOW}, SECRET, None, TOKEN),
        ('{"sub": "1", "iat": 1700000000}', SECRET, {}, TOKEN),
        (
            {"sub": "1", "iat": NOW}, SECRET, {"expiresIn": "1h"},
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
            ".eyJzdWIiOiIxIiwiaWF0IjoxNzAwMDAwMDAwLCJleHAiOjE3MDAwMDM2MDB9"
            ".E6WUBznB5fzVlgUM0ZLaNIRRBueBnrixml0fg-bgTuQ",
        ),
        (
            {"sub": "1", "iat": NOW}, SECRET,
            {"algorithm": "HS512", "noTimestamp": True, "issuer": "me", "audience": "you",
             "keyid": "k1"},
            "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCIsImtpZCI6ImsxIn0"
            ".eyJzdWIiOiIxIiwiYXVkIjoieW91IiwiaXNzIjoibWUifQ"
            ".ADyVLwIoI0VoLGL1VwCL70xKWQgHSxFVWNZX8iAargUhiRwwzCREPVmIKlCZdQHGJ2NNg5xtRYbtaVe3H"
            "-KQdw",
        ),
        (
            {"sub": "1", "iat": NOW}, {"a": 1}, {},
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxIiwiaWF0IjoxNzAwMDAwMDAwfQ"
            ".eJx6nlA17lrZ_UbrPsKpJaPWhAMQVwb4f0-EjXTjmcE",
        ),
        (
            {"nbf": 4000000000, "iat": 1}, SECRET, {},
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJuYmYiOjQwMDAwMDAwMDAsImlhdCI6MX0"
            ".-Iz6oFoTzUcud2q06vAzaLMSqlusg2e7WMiZpqrRODo",
        ),
        (  # numbers, the order of keys and escapes are JavaScript's
            {"b": 1, "10": 2, "9": {"z": 1, "1": 2}, "big": 1e21, "small": 1e-7, "half": 1.5,
             "whole": 2.0, "text": 'é😀"\\\n\u007f/<\u2028', "none": None, "list": [True, []],
             "iat": NOW},
            SECRET, {},
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
            ".eyI5Ijp7IjEiOjIsInoiOjF9LCIxMCI6MiwiYiI6MSwiYmlnIjoxZSsyMSwic21hbGwiOjFlLTcsImhhbGYi"
            "OjEuNSwid2hvbGUiOjIsInRleHQiOiLDqfCfmIBcIlxcXG5_LzzigKgiLCJub25lIjpudWxsLCJsaXN0Ijpbd"
            "HJ1ZSxbXV0sImlhdCI6MTcwMDAwMDAwMH0"
            ".J7tHihIDOTdXvFBbkgoaBtNVOKxk8T8xxJXns4ZMSNI",
        ),
        (  # every claim that an option adds; a kid of the header stands where keyid would
            {"iat": NOW, "a": 1}, SECRET,
            {"algorithm": "HS384", "expiresIn": "2 days", "notBefore": 10, "audience": ["a", "b"],
             "issuer": "me", "subject": "you", "jwtid": "7", "header": {"cty": "x", "kid": "own"}},
            "eyJhbGciOiJIUzM4NCIsInR5cCI6IkpXVCIsImtpZCI6Im93biIsImN0eSI6IngifQ"
            ".eyJpYXQiOjE3MDAwMDAwMDAsImEiOjEsIm5iZiI6MTcwMDAwMDAxMCwiZXhwIjoxNzAwMTcyODAwLCJhdWQi"
            "OlsiYSIsImIiXSwiaXNzIjoibWUiLCJzdWIiOiJ5b3UiLCJqdGkiOiI3In0"
            ".iF_OQuBX7XvojLMwaitYX2kqStcmpsdBJIzlhdtiQJzRXlv4cixTszXib6fM7O1n",
        ),
        (  # text without a unit is milliseconds; exp counts from an iat that is left out
            {"iat": NOW}, "ключ",
            {"header": {"typ": "at+jwt"}, "keyid": "k", "expiresIn": "120", "noTimestamp": True},
            "eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6ImsifQ.eyJleHAiOjE3MDAwMDAwMDB9"
            ".F5nLejEr5SOOUIvtdL8iRlzg29Sj7CU8WLBsG6Hix5w",
        ),
        (
            {"iat": 1700000000.5}, SECRET, {"expiresIn": 60.0, "mutatePayload": True},
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
            ".eyJpYXQiOjE3MDAwMDAwMDAuNSwiZXhwIjoxNzAwMDAwMDYwLjV9"
            ".f-9Wxo75qK7wRSMjK5CSbh9N6o66djgsMN6-1EXnPso",
        ),
    ],
)  # fmt: skip
async def test_a_token_is_that_of_directus_byte_by_byte(
    payload: JSONValue, secret: JSONValue, options: JSONObject | None, token: str
) -> None:
    """Header, claims and their order, numbers and escapes are those of jsonwebtoken."""
    assert await operate("sign", payload=payload, secret=secret, options=options) == token


async def test_payload_secret_and_options_are_templates(world: World) -> None:
    """Values keep their type."""
    options = {
        "operation": "sign",
        "payload": {"v": "{{ $trigger.v }}", "iat": 1},
        "secret": "{{ $trigger.secret }}",
        "options": {"keyid": "{{ $trigger.kid }}", "expiresIn": "{{ $trigger.v }}"},
    }

    result = await world.operate("json-web-token", options, {"v": 3, "secret": SECRET, "kid": "k1"})

    made = jws.parse(str(result.value))
    assert made is not None
    assert made.header == {"alg": "HS256", "typ": "JWT", "kid": "k1"}
    assert made.payload == {"v": 3, "iat": 1, "exp": 4}


async def test_a_token_says_when_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """In whole seconds; `noTimestamp` leaves it out."""
    monkeypatch.setattr(json_web_token, "time", SimpleNamespace(time=lambda: NOW + 0.9))

    assert await verify(await sign({})) == {"iat": NOW}
    assert await verify(await sign({"iat": 0}), ignoreExpiration=True) == {"iat": NOW}
    assert await verify(await sign({"a": 1}, noTimestamp=True)) == {"a": 1}
    assert await verify(await sign({}, expiresIn=5)) == {"iat": NOW, "exp": NOW + 5}


@pytest.mark.parametrize(
    ("payload", "options", "message"),
    [
        ("[1]", {}, 'Expected "payload" to be a plain object.'),
        ("null", {}, 'Expected "payload" to be a plain object.'),
        ({"exp": "soon"}, {}, '"exp" should be a number of seconds'),
        ({"nbf": None}, {}, '"nbf" should be a number of seconds'),
        ({"iat": True}, {}, '"iat" should be a number of seconds'),
        (
            {"exp": 1}, {"expiresIn": 1},
            'Bad "options.expiresIn" option the payload already has an "exp" property.',
        ),
        (
            {"nbf": 1}, {"notBefore": 1},
            'Bad "options.notBefore" option the payload already has an "nbf" property.',
        ),
        (
            {"aud": "a"}, {"audience": "a"},
            'Bad "options.audience" option. The payload already has an "aud" property.',
        ),
        (
            {"jti": None}, {"jwtid": "a"},
            'Bad "options.jwtid" option. The payload already has an "jti" property.',
        ),
        (
            {}, {"expiresIn": "1 fortnight"},
            '"expiresIn" should be a number of seconds or string representing a timespan'
            ' eg: "1d", "20h", 60',
        ),
    ],
)  # fmt: skip
async def test_what_cannot_be_signed_rejects(
    payload: JSONValue, options: JSONObject, message: str
) -> None:
    """In the words of jsonwebtoken."""
    error = await rejection("sign", payload=payload, secret=SECRET, options=options)

    assert error == {"name": "Error", "message": message}


async def test_payload_text_that_is_not_json_rejects() -> None:
    """The message says where it ends to be JSON."""
    error = await rejection("sign", payload="plain", secret=SECRET)

    assert error["code"] == "INVALID_JSON"
    assert error["message"].startswith("option payload is not JSON: ")


@pytest.mark.parametrize("option", ["algorithm", "audience", "subject", "expiresIn", "keyid"])
async def test_an_option_whose_template_finds_nothing_rejects(option: str) -> None:
    """It is not taken for an option that was not given."""
    more = {option: "{{ $trigger.nothing }}"}

    error = await rejection("sign", payload={}, secret=SECRET, options=more)

    assert error["code"] == "INVALID_OPTIONS"


# --- time spans ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2 days", 172800), ("1h", 3600), ("1.5H", 5400), ("120", 0.12), (".5m", 30), ("-3s", -3),
        ("10 msecs", 0.01), ("2 Weeks", 1209600), ("1y", 31557600), ("1 yr", 31557600), ("0", 0),
        ("7d ", None), ("1.", None), ("1 fortnight", None), ("h", None), ("1e3", None), ("", None),
        ("\u0661s", None), ("1 \u017f", None), ("--1s", None), ("1s\n", None),
        ("1 wee\u212as", None), ("1" + "0" * 100, None),
    ],
)  # fmt: skip
def test_a_time_span_is_read_as_the_package_ms_reads_it(text: str, seconds: float | None) -> None:
    """With its units and in any case; without a unit it is milliseconds."""
    assert claims.seconds(text) == seconds


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (4000000000, "2096-10-02T07:06:40.000Z"),
        (1700000000.1239, "2023-11-14T22:13:20.123Z"),
        (-1.5, "1969-12-31T23:59:58.500Z"),
        (1e15, None),
        (-1e15, None),
        (1e308, None),
    ],
)
def test_a_time_is_iso_text(time: float, text: str | None) -> None:
    """With milliseconds; what no calendar has is null."""
    assert claims.iso(time) == text


# --- verifying ----------------------------------------------------------------------------------


async def test_a_token_that_holds_gives_its_claims() -> None:
    """With `complete`, everything that is in it."""
    payload = {"sub": "1", "iat": NOW}

    assert await verify(TOKEN) == payload
    assert await verify(TOKEN, algorithms=["HS256"]) == payload
    assert await verify(TOKEN, complete=True) == {
        "header": {"alg": "HS256", "typ": "JWT"},
        "payload": payload,
        "signature": TOKEN.rpartition(".")[2],
    }


CLAIMS: Final[JSONObject] = {"aud": ["a", "b"], "iss": "me", "sub": "you", "jti": "7", "nonce": "n"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"audience": "b"}, None),
        ({"audience": ["x", "a"]}, None),
        ({"audience": "z"}, "jwt audience invalid. expected: z"),
        ({"audience": ["x", "y"]}, "jwt audience invalid. expected: x or y"),
        ({"issuer": "me"}, None),
        ({"issuer": ["you", "me"]}, None),
        ({"issuer": "m"}, "jwt issuer invalid. expected: m"),
        ({"issuer": ["a", "b"]}, "jwt issuer invalid. expected: a,b"),
        ({"subject": "you"}, None),
        ({"subject": "me"}, "jwt subject invalid. expected: me"),
        ({"jwtid": "7"}, None),
        ({"jwtid": "8"}, "jwt jwtid invalid. expected: 8"),
        ({"nonce": "n"}, None),
        ({"nonce": "m"}, "jwt nonce invalid. expected: m"),
        ({"maxAge": "1h"}, "iat required when maxAge is specified"),
        (
            {"audience": "a", "issuer": "me", "subject": "you", "jwtid": "7", "nonce": "n"},
            None,
        ),
    ],
)
async def test_claims_are_what_the_options_ask_for(
    options: JSONObject, message: str | None
) -> None:
    """Each of them; lists name what may be."""
    token = await sign(CLAIMS, noTimestamp=True)

    if message is None:
        assert await verify(token, **options) == CLAIMS
    else:
        assert await refusal(token, **options) == no_token(message)


@pytest.mark.parametrize(
    "options", [{"audience": "a"}, {"issuer": "a"}, {"subject": "a"}, {"nonce": "a"}]
)
@pytest.mark.parametrize("payload", [{}, {"aud": None, "iss": ["a"], "sub": 5, "nonce": ["a"]}])
async def test_a_claim_that_is_asked_for_and_missing_is_refused(
    payload: JSONObject, options: JSONObject
) -> None:
    """Also where there is something else in its place."""
    token = await sign(payload)

    assert (await refusal(token, **options))["name"] == "JsonWebTokenError"


def expired(time: float, text: str, message: str = "jwt expired") -> JSONObject:
    """The error of a token whose time is over."""
    assert claims.iso(time) == text
    return {"name": "TokenExpiredError", "message": message, "expiredAt": text}


@pytest.mark.parametrize(
    ("payload", "options", "error"),
    [
        ({"exp": NOW + 1}, {}, None),
        ({"exp": NOW}, {}, expired(NOW, "2023-11-14T22:13:20.000Z")),
        ({"exp": NOW}, {"clockTolerance": 1}, None),
        ({"exp": NOW}, {"clockTimestamp": NOW - 1}, None),
        ({"exp": 1}, {"ignoreExpiration": True}, None),
        ({"exp": "1"}, {}, no_token("invalid exp value")),
        ({"exp": None}, {}, no_token("invalid exp value")),
        ({"nbf": NOW}, {}, None),
        (
            {"nbf": NOW + 1.5}, {},
            {"name": "NotBeforeError", "message": "jwt not active",
             "date": "2023-11-14T22:13:21.500Z"},
        ),
        ({"nbf": NOW + 1}, {"clockTolerance": 1}, None),
        ({"nbf": NOW + 1}, {"ignoreNotBefore": True}, None),
        ({"nbf": True}, {}, no_token("invalid nbf value")),
        ({"iat": NOW - 59}, {"maxAge": 60}, None),
        ({"iat": NOW - 59}, {"maxAge": "1m"}, None),
        ({"iat": NOW - 60}, {"maxAge": 60, "clockTolerance": 0.5}, None),
        (
            {"iat": NOW - 60}, {"maxAge": "1 minute"},
            expired(NOW, "2023-11-14T22:13:20.000Z", "maxAge exceeded"),
        ),
        (
            {"iat": NOW - 60}, {"maxAge": "120"},
            expired(NOW - 60, "2023-11-14T22:12:20.000Z", "maxAge exceeded"),
        ),
        (
            {"iat": NOW}, {"maxAge": 0},
            expired(NOW, "2023-11-14T22:13:20.000Z", "maxAge exceeded"),
        ),
        (
            {"iat": NOW}, {"maxAge": "soon"},
            no_token('"maxAge" should be a number of seconds or string representing a timespan'
                     ' eg: "1d", "20h", 60'),
        ),
    ],
)  # fmt: skip
async def test_the_time_of_a_token_is_now(
    payload: JSONObject, options: JSONObject, error: JSONObject | None
) -> None:
    """As far as its claims and the options say; when it is, the error tells as ISO text."""
    text = token_of({"alg": "HS256"}, payload, "")[:-1]
    token = f"{text}.{segment(jwt.get_algorithm_by_name('HS256').sign(text.encode(), b's3cret'))}"

    if error is None:
        assert await verify(token, **options) == payload
    else:
        assert await refusal(token, **options) == error


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("abc", "jwt malformed"),
        ("a.b", "jwt malformed"),
        ("a.b.c.d", "jwt malformed"),
        ("a.b.c", "invalid token"),
        ("..", "invalid token"),
        (f"Bearer {TOKEN}", "invalid token"),
        (TOKEN + "=", "invalid token"),
        (TOKEN + "\n", "invalid token"),
        (token_of("5", {}, "x"), "invalid token"),
        (token_of(b"\xff", {}, "x"), "invalid token"),
        (token_of('{"alg":' + "[" * 200 + "]" * 200 + "}", {}, "x"), "invalid token"),
        (TOKEN.rpartition(".")[0] + ".", "jwt signature is required"),
        (TOKEN[:-1] + "p", "invalid signature"),  # other unused bits, the same bytes
        (TOKEN[:-2], "invalid signature"),
        (token_of({}, {}, "x"), "invalid algorithm"),
        (token_of({"alg": ["HS256"]}, {}, "x"), "invalid algorithm"),
        (token_of({"alg": "HS256", "crit": ["b64"], "b64": False}, {}, "x"),
         "jwt has critical headers, and none is supported"),
        ("a" * (1 << 20) + "..", "jwt is longer than 1 MiB"),
    ],
    ids=range(18),
)  # fmt: skip
async def test_what_is_no_good_token_is_refused(token: str, message: str) -> None:
    """In the words of jsonwebtoken, where it has them."""
    assert await refusal(token) == no_token(message)


@pytest.mark.parametrize("operation", ["verify", "decode"])
async def test_a_payload_that_has_to_be_json_and_is_not_rejects(operation: str) -> None:
    """A header that says `typ: JWT` promises it."""
    for payload in ("plain", "[" * 200 + "]" * 200, b'{"a":"\xff"}'):
        token = token_of({"alg": "HS256", "typ": "JWT"}, payload, "x")

        error = await rejection(operation, token=token, secret=SECRET)

        assert (error["name"], error["code"]) == ("SyntaxError", "INVALID_JSON")


# --- unsigned tokens ----------------------------------------------------------------------------


@pytest.mark.parametrize("signature", ["", "x", TOKEN.rpartition(".")[2]])
@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", " none", "none\x00", None])
@pytest.mark.parametrize("secret", [SECRET, "RSA"])
async def test_an_unsigned_token_is_refused(secret: str, alg: JSONValue, signature: str) -> None:
    """Whatever it says of itself, whatever the key, whether algorithms are named or not."""
    token = token_of({"alg": alg, "typ": "JWT"}, {"admin": True}, signature)
    with_key = public("RSA") if secret == "RSA" else secret

    for options in ({}, {"algorithms": ["HS256", "RS256"]}):
        error = await refusal(token, with_key, **options)
        assert error["message"] in ("jwt signature is required", "invalid algorithm")


@pytest.mark.parametrize(
    "options",
    [
        "{operation: sign, payload: {}, secret: x, options: {algorithm: none}}",
        "{operation: sign, payload: {}, secret: x, options: {header: {alg: none}}}",
        "{operation: verify, token: x, secret: x, options: {algorithms: [HS256, none]}}",
        "{operation: verify, token: x, secret: x, options: {algorithms: []}}",
        "{operation: verify, token: x, secret: x, options: {algorithms: ['{{ $last }}']}}",
    ],
)
def test_a_file_cannot_ask_for_unsigned_tokens(options: str) -> None:
    """It is an issue, as is a list of algorithms that the file does not say."""
    assert [severity for severity, _ in issues(options)] == [Severity.ERROR]


async def test_a_template_cannot_ask_for_unsigned_tokens(world: World) -> None:
    """What it gives is checked as if it had stood in the file."""
    more = {"algorithm": "{{ $trigger }}"}
    options = {"operation": "sign", "payload": {}, "secret": SECRET, "options": more}

    result = await world.operate("json-web-token", options, "none")

    assert isinstance(result.value, dict)
    assert result.value["code"] == "INVALID_OPTIONS"


# --- keys ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", KEYS)
async def test_pyjwt_verifies_what_is_signed_here_and_the_other_way_round(algorithm: str) -> None:
    """With every algorithm."""
    signing, verifying = pair(algorithm)
    payload = {"sub": "é", "iat": NOW}
    more = {"algorithm": algorithm}

    ours = await operate("sign", payload=payload, secret=signing, options=more)
    theirs = jwt.encode(payload, signing, algorithm)

    assert jwt.decode(ours, verifying, [algorithm]) == payload
    for options in ({}, {"algorithms": [algorithm]}):
        assert await verify(ours, verifying, **options) == payload
        assert await verify(theirs, verifying, **options) == payload


@pytest.mark.parametrize("name", ["RSA", "P-256", "Ed25519", "Ed448"])
async def test_a_private_key_verifies_too(name: str) -> None:
    """It holds the public one."""
    algorithm = {"RSA": "PS256", "P-256": "ES256"}.get(name, "EdDSA")
    more = {"algorithm": algorithm}

    token = await operate("sign", payload={"a": 1, "iat": 1}, secret=private(name), options=more)

    assert await verify(token, private(name)) == {"a": 1, "iat": 1}


def test_the_schema_names_the_algorithms_that_there_are() -> None:
    """Nothing can be asked for that is not known, and the other way round."""
    options = schema.load("operations/json-web-token")["properties"]["options"]["properties"]

    assert set(KEYS) == set(jws.ALGORITHMS)
    assert options["algorithm"]["anyOf"][0]["enum"] == options["algorithms"]["items"]["enum"]
    assert set(options["algorithms"]["items"]["enum"]) == set(jws.ALGORITHMS)


@pytest.mark.parametrize("algorithms", [{}, {"algorithms": list(jws.ALGORITHMS)}])
@pytest.mark.parametrize("kind", ["HS256", "RS256", "ES256", "EdDSA"])
async def test_a_key_never_verifies_what_another_kind_of_key_signed(
    kind: str, algorithms: JSONObject
) -> None:
    """Whatever the token says of its algorithm, and whatever the options allow."""
    token = await operate("sign", payload={}, secret=pair(kind)[0], options={"algorithm": kind})
    others = {"HS256", "RS256", "ES256", "ES384", "EdDSA"} - {kind}

    for other in others:
        error = await refusal(token, pair(other)[1], **algorithms)
        if algorithms:
            assert error["message"].startswith("secretOrPublicKey "), error
        else:
            assert error == no_token("invalid algorithm")


@pytest.mark.parametrize("name", ["RSA", "P-256", "Ed25519"])
async def test_a_public_key_is_never_a_secret(name: str) -> None:
    """Everybody knows it, so everybody could sign with it: algorithm confusion."""
    text = token_of({"alg": "HS256", "typ": "JWT"}, {"admin": True}, "")[:-1]
    known = public(name)
    hmac = jwt.get_algorithm_by_name("HS256")
    forged = [
        f"{text}.{segment(hmac.sign(text.encode(), secret.encode()))}"
        for secret in (known, known.strip())
    ]

    for token in forged:
        assert await refusal(token, known) == no_token("invalid algorithm")
        assert (await refusal(token, known, algorithms=["HS256"]))["message"] == (
            "secretOrPublicKey must be a symmetric key when using HS256"
        )
    error = await rejection("sign", payload={}, secret=known)
    assert error["message"] == "secretOrPrivateKey must be a symmetric key when using HS256"


def encrypted(name: str) -> str:
    """A private key that needs a password."""
    form = PrivateFormat.PKCS8
    return str(key(name).private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"x")).decode())


def other_kind() -> str:
    """A private key that no algorithm of tokens is for."""
    made = x25519.X25519PrivateKey.generate()
    return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize("algorithm", ["HS256", "RS256", "ES256", "EdDSA"])
@pytest.mark.parametrize(
    "secret",
    [
        pytest.param("-----BEGIN nonsense", id="half a frame"),
        pytest.param("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", id="nonsense"),
        pytest.param("-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----", id="certificate"),
        pytest.param(public("RSA")[:-10], id="the beginning of a key"),
        pytest.param(encrypted("P-256"), id="encrypted"),
        pytest.param(other_kind(), id="X25519"),
        pytest.param(private("secp256k1"), id="another curve"),
        pytest.param({"kty": "oct", "k": "AAAA"}, id="JWK"),
        pytest.param("ssh-rsa AAAA", id="SSH"),
    ],
)
async def test_what_is_neither_secret_nor_key_is_refused(secret: str, algorithm: str) -> None:
    """Whether it should sign or verify."""
    no_key = "is not valid key material"

    error = await rejection("sign", payload={}, secret=secret, options={"algorithm": algorithm})
    assert error == {"name": "Error", "message": f"secretOrPrivateKey {no_key}"}
    for options in ({}, {"algorithms": [algorithm]}):
        error = await rejection("verify", token=TOKEN, secret=secret, options=options)
        assert error == no_token(f"secretOrPublicKey {no_key}")


@pytest.mark.parametrize(
    ("secret", "algorithm", "message"),
    [
        (SECRET, "RS256", "must be an asymmetric key when using RS256"),
        (SECRET, "EdDSA", "must be an asymmetric key when using EdDSA"),
        (private("RSA"), "HS256", "must be a symmetric key when using HS256"),
        (private("P-256"), "ES384", "is a key for ES256, not for ES384"),
        (public("RSA"), "PS256", "must be a private key when using PS256"),
        (public("P-256"), "ES256", "must be a private key when using ES256"),
        (public("Ed25519"), "EdDSA", "must be a private key when using EdDSA"),
        (private("RSA-1024"), "RS256", "has a minimum key size of 2048 bits for RS256"),
        (private("RSA-1024"), "PS256", "has a minimum key size of 2048 bits for PS256"),
    ],
    ids=range(9),
)
async def test_a_key_that_does_not_fit_does_not_sign(
    secret: str, algorithm: str, message: str
) -> None:
    """The message says what would."""
    error = await rejection("sign", payload={}, secret=secret, options={"algorithm": algorithm})

    assert error == {"name": "Error", "message": f"secretOrPrivateKey {message}"}


def certificate(name: str) -> str:
    """The public key in a certificate, which ended long ago."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    builder = x509.CertificateBuilder(subject, subject, key(name).public_key(), 1)
    builder = builder.not_valid_before(datetime(2001, 1, 1))
    builder = builder.not_valid_after(datetime(2001, 1, 2))
    digest = None if name == "Ed25519" else hashes.SHA256()
    return builder.sign(key(name), digest).public_bytes(Encoding.PEM).decode()


@pytest.mark.parametrize("algorithm", ["RS256", "PS512", "ES256", "ES512", "EdDSA"])
async def test_a_certificate_verifies_what_its_key_signed(algorithm: str) -> None:
    """It is one more way to write a public key: it signs nothing, and is never a secret."""
    secret = certificate(KEYS[algorithm] or "")
    more = {"algorithm": algorithm}
    token = await operate("sign", payload={"iat": 1}, secret=pair(algorithm)[0], options=more)

    for options in ({}, {"algorithms": [algorithm]}):
        assert await verify(token, secret, **options) == {"iat": 1}
    other = certificate("P-384")
    assert await refusal(token, other) == no_token("invalid algorithm")
    error = await rejection("sign", payload={}, secret=secret, options=more)
    assert error["message"] == f"secretOrPrivateKey must be a private key when using {algorithm}"
    error = await refusal(TOKEN, secret, algorithms=["HS256"])
    assert error["message"] == "secretOrPublicKey must be a symmetric key when using HS256"


async def test_a_small_rsa_key_signs_where_that_is_allowed() -> None:
    """`allowInsecureKeySizes` says so."""
    more = {"algorithm": "RS256", "allowInsecureKeySizes": True}

    token = await operate("sign", payload={"iat": 1}, secret=private("RSA-1024"), options=more)

    assert await verify(token, public("RSA-1024")) == {"iat": 1}


async def test_a_key_comes_from_the_secrets_and_no_record_shows_it() -> None:
    """Neither the secret nor a text that was made of it."""
    world = World(secrets={"TOKENS": private("P-256")})
    options = {
        "operation": "sign",
        "payload": {"iat": 1},
        "secret": "{{ $secrets.TOKENS }}",
        "options": {"algorithm": "ES256"},
    }

    result = await world.operate("json-web-token", options)

    assert await verify(str(result.value), public("P-256")) == {"iat": 1}
    body = private("P-256").splitlines()[1]
    assert body.encode() not in b"".join(world.kept.lines)


# --- decoding -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "options", "expected"),
    [
        (TOKEN, {}, {"sub": "1", "iat": NOW}),
        (
            TOKEN[:-1], {"complete": True},
            {"header": {"alg": "HS256", "typ": "JWT"}, "payload": {"sub": "1", "iat": NOW},
             "signature": TOKEN.rpartition(".")[2][:-1]},
        ),
        (token_of({"alg": "none"}, {"a": 1}, ""), {}, {"a": 1}),
        (token_of({"alg": 5}, "plain", "x"), {}, "plain"),
        (token_of({}, "5", "x"), {}, "5"),
        (token_of({}, "5", "x"), {"json": True}, 5),
        (token_of({"typ": "JWT"}, "5", "x"), {}, 5),
        (token_of({}, "[1]", "x"), {}, [1]),
        (token_of({}, b"a\xff", "x"), {}, "a\ufffd"),
        (token_of({}, "[" * 200 + "]" * 200, "x"), {}, "[" * 200 + "]" * 200),
        ("abc", {}, None),
        ("a.b.c", {}, None),
        ("..", {}, None),
        (f" {TOKEN}", {}, None),
        (token_of("[]", {}, "x"), {}, None),
        (token_of("nonsense", {}, "x"), {}, None),
    ],
    ids=range(16),
)  # fmt: skip
async def test_decoding_reads_and_checks_nothing(
    token: str, options: JSONObject, expected: JSONValue
) -> None:
    """What is no token is null; a payload that is no JSON is text."""
    assert await operate("decode", token=token, options=options) == expected


async def test_decoding_has_its_limits_too() -> None:
    """A token of more than 1 MiB is not read, whoever sent it."""
    error = await rejection("decode", token="a" * ((1 << 20) + 1))

    assert error == no_token("jwt is longer than 1 MiB")


async def test_what_could_not_be_verified_is_not_signed(world: World) -> None:
    """More than 64 KiB, also of a value that is small because its parts share what they hold."""
    most = (64 << 10) - len('{"a":"","iat":1}')
    assert await verify(await sign({"a": "x" * most, "iat": 1}))
    shared: JSONValue = "x" * 1000
    for _ in range(20):
        shared = [shared, shared]
    for large in ("x" * (most + 1), "x" * 1_000_000, "\n" * (most // 2 + 1), [0] * 40_000, shared):
        payload = {"a": "{{ $trigger }}", "iat": 1}
        options = {"operation": "sign", "payload": payload, "secret": SECRET}

        result = await world.operate("json-web-token", options, large)

        message = "a token is not made of more than 64 KiB of JSON"
        assert result.value == {"name": "Error", "message": message}


@pytest.mark.parametrize("payload", [{"a": "\ud800"}, {"iat": 2**63, "nbf": 2**64}])
def test_what_json_cannot_say_is_not_signed(payload: JSONObject) -> None:
    """Half a character, and a sum that no 64 bits hold."""
    with pytest.raises(OperationError, match="cannot be written as JSON"):
        jws.to_json(payload)


def test_what_is_too_large_is_not_even_put_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing megabytes holds everything up for half a second."""
    monkeypatch.delattr(jws, "_in_order")

    with pytest.raises(OperationError, match="64 KiB"):
        jws.to_json({"a": [0] * 700_000})


async def test_the_longest_token_that_is_made_can_be_read() -> None:
    """Whatever it is made of, and with the longest header."""
    numbers = [1e20] * 10_800  # JavaScript writes them with every 0
    for longest in ("\U0001f600" * 16_000, numbers):
        token = await sign({"a": longest}, header={"a": longest})

        assert await verify(token, complete=True)


def test_keys_that_look_like_numbers_do_not_make_it_slow() -> None:
    """A deep value takes as many steps as it has parts."""
    value: JSONValue = 0
    for _ in range(90):
        value = {"1": value}

    assert jws.to_json(value) == '{"1":' * 90 + "0" + "}" * 90


# --- what is missing ----------------------------------------------------------------------------


@pytest.mark.parametrize("nothing", [None, ""])
@pytest.mark.parametrize(
    ("operation", "option", "error"),
    [
        ("sign", "payload", {"name": "Error", "message": "payload is required"}),
        ("sign", "secret",
         {"name": "Error", "message": "secret or private key must be provided"}),
        ("verify", "token", no_token("jwt must be provided")),
        ("verify", "secret", no_token("secret or public key must be provided")),
        ("decode", "token", no_token("jwt must be provided")),
    ],
)  # fmt: skip
async def test_what_is_missing_rejects(
    operation: str, option: str, error: JSONObject, nothing: JSONValue
) -> None:
    """Null and nothing are missing too."""
    given_: JSONObject = {"payload": {}, "token": TOKEN, "secret": SECRET}

    assert await rejection(operation, **{**given_, option: nothing}) == error
    del given_[option]
    assert await rejection(operation, **given_) == error


def issues(options: str) -> list[tuple[Severity, str]]:
    """What is said of a file with these options."""
    operations = f"operations: [{{type: json-web-token, options: {options}}}]"
    each = compiled(f"name: x\ntrigger: operation\n{operations}\n")
    assert not isinstance(each, InvalidDocument)
    return [(issue.severity, f"{issue.message} ({issue.hint})") for issue in each.issues]


@pytest.mark.parametrize(
    ("options", "warning"),
    [
        ("{operation: sign, payload: {a: 1}}", "sign without `secret` always rejects"),
        ("{operation: sign, payload: '', secret: x}", "sign without `payload` always rejects"),
        ("{operation: decode}", "decode without `token` always rejects"),
        (
            "{operation: verify, secret: x, options: {algorithms: [HS256]}}",
            "verify without `token` always rejects",
        ),
        (
            "{operation: verify, token: x, secret: x}",
            "without `algorithms` each token says itself how it is to be checked",
        ),
        (
            "{operation: verify, token: x, secret: x, options: {audience: a}}",
            "without `algorithms` each token says itself how it is to be checked",
        ),
        (
            "{operation: sign, payload: {}, secret: x, options: {expiresIn: '120'}}",
            '"120" means 120 milliseconds, as it has no unit (write "120s" for seconds)',
        ),
        (
            "{operation: sign, payload: {}, secret: x, options: {notBefore: soon}}",
            "`notBefore` is no time span, and always rejects",
        ),
    ],
)
def test_what_will_not_do_is_a_warning_at_load(options: str, warning: str) -> None:
    """The flow is loaded, as Directus loads it."""
    (said,) = issues(options)

    assert said[0] is Severity.WARNING
    assert said[1].startswith(warning)


@pytest.mark.parametrize(
    "options",
    [
        "{operation: sign, payload: {}, secret: x, options: {expiresIn: 120, notBefore: 1 s}}",
        "{operation: sign, payload: {}, secret: x, options: {expiresIn: '{{ $last }}'}}",
        "{operation: verify, token: x, secret: x, options: {algorithms: [HS256], maxAge: 1h}}",
        "{operation: decode, token: '{{ $last }}', options: null}",
    ],
)
def test_what_will_do_is_not_warned_of(options: str) -> None:
    """Nothing is said without a reason."""
    assert issues(options) == []


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ("{operation: verify, token: x, secret: x, options: {algorithm: HS256}}", "algorithms"),
        ("{operation: sign, payload: {}, secret: x, options: {algorithms: [HS256]}}", "algorithm"),
        ("{operation: sign, payload: {}, secret: x, options: {expiresin: 1}}", "expiresIn"),
        ("{operation: decode, token: x, options: {complet: true}}", "complete"),
    ],
)
def test_an_option_that_the_operation_does_not_take_is_an_issue(options: str, hint: str) -> None:
    """With the name that was meant, or the one that belongs to it."""
    errors = [text for severity, text in issues(options) if severity is Severity.ERROR]

    assert len(errors) == 1
    assert f'did you mean "{hint}"?' in errors[0]


@pytest.mark.parametrize(
    "options",
    [
        "{}",
        "{operation: Sign, payload: {}, secret: x}",
        "{operation: '{{ $last }}', token: x}",
        "{operation: sign, payload: [1], secret: x}",
        "{operation: sign, payload: {}, secret: [x]}",
        "{operation: sign, payload: {}, secret: x, options: {expiresIn: 1.5}}",
        "{operation: sign, payload: {}, secret: x, options: {issuer: [a]}}",
        "{operation: decode, token: x, options: '{{ $last }}'}",
        "{operation: decode, token: 5}",
    ],
)
def test_options_of_a_wrong_kind_are_an_issue(options: str) -> None:
    """What is to be done, and how it is checked, stands in the file."""
    assert Severity.ERROR in {severity for severity, _ in issues(options)}


# --- properties ---------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text()
    # Whole floats beyond are read back as integers; JavaScript has no others.
    | st.floats(-(2**53), 2**53),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
TIMED = ("iat", "exp", "nbf")
PAYLOADS = st.dictionaries(st.text().filter(lambda name: name not in TIMED), JSON, max_size=4)
FAMILIES = ("HS256", "RS256", "PS256", "ES256", "EdDSA")


async def run(operation: str, **options: Any) -> Any:
    """The bare handler: a world for every example would take longer than the test."""
    handler = json_web_token.prepare({"operation": operation}).handler
    return await handler({"operation": operation, **options}, None)


@pytest.mark.parametrize("algorithm", FAMILIES)
@settings(max_examples=50)
@given(payload=PAYLOADS)
async def test_what_is_signed_verifies(algorithm: str, payload: JSONObject) -> None:
    """Every payload comes back as it was, apart from its time."""
    signing, verifying = pair(algorithm)

    token = await run("sign", payload=payload, secret=signing, options={"algorithm": algorithm})
    back = await run("verify", token=token, secret=verifying, options={"algorithms": [algorithm]})

    assert back.pop("iat") > NOW
    assert back == payload
    assert await run("decode", token=token, options={}) == {**payload, **dict(_iat(token))}


def _iat(token: str) -> list[tuple[str, Any]]:
    made = jws.parse(token)
    assert made is not None
    assert isinstance(made.payload, dict)
    return [("iat", made.payload["iat"])]


@cache
def signed(algorithm: str) -> str:
    """A token, made once."""
    signing = jws.sign(
        {"alg": algorithm, "typ": "JWT"}, {"admin": False}, pair(algorithm)[0], allow_small=False
    )
    return str(signing)


@pytest.mark.parametrize("algorithm", FAMILIES)
@given(data=st.data())
async def test_a_token_with_another_character_does_not_verify(
    algorithm: str, data: st.DataObject
) -> None:
    """Wherever it is: there is no second way to write a token."""
    token = signed(algorithm)
    at = data.draw(st.integers(0, len(token) - 1))
    letters = string.ascii_letters + string.digits + "-_.=+/ \n"
    letter = data.draw(st.sampled_from(letters.replace(token[at], "")) | st.characters())
    changed = token[:at] + letter + token[at + 1 :]

    verifying = pair(algorithm)[1]
    for options in ({}, {"algorithms": [algorithm]}):
        if changed != token:
            with pytest.raises(OperationError):
                await run("verify", token=changed, secret=verifying, options=options)


@given(st.text() | st.text(alphabet="aZ09-_.", min_size=3) | st.binary().map(segment))
async def test_nonsense_is_refused_or_null(text: str) -> None:
    """No text breaks anything: it is an error, or null."""
    with pytest.raises(OperationError):
        await run("verify", token=text, secret=SECRET, options={})
    try:
        decoded = await run("decode", token=text or "x", options={})
    except OperationError:
        return
    assert decoded is None or jws.parse(text) is not None


@given(st.integers(-(10**9), 10**9), st.integers(0, 20), st.sampled_from(["Day", "DAYS", "d"]))
def test_so_many_units_are_so_many_times_as_long(number: int, blanks: int, unit: str) -> None:
    """Blanks between number and unit do not count, nor does case."""
    assert claims.seconds(f"{number}{' ' * blanks}{unit}") == number * 86400
