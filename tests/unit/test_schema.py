"""The schemas, the two validators that read them, and what is said of a misfit."""

import copy
import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import schema
from runner.document import Document
from runner.operations import BUILTIN
from runner.schema import UnknownSchema
from runner.types import JSONObject, JSONValue, Path
from tests.documents import BAITS, VALID, paths, replaced

# --- the files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", schema.names())
def test_a_schema_is_one(name: str) -> None:
    """Every file is a JSON Schema of draft 2020-12, with a title and a description."""
    loaded = schema.load(name)

    jsonschema.Draft202012Validator.check_schema(loaded)
    assert loaded["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert loaded["title"]
    assert loaded["description"]


@pytest.mark.parametrize("name", schema.names())
def test_every_property_says_what_it_is_for(name: str) -> None:
    """An editor that completes a key can explain it."""
    assert [at for at, each in _properties(schema.load(name), name) if not _explained(each)] == []


def _properties(value: Any, at: str) -> list[tuple[str, Any]]:
    found = []
    if isinstance(value, dict):
        for key, each in value.items():
            conditional = at.endswith((".if", ".then", ".else", ".properties.options"))
            if key == "properties" and not conditional:
                found += [(f"{at}.{name}", sub) for name, sub in each.items()]
            found += _properties(each, f"{at}.{key}")
    elif isinstance(value, list):
        for index, each in enumerate(value):
            found += _properties(each, f"{at}[{index}]")
    return found


def _explained(value: Any) -> bool:
    return "description" in value or "$ref" in value


@pytest.mark.parametrize("name", [each for each in schema.names() if "/" in each])
def test_the_examples_of_a_schema_fit_it(name: str) -> None:
    """Nobody is led astray by an example."""
    loaded = schema.load(name)
    prefix = {"operations": "operations/", "triggers": "triggers/"}[name.split("/", maxsplit=1)[0]]
    assert name.startswith(prefix)

    misfits = [each for each in loaded["examples"] if _errors(name, each)]

    assert loaded["examples"]
    assert misfits == []


def _errors(name: str, value: JSONValue) -> list[str]:
    kind, _, which = name.partition("/")
    if kind == "operations":
        data: JSONObject = {"name": "x", "trigger": "operation"}
        data["operations"] = [{"type": which, "options": value}]
    else:
        data = {"name": "x", "trigger": which, "options": value}
    return [str(issue) for issue in schema.check(_document(data))]


def test_every_operation_type_and_no_other_has_a_schema() -> None:
    """What can be written and what can be run is the same."""
    types = {name.removeprefix("operations/") for name in schema.names() if "operations/" in name}

    listed = schema.load("flow")["$defs"]["operation"]["properties"]["type"]["enum"]

    assert set(BUILTIN) == types == set(listed)


def test_an_unknown_schema_is_refused_with_the_nearest_name() -> None:
    """`runner schema flwo` says what there is."""
    with pytest.raises(UnknownSchema, match=r'did you mean "flow"\?'):
        schema.text("flwo")


def test_the_text_of_a_schema_is_that_of_its_file() -> None:
    """It is printed as it was written, and is the JSON that `load` gives."""
    assert json.loads(schema.text("operations/log")) == schema.load("operations/log")


# --- two validators, one opinion ----------------------------------------------------------------


def _document(data: JSONObject) -> Document:
    return Document(path="flow.yaml", text="a: 1\n", content=b"a: 1\n", digest="0" * 64, data=data)


@pytest.mark.parametrize("flow", VALID, ids=lambda flow: flow["name"])
def test_a_valid_flow_has_no_issue(flow: JSONObject) -> None:
    """The documents that the properties below change are right to begin with."""
    assert schema.check(_document(flow)) == []
    assert schema._explainer("flow").is_valid(flow)


@st.composite
def mutated(draw: st.DrawFn) -> JSONObject:
    """A valid flow with up to three values replaced, removed or added somewhere."""
    data = copy.deepcopy(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.sampled_from(paths(data)))
        data = replaced(data, at, draw(BAITS), draw(st.sampled_from(("put", "drop", "add"))))
    return data


@given(mutated())
def test_both_validators_agree(data: JSONObject) -> None:
    """jsonschema, which explains, says no exactly where jsonschema-rs, which decides, says no."""
    decided = schema._fits("flow")(data)

    assert schema._explainer("flow").is_valid(data) is decided
    assert bool(schema.check(_document(data))) is not decided


@given(mutated())
def test_every_misfit_is_explained(data: JSONObject) -> None:
    """No issue is the vague last resort."""
    assert "the file does not fit the schema" not in [
        issue.message for issue in schema.check(_document(data))
    ]


@pytest.mark.parametrize(
    "auth",
    [
        {"kind": "token", "header": "X-Key\n", "secret": "S"},
        {"kind": "bearer", "secret": "S\n"},
        {"kind": "bearer", "secret": ["S", "T\n"]},
    ],
)
def test_a_newline_at_the_end_is_seen_by_both(auth: JSONObject) -> None:
    """Python's `$` would let it pass, also in the files that the flow schema refers to."""
    data = {"name": "x", "trigger": "webhook", "options": {"auth": auth}}

    (issue,) = schema.check(_document(data))

    assert issue.code == "bad-value"
    assert issue.message.startswith("options.auth.")


# --- leaves -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "at", "value", "expected"),
    [
        ("throw-error", ("status",), 404, None),
        ("throw-error", ("status",), "404", None),
        ("throw-error", ("status",), None, "must be a whole number from 400 to 599, not null"),
        ("throw-error", ("code",), 4, "must be text of 1 to 255 characters, not 4"),
        ("log", ("level",), "warn", None),
        (
            "log",
            ("level",),
            "loud",
            "must be one of debug, info, warn, warning, error",
        ),
        ("sleep", ("milliseconds",), "12.5", None),
        ("sleep", ("milliseconds",), [], "must be a number from 0 to 2592000000, not a list"),
        ("trigger", ("flow",), "", 'must be text that is not empty, not ""'),
        ("condition", ("filter",), 5, "must be a mapping or null, not 5"),
        ("request", ("headers",), [{"header": "X-A", "value": "b"}], None),
        (
            "request",
            ("headers",),
            [{"header": "{{ a template no more }}"}],
            "must be a list of at most 100 items or null, not a list",
        ),
    ],
)
def test_a_rendered_value_is_checked_against_its_leaf(
    operation: str, at: Path, value: JSONValue, expected: str | None
) -> None:
    """What a template gave is checked as if it had stood in the file."""
    check = schema.option_check(operation)(at, True)

    assert check is not None
    assert check(value) == expected


@pytest.mark.parametrize(
    ("operation", "at"),
    [
        ("log", ("message",)),
        ("transform", ("json",)),
        ("transform", ("json", "deep", 0, "inside")),
        ("condition", ("filter", "order", "_eq")),
        ("trigger", ("payload", "id")),
    ],
)
def test_a_leaf_without_constraints_has_no_check(operation: str, at: Path) -> None:
    """Nothing is paid at run time where everything is allowed."""
    assert schema.option_check(operation)(at, True) is None


# --- words --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("mesage", 'did you mean "message"?'),
        ("MESSAGE", 'did you mean "message"?'),
        ("zebra", ""),
        ("", ""),
    ],
)
def test_the_nearest_name_is_offered_where_one_is_near(word: str, expected: str) -> None:
    """A typo is answered with the name that was meant, nonsense with none."""
    assert schema.nearest(word, ["message", "level"], prefix="") == expected
