"""What item operations are told: keys, a query and a payload, in all the forms Directus takes."""

from typing import Final, TypeVar

from runner import jsontext
from runner.errors import OperationError
from runner.items.refusals import invalid_payload, invalid_query
from runner.types import JSONObject, JSONValue

T = TypeVar("T")

MAX_ITEMS: Final = 10_000
"""Items that one operation writes: they are one transaction, and one list in the data chain."""

_EVERY: Final = "; if that is meant, write `query: {limit: -1}`"
_SHAPE: Final = "It has to be an object, or a list of objects"


def keys(options: JSONObject) -> list[JSONValue]:
    """
    The primary keys that `key` names: one, a list, or text with commas between them.

    They are as the caller wrote them; none is an empty list. Raises OperationError.
    """
    key = options.get("key")
    if key is None or key == "":
        return []
    several = key.split(",") if isinstance(key, str) else key
    found: list[JSONValue] = [*several] if isinstance(several, list) else [several]
    if any(isinstance(each, bool | dict | list) or each is None for each in found):
        raise invalid_payload("A key is a number or a text")
    return _few(found)


def which(options: JSONObject) -> tuple[list[JSONValue], JSONObject | None]:
    """
    `key` and `query` of an operation that changes items; one of them it has to have.

    An empty list of keys is no item. Raises OperationError for both of them, and for what would
    mean every item where nobody said so: neither of them, or a query whose filter came out empty.
    """
    named, query_ = keys(options), query(options)
    if named and query_ is not None:
        raise invalid_payload("`key` and `query` exclude each other")
    if query_ is None and not isinstance(options.get("key"), list) and not named:
        raise invalid_payload(f"Without `key` and `query` it would be every item{_EVERY}")
    if query_ is not None and not _chooses(query_):
        raise invalid_query(f"It does not choose, so it would be every item{_EVERY}")
    return named, query_


def _chooses(query_: JSONObject) -> bool:
    """Whether the author said which items; a template that leads nowhere says nothing."""
    said = [query_[name] for name in ("filter", "search", "limit") if name in query_]
    return bool(said) and all(each not in (None, "", {}, "{}") for each in said)


def query(options: JSONObject) -> JSONObject | None:
    """The parameters that `query` holds, as an object or as JSON text. Raises OperationError."""
    value = _read("query", options)
    if value is None or isinstance(value, dict):
        return value
    raise invalid_query("It has to be an object")


def payload(options: JSONObject) -> JSONObject | list[JSONObject] | None:
    """What `payload` holds, as an object, a list of them, or JSON text. Raises OperationError."""
    value = _read("payload", options)
    if value is None or isinstance(value, dict):
        return value
    if not isinstance(value, list):
        raise invalid_payload(_SHAPE)
    items = [each for each in value if isinstance(each, dict)]
    if len(items) < len(value):
        raise invalid_payload(_SHAPE)
    return _few(items)


def _read(option: str, options: JSONObject) -> JSONValue:
    value: JSONValue = options.get(option)
    if not isinstance(value, str):
        return value
    try:
        return jsontext.parse(value) if value else None
    except ValueError as error:
        raise OperationError(f"option {option} is not JSON: {error}", code="INVALID_JSON") from None


def _few(items: list[T]) -> list[T]:
    if len(items) > MAX_ITEMS:
        raise invalid_payload(f"More than {MAX_ITEMS} items are too many for one operation")
    return items
