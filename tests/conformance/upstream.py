"""The HTTP server that the recorded flows called."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

#: Status, body and content type by path.
_FIXED: Final = {
    "/text": (200, "plain text", "text/plain"),
    "/jsontext": (200, '{"looks":"json"}', "text/plain"),
    "/badjson": (200, "{not json", "application/json"),
    "/empty": (200, "", None),
    "/nocontent": (204, None, None),
    "/redirect": (302, "{}", "application/json"),
    "/err-text": (500, "boom", "text/plain"),
    "/number": (200, "42", "application/json"),
    "/array": (200, "[1,2,3]", "application/json"),
}


@contextmanager
def serving() -> Iterator[str]:
    """Serve until the block ends, and give `host:port`."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        path = self.path.partition("?")[0]
        received = self.rfile.read(int(self.headers.get("content-length", "0"))).decode()
        if path in _FIXED:
            status, body, kind = _FIXED[path]
        elif path.startswith("/status/"):
            status, kind = int(path.removeprefix("/status/")), "application/json"
            body = json.dumps({"error": f"status {status}"}, separators=(",", ":"))
        else:
            status, kind = 200, "application/json"
            body = self._echo(received)
        self.send_response_only(status)
        if kind is not None:
            self.send_header("content-type", kind)
        if path == "/redirect":
            self.send_header("location", "/echo?redirected=1")
        if body is not None:
            self.send_header("content-length", str(len(body.encode())))
        self.send_header("connection", "close")
        self.end_headers()
        if body is not None and status != 304 and self.command != "HEAD":
            self.wfile.write(body.encode())

    def _echo(self, received: str) -> str:
        headers = {
            key.lower(): value for key, value in self.headers.items() if key.lower() != "host"
        }
        told = {"method": self.command, "url": self.path, "headers": headers, "body": received}
        return json.dumps(told, separators=(",", ":"), ensure_ascii=False)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = do_SEARCH = _answer  # noqa: N815
