"""The records that travel between the parts: frozen, and each field has its sentence."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, NamedTuple, TypeAlias

from runner.template import Template
from runner.types import JSONObject, JSONValue

# --- issues -------------------------------------------------------------------------------------


class Severity(StrEnum):
    """Whether an issue keeps its flow from running."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One finding about a document."""

    #: The file, relative to the flows folder, with forward slashes.
    path: str
    #: Line and column, counted from 1.
    line: int
    column: int
    severity: Severity = Severity.ERROR
    #: Stable, kebab-case: what kind of finding this is.
    code: str
    #: What is wrong.
    message: str
    #: What to do about it, where that can be said.
    hint: str | None = None

    def as_data(self) -> JSONObject:
        """Everything it says, for programs."""
        return {
            "path": self.path,
            "line": self.line,
            "column": self.column,
            "severity": self.severity.value,
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
        }

    def __str__(self) -> str:
        """`path:line:column: severity: message [code]`, the form every tool reads."""
        hint = f" ({self.hint})" if self.hint else ""
        where = f"{self.path}:{self.line}:{self.column}"
        return f"{where}: {self.severity}: {self.message}{hint} [{self.code}]"


# --- outcomes -----------------------------------------------------------------------------------


class Resolved(NamedTuple):
    """An operation succeeded with *value*."""

    value: JSONValue


class Rejected(NamedTuple):
    """An operation failed; *value* is the error as the data chain holds it."""

    value: JSONValue


Outcome: TypeAlias = Resolved | Rejected


class Status(StrEnum):
    """How an execution ended."""

    RESOLVED = "resolved"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    INTERRUPTED = "interrupted"


class Result(NamedTuple):
    """How an execution ended, and with which value (of a rejection: the error)."""

    status: Status
    value: JSONValue


# --- triggers -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Auth:
    """How a webhook knows its callers."""

    #: `none`, `bearer` or `token`.
    kind: str
    #: Lower-case name of the header that carries the credential; empty for `none`.
    header: str = ""
    #: Names of the secrets of which one must match: several while one is rotated.
    secrets: tuple[str, ...] = ()


#: Takes the data chain, gives what the caller of the flow gets.
Answer: TypeAlias = Callable[[Mapping[str, JSONValue]], JSONValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Anybody whom *auth* lets in starts the flow by HTTP."""

    kind: ClassVar[str] = "webhook"

    method: str
    auth: Auth
    answer: Answer
    #: Answer 202 at once and run afterwards.
    asynchronous: bool = False
    #: Answer a final rejection with its status; otherwise with 200 and the error, as Directus does.
    error_on_reject: bool = True
    #: Lower-case names of credential headers that stay readable in `$trigger.headers`.
    expose_headers: frozenset[str] = frozenset()
    #: Largest body in bytes, where it differs from the setting.
    max_body: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InputField:
    """One value that a manual start asks for."""

    name: str
    type: str
    required: bool = False
    #: Only meaningful when *has_default*.
    default: JSONValue = None
    has_default: bool = False
    #: The values that may be chosen; empty means any.
    choices: tuple[JSONValue, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Manual:
    """A known caller starts the flow by HTTP, as the button in Directus' Studio does."""

    kind: ClassVar[str] = "manual"

    answer: Answer
    #: Collections whose items it may be started for; None: it is not about items at all.
    collections: tuple[str, ...] | None = None
    require_selection: bool = True
    fields: tuple[InputField, ...] = ()
    asynchronous: bool = False
    error_on_reject: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationTrigger:
    """The `trigger` operation of another flow starts this one."""

    kind: ClassVar[str] = "operation"

    answer: Answer


Trigger: TypeAlias = Webhook | Manual | OperationTrigger


# --- flows --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """When and how often a rejected operation is tried again. Times are in seconds."""

    #: Tries altogether, the first one included.
    attempts: int
    delay: float = 0.0
    #: `constant` or `exponential`.
    backoff: str = "constant"
    max_delay: float = 60.0
    #: Share of the delay that is random: 0.2 means between 80 % and 120 %.
    jitter: float = 0.0


#: What an operation does: rendered options and an OperationContext in, a JSON value out.
Handler: TypeAlias = Callable[[JSONObject, Any], Awaitable[JSONValue]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Operation:
    """One node of a flow, with its references checked."""

    id: str
    #: Unique in the flow; the name of its value in the data chain.
    key: str
    type: str
    name: str | None = None
    #: Settings, with their templates compiled and their leaves checked when rendered.
    options: Template
    handler: Handler
    #: No effect outside the chain: never retried, never timed.
    pure: bool = False
    #: Key of the operation that follows success; None: the flow ends.
    resolve: str | None = None
    #: Key of the operation that follows failure; None: the flow ends.
    reject: str | None = None
    #: `reject: null`: failing here is fine, the flow ends resolved with null.
    guard: bool = False
    #: Seconds for one attempt.
    timeout: float | None = None
    retry: Retry | None = None
    position: tuple[int, int] | None = None
    #: The options as the file says them.
    definition: JSONObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Flow:
    """A compiled flow: everything that can be known before it runs is known."""

    id: str
    key: str
    name: str
    #: The file it came from, relative to the flows folder.
    path: str
    #: sha256 of the file's bytes, as hex.
    digest: str
    trigger: Trigger
    #: By key, in the order of the file.
    operations: Mapping[str, Operation]
    #: Key of the operation that runs first.
    first: str | None = None
    active: bool = True
    #: Default permission of its operations: `$trigger`, `$public`, `$full` or a role.
    accountability: str = "$trigger"
    #: `all`, `activity` or `none`: what the records say of an execution.
    tracking: str = "all"
    #: Seconds for a whole execution.
    timeout: float | None = None
    #: How many executions may run at once; None: any number.
    max_running: int | None = None
    #: What the caller is told when that many run: True 409 (`single`), False 503.
    single: bool = False
    #: What the file says of durability; None: what its trigger implies.
    durable: bool | None = None
    icon: str | None = None
    color: str | None = None
    description: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    date_created: str | None = None
    user_created: str | None = None
    #: The trigger's options as the file says them.
    definition: JSONObject = field(default_factory=dict)

    def after(self, operation: Operation, outcome: Outcome) -> Operation | None:
        """The operation that follows *operation* when it ended with *outcome*."""
        key = operation.resolve if type(outcome) is Resolved else operation.reject
        return None if key is None else self.operations[key]


class State(StrEnum):
    """What of a flow file runs."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    #: The file has an error; its last good version runs.
    STALE = "stale"
    #: The file has an error and never was good; nothing runs.
    INVALID = "invalid"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Entry:
    """One flow file in a generation, whether it runs or not."""

    id: str
    key: str
    name: str
    path: str
    state: State
    #: What runs: None when invalid.
    flow: Flow | None
    issues: tuple[Issue, ...] = ()

    @property
    def running(self) -> Flow | None:
        """The flow, where it may start."""
        return self.flow if self.state in (State.ACTIVE, State.STALE) else None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Generation:
    """An immutable, numbered snapshot of all flows."""

    #: 0 before the first load.
    number: int
    #: sha256 over the sorted paths and bytes of all files, as hex.
    digest: str
    #: Where the files came from: a git commit, a ConfigMap's version, else the digest.
    revision: str
    #: When it was put in place, in UTC.
    loaded: datetime
    #: By flow key, sorted.
    entries: Mapping[str, Entry]
    #: From flow id to flow key.
    keys: Mapping[str, str]

    def find(self, name: str) -> Entry | None:
        """The entry whose id or key is *name*."""
        return self.entries.get(self.keys.get(name, name))


# --- events -------------------------------------------------------------------------------------


class Event(NamedTuple):
    """Something that happens, told to the flows that wait for it by name."""

    #: The `type` of a CloudEvent: `articles.items.create`.
    name: str
    payload: JSONValue
    #: The other members of `$trigger`: `collection` and `keys`, or what a CloudEvent says.
    members: JSONObject
    #: It has not happened yet: filter flows may change its payload, or refuse it.
    ahead: bool = False


# --- starts -------------------------------------------------------------------------------------


# One of each is made for every request: as named tuples they cost a third of a frozen dataclass.


class Accountability(NamedTuple):
    """Who caused an execution; `$accountability` of its data chain."""

    user: str | None = None
    #: The role's id, or its name in the settings where it has no id.
    role: str | None = None
    admin: bool = False
    ip: str | None = None
    user_agent: str | None = None
    origin: str | None = None

    def as_data(self) -> JSONObject:
        """With Directus' member names."""
        return {
            "user": self.user,
            "role": self.role,
            "roles": [] if self.role is None else [self.role],
            "admin": self.admin,
            "app": self.admin,
            "ip": self.ip,
            "userAgent": self.user_agent,
            "origin": self.origin,
        }


class Start(NamedTuple):
    """Everything that begins an execution of *flow*."""

    flow: Flow
    #: The flows it may start by name, and the revision its records say.
    generation: Generation
    #: Becomes `$trigger`.
    trigger_data: JSONValue
    accountability: Accountability | None = None
    #: Values the caller authenticated with; no record ever shows them.
    credentials: tuple[str, ...] = ()
    #: The caller's W3C trace id, 32 hex digits; None: a trace of its own.
    trace_id: str | None = None
    #: Nobody waits for the result.
    detached: bool = False
