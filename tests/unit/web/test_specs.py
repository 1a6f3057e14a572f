"""`/server/specs/oas` and `/server/info`: what the server says of itself is what it does."""

import re
from typing import Any, Final

import pytest
import schemathesis
from jsonschema import Draft202012Validator
from yarl import URL

from runner import inputs
from runner.errors import Forbidden
from runner.types import JSONObject, JSONValue
from runner.web import starting
from runner.web.contract import Route, refusal
from runner.web.routes import ROUTES
from tests.unit.web.conftest import ECHO, TOKENS, Answer, Serve, Service

OAS: Final = "/server/specs/oas"
BOSS: Final = {"Authorization": "Bearer the-admin-token"}
READER: Final = {"Authorization": "Bearer the-reader-token"}

FLOWS: Final = {
    "echo": ECHO,
    "a__b": ECHO.replace("method: POST", "method: GET"),
    "later": ECHO.replace("auth: none", "auth: none, async: true"),
    "quiet": ECHO.replace("auth: none", "auth: none, error_on_reject: false"),
    "secret": ECHO.replace("auth: none", "auth: {kind: bearer, secret: S}"),
    "many": ECHO.replace(
        "auth: none",
        "auth: [{kind: github, secret: S}, {kind: basic, secret: S}],"
        " filter: {$trigger: {method: {_eq: POST}}}",
    ),
    "order": ECHO.replace(
        "auth: none",
        "auth: none, body: {$ref: '#/$defs/o', $defs: {o: {required: [id]}}}, response:"
        " {status: 201, body: {id: '{{ $trigger.body.id }}'}}",
    ),
    "gitlab": ECHO.replace("auth: none", "auth: {kind: token, header: X-A.b, secret: S}"),
    "off": "status: inactive\n" + ECHO,
    "sub": "name: Sub\ntrigger: operation\n",
    "broken": "name: Broken\ntrigger: webhook\noptions: {method: POST}\n",
    "button": """
name: Button
description: For days.
trigger: manual
options:
  collections: [articles]
  fields:
    - {field: days, type: integer, required: true}
    - {field: why, type: text}
    - {field: size, type: string, required: true, choices: [s, m], default: m}
""",
}
STARTED: Final = (
    "a/b", "button", "echo", "gitlab", "later", "many", "order", "quiet", "secret",
)  # fmt: skip


async def described(service: Service, headers: dict[str, str] | None = None) -> JSONObject:
    """The description as a caller gets it."""
    answer = await service.get(OAS, headers=headers)
    assert answer.status == 200
    document: JSONObject = answer.json
    return document


def fits(value: JSONValue, shape: JSONObject, document: JSONObject) -> bool:
    """Whether *value* is what a schema of *document* says."""
    return Draft202012Validator({**shape, "components": document["components"]}).is_valid(value)


def operations(document: JSONObject) -> dict[str, JSONObject]:
    """All of them: `GET /flows`, `SEARCH /flows`, …"""
    return {
        f"{method.removeprefix('x-').upper()} {path}": operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


# --- the document -------------------------------------------------------------------------------


async def test_it_is_an_openapi_document(serve: Serve) -> None:
    """It fits the format's own schema, and so does every schema inside of it."""
    document = await described(await serve(TOKENS, **FLOWS), BOSS)

    schemathesis.openapi.from_dict(document).validate()
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


async def test_names_in_it_are_unique_and_lead_somewhere(serve: Serve) -> None:
    """No two operations share an id; every reference and every security scheme is there."""
    service = await serve(TOKENS, **FLOWS)
    document = await described(service, BOSS)
    text = (await service.get(OAS, headers=BOSS)).body.decode()

    found = operations(document).values()
    ids = [operation["operationId"] for operation in found]
    used = {name for each in found for one in each.get("security", ()) for name in one}
    parts = {f"{kind}/{name}" for kind, each in document["components"].items() for name in each}

    assert len(ids) == len(set(ids))
    assert used == set(document["components"]["securitySchemes"])
    assert set(re.findall(r'"#/components/([^"]+)"', text)) <= parts


def promised(route: Route) -> str:
    """How the description calls a route."""
    return f"{route.method} {re.sub(':[^{}]*}', '}', route.path)}"


async def test_every_route_that_answers_is_described(serve: Serve) -> None:
    """What the router has, the description has; SEARCH too, which the format has no word for."""
    document = await described(await serve())

    assert set(operations(document)) == {promised(each) for each in ROUTES if each.promise}


@pytest.mark.parametrize("route", [each for each in ROUTES if each.promise], ids=promised)
async def test_a_route_needs_what_its_promise_says(serve: Serve, route: Route) -> None:
    """Without a token it is 403 where a permission is needed, and never otherwise."""
    service = await serve(TOKENS)
    assert route.promise is not None

    answer = await service.ask(route.method, re.sub("{.*?}", "nobody", route.path))

    somebody = route.promise.needs is not None or refusal(Forbidden) in route.promise.refusals
    assert (answer.status == 403) == somebody


#: What ends: not the stream.
READ: Final = [
    each
    for each in ROUTES
    if each.method == "GET" and "graphql" not in each.path and "stream" not in each.path
]


@pytest.mark.parametrize("route", READ, ids=promised)
async def test_head_is_answered_as_get_is(serve: Serve, route: Route) -> None:
    """GET in the table is HEAD too: the same status and type, and nothing more."""
    service = await serve()
    path = re.sub("{.*?}", "nobody", route.path)

    get, head = await service.get(path), await service.ask("HEAD", path)

    assert (head.status, head.body) == (get.status, b"")
    assert head.headers["Content-Type"] == get.headers["Content-Type"]


async def test_a_search_fits_what_is_said_of_it(serve: Serve) -> None:
    """Tools cannot check what is under `x-search`: the body and the answer are as described."""
    service = await serve(TOKENS, **FLOWS)
    document = await described(service, BOSS)
    operation = operations(document)["SEARCH /flows"]
    query = {"query": {"fields": ["*", "operations.*"], "filter": {"status": {"_eq": "active"}}}}

    answer = await service.ask("SEARCH", "/flows", json=query, headers=BOSS)

    asked = operation["requestBody"]["content"]["application/json"]["schema"]
    assert fits(query, asked, document)
    assert not fits({"qeury": {}}, asked, document)
    assert answer.status == 200
    assert fits(answer.json, shape(operation, "200", document), document)


def shape(operation: JSONObject, status: str, document: JSONObject) -> JSONObject:
    """The schema of an answer in JSON."""
    name = operation["responses"][status]["$ref"].rpartition("/")[2]
    found: JSONObject = document["components"]["responses"][name]["content"]["application/json"]
    return found["schema"]  # type: ignore[no-any-return]


async def test_a_refusal_names_its_codes(serve: Serve) -> None:
    """Under each status stand the codes that come with it, and no others."""
    service = await serve(TOKENS)
    document = await described(service)
    refused = shape(operations(document)["GET /flows"], "403", document)

    answer = await service.get("/flows")

    assert answer.code == "FORBIDDEN"
    assert fits(answer.json, refused, document)
    assert not fits({"errors": [{**answer.json["errors"][0], "extensions": {}}]}, refused, document)


# --- flows --------------------------------------------------------------------------------------


def starts(document: JSONObject) -> dict[str, JSONObject]:
    """The operations that start one flow each, by its key."""
    return {
        operation["operationId"].removeprefix("trigger/"): operation
        for operation in operations(document).values()
        if operation["operationId"].startswith("trigger/")
    }


@pytest.mark.parametrize(("headers", "shown"), [(BOSS, STARTED), (READER, STARTED), (None, ())])
async def test_flows_are_described_to_those_who_may_read_them(
    serve: Serve, headers: dict[str, str] | None, shown: tuple[str, ...]
) -> None:
    """Those that answer under their path, with their name; to others there are only routes."""
    document = await described(await serve(TOKENS, **FLOWS), headers)

    assert tuple(starts(document)) == shown


async def test_a_flow_is_described_in_its_own_words(serve: Serve) -> None:
    """Name, description, method and path are those of its file."""
    found = operations(await described(await serve(TOKENS, **FLOWS), BOSS))

    button = found["POST /flows/trigger/button"]
    assert (button["summary"], button["description"]) == ("Button", "For days.")
    assert "GET /flows/trigger/a/b" in found


@pytest.mark.parametrize(
    ("key", "statuses"),
    [
        ("echo", {"200", "204", "4XX", "5XX"}),
        ("later", {"202", "400", "401", "403", "404", "409", "413", "415", "429", "503"}),
        ("quiet", {"200", "204", "500", "504"}),
    ],
)
async def test_a_flow_answers_as_its_trigger_says(
    serve: Serve, key: str, statuses: set[str]
) -> None:
    """A rejection may have any status; without one, each status is known."""
    found = starts(await described(await serve(TOKENS, **FLOWS), BOSS))

    assert statuses <= set(found[key]["responses"])
    assert ("4XX" in statuses) == ("4XX" in found[key]["responses"])


async def test_the_proof_that_a_webhook_wants_is_described(serve: Serve) -> None:
    """Its own secret in its own header; the secret's name is nobody's business."""
    document = await described(await serve(TOKENS, **FLOWS), BOSS)

    schemes, found = document["components"]["securitySchemes"], starts(document)
    (gitlab,) = found["gitlab"]["security"][0]
    (secret,) = found["secret"]["security"][0]
    assert schemes[gitlab] == {"type": "apiKey", "in": "header", "name": "x-a.b"}
    assert (schemes[secret]["type"], schemes[secret]["scheme"]) == ("http", "bearer")
    assert {} in found["echo"]["security"]


async def test_each_of_several_ways_is_described(serve: Serve) -> None:
    """One is enough; a delivery that is not meant is answered without content."""
    document = await described(await serve(TOKENS, **FLOWS), BOSS)

    schemes, many = document["components"]["securitySchemes"], starts(document)["many"]
    signed, basic = (schemes[name] for each in many["security"] for name in each)

    assert (signed["in"], signed["name"]) == ("header", "x-hub-signature-256")
    assert (basic["type"], basic["scheme"]) == ("http", "basic")
    assert "not meant" in described_answer(many, "204", document)


def described_answer(operation: JSONObject, status: str, document: JSONObject) -> str:
    """What is said of one status."""
    name = operation["responses"][status]["$ref"].rpartition("/")[2]
    return str(document["components"]["responses"][name]["description"])


async def test_a_body_that_a_flow_describes_is_described(serve: Serve) -> None:
    """With references that still lead somewhere, and with the status that it answers."""
    service = await serve(TOKENS, **FLOWS)
    document = await described(service, BOSS)
    order = starts(document)["order"]
    asked = order["requestBody"]["content"]["application/json"]["schema"]

    good = await service.post("/flows/trigger/order", json={"id": 1})
    bad = await service.post("/flows/trigger/order", json={})

    assert (good.status, bad.status) == (201, 400)
    assert (fits({"id": 1}, asked, document), fits({}, asked, document)) == (True, False)
    assert {"201", "204", "4XX", "5XX"} <= set(order["responses"])


SELECTED: Final = {"collection": "articles", "keys": ["1"]}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({**SELECTED, "days": 3}, 200),
        ({**SELECTED, "days": 3, "why": None, "size": "s", "more": 1}, 200),
        ({**SELECTED}, 400),
        ({**SELECTED, "days": "3"}, 400),
        ({**SELECTED, "days": 3, "size": "xl"}, 400),
        ({**SELECTED, "days": 3, "why": 1}, 400),
        ({"days": 3}, 403),
        ({**SELECTED, "keys": [], "days": 3}, 403),
        ({**SELECTED, "collection": "users", "days": 3}, 403),
    ],
)
async def test_what_a_manual_flow_asks_for_is_what_it_takes(
    serve: Serve, body: JSONObject, status: int
) -> None:
    """A body fits the description exactly if it starts the flow."""
    service = await serve(TOKENS, **FLOWS)
    document = await described(service, BOSS)
    asked = starts(document)["button"]["requestBody"]["content"]["application/json"]["schema"]

    answer = await service.post("/flows/trigger/button", json=body, headers=BOSS)

    assert answer.status == status
    assert fits(body, asked, document) == (status == 200)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("string", "a", 1),
        ("text", "a", 1),
        ("integer", 1, "1"),
        ("bigInteger", "12345678901234567890", True),
        ("float", 1.5, "1.5"),
        ("decimal", "1.5", []),
        ("boolean", False, "false"),
        ("json", {"a": [1]}, None),
        ("csv", ["a", "b"], 1),
        ("date", "2026-01-31", 1),
        ("time", "12:30", "12:30:00Z"),
        ("dateTime", "2026-01-31T12:30:00", 1),
        ("timestamp", "2026-01-31T12:30:00Z", 1),
        ("uuid", "6b5a5a7e-3a53-4b43-9a3c-0f0f4f6c1a11", 1),
    ],
)
async def test_an_input_is_described_as_it_is_checked(
    serve: Serve, kind: str, good: JSONValue, bad: JSONValue
) -> None:
    """Of each type: what the flow takes fits, and what it refuses does not."""
    fields = f"[{{field: it, type: {kind}, required: true}}]"
    service = await serve(ask=f"name: Ask\ntrigger: manual\noptions: {{fields: {fields}}}\n")
    document = await described(service)
    asked = starts(document)["ask"]["requestBody"]["content"]["application/json"]["schema"]

    taken = [
        (await service.post("/flows/trigger/ask", json={"it": it})).status for it in (good, bad)
    ]

    assert taken == [200, 400]
    assert fits({"it": good}, asked, document)
    assert fits({"it": bad}, asked, document) == (kind == "json")  # null is JSON too


async def test_choices_are_described_as_they_are_checked(serve: Serve) -> None:
    """One of them, or of a list several."""
    fields = "[{field: one, choices: [a, b]}, {field: many, type: csv, choices: [a, b]}]"
    service = await serve(ask=f"name: Ask\ntrigger: manual\noptions: {{fields: {fields}}}\n")
    document = await described(service)
    asked = starts(document)["ask"]["requestBody"]["content"]["application/json"]["schema"]

    for body in ({"one": "a"}, {"one": "c"}, {"one": ["a"]}, {"many": ["a", "b"]}, {"many": ["c"]}):
        answer = await service.post("/flows/trigger/ask", json=body)
        assert (answer.status == 200) == fits(body, asked, document), body


def test_every_type_of_input_is_described() -> None:
    """What the check knows, the description knows."""
    assert set(starting._INPUTS) == set(inputs._TYPES)


async def test_a_path_leads_to_its_flow_whatever_its_key(serve: Serve) -> None:
    """Braces and other signs of a key are written so that nobody takes them for a parameter."""
    service = await serve(odd='key: "a/{b}(c)é"\n' + ECHO)
    ((_, operation),) = starts(await described(service)).items()
    (path,) = (
        path
        for path, item in (await described(service))["paths"].items()
        if operation in item.values()
    )

    async with service.session.post(URL(service.url + path, encoded=True)) as response:
        assert response.status == 200
    assert "{" not in path


async def test_it_changes_with_the_generation(echo: Service) -> None:
    """It is written once for each generation: what is new is in it, what is gone is not."""
    first = (await echo.get(OAS)).body
    again = (await echo.get(OAS)).body

    await echo.load(other=ECHO)

    assert first == again
    assert list(starts(await described(echo))) == ["other"]


# --- info ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "members"),
    [
        (None, {"project"}),
        (READER, {"project", "queryLimit"}),
        (BOSS, {"project", "queryLimit", "version", "revision"}),
    ],
)
async def test_info_tells_more_to_those_who_may_know(
    serve: Serve, headers: dict[str, str] | None, members: set[str]
) -> None:
    """Everybody gets the project, known callers the limits, readers of the source the version."""
    answer = await (await serve(TOKENS)).get("/server/info", headers=headers)

    data: dict[str, Any] = answer.json["data"]
    assert set(data) == members
    assert data["project"]["project_name"]
    assert data.get("revision", "revision-1") == "revision-1"


# --- what the description brought to light ------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "status"), [("true", 200), ("False", 200), ("1", 200), ("ture", 400), ("", 400)]
)
async def test_a_flag_is_true_or_false(echo: Service, text: str, status: int) -> None:
    """A typing mistake in it is not taken for a no."""
    answer: Answer = await echo.post(f"/reload?allow_empty={text}")

    assert answer.status == status
    assert (not echo.folder.reloads) == (status == 400)
