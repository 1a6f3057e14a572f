"""Everything else that a client does with flows: what it returns, and what it throws."""

from collections.abc import Iterator
from typing import Any, Final
from unittest.mock import ANY

from runner.types import JSONObject
from tests.sdk.calls import (
    ED,
    LARGE,
    LATEST,
    NEMO,
    OLDEST,
    ORDERS,
    RITA,
    Call,
    flow,
    operation,
    rows,
)

# --- what is answered ---------------------------------------------------------------------------

_WEBHOOKS: Final = """
query ($kind: String!, $most: Int) {
  flows(filter: {trigger: {_eq: $kind}}, sort: ["-name"], limit: $most) {
    name
    date_created
    operations(sort: ["key"]) { key resolve { key } }
  }
}
"""
_BY_ID: Final = """
query ($flow: ID!, $operation: ID!) {
  flows_by_id(id: $flow) { name operations_func { count } }
  operations_by_id(id: $operation) { key options flow { name } }
}
"""
_AGGREGATED: Final = """
{ flows_aggregated(groupBy: ["trigger"]) { group countAll count { id } } }
"""
_MUTATION: Final = f'mutation {{ delete_flows_item(id: "{flow(1)}") {{ id }} }}'
_UNKNOWN_SORT: Final = '{ flows(sort: ["nope"]) { id } }'

ANSWERED: Final = (
    Call("readFlows without a query", "readFlows", (), [ORDERS, *[ANY] * 5]),
    Call("readNotifications", "readNotifications", ({"sort": ["-id"]},), [], token=ED),
    Call("readFlow", "readFlow", (flow(1),), ORDERS),
    Call(
        "readFlow with a query",
        "readFlow",
        (
            flow(1),
            {"fields": ["name", {"operations": ["key"]}], "deep": {"operations": {"_limit": 1}}},
        ),
        {"name": "Order intake", "operations": rows("key", "large")},
    ),
    Call("readFlow by key", "readFlow", ("billing/invoice", {"fields": ["id"]}), {"id": flow(6)}),
    Call("readOperation", "readOperation", (operation(11),), LARGE),
    Call(
        "readOperation with a query",
        "readOperation",
        (operation(12), {"fields": ["key", {"flow": ["name"]}]}),
        {"key": "small", "flow": {"name": "Order intake"}},
    ),
    Call(
        "aggregate",
        "aggregate",
        (
            "directus_flows",
            {
                "aggregate": {"count": "*"},
                "groupBy": ["trigger"],
                "query": {"filter": {"status": {"_eq": "active"}}},
            },
        ),
        [{"trigger": "manual", "count": 1}, {"trigger": "webhook", "count": 4}],
    ),
    Call(
        "withToken",
        "readFlows",
        ({"fields": ["name"], "limit": 1},),
        rows("name", "Order intake"),
        token=None,
        helper=RITA,
    ),
    # --- triggers
    Call(
        "triggerFlow GET",
        "triggerFlow",
        ("GET", flow(2), {"search": "blue", "limit": 5, "filter": {"x": 1}}),
        {"query": {"search": "blue", "limit": "5", "filter": '{"x":1}'}},
        token=None,
    ),
    Call(
        "triggerFlow GET with parameters of its own",
        "triggerFlow",
        ("GET", flow(2), {"name": "Ada", "size": 3}),
        {"query": {"name": "Ada", "size": "3"}},
        token=None,
        sdks=(LATEST,),  # the oldest leaves out what is none of a query
    ),
    Call("triggerFlow GET without parameters", "triggerFlow", ("GET", flow(2)), {"query": {}}),
    Call(
        "triggerFlow POST",
        "triggerFlow",
        ("POST", flow(1), {"id": "A1", "total": 150}),
        {"accepted": "A1", "total": 150},
        token=None,
    ),
    Call(
        "triggerFlow POST by key",
        "triggerFlow",
        ("POST", "orders", {"id": "A2", "total": 100}),
        {"accepted": "A2", "total": 100},
    ),
    Call(
        "triggerFlow POST of an asynchronous flow",
        "triggerFlow",
        ("POST", flow(5), {"n": 1}),
        {"id": ANY, "durable": True},
        status=202,
    ),
    Call(
        "triggerFlow POST without an answer",
        "triggerFlow",
        ("POST", flow(6), {"paid": True}),
        None,
        status=204,
        sdks=(LATEST,),  # the oldest takes every answer for JSON
    ),
    Call(
        "triggerFlow of a manual flow",
        "triggerFlow",
        ("POST", flow(3), {"collection": "articles", "keys": ["7"]}),
        {"keys": ["7"], "by": "00000000-0000-4000-a000-0000000000e2"},
        token=ED,
    ),
    # --- GraphQL
    Call(
        "query with variables",
        "query",
        (_WEBHOOKS, {"kind": "webhook", "most": 2}, "system"),
        {
            "flows": [
                {
                    "name": "Price list",
                    "date_created": "2025-07-09T12:30:00.000Z",
                    "operations": [{"key": "asked", "resolve": None}],
                },
                {
                    "name": "Order intake",
                    "date_created": "2024-03-05T10:00:00.000Z",
                    "operations": [
                        {"key": "answer", "resolve": None},
                        {"key": "large", "resolve": {"key": "answer"}},
                        {"key": "small", "resolve": None},
                    ],
                },
            ]
        },
    ),
    Call(
        "query by id",
        "query",
        (_BY_ID, {"flow": flow(1), "operation": operation(11)}, "system"),
        {
            "flows_by_id": {"name": "Order intake", "operations_func": {"count": 3}},
            "operations_by_id": {
                "key": "large",
                "options": LARGE["options"],
                "flow": {"name": "Order intake"},
            },
        },
    ),
    Call(
        "query of groups",
        "query",
        (_AGGREGATED, None, "system"),
        {
            "flows_aggregated": [
                {"group": {"trigger": "manual"}, "countAll": 1, "count": {"id": 1}},
                {"group": {"trigger": "operation"}, "countAll": 1, "count": {"id": 1}},
                {"group": {"trigger": "webhook"}, "countAll": 4, "count": {"id": 4}},
            ]
        },
    ),
    Call(
        "query for a flow that is not there",
        "query",
        (_BY_ID, {"flow": flow(9), "operation": operation(99)}, "system"),
        {"flows_by_id": None, "operations_by_id": None},
    ),
    Call(
        "query that fails while it runs",
        "query",
        (_UNKNOWN_SORT, None, "system"),
        None,
        sdks=(OLDEST,),  # which looks at the data only; for the latest see below
    ),
)
"""What returns a value."""

# --- what is refused ----------------------------------------------------------------------------


def _refused(name: str, status: int, code: str, command: str, *arguments: Any, **more: Any) -> Call:
    return Call(name, command, arguments, status=status, code=code, **more)


def _invalid(name: str, says: str, query: JSONObject) -> Iterator[Call]:
    """A query that is none, in both ways."""
    call = _refused(name, 400, "INVALID_QUERY", "readFlows", query, says=says)
    yield call
    yield call._replace(name=f"withSearch {name}", helper="search")


_ORDER: Final = {"id": "A3", "total": 7}
_ARTICLE: Final = {"collection": "articles", "keys": ["7"]}

REFUSED: Final = (
    _refused("an unknown flow", 404, "ROUTE_NOT_FOUND", "readFlow", flow(9)),
    _refused("an unknown operation", 404, "ROUTE_NOT_FOUND", "readOperation", operation(99)),
    _refused("a wrong token", 401, "INVALID_CREDENTIALS", "readFlows", token="wrong"),
    _refused("no token", 403, "FORBIDDEN", "readFlows", token=None),
    _refused("a caller that is no user", 403, "FORBIDDEN", "readNotifications"),
    _refused("a role that may not read", 403, "FORBIDDEN", "readOperations", token=NEMO),
    *_invalid("a filter of no field", "nope", {"filter": {"nope": {"_eq": 1}}}),
    *_invalid("a filter of no operator", "_like", {"filter": {"name": {"_like": "x"}}}),
    *_invalid("an empty list", "_in", {"filter": {"name": {"_in": []}}}),
    *_invalid("a sort of no field", "nope", {"sort": ["nope"]}),
    *_invalid("a deep of no field", "nope", {"deep": {"nope": {"_limit": 1}}}),
    *_invalid("an alias with dots", "alias", {"fields": ["a"], "alias": {"a": "operation.key"}}),
    # --- changes
    _refused("createFlow", 405, "METHOD_NOT_ALLOWED", "createFlow", {"name": "x"}, says="commit"),
    _refused("createFlows", 405, "METHOD_NOT_ALLOWED", "createFlows", [{"name": "x"}]),
    _refused(
        "updateFlow", 405, "METHOD_NOT_ALLOWED", "updateFlow", flow(1), {"name": "x"},
        says="orders.yaml",
    ),
    _refused("updateFlows", 405, "METHOD_NOT_ALLOWED", "updateFlows", [flow(1)], {"name": "x"}),
    _refused("deleteFlow", 405, "METHOD_NOT_ALLOWED", "deleteFlow", flow(1), says="orders.yaml"),
    _refused("deleteFlows", 405, "METHOD_NOT_ALLOWED", "deleteFlows", [flow(1)]),
    _refused("createOperation", 405, "METHOD_NOT_ALLOWED", "createOperation", {"key": "x"}),
    _refused(
        "updateOperation", 405, "METHOD_NOT_ALLOWED", "updateOperation", operation(11), {"key": "x"}
    ),
    _refused("deleteOperation", 405, "METHOD_NOT_ALLOWED", "deleteOperation", operation(11)),
    _refused(
        "createFlow without the right to read", 403, "FORBIDDEN", "createFlow", {}, token=NEMO
    ),
    # --- triggers
    _refused(
        "triggerFlow of a flow that rejects", 422, "TOO_SMALL",
        "triggerFlow", "POST", flow(1), _ORDER, says="An order of 7 is too small",
    ),
    _refused(
        "triggerFlow by the wrong method", 405, "METHOD_NOT_ALLOWED",
        "triggerFlow", "GET", flow(1), says="POST",
    ),
    _refused(
        "triggerFlow of an inactive flow", 404, "ROUTE_NOT_FOUND", "triggerFlow", "POST", flow(4)
    ),
    _refused(
        "triggerFlow of an unknown flow", 404, "ROUTE_NOT_FOUND", "triggerFlow", "POST", flow(9)
    ),
    _refused(
        "triggerFlow of a manual flow without a token", 403, "FORBIDDEN",
        "triggerFlow", "POST", flow(3), _ARTICLE, token=None,
    ),
    _refused(
        "triggerFlow of a manual flow without the right", 403, "FORBIDDEN",
        "triggerFlow", "POST", flow(3), _ARTICLE,
    ),
    _refused(
        "triggerFlow of a manual flow without a selection", 403, "FORBIDDEN",
        "triggerFlow", "POST", flow(3), {"collection": "articles"}, token=ED,
    ),
    # --- GraphQL
    _refused(
        "query of no field", 400, "GRAPHQL_VALIDATION",
        "query", "{ flows { nope } }", None, "system",
    ),
    _refused(
        "query without its variables", 400, "GRAPHQL_VALIDATION",
        "query", _WEBHOOKS, None, "system",
    ),
    _refused(
        "query without a token", 400, "GRAPHQL_VALIDATION",
        "query", "{ flows { id } }", None, "system", token=None,
    ),
    _refused(
        "query with a wrong token", 401, "INVALID_CREDENTIALS",
        "query", "{ flows { id } }", None, "system", token="wrong",
    ),
    _refused("query of items", 400, "GRAPHQL_VALIDATION", "query", "{ flows { id } }"),
    _refused(
        "query that changes", 405, "METHOD_NOT_ALLOWED",
        "query", _MUTATION, None, "system", says="commit",
    ),
    _refused(
        "query that fails while it runs", 200, "INVALID_QUERY",
        "query", _UNKNOWN_SORT, None, "system", says="nope", sdks=(LATEST,),
    ),
)  # fmt: skip
"""What throws: each with one error that says why."""
