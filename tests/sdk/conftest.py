"""Says at the end of a run why the SDK did not drive the daemon, if it did not."""

from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One line for each reason."""
    reasons = {
        report.longrepr[2]
        for report in terminalreporter.stats.get("skipped", [])
        if report.nodeid.startswith("tests/sdk/")
    }
    for reason in sorted(reasons):
        terminalreporter.write_sep("-", "Directus SDK")
        terminalreporter.write_line(reason)
