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
from runner.store.pg_connect import Closed, Database, brief, quieten
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

_Segment = Callable[[str, int], Awaitable[None]]
"""The same, for the threads of DBOS."""

_UNDER_WAY: Final = 3600
"""Seconds for what is under way: whoever stops this knows better, and cancels it."""

_RETRY: Final = 1.0

_LAST: Final = 2.0
"""Seconds that PostgreSQL has to answer what is asked while this stops."""

_log = logging.getLogger(__name__)


class Dispatch:
    """DBOS in this process, which calls itself *executor*."""

    def __init__(self, database: Database, executor: str) -> None:
        self._database = database
        self._executor = executor
        self._closed = threading.Event()
        self._launching: asyncio.Future[None] | None = None
        self._retiring: asyncio.Future[None] | None = None
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

        self._launching = loop.run_in_executor(None, self._launch_patiently, segment, at_once)
        await asyncio.shield(self._launching)

    def retire(self) -> None:
        """Hand out nothing any more; what is under way goes on until `stop`."""
        if self._retiring is None and self._launching is not None and self._launching.done():
            loop = asyncio.get_running_loop()
            self._retiring = loop.run_in_executor(None, self._destroy, _UNDER_WAY)

    async def stop(self) -> None:
        """
        Hand out nothing any more; what is under way stays with this executor's name.

        After `retire`, nothing may be under way: it waits for that.
        """
        if self._launching is None:
            return
        # It would say of every workflow that its task was cancelled.
        logging.getLogger("dbos").setLevel(logging.CRITICAL)
        self._closed.set()
        # Else PostgreSQL that stands still would keep its threads, and they the process.
        hanging_up = asyncio.get_running_loop().call_later(_LAST, self._database.hang_up)
        try:
            await asyncio.wait([self._launching])
            await (self._retiring or asyncio.to_thread(self._destroy))
        finally:
            hanging_up.cancel()
            _taken.release()

    # --- in a thread

    def _launch_patiently(self, segment: _Segment, at_once: int) -> None:
        """Again and again: PostgreSQL may go away while DBOS is launched."""
        from sqlalchemy.exc import DBAPIError  # noqa: PLC0415 - these two take a second, and memory

        launched = False
        while not launched and not self._closed.is_set():
            try:
                self._launch(segment, at_once)
                launched = True
            except Closed:
                return
            except DBAPIError as error:
                _log.warning("DBOS cannot be launched; trying again: %s", brief(error))
                self._destroy()
                self._closed.wait(_RETRY)

    def _launch(self, segment: _Segment, at_once: int) -> None:
        import sqlalchemy  # noqa: PLC0415 - as above
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
        DBOS.listen_queues([QUEUE])
        DBOS.launch()

    def _destroy(self, patience: int = 0) -> None:
        """End it; its polls at once, its workflows after so many seconds, or when none is left."""
        from dbos import DBOS  # noqa: PLC0415 - as above

        DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=patience)
        if self._engine is not None:
            self._engine.dispose()


async def _awaited(running: Awaitable[None]) -> None:
    await running
