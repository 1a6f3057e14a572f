"""Answers as files."""

import csv
import io
import json
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import InvalidQuery
from runner.query import export
from runner.query.parameters import FORMATS
from runner.types import JSONObject

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RECORDS: list[JSONObject] = [
    {"name": 'say "hi"', "n": 1, "on": True, "options": {"a": {"b": 1.5}, "list": ["x", 2]}},
    {"name": "=1+1\nnext", "n": None, "on": False, "options": None, "more": {}},
]


def _text(format_: str, data: Any = RECORDS) -> str:
    return export.write(format_, data, "directus_flows", NOW).content.decode()


@pytest.mark.parametrize(
    ("format_", "ending", "content_type"),
    [
        ("csv", "csv", "text/csv; charset=utf-8"),
        ("csv_utf8", "csv", "text/csv; charset=utf-8"),
        ("json", "json", "application/json; charset=utf-8"),
        ("xml", "xml", "text/xml; charset=utf-8"),
        ("yaml", "yaml", "text/yaml; charset=utf-8"),
    ],
)
def test_a_file_is_named_after_the_collection_and_the_time(
    format_: str, ending: str, content_type: str
) -> None:
    """As Directus names them."""
    file = export.write(format_, RECORDS, "directus_flows", NOW)

    assert file.name == f"directus_flows 20260102-030405.{ending}"
    assert file.content_type == content_type


def test_a_table_has_a_column_for_each_name_inside() -> None:
    """Objects are flattened, lists are JSON, null is nothing, and values stay what they are."""
    assert _text("csv") == (
        '"name","n","on","options.a.b","options.list","options","more"\n'
        '"say ""hi""",1,true,1.5,"[""x"",2]",,\n'
        '"=1+1\nnext",,false,,,,"{}"'
    )
    assert _text("csv_utf8") == "\ufeff" + _text("csv")
    assert _text("csv", []) == ""


def test_json_is_indented_with_tabs() -> None:
    """As Directus writes it."""
    assert _text("json", [{"a": [1]}]) == '[\n\t{\n\t\t"a": [\n\t\t\t1\n\t\t]\n\t}\n]'


def test_xml_has_an_element_for_each_member() -> None:
    """Lists repeat it; a name that XML does not have is mended."""
    data = [{"a": [1, None], "b": {}, "c d": "<&>", "1": {"x": True}, "": "", "e": []}]

    assert _text("xml", data) == (
        "<?xml version='1.0'?>\n<data>\n    <data>\n        <a>1</a>\n        <a>null</a>\n"
        "        <b/>\n        <c_d>&lt;&amp;&gt;</c_d>\n        <_1>\n            <x>true</x>\n"
        "        </_1>\n        <_></_>\n    </data>\n</data>"
    )


def test_yaml_is_a_block() -> None:
    """What several readers could take for something else is in quotes."""
    data = [{"name": "Alpha", "options": {"on": "yes"}, "text": "a\n \nb\n"}, {}]

    assert _text("yaml", data) == (
        '- name: Alpha\n  options:\n    "on": "yes"\n  text: |\n    a\n     \n    b\n- {}\n'
    )
    assert _text("yaml", []) == "[]\n"


@pytest.mark.parametrize("format_", FORMATS)
def test_one_record_is_a_file_too(format_: str) -> None:
    """`/flows/:id` can be exported."""
    assert "Alpha" in _text(format_, {"name": "Alpha", "operations": []})


def test_a_table_that_is_mostly_empty_is_refused() -> None:
    """Names inside of JSON are anybody's, and each is a column of all rows."""
    data = [{"options": {f"x{n}": n}} for n in range(2000)]

    with pytest.raises(InvalidQuery, match="ask for fewer fields"):
        _text("csv", data)


TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
    | st.sampled_from(["yes", "1e3", "0o7", "~", "- a", "a: b", "\r\n", "\x1b", "12:30"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
DATA = st.lists(st.dictionaries(TEXTS, VALUES, max_size=4), max_size=3)


@given(DATA)
def test_json_and_yaml_say_the_same(data: list[JSONObject]) -> None:
    """Also to readers that keep to YAML 1.1."""
    assert json.loads(_text("json", data)) == data
    assert yaml.safe_load(_text("yaml", data)) == data


@given(DATA)
def test_any_data_is_well_formed_xml(data: list[JSONObject]) -> None:
    """Whatever names and characters it has."""
    root = ET.fromstring(_text("xml", data))

    assert [each.tag for each in root] == ["data"] * len(data)


@given(st.lists(st.dictionaries(st.sampled_from("abc"), TEXTS, min_size=1), min_size=1))
def test_a_table_reads_back(data: list[JSONObject]) -> None:
    """Every reader of CSV finds the texts again."""
    columns, *rows = csv.reader(io.StringIO(_text("csv", data), newline=""))

    assert [dict(zip(columns, row, strict=True)) for row in rows] == [
        {name: record.get(name, "") for name in columns} for record in data
    ]


@pytest.mark.parametrize("format_", FORMATS)
def test_a_file_of_more_values_than_anybody_means_is_refused(
    format_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values inside of JSON are values, too; a record alone may have as many as a list."""
    monkeypatch.setattr(export, "MAX_CELLS", 50)
    some: JSONObject = {"options": {"list": [[n] for n in range(10)]}}
    many: JSONObject = {"options": {"list": [[n] for n in range(30)]}}

    for small, large in ((some, many), ([some], [many])):
        assert _text(format_, small)
        with pytest.raises(InvalidQuery, match="more than 50"):
            _text(format_, large)
