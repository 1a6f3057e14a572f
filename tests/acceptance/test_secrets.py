"""Secrets and callers' credentials never come out of the daemon: not whole, not in another form."""

# ruff: noqa: E501 - flows and requests that differ in one place are read side by side

import base64
import hashlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from tests.acceptance.daemon import Daemon

#: Each is odd in its own way, so that every form of writing it differs from the others.
SECRET = 'canary"one\\ü/+& 12345'
HOOK = "canary/two+&=%12345"
ADMIN = "canary-three~!*'()12345"
COOKIE = "canary.four.12345"
WRONG = "canary-five-12345"
BASIC = "canary-six:12345"
CANARIES = (SECRET, HOOK, ADMIN, COOKIE, WRONG, BASIC)

#: Longer than any message shows of a value: no part of it may come out either.
LONG = "canary-seven-" + hashlib.shake_256(b"canary").hexdigest(160)


def forms(secret: str) -> Iterator[str]:
    """How a secret may be written."""
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield quote(secret)
    yield quote(secret, safe="")
    yield quote_plus(secret)
    for before in ("", "x", "xy"):
        text = base64.b64encode(f"{before}{secret}".encode()).decode().rstrip("=")
        yield text[4:-1]
        yield text[4:-1].translate(str.maketrans("+/", "-_"))


def find(output: bytes) -> list[str]:
    """Every canary in *output*, in whichever form, also where JSON wrote it into JSON."""
    texts = output.decode(errors="replace")
    texts += json.dumps(texts) + texts.replace("\\\\", "\\").replace('\\"', '"')
    found = [form for secret in CANARIES for form in forms(secret) if form in texts]
    return found + (["the long one"] if "canary-seven" in texts or LONG[50:70] in texts else [])


def test_the_search_finds_what_it_is_for() -> None:
    """Every form, in a line as the daemon writes it, is found; harmless text is not."""
    for secret in CANARIES:
        for form in forms(secret):
            assert find(json.dumps({"a": f"see {form}!"}).encode())
    assert find(b"canary one 12345") == []


WEBHOOK = "trigger: webhook\noptions: {method: POST, auth: %s}\n"
NONE = WEBHOOK % "none"
FLOWS = {
    # Copies of all that a caller sent, whole and in parts.
    "copies": f"""name: Copies
{WEBHOOK % "none, expose_headers: [authorization, cookie, x-hook-token]"}
operations:
  - {{type: log, options: {{message: "{{{{ $trigger }}}}"}}}}
  - {{type: log, options: {{message: "sent by {{{{ $trigger.headers.authorization }}}}, {{{{ $trigger.headers.cookie }}}}"}}}}
  - key: copy
    type: transform
    options: {{json: {{all: "{{{{ $trigger }}}}", in: ["{{{{ $trigger.headers }}}}"], b: "b={{{{ $trigger.body }}}}"}}}}
  - {{type: trigger, options: {{flow: sub, payload: "{{{{ copy }}}}"}}}}
  - {{type: throw-error, options: {{message: "{{{{ $last }}}} {{{{ copy }}}}", status: 400, code: "{{{{ $trigger.body.plain }}}}"}}}}
""",
    "sub": "name: Sub\ntrigger: operation\noptions: {return: $all}\noperations:\n"
    '  - {type: log, options: {message: "{{ $trigger }}"}}\n',
    # The secret in every place of every operation, each of which fails in its own way.
    "secret": f"""name: Secret
{NONE}
operations:
  - {{type: log, options: {{message: "the key is {{{{ $secrets.KEY }}}}"}}}}
  - {{type: transform, options: {{json: {{k: "{{{{ $secrets.KEY }}}}", "l": ["a {{{{ $secrets.KEY }}}}"]}}}}}}
  - {{type: trigger, options: {{flow: sub, payload: {{k: "{{{{ $secrets.KEY }}}}"}}}}}}
  - {{type: throw-error, options: {{message: "{{{{ $secrets.KEY }}}}", code: "{{{{ $secrets.KEY }}}}", status: 418}}}}
""",
    "not-json": f"""name: Not JSON
{NONE}
operations: [{{type: transform, options: {{json: '{{"k": {{{{ $secrets.KEY }}}}'}}}}]
""",
    "not-a-number": f"""name: Not a number
{NONE}
operations: [{{type: sleep, options: {{milliseconds: "{{{{ $secrets.KEY }}}}"}}}}]
""",
    "not-a-status": f"""name: Not a status
{NONE}
operations: [{{type: throw-error, options: {{status: "{{{{ $secrets.KEY }}}}"}}}}]
""",
    "no-such-flow": f"""name: No such flow
{NONE}
operations: [{{type: trigger, options: {{flow: "{{{{ $secrets.KEY }}}}"}}}}]
""",
    "no-such-secret": f"""name: No such secret
{NONE}
operations: [{{type: log, options: {{message: "{{{{ $secrets.KEY }}}} {{{{ $secrets.NONE }}}}"}}}}]
""",
    "long": f"""name: Long
{NONE}
operations:
  - {{type: trigger, options: {{flow: "{{{{ $secrets.LONG }}}}"}}, reject: next}}
  - {{key: next, type: log, options: {{message: "{{{{ $error }}}} {{{{ $secrets.LONG }}}}"}}}}
""",
    "compare": f"""name: Compare
{NONE}
operations: [{{type: condition, options: {{filter: {{$trigger: {{body: {{plain: {{_in: ["{{{{ $secrets.KEY }}}}", x]}}, base64: {{_eq: "{{{{ $secrets.KEY }}}}"}}}}}}}}}}}}]
""",
    "regex": f"""name: Regex
{NONE}
operations: [{{type: condition, options: {{filter: {{$trigger: {{body: {{plain: {{_regex: "({{{{ $secrets.KEY }}}}"}}}}}}}}}}}}]
""",
    "again": f"""name: Again
{NONE}
operations:
  - type: throw-error
    options: {{message: "{{{{ $secrets.KEY }}}}"}}
    retry: {{attempts: 2, delay: 1ms}}
    timeout: 1s
reject: [{{type: log, options: {{level: error, message: "{{{{ $error }}}}"}}}}]
""",
    "bearer": f"name: Bearer\n{WEBHOOK % '{kind: bearer, secret: HOOK}'}"
    'operations: [{type: log, options: {message: "{{ $trigger }}"}}]\n',
    "token": f"name: Token\n{WEBHOOK % '{kind: token, header: X-Hook-Token, secret: HOOK}'}"
    'operations: [{type: log, options: {message: "{{ $trigger }}"}}]\n',
    "hand": "name: Hand\ntrigger: manual\noptions: {fields: [{field: n, type: integer}]}\n",
}
SETTINGS = f"""
roles: {{admin: {{admin: true}}, none: {{}}}}
tokens:
  - {{name: boss, role: admin, token: {json.dumps(ADMIN)}}}
  - {{name: other, role: none, token: {{env: OTHER_TOKEN}}}}
"""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon with the secrets, that has loaded the flows."""
    daemon = Daemon(tmp_path, settings=SETTINGS, environ={"OTHER_TOKEN": "some-other-token"})
    daemon.write(**FLOWS)
    (daemon.secrets / "KEY").write_text(SECRET)
    (daemon.secrets / "LONG").write_text(LONG)
    (daemon.secrets / "HOOK").write_text(HOOK + "\n")
    with daemon:
        daemon.wait_for("generation.swapped")
        yield daemon


def everywhere(secret: str) -> dict[str, object]:
    """A body with *secret* in every form, as key, value, part and number of times."""
    return {
        "plain": secret,
        "base64": base64.b64encode(secret.encode()).decode(),
        "inside": base64.b64encode(f"user:{secret}".encode()).decode(),
        "quoted": quote(secret, safe=""),
        "json": json.dumps(json.dumps({"deep": secret})),
        "password": secret,
        secret: [f"before {secret} after", {"again": [secret] * 3}],
        "long": "x" * 20_000 + secret + "y" * 20_000,
    }


def callers(flow: str) -> list[dict[str, str]]:
    """Headers of those who call *flow*: with all there is to prove who one is, right and wrong."""
    basic = base64.b64encode(f"user:{BASIC}".encode()).decode()
    return [
        {"Authorization": f"Bearer {ADMIN}", "Cookie": f"a=b; sid={COOKIE}", "X-Hook-Token": HOOK},
        {"Authorization": f"Bearer {HOOK}"},
        {"Authorization": f"Bearer {WRONG}", "X-Hook-Token": WRONG},
        {"Authorization": f"Basic {basic}", "Cookie": f'sid="{COOKIE}"', "X-Hook-Token": WRONG},
        {"Authorization": f"Bearer {ADMIN}", "X-Hook-Token": WRONG, "Proxy-Authorization": WRONG},
    ]


def test_nothing_that_a_flow_does_shows_a_secret(daemon: Daemon) -> None:
    """Copies, messages, failures, retries, sub-flows: of the runner's secret and the callers'."""
    statuses = set()
    for flow in FLOWS:
        for headers in callers(flow):
            sent = [*headers.values(), SECRET]
            credentials = [value.partition(" ")[2] or value for value in sent]
            body = {**everywhere(SECRET), "callers": [everywhere(each) for each in credentials]}
            statuses.add(daemon.post(f"/flows/trigger/{flow}", body, headers=headers).status)
    daemon.stop()

    assert {200, 400, 401, 404, 500} <= statuses
    assert find(daemon.stdout) == []
    assert find(daemon.stderr) == []
    assert b"--redacted--" in daemon.stdout


@pytest.mark.parametrize(
    "operation",
    [
        'sleep, options: {milliseconds: "{{ $secrets.LONG }}"}',
        'log, options: {message: x, level: "{{ $secrets.LONG }}"}',
        'throw-error, options: {status: "{{ $secrets.LONG }}"}',
    ],
)
def test_no_part_of_a_long_secret_is_shown(daemon: Daemon, operation: str) -> None:
    """A message that is about a value does not begin to tell it."""
    daemon.write(misfit=f"name: Misfit\n{NONE}\noperations: [{{type: {operation}}}]\n")
    daemon.post("/reload", headers={"Authorization": f"Bearer {ADMIN}"})

    assert daemon.post("/flows/trigger/misfit").status == 500
    daemon.stop()

    assert find(daemon.stdout) == []


def test_nothing_that_is_refused_shows_a_secret(daemon: Daemon) -> None:
    """Whatever is wrong with a delivery, its record says so without it."""
    for headers in callers("bearer"):
        for value in {SECRET, *headers.values()}:
            canary = value.partition(" ")[2] or value
            text = canary.encode("ascii", "replace").decode()
            path = quote(canary, safe="")
            for name in ("bearer", "token", "hand", "copies"):
                at = f"/flows/trigger/{name}"
                daemon.post(
                    at,
                    f'{{"k": {canary}'.encode(),
                    headers={**headers, "Content-Type": "application/json"},
                )
                daemon.post(
                    at, b"x", headers={**headers, "Content-Type": f"text/plain; charset={text}"}
                )
                daemon.post(at, b"x", headers={**headers, "Content-Type": f"x/{text}"})
                daemon.post(at, b"x", headers={**headers, "Content-Encoding": text})
                daemon.post(f"{at}?access_token={path}", {"n": canary}, headers=headers)
                daemon.post(f"{at}?access_token={path}", {"n": canary})
            daemon.post(f"/flows/trigger/{path}", {}, headers=headers)
            daemon.get(f"/flows/{path}?fields={path}", headers=headers)
    daemon.stop()

    assert len([r for r in daemon.records if r["event"] == "trigger.refused"]) > 100
    assert find(daemon.stdout) == []
    assert find(daemon.stderr) == []


def test_what_is_no_http_shows_no_secret(daemon: Daemon) -> None:
    """A header that does not parse may be the one with the token."""
    host, port = daemon.url.removeprefix("http://").split(":")
    for request in (
        f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization Bearer {WRONG}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: {WRONG * 1000}\r\n\r\n",
        f"{WRONG}\r\n\r\n",
        f"GET /flows?access_token={WRONG}\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
    ):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(request.encode())
            answer = connection.recv(65536)
        assert b"INVALID_PAYLOAD" in answer or b"CONTENT_TOO_LARGE" in answer
        assert WRONG.encode() not in answer
    daemon.stop()

    assert find(daemon.stdout) == []
    assert find(daemon.stderr) == []


@pytest.mark.parametrize(
    "settings",
    [
        f"tokens:\n  - {{name: a, role: nobody, token: {json.dumps(ADMIN)}}}\n",
        f"tokens:\n  - {{name: a, role: public, tokn: {json.dumps(ADMIN)}}}\n",
        f"tokens:\n  - {{name: a, role: public, token: [{json.dumps(ADMIN)}]}}\n",
        f"tokens:\n  - {{name: a, role: public, token: {{envv: {json.dumps(ADMIN)}}}}}\n",
        f"tokens:\n  - name: a\n    role: public\n    token: {json.dumps(ADMIN)[:-1]}\n",
        f"tokens: {json.dumps(ADMIN)}\n",
    ],
)
def test_a_mistake_in_the_settings_shows_no_token(tmp_path: Path, settings: str) -> None:
    """The place is enough to find it."""
    daemon = Daemon(tmp_path, settings=settings)
    daemon.spawn()

    assert daemon.wait() == 2
    assert b"settings.yaml:" in daemon.stderr
    assert find(daemon.stdout + daemon.stderr) == []
