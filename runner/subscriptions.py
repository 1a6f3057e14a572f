"""
Filters on the attributes of an event, as CloudEvents Subscriptions 1.0 §3.2.4 defines them.

An attribute that an event has not is like no text: nothing but `not` is true of it.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

from runner.types import Chain, JSONObject

Matches: TypeAlias = Callable[[Chain], bool]
"""Whether the event that `$trigger` tells of is meant."""

_DIALECTS: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "exact": str.__eq__,
    "prefix": str.startswith,
    "suffix": str.endswith,
}


def compile(filters: Iterable[JSONObject]) -> Matches:
    """Compile *filters*, checked against `schemas/triggers/event.schema.json`: all must match."""
    compiled = [_compile(each) for each in filters]
    return lambda chain: all(matches(chain) for matches in compiled)


def _compile(said: JSONObject) -> Matches:
    ((dialect, operand),) = said.items()
    if dialect in _DIALECTS:
        return _comparison(_DIALECTS[dialect], operand)
    if dialect == "not":
        denied = _compile(operand)
        return lambda chain: not denied(chain)
    if dialect == "all":
        return compile(operand)
    # Any other dialect is an issue of its file already.
    compiled = [_compile(each) for each in operand] if dialect == "any" else []
    return lambda chain: any(matches(chain) for matches in compiled)


def _comparison(holds: Callable[[str, str], bool], wanted: Mapping[str, str]) -> Matches:
    def matches(chain: Chain) -> bool:
        found = ((_attribute(chain, name), text) for name, text in wanted.items())
        return all(value is not None and holds(value, text) for value, text in found)

    return matches


def _attribute(chain: Chain, name: str) -> str | None:
    """The attribute *name* as text."""
    event = chain["$trigger"]
    if not isinstance(event, dict) or name in ("event", "payload"):
        return None
    value = event.get("event" if name == "type" else name)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int) else None
