"""What every store promises, over PostgreSQL."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from runner.store.base import Store
from runner.store.postgres import PostgresStore
from tests import stored_postgres
from tests.contracts.test_store import *  # noqa: F403 - the suite
from tests.postgres import Server
from tests.unit.store.places import Place

template = stored_postgres.template  # a fixture

# There is one DBOS in a process: processes start and die in test_postgres_replicas.
del test_after_a_crash_an_execution_goes_on_behind_its_last_step  # noqa: F821
del test_an_execution_that_kills_its_process_ends  # noqa: F821
del test_what_was_to_be_cancelled_is_not_walked_again  # noqa: F821
del test_a_stop_is_no_takeover  # noqa: F821


class InDatabase:
    """A database. Its clock is that of the machine: what is long elsewhere is short here."""

    long = 2.5

    def __init__(self, url: str) -> None:
        self.url = url

    def store(self) -> Store:
        """In the database."""
        return PostgresStore(self.url, ttl=1, spare=0)

    def now(self) -> float:
        """What time it is."""
        return time.time()

    async def advance(self, seconds: float) -> None:
        """It becomes later by itself."""
        await asyncio.sleep(seconds)

    async def crash(self) -> None:
        """Not here."""
        raise NotImplementedError


@pytest.fixture  # type: ignore[no-redef]
def place(postgres: Server, template: str) -> Iterator[Place]:
    """Where the store is."""
    with stored_postgres.copied(postgres, template) as url:
        yield InDatabase(url)


@pytest.fixture  # type: ignore[no-redef]
def lasting(place: Place) -> Place:
    """Every store there survives."""
    return place
