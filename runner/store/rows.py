"""Executions and steps as the columns that are kept of them."""

from typing import Any, NamedTuple

from runner.model import Rejected, Resolved
from runner.store.base import Accepted, Step, WakeAt
from runner.store.values import pack, unpack
from runner.types import JSONValue


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
    needs: list[JSONValue] = [each.trace_id, each.depth, each.accountability, each.trigger_data]
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
    trace_id, depth, accountability, trigger_data = needs
    return Accepted(
        id_, flow, flow_id, digest, pins, revision, generation, trigger, trigger_data,
        accountability, trace_id, parent_id, depth, row.due,
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
