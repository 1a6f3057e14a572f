"""Options of triggers and operations: what Directus says, in our words."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from runner import schema
from runner.ids import is_uuid
from runner.importers import credentials
from runner.mistakes import shown
from runner.model import ITEM_EVENTS
from runner.types import JSONObject, JSONValue, Path


class Translated(NamedTuple):
    """Options, and what is to be said of them."""

    #: None where nothing has to be said.
    value: JSONValue
    #: By path inside *value*.
    comments: Mapping[Path, str]


# --- operations ---------------------------------------------------------------------------------


def of_operation(type_: JSONValue, options: JSONValue, names: Mapping[str, str]) -> Translated:
    """Options of an operation; *names* are those of all flows, by id."""
    if type_ == "sleep" and (options or {}) == {}:
        return Translated({"milliseconds": 0}, {("milliseconds",): _NO_TIME})
    if not isinstance(options, dict):
        return Translated(options, {})
    said = _said(options, f"operations/{type_}")
    comments: dict[Path, str] = {}
    match type_, said:
        case "trigger", {"flow": str(flow)} if is_uuid(flow):
            said["flow"] = flow.lower()
            comments["flow",] = "\n".join([*_known(flow.lower(), names), _SUB_FLOW])
        case "item-update" | "item-delete", {"query": dict() | str() as query} if (
            query and "limit" not in query
        ):
            comments["query",] = _UNLIMITED
        case "exec", {"code": str(code)} if header := credentials.named_in(code):
            seems = f"This code seems to read the header {header}:"
            comments["code",] = f"{seems}\n{_REDACTED}"
    return Translated(said or None, comments)


_NO_TIME: Final = "Directus waits for no time where none is said."

_UNLIMITED: Final = "Without a `limit`, all that match; Directus takes the first 100 of them."

_REDACTED: Final = "it is --redacted--, unless `expose_headers` of the webhook lists it."

_SUB_FLOW: Final = (
    "If that flow rejects, this operation does; in Directus it resolves all the same."
)


def _known(id_: str, names: Mapping[str, str]) -> list[str]:
    return [shown(names[id_])] if id_ in names else []


# --- triggers -----------------------------------------------------------------------------------


def of_trigger(kind: JSONValue, options: JSONValue, headers: Sequence[str]) -> Translated:
    """Options of a trigger; *headers* are the credential headers that its flow reads by name."""
    given = {} if options is None else options
    if not isinstance(given, dict):
        return Translated(given, {})
    comments: dict[Path, str] = {}
    own = _own(kind, given, comments)
    match kind:
        case "webhook":
            own = _webhook(own, headers, comments)
        case "manual":
            own = _manual(own, headers, comments)
        case "operation":
            own["return"] = own.get("return") or None
        case "event":
            own = _event(own, comments)
        case "schedule":
            comments["cron",] = (
                "Directus goes by the clock of its server; here it is UTC, unless `timezone` says"
                " another."
            )
    return Translated(_said(own, f"triggers/{kind}") or None, comments)


#: What Directus reads of the options, by trigger.
_OPTIONS: Final[Mapping[str, frozenset[str]]] = {
    "event": frozenset({"type", "scope", "collections", "return"}),
    "webhook": frozenset(
        {"method", "async", "return", "cacheEnabled", "cacheQueryParams", "error_on_reject"}
    ),
    "schedule": frozenset({"cron"}),
    "operation": frozenset({"return"}),
    "manual": frozenset(
        {"collections", "location", "requireSelection", "requireConfirmation", "fields"}
        | {"confirmationDescription", "async", "error_on_reject", "return"}
    ),
}


def _own(kind: JSONValue, options: JSONObject, comments: dict[Path, str]) -> JSONObject:
    """*options* less those of other triggers, which stay behind when the trigger is changed."""
    own = _OPTIONS.get(str(kind), frozenset(options))
    others = frozenset().union(*_OPTIONS.values()) - own
    ignored = [name for name in options if name in others and options[name]]
    if ignored:
        _add(comments, f"Directus does not read these here, so they went: {', '.join(ignored)}.")
    return {name: value for name, value in options.items() if name not in others}


def _webhook(options: JSONObject, headers: Sequence[str], comments: dict[Path, str]) -> JSONObject:
    cached = [name for name in ("cacheEnabled", "cacheQueryParams") if options.pop(name, None)]
    if cached:
        _add(comments, f"Answers are never cached here, so these went: {', '.join(cached)}.")
    comments["auth",] = (
        "Anybody may call it, as in Directus. With a secret: {kind: bearer, secret: NAME}"
    )
    comments["expose_headers",] = (
        "A template or a rule reads this; in other flows it is --redacted--."
        "\nWhere it checks a token, `auth` is the better way."
    )
    answer = options.pop("return", None)
    return {
        "method": options.pop("method", None),
        "auth": "none",
        **_mode(options, comments),
        "return": None if answer == "$last" else answer,
        "expose_headers": [*headers] or None,
        **options,
    }


def _manual(options: JSONObject, headers: Sequence[str], comments: dict[Path, str]) -> JSONObject:
    answer = options.pop("return", None)
    if answer not in (None, "", "$last"):
        was = shown(str(answer))
        _add(comments, f"Directus always answers with $last, whatever `return` says; it was {was}.")
    if headers:
        _add(comments, f"To manual flows these are --redacted--: {', '.join(headers)}.")
    collections = options.pop("collections", None)
    if not collections:
        comments["collections",] = "Nobody can start it, as in Directus: list what it is for."
    location, fields = options.pop("location", None), options.pop("fields", None)
    return {
        "collections": [] if collections is None else collections,
        "requireSelection": options.pop("requireSelection", None) is not False,
        "fields": _fields(fields) or None,
        **_mode(options, comments),
        "location": None if location == "both" else location,
        "requireConfirmation": _truthy(options.pop("requireConfirmation", None)) or None,
        "confirmationDescription": options.pop("confirmationDescription", None) or None,
        **options,
    }


def _event(options: JSONObject, comments: dict[Path, str]) -> JSONObject:
    answer = options.pop("return", None) or None
    if options.get("type") == "action" and answer is not None:
        _add(comments, f"Nobody waits for an action flow, so `return` went: {shown(str(answer))}.")
        answer = None
    scope = options.get("scope") or []
    names = scope.split(",") if isinstance(scope, str) else scope
    if not options.get("collections") and any(name in ITEM_EVENTS for name in names):
        options["collections"] = []
        comments["collections",] = "It is about no items, as in Directus: list the collections."
    return {**options, "return": answer}


def _mode(options: JSONObject, comments: dict[Path, str]) -> JSONObject:
    """How it runs and answers; taken out of *options*."""
    comments["error_on_reject",] = (
        "A rejection is answered with 200, as in Directus; without this line, with its own status."
    )
    return {
        "async": _truthy(options.pop("async", None)),
        "error_on_reject": options.pop("error_on_reject", None) is True,
    }


def _fields(fields: JSONValue) -> JSONValue:
    if not isinstance(fields, list):
        return fields
    return [present(each) if isinstance(each, dict) else each for each in fields]


def _add(comments: dict[Path, str], text: str) -> None:
    comments[()] = f"{comments[()]}\n{text}" if () in comments else text


# --- values -------------------------------------------------------------------------------------


def present(data: JSONObject) -> JSONObject:
    """*data* without the members that are null."""
    return {key: value for key, value in data.items() if value is not None}


def _said(options: JSONObject, name: str) -> JSONObject:
    """
    *options* less those that, by the schema *name*, go without saying.

    Null is what a form leaves behind that was not filled in, unless it has to be filled in.
    """
    known = schema.load(name) if name in schema.names() else {}
    properties, required = known.get("properties", {}), known.get("required", ())
    return {
        option: value
        for option, value in options.items()
        if option in required
        or (name, option) == _NULL_BODY
        or (value is not None and not _same(value, properties.get(option, {}).get("default")))
    }


#: Of a request, null is sent: as JSON, with its content type.
_NULL_BODY: Final = ("operations/request", "body")


def _same(one: JSONValue, other: JSONValue) -> bool:
    return type(one) is type(other) and one == other


def _truthy(value: JSONValue) -> bool:
    """Whether JavaScript takes *value* for true."""
    return value not in (None, False, 0, "")
