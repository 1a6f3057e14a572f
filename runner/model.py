"""The records that travel between the parts: frozen, and each field has its sentence."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Any, ClassVar, Final, NamedTuple, TypeAlias

from runner.cron import Timetable
from runner.signatures import Scheme
from runner.template import Template
from runner.types import Chain, JSONObject, JSONValue

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
    """One way in which callers of a webhook prove themselves."""

    #: `bearer`, `basic`, `token`, `hmac`, `standard-webhooks`, or who calls: `github`, ….
    kind: str
    #: Lower-case name of the header that carries the credential.
    header: str
    #: Names of the secrets of which one must match: several while one is rotated.
    secrets: tuple[str, ...]
    #: Of `basic`; None: the secret is user and password, with a colon between them.
    username: str | None = None
    #: How they sign the body; None: the header carries the secret itself.
    scheme: Scheme | None = None


#: Takes the data chain, gives what the caller of the flow gets.
Answer: TypeAlias = Callable[[Mapping[str, JSONValue]], JSONValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Anybody whom *auth* lets in starts the flow by HTTP."""

    kind: ClassVar[str] = "webhook"

    method: str
    #: The ways to prove oneself, of which one is enough; empty: nobody has to.
    auth: tuple[Auth, ...] = ()
    #: Where callers have to come from; empty: from anywhere.
    allow_ips: tuple[IPv4Network | IPv6Network, ...] = ()
    answer: Answer
    #: *answer* gives `{status, headers, body}`, each of which may be missing.
    responds: bool = False
    #: Answer 202 at once and run afterwards.
    asynchronous: bool = False
    #: Answer a final rejection with its status; otherwise with 200 and the error, as Directus does.
    error_on_reject: bool = True
    #: Lower-case names of credential headers that stay readable in `$trigger.headers`.
    expose_headers: frozenset[str] = frozenset()
    #: Largest body in bytes, where it differs from the setting.
    max_body: int | None = None
    #: Takes `$trigger` and `$accountability`: whether this delivery is meant. None: every one is.
    wants: Callable[[Chain], bool] | None = None
    #: What the sender calls a delivery, where the flow says it. None: what headers say.
    name: Template | None = None
    #: Takes the body, gives the paths of what does not fit. None: every body fits.
    misfits: Callable[[JSONValue], list[str]] | None = None
    #: Lower-case names of the headers in which callers prove themselves.
    auth_headers: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "auth_headers", frozenset(each.header for each in self.auth))


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


@dataclass(frozen=True, slots=True, kw_only=True)
class EventTrigger:
    """Something that happens, or is about to, starts the flow."""

    kind: ClassVar[str] = "event"

    #: It is asked before the event happens; otherwise it is told afterwards, and nobody waits.
    filter: bool
    #: Names of events; a `*` at the end stands for any ending.
    scope: tuple[str, ...]
    #: Takes `$trigger` and `$accountability`: whether this event is meant. None: every one is.
    wants: Callable[[Chain], bool] | None = None
    #: What becomes of the payload; None: it stays as it is.
    answer: Answer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The clock starts the flow. Times are in seconds."""

    kind: ClassVar[str] = "schedule"

    timetable: Timetable
    answer: Answer
    #: What becomes of fires that nobody was there for: `skip`, `once` (the last one) or `all`.
    missed: str = "skip"
    #: For how long a fire that was missed is worth making up for.
    within: float = 3600.0
    #: The longest that a start is put off, each by another time.
    jitter: float = 0.0
    #: Fires once for all replicas that share a store; otherwise in each of them.
    shared: bool = True


Trigger: TypeAlias = Webhook | Manual | OperationTrigger | EventTrigger | Schedule


def starter(trigger: Trigger) -> str:
    """What starts a flow with this *trigger*, in a sentence: `a webhook`, `an event`."""
    return f"{'an' if trigger.kind == 'event' else 'a'} {trigger.kind}"


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
    #: Takes `$error`: whether another try is worth it. None: it always is.
    when: Callable[[Chain], bool] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Concurrency:
    """How many executions of a flow may run at once, and what becomes of one more."""

    #: `parallel`, `single`, `queued` or `restart`.
    mode: str
    #: How many may run at once.
    width: int = 1
    #: Tells apart what may run at the same time; rendered over the start's data.
    key: Template | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """How often a flow may start."""

    #: So many starts in *per* seconds, in one go or spread.
    starts: int
    per: float
    #: Tells apart what is counted on its own; rendered over the start's data.
    key: Template | None = None


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
    concurrency: Concurrency | None = None
    #: How often they may start; None: as often as they like.
    rate_limit: RateLimit | None = None
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
    #: The bytes of its file.
    content: bytes = b""
    #: Keys and ids of the flows that its text names.
    calls: tuple[str, ...] = ()

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
    #: Who waits for what.
    listeners: "Listeners" = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "listeners", Listeners(self.entries.values()))

    def find(self, name: str) -> Entry | None:
        """The entry whose id or key is *name*."""
        return self.entries.get(self.keys.get(name, name))


# --- events -------------------------------------------------------------------------------------

OWN_EVENTS: Final = "runner."
"""What happens to the runner itself has a name that begins like this."""

OWN_NAMES: Final = (
    "runner.started",
    "runner.stopping",
    "runner.generation.swapped",
    "runner.flow.failed",
    "runner.flow.succeeded",
)
"""What happens to the runner itself: all that there is of it."""

ITEM_EVENTS: Final = ("items.create", "items.update", "items.delete")
"""What happens to items; the name of their collection and a dot stand before it."""


class Event(NamedTuple):
    """Something that happens, told to the flows that wait for it by name."""

    #: The `type` of a CloudEvent: `articles.items.create`.
    name: str
    payload: JSONValue
    #: The other members of `$trigger`: `collection` and `keys`, or what a CloudEvent says.
    members: JSONObject
    #: It has not happened yet: filter flows may change its payload, or refuse it.
    ahead: bool = False

    def as_data(self) -> JSONObject:
        """It as `$trigger`, in Directus' order."""
        if self.ahead:
            return {"payload": self.payload, "event": self.name, **self.members}
        return {"event": self.name, "payload": self.payload, **self.members}


class Listener(NamedTuple):
    """A flow that waits for events."""

    flow: Flow
    trigger: EventTrigger

    def wants(self, data: JSONObject, who: "Accountability | None") -> bool:
        """Whether the event that *data* tells of is meant, caused by *who*."""
        if self.trigger.wants is None:
            return True
        caller = None if who is None else who.as_data()
        return self.trigger.wants({"$trigger": data, "$accountability": caller})


class Listeners:
    """The event flows of a generation; to find some takes as long however many there are."""

    __slots__ = ("_exact", "_lengths", "_prefixes")

    def __init__(self, entries: Iterable[Entry]) -> None:
        #: By whether they are asked ahead, and by name or what stands before the `*`.
        self._exact: dict[tuple[bool, str], list[Listener]] = {}
        self._prefixes: dict[tuple[bool, str], list[Listener]] = {}
        for entry in entries:
            flow = entry.running
            if flow is not None and isinstance(flow.trigger, EventTrigger):
                self._add(Listener(flow, flow.trigger))
        self._lengths = sorted({len(prefix) for _, prefix in self._prefixes})

    def _add(self, listener: Listener) -> None:
        ahead = listener.trigger.filter
        for name in listener.trigger.scope:
            index = self._prefixes if name.endswith("*") else self._exact
            index.setdefault((ahead, name.removesuffix("*")), []).append(listener)

    def of(self, name: str, *, ahead: bool) -> list[Listener]:
        """Those that wait for the event *name*, by flow key."""
        found = [*self._exact.get((ahead, name), ())]
        for length in self._lengths:
            found += self._prefixes.get((ahead, name[:length]), ())
        by_key = {each.flow.key: each for each in found}
        return [by_key[key] for key in sorted(by_key)]

    def hear_of(self, prefix: str) -> bool:
        """Whether any waits, afterwards, for events whose names begin with *prefix*."""
        exact = any(not ahead and name.startswith(prefix) for ahead, name in self._exact)
        return exact or any(
            not ahead and (name.startswith(prefix) or prefix.startswith(name))
            for ahead, name in self._prefixes
        )


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

    @classmethod
    def from_data(cls, data: JSONObject) -> "Accountability":
        """What `as_data` made *data* of."""
        return cls(
            user=data["user"],
            role=data["role"],
            admin=data["admin"],
            ip=data["ip"],
            user_agent=data["userAgent"],
            origin=data["origin"],
        )


class Family:
    """The execution *root* and all that it causes, as far as this process knows."""

    __slots__ = ("__weakref__", "children", "root", "steps")

    def __init__(self, root: str, children: int = 0) -> None:
        self.root = root
        #: How many executions were caused.
        self.children = children
        #: How many operations ran.
        self.steps = 0


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
    #: The execution's id; None: a random one.
    id: str | None = None
    #: The execution that causes it.
    parent_id: str | None = None
    #: How many flows stand in each other, this one included.
    depth: int = 1
    #: Of a schedule: when it fires by its timetable, in RFC 3339.
    nominal: str | None = None
    #: Seconds it may take where the flow itself does not say.
    timeout: float | None = None
    #: What it belongs to; None: it is the first of its own.
    family: Family | None = None
    #: Which execution it repeats (`of`), and who asked for it (`by`).
    replay: JSONObject | None = None
