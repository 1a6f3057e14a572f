"""What of the listing is as of now, what is kept, and what is answered beside the loop."""

import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from runner.history import Created
from runner.store.memory import MemoryStore
from runner.triggers.schedule import Schedules
from runner.types import JSONObject
from runner.web import reading
from runner.web.listing import FLOWS, LISTING, OPERATIONS, Listing
from tests.unit.web.conftest import ECHO, Folder, Serve, Service
from tests.world import World

CREATED = Created("2026-01-01T00:00:00.000Z", "the id of Ada", "Ada")
LIVE = [
    "fields=key,last_execution",
    "fields=*,next_fire",
    "fields=key&sort=next_fire",
    "fields=key&filter[last_execution][_null]=true",
    r'fields=key&filter={"last\u005fexecution":{"_null":true}}',
    "fields=key&filter[date_created][_lt]=$NOW",
    "fields=key,x&alias[x]=last_execution",
    "groupBy=next_fire&aggregate[count]=*",
]


@pytest.mark.parametrize("question", LIVE)
async def test_what_may_change_any_time_has_no_tag(echo: Service, question: str) -> None:
    """However it is asked for: nobody is told that it has not changed."""
    answer = await echo.get(f"/flows?{question}")

    assert answer.status == 200
    assert "ETag" not in answer.headers


@pytest.mark.parametrize("question", ["", "?search=last_execution", "?search=$NOW", "?fields=key"])
async def test_what_changes_with_a_generation_is_told_to_be_the_same(
    echo: Service, question: str
) -> None:
    """Also where only a text is called like something that changes."""
    tag = (await echo.get(f"/flows{question}")).headers["ETag"]

    again = await echo.get(f"/flows{question}", headers={"If-None-Match": tag})

    assert (again.status, again.body) == (304, b"")


async def test_the_last_execution_is_the_last_one(echo: Service) -> None:
    """In lists, of one, and on the way back from an operation."""
    flow = (await echo.get("/flows/echo?fields=id,last_execution")).json["data"]
    assert flow["last_execution"] is None

    await echo.post(f"/flows/trigger/{flow['id']}", json={})

    one = (await echo.get("/flows/echo?fields=last_execution")).json["data"]
    (listed,) = (await echo.get("/flows?fields=last_execution")).json["data"]
    assert one == listed
    assert one["last_execution"]["status"]


def schedule(cron: str, more: str = "") -> str:
    """The text of a flow."""
    return f"name: Tick\ntrigger: schedule\noptions: {{cron: {cron}}}\n{more}"


async def test_the_next_fire_is_as_of_now(world: World) -> None:
    """In UTC, as all times are; null for what no schedule starts."""
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    schedules = Schedules(
        world.registry, world.engine, world.recorder, MemoryStore(), noon.timestamp
    )
    world.registry.subscribe(schedules.follow)
    await world.load(
        hourly=schedule("'@hourly'"), off=schedule("'@hourly'", "status: inactive\n"), echo=ECHO
    )
    listing = Listing(world.registry, Folder(world.registry), lambda _: None, schedules.next_fire)

    fires = {row["key"]: row["next_fire"] for row in listing.tables(live=True).rows(FLOWS)}

    assert fires == {"echo": None, "hourly": "2026-03-01T13:00:00.000Z", "off": None}


async def test_what_is_live_shares_what_is_not(echo: Service) -> None:
    """Only rows of flows are made anew for it."""
    listing = echo.app[LISTING]

    kept, live = listing.tables(), listing.tables(live=True)

    assert live.rows(OPERATIONS) is kept.rows(OPERATIONS)
    assert live.by_id(OPERATIONS) is kept.by_id(OPERATIONS)
    assert live.rows(FLOWS) == kept.rows(FLOWS)
    assert live.rows(FLOWS) is not kept.rows(FLOWS)


async def test_what_git_tells_anew_is_another_version(serve: Serve) -> None:
    """As many files as before, and the same generation: the answer is another all the same."""
    service = await serve(echo=ECHO)
    service.folder.created = {"echo.yaml": CREATED}
    before = await service.get("/flows?fields=date_created")
    tag = {"If-None-Match": before.headers["ETag"]}
    assert (await service.get("/flows?fields=date_created", headers=tag)).status == 304

    service.folder.created = {"echo.yaml": CREATED._replace(date="2025-01-01T00:00:00.000Z")}
    after = await service.get("/flows?fields=date_created", headers=tag)

    assert after.json["data"] == [{"date_created": "2025-01-01T00:00:00.000Z"}]
    assert after.headers["ETag"] != before.headers["ETag"]


@pytest.mark.parametrize(("large", "beside"), [(0, True), (20_000, False)])
@pytest.mark.parametrize("path", ["/flows?sort=name", "/flows/echo", "/flows?export=xml"])
async def test_large_answers_are_made_beside_the_loop(
    echo: Service, monkeypatch: pytest.MonkeyPatch, path: str, large: int, beside: bool
) -> None:
    """They are the same; small ones are not worth a thread."""
    threads: list[threading.Thread] = []
    answer = reading._answer

    def watched(*given: Any) -> Any:
        threads.append(threading.current_thread())
        return answer(*given)

    monkeypatch.setattr(reading, "_LARGE", large)
    monkeypatch.setattr(reading, "_answer", watched)

    assert (await echo.get(path)).status == 200
    assert (threads[0] is not threading.main_thread()) is beside


async def test_mistakes_beside_the_loop_are_told(
    echo: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the usual envelope."""
    monkeypatch.setattr(reading, "_LARGE", 0)
    rules: list[JSONObject] = [{"name": {"_in": ["x"] * 200}}] * 51

    missing = await echo.get("/flows/nope")
    too_much = await echo.ask("SEARCH", "/flows", json={"query": {"filter": {"_or": rules}}})

    assert missing.status == 404
    assert (too_much.status, too_much.code) == (400, "INVALID_QUERY")
