"""The nested sequences of a flow file, flattened: which operation follows which."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from runner.schema import Guesses, quoted
from runner.types import JSONObject, JSONValue, Path


class Problem(NamedTuple):
    """Something about the order of operations that cannot be meant."""

    code: str
    message: str
    at: Path
    hint: str | None = None


@dataclass(slots=True, kw_only=True)
class Node:
    """One operation of the file, and what it leads to."""

    data: JSONObject
    at: Path
    key: str
    #: Key of the next operation of the same sequence.
    next: str | None = None
    #: It stands in the flow's own `reject`, which does not serve itself.
    in_handler: bool = False
    resolve: str | None = None
    reject: str | None = None
    guard: bool = False


class Tree:
    """
    All operations of a checked document in the order of its text.

    A nested sequence is named by the key of its first operation; an empty one is an end.
    """

    def __init__(self, data: JSONObject) -> None:
        #: In the order of the text; the keys of well-formed flows are unique.
        self.nodes: list[Node] = []
        self._problems: list[Problem] = []
        self._taken = _explicit_keys(data)
        self._numbers: Counter[str] = Counter()
        self.first = self._sequence(data.get("operations"), ("operations",))
        body = len(self.nodes)
        self._handler = self._sequence(data.get("reject"), ("reject",))
        for node in self.nodes[body:]:
            node.in_handler = True
        self.keys = {node.key: node for node in self.nodes}
        self._guesses = Guesses(self.keys)
        for node in self.nodes:
            self._lead(node)

    def problems(self) -> list[Problem]:
        """Everything that is wrong with the order, most telling first."""
        found = [*self._problems, *self._duplicates()]
        if not found:
            found = [*self._cycles()] or [*self._unreachable(), *self._falls_into_handler()]
        return found

    # --- building

    def _sequence(self, sequence: JSONValue, at: Path) -> str | None:
        """Add the operations of *sequence*, nested ones included; give the key of the first."""
        previous: Node | None = None
        first: str | None = None
        for index, data in enumerate(sequence if isinstance(sequence, list) else ()):
            node = Node(data=data, at=(*at, index), key=self._key(data))
            self.nodes.append(node)
            first = first or node.key
            if previous is not None:
                previous.next = node.key
            for way in ("resolve", "reject"):
                nested = self._sequence(data.get(way), (*node.at, way))
                setattr(node, way, nested)
            if previous is not None and isinstance(previous.data.get("resolve"), list):
                self._not_last(previous)
            previous = node
        return first

    def _key(self, data: JSONObject) -> str:
        """Its own key, else the slug of its name, else `<type>_<n>`; made ones never clash."""
        if "key" in data:
            return str(data["key"])
        key = stem = slug(data.get("name") or "")
        while not key or key in self._taken:
            base = stem or data["type"]
            self._numbers[base] += 1
            key = f"{base}_{self._numbers[base] + bool(stem)}"
        self._taken.add(key)
        return key

    def _not_last(self, node: Node) -> None:
        self._problems.append(
            Problem(
                "resolve-not-last",
                f"what stands below {quoted(node.key)} never runs: it goes on in a nested sequence",
                (*node.at, "resolve"),
                "make it the last of its sequence",
            )
        )

    def _lead(self, node: Node) -> None:
        if "resolve" not in node.data:
            node.resolve = node.next
        elif isinstance(node.data["resolve"], str):
            node.resolve = self._target(node, "resolve")
        if "reject" not in node.data:
            node.reject = None if node.in_handler else self._handler
        elif isinstance(node.data["reject"], str):
            node.reject = self._target(node, "reject")
        else:
            node.guard = not node.data["reject"]

    def _target(self, node: Node, way: str) -> str | None:
        key = str(node.data[way])
        if key in self.keys:
            return key
        few = f"there are {', '.join(self.keys)}" if len(self.keys) <= 10 else None
        hint = self._guesses.hint(key) or few
        message = f"no operation of this flow has the key {quoted(key)}"
        self._problems.append(Problem("unknown-operation", message, (*node.at, way), hint))
        return None

    # --- checking

    def _duplicates(self) -> Iterator[Problem]:
        for what in ("key", "id"):
            seen: dict[str, Node] = {}
            for node in self.nodes:
                name = node.key if what == "key" else node.data.get("id")
                if name is not None and name in seen:
                    message = f"an operation above has the {what} {quoted(name)} already"
                    at = (*node.at, what) if what in node.data else node.at
                    yield Problem(f"duplicate-operation-{what}", message, at)
                elif name is not None:
                    seen[name] = node

    def _after(self, key: str) -> list[str]:
        node = self.keys[key]
        followers = dict.fromkeys((node.resolve, node.reject))
        return [each for each in followers if each is not None]

    def _cycles(self) -> Iterator[Problem]:
        return (self._cycle(way) for way in circles(self.keys, self._after))

    def _cycle(self, way: list[str]) -> Problem:
        last = self.keys[way[-2]]
        word = "resolve" if last.resolve == way[-1] and "resolve" in last.data else "reject"
        at = (*last.at, word) if word in last.data else last.at
        message = f"these operations lead in a circle: {shown_way(way)}"
        return Problem("cycle", message, at, "a flow always ends; lists go through `trigger`")

    def _unreachable(self) -> Iterator[Problem]:
        reached: set[str] = set()
        todo = [] if self.first is None else [self.first]
        while todo:
            key = todo.pop()
            if key not in reached:
                reached.add(key)
                todo += self._after(key)
        lost = [node for node in self.nodes if node.key not in reached]
        # What follows something that never runs needs no word of its own.
        followers = {key for node in lost for key in self._after(node.key)}
        for node in lost:
            if node.key not in followers:
                message = f"{quoted(node.key)} never runs: nothing leads to it"
                hint = "remove it, or name it as the `resolve` or `reject` of another operation"
                yield Problem("unreachable", message, node.at, hint)

    def _falls_into_handler(self) -> Iterator[Problem]:
        targets = {n.reject for n in self.nodes if isinstance(n.data.get("reject"), str)}
        for node in self.nodes:
            falls = node.resolve == node.next and "resolve" not in node.data
            if falls and node.next is not None and node.next in targets:
                own, handler = quoted(node.key), quoted(node.next)
                message = f"{own} runs on into {handler}, which is what a failure leads to"
                hint = f"write `resolve: null` to end at {own}, or `resolve: {node.next}` to go on"
                at = self.keys[node.next].at
                yield Problem("falls-into-handler", message, at, hint)


def _explicit_keys(data: JSONObject) -> set[str]:
    """Keys that the file says, so that made ones keep clear of them."""
    found: set[str] = set()
    todo = [data.get("operations"), data.get("reject")]
    while todo:
        sequence = todo.pop()
        for each in sequence if isinstance(sequence, list) else ():
            found.update([str(each["key"])] if "key" in each else [])
            todo += [each.get("resolve"), each.get("reject")]
    return found


def circles(names: Iterable[str], after: Callable[[str], Iterable[str]]) -> Iterator[list[str]]:
    """
    The ways that lead back to where they began: depth first, one for every edge that closes one.

    *after* gives what follows a name. It takes as many steps as there are edges.
    """
    done: set[str] = set()
    for root in names:
        way: list[str] = []
        depth: dict[str, int] = {}  # of each name on the way
        todo = [(root, True)]
        while todo:
            name, entering = todo.pop()
            if not entering:
                del depth[way.pop()]
            elif name in depth:
                yield [*way[depth[name] :], name]
            elif name not in done:
                done.add(name)
                depth[name] = len(way)
                way.append(name)
                todo.append((name, False))
                todo += [(each, True) for each in reversed([*after(name)])]


def shown_way(way: list[str]) -> str:
    """`a → b → a`; of a long way the beginning and the end."""
    return " → ".join(way if len(way) <= 8 else [*way[:5], "…", *way[-2:]])


def slug(text: str) -> str:
    """*text* as a name for programs: lower-case words joined by underscores."""
    return re.sub(r"[^\w]+", "_", text.lower()).strip("_")
