"""Who calls, and what they may do."""

import asyncio

import pytest

from tests.unit.web.conftest import ECHO, NO_TOKENS, TOKENS, Answer, Serve, Service

MANUAL = "name: By hand\ntrigger: manual\n"


def bearer(token: str) -> dict[str, str]:
    """The header that carries *token*."""
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(
    ("headers", "query", "status", "code"),
    [
        (bearer("the-reader-token"), "", 200, ""),
        ({}, "?access_token=the-reader-token", 200, ""),
        (bearer("the-admin-token"), "", 200, ""),
        (bearer("the-reader-token"), "?access_token=the-reader-token", 400, "INVALID_PAYLOAD"),
        (bearer("nobody"), "", 401, "INVALID_CREDENTIALS"),
        (bearer("nöbody"), "", 401, "INVALID_CREDENTIALS"),
        (bearer(""), "", 401, "INVALID_CREDENTIALS"),
        ({}, "?access_token=nobody", 401, "INVALID_CREDENTIALS"),
        ({}, "?access_token=", 401, "INVALID_CREDENTIALS"),
        ({"Authorization": "Basic dGhlLXJlYWRlci10b2tlbg=="}, "", 403, "FORBIDDEN"),
        ({"Authorization": "the-reader-token"}, "", 403, "FORBIDDEN"),
        ({}, "", 403, "FORBIDDEN"),
    ],
)
async def test_a_caller_is_known_by_one_token(
    serve: Serve, headers: dict[str, str], query: str, status: int, code: str
) -> None:
    """In the header or the query, not in both; a wrong one is 401, other schemes are ignored."""
    service = await serve(TOKENS)

    answer = await service.get(f"/flows{query}", headers=headers)

    assert answer.status == status
    assert status == 200 or answer.code == code


async def test_a_wrong_token_is_refused_on_a_public_webhook_too(serve: Serve) -> None:
    """Who claims to be somebody has to be that, as in Directus."""
    service = await serve(TOKENS, echo=ECHO)

    answer = await service.post("/flows/trigger/echo", headers=bearer("nobody"))

    assert (answer.status, answer.code) == (401, "INVALID_CREDENTIALS")
    assert "token" in service.said("trigger.refused")[0]["error"]["message"]


async def test_a_wrong_token_is_recorded_and_never_shown(serve: Serve) -> None:
    """Whoever runs this sees that somebody tries tokens, and from where; not which."""
    service = await serve(TOKENS)

    await service.get("/flows?access_token=a-guessed-token")

    (record,) = service.said("caller.refused")
    assert record["error"]["code"] == "INVALID_CREDENTIALS"
    assert record["data"] == {"method": "GET", "path": "/flows", "ip": "127.0.0.1"}
    assert b"a-guessed-token" not in b"".join(service.kept.lines)


async def test_who_tries_many_tokens_is_slowed_down(serve: Serve) -> None:
    """In the end with 429 and a time to come again; who has a token notices nothing."""
    service = await serve(TOKENS)

    guesses = (service.get("/flows", headers=bearer(f"guess-{n}")) for n in range(100))
    answers = await asyncio.gather(*guesses)
    known = await service.get("/flows", headers=bearer("the-reader-token"))

    assert {answer.status for answer in answers} == {401, 429}
    refused = next(answer for answer in answers if answer.status == 429)
    assert refused.code == "REQUESTS_EXCEEDED"
    assert int(refused.headers["Retry-After"]) > 0
    assert known.status == 200


@pytest.mark.parametrize(
    ("token", "allowed"),
    [
        ("the-admin-token", {"flows", "source", "reload", "executions", "run"}),
        ("the-editor-token", {"flows", "run"}),
        ("the-reader-token", {"flows"}),
    ],
)
async def test_a_role_may_do_what_its_verbs_say(
    serve: Serve, token: str, allowed: set[str]
) -> None:
    """Everything else is 403, whether it exists or not."""
    service = await serve(TOKENS, hand=MANUAL)
    doors = {
        "flows": ("GET", "/flows", 200),
        "source": ("GET", "/source", 200),
        "reload": ("POST", "/reload", 200),
        "executions": ("GET", "/executions/none", 404),
        "run": ("POST", "/flows/trigger/hand", 200),
    }

    for name, (method, path, status) in doors.items():
        answer = await service.ask(method, path, headers=bearer(token))
        assert answer.status == (status if name in allowed else 403), name


async def test_a_forbidden_caller_is_not_told_why(serve: Serve) -> None:
    """The records say which verb is missing."""
    service = await serve(TOKENS, hand=MANUAL)

    answer = await service.post("/flows/trigger/hand", headers=bearer("the-reader-token"))

    assert answer.message == "You don't have permission to access this."
    (record,) = service.said("trigger.refused")
    assert record["error"]["message"] == "the role reader may not trigger flows"


async def test_the_public_role_may_be_given_verbs(serve: Serve) -> None:
    """Reading may be opened to all; starting by hand takes somebody who is known."""
    service = await serve(
        TOKENS.replace("roles:", "roles:\n  public: {flows: [read, trigger]}"), hand=MANUAL
    )

    assert (await service.get("/flows")).status == 200
    assert (await service.post("/flows/trigger/hand")).status == 403


LOCAL: list[dict[str, str]] = [
    {},
    {"Host": "localhost"},
    {"Host": "LOCALHOST:8055"},
    {"Host": "127.0.0.1:8055"},
    {"Host": "127.1.2.3"},
    {"Host": "[::1]:8055"},
    {"Host": "localhost:8055", "Origin": "http://localhost:8055"},
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
    {"Authorization": "Basic Zm9vOmJhcg=="},
]
FOREIGN: list[dict[str, str]] = [
    {"Host": "evil.example"},
    {"Host": "evil.example:8055"},
    {"Host": "localhost.evil.example"},
    {"Host": "127.0.0.1.evil.example"},
    {"Host": "10.0.0.1"},
    {"Host": "0.0.0.0"},
    {"Host": "[::]"},
    {"Host": "[::"},
    {"Host": ""},
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Host": "localhost:8055", "Origin": "http://localhost:3000"},
    {"Host": "localhost:8055", "Origin": "https://localhost:8055"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"X-Forwarded-For": "127.0.0.1"},
    {"X-Forwarded-Host": "localhost"},
    {"X-Forwarded-Proto": "http"},
    {"X-Forwarded-Port": "80"},
    {"CF-Connecting-IP": "127.0.0.1"},
    {"True-Client-IP": "127.0.0.1"},
    {"X-Real-IP": "127.0.0.1"},
    {"Forwarded": "for=127.0.0.1"},
    {"Via": "1.1 proxy"},
]


async def doors(service: Service, headers: dict[str, str]) -> list[Answer]:
    """What the open doors answer."""
    return [
        await service.get("/flows", headers=headers),
        await service.get("/source", headers=headers),
        await service.post("/reload", headers=headers),
        await service.get("/executions/none", headers=headers),
        await service.post("/flows/trigger/hand", headers=headers),
    ]


@pytest.mark.parametrize("headers", LOCAL, ids=str)
async def test_without_tokens_this_machine_is_let_in(serve: Serve, headers: dict[str, str]) -> None:
    """Reading and manual runs work at once for who tries the runner."""
    service = await serve(hand=MANUAL)

    assert [answer.status for answer in await doors(service, headers)] == [200, 200, 200, 404, 200]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_without_tokens_nobody_else_is_let_in(serve: Serve, headers: dict[str, str]) -> None:
    """Not a page of another site, not a name that leads here, not one behind a proxy."""
    service = await serve(hand=MANUAL)

    answers = await doors(service, headers)

    assert [answer.status for answer in answers] == [403] * 5
    assert {answer.code for answer in answers} == {"FORBIDDEN"}


async def test_with_tokens_this_machine_needs_one_too(serve: Serve) -> None:
    """The open door closes with the first token."""
    service = await serve(TOKENS, hand=MANUAL)

    assert [answer.status for answer in await doors(service, {})] == [403] * 5


async def test_on_an_address_that_others_reach_a_token_is_needed(serve: Serve) -> None:
    """Also for callers on this machine."""
    service = await serve(NO_TOKENS.replace("127.0.0.1", "0.0.0.0"), hand=MANUAL)
    service.url = service.url.replace("0.0.0.0", "127.0.0.1")

    assert [answer.status for answer in await doors(service, {})] == [403] * 5


async def test_webhooks_are_as_open_as_their_auth(serve: Serve) -> None:
    """None of this is about them."""
    service = await serve(echo=ECHO)

    for headers in (*LOCAL, *FOREIGN):
        assert (await service.post("/flows/trigger/echo", headers=headers)).status == 200
