"""`/notifications`: the caller's own inbox, as Directus' clients read it."""

from typing import Any, Final

import pytest

from runner.inbox import INBOX, Notification
from tests.unit.web.conftest import TOKENS, Serve, Service

ED: Final = "00000000-0000-4000-a000-0000000000e2"
BOSS: Final = "00000000-0000-4000-a000-0000000000e3"
SETTINGS: Final = f"state: none\n{TOKENS}  - {{name: sir, user: {BOSS}, role: admin, token: sir}}\n"
EDITOR: Final = {"Authorization": "Bearer the-editor-token"}
ADMIN: Final = {"Authorization": "Bearer sir"}
PATH: Final = "/notifications"


@pytest.fixture
async def service(serve: Serve) -> Service:
    """A server where two users were told something."""
    made = await serve(SETTINGS)
    told = [
        Notification(ED, None, "Order 1", "It is **large**.", "orders", "1", "a"),
        Notification(ED, BOSS, "Order 2", None, None, None, "b"),
        Notification(BOSS, None, "Secret", None, None, None, "c"),
    ]
    await made.resources[INBOX].add(told)
    return made


async def test_a_user_reads_what_they_were_told(service: Service) -> None:
    """With Directus' names, and nothing that others were told."""
    answer = await service.get(PATH, headers=EDITOR)

    first, second = answer.json["data"]
    assert answer.status == 200
    assert "ETag" not in answer.headers
    assert list(first) == [
        "id", "timestamp", "status", "recipient", "sender", "subject", "message", "collection",
        "item",
    ]  # fmt: skip
    assert (first["subject"], first["recipient"], first["status"]) == ("Order 1", ED, "inbox")
    assert (second["subject"], second["sender"]) == ("Order 2", BOSS)


async def test_nobody_reads_what_others_were_told(service: Service) -> None:
    """Admins neither: it is an inbox."""
    filtered = f'{PATH}?filter={{"recipient":{{"_eq":"{ED}"}}}}'

    assert [row["subject"] for row in (await service.get(PATH, headers=ADMIN)).json["data"]] == [
        "Secret"
    ]
    assert (await service.get(filtered, headers=ADMIN)).json["data"] == []


@pytest.mark.parametrize(
    ("query", "data"),
    [
        ("fields=id&sort=-id", [{"id": 2}, {"id": 1}]),
        ("fields=subject&filter[collection][_eq]=orders", [{"subject": "Order 1"}]),
        ("fields=id&search=LARGE", [{"id": 1}]),
        ("fields=id&limit=1&page=2", [{"id": 2}]),
        ("fields=sender.id&filter[sender][id][_nnull]=true", [{"sender": {"id": BOSS}}]),
        ("aggregate[count]=*", [{"count": 2}]),
    ],
)
async def test_an_inbox_is_asked_like_all_listings(
    service: Service, query: str, data: list[Any]
) -> None:
    """The same language, in the URL and in the body of a SEARCH."""
    assert (await service.get(f"{PATH}?{query}", headers=EDITOR)).json["data"] == data


async def test_a_search_asks_in_its_body(service: Service) -> None:
    """With counts, where they are asked for."""
    body = {"query": {"fields": ["id"], "limit": 1, "meta": "*"}}

    answer = await service.ask("SEARCH", PATH, headers=EDITOR, json=body)

    assert answer.json == {"meta": {"total_count": 2, "filter_count": 2}, "data": [{"id": 1}]}


async def test_an_inbox_is_not_a_way_to_flows(service: Service) -> None:
    """Relations lead to ids of users and no further."""
    answer = await service.get(f"{PATH}?fields=sender.flows.*", headers=EDITOR)

    assert answer.status in (200, 400)
    assert "options" not in answer.body.decode()


@pytest.mark.parametrize("token", [None, "the-reader-token", "the-admin-token"])
@pytest.mark.parametrize("method", ["GET", "SEARCH"])
async def test_who_is_no_user_has_no_inbox(
    service: Service, token: str | None, method: str
) -> None:
    """A token without a user, and callers without a token."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    answer = await service.ask(method, PATH, headers=headers)

    assert (answer.status, answer.code) == (403, "FORBIDDEN")


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
async def test_what_was_told_stays(service: Service, method: str) -> None:
    """Notifications come from flows."""
    answer = await service.ask(method, PATH, headers=EDITOR)

    assert (answer.status, answer.code) == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["Allow"] == "GET, HEAD, SEARCH"


@pytest.mark.parametrize("query", ["limit=abc", "filter=zzz", "filter[nope][_eq]=1"])
async def test_a_query_that_means_nothing_is_refused(service: Service, query: str) -> None:
    """As in all listings."""
    answer = await service.get(f"{PATH}?{query}", headers=EDITOR)

    assert answer.status in (400, 403)


async def test_an_inbox_that_cannot_be_used_answers_503(service: Service) -> None:
    """And does not say that there is nothing in it."""
    await service.resources[INBOX].close()

    answer = await service.get(PATH, headers=EDITOR)

    assert (answer.status, answer.code) == (503, "SERVICE_UNAVAILABLE")
