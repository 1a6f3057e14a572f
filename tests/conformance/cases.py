"""Recorded answers of a running Directus 10.13.4: what was there, what was asked, what came."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from runner.types import JSONObject, JSONValue

FOLDER: Final = Path(__file__).parent / "cases"

#: Where the server that flows call stood when the answers were recorded.
UPSTREAM: Final = "127.0.0.1:8099"


@dataclass(frozen=True, slots=True)
class Case:
    """
    One recorded request to a flow, and what became of it.

    Operations name each other by key here, where Directus has ids.
    """

    #: `<group>/<name>`.
    name: str
    flow: JSONObject
    #: `method`, `path`, `query` (as it stands in the URL), `headers`, `body` or `rawBody`.
    request: JSONObject
    #: `status`, `headers`, `body`.
    response: JSONObject
    #: Other flows that existed.
    flows: tuple[JSONObject, ...] = ()
    #: `steps` and `trigger`, where Directus logged the execution.
    log: JSONObject | None = None
    #: Dotted paths of what changed from one recording to the next.
    volatile: tuple[str, ...] = ()
    #: What was there afterwards: rows of the table, mails, notifications.
    after: tuple[JSONObject, ...] | None = None

    @property
    def group(self) -> str:
        """What it is about: `template`, `exec`, …."""
        return self.name.partition("/")[0]

    @property
    def all_flows(self) -> tuple[JSONObject, ...]:
        """Its flow and the others."""
        return (self.flow, *self.flows)


def load(upstream: str = UPSTREAM) -> list[Case]:
    """All cases; flows that call a server call the one at *upstream*."""
    return [
        Case(**{key: _frozen(value) for key, value in json.loads(line).items()})
        for path in sorted(FOLDER.glob("*.jsonl"))
        for line in path.read_text("utf-8").replace(UPSTREAM, upstream).splitlines()
    ]


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


ALONE: Final = [case.name for case in load() if case.group in ("event", "notification")]
"""Cases that need a daemon of their own: their flows hear of each other, or count on."""

TOGETHER: Final = [case.name for case in load() if case.name not in ALONE]


# --- as Directus exports them -------------------------------------------------------------------


def rest_row(flow: JSONObject) -> JSONObject:
    """A flow as `GET /flows?fields=*,operations.*` shows it."""
    operations = list(_operations(flow))
    return {
        **{key: flow[key] for key in ("id", "name", "status", "trigger", "options")},
        "accountability": flow["accountability"],
        "icon": "bolt",
        "color": None,
        "description": None,
        "date_created": "2024-01-02T03:04:05.000Z",
        "user_created": "00000000-0000-4000-a000-0000000000a1",
        "operation": _ids(flow).get(flow["operation"], flow["operation"]),
        "operations": operations,
    }


def studio_export(flow: JSONObject) -> JSONObject:
    """A flow as the Studio's export writes it; without its status."""
    row = rest_row(flow)
    own = ("id", "name", "icon", "color", "description", "trigger", "accountability", "options")
    operations = [
        {key: each[key] for key in each if key not in ("date_created", "user_created")}
        for each in row["operations"]
    ]
    return {
        "version": 1,
        "flow": {key: row[key] for key in (*own, "operation")},
        "operations": operations,
    }


def _operations(flow: JSONObject) -> Iterator[JSONObject]:
    ids = _ids(flow)
    for index, each in enumerate(flow["operations"]):
        yield {
            **{key: each[key] for key in ("id", "key", "type", "name", "options")},
            "position_x": 19 + 18 * index,
            "position_y": 1,
            "resolve": ids.get(each["resolve"], each["resolve"]),
            "reject": ids.get(each["reject"], each["reject"]),
            "flow": flow["id"],
            "date_created": "2024-01-02T03:04:05.000Z",
            "user_created": None,
        }


def _ids(flow: JSONObject) -> dict[JSONValue, str]:
    return {each["key"]: each["id"] for each in flow["operations"]}
