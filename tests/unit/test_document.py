"""Documents: YAML 1.2 in, plain data with positions out, and an issue for everything else."""

import hashlib
import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from runner import document, mistakes, yaml12
from runner.document import Document, InvalidDocument
from runner.model import Issue
from runner.types import JSONObject, Path

FLOW = """\
name: Order intake
options:
  auth: {kind: github, secret: ORDERS}
operations:
  - key: order
    options: &shared
      json: [1, two]
  - key: again
    options: *shared
reject:
"""


@pytest.fixture(params=["libyaml", "python"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both parsers: the one in C, and the one for where that is missing."""
    if request.param == "python":
        monkeypatch.setattr(yaml12, "_Parser", yaml12._PythonParser)


def parse(text: str) -> Document:
    """A document of *text*."""
    return document.parse("flow.yaml", text.encode())


def issues_of(content: str | bytes) -> tuple[Issue, ...]:
    """What is wrong with *content*."""
    with pytest.raises(InvalidDocument) as caught:
        document.parse("flow.yaml", content.encode() if isinstance(content, str) else content)
    return caught.value.issues


def found(content: str | bytes) -> list[tuple[str, int, int]]:
    """Code, line and column of every issue of *content*."""
    return [(issue.code, issue.line, issue.column) for issue in issues_of(content)]


# --- what text means ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, None) for text in ("", "~", "null", "Null", "NULL")),
        *((text, True) for text in ("true", "True", "TRUE")),
        *((text, False) for text in ("false", "False", "FALSE")),
        ("0", 0), ("-0", 0), ("+12", 12), ("-12", -12), ("010", 10), ("08", 8), ("000", 0),
        ("0o10", 8), ("0o000", 0), ("0xfF", 255), ("0x00", 0),
        ("18446744073709551615", 2**64 - 1), ("-9223372036854775808", -(2**63)),
        ("0xffffffffffffffff", 2**64 - 1), ("0o1777777777777777777777", 2**64 - 1),
        ("0" * 5000 + "7", 7),
        ("1.5", 1.5), (".5", 0.5), ("-.5", -0.5), ("1.", 1.0), ("1e3", 1000.0), ("1.0E-3", 0.001),
        ("1.10", 1.1), ("1e-999", 0.0),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("parser")
def test_a_plain_scalar_is_what_the_core_schema_says(text: str, value: object) -> None:
    """Null, booleans, integers and floats have the spellings of YAML 1.2.2 §10.3.2."""
    got = parse(f"x: {text}\n").data["x"]

    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "on", "off", "yes", "no", "y", "N", "NO", "nUll", "tRUE", "none", "12:30", "12:30:45",
        "22:22", "2026-01-01", "2026-01-01T00:00:00Z", "1_000", "0b11", "0o8", "0xg", "-0x1",
        "+0o7", "1e", "e1", ".", "+", "1.2.3", ".e1", "1,000", "5s", "=", "<", "inf", "nan",
        "http://host/path#part", "0" * 100_000 + "x", "1" * 100_000 + "e",
    ],
)  # fmt: skip
@pytest.mark.usefixtures("parser")
def test_everything_else_is_text(text: str) -> None:
    """What YAML 1.1 took for a boolean, a time, a date or a number is text."""
    assert {"x": text} == parse(f"x: {text}\n").data


@pytest.mark.parametrize("text", ["1", "null", "on", "true", "0x1", ".inf", "1.5", "-", "@", "{{a"])
def test_a_key_is_its_text(text: str) -> None:
    """No key is a number, a boolean or null; quotes make no difference."""
    assert {text: 1} == parse(f'"{text}": 1\n').data
    if text not in {"-", "@", "{{a"}:
        assert {text: 1} == parse(f"{text}: 1\n").data


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ('"": 1', {"": 1}),
        ('"<<": 1', {"<<": 1}),
        ("? a\n: 1", {"a": 1}),
        ("&k a: *k", {"a": "a"}),
        ("a: 'null'", {"a": "null"}),
        ('a: "1"', {"a": "1"}),
        ("a: |\n  1\n", {"a": "1\n"}),
        ("%YAML 1.2\n---\na: 1\n...\n", {"a": 1}),
        ("---\n# comment\na: 1\r\nb: 2\r\n", {"a": 1, "b": 2}),
        ("{}", {}),
        ("a: &x {b: 1}\nc: [*x, *x]\n", {"a": {"b": 1}, "c": [{"b": 1}, {"b": 1}]}),
        ('a: "\\u00e9\\U0001F600 é😀"', {"a": "é😀 é😀"}),
        ('a: "\\u2028\\x07"', {"a": "\u2028\x07"}),
    ],
)
@pytest.mark.usefixtures("parser")
def test_what_yaml_allows_is_understood(text: str, data: JSONObject) -> None:
    """Aliases, quoted keys, block text, line ends of all kinds, one document's marks are fine."""
    assert data == parse(text).data


def test_a_document_knows_its_bytes() -> None:
    """The digest is that of the bytes; a byte order mark is in them, but not in the text."""
    content = b"\xef\xbb\xbfa: 1\n"

    got = document.parse("billing/order.yaml", content)

    assert (got.path, got.text, got.data) == ("billing/order.yaml", "a: 1\n", {"a": 1})
    assert hashlib.sha256(content).hexdigest() == got.digest
    assert got.position(("a",)) == (1, 4)


# --- positions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "key", "value"),
    [
        ((), (1, 1), (1, 1)),
        (("name",), (1, 1), (1, 7)),
        (("options", "auth"), (3, 3), (3, 9)),
        (("options", "auth", "secret"), (3, 24), (3, 32)),
        (("operations",), (4, 1), (5, 3)),
        (("operations", 0), (5, 5), (5, 5)),
        (("operations", 0, "options", "json", 1), (7, 17), (7, 17)),
        (("operations", 1, "options"), (9, 5), (9, 14)),
        (("operations", 1, "options", "json"), (7, 7), (7, 13)),
        (("reject",), (10, 1), (10, 8)),
    ],
)
@pytest.mark.usefixtures("parser")
def test_every_key_and_value_has_its_position(
    at: Path, key: tuple[int, int], value: tuple[int, int]
) -> None:
    """Lines and columns count from 1; an alias stands where it is, what is in it where it was."""
    got = parse(FLOW)

    assert key == got.key_position(at)
    assert value == got.position(at)


@pytest.mark.parametrize(
    ("at", "parent"),
    [
        (("nothing",), ()),
        (("options", "auth", "header", "deep"), ("options", "auth")),
        (("operations", 7), ("operations",)),
        (("operations", 0, "options", "json", 1, "x"), ("operations", 0, "options", "json", 1)),
        (("operations", "key"), ("operations",)),
        (("name", 0), ("name",)),
    ],
)
def test_what_is_missing_stands_where_its_parent_does(at: Path, parent: Path) -> None:
    """A path that leads nowhere has the position of the nearest parent that exists."""
    got = parse(FLOW)

    assert got.position(parent) == got.position(at)
    assert got.key_position(parent) == got.key_position(at)


def test_columns_count_characters() -> None:
    """A letter of several bytes is one column."""
    assert parse("é😀: {a: b}\n").position(("é😀", "a")) == (1, 9)


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a:\n  b: 1\n  b: 2\n", [("yaml-duplicate-key", 3, 3)]),
        ("a: 1\na: 2\na: 3\n", [("yaml-duplicate-key", 2, 1), ("yaml-duplicate-key", 3, 1)]),
        ("1: a\n0x1: b\n'1': c\n", [("yaml-duplicate-key", 3, 1)]),
        ("a: &x {b: 1}\nc:\n  <<: *x\n  d: 1\n", [("yaml-merge-key", 3, 3)]),
        ("a: !!str 1\nb: !x [1]\n", [("yaml-tag", 1, 4), ("yaml-tag", 2, 4)]),
        ("!y c: ! d\n", [("yaml-tag", 1, 1), ("yaml-tag", 1, 7)]),
        ("%TAG ! tag:x,2000:\n---\na: 1\n", [("yaml-tag", 1, 1)]),
        ("a: 1\n---\nb: 2\n", [("yaml-documents", 2, 1)]),
        ("a: 1\n---\n", [("yaml-documents", 2, 1)]),
        ("", [("yaml-empty", 1, 1)]),
        (" \n# only a comment\n", [("yaml-empty", 1, 1)]),
        ("\ufeff", [("yaml-empty", 1, 1)]),
        ("\n---\n", [("yaml-empty", 3, 1)]),
        ("- a\n", [("yaml-not-a-mapping", 1, 1)]),
        ("just text", [("yaml-not-a-mapping", 1, 1)]),
        ("''", [("yaml-not-a-mapping", 1, 1)]),
        ("*x", [("yaml-not-a-mapping", 1, 1)]),
        ("{a: 1}: b\n? [1, 2]\n: c\n", [("yaml-key", 1, 1), ("yaml-key", 2, 3)]),
        ("a: &x 1\n*x : 2\n", [("yaml-key", 2, 1)]),
        ("?\n: 2\n", [("yaml-key", 1, 2)]),
        ("a: 1\nb: {{ x }}\nc: [{{ y }}]\n", [("yaml-key", 2, 4), ("yaml-key", 3, 5)]),
        ("a: *b\nb: &b 1\n", [("yaml-alias", 1, 4)]),
        ("a: &x [*x]\n", [("yaml-alias", 1, 8)]),
        ("a: &x {b: {c: *x}}\n", [("yaml-alias", 1, 15)]),
        ("a: &x 1\nb: &x 2\n", [("yaml-alias", 2, 4)]),
        ("a: .inf\nb: .NaN\n", [("yaml-number", 1, 4), ("yaml-number", 2, 4)]),
        (f"a: {2**64}\nb: {-(2**63) - 1}\n", [("yaml-number", 1, 4), ("yaml-number", 2, 4)]),
        ("a: 1e999\nb: -1e999\n", [("yaml-number", 1, 4), ("yaml-number", 2, 4)]),
        (f"a: {'9' * 5000}\nb: 0x1{'0' * 5000}\n", [("yaml-number", 1, 4), ("yaml-number", 2, 4)]),
        (b"a: 1\nb: \xe9\n", [("yaml-encoding", 2, 4)]),
        (b"\xff\xfea\x00", [("yaml-encoding", 1, 1)]),
        (b"\xef\xbb\xbf\xff", [("yaml-encoding", 1, 1)]),
        ("a: b\x07c\n", [("yaml-encoding", 1, 5)]),
        ("a: 'b\n  \u2028c'\n", [("yaml-encoding", 2, 3)]),
        ("a: b\ufeffc\n", [("yaml-encoding", 1, 5)]),
        ("a:\x00\n", [("yaml-encoding", 1, 3)]),
        (b"a: 1\n" + b"#" * (1 << 20), [("yaml-size", 1, 1)]),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("parser")
def test_what_no_document_may_have_is_an_issue_where_it_stands(
    content: str | bytes, expected: list[tuple[str, int, int]]
) -> None:
    """Every finding has a stable code and a position; as far as possible all are found at once."""
    assert expected == found(content)


def test_a_duplicate_key_names_both_lines() -> None:
    """The issue stands at the second key and says where the first is."""
    (issue,) = issues_of("name: a\ntrigger: manual\nname: b\n")

    assert issue.line == 3
    assert issue.message == "the key `name` is here twice; the first is on line 1"


def test_findings_are_limited() -> None:
    """A file of nothing but mistakes gives a screenful of issues, not a megabyte."""
    assert len(found("a: 1\n" * 1000)) == yaml12.MAX_FINDINGS


def test_an_error_carries_its_first_issue_as_message() -> None:
    """Who only prints the exception still learns where and what."""
    with pytest.raises(InvalidDocument, match=r"^flow\.yaml:1:1: error: .* \[yaml-empty\]$"):
        parse("")


@pytest.mark.parametrize("count", [yaml12.MAX_DEPTH - 1, yaml12.MAX_DEPTH])
@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ("{a: ", "}")])
def test_depth_is_limited(count: int, opened: str, closed: str) -> None:
    """The top-level mapping is the first of 64 levels."""
    text = f"a: {opened * count}{closed * count}"

    if count < yaml12.MAX_DEPTH:
        assert parse(text).data
    else:
        assert [("yaml-depth", 1, 4 + (count - 1) * len(opened))] == found(text)


def test_aliases_cannot_build_what_could_not_be_written() -> None:
    """Depth is counted through aliases, each of which adds only one level of its own."""
    lines = ["l0: &l0 [x]", *(f"l{n}: &l{n} [*l{n - 1}]" for n in range(1, 100))]

    assert found("\n".join(lines)) == [("yaml-depth", 64, 12)]


@pytest.mark.parametrize("value", ["[" + "x, " * 999 + "]", '"' + "x" * 100_000 + '"'])
def test_aliases_cannot_stand_for_more_than_the_budget(value: str) -> None:
    """A thousand values a hundred times are as much as a hundred thousand characters."""
    few = f"a: &a {value}\nb: [{'*a, ' * 50}]\n"
    many = f"a: &a {value}\nb: [{'*a, ' * 150}]\n"

    assert parse(few).data
    assert [code for code, _, _ in found(many)] == ["yaml-alias"]


# --- hostile text -------------------------------------------------------------------------------

_MEGABYTE = 1 << 20

HOSTILE = {
    "a megabyte of [": "[" * _MEGABYTE,
    "100,000 [": "a: " + "[" * 100_000,
    "100,000 {": "a: " + "{" * 100_000,
    "a megabyte of dashes": "a:\n" + "- " * 500_000,
    "a megabyte of question marks": "? " * 500_000,
    "deep mappings": "".join(" " * n + "a:\n" for n in range(1400)),
    "deep flow mappings": "a: " + "{a: " * 30_000 + "}" * 30_000,
    "a bomb of aliases": "a0: &a0 [x]\n"
    + "".join(f"a{n + 1}: &a{n + 1} [{f'*a{n},' * 9}]\n" for n in range(9)),
    "a bomb of merge keys": "a0: &a0 {x: 1}\n"
    + "".join(f"a{n + 1}: &a{n + 1}\n  <<: [{f'*a{n},' * 9}]\n" for n in range(9)),
    "a bomb of long text": 'a: &a "' + "x" * 500_000 + '"\nb: [' + "*a," * 100_000 + "]",
    "itself": "a: &x [*x, *x]",
    "huge integers": "a: " + "9" * 300_000,
    "huge hexadecimals": "a: 0x" + "f" * 300_000,
    "a huge float": "a: " + "9" * 500_000 + ".5",
    "lone surrogates": 'a: "\\ud800"',
    "surrogate pairs": 'a: "\\ud83d\\ude00"',
    "beyond Unicode": 'a: "\\U00110000"',
    "far beyond Unicode": 'a: "\\UFFFFFFFF"',
    "tag directives": "".join(f"%TAG !{n}! a\n" for n in range(60_000)) + "---\na: 1\n",
    "anchors": "a: [" + "&a x, " * 100_000 + "]",
    "documents": "---\n" * 200_000,
    "a long line of nonsense": "a: " + "'x" * 200_000 + " {{ " * 100_000,
    "unclosed quote": "a: '" + "x\n" * 100_000,
}  # fmt: skip


@pytest.mark.timeout(30)
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.usefixtures("parser")
def test_hostile_text_ends_in_an_issue(text: str) -> None:
    """Nothing hangs, crashes the process or answers with more than a few lines."""
    issues = issues_of(text)

    assert len(issues) <= yaml12.MAX_FINDINGS
    assert all(len(str(issue)) < 500 for issue in issues)


def test_a_message_is_harmless_to_a_terminal() -> None:
    """What a file says is shown short, and with its control characters escaped."""
    issues = issues_of('"\\e[2J": 1\n"\\e[2J": 2\n' + f"{'k' * 500}: 1\n{'k' * 500}: 1\n")

    assert issues[0].message == "the key `\\x1b[2J` is here twice; the first is on line 1"
    assert len(issues[1].message) < mistakes.MAX_SHOWN + 60


# --- beginners ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "column", "message", "hint"),
    [
        ("x: {{ a }}", 1, 4, "begins with `{{` must stand in quotes", '"{{ … }}"'),
        ("x: {{ a }} b", 1, 4, "begins with `{{` must stand in quotes", '"{{ … }}"'),
        ("x: {{ a }}-{{ b }}", 1, 4, "begins with `{{` must stand in quotes", '"{{ … }}"'),
        ("a:\n  - {{ a }}: b", 2, 5, "begins with `{{` must stand in quotes", '"{{ … }}"'),
        ("a: [{{ a }}: b: c", 1, 5, "begins with `{{` must stand in quotes", '"{{ … }}"'),
        ("cron: */5 * * * *", 1, 7, "begins with `*` must stand in quotes", '"*/5 * * * *"'),
        ("cron: * * * * *  # often", 1, 7, "begins with `*` must", 'write "* * * * *"'),
        ("cron: @daily", 1, 7, "begins with `@` must stand in quotes", 'write "@daily"'),
        ('x: @say "hi"', 1, 4, "begins with `@` must stand in quotes", "write '@say \"hi\"'"),
        ("x: `ls`", 1, 4, "begins with ``` must stand in quotes", 'write "`ls`"'),
        ("x: %d", 1, 4, "begins with `%` must stand in quotes", 'write "%d"'),
        ("x: & y", 1, 4, "begins with `&` must stand in quotes", 'write "& y"'),
        ("x: *all", 1, 4, "`*all` refers to an anchor `&all`", 'needs quotes: "*all"'),
        ("x: !important", 1, 4, "tags are not allowed: `!important`", "needs quotes"),
        ("x: !a!b c", 1, 4, "tags are not allowed", "needs quotes"),
        ("a:\n\tb: 1", 2, 1, "a tab cannot indent", "use spaces"),
        ("\ta: 1", 1, 1, "a tab cannot indent", "use spaces"),
        ("a: b: c", 1, 5, "contains `: ` must stand in quotes", 'key: "value"'),
        ("message: failed: {{ a }}", 1, 16, "contains `: ` must stand in quotes", 'key: "value"'),
        ("a: 1\n b: 2", 2, 3, "a key cannot stand here", "in the same column"),
        ("a: 'b\nc: d\n", 1, 4, "the quote that opens here is never closed", None),
        ('a: 1\nb: "c\nd: e\n', 2, 4, "the quote that opens here is never closed", None),
        ("a: [1, 2\nb: 1", 2, 2, "bracket of line 1 is not closed", None),
        ("a: {b: 1\nc: 2", 2, 2, "bracket of line 1 is not closed", None),
        ("a: [1 , {", 1, 10, "the file ends where a value was expected", "bracket of line 1"),
        ("a: ]", 1, 4, "a value is missing before `]`", None),
        ("a: [b]]", 1, 7, "`]` cannot follow the value that ends before it", None),
        ("a: 'it's'", 1, 8, "`s'` cannot follow the quote", "one pair of quotes"),
        ("a: 'x' == 'y'", 1, 8, "`== 'y'` cannot follow the quote", "one pair of quotes"),
        ("a:\n  b: 1\n c: 2", 3, 2, "nothing that this line could belong to", "same column"),
        ("a:\n  - b\n - c", 3, 2, "nothing that this line could belong to", "same column"),
        ("a: 1\nfoo\nb: 2", 2, 1, "neither a key with a colon", "`key: value`"),
        ("a: - b", 1, 4, "a list cannot begin in the line of its key", "line of its own"),
        ("a: | text", 1, 4, "a text cannot begin in the line of its |", "next line"),
        (r'a: "\d+"', 1, None, "this is no escape of YAML", "single quotes"),
        (r'a: "\ud83d\ude00"', 1, None, "this escape is no character", "the character itself"),
        ("a:b", 1, 1, "the file is a text", "a space behind the colon"),
        ("{{ a }}: b", 1, 1, "begins with `{{` must stand in quotes", '"{{ … }}"'),
        ("a: ? b", 1, 4, "this is not YAML: mapping keys are not allowed", None),
    ],
)
@pytest.mark.usefixtures("parser")
def test_a_beginners_mistake_gets_a_sentence_and_a_way_out(
    text: str, line: int, column: int | None, message: str, hint: str | None
) -> None:
    """What people do wrong most is named in their words, at its place, with what to write."""
    (issue,) = issues_of(text)

    assert line == issue.line
    assert column in {None, issue.column}
    assert message in issue.message
    assert "\n" not in str(issue)
    assert (hint or "") in (issue.hint or "")


# --- any text -----------------------------------------------------------------------------------

_CHARACTERS = st.characters(
    exclude_categories=["Cs", "Cc", "Cn", "Zl", "Zp"], exclude_characters="\ufeff"
) | st.sampled_from("\n\t\r ")
_TEXTS = st.text(_CHARACTERS, max_size=40)
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(_TEXTS, inner, max_size=5),
    max_leaves=30,
)
_OBJECTS = st.dictionaries(_TEXTS, _JSON, max_size=6)


class _Quoted(yaml.SafeDumper):
    """Quotes every text: PyYAML leaves bare what is text in YAML 1.1 and a number in 1.2."""


_Quoted.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
)


@settings(deadline=None, max_examples=50)
@given(_OBJECTS)
def test_json_is_yaml(data: JSONObject) -> None:
    """Any JSON object means the same when it is read as YAML."""
    assert data == parse(json.dumps(data, ensure_ascii=False)).data


@settings(deadline=None, max_examples=50)
@given(_OBJECTS, st.booleans(), st.booleans())
def test_what_is_dumped_is_read_back(data: JSONObject, flow: bool, unicode: bool) -> None:
    """Block and flow style, escaped or not, give back the same object."""
    text = yaml.dump(data, Dumper=_Quoted, default_flow_style=flow, allow_unicode=unicode)

    assert data == parse(text).data


@settings(deadline=None, max_examples=50)
@given(_OBJECTS)
def test_the_position_of_a_value_is_where_it_is_written(data: JSONObject) -> None:
    """At the position of each key and text stands exactly that, in quotes."""
    text = json.dumps(data, ensure_ascii=False, indent=1)
    got, lines = parse(text), text.split("\n")

    for at, value in _leaves(data):
        line, column = got.position(at)
        assert lines[line - 1].startswith(json.dumps(value, ensure_ascii=False), column - 1)
        if isinstance(at[-1], str):
            line, column = got.key_position(at)
            assert lines[line - 1].startswith(json.dumps(at[-1], ensure_ascii=False), column - 1)


def _leaves(value: Any, at: Path = ()) -> list[tuple[Path, Any]]:
    """Every scalar in *value*, with its path."""
    if isinstance(value, dict):
        return [leaf for key, inner in value.items() for leaf in _leaves(inner, (*at, key))]
    if isinstance(value, list):
        return [leaf for index, inner in enumerate(value) for leaf in _leaves(inner, (*at, index))]
    return [(at, value)]


_YAMLISH = st.lists(
    st.sampled_from(
        [*"abc:-?[]{}&*!|>'\"%@`#,\n\n   \t0123.~<", ": ", "- ", "\n  ", "\n- ", "a: ", "&a ", "*a",
         "<<: ", "--- ", "\n---\n", "!!str ", "{{ ", " }}", "\\u", "\\ud800", "0x", "1e", "\r\n",
         "\ufeff", "é", "\u2028", "😀", "%TAG ", "\n..."]
    ),
    max_size=40,
).map(lambda parts: "".join(parts).encode())  # fmt: skip


@settings(deadline=None)
@given(st.binary(max_size=60) | _YAMLISH, st.sampled_from(["CSafeLoader", "_PythonParser"]))
def test_any_bytes_are_a_document_or_have_issues(content: bytes, name: str) -> None:
    """Whatever the bytes: plain JSON data, or issues with positions inside the file."""
    chosen = getattr(yaml, name, yaml12._PythonParser)
    lines = content.decode("utf-8-sig", "replace").split("\n")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml12, "_Parser", chosen)
        try:
            got = document.parse("flow.yaml", content)
        except InvalidDocument as error:
            positions = [(issue.line, issue.column) for issue in error.issues]
            assert positions
        else:
            json.dumps(got.data, allow_nan=False, ensure_ascii=False).encode()
            positions = [got.position(at) for at, _ in _leaves(got.data)]

    assert all(0 < line <= len(lines) for line, _ in positions)
    assert all(0 < column <= len(lines[line - 1]) + 1 for line, column in positions)
