"""The workflows of DBOS as seen from outside: whose they are, and giving them to others."""

import asyncio
from contextlib import suppress
from typing import Any, Final, NamedTuple

from runner.store.pg_connect import Database
from runner.store.pg_queue import APPLICATION, QUEUE, WORKFLOW

#: It waits neither for a row that somebody holds who is frozen, nor for anything else for long.
_OPTIONS: Final = "-c lock_timeout=500 -c statement_timeout=30000"

_ENDED: Final = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]


class Pending(NamedTuple):
    """A workflow that runs, or did when its process died."""

    id: str
    executor: str


class Workflows:
    """
    Those of all replicas. Whatever goes wrong is raised as DBOS and SQLAlchemy raise it.

    Resuming one that runs is allowed by DBOS, and does no harm: its journal is ours.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._made: tuple[Any, Any] | None = None

    async def pending(self) -> list[Pending]:
        """All that are not in the queue and have not ended."""
        found = await asyncio.to_thread(self._list, "PENDING", None)
        return [Pending(each.workflow_id, each.executor_id) for each in found]

    async def ended(self, limit: int) -> list[str]:
        """Some that have ended, the oldest first."""
        found = await asyncio.to_thread(self._list, _ENDED, limit)
        return [each.workflow_id for each in found]

    async def resume(self, *ids: str) -> None:
        """Put these back into the queue, but for those that have ended: all of them, or none."""
        await asyncio.to_thread(
            lambda: self._client().resume_workflows(list(ids), queue_name=QUEUE)
        )

    async def drop(self, id_: str) -> None:
        """Take one that is of no use out of the queue; if that fails, it comes to nothing there."""
        with suppress(Exception):
            await asyncio.to_thread(lambda: self._client().cancel_workflow(id_))

    async def delete(self, ids: list[str]) -> None:
        """Forget those that have ended."""
        await asyncio.to_thread(lambda: self._client().delete_workflows(ids))

    async def close(self) -> None:
        """Give the connections back."""
        if self._made is not None:
            await asyncio.to_thread(self._made[1].dispose)

    # --- in a thread

    def _list(self, status: str | list[str], limit: int | None) -> Any:
        return self._client().list_workflows(
            status=status, name=WORKFLOW, limit=limit, load_input=False, load_output=False
        )

    def _client(self) -> Any:
        if self._made is None:
            import sqlalchemy  # noqa: PLC0415 - these two take a second, and memory
            from dbos import DBOSClient  # noqa: PLC0415

            engine = sqlalchemy.create_engine(
                "postgresql+psycopg://",
                creator=lambda: self._database.connect_once(_OPTIONS),
                pool_size=2,
                max_overflow=0,
                pool_pre_ping=True,
            )
            client = DBOSClient(
                system_database_engine=engine,
                application_name=APPLICATION,
                retry_connection_errors=False,
                lazy=True,
            )
            self._made = (client, engine)
        return self._made[0]
