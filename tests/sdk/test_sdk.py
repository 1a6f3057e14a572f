"""
The real `@directus/sdk` under Node, the latest and the oldest, drives the daemon.

What goes over the wire and what the SDK makes of it is what a client of Directus expects, or what
we answer on purpose. 11.0.0 is the oldest that has `readFlows`: of the versions before it, the
betas know items and users only, and 10.x, which had classes in place of commands, no flows.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.acceptance.daemon import Daemon
from tests.sdk.calls import BOTH, LATEST, OLDEST, SETTINGS, Call
from tests.sdk.commands import ANSWERED, REFUSED
from tests.sdk.listings import LISTED

CALLS: Final = (*LISTED, *ANSWERED, *REFUSED)

HERE: Final = Path(__file__).parent

#: Seconds for npm to get the packages.
_INSTALL: Final = 120
#: Seconds for all calls of one SDK.
_CALLS: Final = 60

# The first test waits for npm, the daemon and all calls.
pytestmark = pytest.mark.timeout(_INSTALL + 2 * _CALLS)

#: How npm says that nobody answers, which is no mistake of ours.
_OFFLINE: Final = re.compile(
    r"code (EAI_AGAIN|ECONNREFUSED|ECONNRESET|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|ERR_SOCKET_TIMEOUT"
    r"|ETIMEDOUT)"
)

Outcomes = Mapping[str, Mapping[str, Any]]


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Both SDKs in `node_modules`, which npm leaves alone once they are there."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed: the Directus SDK does not drive the daemon")
    command = ["npm", "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"]
    command += [f"--cache={tmp_path_factory.mktemp('npm')}", "--no-update-notifier"]
    try:
        done = _run(command, timeout=_INSTALL)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not get the Directus SDK within {_INSTALL} s")
    offline = _OFFLINE.search(done.stderr)
    if done.returncode != 0 and offline:
        pytest.skip(f"npm cannot get the Directus SDK: {offline[1]}")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def url(packages: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the daemon listens."""
    home = tmp_path_factory.mktemp("sdk")
    shutil.copytree(HERE / "flows", home / "flows")
    with Daemon(home, settings=SETTINGS) as daemon:
        daemon.wait_for("generation.swapped")
        yield daemon.url


@pytest.fixture(scope="session")
def outcomes(url: str) -> Mapping[str, Outcomes]:
    """What came of the calls: by SDK, by the name of the call."""
    return {sdk: _drive(sdk, url) for sdk in BOTH}


def _drive(sdk: str, url: str) -> Outcomes:
    calls = [call.as_data() for call in CALLS if sdk in call.sdks]
    done = _run(["node", "drive.mjs", sdk, url], timeout=_CALLS, said=json.dumps(calls))
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["name"]: line for line in lines}


def _run(command: list[str], *, timeout: float, said: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=HERE,
        input=said,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def each(calls: Iterable[Call]) -> pytest.MarkDecorator:
    """A test for each SDK and call."""
    pairs = [(sdk, call) for sdk in BOTH for call in calls if sdk in call.sdks]
    ids = [f"{sdk}: {call.name}" for sdk, call in pairs]
    return pytest.mark.parametrize(("sdk", "call"), pairs, ids=ids)


@each(LISTED)
def test_a_query_finds_what_it_asks_for(
    sdk: str, call: Call, outcomes: Mapping[str, Outcomes]
) -> None:
    """All options of a query, as GET and as SEARCH."""
    outcome = outcomes[sdk][call.name]

    assert outcome["ok"], outcome
    assert outcome["value"] == call.value
    assert outcome["method"] == ("SEARCH" if call.helper else "GET")
    assert outcome["status"] == 200


@each(ANSWERED)
def test_a_call_returns_what_a_client_expects(
    sdk: str, call: Call, outcomes: Mapping[str, Outcomes]
) -> None:
    """One record, groups, the results of flows, and GraphQL."""
    outcome = outcomes[sdk][call.name]

    assert outcome["ok"], outcome
    assert outcome["value"] == call.value
    assert outcome["status"] == call.status


@each(REFUSED)
def test_a_refusal_is_thrown_with_its_code(
    sdk: str, call: Call, outcomes: Mapping[str, Outcomes]
) -> None:
    """A `RequestError` with the answer and its errors; the oldest throws the errors only."""
    outcome = outcomes[sdk][call.name]

    assert not outcome["ok"], outcome
    assert outcome["status"] == call.status
    thrown = outcome["error"]
    (error,) = thrown["errors"]
    assert error["extensions"]["code"] == call.code
    assert call.says in error["message"] != ""
    assert (thrown["name"], thrown["message"], thrown["status"]) == {
        LATEST: ("RequestError", error["message"], call.status),
        OLDEST: (None, None, None),
    }[sdk]


def test_every_call_has_a_name_of_its_own() -> None:
    """What came of a call is found by its name."""
    names = [(sdk, call.name) for call in CALLS for sdk in call.sdks]

    assert len(names) == len(set(names))
