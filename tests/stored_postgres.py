"""Databases that have all tables of the store already: they are copied, which is faster."""

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from runner.store.postgres import PostgresStore
from tests.postgres import Server


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


@contextmanager
def copied(postgres: Server, template: str) -> Iterator[str]:
    """The address of a copy of the database *template*, as long as the block."""
    name = f"store_{uuid.uuid4().hex}"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name} template {template}".encode())
        yield postgres.url(name)
        connection.execute(f"drop database {name} with (force)".encode())
