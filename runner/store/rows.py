"""Executions and steps as the columns that are kept of them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from runner.model import Rejected, Resolved
from runner.store.base import Accepted, Step, WakeAt
from runner.store.values import pack, unpack
from runner.types import JSONValue

T = TypeVar("T")

_SIZES: Final = (64, 16, 4, 1)
"""So many rows have statements of their own: at each, Python lets another thread run."""


def statements(statement: str, values: str) -> Mapping[int, str]:
    """*statement*, with `{}` in place of its rows, by number of rows; one of them is *values*."""
    return {size: statement.format(", ".join([values] * size)) for size in _SIZES}


def portions(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """*items* in order, in as few parts as there are statements for."""
    at = 0
    while rest := len(items) - at:
        size = next(size for size in _SIZES if size <= rest)
        yield items[at : at + size]
        at += size


class Row(NamedTuple):
    """An execution as its columns say it."""

    #: What may be told of it.
    seen: tuple[object, ...]
    due: float
    #: Digests by flow key, as JSON.
    pins: str
    #: What else is needed to run it, as JSON.
    needs: str


class StepRow(NamedTuple):
    """A step as its columns say it."""

    path: str
    attempt: int
    kind: str
    value: str


def row(execution: Accepted) -> Row:
    """The columns of *execution*. Raises Unwritable."""
    each = execution
    needs: list[JSONValue] = [
        each.trace_id, each.depth, each.accountability, each.trigger_data, each.nominal,
        each.replay, [*each.credentials], each.root, each.caused,
    ]  # fmt: skip
    return Row(
        seen=(
            each.id, each.flow, each.flow_id, each.digest, each.revision, each.generation,
            each.trigger, each.parent_id,
        ),
        due=each.due,
        pins=pack(dict(sorted(each.pins.items())), "the pins"),
        needs=pack(needs, "the trigger data"),
    )  # fmt: skip


def accepted(row: Row) -> Accepted:
    """The execution that `row` made *row* of."""
    seen: Any = row.seen
    needs: Any = unpack(row.needs)
    pins: Any = unpack(row.pins)
    id_, flow, flow_id, digest, revision, generation, trigger, parent_id = seen
    trace_id, depth, accountability, trigger_data, nominal, replay, credentials, *root = needs
    return Accepted(
        id_, flow, flow_id, digest, pins, revision, generation, trigger, trigger_data,
        accountability, trace_id, parent_id, depth, row.due, nominal, replay,
        tuple(credentials), *root,
    )  # fmt: skip


def step_row(step: Step) -> StepRow:
    """The columns of *step*. Raises Unwritable."""
    outcome = step.outcome
    if isinstance(outcome, WakeAt):
        return StepRow(step.path, step.attempt, "wake", pack(outcome.at, step.path))
    kind = "resolved" if isinstance(outcome, Resolved) else "rejected"
    return StepRow(step.path, step.attempt, kind, pack(outcome.value, f"the value of {step.path}"))


def step(row: StepRow) -> Step:
    """The step that `step_row` made *row* of."""
    value: Any = unpack(row.value)
    match row.kind:
        case "resolved":
            return Step(row.path, row.attempt, Resolved(value))
        case "rejected":
            return Step(row.path, row.attempt, Rejected(value))
    return Step(row.path, row.attempt, WakeAt(float(value)))
