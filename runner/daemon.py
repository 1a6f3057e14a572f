"""Composition root: make the parts, start them in order, stop them in the reverse order."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

from runner.datachain import Secrets
from runner.engine import Engine
from runner.errors import RunnerError, StoreError
from runner.execution import Shared
from runner.ids import NAMESPACE, derived_id
from runner.lastgood import LastGood
from runner.loader import Loader
from runner.model import Generation
from runner.operations import BUILTIN
from runner.records import Recorder
from runner.registry import Registry
from runner.reload import Reloader
from runner.resources import Resources
from runner.settings import Settings
from runner.store.base import Retention, Store
from runner.store.memory import MemoryStore
from runner.store.sqlite import SQLiteStore
from runner.stories import Stories
from runner.triggers.event import OwnEvents
from runner.triggers.schedule import Schedules
from runner.triggers.ticks import FileTicks
from runner.web.app import build
from runner.web.server import listening

#: Seconds between looks at what was left out of the records.
_FLUSH_EVERY = 10.0

#: Seconds between looks at what is older, or more, than is to be kept.
_RETAIN_EVERY = 60.0


async def serve(settings: Settings, recorder: Recorder) -> None:
    """
    Run until SIGTERM or SIGINT.

    The first one drains: not ready any more, nothing starts, what runs gets `drain` seconds. A
    second one ends the process at once. Raises SettingsError when the address is taken, and
    RunnerError when a part fails that should never end.
    """
    registry, resources = Registry(), Resources()
    store = make_store(settings)
    engine = make_engine(settings, recorder, resources, store, registry)
    reloader = _reloader(settings, registry, recorder)
    own_events = OwnEvents(registry, engine, recorder)
    schedules = Schedules(registry, engine, recorder, FileTicks(_kept(settings, "schedules.json")))
    stories = Stories(store, lambda key: _flow_id(registry, key))
    forget = recorder.attach(stories)
    app = build(settings, registry, engine, reloader, recorder, schedules.next_fire)
    stop = _on_signals(reloader)
    try:
        async with (
            store,
            listening(app, settings.listen) as address,
            opened(resources, registry, replace(settings, listen=address)),
            asyncio.TaskGroup() as tasks,
        ):
            running = tasks.create_task(_serve_when_loaded(engine, registry), name="executions")
            telling = tasks.create_task(own_events.run(), name="events")  # before the first flows
            firing = tasks.create_task(schedules.run(), name="schedules")
            watching = tasks.create_task(reloader.watch(), name="watch")
            flushing = tasks.create_task(_flush(recorder), name="flush")
            forgetting = tasks.create_task(_forget(store, settings), name="retention")
            _announce(address.url, settings, recorder)
            await stop.wait()
            recorder.emit("daemon.draining", message="stopping: nothing new starts")
            firing.cancel()
            watching.cancel()
            await own_events.settle()
            await engine.drain(settings.drain)
            stories.flush()
            forget()
            for task in (running, telling, flushing, forgetting):
                task.cancel()
    except ExceptionGroup as group:
        error = _first(group)
        name = type(error).__name__
        recorder.emit(
            "daemon.stopped",
            severity="CRITICAL",
            message="a part failed that should never end",
            error={"name": name, "message": str(error)},
        )
        raise RunnerError(f"stopped, as a part of it failed: {name}") from None
    recorder.emit("daemon.stopped", message="stopped")


def _flow_id(registry: Registry, key: str) -> str:
    entry = registry.current.entries.get(key)
    return derived_id(NAMESPACE, key) if entry is None else entry.id


async def _flush(recorder: Recorder) -> None:
    """Say what was left out of the records, even while nothing else is recorded."""
    while True:
        await asyncio.sleep(_FLUSH_EVERY)
        recorder.flush()


async def _forget(store: Store, settings: Settings) -> None:
    """Forget what is older, or more, than is to be kept."""
    limits = settings.retention
    keep = Retention(age=limits.age, count=limits.count, bytes=limits.bytes)
    while True:
        with suppress(StoreError):  # which the store says is its trouble
            await store.retain(keep)
        await asyncio.sleep(_RETAIN_EVERY)


def _first(error: Exception) -> Exception:
    """The first error in a group of groups."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


async def _serve_when_loaded(engine: Engine, registry: Registry) -> None:
    """Run what is accepted: what they start and tell is not known before."""
    loaded = asyncio.Event()
    detach = registry.subscribe(lambda _, __: loaded.set())
    try:
        if registry.current.number == 0:
            await loaded.wait()
    finally:
        detach()
    await engine.serve()


def make_store(settings: Settings) -> Store:
    """Where *settings* want accepted executions kept."""
    return MemoryStore() if settings.state is None else SQLiteStore(settings.state)


def make_engine(
    settings: Settings,
    recorder: Recorder,
    resources: Resources,
    store: Store,
    registry: Registry,
) -> Engine:
    """The engine that *settings* ask for; its executions need *resources* and *store* open."""
    limits = settings.limits
    shared = Shared(
        recorder=recorder,
        env=dict(settings.env),  # a JSON value of the data chain
        secrets=Secrets(settings.secrets.get),
        resources=resources,
        max_depth=limits.depth,
        max_fanout=limits.fanout,
        request_time=limits.request_time,
    )
    return Engine(
        shared,
        store,
        lambda: registry.current,
        max_running=limits.executions,
        max_queued=limits.queue,
    )


@asynccontextmanager
async def opened(
    resources: Resources, registry: Registry, settings: Settings
) -> AsyncIterator[None]:
    """Open all that operations may need, and keep ready what the flows in place do need."""

    def warm(before: Generation, now: Generation) -> None:
        old = {entry.flow for entry in before.entries.values()}
        new = (entry.flow for entry in now.entries.values() if entry.flow not in old)
        types = {each.type for flow in new if flow for each in flow.operations.values()}
        resources.warm(BUILTIN.resources(types))

    async with resources.opened(BUILTIN.resources(BUILTIN), settings):
        detach = registry.subscribe(warm)
        try:
            yield
        finally:
            detach()


def _reloader(settings: Settings, registry: Registry, recorder: Recorder) -> Reloader:
    loader = Loader(BUILTIN, settings)
    last_good = LastGood(_kept(settings, "last-good"), settings.flows)
    return Reloader(settings.flows, loader, registry, last_good, recorder, settings)


def _kept(settings: Settings, name: str) -> Path | None:
    """Where *name* is kept over restarts; None: it is not."""
    return None if settings.state is None else settings.state / name


def _on_signals(reloader: Reloader) -> asyncio.Event:
    """What a signal to stop sets; SIGHUP has the folder looked at."""
    # As PID 1 of a container, Python has no default handlers: without these, SIGTERM is ignored.
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def on_stop(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, on_stop, each)
    loop.add_signal_handler(signal.SIGHUP, reloader.poke)
    return stop


def _announce(address: str, settings: Settings, recorder: Recorder) -> None:
    recorder.emit(
        "daemon.started",
        message=f"listening on {address}, flows in {settings.flows}",
        data={"listen": address, "flows": str(settings.flows), "pid": os.getpid()},
    )
    for path in settings.unused():
        recorder.emit(
            "daemon.warning",
            severity="WARNING",
            message=f"the setting {path} has no effect yet",
            data={"setting": path},
        )


def run(settings: Settings, recorder: Recorder) -> None:
    """`serve` on the fastest loop there is."""
    try:
        import uvloop  # noqa: PLC0415 - not there on every platform
    except ImportError:
        asyncio.run(serve(settings, recorder))
    else:
        uvloop.run(serve(settings, recorder))
