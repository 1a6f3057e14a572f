"""What the files of imported flows are called."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.importers.names import Names, slug


@pytest.mark.parametrize(
    ("name", "becomes"),
    [
        ("Order intake", "order-intake"),
        ("  Orders: new & OLD!  ", "orders-new-old"),
        ("snake_case", "snake-case"),
        ("Ada's flow", "adas-flow"),
        ("Crème brûlée", "creme-brulee"),
        ("Straße", "strasse"),
        ("日本語 のガイド", "日本語-のガイド"),
        ("../../etc/passwd", "etc-passwd"),
        (".hidden", "hidden"),
        ("_draft", "draft"),
        ("a.test", "a-test"),
        ("v1.2", "v1-2"),
        ("", "flow"),
        ("!!!", "flow"),
        ("\x00\x1b[31m", "31m"),
        ("x" * 300, "x" * 50),
        ("x" * 49 + " y", "x" * 49),
    ],
)
def test_a_name_becomes_words_joined_by_dashes(name: str, becomes: str) -> None:
    """Which are a file name, and a part of a URL."""
    assert slug(name) == becomes


@given(st.text())
def test_any_name_becomes_a_file_name_that_is_a_flow(name: str) -> None:
    """Nothing hidden, no folder, no second ending, not too long."""
    made = slug(name)

    assert re.fullmatch(r"[^\W_]+(-[^\W_]+)*", made)
    assert made.isprintable()
    assert len(f"{made}-10000.yaml.todo".encode()) <= 255


def test_flows_of_one_name_are_numbered() -> None:
    """In the order in which they are asked for."""
    names = Names([], {})

    assert [names.file(id_, "Same") for id_ in "abc"] == ["same.yaml", "same-2.yaml", "same-3.yaml"]
    assert names.file("d", "Same 2") == "same-2-2.yaml"


def test_a_name_that_is_taken_is_taken_in_any_case() -> None:
    """Some file systems see no difference."""
    names = Names(["ORDER", "order-2"], {})

    assert names.file("a", "Order") == "order-3.yaml"


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("Trigger", "trigger-2.yaml"),
        (
            "5a1a2c6e-9a53-4c58-8d5c-0d6f6a1c2b3d",
            "5a1a2c6e-9a53-4c58-8d5c-0d6f6a1c2b3d-2.yaml",
        ),
    ],
)
def test_a_name_that_no_flow_may_have_as_its_key_is_numbered(name: str, file: str) -> None:
    """Reserved keys and keys that look like an id are issues."""
    assert Names([], {}).file("a", name) == file


def test_a_flow_that_has_a_file_keeps_it() -> None:
    """Whatever it is called by now; a second flow with its id gets another one."""
    names = Names(["old"], {"a": "sub/old.yml"})

    assert names.file("a", "New") == "sub/old.yml"
    assert names.file("a", "New") == "new.yaml"
