"""
From flows as Directus has them to flow data of ours, with comments where something was translated.

What types, templates and rules mean is not looked into: that the compiler does, which reads the
text that is made of this.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from runner import schema
from runner.ids import is_uuid
from runner.importers import credentials, findings, options
from runner.importers.findings import Finding
from runner.importers.options import present
from runner.importers.sequences import Arrangement, Node, arrange
from runner.mistakes import shown
from runner.types import JSONObject, JSONValue, Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A flow in our words."""

    #: Empty where it has none, as is the id.
    name: str
    id: str
    #: What its file says.
    data: JSONObject
    #: By path inside *data*.
    comments: Mapping[Path, str]
    #: Why it cannot run, as far as *data* does not show it.
    obstacles: tuple[str, ...]
    #: What was left out, and why; the comments say it too.
    omissions: tuple[str, ...]
    #: What is to be said about places in *data*.
    findings: tuple[Finding, ...]


def convert(flows: Sequence[JSONObject]) -> list[Imported]:
    """All *flows* that are imported together, in our words."""
    names = {str(_id(flow.get("id"))): str(flow.get("name")) for flow in flows}
    return [_Conversion(flow, names).imported() for flow in flows]


#: What is read of a flow.
_MEMBERS: Final = frozenset(
    {"id", "name", "description", "icon", "color", "status", "trigger", "options"}
    | {"accountability", "date_created", "user_created", "operation", "operations"}
)

#: So many of the things that were left out are named.
_MAX_NAMES: Final = 10


class _Conversion:
    """One flow on its way; collects what is to be said of it."""

    def __init__(self, flow: JSONObject, names: Mapping[str, str]) -> None:
        self.flow = flow
        self.names = names
        self.comments: dict[Path, str] = {}
        self.obstacles: list[str] = []
        self.omissions: list[str] = []

    def imported(self) -> Imported:
        flow = self.flow
        id_, name, root = _id(flow.get("id")), flow.get("name"), _id(flow.get("operation"))
        nodes = self._nodes()
        arrangement = arrange(nodes, root)
        self._omit(arrangement, nodes)
        data: JSONObject = {
            "id": id_,
            "name": name,
            "description": flow.get("description") or None,
            "icon": flow.get("icon"),
            "color": flow.get("color"),
            "status": self._status(),
            "trigger": flow.get("trigger"),
            "options": self._options(credentials.read_by(arrangement.nodes, root)),
            "tracking": self._tracking(),
            "date_created": flow.get("date_created"),
            "user_created": self._user(),
            "operations": arrangement.operations or None,
        }
        data = present(data)
        self.comments |= arrangement.comments
        found = self._findings(data)
        title = shown(str(name)) if name else "a flow without a name"
        header = [f"Imported from Directus: {title} ({shown(id_) if id_ else 'no id'})."]
        header += [f"{each[0].upper()}{each[1:]}." for each in self.omissions]
        self.comments[()] = "\n".join(header)
        return Imported(
            name=name if isinstance(name, str) else "",
            id=id_ or "",
            data=data,
            comments=self.comments,
            obstacles=tuple(self.obstacles),
            omissions=tuple(self.omissions),
            findings=tuple(found),
        )

    def _findings(self, data: JSONObject) -> list[Finding]:
        # Each kind is bounded by itself: many warnings must not hide an error.
        changed = islice(findings.changed(data), schema.MAX_ISSUES)
        secrets = [*islice(findings.secrets(data), schema.MAX_ISSUES)]
        for at in {each.at: None for each in secrets}:
            said = self.comments.get(at)
            self.comments[at] = f"{said}\n{findings.COMMENT}" if said else findings.COMMENT
        return [*changed, *secrets]

    def _omit(self, arrangement: Arrangement, nodes: Mapping[str, Node]) -> None:
        others = [name for name in self.flow if name not in _MEMBERS and self.flow[name]]
        if others:
            self.omissions.append(f"left out, as flows here do not have it: {_listed(others)}")
        lost = [node.key for id_, node in nodes.items() if id_ not in arrangement.nodes]
        if lost:
            why = "nothing leads to it" if len(lost) == 1 else "nothing leads to them"
            if not arrangement.nodes:
                why = "the flow does not say which runs first, so that Directus runs none"
            self.omissions.append(f"left out, as {why}: {_listed(lost)}")

    def _status(self) -> str | None:
        status = self.flow.get("status", "active")
        if status not in ("active", "inactive"):
            was = shown(str(status))
            self.comments["status",] = f"Directus starts active flows only; this one was {was}."
        return None if status == "active" else "inactive"

    def _options(self, headers: Sequence[str]) -> JSONValue:
        value, comments = options.of_trigger(
            self.flow.get("trigger"), self.flow.get("options"), headers
        )
        self.comments |= {("options", *at): text for at, text in comments.items()}
        return value

    def _tracking(self) -> str | None:
        match self.flow.get("accountability", "all"):
            case "all":
                return None
            case None:
                return "none"
            case level if level != "activity":
                was = shown(str(level))
                self.comments["tracking",] = (
                    f"`accountability` was {was}, which Directus takes for activity."
                )
        return "activity"

    def _user(self) -> str | None:
        user = _id(self.flow.get("user_created"))
        if user is None or is_uuid(user):
            return user
        self.omissions.append("left out, as it is no UUID: user_created")
        return None

    # --- operations

    def _nodes(self) -> dict[str, Node]:
        """The operations by id, as far as they can be read."""
        operations = self.flow.get("operations")
        if operations is None and self.flow.get("operation") is None:
            return {}
        if not isinstance(operations, list) or not all(isinstance(o, dict) for o in operations):
            message = "the export does not hold its operations; ask for fields=*,operations.*"
            self.obstacles.append(message)
            return {}
        most = schema.load("flow")["$defs"]["sequence"]["maxItems"]
        if len(operations) > most:
            self.obstacles.append(f"it has {len(operations):,} operations; {most:,} are allowed")
            return {}
        nodes: dict[str, Node] = {}
        for number, operation in enumerate(operations, start=1):
            id_, key = _id(operation.get("id")), operation.get("key")
            if id_ is None or not isinstance(key, str):
                self.obstacles.append(f"its operation {number} has no id or no key")
            elif id_ in nodes:
                self.obstacles.append(f"two of its operations have the id {shown(id_)}")
            else:
                nodes[id_] = self._node(id_, key, operation)
        return nodes

    def _node(self, id_: str, key: str, operation: JSONObject) -> Node:
        type_ = operation.get("type")
        translated = options.of_operation(type_, operation.get("options"), self.names)
        position = [operation.get("position_x"), operation.get("position_y")]
        fields = {
            "key": key,
            "name": operation.get("name") or None,
            "id": id_,
            "type": type_,
            "position": position if all(type(each) is int for each in position) else None,
            "options": translated.value,
        }
        return Node(
            id=id_,
            key=key,
            fields=present(fields),
            comments={("options", *at): text for at, text in translated.comments.items()},
            resolve=_id(operation.get("resolve")),
            reject=_id(operation.get("reject")),
        )


def _id(value: JSONValue) -> str | None:
    """An id as we write it: some databases have capitals, some answers the whole object."""
    if isinstance(value, dict):
        value = value.get("id")
    return value.lower() if isinstance(value, str) else None


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(map(shown, names[:_MAX_NAMES])) + more
