"""The daemon that recorded cases are asked of."""

from collections.abc import Iterator

import pytest

from tests.conformance import world
from tests.conformance.cases import TOGETHER
from tests.conformance.world import World


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A daemon with the flows of all cases that do not get into each other's way."""
    with world.running(tmp_path_factory.mktemp("conformance"), TOGETHER) as running:
        yield running
