"""
Compact JSON Web Signatures (RFC 7515): take tokens apart, sign, verify.

Signatures and keys are PyJWT's. What is signed is written as the npm package jsonwebtoken writes
it, and errors have its words.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple

from runner import fit, jsontext, template
from runner.errors import OperationError
from runner.operations import pem
from runner.types import JSONObject, JSONValue

MAX_LENGTH: Final = 1 << 20
"""Longest token that is read, in characters."""

MAX_JSON: Final = 64 << 10
"""Longest header, payload or secret that is written as JSON, in bytes."""

#: Algorithms by what they need: a secret, or one of these kinds of key.
_SECRET: Final = ("HS256", "HS384", "HS512")
_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_KEYS: Final = (_RSA, ("ES256",), ("ES384",), ("ES512",), ("EdDSA",))

ALGORITHMS: Final = (*_SECRET, *(name for kind in _KEYS for name in kind))
"""All there are; `none` is not among them."""

_LEAST_RSA_BITS: Final = 2048

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_INDEX: Final = re.compile("0|[1-9][0-9]{0,9}")


class JsonWebTokenError(OperationError):
    """The token is not accepted."""


class Token(NamedTuple):
    """A token taken apart. Nothing of it is verified."""

    header: JSONObject
    payload: JSONValue
    #: As it stands in the token.
    signature: str
    #: What the signature is about, as it stands in the token.
    signed: str


# --- reading ------------------------------------------------------------------------------------


def parse(text: str, *, json: bool = False) -> Token | None:
    """
    Take *text* apart; None if it is no token.

    The payload is JSON if the header says `typ: JWT`, or *json*; else it is text, unless it can be
    read as an object or a list. Raises JsonWebTokenError for more than MAX_LENGTH characters, and
    OperationError for a payload that has to be JSON and is not.
    """
    if len(text) > MAX_LENGTH:
        raise JsonWebTokenError("jwt is longer than 1 MiB")
    if not _TOKEN.fullmatch(text):
        return None
    first, second, signature = text.split(".")
    header, payload = _header(first), _decoded(second)
    if header is None or payload is None:
        return None
    must_be_json = json or header.get("typ") == "JWT"
    return Token(header, _payload(payload, must_be_json), signature, f"{first}.{second}")


def _header(segment: str) -> JSONObject | None:
    try:
        header = jsontext.parse(_decoded(segment) or b"")
    except ValueError:
        return None
    return header if isinstance(header, dict) else None


def _payload(data: bytes, must_be_json: bool) -> JSONValue:
    try:
        value = jsontext.parse(data)
    except ValueError as error:
        if must_be_json:
            message = f"the payload of the token is not JSON: {error}"
            raise OperationError(message, name="SyntaxError", code="INVALID_JSON") from None
        return data.decode("utf-8", "replace")
    return value if must_be_json or isinstance(value, dict | list) else data.decode()


def _decoded(segment: str) -> bytes | None:
    """What *segment* says; None if it is not the one text that says it: no token has a second."""
    try:
        data = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except binascii.Error:
        return None
    return data if _encoded(data) == segment else None


# --- writing ------------------------------------------------------------------------------------


def sign(header: JSONObject, payload: JSONObject, secret: str, *, allow_small: bool) -> str:
    """
    A token of *header*, which names its `alg`, and *payload*, signed with *secret*.

    Raises OperationError where *secret* does not fit, is an RSA key of less than 2048 bits and
    not *allow_small*, or where header or payload are longer than MAX_JSON.
    """
    algorithm = header["alg"]
    key = _signing_key(secret, algorithm, allow_small)
    signed = f"{_encoded(to_json(header).encode())}.{_encoded(to_json(payload).encode())}"
    signature = _algorithms()[algorithm].sign(signed.encode(), key)
    return f"{signed}.{_encoded(signature)}"


def to_json(value: JSONValue) -> str:
    """JSON as JavaScript writes it. Raises OperationError for what no token is made of."""
    if not _fits(value):
        raise OperationError("a token is not made of more than 64 KiB of JSON", name="Error")
    return template.to_json(_in_order(value))


def _fits(value: JSONValue) -> bool:
    """
    Whether *value* has at most MAX_JSON bytes, before it is put in order, which is slow.

    Raises OperationError for what JSON cannot say.
    """
    # Roughly at first, as parts that are shared may be endless. Twice, as it counts 8 a member,
    # and the shortest takes 5.
    if not fit.is_small(value, 2 * MAX_JSON):
        return False
    try:
        return len(jsontext.write(value)) <= MAX_JSON
    except ValueError as error:
        raise OperationError(str(error), name="Error") from None


def _in_order(value: JSONValue) -> JSONValue:
    """*value* with its keys as JavaScript has them: array indices first, the others as written."""
    if isinstance(value, list):
        return [_in_order(each) for each in value]
    if not isinstance(value, dict):
        return value
    indices = [key for key in value if _INDEX.fullmatch(key) and int(key) < (1 << 32) - 1]
    keys = dict.fromkeys((*sorted(indices, key=int), *value))
    return {key: _in_order(value[key]) for key in keys}


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


# --- verifying ----------------------------------------------------------------------------------


def verify(token: Token, secret: str, allowed: list[str] | None = None) -> None:
    """
    Raise JsonWebTokenError unless *token* was signed with *secret*, or with its private key.

    Its algorithm must be one of *allowed*; without them, one for the kind of key that *secret* is.
    """
    if not token.signature:
        raise JsonWebTokenError("jwt signature is required")
    if "crit" in token.header:  # what stands in it has to be understood (RFC 7515 §4.1.11)
        raise JsonWebTokenError("jwt has critical headers, and none is supported")
    algorithm: Any = token.header.get("alg")
    key = _verifying_key(secret, algorithm, allowed)
    signature = _decoded(token.signature)
    verifier = _algorithms()[algorithm]
    if signature is None or not verifier.verify(token.signed.encode(), key, signature):
        raise JsonWebTokenError("invalid signature")


# --- keys ---------------------------------------------------------------------------------------


class _Key(NamedTuple):
    material: Any
    #: What it can be used for.
    algorithms: tuple[str, ...]


def _signing_key(secret: str, algorithm: str, allow_small: bool) -> Any:
    key = _key(secret)
    wrong = _misfit(key, algorithm)
    if wrong is None and key is not None and key.algorithms != _SECRET:
        if not hasattr(key.material, "sign"):
            wrong = f"must be a private key when using {algorithm}"
        elif key.algorithms == _RSA and key.material.key_size < _LEAST_RSA_BITS and not allow_small:
            wrong = f"has a minimum key size of {_LEAST_RSA_BITS} bits for {algorithm}"
    if key is None or wrong is not None:
        raise OperationError(f"secretOrPrivateKey {wrong}", name="Error")
    return key.material


def _verifying_key(secret: str, algorithm: Any, allowed: list[str] | None) -> Any:
    key = _key(secret)
    if key is not None and algorithm not in (key.algorithms if allowed is None else allowed):
        raise JsonWebTokenError("invalid algorithm")
    wrong = _misfit(key, algorithm)
    if key is None or wrong is not None:
        raise JsonWebTokenError(f"secretOrPublicKey {wrong}")
    public_key = getattr(key.material, "public_key", None)  # of a private key
    return public_key() if public_key else key.material


def _misfit(key: _Key | None, algorithm: str) -> str | None:
    """Why *key* is not for *algorithm*; None if it is."""
    if key is None:
        return "is not valid key material"
    if algorithm in key.algorithms:
        return None
    if algorithm in _SECRET:
        return f"must be a symmetric key when using {algorithm}"
    if key.algorithms == _SECRET:
        return f"must be an asymmetric key when using {algorithm}"
    return f"is a key for {', '.join(key.algorithms)}, not for {algorithm}"


def _key(text: str) -> _Key | None:
    """
    The secret or the key that *text* is; None if it is neither.

    What looks like a key is never taken for a secret: everybody knows the public ones.
    """
    return _pem(text) if "-----BEGIN" in text else _of_kind(_SECRET, text)


@lru_cache(maxsize=64)  # of keys; secrets are not kept
def _pem(text: str) -> _Key | None:
    material = pem.read(text)
    return next((key for kind in _KEYS if (key := _of_kind(kind, material))), None)


def _of_kind(kind: tuple[str, ...], material: Any) -> _Key | None:
    from jwt import PyJWTError  # noqa: PLC0415 - as below

    try:
        return _Key(_algorithms()[kind[0]].prepare_key(material), kind)
    except (PyJWTError, ValueError, TypeError):  # TypeError: it is of another kind
        return None


def warm() -> None:
    """Import what signing and verifying need, so that the first token does not wait for it."""
    _algorithms()


@cache
def _algorithms() -> Mapping[str, Any]:
    # Lazy: takes 50 ms and more, and few flows have tokens.
    from jwt.algorithms import get_default_algorithms  # noqa: PLC0415

    return get_default_algorithms()
