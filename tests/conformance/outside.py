"""What the recorded flows could reach: an HTTP server, a table, a mail server."""

import email
import email.policy
import json
import socket
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Final

from aiosmtpd.controller import Controller

from runner.types import JSONObject
from tests.conformance import upstream

_TABLE: Final = """
DROP TABLE IF EXISTS articles;
CREATE TABLE articles (
    id INTEGER PRIMARY KEY,
    title VARCHAR(255) NOT NULL,
    status VARCHAR(20) DEFAULT 'draft',
    views INTEGER DEFAULT 0,
    tags JSON,
    created TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
INSERT INTO articles VALUES
    (1, 'First', 'published', 10, '["a","b"]', '2024-01-01 00:00:00'),
    (2, 'Second', 'draft', 20, NULL, '2024-02-01 00:00:00'),
    (3, 'Third', 'published', 30, '["c"]', '2024-03-01 00:00:00');
"""


@dataclass(frozen=True, slots=True)
class Outside:
    """All that stands around a daemon."""

    #: `host:port` of the HTTP server.
    upstream: str
    #: `host:port` of the mail server.
    smtp: str
    #: The SQLite file of the table.
    database: Path
    _received: list[JSONObject] = field(default_factory=list)

    def reset(self) -> None:
        """As it was before each case."""
        self._received.clear()
        with closing(sqlite3.connect(self.database)) as connection, connection:
            connection.executescript(_TABLE)

    def rows(self) -> list[JSONObject]:
        """The table, without the times."""
        with closing(sqlite3.connect(self.database)) as connection:
            names = ("id", "title", "status", "views", "tags")
            found = connection.execute(f"SELECT {', '.join(names)} FROM articles ORDER BY id")
            rows = [dict(zip(names, row, strict=True)) for row in found]
        return [{**row, "tags": row["tags"] and json.loads(row["tags"])} for row in rows]

    def mails(self) -> list[JSONObject]:
        """What the mail server got since the last `reset`."""
        return list(self._received)


def read_mail(sender: str, to: Sequence[str], content: bytes) -> JSONObject:
    """What matters of a mail: envelope, names, subject and HTML."""
    message = email.message_from_bytes(content, EmailMessage, policy=email.policy.default)
    html = message.get_body(("html",))
    return {
        "sender": sender,
        "recipients": list(to),
        "to": message["to"],
        "subject": message["subject"],
        "html": None if html is None else html.get_content().replace("\r\n", "\n").strip(),
    }


class _Inbox:
    """Takes every mail."""

    def __init__(self, received: list[JSONObject]) -> None:
        self._received = received

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        """Keep what came."""
        self._received.append(read_mail(envelope.mail_from, envelope.rcpt_tos, envelope.content))
        return "250 taken"


@contextmanager
def around(home: Path) -> Iterator[Outside]:
    """Everything, until the block ends; the database stands in *home*."""
    received: list[JSONObject] = []
    # The controller calls its server where it was told to listen, so that has to be a port.
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    smtp = Controller(_Inbox(received), hostname="127.0.0.1", port=port)
    smtp.start()
    try:
        with upstream.serving() as address:
            outside = Outside(address, f"127.0.0.1:{port}", home / "articles.db", received)
            outside.reset()
            yield outside
    finally:
        smtp.stop()
