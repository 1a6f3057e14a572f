"""
What the errors of databases mean to a flow.

Their messages are cut to the first line: what follows shows rows, or statements.
"""

import re
from typing import Any, Final

from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from runner.errors import OperationError
from runner.items import violations
from runner.items.engines import CONNECTIONS
from runner.secrets import SecretMissing

ERRORS: Final = (SQLAlchemyError, SecretMissing)
"""What `explained` takes."""

#: SQLSTATEs, by how they begin.
_GONE: Final = ("08", "53", "57P")
_LOCKED: Final = ("40", "55P03")
_LATE: Final = ("57014",)
_CHANGED: Final = ("42703", "42P01")

_SQLITE_CHANGED: Final = re.compile("no such (table|column)|has no column")


def explained(error: Exception, database: str) -> OperationError:
    """What *error*, one of ERRORS, that *database* gave means."""
    if isinstance(error, SecretMissing):  # or is not there any more
        return _unavailable(database, error.message)
    if isinstance(error, PoolTimeoutError):
        return _busy(database, f"all {CONNECTIONS} connections are in use")
    if not isinstance(error, DBAPIError):
        return _failed(database, str(error).partition("\n")[0])
    if isinstance(error, IntegrityError) and (refused := violations.explain(error)):
        return refused  # at the commit: what could wait until then does not hold
    driver: Any = error.orig
    said = str(driver).partition("\n")[0].rpartition(" failed: ")[2]
    if error.connection_invalidated:
        return _unavailable(database, said)
    if hasattr(driver, "sqlstate"):
        return _postgresql(database, driver.sqlstate, said, error)
    return _sqlite(database, getattr(driver, "sqlite_errorname", ""), said)


def _postgresql(database: str, state: str | None, said: str, error: DBAPIError) -> OperationError:
    if state is None:
        # libpq's own: it could not connect. psycopg's own, of values it cannot send, are others.
        unreachable = type(error).__name__ in ("OperationalError", "InterfaceError")
        return (_unavailable if unreachable else _failed)(database, said)
    if state.startswith(_LATE):
        return OperationError(said, name="Timeout", code="TIMED_OUT", status=504)
    if state.startswith(_GONE):
        return _unavailable(database, said)
    if state.startswith(_LOCKED):
        return _busy(database, said)
    return (_changed if state in _CHANGED else _failed)(database, said)


def _sqlite(database: str, name: str, said: str) -> OperationError:
    if name.startswith("SQLITE_CANTOPEN"):
        return _unavailable(database, f"{said}; a new one is not made by itself")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return _busy(database, said)
    return (_changed if _SQLITE_CHANGED.search(said) else _failed)(database, said)


def _unavailable(database: str, why: str) -> OperationError:
    message = f'the database "{database}" cannot be reached: {why}'
    return OperationError(message, name="DatabaseError", code="DATABASE_UNAVAILABLE", status=503)


def _busy(database: str, why: str) -> OperationError:
    message = f'the database "{database}" is busy: {why}'
    return OperationError(message, name="DatabaseError", code="DATABASE_BUSY", status=503)


def _changed(database: str, why: str) -> OperationError:
    message = f'the database "{database}" has changed: {why}'
    return OperationError(message, name="DatabaseError", code="COLLECTION_CHANGED")


def _failed(database: str, why: str) -> OperationError:
    message = f'the database "{database}" refuses this: {why}'
    return OperationError(message, name="DatabaseError", code="DATABASE_ERROR")
