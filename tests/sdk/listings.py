"""Every option of a query, for flows and for operations: each goes out as GET and as SEARCH."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

from runner.types import JSONObject
from tests.sdk.calls import BOTH, LARGE, LATEST, ORDERS, Call, flow, operation, rows

_Filters: TypeAlias = Mapping[str, tuple[JSONObject, list[str]]]
_Queries: TypeAlias = Mapping[str, tuple[JSONObject, Any]]

_NAME: Final = {"fields": ["name"]}
_KEY: Final = {"fields": ["key"]}

#: Of flows: what is asked, and what comes.
FLOWS: Final[_Queries] = {
    "no fields": ({"filter": {"id": {"_eq": flow(1)}}}, [ORDERS]),
    "fields, all": ({"fields": ["*"], "limit": 1}, [ORDERS]),
    "fields, all of a relation": (
        {"fields": ["name", "operation.*"], "limit": 1},
        [{"name": "Order intake", "operation": LARGE}],
    ),
    "fields, dotted": (
        {"fields": ["name", "operations.key"], "limit": 2},
        [
            {"name": "Order intake", "operations": rows("key", "large", "small", "answer")},
            {"name": "Price list", "operations": rows("key", "asked")},
        ],
    ),
    "fields, nested": (
        {"fields": ["id", {"operations": ["key", {"reject": ["key"]}]}], "limit": 1},
        [
            {
                "id": flow(1),
                "operations": [
                    {"key": "large", "reject": {"key": "small"}},
                    {"key": "small", "reject": None},
                    {"key": "answer", "reject": None},
                ],
            }
        ],
    ),
    "fields, functions": (
        {"fields": ["count(operations)", "year(date_created)"], "limit": 1},
        [{"operations_count": 3, "date_created_year": 2024}],
    ),
    "fields, a path into JSON": (
        {"fields": ["json(options, method)"], "limit": 1},
        [{"options_method_json": "POST"}],
    ),
    "fields that only this runner has": (
        {"fields": ["key", "path", "state"], "filter": {"name": {"_eq": "Invoice"}}},
        [{"key": "billing/invoice", "path": "billing/invoice.yaml", "state": "active"}],
    ),
    "fields, one of them unknown": (
        {"fields": ["name", "nope"], "limit": 1},
        rows("name", "Order intake"),
    ),
    "search": (_NAME | {"search": "WAREHOUSE"}, rows("name", "Order intake")),
    "search, with a filter": (
        _NAME | {"search": "webhook", "filter": {"icon": {"_nnull": True}}},
        rows("name", "Order intake", "Price list"),
    ),
    "sort": (_NAME | {"sort": "-date_created", "limit": 2}, rows("name", "Invoice", "Later")),
    "sort, several": (
        _NAME | {"sort": ["-status", "trigger", "-name"]},
        rows("name", "Nightly report", "Approve", "Price list", "Order intake", "Later", "Invoice"),
    ),
    "limit of nothing": (_NAME | {"limit": 0}, []),
    "limit, none": (_NAME | {"limit": -1, "offset": 4}, rows("name", "Later", "Invoice")),
    "limit and offset": (_NAME | {"limit": 2, "offset": 1}, rows("name", "Price list", "Approve")),
    "limit and page": (_NAME | {"limit": 2, "page": 3}, rows("name", "Later", "Invoice")),
    "alias": (
        {"fields": ["first.key"], "alias": {"first": "operation"}, "limit": 1},
        [{"first": {"key": "large"}}],
    ),
    "deep": (
        {
            "fields": [{"operations": ["key"]}],
            "deep": {"operations": {"_sort": ["-key"], "_limit": 1, "_offset": 1}},
            "limit": 1,
        },
        [{"operations": rows("key", "large")}],
    ),
    "deep, of two aliases": (
        {
            "fields": ["checks.key", "rest.key"],
            "alias": {"checks": "operations", "rest": "operations"},
            "deep": {
                "checks": {"_filter": {"type": {"_eq": "condition"}}},
                "rest": {"_filter": {"type": {"_neq": "condition"}}, "_sort": "key"},
            },
            "limit": 1,
        },
        [{"checks": rows("key", "large"), "rest": rows("key", "answer", "small")}],
    ),
    "aggregate": ({"aggregate": {"count": "*"}}, [{"count": 6}]),
    "aggregate and groupBy": (
        {"aggregate": {"count": ["id"]}, "groupBy": ["trigger"], "sort": ["trigger"]},
        [
            {"trigger": "manual", "count": {"id": 1}},
            {"trigger": "operation", "count": {"id": 1}},
            {"trigger": "webhook", "count": {"id": 4}},
        ],
    ),
    "groupBy, a function": (
        {"aggregate": {"countDistinct": ["trigger"]}, "groupBy": ["year(date_created)"]},
        [
            {"date_created_year": 2024, "countDistinct": {"trigger": 1}},
            {"date_created_year": 2025, "countDistinct": {"trigger": 3}},
        ],
    ),
    # The SDK shows the records only: this says that it does no harm.
    "meta": (_NAME | {"meta": "*", "limit": 1}, rows("name", "Order intake")),
    "version and backlink": (
        _NAME | {"version": "draft", "versionRaw": True, "backlink": False, "limit": 1},
        rows("name", "Order intake"),
    ),
}

#: Filters of flows, and the names that come.
FLOW_FILTERS: Final[_Filters] = {
    "_some": (
        {"operations": {"_some": {"type": {"_eq": "condition"}}}},
        ["Order intake", "Invoice"],
    ),
    "_none": ({"operations": {"_none": {"key": {"_nnull": True}}}}, ["Nightly report", "Later"]),
    "some, unsaid": ({"operations": {"key": {"_eq": "asked"}}}, ["Price list"]),
    "to one": ({"operation": {"reject": {"key": {"_eq": "small"}}}}, ["Order intake"]),
    "a function of a date": ({"year(date_created)": {"_eq": 2024}}, ["Order intake"]),
    "a count": ({"count(operations)": {"_gte": 3}}, ["Order intake"]),
    "a date": (
        {"date_created": {"_between": ["2025-09-01", "2025-10-31"]}},
        ["Nightly report", "Later"],
    ),
    "_and, _or": (
        {
            "_or": [
                {"name": {"_starts_with": "Order"}},
                {"_and": [{"trigger": {"_in": ["manual", "event"]}}, {"status": {"_neq": "x"}}]},
            ]
        },
        ["Order intake", "Approve"],
    ),
}

#: Of operations: what is asked, and what comes.
OPERATIONS: Final[_Queries] = {
    "no fields": ({"filter": {"id": {"_eq": operation(11)}}}, [LARGE]),
    "fields, all": ({"fields": ["*"], "limit": 1}, [LARGE]),
    "fields, dotted": (
        {"fields": ["key", "flow.name"], "limit": 1},
        [{"key": "large", "flow": {"name": "Order intake"}}],
    ),
    "fields, nested": (
        {"fields": ["key", {"flow": ["key", {"operation": ["key"]}]}], "offset": 5},
        [{"key": "paid", "flow": {"key": "billing/invoice", "operation": {"key": "paid"}}}],
    ),
    "fields, functions": (
        {"fields": ["month(date_created)", "flow.year(date_created)"], "limit": 1},
        [{"date_created_month": 3, "flow": {"date_created_year": 2024}}],
    ),
    "search": (_KEY | {"search": "CONDITION"}, rows("key", "large", "paid")),
    "search for an id": (_KEY | {"search": operation(31)}, rows("key", "approved")),
    "sort": (_KEY | {"sort": "-key", "limit": 2}, rows("key", "small", "paid")),
    "sort, several": (
        _KEY | {"sort": ["type", "-position_x", "key"]},
        rows("key", "large", "paid", "small", "answer", "approved", "asked"),
    ),
    "sort by a relation": (
        _KEY | {"sort": ["flow.name", "-key"], "limit": 3},
        rows("key", "approved", "paid", "small"),
    ),
    "limit, none": (_KEY | {"limit": -1, "offset": 5}, rows("key", "paid")),
    "limit and offset": (_KEY | {"limit": 2, "offset": 2}, rows("key", "answer", "asked")),
    "limit and page": (_KEY | {"limit": 4, "page": 2}, rows("key", "approved", "paid")),
    "alias": (
        {"fields": ["then.key"], "alias": {"then": "resolve"}, "limit": 1},
        [{"then": {"key": "answer"}}],
    ),
    "deep": (
        {
            "fields": [{"flow": [{"operations": ["key"]}]}],
            "deep": {"flow": {"operations": {"_search": "transform"}}},
            "limit": 1,
        },
        [{"flow": {"operations": rows("key", "answer")}}],
    ),
    "aggregate": (
        {"aggregate": {"min": ["position_y"], "max": ["position_x", "position_y"]}},
        [{"min": {"position_y": 1}, "max": {"position_x": 37, "position_y": 17}}],
    ),
    "aggregate and groupBy": (
        {
            "aggregate": {"sum": ["position_x"], "avg": ["position_y"]},
            "groupBy": ["type"],
            "filter": {"type": {"_neq": "transform"}},
            "sort": ["-type"],
        },
        [
            {"type": "throw-error", "sum": {"position_x": 37}, "avg": {"position_y": 17}},
            {"type": "condition", "sum": {"position_x": 38}, "avg": {"position_y": 1}},
        ],
    ),
    "meta": (_KEY | {"meta": "filter_count", "limit": 1}, rows("key", "large")),
}

#: Filters of operations, and the keys that come.
OPERATION_FILTERS: Final[_Filters] = {
    "_eq": ({"key": {"_eq": "asked"}}, ["asked"]),
    "_neq": ({"type": {"_neq": "transform"}}, ["large", "small", "paid"]),
    "_in": ({"key": {"_in": ["paid", "small", "x"]}}, ["small", "paid"]),
    "_nin": ({"type": {"_nin": ["transform", "condition"]}}, ["small"]),
    "_contains": ({"key": {"_contains": "sk"}}, ["asked"]),
    "_ncontains": ({"type": {"_ncontains": "on"}}, ["small", "answer", "asked", "approved"]),
    "_icontains": ({"name": {"_icontains": "SK"}}, ["asked"]),
    "_starts_with": ({"key": {"_starts_with": "a"}}, ["answer", "asked", "approved"]),
    "_nstarts_with": ({"key": {"_nstarts_with": "a"}}, ["large", "small", "paid"]),
    "_istarts_with": ({"key": {"_istarts_with": "AP"}}, ["approved"]),
    "_ends_with": ({"key": {"_ends_with": "ed"}}, ["asked", "approved"]),
    "_nends_with": ({"type": {"_nends_with": "m"}}, ["large", "small", "paid"]),
    "_iends_with": ({"key": {"_iends_with": "ED"}}, ["asked", "approved"]),
    "_null": ({"resolve": {"_null": True}, "type": {"_eq": "condition"}}, ["paid"]),
    "_nnull": ({"reject": {"_nnull": True}}, ["large"]),
    "_empty": ({"name": {"_empty": True}}, []),
    "_nempty": ({"key": {"_nempty": True}, "position_y": {"_gt": 1}}, ["small"]),
    "_lt": ({"position_x": {"_lt": 37}, "type": {"_eq": "transform"}}, ["asked", "approved"]),
    "_lte": ({"position_y": {"_lte": 1}, "position_x": {"_gte": 37}}, ["answer"]),
    "_between": ({"position_y": {"_between": [2, 20]}}, ["small"]),
    "_nbetween": ({"position_x": {"_nbetween": [0, 20]}}, ["small", "answer"]),
    "to one": ({"flow": {"name": {"_eq": "Approve"}}}, ["approved"]),
    "to one, an id": ({"flow": {"_eq": flow(2)}}, ["asked"]),
    "to many, through one": (
        {"flow": {"operations": {"_some": {"key": {"_eq": "small"}}}}},
        ["large", "small", "answer"],
    ),
    "_and": ({"_and": [{"key": {"_starts_with": "a"}}, {"position_x": {"_eq": 37}}]}, ["answer"]),
    "_or": ({"_or": [{"key": {"_eq": "paid"}}, {"name": {"_eq": "Large"}}]}, ["large", "paid"]),
}


def _listings(command: str, queries: _Queries, field: str, filters: _Filters) -> Iterator[Call]:
    """Every query of one command, in both ways."""
    filtered = {
        f"filter {name}": ({"fields": [field], "filter": rule}, rows(field, *found))
        for name, (rule, found) in filters.items()
    }
    for name, (query, found) in {**queries, **filtered}.items():
        call = Call(f"{command}, {name}", command, (query,), found)
        nested = any(isinstance(each, dict) for each in query.get("fields", ()))
        yield call
        yield call._replace(
            name=f"withSearch {call.name}",
            helper="search",
            # Nested fields are a body that the oldest sends as it is, and no server reads.
            sdks=(LATEST,) if nested else BOTH,
        )


LISTED: Final = (
    *_listings("readFlows", FLOWS, "name", FLOW_FILTERS),
    *_listings("readOperations", OPERATIONS, "key", OPERATION_FILTERS),
)
"""All queries: those that have a helper go out as SEARCH, the others as GET."""
