"""Rules and templates of a flow that are about little: what is known where they are looked at."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from runner import rules, template
from runner.errors import OperationError, RuleError, TemplateError
from runner.findings import Findings
from runner.schema import quoted
from runner.types import Chain, JSONValue, Path

AHEAD: Final = ("$trigger", "$accountability")
"""What a rule can look at before the flow runs."""

_AT_START: Final = (*AHEAD, "$env")
"""What a template can look at before the flow runs."""


def compile_rule(
    filter_: JSONValue, at: Path, known: tuple[str, ...], found: Findings
) -> Callable[[Chain], bool] | None:
    """The rule at *at*, which can look at what is *known* there; None: none, or a wrong one."""
    if filter_ is None:
        return None
    mistakes = rules.problems(filter_, _constant)
    for each in mistakes:
        found.issue("rule", each.message, (*at, *each.at), hint=each.hint)
    if mistakes:
        return None
    rule = rules.compile(filter_, _constant)
    for path in rule.paths:
        if path[0] not in known:
            when = "before the flow runs" if known is AHEAD else "here"
            message = f"{when}, {quoted(path[0])} is always missing"
            found.issue("rule", message, (*at, path[0]), hint=f"look at {known[0]}")
    return lambda chain: _holds(rule, chain)


def _constant(value: JSONValue, at: Path) -> None:
    """An operand of such a rule: it takes no templates."""
    if isinstance(value, str) and template.has_template(value):
        raise RuleError("takes a value without templates", at)


def _holds(rule: rules.Rule, chain: Chain) -> bool:
    try:
        return not rule.failures(chain, datetime.now(UTC))
    except OperationError:  # an operand such as $CURRENT_USER, which turns out to be null
        return False


def compile_key(text: str | None, at: Path, found: Findings) -> template.Template | None:
    """The template at *at* of what is known before the flow runs; None: none, or a wrong one."""
    if text is None:
        return None
    try:
        compiled = template.compile(text)
    except TemplateError as error:
        found.malformed(error, at, "template")
        return None
    for reference in compiled.references:
        if reference.path[0] not in _AT_START:
            message = f"before the flow runs, {quoted(reference.path[0])} is always missing"
            found.issue("template", message, at, hint="look at $trigger")
    return compiled
