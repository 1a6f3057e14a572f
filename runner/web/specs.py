"""`/server/specs/oas` and `/server/info`: what this server is, and what it can be asked."""

import asyncio
import re
from collections.abc import Iterable
from typing import Final

from aiohttp import web

from runner import jsontext
from runner.errors import (
    ContentTooLarge,
    Forbidden,
    InvalidCredentials,
    InvalidPayload,
    RequestsExceeded,
    Unavailable,
)
from runner.model import Generation
from runner.query.language import DEFAULT_LIMIT
from runner.types import JSONObject
from runner.version import NAME, version
from runner.web import answers, shapes, starting
from runner.web.callers import identify
from runner.web.contract import Answer, Content, Parameter, Promise, Refusal, Route, refusal
from runner.web.keys import REGISTRY
from runner.web.listing import HISTORY, INBOXES, SCHEMA

# --- handlers -----------------------------------------------------------------------------------


async def info(request: web.Request) -> web.Response:
    """
    What Directus' clients look at: the project's name, and how many records may be had at once.

    A version would say what can be attacked: only those who may read the source get it, with the
    revision of what runs.
    """
    caller = identify(request)
    project = {"project_name": NAME, "project_descriptor": None, "project_logo": None}
    told: JSONObject = {"project": {**project, "project_color": None, "default_language": "en-US"}}
    if caller.known:
        told["queryLimit"] = {"default": DEFAULT_LIMIT, "max": -1}
    if caller.role.allows("source", "read"):
        told |= {"version": version(), "revision": request.app[REGISTRY].current.revision}
    return answers.json({"data": told})


async def oas(request: web.Request) -> web.Response:
    """All routes; and for those who may read flows, each flow that can be started."""
    described, generation = request.app[SPECS], request.app[REGISTRY].current
    if not identify(request).role.allows("flows", "read"):
        return answers.written(described.routes)
    # Beside the loop: a thousand flows take 40 ms.
    return answers.written(await asyncio.to_thread(described.with_flows, generation))


class Specs:
    """The description, written once, and with flows once for each generation."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._described = tuple(routes)
        self._routes: bytes | None = None
        self._flows: tuple[Generation, bytes] | None = None

    @property
    def routes(self) -> bytes:
        """Without flows, as JSON."""
        if self._routes is None:
            self._routes = jsontext.write(describe(self._described))
        return self._routes

    def with_flows(self, generation: Generation) -> bytes:
        """With the flows of *generation*, as JSON."""
        if self._flows is None or self._flows[0] is not generation:
            self._flows = (generation, jsontext.write(describe(self._described, generation)))
        return self._flows[1]


SPECS: Final = web.AppKey("specs", Specs)

# --- the document -------------------------------------------------------------------------------

_DESCRIPTION: Final = """\
Flows are YAML files in git: they are read here, and change by commit.

HEAD is answered wherever GET is, but starts no flow. SEARCH, which this format cannot express, is
described as `x-search`. Without any token configured, callers on the same machine may read, and
start manual flows; everybody else is known by a token, whose role says what they may do."""

_SCHEMES: Final[dict[str, JSONObject]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A token of the settings."},
    "access_token": {"type": "apiKey", "in": "query", "name": "access_token"},
}

#: What OpenAPI 3.1 has a word for.
_METHODS: Final = ("GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE")


def describe(routes: Iterable[Route], generation: Generation | None = None) -> JSONObject:
    """The OpenAPI 3.1 document of *routes*, and of the flows of *generation* one by one."""
    paths, schemes = _Paths(), dict(_SCHEMES)
    for route in routes:
        if route.promise is not None:
            paths.add(re.sub(r":[^{}]*\}", "}", route.path), route.method, route.promise)
    for start in starting.starts(generation) if generation is not None else ():
        paths.add(start.path, start.method, start.promise, f"trigger/{start.flow.key}")
        schemes |= start.schemes
    return {
        "openapi": "3.1.0",
        "info": {"title": NAME, "version": version(), "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "paths": paths.items,
        "components": {
            "schemas": {
                **shapes.collections({**SCHEMA, **INBOXES, **HISTORY}),
                "Issue": shapes.ISSUE,
            },
            "responses": paths.responses,
            "securitySchemes": schemes,
        },
    }


class _Paths:
    """Path items, and the answers that they share."""

    def __init__(self) -> None:
        self.items: dict[str, JSONObject] = {}
        self.responses: dict[str, JSONObject] = {}
        #: Their names, by what they say.
        self._names: dict[tuple[str, Answer | None, tuple[Refusal, ...]], str] = {}

    def add(self, path: str, method: str, promise: Promise, id_: str | None = None) -> None:
        """One operation; *id_* is its id, where path and method do not make a good one."""
        name = method.lower() if method in _METHODS else f"x-{method.lower()}"
        operation: JSONObject = {
            "operationId": id_ or re.sub(r"\W+", "_", f"{method.lower()}{path}").strip("_"),
            "summary": promise.summary,
            "responses": self._responses(promise),
        }
        if promise.description:
            operation["description"] = promise.description
        if promise.parameters:
            operation["parameters"] = [_parameter(each) for each in promise.parameters]
        if promise.body:
            operation["requestBody"] = {"content": _content(promise.body)}
        if promise.security:
            operation["security"] = [{each: []} if each else {} for each in promise.security]
        if promise.needs:
            operation["x-needs"] = list(promise.needs)
        self.items.setdefault(path, {})[name] = operation

    def _responses(self, promise: Promise) -> JSONObject:
        """What is answered and what is refused, by status."""
        refused = _refused(promise)
        told = {each for each in refused if f"{each[0]}XX" not in promise.answers}
        return {
            status: self._shared(status, promise.answers.get(status), refused.get(status, ()))
            for status in sorted({*promise.answers, *told})
        }

    def _shared(
        self, status: str, answer: Answer | None, refused: tuple[Refusal, ...]
    ) -> JSONObject:
        """Where the response stands: operations that answer alike have it in common."""
        same = (status, answer, refused)
        if same not in self._names:
            self._names[same] = f"{status}.{len(self._names)}"
            self.responses[self._names[same]] = _response(answer, refused)
        return {"$ref": f"#/components/responses/{self._names[same]}"}


def _parameter(parameter: Parameter) -> JSONObject:
    said: JSONObject = {
        "name": parameter.name,
        "in": "path" if parameter.in_path else "query",
        "description": parameter.description,
        "required": parameter.in_path or parameter.required,
    }
    if parameter.json:
        return said | {"content": _content({shapes.JSON: parameter.schema})}
    if parameter.schema.get("type") == "array":
        said |= {"style": "form", "explode": False}  # a,b,c
    return said | {"schema": parameter.schema}


def _content(content: Content) -> JSONObject:
    return {kind: {"schema": schema} if schema else {} for kind, schema in content.items()}


def _response(answer: Answer | None, refused: tuple[Refusal, ...]) -> JSONObject:
    sentences = [f"`{each.code}`: {each.message}" for each in refused]
    content: JSONObject = {}
    if answer is not None:
        sentences.insert(0, answer.description)
        content = _content(answer.content)
    if refused:
        content |= _content({shapes.JSON: shapes.errors({each.code for each in refused})})
    said: JSONObject = {"description": " ".join(sentences)}
    if content:
        said["content"] = content
    if answer is not None and answer.headers:
        said["headers"] = {
            name: {"description": what, "schema": shapes.TEXT}
            for name, what in answer.headers.items()
        }
    return said


# --- refusals -----------------------------------------------------------------------------------

#: What every request may meet.
_ALWAYS: Final = tuple(map(refusal, (InvalidPayload, ContentTooLarge, Unavailable)))
#: What a token may meet.
_WITH_TOKEN: Final = tuple(map(refusal, (InvalidCredentials, RequestsExceeded)))
_FORBIDDEN: Final = refusal(Forbidden)


def _refused(promise: Promise) -> dict[str, tuple[Refusal, ...]]:
    """All that is refused, by status."""
    every = [*_ALWAYS, *promise.refusals]
    every += _WITH_TOKEN if promise.security else ()
    every += [_FORBIDDEN] if promise.needs else ()
    refused: dict[str, tuple[Refusal, ...]] = {}
    for each in dict.fromkeys(every):
        status = str(each.status)
        refused[status] = (*refused.get(status, ()), each)
    return refused
