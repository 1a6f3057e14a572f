"""Operations that name each other become sequences that stand in each other."""

from collections.abc import Mapping
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from runner import flowtext
from runner.compiler import Compiled
from runner.importers.sequences import MAX_NESTING, Arrangement, Node, arrange
from runner.types import JSONObject
from tests.world import compiled


class Ways(NamedTuple):
    """What follows an operation, by number."""

    resolve: int | None = None
    reject: int | None = None


def nodes(*ways: Ways) -> dict[str, Node]:
    """Operations `k0`, `k1`, … of which each says what follows it."""
    return {
        f"id{number}": Node(
            id=f"id{number}",
            key=f"k{number}",
            fields={"key": f"k{number}", "type": "log", "options": {"message": "m"}},
            resolve=None if way.resolve is None else f"id{way.resolve}",
            reject=None if way.reject is None else f"id{way.reject}",
        )
        for number, way in enumerate(ways)
    }


def arranged(*ways: Ways) -> list[JSONObject]:
    """Key, `resolve` and `reject` of every operation as it will be written, from `k0` on."""
    return [_outline(item) for item in arrange(nodes(*ways), "id0").operations]


def _outline(item: JSONObject) -> JSONObject:
    shown: JSONObject = {key: item[key] for key in ("key", "resolve", "reject") if key in item}
    if isinstance(shown.get("reject"), list):
        shown["reject"] = [_outline(each) for each in shown["reject"]]
    return shown


def test_what_resolves_to_each_other_is_one_sequence() -> None:
    """Nothing has to be said."""
    assert arranged(Ways(1), Ways(2), Ways()) == [{"key": "k0"}, {"key": "k1"}, {"key": "k2"}]


def test_what_a_rejection_leads_to_stands_in_it() -> None:
    """With all that follows there."""
    assert arranged(Ways(1, 2), Ways(), Ways(3), Ways()) == [
        {"key": "k0", "reject": [{"key": "k2"}, {"key": "k3"}]},
        {"key": "k1"},
    ]


def test_where_two_ways_meet_a_key_is_left() -> None:
    """The operation stands in the outer sequence; what joins it from inside names it."""
    assert arranged(Ways(1, 2), Ways(), Ways(1)) == [
        {"key": "k0", "reject": [{"key": "k2", "resolve": "k1"}]},
        {"key": "k1"},
    ]


def test_running_on_into_a_handler_is_said() -> None:
    """An operation that both ways lead to is entered on purpose."""
    assert arranged(Ways(1, 2), Ways(2), Ways()) == [
        {"key": "k0", "reject": "k2"},
        {"key": "k1", "resolve": "k2"},
        {"key": "k2"},
    ]
    assert arranged(Ways(1, 1), Ways()) == [
        {"key": "k0", "resolve": "k1", "reject": "k1"},
        {"key": "k1"},
    ]


def test_a_circle_is_a_key_too() -> None:
    """The compiler shows the way around."""
    assert arranged(Ways(1), Ways(0, 1)) == [
        {"key": "k0", "resolve": "k1"},
        {"key": "k1", "resolve": "k0", "reject": "k1"},
    ]


def test_an_id_that_is_nobodys_stays() -> None:
    """The compiler says that there is no such key."""
    assert arranged(Ways(1, 9), Ways(8)) == [
        {"key": "k0", "reject": "id9"},
        {"key": "k1", "resolve": "id8"},
    ]


def test_what_nothing_leads_to_is_not_there() -> None:
    """Nor does it count as a handler."""
    ways = [Ways(1), Ways(), Ways(reject=1)]

    arrangement = arrange(nodes(*ways), "id0")

    assert arranged(*ways) == [{"key": "k0"}, {"key": "k1"}]
    assert set(arrangement.nodes) == {"id0", "id1"}
    assert arrange(nodes(*ways), None).operations == []
    assert arrange(nodes(*ways), "id9").operations == []


def test_what_is_too_deep_stands_at_the_end() -> None:
    """A thousand handlers of handlers nest only so far, and none runs on into the next."""
    arrangement = arrange(nodes(*(Ways(reject=n + 1) for n in range(999)), Ways()), "id0")

    starts = [item["key"] for item in arrangement.operations]
    assert starts == [f"k{n}" for n in range(0, 1000, MAX_NESTING + 1)]
    assert all(item["resolve"] is None for item in arrangement.operations[:-1])
    assert [*arrangement.operations[0]] == ["key", "type", "options", "resolve", "reject"]
    assert compiled(text_of(arrangement)).issues == ()


def test_comments_find_their_operation_wherever_it_stands() -> None:
    """Their paths are those of the text."""
    commented = {
        id_: Node(
            id=id_,
            key=node.key,
            fields=node.fields,
            comments={("options", "message"): node.key},
            resolve=node.resolve,
            reject=node.reject,
        )
        for id_, node in nodes(Ways(1, 2), Ways(), Ways()).items()
    }

    assert arrange(commented, "id0").comments == {
        ("operations", 0, "options", "message"): "k0",
        ("operations", 1, "options", "message"): "k1",
        ("operations", 0, "reject", 0, "options", "message"): "k2",
    }


# --- any tree -----------------------------------------------------------------------------------


@st.composite
def trees(draw: st.DrawFn) -> dict[str, Node]:
    """Operations that lead to later ones only, in any order; some are reached twice, some never."""
    size = draw(st.integers(1, 25))
    ways = [
        Ways(
            *(
                draw(st.none() | st.integers(n + 1, size - 1)) if n + 1 < size else None
                for _ in "ab"
            )
        )
        for n in range(size)
    ]
    made = nodes(*ways)
    return {id_: made[id_] for id_ in draw(st.permutations([*made]))}


def text_of(arrangement: Arrangement) -> str:
    """The arrangement as a flow file."""
    return flowtext.write(
        {"name": "Any", "trigger": "operation", "operations": arrangement.operations}
    )


def reachable(made: Mapping[str, Node]) -> set[str]:
    """The ids that `id0` leads to, itself included."""
    found: set[str] = set()
    todo = ["id0"]
    while todo:
        id_ = todo.pop()
        found.add(id_)
        todo += [each for each in made[id_].followers if each not in found]
    return found


@given(trees())
def test_any_tree_means_the_same_afterwards(made: dict[str, Node]) -> None:
    """Compiled from its text: the same first operation, and behind each the same two."""
    each = compiled(text_of(arrange(made, "id0")))

    assert isinstance(each, Compiled)
    assert each.issues == ()
    assert each.flow is not None
    assert each.flow.first == "k0"
    keys = {None: None} | {id_: node.key for id_, node in made.items()}
    assert {
        key: (operation.resolve, operation.reject, operation.guard)
        for key, operation in each.flow.operations.items()
    } == {
        made[id_].key: (keys[made[id_].resolve], keys[made[id_].reject], False)
        for id_ in reachable(made)
    }
