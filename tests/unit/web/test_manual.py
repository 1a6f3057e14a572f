"""Flows that somebody starts by hand."""

from typing import Any

import pytest

from runner.errors import InvalidPayload
from runner.inputs import check_inputs
from runner.model import InputField
from tests.unit.web.conftest import TOKENS, Answer, Serve, Service

ARTICLES = """
name: Publish
trigger: manual
options: {collections: [articles, pages]%s}
"""
EDITOR = {"Authorization": "Bearer the-editor-token"}
ADMIN = {"Authorization": "Bearer the-admin-token"}


async def start(service: Service, body: Any, headers: dict[str, str]) -> Answer:
    """Start the flow `publish`."""
    return await service.post("/flows/trigger/publish", json=body, headers=headers)


async def test_a_manual_flow_sees_what_a_webhook_sees(serve: Serve) -> None:
    """The five members; its credential headers are hidden; other members of the body pass."""
    service = await serve(TOKENS, publish=ARTICLES % "")
    body = {"collection": "articles", "keys": [1], "note": "x"}

    answer = await start(service, body, EDITOR)

    assert answer.status == 200
    assert list(answer.json) == ["path", "query", "body", "method", "headers"]
    assert answer.json["body"] == body
    assert answer.json["headers"]["authorization"] == "--redacted--"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "the body names no collection"),
        ({"collection": 5, "keys": [1]}, "the body names no collection"),
        ({"collection": "users", "keys": [1]}, "the flow is not for the collection 'users'"),
        ({"collection": "articles"}, "the body selects no items in keys"),
        ({"collection": "articles", "keys": []}, "the body selects no items in keys"),
        ({"collection": "articles", "keys": 1}, "the body selects no items in keys"),
        ({"collection": "pages", "keys": [1]}, "the caller may not read the collection 'pages'"),
    ],
)
async def test_the_selection_is_checked(serve: Serve, body: Any, reason: str) -> None:
    """Always 403 for the caller; the records say what was missing."""
    service = await serve(TOKENS, publish=ARTICLES % "")

    answer = await start(service, body, EDITOR)

    assert (answer.status, answer.code) == (403, "FORBIDDEN")
    assert answer.message == "You don't have permission to access this."
    (record,) = service.said("trigger.refused")
    assert record["error"]["message"] == reason


async def test_a_selection_may_be_left_out_where_the_flow_says_so(serve: Serve) -> None:
    """`requireSelection: false`."""
    service = await serve(TOKENS, publish=ARTICLES % ", requireSelection: false")

    assert (await start(service, {"collection": "articles"}, EDITOR)).status == 200


async def test_an_empty_list_of_collections_lets_nobody_start(serve: Serve) -> None:
    """As in Directus; without the option, the flow is not about items."""
    service = await serve(
        TOKENS,
        publish=(ARTICLES % "").replace("articles, pages", ""),
        any="name: Any\ntrigger: manual\n",
    )

    nobody = await start(service, {"collection": "articles", "keys": [1]}, ADMIN)
    anybody = await service.post("/flows/trigger/any", headers=EDITOR)

    assert nobody.status == 403
    assert anybody.json["body"] == {}


async def test_an_admin_may_read_every_collection(serve: Serve) -> None:
    """Roles need no list where they may do everything."""
    service = await serve(TOKENS, publish=ARTICLES % "")

    assert (await start(service, {"collection": "pages", "keys": [1]}, ADMIN)).status == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "HEAD"])
async def test_a_manual_flow_is_started_with_post(serve: Serve, method: str) -> None:
    """Links and prefetching never run one."""
    service = await serve(TOKENS, publish=ARTICLES % "")

    answer = await service.ask(method, "/flows/trigger/publish?collection=articles", headers=ADMIN)

    assert (answer.status, answer.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize(("data", "kind"), [("[1]", "application/json"), ("x", "text/plain")])
async def test_the_body_is_an_object(serve: Serve, data: str, kind: str) -> None:
    """Anything else is 400."""
    service = await serve(TOKENS, publish=ARTICLES % "")

    answer = await service.post(
        "/flows/trigger/publish", data=data, headers={**ADMIN, "Content-Type": kind}
    )

    assert (answer.status, answer.code) == (400, "INVALID_PAYLOAD")


async def test_fields_have_defaults_and_types(serve: Serve) -> None:
    """What is left out gets its default; all that does not fit is named in one answer."""
    service = await serve(
        publish="""
name: Clean up
trigger: manual
options:
  fields:
    - {field: days, type: integer, default: 30}
    - {field: why, required: true}
    - {field: how, choices: [soft, hard]}
"""
    )

    good = await start(service, {"why": "old"}, {})
    bad = await start(service, {"days": "30", "how": "gently"}, {})

    assert good.json["body"] == {"days": 30, "why": "old"}
    assert (bad.status, bad.code) == (400, "INVALID_PAYLOAD")
    assert bad.message == (
        'Invalid payload. "days" must be of type integer; "why" is required;'
        ' "how" must be one of soft, hard.'
    )


FITS: list[tuple[str, list[Any], list[Any]]] = [
    ("string", ["", "x"], [1, True, [], {}]),
    ("text", ["x"], [1]),
    ("integer", [0, -5, 10**30], [1.5, "1", True]),
    ("bigInteger", [0, "12345678901234567890", "-1"], ["1.5", "x", "", 1.5, "9" * 101]),
    ("float", [1, 1.5], ["1.5", True]),
    ("decimal", [1, 1.5, "1.50", "-0.1"], ["1,5", "1e5", "", "x"]),
    ("boolean", [True, False], [0, 1, "true"]),
    ("json", [1, "x", [1], {"a": 1}, False], []),
    ("csv", ["a,b", ["a", "b"]], [1, {}]),
    ("date", ["2024-02-29"], ["2023-02-29", "29.2.2024", "2024-02-29T10:00:00", 20240229]),
    ("time", ["10:00", "10:00:00", "23:59:59.5"], ["24:00", "10", "10:00Z", 10]),
    ("dateTime", ["2024-02-29T10:00:00", "2024-02-29 10:00"], ["2024-02-30T10:00", "now", 5]),
    ("timestamp", ["2024-02-29T10:00:00Z", "2024-02-29T10:00:00+02:00"], ["x", 5]),
    ("uuid", ["6b5a5a7e-3a53-4b43-9a3c-0f0f4f6c1a11"], ["6b5a", "", 5]),
]


@pytest.mark.parametrize(("type_", "good", "bad"), FITS, ids=[case[0] for case in FITS])
def test_a_field_takes_values_of_its_type(type_: str, good: list[Any], bad: list[Any]) -> None:
    """The names are Directus' field types, the values what its forms send."""
    field = InputField(name="f", type=type_)

    for value in good:
        assert check_inputs([field], {"f": value}) == {"f": value}
    for value in bad:
        with pytest.raises(InvalidPayload, match=f'"f" must be of type {type_}'):
            check_inputs([field], {"f": value})
    assert check_inputs([field], {"f": None}) == {"f": None}
