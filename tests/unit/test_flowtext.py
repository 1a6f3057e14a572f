"""Flow data as text: what is written is read back, and reads well."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runner import flowtext, yaml12
from runner.types import JSONObject, Path
from tests.documents import VALID, paths

#: What YAML may take for something else, in some version of it.
TRAPS = [
    *("", " ", "~", "null", "Null", "true", "NO", "on", "y", "=", "<<", "007", "0o10", "0x1F"),
    *("1_000", "12:30", "1e5", ".5", "-.inf", ".nan", "2026-01-31", "2026-01-31T12:00:00Z"),
    *("-", "- a", "--- a", "...", "?", "? a", ":", ": a", "a:", "a: b", "a #b", "a#b", "#a"),
    *("&a", "*a", "!a", "|", ">", "%TAG ! x", "@a", "`a", "[a", "{a", "a]", "a, b", "'a", '"a'),
    *("it's", 'say "no"', 'it\'s "both"', "C:\\path", "{{ a }}", "a {{ b }}", "tab\there"),
    *("\n", "\n\n", "a\n", "a\n\n", "\na", "a\nb", "a\nb\n", "a\nb\n\n\n", " a\nb", "\ta\nb"),
    *("a\n  b", "a\n \nb", "a\n  ", "a\n\t\nb", "\n a\nb", "a\r\nb", "a\n# b", "a\n---\nb"),
    *("a\x85b\nc", "a\u2028b\nc", "\ufeffa", "a\xa0b", "\x7f", "\x00", "\U000e0001", "😀\n😀"),
]

text = st.one_of(
    st.sampled_from(TRAPS),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.text(st.sampled_from(" \t\n\r#:-'\"{}[]|>ab\\%&*!?0.1e~,@`"), max_size=12),
    st.integers(980, 1030).map(lambda length: ("a :#" * 260)[:length]),  # about a key's limit
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    text,
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)
mappings = st.dictionaries(text, values, max_size=5)


def same(one: Any, other: Any) -> bool:
    """Equal, of the same types, and with keys in the same order."""
    if isinstance(one, dict) and isinstance(other, dict):
        return [*one] == [*other] and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and repr(one) == repr(other)


def read(written: str) -> JSONObject:
    """What our own reader makes of it; with its second parser too."""
    parsed = yaml12.parse(written)
    assert parsed.findings == (), written
    return parsed.data


@pytest.fixture(params=["libyaml", "python"], scope="module")
def parser(request: pytest.FixtureRequest) -> Any:
    """Both parsers: the one in C, and the one for where that is missing."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "python":
            patch.setattr(yaml12, "_Parser", yaml12._PythonParser)
        yield


@pytest.mark.usefixtures("parser")
@given(data=mappings, comments=st.lists(st.tuples(st.integers(0), text), max_size=4))
@example(data={"a" * 1200: {"b" * 1200: ["x\ny"]}}, comments=[(1, "c")])
@example(data={"a": [[["x\n\ny\n\n"]], [{"b": [1, 2, 3, 4, 5]}]]}, comments=[(3, "c"), (4, "d")])
def test_what_is_written_is_read_back(data: JSONObject, comments: list[tuple[int, str]]) -> None:
    """Any data, with comments anywhere: the same values, types and order."""
    everywhere = paths(data)
    above: dict[Path, str] = {everywhere[n % len(everywhere)]: words for n, words in comments}

    written = flowtext.write(data, above)

    assert same(read(written), data), written


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("trap", TRAPS, ids=ascii)
def test_a_trap_stays_what_it_is_everywhere(trap: str) -> None:
    """As key, as value, as item, alone and before something else."""
    data = {"first": trap, trap: [trap, [trap], {trap: trap}], "last": {"in": trap, "out": "x"}}

    assert same(read(flowtext.write(data)), data)


@pytest.mark.parametrize("data", VALID, ids=lambda data: data["name"])
def test_every_flow_can_be_written(data: JSONObject) -> None:
    """Whatever the schema of flows has."""
    assert same(read(flowtext.write(data)), data)


def test_a_flow_reads_as_a_person_would_have_written_it() -> None:
    """Blocks, few quotes, lines as lines, comments above what they are about."""
    data = {
        "name": "Order intake",
        "color": "#112233",
        "options": {"method": "POST", "auth": "none", "empty": {}, "none": []},
        "operations": [
            {"key": "order", "position": [19, 1], "options": {"json": {"id": "{{ order.id }}"}}},
            {"key": "code", "options": {"code": "if (a) {\n  b()\n}\n", "pattern": "\\d+"}},
        ],
    }
    comments = {
        (): "Comes first.\nIn two lines.",
        ("options", "auth"): "Anybody.",
        ("operations", 1): "The code.",
        ("operations", 1, "key"): "Its key.",
        ("nowhere",): "Not said.",
    }

    written = flowtext.write(data, comments)

    assert written == (
        "# Comes first.\n"
        "# In two lines.\n"
        "name: Order intake\n"
        'color: "#112233"\n'
        "options:\n"
        "  method: POST\n"
        "  # Anybody.\n"
        "  auth: none\n"
        "  empty: {}\n"
        "  none: []\n"
        "operations:\n"
        "  - key: order\n"
        "    position: [19, 1]\n"
        "    options:\n"
        "      json:\n"
        '        id: "{{ order.id }}"\n'
        "  # The code.\n"
        "  # Its key.\n"
        "  - key: code\n"
        "    options:\n"
        "      code: |\n"
        "        if (a) {\n"
        "          b()\n"
        "        }\n"
        "      pattern: \\d+\n"
    )


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain text, with a comma", "plain text, with a comma"),
        ("https://example.com/a?b=c#d", "https://example.com/a?b=c#d"),
        ("$trigger", "$trigger"),
        ("5a1a2c6e-9a53-4c58-8d5c-0d6f6a1c2b3d", "5a1a2c6e-9a53-4c58-8d5c-0d6f6a1c2b3d"),
        ("Größe", "Größe"),
        ("on", '"on"'),
        ("12:30", '"12:30"'),
        ("2026-01-31", '"2026-01-31"'),
        ("a: b", '"a: b"'),
        ("small order {{ order.id }}", '"small order {{ order.id }}"'),
        ('{"id": 1}', "'{\"id\": 1}'"),
        ('"it\'s" both', '"\\"it\'s\\" both"'),
        ('it\'s "both"', 'it\'s "both"'),
        ("a\r\nb", '"a\\r\\nb"'),
        ("a\u200bb", '"a\\u200bb"'),
        ("\U000e0001", '"\\U000e0001"'),
        (1e21, "1.0e+21"),
        (1e-7, "1.0e-07"),
        (1.0, "1.0"),
        (True, "true"),
        (None, "null"),
        ([1, 2, 3, 4], "[1, 2, 3, 4]"),
    ],
)
def test_a_value_is_written_with_no_more_quotes_than_it_needs(value: Any, written: str) -> None:
    """Plain where no reader takes it for something else; escapes only for what nobody sees."""
    assert flowtext.write({"x": value}) == f"x: {written}\n"


def test_a_comment_cannot_break_out() -> None:
    """Whatever it says, it stays a comment."""
    data = {"a": 1}

    written = flowtext.write(data, {(): "x\ny: 2\r\n\x1b[31mz\n\nlast"})

    assert written == "# x\n# y: 2\n# \\x1b[31mz\n#\n# last\na: 1\n"


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_a_number_that_json_does_not_have_is_refused(number: float) -> None:
    """Rather than written as something that nobody can read."""
    with pytest.raises(ValueError, match="JSON has no number"):
        flowtext.write({"x": number})


def test_no_data_is_an_empty_mapping() -> None:
    """Which is read back as such."""
    assert flowtext.write({}) == "{}\n"
