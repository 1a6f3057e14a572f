"""What all item operations have in common: where items are, and who may do what with them."""

from collections.abc import Iterator
from typing import Final

from runner import permissions, schema, template
from runner.items.databases import DATABASES, Database
from runner.operations.base import Extra, Finding, OperationContext
from runner.settings import Settings
from runner.types import JSONObject

EXTRA: Final = Extra("items", ("sqlalchemy", "aiosqlite", "psycopg"))
"""What they need installed."""

_DEFAULT: Final = "default"

#: What a query can say; the last three without effect here, as nobody asks by HTTP.
_QUERY: Final = (
    "fields", "filter", "search", "sort", "limit", "offset", "page", "aggregate", "groupBy",
    "alias", "deep", "meta", "export",
)  # fmt: skip

#: Seconds to undo what was begun, when the time of an operation is up.
_GRACE: Final = 5.0


def query_warnings(options: JSONObject) -> tuple[Finding, ...]:
    """Of what is written in `query` and means nothing there: who misspells `limit` has none."""
    query = options.get("query")
    if not isinstance(query, dict):
        return ()
    known = ", ".join(_QUERY)
    return tuple(
        Finding(
            "unknown-key",
            f"{schema.quoted(name)} means nothing in a query",
            ("query", name),
            schema.nearest(name, _QUERY, prefix="") or f"known here: {known}",
        )
        for name in query
        if name not in _QUERY
    )


def attach(options: JSONObject, settings: Settings) -> Iterator[Finding]:
    """What of the database and the role that *options* name the *settings* do not have."""
    database = options.get("database") or _DEFAULT
    if not template.has_template(database) and database not in settings.databases:
        hint = schema.nearest(database, settings.databases, prefix="")
        known = ", ".join(settings.databases)
        hint = hint or (f"they have {known}" if known else "add it to `databases`")
        at = ("database",) if "database" in options else ()
        message = f"the settings have no database {schema.quoted(database)}"
        yield Finding("unknown-database", message, at, hint)
    role = options.get("permissions") or permissions.TRIGGER
    problem = None if template.has_template(role) else permissions.problem(role, settings)
    if problem is not None:
        yield Finding("unknown-role", problem[0], ("permissions",), problem[1])


def database(options: JSONObject, context: OperationContext) -> Database:
    """The database that *options* name. Raises OperationError."""
    return context.resources[DATABASES].get(options.get("database") or _DEFAULT)


def require(options: JSONObject, context: OperationContext, *verbs: str) -> None:
    """Raise OperationError unless the operation may do all of *verbs* with the collection."""
    asked = options.get("permissions") or context.permissions
    settings = context.resources[DATABASES].settings
    role = permissions.role(asked, context.accountability, settings)
    for verb in verbs:
        permissions.require(role, options["collection"], verb)


def seconds(context: OperationContext) -> float | None:
    """How long a database may take; None: `limits.request_time`."""
    timeout = context.execution.timeout
    # The operation ends before that, and nothing interrupts how it cleans up.
    return None if timeout is None else timeout + _GRACE
