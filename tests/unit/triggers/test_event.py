"""Event flows: who is asked, who is told, what comes back, and where it ends."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

from runner.model import Accountability, Event, EventTrigger, Severity, Status
from runner.operations import BUILTIN, OperationContext, OperationSpec
from runner.store.base import Accepted, FlowText
from runner.store.memory import MemoryStore
from runner.triggers.event import OwnEvents
from runner.types import JSONObject, JSONValue
from tests.world import World

AHEAD: Final = Event("articles.items.create", {"title": "T"}, {"collection": "articles"}, True)
DONE: Final = Event("articles.items.create", {"title": "T"}, {"key": 4, "collection": "articles"})

EMITTER: Final = """
name: Emitter
trigger: operation
options: {return: $last}
operations: [{key: emit, type: sleep, options: {milliseconds: 1}}]
"""


def flow(type_: str, json: str = "", scope: str = "items.create", **more: str) -> str:
    """A flow that waits for events of articles, and makes *json* where it is given."""
    options = f"type: {type_}, scope: ['{scope}'], collections: [articles]"
    options += "".join(f", {name}: {value}" for name, value in more.items())
    step = f"{{key: made, type: transform, options: {{json: {json}}}}}" if json else ""
    return f"name: F\ntrigger: event\noptions: {{{options}}}\noperations: [{step}]\n"


class Emits:
    """Stands in for `sleep`: tells an event, and gives what comes back."""

    def __init__(self, event: Event, transaction: object | None = None) -> None:
        self.event = event
        self.transaction = transaction

    async def __call__(self, options: JSONObject, context: OperationContext) -> JSONValue:
        """Tell it."""
        return await context.emit(self.event, self.transaction)


def emitting(event: Event, transaction: object | None = None, **limits: Any) -> World:
    """A world in which `sleep` tells *event*."""
    spec = OperationSpec(type="sleep", handler=Emits(event, transaction))
    return World(BUILTIN.with_(spec), **limits)


async def idle(world: World) -> None:
    """Wait until nothing runs."""
    await world.engine.settle()


def finished(world: World) -> list[str]:
    """The flows that ended, in that order."""
    return [record["flow"] for record in world.said("execution.finished")]


# --- asked before it happens --------------------------------------------------------------------


async def test_a_filter_flow_changes_the_payload() -> None:
    """What it returns takes the payload's place."""
    world = emitting(AHEAD)
    made = '{title: "{{ $trigger.payload.title }} (mod)"}'
    await world.load(main=EMITTER, f=flow("filter", made, **{"return": "$last"}))

    assert await world.run("main") == (Status.RESOLVED, {"title": "T (mod)"})


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (AHEAD, ["payload", "event", "collection"]),
        (DONE, ["event", "payload", "key", "collection"]),
    ],
)
async def test_a_flow_sees_the_event_as_in_directus(event: Event, expected: list[str]) -> None:
    """`$trigger` has the same members in the same order."""
    world = emitting(event)
    await world.load(main=EMITTER, f=flow("filter" if event.ahead else "action"))

    await world.run("main")
    await idle(world)

    (started,) = (each for each in world.said("execution.started") if each["flow"] == "f")
    seen = started["data"]["trigger"]
    assert list(seen) == expected
    assert (seen["event"], seen["payload"]) == ("articles.items.create", {"title": "T"})


ADDING: Final = '{title: "{{ $trigger.payload.title }}+"}'


async def test_filter_flows_run_one_after_another_by_key() -> None:
    """Each gets what the one before it made."""
    world = emitting(AHEAD)

    def adding(letter: str) -> str:
        return flow("filter", ADDING.replace("+", letter), **{"return": "$last"})

    await world.load(main=EMITTER, c=adding("3"), a=adding("1"), b__x=adding("2"))

    assert (await world.run("main")).value == {"title": "T123"}
    assert finished(world) == ["a", "b/x", "c", "main"]


GUARD: Final = """
name: Guard
trigger: event
options: {type: filter, scope: [articles.*]%s}
operations: [{key: x, type: throw-error, reject: null}]
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (flow("filter", "[1]"), {"title": "T"}),
        (flow("filter", "[1]", **{"return": "''"}), {"title": "T"}),
        (flow("filter", "[1]", **{"return": "null"}), {"title": "T"}),
        (flow("filter", "[1]", **{"return": "$last"}), [1]),
        (flow("filter", "null", **{"return": "$last"}), None),
        (flow("filter", "[1]", **{"return": "made.0"}), 1),
        (flow("filter", "[1]", **{"return": "$trigger.payload.title"}), "T"),
        (flow("filter", **{"return": "$last"}), dict(AHEAD.as_data())),
        (GUARD % "", {"title": "T"}),
        (GUARD % ", return: $last", None),
    ],
)
async def test_what_a_filter_flow_makes_of_the_payload(text: str, expected: JSONValue) -> None:
    """Without `return` it stays, however the flow resolves; null is a value like others."""
    world = emitting(AHEAD)
    await world.load(main=EMITTER, f=text)

    assert await world.run("main") == (Status.RESOLVED, expected)


async def test_all_is_the_whole_chain() -> None:
    """As in Directus, that is rarely what was meant."""
    world = emitting(AHEAD)
    await world.load(main=EMITTER, f=flow("filter", "1", **{"return": "$all"}))

    value = (await world.run("main")).value

    assert isinstance(value, dict)
    assert list(value) == ["$trigger", "$last", "$accountability", "$env", "made"]


THROWS: Final = """
name: Throws
trigger: event
options: {type: filter, scope: [items.create], collections: [articles]}
operations:
  - {key: no, type: throw-error, options: {status: 422, code: NOT_NOW, message: not now}}
"""


async def test_a_filter_flow_that_rejects_refuses_the_event() -> None:
    """Whoever causes it gets its error as it is; flows behind it are not asked."""
    world = emitting(AHEAD)
    await world.load(main=EMITTER, a=THROWS, b=flow("filter"))

    status, value = await world.run("main")

    assert status is Status.REJECTED
    assert isinstance(value, dict)
    assert (value["message"], value["code"], value["status"]) == ("not now", "NOT_NOW", 422)
    assert finished(world) == ["a", "main"]


async def test_a_rejection_that_is_handled_is_none() -> None:
    """The last operation decides."""
    world = emitting(AHEAD)
    handled = "not now}, reject: [{type: log, options: {message: so be it}}]}"
    await world.load(main=EMITTER, f=THROWS.replace("not now}}", handled))

    assert (await world.run("main")).status is Status.RESOLVED


async def test_action_flows_are_not_asked_and_filter_flows_are_not_told() -> None:
    """Each hears of its own moment."""
    for event, expected in ((AHEAD, ["f", "main"]), (DONE, ["main", "a"])):
        world = emitting(event)
        await world.load(main=EMITTER, a=flow("action"), f=flow("filter"))

        await world.run("main")
        await idle(world)

        assert finished(world) == expected


async def test_a_filter_flow_that_hangs_is_ended() -> None:
    """By its own timeout, or the one that all of them have."""
    for own, limit in (("timeout: 20ms\n", 60.0), ("", 0.02)):
        world = emitting(AHEAD, request_time=limit)
        hang = OperationSpec(type="log", handler=forever)
        world.loader._operations = world.operations.with_(hang)
        text = flow("filter") + own
        operation = "operations: [{type: log, options: {message: a}}]"
        await world.load(main=EMITTER, f=text.replace("operations: []", operation))

        status, value = await world.run("main")

        assert status is Status.REJECTED
        assert isinstance(value, dict)
        assert (value["name"], value["code"]) == ("Timeout", "TIMED_OUT")


async def forever(options: JSONObject, context: OperationContext) -> JSONValue:
    """Hang."""
    await asyncio.Event().wait()
    return None


async def test_a_filter_flow_that_runs_already_refuses_a_second_one() -> None:
    """`single` counts here too, and its own descendant is no exception."""
    world = emitting(AHEAD)
    itself = flow("filter").replace(
        "operations: []", "operations: [{key: e, type: sleep, options: {milliseconds: 1}}]"
    )
    await world.load(main=EMITTER, f=itself + "concurrency: {mode: single}\n")

    status, value = await world.run("main")

    assert (status, value["code"]) == (Status.REJECTED, "CONFLICT")  # type: ignore[index,call-overload]


async def test_what_happens_in_a_transaction_knows_it() -> None:
    """Filter flows and the flows that they start are in it; a list of starts runs in turn."""
    seen: list[tuple[str, object]] = []
    at_once = 0

    async def look(options: JSONObject, context: OperationContext) -> JSONValue:
        nonlocal at_once
        at_once += 1
        assert at_once == 1
        await asyncio.sleep(0)
        at_once -= 1
        seen.append((str(options["message"]), context.transaction))
        return None

    transaction = object()
    emit = OperationSpec(type="sleep", handler=Emits(AHEAD, transaction))
    world = World(BUILTIN.with_(emit, OperationSpec(type="log", handler=look)))
    starts = (
        "operations:\n  - {type: log, options: {message: filter}}\n"
        "  - {type: trigger, options: {flow: sub, payload: [1, 2, 3], iterationMode: parallel}}\n"
    )
    await world.load(
        main=EMITTER,
        f=flow("filter").replace("operations: []\n", starts),
        sub="name: S\ntrigger: operation\noperations: [{type: log, options: {message: sub}}]",
    )

    assert (await world.run("main")).status is Status.RESOLVED
    assert seen == [("filter", transaction), *[("sub", transaction)] * 3]


# --- told after it happened ---------------------------------------------------------------------


async def test_nobody_waits_for_an_action_flow() -> None:
    """It runs by itself, in the same trace, for the same caller, as what the emitter caused."""
    world = emitting(DONE)
    await world.load(main=EMITTER, a=flow("action", '{user: "{{ $accountability.user }}"}'))

    emitter = await world.begin("main", accountability=Accountability(user="ed"))
    result = await world.engine.result(emitter)
    assert finished(world) == ["main"]
    await idle(world)

    assert result == (Status.RESOLVED, {"title": "T"})
    started, resolved = world.said("execution.started")[1], world.said("operation.resolved")[1]
    assert (started["parent_id"], started["trace_id"]) == (emitter.id, emitter.trace_id)
    assert resolved["data"]["value"] == {"user": "ed"}
    assert await world.status(started["execution_id"]) == "resolved"


async def test_an_action_flow_that_rejects_harms_nobody() -> None:
    """Its own records say it."""
    world = emitting(DONE)
    await world.load(main=EMITTER, a=THROWS.replace("filter", "action"), b=flow("action"))

    assert (await world.run("main")).status is Status.RESOLVED
    await idle(world)

    assert finished(world) == ["main", "a", "b"]


async def test_a_loop_ends_at_the_depth_limit_with_a_record() -> None:
    """A flow that causes what it waits for runs as often as flows may stand in each other."""
    world = emitting(DONE, max_depth=4)
    await world.load(
        loop=flow("action").replace(
            "operations: []", "operations: [{key: e, type: sleep, options: {milliseconds: 1}}]"
        )
    )

    await world.run("loop")
    await idle(world)

    (refused,) = world.said("trigger.refused")
    last = world.said("execution.finished")[-1]
    assert finished(world) == ["loop"] * 4
    assert {each["status"] for each in world.said("execution.finished")} == {"resolved"}
    assert (refused["flow"], refused["error"]["code"]) == ("loop", "DEPTH_EXCEEDED")
    assert refused["parent_id"] == last["execution_id"]
    assert refused["data"] == {"event": "articles.items.create"}


async def test_a_loop_of_filter_flows_ends_as_a_rejection() -> None:
    """Whoever waits for all of them is told."""
    world = emitting(AHEAD, max_depth=4)
    await world.load(
        loop=flow("filter").replace(
            "operations: []", "operations: [{key: e, type: sleep, options: {milliseconds: 1}}]"
        )
    )

    status, value = await world.run("loop")

    assert (status, value["code"]) == (Status.REJECTED, "DEPTH_EXCEEDED")  # type: ignore[index,call-overload]
    assert finished(world) == ["loop"] * 4


async def test_one_execution_does_not_tell_without_end() -> None:
    """All that it causes counts, whether it waits for it or not."""
    world = emitting(DONE, max_fanout=2)
    await world.load(main=EMITTER, a=flow("action"), b=flow("action"), c=flow("action"))

    assert (await world.run("main")).status is Status.RESOLVED
    await idle(world)

    (refused,) = world.said("trigger.refused")
    assert finished(world) == ["main", "a", "b"]
    assert (refused["flow"], refused["error"]["code"]) == ("c", "FANOUT_EXCEEDED")


async def test_what_cannot_start_is_recorded_and_not_the_emitters_fault() -> None:
    """A full queue, a flow that runs already, a runner that stops: the event has happened."""
    world = emitting(DONE, max_running=1, max_queued=0)
    await world.load(main=EMITTER, a=flow("action"))

    assert (await world.run("main")).status is Status.RESOLVED

    (refused,) = world.said("trigger.refused")
    assert (refused["flow"], refused["error"]["code"]) == ("a", "SERVICE_UNAVAILABLE")


async def test_the_flows_of_the_emitters_generation_are_told() -> None:
    """What is loaded meanwhile waits for later events."""
    world = emitting(DONE)
    await world.load(main=EMITTER, old=flow("action"))
    emitter = await world.begin("main")
    await world.load(main=EMITTER, new=flow("action"))

    await world.engine.result(emitter)
    await idle(world)

    assert finished(world) == ["main", "old"]


# --- what they wait for -------------------------------------------------------------------------


DELETED: Final = ("a.items.delete", "b.items.delete")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("scope: [items.create], collections: [a, b]", ("a.items.create", "b.items.create")),
        ("scope: 'items.create,x', collections: a", ("a.items.create", "x")),
        ("scope: 'items.delete , x', collections: 'a, b'", (*DELETED, "x")),
        ("scope: [items.create], collections: []", ()),
        ("scope: [items.sort, auth.login], collections: [a]", ("items.sort", "auth.login")),
        ("scope: [auth.login]", ("auth.login",)),
        ("scope: [auth.login], collections: null", ("auth.login",)),
        ("scope: ['com.example.*', '*']", ("com.example.*", "*")),
        ("scope: [x, x]", ("x",)),
    ],
)
async def test_the_scope_names_events(
    world: World, options: str, expected: tuple[str, ...]
) -> None:
    """The short names are about the collections beside them, all others are what they are."""
    await world.load(f=f"name: F\ntrigger: event\noptions: {{type: action, {options}}}")

    entry = world.registry.current.find("f")
    assert entry is not None
    assert entry.flow is not None
    assert isinstance(entry.flow.trigger, EventTrigger)
    assert entry.flow.trigger.scope == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.items.create", ["all", "both", "exact", "prefix"]),
        ("a.items.delete", ["all", "prefix"]),
        ("a.item", ["all"]),
        ("a.items.create.more", ["all", "prefix"]),
        ("b", ["all", "both"]),
        ("B", ["all"]),
        ("", ["all"]),
    ],
)
async def test_a_star_at_the_end_is_any_ending(
    world: World, name: str, expected: list[str]
) -> None:
    """Names are compared as they are written; a flow hears of an event once."""

    def told(scope: str) -> str:
        return f"name: F\ntrigger: event\noptions: {{type: action, scope: {scope}}}\n"

    await world.load(
        prefix=told("['a.items.*']"),
        exact=told("[a.items.create]"),
        both=told("[a.items.create, b]"),
        all=told("['*', b]"),
        off=told("['*']") + "status: inactive\n",
        asked=told("['*']").replace("action", "filter"),
    )

    listeners = world.registry.current.listeners
    assert [each.flow.key for each in listeners.of(name, ahead=False)] == expected
    assert [each.flow.key for each in listeners.of(name, ahead=True)] == ["asked"]


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        ("scope: [items.create]", "missing-key", "needs collections"),
        ("scope: [items.create], collections: null", "missing-key", "needs collections"),
        ("scope: ['a.*.create']", "bad-value", "nowhere but at its end"),
        ("scope: 'a,*b'", "bad-value", "nowhere but at the end"),
        ("scope: []", "bad-value", "scope"),
        ("", "missing-key", "scope"),
        ("scope: [x], filters: [{sql: 'a = b'}]", "unknown-key", "sql"),
        ("scope: [x], filters: [{exact: {}}]", "bad-value", "exact"),
        ("scope: [x], filters: [{exact: {type: ''}}]", "bad-value", "type"),
        ("scope: [x], filters: [{exact: {type: a}, not: {exact: {type: b}}}]", "bad-value", ""),
        ("scope: [x], filters: [{all: []}]", "bad-value", "all"),
        ("scope: [x], filters: [{not: {any: [{prefix: {Type: a}}]}}]", "", "Type"),
        ("scope: [x], filter: {$trigger: {a: {_like: 1}}}", "rule", "unknown operator"),
        ("scope: [x], filter: {$trigger: {a: {_eq: '{{ $trigger.b }}'}}}", "rule", "templates"),
        ("scope: [x], filter: {payload: {_eq: 1}}", "rule", '"payload" is always missing'),
        ("scope: [x], filter: {$last: {_eq: 1}}", "rule", '"$last" is always missing'),
    ],
)
async def test_what_nobody_could_mean_is_an_issue(
    world: World, options: str, code: str, says: str
) -> None:
    """The flow does not run, and its file says where."""
    issues = await world.issues(f=f"name: F\ntrigger: event\noptions: {{type: filter, {options}}}")

    errors = [each for each in issues if each.severity is Severity.ERROR]
    assert errors, issues
    assert any(says in each.message and code in each.code for each in errors), errors


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ("type: action, scope: [items.create], collections: []", "nobody"),
        ("type: filter, scope: [runner.flow.failed]", "nobody"),
        ("type: action, scope: [x], return: $last", "pointless-option"),
    ],
)
async def test_what_changes_nothing_is_a_warning(world: World, options: str, code: str) -> None:
    """The flow runs, as far as it can."""
    (issue,) = await world.issues(f=f"name: F\ntrigger: event\noptions: {{{options}}}")

    assert (issue.severity, issue.code) == (Severity.WARNING, code)


EVENT: Final = Event(
    "com.example.order",
    {"total": 3},
    {"source": "/shop", "subject": None, "number": 5, "flag": True, "keys": ["a"]},
)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ("[]", True),
        ("[{exact: {source: /shop}}]", True),
        ("[{exact: {source: /Shop}}]", False),
        ("[{exact: {source: /shop, type: other}}]", False),
        ("[{exact: {source: /shop}}, {exact: {type: other}}]", False),
        ("[{exact: {type: com.example.order}}]", True),
        ("[{prefix: {type: com.example.}}]", True),
        ("[{prefix: {type: example.}}]", False),
        ("[{suffix: {type: .order}}]", True),
        ("[{suffix: {type: .order.}}]", False),
        ("[{exact: {number: '5', flag: 'true'}}]", True),
        ("[{exact: {missing: a}}]", False),
        ("[{prefix: {subject: a}}]", False),
        ("[{not: {exact: {missing: a}}}]", True),
        ("[{not: {exact: {source: /shop}}}]", False),
        ("[{all: [{exact: {source: /shop}}, {exact: {number: '5'}}]}]", True),
        ("[{all: [{exact: {source: /shop}}, {exact: {number: '6'}}]}]", False),
        ("[{any: [{exact: {source: /other}}, {exact: {number: '5'}}]}]", True),
        ("[{any: [{exact: {source: /other}}, {exact: {number: '6'}}]}]", False),
        ("[{exact: {payload: a}}]", False),
        ("[{exact: {event: com.example.order}}]", False),
        ("[{exact: {keys: a}}]", False),
    ],
)
async def test_attributes_decide_who_is_told(filters: str, expected: bool) -> None:
    """The dialects of CloudEvents subscriptions; an attribute that is missing is like no text."""
    world = emitting(EVENT)
    await world.load(main=EMITTER, a=flow("action", scope="com.example.order", filters=filters))

    await world.run("main")
    await idle(world)

    assert ("a" in finished(world)) is expected


FIVE: Final = "{$trigger: {number: {_eq: 5}}}"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"filter": "null"}, True),
        ({"filter": "{$trigger: {payload: {total: {_gte: 3}}}}"}, True),
        ({"filter": "{$trigger: {payload: {total: {_gt: 3}}}}"}, False),
        ({"filter": "{$trigger: {missing: {_eq: 3}}}"}, False),
        ({"filter": "{$accountability: {user: {_eq: ed}}}"}, True),
        ({"filter": "{$accountability: {user: {_eq: $CURRENT_USER}}}"}, True),
        ({"filter": "{$trigger: {number: {_between: $CURRENT_USER}}}"}, False),
        ({"filter": FIVE, "filters": "[{exact: {source: /shop}}]"}, True),
        ({"filter": FIVE, "filters": "[{exact: {source: /other}}]"}, False),
        ({"filter": FIVE.replace("5", "6"), "filters": "[{exact: {source: /shop}}]"}, False),
    ],
)
async def test_a_rule_decides_who_is_told(options: dict[str, str], expected: bool) -> None:
    """It looks at `$trigger` and at who causes the event; attributes count beside it."""
    world = emitting(EVENT)
    await world.load(main=EMITTER, a=flow("action", scope="com.example.order", **options))

    await world.run("main", accountability=Accountability(user="ed"))
    await idle(world)

    assert ("a" in finished(world)) is expected


async def test_a_filter_flow_looks_at_the_payload_as_it_is_then() -> None:
    """What an earlier one made of it counts."""
    world = emitting(AHEAD)
    wants = "{$trigger: {payload: {title: {_eq: one}}}}"
    await world.load(
        main=EMITTER,
        a=flow("filter", "{title: one}", **{"return": "$last"}),
        b=flow("filter", "{title: two}", **{"return": "$last", "filter": wants}),
        c=flow("filter", "{title: three}", **{"return": "$last", "filter": wants}),
    )

    assert (await world.run("main")).value == {"title": "two"}


# --- the runner's own ---------------------------------------------------------------------------

SUB: Final = "name: Sub\ntrigger: operation\noperations: [%s]\n"
SAYS: Final = "{key: say, type: log, options: {message: 'heard {{ $trigger.payload }}'}}"
FAILS: Final = "{key: no, type: throw-error, options: {code: NO, message: the-secret is out}}"


def own(names: str, operation: str = "") -> str:
    """A flow that waits for events of the runner."""
    options = f"{{type: action, scope: [{names}]}}"
    return f"name: Own\ntrigger: event\noptions: {options}\noperations: [{operation}]\n"


@asynccontextmanager
async def telling(world: World) -> AsyncIterator[Callable[[], Any]]:
    """The runner's own events, told; gives what waits until all of them are."""
    events = OwnEvents(world.registry, world.engine, world.recorder)
    task = asyncio.create_task(events.run())
    await asyncio.sleep(0)

    async def settled() -> None:
        for _ in range(20):  # what is told starts what may be told: for ever, if that went wrong
            await idle(world)
            await events.settle(10)

    yield settled
    task.cancel()


def heard(world: World, flow_: str = "own") -> list[JSONObject]:
    """What a flow was told."""
    started = (each for each in world.said("execution.started") if each["flow"] == flow_)
    return [each["data"]["trigger"] for each in started]


async def test_a_flow_hears_that_others_fail(world: World) -> None:
    """It is told which, how and why, without what records do not show."""
    world.redactor.learn("the-secret")
    async with telling(world) as settled:
        await world.load(own=own("runner.flow.failed", SAYS), fails=SUB % FAILS, works=SUB % "")
        await world.run("fails")
        await world.run("works")
        await settled()

    (event,) = heard(world)
    (said,) = world.said("log.message")
    assert said["message"].startswith('heard {"execution":')
    (failed, *_) = world.said("execution.finished")
    payload = event["payload"]
    assert event["event"] == "runner.flow.failed"
    assert event["time"] == failed["timestamp"]
    assert payload["flow"] == "fails"
    assert payload["execution"] == failed["execution_id"]
    assert (payload["status"], payload["trigger"]) == ("rejected", "operation")
    assert payload["error"]["code"] == "NO"
    assert "the-secret" not in payload["error"]["message"]
    assert payload["operation"] == "no"


async def test_a_flow_hears_that_others_succeed(world: World) -> None:
    """But not of itself."""
    async with telling(world) as settled:
        await world.load(own=own("runner.flow.succeeded"), fails=SUB % FAILS, works=SUB % "")
        await world.run("fails")
        await world.run("works")
        await settled()

    assert [each["payload"]["flow"] for each in heard(world)] == ["works"]


async def test_nothing_that_hearing_causes_is_told(world: World) -> None:
    """A flow that hears of failures and fails, with a flow that it starts, does not go round."""
    starts = "{key: s, type: trigger, options: {flow: fails}}"
    async with telling(world) as settled:
        await world.load(own=own("'runner.*'", starts), fails=SUB % FAILS)
        await world.run("fails")
        await settled()

    told = [each["event"] for each in heard(world)]
    assert told == ["runner.started", "runner.flow.failed"]
    assert sorted(finished(world)) == ["fails"] * 3 + ["own"] * 2


async def test_the_start_is_told_once_with_the_first_flows(world: World) -> None:
    """A flow that comes later has missed it."""
    async with telling(world) as settled:
        await world.load(own=own("runner.started"))
        await settled()
        await world.load(own=own("runner.started"), new=own("runner.started"))
        await settled()

    (event,) = heard(world)
    assert event["payload"]["generation"] == 1
    assert event["payload"]["revision"] == "revision-1"
    assert heard(world, "new") == []


@pytest.mark.parametrize(
    ("record", "name", "payload"),
    [
        (
            {"event": "generation.swapped", "generation": 2, "revision": "r", "data": {"a": 1}},
            "runner.generation.swapped",
            {"generation": 2, "revision": "r", "a": 1},
        ),
        ({"event": "daemon.draining"}, "runner.stopping", {}),
    ],
)
async def test_what_happens_to_the_daemon_is_told(
    world: World, record: dict[str, Any], name: str, payload: JSONObject
) -> None:
    """As its records say it."""
    async with telling(world) as settled:
        await world.load(own=own(name))
        world.recorder.emit(record.pop("event"), **record)
        await settled()

    (event,) = heard(world)
    assert (event["event"], event["payload"]) == (name, payload)


async def test_nobody_looks_at_records_while_no_flow_waits(world: World) -> None:
    """The way of a request costs what it always did."""

    def sinks() -> int:
        return len(world.recorder._press.sinks)

    async with telling(world) as settled:
        counts = []
        for text in (flow("action"), own("runner.flow.failed"), own("'*'"), own("'com.*'")):
            await world.load(own=text)
            counts.append(sinks())
        await settled()

    assert counts == [1, 2, 2, 1]


async def test_an_execution_that_was_cancelled_neither_failed_nor_succeeded(world: World) -> None:
    """Somebody wanted it."""
    async with telling(world) as settled:
        await world.load(own=own("'runner.flow.*'"), works=SUB % "")
        execution = await world.begin("works")
        execution.cancel()
        await world.engine.result(execution)
        await settled()

    assert heard(world) == []


class Silent(MemoryStore):
    """A store that gives no answer."""

    async def accept(self, execution: Accepted, texts: Sequence[FlowText]) -> bool:
        """Wait for ever."""
        return await asyncio.Event().wait()


async def test_a_runner_that_stops_does_not_wait_for_what_cannot_be_told() -> None:
    """It has only so much time, and its store may be away."""
    world = World(store=Silent())
    events = OwnEvents(world.registry, world.engine, world.recorder)
    task = asyncio.create_task(events.run())
    await asyncio.sleep(0)
    await world.load(own=own("runner.stopping"))
    world.recorder.emit("daemon.draining")

    async with asyncio.timeout(5):
        await events.settle(0.01)

    assert not task.done()
    task.cancel()


async def test_the_own_events_of_a_runner_that_stops_are_recorded_as_refused(world: World) -> None:
    """Nothing starts any more, and that is said."""
    async with telling(world) as settled:
        await world.load(own=own("runner.stopping"))
        await world.engine.drain(1)
        world.recorder.emit("daemon.draining")
        await settled()

    (refused,) = world.said("trigger.refused")
    assert (refused["flow"], refused["error"]["name"]) == ("own", "Draining")
