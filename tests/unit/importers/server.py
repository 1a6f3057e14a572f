"""A server that stands in for Directus."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeAlias

from runner.types import JSONObject

#: One flow that can be read; its id is none, so it cannot be carried.
FLOWS = json.dumps({"data": [{"id": "a", "name": "A", "trigger": "manual", "operations": []}]})

Answer: TypeAlias = Callable[[BaseHTTPRequestHandler], None]


class Server(ThreadingHTTPServer):
    """Answers every request as it was told, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self, answer: Answer) -> None:
        self.asked: list[JSONObject] = []
        self.answer = answer
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server

    def do_GET(self) -> None:
        """Keep path and headers, and answer."""
        self.server.asked.append({"path": self.path, "headers": {**self.headers}})
        self.server.answer(self)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def serving(answer: Answer) -> Iterator[Server]:
    """A server for the block."""
    with Server(answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def says(body: str, status: int = 200, **headers: str) -> Answer:
    """Answers with *body*."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body.encode())

    return answer
