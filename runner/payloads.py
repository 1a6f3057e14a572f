"""
What a body has to look like: a JSON Schema that the author of a flow wrote.

The author is trusted and the body is not. Whether it fits is asked of jsonschema-rs, which takes
about as long as the body is large. Its own explanations do not: they list every misfit, and try all
branches of all branches. So where something does not fit is found out here, by asking about ever
smaller parts.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

from runner import schema
from runner.errors import Malformed
from runner.types import JSONObject, JSONValue, Path

MAX_PATHS: Final = 10
"""How many misfits of one body are told."""

MAX_PARTS: Final = 2000
"""How many objects a schema may have, each reference to one of them written out once."""

Misfits: TypeAlias = Callable[[JSONValue], list[str]]
"""Takes a body, gives the paths of what does not fit; of a body that fits, none."""


def compile(given: JSONObject) -> Misfits:
    """Compile a schema. Raises Malformed with the path inside of it."""
    _check_references(given, given, ())
    if _weight(given) > MAX_PARTS:
        raise Malformed(f"a schema has at most {MAX_PARTS} parts, its references written out")
    parts = schema.parts(given)
    whole, search = parts["#"], _Search(given, parts)

    def misfits(body: JSONValue) -> list[str]:
        if whole.is_valid(body):
            return []
        places = islice(search.places(body, "#", ()), MAX_PATHS)
        return list(dict.fromkeys(map(_shown, places)))

    return misfits


def _shown(at: Path) -> str:
    """`order.lines[2].sku`, short enough for a message."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in at)
    text = text.removeprefix(".") or "the body itself"
    return text if len(text) <= 100 else f"{text[:99]}…"


# --- what a schema may refer to -----------------------------------------------------------------

_ELSEWHERE: Final = ("$id", "$anchor", "$dynamicRef", "$dynamicAnchor")


def _check_references(root: JSONObject, part: Any, at: Path) -> None:
    """Raise Malformed unless every reference says where in *root* it leads to."""
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(part, dict | list):
        items = part.items() if isinstance(part, dict) else enumerate(part)
    for key, value in items:
        if key in _ELSEWHERE and isinstance(value, str):
            message = f"{key} is not read here"
            raise Malformed(message, (*at, key), "refer to a part with $ref: '#/$defs/name'")
        if key == "$ref" and isinstance(value, str) and _resolve(root, unquote(value)) is None:
            message = f"there is nothing at {value[:60]} in this schema"
            raise Malformed(message, (*at, key), "nothing is fetched: put it under $defs")
        _check_references(root, value, (*at, key))


def _weight(root: JSONObject) -> int:
    """How many objects there are, counted where they are referred to; a circle counts once."""
    known: dict[str, int] = {}

    def of(part: Any) -> int:
        if not isinstance(part, dict):
            return sum(map(of, part)) if isinstance(part, list) else 0
        reference = part.get("$ref")
        target = of_target(unquote(reference)) if isinstance(reference, str) else 0
        return 1 + target + sum(map(of, part.values()))

    def of_target(pointer: str) -> int:
        if pointer not in known:
            known[pointer] = 0
            known[pointer] = of(_resolve(root, pointer))
        return known[pointer]

    return of(root)


def _resolve(root: JSONObject, pointer: str) -> Any:
    """What is at `#/a/b` (RFC 6901); null where nothing is."""
    start, *names = pointer.split("/")
    part: Any = root if start == "#" else None
    for name in names:
        key = name.replace("~1", "/").replace("~0", "~")
        if isinstance(part, dict):
            part = part.get(key)
        elif isinstance(part, list) and key.isdecimal() and int(key) < len(part):
            part = part[int(key)]
        else:
            return None
    return part


# --- where a body does not fit ------------------------------------------------------------------


class _Search:
    """Looks for the innermost parts of a value that do not fit."""

    def __init__(self, root: JSONObject, parts: Any) -> None:
        self._root = root
        self._parts = parts

    def places(self, value: JSONValue, pointer: str, at: Path) -> Iterator[Path]:
        """Where in *value*, which does not fit the schema at *pointer*."""
        found = False
        for step, child, inner in self._children(value, pointer):
            part = self._parts.get(inner)
            if inner == "":
                found = True
                yield (*at, step)
            elif part is not None and not part.is_valid(child):
                found = True
                yield from self.places(child, inner, (*at, step))
        if not found:
            yield at

    def _children(
        self, value: JSONValue, pointer: str
    ) -> Iterator[tuple[str | int, JSONValue, str]]:
        """Members of *value* and where their schema is; nowhere of those that are missing."""
        for base, node in self._about(pointer):
            if isinstance(value, dict):
                yield from _members(value, base, node)
            elif isinstance(value, list):
                first = len(node.get("prefixItems", ()))
                for index, item in enumerate(value):
                    of = f"prefixItems/{index}" if index < first else "items"
                    yield index, item, f"{base}/{of}"

    def _about(self, pointer: str) -> Iterator[tuple[str, JSONObject]]:
        """All schemas that say something of one value: by reference, and of which all must hold."""
        todo, known = [pointer], {pointer}
        for each in todo:  # it grows while we read it
            node = _resolve(self._root, each)
            if isinstance(node, dict):
                yield each, node
                more = [f"{each}/allOf/{index}" for index in range(len(node.get("allOf", ())))]
                more += [unquote(node["$ref"])] if "$ref" in node else []
                todo += [one for one in more if one not in known]
                known.update(more)


def _members(
    value: JSONObject, base: str, node: JSONObject
) -> Iterator[tuple[str, JSONValue, str]]:
    known = node.get("properties", {})
    for name in known:
        if name in value:
            yield name, value[name], f"{base}/properties/{_escaped(name)}"
    for name in node.get("required", ()):
        if name not in value:
            yield name, None, ""
    if "patternProperties" not in node:
        for name in value:
            if name not in known:
                yield name, value[name], f"{base}/additionalProperties"


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
