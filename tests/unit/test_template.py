"""Templates: what they give, what they refuse, and that Directus' answers are ours."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import template
from runner.errors import OperationError, TemplateError
from runner.types import Check, JSONValue
from runner.types import Path as At

VECTORS = Path(__file__).parents[1] / "vectors"


def _read(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))


def _differences(name: str) -> dict[str, Any]:
    return {k: v for group in _read("differences")[name] for k, v in group["cases"].items()}


def _answer(value: JSONValue, data: dict[str, Any]) -> dict[str, Any]:
    missing: list[str] = []
    try:
        return {"value": template.compile(value).render(data, missing), "missing": missing}
    except TemplateError as error:
        return {"issue": error.message}


def _render(value: JSONValue, data: dict[str, Any] | None = None) -> JSONValue:
    return template.compile(value).render(DATA if data is None else data)


DATA: dict[str, Any] = {
    "$last": None,
    "order": {
        "id": 7,
        "paid": True,
        "note": "fragile",
        "my key": "k",
        "a.b": "dotted",
        "": "empty",
    },
    "rows": [{"id": 1}, {"id": 2}],
    "many": list(range(11)),
    "text": "abc",
}


# --- Directus' answers --------------------------------------------------------------------------


@pytest.mark.parametrize("case", _read("template")["cases"], ids=lambda case: case["template"])
def test_templates_render_as_in_directus_or_as_the_differences_say(case: dict[str, Any]) -> None:
    """Every vector gives Directus' value, with its type, unless we differ on purpose."""
    same = {"value": case["outcome"].get("value"), "missing": []}
    expected = _differences("template").get(case["template"], same)

    answer = _answer(case["template"], _read("template")["data"])

    assert json.dumps(answer) == json.dumps(expected)


def test_every_template_difference_names_a_case() -> None:
    """A difference that no case asks for any more is not kept."""
    texts = {case["template"] for case in _read("template")["cases"]}

    assert set(_differences("template")) <= texts


# --- what is rendered ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ order }}", DATA["order"]),
        ("{{order.id}}", 7),
        ("{{ order.my key }}", "k"),
        ("{{ order['a.b'] }}", "dotted"),
        ("{{ order [ `id` ] }}", 7),
        ("{{ rows[+1].id }}", 2),
        ("{{ rows.length }}", 2),
        ("{{ many[10] }}", 10),
        ("{{ order[''] }}", "empty"),
        ("{{ rows[01] }}", None),
        ("{{ rows[2] }}", None),
        ("{{ rows[-1] }}", None),
        ("{{ rows.id }}", None),
        ("{{ text.length }}", None),
        ("{{ text[0] }}", None),
        ("{{ order.id.x.y }}", None),
        ("{{ order.__proto__ }}", None),
        (" {{ order.id }}", " 7"),
        ("{{ order.paid }}{{ order.id }}", "true7"),
        ("{{ $last }}!", "null!"),
        ("{{ nothing }}!", "!"),
        ("100% {{ text }} %s", "100% abc %s"),
    ],
)
def test_a_template_gives_what_its_path_leads_to(source: str, expected: JSONValue) -> None:
    """Alone a value keeps its type, in a text it is written; only objects and lists are entered."""
    assert _render(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{{{", "{{"),
        ("{{{{ order.id }}", "{{ order.id }}"),
        ("{{{{{{ order.id }}", "{{7"),
        ("a {{{{b}} {{ text }}", "a {{b}} abc"),
        ("}} {", "}} {"),
    ],
)
def test_four_braces_write_two(source: str, expected: str) -> None:
    """`{{{{` is the literal, wherever it stands and whatever follows."""
    assert _render(source) == expected


def test_keys_are_not_rendered_and_values_are_not_rendered_twice() -> None:
    """One pass, over values only."""
    data = {"a": "{{ b }}", "b": 1}

    assert _render({"{{ a }}": ["{{ a }}", "x{{ a }}"]}, data) == {
        "{{ a }}": ["{{ b }}", "x{{ b }}"]
    }


def test_missing_paths_are_reported_each_time_they_are_asked_for() -> None:
    """The step that rendered can say which paths led nowhere."""
    missing: list[str] = []

    template.compile(["{{ a.b }}", "x{{ a.b }}{{ c }}", "{{ text }}"]).render(DATA, missing)

    assert missing == ["a.b", "a.b", "c"]


def test_rendering_leaves_the_source_and_the_data_alone() -> None:
    """Each rendering is a new value around shared constant parts."""
    source: JSONValue = {"fixed": {"a": [1]}, "live": ["{{ order.id }}", 2]}
    compiled = template.compile(source)

    first, second = compiled.render(DATA), compiled.render({})

    assert first == {"fixed": {"a": [1]}, "live": [7, 2]}
    assert second == {"fixed": {"a": [1]}, "live": [None, 2]}
    assert source == {"fixed": {"a": [1]}, "live": ["{{ order.id }}", 2]}
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert first["fixed"] is second["fixed"]


def test_a_value_without_templates_is_constant() -> None:
    """What never changes is known not to."""
    assert template.compile({"a": [1, "b", "{{{{"]}).constant
    assert not template.compile({"a": [1, "{{ b }}"]}).constant


def test_references_say_where_a_path_stands_and_where_it_leads() -> None:
    """A linter sees every use of the chain."""
    compiled = template.compile({"a": [1, "x {{ op[0].id }}"], "b": "{{ $last }}"})

    assert compiled.references == (
        template.Reference(("a", 1), ("op", "0", "id"), "op[0].id"),
        template.Reference(("b",), ("$last",), "$last"),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", False), ("{ x }", False), ("{{{{ x", False), ("{{ x }}", True), ("{{{{{{ x", True)],
)
def test_a_literal_brace_is_no_template(text: str, *, expected: bool) -> None:
    """`has_template` tells what opens a template from what writes one."""
    assert template.has_template(text) is expected


# --- text of values -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (1.5, "1.5"),
        (-1e-7, "-1e-7"),
        (1.5e-7, "1.5e-7"),
        (1e-6, "0.000001"),
        (1e16, "10000000000000000"),
        (123456789012345680000.0, "123456789012345680000"),
        (1e21, "1e+21"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (5e-324, "5e-324"),
    ],
)
def test_numbers_are_written_as_javascript_writes_them(number: float, expected: str) -> None:
    """Exponents begin where ECMA-262 lets them begin."""
    assert template.js_number(number) == expected


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_written_number_reads_back_as_itself(number: float) -> None:
    """No digit is lost."""
    assert float(template.js_number(number)) == number


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "0", "length"]) | st.text(), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(JSON)
def test_written_json_reads_back_as_itself(value: JSONValue) -> None:
    """A value inside a text is its JSON; a whole number is a number, with a point or without."""
    read = json.loads(template.to_json(value), parse_int=float)

    assert read == json.loads(json.dumps(value), parse_int=float)


def test_values_inside_a_text_are_compact_json() -> None:
    """Nothing is added between members, and nothing beyond ASCII is escaped."""
    data = {"v": {"a": [1.0, None, True], "é": 'x"\n\u0001'}}

    assert _render("={{ v }}", data) == '={"a":[1,null,true],"é":"x\\"\\n\\u0001"}'


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "{{",
        "{{}}",
        "{{  }}",
        "{{ a",
        "{{ a {{ b }}",
        "{{ .a }}",
        "{{ a. }}",
        "{{ a..b }}",
        "{{ a. .b }}",
        "{{ a.[0] }}",
        "{{ a[0]b }}",
        "{{ a[ }}",
        "{{ a[] }}",
        "{{ a[[0]] }}",
        "{{ a['b] }}",
        "{{ a[\"b'] }}",
        "{{ a['] }}",
        "{{ a.b.c.d.e.f.g.h.i.j.k }}",
        "{{ " + "a" * 1000 + " }}",
    ],
)
def test_what_does_not_parse_is_an_error_with_its_place(text: str) -> None:
    """A mistake is known before anything runs."""
    with pytest.raises(TemplateError) as caught:
        template.compile({"a": [0, text]})

    assert caught.value.at == ("a", 1)


def test_the_limits_themselves_are_allowed() -> None:
    """Ten names and a thousand characters are not too many."""
    data = {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": 1}}}}}}}}}}

    assert _render("{{ a.a.a.a.a.a.a.a.a.a }}", data) == 1
    assert _render("{{" + "a" * 1000 + "}}", {"a" * 1000: 2}) == 2


def test_all_problems_are_found_in_the_order_of_the_value() -> None:
    """An author sees every mistake at once."""
    found = template.problems({"a": "{{ b. }}", "c": ["{{ d }}", "{{ e"], "f": 1})

    assert [(each.at, each.message) for each in found] == [
        (("a",), 'a name is missing beside a dot in "b."'),
        (("c", 1), '"{{" is never closed'),
    ]


def test_a_bare_path_is_a_getter() -> None:
    """`return:` names a value without braces."""
    getter = template.compile_path(" rows[1].id ")

    assert getter.path == ("rows", "1", "id")
    assert getter(DATA) == 2
    assert getter({}) is None


@pytest.mark.parametrize("text", ["", "a.", "{{ $last }}"])
def test_a_bare_path_that_does_not_parse_is_an_error(text: str) -> None:
    """Braces are for templates."""
    with pytest.raises(TemplateError):
        template.compile_path(text)


# --- checks -------------------------------------------------------------------------------------


def _no_text(value: JSONValue) -> str | None:
    return "must not be a text" if isinstance(value, str) else None


def test_a_check_is_asked_for_once_for_every_string_with_a_template() -> None:
    """The compiler of options learns where a template stands, and whether it keeps its type."""
    asked: list[tuple[At, bool]] = []

    def check(at: At, whole: bool) -> Check | None:
        asked.append((at, whole))
        return None

    template.compile({"a": "x", "b": ["{{ c }}", "{{ c }}{{ c }}", "{{{{"]}, check)

    assert asked == [(("b", 0), True), (("b", 1), False)]


def test_a_check_that_objects_rejects_with_the_name_of_the_option() -> None:
    """A misfit that only the run can know is a failure of the operation."""
    compiled = template.compile({"rows": [{"n": "{{ v }}"}]}, lambda at, whole: _no_text)

    assert compiled.render({"v": 1}) == {"rows": [{"n": 1}]}
    with pytest.raises(OperationError, match=r"option rows\[0\]\.n: must not be") as caught:
        compiled.render({"v": "1"})
    assert caught.value.own_code == "INVALID_OPTIONS"


# --- whatever comes -----------------------------------------------------------------------------

PIECES = ["{{", "}}", "{{{{", "{", "a", "b", "0", "length", "$last", ".", "[", "]", "'", '"', " "]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


@given(st.recursive(TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner)), JSON)
def test_what_compiles_renders(source: JSONValue, value: JSONValue) -> None:
    """Compiling raises TemplateError or nothing, and rendering nothing."""
    problems = template.problems(source)
    if problems:
        with pytest.raises(TemplateError) as caught:
            template.compile(source)
        assert (caught.value.at, caught.value.message) == (problems[0].at, problems[0].message)
    else:
        json.dumps(template.compile(source).render({"a": value, "b": [value], "0": value}))


@given(st.text(max_size=30), TEXTS)
def test_a_text_with_its_braces_doubled_is_itself(text: str, more: str) -> None:
    """Any text can be written."""
    assert _render((text + more).replace("{{", "{{{{")) == text + more


def test_a_text_that_would_be_endless_is_refused() -> None:
    """Values share their parts: sixty doublings are small in memory and endless on paper."""
    value: JSONValue = "x"
    for _ in range(60):
        value = [value, value]

    with pytest.raises(OperationError, match="longer than 16 MiB"):
        template.compile("all of {{ a }}").render({"a": value})


def test_a_text_that_doubles_itself_comes_to_an_end() -> None:
    """Two halves of the limit are the most that fit."""
    render = template.compile("{{ a }}{{ a }}").render

    assert len(str(render({"a": "x" * (template.MAX_TEXT // 2)}))) == template.MAX_TEXT
    with pytest.raises(OperationError, match="longer than 16 MiB"):
        render({"a": "x" * (template.MAX_TEXT // 2 + 1)})
