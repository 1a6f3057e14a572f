"""Flows as Directus has them, in our words: what is translated, what is said, what goes."""

import copy
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import flowtext, jsontext, yaml12
from runner.compiler import Compiled
from runner.importers import directus, exports
from runner.importers.directus import Imported
from runner.types import JSONObject, Path
from tests.documents import BAITS, paths, replaced
from tests.world import compiled

FIRST, SECOND = "00000000-0000-4000-a000-000000000001", "00000000-0000-4000-a000-000000000002"
FLOW_ID, OTHER = "00000000-0000-4000-a000-0000000000f1", "00000000-0000-4000-a000-0000000000f2"


def operation(type_: str = "log", options: Any = None, **more: Any) -> JSONObject:
    """An operation as Directus lists it."""
    options = {"message": "m"} if options is None and type_ == "log" else options
    row: JSONObject = {"id": FIRST, "key": "first", "name": None, "type": type_}
    row |= {"options": options}
    return {**row, "position_x": 19, "position_y": 1, "resolve": None, "reject": None, **more}


def flow(*operations: JSONObject, **more: Any) -> JSONObject:
    """A flow as Directus lists it; it begins with the first of *operations*."""
    root = operations[0]["id"] if operations else None
    row: JSONObject = {"id": FLOW_ID, "name": "Flow", "trigger": "operation"}
    row |= {"status": "active"}
    row |= {"accountability": "all", "options": None, "operation": root}
    return {**row, "operations": [*operations], **more}


def imported(row: JSONObject, *others: JSONObject) -> Imported:
    """What becomes of *row*, imported together with *others*."""
    return directus.convert([row, *others])[0]


def options_of(row: JSONObject) -> JSONObject:
    """The options of the only operation, as its file says them."""
    options: JSONObject = imported(row).data["operations"][0].get("options", {})
    return options


# --- the flow -----------------------------------------------------------------------------------


def test_what_goes_without_saying_is_not_said() -> None:
    """A flow of defaults is three lines."""
    assert imported(flow()).data == {"id": FLOW_ID, "name": "Flow", "trigger": "operation"}


def test_what_is_said_is_in_the_order_of_the_manual() -> None:
    """Whatever order it had."""
    row = flow(
        operation(name="First"),
        description="For tests.",
        icon="bolt",
        color="#112233",
        status="inactive",
        accountability="activity",
        options={"return": "$last"},
        date_created="2024-01-31T12:00:00.000Z",
        user_created=OTHER.upper(),
    )

    data = imported(dict(reversed(row.items()))).data

    assert [*data.items()] == [
        ("id", FLOW_ID),
        ("name", "Flow"),
        ("description", "For tests."),
        ("icon", "bolt"),
        ("color", "#112233"),
        ("status", "inactive"),
        ("trigger", "operation"),
        ("options", {"return": "$last"}),
        ("tracking", "activity"),
        ("date_created", "2024-01-31T12:00:00.000Z"),
        ("user_created", OTHER),
        ("operations", data["operations"]),
    ]
    assert [*data["operations"][0].items()] == [
        ("key", "first"),
        ("name", "First"),
        ("id", FIRST),
        ("type", "log"),
        ("position", [19, 1]),
        ("options", {"message": "m"}),
    ]


@pytest.mark.parametrize(
    ("accountability", "tracking", "comment"),
    [
        ("all", None, None),
        ("activity", "activity", None),
        (None, "none", None),
        ("$public", "activity", "`accountability` was $public"),
        (["x"], "activity", "`accountability` was ['x']"),
    ],
)
def test_accountability_is_tracking(accountability: Any, tracking: Any, comment: Any) -> None:
    """In Directus it is how much is logged; here that name means the permission."""
    made = imported(flow(accountability=accountability))

    assert made.data.get("tracking") == tracking
    assert "accountability" not in made.data
    assert made.comments.get(("tracking",), "").startswith(comment or "")
    assert (("tracking",) in made.comments) is (comment is not None)


def test_accountability_that_is_not_exported_is_the_default() -> None:
    """`all`, as in Directus."""
    row = flow()
    del row["accountability"]

    assert "tracking" not in imported(row).data


@pytest.mark.parametrize("status", ["inactive", "draft", None, 1])
def test_only_active_flows_are_active(status: Any) -> None:
    """Directus starts no other, whatever the word is."""
    made = imported(flow(status=status))

    assert made.data["status"] == "inactive"
    assert (("status",) in made.comments) is (status != "inactive")


def test_a_flow_without_a_status_is_active() -> None:
    """An export of the Studio does not say it."""
    row = flow()
    del row["status"]

    assert "status" not in imported(row).data


def test_what_flows_here_do_not_have_is_left_out_with_a_word() -> None:
    """In the header too, for those who see the file only."""
    made = imported(flow(folder=OTHER, extra={"a": 1}, nothing=None))

    assert made.omissions == ("left out, as flows here do not have it: folder, extra",)
    assert "Left out, as flows here do not have it: folder, extra." in made.comments[()]
    assert not {"folder", "extra", "nothing"} & set(made.data)


def test_an_author_that_is_no_uuid_is_left_out_with_a_word() -> None:
    """It could not be kept."""
    made = imported(flow(user_created="somebody"))

    assert "user_created" not in made.data
    assert made.omissions == ("left out, as it is no UUID: user_created",)


# --- the trigger --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "becomes"),
    [
        (None, {"error_on_reject": False}),
        ({"method": "GET"}, {"error_on_reject": False}),
        ({"method": "POST"}, {"method": "POST", "error_on_reject": False}),
        ({"method": None, "async": None, "return": None}, {"error_on_reject": False}),
        ({"async": True}, {"async": True, "error_on_reject": False}),
        ({"async": "yes"}, {"async": True, "error_on_reject": False}),
        ({"async": ""}, {"error_on_reject": False}),
        ({"error_on_reject": True}, {}),
        ({"error_on_reject": "true"}, {"error_on_reject": False}),
        ({"return": "$last"}, {"error_on_reject": False}),
        ({"return": ""}, {"return": "", "error_on_reject": False}),
        ({"return": "$all"}, {"return": "$all", "error_on_reject": False}),
        ({"cacheEnabled": True, "cacheQueryParams": ["a"]}, {"error_on_reject": False}),
        ({"cron": "@daily", "scope": []}, {"error_on_reject": False}),
        ({"surprise": 1}, {"surprise": 1, "error_on_reject": False}),
    ],
)
def test_a_webhook_answers_as_in_directus(options: Any, becomes: JSONObject) -> None:
    """It lets everybody in and answers rejections with 200, and says so."""
    made = imported(flow(trigger="webhook", options=options))

    assert made.data["options"] == {"auth": "none", **becomes}
    assert "Anybody" in made.comments["options", "auth"]
    assert "200" in made.comments["options", "error_on_reject"]


@pytest.mark.parametrize(
    ("options", "becomes"),
    [
        ({"collections": ["a"]}, {"collections": ["a"]}),
        (None, {"collections": []}),
        ({"collections": None}, {"collections": []}),
        ({"collections": ["a"], "requireSelection": True}, {"collections": ["a"]}),
        ({"collections": ["a"], "requireSelection": None}, {"collections": ["a"]}),
        (
            {"collections": ["a"], "requireSelection": False},
            {"collections": ["a"], "requireSelection": False},
        ),
        ({"collections": ["a"], "location": "both"}, {"collections": ["a"]}),
        ({"collections": ["a"], "location": "item"}, {"collections": ["a"], "location": "item"}),
        (
            {"collections": ["a"], "requireConfirmation": False, "confirmationDescription": ""},
            {"collections": ["a"]},
        ),
        ({"collections": ["a"], "return": "$all"}, {"collections": ["a"]}),
        ({"collections": ["a"], "method": "POST"}, {"collections": ["a"]}),
        (
            {"collections": ["a"], "fields": [{"field": "x", "name": None, "meta": {"a": None}}]},
            {"collections": ["a"], "fields": [{"field": "x", "meta": {"a": None}}]},
        ),
        ({"collections": ["a"], "fields": []}, {"collections": ["a"]}),
        ({"collections": ["a"], "fields": "x"}, {"collections": ["a"], "fields": "x"}),
    ],
)
def test_a_manual_flow_is_as_open_as_in_directus(options: Any, becomes: JSONObject) -> None:
    """Without collections it is for nobody; what only its Studio reads stays where it says more."""
    made = imported(flow(trigger="manual", options=options))

    assert made.data["options"] == {**becomes, "error_on_reject": False}
    assert (("options", "collections") in made.comments) is (becomes["collections"] == [])


def test_what_is_dropped_of_the_options_is_said_above_them() -> None:
    """Each in a line."""
    options = {"scope": ["a"], "cacheEnabled": True, "cacheQueryParams": "a"}
    webhook = imported(flow(trigger="webhook", options=options))
    manual = imported(flow(trigger="manual", options={"collections": ["a"], "return": "$all"}))

    assert webhook.comments["options",].splitlines() == [
        "Directus does not read these here, so they went: scope.",
        "Answers are never cached here, so these went: cacheEnabled, cacheQueryParams.",
    ]
    assert "it was $all" in manual.comments["options",]


@pytest.mark.parametrize("answer", [None, ""])
def test_a_sub_flow_that_returns_nothing_says_nothing(answer: Any) -> None:
    """That is the default."""
    assert "options" not in imported(flow(options={"return": answer})).data


@pytest.mark.parametrize(
    ("options", "becomes"),
    [
        ({"scope": ["items.create"], "collections": ["a"]}, {"collections": ["a"]}),
        ({"scope": ["items.create"], "collections": None}, {"collections": []}),
        ({"scope": "auth.login,items.delete"}, {"collections": []}),
        ({"scope": ["auth.login"], "collections": None}, {}),
        ({"scope": ["auth.login"], "collections": []}, {"collections": []}),
        ({"scope": ["x"], "return": "$last"}, {"return": "$last"}),
        ({"scope": ["x"], "return": ""}, {}),
        ({"scope": ["x"], "return": "$last", "type": "action"}, {"type": "action"}),
        ({"scope": ["x"], "method": "GET"}, {}),
    ],
)
def test_an_event_flow_waits_for_what_it_waited_for(options: Any, becomes: JSONObject) -> None:
    """Without collections, events of items never came to it; and nobody reads what it returns."""
    made = imported(flow(trigger="event", options={"type": "filter", **options}))

    assert made.data["options"] == {"type": "filter", "scope": options["scope"], **becomes}


def test_a_schedule_is_told_that_its_clock_is_another() -> None:
    """Directus goes by that of its server, which the export does not say."""
    made = imported(flow(trigger="schedule", options={"cron": "30 2 * * *", "method": "GET"}))

    assert made.data["options"] == {"cron": "30 2 * * *"}
    assert "UTC" in made.comments["options", "cron"]


@pytest.mark.parametrize("trigger", ["event", "schedule", "hook", None, 7])
def test_the_options_of_other_triggers_stay(trigger: Any) -> None:
    """The compiler says what it thinks of them."""
    options: JSONObject = {
        "event": {"type": "action", "return": None},
        "schedule": {"cron": "@daily"},
    }
    given = options.get(str(trigger), {"x": 1})

    made = imported(flow(trigger=trigger, options=given)).data

    assert made["options"] == {key: value for key, value in given.items() if value is not None}


# --- credential headers -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "options", "headers"),
    [
        ("log", {"message": "{{ $trigger.headers.authorization }}"}, ["authorization"]),
        ("log", {"message": "a {{ $trigger['headers'][\"cookie\"] }}"}, ["cookie"]),
        ("log", {"message": "{{ $trigger.headers.proxy-authorization }}"}, ["proxy-authorization"]),
        ("log", {"message": "{{ $last.headers.cookie.x }}"}, ["cookie"]),
        ("log", {"message": ["{{ $last.headers.cookie }}", ["{{ $last.headers.authorization }}"]]},
         ["authorization", "cookie"]),
        ("log", {"message": "{{ $trigger.headers }}"}, None),
        ("log", {"message": "{{ $trigger.headers.Authorization }}"}, None),
        ("log", {"message": "{{ $trigger.body.headers.cookie }}"}, None),
        ("log", {"message": "{{ $trigger.headers.x-cookie }}"}, None),
        ("log", {"message": "$trigger.headers.cookie"}, None),
        ("condition", {"filter": {"$trigger": {"headers": {"authorization": {"_eq": "x"}}}}},
         ["authorization"]),
        ("condition", {"filter": {"_or": [{"$last": {"headers": {"cookie": {"_nnull": True}}}}]}},
         ["cookie"]),
        ("condition", {"filter": {"$trigger": {"headers": {"host": {"_eq": "x"}}}}}, None),
        ("condition", {"filter": {"$trigger": {"headers": {"cookie": {"_foo": "x"}}}}}, None),
        ("condition", {"filter": "{{ $trigger.headers.cookie }}"}, ["cookie"]),
        ("condition", {}, None),
        ("condition", [], None),
        ("log", {"message": "{{ $trigger.headers.cookie }} {{"}, None),
    ],
)  # fmt: skip
def test_headers_are_exposed_where_a_template_or_a_rule_reads_them(
    type_: str, options: Any, headers: Any
) -> None:
    """By name; a flow that does not read them shall not see them."""
    made = imported(flow(operation(type_, options), trigger="webhook")).data

    assert made["options"].get("expose_headers") == headers


def test_last_is_the_trigger_only_before_anything_has_run() -> None:
    """For the second operation it is the value of the first."""
    row = flow(
        operation(resolve=SECOND),
        operation("log", {"message": "{{ $last.headers.cookie }}"}, id=SECOND, key="second"),
        trigger="webhook",
    )

    assert "expose_headers" not in imported(row).data["options"]


def test_a_manual_flow_that_reads_such_a_header_is_told() -> None:
    """It has no option to expose them."""
    row = flow(operation("log", {"message": "{{ $trigger.headers.cookie }}"}), trigger="manual")

    assert "--redacted--: cookie" in imported(row).comments["options",]


@pytest.mark.parametrize(
    ("code", "header"),
    [
        ("data.$trigger.headers.authorization", "authorization"),
        ("data.$trigger.headers['Cookie']", "cookie"),
        ('const h = data.$trigger.headers; h?.["cookie"]', None),
        ("data.$trigger.headers.authorizations", None),
        ("cookie(authorization)", None),
    ],
)
def test_code_that_seems_to_read_such_a_header_has_a_comment(code: str, header: Any) -> None:
    """Nobody can be sure what code does, so nothing is exposed."""
    made = imported(flow(operation("exec", {"code": code}), trigger="webhook"))
    comment = made.comments.get(("operations", 0, "options", "code"), "")

    assert "expose_headers" not in made.data["options"]
    assert (f"the header {header}:" in comment) is (header is not None)


# --- operations ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "options", "becomes"),
    [
        ("throw-error", {"code": None, "status": "422", "message": None}, {"status": "422"}),
        ("throw-error", {"code": "INTERNAL_SERVER_ERROR", "status": 500}, {}),
        ("throw-error", {"status": "500"}, {"status": "500"}),
        ("transform", {"json": None}, {"json": None}),
        ("transform", {"json": {"a": None}}, {"json": {"a": None}}),
        ("transform", {"json": '{"a": 1}'}, {"json": '{"a": 1}'}),
        ("log", {"message": None}, {"message": None}),
        ("condition", {"filter": None}, {"filter": None}),
        ("sleep", {"milliseconds": 0}, {"milliseconds": 0}),
        ("sleep", {"milliseconds": None}, {"milliseconds": None}),
        ("trigger", {"flow": "a", "iterationMode": "parallel", "batchSize": 10}, {"flow": "a"}),
        ("trigger", {"flow": "a", "payload": None, "batchSize": None}, {"flow": "a"}),
        ("trigger", {"flow": "a", "batchSize": 10.0}, {"flow": "a", "batchSize": 10.0}),
        ("log", {"message": "m", "surprise": 1}, {"message": "m", "surprise": 1}),
        ("request", {"url": "u", "headers": None, "body": None}, {"url": "u", "body": None}),
        ("unknown", {"a": None, "b": False}, {"b": False}),
        ("log", {}, {}),
        ("throw-error", None, {}),
        ("log", "text", "text"),
        ("../flow", {"name": "x"}, {"name": "x"}),
    ],
)
def test_options_that_go_without_saying_are_not_said(
    type_: str, options: Any, becomes: JSONObject
) -> None:
    """Nulls that a form left behind, and defaults; nothing that means something."""
    assert options_of(flow(operation(type_, options))) == becomes


def test_a_sub_flow_is_named_beside_its_id() -> None:
    """And the author hears that here a rejection comes through."""
    caller = flow(operation("trigger", {"flow": OTHER.upper()}))

    alone, together = imported(caller), imported(caller, flow(id=OTHER, name="Price"))

    at: Path = ("operations", 0, "options", "flow")
    assert together.data["operations"][0]["options"] == {"flow": OTHER}
    assert together.comments[at] == f"Price\n{alone.comments[at]}"
    assert "rejects" in alone.comments[at]


def test_ids_are_found_whatever_form_they_have() -> None:
    """Some databases give capitals, some answers the whole object."""
    row = flow(
        operation(resolve={"id": SECOND.upper()}),
        operation(id=SECOND, key="second", flow={"id": FLOW_ID}),
        operation={"id": FIRST.upper()},
        id=FLOW_ID.upper(),
    )

    made = imported(row)

    assert made.id == made.data["id"] == FLOW_ID
    assert [each["key"] for each in made.data["operations"]] == ["first", "second"]


@pytest.mark.parametrize("position", [(None, 1), (1.5, 1), ("1", "2"), (True, False)])
def test_a_position_is_kept_where_it_is_one(position: tuple[Any, Any]) -> None:
    """Clients that draw flows need both numbers."""
    row = flow(operation(position_x=position[0], position_y=position[1]))

    assert "position" not in imported(row).data["operations"][0]


def test_operations_that_never_run_are_left_out_with_a_word() -> None:
    """As many of their keys as a line takes."""
    lost = [operation(id=f"{n}", key=f"k{n}") for n in range(12)]

    one, many = imported(flow(operation(), lost[0])), imported(flow(operation(), *lost))

    assert one.omissions == ("left out, as nothing leads to it: k0",)
    assert many.omissions == (
        "left out, as nothing leads to them: k0, k1, k2, k3, k4, k5, k6, k7, k8, k9 and 2 more",
    )


@pytest.mark.parametrize("root", [None, OTHER])
def test_a_flow_that_begins_nowhere_does_nothing(root: Any) -> None:
    """As in Directus; what it has is named."""
    made = imported(flow(operation(), operation=root))

    assert "operations" not in made.data
    assert made.omissions == (
        "left out, as the flow does not say which runs first, so that Directus runs none: first",
    )


@pytest.mark.parametrize(
    ("row", "obstacle"),
    [
        (flow(operations=[FIRST]), "ask for fields=*,operations.*"),
        (flow(operations="x"), "ask for fields=*,operations.*"),
        (flow(operation=FIRST, operations=None), "ask for fields=*,operations.*"),
        (flow(operation(), operation(key="twin")), f"two of its operations have the id {FIRST}"),
        (flow(operation(id=7)), "its operation 1 has no id or no key"),
        (flow(operation(), operation(id=SECOND, key=None)), "its operation 2 has no id or no key"),
        (flow(*[operation()] * 10_001), "it has 10,001 operations; 10,000 are allowed"),
    ],
)
def test_operations_that_cannot_be_read_are_an_obstacle(row: JSONObject, obstacle: str) -> None:
    """Without them, the text would say less than the export."""
    (told,) = imported(row).obstacles

    assert obstacle in told


def test_names_in_what_is_said_are_harmless_to_a_terminal() -> None:
    """They come from elsewhere."""
    evil = "\x1b[31m\n" + "x" * 500
    row = flow(operation(), operation(id=SECOND, key=evil), name=evil, status=evil, **{evil: 1})

    made = imported(row)

    for said in (*made.omissions, *made.comments.values(), *made.obstacles):
        assert all(line.isprintable() and len(line) < 200 for line in said.split("\n")), said


# --- anything -----------------------------------------------------------------------------------

#: Options without templates.
messages = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="{")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@st.composite
def rows(draw: st.DrawFn) -> list[JSONObject]:
    """Operations that lead to later ones, in any order; the first runs first."""
    size = draw(st.integers(1, 8))
    ids = draw(st.lists(st.uuids().map(str), min_size=size, max_size=size, unique=True))
    return [
        operation(
            "log",
            {"message": draw(messages)},
            id=id_,
            key=f"k{n}",
            name=draw(st.none() | st.text(min_size=1, max_size=9)),
            position_x=n,
            resolve=draw(st.sampled_from([None, *ids[n + 1 :]])),
            reject=draw(st.sampled_from([None, *ids[n + 1 :]])),
        )
        for n, id_ in enumerate(ids)
    ]


@given(rows(), st.randoms(use_true_random=False))
def test_an_export_of_the_studio_means_the_same_here(
    made: list[JSONObject], random: Random
) -> None:
    """Read from JSON, written as YAML, compiled: every operation that runs is what it was."""
    mixed = random.sample(made, len(made))
    head = {**flow(*made), "operations": None}
    export = {"version": 1, "flow": head, "operations": mixed}

    (brought,) = directus.convert(exports.read(jsontext.write(export)).flows)
    each = compiled(flowtext.write(brought.data, brought.comments))

    assert isinstance(each, Compiled)
    assert each.flow is not None, each.issues
    rows = {row["id"]: row for row in made}
    keys = {None: None} | {row["id"]: row["key"] for row in made}
    assert each.flow.first == "k0"
    assert {made[0]["id"], *_followers(made[0], rows)} == {
        o.id for o in each.flow.operations.values()
    }
    for key, got in each.flow.operations.items():
        row = rows[got.id]
        assert (key, got.name, got.position) == (row["key"], row["name"], (row["position_x"], 1))
        assert (got.resolve, got.reject) == (keys[row["resolve"]], keys[row["reject"]])
        assert got.options.source == row["options"]
        assert not got.guard


def _followers(row: JSONObject, rows: dict[str, JSONObject]) -> set[str]:
    """The ids of all that *row* leads to."""
    ids = {row[way] for way in ("resolve", "reject")} - {None}
    return ids.union(*(_followers(rows[id_], rows) for id_ in ids))


WHOLE = flow(
    operation("condition", {"filter": {"$trigger": {"a": {"_eq": 1}}}}, resolve=SECOND),
    operation("trigger", {"flow": OTHER}, id=SECOND, key="second", name="Second"),
    trigger="webhook",
    options={"method": "POST", "async": True, "return": "$last"},
    user_created=OTHER,
)


@given(
    st.lists(
        st.tuples(st.integers(0, 200), BAITS, st.sampled_from(["put", "add", "drop"])), max_size=4
    ),
    st.sampled_from(["webhook", "manual", "operation", "event", None]),
)
def test_whatever_an_export_says_becomes_a_text_with_issues_at_worst(
    spoiled: list[tuple[int, Any, str]], trigger: Any
) -> None:
    """Nothing is raised, and what is written is read back."""
    row = copy.deepcopy({**WHOLE, "trigger": trigger})
    for number, bait, how in spoiled:
        everywhere = paths(row)
        row = replaced(row, everywhere[number % len(everywhere)], bait, how)

    (made,) = directus.convert([row])

    text = flowtext.write(made.data, made.comments)
    assert yaml12.parse(text).data == made.data
    assert isinstance(compiled(text), Compiled)
