"""Go on only if a rule holds; what rules mean is in tests/unit/test_rules.py."""

import pytest

from runner.errors import RuleError
from runner.model import Status
from runner.operations.condition import prepare
from runner.types import JSONValue
from tests.world import World, compiled

RULE = {"$trigger": {"n": {"_gte": 5}}}


@pytest.mark.parametrize(("number", "status"), [(5, Status.RESOLVED), (4, Status.REJECTED)])
@pytest.mark.parametrize("filter_", [RULE, "{{ $trigger.rule }}"])
async def test_a_rule_decides(
    world: World, filter_: JSONValue, number: int, status: Status
) -> None:
    """Whether it stands in the file or comes from the data."""
    result = await world.operate("condition", {"filter": filter_}, {"n": number, "rule": RULE})

    assert result.status is status


async def test_every_failure_is_told(world: World) -> None:
    """One error for each part that does not hold, in the order of the rule."""
    rule = {"$trigger": {"a": {"_eq": 1}, "b": {"_nnull": True}, "c": {"_eq": 1}}}

    result = await world.operate("condition", {"filter": rule}, {"a": 2, "c": 1})

    assert isinstance(result.value, list)
    assert [(each["code"], each["extensions"]["path"]) for each in result.value] == [
        ("FAILED_VALIDATION", ["a"]),
        ("FAILED_VALIDATION", ["b"]),
    ]


async def test_operands_are_templates(world: World) -> None:
    """They keep their type, and what they hold is never a rule itself."""
    rule = {"$trigger": {"a": {"_eq": "{{ $trigger.b }}"}}}

    for data, status in (
        ({"a": 1, "b": 1}, Status.RESOLVED),
        ({"a": 1, "b": "2"}, Status.REJECTED),
        ({"a": 1, "b": {"_gt": 0}}, Status.REJECTED),
    ):
        assert (await world.operate("condition", {"filter": rule}, data)).status is status


async def test_a_secret_that_is_compared_is_not_told() -> None:
    """Neither the error nor any record quotes the operand."""
    world = World(secrets={"TOKEN": "s3cret-t0ken"})
    rule = {"$trigger": {"token": {"_eq": "{{ $secrets.TOKEN }}"}}}

    result = await world.operate("condition", {"filter": rule}, {"token": "wrong"})

    assert result.status is Status.REJECTED
    assert "s3cret" not in str(result.value)
    assert b"s3cret" not in b"".join(world.kept.lines)


def test_all_mistakes_of_a_filter_are_told_with_their_place() -> None:
    """Paths begin at the options, so that whoever compiles need not know what is in them."""
    options = {"filter": {"order": {"a": {"_nope": 1}, "b": {"_in": 5}}}}

    with pytest.raises(ExceptionGroup) as group:
        prepare(options)

    mistakes = [error for error in group.value.exceptions if isinstance(error, RuleError)]
    assert [error.at for error in mistakes] == [
        ("filter", "order", "a", "_nope"),
        ("filter", "order", "b", "_in"),
    ]


def test_what_a_rule_looks_at_is_known() -> None:
    """A root that nobody fills is told before anything runs."""
    prepared = prepare({"filter": {"_or": [{"a": {"b": {"_eq": 1}}}, {"c": {"_null": True}}]}})

    assert [reference.path for reference in prepared.references] == [("a", "b"), ("c",)]


@pytest.mark.parametrize(
    "filter_",
    [{"$secrets": {"TOKEN": {"_eq": "x"}}}, {"_or": [{"$secrets": {"T": {"_null": True}}}]}],
)
def test_a_rule_cannot_look_at_secrets(filter_: JSONValue) -> None:
    """Its failures would tell, bit by bit, what they are."""
    with pytest.raises(ExceptionGroup) as group:
        prepare({"filter": filter_})

    assert [str(each) for each in group.value.exceptions] == ["a rule cannot look at $secrets"]


def test_a_template_that_does_not_parse_is_told_once() -> None:
    """It is an issue of the template, not another one of the rule."""
    each = compiled(
        "name: x\ntrigger: operation\n"
        "operations: [{type: condition, options: {filter: {a: {_eq: '{{ }}'}}}}]"
    )

    assert [issue.code for issue in getattr(each, "issues", ())] == ["template"]
