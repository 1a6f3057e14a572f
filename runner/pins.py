"""
The flows that an accepted execution begins with, over all commits and restarts.

Accepted, it pins the digests of its flow and of all flows that their texts name; run, it gets
these flows back: those that are in place if they are the same, else they are compiled from the
texts that the store keeps.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from runner import compiler
from runner.document import parse
from runner.errors import RunnerError
from runner.model import Entry, Flow, Generation, Issue, Severity, Start, State
from runner.operations import OperationSet
from runner.store.base import Accepted, FlowText, Store

_MAX_DERIVED: Final = 16
"""Generations of executions that are older than what is in place, kept ready."""


class Pinned(NamedTuple):
    """What an execution of a flow pins."""

    #: Digests by flow key.
    pins: Mapping[str, str]
    texts: tuple[FlowText, ...]


class Pins:
    """Remembers what is asked again and again: what flows pin, and generations of old numbers."""

    def __init__(self, operations: OperationSet) -> None:
        self._operations = operations
        #: Of these generations is what is known: of the last one asked for.
        self._pinning: Generation | None = None
        self._pinned: dict[str, Pinned] = {}
        self._current: Generation | None = None
        self._derived: dict[tuple[int, str, frozenset[tuple[str, str]]], Generation] = {}

    def of(self, start: Start) -> Pinned:
        """What the execution of *start* pins."""
        if self._pinning is not start.generation:
            self._pinning, self._pinned = start.generation, {}
        pinned = self._pinned.get(start.flow.key)
        if pinned is None:
            flows = sorted(_named(start.flow, start.generation), key=lambda flow: flow.key)
            texts = tuple(
                FlowText(each.key, each.path, each.digest, each.content) for each in flows
            )
            pinned = Pinned({text.key: text.digest for text in texts}, texts)
            self._pinned[start.flow.key] = pinned
        return pinned

    async def generation(self, accepted: Accepted, current: Generation, store: Store) -> Generation:
        """
        The flows that *accepted* runs with, of its own revision and number.

        Those that it does not pin are those of the *current* generation: it can only come to
        them by a name that is made while it runs. Raises RunnerError with the reason when a
        text does not compile any more.
        """
        same = all(_digest(current, key) == digest for key, digest in accepted.pins.items())
        which = (accepted.generation, accepted.revision)
        if same and which == (current.number, current.revision):
            return current
        if self._current is not current or len(self._derived) >= _MAX_DERIVED:
            self._current, self._derived = current, {}
        known = (*which, frozenset(accepted.pins.items()))
        if known not in self._derived:
            pinned = [] if same else await self._compiled(accepted, store)
            self._derived[known] = _derived(accepted, current, pinned)
        return self._derived[known]

    async def _compiled(self, accepted: Accepted, store: Store) -> list[Flow]:
        texts = await store.texts(accepted.pins)
        missing = accepted.pins.keys() - texts.keys()
        if missing:
            raise RunnerError(f"the text of the flow {min(missing)!r} is gone")
        return [self._compile(each) for each in texts.values()]

    def _compile(self, text: FlowText) -> Flow:
        compiled = compiler.compile(parse(text.path, text.content), self._operations)
        if compiled.flow is None:
            reason = next(filter(_is_error, compiled.issues))
            raise RunnerError(f"the text it began with cannot run any more: {reason}")
        return compiled.flow


def _named(flow: Flow, generation: Generation) -> Iterator[Flow]:
    """*flow*, and what it names, and so on."""
    found = {flow.key: flow}
    names = [*flow.calls]
    while names:
        entry = generation.find(names.pop())
        if entry is not None and entry.running is not None and entry.key not in found:
            found[entry.key] = entry.running
            names += entry.running.calls
    yield from found.values()


def _derived(accepted: Accepted, current: Generation, pinned: list[Flow]) -> Generation:
    """*current* as *accepted* says it was, with the flows that it pins."""
    ids = {flow.id for flow in pinned}
    entries = {key: each for key, each in current.entries.items() if each.id not in ids}
    entries |= {flow.key: _entry(flow) for flow in pinned}
    return replace(
        current,
        number=accepted.generation,
        revision=accepted.revision,
        entries=entries,
        keys={each.id: key for key, each in entries.items()},
    )


def _digest(generation: Generation, key: str) -> str | None:
    entry = generation.entries.get(key)
    return None if entry is None or entry.running is None else entry.running.digest


def _entry(flow: Flow) -> Entry:
    return Entry(
        id=flow.id, key=flow.key, name=flow.name, path=flow.path, state=State.ACTIVE, flow=flow
    )


def _is_error(issue: Issue) -> bool:
    return issue.severity is Severity.ERROR
