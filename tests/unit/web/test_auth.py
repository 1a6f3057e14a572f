"""Whom a webhook lets in."""

from pathlib import Path

import pytest

from tests.unit.web.conftest import TOKENS, Answer, Serve, Service

BEARER = """
name: Orders
trigger: webhook
options: {method: POST, auth: {kind: bearer, secret: ORDERS}}
"""
TOKEN = """
name: Orders
trigger: webhook
options: {method: POST, auth: {kind: token, header: X-Orders, secret: [NEW, OLD]}}
"""
SECRETS = {"ORDERS": "s3cret-of-orders", "NEW": "the-new-secret", "OLD": "the-old-secret"}


async def call(service: Service, flow: str = "orders", **headers: str) -> Answer:
    """Call a flow with these headers; `_` stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await service.post(f"/flows/trigger/{flow}", headers=named)


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("Bearer s3cret-of-orders", 200),
        ("bearer   s3cret-of-orders", 200),
        ("Bearer s3cret-of-order", 401),
        ("Bearer s3cret-of-orders-", 401),
        ("Bearer", 401),
        ("Bearer ", 401),
        ("Basic s3cret-of-orders", 401),
        ("s3cret-of-orders", 401),
        ("Bearer s3cret-of-örders", 401),
        ("", 401),
    ],
)
async def test_a_bearer_webhook_wants_its_secret(serve: Serve, given: str, status: int) -> None:
    """Exactly the secret, in the scheme that is named; what is not ASCII is only wrong."""
    service = await serve(environ=SECRETS, orders=BEARER)

    assert (await call(service, Authorization=given)).status == status


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("the-new-secret", 200),
        ("the-old-secret", 200),
        ("the-new-secre", 401),
        ("Bearer the-new-secret", 401),
        ("thé-new-secret", 401),
        ("", 401),
    ],
)
async def test_a_token_webhook_takes_any_of_its_secrets(
    serve: Serve, given: str, status: int
) -> None:
    """So that one can be rotated while senders still use the other."""
    service = await serve(environ=SECRETS, orders=TOKEN)

    assert (await call(service, X_Orders=given)).status == status


async def test_a_secret_in_the_query_is_no_credential(serve: Serve) -> None:
    """URLs are logged on the way: a webhook's secret is taken from its header only."""
    service = await serve(environ=SECRETS, orders=BEARER)

    answer = await service.post("/flows/trigger/orders?access_token=s3cret-of-orders")

    assert answer.status == 401


@pytest.mark.parametrize("environ", [{}, {"ORDERS": ""}, {"ORDERS": "x", "NEW": "x"}])
async def test_a_missing_secret_lets_nobody_in(serve: Serve, environ: dict[str, str]) -> None:
    """503 for every credential but a right one: not open, and not the caller's fault."""
    missing = BEARER if "ORDERS" not in environ or not environ["ORDERS"] else TOKEN
    service = await serve(environ=environ, orders=missing)

    for given in ("Bearer anything", "anything"):
        answer = await call(service, Authorization="Bearer anything", X_Orders=given)
        assert (answer.status, answer.code) == (503, "SERVICE_UNAVAILABLE")
        assert answer.headers["Retry-After"]
        assert "ORDERS" not in answer.message
        assert "OLD" not in answer.message
    assert (await call(service)).status == 401
    (first, *_) = service.said("trigger.refused")
    assert "missing" in first["error"]["message"]


async def test_one_missing_secret_does_not_lock_out_the_other(serve: Serve) -> None:
    """A rotated secret may be gone before its name is."""
    service = await serve(environ={"NEW": "the-new-secret"}, orders=TOKEN)

    assert (await call(service, X_Orders="the-new-secret")).status == 200


async def test_a_rotated_secret_counts_at_once(serve: Serve, tmp_path: Path) -> None:
    """A secret is read when it is needed."""
    (tmp_path / "secrets").mkdir()
    file = tmp_path / "secrets" / "ORDERS"
    file.write_text("the-first-one\n")
    service = await serve(orders=BEARER)

    assert (await call(service, Authorization="Bearer the-first-one")).status == 200
    file.write_text("the-second-one\n")
    assert (await call(service, Authorization="Bearer the-first-one")).status == 401
    assert (await call(service, Authorization="Bearer the-second-one")).status == 200


async def test_all_refusals_look_the_same_to_the_caller(serve: Serve) -> None:
    """One answer for every cause; the records know the cause, and never the credential."""
    service = await serve(environ=SECRETS, orders=BEARER)
    given = ["", "Bearer wrong-canary", "Basic d3JvbmctY2FuYXJ5", "Bearer wröng-canary"]

    answers = [await call(service, Authorization=value) for value in given]

    assert {answer.status for answer in answers} == {401}
    assert len({answer.body for answer in answers}) == 1
    assert {answer.headers["WWW-Authenticate"] for answer in answers} == {"Bearer"}
    records = service.said("trigger.refused")
    assert len(records) == len(given)
    assert {record["error"]["code"] for record in records} == {"INVALID_CREDENTIALS"}
    assert len({record["error"]["message"] for record in records}) == 2
    assert b"canary" not in b"".join(service.kept.lines)


async def test_the_secret_is_checked_before_the_body_is_read(serve: Serve) -> None:
    """A stranger's body costs nothing."""
    service = await serve(environ=SECRETS, orders=BEARER)

    answer = await service.raw(
        b"POST /flows/trigger/orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
    )

    assert answer.status == 401


async def test_the_credential_is_hidden_from_the_flow(serve: Serve) -> None:
    """The header that `auth` uses reads `--redacted--`, unless it is exposed."""
    exposing = TOKEN.replace("method: POST", "method: POST, expose_headers: [x-orders]")
    service = await serve(environ=SECRETS, hidden=TOKEN, open=exposing)

    hidden = await call(service, "hidden", X_Orders="the-new-secret")
    open_ = await call(service, "open", X_Orders="the-new-secret")

    assert hidden.json["headers"]["x-orders"] == "--redacted--"
    assert open_.json["headers"]["x-orders"] == "the-new-secret"
    assert b"the-new-secret" not in b"".join(service.kept.lines)


async def test_a_webhooks_own_bearer_is_not_taken_for_a_callers_token(serve: Serve) -> None:
    """And a caller's token is not taken for the webhook's secret."""
    who = "operations: [{type: transform, options: {json: {role: '{{ $accountability.role }}'}}}]"
    service = await serve(TOKENS, SECRETS, orders=BEARER + who, hooks=TOKEN + who)

    own = await call(service, Authorization="Bearer s3cret-of-orders")
    foreign = await call(service, Authorization="Bearer the-admin-token")
    both = await call(
        service, "hooks", X_Orders="the-new-secret", Authorization="Bearer the-admin-token"
    )
    wrong = await call(service, "hooks", X_Orders="the-new-secret", Authorization="Bearer nobody")

    assert own.json == {"role": None}
    assert foreign.status == 401
    assert both.json == {"role": "admin"}
    assert wrong.status == 401
