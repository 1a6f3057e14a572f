"""
Claims of JSON Web Tokens (RFC 7519): what signing adds, what verifying asks for.

Options, order and errors are those of the npm package jsonwebtoken 9.
"""

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from runner.errors import OperationError
from runner.operations.jws import JsonWebTokenError
from runner.types import JSONObject, JSONValue

#: Options of signing, and the claims that they become, in the order in which they are signed.
_TIMES: Final = {"notBefore": "nbf", "expiresIn": "exp"}
_NAMES: Final = {"audience": "aud", "issuer": "iss", "subject": "sub", "jwtid": "jti"}

_MILLISECONDS: Final = {
    **dict.fromkeys(("", "ms", "msec", "msecs", "millisecond", "milliseconds"), 1),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1000),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60_000),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3_600_000),
    **dict.fromkeys(("d", "day", "days"), 86_400_000),
    **dict.fromkeys(("w", "week", "weeks"), 604_800_000),
    **dict.fromkeys(("y", "yr", "yrs", "year", "years"), 31_557_600_000),  # 365.25 days
}
_SPAN: Final = re.compile(r"(-?[0-9]*\.?[0-9]+) *([a-z]*)", re.IGNORECASE | re.ASCII)
_LONGEST_SPAN: Final = 100

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


# --- signing ------------------------------------------------------------------------------------


def added(payload: JSONValue, options: JSONObject, now: int) -> JSONObject:
    """
    *payload* and what *options* add to it, in the order in which it is signed.

    *now* is in seconds since 1970. Raises OperationError for a payload that is no mapping, a time
    in it that is no number, a claim that both have, and a time span that is none.
    """
    if not isinstance(payload, dict):
        raise _refused('Expected "payload" to be a plain object.')
    _check_payload(payload, options)
    claims = dict(payload)
    issued = claims.get("iat") or now
    if options.get("noTimestamp"):
        claims.pop("iat", None)
    else:
        claims["iat"] = issued
    for option, claim in _TIMES.items():
        if option in options:
            claims[claim] = time = _after(issued, options[option])
            if time is None:
                raise _refused(_no_span(option))
    return claims | {claim: options[name] for name, claim in _NAMES.items() if name in options}


def _check_payload(payload: JSONObject, options: JSONObject) -> None:
    for claim in ("iat", "exp", "nbf"):
        if claim in payload and not _is_number(payload[claim]):
            raise _refused(f'"{claim}" should be a number of seconds')
    for option, claim in _TIMES.items():
        if option in options and claim in payload:
            why = f'the payload already has an "{claim}" property.'
            raise _refused(f'Bad "options.{option}" option {why}')
    for option, claim in _NAMES.items():
        if option in options and claim in payload:
            why = f'The payload already has an "{claim}" property.'
            raise _refused(f'Bad "options.{option}" option. {why}')


def _refused(message: str) -> OperationError:
    return OperationError(message, name="Error")


# --- verifying ----------------------------------------------------------------------------------


def check(payload: JSONValue, options: JSONObject, now: int) -> None:
    """
    Raise OperationError unless *payload* has what *options* ask for, and its time is now.

    *now* is in seconds since 1970. A payload that is no mapping has no claims.
    """
    claims = payload if isinstance(payload, dict) else {}
    now = options.get("clockTimestamp") or now
    tolerance = options.get("clockTolerance", 0)
    if "nbf" in claims and not options.get("ignoreNotBefore"):
        begin = _time(claims, "nbf")
        if begin > now + tolerance:
            raise _untimely("NotBeforeError", "jwt not active", "date", begin)
    if "exp" in claims and not options.get("ignoreExpiration"):
        end = _time(claims, "exp")
        if now >= end + tolerance:
            raise _untimely("TokenExpiredError", "jwt expired", "expiredAt", end)
    _check_names(claims, options)
    if "maxAge" in options:
        end = _end_of_age(claims, options["maxAge"])
        if now >= end + tolerance:
            raise _untimely("TokenExpiredError", "maxAge exceeded", "expiredAt", end)


def _time(claims: JSONObject, claim: str) -> float:
    time = claims[claim]
    if not _is_number(time):
        raise JsonWebTokenError(f"invalid {claim} value")
    return float(time)


def _check_names(claims: JSONObject, options: JSONObject) -> None:
    if "audience" in options:
        audiences = _listed(options["audience"])
        if not any(each in audiences for each in _listed(claims.get("aud"))):
            raise _unexpected("audience", " or ".join(audiences))
    if "issuer" in options:
        issuers = _listed(options["issuer"])
        if claims.get("iss") not in issuers:
            raise _unexpected("issuer", ",".join(issuers))
    for option, claim in (("subject", "sub"), ("jwtid", "jti"), ("nonce", "nonce")):
        if option in options and claims.get(claim) != options[option]:
            raise _unexpected(option, options[option])


def _end_of_age(claims: JSONObject, age: float | str) -> float:
    if not _is_number(claims.get("iat")):
        raise JsonWebTokenError("iat required when maxAge is specified")
    end = _after(claims["iat"], age)
    if end is None:
        raise JsonWebTokenError(_no_span("maxAge"))
    return end


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _unexpected(option: str, expected: str) -> JsonWebTokenError:
    return JsonWebTokenError(f"jwt {option} invalid. expected: {expected}")


def _untimely(name: str, message: str, member: str, time: float) -> OperationError:
    return OperationError(message, data={"name": name, "message": message, member: iso(time)})


# --- time ---------------------------------------------------------------------------------------


def seconds(text: str) -> float | None:
    """
    The length of the time span *text* as the npm package ms reads it: `2 days`, `1.5h`.

    Without a unit it is milliseconds. None if it is no time span.
    """
    match = _SPAN.fullmatch(text) if len(text) <= _LONGEST_SPAN else None
    unit = _MILLISECONDS.get(match[2].lower()) if match else None
    return float(match[1]) * unit / 1000 if match and unit else None


def iso(time: float) -> str | None:
    """
    Seconds since 1970 as `2023-11-14T22:13:20.000Z`.

    None for what no calendar of years with four digits has.
    """
    try:
        date = _EPOCH + timedelta(milliseconds=math.trunc(time * 1000))
    except OverflowError:
        return None
    return date.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _after(begin: float, span: float | str) -> float | None:
    """*span* after *begin*, in seconds: a number of them, or text; None if it is no time span."""
    if not isinstance(span, str):
        return begin + span
    length = seconds(span)
    return None if length is None else (begin + length) // 1


def _no_span(option: str) -> str:
    examples = 'eg: "1d", "20h", 60'
    return f'"{option}" should be a number of seconds or string representing a timespan {examples}'


def _is_number(value: JSONValue) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
