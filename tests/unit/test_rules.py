"""Filter rules: what passes, what a failure says, what is refused, and Directus' answers."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import rules, template
from runner.errors import OperationError, RuleError
from runner.operators import OPERATORS
from runner.types import Chain, JSONObject, JSONValue
from runner.types import Path as At

VECTORS = Path(__file__).parents[1] / "vectors"
NOW = datetime(2024, 3, 31, 12, tzinfo=UTC)


def _read(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))


def _differences(name: str) -> dict[str, Any]:
    return {k: v for group in _read("differences")[name] for k, v in group["cases"].items()}


def _operand(value: JSONValue, at: At) -> Callable[[Chain], JSONValue] | None:
    compiled = template.compile(value)
    return None if compiled.constant else compiled.render


def _failures(filter_: JSONValue, data: JSONObject) -> list[JSONObject]:
    return rules.compile(filter_, _operand).failures(data, NOW)


def _answer(filter_: JSONValue, data: JSONObject) -> dict[str, Any]:
    try:
        return {"failures": [each["extensions"] for each in _failures(filter_, data)]}
    except RuleError as error:
        return {"issue": error.message}


def _passes(rule: JSONValue, value: JSONValue) -> bool:
    return not _failures({"v": rule}, {"v": value})


# --- Directus' answers --------------------------------------------------------------------------


@pytest.mark.parametrize("index", range(len(_read("condition")["cases"])))
def test_conditions_decide_as_in_directus_or_as_the_differences_say(index: int) -> None:
    """Every vector passes, or fails for Directus' reasons, unless we differ on purpose."""
    vectors = _read("condition")
    case = vectors["cases"][index]
    data = vectors["data"]
    if "$CURRENT_USER" in json.dumps(case["filter"]):
        data["$accountability"] = vectors["accountability"]
    same = {"failures": [each["x"] for each in case["outcome"].get("errors", [])]}

    expected = _differences("condition").get(str(index), same)

    assert _answer(case["filter"], data) == expected
    assert expected != same or bool(same["failures"]) is (case["outcome"]["status"] == "reject")


def test_every_condition_difference_names_a_case() -> None:
    """A difference that no case asks for any more is not kept."""
    indices = {str(index) for index in range(len(_read("condition")["cases"]))}

    assert set(_differences("condition")) <= indices


# --- operators ----------------------------------------------------------------------------------

PASSES: list[tuple[str, JSONValue, list[JSONValue], list[JSONValue]]] = [
    # operator, operand, values that pass, values that fail
    ("_eq", 5, [5, 5.0, "5"], [6, "5.0", True, None, [5]]),
    ("_eq", "5", [5, "5"], ["05", None]),
    ("_eq", 1, [1], [True]),
    ("_eq", True, [True], [1, "true", False]),
    ("_eq", None, [None], [0, "", False]),
    ("_eq", {"a": [1]}, [{"a": [1.0]}], [{"a": [True]}, {"a": [1], "b": 2}, {"a": [1, 1]}]),
    ("_neq", 5, [6, None, True], [5, "5"]),
    ("_in", ["a", None, 1], ["a", None, 1], ["b", "1", True, ["a"]]),
    ("_in", "a,b", ["a", "b"], ["a,b", "c"]),
    ("_in", {"x": "a"}, ["a"], ["x"]),
    ("_in", [], [], [None, "a", []]),
    ("_nin", ["a"], ["b", None], ["a"]),
    ("_nin", [], [None, "a"], []),
    ("_lt", 5, [4, "4", 4.9, -1], [5, 6, "x", None, True, []]),
    ("_lte", 5, [5, "5.0"], [5.1]),
    ("_gt", "5", [6, "6"], [5, "2024-01-01"]),
    ("_gte", 5, [5, 2**60], [4]),
    ("_gt", None, [1], [0, -1, None]),
    ("_gt", "2024-01-01", ["2024-01-02", 1704067200001], ["2024-01-01", "x", None, 5]),
    ("_lte", "2024-01-01T01:00:00+01:00", ["2024-01-01T00:00:00Z"], ["2024-01-01T00:00:01"]),
    ("_lt", "$NOW", ["2024-03-31T11:59:59Z"], ["2024-03-31T12:00:00Z"]),
    ("_gte", "$NOW(-1 month)", ["2024-02-29T12:00:00Z"], ["2024-02-29T11:59:59Z"]),
    ("_gte", "$NOW(+1.5 hours)", ["2024-03-31T13:30:00Z"], ["2024-03-31T13:29:59Z"]),
    ("_gte", "$NOW(-1y)", ["2023-03-31T12:00:00Z"], ["2023-03-31T11:59:59Z"]),
    ("_gte", "$NOW(-2)", ["2024-03-29T12:00:00Z"], ["2024-03-29T11:59:59Z"]),
    ("_gte", "$NOW(-90 s)", ["2024-03-31T11:58:30Z"], ["2024-03-31T11:58:29Z"]),
    ("_between", [1, 5], [1, "3", 5], [0, 6, None, "x"]),
    ("_between", "1,5", [1, 5], [0, 6]),
    ("_between", ["$NOW(-1 day)", "$NOW"], ["2024-03-31"], ["2024-03-30", "2024-04-01"]),
    ("_nbetween", [1, 5], [0, 6], [1, 3, 5, None, "x"]),
    ("_nbetween", ".05,1e1", ["0.04", 11], [0.05, 10]),
    ("_null", True, [None], ["", 0, False, []]),
    ("_null", "", [None], [0]),
    ("_null", False, [0, ""], [None]),
    ("_nnull", True, [0, "", []], [None]),
    ("_nnull", False, [None], [0]),
    ("_empty", True, [None, "", [], {}], [0, False, " ", [None]]),
    ("_empty", False, [0], [None, ""]),
    ("_nempty", True, [0, False, [0]], [None, "", [], {}]),
    ("_nempty", False, [None, {}], [1]),
    ("_contains", "b", ["abc", ["x", "abc"]], ["ABC", ["x"], [1], 5, None, {}]),
    ("_ncontains", "b", ["xyz", ["x"], []], ["abc", ["abc"], None, 5]),
    ("_icontains", "B", ["abc", ["abc"]], ["x"]),
    ("_nicontains", "B", ["x"], ["abc"]),
    ("_starts_with", "a", ["abc"], ["Abc", "bab", ["a"], None]),
    ("_nstarts_with", "a", ["Abc"], ["abc", None, ["b"]]),
    ("_istarts_with", "A", ["abc"], ["bab"]),
    ("_nistarts_with", "A", ["bab"], ["abc"]),
    ("_ends_with", "c", ["abc"], ["abc\n", "abC"]),
    ("_nends_with", "c", ["abC"], ["abc"]),
    ("_iends_with", "C", ["abc"], ["abd"]),
    ("_niends_with", "C", ["abd"], ["abc"]),
    ("_regex", "^h.l", ["hello"], ["Hello", "ahello", 5, None]),
    ("_regex", "/ell/", ["hello"], ["/el/"]),
    ("_submitted", True, [None, "", 0], []),
    ("_some", {"n": {"_gt": 1}}, [[{"n": 0}, {"n": 2}]], [[], [{"n": 0}], [2], {"n": 2}, None]),
    ("_some", {"_eq": "a"}, [["b", "a"]], [["b"], "a"]),
    ("_none", {"n": {"_gt": 1}}, [[], [{"n": 0}], [2]], [[{"n": 2}], {"n": 0}, None]),
]


@pytest.mark.parametrize(("operator", "operand", "passing", "failing"), PASSES)
def test_an_operator_means_what_its_name_says(
    operator: str, operand: JSONValue, passing: list[JSONValue], failing: list[JSONValue]
) -> None:
    """These values pass, and these do not."""
    assert [value for value in passing if not _passes({operator: operand}, value)] == []
    assert [value for value in failing if _passes({operator: operand}, value)] == []


def test_every_operator_is_tried() -> None:
    """A new operator needs its line above."""
    assert set(OPERATORS) <= {line[0] for line in PASSES}


@pytest.mark.parametrize("operator", sorted(OPERATORS))
def test_a_missing_field_is_null_for_four_operators_and_fails_for_the_others(operator: str) -> None:
    """Nothing passes because a name was misspelt, save where absence is what is asked for."""
    operand = next(line[1] for line in PASSES if line[0] == operator)
    passes = operator in ("_null", "_empty")
    kinds = {"_nnull": "nnull", "_nempty": "nempty"}
    expected = [] if passes else [kinds.get(operator, "required")]

    found = _failures({"a": {"b": {operator: operand}}}, {"a": {}})

    assert [each["extensions"]["type"] for each in found] == expected


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("year", 2023),
        ("month", 12),
        ("week", 1),
        ("day", 31),
        ("weekday", 0),
        ("hour", 23),
        ("minute", 30),
        ("second", 15),
    ],
)
def test_functions_take_dates_apart_in_utc(function: str, expected: int) -> None:
    """2023-12-31 was a Sunday, in the week of the next New Year's Day."""
    data = {"d": "2024-01-01T01:30:15+02:00"}

    assert _failures({f"{function}(d)": {"_eq": expected}}, data) == []
    assert _failures({f"{function}(d)": expected + 1}, data) != []


@pytest.mark.parametrize(
    ("date", "week"), [("2024-01-06", 1), ("2024-01-07", 2), ("2024-12-28", 52), ("9999-12-31", 1)]
)
def test_weeks_begin_on_sunday(date: str, week: int) -> None:
    """The first week of a year is the one with its first day."""
    assert _failures({"week(d)": week}, {"d": date}) == []


def test_count_is_the_length_of_a_list() -> None:
    """Of anything else it is null, and of a missing field it is missing."""
    assert _failures({"count(v)": 2}, {"v": [1, 2]}) == []
    assert _failures({"count(v)": {"_null": True}}, {"v": "ab"}) == []
    assert _failures({"count(v)": {"_neq": 2}}, {}) != []


# --- rules --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filter_", "failed"),
    [
        (None, []),
        ({"_and": []}, []),
        ({"_or": []}, []),
        ({"a": {}}, []),
        ({"z": {}}, ["z"]),
        ({"a": {"x": {"_eq": 2}, "y": {"_eq": 3}}, "b": 4}, ["a.x", "a.y", "b"]),
        ({"a": {"x": {"_gt": 5, "_lt": 0, "_gte": 1}}}, ["a.x", "a.x"]),
        ({"_or": [{"b": 0}, {"a": {"x": 0}}]}, ["b", "a.x"]),
        ({"_or": [{"b": 0}, {"a": {"x": 1}}]}, []),
        ({"a": {"_or": [{"x": 0}, {"y": 2}]}}, []),
        ({"a": {"x": {"_or": [{"_eq": 0}, {"_gt": 0}]}}}, []),
        ({"a": {"_and": [{"x": 0}, {"y": 0}]}}, ["a.x", "a.y"]),
        ({"_and": [{"_or": [{"b": 0}, {"b": 1}]}, {"a": {"x": 1}}]}, ["b", "b"]),
    ],
)
def test_all_of_a_filter_must_hold_and_one_of_an_or(filter_: JSONValue, failed: list[str]) -> None:
    """Every failure is said, with the field it is about."""
    found = _failures(filter_, {"a": {"x": 1, "y": 2}, "b": 3})

    fields = [[each["extensions"]["field"], *each["extensions"]["path"]] for each in found]
    assert [".".join(each) for each in fields] == failed


def test_a_failure_is_an_error_object_with_a_sentence() -> None:
    """It can be answered to a caller as it is."""
    assert _failures(
        {"$trigger": {"body": {"n": {"_gt": 5}}}}, {"$trigger": {"body": {"n": 1}}}
    ) == [
        {
            "name": "FailedValidation",
            "message": 'Validation failed: "$trigger.body.n" must be greater than 5.',
            "code": "FAILED_VALIDATION",
            "status": 400,
            "extensions": {"field": "$trigger", "path": ["body", "n"], "type": "gt", "valid": 5},
        }
    ]


@pytest.mark.parametrize(
    ("rule", "value", "extensions"),
    [
        ({"_eq": 6}, 5, {"type": "in", "valid": [6, "6"]}),
        ({"_neq": "a"}, "a", {"type": "neq", "invalid": "a"}),
        ({"_nin": ["a", "b"]}, "a", {"type": "nin", "invalid": ["a", "b"]}),
        ({"_neq": None}, None, {"type": "nnull"}),
        ({"_null": False}, None, {"type": "nnull"}),
        (
            {"_between": [1, "2024-01-02"]},
            0,
            {"type": "between", "valid": [1, "2024-01-02T00:00:00.000Z"]},
        ),
        ({"_nicontains": "A"}, "a", {"type": "nicontains", "substring": "A"}),
        ({"_regex": "b"}, "a", {"type": "regex", "invalid": "a"}),
        ({"_lt": 5}, None, {"type": "required"}),
        ({"_some": {"_eq": 1}}, [2], {"type": "some"}),
        ({"_none": {"_eq": 1}}, [1], {"type": "none"}),
    ],
)
def test_a_failure_shows_what_was_wanted(
    rule: JSONValue, value: JSONValue, extensions: JSONObject
) -> None:
    """The type names the reason, and the operand stands beside it."""
    (failure,) = _failures({"v": rule}, {"v": value})

    assert failure["extensions"] == {"field": "v", "path": [], **extensions}


@pytest.mark.parametrize(
    ("rule", "value", "sentence"),
    [
        ({"_eq": "5"}, 6, "must be 5"),
        ({"_neq": "a"}, "a", 'must not be "a"'),
        ({"_in": ["a", 1]}, 6, 'must be one of ["a", 1]'),
        ({"_nnull": True}, None, "must not be null"),
        ({"_empty": True}, 1, "must be empty"),
        ({"_nbetween": [1, 3]}, 2, "must not be between 1 and 3"),
        ({"_ncontains": "a"}, "a", 'must not contain "a"'),
        ({"_regex": "/b/"}, "a", 'must match "b"'),
        ({"_gte": "{{ x }}"}, 1, "must be at least what its template says"),
    ],
)
def test_a_failure_is_a_sentence(rule: JSONValue, value: JSONValue, sentence: str) -> None:
    """It says what must be."""
    (failure,) = _failures({"v": rule}, {"v": value, "x": 2})

    assert failure["message"] == f'Validation failed: "v" {sentence}.'


def test_a_rule_knows_the_fields_it_looks_at() -> None:
    """A linter can ask whether they exist."""
    filter_ = {
        "_or": [{"a": {"b": 1}}, {"a": {"c": {}}}],
        "d": {"year(e)": 2024, "f": {"_some": {"g": 1}}},
    }

    assert rules.compile(filter_).paths == (("a", "b"), ("a", "c"), ("d", "e"), ("d", "f"))


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filter_", "at", "hint"),
    [
        ([], (), None),
        ({}, (), "say null to let everything pass"),
        ("{{ x }}", (), None),
        ({"_and": {}}, ("_and",), None),
        ({"_or": [{"a": 1}, {}]}, ("_or", 1), "say null to let everything pass"),
        ({"_eq": 1}, ("_eq",), "put it below the name of a field"),
        ({"a": {"_equl": 1}}, ("a", "_equl"), 'did you mean "_eq"?'),
        ({"a": {"_contain": "x"}}, ("a", "_contain"), 'did you mean "_contains"?'),
        ({"a": {"_intersects": {}}}, ("a", "_intersects"), None),
        ({"yaer(a)": 1}, ("yaer(a)",), 'did you mean "year"?'),
        ({"a": None}, ("a",), "write {_null: true}"),
        ({"a": [1]}, ("a",), "use _in for one of several"),
        ({"a": {"_eq": [1]}}, ("a", "_eq"), "use _in for one of several"),
        ({"a": {"_in": 1}}, ("a", "_in"), None),
        (
            {"a": {"_gt": "many"}},
            ("a", "_gt"),
            "write a date as 2024-12-31 or 2024-12-31T23:59:59Z",
        ),
        ({"a": {"_gt": True}}, ("a", "_gt"), "write a date as 2024-12-31 or 2024-12-31T23:59:59Z"),
        ({"a": {"_between": [1]}}, ("a", "_between"), "[from, to]"),
        ({"a": {"_null": 1}}, ("a", "_null"), None),
        ({"a": {"_submitted": False}}, ("a", "_submitted"), None),
        ({"a": {"_contains": 5}}, ("a", "_contains"), "put it in quotes"),
        ({"a": {"_regex": "x" * 1001}}, ("a", "_regex"), None),
        ({"a": {"_some": []}}, ("a", "_some"), None),
        ({"a": "$CURRENT_USR"}, ("a",), 'did you mean "$CURRENT_USER"?'),
        ({"a": {"_lt": "$NOW(soon)"}}, ("a", "_lt"), None),
        ({"a": {"_lt": "$NOW(" + " " * 100_000}}, ("a", "_lt"), None),
        ({"a": {"_lt": "$NOW(-2000 years)"}}, ("a", "_lt"), None),
        ({"a": {"_lt": "$NOW(366001 days)"}}, ("a", "_lt"), None),
        ({"a": {"_lt": "$NOW(-0.5 months)"}}, ("a", "_lt"), None),
    ],
)
def test_a_malformed_rule_is_an_error_with_its_place(
    filter_: JSONValue, at: At, hint: str | None
) -> None:
    """A mistake is known before anything runs, and where it can be said, its remedy."""
    with pytest.raises(RuleError) as caught:
        rules.compile(filter_)

    assert (caught.value.at, caught.value.hint) == (at, hint)


@pytest.mark.parametrize("pattern", ["(", "a(?=b)", r"(a)\1", "(((a{100}){100}){100})"])
def test_an_expression_that_re2_cannot_run_is_an_error(pattern: str) -> None:
    """What cannot be run in linear time and little memory is refused."""
    with pytest.raises(RuleError, match="regular expression"):
        rules.compile({"a": {"_regex": pattern}})


def test_all_problems_are_found_in_the_order_of_the_filter() -> None:
    """An author sees every mistake at once."""
    found = rules.problems({"a": {"_x": 1, "_gt": "y"}, "_or": [{"b": 1}, 5]})

    assert [each.at for each in found] == [("a", "_x"), ("a", "_gt"), ("_or", 1)]


@pytest.mark.parametrize("wrap", [lambda rule: {"a": rule}, lambda rule: {"_and": [rule]}])
def test_nesting_is_bounded(wrap: Callable[[JSONValue], JSONValue]) -> None:
    """A filter cannot exhaust the stack."""
    filter_: JSONValue = {"a": 1}
    for _ in range(1000):
        filter_ = wrap(filter_)

    with pytest.raises(RuleError, match="nested deeper"):
        rules.compile(filter_)


def test_a_catastrophic_expression_is_only_an_expression() -> None:
    """What takes a backtracking engine for ever is decided at once."""
    data = {"v": "a" * 100_000 + "!"}

    assert _failures({"v": {"_regex": "^(a+)+$"}}, data) != []


# --- operands that are known when it runs -------------------------------------------------------


def test_an_operand_may_come_from_a_template() -> None:
    """It is compared with its type."""
    filter_ = {"v": {"_gt": "{{ limits.low }}", "_in": ["x", "{{ limits.names[0] }}", 7]}}
    data = {"limits": {"low": 5, "names": ["y"]}}

    assert _failures(filter_, {**data, "v": 7}) == []
    assert len(_failures(filter_, {**data, "v": 4})) == 2


def test_a_template_as_shorthand_can_only_be_equal() -> None:
    """Whoever controls the value cannot bring operators in."""
    filter_ = {"v": "{{ x }}"}

    assert _failures(filter_, {"v": {"_neq": 1}, "x": {"_neq": 1}}) == []
    assert _failures(filter_, {"v": 5, "x": {"_neq": 1}}) != []


def test_a_rendered_variable_is_a_text() -> None:
    """Only the file can ask for `$CURRENT_USER`."""
    data = {"v": "me", "x": "$CURRENT_USER", "$accountability": {"user": "me"}}

    assert _failures({"v": "$CURRENT_USER"}, data) == []
    assert _failures({"v": "{{ x }}"}, data) != []
    assert _failures({"v": {"_in": ["{{ x }}"]}}, data) != []


def test_an_operand_from_a_template_is_not_shown() -> None:
    """It may be a secret, and failures reach callers."""
    data = {"v": "guess", "secret": "hunter2"}

    failures = _failures({"v": {"_eq": "{{ secret }}", "_in": ["{{ secret }}", "x"]}}, data)

    assert [each["extensions"]["type"] for each in failures] == ["eq", "in"]
    assert "hunter2" not in json.dumps(failures)


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ("{{ x }}", ["hunter2"]),
        ({"_gt": "{{ x }}"}, "hunter2"),
        ({"_in": "{{ x }}"}, 5),
        ({"_between": ["{{ x }}", 5]}, "hunter2"),
        ({"_contains": "{{ x }}"}, 5),
        ({"_regex": "{{ x }}"}, "(hunter2"),
        ({"_null": "{{ x }}"}, "hunter2"),
    ],
)
def test_an_operand_that_turns_out_wrong_rejects(rule: JSONValue, value: JSONValue) -> None:
    """A misfit that only the run can know is a failure of the operation, and not quoted."""
    with pytest.raises(OperationError, match=r"^rule v.* takes ") as caught:
        _failures({"v": rule}, {"v": 1, "x": value})

    assert caught.value.own_code == "INVALID_OPTIONS"
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize(
    ("rule", "accountability", "passes"),
    [
        ("$CURRENT_USER", {"user": "me"}, True),
        ("$CURRENT_USER", {"user": "you"}, False),
        ("$CURRENT_USER", None, False),
        ("$CURRENT_ROLE", {"role": "me"}, True),
        ({"_in": "$CURRENT_ROLES"}, {"roles": ["you", "me"]}, True),
        ({"_in": "$CURRENT_ROLES"}, None, False),
        ({"_in": ["$CURRENT_ROLE", "$CURRENT_USER"]}, {"role": "x", "user": "me"}, True),
    ],
)
def test_the_caller_can_be_compared_with(
    rule: JSONValue, accountability: JSONValue, *, passes: bool
) -> None:
    """`$CURRENT_…` is who caused the execution; a schedule has nobody."""
    found = _failures({"v": rule}, {"v": "me", "$accountability": accountability})

    assert (found == []) is passes


@pytest.mark.parametrize("text", ["$5", "$NOWHERE", "$"])
def test_other_texts_with_a_dollar_are_texts(text: str) -> None:
    """Only the names of variables mean something."""
    assert _passes(text, text)


# --- whatever comes -----------------------------------------------------------------------------

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from(["{{ x }}", "{{ v }}!", "$NOW", "$NOW(-1 d)", "$CURRENT_ROLES", "2024-01-01"])
)
NAMES = st.sampled_from([*OPERATORS, "_and", "_or", "_some", "_none", "v", "x", "year(v)", "_what"])
FILTERS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["v", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(FILTERS, VALUES, VALUES)
def test_whatever_compiles_decides(filter_: JSONValue, value: JSONValue, other: JSONValue) -> None:
    """Compiling raises RuleError or nothing, and deciding OperationError or nothing."""
    data: JSONObject = {"v": value, "x": other, "$accountability": other}
    problems = rules.problems(filter_, _operand)
    if problems:
        with pytest.raises(RuleError) as caught:
            rules.compile(filter_, _operand)
        assert caught.value.message == problems[0].message
        return
    rule = rules.compile(filter_, _operand)
    try:
        failures = rule.failures(data, NOW)
    except OperationError as error:
        failures = [{"code": error.own_code}]
    assert {each["code"] for each in failures} <= {"FAILED_VALIDATION", "INVALID_OPTIONS"}
    json.dumps(failures)


@given(st.sampled_from(sorted(OPERATORS)), SCALARS | st.lists(SCALARS, max_size=3), VALUES)
def test_every_operator_takes_any_value(name: str, operand: JSONValue, value: JSONValue) -> None:
    """An operand is refused with a RuleError; a value never is."""
    operator = OPERATORS[name]
    try:
        prepared = operator.prepare(operand)
    except RuleError as error:
        assert error.message.startswith("takes ")  # noqa: PT017 - both ways are right
        return

    assert operator.test(value, prepared) in (True, False)
    json.dumps(dict(operator.told(prepared, value).shown))


@given(VALUES, VALUES)
def test_negated_operators_are_the_opposite(value: JSONValue, operand: JSONValue) -> None:
    """Of a value that can be compared, one of a pair holds and the other does not."""
    for name in ("in", "eq"):
        operator, opposite = OPERATORS[f"_{name}"], OPERATORS[f"_n{name}"]
        try:
            prepared = operator.prepare(operand)
        except RuleError:
            continue
        assert operator.test(value, prepared) is not opposite.test(value, prepared)


def test_only_the_first_mistakes_come_with_a_guess() -> None:
    """Guessing is slow, and a filter of a megabyte may hold forty thousand mistakes."""
    mistakes = rules.problems({f"field{n}": {"_eqq": 1} for n in range(100)})

    assert len(mistakes) == 100
    assert [bool(each.hint) for each in mistakes] == [True] * 20 + [False] * 80


@pytest.mark.parametrize(
    ("expression", "hint"),
    [
        ("(", "missing ) in `(`"),
        ("a(?=b)", "RE2 has no look-around and no back references: `(?=`"),
        ("a(?<!b)", "RE2 has no look-around and no back references: `(?<!`"),
        (r"(a)\1", r"RE2 has no look-around and no back references: `\1`"),
        ("*", "no argument for repetition operator in `*`"),
    ],
)
def test_what_is_wrong_with_an_expression_is_said_in_words(expression: str, hint: str) -> None:
    """What other engines have and RE2 has not is said as such."""
    (mistake,) = rules.problems({"field": {"_regex": expression}})

    assert mistake.hint == hint
