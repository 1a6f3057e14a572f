"""
CPU that `GET /flows` takes with 1,000 flows, beside the smallest answer there is.

A filter, an order and five fields, as a list in an editor asks for; the same when nothing has
changed (304); and everything there is.
"""

import http.client
import tempfile
from pathlib import Path
from urllib.parse import quote, urlsplit

from tests.bench import common

_FLOW = """
name: Flow {number}
icon: bolt
trigger: webhook
options: {{method: POST, auth: none}}
operations:
  - {{key: order, type: transform, options: {{json: {{id: "{{{{ $trigger.body.id }}}}"}}}}}}
  - {{key: large, type: condition, options: {{filter: {{order: {{id: {{_gt: {number}}}}}}}}}}}
  - {{key: done, type: log, options: {{message: done}}}}
"""
_FILTERS = {
    "filter, sort, fields": '{"name": {"_contains": "5"}, "status": {"_eq": "active"}}',
    "filter by operations": '{"operations": {"key": {"_eq": "done"}}}',
}
_ASKED = {
    "ping": "/server/ping",
    **{
        name: f"/flows?filter={quote(filter_)}&sort=-name&fields=id,name,status,icon,trigger"
        for name, filter_ in _FILTERS.items()
    },
    "all with operations": "/flows?limit=-1&fields=*,operations.*",
}


def main() -> None:
    """Milliseconds of CPU a request, of the daemon alone."""
    quick = common.arguments(__doc__).quick
    count = 30 if quick else 300
    port = common.free_port()
    with tempfile.TemporaryDirectory() as home:
        flows = Path(home)
        for number in range(1000):
            (flows / f"flow-{number:04}.yaml").write_text(_FLOW.format(number=number))
        with common.server(common.runner(flows, port), port, "/readyz") as server:
            figures = {name: _cost(server, path, count) for name, path in _ASKED.items()}
            figures["unchanged (304)"] = _cost(
                server, _ASKED["filter, sort, fields"], count, _tag(server)
            )
    rows = [[name, f"{figure:.2f}"] for name, figure in figures.items()]
    common.table(["what", "CPU ms"], rows)
    print("asked: at most 4 ms for filter, sort, fields")
    common.ratios({f"{name} ms": max(figure, 0.001) for name, figure in figures.items()})


def _cost(server: common.Server, path: str, count: int, tag: str = "") -> float:
    """Milliseconds of the server's CPU for each of *count* requests over one connection."""
    headers = {"If-None-Match": tag} if tag else {}
    _ask(server, path, 3, headers)
    before = server.cpu()
    _ask(server, path, count, headers)
    return (server.cpu() - before) / count * 1000


def _ask(server: common.Server, path: str, count: int, headers: dict[str, str]) -> str:
    address = urlsplit(server.base)
    connection = http.client.HTTPConnection(str(address.hostname), address.port)
    tag = ""
    for _ in range(count):
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        response.read()
        wanted = 304 if headers else 200
        if response.status != wanted:
            raise SystemExit(f"{path} answered {response.status}, not {wanted}")
        tag = response.headers.get("ETag", "")
    connection.close()
    return tag


def _tag(server: common.Server) -> str:
    return _ask(server, _ASKED["filter, sort, fields"], 1, {})


if __name__ == "__main__":
    main()
