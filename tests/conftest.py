"""Fixtures that many tests share."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest

from tests.postgres import Server, server
from tests.world import World

# A busy machine is no reason to fail: pytest-timeout ends what hangs.
hypothesis.settings.register_profile("runner", deadline=None)
hypothesis.settings.load_profile("runner")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update-golden` writes down what comes out now, to be read and committed."""
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="rewrite tests/invalid/*.issues, tests/imports and tests/conformance/differences.json",
    )


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How many recorded cases passed, differ on purpose, and were left behind (not carried)."""
    kinds = Counter(
        value
        for report in terminalreporter.stats.get("passed", [])
        for name, value in report.user_properties
        if name == "conformance"
    )
    if kinds:
        terminalreporter.write_sep("-", "conformance with Directus")
        terminalreporter.write_line(
            f"{kinds['passed']} passed, {kinds['differing']} differing on purpose,"
            f" {kinds['left']} not applicable (their flow is left as .todo);"
            " see tests/conformance/differences.json"
        )


@pytest.fixture
def world() -> World:
    """Flows in memory, run by the real parts."""
    return World()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server of our own; without the program, tests that need it skip."""
    with server() as running:
        yield running


@pytest.fixture(autouse=True)
def _records_fit_their_schema() -> Iterator[None]:
    """Every record that any test makes in a world is checked."""
    yield
    while World.made:
        World.made.pop().check_records()
