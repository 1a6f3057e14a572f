"""Which credential headers a flow reads: here, `expose_headers` has to list them."""

import re
from collections.abc import Mapping
from typing import Final

from runner import template
from runner.errors import Malformed
from runner.importers.sequences import Node
from runner.operations import BUILTIN
from runner.template import Reference
from runner.types import JSONValue

_HEADERS: Final = ("authorization", "cookie", "proxy-authorization")

_IN_CODE: Final = re.compile(rf"headers\W{{1,5}}({'|'.join(_HEADERS)})\b", re.IGNORECASE)


def read_by(nodes: Mapping[str, Node], root: str | None) -> list[str]:
    """Those that a template or a rule of *nodes* (by id) names; *root* is what runs first."""
    found = set()
    for id_, node in nodes.items():
        # Before anything has run, $last is what started the flow.
        roots = ("$trigger", "$last") if id_ == root else ("$trigger",)
        for reference in references(node.fields.get("type"), node.fields.get("options")):
            path = reference.path
            if len(path) > 2 and path[0] in roots and path[1] == "headers":
                found.add(path[2])
    return [name for name in _HEADERS if name in found]


def named_in(code: str) -> str | None:
    """The first that JavaScript *code* seems to read."""
    found = _IN_CODE.search(code)
    return found[1].lower() if found else None


def references(type_: JSONValue, options: JSONValue) -> list[Reference]:
    """Where *options* look in the data chain, as far as they can be read."""
    found: list[Reference] = []
    try:
        found += template.compile(options).references
        condition = BUILTIN.get("condition")
        if type_ == "condition" and condition is not None and isinstance(options, dict):
            found += condition.prepared({"filter": None, **options}).references
    except* Malformed:
        pass  # it is the compiler's to say
    return found
