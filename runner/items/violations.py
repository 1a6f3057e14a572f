"""
What a database refuses to store, with Directus' codes.

Drivers put the values, and the statement, into their messages: what is said here is made of the
names of columns alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Column, Table
from sqlalchemy.exc import DataError, DBAPIError

from runner.errors import OperationError
from runner.items.refusals import described, refusal
from runner.schema import quoted
from runner.types import JSONObject

#: What happened, by SQLSTATE (PostgreSQL) and by the name of the error (SQLite).
_KINDS: Final[Mapping[str, str]] = {
    "23502": "null",
    "SQLITE_CONSTRAINT_NOTNULL": "null",
    "23505": "unique",
    "SQLITE_CONSTRAINT_PRIMARYKEY": "unique",
    "SQLITE_CONSTRAINT_ROWID": "unique",
    "SQLITE_CONSTRAINT_UNIQUE": "unique",
    "23001": "foreign",
    "23503": "foreign",
    "SQLITE_CONSTRAINT_FOREIGNKEY": "foreign",
    "23514": "check",
    "23P01": "check",
    "44000": "check",
    "SQLITE_CONSTRAINT_CHECK": "check",
    "P0001": "trigger",
    "SQLITE_CONSTRAINT_TRIGGER": "trigger",
    "22001": "long",
    "22003": "range",
    "SQLITE_CONSTRAINT_DATATYPE": "misfit",
    "SQLITE_MISMATCH": "misfit",
    "SQLITE_TOOBIG": "misfit",
}

#: Code and message of each kind.
_SAID: Final[Mapping[str, tuple[str, str]]] = {
    "null": ("FAILED_VALIDATION", "Validation failed: {} must not be null."),
    "unique": ("RECORD_NOT_UNIQUE", "The value of {} has to be unique."),
    "foreign": ("INVALID_FOREIGN_KEY", "A reference from or to {} would lead nowhere."),
    "check": ("FAILED_VALIDATION", "A rule of the database does not hold for {}."),
    "trigger": ("FAILED_VALIDATION", "A trigger of the database does not allow this for {}."),
    "long": ("VALUE_TOO_LONG", "The value of {} is too long."),
    "range": ("VALUE_OUT_OF_RANGE", "The value of {} is out of range."),
    "misfit": ("INVALID_PAYLOAD", "Invalid payload. The value of {} does not fit."),
}

#: All other SQLSTATEs that begin so are about values that cannot be read.
_DATA: Final = "22"


def explain(
    error: DBAPIError,
    table: Table | None = None,
    rows: Sequence[JSONObject] = (),
    *,
    adds: bool = False,
) -> OperationError | None:
    """
    Say what the database has against *rows*, by column, that were to be written to *table*.

    *adds* says that the rows are new, and not what is to be set in others. Without a table, it is
    the whole transaction that is refused. None: the error is about something else.
    """
    told: Any = error.orig
    state = getattr(told, "sqlstate", None) or getattr(told, "sqlite_errorname", None) or ""
    kind = _KINDS.get(state)
    if kind is None and (state.startswith(_DATA) or isinstance(error, DataError)):
        kind = "misfit"
    if kind is None:
        return None
    columns = [] if table is None else _columns(told, table)
    if kind == "null" and table is not None:
        lacking = _nulls(table, columns, rows, adds=adds)
        return _failed([_lacking(*each) for each in lacking.items()])
    code, phrase = _SAID[kind]
    field = ", ".join(columns) or None
    collection = None if table is None else table.name
    where = "a field" if field is None else quoted(field)
    where += "" if collection is None else f" in {quoted(collection)}"
    return refusal(code, phrase.format(where), collection=collection, field=field)


def required(field: str) -> OperationError:
    """The error of a *field* that has to be given."""
    return _failed([_lacking(field, "required")])


def _failed(failures: list[JSONObject]) -> OperationError:
    """As `condition` rejects: with a list."""
    return OperationError(failures[0]["message"], data=failures)


def _columns(error: Any, table: Table) -> list[str]:
    """Columns that the driver names, itself or by a constraint of them."""
    diagnostics = getattr(error, "diag", None)
    if diagnostics is None:
        # `UNIQUE constraint failed: articles.slug, articles.lang`
        told = str(error).partition("constraint failed: ")[2].split(", ")
        return [each.name for each in table.columns if f"{table.name}.{each.name}" in told]
    if diagnostics.column_name:
        return [diagnostics.column_name]
    if diagnostics.constraint_name and diagnostics.table_name == table.name:
        named: list[Any] = [*table.constraints, *table.indexes]
        for each in named:
            if each.name == diagnostics.constraint_name:
                return [column.name for column in each.columns]
    return []


def _nulls(
    table: Table, named: Sequence[str], rows: Sequence[JSONObject], *, adds: bool
) -> dict[str, str]:
    """All fields that need a value and have none, each with how it comes; the driver names one."""
    found: dict[str, str] = {}
    for column in table.columns:
        if column.nullable:
            continue
        if any(row.get(column.name, ...) is None for row in rows):
            found[column.name] = "nnull"
        elif column.name in named or (adds and _needed(column, rows)):
            found[column.name] = "required"
    return found or dict.fromkeys(named, "required")


def _needed(column: Column[Any], rows: Sequence[JSONObject]) -> bool:
    made = column.primary_key or column.server_default is not None or column.identity is not None
    return not made and any(column.name not in row for row in rows)


def _lacking(field: str, kind: str) -> JSONObject:
    must = "must not be null" if kind == "nnull" else "is required"
    message = f"Validation failed: {quoted(field)} {must}."
    return described("FAILED_VALIDATION", message, field=field, type=kind)
