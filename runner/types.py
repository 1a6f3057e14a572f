"""Names for the shapes that everything else speaks of."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

JSONObject: TypeAlias = dict[str, Any]
"""A JSON object. Values in the data chain are never changed once they are in it."""

JSONValue: TypeAlias = bool | int | float | str | list[Any] | JSONObject | None
"""Anything that JSON can say."""

Chain: TypeAlias = Mapping[str, JSONValue]
"""The data chain as a template or a rule sees it: roots by name."""

Path: TypeAlias = tuple[str | int, ...]
"""Where something stands inside a JSON value: keys and indices from the root."""

Check: TypeAlias = Callable[[JSONValue], str | None]
"""Looks at a rendered value and says what is wrong with it, or None."""
