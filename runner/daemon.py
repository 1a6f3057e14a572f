"""Composition root: make the parts, start them in order, stop them in the reverse order."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace

from runner.datachain import Secrets
from runner.engine import Engine
from runner.errors import Draining, RunnerError, SettingsError, StoreError
from runner.execution import Shared
from runner.ids import NAMESPACE, derived_id
from runner.lastgood import LastGood, LastGoodFolder
from runner.loader import Loader
from runner.model import Generation
from runner.operations import BUILTIN
from runner.operations.base import Extra
from runner.records import Recorder
from runner.registry import Registry
from runner.reload import Reloader
from runner.resources import Resources
from runner.settings import Settings, StoreUrl
from runner.stalls import Stalls
from runner.store.base import Retention, Store
from runner.store.memory import MemoryStore
from runner.store.sqlite import SQLiteStore
from runner.stories import LeftOut, Stories
from runner.triggers.event import OwnEvents
from runner.triggers.schedule import Schedules
from runner.troubles import Troubles
from runner.version import NAME
from runner.web.app import build
from runner.web.server import listening

#: What a store for replicas takes.
_CLUSTER = Extra("cluster", ("dbos", "psycopg", "psycopg_pool", "sqlalchemy"))

#: Seconds between looks at what was left out of the records.
_FLUSH_EVERY = 10.0

#: Seconds of a drain in which flows may be told that it has begun.
_TELLING = 5.0

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
    schedules = Schedules(registry, engine, recorder, store)
    stories = Stories(store, lambda key: _flow_id(registry, key), engine.is_accepted)
    forget = recorder.attach(stories)
    app = build(
        settings, registry, engine, reloader, recorder, schedules.next_fire,
        lambda: str(stories.left_out) if any(stories.left_out) else "",
    )  # fmt: skip
    stop = _on_signals(reloader)
    try:
        async with (
            _open(store, stop),
            listening(app, settings.listen) as address,
            opened(resources, registry, replace(settings, listen=address)),
            asyncio.TaskGroup() as tasks,
        ):
            running = tasks.create_task(_serve_when_loaded(engine, registry), name="executions")
            telling = tasks.create_task(own_events.run(), name="events")  # before the first flows
            firing = tasks.create_task(schedules.run(), name="schedules")
            watching = tasks.create_task(reloader.watch(), name="watch")
            flushing = tasks.create_task(_flush(recorder, stories), name="flush")
            forgetting = tasks.create_task(_forget(store, settings), name="retention")
            timing = tasks.create_task(Stalls(recorder).watch(), name="stalls")
            worrying = tasks.create_task(Troubles(store, recorder).watch(), name="troubles")
            _announce(address.url, settings, recorder)
            await stop.wait()
            recorder.emit("daemon.draining", message="stopping: nothing new starts")
            firing.cancel()
            watching.cancel()
            began = time.monotonic()
            await own_events.settle(min(_TELLING, settings.drain))
            await engine.drain(settings.drain - (time.monotonic() - began))
            stories.flush()
            forget()
            for task in (running, telling, flushing, forgetting, timing, worrying):
                task.cancel()
    except Draining:  # before anything had started
        pass
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


@asynccontextmanager
async def _open(store: Store, stop: asyncio.Event) -> AsyncIterator[None]:
    """Have *store* open for the block. Raises Draining when *stop* is set before it is."""
    opening = asyncio.create_task(store.__aenter__(), name="store")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    await asyncio.wait((opening, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not opening.done():
        opening.cancel()
        await asyncio.wait((opening,))
        raise Draining
    await opening
    async with AsyncExitStack() as stack:
        stack.push_async_exit(store)
        yield


def _flow_id(registry: Registry, key: str) -> str:
    entry = registry.current.entries.get(key)
    return derived_id(NAMESPACE, key) if entry is None else entry.id


async def _flush(recorder: Recorder, stories: Stories) -> None:
    """Say what was left out of records and history, even while nothing else is recorded."""
    said = LeftOut()
    while True:
        await asyncio.sleep(_FLUSH_EVERY)
        recorder.flush()
        said = say_left_out(recorder, stories.left_out, said)


def say_left_out(recorder: Recorder, now: LeftOut, said: LeftOut) -> LeftOut:
    """Record what of the history was left out since that was last *said*."""
    new = LeftOut(now.executions - said.executions, now.records - said.records)
    if any(new):
        message = f"the history could not keep up, and left out: {new}"
        data = {"reason": "history", "count": sum(new), **new._asdict()}
        recorder.emit("log.suppressed", message=message, data=data)
    return now


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
    """Where *settings* want accepted executions kept. Raises SettingsError and StoreError."""
    match settings.state:
        case None:
            return MemoryStore()
        case StoreUrl(read=read):
            return _postgres(read())
        case folder:
            return SQLiteStore(folder)


def _postgres(url: str) -> Store:
    if _CLUSTER.missing:
        raise SettingsError(
            "state is a PostgreSQL database, and the libraries for it are not installed:"
            f" pip install '{NAME}[{_CLUSTER.name}]'"
        )
    # Half a second, and memory: most processes keep what they accept in a folder.
    from runner.store.postgres import PostgresStore  # noqa: PLC0415

    return PostgresStore(url)


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
    return Reloader(settings.flows, loader, registry, _last_good(settings), recorder, settings)


def _last_good(settings: Settings) -> LastGood:
    """Where the last good texts are kept."""
    if isinstance(settings.state, StoreUrl):
        from runner.store.pg_lastgood import LastGoodTable  # noqa: PLC0415 - as in _postgres

        return LastGoodTable(settings.state.read())
    folder = None if settings.state is None else settings.state / "last-good"
    return LastGoodFolder(folder, settings.flows)


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
