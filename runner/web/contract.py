"""
What a route promises: the words in which the table of routes is written.

The router and the description at `/server/specs/oas` are both made of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from runner.errors import RunnerError
from runner.types import JSONObject
from runner.web.keys import Handler

Content: TypeAlias = Mapping[str, JSONObject]
"""By media type, the JSON Schema of what comes in it; empty where none can say it."""

TOKEN: Final = ("bearer", "access_token")
"""One of the settings' tokens, in a header or in the URL."""
MAYBE_TOKEN: Final = ("", *TOKEN)
"""A token, or none."""


class Parameter(NamedTuple):
    """A part of the URL that callers choose."""

    name: str
    description: str
    schema: JSONObject
    #: It stands in the path, and has to; otherwise in the query.
    in_path: bool = False
    #: The value is JSON text.
    json: bool = False
    required: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What comes back under one status."""

    description: str
    content: Content = field(default_factory=dict)
    #: Headers that may come with it, and what they say.
    headers: Mapping[str, str] = field(default_factory=dict)


class Refusal(NamedTuple):
    """An error that callers are told."""

    status: int
    code: str
    message: str


def refusal(error: type[RunnerError]) -> Refusal:
    """What callers are told of *error*, which says nothing else of itself."""
    sentence = (error.__doc__ or "").strip().partition("\n")[0]
    return Refusal(error.status, error.code, sentence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What can be asked, and what then comes back."""

    summary: str
    description: str | None = None
    #: What the caller's role has to allow: an area and a verb.
    needs: tuple[str, str] | None = None
    #: Security schemes, of which one is enough; the empty name is none, and nobody asks at all if
    #: there are none.
    security: tuple[str, ...] = MAYBE_TOKEN
    parameters: tuple[Parameter, ...] = ()
    #: The body, where there is one.
    body: Content = field(default_factory=dict)
    #: By status, or by `4XX` for all of a hundred.
    answers: Mapping[str, Answer]
    #: What is refused, beside what every request may meet.
    refusals: tuple[Refusal, ...] = ()


class Route(NamedTuple):
    """Who answers what."""

    #: GET implies HEAD; `*` is every method that no earlier route of the path has.
    method: str
    #: As the router reads it: `/flows/{name:.*}`.
    path: str
    handler: Handler
    #: None: it only refuses, in words of its own.
    promise: Promise | None = None

    @property
    def methods(self) -> tuple[str, ...]:
        """What the router is told."""
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)
