"""Read what a caller sent: query strings and bodies, within limits."""

import asyncio
import re
from typing import Any, Final

from aiohttp import BodyPartReader, MultipartReader, StreamReader, hdrs, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.helpers import parse_mimetype
from multidict import CIMultiDict

from runner import jsontext
from runner.errors import (
    ContentTooLarge,
    InvalidPayload,
    InvalidQuery,
    RunnerError,
    UnsupportedMediaType,
)
from runner.fit import well_formed
from runner.settings import Limits
from runner.types import JSONObject, JSONValue

#: Seconds until the whole body has to be there: who sends slower, does not mean it.
BODY_TIME = 10.0

#: Parameters of a query string, and parts of a form.
_MAX_PARTS = 1000

#: A form that is larger is read beside the loop: a hostile one takes a second a megabyte.
_LARGE_FORM: Final = 1 << 16

#: What text is written in, on the web. Python knows more: some of it takes hours for a megabyte
#: (punycode, idna), some makes what is no text (utf-7, unicode_escape), and it keeps in memory
#: every name that it was ever asked for in vain.
_CHARSET: Final = re.compile(
    r"utf-?8|utf-?(16|32)(-?[lb]e)?|(us-)?ascii|latin-?1|iso-?8859-[0-9]{1,2}"
    r"|(windows-|cp)125[0-8]|koi8-[ru]|shift-jis|euc-(jp|kr)|gbk|gb2312|gb18030|big5"
)

#: What every object has in JavaScript, and Directus therefore drops.
_PROTOTYPE = frozenset(
    {
        "__defineGetter__", "__defineSetter__", "__lookupGetter__", "__lookupSetter__",
        "__proto__", "constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable",
        "toLocaleString", "toString", "valueOf",
    }
)  # fmt: skip


def query(text: str) -> JSONObject:
    """
    A query string or a form as Directus reads it: `a[b]=1` nests, `a=1&a=2` is a list.

    Raises InvalidQuery when it has more parameters than anybody means.
    """
    if not text:
        return {}
    if text.count("&") >= _MAX_PARTS:
        raise InvalidQuery(f"Invalid query. It has more than {_MAX_PARTS} parameters.")
    # Lazy: most webhooks have no query, and loading it takes a twentieth of the start.
    import qs_codec  # noqa: PLC0415
    from qs_codec.models.overflow_dict import OverflowDict  # noqa: PLC0415

    # Directus' rules: ten brackets deep; an index above 20 is a key.
    options = qs_codec.DecodeOptions(depth=10, list_limit=21, parameter_limit=_MAX_PARTS)
    try:
        decoded: JSONObject = _plain(qs_codec.decode(text, options), OverflowDict)
    except (ValueError, IndexError) as error:
        raise InvalidQuery(f"Invalid query. {error}.") from None
    return decoded


def _plain(value: Any, long_list: type[Any]) -> Any:
    """
    *value* without the members that Directus drops.

    A *long_list* is a list that is longer than indices may be high.
    """
    if isinstance(value, list):
        return [_plain(each, long_list) for each in value]
    if isinstance(value, long_list):
        return [_plain(each, long_list) for each in value.values()]
    if isinstance(value, dict):
        kept = (each for each in value.items() if each[0] not in _PROTOTYPE)
        return {name: _plain(each, long_list) for name, each in kept}
    return value


async def read(request: web.Request, limit: int) -> bytes:
    """
    The bytes of the body.

    Raises ContentTooLarge beyond *limit*, UnsupportedMediaType for a compressed body (what is
    signed is what was sent), InvalidPayload when it does not arrive in time.
    """
    headers = request.headers
    chunked = headers.get(hdrs.TRANSFER_ENCODING, "chunked").lower() == "chunked"
    if hdrs.CONTENT_ENCODING in headers or not chunked:
        raise UnsupportedMediaType("Compressed bodies are not read; send it as it is.")
    if (request.content_length or 0) > limit:
        raise ContentTooLarge(f"The body is larger than {limit} bytes.")
    if not request.body_exists:
        return b""
    try:
        if request.content.is_eof():  # most of them came with the headers
            body = request.content.read_nowait()
            _check_size(body, limit)
            return body
        async with asyncio.timeout(BODY_TIME):
            return await _read(request, limit)
    except TimeoutError:
        message = f"Invalid payload. The body did not arrive within {BODY_TIME:g} s."
        raise InvalidPayload(message) from None
    except (web.RequestPayloadError, ConnectionError):
        raise InvalidPayload("Invalid payload. The body did not arrive whole.") from None


async def _read(request: web.Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        _check_size(body, limit)
    return bytes(body)


def _check_size(body: bytes | bytearray, limit: int) -> None:
    if len(body) > limit:
        raise ContentTooLarge(f"The body is larger than {limit} bytes.")


async def parse(body: bytes, content_type: str, max_depth: int) -> JSONValue:
    """
    What *body* means under the header Content-Type.

    JSON is an object or a list, forms are objects, text is text; nothing at all is `{}`. Without
    a content type, JSON if it parses, else text. Raises InvalidPayload and UnsupportedMediaType.
    """
    if not body:
        return {}
    kind, _, parameters = content_type.partition(";")
    kind = kind.strip().lower()
    if kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json")):
        return _json(body, max_depth)
    if kind == "application/x-www-form-urlencoded":
        return _form(body) if len(body) <= _LARGE_FORM else await asyncio.to_thread(_form, body)
    if kind == "multipart/form-data":
        return await _multipart(body, content_type)
    if kind.startswith("text/"):
        return _text(body, _charset(parameters))
    if not kind:
        return _guess(body, max_depth)
    raise UnsupportedMediaType(
        f"Bodies of type {kind!r} cannot be read; send JSON, a form or text."
    )


async def read_json(request: web.Request, limits: Limits) -> JSONValue:
    """The body as JSON, whatever its type is said to be; nothing at all is `{}`."""
    body = await read(request, limits.body)
    return _json(body, limits.json_depth) if body else {}


def _json(body: bytes, max_depth: int) -> JSONValue:
    try:
        value = jsontext.parse(body, max_depth)
    except ValueError as error:
        raise InvalidPayload(f"Invalid payload. {error}.") from None
    if not isinstance(value, dict | list):
        raise InvalidPayload("Invalid payload. The body must be a JSON object or list.")
    return value


def _form(body: bytes) -> JSONObject:
    try:
        return query(_text(body, "utf-8"))
    except InvalidQuery as error:
        raise InvalidPayload(error.message.replace("query", "payload", 1)) from None


def _guess(body: bytes, max_depth: int) -> JSONValue:
    try:
        return jsontext.parse(body, max_depth)
    except ValueError:
        return _text(body, "utf-8")


def _text(body: bytes, charset: str) -> str:
    name = charset.lower().replace("_", "-")
    try:
        if not _CHARSET.fullmatch(name):
            raise LookupError(name)  # noqa: TRY301 - as Python says it of iso-8859-99
        return body.decode(name)
    except LookupError:
        raise UnsupportedMediaType(f"The charset {charset!r} is not known.") from None
    except ValueError:
        raise InvalidPayload(f"Invalid payload. The body is not {charset}.") from None


def _charset(parameters: str) -> str:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip('"') or "utf-8"
    return "utf-8"


async def _multipart(body: bytes, content_type: str) -> JSONObject:
    """Fields as text; a file as `{filename, type, content}`. A repeated name makes a list."""
    # All of it is here: beyond twice its limit, the reader would ask the connection to pause.
    stream = StreamReader(BaseProtocol(asyncio.get_running_loop()), len(body))
    stream.feed_data(body)
    stream.feed_eof()
    fields: JSONObject = {}
    try:
        _check_beginning(body, content_type)
        reader = MultipartReader(CIMultiDict({hdrs.CONTENT_TYPE: content_type}), stream)
        for _ in range(_MAX_PARTS):
            part = await reader.next()
            if part is None:
                return fields
            await _add_part(fields, part)
    except RunnerError:
        raise
    except Exception:  # of a form that is none, aiohttp says so in a dozen types
        raise InvalidPayload("Invalid payload. This form cannot be read.") from None
    raise InvalidPayload(f"Invalid payload. The form has more than {_MAX_PARTS} parts.")


def _check_beginning(body: bytes, content_type: str) -> None:
    # Nobody writes anything before the first part, and skipping it line by line holds up the loop.
    boundary = parse_mimetype(content_type).parameters.get("boundary", "")
    if not body.removeprefix(b"\r\n").startswith(f"--{boundary}".encode()):
        raise ValueError("the form does not begin with its boundary")


async def _add_part(fields: JSONObject, part: Any) -> None:
    if not isinstance(part, BodyPartReader) or part.name is None:
        raise ValueError("a part without a name")
    value: JSONValue = _text(bytes(await part.read()), part.get_charset("utf-8"))
    if part.filename is not None:
        kind = part.headers.get(hdrs.CONTENT_TYPE, "application/octet-stream")
        value = {
            "filename": well_formed(part.filename),
            "type": well_formed(kind),
            "content": value,
        }
    name = well_formed(part.name)
    if name not in fields:
        fields[name] = value
    elif isinstance(fields[name], list):
        fields[name].append(value)
    else:
        fields[name] = [fields[name], value]
