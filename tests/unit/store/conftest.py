"""What tests of the PostgreSQL store share."""

import asyncio
import contextlib
import signal
import uuid
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

from runner.store.postgres import PostgresStore
from tests.postgres import Server
from tests.unit.store.replicas import Cluster


@pytest.fixture(scope="module")
def template(postgres: Server) -> Iterator[str]:
    """The name of a database that has all tables, to be copied."""
    name = f"template_{uuid.uuid4().hex}"
    with postgres.database(name) as url:
        asyncio.run(_open(url))
        yield name


async def _open(url: str) -> None:
    async with PostgresStore(url):
        pass


@pytest.fixture
def url(postgres: Server, template: str) -> Iterator[str]:
    """A database that has all tables."""
    name = f"store_{uuid.uuid4().hex}"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name} template {template}".encode())
        yield postgres.url(name)
        connection.execute(f"drop database {name} with (force)".encode())


@pytest.fixture
async def cluster(url: str) -> AsyncIterator[Cluster]:
    """Replicas, all of which are ended."""
    made = Cluster(url)
    yield made
    for replica in made.replicas:
        with contextlib.suppress(ProcessLookupError):
            replica.send(signal.SIGCONT)
        await replica.end()
