"""What handlers find in the application."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from aiohttp import web

from runner.engine import Engine
from runner.history import Created
from runner.model import Generation
from runner.records import Recorder
from runner.registry import Registry
from runner.settings import Settings
from runner.types import JSONObject
from runner.web.repeats import Repeats


class Source(Protocol):
    """Where the flows come from, as far as HTTP may ask."""

    def status(self) -> JSONObject:
        """What is loaded, from where, since when."""

    @property
    def created(self) -> Mapping[str, Created]:
        """Who created flow files, and when, by path; another mapping when more is known."""

    async def reload(self, *, allow_empty: bool = False) -> Generation:
        """Load now; raises RunnerError with the reason when nothing could be put in place."""


SETTINGS: web.AppKey[Settings] = web.AppKey("settings", Settings)
REGISTRY: web.AppKey[Registry] = web.AppKey("registry", Registry)
ENGINE: web.AppKey[Engine] = web.AppKey("engine", Engine)
REPEATS: web.AppKey[Repeats] = web.AppKey("repeats", Repeats)
RECORDER: web.AppKey[Recorder] = web.AppKey("recorder", Recorder)
LEFT_OUT: web.AppKey[Callable[[], str]] = web.AppKey("left_out")
SOURCE: web.AppKey[Source] = web.AppKey("source", Source)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
