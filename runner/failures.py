"""How failures look as data: in the data chain, in records, in what a caller is told."""

from runner.errors import RunnerError
from runner.types import JSONObject, JSONValue


def describe(error: Exception) -> JSONObject:
    """An unexpected *error* as the data chain holds it: name, message, code; never a stack."""
    data: JSONObject = {"name": type(error).__name__, "message": str(error)}
    if isinstance(error, RunnerError):
        data["code"] = error.code
    return data


def summary(value: JSONValue) -> JSONObject:
    """A rejection of any shape as an object with at least `name` and `message`."""
    if isinstance(value, list) and value:
        first = summary(value[0])
        messages = "; ".join(str(summary(each)["message"]) for each in value[:10])
        return {**first, "message": messages, "errors": value}
    if isinstance(value, dict):
        return {"name": "Error", "message": "the operation failed", **value}
    return {"name": "Error", "message": "the operation failed" if value is None else str(value)}


def brief(value: JSONValue) -> JSONObject:
    """`error` of a record: name, message and, where known, code."""
    known = summary(value)
    code = {"code": str(known["code"])} if known.get("code") else {}
    return {"name": str(known["name"]), "message": str(known["message"]), **code}
