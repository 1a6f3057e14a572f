"""The errors of item operations: Directus' codes, and what a waiting caller is told."""

from runner.errors import OperationError
from runner.types import JSONObject, JSONValue


def described(code: str, message: str, status: int = 400, **extensions: JSONValue) -> JSONObject:
    """An error as data, named after its *code*; *extensions* say what it is about: `field`."""
    name = code.title().replace("_", "")
    data: JSONObject = {"name": name, "message": message, "code": code, "status": status}
    # The names that SQLAlchemy gives are texts of its own kind, and no JSON.
    plain = {
        key: str(value) if isinstance(value, str) else value for key, value in extensions.items()
    }
    return {**data, "extensions": plain} if extensions else data


def refusal(code: str, message: str, status: int = 400, **extensions: JSONValue) -> OperationError:
    """The same, to reject with."""
    data = described(code, message, status, **extensions)
    return OperationError(message, code=code, status=status, data=data)


def invalid_payload(reason: str) -> OperationError:
    """The error of what cannot be written: *reason* is a sentence without its full stop."""
    return refusal("INVALID_PAYLOAD", f"Invalid payload. {reason}.".replace("?.", "?"))


def invalid_query(reason: str) -> OperationError:
    """The error of a query that means nothing: *reason* is a sentence without its full stop."""
    return refusal("INVALID_QUERY", f"Invalid query. {reason}.")
