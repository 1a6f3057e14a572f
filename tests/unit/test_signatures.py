"""Signatures: what senders publish, what strangers try."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import signatures
from runner.errors import InvalidCredentials
from runner.signatures import PRESETS, Scheme

GITHUB, SLACK, STRIPE = PRESETS["github"], PRESETS["slack"], PRESETS["stripe"]
STANDARD: Final = PRESETS["standard-webhooks"]
NOW: Final = 1_614_265_330.0

SLACK_BODY: Final = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow"
    b"&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner"
    b"&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands"
    b"%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)


def verify(
    scheme: Scheme,
    headers: Mapping[str, str],
    body: bytes,
    *secrets: str,
    now: float = NOW,
) -> None:
    """Verify with these secrets."""
    keys = [signatures.key(scheme, each) for each in secrets]
    signatures.verify(scheme, keys, headers, body, now)


def refusal(
    scheme: Scheme, headers: Mapping[str, str], body: bytes, *secrets: str, now: float = NOW
) -> str:
    """Why it is refused; fails if it is not."""
    with pytest.raises(InvalidCredentials) as refused:
        verify(scheme, headers, body, *secrets, now=now)
    return refused.value.reason


# --- what senders publish -----------------------------------------------------------------------

STANDARD_HEADERS: Final = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
STANDARD_SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
STANDARD_BODY: Final = b'{"test": 2432232314}'

VECTORS: Final = {
    "GitHub, Validating webhook deliveries": (
        GITHUB,
        {
            "x-hub-signature-256": (
                "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
            )
        },
        b"Hello, World!",
        "It's a Secret to Everybody",
        NOW,
    ),
    "Slack, Verifying requests": (
        SLACK,
        {
            "x-slack-request-timestamp": "1531420618",
            "x-slack-signature": (
                "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
            ),
        },
        SLACK_BODY,
        "8f742231b10e8888abcd99yyyzzz85a5",
        1531420618.0,
    ),
    "Standard Webhooks, the tests of its libraries": (
        STANDARD,
        STANDARD_HEADERS,
        STANDARD_BODY,
        STANDARD_SECRET,
        NOW,
    ),
    "RFC 4231, 4.3": (
        Scheme(header="x-signature"),
        {"x-signature": "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        b"what do ya want for nothing?",
        "Jefe",
        NOW,
    ),
    "RFC 4231, 4.3, SHA-384": (
        Scheme(header="x-signature", algorithm="sha384"),
        {
            "x-signature": "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e"
            "8e2240ca5e69e2c78b3239ecfab21649"
        },
        b"what do ya want for nothing?",
        "Jefe",
        NOW,
    ),
    "RFC 4231, 4.3, SHA-512": (
        Scheme(header="x-signature", algorithm="sha512"),
        {
            "x-signature": "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
            "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"
        },
        b"what do ya want for nothing?",
        "Jefe",
        NOW,
    ),
}


@pytest.mark.parametrize("name", VECTORS)
def test_a_published_signature_verifies(name: str) -> None:
    """And no longer when a byte is appended, or with another secret."""
    scheme, headers, body, secret, now = VECTORS[name]

    verify(scheme, headers, body, secret, now=now)

    assert "no signature of this body" in refusal(scheme, headers, body + b" ", secret, now=now)
    other = secret[:-1] + ("w" if secret[-1] != "w" else "x")
    assert "no signature of this body" in refusal(scheme, headers, body, other, now=now)


# --- every scheme -------------------------------------------------------------------------------


def signed(scheme: Scheme, body: bytes, secret: bytes, stamp: str = "") -> dict[str, str]:
    """The headers that a sender would write, by the formulas as they are published."""
    stamp = stamp or f"{NOW:.0f}"
    dated = stamp.encode()
    message = {
        SLACK: b"v0:" + dated + b":" + body,
        STRIPE: dated + b"." + body,
        STANDARD: b"msg_1." + dated + b"." + body,
    }.get(scheme, body)
    digest = hmac.new(secret, message, getattr(hashlib, scheme.algorithm)).digest()
    hexed, encoded = digest.hex(), base64.b64encode(digest).decode()
    match scheme:
        case Scheme(header="x-hub-signature-256" | "x-hub-signature"):
            return {scheme.header: f"sha256={hexed}"}
        case Scheme(header="x-gitea-signature"):
            return {scheme.header: hexed}
        case Scheme(header="x-shopify-hmac-sha256"):
            return {scheme.header: encoded}
        case Scheme(header="x-slack-signature"):
            return {scheme.header: f"v0={hexed}", "x-slack-request-timestamp": stamp}
        case Scheme(header="stripe-signature"):
            return {scheme.header: f"t={stamp},v1={hexed},v0=5257a869"}
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1a,AAAA v1,{encoded}",
    }


def secret_of(scheme: Scheme, key: bytes) -> str:
    """The secret as it is configured, for a key as it is used."""
    return f"whsec_{base64.b64encode(key).decode()}" if scheme.encoded_key else key.decode()


schemes = st.sampled_from(sorted(PRESETS.values(), key=lambda each: each.header))
keys = st.text("abcXYZ019_- ", min_size=1, max_size=40).map(str.encode)


@given(schemes, st.binary(max_size=200), keys)
def test_what_is_signed_by_the_published_formula_verifies(
    scheme: Scheme, body: bytes, key: bytes
) -> None:
    """Whatever the body is; the bytes count, not what they mean."""
    verify(scheme, signed(scheme, body, key), body, secret_of(scheme, key))


@given(schemes, st.binary(min_size=1, max_size=100), keys, st.data())
def test_one_flipped_bit_of_the_body_is_noticed(
    scheme: Scheme, body: bytes, key: bytes, data: st.DataObject
) -> None:
    """Wherever it is."""
    bit = data.draw(st.integers(0, len(body) * 8 - 1))
    other = bytearray(body)
    other[bit // 8] ^= 1 << bit % 8

    headers = signed(scheme, body, key)

    assert refusal(scheme, headers, bytes(other), secret_of(scheme, key))


@given(schemes, keys, st.data())
def test_one_changed_character_of_the_signature_is_noticed(
    scheme: Scheme, key: bytes, data: st.DataObject
) -> None:
    """Of the signature itself; in hex, case does not count."""
    headers = signed(scheme, b"{}", key)
    sent = headers[scheme.header]
    start = sent.index(scheme.prefix) + len(scheme.prefix)
    length = 64 if scheme.encoding == "hex" else 43
    at = start + data.draw(st.integers(0, length - 1))
    changed = "0" if sent[at] != "0" else "1"

    headers[scheme.header] = sent[:at] + changed + sent[at + 1 :]

    assert refusal(scheme, headers, b"{}", secret_of(scheme, key))


#: As aiohttp gives what came over the wire: bytes that are no UTF-8 are lone surrogates.
wire = st.binary(max_size=60).map(lambda raw: raw.decode("utf-8", "surrogateescape"))


@given(schemes, st.data())
def test_whatever_a_header_has_in_it_nothing_but_a_refusal_comes_of_it(
    scheme: Scheme, data: st.DataObject
) -> None:
    """No byte, no digit of another script and no half surrogate is an error of ours."""
    values = st.one_of(wire, st.text(max_size=60), st.sampled_from(["", "v1,", "t=,v1=", "٣", "²"]))
    headers = {name: data.draw(values) for name in scheme.headers}

    assert refusal(scheme, headers, b"body", secret_of(scheme, b"key"))


@given(schemes, keys, wire)
def test_junk_beside_what_is_signed_does_not_let_it_in(
    scheme: Scheme, key: bytes, junk: str
) -> None:
    """Only a header that has several signatures may have others beside the right one."""
    headers = signed(scheme, b"{}", key)
    headers[scheme.header] += f"!{junk}"

    assert refusal(replace(scheme, separator=""), headers, b"{}", secret_of(scheme, key))


# --- several secrets, several signatures --------------------------------------------------------


@given(schemes, keys, keys)
def test_any_of_several_secrets_will_do(scheme: Scheme, old: bytes, new: bytes) -> None:
    """While one is rotated, senders use one or the other."""
    configured = [secret_of(scheme, new), secret_of(scheme, old)]

    verify(scheme, signed(scheme, b"{}", old), b"{}", *configured)
    verify(scheme, signed(scheme, b"{}", new), b"{}", *configured)


def test_no_secret_lets_nobody_in() -> None:
    """Nothing to compare with is not the same as nothing to compare."""
    assert refusal(GITHUB, signed(GITHUB, b"{}", b""), b"{}")


def test_of_several_signatures_one_is_enough() -> None:
    """Senders that rotate their secret sign with both."""
    stripe = signed(STRIPE, b"{}", b"k")
    stripe["stripe-signature"] = stripe["stripe-signature"].replace("v1=", "v1=00,v1=")
    standard = {**STANDARD_HEADERS}
    standard["webhook-signature"] = "v1,AAAA v2,BBBB " + standard["webhook-signature"]

    verify(STRIPE, stripe, b"{}", "k")
    verify(STANDARD, standard, STANDARD_BODY, STANDARD_SECRET)


@pytest.mark.parametrize("version", ["v0", "v2", "V1", ""])
def test_signatures_of_another_version_do_not_count(version: str) -> None:
    """Else a sender's test signature would be as good as the real one."""
    headers = signed(STRIPE, b"{}", b"k")
    headers["stripe-signature"] = headers["stripe-signature"].replace("v1=", f"{version}=")

    assert "no signature in" in refusal(STRIPE, headers, b"{}", "k")


def test_the_text_of_a_stripe_secret_is_the_key() -> None:
    """`whsec_` included, though it looks like one of Standard Webhooks."""
    assert signatures.key(STRIPE, "whsec_MTIz") == b"whsec_MTIz"
    assert signatures.key(STANDARD, "whsec_MTIz") == signatures.key(STANDARD, "MTIz") == b"123"


@pytest.mark.parametrize("secret", ["whsec_", "whsec_not base64!", "", "whsec_ü", "=", "A"])
def test_a_secret_that_is_no_key_is_said_without_showing_it(secret: str) -> None:
    """Whoever runs this has to know; nobody else."""
    with pytest.raises(ValueError, match="must be a key in base64") as error:
        signatures.key(STANDARD, secret)

    assert "not base64!" not in str(error.value)


# --- time ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", [SLACK, STRIPE, STANDARD], ids=lambda each: each.header)
@pytest.mark.parametrize(("off", "good"), [(300, True), (-300, True), (301, False), (-301, False)])
def test_a_signature_is_good_for_five_minutes_both_ways(
    scheme: Scheme, off: int, good: bool
) -> None:
    """Clocks differ; what is older could be somebody else's copy."""
    headers = signed(scheme, b"{}", b"key")
    check = verify if good else refusal

    told = check(scheme, headers, b"{}", secret_of(scheme, b"key"), now=NOW + off)

    assert good or str(told).endswith(" is 301 s from now; 300 s are allowed")


BAD_TIMES: Final = [
    "", " ", "x", "1614265330.0", "-1614265330", "+1614265330", "1_614_265_330", "0x60379a72",
    "١٦١٤٢٦٥٣٣٠", "1614265330\x00", "1614265330000", "9" * 13, "9" * 5000, "NaN", "1e9",
]  # fmt: skip


@pytest.mark.parametrize("stamp", BAD_TIMES)
@pytest.mark.parametrize("scheme", [SLACK, STANDARD], ids=lambda each: each.header)
def test_a_timestamp_is_up_to_twelve_digits(scheme: Scheme, stamp: str) -> None:
    """Even one that is signed; milliseconds are none."""
    headers = signed(scheme, b"{}", b"key") | {scheme.timestamp: stamp}

    told = refusal(scheme, headers, b"{}", secret_of(scheme, b"key"))

    assert told.endswith(" is missing, or is not in seconds since 1970")


def test_two_timestamps_in_one_header_are_none() -> None:
    """Which of them is signed, nobody would know."""
    headers = signed(STRIPE, b"{}", b"k")
    headers["stripe-signature"] = "t=1," + headers["stripe-signature"]

    assert "stripe-signature is missing" in refusal(STRIPE, headers, b"{}", "k")


def test_the_timestamp_cannot_be_exchanged() -> None:
    """It is signed: a copy stays as old as it is."""
    headers = signed(SLACK, b"{}", b"k") | {"x-slack-request-timestamp": f"{NOW + 1:.0f}"}

    assert "no signature of this body" in refusal(SLACK, headers, b"{}", "k")


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_each_header_of_standard_webhooks_is_needed(name: str) -> None:
    """All three are signed, or are the signature."""
    headers = {each: value for each, value in STANDARD_HEADERS.items() if each != name}

    assert refusal(STANDARD, headers, STANDARD_BODY, STANDARD_SECRET)
    changed = STANDARD_HEADERS | {name: STANDARD_HEADERS[name][:-1] + "9"}
    assert refusal(STANDARD, changed, STANDARD_BODY, STANDARD_SECRET)
