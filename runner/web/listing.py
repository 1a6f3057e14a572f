"""What `/flows` and `/operations` list: flows as records of the tables that Directus has."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Final

from aiohttp import web

from runner.history import Created
from runner.model import Entry, Flow, Generation
from runner.operators import as_date, iso
from runner.query.model import Collection, Field, Query, Schema, ToMany, ToOne, Type
from runner.query.tables import Overlay, Tables
from runner.registry import Registry
from runner.types import JSONObject
from runner.web.keys import Source

FLOWS: Final = Collection(
    "directus_flows",
    {
        "id": Field(Type.UUID, required=True),
        "name": Field(Type.STRING, required=True),
        "icon": Field(Type.STRING),
        "color": Field(Type.STRING),
        "description": Field(Type.TEXT),
        "status": Field(Type.STRING),
        "trigger": Field(Type.STRING),
        "accountability": Field(Type.STRING),
        "options": Field(Type.JSON),
        "operation": Field(Type.UUID, relation=ToOne("directus_operations")),
        "date_created": Field(Type.TIMESTAMP),
        "user_created": Field(Type.UUID, relation=ToOne("directus_users")),
        "operations": Field(Type.ALIAS, relation=ToMany("directus_operations", "flow")),
        # What only this runner knows, for those who ask by name.
        "key": Field(Type.STRING, hidden=True),
        "state": Field(Type.STRING, hidden=True),
        "issues": Field(Type.JSON, hidden=True),
        "digest": Field(Type.STRING, hidden=True),
        "revision": Field(Type.STRING, hidden=True),
        "tracking": Field(Type.STRING, hidden=True),
        "path": Field(Type.STRING, hidden=True),
        "author": Field(Type.STRING, hidden=True),
        "next_fire": Field(Type.TIMESTAMP, hidden=True),
        "last_execution": Field(Type.JSON, hidden=True),
    },
)
"""Flows; those whose file has an issue too."""

OPERATIONS: Final = Collection(
    "directus_operations",
    {
        "id": Field(Type.UUID, required=True),
        "name": Field(Type.STRING),
        "key": Field(Type.STRING, required=True),
        "type": Field(Type.STRING, required=True),
        "position_x": Field(Type.INTEGER, required=True),
        "position_y": Field(Type.INTEGER, required=True),
        "options": Field(Type.JSON),
        "resolve": Field(Type.UUID, relation=ToOne("directus_operations")),
        "reject": Field(Type.UUID, relation=ToOne("directus_operations")),
        "flow": Field(Type.UUID, relation=ToOne("directus_flows")),
        "date_created": Field(Type.TIMESTAMP),
        "user_created": Field(Type.UUID, relation=ToOne("directus_users")),
    },
)
"""Operations of all flows."""

USERS: Final = Collection("directus_users", {"id": Field(Type.UUID, required=True)})
"""Nothing is known of users but that they are."""

SCHEMA: Final[Schema] = {each.name: each for each in (FLOWS, OPERATIONS, USERS)}
"""All of them."""

#: What changes without a new generation.
LIVE: Final = frozenset((FLOWS.name, name) for name in ("next_fire", "last_execution"))

NOTIFICATIONS: Final = Collection(
    "directus_notifications",
    {
        "id": Field(Type.INTEGER, required=True),
        "timestamp": Field(Type.TIMESTAMP, required=True),
        "status": Field(Type.STRING, required=True),
        "recipient": Field(Type.UUID, relation=ToOne("directus_users")),
        "sender": Field(Type.UUID, relation=ToOne("directus_users")),
        "subject": Field(Type.STRING, required=True),
        "message": Field(Type.TEXT),
        "collection": Field(Type.STRING),
        "item": Field(Type.STRING),
    },
)
"""What a user has been told."""

INBOXES: Final[Schema] = {each.name: each for each in (NOTIFICATIONS, USERS)}
"""What an inbox can be asked for: not by way of flows."""

EXECUTIONS: Final = Collection(
    "executions",
    {
        "id": Field(Type.UUID, required=True),
        "flow": Field(Type.STRING, required=True),
        "flow_id": Field(Type.UUID, required=True),
        "digest": Field(Type.STRING, required=True),
        "revision": Field(Type.STRING, required=True),
        "generation": Field(Type.INTEGER, required=True),
        "trigger": Field(Type.STRING, required=True),
        "parent_id": Field(Type.UUID),
        "durable": Field(Type.BOOLEAN, required=True),
        "status": Field(Type.STRING, required=True),
        "accepted": Field(Type.TIMESTAMP, required=True),
        "started": Field(Type.TIMESTAMP),
        "finished": Field(Type.TIMESTAMP),
        "duration_ms": Field(Type.FLOAT),
        "error": Field(Type.JSON),
        "steps": Field(Type.INTEGER, required=True),
    },
)
"""What is told of executions."""

HISTORY: Final[Schema] = {EXECUTIONS.name: EXECUTIONS}
"""What can be asked for: not flows by way of them."""

LastExecution = Callable[[str], JSONObject | None]
"""What is known of the last execution of the flow with this id."""

NextFire = Callable[[str], datetime | None]
"""When the schedule of the flow with this id fires next, in UTC."""


def is_live(query: Query) -> bool:
    """Whether its answer may change without a new generation."""
    return query.timed or not LIVE.isdisjoint(query.names())


class Listing:
    """The tables of what is in place, made once for each generation."""

    def __init__(
        self,
        registry: Registry,
        source: Source,
        last_execution: LastExecution,
        next_fire: NextFire,
    ) -> None:
        self._registry = registry
        self._source = source
        self._last_execution = last_execution
        self._next_fire = next_fire
        self._made: tuple[Generation, Mapping[str, Created], Tables] | None = None
        #: Tables made so far: git may tell more of the same generation.
        self._count = 0

    def tables(self, *, live: bool = False) -> Tables:
        """What can be asked; fields in `LIVE` are only as they are now if *live*."""
        tables = self._current()
        return self._as_of_now(tables) if live else tables

    @property
    def version(self) -> str:
        """Another one whenever the tables are others, of whatever process."""
        self._current()
        generation = self._registry.current
        return f"{generation.number} {generation.digest} {generation.loaded} {self._count}"

    def _current(self) -> Tables:
        generation, created = self._registry.current, self._source.created
        if self._made is None or self._made[0] is not generation or self._made[1] is not created:
            tables = Tables(SCHEMA, records(generation, created))
            self._made = (generation, created, tables)
            self._count += 1
        return self._made[2]

    def _as_of_now(self, tables: Tables) -> Tables:
        rows = [{**row, **self._now(row["id"])} for row in tables.rows(FLOWS)]
        return Overlay(tables, FLOWS, rows)

    def _now(self, flow: str) -> JSONObject:
        fire = self._next_fire(flow)
        return {
            "next_fire": None if fire is None else iso(fire),
            "last_execution": self._last_execution(flow),
        }


LISTING: Final = web.AppKey("listing", Listing)


def records(generation: Generation, created: Mapping[str, Created]) -> dict[str, list[JSONObject]]:
    """All records, by collection; *created* says by path of the file who made a flow, and when."""
    flows = [
        _flow(entry, generation, created.get(entry.path)) for entry in generation.entries.values()
    ]
    operations = [
        record
        for entry, row in zip(generation.entries.values(), flows, strict=True)
        if entry.flow is not None
        for record in _operations(entry.flow, row)
    ]
    return {FLOWS.name: flows, OPERATIONS.name: operations}


def _flow(entry: Entry, generation: Generation, created: Created | None) -> JSONObject:
    flow = entry.flow
    first = None if flow is None or flow.first is None else flow.operations[flow.first].id
    named = flow is not None and flow.user_created is not None  # and git's author is another
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
        "date_created": _date((flow and flow.date_created) or (created and created.date)),
        "user_created": (flow and flow.user_created) or (created and created.user),
        "key": entry.key,
        "state": entry.state,
        "issues": [issue.as_data() for issue in entry.issues],
        "digest": flow and flow.digest,
        "revision": generation.revision,
        "tracking": flow and flow.tracking,
        "path": entry.path,
        "author": None if named else created and created.author,
        "next_fire": None,  # both are as of now, where somebody asks
        "last_execution": None,
    }


def _date(text: str | None) -> str | None:
    """As Directus writes it: UTC with milliseconds."""
    moment = as_date(text)
    return None if moment is None else iso(moment)


def _operations(flow: Flow, row: JSONObject) -> Iterator[JSONObject]:
    ids = {key: operation.id for key, operation in flow.operations.items()}
    places = layout(flow)
    for key, each in flow.operations.items():
        x, y = each.position or places[key]
        yield {
            "id": each.id,
            "name": each.name,
            "key": key,
            "type": each.type,
            "position_x": x,
            "position_y": y,
            "options": each.definition,
            "resolve": each.resolve and ids[each.resolve],
            "reject": each.reject and ids[each.reject],
            "flow": flow.id,
            "date_created": row["date_created"],
            "user_created": None,  # known of flows only
        }


# --- positions ----------------------------------------------------------------------------------

#: Cells of the Studio's grid: where the first operation stands, and from one to the next.
_FIRST: Final = (19, 1)
_STEP: Final = (18, 16)


def layout(flow: Flow) -> dict[str, tuple[int, int]]:
    """
    Where operations stand that have no position of their own: nothing on top of another.

    What follows success stands to the right, what follows failure begins a row below.
    """
    places: dict[str, tuple[int, int]] = {}
    rows = 0
    starts = [] if flow.first is None else [(flow.first, 0)]
    while starts:
        key, column = starts.pop()
        row, at = rows, column
        rejects: list[tuple[str, int]] = []
        following: str | None = key
        while following is not None and following not in places:
            operation = flow.operations[following]
            places[following] = (_FIRST[0] + at * _STEP[0], _FIRST[1] + row * _STEP[1])
            if operation.reject is not None:
                rejects.append((operation.reject, at + 1))
            following, at = operation.resolve, at + 1
        starts += rejects
        rows += at > column
    return places
