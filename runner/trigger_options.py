"""Compile the options of a trigger, once their schema has nothing to say any more."""

from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from runner import conditions, cron, inputs, payloads, schema, subscriptions, template, webhooks
from runner.datachain import everything
from runner.errors import Malformed, TemplateError
from runner.findings import Findings
from runner.model import (
    ITEM_EVENTS,
    OWN_EVENTS,
    OWN_NAMES,
    Answer,
    Auth,
    EventTrigger,
    InputField,
    Manual,
    OperationTrigger,
    Schedule,
    Severity,
    Trigger,
    Webhook,
)
from runner.schema import quoted
from runner.types import Chain, JSONObject, JSONValue, Path
from runner.units import parse_duration, parse_size

_AT: Final[Path] = ("options",)

_YEAR: Final = 366 * 86400.0
"""In seconds."""


def compile(kind: str, options: JSONObject, found: Findings, *, durable: bool = False) -> Trigger:
    """
    The trigger *kind* with these *options*; what is wrong with them goes to *found*.

    Of a flow that says to be *durable*: then nobody waits for its end.
    """
    if durable:
        _check_durable(kind, options, found)
    match kind:
        case "webhook":
            return _webhook(options, found, durable=durable)
        case "manual":
            return _manual(options, found, durable=durable)
        case "event":
            return _event(options, found)
        case "schedule":
            return _schedule(options, found)
        case _:
            return OperationTrigger(answer=_answer(options.get("return") or "", found))


def _check_durable(kind: str, options: JSONObject, found: Findings) -> None:
    if kind == "event" and options["type"] == "filter":
        message = "a filter flow cannot be durable: what it decides on waits for it"
        found.issue("bad-value", message, ("durable",), hint="remove `durable`")
    elif kind == "operation":
        message = "a flow that another one starts is as durable as that one"
        warning, hint = Severity.WARNING, "remove it, or say it there"
        found.issue("pointless-option", message, ("durable",), hint=hint, severity=warning)


def _warn(found: Findings, code: str, message: str, option: str, hint: str | None = None) -> None:
    found.issue(code, message, (*_AT, option), hint=hint, severity=Severity.WARNING)


def _filter(options: JSONObject, found: Findings) -> Callable[[Chain], bool] | None:
    """Whether the `filter` of a trigger lets something start the flow; None: everything does."""
    at: Path = (*_AT, "filter")
    return conditions.compile_rule(options.get("filter"), at, conditions.AHEAD, found)


# --- webhook ------------------------------------------------------------------------------------


def _webhook(options: JSONObject, found: Findings, *, durable: bool) -> Webhook:
    response = options.get("response")
    answer = _reply(response, found) if response else _answer(options.get("return"), found)
    max_body = options.get("max_body")
    return Webhook(
        method=options.get("method", "GET"),
        auth=tuple(_auth(options["auth"], found)),
        allow_ips=tuple(_networks(options.get("allow_ips", ()), found)),
        answer=answer,
        responds=bool(response),
        asynchronous=options.get("async", False) or durable,
        error_on_reject=options.get("error_on_reject", True),
        expose_headers=frozenset(name.lower() for name in options.get("expose_headers", ())),
        max_body=None if max_body is None else parse_size(max_body),
        wants=_filter(options, found),
        name=_name(options, found),
        misfits=_body(options["body"], found) if "body" in options else None,
    )


def _name(options: JSONObject, found: Findings) -> template.Template | None:
    """What names a delivery, for it may come twice."""
    at: Path = (*_AT, "idempotency", "key")
    return conditions.compile_key(options.get("idempotency", {}).get("key"), at, found)


def _auth(auth: JSONValue, found: Findings) -> Iterator[Auth]:
    for at, way in webhooks.ways(auth):
        for path, name in webhooks.secret_names(way).items():
            found.secret(name, (*_AT, *at, *path))
        try:
            yield webhooks.compile_auth(way)
        except Malformed as error:
            found.malformed(error, (*_AT, *at))


def _networks(texts: Sequence[str], found: Findings) -> Iterator[IPv4Network | IPv6Network]:
    for index, text in enumerate(texts):
        try:
            yield webhooks.compile_network(text)
        except Malformed as error:
            found.malformed(error, (*_AT, "allow_ips", index))


def _body(given: JSONObject, found: Findings) -> payloads.Misfits | None:
    try:
        return payloads.compile(given)
    except Malformed as error:
        found.malformed(error, (*_AT, "body"))
        return None


def _reply(response: JSONObject, found: Findings) -> Answer:
    """Compile `response`."""
    at: Path = (*_AT, "response")
    for mistake in webhooks.response_mistakes(response):
        found.malformed(mistake, at)
    compiled = found.templates(response, at)
    if compiled is None:
        return _nothing
    for reference in compiled.references:
        _check_answer(reference, at, found)
    return webhooks.reply(compiled)


# --- manual -------------------------------------------------------------------------------------


def _manual(options: JSONObject, found: Findings, *, durable: bool) -> Manual:
    collections = options.get("collections")
    if collections == []:
        message = "an empty list of collections lets nobody start this flow"
        _warn(found, "nobody", message, "collections")
    return Manual(
        answer=_answer(None, found),
        collections=None if collections is None else tuple(collections),
        require_selection=options.get("requireSelection", True),
        fields=tuple(_input_fields(options.get("fields", ()), found)),
        asynchronous=options.get("async", False) or durable,
        error_on_reject=options.get("error_on_reject", True),
    )


def _input_fields(fields: Sequence[JSONObject], found: Findings) -> Iterator[InputField]:
    for index, each in enumerate(fields):
        try:
            yield inputs.compile(each)
        except Malformed as error:
            found.malformed(error, (*_AT, "fields", index))


# --- event --------------------------------------------------------------------------------------


def _event(options: JSONObject, found: Findings) -> EventTrigger:
    filter_ = options["type"] == "filter"
    given = options.get("return") or None
    if given is not None and not filter_:
        hint = "remove it, or say `type: filter`"
        message = "nobody waits for what an action flow returns"
        _warn(found, "pointless-option", message, "return", hint)
    return EventTrigger(
        filter=filter_,
        scope=tuple(dict.fromkeys(_scope(options, found, filter=filter_))),
        wants=_wants(options, found),
        answer=None if given is None else _answer(given, found),
    )


def _scope(options: JSONObject, found: Findings, *, filter: bool) -> Iterator[str]:  # noqa: A002
    """The names of the events, with the collections in them."""
    collections = options.get("collections")
    for name in _names(options["scope"]):
        if name not in ITEM_EVENTS:
            # A collection can be called `runner`, too.
            if name.startswith(OWN_EVENTS) and not name.endswith(ITEM_EVENTS):
                _warn_of_own(name, found, filter=filter)
            yield name
        elif collections is None:
            message = f"{quoted(name)} needs collections that it is about"
            found.issue("missing-key", message, _AT, hint="collections: [articles]")
        else:
            of = _names(collections)
            if not of:
                _warn(found, "nobody", f"{quoted(name)} is about no collection", "collections")
            yield from (f"{each}.{name}" for each in of)


def _warn_of_own(name: str, found: Findings, *, filter: bool) -> None:  # noqa: A002
    """Of a *name* under which the runner asks nobody, or tells nobody."""
    start, any_ending, _ = name.partition("*")
    if filter:
        hint = "say `type: action`"
        _warn(found, "nobody", f"nobody is asked before {name}", "scope", hint)
    elif not any(own.startswith(start) if any_ending else own == name for own in OWN_NAMES):
        hint = f"known: {', '.join(OWN_NAMES)}"
        _warn(found, "nobody", f"the runner has no event {quoted(name)}", "scope", hint)


def _names(value: list[str] | str) -> list[str]:
    """A list of names, or a text with commas between them."""
    names = value.split(",") if isinstance(value, str) else value
    return [name.strip() for name in names if name.strip()]


def _wants(options: JSONObject, found: Findings) -> Callable[[Chain], bool] | None:
    """What `filters` and `filter` say together."""
    matches = subscriptions.compile(options["filters"]) if options.get("filters") else None
    rule = _filter(options, found)
    if matches is None or rule is None:
        return matches or rule
    return lambda chain: matches(chain) and rule(chain)


# --- schedule -----------------------------------------------------------------------------------


def _schedule(options: JSONObject, found: Findings) -> Schedule:
    missed = options.get("missed", "skip")
    if missed == "skip" and "within" in options:
        hint = "remove it, or say `missed: once`"
        message = "what was missed is skipped, however long ago it was"
        _warn(found, "pointless-option", message, "within", hint)
    crons = tuple(_crons(options["cron"], found))
    zone = _zone(options.get("timezone", "UTC"), found)
    return Schedule(
        timetable=cron.Timetable(crons, zone),
        answer=_answer(None, found),
        missed=missed,
        within=_span(options, "within", "1h", found),
        jitter=_span(options, "jitter", "0s", found),
        shared=options.get("scope", "cluster") == "cluster",
    )


def _span(options: JSONObject, name: str, default: str, found: Findings) -> float:
    seconds = parse_duration(options.get(name, default))
    if seconds > _YEAR:
        found.issue("bad-value", f"`{name}` is a year at most", (*_AT, name))
    return min(seconds, _YEAR)


def _crons(said: list[str] | str, found: Findings) -> Iterator[cron.Cron]:
    for index, text in enumerate([said] if isinstance(said, str) else said):
        at: Path = (*_AT, "cron", *(() if isinstance(said, str) else (index,)))
        try:
            yield cron.parse(text)
        except cron.NeverFires as error:
            found.malformed(error, at, "never-fires")
        except Malformed as error:
            found.malformed(error, at, "cron")


def _zone(name: str, found: Findings) -> ZoneInfo:
    try:
        return cron.time_zone(name)
    except Malformed as error:
        near = schema.nearest(name, available_timezones(), prefix="")
        hint = near or "write a name of IANA such as Europe/Berlin, or UTC"
        found.issue("unknown-zone", error.message, (*_AT, "timezone"), hint=hint)
        return ZoneInfo("UTC")


# --- return -------------------------------------------------------------------------------------


def _answer(path: str | None, found: Findings) -> Answer:
    """Compile `return`: null means `$last`, empty means nothing."""
    if path == "$all":
        return everything
    if path == "":
        return _nothing
    at: Path = (*_AT, "return")
    try:
        getter = template.compile_path("$last" if path is None else path)
    except TemplateError as error:
        found.issue("template", error.message, at, hint=error.hint)
        return _nothing
    _check_answer(template.Reference((), getter.path, ".".join(getter.path)), at, found)
    return getter


def _check_answer(reference: template.Reference, base: Path, found: Findings) -> None:
    """Check what a caller is to get."""
    if reference.path[0] == "$secrets":
        message = "$secrets is known to the options of operations only"
        found.issue("template", message, (*base, *reference.at))
    else:
        found.reference(reference, base)


def _nothing(_: Chain) -> JSONValue:
    return None
