"""A small world for flows: real parts, no network, no disk; every record is kept and checked."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from runner import jsontext, schema
from runner.compiler import Compiled
from runner.datachain import Secrets
from runner.document import InvalidDocument
from runner.engine import Engine, Receipt
from runner.execution import Execution, Shared
from runner.loader import Loaded, Loader
from runner.model import Accountability, Flow, Handler, Issue, Result, Start
from runner.operations import BUILTIN, OperationContext, OperationSet, OperationSpec
from runner.operations.base import ExecutionRef
from runner.records import Record, Recorder
from runner.redact import Redactor
from runner.registry import Registry
from runner.resources import Resources
from runner.settings import Settings
from runner.source import Snapshot
from runner.store.base import Store
from runner.store.memory import MemoryStore
from runner.types import Check, JSONObject, JSONValue

ROOT = Path(__file__).parent.parent


class Kept:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def write(self, record: Record, /) -> None:
        """Keep the line: fields could still change."""
        self.lines.append(record.line)

    @property
    def records(self) -> list[JSONObject]:
        """What a reader of the lines sees."""
        return [json.loads(line) for line in self.lines]


def standing_in_for_sleep(handler: Handler) -> OperationSet:
    """All types, with `sleep` doing what *handler* does."""
    return BUILTIN.with_(OperationSpec(type="sleep", handler=handler))


class Script:
    """Stands in for `sleep`: each try gives the next of *outcomes*, or raises it."""

    def __init__(self, *outcomes: JSONValue | BaseException) -> None:
        self._outcomes = list(outcomes)
        self.tries: list[ExecutionRef] = []
        self.options: list[JSONObject] = []

    async def __call__(self, options: JSONObject, context: OperationContext) -> JSONValue:
        """Do what comes next."""
        self.tries.append(context.execution)
        self.options.append(options)
        outcome = self._outcomes.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    @property
    def operations(self) -> OperationSet:
        """All types, with `sleep` doing as this says."""
        return standing_in_for_sleep(self)


class Gate:
    """Stands in for `sleep`: holds whoever comes until it is opened."""

    def __init__(self) -> None:
        self.inside = 0
        self.opened = asyncio.Event()

    async def __call__(self, options: JSONObject, context: OperationContext) -> JSONValue:
        """Wait for the gate to open."""
        self.inside += 1
        try:
            await self.opened.wait()
        finally:
            self.inside -= 1
        return "through"

    async def holds(self, number: int) -> None:
        """Wait until so many are held."""
        while self.inside != number:
            await asyncio.sleep(0)

    @property
    def operations(self) -> OperationSet:
        """All types, with `sleep` doing as this says."""
        return standing_in_for_sleep(self)


class Served(Engine):
    """Runs what it accepts, without being asked to."""

    served: asyncio.Task[None] | None = None

    async def accept(self, start: Start) -> Receipt:
        """Accept it, and run it."""
        await self.begin()
        return await super().accept(start)

    async def begin(self) -> None:
        """Run what is accepted from now on."""
        if self.served is None:
            self.served = asyncio.create_task(self.serve())
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    async def settle(self) -> None:
        """Wait until nothing runs, and nothing is about to."""
        while not self.idle:
            await asyncio.sleep(0)


class World:
    """Compiles and runs flows given as text."""

    #: Of the test that runs: afterwards, all their records are checked.
    made: ClassVar[list["World"]] = []

    def __init__(
        self,
        operations: OperationSet = BUILTIN,
        *,
        env: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        max_running: int = 1000,
        max_queued: int = 10_000,
        max_depth: int = 16,
        max_fanout: int = 10_000,
        request_time: float = 30.0,
        store: Store | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.made.append(self)
        self.kept = Kept()
        self.redactor = Redactor()
        self.recorder = Recorder(self.redactor, self.kept)
        self.registry = Registry()
        self.operations = operations
        self.resources = Resources()
        self.loader = Loader(operations, None)
        self._secrets = dict(secrets or {})
        shared = Shared(
            recorder=self.recorder,
            env=env or {},
            secrets=Secrets(self._secret),
            resources=self.resources,
            max_depth=max_depth,
            max_fanout=max_fanout,
            request_time=request_time,
        )
        self.store = store or MemoryStore()
        self.engine = Served(
            shared,
            self.store,
            lambda: self.registry.current,
            operations,
            max_running=max_running,
            max_queued=max_queued,
            now=now,
        )

    def _secret(self, name: str) -> str:
        self.redactor.learn(self._secrets[name])
        return self._secrets[name]

    def opened(self, settings: Settings) -> AbstractAsyncContextManager[None]:
        """Open, for the block, what operations need beside their options."""
        return self.resources.opened(self.operations.resources(self.operations), settings)

    async def load(self, **files: str) -> Loaded:
        """Put flows in place; names are keys, `__` stands for `/`."""
        return await self.load_files(
            {f"{name.replace('__', '/')}.yaml": text.encode() for name, text in files.items()}
        )

    async def load_files(self, files: Mapping[str, bytes]) -> Loaded:
        """Put flows in place, by path."""
        loaded = await self.loader.load(snapshot(files))
        self.registry.swap(loaded)
        return loaded

    async def issues(self, **files: str) -> list[Issue]:
        """What is wrong with flows."""
        return (await self.load(**files)).issues

    async def run(
        self,
        key: str,
        trigger_data: JSONValue = None,
        accountability: Accountability | None = None,
        credentials: tuple[str, ...] = (),
    ) -> Result:
        """Run a flow that is in place to its end."""
        return await self.engine.result(
            await self.begin(key, trigger_data, accountability, credentials)
        )

    async def operate(
        self, type_: str, options: JSONObject, trigger_data: JSONValue = None
    ) -> Result:
        """Run a flow of one operation, `it`, and give its value or error."""
        operation = {"key": "it", "type": type_, "options": options}
        data = {"name": "One", "trigger": "operation", "operations": [operation]}
        await self.load_files({"one.yaml": jsontext.write({**data, "options": {"return": "it"}})})
        return await self.run("one", trigger_data)

    async def run_flow(self, flow: Flow, trigger_data: JSONValue = None) -> Result:
        """Run a flow that was compiled elsewhere to its end."""
        start = Start(flow=flow, generation=self.registry.current, trigger_data=trigger_data)
        return await self.engine.result(await self.engine.start(start))

    async def begin(
        self,
        key: str,
        trigger_data: JSONValue = None,
        accountability: Accountability | None = None,
        credentials: tuple[str, ...] = (),
    ) -> Execution:
        """Start a flow that is in place; its caller runs it."""
        return await self.engine.start(
            self.start(key, trigger_data)._replace(
                accountability=accountability, credentials=credentials
            )
        )

    async def accept(self, key: str, trigger_data: JSONValue = None, **more: Any) -> Receipt:
        """Have a flow that is in place run by itself."""
        return await self.engine.accept(self.start(key, trigger_data)._replace(**more))

    async def status(self, id_: str) -> str | None:
        """How an accepted execution stands."""
        seen = await self.engine.find(id_)
        return None if seen is None else seen.status

    def start(self, key: str, trigger_data: JSONValue = None) -> Start:
        """What begins a flow that is in place."""
        entry = self.registry.current.find(key)
        assert entry is not None, f"no flow {key}"
        assert entry.running is not None, "\n".join(map(str, entry.issues))
        return Start(
            flow=entry.running, generation=self.registry.current, trigger_data=trigger_data
        )

    @property
    def records(self) -> list[JSONObject]:
        """Everything that was recorded so far."""
        return self.kept.records

    def said(self, event: str) -> list[JSONObject]:
        """The records of one event."""
        return [record for record in self.records if record["event"] == event]

    def check_records(self) -> None:
        """Every record is what its schema says."""
        for record in self.records:
            assert problem(record) is None, f"{problem(record)}: {record}"


def snapshot(files: Mapping[str, bytes]) -> Snapshot:
    """A folder that holds *files*, as it is read."""
    return Snapshot(
        files=dict(sorted(files.items())),
        issues=(),
        digest="d" * 64,
        revision="revision-1",
        kind="folder",
        atomic=True,
        newest_mtime=0.0,
    )


def problem(record: JSONObject) -> str | None:
    """What the schema of records says against *record*, or None."""
    return _record_check()(record)


@cache
def _record_check() -> Check:
    return schema.value_check(schema.load("log-record"))


def compiled(text: str, path: str = "flow.yaml") -> Compiled | InvalidDocument:
    """One file, compiled on its own."""
    return Loader(BUILTIN, None).compile(path, text.encode())
