"""Parameters → a query: what they may say, in which forms, and what is said of mistakes."""

import json
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import InvalidQuery
from runner.query.filters import MAX_RULES, MAX_VALUES, OPERATORS_OF
from runner.query.model import Query
from runner.query.run import run
from runner.types import JSONObject, JSONValue
from tests.unit.query.data import TABLES, found, parse

NOW = datetime(2024, 2, 1, tzinfo=UTC)


def _reason(given_: str | JSONObject, **more: Any) -> str:
    """What is wrong, without `Invalid query.` and the full stop."""
    with pytest.raises(InvalidQuery) as caught:
        parse(given_, **more)
    reason = caught.value.extensions["reason"]
    assert caught.value.message == f"Invalid query. {reason}."
    return str(reason)


# --- forms --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "forms",
    [
        ["limit=2", {"limit": "2"}, {"limit": 2}, {"limit": 2.0}, {"limit": " 2 "}],
        ["", {}, "fields=", "fields=*", {"fields": None}, {"fields": []}, "filter=", "filter={}"],
        ["fields=n,text", "fields=n&fields=text", {"fields": ["n", "text"]}, "fields= n ,text,"],
        ["sort=-n,text", {"sort": ["-n", "text"]}, "sort[]=-n&sort[]=text"],
        ["page=3&limit=2", "offset=4&limit=2", "page=3&limit=2&offset=1"],
        ["page=0&offset=4&limit=2", "offset=4&limit=2"],
        ["limit=-1", "limit=-1&page=3"],
        ["meta=*", "meta=total_count,filter_count", {"meta": ["filter_count", "total_count"]}],
        [
            "filter[text][_eq]=one",
            "filter[text]=one",
            'filter={"text": {"_eq": "one"}}',
            {"filter": {"text": "one"}},
            {"filter": '{"text": "one"}'},
            {"filter": {"_and": [{"text": {"_and": [{"_eq": "one"}]}}]}},
        ],
        [
            "filter[n][_in]=1,2",
            "filter[n][_in][]=1&filter[n][_in][]=2",
            {"filter": {"n": {"_in": [1, "2"]}}},
            {"filter": {"n": {"_in": {"21": 1, "22": 2}}}},
        ],
        ["filter[flag]=true", {"filter": {"flag": True}}, {"filter": {"flag": {"_eq": "true"}}}],
        ["filter[flag]=null", {"filter": {"flag": {"_null": True}}}, "filter[flag][_null]"],
        ["filter[n][_neq]=null", "filter[n][_nnull]=true", {"filter": {"n": {"_neq": None}}}],
        ["aggregate[count]=*", 'aggregate={"count": "*"}', {"aggregate": {"count": ["*"]}}],
        [
            "fields=children.n&deep[children][_limit]=1",
            'fields=children.n&deep={"children": {"_limit": 1}}',
            {"fields": "children.n", "deep": {"children": {"_limit": "1"}}},
        ],
        ["alias[x]=text&fields=x", {"alias": '{"x": "text"}', "fields": ["x"]}],
        ["version=main&access_token=x&nobody=knows&backlink=true", ""],
    ],
)  # fmt: skip
def test_forms_of_one_question_are_one_query(forms: list[str | JSONObject]) -> None:
    """Brackets, commas, JSON text and JSON mean the same."""
    first, *others = [parse(form) for form in forms]

    assert others
    assert all(other == first for other in others)


def test_a_query_has_what_was_asked() -> None:
    """Everything that is not said has Directus' default."""
    query = parse("limit=3&offset=2&search=x&meta=total_count&export=csv")

    assert (query.limit, query.offset, query.search) == (3, 2, "x")
    assert (query.meta, query.export) == (("total_count",), "csv")
    assert (parse("").limit, parse("").offset, parse("").export) == (100, 0, None)


def test_a_function_may_stand_before_or_behind_the_relation() -> None:
    """`parent.year(at)` and `year(parent.at)` are the same."""
    assert parse("fields=parent.year(at)") == parse("fields=year(parent.at)")
    assert parse("sort=-parent.year(at)") == parse("sort=-year(parent.at)")
    assert parse("fields=json(parent.json, a[0].b)") == parse("fields=parent.json(json,a[0].b)")


# --- mistakes -----------------------------------------------------------------------------------


def _no(type_: str, operator: str) -> str:
    return f'"{type_}" field type does not contain the "{operator}" filter operator'


def _no_value(operator: str) -> str:
    return f'The filter value for "{operator}" has to be a string, number, or boolean'


DEEP: JSONValue = {"n": 1}
for _ in range(1000):
    DEEP = {"_and": [DEEP]}
DEEPER: JSONValue = 1
for _ in range(1000):
    DEEPER = {"parent": DEEPER}
RULES: JSONValue = {"_or": [{"n": number} for number in range(MAX_RULES + 1)]}

MISTAKES: list[tuple[str | JSONObject, str]] = [
    ("limit=abc", '"limit" must be a number'),
    ("limit=", '"limit" must be a number'),
    ({"limit": True}, '"limit" must be a number'),
    ({"limit": [1]}, '"limit" must be a number'),
    ("limit=1.5", '"limit" must be an integer'),
    ("limit=-2", '"limit" must be greater than or equal to -1'),
    ("limit=1e300", '"limit" must be a safe number'),
    ("offset=-1", '"offset" must be greater than or equal to 0'),
    ("page=-1", '"page" must be greater than or equal to 0'),
    ("page=x", '"page" must be a number'),
    ("meta=zzz", '"meta[0]" must be one of [total_count, filter_count]'),
    ("meta=total_count,x", '"meta[1]" must be one of [total_count, filter_count]'),
    ("export=pdf", '"export" must be one of [csv, csv_utf8, json, xml, yaml]'),
    ({"export": ["csv"]}, '"export" must be one of [csv, csv_utf8, json, xml, yaml]'),
    ("search[]=x", '"search" must be a string'),
    ("fields[a]=x", '"fields" must be an array'),
    ({"fields": ["n", 1]}, '"fields[1]" must be a string'),
    ("fields=year(text)", '"year(text)" cannot be computed'),
    ("fields=count(n)", '"count(n)" cannot be computed'),
    ("fields=year(at,x)", '"year(at,x)" cannot be computed'),
    ("fields=json(json)", '"json(json)" cannot be computed'),
    ("fields=json(json, a[*])", '"a[*]" is no path into JSON'),
    ("fields=json(json, $.a)", '"$.a" is no path into JSON'),
    ("fields=json(json, a.a.a.a.a.a.a.a.a.a.a)", '"a.a.a.a.a.a.a.a.a.a.a" has more than 10 steps'),
    ("fields=nope(n)", 'There is no function "nope"'),
    ("sort=nope", 'There is no field "nope" in "items"'),
    ("sort=-", 'There is no field "" in "items"'),
    ("sort=parent.nope", 'There is no field "nope" in "items"'),
    ("sort=nope.n", 'There is no field "nope" in "items"'),
    ("sort=children.n", '"sort" cannot go through "children", which leads to no one record'),
    ("sort=text.n", '"sort" cannot go through "text", which leads to no one record'),
    ("sort=json", '"sort" cannot use "json"'),
    ("sort=children", '"sort" cannot use "children"'),
    ("sort=" + "parent." * 20 + "n", '"sort" goes deeper than 10'),
    ("filter={bad", "Invalid JSON for filter object"),
    ("filter=zzz", "Invalid JSON for filter object"),
    ("filter=null", "Invalid filter object"),
    ("filter=[]", "Invalid filter object"),
    ("filter=5", "Invalid filter object"),
    ({"filter": {"_and": {}}}, "Invalid filter object"),
    ({"filter": {"_or": ["x"]}}, "Invalid filter object"),
    ({"filter": {"n": None}}, "Invalid filter object"),
    ({"filter": {"children": 5}}, "Invalid filter object"),
    ({"filter": {"n": {"_or": {}}}}, "Invalid filter object"),
    ("filter[nope]=1", 'Invalid filter key "nope" on "items"'),
    ("filter[_eq]=1", 'Invalid filter key "_eq" on "items"'),
    ("filter[parent][nope]=1", 'Invalid filter key "nope" on "items"'),
    ("filter[n][nope]=1", 'Invalid filter key "nope" on "n"'),
    ("filter[children][_some][nope]=1", 'Invalid filter key "nope" on "items"'),
    ({"filter": {"json(json, a)": 1}}, 'Invalid filter key "json(json, a)" on "items"'),
    ("filter[nope(n)]=1", 'There is no function "nope"'),
    ("filter[n][_zzz]=1", _no("integer", "_zzz")),
    ("filter[n][_some][n]=1", _no("integer", "_some")),
    ("filter[n][_contains]=1", _no("integer", "_contains")),
    ("filter[text][_gt]=1", _no("string", "_gt")),
    ("filter[text][_regex]=^(a+)%2b$", _no("string", "_regex")),
    ("filter[json][_eq]=1", _no("json", "_eq")),
    ("filter[children][_null]=true", _no("alias", "_null")),
    ("filter[year(at)][_contains]=1", _no("integer", "_contains")),
    ({"filter": {"n": [1]}}, _no_value("_eq")),
    ({"filter": {"n": {"_gt": None}}}, _no_value("_gt")),
    ({"filter": {"n": {"_in": [[1]]}}}, _no_value("_in")),
    ("filter[text][_eq]=", '"_eq" takes no empty text, use "_empty" or "_nempty"'),
    ("filter[n]=abc", '"_eq" of "n" takes a number, not "abc"'),
    ("filter[number][_between]=1,x", '"_between" of "number" takes a number, not "x"'),
    ("filter[flag]=maybe", '"_eq" of "flag" takes true or false, not "maybe"'),
    ("filter[at][_gt]=soon", '"_gt" of "at" takes a date, not "soon"'),
    ("filter[year(at)]=x", '"_eq" of "at_year" takes a number, not "x"'),
    ("filter[n][_in]=", '"_in" has to be an array of values'),
    ({"filter": {"n": {"_nin": []}}}, '"_nin" has to be an array of values'),
    ({"filter": {"n": {"_in": 5}}}, '"_in" has to be an array of values'),
    ({"filter": {"n": {"_between": [1]}}}, '"_between" takes two values'),
    ({"filter": {"n": {"_null": "x"}}}, '"_null" has to be a boolean'),
    ({"filter": {"text": {"_empty": 1}}}, '"_empty" has to be a boolean'),
    ("filter[text]=$CURRENT_USR", '"_eq" takes $CURRENT_USER, $CURRENT_ROLE, $CURRENT_ROLES'),
    (
        "filter[at][_gt]=$NOW(x)",
        '"_gt" takes $NOW, $NOW(-1 year), $NOW(2 hours), $NOW(-30 days)',
    ),
    ("aggregate=[]", '"aggregate" must be of type object'),
    ("aggregate={", "Invalid JSON for aggregate object"),
    ("aggregate[nope]=n", 'There is no aggregate "nope"'),
    ("aggregate[count]=nope", 'There is no field "nope" in "items"'),
    ("aggregate[count]=", '"count" takes the names of fields'),
    ("aggregate[countDistinct]=*,n", 'There is no field "*" in "items"'),
    ("aggregate[count][a]=n", '"count" must be an array'),
    ("aggregate[sum]=*", 'There is no field "*" in "items"'),
    ("aggregate[sum]=text", '"sum" cannot take "text"'),
    ("aggregate[max]=flag", '"max" cannot take "flag"'),
    ("aggregate[count]=children", '"count" cannot take "children"'),
    ("aggregate[countDistinct]=json", '"countDistinct" cannot take "json"'),
    ("groupBy=nope", 'There is no field "nope" in "items"'),
    ("groupBy=json", '"groupBy" cannot take "json"'),
    ("groupBy=flag&sort=text", '"sort" cannot use "text" here'),
    ("aggregate[count]=*&sort=n", '"sort" cannot use "n" here'),
    ("deep=x", "Invalid JSON for deep object"),
    ("deep[nope][_limit]=1", 'There is no field "nope" in "items"'),
    ("deep[text][_limit]=1", 'There is no field "text" in "items"'),
    ("deep[_limit]=1", 'There is no field "_limit" in "items"'),
    ("deep[children]=1", '"children" must be of type object'),
    ("deep[children][_limit]=x", '"limit" must be a number'),
    ("deep[children][_nope]=1", '"deep" has no "_nope"'),
    ("deep[children][_filter][nope]=1", 'Invalid filter key "nope" on "items"'),
    ("deep[children][parent][_sort]=nope", 'There is no field "nope" in "items"'),
    ("alias[a.b]=n", '"alias" takes names without dots, not "a.b"'),
    ("alias[a]=parent.n", '"alias" takes names without dots, not "a"'),
    ({"alias": {"a": 1}}, '"alias" takes names without dots, not "a"'),
    # more than anybody means
    ({"filter": DEEP}, "The filter is nested deeper than 100"),
    ({"filter": DEEPER}, "The filter is nested deeper than 100"),
    ({"filter": '{"_and":[' * 1000 + "]}" * 1000}, "The filter is nested deeper than 100"),
    ({"deep": '{"parent":' * 101 + "{}" + "}" * 101}, "The deep is nested deeper than 100"),
    ({"filter": "[" * 1000}, "Invalid JSON for filter object"),
    ({"filter": RULES}, "The filters have more than 100 rules"),
    ({"filter": {"n": {"_in": [1] * (MAX_VALUES + 1)}}},
     "The filters have more than 10000 values in lists"),
    ({"filter": {"_or": [{"n": {"_in": [1] * (MAX_VALUES // 50)}}] * 51}},
     "The filters have more than 10000 values in lists"),
    ({"filter": {"n": {"_in": [1] * MAX_VALUES}}, "fields": "children.n",
      "deep": {"children": {"_filter": {"n": {"_nin": "1"}}}}},
     "The filters have more than 10000 values in lists"),
    ({"fields": ",".join(f"f{n}" for n in range(501))}, '"fields" has more than 500 names'),
    ({"filter": {"text": {"_icontains": "a" * 1001}}},
     '"_icontains" takes a text of at most 1000 characters'),
    ({"filter": {"text": "$NOW(" + " " * 2**20}},
     '"_eq" takes $NOW, $NOW(-1 year), $NOW(2 hours), $NOW(-30 days)'),
    ({"fields": "n," * 2**19}, '"fields" has more than 500 names'),
    ({"sort": ["n"] * 21}, '"sort" has more than 20 names'),
    ({"groupBy": ["n"] * 21}, '"groupBy" has more than 20 names'),
    ({"aggregate": {"count": ["n"] * 51}}, '"count" has more than 50 names'),
    ({"fields": ".".join(["parent"] * 11)}, "The query goes deeper than 10"),
    ({"fields": ".".join(["*"] * 9)}, "The query follows more than 200 relations"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("parameters", "reason"), MISTAKES, ids=[f"{n}: {r[:60]}" for n, (_, r) in enumerate(MISTAKES)]
)
def test_a_mistake_is_said(parameters: str | JSONObject, reason: str) -> None:
    """The words are Directus' where it has some."""
    assert _reason(parameters) == reason


def test_what_a_caller_wrote_is_harmless_in_a_message() -> None:
    """It is short, and no control character or half a surrogate pair is left in it."""
    reason = _reason({"sort": 'a"\n\x1b[31m\ud800' + "x" * 5000})

    assert reason.isprintable()
    assert len(reason) < 200
    assert r"\"\n\u001b[31m\ud800xx" in reason


def test_unknown_fields_are_left_out() -> None:
    """Directus drops them; who asks for nothing else gets empty records."""
    assert parse("fields=nope,children.nope,text.x,n") == parse("fields=children.nope,n")
    assert parse("fields=nope").selection == ()


def test_what_a_filter_says_nothing_about_is_no_rule() -> None:
    """Interfaces send rules that are not filled in yet."""
    empty: list[JSONValue] = [{}, {"n": {}}, {"n": []}, {"_and": []}, {"n": {"_or": []}}]

    assert {parse({"filter": each}).filter for each in empty} == {parse("").filter}
    assert parse({"filter": {"_or": [{}, {"_and": [*empty, {"n": 1}]}]}}) == parse("filter[n]=1")


def test_every_operator_that_directus_has_is_taken_by_some_type() -> None:
    """Those that are for validation only are none of them."""
    known = set().union(*OPERATORS_OF.values())

    assert {"_eq", "_nin", "_nbetween", "_nnull", "_nempty", "_niends_with", "_icontains"} <= known
    assert known.isdisjoint({"_regex", "_submitted", "_and", "_some"})


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        ("fields=secret", {"secret"}),
        ("fields=x&alias[x]=secret", {"x": "secret"}.values()),
        ("fields=json(json, a)", {"json"}),
        ("fields=parent.secret", {"parent", "secret"}),
        ("fields=n&sort=-parent.secret", {"n", "parent", "secret"}),
        ("fields=n&filter[parent][secret]=1", {"n", "parent", "secret"}),
        ("fields=n&filter[_or][0][children][_none][secret]=1", {"n", "children", "secret"}),
        ('fields=n&filter={"s\\u0065cret": {"_null": true}}', {"n", "secret"}),
        ("fields=children.n&deep[children][_filter][secret]=1", {"children", "n", "secret"}),
        ("fields=n&groupBy=secret&aggregate[max]=at,n&aggregate[count]=*", {"n", "secret", "at"}),
        ("fields=n&search=secret", {"n"}),
    ],
)
def test_a_query_names_what_it_is_about(parameters: str, names: Collection[str]) -> None:
    """Selected, sorted, filtered, grouped: however it was written, and nothing besides."""
    assert set(parse(parameters).names()) == {("items", name) for name in names}


@pytest.mark.parametrize(
    ("parameters", "timed"),
    [
        ({"filter": {"at": {"_lt": "$NOW"}}}, True),
        ({"filter": {"at": {"_between": "2024-01-01,$NOW(+1 day)"}}}, True),
        ({"filter": r'{"at": {"_lt": "\u0024NOW"}}'}, True),
        ({"fields": "children", "deep": {"children": {"_filter": {"at": "$NOW"}}}}, True),
        ({"filter": {"text": "$CURRENT_USER"}}, False),
        ({"filter": {"text": "in $NOW"}, "search": "$NOW"}, False),
    ],
)
def test_a_query_knows_whether_it_depends_on_the_time(parameters: JSONObject, timed: bool) -> None:
    """`$NOW` stands in one of its filters."""
    assert parse(parameters).timed is timed


# --- variables ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filter_", "numbers"),
    [
        ({"text": "$CURRENT_USER"}, [1]),
        ({"text": {"_in": ["$CURRENT_ROLE", "x"]}}, [2]),
        ({"text": {"_in": "$CURRENT_ROLES"}}, [2, 5]),
        ({"at": {"_lt": "$NOW"}}, [1, 2]),
        ({"at": {"_gt": "$NOW(+10 months)"}}, [5]),
        ({"at": {"_between": ["$NOW(-1 hour)", "$NOW"]}}, [1, 2]),
    ],
)
def test_a_variable_stands_for_its_value(filter_: JSONValue, numbers: list[int]) -> None:
    """The caller and the time are arguments."""
    caller = {"user": "one", "role": "Two", "roles": ["Two", "5"]}

    assert found(filter_, caller=caller, now=NOW) == numbers


@pytest.mark.parametrize("caller", [None, {"user": None, "role": None, "roles": None}])
@pytest.mark.parametrize("operator", ["_eq", "_neq", "_contains"])
def test_nothing_is_like_a_caller_who_is_nobody(operator: str, caller: JSONObject | None) -> None:
    """A record without an owner is not everybody's."""
    assert found({"text": {operator: "$CURRENT_USER"}}, caller=caller) == []
    assert found({"text": {"_in": "$CURRENT_ROLES"}}, caller=caller) == []


def test_what_a_variable_stands_for_is_only_a_value() -> None:
    """A role that is called like a variable is no variable, and `null` no null."""
    caller: JSONObject = {"user": "$NOW", "roles": ["$CURRENT_USER", "null"]}
    query = parse({"filter": {"text": {"_in": "$CURRENT_ROLES"}, "secret": "$CURRENT_USER"}},
                  caller=caller)  # fmt: skip
    other = parse({"filter": {"text": {"_in": ["x", "y"]}, "secret": "z"}})

    assert str(query.filter) == (
        str(other.filter).replace("'x', 'y'", "'$CURRENT_USER', 'null'").replace("'z'", "'$NOW'")
    )


# --- whatever comes -----------------------------------------------------------------------------

NAMES = st.sampled_from(
    ["n", "text", "number", "flag", "at", "json", "secret", "parent", "children", "nope", "*",
     "children.*", "parent.n", "parent.children.n", "year(at)", "count(children)", "-n", "-at",
     "json(json, a[0])", "x(y", "n,text", "", "total_count", "csv", "count", "alias"]
)  # fmt: skip
OPERATORS = st.sampled_from(
    [*sorted(set().union(*OPERATORS_OF.values())), "_and", "_or", "_some", "_none", "_zzz",
     "_limit", "_sort", "_filter", "_alias"]
)  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-10, 10)
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | NAMES
    | st.sampled_from(
        ["true", "null", "$NOW", "$CURRENT_USER", "2024-01-01", "1,2", "{}", "[", "{"]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(NAMES | OPERATORS, inner, max_size=3)
    ),
    max_leaves=8,
)
PARAMETERS = st.dictionaries(
    st.sampled_from(["fields", "filter", "search", "sort", "limit", "offset", "page", "meta",
                     "aggregate", "groupBy", "deep", "alias", "export", "version"]),
    VALUES,
    max_size=5,
)  # fmt: skip
RULES_OF_FIELDS = st.dictionaries(
    NAMES, st.dictionaries(OPERATORS, VALUES, max_size=2) | VALUES, min_size=1, max_size=3
)


def _check(parameters: JSONObject) -> None:
    """It means something and is answered, or it is a mistake that can be said."""
    try:
        query = parse(parameters)
        data, _ = run(query, TABLES)
    except InvalidQuery as error:
        assert error.message.isprintable()  # noqa: PT017 - both ways are right
        error.message.encode()
    else:
        assert isinstance(query, Query)
        json.dumps(data)


@given(PARAMETERS)
def test_any_parameters_are_a_query_or_a_mistake(parameters: JSONObject) -> None:
    """Nothing else is ever raised, by reading it or by answering it."""
    _check(parameters)


@given(RULES_OF_FIELDS)
def test_any_filter_is_a_query_or_a_mistake(filter_: JSONObject) -> None:
    """Nothing else is ever raised, by reading it or by answering it."""
    _check({"filter": filter_})


@given(st.dictionaries(NAMES | OPERATORS, VALUES, max_size=3))
def test_any_deep_query_is_a_query_or_a_mistake(deep: JSONObject) -> None:
    """Nothing else is ever raised, by reading it or by answering it."""
    _check({"fields": "*.*", "deep": {"children": deep, "parent": deep}})


@given(st.text(max_size=30))
def test_any_text_is_a_name_or_a_mistake(text: str) -> None:
    """Names of fields come from anybody."""
    for parameter in ("fields", "sort", "groupBy", "search", "filter", "deep", "alias", "meta"):
        _check({parameter: text})
    _check({"filter": {text: {text: text}}, "alias": {text: text}, "fields": [text]})
