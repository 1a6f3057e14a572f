"""Keep the flows in step with the folder: watch → source → loader → registry.swap."""

import asyncio
import hashlib
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from runner import source
from runner.attempts import Attempt, Attempts, Verdict, first_issue
from runner.compiler import Compiled
from runner.errors import RunnerError, SourceError, Unavailable
from runner.history import Created, History
from runner.lastgood import LastGood
from runner.loader import Loaded, Loader
from runner.model import Flow, Generation, Issue
from runner.records import Recorder
from runner.registry import Registry
from runner.settings import Settings
from runner.source import Snapshot
from runner.types import JSONObject
from runner.watch import Timings, Watcher

_TIMINGS = Timings()

#: How long the end waits for the disk, in seconds.
_LAST_SAVE = 5.0

_ALLOW = "if that is meant, set allow_empty or POST /reload?allow_empty=true"


class Refused(RunnerError):
    """The files were read, and nothing of them was put in place."""

    code = "REFUSED"
    status = 409


_ERRORS: Mapping[str, type[RunnerError]] = {"SourceUnavailable": Unavailable, "Failed": RunnerError}


class Reloader:
    """
    Puts the flows of *root* in place: now (`reload`), and whenever they change (`watch`).

    Whatever happens to the folder, what runs goes on until there is something better. At a first
    start that is what ran last, as far as *last_good* knows it.
    """

    def __init__(
        self,
        root: Path,
        loader: Loader,
        registry: Registry,
        last_good: LastGood,
        recorder: Recorder,
        settings: Settings,
        timings: Timings = _TIMINGS,
    ) -> None:
        self._root = root
        self._loader = loader
        self._registry = registry
        self._last_good = last_good
        self._recorder = recorder
        self._settings = settings
        self._attempts = Attempts(registry, recorder)
        self._watcher = Watcher(root, timings, self._warn)
        self._turn = asyncio.Lock()
        #: How many reads of the folder have begun, and what came of the last that was finished.
        self._begun = 0
        self._answer: tuple[int, Generation | RunnerError] = (0, registry.current)
        #: Digest of the newest snapshot.
        self._seen = ""
        #: What is in place, as it was loaded.
        self._applied: Loaded | None = None
        #: Keys that `disable` names and no flow has, as last said.
        self._said_missing: frozenset[str] = frozenset()
        self._unsaved: Loaded | None = None
        self._saving: asyncio.Task[None] | None = None
        self._history = History(root)
        #: The revision of what was last put in place, and that it may be news to the history.
        self._revision = ""
        self._news = asyncio.Event()

    # --- the doors

    async def reload(self, *, allow_empty: bool = False) -> Generation:
        """
        Load now, finished or not; give the generation that is in place then.

        One load at a time: callers who wait for it are answered by the next one together. Raises
        Unavailable if the folder cannot be read, Refused if what it says is not put in place.
        """
        asked = self._begun
        async with self._turn:
            begun, answer = self._answer
            if begun <= asked or allow_empty:
                return await self._apply(await self._read(), allow_empty=allow_empty)
        if isinstance(answer, RunnerError):
            raise answer
        return answer

    async def watch(self) -> None:
        """Load now and whenever the folder changes, until it is cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._watcher.listen(), name="listen")
                tasks.create_task(self._follow(), name="follow")
                tasks.create_task(self._keep_history(), name="history")
        finally:
            await self.saved()

    async def saved(self) -> None:
        """Wait until what is good is on the disk, or that takes too long."""
        if self._saving is not None:
            await asyncio.wait({self._saving}, timeout=_LAST_SAVE)

    def poke(self) -> None:
        """Have a look soon, as after an event."""
        self._watcher.poke()

    @property
    def created(self) -> Mapping[str, Created]:
        """Who created the flow files, and when, by path, as far as that is known by now."""
        return self._history.created

    def status(self) -> JSONObject:
        """What is in place, from where, since when, and what was last tried."""
        watch = {"mode": self._watcher.mode, "missed": self._watcher.missed}
        return {"path": str(self._root.absolute()), "watch": watch, **self._attempts.status()}

    # --- when

    async def _follow(self) -> None:
        asked = True
        while True:
            before = self._seen
            with suppress(RunnerError):  # said in a record, and in the status
                await self._load_finished()
            await self._watcher.follow()
            if not asked and self._seen != before:
                await self._watcher.found_unannounced()
            asked = await self._watcher.changed()

    async def _load_finished(self) -> None:
        """Load what is there as soon as it looks finished, or has not for too long."""
        since = time.monotonic()
        while True:
            await self._watcher.unlocked()
            async with self._turn:
                snapshot = await self._read()
                unrest = await self._watcher.unrest(snapshot, since)
                if not unrest:
                    await self._apply(snapshot)
                    return
            await asyncio.sleep(unrest)

    # --- what

    async def _read(self) -> Snapshot:
        self._begun += 1
        began = time.monotonic()
        try:
            snapshot = await asyncio.to_thread(source.snapshot, self._root)
        except (SourceError, OSError) as error:
            verdict = Verdict("SourceUnavailable", str(error), applied=False)
            raise await self._refuse(verdict, began) from None
        self._seen = snapshot.digest
        return snapshot

    async def _apply(self, snapshot: Snapshot, *, allow_empty: bool = False) -> Generation:
        began = time.monotonic()
        try:
            if not self._registry.current.number and snapshot.unread_folders:
                self._loader.expect(await asyncio.to_thread(self._last_good.recall_all))
            loaded = await self._loader.load(snapshot)
            kept = await asyncio.to_thread(self._recall, loaded)
            verdict = await self._judge(loaded, kept, allow_empty=allow_empty)
            if verdict.applied:
                self._put(loaded, kept, began)
        except Exception as error:  # a defect that one file brings to light: the others go on
            verdict = Verdict("Failed", f"{type(error).__name__}: {error}", applied=False)
            raise await self._refuse(verdict, began, snapshot) from error
        if not verdict.applied:
            raise await self._refuse(verdict, began, snapshot, loaded)
        self._note(verdict, began, snapshot, loaded)
        self._answer = (self._begun, self._registry.current)
        return self._registry.current

    def _recall(self, loaded: Loaded) -> Mapping[str, Flow]:
        """Of files with errors that nothing runs of: what an earlier process ran."""
        broken = {path for path, file in loaded.files.items() if file.flow is None}
        texts = self._last_good.recall(broken - _running(self._registry.current))
        compiled = {path: self._loader.compile(path, text) for path, text in texts.items()}
        return {
            path: each.flow
            for path, each in compiled.items()
            if isinstance(each, Compiled) and each.flow is not None
        }

    async def _judge(
        self, loaded: Loaded, kept: Mapping[str, Flow], *, allow_empty: bool
    ) -> Verdict:
        files = loaded.files
        broken = [file for file in files.values() if file.flow is None]
        found = f"flow files: {len(files)}, with an error: {len(broken)}"
        if broken:
            found = f"{found}, the first: {first_issue(broken[0])}"
        if broken and self._settings.on_invalid == "refuse":
            return Verdict("ValidationFailed", found, applied=False)
        allow_empty = allow_empty or self._settings.allow_empty
        before = _running(self._registry.current)
        left = len(files) > len(broken) or not files.keys().isdisjoint(before | kept.keys())
        if not left and not allow_empty and (before or await self._ran_before()):
            return Verdict("Empty", f"{found}, left to run: none; {_ALLOW}", applied=False)
        return Verdict("ValidationFailed" if broken else "Succeeded", found, applied=True)

    async def _ran_before(self) -> bool:
        """Whether an earlier process ran flows, and this one has not put anything in place."""
        if self._registry.current.number:
            return False
        return bool(await asyncio.to_thread(self._last_good.recall_all))

    def _put(self, loaded: Loaded, kept: Mapping[str, Flow], began: float) -> None:
        if self._applied is None or _findings(self._applied) != _findings(loaded):
            self._swap(loaded, kept, began, "a new generation of flows is in place")
        self._revision = loaded.revision
        self._news.set()
        self._unsaved = loaded
        if self._saving is None or self._saving.done():
            self._saving = asyncio.create_task(self._save(), name="save")

    def _swap(self, loaded: Loaded, kept: Mapping[str, Flow], began: float, message: str) -> None:
        before = self._registry.current
        after = self._registry.swap(loaded, kept=kept, disabled=self._settings.disable)
        self._applied = loaded
        self._attempts.swapped(before, after, time.monotonic() - began, message)
        self._say_who_is_not_there(after)

    def _say_who_is_not_there(self, generation: Generation) -> None:
        """A mistyped `disable` leaves a flow running that somebody wanted to stop."""
        missing = self._settings.disable - generation.entries.keys()
        for key in sorted(missing - self._said_missing):
            message = f"the setting disable names {key!r}, and there is no flow of this key"
            self._recorder.emit("daemon.warning", message=message, data={"setting": "disable"})
        self._said_missing = missing

    async def _save(self) -> None:
        """Keep what is good; of several loads meanwhile, only the last."""
        while self._unsaved is not None:
            files, self._unsaved = self._unsaved.files, None
            good = {path: file.content for path, file in files.items() if file.flow is not None}
            await asyncio.to_thread(self._last_good.remember, good, files.keys())
            self._complain()

    async def _keep_history(self) -> None:
        """Ask who created the flows, after they are in place; of several revisions, the last."""
        while True:
            await self._news.wait()
            self._news.clear()
            if trouble := await self._history.refresh(self._revision):
                self._recorder.emit("daemon.warning", severity="INFO", message=trouble)

    # --- when it cannot be

    async def _refuse(
        self,
        verdict: Verdict,
        began: float,
        snapshot: Snapshot | None = None,
        loaded: Loaded | None = None,
    ) -> RunnerError:
        """Leave in place what runs; what to tell those who wait."""
        if not self._registry.current.number:
            await self._restore()
        self._note(verdict, began, snapshot, loaded)
        error = _ERRORS.get(verdict.reason, Refused)(verdict.message)
        self._answer = (self._begun, error)
        return error

    async def _restore(self) -> None:
        """Put in place what an earlier process ran last, if anything."""
        began = time.monotonic()
        texts = await asyncio.to_thread(self._last_good.recall_all)
        if not texts:
            return
        try:
            loaded = await self._loader.load(_snapshot_of(texts))
            self._swap(loaded, {}, began, "what ran last is in place again")
        except Exception as error:  # it ran under another version of this program
            self._warn(f"what ran last cannot be put in place: {type(error).__name__}: {error}")

    def _note(
        self, verdict: Verdict, began: float, snapshot: Snapshot | None, loaded: Loaded | None
    ) -> None:
        seconds = time.monotonic() - began
        self._complain()
        self._attempts.add(
            Attempt(
                verdict=verdict,
                snapshot=snapshot,
                loaded=loaded,
                seconds=seconds,
                at=datetime.now(UTC),
            )
        )

    def _complain(self) -> None:
        for sentence in self._last_good.complaints():
            self._warn(sentence)

    def _warn(self, sentence: str) -> None:
        self._recorder.emit("daemon.warning", message=sentence)


def _running(generation: Generation) -> set[str]:
    """The paths of files of which some version runs."""
    return {entry.path for entry in generation.entries.values() if entry.flow is not None}


def _findings(loaded: Loaded) -> tuple[str, Mapping[str, tuple[Issue, ...]]]:
    """Everything that makes one generation differ from another: settings give issues too."""
    return loaded.digest, {path: file.issues for path, file in loaded.files.items()}


def _snapshot_of(texts: Mapping[str, bytes]) -> Snapshot:
    """Texts out of the state folder, as if they had been found in the flows folder."""
    digest = hashlib.sha256(b"\0".join(texts.values())).hexdigest()
    return Snapshot(
        files=texts,
        issues=(),
        digest=digest,
        revision="last-good",
        kind="last-good",
        atomic=True,
        newest_mtime=0.0,
    )
