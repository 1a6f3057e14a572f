"""
The listing answers as Directus' management API does; what writes there is refused here.

The flows are imported from the recording; what an import adds to their options is left out of what
is compared.
"""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from runner import settings
from runner.loader import Loader
from runner.operations import BUILTIN
from runner.redact import Redactor
from runner.types import JSONObject
from runner.web import server
from tests.acceptance.daemon import PATIENCE
from tests.conformance import differences
from tests.conformance.cases import FOLDER, Case
from tests.conformance.differences import Differences, note
from tests.conformance.world import SETTINGS, recorded, without_volatile
from tests.unit.web.conftest import Service
from tests.world import ROOT, snapshot

FLOWS = json.loads((FOLDER / "api" / "flows.json").read_text("utf-8"))
CASES = {
    case.name: case
    for line in (FOLDER / "api" / "requests.jsonl").read_text("utf-8").splitlines()
    for case in [Case(flow={}, **json.loads(line))]
}


#: Options that an import writes where Directus said nothing, or leaves out as it is the default.
UNSAID = {"auth": "none", "error_on_reject": False, "method": "GET"}


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files that an import makes of the five flows of the recording."""
    home = tmp_path_factory.mktemp("api")
    (home / "flows.json").write_text(json.dumps({"data": FLOWS}), "utf-8")
    command = [sys.executable, "-m", "runner", "import", "directus", str(home / "flows.json")]
    subprocess.run([*command, "--out", str(home / "flows")], check=True, timeout=PATIENCE, cwd=ROOT)
    return {path.name: path.read_bytes() for path in (home / "flows").glob("*.yaml")}


@pytest.fixture
async def service(tmp_path: Path, imported: dict[str, bytes]) -> AsyncIterator[Service]:
    """A server with the five flows of the recording."""
    file = tmp_path / "settings.yaml"
    file.write_text(f"listen: 127.0.0.1:0\n{SETTINGS.replace('flows: [trigger]', 'flows: []')}")
    redactor = Redactor()
    made = settings.load({"secrets_dir": str(tmp_path)}, {}, file, redactor.learn)
    service = Service(made, redactor)
    service.registry.swap(await Loader(BUILTIN, None).load(snapshot(imported)))
    async with (
        server.listening(service.app, made.listen) as address,
        aiohttp.ClientSession() as service.session,
    ):
        service.url = address.url
        yield service


@pytest.fixture(scope="module")
def known(request: pytest.FixtureRequest) -> Any:
    """What is known to differ."""
    found = differences.load()
    yield found
    if request.config.getoption("--update-golden"):
        differences.save(found)


@pytest.mark.parametrize("name", CASES)
async def test_the_listing_answers_as_directus_or_as_the_differences_say(
    name: str,
    service: Service,
    known: Differences,
    request: pytest.FixtureRequest,
    record_property: Any,
) -> None:
    """Status, content type and body of the management API, REST and GraphQL."""
    case = CASES[name]
    answer = await ask(service, case)
    expected = json.loads(json.dumps(recorded(case)), object_hook=_said)
    if request.config.getoption("--update-golden"):
        note(known, name, expected, answer)

    record_property("conformance", "differing" if name in known.cases else "passed")
    assert answer == known.ours(name, expected)


async def ask(service: Service, case: Case) -> JSONObject:
    """What we answer, in the form of `world.recorded`."""
    asked = case.request
    target = asked["path"] + (f"?{asked['query']}" if asked["query"] else "")
    headers = {"user-agent": "flow-conformance/1.0", **asked["headers"]}
    content = None
    if asked["hasBody"]:
        content = (asked.get("rawBody") or json.dumps(asked["body"])).encode()
        headers = {"content-type": "application/json", **headers}
    url = URL(service.url + target, encoded=True)
    async with service.session.request(
        asked["method"], url, data=content, headers=headers
    ) as response:
        text = await response.text()
        kind = response.headers.get("content-type") if text else None
        body: Any = text or None
        if kind is not None and kind.startswith("application/json") and text:
            body = json.loads(text, object_hook=_said)
    told = {"carried": True, "status": response.status, "type": kind, "body": body}
    return without_volatile(told, case)


def _said(value: JSONObject) -> JSONObject:
    """*value* without options that need not be said; having none is the same as null."""
    if not isinstance(options := value.get("options"), dict):
        return value
    said = {key: each for key, each in options.items() if UNSAID.get(key, ...) != each}
    return {**value, "options": said or None}
