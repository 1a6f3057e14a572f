"""Says at the end of a run how many recorded cases passed, differ, and were left behind."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance import world
from tests.conformance.cases import TOGETHER
from tests.conformance.world import World


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A daemon with the flows of all cases that do not get into each other's way."""
    with world.running(tmp_path_factory.mktemp("conformance"), TOGETHER) as running:
        yield running


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One line: passed, differing on purpose, not applicable (the flow cannot be carried)."""
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
