"""Queries and their answers: filters, order, pages, relations, functions, groups."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import InvalidQuery
from runner.query import run as running
from runner.query.model import Collection, ToMany
from runner.query.run import Budget, effort, one, run
from runner.query.tables import Overlay, Tables
from runner.types import JSONObject, JSONValue
from runner.web.listing import FLOWS
from tests.unit.query.data import ITEMS, ROWS, SCHEMA, TABLES, ask, found, parse

FIRST = "f0000000-0000-4000-a000-000000000001"
ANN = "00000000-0000-4000-a000-0000000000e2"

# --- filter -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filter_", "numbers"),
    [
        # texts
        ({"text": "one"}, [1]),
        ({"text": {"_eq": 5}}, [5]),
        ({"text": {"_neq": "one"}}, [2, 4, 5]),
        ({"text": {"_in": ["one", "Two"]}}, [1, 2]),
        ({"text": {"_nin": "one,Two"}}, [4, 5]),
        ({"text": {"_contains": "o"}}, [1, 2]),
        ({"text": {"_contains": "O"}}, []),
        ({"text": {"_icontains": "O"}}, [1, 2]),
        ({"text": {"_ncontains": "o"}}, [4, 5]),
        ({"text": {"_nicontains": "W"}}, [1, 4, 5]),
        ({"text": {"_starts_with": "T"}}, [2]),
        ({"text": {"_istarts_with": "t"}}, [2]),
        ({"text": {"_nstarts_with": "o"}}, [2, 4, 5]),
        ({"text": {"_ends_with": "e"}}, [1]),
        ({"text": {"_nends_with": "e"}}, [2, 4, 5]),
        ({"text": {"_null": True}}, [3]),
        ({"text": {"_null": False}}, [1, 2, 4, 5]),
        ({"text": {"_nnull": ""}}, [1, 2, 4, 5]),
        ({"text": {"_empty": True}}, [3, 4]),
        ({"text": {"_nempty": True}}, [1, 2, 5]),
        ({"secret": {"_eq": "s"}}, [1]),
        # numbers
        ({"n": "3"}, [3]),
        ({"number": 2}, [2, 5]),
        ({"number": {"_neq": 2}}, [1, 4]),
        ({"number": {"_gt": "1.5"}}, [2, 5]),
        ({"number": {"_gte": 1.5}}, [1, 2, 5]),
        ({"number": {"_lt": 0}}, [4]),
        ({"number": {"_lte": -4}}, [4]),
        ({"number": {"_between": [1, 2]}}, [1, 2, 5]),
        ({"number": {"_nbetween": "1,2"}}, [4]),
        ({"number": {"_in": [None, 2]}}, [2, 5]),
        ({"number": {"_eq": None}}, [3]),
        # true and false
        ({"flag": True}, [1, 4]),
        ({"flag": {"_neq": True}}, [2]),
        # times
        ({"at": "2024-01-31T23:30:00+00:00"}, [1, 2]),
        ({"at": {"_neq": "2024-12-29"}}, [1, 2]),
        ({"at": {"_in": ["2024-12-29T00:00Z"]}}, [5]),
        ({"at": {"_gte": "2024-02-01"}}, [5]),
        ({"at": {"_lt": "2024-02-01"}}, [1, 2]),
        # JSON
        ({"json": {"_null": True}}, [3]),
        ({"json": {"_empty": True}}, [3, 4, 5]),
        # functions
        ({"year(at)": 2024}, [1, 2, 5]),
        ({"month(at)": {"_in": [1, 12]}}, [1, 2, 5]),
        ({"week(at)": 1}, [5]),
        ({"weekday(at)": {"_eq": 0}}, [5]),
        ({"hour(at)": {"_gt": 5}}, [1, 2]),
        ({"count(json)": 3}, [2]),
        ({"count(json)": {"_null": True}}, [1, 3, 5]),
        ({"count(children)": {"_gt": 0}}, [1, 2]),
        ({"count(children)": 0}, [3, 4, 5]),
        # groups
        ({"_or": [{"n": 1}, {"n": 5}]}, [1, 5]),
        ({"_and": [{"n": {"_gt": 1}}, {"n": {"_lt": 4}}]}, [2, 3]),
        ({"n": {"_gt": 1, "_lt": 4}}, [2, 3]),
        ({"n": {"_or": [{"_lt": 2}, {"_gt": 4}]}}, [1, 5]),
        ({"n": {"_gt": 1}, "flag": True}, [4]),
        # a relation to one
        ({"parent": 1}, [2, 3]),
        ({"parent": {"_null": True}}, [1]),
        ({"parent": {"text": "one"}}, [2, 3]),
        ({"parent": {"parent": {"n": 1}}}, [4]),
        ({"parent": {"_or": [{"text": "one"}, {"text": "Two"}]}}, [2, 3, 4]),
        ({"parent": {"text": {"_null": True}}}, []),
        ({"parent": {"_eq": 9}}, [5]),
        ({"parent": {"n": 9}}, []),
        # a relation to many
        ({"children": {"text": "Two"}}, [1]),
        ({"children": {"text": "Two", "number": {"_null": True}}}, []),
        ({"children": {"_and": [{"text": "Two"}, {"flag": False}]}}, [1]),
        ({"children": {"_some": {"text": {"_empty": True}}}}, [1, 2]),
        ({"children": {"_none": {"text": "Two"}}}, [2, 3, 4, 5]),
        ({"children": {"_some": {}}}, [1, 2]),
        ({"children": {"_none": {}}}, [3, 4, 5]),
        ({"children": {"_some": {"text": "Two"}, "_none": {"text": "x"}}}, [1]),
        ({"children": {"children": {"n": 4}}}, [1]),
        ({"children": {"_none": {"children": {"_some": {}}}}}, [2, 3, 4, 5]),
        ({"children": {"parent": {"children": {"n": 3}}}}, [1]),
    ],
)  # fmt: skip
def test_a_filter_finds_what_a_database_would(filter_: JSONValue, numbers: list[int]) -> None:
    """Null compares to nothing, values have the type of their field, dates are no texts."""
    assert found(filter_) == numbers


LEAVES = st.sampled_from(
    [{"n": {"_gt": 2}}, {"number": 2}, {"flag": True}, {"text": {"_icontains": "o"}},
     {"children": {"flag": True}}, {"parent": {"n": {"_lt": 2}}}, {"count(json)": 3}]
)  # fmt: skip
FILTERS = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        lambda key, filters: {key: filters},
        st.sampled_from(["_and", "_or"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=6,
)


@given(FILTERS, FILTERS)
def test_groups_are_intersection_and_union(one_: JSONObject, other: JSONObject) -> None:
    """What two filters find together follows from what each of them finds."""
    first, second = set(found(one_)), set(found(other))

    assert set(found({"_and": [one_, other]})) == first & second
    assert set(found({"_or": [one_, other]})) == first | second


@given(FILTERS)
def test_some_and_none_part_the_records(filter_: JSONObject) -> None:
    """Every record has some such item, or none."""
    some, none = found({"children": {"_some": filter_}}), found({"children": {"_none": filter_}})

    assert sorted(some + none) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("operator", "opposite", "operand"),
    [
        ("_eq", "_neq", 2),
        ("_in", "_nin", [2, 1.5]),
        ("_lt", "_gte", 2),
        ("_gt", "_lte", 1.5),
        ("_between", "_nbetween", [0, 1.9]),
        ("_null", "_nnull", True),
    ],
)
def test_opposites_part_the_records_with_a_value(
    operator: str, opposite: str, operand: JSONValue
) -> None:
    """Of a record without one, neither holds."""
    nulls = [] if operator == "_null" else found({"number": {"_null": True}})

    parts = [found({"number": {each: operand}}) for each in (operator, opposite)]

    assert sorted(parts[0] + parts[1] + nulls) == [1, 2, 3, 4, 5]


# --- search -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("ONE", [1]),
        ("o", [1, 2]),
        ("5", [5]),
        ("2", [2, 4, 5]),
        ("-4", [4]),
        ("zzz", []),
        ("s", []),
    ],
)
def test_search_looks_into_texts_and_for_numbers(text: str, numbers: list[int]) -> None:
    """What is hidden is not searched."""
    assert [row["n"] for row in ask({"search": text})] == numbers


def test_search_finds_a_uuid_as_a_whole() -> None:
    """In whatever case."""
    assert [row["name"] for row in ask({"search": ANN.upper()}, FLOWS)] == ["Alpha"]
    assert ask({"search": ANN[:-1]}, FLOWS) == []


# --- order and pages ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sort", "numbers"),
    [
        ("-n", [5, 4, 3, 2, 1]),
        ("text", [4, 5, 2, 1, 3]),
        ("-text", [3, 1, 2, 5, 4]),
        ("number", [4, 1, 2, 5, 3]),
        ("-number,-n", [3, 5, 2, 1, 4]),
        ("flag,text", [2, 4, 1, 5, 3]),
        ("at", [1, 2, 5, 3, 4]),
        ("-at", [3, 4, 5, 1, 2]),
        ("month(at),-n", [2, 1, 5, 4, 3]),
        ("-count(children),n", [1, 2, 3, 4, 5]),
        ("parent.text", [4, 2, 3, 1, 5]),
        ("-parent.parent.n", [1, 2, 3, 5, 4]),
        ("parent.year(at),-n", [4, 3, 2, 5, 1]),
    ],
)
def test_records_come_in_the_order_that_is_asked_for(sort: str, numbers: list[int]) -> None:
    """Null is last, and first when descending; what is equal comes by primary key."""
    assert [row["n"] for row in ask({"sort": sort})] == numbers


@given(st.lists(st.sampled_from(["text", "-number", "flag", "-at", "parent", "-n"]), max_size=4))
def test_an_order_is_a_permutation(sort: list[str]) -> None:
    """Nothing is lost, and nothing comes twice."""
    assert sorted(row["n"] for row in ask({"sort": sort})) == [1, 2, 3, 4, 5]


@given(st.lists(st.none() | st.integers(-3, 3)), st.booleans())
def test_an_order_is_one(values: list[int | None], descending: bool) -> None:
    """Any values: sorted, stable, nulls at one end."""
    rows = [{"n": n, "number": value} for n, value in enumerate(values)]
    query = parse({"sort": "-number" if descending else "number", "limit": -1})

    sorted_rows = run(query, Tables(SCHEMA, {"items": rows})).data

    sign = -1 if descending else 1
    keys = [
        (sign * (row["number"] is None), sign * (row["number"] or 0), row["n"])
        for row in sorted_rows
    ]
    assert keys == sorted(keys)
    assert len(keys) == len(values)


@given(st.integers(0, 7), st.integers(0, 7), st.integers(0, 4))
def test_pages_are_slices_of_the_whole(limit: int, offset: int, page: int) -> None:
    """By offset and by page; a page without a limit is one of a hundred."""
    numbers = [row["n"] for row in ask("limit=-1")]

    by_offset = [row["n"] for row in ask({"limit": limit, "offset": offset})]
    by_page = [row["n"] for row in ask({"limit": limit, "page": page})]

    first = limit * max(page - 1, 0)
    assert by_offset == numbers[offset : offset + limit]
    assert by_page == numbers[first : first + limit]
    assert ask({"page": 2}) == []


def test_counts_ignore_the_page() -> None:
    """The total is of all records; the other of those that filter and search let pass."""
    query = parse({"meta": "*", "filter": {"n": {"_gt": 1}}, "search": "o", "limit": 0})

    assert run(query, TABLES) == ([], {"total_count": 5, "filter_count": 1})
    assert run(parse("meta=filter_count"), TABLES).meta == {"filter_count": 5}
    assert run(parse(""), TABLES).meta is None


def test_a_hundred_records_come_unless_it_is_said_otherwise() -> None:
    """`limit=-1` is all of them."""
    tables = Tables(SCHEMA, {"items": [{"n": n} for n in range(250)]})

    assert len(run(parse(""), tables).data) == 100
    assert len(run(parse("limit=-1"), tables).data) == 250
    assert run(parse("fields=n&page=3"), tables).data[-1] == {"n": 249}


# --- fields -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "record"),
    [
        ("fields=text,n", {"text": "Two", "n": 2}),
        ("fields=secret", {"secret": "t"}),
        ("fields=*", {"n": 2, "text": "Two", "number": 2, "flag": False,
                      "at": "2024-02-01T00:30:00+01:00", "json": [1, 2, 3], "parent": 1,
                      "children": [4]}),
        ("fields=nope", {}),
        ("fields=text.x,parent.nope", {"parent": {}}),
        ("fields=parent", {"parent": 1}),
        ("fields=parent.text", {"parent": {"text": "one"}}),
        ("fields=parent,parent.n", {"parent": {"n": 1}}),
        ("fields=children", {"children": [4]}),
        ("fields=children.n,children.text", {"children": [{"n": 4, "text": ""}]}),
        ("fields=children.parent.children.n", {"children": [{"parent": {"children": [{"n": 4}]}}]}),
        ("fields=parent.children", {"parent": {"children": [2, 3]}}),
        ("fields=parent.parent.n", {"parent": {"parent": None}}),
        ("fields=year(at),count(json)", {"at_year": 2024, "json_count": 3}),
        ("fields=count(children)", {"children_count": 1}),
        ("fields=parent.month(at)", {"parent": {"at_month": 1}}),
        ("fields=json(json, [1]),json(json, [7])", {"json_1_json": 2, "json_7_json": None}),
        ("fields=json(parent.json, a[0].b)", {"parent": {"json_a_0_b_json": 1}}),
        ("alias[x]=text&fields=x,n", {"x": "Two", "n": 2}),
        ("alias[x]=year(at)&fields=x", {"x": 2024}),
        ("alias[x]=nope&fields=x", {}),
        ("alias[x]=text&fields=n", {"n": 2}),
        ("alias[up]=parent&fields=up.n,parent", {"up": {"n": 1}, "parent": 1}),
    ],
)  # fmt: skip
def test_a_record_has_what_was_selected(parameters: str, record: JSONObject) -> None:
    """Wildcards, relations, functions, other names; what does not exist is left out."""
    answer = one(parse(parameters), 2, TABLES)

    assert answer == record
    assert list(answer) == list(record)  # in the order that was asked for


def test_wildcards_follow_relations() -> None:
    """`*.*` is everything, and everything of what is related."""
    (flow,) = ask("fields=*.*&limit=1", FLOWS)

    assert flow["operation"]["key"] == "first"
    assert [each["key"] for each in flow["operations"]] == ["first", "second"]
    assert flow["operations"][0]["flow"] == FIRST
    assert flow["user_created"] == {"id": ANN}
    assert "key" not in flow


def test_of_a_collection_that_is_kept_elsewhere_the_ids_are_known() -> None:
    """Users are not here; that a record names one is."""
    assert ask({"filter": {"user_created": {"id": ANN}}, "fields": "name"}, FLOWS) == [
        {"name": "Alpha"}
    ]
    assert [row["name"] for row in ask("sort=user_created.id&limit=1", FLOWS)] == ["Alpha"]


def test_one_record_is_found_by_its_key_and_the_filter() -> None:
    """What is said of lists means nothing for it."""
    assert one(parse("fields=n&limit=0&offset=9&sort=-n&page=3"), 2, TABLES) == {"n": 2}
    assert one(parse({"filter": {"n": 3}}), 2, TABLES) is None
    assert one(parse({"search": "one"}), 2, TABLES) is None
    assert one(parse(""), 99, TABLES) is None


# --- deep ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("deep", "children"),
    [
        ({"_sort": "-n"}, [3, 2]),
        ({"_limit": 1}, [2]),
        ({"_limit": 1, "_sort": "-n"}, [3]),
        ({"_offset": 1}, [3]),
        ({"_limit": 1, "_page": 2}, [3]),
        ({"_filter": {"text": {"_null": True}}}, [3]),
        ({"_filter": '{"n": 2}'}, [2]),
        ({"_search": "two"}, [2]),
        ({"_limit": 0}, []),
        ({}, [2, 3]),
    ],
)
def test_deep_says_which_items_come(deep: JSONObject, children: list[int]) -> None:
    """For whole items and for their keys alike, under their name or another."""
    keys = one(parse({"fields": "children", "deep": {"children": deep}}), 1, TABLES)
    items = one(parse({"fields": "children.n", "deep": {"children": deep}}), 1, TABLES)
    other = {"alias": {"x": "children"}, "fields": "x,children", "deep": {"x": deep}}

    assert keys == {"children": children}
    assert items == {"children": [{"n": n} for n in children]}
    assert one(parse(other), 1, TABLES) == {"x": children, "children": [2, 3]}


def test_deep_goes_on_inside() -> None:
    """Items of items, with other names inside."""
    deep = {"children": {"_limit": 1, "_alias": {"x": "text"}, "children": {"_sort": "-n"}}}
    query = parse({"fields": "children.x,children.children.n", "deep": deep})

    assert one(query, 1, TABLES) == {"children": [{"x": "Two", "children": [{"n": 4}]}]}


def test_a_related_record_that_deep_filters_away_is_null() -> None:
    """There is at most one of them."""
    given_ = {"fields": "parent.n", "deep": {"parent": {"_filter": {"n": 7}}}}

    assert one(parse(given_), 2, TABLES) == {"parent": None}


# --- groups -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "rows"),
    [
        ("aggregate[count]=*", [{"count": 5}]),
        ("aggregate[countAll]=*", [{"countAll": 5}]),
        ("aggregate[count]=*,text", [{"count": {"*": 5, "text": 4}}]),
        ("groupBy=flag&aggregate[count]=number,*&sort=-count&limit=1",
         [{"flag": True, "count": {"number": 2, "*": 2}}]),
        ("aggregate[count]=number,text", [{"count": {"number": 4, "text": 4}}]),
        ("aggregate[count]=json&aggregate[countDistinct]=number",
         [{"count": {"json": 4}, "countDistinct": {"number": 3}}]),
        ("aggregate[sum]=number&aggregate[avg]=number&aggregate[min]=number&aggregate[max]=number",
         [{"sum": {"number": 1.5}, "avg": {"number": 0.375}, "min": {"number": -4},
           "max": {"number": 2}}]),
        ("aggregate[sumDistinct]=number&aggregate[avgDistinct]=number",
         [{"sumDistinct": {"number": -0.5}, "avgDistinct": {"number": -0.5 / 3}}]),
        ("aggregate[min]=at,text&aggregate[max]=at",
         [{"min": {"at": "2024-01-31T23:30:00Z", "text": ""}, "max": {"at": "2024-12-29"}}]),
        ("aggregate[sum]=count(children)", [{"sum": {"children_count": 3}}]),
        ("aggregate[sum]=number&aggregate[count]=*&filter[n]=99",
         [{"sum": {"number": None}, "count": 0}]),
        ("groupBy=flag", [{"flag": False}, {"flag": True}, {"flag": None}]),
        ("groupBy=flag&aggregate[count]=n&sort=-flag",
         [{"flag": None, "count": {"n": 2}}, {"flag": True, "count": {"n": 2}},
          {"flag": False, "count": {"n": 1}}]),
        ("groupBy=flag&aggregate[count]=*&sort=count,-flag&limit=2",
         [{"flag": False, "count": 1}, {"flag": None, "count": 2}]),
        ("groupBy=flag&aggregate[sum]=n,number&sort=-sum.number&limit=1&offset=1",
         [{"flag": None, "sum": {"n": 8, "number": 2}}]),
        ("groupBy=year(at),flag&aggregate[max]=n",
         [{"at_year": 2024, "flag": False, "max": {"n": 2}},
          {"at_year": 2024, "flag": True, "max": {"n": 1}},
          {"at_year": 2024, "flag": None, "max": {"n": 5}},
          {"at_year": None, "flag": True, "max": {"n": 4}},
          {"at_year": None, "flag": None, "max": {"n": 3}}]),
        ("groupBy=year(at)&sort=-at_year", [{"at_year": None}, {"at_year": 2024}]),
        ("groupBy=year(at)&sort=-year(at)", [{"at_year": None}, {"at_year": 2024}]),
        ("groupBy=parent&search=o", [{"parent": 1}, {"parent": None}]),
        ("groupBy=flag&filter[n]=99", []),
        ("groupBy=flag&aggregate[max]=at&sort=-max.at&limit=2",
         [{"flag": None, "max": {"at": "2024-12-29"}},
          {"flag": False, "max": {"at": "2024-02-01T00:30:00+01:00"}}]),
    ],
)  # fmt: skip
def test_groups_and_what_they_come_to(parameters: str, rows: list[JSONObject]) -> None:
    """Of nothing a count is 0 and all else null; groups come by what they share."""
    assert ask(parameters) == rows


def test_a_sum_is_always_a_number_of_json() -> None:
    """Integers beyond 64 bits are none."""
    tables = Tables(SCHEMA, {"items": [{"n": 2**62}, {"n": 2**62 + 1}]})

    (row,) = run(parse("aggregate[sum]=n"), tables).data

    assert row == {"sum": {"n": float(2**63)}}


# --- how much it is -------------------------------------------------------------------------------


class Counting(dict[str, JSONValue]):
    """A record that counts how often it is looked at."""

    looks = 0

    def get(self, key: str, default: Any = None, /) -> Any:
        """Count, and look."""
        Counting.looks += 1
        return super().get(key, default)


def test_nested_relations_are_looked_at_once_for_every_rule() -> None:
    """However often relations lead there and back, the work is rules times records."""
    rows = [Counting(n=n, parent=n // 50, text="x") for n in range(1000)]
    filter_: JSONValue = {"text": "nope"}
    for _ in range(10):
        filter_ = {"children": {"_none": {"parent": filter_}}}
    Counting.looks = 0

    run(parse({"filter": filter_}), Tables(SCHEMA, {"items": rows}))

    assert Counting.looks < 30 * 2 * len(rows)


@pytest.mark.parametrize(
    "parameters",
    [
        {"fields": "children.parent.children.parent.children.parent.n"},
        {"fields": "children.parent.children.parent.children"},
        {"fields": ".".join(["children.parent"] * 4) + ".n"},
    ],
)
def test_an_answer_that_relations_multiply_is_refused(
    parameters: JSONObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can have the runner write out gigabytes."""
    monkeypatch.setattr(running, "MAX_VALUES", 10_000)
    rows = [{"n": n, "parent": 0} for n in range(101)]

    with pytest.raises(InvalidQuery, match="more than 10000 values"):
        run(parse(parameters), Tables(SCHEMA, {"items": rows}))


def test_what_stands_in_an_answer_again_counts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred children of one parent have it a hundred times; their own values are no repeats."""
    rows = [{"n": n, "parent": 0} for n in range(100)]
    tables = Tables(SCHEMA, {"items": rows})
    monkeypatch.setattr(running, "MAX_REPEATED", 2 * 99)

    assert len(run(parse("fields=n,text,flag,parent.n"), tables).data) == 100
    with pytest.raises(InvalidQuery, match="would repeat more than 198 values"):
        run(parse("fields=n,parent.n,parent.text"), tables)


def test_relations_are_followed_once_from_each_record() -> None:
    """What they multiply is refused before it is made, however much it would be."""
    rows = [Counting(n=n, parent=n // 500) for n in range(1000)]
    tables = Tables(SCHEMA, {"items": rows})
    tables.items(ToMany("items", "parent"))
    Counting.looks = 0

    with pytest.raises(InvalidQuery, match="The answer would"):
        run(parse({"fields": ".".join(["parent.children"] * 4), "limit": -1}), tables)

    assert Counting.looks <= 4 * len(rows)


@pytest.mark.parametrize(
    "parameters",
    [
        {"filter": {"_and": [{"text": {"_icontains": "x"}}] * 11}},
        {"filter": {"children": {"_some": {"_or": [{"text": "x"}] * 10}}}},
        {"fields": "children.n", "deep": {"children": {"_filter": {"_or": [{"text": "x"}] * 11}}}},
        {"sort": ["text"] * 11},
        {"sort": ["parent.parent.text"] * 4},
        {"groupBy": ["text", "flag", "number"], "aggregate": {"max": ["n", "text", "at"],
         "min": ["n", "text", "at"], "avg": ["n", "number"]}},
        {"search": "x", "sort": "n,text"},
    ],
)  # fmt: skip
def test_a_question_that_looks_at_too_much_is_refused(
    parameters: JSONObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is looked at: rules, keys and columns are known, and so are the records."""
    monkeypatch.setattr(running, "MAX_LOOKS", 1000)
    rows = [Counting(n=n, parent=0) for n in range(100)]
    Counting.looks = 0

    tables = Tables(SCHEMA, {"items": rows})

    with pytest.raises(InvalidQuery, match="more than 1000 looks"):
        run(parse(parameters), tables)
    with pytest.raises(InvalidQuery, match="more than 1000 looks"):
        one(parse(parameters), 1, tables)
    assert Counting.looks == 0


def test_queries_may_share_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one of them takes, the others do not have."""
    monkeypatch.setattr(running, "MAX_VALUES", 20)
    monkeypatch.setattr(running, "MAX_LOOKS", 10)
    budget = Budget()

    run(parse("fields=n"), TABLES, budget)
    assert one(parse("fields=n"), 1, TABLES, budget) == {"n": 1}
    with pytest.raises(InvalidQuery, match="more than 20 values"):
        run(parse("fields=n"), TABLES, budget)

    budget = Budget()
    run(parse("filter[n]=7&sort=n"), TABLES, budget)
    with pytest.raises(InvalidQuery, match="more than 10 looks"):
        run(parse("filter[n]=7"), TABLES, budget)


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ("limit=2", "limit=4"),
        ("fields=n", "fields=n,text"),
        ("fields=children", "fields=children.*"),
        ("", "sort=n"),
        ("filter[n]=1", "filter[n]=1&filter[text]=x"),
    ],
)
def test_effort_is_more_where_more_is_asked(less: str, more: str) -> None:
    """By it a server decides whether others have to wait."""
    assert 0 < effort(parse(less), TABLES) < effort(parse(more), TABLES)


def test_an_overlay_shares_what_it_does_not_replace() -> None:
    """Other records of one collection, also where relations lead to it; the rest is the same."""
    rows = [{**flow, "name": f"New {flow['name']}"} for flow in TABLES.rows(FLOWS)]
    tables = Overlay(TABLES, FLOWS, rows)
    asked = parse("fields=name,operations.flow.name&filter[name][_contains]=Alpha", FLOWS)
    operations = ToMany("directus_operations", "flow")

    (flow,) = run(asked, tables).data

    assert flow["name"] == flow["operations"][0]["flow"]["name"] == "New Alpha"
    assert tables.items(operations) is TABLES.items(operations)
    assert tables.item_keys(operations) is TABLES.item_keys(operations)
    assert run(asked, TABLES).data[0]["name"] == "Alpha"


def test_records_are_not_copied_and_not_changed() -> None:
    """What a generation holds is shared by all answers."""
    before = [dict(row) for row in ROWS]

    (first, *_) = ask("fields=json&sort=n")
    ask("fields=*.*&deep[children][_sort]=-n&sort=-n")

    assert before == ROWS
    assert first["json"] is ROWS[0]["json"]


def test_collections_may_lead_to_themselves() -> None:
    """Nothing is followed that was not asked for."""
    assert isinstance(ITEMS, Collection)
    assert one(parse("fields=*.*.*"), 4, TABLES)["parent"]["parent"]["n"] == 1  # type: ignore[index]
