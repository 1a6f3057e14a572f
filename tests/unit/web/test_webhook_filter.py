"""Deliveries that a webhook does not mean, and bodies that do not look as they should."""

import json
from typing import Any, Final

import pytest

from runner.types import JSONObject
from tests.unit.web.conftest import TOKENS, Answer, Serve, Service
from tests.unit.web.test_webhook_auth import SECRETS, proof


def flow(auth: str = "none", **options: Any) -> str:
    """A webhook with these options."""
    more = "".join(f", {name}: {json.dumps(value)}" for name, value in options.items())
    return f"name: Hook\ntrigger: webhook\noptions: {{method: POST, auth: {auth}{more}}}\n"


async def call(service: Service, body: Any, **headers: str) -> Answer:
    """Send *body* as JSON."""
    return await service.post("/flows/trigger/hook", json=body, headers=headers)


# --- filter -------------------------------------------------------------------------------------

LATER: Final[dict[str, Any]] = {"async": True}
OPENED: Final[JSONObject] = {"$trigger": {"body": {"action": {"_in": ["opened", "reopened"]}}}}


async def test_a_delivery_that_is_not_meant_starts_nothing(serve: Serve) -> None:
    """204, and one record that says so; it is no failure."""
    service = await serve(hook=flow(filter=OPENED))

    wanted, unwanted = await call(service, {"action": "opened"}), await call(service, {"action": 1})

    assert (wanted.status, unwanted.status, unwanted.body) == (200, 204, b"")
    (record,) = service.said("trigger.refused")
    assert (record["severity"], record["error"]["code"]) == ("INFO", "FILTERED")
    assert (record["flow"], record["data"]["status"]) == ("hook", 204)
    assert len(service.said("execution.finished")) == 1


async def test_a_filter_may_look_at_who_calls(serve: Serve) -> None:
    """At `$accountability`, and through `$CURRENT_USER` too."""
    rule = {"$accountability": {"role": {"_eq": "admin"}}}
    service = await serve(TOKENS, hook=flow(filter=rule))

    admin = await call(service, {}, Authorization="Bearer the-admin-token")

    assert (admin.status, (await call(service, {})).status) == (200, 204)


async def test_a_filter_sees_no_credential_and_is_asked_after_the_signature(serve: Serve) -> None:
    """Else whoever guesses would learn from the difference."""
    seen = {"$trigger": {"headers": {"x-hub-signature-256": {"_eq": "--redacted--"}}}}
    body = json.dumps({}).encode()
    service = await serve(environ=SECRETS, hook=flow("{kind: github, secret: S}", filter=seen))

    assert (await call(service, {}, **proof("github", body))).status == 200
    assert (await call(service, {}, **{"X-Hub-Signature-256": "sha256=00"})).status == 401


async def test_an_asynchronous_delivery_is_filtered_before_it_is_accepted(serve: Serve) -> None:
    """202 means that it runs."""
    service = await serve(hook=flow(filter=OPENED, **LATER))

    assert (await call(service, {"action": "opened"})).status == 202
    assert (await call(service, {"action": "closed"})).status == 204


# --- body ---------------------------------------------------------------------------------------

ORDER: Final[JSONObject] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["id", "lines"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "code": {"type": "string", "pattern": "^[A-Z]{3}$"},
        "lines": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/line"}},
        "by": {"allOf": [{"properties": {"name": {"type": "string"}}}, {"required": ["mail"]}]},
        "pair": {"prefixItems": [{"type": "string"}], "items": {"type": "integer"}},
        "a/b~c": {"type": "integer"},
        "any": {"patternProperties": {"^x": {"type": "string"}}, "additionalProperties": False},
    },
    "$defs": {
        "line": {
            "type": "object",
            "required": ["sku"],
            "properties": {"sku": {"type": "string"}, "n": {"type": "integer", "minimum": 1}},
        }
    },
}
ID: Final = "5a1a2c6e-9a53-4c58-8d5c-0d6f6a1c2b3d"
LINE: Final = {"sku": "a"}


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ({"id": ID, "lines": [LINE]}, None),
        ({"id": ID, "lines": [LINE], "code": "ABC", "pair": ["x", 1], "a/b~c": 1}, None),
        ({}, ["id", "lines"]),
        ([], ["the body itself"]),
        ({"id": "canary", "lines": [LINE]}, ["id"]),
        ({"id": ID, "lines": []}, ["lines"]),
        ({"id": ID, "lines": [LINE, {"sku": 1, "n": 0}, {}, 5]},
         ["lines[1].sku", "lines[1].n", "lines[2].sku", "lines[3]"]),
        ({"id": ID, "lines": [LINE], "canary": 1}, ["canary"]),
        ({"id": ID, "lines": [LINE], "code": "abc"}, ["code"]),
        ({"id": ID, "lines": [LINE], "by": {"name": 5}}, ["by.name", "by.mail"]),
        ({"id": ID, "lines": [LINE], "pair": [1, "x"]}, ["pair[0]", "pair[1]"]),
        ({"id": ID, "lines": [LINE], "a/b~c": "x"}, ["a/b~c"]),
        ({"id": ID, "lines": [LINE], "any": {"xa": "", "b": 1}}, ["any"]),
        ({"id": ID, "lines": [{}] * 1000}, [f"lines[{n}].sku" for n in range(10)]),
    ],
)  # fmt: skip
async def test_a_body_has_to_fit(serve: Serve, body: Any, paths: list[str] | None) -> None:
    """400 with the innermost places of what does not, ten at most, and never the values."""
    service = await serve(hook=flow(body=ORDER))

    answer = await call(service, body)

    if paths is None:
        assert answer.status == 200
        return
    assert (answer.status, answer.code) == (400, "INVALID_PAYLOAD")
    assert answer.message == f"Invalid payload. The body does not fit: {', '.join(paths)}."
    assert answer.json["errors"][0]["extensions"]["paths"] == paths
    assert service.said("execution.started") == []


async def test_a_form_has_to_fit_too(serve: Serve) -> None:
    """It is what the flow would see that counts."""
    shape = {"required": ["a"], "properties": {"a": {"const": "1"}}}
    service = await serve(hook=flow(body=shape))

    good = await service.post("/flows/trigger/hook", data={"a": "1"})
    bad = await service.post("/flows/trigger/hook", data={"a": "2"})

    assert (good.status, bad.status) == (200, 400)


#: Bodies of less than 1 MiB that are slow to refuse where they are not refused with care.
HOSTILE: Final[dict[str, tuple[JSONObject, Any]]] = {
    "an expression that goes back": (
        {"items": {"pattern": "^(a+)+$"}}, ["a" * 300_000 + "!"],
    ),
    "a great many misfits": ({"items": {"type": "string"}}, list(range(100_000))),
    "a great many misfits in branches": (
        {"anyOf": [{"items": {"type": "string"}}, {"items": {"type": "boolean"}}]},
        list(range(100_000)),
    ),
    "branches of branches": (
        {
            "$ref": "#/$defs/n",
            "$defs": {
                "n": {
                    "anyOf": [
                        {"properties": {"a": {"$ref": "#/$defs/n"}}, "required": ["x"]},
                        {"properties": {"a": {"$ref": "#/$defs/n"}}, "required": ["y"]},
                    ]
                }
            },
        },
        json.loads('{"a":' * 90 + "{}" + "}" * 90),
    ),
    "a deep one that refers to itself": (
        {"properties": {"a": {"$ref": "#"}}, "additionalProperties": False},
        json.loads('{"a":' * 90 + json.dumps({"b": ["x" * 9] * 50_000}) + "}" * 90),
    ),
}  # fmt: skip


@pytest.mark.timeout(10)
@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_body_is_refused_in_no_time(serve: Serve, name: str) -> None:
    """What the author wrote is trusted, what a caller sends is not; minutes would be the other."""
    shape, body = HOSTILE[name]
    service = await serve(hook=flow(body=shape))

    assert (await call(service, body)).status == 400
