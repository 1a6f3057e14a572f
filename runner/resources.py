"""What operations share and what lives with the daemon: connections, worker processes."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from runner.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Resource(Generic[T]):
    """Something that operation types need; several of them may need the same."""

    #: Makes it from the settings, whose `listen` says where this daemon really listens. Cheap:
    #: what takes time waits until `warm`, or until the first use.
    open: Callable[[Settings], AbstractAsyncContextManager[T]]
    #: Called when flows that need it are put in place, so that their first run is not slow.
    warm: Callable[[T], None] | None = None


class Resources:
    """The resources that are open, by what declares them."""

    def __init__(self) -> None:
        self._opened: dict[Resource[Any], Any] = {}

    def __getitem__(self, resource: Resource[T]) -> T:
        opened: T = self._opened[resource]
        return opened

    @asynccontextmanager
    async def opened(
        self, resources: Iterable[Resource[Any]], settings: Settings
    ) -> AsyncIterator[None]:
        """Open *resources* for the block; what was opened last is closed first."""
        async with AsyncExitStack() as stack:
            for each in dict.fromkeys(resources):
                self._opened[each] = await stack.enter_async_context(each.open(settings))
            yield

    def warm(self, resources: Iterable[Resource[Any]]) -> None:
        """Make *resources* ready: flows that need them are in place."""
        for each in resources:
            if each.warm is not None and each in self._opened:
                each.warm(self._opened[each])
