"""The scalars and lists of the settings as flags and environment variables, from the schema."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from runner import schema
from runner.types import JSONObject, JSONValue

PREFIX: Final = "RUNNER_"
"""What the names of all our environment variables begin with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A setting that has a flag and a variable."""

    #: Where it stands in the file: `limits.body`.
    path: str
    #: `text`, `integer`, `boolean`, or `list` (of texts, separated by commas).
    kind: str
    description: str
    #: As the flag would say it; empty where there is none.
    default: str
    example: str
    #: The values there are; empty: any.
    choices: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        """`--limits-body`."""
        return "--" + re.sub("[._]", "-", self.path)

    @property
    def variable(self) -> str:
        """`RUNNER_LIMITS_BODY`."""
        return PREFIX + self.path.replace(".", "_").upper()

    def parse(self, text: str) -> JSONValue:
        """The JSON value that *text* means; where it means none, the schema will say so."""
        if self.kind == "list":
            return [part.strip() for part in text.split(",") if part.strip()]
        if self.kind == "integer" and re.fullmatch("-?[0-9]{1,15}", text):
            return int(text)
        if self.kind == "boolean":
            return {"true": True, "false": False}.get(text, text)
        return text


@cache
def flags() -> tuple[Option, ...]:
    """Every option that has a flag, in the order of the schema."""
    return tuple(
        Option(
            path=path,
            kind=kind,
            description=leaf["description"],
            default=_as_text(leaf.get("default", "")),
            example=_as_text(leaf["examples"][0]),
            choices=tuple(leaf.get("enum", ())),
        )
        for path, leaf in leaves(schema.load("settings"))
        if (kind := _kind(leaf))
    )


def leaves(group: JSONObject, prefix: str = "") -> Iterator[tuple[str, JSONObject]]:
    """Path and schema of each value in *group*, the part of the settings' schema at *prefix*."""
    definitions = schema.load("settings")["$defs"]
    for key, child in group["properties"].items():
        leaf = definitions.get(child.get("$ref", "").removeprefix("#/$defs/"), {}) | child
        if leaf["type"] == "object" and "properties" in leaf:
            yield from leaves(leaf, f"{prefix}{key}.")
        else:
            yield prefix + key, leaf


def _kind(leaf: JSONObject) -> str | None:
    if leaf["type"] == "array":
        return "list" if leaf["items"].get("type") == "string" else None
    if leaf["type"] == ["string", "object"]:  # of secrets only those that need not be one
        return "text" if "default" in leaf else None
    kinds = {"boolean": "boolean", "integer": "integer", "string": "text"}
    # Sizes may be numbers in the file; as text they say the same.
    return "text" if leaf["type"] == ["integer", "string"] else kinds.get(str(leaf["type"]))


def _as_text(value: JSONValue) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case list():
            return ",".join(value)
    return str(value)
