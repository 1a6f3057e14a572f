"""What the real daemon says of itself is true: schemathesis asks what the description allows."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.acceptance.daemon import Daemon

CONFIG: Final = Path(__file__).with_name("schemathesis.toml")
SETTINGS: Final = """
roles: {boss: {admin: true}}
tokens: [{name: boss, role: boss, token: the-admin-token}]
"""
TOKEN: Final = ("-H", "Authorization: Bearer the-admin-token")

FLOWS: Final = {
    "hello": """
name: Hello
description: Says hello.
trigger: webhook
options: {method: GET, auth: none}
operations:
  - {key: a, type: transform, options: {json: {hello: "{{ $trigger.query.name }}"}}}
""",
    "billing__order": "name: Order\ntrigger: webhook\noptions: {method: POST, auth: none}\n",
    "later": """
name: Later
trigger: webhook
options: {method: PUT, auth: none, async: true}
operations:
  - {key: a, type: transform, options: {json: 1}}
""",
    "refuses": """
name: Refuses
trigger: webhook
options: {method: DELETE, auth: none}
operations:
  - {key: a, type: throw-error, options: {status: 418, code: TEAPOT, message: no coffee}}
""",
    "button": """
name: Button
trigger: manual
options:
  fields:
    - {field: days, type: integer, required: true}
    - {field: why, type: text}
    - {field: when, type: date}
    - {field: size, type: string, choices: [s, m], default: m}
operations:
  - {key: a, type: transform, options: {json: "{{ $trigger.body }}"}}
""",
    "broken": "name: Broken\ntrigger: webhook\noptions: {method: POST}\n",
}


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(TOKEN, id="admin"),
        pytest.param(("--phases", "examples,fuzzing"), id="nobody"),
    ],
)
def test_every_answer_fits_the_description(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """No 5xx, nothing undescribed, and what the description does not allow is refused."""
    daemon = Daemon(tmp_path, settings=SETTINGS)
    daemon.write(**FLOWS)

    with daemon:
        daemon.wait_for("generation.swapped")
        done = subprocess.run(
            [
                sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()",
                "--no-color", "--config-file", str(CONFIG),
                "run", f"{daemon.url}/server/specs/oas", *arguments,
            ],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=170,
            check=False,
        )  # fmt: skip

    assert done.returncode == 0, done.stdout
    assert daemon.process.returncode == -9, "it ended by itself"
