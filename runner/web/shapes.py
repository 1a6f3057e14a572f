"""What is asked and answered, as JSON Schema: the records of collections from their own tables."""

from collections.abc import Iterable
from typing import Final

from runner.model import Severity, State, Status
from runner.query.filters import OPERATORS_OF
from runner.query.model import Collection, Field, Schema, ToMany, ToOne, Type
from runner.query.parameters import COUNTS, FORMATS
from runner.types import JSONObject
from runner.web.contract import Parameter

JSON: Final = "application/json"

TEXT: Final[JSONObject] = {"type": "string"}
INTEGER: Final[JSONObject] = {"type": "integer"}
OBJECT: Final[JSONObject] = {"type": "object"}
TIME: Final[JSONObject] = {"type": "string", "format": "date-time"}


def ref(name: str) -> JSONObject:
    """The schema that the description keeps under *name*."""
    return {"$ref": f"#/components/schemas/{name}"}


def items(of: JSONObject) -> JSONObject:
    """A list."""
    return {"type": "array", "items": of}


def members(required: Iterable[str] | None = None, **properties: JSONObject) -> JSONObject:
    """An object that has all of *properties*, or those that are *required*; others may be there."""
    needed = list(properties if required is None else required)
    return {"type": "object", "properties": properties, "required": needed}


def or_null(schema: JSONObject) -> JSONObject:
    """What *schema* says, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


# --- collections --------------------------------------------------------------------------------

_TYPES: Final[dict[Type, JSONObject]] = {
    Type.UUID: {"type": "string", "format": "uuid"},
    Type.STRING: TEXT,
    Type.TEXT: TEXT,
    Type.INTEGER: INTEGER,
    Type.FLOAT: {"type": "number"},
    Type.BOOLEAN: {"type": "boolean"},
    Type.TIMESTAMP: TIME,
    Type.JSON: {},
}


def collections(schema: Schema) -> dict[str, JSONObject]:
    """By name, what a record of each collection is, and what a filter of them."""
    records = {each.name: _record(each) for each in schema.values()}
    return records | {f"{each.name}_filter": _filter(each) for each in schema.values()}


def _record(collection: Collection) -> JSONObject:
    """Nothing of it is required: `fields` says what comes."""
    return members((), **{name: _value(field) for name, field in collection.fields.items()})


def _value(field: Field) -> JSONObject:
    match field.relation:
        case ToMany(collection):
            return items({"anyOf": [_TYPES[Type.UUID], ref(collection)]})
        case ToOne(collection):
            return {"anyOf": [_TYPES[field.type], ref(collection), {"type": "null"}]}
        case None:
            value = _TYPES[field.type]
            return value if field.required or not value else or_null(value)


def _filter(collection: Collection) -> JSONObject:
    """Of a relation, other records may be said to pass a filter too."""
    fields: dict[str, JSONObject] = {
        name: OBJECT if field.relation else _operators(field.type)
        for name, field in collection.fields.items()
    }
    several = items(ref(f"{collection.name}_filter"))
    return members((), **fields, _and=several, _or=several)


def _operators(type_: Type) -> JSONObject:
    return {"type": "object", "propertyNames": {"enum": sorted(OPERATORS_OF[type_])}}


def rows(collection: Collection) -> JSONObject:
    """The answer to a question about many; an export to JSON is the bare list."""
    found = items(ref(collection.name))
    meta = members((), **dict.fromkeys(COUNTS, INTEGER))
    return {"anyOf": [members(["data"], data=found, meta=meta), found]}


def row(collection: Collection) -> JSONObject:
    """The answer to a question about one; an export to JSON is the bare record."""
    found = ref(collection.name)
    return {"anyOf": [members(data=found), found]}


# --- questions ----------------------------------------------------------------------------------

_NAMES: Final = items(TEXT)
_TEXTS: Final[JSONObject] = {"type": "object", "additionalProperties": TEXT}


def fields(collection: Collection) -> tuple[Parameter, ...]:
    """The parameters that say what comes of each record."""
    hidden = ", ".join(name for name, field in collection.fields.items() if field.hidden)
    more = f" Only by name: {hidden}." if hidden else ""
    return (
        Parameter("fields", f"`name`, `operations.key`, `count(operations)`, `*`.{more}", _NAMES),
        Parameter("alias", "Fields by the names they should have.", _TEXTS, json=True),
        Parameter("deep", "`_filter`, `_limit`, … of related records.", OBJECT, json=True),
        Parameter("export", "Answer with a file.", {"enum": list(FORMATS)}),
    )


def question(collection: Collection) -> tuple[Parameter, ...]:
    """All parameters."""
    natural: JSONObject = {"type": "integer", "minimum": 0}
    return (
        *fields(collection),
        Parameter("filter", "Which records.", ref(f"{collection.name}_filter"), json=True),
        Parameter("search", "A text that one of the fields must contain.", TEXT),
        Parameter("sort", "Fields to sort by, with `-` before them the other way.", _NAMES),
        Parameter("limit", "How many: 100, and all if it is -1.", {**natural, "minimum": -1}),
        Parameter("offset", "How many are left out before them.", natural),
        Parameter("page", "The same as a number of pages, from 1.", natural),
        Parameter("meta", "Counts beside the answer.", items({"enum": ["*", *COUNTS]})),
        Parameter("aggregate", "Fields by `count`, `min`, `max`, …", OBJECT, json=True),
        Parameter("groupBy", "Fields of which each value has a row of its own.", _NAMES),
    )


def as_body(parameters: Iterable[Parameter]) -> JSONObject:
    """The same question in the body of a SEARCH."""
    asked = members((), **{each.name: each.schema for each in parameters})
    return members((), query=asked, keys=items({})) | {"additionalProperties": False}


# --- all else -----------------------------------------------------------------------------------

ISSUE: Final = members(
    path=TEXT,
    line=INTEGER,
    column=INTEGER,
    severity={"enum": [each.value for each in Severity]},
    code=TEXT,
    message=TEXT,
    hint=or_null(TEXT),
)

_LOADED: Final = members(
    digest=TEXT,
    revision=TEXT,
    generation=or_null(INTEGER),
    firstLoaded=TIME,
    lastLoaded=TIME,
    durationSeconds={"type": "number"},
    status=TEXT,
    total=INTEGER,
)

_CONDITION: Final = members(
    type=TEXT,
    status={"enum": ["True", "False", "Unknown"]},
    reason=TEXT,
    message=TEXT,
    lastTransitionTime=TIME,
    observedGeneration=INTEGER,
)

SOURCE: Final = members(
    path=TEXT,
    watch=members(mode=TEXT, missed=INTEGER),
    generation=INTEGER,
    digest=TEXT,
    revision=TEXT,
    kind=or_null(TEXT),
    lastAttemptedRevision=or_null(TEXT),
    lastAttemptedTime=or_null(TIME),
    lastAppliedRevision=or_null(TEXT),
    lastAppliedTime=or_null(TIME),
    conditions=items(_CONDITION),
    history=items(_LOADED),
    flows=members(**{each.value: INTEGER for each in State}),
    issues=items(ref("Issue")),
)

BOOLEAN: Final = {"type": "boolean"}
_STATES: Final = ("queued", "running", "waiting", *(each.value for each in Status))
EXECUTION: Final = members(
    ["id", "flow", "status", "records"],
    id=TEXT,
    flow=TEXT,
    flow_id=TEXT,
    digest=TEXT,
    revision=TEXT,
    generation=INTEGER,
    trigger=TEXT,
    parent_id=or_null(TEXT),
    durable=BOOLEAN,
    status={"enum": list(_STATES)},
    accepted=TEXT,
    started=or_null(TEXT),
    finished=or_null(TEXT),
    duration_ms=or_null({"type": "number"}),
    error=or_null(OBJECT),
    steps=INTEGER,
    records=items(OBJECT),
)

INFO: Final = members(
    ["project"],
    project=members(project_name=TEXT),
    version=TEXT,
    revision=TEXT,
    queryLimit=members(default=INTEGER, max=INTEGER),
)

GRAPHQL: Final = members(["data"], data=or_null(OBJECT), errors=items(members(message=TEXT)))


def errors(codes: Iterable[str] = ()) -> JSONObject:
    """The envelope of errors, each with one of *codes*, or with any."""
    code = {"enum": sorted(codes)} if codes else TEXT
    error = members(message=TEXT, extensions=members(code=code))
    return members(errors=items(error) | {"minItems": 1}) | {"additionalProperties": False}
