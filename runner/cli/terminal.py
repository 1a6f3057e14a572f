"""What is printed differently where people see it."""

from typing import TextIO

from runner.model import Issue, Severity


def shown(issue: Issue, stream: TextIO) -> str:
    """The line that says *issue*; on a terminal, how grave it is has a colour."""
    text = str(issue)
    if not stream.isatty():
        return text
    shade = "31" if issue.severity is Severity.ERROR else "33"
    return text.replace(f" {issue.severity}:", f" \x1b[{shade}m{issue.severity}\x1b[0m:", 1)
