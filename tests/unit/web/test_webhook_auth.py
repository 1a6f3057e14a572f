"""Webhooks that are signed, have several ways in, or look at where callers come from."""

import base64
import hashlib
import hmac
import time
from pathlib import Path
from typing import Final

import pytest

from tests.unit.web.conftest import NO_TOKENS, TOKENS, Answer, Serve, Service

HOOK: Final = "name: Hook\ntrigger: webhook\noptions: {{method: POST, auth: {auth}}}\n"
BODY: Final = b'{"n": 1}'
WHSEC: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SECRETS: Final = {
    "S": "s3cret-of-hooks", "NEW": "the-new-secret", "PAIR": "ann:p4ss:word", "WHSEC": WHSEC,
}  # fmt: skip

WAYS: Final = {
    "bitbucket": "{kind: bitbucket, secret: S}",
    "gitea": "{kind: gitea, secret: S}",
    "github": "{kind: github, secret: S}",
    "shopify": "{kind: shopify, secret: S}",
    "slack": "{kind: slack, secret: S}",
    "stripe": "{kind: stripe, secret: S}",
    "standard-webhooks": "{kind: standard-webhooks, secret: WHSEC}",
    "hmac": "{kind: hmac, header: X-Sign, secret: S}",
    "hmac of base64": (
        "{kind: hmac, header: X-Sign, algorithm: sha512, encoding: base64, prefix: 'HMAC ',"
        " secret: [NEW, S]}"
    ),
    "hmac with a timestamp": (
        "{kind: hmac, header: X-Sign, timestamp: {header: X-Time}, secret: S, tolerance: 10s}"
    ),
    "hmac with a part for its time": (
        "{kind: hmac, header: X-Sign, prefix: s=, timestamp: {param: t},"
        " signed: '{timestamp}/{body}', secret: S}"
    ),
    "gitlab": "{kind: gitlab, secret: S}",
    "basic": "{kind: basic, username: ann, secret: S}",
    "basic with a pair": "{kind: basic, secret: PAIR}",
}


def proof(way: str, body: bytes = BODY, now: float | None = None) -> dict[str, str]:
    """What a sender puts into its headers, by the formulas as they are published."""
    plain = {
        "gitlab": {"X-Gitlab-Token": SECRETS["S"]},
        "basic": {"Authorization": basic(f"ann:{SECRETS['S']}")},
        "basic with a pair": {"Authorization": basic(SECRETS["PAIR"])},
    }
    return plain[way] if way in plain else signature(way, body, now)


def signature(way: str, body: bytes, now: float | None) -> dict[str, str]:
    """The headers of those that sign."""
    stamp = f"{time.time() if now is None else now:.0f}"
    key = SECRETS["S"].encode()

    def digest(message: bytes, kind: str = "sha256") -> bytes:
        return hmac.new(key, message, getattr(hashlib, kind)).digest()

    match way:
        case "bitbucket":
            return {"X-Hub-Signature": f"sha256={digest(body).hex()}"}
        case "gitea":
            return {"X-Gitea-Signature": digest(body).hex()}
        case "github":
            return {"X-Hub-Signature-256": f"sha256={digest(body).hex()}"}
        case "shopify":
            return {"X-Shopify-Hmac-Sha256": base64.b64encode(digest(body)).decode()}
        case "slack":
            sign = digest(f"v0:{stamp}:".encode() + body).hex()
            return {"X-Slack-Signature": f"v0={sign}", "X-Slack-Request-Timestamp": stamp}
        case "stripe":
            sign = digest(f"{stamp}.".encode() + body).hex()
            return {"Stripe-Signature": f"t={stamp},v1={sign},v0=00"}
        case "standard-webhooks":
            decoded = base64.b64decode(WHSEC.removeprefix("whsec_"))
            message = f"msg_1.{stamp}.".encode() + body
            sign = base64.b64encode(hmac.new(decoded, message, hashlib.sha256).digest()).decode()
            named = {"webhook-id": "msg_1", "webhook-timestamp": stamp}
            return {**named, "webhook-signature": f"v1,{sign}"}
        case "hmac":
            return {"X-Sign": digest(body).hex()}
        case "hmac of base64":
            return {"X-Sign": f"HMAC {base64.b64encode(digest(body, 'sha512')).decode()}"}
        case "hmac with a timestamp":
            return {"X-Sign": digest(f"{stamp}.".encode() + body).hex(), "X-Time": stamp}
    assert way == "hmac with a part for its time"
    return {"X-Sign": f"t={stamp}, s={digest(f'{stamp}/'.encode() + body).hex()}"}


def basic(pair: str) -> str:
    """The header of RFC 7617."""
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def header_of(way: str) -> str:
    """The header that carries the credential."""
    return list(proof(way))[-1] if way == "standard-webhooks" else next(iter(proof(way)))


SIGNED: Final = [way for way in WAYS if way not in ("gitlab", "basic", "basic with a pair")]
DATED: Final = [way for way in WAYS if proof(way) != proof(way, now=0)]


async def call(
    service: Service, headers: dict[str, str], body: bytes = BODY, flow: str = "hook"
) -> Answer:
    """Send *body* as JSON."""
    sent = {"Content-Type": "application/json", **headers}
    return await service.post(f"/flows/trigger/{flow}", data=body, headers=sent)


@pytest.fixture
async def hook(serve: Serve, request: pytest.FixtureRequest) -> Service:
    """A server with one flow, whose `auth` is the way that the test is about."""
    return await serve(environ=SECRETS, hook=HOOK.format(auth=WAYS[request.param]))


def every(ways: list[str]) -> pytest.MarkDecorator:
    """The test for each of *ways*."""
    return pytest.mark.parametrize(("hook", "way"), [(way, way) for way in ways], indirect=["hook"])


# --- each way -----------------------------------------------------------------------------------


@every(list(WAYS))
async def test_who_proves_themselves_gets_in(hook: Service, way: str) -> None:
    """With what the sender writes; what they proved themselves with is hidden from the flow."""
    answer = await call(hook, proof(way))

    assert answer.status == 200
    assert answer.json["body"] == {"n": 1}
    assert answer.json["headers"][header_of(way).lower()] == "--redacted--"
    assert proof(way)[header_of(way)].encode() not in b"".join(hook.kept.lines)


@every(list(WAYS))
@pytest.mark.parametrize(
    "given",
    [
        None, "", " ", "x", "sha256=", "v1,", "t=,v1=", "Basic", "Basic !", "Basic YTpi", ",,,,",
        "sha256=" + "0" * 64, "é", b"\xff\xfe", b"sha256=\xff", b"v1,\xff\x80", b"t=\xff,v1=\xff",
        b"Basic \xff", "٣" * 64, "x" * 8000,
    ],
)  # fmt: skip
async def test_any_other_credential_is_wrong_and_nothing_more(
    hook: Service, way: str, given: str | bytes | None
) -> None:
    """Missing, malformed, or not even text: 401 with one body, one record, and no word of why."""
    others = {name: value for name, value in proof(way).items() if name != header_of(way)}
    lines = [f"{name}: {value}".encode() for name, value in others.items()]
    if given is not None:
        raw = given.encode() if isinstance(given, str) else given
        lines.append(header_of(way).encode() + b": " + raw)
    head = b"\r\n".join([b"POST /flows/trigger/hook HTTP/1.1", b"Host: localhost", *lines])

    answer = await hook.raw(head + b"\r\nContent-Length: 8\r\n\r\n" + BODY)

    assert (answer.status, answer.code) == (401, "INVALID_CREDENTIALS")
    assert answer.message == "Invalid user credentials."
    (record,) = hook.said("trigger.refused")
    assert record["error"]["code"] == "INVALID_CREDENTIALS"
    assert header_of(way).lower() in record["error"]["message"].lower()
    assert hook.said("execution.started") == []


@every(SIGNED)
async def test_a_body_that_is_not_the_signed_one_is_refused(hook: Service, way: str) -> None:
    """A blank more is another body; nobody looks at what it means before that."""
    blank = await call(hook, proof(way), BODY + b" ")
    junk = await call(hook, proof(way), b"{not json")

    assert (blank.status, junk.status) == (401, 401)


@every(SIGNED)
async def test_a_signed_body_that_is_no_json_is_the_callers_mistake(
    hook: Service, way: str
) -> None:
    """The signature is right, so the caller may know what is wrong."""
    answer = await call(hook, proof(way, b"{not json"), b"{not json")

    assert (answer.status, answer.code) == (400, "INVALID_PAYLOAD")


@every(DATED)
async def test_a_replayed_delivery_is_refused(hook: Service, way: str) -> None:
    """What was signed long ago, or for later, is somebody's copy."""
    now = time.time()

    for stamp in (now - 1000, now + 1000):
        answer = await call(hook, proof(way, now=stamp))
        assert answer.status == 401
    assert "s from now" in hook.said("trigger.refused")[0]["error"]["message"]


@every(SIGNED)
async def test_who_sends_no_signature_is_refused_before_the_body(hook: Service, way: str) -> None:
    """A stranger's body costs nothing."""
    answer = await hook.raw(
        b"POST /flows/trigger/hook HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
    )

    assert answer.status == 401


@every(SIGNED)
async def test_a_header_that_is_there_twice_proves_nothing(hook: Service, way: str) -> None:
    """What is verified has to be what the flow sees."""
    for doubled in proof(way):
        lines = [*proof(way).items(), (doubled, proof(way)[doubled])]
        head = "".join(f"{name}: {value}\r\n" for name, value in lines)

        answer = await hook.raw(
            b"POST /flows/trigger/hook HTTP/1.1\r\nHost: localhost\r\n"
            + head.encode()
            + b"Content-Length: 8\r\n\r\n"
            + BODY
        )

        assert answer.status == 401


async def test_bytes_are_what_is_signed(serve: Serve) -> None:
    """A compressed body is 415 before anybody looks at it; a chunked one counts whole."""
    service = await serve(environ=SECRETS, hook=HOOK.format(auth=WAYS["github"]))
    (name, value), *_ = proof("github").items()
    head = f"POST /flows/trigger/hook HTTP/1.1\r\nHost: localhost\r\n{name}: {value}\r\n"

    zipped = await call(service, {**proof("github"), "Content-Encoding": "gzip"})
    chunked = await service.raw(
        head.encode() + b'Transfer-Encoding: chunked\r\n\r\n3\r\n{"n\r\n5\r\n": 1}\r\n0\r\n\r\n'
    )

    assert zipped.status == 415
    assert chunked.status == 200


# --- secrets ------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
async def test_without_its_secret_it_stays_shut(serve: Serve, way: str) -> None:
    """503 for a good proof: not open, and not the caller's fault; 401 for none at all."""
    service = await serve(hook=HOOK.format(auth=WAYS[way]))

    answer, empty = await call(service, proof(way)), await call(service, {})

    assert (answer.status, answer.code) == (503, "SERVICE_UNAVAILABLE")
    assert answer.headers["Retry-After"]
    assert empty.status == 401
    record, _ = service.said("trigger.refused")
    assert "missing or empty" in record["error"]["message"]


@pytest.mark.parametrize(
    ("way", "secret", "told"),
    [
        ("standard-webhooks", "not-base64!", "must be a key in base64"),
        ("basic with a pair", "no-colon-in-it", "must be user and password"),
    ],
)
async def test_a_secret_that_cannot_be_one_shuts_it_too(
    serve: Serve, way: str, secret: str, told: str
) -> None:
    """Whoever runs this is told, without the secret; the caller is not."""
    environ = {"WHSEC": secret, "PAIR": secret}
    service = await serve(environ=environ, hook=HOOK.format(auth=WAYS[way]))

    answer = await call(service, proof(way))

    assert answer.status == 503
    assert told in service.said("trigger.refused")[0]["error"]["message"]
    assert secret.encode() not in b"".join(service.kept.lines) + answer.body


async def test_a_rotated_signing_secret_counts_at_once(serve: Serve, tmp_path: Path) -> None:
    """Both names may sign while one is rotated, and files are read again."""
    (tmp_path / "secrets").mkdir()
    file = tmp_path / "secrets" / "NEW"
    file.write_text("something-else\n")
    auth = "{kind: github, secret: [NEW, OLD]}"
    service = await serve(environ={"OLD": "an-older-one"}, hook=HOOK.format(auth=auth))

    before = await call(service, proof("github"))
    file.write_text(f"{SECRETS['S']}\n")
    after = await call(service, proof("github"))

    assert (before.status, after.status) == (401, 200)


# --- basic --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (basic("ann:s3cret-of-hooks"), 200),
        (basic("ann:s3cret-of-hooks").replace("Basic", "bASIC"), 200),
        (basic("ann:s3cret-of-hook"), 401),
        (basic("bob:s3cret-of-hooks"), 401),
        (basic(":s3cret-of-hooks"), 401),
        (basic("ann"), 401),
        (basic("ann:s3cret-of-hooks").replace("Basic", "Bearer"), 401),
        ("ann:s3cret-of-hooks", 401),
    ],
)
async def test_basic_wants_user_and_password(serve: Serve, given: str, status: int) -> None:
    """Both, and the scheme; a wrong one is told which scheme there is."""
    service = await serve(environ=SECRETS, hook=HOOK.format(auth=WAYS["basic"]))

    answer = await call(service, {"Authorization": given})

    assert answer.status == status
    challenge = None if status == 200 else 'Basic realm="flow", charset="UTF-8"'
    assert answer.headers.get("WWW-Authenticate") == challenge
    assert b"s3cret-of" not in b"".join(service.kept.lines)


# --- several ways -------------------------------------------------------------------------------

SEVERAL: Final = (
    "[{kind: github, secret: S}, {kind: bearer, secret: NEW}, {kind: basic, secret: PAIR}]"
)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (proof("github"), 200),
        ({"Authorization": "Bearer the-new-secret"}, 200),
        (proof("basic with a pair"), 200),
        ({**proof("github"), "Authorization": "Bearer wrong"}, 200),
        ({"X-Hub-Signature-256": "sha256=00", "Authorization": "Bearer the-new-secret"}, 200),
        ({"X-Hub-Signature-256": "sha256=00", "Authorization": "Bearer wrong"}, 401),
        ({"X-Hub-Signature-256": "sha256=00"}, 401),
        ({}, 401),
    ],
)
async def test_one_of_several_ways_is_enough(
    serve: Serve, headers: dict[str, str], status: int
) -> None:
    """A wrong one beside a right one does no harm; all that are challenges are named."""
    service = await serve(environ=SECRETS, hook=HOOK.format(auth=SEVERAL))

    answer = await call(service, headers)

    assert answer.status == status
    if status == 401:
        challenge = answer.headers["WWW-Authenticate"]
        assert challenge == 'Bearer, Basic realm="flow", charset="UTF-8"'
        (record,) = service.said("trigger.refused")
        assert record["error"]["message"].count(";") == 2


async def test_every_header_that_could_be_a_credential_is_hidden(serve: Serve) -> None:
    """Not only that of the way that was taken."""
    service = await serve(environ=SECRETS, hook=HOOK.format(auth=SEVERAL))
    headers = {**proof("github"), "Authorization": "Bearer other-canary"}

    answer = await call(service, headers)

    seen = answer.json["headers"]
    assert seen["authorization"] == seen["x-hub-signature-256"] == "--redacted--"
    assert b"other-canary" not in b"".join(service.kept.lines)


async def test_a_missing_secret_of_one_way_does_not_shut_the_others(serve: Serve) -> None:
    """But who comes by that way is told to come again."""
    service = await serve(environ={"S": SECRETS["S"]}, hook=HOOK.format(auth=SEVERAL))

    signed = await call(service, proof("github"))
    bearer = await call(service, {"Authorization": "Bearer anything"})

    assert (signed.status, bearer.status) == (200, 503)


async def test_a_token_of_the_settings_names_the_caller_of_a_signed_webhook(serve: Serve) -> None:
    """Where `Authorization` is not one of its own ways."""
    who = "operations: [{type: transform, options: {json: {role: '{{ $accountability.role }}'}}}]"
    service = await serve(TOKENS, SECRETS, hook=HOOK.format(auth=WAYS["github"]) + who)

    named = await call(service, {**proof("github"), "Authorization": "Bearer the-admin-token"})
    alone = await call(service, proof("github"))
    unsigned = await call(service, {"Authorization": "Bearer the-admin-token"})

    assert (named.json, alone.json) == ({"role": "admin"}, {"role": None})
    assert unsigned.status == 401


# --- where they come from -----------------------------------------------------------------------

FROM: Final = """
name: Hook
trigger: webhook
options: {{method: POST, auth: {auth}, allow_ips: [{ips}]}}
"""
PROXY: Final = f"{NO_TOKENS}\ntrusted_proxies: [127.0.0.1]\n"


@pytest.mark.parametrize(
    ("settings", "ips", "forwarded", "status"),
    [
        (NO_TOKENS, "127.0.0.1", None, 200),
        (NO_TOKENS, "10.0.0.0/8, 127.0.0.0/8", None, 200),
        (NO_TOKENS, "10.0.0.0/8", None, 403),
        (NO_TOKENS, "10.0.0.0/8", "10.1.2.3", 403),
        (PROXY, "10.0.0.0/8", "10.1.2.3", 200),
        (PROXY, "10.0.0.0/8", "::ffff:10.1.2.3", 200),
        (PROXY, "10.0.0.0/8", "10.1.2.3, 192.0.2.1", 403),
        (PROXY, "10.0.0.0/8", "192.0.2.1, 10.1.2.3", 200),
        (PROXY, "'2001:db8::/32'", "2001:db8::7", 200),
        (PROXY, "'2001:db8::/32'", "2001:db9::7", 403),
        (PROXY, "10.0.0.0/8", "nonsense", 403),
    ],
)
async def test_callers_come_from_where_they_may(
    serve: Serve, settings: str, ips: str, forwarded: str | None, status: int
) -> None:
    """The address of the connection, unless a proxy that is trusted says another."""
    service = await serve(settings, SECRETS, hook=FROM.format(auth="none", ips=ips))

    answer = await call(service, {"X-Forwarded-For": forwarded} if forwarded else {})

    assert answer.status == status
    refused = [record["error"]["message"] for record in service.said("trigger.refused")]
    assert all("is not in allow_ips" in message for message in refused)
    assert len(refused) == (status == 403)


async def test_the_right_address_is_no_credential(serve: Serve) -> None:
    """It is asked for beside what `auth` asks for, and first."""
    service = await serve(
        environ=SECRETS,
        near=FROM.format(auth=WAYS["github"], ips="127.0.0.1"),
        far=FROM.format(auth=WAYS["github"], ips="10.0.0.1"),
    )

    assert (await call(service, {}, flow="near")).status == 401
    assert (await call(service, proof("github"), flow="near")).status == 200
    assert (await call(service, {}, flow="far")).status == 403
    far = await call(service, proof("github"), flow="far")
    assert (far.status, far.code) == (403, "FORBIDDEN")
    assert far.message == "You don't have permission to access this."
