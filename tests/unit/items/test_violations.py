"""What is said of what a database refuses: its kind and the names of columns, never a value."""

from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Column, ForeignKey, Integer, MetaData, String, Table, UniqueConstraint
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from runner.items import violations

TABLE = Table(
    "people",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("email", String, nullable=False),
    Column("a.b", String),
    Column("friend", Integer, ForeignKey("people.id", name="people_friend_fkey")),
    UniqueConstraint("email", "a.b", name="people_email_key"),
)
SECRET = "s3cret"


class PostgresError(Exception):
    """As psycopg has it."""

    def __init__(self, state: str | None, **diagnostics: str) -> None:
        super().__init__(f"it is about {SECRET}\nDETAIL: Key (email)=({SECRET})")
        self.sqlstate = state
        known = {"column_name": None, "constraint_name": None, "table_name": "people"}
        self.diag = SimpleNamespace(**{**known, **diagnostics})


class SQLiteError(Exception):
    """As sqlite3 has it."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.sqlite_errorname = name


def explained(orig: Exception, kind: type[DBAPIError] = IntegrityError, **more: Any) -> Any:
    """What is said, as data."""
    error = violations.explain(kind(f"INSERT {SECRET}", {"a": SECRET}, orig), TABLE, **more)
    return None if error is None else error.as_data()


@pytest.mark.parametrize(
    ("orig", "code", "field"),
    [
        (PostgresError("23505", constraint_name="people_email_key"), "RECORD_NOT_UNIQUE",
         "email, a.b"),
        (PostgresError("23505", constraint_name="an_index"), "RECORD_NOT_UNIQUE", None),
        (PostgresError("23503", constraint_name="people_friend_fkey"), "INVALID_FOREIGN_KEY",
         "friend"),
        (PostgresError("23503", constraint_name="people_friend_fkey", table_name="notes"),
         "INVALID_FOREIGN_KEY", None),
        (PostgresError("23514", constraint_name="a_check"), "FAILED_VALIDATION", None),
        (PostgresError("P0001"), "FAILED_VALIDATION", None),
        (PostgresError("22001"), "VALUE_TOO_LONG", None),
        (PostgresError("22003"), "VALUE_OUT_OF_RANGE", None),
        (PostgresError("22P02"), "INVALID_PAYLOAD", None),
        (SQLiteError("SQLITE_CONSTRAINT_UNIQUE",
                     "UNIQUE constraint failed: people.email, people.a.b"),
         "RECORD_NOT_UNIQUE", "email, a.b"),
        (SQLiteError("SQLITE_CONSTRAINT_PRIMARYKEY", "UNIQUE constraint failed: people.id"),
         "RECORD_NOT_UNIQUE", "id"),
        (SQLiteError("SQLITE_CONSTRAINT_UNIQUE", "UNIQUE constraint failed: index 'x'"),
         "RECORD_NOT_UNIQUE", None),
        (SQLiteError("SQLITE_CONSTRAINT_FOREIGNKEY", "FOREIGN KEY constraint failed"),
         "INVALID_FOREIGN_KEY", None),
        (SQLiteError("SQLITE_CONSTRAINT_TRIGGER", f"not {SECRET}"), "FAILED_VALIDATION", None),
        (SQLiteError("SQLITE_CONSTRAINT_DATATYPE", f"cannot store {SECRET}"), "INVALID_PAYLOAD",
         None),
        (SQLiteError("SQLITE_MISMATCH", "datatype mismatch"), "INVALID_PAYLOAD", None),
    ],
)  # fmt: skip
def test_a_violation_has_directus_code_and_names_fields(
    orig: Exception, code: str, field: str | None
) -> None:
    """As far as the driver says which they are."""
    told = explained(orig)

    assert (told["code"], told["status"]) == (code, 400)
    assert told["extensions"] == {"collection": "people", "field": field}
    assert SECRET not in str(told)


def test_what_the_driver_cannot_send_does_not_fit() -> None:
    """A NUL in a text, for example: the server never saw it."""
    assert explained(PostgresError(None), DataError)["code"] == "INVALID_PAYLOAD"


@pytest.mark.parametrize(
    "orig", [PostgresError("42P01"), PostgresError(None), SQLiteError("SQLITE_BUSY", "locked")]
)
def test_what_is_not_about_the_items_is_left_to_others(orig: Exception) -> None:
    """A server that is gone, or a table that is, is no fault of a payload."""
    assert explained(orig) is None


@pytest.mark.parametrize(
    ("rows", "adds", "expected"),
    [
        ([{}], True, {"email": "required"}),
        ([{"email": None}], True, {"email": "nnull"}),
        ([{"email": "x"}, {"id": 1}], True, {"email": "required"}),
        ([{"email": None, "a.b": None}], False, {"email": "nnull"}),
        ([{"a.b": None}], False, {"email": "required"}),
    ],
)
def test_every_field_that_lacks_a_value_is_named(
    rows: list[Any], adds: bool, expected: dict[str, str]
) -> None:
    """With how: left out, or null."""
    told = explained(PostgresError("23502", column_name="email"), rows=rows, adds=adds)

    assert {each["extensions"]["field"]: each["extensions"]["type"] for each in told} == expected
    assert {each["code"] for each in told} == {"FAILED_VALIDATION"}


def test_a_commit_that_fails_is_about_no_field() -> None:
    """What is checked at the end could be any of the writes before."""
    error = violations.explain(IntegrityError("COMMIT", None, PostgresError("23503")))

    assert error is not None
    assert error.own_code == "INVALID_FOREIGN_KEY"
    assert SECRET not in str(error.as_data())
