"""The flows that run now: one immutable generation, replaced in one assignment."""

from collections.abc import Callable, Container, Mapping
from datetime import UTC, datetime

from runner.ids import NAMESPACE, derived_id
from runner.loader import File, Loaded
from runner.model import Entry, Flow, Generation, Severity, State

#: Called with the generation before and the one now in place.
Listener = Callable[[Generation, Generation], None]

#: Undoes a subscription.
Detach = Callable[[], None]


class Registry:
    """Holds the current generation; readers take it without a lock, it never changes."""

    def __init__(self) -> None:
        self.current = Generation(
            number=0, digest="", revision="", loaded=datetime.now(UTC), entries={}, keys={}
        )
        self._listeners: list[Listener] = []

    def swap(
        self,
        loaded: Loaded,
        *,
        kept: Mapping[str, Flow] | None = None,
        disabled: frozenset[str] = frozenset(),
    ) -> Generation:
        """
        Put *loaded* in place; a file with errors keeps the flow it had.

        *kept* are such flows by path that an earlier process knew, *disabled* the keys that are
        switched off here. Subscribers are told afterwards.
        """
        before = self.current
        good = {**(kept or {}), **_flows(before)}
        entries = _entries(loaded, good, disabled)
        self.current = Generation(
            number=before.number + 1,
            digest=loaded.digest,
            revision=loaded.revision,
            loaded=datetime.now(UTC),
            entries=dict(sorted(entries.items())),
            keys={entry.id: entry.key for entry in entries.values()},
        )
        for listener in tuple(self._listeners):
            listener(before, self.current)
        return self.current

    def subscribe(self, listener: Listener) -> Detach:
        """Have *listener* told of every swap."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)


def _flows(generation: Generation) -> dict[str, Flow]:
    """What runs, by path of its file."""
    entries = generation.entries.values()
    return {entry.path: entry.flow for entry in entries if entry.flow is not None}


def _entries(
    loaded: Loaded, good: Mapping[str, Flow], disabled: frozenset[str]
) -> dict[str, Entry]:
    """
    Healthy files first: what a broken one had never stands in their way.

    Then those that had something that runs, before those that never did.
    """
    entries: dict[str, Entry] = {}
    ids: set[str] = set()
    rank = {path: (file.flow is None, path not in good) for path, file in loaded.files.items()}
    for file in sorted(loaded.files.values(), key=lambda file: rank[file.path]):
        flow = file.flow or good.get(file.path)
        if flow is not None and flow.key not in entries and flow.id not in ids:
            entry = _entry(file, flow, disabled)
        else:
            entry = _invalid_entry(file, entries, ids)
        entries[entry.key] = entry
        ids.add(entry.id)
    return entries


def _entry(file: File, flow: Flow, disabled: frozenset[str]) -> Entry:
    if not flow.active or flow.key in disabled:
        state = State.INACTIVE
    else:
        state = State.ACTIVE if file.flow is not None else State.STALE
    return Entry(
        id=flow.id,
        key=flow.key,
        name=flow.name,
        path=file.path,
        state=state,
        flow=flow,
        issues=file.issues,
    )


def _invalid_entry(file: File, keys: Container[str], ids: Container[str]) -> Entry:
    # Where another flow has its key or id, the file's whole path tells the two apart.
    key = file.key if file.key not in keys else file.path
    id_ = file.id if file.id is not None and file.id not in ids else derived_id(NAMESPACE, key)
    return Entry(
        id=id_,
        key=key,
        name=file.name,
        path=file.path,
        state=State.INVALID,
        flow=None,
        issues=file.issues,
    )


def first_error(entry: Entry) -> str:
    """The code of the first error of *entry*, for those who may not see its text."""
    codes = [issue.code for issue in entry.issues if issue.severity is Severity.ERROR]
    return codes[0] if codes else "invalid"
