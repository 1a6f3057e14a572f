"""
What senders call their deliveries, and which of them came before.

A name counts only of who has proven to be somebody: otherwise anybody could have the delivery of
another taken for a repeated one.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from aiohttp import web

from runner.errors import Conflict
from runner.ids import derived_id
from runner.model import Accountability, Flow, Webhook
from runner.signatures import Scheme
from runner.types import JSONObject, JSONValue

_LONGEST: Final = 1 << 16
"""Bytes of an answer that is kept for a repeated delivery."""

_MOST: Final = 16 << 20
"""Bytes of all of them."""

_MAX_KNOWN: Final = 10_000
_DAY: Final = 86_400.0


# --- names --------------------------------------------------------------------------------------


class Proof(NamedTuple):
    """How the sender of a delivery has proven themselves to a webhook."""

    #: The header that it is in.
    header: str
    #: How they sign; None: they sent the secret itself.
    scheme: Scheme | None = None
    #: What is signed.
    signed: bytes = b""


def execution_id(
    request: web.Request,
    flow: Flow,
    who: Accountability,
    trigger_data: JSONObject,
    env: Mapping[str, str],
    proof: Proof | None = None,
) -> str | None:
    """
    The id that every arrival of this delivery gives to its execution; None: it has no name.

    It follows from flow, sender and name. Of what came with a *proof* that covers it, what it does
    not cover counts for nothing: whoever sends the delivery again could have changed that.
    """
    if proof is None and who.user is None and who.role is None and not who.admin:
        return None
    name = _name(request, flow, who, trigger_data, env, proof)
    if name is None:
        return None
    sender = f"{who.user or ''}\n{who.role or ''}" if proof is None else proof.header
    return derived_id(flow.id, f"{sender}\n\n{name}")


def _name(
    request: web.Request,
    flow: Flow,
    who: Accountability,
    trigger_data: JSONObject,
    env: Mapping[str, str],
    proof: Proof | None,
) -> str | None:
    trigger, headers = flow.trigger, request.headers
    if isinstance(trigger, Webhook) and trigger.name is not None:
        known: JSONObject = {"$trigger": trigger_data, "$accountability": who.as_data()}
        value: JSONValue = trigger.name.render({**known, "$env": dict(env)})
        return None if value in (None, "") else f"key={value}"
    names: tuple[str, ...] = _NAMES
    if proof is not None and proof.scheme is not None:
        scheme = proof.scheme
        if scheme.dated and "id" in scheme.fields:
            return f"{scheme.id}={headers[scheme.id]}"
        if scheme.dated:
            return f"signed={hashlib.sha256(proof.signed).hexdigest()}"
        names = (scheme.id, *names)
    if "ce-source" in headers and "ce-id" in headers:
        return f"ce={headers['ce-source']}\n{headers['ce-id']}"
    for each in filter(None, names):
        if value := headers.get(each, "").strip().strip('"'):
            return f"{each}={value}"
    return None


#: Standard Webhooks; draft-ietf-httpapi-idempotency-key-header, where it is in quotes; GitHub.
_NAMES: Final = ("webhook-id", "idempotency-key", "x-github-delivery")


# --- direct executions --------------------------------------------------------------------------


class Repeated(Conflict):
    """This delivery came before, and is not answered yet."""


class _Known(NamedTuple):
    at: float
    #: None: it runs, or its answer was too long.
    answer: tuple[int, bytes, Mapping[str, str]] | None
    runs: bool = False

    @property
    def size(self) -> int:
        """Bytes of its answer: a flow may write long headers, too."""
        if self.answer is None:
            return 0
        _, body, headers = self.answer
        return len(body) + sum(map(len, (*headers.keys(), *headers.values())))


class Repeats:
    """
    Deliveries to flows whose callers wait, as long as the process lives: 10,000 of a day.

    While the first one runs, another is a conflict; afterwards it gets the answer of the first.
    What was not answered with success may come again.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._bytes = 0

    def find(self, id_: str) -> web.Response | None:
        """
        The answer that the delivery had; None: it is the first of its name, and begins now.

        Raises Repeated where it has none.
        """
        self._forget()
        known = self._known.get(id_)
        if known is None:
            self._known[id_] = _Known(self._clock(), None, runs=True)
            return None
        if known.answer is None:
            message = None if known.runs else "This delivery came before, and was answered."
            raise Repeated(message)
        status, body, headers = known.answer
        return web.Response(status=status, body=body, headers=headers)

    def end(self, id_: str, answer: web.StreamResponse | None) -> None:
        """Keep the *answer* of a delivery; None: there is none, and it may come again."""
        known = self._known.pop(id_, None)
        if answer is None or answer.status >= 400 or known is None:
            return
        body = answer.body if isinstance(answer, web.Response) else None
        kept = body if isinstance(body, bytes) else b""
        first = _Known(known.at, (answer.status, kept, dict(answer.headers)))
        self._known[id_] = first if first.size <= _LONGEST else _Known(known.at, None)
        self._bytes += self._known[id_].size

    def _forget(self) -> None:
        old = self._clock() - _DAY
        while self._known:
            first = next(iter(self._known.values()))
            few = len(self._known) < _MAX_KNOWN and self._bytes <= _MOST
            if few and first.at >= old:
                return
            _, known = self._known.popitem(last=False)
            self._bytes -= known.size
