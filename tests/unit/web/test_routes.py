"""Which request reaches what."""

import pytest
from yarl import URL

from runner.history import Created
from tests.unit.web.conftest import ECHO, TOKENS, Serve, Service

ID = "6b5a5a7e-3a53-4b43-9a3c-0f0f4f6c1a11"
ANSWER_42 = """
name: Answer
trigger: webhook
options: {method: %s, auth: none}
operations:
  - {key: a, type: transform, options: {json: 42}}
"""
SUB = "name: Sub\ntrigger: operation\n"
BROKEN = "name: Broken\ntrigger: webhook\noptions: {method: POST}\n"


@pytest.mark.parametrize(
    "path",
    [
        f"/flows/trigger/{ID}",
        f"/flows/trigger/{ID}/",
        "/flows/trigger/billing/order",
        "/flows/trigger/billing/order/",
        "/flows/trigger/billing%2Forder",
        "/flows/trigger/b%69lling/order",
    ],
)
async def test_a_flow_is_reached_by_uuid_and_by_key(serve: Serve, path: str) -> None:
    """The rest of the path names the flow: its id or its key, however the path is written."""
    service = await serve(billing__order=f"id: {ID}\n" + ANSWER_42 % "POST")

    async with service.session.post(URL(service.url + path, encoded=True)) as response:
        assert (response.status, await response.read()) == (200, b"42")
        assert response.headers["X-Flow-Revision"] == "revision-1"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_a_webhook_answers_to_its_method_alone(serve: Serve, method: str) -> None:
    """Every other method, HEAD and OPTIONS among them, is 405 with Allow, and runs nothing."""
    service = await serve(a=ANSWER_42 % method)
    others = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "SEARCH"} - {method}

    assert (await service.ask(method, "/flows/trigger/a")).status == 200
    for other in sorted(others):
        answer = await service.ask(other, "/flows/trigger/a")
        assert (answer.status, answer.headers["Allow"]) == (405, method)
    assert len(service.said("execution.started")) == 1
    assert len(service.said("trigger.refused")) == len(others)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/flows/trigger/unknown", 404, "ROUTE_NOT_FOUND"),
        (f"/flows/trigger/{ID}", 404, "ROUTE_NOT_FOUND"),
        ("/flows/trigger/off", 404, "ROUTE_NOT_FOUND"),
        ("/flows/trigger/sub", 404, "ROUTE_NOT_FOUND"),
        ("/flows/trigger/broken", 503, "SERVICE_UNAVAILABLE"),
        ("/flows/trigger", 405, "METHOD_NOT_ALLOWED"),
        ("/nothing", 404, "ROUTE_NOT_FOUND"),
        ("/livez", 405, "METHOD_NOT_ALLOWED"),
    ],
)
async def test_what_cannot_be_started_says_why(
    serve: Serve, path: str, status: int, code: str
) -> None:
    """404 for what does not answer, 503 for what a mistake in its file keeps from answering."""
    service = await serve(off="status: inactive\n" + ECHO, sub=SUB, broken=BROKEN)

    answer = await service.post(path)

    assert (answer.status, answer.code) == (status, code)


async def test_an_invalid_flow_names_its_issue(serve: Serve) -> None:
    """The code of the first error is told to everybody, its text and place are not."""
    service = await serve(broken=BROKEN)

    answer = await service.post("/flows/trigger/broken")

    (error,) = answer.json["errors"]
    assert error["extensions"]["issue"] == "missing-key"
    assert "broken.yaml" not in answer.body.decode()
    assert int(answer.headers["Retry-After"]) > 0


async def test_every_refused_delivery_leaves_one_record(serve: Serve) -> None:
    """Also those to flows that do not exist, so that a sender's wrong address can be found."""
    service = await serve()

    await service.post("/flows/trigger/nowhere?access_token=not-for-records")

    (record,) = service.said("trigger.refused")
    assert record["data"]["path"] == "/flows/trigger/nowhere"
    assert record["data"]["status"] == 404


def bearer(token: str) -> dict[str, str]:
    """The header that carries *token*."""
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
@pytest.mark.parametrize("path", ["/flows", "/flows/", "/flows/billing/order", f"/flows/{ID}"])
async def test_flows_change_by_commit(serve: Serve, method: str, path: str) -> None:
    """Writing is 405 with a message that says where to commit instead, and what runs."""
    service = await serve(billing__order=f"id: {ID}\n" + ECHO)

    answer = await service.ask(method, path)

    assert (answer.status, answer.code) == (405, "METHOD_NOT_ALLOWED")
    everything = path in ("/flows", "/flows/")
    assert answer.headers["Allow"] == ("GET, HEAD, SEARCH" if everything else "GET, HEAD")
    assert "commit" in answer.message
    assert "revision-1" in answer.message
    assert ("billing/order.yaml" in answer.message) is not everything


async def test_an_operation_changes_by_a_commit_to_the_file_of_its_flow(serve: Serve) -> None:
    """Whoever writes to it is told which file that is; a SEARCH of one record is none at all."""
    service = await serve(TOKENS, two=TWO)
    (first, *_) = (await service.get("/operations", headers=bearer("the-reader-token"))).json[
        "data"
    ]
    path = f"/operations/{first['id']}"

    written = await service.ask("DELETE", path, headers=bearer("the-reader-token"))
    searched = await service.ask("SEARCH", path, headers=bearer("the-reader-token"))

    assert "two.yaml" in written.message
    assert searched.message == 'Invalid method "SEARCH" used. Should be one of "GET", "HEAD".'


async def test_writing_without_permission_is_403(serve: Serve) -> None:
    """What may not be read is not told by way of an error either."""
    service = await serve(TOKENS, echo=ECHO)

    answer = await service.ask("PATCH", "/flows/echo")

    assert (answer.status, answer.code) == (403, "FORBIDDEN")


async def test_flows_are_listed_as_directus_does(serve: Serve) -> None:
    """`/flows` shows Directus' members; ours come when they are asked for by name."""
    service = await serve(
        order=f"id: {ID}\nname: Order\nicon: bolt\n"
        + ANSWER_42.replace("name: Answer", "") % "POST",
        broken=BROKEN,
    )

    rows = {row["id"]: row for row in (await service.get("/flows")).json["data"]}

    row = rows[ID]
    assert (row["name"], row["icon"], row["status"], row["trigger"]) == (
        "Order", "bolt", "active", "webhook",
    )  # fmt: skip
    assert row["operations"] == [row["operation"]]
    assert "state" not in row
    assert {row["status"] for row in rows.values()} == {"active", "inactive"}


TWO = """
name: Two
trigger: webhook
options: {method: GET, auth: none}
operations:
  - key: first
    type: transform
    options: {json: {a: "{{ $last }}"}}
    position: [19, 1]
    reject: [{key: second, type: log, options: {message: no}}]
"""


async def test_fields_choose_what_is_shown(serve: Serve) -> None:
    """`fields=a,b` shows these; `*` stands for the usual ones; unknown ones are left out."""
    service = await serve(broken=BROKEN)

    some = (await service.get("/flows/broken?fields=key,state,nonsense")).json["data"]
    more = (await service.get("/flows/broken?fields=*,issues")).json["data"]

    assert some == {"key": "broken", "state": "invalid"}
    assert more["issues"][0]["path"] == "broken.yaml"
    assert more["name"] == "Broken"


async def test_operations_are_shown_whole_for_those_who_ask(serve: Serve) -> None:
    """`operations.*` gives what rows of Directus' table have, with ids where the file has keys."""
    service = await serve(two=TWO)

    rows = (await service.get("/flows/two?fields=operations.*")).json["data"]["operations"]

    by_key = {row["key"]: row for row in rows}
    first, second = by_key["first"], by_key["second"]
    assert (first["type"], first["name"]) == ("transform", None)
    assert (first["position_x"], first["position_y"]) == (19, 1)
    assert first["options"] == {"json": {"a": "{{ $last }}"}}
    assert (first["resolve"], first["reject"]) == (None, second["id"])
    assert (second["position_x"], second["position_y"]) == (37, 17)
    assert second["flow"] == first["flow"]


async def test_who_created_a_flow_is_shown_where_it_is_known(serve: Serve) -> None:
    """What the file says of itself wins; the author's name comes when asked for, of broken too."""
    service = await serve(
        mine=f"date_created: 2025-01-01T00:00:00Z\nuser_created: {ID}\n{ECHO}",
        known=ECHO,
        broken=BROKEN,
        new=ECHO,
    )
    created = Created("2026-01-01T00:00:00.000Z", "the id of Ada", "Ada")
    paths = ("mine.yaml", "known.yaml", "broken.yaml")
    service.folder.created = dict.fromkeys(paths, created)

    asked = await service.get("/flows?fields=key,date_created,user_created,author")
    usual = (await service.get("/flows/known")).json["data"]

    rows = {row.pop("key"): tuple(row.values()) for row in asked.json["data"]}
    assert rows == {
        "mine": ("2025-01-01T00:00:00.000Z", ID, None),
        "known": created,
        "broken": created,
        "new": (None, None, None),
    }
    assert (usual["date_created"], usual["user_created"]) == created[:2]
    assert "author" not in usual


@pytest.mark.parametrize("path", [f"/flows/{ID}", f"/flows/{ID}/", "/flows/billing/order"])
async def test_one_flow_is_shown_by_uuid_and_by_key(serve: Serve, path: str) -> None:
    """`/flows/:id` takes both."""
    service = await serve(billing__order=f"id: {ID}\n" + ECHO)

    assert (await service.get(path)).json["data"]["id"] == ID
    assert (await service.get("/flows/other")).status == 404


async def test_probes_need_nobody_and_say_what_is_missing(serve: Serve) -> None:
    """Alive as soon as it answers; ready with a first generation, until it drains."""
    service = await serve(TOKENS)

    assert (await service.get("/livez")).body == b"ok"
    assert (await service.get("/server/ping")).body == b"pong"
    assert (await service.get("/readyz")).status == 200
    assert (await service.ask("HEAD", "/readyz")).status == 200
    await service.engine.drain(0)
    verbose = await service.get("/readyz?verbose")
    assert verbose.status == 503
    assert verbose.body == (
        b"[+]generation ok\n[-]draining failed\n[+]store ok (memory)\n[+]history ok\n"
    )
    assert (await service.get("/livez")).status == 200


async def test_the_source_is_shown_and_reloaded(echo: Service) -> None:
    """`POST /reload` answers when it is done; what keeps it from loading is its answer."""
    assert (await echo.get("/source")).json == {"data": {"generation": 1}}
    assert (await echo.post("/reload")).json == {"data": {"generation": 1}}
    assert (await echo.post("/reload?allow_empty=true")).status == 200
    assert echo.folder.reloads == [False, True]

    failed = await echo.post("/reload")

    assert (failed.status, failed.code) == (503, "SERVICE_UNAVAILABLE")
    assert failed.message == "The folder of the flows cannot be read."
    assert (await echo.get("/reload")).headers["Allow"] == "POST"
