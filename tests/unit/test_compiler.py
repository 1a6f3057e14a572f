"""From a document to a flow: what is made of it, and that nothing breaks on the way."""

import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import compiler, settings
from runner.compiler import Compiled, attach, link
from runner.document import Document
from runner.ids import NAMESPACE, derived_id
from runner.loader import Loader
from runner.model import (
    Auth,
    Flow,
    Issue,
    Manual,
    OperationTrigger,
    Retry,
    Schedule,
    Severity,
    Status,
    Webhook,
)
from runner.operations import BUILTIN, OperationSpec
from runner.operations.base import Extra
from runner.types import JSONObject
from tests.documents import BAITS, VALID, paths, replaced
from tests.world import World, compiled


def document(data: JSONObject, path: str = "flow.yaml") -> Document:
    """A document of *data*, as if it stood in a file."""
    return Document(path=path, text="a: 1\n", content=b"a: 1\n", digest="0" * 64, data=data)


def compile_text(text: str, path: str = "flow.yaml") -> Compiled:
    """One file, compiled on its own."""
    each = compiled(text, path)
    assert isinstance(each, Compiled)
    return each


def flow_of(text: str, path: str = "flow.yaml") -> Flow:
    """The flow in *text*, which has no error."""
    each = compile_text(text, path)
    assert each.flow is not None, "\n".join(map(str, each.issues))
    return each.flow


# --- what is made of it -------------------------------------------------------------------------

BARE = "name: Bare\ntrigger: operation\n"


def test_a_bare_flow_has_defaults() -> None:
    """Name and trigger are enough."""
    flow = flow_of(BARE, "billing/bare.yaml")

    assert (flow.key, flow.name, flow.path) == ("billing/bare", "Bare", "billing/bare.yaml")
    assert (flow.active, flow.accountability, flow.tracking) == (True, "$trigger", "all")
    assert (flow.first, dict(flow.operations)) == (None, {})
    assert (flow.timeout, flow.concurrency, flow.rate_limit, flow.durable) == (None,) * 4
    assert isinstance(flow.trigger, OperationTrigger)


def test_ids_follow_from_keys_and_differ_from_each_other() -> None:
    """Without ids of their own, a flow and its operations get the same ones everywhere."""
    text = BARE + "operations: [{type: log, options: {message: a}}]\n"

    one, same, other = flow_of(text), flow_of(text), flow_of(text, "other.yaml")

    assert one.id == same.id == derived_id(NAMESPACE, "flow")
    assert re.fullmatch("[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-.{12}", one.id)
    ids = [flow.operations["log_1"].id for flow in (one, same, other)]
    assert ids[0] == ids[1] != ids[2]
    assert one.id != other.id


def test_a_renamed_file_keeps_what_it_says_itself() -> None:
    """`key` and `id` stand above the path."""
    text = BARE + "key: orders\nid: 5a1a2c6e-9a53-4c58-8d5c-0d6f6a1c2b3d\n"

    assert flow_of(text, "any.yml").key == "orders"
    assert flow_of(text, "any.yml").id == "5a1a2c6e-9a53-4c58-8d5c-0d6f6a1c2b3d"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("concurrency: {}", None),
        ("concurrency: {max: 3}", ("parallel", 3)),
        ("concurrency: {mode: parallel, max: 3}", ("parallel", 3)),
        ("concurrency: {mode: single}", ("single", 1)),
        ("concurrency: {mode: queued}", ("queued", 1)),
        ("concurrency: {mode: queued, max: 2}", ("queued", 2)),
        ("concurrency: {mode: restart}", ("restart", 1)),
    ],
)
def test_concurrency(text: str, expected: tuple[str, int] | None) -> None:
    """`single` means one at a time; `max` limits a parallel flow."""
    flow = flow_of(BARE + text)

    limit = flow.concurrency
    assert (None if limit is None else (limit.mode, limit.width)) == expected


def test_a_webhook_with_everything() -> None:
    """Options of the trigger become fields of the model; sizes become bytes, names lower case."""
    flow = flow_of("""
name: Hook
trigger: webhook
options:
  method: PUT
  auth: {kind: token, header: X-Api-Key, secret: [NEW, OLD]}
  async: true
  error_on_reject: false
  expose_headers: [Authorization]
  max_body: 2KiB
""")

    trigger = flow.trigger
    assert isinstance(trigger, Webhook)
    assert (trigger.method, trigger.asynchronous, trigger.error_on_reject) == ("PUT", True, False)
    assert trigger.auth == (Auth(kind="token", header="x-api-key", secrets=("NEW", "OLD")),)
    assert (trigger.expose_headers, trigger.max_body) == (frozenset({"authorization"}), 2048)


def test_a_schedule_with_everything() -> None:
    """Expressions and zone become a timetable, durations seconds, and the scope a yes or no."""
    flow = flow_of("""
name: Often
trigger: schedule
options:
  cron: ["30 2 * * *", "@hourly"]
  timezone: Europe/Berlin
  missed: once
  within: 2h
  jitter: 500ms
  scope: pod
""")

    trigger = flow.trigger
    assert isinstance(trigger, Schedule)
    assert str(trigger.timetable) == "30 2 * * *, @hourly (Europe/Berlin)"
    assert (trigger.missed, trigger.within, trigger.jitter) == ("once", 7200, 0.5)
    assert not trigger.shared


def test_a_schedule_has_defaults() -> None:
    """UTC, nothing that was missed, at once, for all replicas together."""
    trigger = flow_of("name: A\ntrigger: schedule\noptions: {cron: '@daily'}\n").trigger

    assert isinstance(trigger, Schedule)
    assert str(trigger.timetable) == "@daily (UTC)"
    assert (trigger.missed, trigger.within, trigger.jitter) == ("skip", 3600, 0)
    assert trigger.shared


def test_a_manual_flow_with_fields() -> None:
    """Fields are required in either spelling, and know whether they have a default."""
    flow = flow_of("""
name: Button
trigger: manual
options:
  collections: [articles]
  requireSelection: false
  fields:
    - {field: a, type: integer, default: null}
    - {field: b, meta: {required: true}, choices: [x, y]}
""")

    trigger = flow.trigger
    assert isinstance(trigger, Manual)
    assert (trigger.collections, trigger.require_selection) == (("articles",), False)
    first, second = trigger.fields
    assert (first.type, first.required, first.has_default, first.default) == (
        "integer", False, True, None,
    )  # fmt: skip
    assert (second.type, second.required, second.has_default) == ("string", True, False)
    assert second.choices == ("x", "y")


def test_times_are_seconds() -> None:
    """Durations of flow, operation and retry are read once, when the flow is compiled."""
    flow = flow_of("""
name: Times
trigger: operation
timeout: 2m
operations:
  - type: sleep
    options: {milliseconds: 1}
    timeout: 200ms
    retry: {attempts: 3}
""")

    operation = flow.operations["sleep_1"]
    assert (flow.timeout, operation.timeout) == (120.0, 0.2)
    assert operation.retry == Retry(attempts=3, delay=1.0, max_delay=60.0)


def test_a_flow_with_an_error_does_not_run_and_one_with_a_warning_does() -> None:
    """Warnings stand beside valid flows."""
    warned = compile_text(BARE + "operations: [{type: log, options: {message: a}, timeout: 1s}]")
    broken = compile_text(BARE + "operations: [{type: log, options: {message: '{{ }}'}}]")

    assert warned.flow is not None
    assert [issue.severity for issue in warned.issues] == [Severity.WARNING]
    assert broken.flow is None
    assert [issue.severity for issue in broken.issues] == [Severity.ERROR]


def test_of_thousands_of_issues_the_errors_and_the_first_are_told() -> None:
    """A flow that is broken never looks as if it only had warnings."""
    unknown = ", ".join('"{{ nowhere }}"' for _ in range(200))
    text = "name: x\ntrigger: operation\noperations:\n"
    text += f"- {{key: a, type: transform, options: {{json: [{unknown}]}}}}\n"

    assert len(compile_text(text).issues) == 100
    assert compile_text(text).flow is not None

    broken = compile_text(text + "- {type: log, options: {message: hi}, reject: nobody}\n")

    assert broken.flow is None
    assert [issue.code for issue in broken.issues] == ["unknown-root"] * 99 + ["unknown-operation"]


def test_an_operation_type_that_is_switched_off_is_an_issue() -> None:
    """A deployment without a type says so at load, not at run time."""
    data = {"name": "x", "trigger": "operation", "operations": [{"type": "throw-error"}]}

    each = compiler.compile(document(data), BUILTIN.without("throw-error"))

    assert each.flow is None
    assert [issue.code for issue in each.issues] == ["unknown-type"]
    assert (
        each.issues[0].message == "operations of type throw-error are switched off in this runner"
    )


def test_the_secrets_of_a_text_are_known() -> None:
    """Those of `auth` and those of templates, each with the first place that names it."""
    each = compile_text("""
name: Secrets
trigger: webhook
options: {auth: {kind: bearer, secret: A}}
operations:
  - {type: log, options: {message: "{{ $secrets.B }}"}}
  - {type: condition, options: {filter: {$trigger: {x: {_eq: "{{ $secrets.C }}"}}}}}
""")

    assert dict(each.secrets) == {
        "A": ("options", "auth", "secret"),
        "B": ("operations", 0, "options", "message"),
        "C": ("operations", 1, "options", "filter", "$trigger", "x", "_eq"),
    }


# --- link and attach ----------------------------------------------------------------------------


def chain(number: int, *, closed: bool) -> list[Compiled]:
    """Flows that start each other in a row; *closed*: the last starts the first again."""
    names = [f"f{n}" for n in range(number)]
    return [
        compiler.compile(
            document(
                {
                    "name": name,
                    "trigger": "operation",
                    "operations": [{"type": "trigger", "options": {"flow": following}}],
                },
                f"{name}.yaml",
            ),
            BUILTIN,
        )
        for name, following in zip(names, [*names[1:], names[0] if closed else "f0x"], strict=True)
    ]


def test_a_circle_of_flows_is_told_once() -> None:
    """Where it closes, and not at every flow that is on it or leads to it."""
    issues = [issue for found in link(chain(4, closed=True)).values() for issue in found]

    assert [(issue.path, issue.code) for issue in issues] == [("f3.yaml", "recursion")]
    assert "f0 → f1 → f2 → f3 → f0" in issues[0].message


def test_a_long_circle_is_told_in_short() -> None:
    """Thousands of flows in a circle neither take minutes nor fill the screen."""
    issues = [issue for found in link(chain(3000, closed=True)).values() for issue in found]

    assert len(issues) == 1
    assert len(issues[0].message) < 100


async def never(_: JSONObject, __: object) -> None:
    """An operation that cannot run."""


def test_an_operation_whose_libraries_are_not_installed_says_which_extra_has_them() -> None:
    """The flow that has it is told, where the operation stands; nothing is imported for that."""
    lacking = OperationSpec(type="log", handler=never, extra=Extra("logs", ("no_such_module",)))
    text = "name: A\ntrigger: operation\noperations: [{type: log, options: {message: a}}]\n"
    each = Loader(BUILTIN.with_(lacking), None).compile("a.yaml", text.encode())
    assert isinstance(each, Compiled)

    (issue,) = attach(each, settings.load({}, environ={}))

    assert (issue.code, issue.line, issue.column) == ("missing-extra", 3, 21)
    assert issue.hint == "install gitops-flow-runner[logs]"


def test_a_flow_that_names_a_missing_one_is_told_the_nearest() -> None:
    """The other flows of the row are not concerned."""
    issues = link(chain(3, closed=False))

    assert list(issues) == ["f2.yaml"]
    assert issues["f2.yaml"][0].hint == 'did you mean "f0"?'


def test_a_flow_is_attached_to_the_settings_it_needs() -> None:
    """Secrets and roles that exist are no issue."""
    each = compile_text(
        "name: x\ntrigger: webhook\naccountability: public\n"
        "options: {auth: {kind: bearer, secret: ORDERS}}\n"
    )

    assert attach(each, settings.load({}, environ={"ORDERS": "s3cret"})) == []
    assert [issue.code for issue in attach(each, settings.load({}, environ={}))] == [
        "unknown-secret"
    ]


# --- large files --------------------------------------------------------------------------------

LINES = [
    ("{{type: log, options: {{message: m}}}}", set()),
    ("{{type: log, name: Say, options: {{message: m}}}}", set()),
    ("{{type: throw-error, key: k{n}, reject: x{n}}}", {"unknown-operation"}),
    ("{{type: log, options: {{message: '{{{{ y{n} }}}}'}}}}", {"unknown-root"}),
    ("{{type: log, options: {{mesage: m}}}}", {"unknown-key", "missing-key"}),
]


@pytest.mark.timeout(20)
@pytest.mark.parametrize(("line", "codes"), LINES)
def test_a_file_of_thousands_of_operations_is_judged_in_no_time(line: str, codes: set[str]) -> None:
    """Nothing looks at every pair of operations: that would take minutes."""
    lines = "".join(f"  - {line.format(n=n)}\n" for n in range(5000))

    each = compile_text(f"name: x\ntrigger: operation\noperations:\n{lines}")

    assert {issue.code for issue in each.issues} == codes


@pytest.mark.timeout(20)
def test_thousands_of_files_with_one_key_are_told_in_short() -> None:
    """Each has its issue, which names a few of the others."""
    flows = [
        compiler.compile(
            document({"name": "x", "key": "same", "trigger": "operation"}, f"f{n}.yaml"), BUILTIN
        )
        for n in range(5000)
    ]

    issues = [issue for found in link(flows).values() for issue in found]

    assert len([issue for issue in issues if issue.code == "duplicate-key"]) == 5000
    assert issues[0].message == (
        'the key "same" is taken in f1.yaml, f2.yaml, f3.yaml and 4996 more too'
    )


# --- for any document ---------------------------------------------------------------------------


@st.composite
def spoiled(draw: st.DrawFn) -> JSONObject:
    """A valid flow, perhaps with some of its parts replaced, removed or added to."""
    data = copy.deepcopy(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.sampled_from(paths(data)))
        data = replaced(data, at, draw(BAITS), draw(st.sampled_from(("put", "drop", "add"))))
    return data


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


def judged(data: JSONObject) -> tuple[Issue, ...]:
    """The issues of *data*, which gives a flow exactly if none of them is an error."""
    each = compiler.compile(document(data), BUILTIN)
    link([each])
    attach(each, settings.load({}, environ={}))

    broken = any(issue.severity is Severity.ERROR for issue in each.issues)
    assert (each.flow is None) is broken
    return each.issues


@given(spoiled())
def test_no_flow_like_document_breaks_the_compiler(data: JSONObject) -> None:
    """It gives a flow or errors, never an exception."""
    judged(data)


@given(st.dictionaries(st.sampled_from(sorted(VALID[0])) | st.text(max_size=5), json_values))
def test_no_document_breaks_the_compiler(data: JSONObject) -> None:
    """Any JSON object is answered with issues."""
    assert judged(data)


# --- for any flow that was accepted -------------------------------------------------------------

VALUES = ("{{ o0 }}", "{{ $last }}", "{{ $error }}", "{{ o1.c[0] }} and", '{"x": 1}', "{", 5)


@st.composite
def flows(draw: st.DrawFn) -> JSONObject:
    """Operations with branches of every kind; some are refused, and that is fine."""
    body, handler = draw(sequences(2)), draw(st.just([]) | sequences(1))
    every = [*in_order(body), *in_order(handler)]
    for place, each in enumerate(every):
        each["key"] = f"o{place}"
        for way in ("resolve", "reject"):
            if isinstance(each.get(way), int):
                each[way] = f"o{min(place + each[way], len(every) - 1)}"
    return {"name": "x", "trigger": "operation", "operations": body, "reject": handler}


@st.composite
def sequences(draw: st.DrawFn, depth: int) -> list[JSONObject]:
    """Up to three operations."""
    return [draw(operations(depth)) for _ in range(draw(st.integers(0, 3)))]


@st.composite
def operations(draw: st.DrawFn, depth: int) -> JSONObject:
    """One operation of a type that has no effect; a number stands for one so much farther down."""
    value = draw(st.sampled_from(VALUES))
    options: dict[str, JSONObject] = {
        "transform": {"json": value},
        "log": {"message": value},
        "condition": {"filter": {"$trigger": {"n": {"_gte": draw(st.integers(0, 2))}}}},
        "throw-error": {"message": value},
    }
    type_ = draw(st.sampled_from(sorted(options)))
    each: JSONObject = {"type": type_, "options": options[type_]}
    follower: Any = st.none() | st.integers(1, 3)
    if depth:
        follower |= sequences(depth - 1)
    for way in ("resolve", "reject"):
        if draw(st.integers(0, 2)) == 0:
            each[way] = draw(follower)
    return each


def in_order(sequence: list[JSONObject]) -> Iterator[JSONObject]:
    """Every operation, in the order of the text."""
    for each in sequence:
        yield each
        for way in ("resolve", "reject"):
            if isinstance(each.get(way), list):
                yield from in_order(each[way])


@given(flows(), st.integers(0, 2))
async def test_an_accepted_flow_always_ends(data: JSONObject, number: int) -> None:
    """Execution gives a result, whatever the branches, and no operation runs twice."""
    flow = compiler.compile(document(data), BUILTIN).flow
    world = World()

    result = await world.run_flow(flow, {"n": number}) if flow else None

    ran = [
        record["operation"]
        for record in world.records
        if record["event"] in ("operation.resolved", "operation.rejected")
    ]
    assert len(ran) == len(set(ran))
    assert result is None or result.status in (Status.RESOLVED, Status.REJECTED)
    world.check_records()


def test_the_property_above_sees_flows() -> None:
    """A good share of the drawn documents is accepted, or it would prove nothing."""
    accepted = 0

    @given(flows())
    def count(data: JSONObject) -> None:
        nonlocal accepted
        flow = compiler.compile(document(data), BUILTIN).flow
        accepted += flow is not None and len(flow.operations) > 1

    count()
    assert accepted >= 10
