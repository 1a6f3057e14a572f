"""What goes back: JSON, and one envelope for everything that went wrong."""

from collections.abc import Mapping

from aiohttp import hdrs, web

from runner import jsontext
from runner.errors import (
    InvalidCredentials,
    InvalidPayload,
    InvalidQuery,
    MethodNotAllowed,
    RequestsExceeded,
    RunnerError,
    StoreError,
    Unavailable,
)
from runner.model import Result, Status
from runner.types import JSONObject, JSONValue

_HEADERS = {
    str(hdrs.CONTENT_TYPE): "application/json; charset=utf-8",
    str(hdrs.CACHE_CONTROL): "no-cache",
}
_UNEXPECTED = "An unexpected error occurred."
_INTERNAL = "INTERNAL_SERVER_ERROR"


def json(
    value: JSONValue, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """*value* as it is; null has no content."""
    if value is None:
        return web.Response(status=204, headers=headers)
    return written(jsontext.write(value), status, headers)


def written(
    body: bytes, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """JSON that was written before."""
    return web.Response(body=body, status=status, headers={**_HEADERS, **(headers or {})})


def quoted(name: str) -> str:
    """A name that a caller wrote, as a message may show it: short, and in quotes."""
    return jsontext.write(name if len(name) <= 60 else f"{name[:59]}…").decode()


def refuse(error: RunnerError, headers: Mapping[str, str] | None = None) -> web.Response:
    """The envelope of an error that a request met."""
    more = dict(headers or {})
    match error:
        case MethodNotAllowed():
            more[hdrs.ALLOW] = ", ".join(error.allowed)
        case Unavailable() | RequestsExceeded():
            more[hdrs.RETRY_AFTER] = str(error.retry_after)
        case InvalidCredentials() if error.challenges:
            more[hdrs.WWW_AUTHENTICATE] = ", ".join(error.challenges)
    if error.status >= 500 and not isinstance(error, Unavailable):
        return envelope([{"message": _UNEXPECTED, "extensions": {"code": _INTERNAL}}], 500, more)
    extensions = {**_reason(error), **error.extensions, "code": error.code}
    message = error.told if isinstance(error, StoreError) else error.message
    return envelope([{"message": message, "extensions": extensions}], error.status, more)


def _reason(error: RunnerError) -> JSONObject:
    """What Directus repeats of a message that begins with what its code says."""
    _, begins, reason = error.message.partition(". ")
    if begins and isinstance(error, InvalidPayload | InvalidQuery):
        return {"reason": reason.removesuffix(".")}
    return {}


def envelope(
    errors: list[JSONObject], status: int, headers: Mapping[str, str] | None = None
) -> web.Response:
    """`{"errors": […]}`, as Directus answers."""
    return json({"errors": errors}, status, headers)


def failure(result: Result, *, trusted: bool, headers: Mapping[str, str]) -> web.Response:
    """What a waiting caller is told of an execution that did not resolve."""
    match result:
        case Result(Status.REJECTED, value):
            return rejection(value, trusted=trusted, headers=headers)
        case Result(Status.TIMED_OUT, dict(error)):
            told = {"message": error.get("message"), "extensions": {"code": error.get("code")}}
            return envelope([told], 504, headers)
        case Result(Status.CANCELLED, {"code": "CANCELLED"}):  # somebody meant it
            told = {"message": "The execution was cancelled.", "extensions": {"code": "CANCELLED"}}
            return envelope([told], 409, headers)
        case _:
            return refuse(Unavailable("The execution was ended; try again later."), headers)


def rejection(value: JSONValue, *, trusted: bool, headers: Mapping[str, str]) -> web.Response:
    """
    What a waiting caller is told of a final rejection.

    An error that names its status and code was meant for the caller; of every other one only a
    *trusted* caller sees more than that it happened.
    """
    values = value if isinstance(value, list) and value else [value]
    told = [_told(each, trusted=trusted) for each in values]
    statuses = {status for _, status in told}
    status = statuses.pop() if len(statuses) == 1 else 500
    return envelope([error for error, _ in told], status, headers)


def _told(value: JSONValue, *, trusted: bool) -> tuple[JSONObject, int]:
    error = value if isinstance(value, dict) else {"message": value}
    status, code, message = (error.get(key) for key in ("status", "code", "message"))
    extensions = error.get("extensions")
    more = extensions if isinstance(extensions, dict) else {}
    # What another server told a `request` is for the flow, not for its caller.
    ours = "statusText" not in error
    if ours and isinstance(status, int) and 400 <= status <= 599 and isinstance(code, str):
        return {"message": str(message), "extensions": {**more, "code": code}}, status
    if trusted and message is not None:
        known = code if isinstance(code, str) else _INTERNAL
        return {"message": str(message), "extensions": {**more, "code": known}}, 500
    return {"message": _UNEXPECTED, "extensions": {"code": _INTERNAL}}, 500
