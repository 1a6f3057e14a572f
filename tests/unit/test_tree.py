"""Which operation follows which; what authors are told of it is in tests/invalid."""

from typing import Any

import pytest

from runner.tree import Tree, circles, shown_way, slug
from runner.types import JSONObject


def op(key: str, **more: Any) -> JSONObject:
    """An operation that does not matter."""
    return {"key": key, "type": "log", **more}


def ways(tree: Tree) -> dict[str, tuple[str | None, str | None]]:
    """What follows success and failure, by key."""
    return {node.key: (node.resolve, node.reject) for node in tree.nodes}


def codes(data: JSONObject) -> list[str]:
    """What is wrong with the order of *data*."""
    return [problem.code for problem in Tree(data).problems()]


# --- what follows what --------------------------------------------------------------------------


def test_no_operations_have_no_first() -> None:
    """Absent, null and an empty list are the same."""
    empty: list[JSONObject] = [{}, {"operations": None}, {"operations": []}]
    for data in empty:
        assert Tree(data).first is None
        assert Tree(data).problems() == []


def test_operations_run_from_top_to_bottom() -> None:
    """Each resolves to the next; a failure ends the flow."""
    tree = Tree({"operations": [op("a"), op("b"), op("c")]})

    assert tree.first == "a"
    assert ways(tree) == {"a": ("b", None), "b": ("c", None), "c": (None, None)}


def test_a_nested_sequence_goes_before_what_is_below() -> None:
    """Its first operation is what follows; at its end the flow ends."""
    tree = Tree({"operations": [op("a", reject=[op("b"), op("c")]), op("d", resolve=[op("e")])]})

    assert ways(tree) == {
        "a": ("d", "b"),
        "b": ("c", None),
        "c": (None, None),
        "d": ("e", None),
        "e": (None, None),
    }
    assert tree.problems() == []


def test_the_flows_reject_serves_all_but_itself() -> None:
    """Also the operations of branches, and not those that say something of their own."""
    tree = Tree(
        {
            "operations": [
                op("a", resolve="c", reject=[op("b")]),
                op("c", reject=None),
                op("d", reject="c"),
            ],
            "reject": [op("h"), op("i")],
        }
    )

    assert ways(tree) == {
        "a": ("c", "b"),
        "b": (None, "h"),
        "c": ("d", None),
        "d": (None, "c"),
        "h": ("i", None),
        "i": (None, None),
    }


@pytest.mark.parametrize(("reject", "guard"), [(None, True), ([], True), ([op("b")], False)])
def test_null_and_an_empty_list_are_a_guard(reject: Any, guard: bool) -> None:
    """`reject: null` says that failing is fine; saying nothing does not."""
    tree = Tree({"operations": [op("a", reject=reject)]})

    assert tree.keys["a"].guard is guard
    assert not Tree({"operations": [op("a")]}).keys["a"].guard


def test_the_same_text_may_stand_twice() -> None:
    """An alias shares its data; each use is an operation of its own."""
    shared = {"type": "log", "name": "Say it"}

    tree = Tree({"operations": [shared, shared]})

    assert ways(tree) == {"say_it": ("say_it_2", None), "say_it_2": (None, None)}


# --- keys ---------------------------------------------------------------------------------------


def test_made_keys_never_clash() -> None:
    """Neither with each other nor with those that the file says, wherever they stand."""
    tree = Tree(
        {
            "operations": [
                {"type": "log"},
                {"type": "log", "name": "Log 1"},
                {"type": "log", "reject": [op("log_2")]},
                {"type": "log", "name": "!?"},
            ]
        }
    )

    assert [node.key for node in tree.nodes] == ["log_1", "log_1_2", "log_3", "log_2", "log_4"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Is it worth a phone call?", "is_it_worth_a_phone_call"),
        ("  Größe & Maß ", "größe_maß"),
        ("a.b[0]", "a_b_0"),
        ("$last", "last"),
        ("???", ""),
        ("", ""),
    ],
)
def test_a_slug_is_a_name_for_programs(name: str, expected: str) -> None:
    """Lower case, words joined by underscores, nothing that a path would trip over."""
    assert slug(name) == expected


# --- problems -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"operations": [op("a", resolve="a")]}, ["cycle"]),
        ({"operations": [op("a"), op("b", reject="a")]}, ["cycle"]),
        ({"operations": [op("a", resolve="x")]}, ["unknown-operation"]),
        ({"operations": [op("a"), op("a")]}, ["duplicate-operation-key"]),
        ({"operations": [op("a", resolve=None), op("b"), op("c")]}, ["unreachable"]),
        ({"operations": [], "reject": [op("h"), op("i")]}, ["unreachable"]),
        ({"operations": [op("a", reject=None)], "reject": [op("h")]}, ["unreachable"]),
        ({"operations": [op("a", reject="b"), op("b")]}, ["falls-into-handler"]),
        ({"operations": [op("a", reject="b", resolve="b"), op("b")]}, []),
        (
            {"operations": [op("a", resolve=[op("b")]), op("c")]},
            ["resolve-not-last"],
        ),
    ],
)
def test_what_cannot_be_meant_is_a_problem(data: JSONObject, expected: list[str]) -> None:
    """Each mistake is told once, by its cause."""
    assert codes(data) == expected


def test_a_thousand_branches_that_join_take_no_time() -> None:
    """A ladder of joins has two to the power of its length ways, and is walked in one go."""
    ladder = [op(f"o{n}", resolve=f"o{n + 1}", reject=f"o{n + 1}") for n in range(1000)]

    assert codes({"operations": [*ladder, op("o1000")]}) == []


# --- circles ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ({}, []),
        ({"a": "b", "b": "c"}, []),
        ({"a": "a"}, [["a", "a"]]),
        ({"a": "b", "b": "a"}, [["a", "b", "a"]]),
        ({"a": "b", "b": "cd", "c": "b", "d": "b"}, [["b", "c", "b"], ["b", "d", "b"]]),
        ({"x": "a", "a": "b", "b": "a"}, [["a", "b", "a"]]),
    ],
)
def test_circles_are_found_where_they_close(
    edges: dict[str, str], expected: list[list[str]]
) -> None:
    """One for each edge that leads back, none for the ways that only lead there."""
    assert list(circles(edges, lambda name: edges.get(name, ""))) == expected


def test_a_long_way_is_shown_in_short() -> None:
    """Beginning and end are enough."""
    assert shown_way(["a", "b", "a"]) == "a → b → a"
    assert shown_way([*"abcdefghij", "a"]) == "a → b → c → d → e → … → j → a"
