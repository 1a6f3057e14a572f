"""Real repositories of flows, made by the real git."""

import os
import subprocess
from pathlib import Path

from runner import history
from runner.history import Created
from runner.ids import derived_id

ADA = "Ada <ada@example.com>"
BOB = "Bob Ünal <bob@example.com>"


class Repository:
    """A work tree whose commits are an hour apart: the first is of 2026-01-01, midnight."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.flows = top / "flows"
        self.hours = 0
        self.flows.mkdir(parents=True, exist_ok=True)
        self.git("init", "-qb", "main")

    def git(self, *arguments: str) -> str:
        """What git says, without anybody's settings."""
        when = f"2026-01-01T{self.hours:02}:00:00+0000"
        environment = {
            **os.environ,
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_SYSTEM": os.devnull,
            "GIT_AUTHOR_DATE": when,
            "GIT_COMMITTER_DATE": when,
        }
        identity = ("-c", "user.name=Committer", "-c", "user.email=committer@example.com")
        command = ["git", "-C", str(self.top), *identity, *arguments]
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self, *paths: str, author: str = ADA, text: str | None = None) -> str:
        """Write each file below `flows`, commit all there is, and give the commit."""
        for path in paths:
            (self.flows / path).parent.mkdir(parents=True, exist_ok=True)
            (self.flows / path).write_text(text or f"name: {path} {self.hours}\n")
        self.git("add", "-A")
        self.git("commit", "-qm", "a change", "--allow-empty", "--author", author)
        self.hours += 1
        return self.head

    @property
    def head(self) -> str:
        """The commit that is checked out."""
        return self.git("rev-parse", "HEAD")


def at(hour: int, author: str = ADA) -> Created:
    """What is known of a file that *author* created in that hour."""
    name, _, address = author.removesuffix(">").partition(" <")
    user = derived_id(history.USERS, address)
    return Created(f"2026-01-01T{hour:02}:00:00.000Z", user, name)
