"""Make, check and read JSON Web Tokens."""

import time
from collections.abc import Iterator
from typing import Any, Final

from runner import template
from runner.errors import OperationError
from runner.operations import base, claims, jws
from runner.operations.base import OperationContext, OperationSpec, Prepared, read_json
from runner.operations.jws import JsonWebTokenError
from runner.types import JSONObject, JSONValue

#: What each `operation` needs, and what is said without it.
_NEEDED: Final = {
    "sign": {
        "payload": "payload is required",
        "secret": "secret or private key must be provided",
    },
    "verify": {
        "token": "jwt must be provided",
        "secret": "secret or public key must be provided",
    },
    "decode": {"token": "jwt must be provided"},
}


def prepare(options: JSONObject) -> Prepared:
    """
    The handler of *operation*, which stands in the file as text.

    What is missing is a warning only, and rejects at run time, as it does in Directus.
    """
    if options["operation"] != "decode":
        jws.warm()
    warnings = (*_missing(options), *_unnamed_algorithms(options), *_time_spans(options))
    return Prepared(_HANDLERS[options["operation"]], warnings=warnings)


async def sign(options: JSONObject, context: OperationContext) -> str:
    """A token of *payload*, signed with *secret*. Raises OperationError."""
    payload, secret = _values(options)
    if isinstance(payload, str):
        payload = read_json("payload", payload)
    more = options.get("options") or {}
    return jws.sign(
        _header(more),
        claims.added(payload, more, int(time.time())),
        _text(secret),
        allow_small=more.get("allowInsecureKeySizes", False),
    )


async def verify(options: JSONObject, context: OperationContext) -> JSONValue:
    """The payload of a *token* that was signed with *secret* and holds. Raises OperationError."""
    text, secret = _values(options)
    more = options.get("options") or {}
    if text.count(".") != 2:
        raise JsonWebTokenError("jwt malformed")
    token = jws.parse(text)
    if token is None:
        raise JsonWebTokenError("invalid token")
    jws.verify(token, _text(secret), more.get("algorithms"))
    claims.check(token.payload, more, int(time.time()))
    return _shown(token, more)


async def decode(options: JSONObject, context: OperationContext) -> JSONValue:
    """The payload of any *token*, null of what is none; nothing is checked."""
    (text,) = _values(options)
    more = options.get("options") or {}
    token = jws.parse(text, json=more.get("json", False))
    return None if token is None else _shown(token, more)


def _header(more: JSONObject) -> JSONObject:
    header = {"alg": more.get("algorithm", "HS256"), "typ": "JWT", "kid": more.get("keyid")}
    header |= more.get("header", {})
    return {name: value for name, value in header.items() if name != "kid" or value is not None}


def _shown(token: jws.Token, more: JSONObject) -> JSONValue:
    if not more.get("complete"):
        return token.payload
    return {"header": token.header, "payload": token.payload, "signature": token.signature}


def _values(options: JSONObject) -> list[Any]:
    needed = _NEEDED[options["operation"]]
    for name, complaint in needed.items():
        if _is_missing(options, name):
            error = "Error" if options["operation"] == "sign" else "JsonWebTokenError"
            raise OperationError(complaint, name=error)
    return [options[name] for name in needed]


def _is_missing(options: JSONObject, name: str) -> bool:
    return options.get(name) in (None, "")


def _text(secret: JSONValue) -> str:
    return secret if isinstance(secret, str) else jws.to_json(secret)


# --- known before it runs -----------------------------------------------------------------------


def _missing(options: JSONObject) -> Iterator[base.Finding]:
    operation = options["operation"]
    for name in _NEEDED[operation]:
        if _is_missing(options, name):
            message = f"{operation} without `{name}` always rejects"
            yield base.Finding("missing-option", message, (), f"give it a `{name}`")


def _unnamed_algorithms(options: JSONObject) -> Iterator[base.Finding]:
    """Algorithm confusion: RFC 8725 §2.1 and §3.1."""
    more = options.get("options") or {}
    if options["operation"] == "verify" and "algorithms" not in more:
        yield base.Finding(
            "unnamed-algorithms",
            "without `algorithms` each token says itself how it is to be checked,"
            " and whoever forges one chooses the weakest way",
            ("options",) if options.get("options") else (),
            "name those that you sign with, for example algorithms: [HS256]",
        )


def _time_spans(options: JSONObject) -> Iterator[base.Finding]:
    more = options.get("options") or {}
    for name in ("expiresIn", "notBefore", "maxAge"):
        text = more.get(name)
        if not isinstance(text, str) or template.has_template(text):
            continue
        at = ("options", name)
        if claims.seconds(text) is None:
            message = f"`{name}` is no time span, and always rejects"
            yield base.Finding("time-span", message, at, 'write seconds, or for example "2 days"')
        elif text[-1].isdigit():
            message = f'"{text}" means {text} milliseconds, as it has no unit'
            yield base.Finding("time-span", message, at, f'write "{text}s" for seconds')


_HANDLERS: Final = {"sign": sign, "verify": verify, "decode": decode}

# Not pure: a token says when it was made, so one that is made again is another one.
OPERATION = OperationSpec(type="json-web-token", prepare=prepare)
