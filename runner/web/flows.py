"""`GET /flows` and `/flows/:id`: what Directus' clients list, read-only."""

from aiohttp import web

from runner.errors import FlowNotFound, MethodNotAllowed
from runner.history import Created
from runner.model import Entry, Flow
from runner.types import JSONObject
from runner.web import answers
from runner.web.callers import identify
from runner.web.keys import REGISTRY, SOURCE


async def listing(request: web.Request) -> web.Response:
    """All flows that there are files of, whether they run or not."""
    identify(request).require("flows", "read")
    entries = request.app[REGISTRY].current.entries.values()
    created, fields = request.app[SOURCE].created, _fields(request)
    return answers.json({"data": [_show(each, created(each.path), fields) for each in entries]})


async def one(request: web.Request) -> web.Response:
    """The flow whose UUID or key ends the path."""
    name = request.match_info["name"].rstrip("/")
    if not name:
        return await listing(request)
    identify(request).require("flows", "read")
    entry = request.app[REGISTRY].current.find(name)
    if entry is None:
        raise FlowNotFound("There is no flow of this id or key.")
    created = request.app[SOURCE].created(entry.path)
    return answers.json({"data": _show(entry, created, _fields(request))})


async def read_only(request: web.Request) -> web.Response:
    """Flows change by commit: where, is told to those who may read them."""
    identify(request).require("flows", "read")
    current = request.app[REGISTRY].current
    entry = current.find(request.match_info.get("name", "").rstrip("/"))
    where = "the folder they are read from" if entry is None else f"the file {entry.path}"
    raise MethodNotAllowed(
        request.method,
        ("GET", "HEAD"),
        f"Flows are changed by a commit to {where}, not here; revision {current.revision} runs.",
    )


def _fields(request: web.Request) -> list[str]:
    """Names of `?fields=a,b`; empty or `*` among them: the usual ones."""
    return [name.strip() for name in request.query.get("fields", "").split(",") if name.strip()]


def _show(entry: Entry, created: Created | None, fields: list[str]) -> JSONObject:
    usual = _directus(entry, created)
    if not fields:
        return usual
    known = {**usual, **_extra(entry, created)}
    shown = dict(usual) if "*" in fields else {}
    shown |= {name: known[name] for name in fields if name in known}
    if "operations.*" in fields and entry.flow is not None:
        shown["operations"] = _operations(entry.flow)
    return shown


def _directus(entry: Entry, created: Created | None) -> JSONObject:
    """The members that a row of Directus' own table has; what the file says of itself wins."""
    flow = entry.flow
    operations = [] if flow is None else list(flow.operations.values())
    first = None if flow is None or flow.first is None else flow.operations[flow.first].id
    return {
        "id": entry.id,
        "name": entry.name,
        "icon": flow and flow.icon,
        "color": flow and flow.color,
        "description": flow and flow.description,
        "status": "active" if entry.running else "inactive",
        "trigger": flow and flow.trigger.kind,
        "accountability": flow and flow.accountability,
        "options": flow and flow.definition,
        "operation": first,
        "date_created": (flow and flow.date_created) or (created and created.date),
        "user_created": (flow and flow.user_created) or (created and created.user),
        "operations": [operation.id for operation in operations],
    }


def _operations(flow: Flow) -> list[JSONObject]:
    """The members that rows of Directus' table of operations have."""
    ids = {key: operation.id for key, operation in flow.operations.items()}
    return [
        {
            "id": each.id,
            "name": each.name,
            "key": each.key,
            "type": each.type,
            "position_x": each.position and each.position[0],
            "position_y": each.position and each.position[1],
            "options": each.definition,
            "resolve": each.resolve and ids[each.resolve],
            "reject": each.reject and ids[each.reject],
            "flow": flow.id,
        }
        for each in flow.operations.values()
    ]


def _extra(entry: Entry, created: Created | None) -> JSONObject:
    """What only this runner knows, for those who ask by name."""
    flow = entry.flow
    named = flow is not None and flow.user_created is not None  # and git's author is another
    return {
        "key": entry.key,
        "state": entry.state,
        "issues": [issue.as_data() for issue in entry.issues],
        "digest": flow and flow.digest,
        "tracking": flow and flow.tracking,
        "path": entry.path,
        "author": None if named else created and created.author,
    }
