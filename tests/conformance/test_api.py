"""
The listing answers as Directus' management API does; what writes there is refused here.

The recorded requests need flows with triggers that do not exist here yet, so these five are put in
place by hand, as the listing sees them: what an import makes of a flow is proved beside this.
"""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from yarl import URL

from runner import settings, template
from runner.model import Entry, Flow, Generation, Operation, State
from runner.redact import Redactor
from runner.types import JSONObject
from runner.web import server
from tests.conformance import differences
from tests.conformance.cases import FOLDER, Case
from tests.conformance.differences import Differences, note
from tests.conformance.world import SETTINGS, recorded, without_volatile
from tests.unit.web.conftest import Service

FLOWS = json.loads((FOLDER / "api" / "flows.json").read_text("utf-8"))
CASES = {
    case.name: case
    for line in (FOLDER / "api" / "requests.jsonl").read_text("utf-8").splitlines()
    for case in [Case(flow={}, **json.loads(line))]
}


def operation(row: JSONObject, keys: dict[str, str]) -> Operation:
    """An operation as the listing sees it."""
    return Operation(
        id=row["id"],
        key=row["key"],
        type=row["type"],
        name=row["name"],
        options=template.compile({}),
        handler=cast("Any", None),
        resolve=keys.get(row["resolve"]),
        reject=keys.get(row["reject"]),
        position=(row["position_x"], row["position_y"]),
        definition=row["options"],
    )


def entry(row: JSONObject) -> Entry:
    """A flow as the listing sees it."""
    keys = {each["id"]: each["key"] for each in row["operations"]}
    shown = {key: row[key] for key in ("id", "name", "icon", "color", "description")}
    flow = Flow(
        **shown,
        key=row["name"],
        path="x.yaml",
        digest="",
        trigger=cast("Any", SimpleNamespace(kind=row["trigger"])),
        operations={each["key"]: operation(each, keys) for each in row["operations"]},
        first=keys.get(row["operation"]),
        date_created=row["date_created"],
        user_created=row["user_created"],
        definition=row["options"],
    )
    state = State.ACTIVE if row["status"] == "active" else State.INACTIVE
    return Entry(id=flow.id, key=flow.key, name=flow.name, path="x.yaml", state=state, flow=flow)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """A server with the five flows of the recording."""
    file = tmp_path / "settings.yaml"
    file.write_text(f"listen: 127.0.0.1:0\n{SETTINGS.replace('flows: [trigger]', 'flows: []')}")
    redactor = Redactor()
    made = settings.load({"secrets_dir": str(tmp_path)}, {}, file, redactor.learn)
    service = Service(made, redactor)
    entries = {each.key: each for each in map(entry, FLOWS)}
    service.registry.current = Generation(
        number=1,
        digest="digest",
        revision="revision-1",
        loaded=datetime.now(UTC),
        entries=entries,
        keys={each.id: each.key for each in entries.values()},
    )
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
    expected = recorded(case)
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
            body = json.loads(text)
    told = {"carried": True, "status": response.status, "type": kind, "body": body}
    return without_volatile(told, case)
