"""What is said of an export before it is carried: other meanings, and plain secrets."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.datachain import ROOTS
from runner.importers import directus, findings
from runner.importers.findings import Finding
from runner.model import Severity
from runner.redact import PLACEHOLDER, SENSITIVE, Redactor
from runner.types import JSONObject, JSONValue

FIRST, SECOND = "00000000-0000-4000-a000-000000000001", "00000000-0000-4000-a000-000000000002"

#: Of a flow in Directus.
THERE = ("$trigger", "$last", "$accountability", "$env")


def operations(type_: str, options: JSONValue, **more: Any) -> JSONObject:
    """The data of a flow with one operation."""
    return {"operations": [{"key": "a", "type": type_, "options": options, **more}]}


def changed(type_: str, options: JSONValue) -> list[Finding]:
    """What means something else in the options of an operation."""
    return [*findings.changed(operations(type_, options))]


def secrets(options: JSONValue) -> list[Finding]:
    """What looks like a secret in the options of an operation."""
    return [*findings.secrets(operations("request", options))]


# --- what means something else here -------------------------------------------------------------


@pytest.mark.parametrize("root", ROOTS)
def test_a_root_that_directus_has_not_is_found(root: str) -> None:
    """Every one that there is here, so that a new one cannot be forgotten."""
    found = changed("log", {"message": f"{{{{ {root}.a }}}}"})

    assert [each.code for each in found] == ([] if root in THERE else ["foreign-root"])


@pytest.mark.parametrize(
    ("type_", "options", "at"),
    [
        ("log", {"message": ["x {{ $secrets['DB'] }} y"]}, ("message", 0)),
        ("log", {"message": "{{ ['$error'].message }}"}, ("message",)),
        ("unknown", {"a": {"b": "{{ $execution.id }}"}}, ("a", "b")),
        ("condition", {"filter": {"$error": {"code": {"_eq": "x"}}}}, ("filter", "$error")),
        ("condition", {"filter": {"_or": [{"$execution": {"id": {"_nnull": True}}}]}}, ("filter",)),
        ("condition", {"filter": {"$last": {"_eq": "{{ $secrets.A }}"}}},
         ("filter", "$last", "_eq")),
        ("condition", {"filter": "{{ $error }}"}, ("filter",)),
        ("log", {"message": "a {{{{ b"}, ("message",)),
        ("unknown", ["{{{{{{ $last }}"], (0,)),
    ],
)  # fmt: skip
def test_what_means_something_else_is_an_error_at_its_place(
    type_: str, options: Any, at: tuple[str | int, ...]
) -> None:
    """In templates, in rules and in their operands."""
    (found,) = changed(type_, options)

    assert found.severity is Severity.ERROR
    assert found.at == ("operations", 0, "options", *at)


@pytest.mark.parametrize(
    ("type_", "options"),
    [
        ("log", {"message": "$secrets.A {{ $last }} {{ secrets.A }} {{ $trigger.$error }}"}),
        ("log", {"message": "{ {{ a }} }"}),
        ("condition", {"filter": {"$last": {"$error": {"_null": True}}}}),
        ("condition", {"filter": {"a": {"_some": {"$error": {"_eq": 1}}}}}),
        ("log", None),
        ("log", "text"),
    ],
)
def test_what_means_the_same_is_not_mentioned(type_: str, options: Any) -> None:
    """A name below another one is no root."""
    assert changed(type_, options) == []


@pytest.mark.parametrize(
    ("answer", "found"), [("$error.message", 1), ("$last", 0), ("$all", 0), ("", 0), ("{{", 0)]
)
def test_what_a_flow_returns_is_looked_at_too(answer: str, found: int) -> None:
    """It would be null in Directus."""
    data: JSONObject = {"trigger": "webhook", "options": {"return": answer}}

    assert [each.at for each in findings.changed(data)] == [("options", "return")] * found


# --- secrets ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "at", "name"),
    [
        ({"headers": [{"header": "Authorization", "value": "Bearer hunter2"}]},
         ("headers", 0, "value"), "Authorization"),
        ({"body": [{"name": "X-Api-Key", "value": 123456}]}, ("body", 0, "value"), "X-Api-Key"),
        ({"secret": "hunter2"}, ("secret",), "secret"),
        ({"secret": {"key": "hunter2"}}, ("secret", "key"), "secret"),
        ({"body": {"clientSecret": "hunter2"}}, ("body", "clientSecret"), "clientSecret"),
        ({"body": {"password": ["hunter2"]}}, ("body", "password", 0), "password"),
        ({"filter": {"$trigger": {"headers": {"authorization": {"_eq": "hunter2"}}}}},
         ("filter", "$trigger", "headers", "authorization", "_eq"), "authorization"),
        ({"url": "https://example.com/a?b=c&access_token=hunter2#d"}, ("url",), "access_token"),
        ({"url": "https://{{ $last }}/?token=hunter2"}, ("url",), "token"),
        ({"url": "https://me:hunter2@example.com"}, ("url",), "user:password@"),
        ({"body": "grant_type=a&client_secret=hunter2"}, ("body",), "client_secret"),
        ({"body": '{"user": "{{ $last }}", "password": "hunter2"}'}, ("body",), "password"),
    ],
)  # fmt: skip
def test_a_plain_secret_is_a_warning_at_its_place(
    options: JSONObject, at: tuple[str | int, ...], name: str
) -> None:
    """It is named by what it is called, and never shown."""
    (found,) = secrets(options)

    assert (found.severity, found.code) == (Severity.WARNING, "literal-secret")
    assert found.at == ("operations", 0, "options", *at)
    assert f'"{name}"' in found.message
    assert "hunter2" not in found.message + found.hint + findings.COMMENT


@pytest.mark.parametrize(
    "options",
    [
        {"headers": [{"header": "Authorization", "value": "Bearer {{ $env.TOKEN }}"}]},
        {"headers": [{"header": "Accept", "value": "hunter2"}]},
        {"headers": [{"header": "Authorization", "value": None}]},
        {"headers": [{"header": "Authorization"}]},
        {"header": "Authorization", "other": "hunter2"},
        {"secret": ""},
        {"secret": PLACEHOLDER},
        {"token": "{{ $trigger.body.token }}"},
        {"filter": {"token": {"_null": True}}},
        {"filter": {"authorization": {"_starts_with": "Bearer "}}},
        {"url": "https://example.com/?token={{ $env.TOKEN }}&a=b"},
        {"url": "https://example.com/?tokens_per_page=5&token="},
        {"url": "https://me:{{ $env.PASSWORD }}@example.com"},
        {"url": "https://example.com:8080/a@b"},
        {"body": '{"password": "{{ $env.PASSWORD }}"}'},
        {"code": "const token = data.$env.TOKEN"},
        None,
        "text",
    ],
)
def test_what_is_no_plain_secret_is_not_mentioned(options: Any) -> None:
    """Templates, nothing at all, and what is called otherwise."""
    assert secrets(options) == []


@given(st.sampled_from(SENSITIVE) | st.text(max_size=12), st.sampled_from(["", "x-", "ä", "X"]))
def test_names_are_sensitive_as_in_records(name: str, before: str) -> None:
    """What is hidden there is what is warned of here."""
    for each in (before + name, before + name.replace("_", "-"), before + name.title()):
        hidden, _ = Redactor().redact({each: "hunter2"})

        assert bool(secrets({each: "hunter2"})) is (hidden != {each: "hunter2"})


# --- in a flow ----------------------------------------------------------------------------------


def test_nested_operations_are_looked_at_and_commented() -> None:
    """What a rejection leads to stands in it."""
    options: JSONObject = {"message": {"password": "hunter2", "other": "{{ $error }}"}}
    first = {"id": FIRST, "key": "a", "type": "log", "options": {"message": "m"}, "reject": SECOND}
    second = {"id": SECOND, "key": "b", "type": "log", "options": options}
    row = {"name": "F", "trigger": "operation", "operation": FIRST, "operations": [first, second]}

    (made,) = directus.convert([row])

    at = ("operations", 0, "reject", 0, "options", "message")
    assert [each.at for each in made.findings] == [(*at, "other"), (*at, "password")]
    assert made.comments[*at, "password"] == findings.COMMENT


def test_a_comment_joins_the_one_that_is_there() -> None:
    """Both are to be read."""
    code = "data.$trigger.headers.cookie; fetch('http://a?token=hunter2')"
    row: JSONObject = {"id": FIRST, "key": "a", "type": "exec", "options": {"code": code}}

    (made,) = directus.convert([{"name": "F", "operation": FIRST, "operations": [row]}])

    told = made.comments["operations", 0, "options", "code"].splitlines()
    assert told[0].startswith("This code seems to read the header cookie")
    assert told[-1] == findings.COMMENT


def test_so_many_warnings_do_not_hide_an_error() -> None:
    """Both are bounded, each by itself."""
    options: JSONObject = {"message": [{"password": "hunter2"}] * 500, "zzz": "{{ $secrets.A }}"}
    row: JSONObject = {"id": FIRST, "key": "a", "type": "log", "options": options}

    (made,) = directus.convert([{"name": "F", "operation": FIRST, "operations": [row]}])

    assert [each.code for each in made.findings] == ["foreign-root", *["literal-secret"] * 100]
