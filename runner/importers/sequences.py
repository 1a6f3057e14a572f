"""
From operations that name each other to sequences that stand in each other.

Directus says of every operation which one resolves it and which one its rejection leads to. A
person would write the first below it and the second into it; a key is left where two ways meet.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from runner.types import JSONObject, JSONValue, Path

MAX_NESTING: Final = 10
"""So deep sequences stand in each other; what is deeper is reached by key. YAML is read to 64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One operation, and the ids of those that follow it."""

    id: str
    key: str
    #: All that the file will say of it but what follows it.
    fields: JSONObject
    #: By path inside *fields*.
    comments: Mapping[Path, str] = field(default_factory=dict)
    resolve: str | None = None
    reject: str | None = None

    @property
    def followers(self) -> list[str]:
        """Those that follow it."""
        return [each for each in (self.resolve, self.reject) if each is not None]


def arrange(nodes: Mapping[str, Node], root: str | None) -> "Arrangement":
    """
    Put all *nodes* (by id) that can be reached from *root* into sequences.

    Every node stands in one place, whatever they say of each other; an id that is no node's stays
    as it is, where a key would be.
    """
    reached = _reached(nodes, root)
    arrangement = Arrangement({id_: nodes[id_] for id_ in nodes if id_ in reached})
    if root is not None and root in nodes:
        arrangement.place(root)
    return arrangement


def _reached(nodes: Mapping[str, Node], root: str | None) -> set[str]:
    reached: set[str] = set()
    todo = [] if root is None else [root]
    while todo:
        id_ = todo.pop()
        if id_ in nodes and id_ not in reached:
            reached.add(id_)
            todo += nodes[id_].followers
    return reached


class Arrangement:
    """Where everything stands."""

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self.nodes = nodes
        #: The sequence of the flow.
        self.operations: list[JSONObject] = []
        #: By path inside the flow.
        self.comments: dict[Path, str] = {}
        self._placed: set[str] = set()
        self._handlers = {node.reject for node in nodes.values()}
        #: What was too deep, and stands at the end of the flow's sequence instead.
        self._deep: deque[str] = deque()

    def place(self, root: str) -> None:
        """Place *root* and all that follows."""
        self._deep.append(root)
        while self._deep:
            first = self._deep.popleft()
            if first in self._placed:
                continue
            if self.operations:
                self.operations[-1] = _ended(self.operations[-1])
            at: Path = ("operations",)
            self.operations += self._sequence(first, at, len(self.operations), depth=0)

    def _sequence(self, first: str, at: Path, start: int, depth: int) -> list[JSONObject]:
        """The operations from *first* on, as the list at *at* has them from index *start* on."""
        chain, end = self._chain(first)
        items = []
        for index, node in enumerate(chain, start):
            item = dict(node.fields)
            self.comments |= {(*at, index, *inner): text for inner, text in node.comments.items()}
            last = node is chain[-1]
            follower = end if last else node.resolve
            # To run on into what a failure leads to has to be said: it is hardly ever meant.
            if follower is not None and (last or follower in self._handlers):
                item["resolve"] = self._key(follower)
            if node.reject is not None:
                item["reject"] = self._handler(node.reject, (*at, index, "reject"), depth)
            items.append(item)
        return items

    def _chain(self, first: str) -> tuple[Sequence[Node], str | None]:
        """What resolves to each other from *first* on; and what they lead to that has a place."""
        chain = []
        id_: str | None = first
        while id_ is not None and id_ in self.nodes and id_ not in self._placed:
            self._placed.add(id_)
            chain.append(self.nodes[id_])
            id_ = self.nodes[id_].resolve
        return chain, id_

    def _handler(self, id_: str, at: Path, depth: int) -> JSONValue:
        if id_ in self._placed or id_ not in self.nodes:
            return self._key(id_)
        if depth == MAX_NESTING:
            self._deep.append(id_)
            return self._key(id_)
        return self._sequence(id_, at, 0, depth + 1)

    def _key(self, id_: str) -> str:
        return self.nodes[id_].key if id_ in self.nodes else id_


def _ended(item: JSONObject) -> JSONObject:
    """*item* so that it does not run on into what follows it."""
    if "resolve" in item:
        return item
    rejecting = {"reject": item["reject"]} if "reject" in item else {}
    return {**{key: item[key] for key in item if key != "reject"}, "resolve": None, **rejecting}
