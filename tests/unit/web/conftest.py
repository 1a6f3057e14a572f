"""The HTTP edge over real parts: flows in memory, a real socket, every record kept and checked."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
import pytest
from multidict import CIMultiDict

from runner import settings
from runner.datachain import Secrets
from runner.errors import Unavailable
from runner.execution import Shared
from runner.history import Created
from runner.loader import Loader
from runner.model import Generation
from runner.operations import BUILTIN
from runner.records import Record, Recorder
from runner.redact import Redactor
from runner.registry import Registry
from runner.resources import Resources
from runner.source import Snapshot
from runner.store.memory import MemoryStore
from runner.stories import Stories
from runner.types import JSONObject
from runner.web import server
from runner.web.app import build
from tests.records import Kept
from tests.world import Served

ECHO = """
name: Echo
trigger: webhook
options: {method: POST, auth: none}
"""
"""A flow without operations answers what started it."""

NO_TOKENS = "listen: 127.0.0.1:0"
TOKENS = """
listen: 127.0.0.1:0
roles:
  admin: {admin: true}
  editor:
    id: 00000000-0000-4000-A000-0000000000E1
    flows: [read, trigger]
    collections: {articles: [read]}
  reader: {flows: [read]}
tokens:
  - {name: boss, role: admin, token: the-admin-token}
  - {name: ed, user: 00000000-0000-4000-A000-0000000000E2, role: editor, token: the-editor-token}
  - {name: rita, role: reader, token: the-reader-token}
"""


class Answer:
    """What came back, read whole."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers: CIMultiDict[str] = CIMultiDict(headers)
        self.body = body

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of the one error in the envelope; fails unless the envelope is all there is."""
        assert list(self.json) == ["errors"], self.body
        (error,) = self.json["errors"]
        assert set(error) == {"message", "extensions"}, error
        code = error["extensions"]["code"]
        assert isinstance(code, str)
        return code

    @property
    def message(self) -> str:
        """The sentence of the one error."""
        (error,) = self.json["errors"]
        return str(error["message"])


class Folder:
    """Stands for what reads the flows folder."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.reloads: list[bool] = []
        self.created: dict[str, Created] = {}

    def status(self) -> JSONObject:
        """Something."""
        return {"generation": self._registry.current.number}

    async def reload(self, *, allow_empty: bool = False) -> Generation:
        """Remember that it was asked."""
        self.reloads.append(allow_empty)
        if len(self.reloads) > 2:
            raise Unavailable("The folder of the flows cannot be read.")
        return self._registry.current


class _Listener:
    """A sink that waits for one event."""

    def __init__(self, event: str, heard: asyncio.Future[None]) -> None:
        self._event = event
        self._heard = heard

    def write(self, record: Record, /) -> None:
        """Look whether this is it."""
        if record.fields["event"] == self._event and not self._heard.done():
            self._heard.set_result(None)


class Service:
    """A server and the parts behind it."""

    def __init__(self, made: settings.Settings, redactor: Redactor) -> None:
        self.settings = made
        self.kept = Kept()
        self.recorder = Recorder(redactor, self.kept)
        self.registry = Registry()
        self.folder = Folder(self.registry)
        limits = made.limits
        self.resources = Resources()
        shared = Shared(
            recorder=self.recorder,
            env=dict(made.env),
            secrets=Secrets(made.secrets.get),
            resources=self.resources,
        )
        self.engine = Served(
            shared,
            MemoryStore(),
            lambda: self.registry.current,
            max_running=limits.executions,
            max_queued=limits.queue,
        )
        self.stories = Stories(
            self.engine.store,
            lambda key: self.registry.current.entries[key].id,
            self.engine.is_accepted,
        )
        self.recorder.attach(self.stories)
        self.loader = Loader(BUILTIN, made)
        self.app = build(made, self.registry, self.engine, self.folder, self.recorder)
        self.url = ""
        self.session: aiohttp.ClientSession

    async def load(self, **files: str) -> None:
        """Put flows in place; names are keys, `__` stands for `/`."""
        snapshot = Snapshot(
            files={
                f"{name.replace('__', '/')}.yaml": text.encode() for name, text in files.items()
            },
            issues=(),
            digest="d" * 64,
            revision="revision-1",
            kind="folder",
            atomic=True,
            newest_mtime=0.0,
        )
        self.registry.swap(await self.loader.load(snapshot))

    async def ask(self, method: str, path: str, **more: Any) -> Answer:
        """One request."""
        async with self.session.request(method, self.url + path, **more) as response:
            return Answer(response.status, response.headers, await response.read())

    async def get(self, path: str, **more: Any) -> Answer:
        """GET."""
        return await self.ask("GET", path, **more)

    async def post(self, path: str, **more: Any) -> Answer:
        """POST."""
        return await self.ask("POST", path, **more)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection for those who do not speak as they should."""
        host, port = self.url.removeprefix("http://").rsplit(":", 1)
        return await asyncio.open_connection(host, int(port))

    async def raw(self, request: bytes) -> Answer:
        """Send bytes, half-close, and read what comes back as one answer."""
        reader, writer = await self.connect()
        writer.write(request)
        async with asyncio.timeout(10):
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            pairs = [line.partition(": ") for line in lines[1:] if line]
            headers = CIMultiDict((name, value) for name, _, value in pairs)
            body = await reader.readexactly(int(headers.get("Content-Length", "0")))
        writer.close()
        return Answer(int(lines[0].split(" ")[1]), headers, body)

    async def hear(self, event: str) -> JSONObject:
        """The first record of *event*, when it is there."""
        heard: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        detach = self.recorder.attach(_Listener(event, heard))
        if not self.said(event):
            async with asyncio.timeout(10):
                await heard
        detach()
        return self.said(event)[0]

    def said(self, event: str) -> list[JSONObject]:
        """The records of one event."""
        return [record for record in self.kept.records if record["event"] == event]


Serve: TypeAlias = Callable[..., Awaitable[Service]]


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    """A factory of servers: `await serve(settings_text, environ, flow_name=flow_text, …)`."""
    async with AsyncExitStack() as stack:

        async def make(
            text: str = NO_TOKENS, environ: Mapping[str, str] | None = None, **flows: str
        ) -> Service:
            file = tmp_path / "settings.yaml"
            file.write_text(text)
            redactor = Redactor()
            made = settings.load(
                {"secrets_dir": str(tmp_path / "secrets")}, environ or {}, file, redactor.learn
            )
            service = Service(made, redactor)
            await service.load(**flows)
            listening = server.listening(service.app, made.listen)
            address = await stack.enter_async_context(listening)
            service.url = address.url
            resources = service.resources.opened(
                BUILTIN.resources(BUILTIN), replace(made, listen=address)
            )
            await stack.enter_async_context(resources)
            service.session = await stack.enter_async_context(
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
            )
            return service

        yield make


@pytest.fixture
async def echo(serve: Serve) -> Service:
    """A server with the flow `echo`, which answers what started it."""
    return await serve(echo=ECHO)
