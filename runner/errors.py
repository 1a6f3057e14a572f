"""What can go wrong, each a sentence.

The first line of a docstring is the message when none is given. ``code`` and ``status`` are what
an HTTP caller sees; the codes are Directus' own where Directus has one.
"""

from types import EllipsisType
from typing import Any, ClassVar

from runner.types import JSONObject, JSONValue, Path


class RunnerError(Exception):
    """An unexpected error occurred."""

    code: ClassVar[str] = "INTERNAL_SERVER_ERROR"
    status: ClassVar[int] = 500

    def __init__(self, message: str | None = None, **extensions: Any) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().split("\n")[0])
        self.extensions: JSONObject = extensions

    @property
    def message(self) -> str:
        """The sentence a reader gets."""
        return str(self)


# --- a file says something it cannot mean -------------------------------------------------------


class Malformed(RunnerError):
    """
    A part of a document does not parse.

    *at* is the path inside the value that was looked at; *hint* says what to write instead.
    """

    def __init__(self, message: str, at: Path = (), hint: str | None = None) -> None:
        super().__init__(message)
        self.at = at
        self.hint = hint


class TemplateError(Malformed):
    """A template does not parse."""


class RuleError(Malformed):
    """A filter rule does not parse."""


class SettingsError(RunnerError):
    """The settings cannot be used."""


class SourceError(RunnerError):
    """The flows cannot be read."""


# --- an execution cannot be kept ----------------------------------------------------------------


class Lost(RunnerError):
    """This execution has ended, or another process runs it."""


class Unwritable(RunnerError):
    """This value cannot be kept."""

    code = "UNWRITABLE_VALUE"


class Suspended(BaseException):
    """
    Nothing is to be done before *at*, in seconds since 1970: the execution goes on then.

    It is no failure: nothing but the engine stops it on its way up.
    """

    def __init__(self, at: float) -> None:
        super().__init__(at)
        self.at = at


# --- an operation rejects -----------------------------------------------------------------------


class OperationError(RunnerError):
    """
    The operation failed.

    *data* replaces the usual ``{name, message, code, status}`` as what the chain gets.
    *code* and *status* are what a waiting caller is told.
    """

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str | None = None,
        status: int | None = None,
        data: JSONValue | EllipsisType = ...,
        name: str | None = None,
    ) -> None:
        super().__init__(message)
        self.name = name or type(self).__name__
        self.own_code = code
        self.own_status = status
        self.data = data

    def as_data(self) -> JSONValue:
        """What the data chain gets: never a stack."""
        if not isinstance(self.data, EllipsisType):
            return self.data
        data: JSONObject = {"name": self.name, "message": self.message}
        if self.own_code is not None:
            data["code"] = self.own_code
        if self.own_status is not None:
            data["status"] = self.own_status
        return data


# --- a caller is told no ------------------------------------------------------------------------


class InvalidPayload(RunnerError):
    """Invalid payload."""

    code = "INVALID_PAYLOAD"
    status = 400


class InvalidQuery(RunnerError):
    """Invalid query."""

    code = "INVALID_QUERY"
    status = 400


class InvalidCredentials(RunnerError):
    """
    Invalid user credentials.

    *reason* is for the records; the caller is not told. *challenges* name the HTTP schemes that
    they may prove themselves with (RFC 9110, 11.6.1).
    """

    code = "INVALID_CREDENTIALS"
    status = 401

    def __init__(
        self, reason: str = "credentials", challenges: tuple[str, ...] = ("Bearer",)
    ) -> None:
        super().__init__()
        self.reason = reason
        self.challenges = challenges


class UnknownToken(InvalidCredentials):
    """Invalid user credentials."""


class Forbidden(RunnerError):
    """
    You don't have permission to access this.

    *reason* is for the records; the caller is not told.
    """

    code = "FORBIDDEN"
    status = 403

    def __init__(self, reason: str = "permission") -> None:
        super().__init__()
        self.reason = reason


class RouteNotFound(RunnerError):
    """This route doesn't exist."""

    code = "ROUTE_NOT_FOUND"
    status = 404


class FlowNotFound(RouteNotFound):
    """No flow has this id or key."""


class MethodNotAllowed(RunnerError):
    """This method is not allowed here."""

    code = "METHOD_NOT_ALLOWED"
    status = 405

    def __init__(self, method: str, allowed: tuple[str, ...], message: str | None = None) -> None:
        names = ", ".join(f'"{name}"' for name in allowed)
        super().__init__(
            message or f'Invalid method "{method}" used. Should be one of {names}.',
            allowed=list(allowed),
            current=method,
        )
        self.allowed = allowed


class Conflict(RunnerError):
    """This flow runs already, and runs once at a time."""

    code = "CONFLICT"
    status = 409


class Reentry(Conflict):
    """This flow would wait for itself for ever: it was started by an execution of its own."""


class ContentTooLarge(RunnerError):
    """The request is too large."""

    code = "CONTENT_TOO_LARGE"
    status = 413


class UnsupportedMediaType(RunnerError):
    """This content type cannot be read."""

    code = "UNSUPPORTED_MEDIA_TYPE"
    status = 415


class RequestsExceeded(RunnerError):
    """
    Too many requests; try again later.

    *retry_after* is in seconds.
    """

    code = "REQUESTS_EXCEEDED"
    status = 429

    def __init__(self, message: str | None = None, *, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(RunnerError):
    """
    The runner cannot take this now; try again later.

    *retry_after* is in seconds.
    """

    code = "SERVICE_UNAVAILABLE"
    status = 503

    def __init__(self, message: str | None = None, *, retry_after: int = 1, **more: Any) -> None:
        super().__init__(message, **more)
        self.retry_after = retry_after


class StoreError(Unavailable):
    """
    The store cannot be used.

    What is wrong is for the records: it names folders and servers. A caller is told *told*.
    """

    told = "What is accepted cannot be kept, or looked up, at the moment; try again later."

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message, retry_after=5)


class Draining(Unavailable):
    """The runner is stopping; try again later."""


class FlowInvalid(Unavailable):
    """The file of this flow has an issue, and there is no earlier version to run."""
