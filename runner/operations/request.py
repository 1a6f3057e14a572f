"""
Ask another server.

What is sent and what comes of it is Directus', which leaves it to axios: how a body is written,
which content type is added, that JSON is read whatever the content type says.
"""

import random
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

from multidict import CIMultiDict

from runner import jsontext, outgoing, template
from runner.errors import OperationError
from runner.operations import base
from runner.operations.base import OperationContext, OperationSpec, Prepared
from runner.outgoing import CLIENT, Request, RequestError, Response
from runner.types import Chain, JSONObject, JSONValue
from runner.units import parse_size

T = TypeVar("T")


def prepare(options: JSONObject) -> Prepared:
    """
    Work out what does not depend on the data: URL, headers, and who has chosen the host.

    The handler resolves with `{status, statusText, headers, data}` for a status of 200 to 299. It
    rejects with the same four and `name`, `message`, `code` for any other, and with RequestError
    where no response can be had.
    """
    warnings: tuple[base.Finding, ...] = ()
    try:
        to_url = _early(options["url"], outgoing.target)
    except RequestError as error:
        # Only a warning: Directus says it when the operation runs, and an imported flow does too.
        warnings = (base.Finding("bad-url", error.message, ("url",), "write http://host/path"),)
        to_url = outgoing.target
    to_headers = _early(options.get("headers"), _headers)
    is_reviewed = _reviewer(options["url"])
    with_key = options.get("idempotency_key", False)
    max_response = parse_size(options["max_response"]) if "max_response" in options else None

    async def request(rendered: JSONObject, context: OperationContext) -> JSONObject:
        client, execution = context.resources[CLIENT], context.execution
        method = rendered.get("method", "GET").upper()
        headers = to_headers(rendered.get("headers")).copy()
        if with_key:
            headers.setdefault("Idempotency-Key", quote(execution.idempotency_key))
        headers.setdefault("traceparent", _traceparent(execution.trace_id))
        made = Request(
            method=method,
            url=to_url(rendered["url"]),
            headers=headers,
            body=_body(rendered.get("body", ""), method, headers),
            reviewed=is_reviewed(context.data),
            max_response=max_response,
        )
        # Where the operation has a time of its own, whoever runs it sees to that.
        return _result(await client.send(made, limited=execution.timeout is None))

    return Prepared(request, warnings=warnings)


def _early(option: JSONValue, make: Callable[[Any], T]) -> Callable[[Any], T]:
    """What makes something of a rendered *option*: now, if no template is in it."""
    compiled = template.compile(option)
    if not compiled.constant:
        return make
    made = make(compiled.render({}))
    return lambda _: made


# --- who has chosen the host --------------------------------------------------------------------

#: Text up to the first template that is about anything but what the operator has configured.
_CONFIGURED: Final = re.compile(
    r"(?:[^{]|\{(?!\{)|\{\{\s*\$(?:env|secrets)[.\[][^{}]*\}\})*", re.DOTALL
)
#: Scheme, host and port, with what ends them: nothing behind it can change them.
_ORIGIN: Final = re.compile(r"https?://[^/?#\\]+[/?#]", re.IGNORECASE)


def _reviewer(url: str) -> Callable[[Chain], bool]:
    """
    Tells whether scheme, host and port of the rendered *url* are those of the flow file.

    What comes from `$env` and `$secrets` counts as if it stood there. When in doubt, it does not:
    in `http://host{{ x }}` and `http://host:{{ x }}`, the data say where the request goes.
    """
    configured = _CONFIGURED.match(url)
    text = "" if configured is None else configured[0]
    if text == url:
        return lambda _: True
    prefix = template.compile(text)
    if prefix.constant:
        fixed = _ORIGIN.match(text) is not None
        return lambda _: fixed
    return lambda chain: _ORIGIN.match(str(prefix.render(chain))) is not None


# --- what is sent -------------------------------------------------------------------------------

_JSON: Final = "application/json"
_FORM: Final = "application/x-www-form-urlencoded"

#: How a message travels is not for its author to say: a wrong length would be worse than none.
_OF_THE_CONNECTION: Final = frozenset(
    {
        "connection", "content-length", "expect", "keep-alive", "proxy-connection", "te",
        "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip

#: Tells spans apart, and is no secret.
_random = random.Random()  # noqa: S311


def _headers(option: list[JSONObject] | None) -> CIMultiDict[str]:
    headers: CIMultiDict[str] = CIMultiDict()
    for each in option or ():
        name, value = each["header"], each.get("value")
        if value is not None and name.lower() not in _OF_THE_CONNECTION:
            headers[name] = jsontext.as_text(value)
    return headers


def _traceparent(trace_id: str) -> str:
    """W3C trace context: this request is a span of its own."""
    return f"00-{trace_id}-{_random.getrandbits(64) or 1:016x}-01"


def _body(body: JSONValue, method: str, headers: CIMultiDict[str]) -> bytes | None:
    """*body* as it is sent; adds the content type to *headers* where the author names none."""
    is_json = not isinstance(body, str) or _says_json(body)
    if is_json:
        headers.setdefault("Content-Type", _JSON)
    elif method in ("POST", "PUT", "PATCH"):
        headers.setdefault("Content-Type", _FORM)
    type_ = headers.get("Content-Type", "")
    if body == "":
        return None
    if isinstance(body, str) and _JSON not in type_:
        return body.encode("utf-8", "replace")
    if isinstance(body, str) and is_json:
        return body.strip().encode()
    if isinstance(body, dict) and _FORM in type_:
        return urlencode(list(_fields(body))).encode()
    return jsontext.write(body)


def _says_json(text: str) -> bool:
    try:
        jsontext.parse(text)
    except ValueError:
        return False
    return True


def _fields(value: JSONValue, name: str = "") -> Iterator[tuple[str, str]]:
    """The fields of a form: `a[b]` for the members of an object, `a[]` or `a[0]` of a list."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _fields(each, f"{name}[{key}]" if name else key)
    elif isinstance(value, list):
        flat = not any(isinstance(each, dict | list) for each in value)
        for index, each in enumerate(value):
            yield from _fields(each, f"{name}[]" if flat else f"{name}[{index}]")
    elif value is not None:
        yield name, jsontext.as_text(value)


# --- what comes of it ---------------------------------------------------------------------------


def _result(response: Response) -> JSONObject:
    """Raises OperationError for a status that is no success."""
    value = {
        "status": response.status,
        "statusText": response.reason,
        "headers": response.headers,
        "data": _data(response),
    }
    if 200 <= response.status < 300:
        return value
    message = f"the server answered {response.status} {response.reason}".rstrip()
    code = "ERR_BAD_RESPONSE" if response.status >= 500 else "ERR_BAD_REQUEST"
    error = {"name": RequestError.__name__, "message": message, "code": code}
    raise OperationError(message, data=value | error)


def _data(response: Response) -> JSONValue:
    """What the body says as JSON, else its text."""
    try:
        return jsontext.parse(response.body if response.charset == "utf-8" else response.text)
    except ValueError:
        text = response.text
    try:
        return jsontext.parse(text)  # without its byte order mark, and what is no UTF-8
    except ValueError:
        return text


OPERATION = OperationSpec(type="request", prepare=prepare, resources=(CLIENT,))
