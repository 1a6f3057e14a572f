"""The databases that every promise is kept on."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests import stored
from tests.stored import Stored
from tests.world import World


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stored]:
    """A database with three articles."""
    if request.param == "sqlite":
        empty = stored.sqlite(tmp_path)
    else:
        empty = stored.postgresql(request.getfixturevalue("postgres"), tmp_path)
    with empty as made:
        made.execute(stored.ARTICLES)
        yield made


@pytest.fixture
async def world(database: Stored) -> AsyncIterator[World]:
    """Flows, and the database as `default`."""
    made = World()
    async with made.opened(database.settings()):
        yield made
