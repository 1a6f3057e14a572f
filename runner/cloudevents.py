"""
CloudEvents 1.0 over HTTP: what was sent, and what goes back.

Every rule is one of the specification's (`spec.md`, `json-format.md` and
`http-protocol-binding.md` of version 1.0.2). It is checked here and not by the SDK, which takes
events without an id and fills one in.
"""

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypeAlias
from urllib.parse import unquote_to_bytes

from runner import jsontext
from runner.errors import ContentTooLarge, InvalidPayload, UnsupportedMediaType
from runner.model import ITEM_EVENTS, OWN_EVENTS, Event
from runner.types import JSONObject, JSONValue

STRUCTURED: Final = "application/cloudevents+json"
"""One event with its attributes, as JSON."""
BATCH: Final = "application/cloudevents-batch+json"
"""A list of such events."""

Attribute: TypeAlias = str | int | bool
"""What an attribute can be; in headers all of them are text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudEvent:
    """One event, known to be valid."""

    id: str
    source: str
    type: str
    #: Those that may be there: `subject`, `time`, `datacontenttype`, `dataschema`, extensions.
    attributes: Mapping[str, Attribute]
    data: JSONValue = None
    #: *data* is base64 text, of what is neither JSON nor text.
    binary: bool = False

    @property
    def name(self) -> str:
        """What flows wait for: its type, with its `collection` where it is about items."""
        collection = self.attributes.get("collection")
        return f"{collection}.{self.type}" if self.type in ITEM_EVENTS else self.type

    def as_event(self, *, ahead: bool) -> Event:
        """It as flows are told of it: `id`, `source`, `subject` and `time` are always there."""
        own = {"id": self.id, "source": self.source, "subject": None, "time": None}
        known = {k: v for k, v in self.attributes.items() if k not in ("event", "payload")}
        return Event(self.name, self.data, {**own, **known}, ahead)

    def with_data(self, data: JSONValue) -> "CloudEvent":
        """The same event about *data*, which is JSON unless it takes the place of text."""
        if data is self.data:
            return self
        kind = _media_type(self.attributes.get("datacontenttype"))
        attributes = {**self.attributes}
        if not _is_json(kind) and not (_is_text(kind) and isinstance(data, str)):
            attributes["datacontenttype"] = "application/json"
        return replace(self, data=data, attributes=attributes, binary=False)

    def as_json(self) -> JSONObject:
        """It as structured JSON."""
        event: JSONObject = {
            "specversion": "1.0",
            "id": self.id,
            "source": self.source,
            "type": self.type,
            **self.attributes,
        }
        if self.data is not None:
            event["data_base64" if self.binary else "data"] = self.data
        return event


# --- what was sent ------------------------------------------------------------------------------


def is_batch(content_type: str) -> bool:
    """Whether a body of this type is a list of events."""
    return content_type.strip().lower().startswith("application/cloudevents-batch")


def read(
    content_type: str,
    headers: Iterable[tuple[str, str]],
    body: bytes,
    *,
    max_depth: int = jsontext.MAX_DEPTH,
    max_batch: int = 0,
) -> tuple[CloudEvent, ...]:
    """
    The events in a request: one, unless it is a batch, which has at most *max_batch*.

    Raises InvalidPayload saying what is wrong, UnsupportedMediaType for a format that is not
    JSON and for batches where *max_batch* is 0, and ContentTooLarge for a batch with more.
    """
    kind = _media_type(content_type)
    if is_batch(kind):
        _check_format(kind, BATCH)
        return tuple(_batch(body, max_depth, max_batch))
    if kind.startswith("application/cloudevents"):
        _check_format(kind, STRUCTURED)
        return (_structured(_json(body, max_depth, "The event"), max_depth),)
    return (_binary(content_type, headers, body, max_depth),)


def _check_format(kind: str, known: str) -> None:
    if kind != known:
        raise UnsupportedMediaType(f"Events in this format cannot be read; send {known}.")


def _batch(body: bytes, max_depth: int, most: int) -> Iterator[CloudEvent]:
    if most == 0:
        raise UnsupportedMediaType("Batches are not taken here; send one event at a time.")
    events = _json(body, max_depth, "The batch")
    if not isinstance(events, list):
        raise _wrong("A batch is a list of events")
    if len(events) > most:
        raise ContentTooLarge(f"A batch has at most {most} events.")
    for number, each in enumerate(events, start=1):
        try:
            yield _structured(each, max_depth)
        except InvalidPayload as error:
            reason = error.message.removeprefix(_WRONG)
            raise InvalidPayload(f"{_WRONG}Event {number}: {reason}") from None


def _structured(event: JSONValue, max_depth: int) -> CloudEvent:
    if not isinstance(event, dict):
        raise _wrong("An event is a JSON object")
    # Null is how an attribute is written that is not there.
    said = {name: value for name, value in event.items() if value is not None}
    data, encoded = said.pop("data", None), said.pop("data_base64", None)
    attributes = _checked(said)
    kind = _media_type(attributes.get("datacontenttype"))
    if encoded is not None:
        if "data" in event:
            raise _wrong("The event has both data and data_base64")
        data, binary = _read_data(_decoded(encoded), attributes.get("datacontenttype"), max_depth)
        return _event(attributes, data, binary=binary)
    if data is not None and not _is_json(kind) and not isinstance(data, str):
        raise _wrong("The event's data is no text, and its datacontenttype is not JSON")
    return _event(attributes, data)


def _decoded(encoded: JSONValue) -> bytes:
    if not isinstance(encoded, str):
        raise _wrong("The event's data_base64 is no text")
    try:
        return base64.b64decode(encoded, validate=True)
    except ValueError:  # other than ASCII is not a binascii.Error
        raise _wrong("The event's data_base64 is not base64") from None


def _binary(
    content_type: str, headers: Iterable[tuple[str, str]], body: bytes, max_depth: int
) -> CloudEvent:
    """An event whose attributes are headers, and whose data is the body."""
    said: JSONObject = {}
    for name, value in headers:
        attribute = name.lower().removeprefix("ce-")
        if attribute == name.lower():
            continue
        if attribute in said:
            raise _wrong(f"The header ce-{_shown(attribute)} is there twice")
        if attribute == "datacontenttype":
            raise _wrong("The datacontenttype of an event in headers is the Content-Type")
        said[attribute] = _header_text(attribute, value)
    if not said:
        raise _wrong(f"This is no CloudEvent: send ce- headers, or {STRUCTURED}")
    if content_type:
        said["datacontenttype"] = content_type
    attributes = _checked(said)
    data, binary = _read_data(body, attributes.get("datacontenttype"), max_depth)
    return _event(attributes, data, binary=binary)


#: Senders of earlier versions put values with spaces into quotes.
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*+)"')


def _header_text(attribute: str, value: str) -> str:
    """What the *value* of a header says: quotes taken off, then one round of `%20`."""
    quoted = _QUOTED.fullmatch(value.strip())
    plain = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else value.strip()
    try:
        return unquote_to_bytes(plain.encode("utf-8", "surrogateescape")).decode()
    except UnicodeError:
        raise _wrong(f"The header ce-{_shown(attribute)} is not UTF-8") from None


def _event(
    attributes: dict[str, Attribute], data: JSONValue, *, binary: bool = False
) -> CloudEvent:
    id_, source, type_ = (str(attributes.pop(name)) for name in ("id", "source", "type"))
    del attributes["specversion"]
    _check_name(type_, attributes.get("collection"))
    return CloudEvent(
        id=id_, source=source, type=type_, attributes=attributes, data=data, binary=binary
    )


def _check_name(type_: str, collection: Attribute | None) -> None:
    """What happens to the runner, only the runner says; what happens to items, says to whose."""
    name_of_items = f"{collection}.{type_}" if type_ in ITEM_EVENTS else ""
    if type_.startswith(OWN_EVENTS) or name_of_items.startswith(OWN_EVENTS):
        raise _wrong(f"Events whose name begins with {OWN_EVENTS} are the runner's own")
    for name in ITEM_EVENTS:
        if type_ == name and not (collection and isinstance(collection, str)):
            raise _wrong(f"An event of the type {name} names its collection in an attribute")
        if type_.endswith(f".{name}") and type_ != f"{collection}.{name}":
            raise _wrong(f"The attribute collection of the event is not that of its type {name}")


# --- data ---------------------------------------------------------------------------------------


def _read_data(
    body: bytes, content_type: Attribute | None, max_depth: int
) -> tuple[JSONValue, bool]:
    """*body* as its type says, and whether that is base64: of all that is not JSON and not text."""
    if not body:
        return None, False
    kind = _media_type(content_type)
    if content_type is not None and _is_json(kind):
        return _json(body, max_depth, "The event's data"), False
    if _is_text(kind):
        return _text(body, str(content_type)), False
    if content_type is None:
        return _guess(body, max_depth)
    return base64.b64encode(body).decode(), True


def _guess(body: bytes, max_depth: int) -> tuple[JSONValue, bool]:
    """Nothing says what it is: JSON if it parses, else text if it is that."""
    try:
        return jsontext.parse(body, max_depth), False
    except ValueError:
        pass
    try:
        return body.decode(), False
    except ValueError:
        return base64.b64encode(body).decode(), True


def _json(body: bytes, max_depth: int, what: str) -> JSONValue:
    try:
        return jsontext.parse(body, max_depth)
    except ValueError as error:
        raise _wrong(f"{what} is not JSON: {error}") from None


_CHARSET: Final = re.compile(r';\s*charset\s*=\s*"?([^\s";]*)', re.IGNORECASE)
_CHARSETS: Final = ("utf-8", "us-ascii", "iso-8859-1")


def _text(body: bytes, content_type: str) -> str:
    found = _CHARSET.search(content_type)
    charset = found[1].lower() if found else "utf-8"
    if charset not in _CHARSETS:
        raise UnsupportedMediaType(f"Text of an event is written in {', '.join(_CHARSETS)}.")
    try:
        return body.decode(charset)
    except ValueError:
        raise _wrong(f"The event's data is not {charset}") from None


def _media_type(content_type: Attribute | None) -> str:
    """Without its parameters; where none is said, it is JSON."""
    text = "application/json" if content_type is None else str(content_type)
    return text.partition(";")[0].strip().lower()


def _is_json(kind: str) -> bool:
    return kind.endswith(("/json", "+json"))


def _is_text(kind: str) -> bool:
    return kind.startswith("text/") or kind.endswith(("/xml", "+xml", "/x-www-form-urlencoded"))


# --- attributes ---------------------------------------------------------------------------------


def _checked(said: JSONObject) -> dict[str, Attribute]:
    """*said*, which are attributes as the specification wants them; raises InvalidPayload."""
    for name in ("specversion", "id", "source", "type"):
        if name not in said:
            raise _wrong(f"The event has no {name}")
    return {name: _attribute(name, value) for name, value in said.items()}


def _attribute(name: str, value: JSONValue) -> Attribute:
    shown = _shown(name)
    if not _NAME.fullmatch(name) or name == "data":
        raise _wrong(f"{shown} is no name of an attribute: it has other than a-z and 0-9")
    if isinstance(value, str):
        if _FORBIDDEN.search(value):
            raise _wrong(f"The event's {shown} has characters that no attribute has")
        if name in _TEXTS and not _TEXTS[name][0](value):
            raise _wrong(f"The event's {shown} must be {_TEXTS[name][1]}")
        return value
    if name in _TEXTS:
        raise _wrong(f"The event's {shown} must be {_TEXTS[name][1]}")
    if isinstance(value, bool) or (isinstance(value, int) and -(2**31) <= value < 2**31):
        return value
    raise _wrong(f"The event's {shown} must be text, a boolean or a whole number of 32 bits")


def _shown(name: str) -> str:
    return name if len(name) <= 40 else f"{name[:39]}…"


_NAME: Final = re.compile(r"[a-z0-9]+")

_NONCHARACTERS: Final = "".join(
    chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF)
)
_FORBIDDEN: Final = re.compile(f"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef{_NONCHARACTERS}]")

_PCHAR: Final = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
_SCHEME: Final = r"[A-Za-z][A-Za-z0-9+.-]*:"
_REST: Final = (
    rf"(?://(?:{_PCHAR}|[\[\]])*+)?(?:{_PCHAR}|/)*+"  # authority, path
    rf"(?:\?(?:{_PCHAR}|[/?])*+)?(?:#(?:{_PCHAR}|[/?])*+)?"
)
#: RFC 3986 §4.1, §4.3. A relative one has no colon before its first slash.
_URI_REFERENCE: Final = re.compile(rf"(?:{_SCHEME}|(?![^/?#]*:)){_REST}")
_URI: Final = re.compile(_SCHEME + _REST)

_TOKEN: Final = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"  # noqa: S105 - RFC 9110's word
#: RFC 9110 §8.3.1.
_MEDIA_TYPE: Final = re.compile(
    rf'{_TOKEN}/{_TOKEN}(?:[ \t]*;[ \t]*(?:{_TOKEN}=(?:{_TOKEN}|"(?:[^"\\]|\\.)*+"))?)*+[ \t]*'
)
#: RFC 3339 §5.6.
_TIME: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}):([0-9]{2})(?:\.[0-9]+)?"
    r"(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)


def _is_time(text: str) -> bool:
    found = _TIME.fullmatch(text)
    if found is None or int(found[3]) > 60:
        return False
    try:
        datetime.fromisoformat(f"{found[1]}T{found[2]}")  # a second of 60 is a leap second
    except ValueError:
        return False
    return True


#: Attributes that must be texts of a kind: whether one is, and which kind.
_TEXTS: Final[Mapping[str, tuple[Callable[[str], object], str]]] = {
    "specversion": ("1.0".__eq__, "1.0"),
    "id": (bool, "text, and not empty"),
    "source": (lambda text: text and _URI_REFERENCE.fullmatch(text), "a URI or a reference to one"),
    "type": (bool, "text, and not empty"),
    "subject": (bool, "text, and not empty"),
    "time": (_is_time, "a time as 2026-01-31T12:00:00Z"),
    "datacontenttype": (_MEDIA_TYPE.fullmatch, "a media type, like application/json"),
    "dataschema": (_URI.fullmatch, "a URI"),
}


# --- what is wrong ------------------------------------------------------------------------------

_WRONG: Final = "Invalid payload. "


def _wrong(reason: str) -> InvalidPayload:
    return InvalidPayload(f"{_WRONG}{reason}.")
