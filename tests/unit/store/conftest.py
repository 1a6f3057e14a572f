"""What tests of the PostgreSQL store share."""

import contextlib
import signal
from collections.abc import AsyncIterator, Iterator

import pytest

from tests import stored_postgres
from tests.postgres import Server
from tests.unit.store.replicas import Cluster

template = stored_postgres.template  # a fixture


@pytest.fixture
def url(postgres: Server, template: str) -> Iterator[str]:
    """A database that has all tables."""
    with stored_postgres.copied(postgres, template) as address:
        yield address


@pytest.fixture
async def cluster(url: str) -> AsyncIterator[Cluster]:
    """Replicas, all of which are ended."""
    made = Cluster(url)
    yield made
    for replica in made.replicas:
        with contextlib.suppress(ProcessLookupError):
            replica.send(signal.SIGCONT)
        await replica.end()
