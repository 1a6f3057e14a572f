"""
DBOS: hands executions to whichever replica has a place for them.

It is used for its queue, its delays, and for knowing whose a workflow is. One workflow runs one
segment of an execution, and has no steps of its own: the journal is ours, so nothing depends on
the order in which something is replayed.

It runs in threads with an event loop of their own. On ours its polls would cost latency, and it
would make its threads those of `asyncio.to_thread`, which then fail when it is gone.
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Final

from runner.errors import StoreError
from runner.store.pg_connect import Database, quieten
from runner.store.pg_queue import APPLICATION, QUEUE, VERSION, WORKFLOW

_POLL: Final = 0.1
"""Seconds: it has no other way to learn of work, and half of it costs 4 % of a core more."""

_THREADS: Final = 4
_CONNECTIONS: Final = 8
"""Of DBOS: its threads, its polls of two queues, its background jobs, and some to spare."""

#: There is one DBOS in a process.
_taken = threading.Lock()

Run = Callable[[str, int], Awaitable[None]]
"""Runs a segment of an execution."""


class Dispatch:
    """DBOS in this process, which calls itself *executor*."""

    def __init__(self, database: Database, executor: str) -> None:
        self._database = database
        self._executor = executor
        self._closed = threading.Event()
        self._launching: asyncio.Future[None] | None = None
        self._engine: Any = None

    async def start(self, run: Run, at_once: int) -> None:
        """
        Call *run* for what is due, for about *at_once* at a time.

        What it raises leaves the segment to be run again, some time later.
        """
        if not _taken.acquire(blocking=False):
            raise StoreError("this process serves a PostgreSQL store already")
        loop = asyncio.get_running_loop()

        async def segment(execution: str, number: int) -> None:
            running = asyncio.run_coroutine_threadsafe(_awaited(run(execution, number)), loop)
            await asyncio.wrap_future(running)

        self._launching = loop.run_in_executor(None, self._launch, segment, at_once)
        await asyncio.shield(self._launching)

    async def stop(self) -> None:
        """Hand out nothing any more; what is under way stays with this executor's name."""
        if self._launching is None:
            return
        # It would say of every workflow that its task was cancelled.
        logging.getLogger("dbos").setLevel(logging.CRITICAL)
        self._closed.set()
        try:
            await asyncio.wait([self._launching])
            await asyncio.to_thread(self._destroy)
        finally:
            _taken.release()

    # --- in a thread

    def _launch(self, segment: Callable[[str, int], Awaitable[None]], at_once: int) -> None:
        import sqlalchemy  # noqa: PLC0415 - these two take a second, and memory
        from dbos import DBOS, DBOSClient  # noqa: PLC0415

        logger = logging.getLogger("dbos")
        if not logger.handlers:  # otherwise it writes to stderr
            logger.addHandler(logging.NullHandler())
        quieten(logger)
        self._engine = sqlalchemy.create_engine(
            "postgresql+psycopg://",
            creator=lambda: self._database.connect_patiently(self._closed),
            pool_size=_CONNECTIONS,
            max_overflow=0,
            pool_pre_ping=True,
        )
        DBOS(
            config={
                "name": APPLICATION,
                "application_version": VERSION,
                "executor_id": self._executor,
                "system_database_engine": self._engine,
                "run_migrations": False,
                "use_listen_notify": False,
                "max_executor_threads": _THREADS,
                "log_level": "WARNING",
            }
        )
        # It counts starts, and a long life has many; those that died are counted by `begin`.
        DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)(segment)
        client = DBOSClient(system_database_engine=self._engine, application_name=APPLICATION)
        client.register_queue(QUEUE, worker_concurrency=at_once, polling_interval_sec=_POLL)
        # The place for limits over all replicas: a queue of its own, with `global_concurrency`,
        # for each flow that has one, listed here.
        DBOS.listen_queues([QUEUE])
        DBOS.launch()

    def _destroy(self) -> None:
        from dbos import DBOS  # noqa: PLC0415 - as above

        DBOS.destroy(destroy_registry=True)
        if self._engine is not None:
            self._engine.dispose()


async def _awaited(running: Awaitable[None]) -> None:
    await running
