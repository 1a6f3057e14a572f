"""The world of the recording: callers, environment, outside; flows come by `import directus`."""

import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from runner.redact import PLACEHOLDER
from runner.template import to_json
from runner.types import JSONObject, JSONValue
from tests.acceptance.daemon import PATIENCE, Daemon
from tests.conformance import outside
from tests.conformance.cases import UPSTREAM, Case, load, rest_row, studio_export
from tests.conformance.causes import FLOWS, caused
from tests.conformance.outside import Outside, read_mail

ENVIRON: Final = {
    "FLOW_VISIBLE": "visible-value",
    "FLOW_NUM": "42",
    "FLOW_HIDDEN": "hidden-value",
    "TZ": "UTC",
}
SETTINGS: Final = """
env_allow: [FLOW_VISIBLE, FLOW_NUM]
egress: {allow: [127.0.0.0/8]}
limits: {script_time: 2s, log_line: 1000000}
databases: {default: {url: "sqlite:///ARTICLES"}}
mail: {url: "smtp://MAIL", from: no-reply@example.com}
roles:
  admin: {admin: true}
  editor:
    id: 00000000-0000-4000-a000-0000000000e1
    flows: [trigger]
    collections: {articles: [read]}
tokens:
  - {name: admin, role: admin, token: admin-static-token}
  - name: editor
    role: editor
    user: 00000000-0000-4000-a000-0000000000e2
    token: editor-static-token
"""
#: What a request carries to the next server, which is another one each time.
_TRACE: Final = re.compile("00-[0-9a-f]{32}-[0-9a-f]{16}-01")
#: What need not be said.
_DEFAULTS: Final[JSONObject] = {
    "method": "GET",
    "async": False,
    "return": "$last",
    "iterationMode": "parallel",
    "requireSelection": True,
    "milliseconds": 0,
}
#: Directus' word for how an operation ended.
_STATUS: Final = {"operation.resolved": "resolve", "operation.rejected": "reject"}
#: Groups whose flows are imported in another form than the REST answer, which holds everything.
BARE_LIST: Final = {"condition", "exec"}
STUDIO: Final = {"template", "ops"}


@dataclass(frozen=True, slots=True)
class World:
    """A daemon that runs the flows of all cases."""

    daemon: Daemon
    cases: dict[str, Case]
    #: Ids of flows that could not be carried over.
    left: frozenset[str]
    #: Flow keys by id, of those that were.
    keys: dict[str, str]
    #: What the flows can reach.
    outside: Outside

    def answer(self, case: Case) -> JSONObject:
        """
        Ask what was asked then, and give what can be compared with the recording.

        `carried`, `status`, `type`, `body`; where Directus logged the execution, `steps` and
        `trigger` as the records have them; and where that was recorded, what was there `after`.
        """
        self.outside.reset()
        event = case.group == "event"
        status, headers, body = self._ask(caused(case.request) if event else case.request)
        told: JSONObject = {
            "carried": case.flow["id"] not in self.left,
            "status": status,
            "type": headers.get("content-type"),
            "body": _without_id(status, body),
        }
        if event:
            told = {"carried": told["carried"], "errors": _errors(body)}
        if case.log is not None and told["carried"] and (event or status < 300):
            told |= self._recorded(self.keys[case.flow["id"]])
        if case.after is not None and told["carried"]:
            told["after"] = self._after(case.group)
        text = json.dumps(told).replace(self.outside.upstream, UPSTREAM)
        return without_volatile(json.loads(_TRACE.sub("00-trace-span-01", text)), case)

    def _after(self, group: str) -> list[JSONObject]:
        if group == "notification":
            headers = {"Authorization": "Bearer editor-static-token"}
            inbox: list[JSONObject] = self.daemon.get("/notifications", headers=headers).json[
                "data"
            ]
            return [
                {key: value for key, value in each.items() if key not in ("id", "timestamp")}
                for each in inbox
            ]
        return self.outside.mails() if group == "mail" else self.outside.rows()

    def _ask(self, request: JSONObject) -> tuple[int, dict[str, str], JSONValue]:
        content, sent = _content(request)
        target = request["path"] + (f"?{request['query']}" if request["query"] else "")
        address = urlsplit(self.daemon.url)
        connection = http.client.HTTPConnection(str(address.hostname), address.port, PATIENCE)
        try:
            connection.putrequest(
                request["method"], target, skip_host=True, skip_accept_encoding=True
            )
            for name, value in sent.items():
                connection.putheader(name, value)
            connection.endheaders(content)
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return response.status, headers, _read(text)

    def _recorded(self, key: str) -> JSONObject:
        finished = self.daemon.wait_for("execution.finished", flow=key)
        records = [
            each
            for each in self.daemon.records
            if each.get("execution_id") == finished["execution_id"]
        ]
        return {
            "steps": [
                {
                    "key": each["operation"],
                    "status": _STATUS[each["event"]],
                    "options": spelt_out(each["data"]["options"]),
                }
                for each in records
                if each["event"] in _STATUS
            ],
            "trigger": next(
                each["data"]["trigger"] for each in records if each["event"] == "execution.started"
            ),
        }


def recorded(case: Case) -> JSONObject:
    """What Directus answered, in the form of `World.answer`."""
    told: JSONObject = {
        "carried": True,
        "status": case.response["status"],
        "type": case.response["headers"]["content-type"],
        "body": case.response["body"],
    }
    if case.group == "event":
        told = {"carried": True, "errors": _errors(case.response["body"])}
    if case.log is not None:
        steps = [_step(each) for each in case.log["steps"]]
        told |= _env_shown({"steps": steps, "trigger": _hidden(case.log["trigger"])})
    if case.after is not None:
        told["after"] = [_sent(each) if case.group == "mail" else each for each in case.after]
    return without_volatile(told, case)


def _sent(mail: JSONObject) -> JSONObject:
    """A recorded mail, in the form of `Outside.mails`."""
    sender = mail["from"].removeprefix("MAIL FROM:<").removesuffix(">")
    to = [each.removeprefix("RCPT TO:<").removesuffix(">") for each in mail["rcpt"]]
    return read_mail(sender, to, mail["data"].encode())


def _hidden(trigger: JSONObject) -> JSONObject:
    """Trigger data with its `secret` as records have it here: hidden, wherever it stands."""
    body = trigger.get("body")
    if isinstance(body, dict) and "secret" in body:
        return {**trigger, "body": {**body, "secret": PLACEHOLDER}}
    return trigger


def _step(step: JSONObject) -> JSONObject:
    options = spelt_out(step["options"])
    return {"key": step["key"], "status": step["status"], "options": options}


def spelt_out(options: JSONObject | None) -> JSONObject:
    """Options without nulls and defaults: absent is the same, and the import leaves them out."""
    return {
        name: value
        for name, value in (options or {}).items()
        if value is not None and not (name in _DEFAULTS and _DEFAULTS[name] == value)
    }


def _env_shown(told: Any) -> Any:
    """Allowed variables are not secrets here: records show what Directus' log hides."""
    text = json.dumps(told)
    return json.loads(text.replace("--redacted:FLOW_VISIBLE--", ENVIRON["FLOW_VISIBLE"]))


def without_volatile(told: JSONObject, case: Case) -> JSONObject:
    """The same without what changed from one recording to the next, or would with our version."""
    for dotted in case.volatile:
        path = dotted.removeprefix("response.").removeprefix("log.")
        _remove(told, path.replace("[", ".").replace("]", "").split("."))
    _forget_length_of_echoes(told)
    return told


def _forget_length_of_echoes(value: Any) -> None:
    """The upstream repeats what was sent: how long that is depends on the name of the client."""
    match value:
        case {"headers": {"content-length": _} as headers, "data": {"url": _, "headers": _}}:
            del headers["content-length"]
        case dict():
            for each in value.values():
                _forget_length_of_echoes(each)
        case list():
            for each in value:
                _forget_length_of_echoes(each)


def _remove(value: Any, path: list[str]) -> None:
    *way, last = path
    for step in way:
        if isinstance(value, list):
            value = value[int(step)] if int(step) < len(value) else None
        elif isinstance(value, dict):
            value = value.get(step)
    if isinstance(value, dict):
        value.pop(last, None)


def _content(request: JSONObject) -> tuple[bytes | None, dict[str, str]]:
    sent = {"host": "127.0.0.1:8055", "connection": "keep-alive"}
    sent |= {"user-agent": "flow-conformance/1.0", "accept": "*/*"}
    content = None
    if request["hasBody"]:
        text = request.get("rawBody") or to_json(request["body"])
        content = text.encode()
        sent |= {"content-type": "application/json", "content-length": str(len(content))}
    sent |= request["headers"]
    return content, sent


def _read(text: str) -> JSONValue:
    try:
        value: JSONValue = json.loads(text)
    except ValueError:
        return text or None
    return value


def _errors(body: JSONValue) -> JSONValue:
    """Why what causes an event did not work: what it answers otherwise is its own."""
    return body.get("errors") if isinstance(body, dict) else None


def _without_id(status: int, body: JSONValue) -> JSONValue:
    if status == 202 and isinstance(body, dict):
        return {**body, "id": "of the execution"}
    return body


# --- a daemon with all flows --------------------------------------------------------------------


@contextmanager
def running(home: Path, names: Collection[str]) -> Iterator[World]:
    """Import the flows of the cases of these names, and run them until the block ends."""
    with outside.around(home) as around:
        cases = [case for case in load(around.upstream) if case.name in names]
        settings = SETTINGS.replace("ARTICLES", str(around.database)).replace("MAIL", around.smtp)
        daemon = Daemon(home, settings=settings, environ=ENVIRON)
        import_all(cases, home / "exports", daemon.flows)
        if any(case.group == "event" for case in cases):
            daemon.write(**FLOWS)
        left = frozenset(
            flow["id"]
            for path in daemon.flows.glob("*.todo")
            for case in cases
            for flow in case.all_flows
            if f"\nid: {flow['id']}\n" in path.read_text("utf-8")
        )
        with daemon:
            daemon.wait_for("generation.swapped")
            listed = daemon.get(
                "/flows?fields=id,key&limit=-1",
                headers={"Authorization": "Bearer admin-static-token"},
            )
            keys = {each["id"]: each["key"] for each in listed.json["data"]}
            yield World(daemon, {case.name: case for case in load()}, left, keys, around)


def import_all(cases: list[Case], exports: Path, out: Path) -> "subprocess.CompletedProcess[str]":
    """Write the flows of *cases* as Directus exports them, and import them into *out*."""
    exports.mkdir()
    rows: list[JSONObject] = []
    bare: list[JSONObject] = []
    files: list[Path] = []
    for case in cases:
        for flow in case.all_flows:
            if case.group in STUDIO and flow["status"] == "active":
                files.append(exports / f"{flow['id']}.json")
                files[-1].write_text(json.dumps(studio_export(flow)), "utf-8")
            else:
                (bare if case.group in BARE_LIST else rows).append(rest_row(flow))
    for name, content in (("rest.json", {"data": rows}), ("list.json", bare)):
        files.append(exports / name)
        files[-1].write_text(json.dumps(content), "utf-8")
    command = [sys.executable, "-m", "runner", "import", "directus", *map(str, files)]
    return subprocess.run(
        [*command, "--out", str(out)],
        cwd=Path(__file__).parent.parent.parent,
        env={**os.environ, **ENVIRON},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
