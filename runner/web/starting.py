"""What `/flows/trigger/…` promises: of any flow, and of each that is in place."""

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple
from urllib.parse import quote

from runner.errors import (
    Conflict,
    FlowNotFound,
    Forbidden,
    InvalidCredentials,
    InvalidQuery,
    RequestsExceeded,
    RunnerError,
    UnsupportedMediaType,
)
from runner.model import Auth, Flow, Generation, InputField, Manual, Webhook
from runner.types import JSONObject
from runner.web.contract import (
    MAYBE_TOKEN,
    TOKEN,
    Answer,
    Content,
    Parameter,
    Promise,
    Refusal,
    refusal,
)
from runner.web.shapes import JSON, OBJECT, TEXT, errors, items, members, or_null

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
"""Those that a webhook can have."""

#: Those of which RFC 9110 says that they have a body.
_WITH_BODY: Final = ("POST", "PUT", "PATCH")

_BODY: Final[Content] = {
    JSON: {"type": ["object", "array"]},
    "application/x-www-form-urlencoded": OBJECT,
    "multipart/form-data": OBJECT,
    "text/plain": TEXT,
}

#: What keeps a flow from starting, beside what every request may meet.
_NOT_STARTED: Final = tuple(
    refusal(each)
    for each in (
        InvalidQuery,
        InvalidCredentials,
        Forbidden,
        FlowNotFound,
        Conflict,
        UnsupportedMediaType,
        RequestsExceeded,
    )
)
#: What keeps its result from being answered.
_NOT_ANSWERED: Final = (
    refusal(RunnerError),
    Refusal(409, "CANCELLED", "Somebody cancelled it, or a newer start took its place."),
    Refusal(504, "TIMED_OUT", "It took too long."),
)

_REVISION: Final = {"X-Flow-Revision": "The commit, or what stands for it, of the flow that ran."}
_RECEIPT: Final = members(
    ["id", "durable"], id=TEXT, durable={"type": "boolean"}, duplicate={"const": True}
)
ACCEPTED: Final = Answer(
    "It will run.",
    {JSON: _RECEIPT},
    {**_REVISION, "Location": "Where to ask how it does."},
)
_ANSWERED: Final = Answer("What the flow answers.", {JSON: {}}, _REVISION)
_NOTHING: Final = Answer("The flow answers null.", {}, _REVISION)
_UNWANTED: Final = Answer("The flow answers null, or is not meant.", {}, _REVISION)
#: A flow may say itself what it answers.
_SAID: Final = Answer("What the flow answers.", {JSON: {}, "*/*": {}}, _REVISION)
#: A flow may reject with any status and code.
_REJECTED: Final = {
    "4XX": Answer("It was not started, or rejects with this status.", {JSON: errors()}),
    "5XX": Answer("It cannot run now, or rejects with this status.", {JSON: errors()}),
}

_ANY_STATUS: Final = {
    "2XX": _SAID,
    "3XX": _SAID,
    "4XX": Answer("It was not started, or the flow answers so.", {JSON: {}, "*/*": {}}),
    "5XX": Answer("It cannot run now, or the flow answers so.", {JSON: {}, "*/*": {}}),
}

_NAME: Final = Parameter("name", "The UUID or the key of a flow.", TEXT, in_path=True)


def any_flow(method: str) -> Promise:
    """What a caller can count on who knows nothing of the flow."""
    return Promise(
        summary="Start a webhook or, with POST, a manual flow",
        parameters=(_NAME,),
        body=_BODY if method in _WITH_BODY else {},
        answers={"202": ACCEPTED, "204": _UNWANTED, **_ANY_STATUS},
    )


# --- those in place -----------------------------------------------------------------------------


class Start(NamedTuple):
    """A flow that is started by HTTP."""

    flow: Flow
    path: str
    method: str
    promise: Promise
    #: How its callers prove themselves, where that is its own: OpenAPI's security schemes.
    schemes: dict[str, JSONObject]


def starts(generation: Generation) -> Iterator[Start]:
    """All flows that answer, by key."""
    for entry in generation.entries.values():
        flow = entry.running
        if flow is None:
            continue
        path = f"/flows/trigger/{quote(flow.key)}"
        match flow.trigger:
            case Webhook() as webhook:
                schemes = _schemes(webhook.auth)
                promise = _webhook(flow, webhook, tuple(schemes) or MAYBE_TOKEN)
                yield Start(flow, path, webhook.method, promise, schemes)
            case Manual() as manual:
                yield Start(flow, path, "POST", _manual(flow, manual), {})


def _webhook(flow: Flow, webhook: Webhook, security: tuple[str, ...]) -> Promise:
    return Promise(
        summary=flow.name,
        description=flow.description,
        security=security,
        body=_body(flow) if webhook.method in _WITH_BODY else {},
        answers=_answers_of(flow, webhook),
        refusals=_refusals(webhook),
    )


def _manual(flow: Flow, manual: Manual) -> Promise:
    return Promise(
        summary=flow.name,
        description=flow.description,
        needs=("flows", "trigger"),
        security=TOKEN,
        body={JSON: _asked(manual)},
        answers=_answers(manual),
        refusals=_refusals(manual),
    )


def _schemes(auth: Iterable[Auth]) -> dict[str, JSONObject]:
    """By name, the ways of which one is enough."""
    return dict(map(_scheme, auth))


def _scheme(auth: Auth) -> tuple[str, JSONObject]:
    if auth.kind in ("basic", "bearer"):
        description = "The flow's own secret."
        scheme = {"type": "http", "scheme": auth.kind, "description": description}
        return ("flow" if auth.kind == "bearer" else "flow-basic"), scheme
    # A component's name has letters, digits and little else: the rest is written as its number.
    name = re.sub(r"[^A-Za-z0-9_-]", lambda found: f".{ord(found[0]):02x}", auth.header)
    scheme = {"type": "apiKey", "in": "header", "name": auth.header}
    if auth.scheme is None:
        return f"flow-{name}", scheme
    return f"flow-signed-{name}", {**scheme, "description": "A signature of the body."}


def _body(flow: Flow) -> Content:
    """What the flow's own schema says of it holds for JSON and for forms."""
    own = flow.definition.get("body")
    if own is None:
        return _BODY
    # Its references begin at its own root, not at that of the description.
    own = {"$id": f"urn:uuid:{flow.id}"} | own
    return {JSON: own} | {kind: {} for kind in _BODY if kind != JSON}


def _answers_of(flow: Flow, webhook: Webhook) -> dict[str, Answer]:
    """Those of a webhook, which may say itself what it answers, and may want no delivery."""
    unwanted = {} if webhook.wants is None else {"204": _UNWANTED}
    response = flow.definition.get("response")
    if response is None:
        return _answers(webhook) | unwanted
    status = response.get("status", 200)
    if isinstance(status, str):
        return {"204": _UNWANTED, **_ANY_STATUS}
    rejected = _REJECTED if webhook.error_on_reject else {}
    return {**rejected, "204": _NOTHING, **unwanted, str(status): _SAID}


def _answers(trigger: Webhook | Manual) -> dict[str, Answer]:
    if trigger.asynchronous:
        return {"202": ACCEPTED}
    return {"200": _ANSWERED, "204": _NOTHING, **(_REJECTED if trigger.error_on_reject else {})}


def _refusals(trigger: Webhook | Manual) -> tuple[Refusal, ...]:
    """Those that can be told one by one: what a flow rejects with may be like any of them."""
    if trigger.asynchronous:
        return _NOT_STARTED
    return () if trigger.error_on_reject else (*_NOT_STARTED, *_NOT_ANSWERED)


# --- what a manual start asks for ---------------------------------------------------------------

#: As `inputs` checks them.
_INPUTS: Final[dict[str, JSONObject]] = {
    "string": TEXT,
    "text": TEXT,
    "csv": {"type": ["string", "array"]},
    "json": {},
    "boolean": {"type": "boolean"},
    "integer": {"type": "integer"},
    "bigInteger": {"type": ["integer", "string"]},
    "float": {"type": "number"},
    "decimal": {"type": ["number", "string"]},
    "uuid": {"type": "string", "format": "uuid"},
    "date": {"type": "string", "format": "date"},
    "time": {"type": "string", "pattern": r"^\d\d:\d\d(:\d\d(\.\d+)?)?$"},
    "dateTime": {"type": "string", "format": "date-time"},
    "timestamp": {"type": "string", "format": "date-time"},
}


def _asked(manual: Manual) -> JSONObject:
    """The body that starts it."""
    inputs = {each.name: _input(each) for each in manual.fields}
    required = [each.name for each in manual.fields if each.required and not each.has_default]
    if manual.collections is not None:
        inputs["collection"] = {"enum": list(manual.collections)}
        inputs["keys"] = items(TEXT) | ({"minItems": 1} if manual.require_selection else {})
        required += ["collection", *(["keys"] if manual.require_selection else [])]
    return members(required, **inputs)


def _input(field: InputField) -> JSONObject:
    value = _INPUTS[field.type]
    if field.choices:
        value = {"enum": list(field.choices)}
        if field.type in ("csv", "json"):  # several may be chosen
            value = {"anyOf": [value, items(value)]}
    if not field.required:
        value = or_null(value)
    return value | ({"default": field.default} if field.has_default else {})
