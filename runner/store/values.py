"""Values as the JSON text that is kept of them: what is read back is what was written."""

from runner import fit, jsontext
from runner.errors import Unwritable
from runner.store.base import MAX_VALUE
from runner.types import JSONValue

#: What can be written is not nested deeper.
_DEPTH = 1024


def pack(value: JSONValue, what: str) -> str:
    """
    The text of *value*.

    Raises Unwritable, which calls it *what*, for what JSON cannot say (NaN, integers beyond 64
    bits, half a surrogate pair), what is nested beyond reason, and more than `MAX_VALUE` bytes.
    """
    try:
        text = jsontext.write(value) if fit.is_small(value, MAX_VALUE) else None
    except ValueError as error:
        raise Unwritable(f"{what} cannot be kept: {error}") from None
    if text is None:
        message = f"it is larger than {MAX_VALUE >> 20} MiB, or holds NaN, an infinity or no JSON"
        raise Unwritable(f"{what} cannot be kept: {message}")
    if len(text) > MAX_VALUE:
        raise Unwritable(f"{what} cannot be kept: it is larger than {MAX_VALUE >> 20} MiB")
    return text.decode()


def unpack(text: str) -> JSONValue:
    """The value that `pack` made *text* of."""
    return jsontext.parse(text, _DEPTH)
