"""
Compile documents into flows, link the flows to each other, attach them to the settings.

*Compile* needs one document, *link* all flows, *attach* the settings. Each gives issues; a flow
with an error among them does not run.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from runner import conditions, permissions, schema, template, trigger_options
from runner.document import Document
from runner.errors import Malformed, TemplateError
from runner.findings import Findings
from runner.ids import NAMESPACE, derived_id, is_uuid
from runner.model import (
    Concurrency,
    Flow,
    Issue,
    Operation,
    OperationTrigger,
    RateLimit,
    Retry,
    Severity,
    Trigger,
    starter,
)
from runner.operations import OperationSet, OperationSpec
from runner.operations.base import Prepared
from runner.schema import Guesses, quoted
from runner.settings import Settings
from runner.tree import Node, Tree, circles, shown_way
from runner.types import JSONObject, JSONValue, Path
from runner.units import parse_duration


class Need(NamedTuple):
    """An operation that can ask for something that is not installed or not set."""

    at: Path
    spec: OperationSpec
    #: As the file says them.
    options: JSONObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """What became of one document: a flow where no issue is an error."""

    document: Document
    #: The key it has or would have.
    key: str
    flow: Flow | None
    issues: tuple[Issue, ...]
    #: Secrets that the text names, and where.
    secrets: Mapping[str, Path] = field(default_factory=dict)
    #: Where its text names another flow, and which.
    calls: tuple[tuple[Path, str], ...] = ()
    needs: tuple[Need, ...] = ()

    def with_issues(self, more: Sequence[Issue]) -> "Compiled":
        """The same with *more* issues; an error among them takes the flow away."""
        broken = any(issue.severity is Severity.ERROR for issue in more)
        flow = None if broken else self.flow
        return replace(self, flow=flow, issues=(*self.issues, *more))


# --- compile ------------------------------------------------------------------------------------


def compile(document: Document, operations: OperationSet) -> Compiled:
    """Check *document* and make it a flow, with all its issues at once."""
    key = str(document.data.get("key") or default_key(document.path))
    misfits = schema.check(document)
    if any(issue.code != "unknown-key" for issue in misfits):
        return Compiled(document=document, key=key, flow=None, issues=tuple(misfits))
    # A key too many does not hide what else is wrong.
    compilation = _Compilation(document, key, operations)
    flow = compilation.flow()
    issues = _most_telling([*misfits, *compilation.found.issues])
    broken = any(issue.severity is Severity.ERROR for issue in issues)
    return Compiled(
        document=document,
        key=key,
        flow=None if broken else flow,
        issues=tuple(issues),
        secrets=compilation.found.secrets,
        calls=tuple(compilation.calls),
        needs=tuple(compilation.needs),
    )


def _most_telling(issues: Sequence[Issue]) -> list[Issue]:
    """The first of *issues* in the order of the text, errors before warnings if not all."""
    ordered = sorted(issues, key=lambda issue: (issue.line, issue.column))
    errors_first = sorted(ordered, key=lambda issue: issue.severity is not Severity.ERROR)
    return sorted(errors_first[: schema.MAX_ISSUES], key=lambda issue: (issue.line, issue.column))


def default_key(path: str) -> str:
    """The flow key of a file that does not say its own: the path without its ending."""
    return path.removesuffix(".yaml").removesuffix(".yml")


class _Compilation:
    """One document on its way to a flow; collects issues as it goes."""

    def __init__(self, document: Document, key: str, operations: OperationSet) -> None:
        self.document = document
        self.data = document.data
        self.key = key
        self.operations = operations
        self.calls: list[tuple[Path, str]] = []
        self.needs: list[Need] = []
        self.id = str(self.data.get("id") or derived_id(NAMESPACE, key))
        self.tree = Tree(document.data)
        self.found = Findings(document, self.tree.keys)

    def flow(self) -> Flow:
        data = self.data
        self._check_key()
        for problem in self.tree.problems():
            self.found.issue(problem.code, problem.message, problem.at, hint=problem.hint)
        operations = {node.key: self._operation(node) for node in self.tree.nodes}
        return Flow(
            id=self.id,
            key=self.key,
            name=data["name"],
            path=self.document.path,
            digest=self.document.digest,
            trigger=self._trigger(),
            operations=operations,
            first=self.tree.first,
            active=data.get("status", "active") == "active",
            accountability=data.get("accountability", "$trigger"),
            tracking=data.get("tracking", "all"),
            timeout=self._timeout(data, ()),
            concurrency=_concurrency(data.get("concurrency") or {}, self.found),
            rate_limit=_rate_limit(data.get("rate_limit"), self.found),
            durable=data.get("durable"),
            icon=data.get("icon"),
            color=data.get("color"),
            description=data.get("description"),
            labels=data.get("labels") or {},
            date_created=data.get("date_created"),
            user_created=data.get("user_created"),
            definition=data.get("options") or {},
            content=self.document.content,
            calls=tuple(dict.fromkeys(name for _, name in self.calls)),
        )

    def _trigger(self) -> Trigger:
        data = self.data
        options, durable = data.get("options") or {}, data.get("durable") is True
        return trigger_options.compile(data["trigger"], options, self.found, durable=durable)

    def _check_key(self) -> None:
        at: Path = ("key",) if "key" in self.data else ()
        if self.key == "trigger" or self.key.startswith("trigger/"):
            message = (
                f"the key {quoted(self.key)} is reserved: it would stand in the way of a route"
            )
            self.found.issue("reserved-key", message, at, hint="give the flow another `key`")
        elif is_uuid(self.key):
            message = f"the key {quoted(self.key)} looks like a UUID"
            self.found.issue(
                "reserved-key", message, at, hint="say `id` for it, and give it a `key`"
            )

    def _timeout(self, data: JSONObject, at: Path) -> float | None:
        if "timeout" not in data:
            return None
        seconds = parse_duration(data["timeout"])
        if not seconds:
            message = "a timeout of no time lets nothing finish"
            hint = "leave `timeout` out to wait as long as it takes"
            self.found.issue("bad-value", message, (*at, "timeout"), hint=hint)
        return seconds

    # --- operations

    def _operation(self, node: Node) -> Operation:
        data = node.data
        spec = self._spec(node)
        options = data.get("options") or {}
        at: Path = (*node.at, "options")
        compiled = self.found.templates(options, at, schema.option_check(data["type"]))
        if compiled is None:
            compiled = template.compile({})
        prepared = Prepared(_never) if spec is None else self._prepared(spec, options, at)
        for reference in (*compiled.references, *prepared.references):
            self.found.reference(reference, at)
        for each in prepared.warnings:
            where = (*at, *each.at)
            warning = Severity.WARNING
            self.found.issue(each.code, each.message, where, hint=each.hint, severity=warning)
        if data["type"] == "trigger" and not template.has_template(options["flow"]):
            self.calls.append(((*at, "flow"), options["flow"]))
        return Operation(
            id=str(data.get("id") or derived_id(self.id, node.key)),
            key=node.key,
            type=data["type"],
            name=data.get("name"),
            options=compiled,
            handler=prepared.handler,
            pure=spec is not None and spec.pure,
            resolve=node.resolve,
            reject=node.reject,
            guard=node.guard,
            timeout=self._timeout(data, node.at),
            retry=_retry(data.get("retry"), (*node.at, "retry"), self.found),
            position=tuple(data["position"]) if "position" in data else None,
            definition=options,
        )

    def _spec(self, node: Node) -> OperationSpec | None:
        type_ = node.data["type"]
        spec = self.operations.get(type_)
        if spec is None:
            message = f"operations of type {type_} are switched off in this runner"
            self.found.issue("unknown-type", message, (*node.at, "type"))
        elif spec.extra is not None or spec.attach is not None:
            self.needs.append(Need(node.at, spec, node.data.get("options") or {}))
        for which in ("timeout", "retry") if spec is not None and spec.pure else ():
            if which in node.data:
                self.found.issue(
                    "pointless-option",
                    f"{type_} has no effect outside the flow, so `{which}` changes nothing",
                    (*node.at, which),
                    hint="remove it",
                    severity=Severity.WARNING,
                    at_key=True,
                )
        return spec

    def _prepared(self, spec: OperationSpec, options: JSONObject, at: Path) -> Prepared:
        try:
            return spec.prepared(options)
        except* TemplateError:
            pass  # an issue of the options already
        except* Malformed as mistakes:
            for each in mistakes.exceptions:
                assert isinstance(each, Malformed)  # noqa: S101 - `except*` has seen to it
                self.found.malformed(each, at, "rule")
        return Prepared(_never)


async def _never(_: JSONObject, __: object) -> JSONValue:
    raise AssertionError("a flow with an error never runs")


def _retry(data: JSONObject | None, at: Path, found: Findings) -> Retry | None:
    if data is None:
        return None
    return Retry(
        attempts=data["attempts"],
        delay=parse_duration(data.get("delay", "1s")),
        backoff=data.get("backoff", "constant"),
        max_delay=parse_duration(data.get("max_delay", "1m")),
        jitter=data.get("jitter", 0.0),
        when=conditions.compile_rule(data.get("when"), (*at, "when"), ("$error",), found),
    )


def _concurrency(data: JSONObject, found: Findings) -> Concurrency | None:
    mode, most = data.get("mode", "parallel"), data.get("max")
    key = conditions.compile_key(data.get("key"), ("concurrency", "key"), found)
    if mode == "parallel" and most is None:
        return None
    return Concurrency(mode=mode, width=most or 1, key=key)


def _rate_limit(data: JSONObject | None, found: Findings) -> RateLimit | None:
    if data is None:
        return None
    per = parse_duration(data["per"])
    if not per:
        message = "a rate needs some time that it is counted in"
        found.issue("bad-value", message, ("rate_limit", "per"), hint="per: 1m")
    key = conditions.compile_key(data.get("key"), ("rate_limit", "key"), found)
    return RateLimit(starts=data["starts"], per=per or 1.0, key=key)


# --- link ---------------------------------------------------------------------------------------


def link(compiled: Sequence[Compiled], unparsed: Sequence[str] = ()) -> dict[str, list[Issue]]:
    """
    What is wrong between the flows, by path of the file it is wrong in.

    *unparsed* are the paths of files that say nothing: a flow that names one of them is not at
    fault.
    """
    issues: dict[str, list[Issue]] = {}
    for issue in (*_duplicates(compiled), *_references(compiled, unparsed)):
        issues.setdefault(issue.path, []).append(issue)
    return issues


def _duplicates(compiled: Sequence[Compiled]) -> Iterator[Issue]:
    """Two files with one id or key: both have the issue."""
    for what in ("key", "id"):
        owners: dict[str, list[Compiled]] = {}
        for each in compiled:
            name = each.key if what == "key" else (each.flow.id if each.flow else None)
            if name is not None:
                owners.setdefault(name, []).append(each)
        for name, those in owners.items():
            for each in those if len(those) > 1 else ():
                others = [other.document.path for other in those[:4] if other is not each][:3]
                more = f" and {len(those) - 4} more" if len(those) > 4 else ""
                at: Path = (what,) if what in each.document.data else ()
                yield each.document.issue(
                    f"duplicate-{what}",
                    f"the {what} {quoted(name)} is taken in {', '.join(others)}{more} too",
                    at,
                    hint=f"give each flow its own `{what}`",
                )


def _references(compiled: Sequence[Compiled], unparsed: Sequence[str]) -> Iterator[Issue]:
    """
    Sub-flows that the text names: they exist, can be started, and do not come back.

    A broken file harms itself alone: whoever names it goes on with its last good version, and
    while a file cannot be parsed, nobody knows by which key or id it would be named.
    """
    known: dict[str, Compiled] = {}
    for each in compiled:
        known[each.key] = each
        if each.flow is not None:
            known[each.flow.id] = each
        elif isinstance(each.document.data.get("id"), str):
            known.setdefault(each.document.data["id"], each)
    hidden = {default_key(path) for path in unparsed}
    guesses = Guesses(each.key for each in compiled)
    calls: dict[str, dict[str, Path]] = {}
    for each in compiled:
        for at, name in each.calls:
            target = known.get(name)
            if target is None and name not in hidden:
                message = f"there is no flow {quoted(name)}"
                severity = Severity.WARNING if hidden else Severity.ERROR
                yield each.document.issue(
                    "unknown-flow", message, at, hint=guesses.hint(name), severity=severity
                )
            elif target is not None and target.flow is not None:
                calls.setdefault(each.key, {}).setdefault(target.key, at)
                yield from _unstartable(each, at, target.flow)
    for way in circles(calls, lambda key: calls.get(key, ())):
        circle = f"flows start each other in a circle: {shown_way(way)}"
        yield known[way[-2]].document.issue(
            "recursion",
            "this flow starts itself" if len(way) == 2 else circle,
            calls[way[-2]][way[-1]],
            hint="make sure that it ends; else the depth limit of the settings ends it",
            severity=Severity.WARNING,
        )


def _unstartable(each: Compiled, at: Path, target: Flow) -> Iterator[Issue]:
    if not isinstance(target.trigger, OperationTrigger):
        by = starter(target.trigger)
        message = f"the flow {quoted(target.key)} is started by {by}, not by other flows"
        hint = "give it `trigger: operation`"
        yield each.document.issue("not-startable", message, at, hint=hint)
    elif not target.active:
        message = f"the flow {quoted(target.key)} is inactive"
        yield each.document.issue("inactive-flow", message, at, severity=Severity.WARNING)


# --- attach -------------------------------------------------------------------------------------


def attach(each: Compiled, settings: Settings) -> list[Issue]:
    """What this flow asks for and *settings* do not have."""
    if each.flow is None:
        return []
    issues = [
        # Only a warning: secrets are read when they are used, and may come later than flows.
        each.document.issue(
            "unknown-secret",
            f"there is no secret {quoted(name)}",
            at,
            hint="put it into secrets_dir as a file, or into the environment",
            severity=Severity.WARNING,
        )
        for name, at in each.secrets.items()
        if name not in settings.secrets
    ]
    if problem := permissions.problem(each.flow.accountability, settings):
        message, hint = problem
        at: Path = ("accountability",)
        issues.append(each.document.issue("unknown-role", message, at, hint=hint))
    if each.flow.durable and settings.state is None:
        message = "a durable flow needs a store, and the settings name none that keeps executions"
        hint = "remove `durable`, or let `state` name a folder or a database"
        issues.append(each.document.issue("no-store", message, ("durable",), hint=hint))
    for need in each.needs:
        issues += _unmet(each.document, need, settings)
    return issues


def _unmet(document: Document, need: Need, settings: Settings) -> Iterator[Issue]:
    """What an operation asks for that is not installed, or that *settings* do not have."""
    at, spec = need.at, need.spec
    if spec.extra is not None and spec.extra.missing:
        message = f"{spec.type} needs libraries that are not installed"
        hint = f"install gitops-flow-runner[{spec.extra.name}]"
        yield document.issue("missing-extra", message, (*at, "type"), hint=hint)
    elif spec.attach is not None:
        for found in spec.attach(need.options, settings):
            where = (*at, "options", *found.at)
            yield document.issue(found.code, found.message, where, hint=found.hint)
