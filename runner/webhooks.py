"""What the options of a webhook mean, beyond what their schema can say."""

import ipaddress
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from runner import signatures
from runner.errors import Malformed, OperationError, RunnerError
from runner.model import Answer, Auth
from runner.signatures import Scheme
from runner.template import Template
from runner.types import Chain, JSONObject, JSONValue, Path
from runner.units import parse_duration

#: By kind, the header that carries the secret itself.
_TOKEN_HEADERS: Final = {
    "basic": "authorization",
    "bearer": "authorization",
    "gitlab": "x-gitlab-token",
}

#: Headers of one connection (RFC 9110, 7.6.1), and what the server itself says of the body.
_OURS: Final = frozenset(
    {
        "connection", "content-encoding", "content-length", "keep-alive", "proxy-authenticate",
        "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip


# --- how callers prove themselves ---------------------------------------------------------------


def ways(auth: JSONValue) -> list[tuple[Path, JSONObject]]:
    """The ways that *auth* names, and where inside the options; none for `none`."""
    if isinstance(auth, list):
        return [(("auth", index), each) for index, each in enumerate(auth)]
    return [(("auth",), auth)] if isinstance(auth, dict) else []


def compile_auth(way: JSONObject) -> Auth:
    """One way. Raises Malformed with the path inside of it."""
    kind, scheme = way["kind"], _scheme(way)
    if scheme is not None:
        header = scheme.header
    else:
        header = way.get("header", "").lower() or _TOKEN_HEADERS[kind]
    return Auth(
        kind=kind,
        header=header,
        secrets=tuple(secret_names(way).values()),
        username=way.get("username"),
        scheme=scheme,
    )


def secret_names(way: JSONObject) -> dict[Path, str]:
    """The secrets of one way, by their path inside of it."""
    given = way["secret"]
    if isinstance(given, str):
        return {("secret",): given}
    return {("secret", index): name for index, name in enumerate(given)}


def _scheme(way: JSONObject) -> Scheme | None:
    kind_is_ours = way["kind"] == "hmac"  # of the others, the schema knows what is dated
    scheme = _hmac(way) if kind_is_ours else signatures.PRESETS.get(way["kind"])
    if scheme is not None and "tolerance" in way:
        if kind_is_ours and not scheme.dated:
            message = "without a timestamp there is nothing to tolerate"
            raise Malformed(message, ("tolerance",), "remove it")
        scheme = replace(scheme, tolerance=parse_duration(way["tolerance"]))
    return scheme


def _hmac(way: JSONObject) -> Scheme:
    timestamp = way.get("timestamp", {})
    scheme = Scheme(
        header=way["header"].lower(),
        algorithm=way.get("algorithm", "sha256"),
        encoding=way.get("encoding", "hex"),
        prefix=way.get("prefix", ""),
        # Where the time is a part of the header, the header has several.
        separator="," if "param" in timestamp else "",
        signed=way.get("signed") or ("{timestamp}.{body}" if timestamp else "{body}"),
        timestamp=timestamp.get("header", "").lower(),
        timestamp_param=timestamp.get("param", ""),
    )
    signed = scheme.fields
    if "body" not in signed:
        raise Malformed("what is signed has to have {body} in it", ("signed",))
    if "id" in signed:
        raise Malformed("only standard-webhooks signs an id", ("signed",), "leave {id} out")
    if scheme.dated != ("timestamp" in signed):
        message = "what is signed and `timestamp` do not agree: {timestamp} needs both"
        raise Malformed(message, ("signed",), "without it anybody could write another time")
    return scheme


# --- where they come from -----------------------------------------------------------------------


def compile_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """A network, or an address as one. Raises Malformed."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        message = f'"{text}" is neither an address nor a network such as 10.0.0.0/8'
        raise Malformed(message) from None


# --- what they are answered ---------------------------------------------------------------------


def response_mistakes(response: JSONObject) -> Iterator[Malformed]:
    """What is wrong with a response before it is rendered, with paths inside of it."""
    seen: dict[str, str] = {}
    for name in response.get("headers", {}):
        at: Path = ("headers", name)
        if name.lower() in _OURS:
            yield Malformed(f"the header {name} is the server's own", at, "remove it")
        elif name.lower() in seen:
            yield Malformed(f"the header {name} is there already, as {seen[name.lower()]}", at)
        seen.setdefault(name.lower(), name)


def reply(response: Template) -> Answer:
    """What gives `{status, headers, body}`; one that cannot be rendered is told as an error."""

    def render(chain: Chain) -> JSONValue:
        try:
            return response.render(chain)
        except OperationError as error:
            return unanswerable(error.message)

    return render


def unanswerable(reason: str) -> JSONObject:
    """A response that says that there is none."""
    message = f"The flow's result cannot be answered: {reason}"
    told = {"message": message, "extensions": {"code": RunnerError.code}}
    return {"status": RunnerError.status, "body": {"errors": [told]}}
