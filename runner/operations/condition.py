"""Go on only if a rule holds."""

from collections.abc import Callable
from datetime import UTC, datetime

from runner import rules, template
from runner.errors import OperationError, RuleError, TemplateError
from runner.operations.base import OperationContext, OperationSpec, Prepared
from runner.template import Reference
from runner.types import Chain, JSONObject, JSONValue, Path


def prepare(options: JSONObject) -> Prepared:
    """
    Compile the rule *filter*; one that is a template is compiled when it is known.

    The handler resolves with null where the rule holds for the data chain, and rejects with one
    error for every part that failed. Raises TemplateError, and RuleErrors in a group.
    """
    filter_ = options["filter"]
    if isinstance(filter_, str):
        return Prepared(_condition_known_at_run_time)
    try:
        rule = _compile(filter_, _operand)
    except RuleError as first:
        mistakes = rules.problems(filter_, _operand) or [first]
        told = [RuleError(each.message, ("filter", *each.at), each.hint) for each in mistakes]
        raise ExceptionGroup("mistakes in a filter", told) from None

    async def condition(_: JSONObject, context: OperationContext) -> None:
        _decide(rule, context)

    return Prepared(condition, tuple(_reference(path, filter_) for path in rule.paths))


async def _condition_known_at_run_time(options: JSONObject, context: OperationContext) -> None:
    try:
        rule = _compile(options["filter"])
    except RuleError as error:
        raise OperationError(f"option filter: {error}", code="INVALID_OPTIONS") from None
    _decide(rule, context)


def _decide(rule: rules.Rule, context: OperationContext) -> None:
    failures = rule.failures(context.data, datetime.now(UTC))
    if failures:
        raise OperationError(failures[0]["message"], data=failures)


def _compile(filter_: JSONValue, operand: rules.OperandFor | None = None) -> rules.Rule:
    rule = rules.compile(filter_, operand)
    for path in rule.paths:
        if path[0] == "$secrets":
            # What fails says what it was about; operands that are templates are not quoted.
            hint = "compare a field with a secret instead"
            raise RuleError("a rule cannot look at $secrets", path, hint)
    return rule


def _reference(path: tuple[str, ...], filter_: JSONObject) -> Reference:
    """A use of the data chain; of where it stands, a rule knows the first name at most."""
    at = ("filter", path[0]) if path[0] in filter_ else ("filter",)
    return Reference(at, path, ".".join(path))


def _operand(value: JSONValue, at: Path) -> Callable[[Chain], JSONValue] | None:
    try:
        compiled = template.compile(value)
    except TemplateError as error:
        raise TemplateError(error.message, (*at, *error.at), error.hint) from None
    return None if compiled.constant and compiled.render({}) == value else compiled.render


OPERATION = OperationSpec(type="condition", prepare=prepare, pure=True)
