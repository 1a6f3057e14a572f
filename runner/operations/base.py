"""What an operation type is, and all that a running operation may touch."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol, Self

from runner import jsontext
from runner.errors import OperationError
from runner.model import Accountability, Event, Handler
from runner.resources import Resource, Resources
from runner.settings import Settings
from runner.template import Reference
from runner.types import Chain, JSONObject, JSONValue, Path


class ExecutionRef(NamedTuple):
    """Which try of which operation of which execution this is."""

    id: str
    operation: str
    #: 1 for the first try.
    attempt: int
    #: W3C trace id, 32 hex digits: that of the caller where it sent one.
    trace_id: str
    #: Seconds that this try may take, where the flow says so.
    timeout: float | None = None

    @property
    def idempotency_key(self) -> str:
        """The same for every try of this operation in this execution, and for nothing else."""
        return f"{self.id}/{self.operation}"


class OperationContext(Protocol):
    """Everything that a handler may read or cause beside its options."""

    @property
    def data(self) -> Chain:
        """The data chain so far."""

    @property
    def env(self) -> Mapping[str, str]:
        """`$env`: the allowed environment variables."""

    @property
    def accountability(self) -> Accountability | None:
        """Who caused the execution; None: the runner itself."""

    @property
    def execution(self) -> ExecutionRef:
        """This try of this operation."""

    @property
    def resources(self) -> Resources:
        """What the operation's type declares in `OperationSpec.resources`, open."""

    @property
    def permissions(self) -> str:
        """What operations may do that do not say it: the flow's `accountability`."""

    @property
    def transaction(self) -> object | None:
        """
        The database transaction that all this happens in; None where there is none.

        It is that of the item operation whose filter event started this flow; only item
        operations know what it is.
        """

    async def wait(self, seconds: float) -> None:
        """Go on after so many *seconds*; a durable execution may be put away meanwhile."""

    def log(self, severity: str, message: str) -> None:
        """Write a `log.message` record of this operation."""

    async def start(self, flow: str, payload: JSONValue, index: int | None = None) -> JSONValue:
        """
        Run another flow, named by key or id, and give what it returns.

        *index* says which element of a list this is. Raises OperationError with the other flow's
        error, or when it cannot be started.
        """

    async def emit(self, event: Event, transaction: object | None = None) -> JSONValue:
        """
        Tell the flows that wait for *event*, and give its payload as they leave it.

        Filter flows run at once, one after another, inside *transaction*; the payload that one
        returns is what the next one gets. Raises OperationError with the error of the first one
        that rejects. Action flows are started and not waited for: *event* must have happened.
        """


class Extra(NamedTuple):
    """Libraries that are installed by name only: `pip install gitops-flow-runner[items]`."""

    name: str
    #: Import names, all of which have to be there.
    modules: tuple[str, ...]

    @property
    def missing(self) -> bool:
        """Whether something of it is not installed."""
        return not all(map(_is_installed, self.modules))


@cache
def _is_installed(module: str) -> bool:
    return find_spec(module) is not None  # it looks at the disk, and every flow may ask


class Finding(NamedTuple):
    """What an author should know of the options of an operation."""

    #: Stable, kebab-case, like that of an issue.
    code: str
    message: str
    #: Path inside the options.
    at: Path
    hint: str | None = None


class Prepared(NamedTuple):
    """A handler for particular options, and what can be known of them before they run."""

    handler: Handler
    #: Values of the data chain that the options name without braces.
    references: tuple[Reference, ...] = ()
    warnings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationSpec:
    """An operation type, declared at the end of its own file."""

    type: str
    #: Rendered options and context in, a JSON value out; raises OperationError to reject.
    handler: Handler | None = None
    #: In place of *handler*: makes one for particular options, so that what can be worked out
    #: when the flow is loaded is not worked out again at every run. Raises Malformed, or a group
    #: of them, each with its path inside the options.
    prepare: Callable[[JSONObject], Prepared] | None = None
    #: No effect outside the chain: never journaled, never retried, no timeout armed.
    pure: bool = False
    #: What it needs open: `context.resources[…]`.
    resources: tuple[Resource[Any], ...] = ()
    #: What it needs installed.
    extra: Extra | None = None
    #: What of these options, templates not rendered, the settings cannot give: each is an error.
    attach: Callable[[JSONObject, Settings], Iterable[Finding]] | None = None

    def prepared(self, options: JSONObject) -> Prepared:
        """
        The handler of an operation with these *options*, templates not rendered.

        Raises what *prepare* raises.
        """
        if self.prepare is not None:
            return self.prepare(options)
        assert self.handler is not None  # noqa: S101 - a spec has one or the other
        return Prepared(self.handler)


def read_json(option: str, text: str) -> JSONValue:
    """What the *text* of an *option* says as JSON. Raises OperationError when it is none."""
    try:
        return jsontext.parse(text)
    except ValueError as error:
        raise OperationError(f"option {option} is not JSON: {error}", code="INVALID_JSON") from None


class OperationSet:
    """Operation types by name: a value, so that a test or a deployment can have fewer."""

    def __init__(self, specs: tuple[OperationSpec, ...]) -> None:
        self._specs = {spec.type: spec for spec in specs}

    def get(self, type_: str) -> OperationSpec | None:
        """The type of this name."""
        return self._specs.get(type_)

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def resources(self, types: Iterable[str]) -> Iterator[Resource[Any]]:
        """What operations of these *types* need open."""
        return (each for type_ in types for each in self._specs[type_].resources)

    def with_(self, *specs: OperationSpec) -> Self:
        """A set that has these types too, in place of those of the same name."""
        return type(self)((*self._specs.values(), *specs))

    def without(self, *types: str) -> Self:
        """A set that lacks these types."""
        return type(self)(tuple(spec for spec in self._specs.values() if spec.type not in types))
