"""Every way to prove oneself, asked of the real daemon as senders ask."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.acceptance.daemon import Daemon

SECRET: Final = "canary-of-the-secret"
WHSEC: Final = f"whsec_{base64.b64encode(SECRET.encode()).decode()}"
BODY: Final = json.dumps({"n": 1}).encode()
FLOW: Final = """
name: Hook
trigger: webhook
options: {{method: POST, auth: {auth}}}
operations: [{{type: transform, options: {{json: {{n: "{{{{ $trigger.body.n }}}}"}}}}}}]
"""

Proof = Callable[[bytes], Mapping[str, str]]


def mac(message: bytes) -> bytes:
    """HMAC-SHA256 with the secret."""
    return hmac.new(SECRET.encode(), message, hashlib.sha256).digest()


def in_base64(raw: bytes) -> str:
    """As text."""
    return base64.b64encode(raw).decode()


def slack(body: bytes) -> Mapping[str, str]:
    """A signature over version, time and body."""
    stamp = f"{time.time():.0f}"
    sign = mac(f"v0:{stamp}:".encode() + body).hex()
    return {"X-Slack-Signature": f"v0={sign}", "X-Slack-Request-Timestamp": stamp}


def stripe(body: bytes) -> Mapping[str, str]:
    """Time and signatures in one header."""
    stamp = f"{time.time():.0f}"
    return {"Stripe-Signature": f"t={stamp},v1={mac(f'{stamp}.'.encode() + body).hex()},v0=ab"}


def standard(body: bytes) -> Mapping[str, str]:
    """Id, time and a list of signatures."""
    stamp = f"{time.time():.0f}"
    sign = in_base64(mac(f"msg_1.{stamp}.".encode() + body))
    named = {"webhook-id": "msg_1", "webhook-timestamp": stamp}
    return {**named, "webhook-signature": f"v1,{sign}"}


WAYS: Final[dict[str, tuple[str, Proof]]] = {
    "none": ("none", lambda body: {}),
    "bearer": ("{kind: bearer, secret: S}", lambda body: {"Authorization": f"Bearer {SECRET}"}),
    "token": ("{kind: token, header: X-Key, secret: S}", lambda body: {"X-Key": SECRET}),
    "gitlab": ("{kind: gitlab, secret: S}", lambda body: {"X-Gitlab-Token": SECRET}),
    "basic": (
        "{kind: basic, username: ann, secret: S}",
        lambda body: {"Authorization": f"Basic {in_base64(f'ann:{SECRET}'.encode())}"},
    ),
    "github": (
        "{kind: github, secret: S}",
        lambda body: {"X-Hub-Signature-256": f"sha256={mac(body).hex()}"},
    ),
    "bitbucket": (
        "{kind: bitbucket, secret: S}",
        lambda body: {"X-Hub-Signature": f"sha256={mac(body).hex()}"},
    ),
    "gitea": ("{kind: gitea, secret: S}", lambda body: {"X-Gitea-Signature": mac(body).hex()}),
    "shopify": (
        "{kind: shopify, secret: S}",
        lambda body: {"X-Shopify-Hmac-Sha256": in_base64(mac(body))},
    ),
    "slack": ("{kind: slack, secret: S}", slack),
    "stripe": ("{kind: stripe, secret: S}", stripe),
    "standard": ("{kind: standard-webhooks, secret: W}", standard),
    "hmac": (
        "{kind: hmac, header: X-Sign, prefix: 'sha256=', secret: [OLD, S]}",
        lambda body: {"X-Sign": f"sha256={mac(body).hex()}"},
    ),
    "several": (
        "[{kind: stripe, secret: S}, {kind: token, header: X-Key, secret: S}]",
        lambda body: {"X-Key": SECRET},
    ),
}


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    """A daemon with a flow for each way and no secret yet."""
    daemon = Daemon(tmp_path)
    daemon.write(**{name: FLOW.format(auth=auth) for name, (auth, _) in WAYS.items()})
    return daemon


def test_each_way_lets_in_who_proves_themselves_and_nobody_else(daemon: Daemon) -> None:
    """Shut while the secret is missing, open for a proof when it is there, and never says why."""
    json_ = {"Content-Type": "application/json"}

    def statuses(body: bytes, *, proven: bool) -> dict[str, int]:
        return {
            name: daemon.post(
                f"/flows/trigger/{name}", body, headers={**json_, **(proof(BODY) if proven else {})}
            ).status
            for name, (_, proof) in WAYS.items()
        }

    with daemon:
        daemon.wait_for("generation.swapped")
        missing = statuses(BODY, proven=True)
        (daemon.secrets / "S").write_text(f"{SECRET}\n")
        (daemon.secrets / "OLD").write_text("another-one\n")
        (daemon.secrets / "W").write_text(f"{WHSEC}\n")
        good = statuses(BODY, proven=True)
        stranger = statuses(BODY, proven=False)
        changed = statuses(BODY + b" ", proven=True)
        assert daemon.stop() == 0

    signed = {"bitbucket", "gitea", "github", "hmac", "shopify", "slack", "standard", "stripe"}
    assert missing == {name: 200 if name == "none" else 503 for name in WAYS}
    assert good == dict.fromkeys(WAYS, 200)
    assert stranger == {name: 200 if name == "none" else 401 for name in WAYS}
    assert changed == {name: 401 if name in signed else 200 for name in WAYS}
    refused = [each for each in daemon.records if each["event"] == "trigger.refused"]
    assert len(refused) == 2 * (len(WAYS) - 1) + len(signed)
    for secret in (SECRET, WHSEC, in_base64(f"ann:{SECRET}".encode())):
        assert secret.encode() not in daemon.stdout
    assert daemon.stderr == b""
