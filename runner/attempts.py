"""What became of every attempt to put the folder's flows in place: told once, and shown always."""

from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

from runner.loader import File, Loaded
from runner.model import Entry, Generation, Issue, Severity, State
from runner.records import Recorder
from runner.registry import Registry
from runner.source import Snapshot
from runner.types import JSONObject

MAX_HISTORY: Final = 5
"""How many different attempts are remembered."""

MAX_ISSUES: Final = 20
"""How many issues a record names: the status names all."""


class Verdict(NamedTuple):
    """What becomes of the files that were found, in Flux' words."""

    #: `Succeeded`, `ValidationFailed`, `Empty`, `SourceUnavailable` or `Failed`.
    reason: str
    message: str
    #: Whether they are in place now.
    applied: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One look at the folder, and what came of it."""

    verdict: Verdict
    #: None where the folder could not be read.
    snapshot: Snapshot | None = None
    #: None where that, or loading it, failed.
    loaded: Loaded | None = None
    seconds: float
    at: datetime


class Attempts:
    """
    Keeps the status that `GET /source` shows, and records what is new about it.

    The words are those of Flux' GitRepository and Kustomization.
    """

    def __init__(self, registry: Registry, recorder: Recorder) -> None:
        self._registry = registry
        self._recorder = recorder
        self._last: Attempt | None = None
        #: Of the last snapshot: what kind of folder it is of, and which revision.
        self._tried: tuple[str, str] | tuple[None, None] = (None, None)
        self._applied_revision: str | None = None
        #: Since when the condition has its status, and which.
        self._condition = ("Unknown", datetime.now(UTC))
        self._history: OrderedDict[tuple[str, str], JSONObject] = OrderedDict()
        #: What was said of each file with an error.
        self._invalid: Mapping[str, tuple[Issue, ...]] = {}
        #: Why the last attempt came to nothing, and of which digest.
        self._refused: tuple[Verdict, str | None] | None = None

    # --- records

    def swapped(self, before: Generation, after: Generation, seconds: float, message: str) -> None:
        """Record that *after* took the place of *before*."""
        self._applied_revision = after.revision
        self._recorder.emit(
            "generation.swapped",
            message=message,
            generation=after.number,
            revision=after.revision,
            duration_ms=round(seconds * 1000, 3),
            data={
                "digest": after.digest,
                "flows": _states(after),
                **_differences(before.entries, after.entries),
            },
        )

    def add(self, attempt: Attempt) -> None:
        """Take note of *attempt*, and record what was not said before."""
        if attempt.loaded is not None:
            self._record_invalid(attempt.loaded)
        self._record_refused(attempt)
        self._last = attempt
        if attempt.snapshot is not None:
            self._remember(attempt, attempt.snapshot)
        status = "True" if attempt.verdict.reason == "Succeeded" else "False"
        if status != self._condition[0]:
            self._condition = (status, attempt.at)

    def _record_invalid(self, loaded: Loaded) -> None:
        entries = self._registry.current.entries.values()
        running = {entry.path for entry in entries if entry.flow is not None}
        broken = {path: file for path, file in loaded.files.items() if file.flow is None}
        for path, file in broken.items():
            if file.issues != self._invalid.get(path):
                runs = "its last good version runs" if path in running else "nothing of it runs"
                self._recorder.emit(
                    "flow.invalid",
                    message=f"{first_issue(file)}; {runs}",
                    flow=file.key,
                    revision=loaded.revision,
                    data={"issues": [issue.as_data() for issue in file.issues[:MAX_ISSUES]]},
                )
        self._invalid = {path: file.issues for path, file in broken.items()}

    def _record_refused(self, attempt: Attempt) -> None:
        verdict, snapshot, generation = attempt.verdict, attempt.snapshot, self._registry.current
        before, self._refused = self._refused, None
        if not verdict.applied:
            self._refused = (verdict, snapshot.digest if snapshot else None)
        if self._refused == before:
            return
        if verdict.applied:
            message = f"the folder can be used again: generation {generation.number} is in place"
            self._recorder.emit("daemon.warning", severity="INFO", message=message)
            return
        data: JSONObject = {"reason": verdict.reason}
        if attempt.loaded is not None:
            data["issues"] = [issue.as_data() for issue in attempt.loaded.issues[:MAX_ISSUES]]
        self._recorder.emit(
            "generation.refused",
            message=f"{verdict.message}; generation {generation.number} stays in place",
            generation=generation.number,
            revision=snapshot.revision if snapshot else None,
            data=data,
        )

    # --- status

    def status(self) -> JSONObject:
        """What is in place and what was last tried."""
        current, last = self._registry.current, self._last
        kind, revision = self._tried
        return {
            "generation": current.number,
            "digest": current.digest,
            "revision": current.revision,
            "kind": kind,
            "lastAttemptedRevision": revision,
            "lastAttemptedTime": _text(last.at) if last else None,
            "lastAppliedRevision": self._applied_revision,
            "lastAppliedTime": _text(current.loaded) if current.number else None,
            "conditions": [self._ready()],
            "history": list(self._history.values()),
            "flows": _states(current),
            "issues": [issue.as_data() for issue in self._issues()],
        }

    def _ready(self) -> JSONObject:
        status, since = self._condition
        verdict = self._last.verdict if self._last else None
        return {
            "type": "Ready",
            "status": status,
            "reason": verdict.reason if verdict else "Progressing",
            "message": verdict.message if verdict else "the flows are loaded for the first time",
            "lastTransitionTime": _text(since),
            "observedGeneration": self._registry.current.number,
        }

    def _issues(self) -> list[Issue]:
        if self._last is not None and self._last.loaded is not None:
            return self._last.loaded.issues
        entries = self._registry.current.entries.values()
        return [issue for entry in entries for issue in entry.issues]

    def _remember(self, attempt: Attempt, snapshot: Snapshot) -> None:
        verdict = attempt.verdict
        self._tried = (snapshot.kind, snapshot.revision)
        if verdict.applied:
            self._applied_revision = snapshot.revision
        key = (snapshot.digest, verdict.reason)
        before = self._history.pop(key, None)
        self._history[key] = {
            "digest": snapshot.digest,
            "revision": snapshot.revision,
            "generation": self._registry.current.number if verdict.applied else None,
            "firstLoaded": before["firstLoaded"] if before else _text(attempt.at),
            "lastLoaded": _text(attempt.at),
            "durationSeconds": round(attempt.seconds, 6),
            "status": verdict.reason,
            "total": (before["total"] if before else 0) + 1,
        }
        self._history.move_to_end(key, last=False)
        if len(self._history) > MAX_HISTORY:
            self._history.popitem()


def first_issue(file: File) -> Issue:
    """What to say of a *file* that does not run, where there is room for one issue."""
    errors = (issue for issue in file.issues if issue.severity is Severity.ERROR)
    return next(errors, file.issues[0])


def _states(generation: Generation) -> JSONObject:
    """How many flows are in which state."""
    count = Counter(entry.state for entry in generation.entries.values())
    return {state.value: count[state] for state in State}


def _differences(before: Mapping[str, Entry], after: Mapping[str, Entry]) -> JSONObject:
    """The keys of the flows that came, changed and went."""
    both = [key for key in after if key in before]
    return {
        "added": [key for key in after if key not in before],
        "changed": [key for key in both if _facts(before[key]) != _facts(after[key])],
        "removed": [key for key in before if key not in after],
    }


def _facts(entry: Entry) -> tuple[object, ...]:
    return (entry.id, entry.path, entry.state, entry.flow and entry.flow.digest, entry.issues)


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
