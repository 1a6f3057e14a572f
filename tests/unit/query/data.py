"""What the tests ask about: the flows of a recording, and items with values of every type."""

import json
from pathlib import Path
from typing import Any, Final

from runner.query import language
from runner.query.model import Collection, Field, Query, Schema, ToMany, ToOne, Type
from runner.query.run import run
from runner.query.tables import Tables
from runner.types import JSONObject, JSONValue
from runner.web import bodies
from runner.web.listing import FLOWS, OPERATIONS, USERS

RECORDED: Final[dict[str, Any]] = json.loads(
    Path(__file__).with_name("recorded.json").read_text("utf-8")
)
"""What a running Directus 10.13.4 answered, and where we differ from it on purpose."""

ITEMS: Final = Collection(
    "items",
    {
        "n": Field(Type.INTEGER),
        "text": Field(Type.STRING),
        "number": Field(Type.FLOAT),
        "flag": Field(Type.BOOLEAN),
        "at": Field(Type.TIMESTAMP),
        "json": Field(Type.JSON),
        "secret": Field(Type.STRING, hidden=True),
        "parent": Field(Type.INTEGER, relation=ToOne("items")),
        "children": Field(Type.ALIAS, relation=ToMany("items", "parent")),
    },
    primary_key="n",
)
SCHEMA: Final[Schema] = {each.name: each for each in (FLOWS, OPERATIONS, USERS, ITEMS)}

ROWS: Final[list[JSONObject]] = [
    {"n": 1, "text": "one", "number": 1.5, "flag": True, "at": "2024-01-31T23:30:00Z",
     "json": {"a": [{"b": 1}]}, "secret": "s", "parent": None},
    {"n": 2, "text": "Two", "number": 2, "flag": False, "at": "2024-02-01T00:30:00+01:00",
     "json": [1, 2, 3], "secret": "t", "parent": 1},
    {"n": 3, "text": None, "number": None, "flag": None, "at": None, "json": None, "parent": 1},
    {"n": 4, "text": "", "number": -4, "flag": True, "at": "no date", "json": [], "parent": 2},
    {"n": 5, "text": "5", "number": 2, "flag": None, "at": "2024-12-29", "json": {}, "parent": 9},
]  # fmt: skip
"""Items 2 and 3 are children of 1, item 4 of 2; the parent of 5 does not exist."""

TABLES: Final = Tables(
    SCHEMA,
    {
        "directus_flows": RECORDED["flows"],
        "directus_operations": RECORDED["operations"],
        "items": ROWS,
    },
)


def parse(given: str | JSONObject, collection: Collection = ITEMS, **more: Any) -> Query:
    """Read parameters; a text is a query string, read as the server reads it."""
    parameters = bodies.query(given) if isinstance(given, str) else given
    return language.parse(parameters, collection, SCHEMA, **more)


def ask(given: str | JSONObject, collection: Collection = ITEMS) -> Any:
    """The data of the answer."""
    return run(parse(given, collection), TABLES).data


def found(filter_: JSONValue, **more: Any) -> list[Any]:
    """The numbers of the items that a filter finds."""
    query = parse({"filter": filter_, "fields": "n"}, **more)
    return [row["n"] for row in run(query, TABLES).data]
