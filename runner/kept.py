"""What is kept of a start until its execution has ended, and the start that is made of it again."""

from collections.abc import Mapping
from contextlib import suppress

from runner import fit, jsontext
from runner.model import Accountability, Generation, Start
from runner.redact import held
from runner.store.base import MAX_VALUE, Accepted, Line
from runner.types import JSONValue


def keep(start: Start, id_: str, line: Line | None, pins: Mapping[str, str]) -> Accepted:
    """What is kept of *start*, the execution with this id, which stands in *line*."""
    flow, who, family = start.flow, start.accountability, start.family
    return Accepted(
        id=id_,
        flow=flow.key,
        flow_id=flow.id,
        digest=flow.digest,
        pins=pins,
        revision=start.generation.revision,
        generation=start.generation.number,
        trigger=flow.trigger.kind,
        trigger_data=start.trigger_data,
        accountability=None if who is None else who.as_data(),
        trace_id=start.trace_id or id_.replace("-", ""),
        parent_id=start.parent_id,
        depth=start.depth,
        nominal=start.nominal,
        replay=start.replay,
        credentials=_needed(start.credentials, start.trigger_data),
        root=None if family is None else family.root,
        caused=0 if family is None else family.children,
        line=line,
    )


def recall(accepted: Accepted, generation: Generation) -> Start:
    """What was kept of a start, with its flows."""
    who, flow = accepted.accountability, generation.entries[accepted.flow].flow
    assert flow is not None  # noqa: S101 - it is pinned
    return Start(
        flow=flow,
        generation=generation,
        trigger_data=accepted.trigger_data,
        accountability=None if who is None else Accountability.from_data(who),
        trace_id=accepted.trace_id,
        id=accepted.id,
        parent_id=accepted.parent_id,
        depth=accepted.depth,
        nominal=accepted.nominal,
        replay=accepted.replay,
        credentials=accepted.credentials,
    )


def _needed(credentials: tuple[str, ...], trigger_data: JSONValue) -> tuple[str, ...]:
    """
    What of *credentials* has to be kept, so that no record shows it.

    Only what stands in *trigger_data*, and so is kept anyway: no secret is written that would
    not have been.
    """
    if not credentials or not fit.is_small(trigger_data, MAX_VALUE):  # which is not kept at all
        return ()
    with suppress(ValueError):  # as above
        return held(jsontext.write(trigger_data), credentials)
    return ()
