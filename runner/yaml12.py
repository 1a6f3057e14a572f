"""
YAML text to plain data.

YAML 1.2.2 with its core schema (§10.3), held to what JSON can say: `on`, `no`, `12:30` and
`2026-01-01` are text, `010` is ten, a mapping key is always its text. What JSON has no word for
(tags, merge keys, `.nan`) and what is surely a mistake (a key or an anchor that is there twice)
is a finding.

The data is built straight from the parser's events: nothing recurses deeper than `MAX_DEPTH`,
and hostile text ends early instead of exhausting time, memory or stack.
"""

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple, NoReturn

import yaml
from yaml.events import (
    AliasEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from runner import mistakes, scalars
from runner.errors import Malformed
from runner.mistakes import shown
from runner.types import JSONObject, JSONValue

MAX_DEPTH: Final = 64
"""How deep mappings and lists may stand in each other, aliases followed."""

MAX_ALIASED: Final = 100_000
"""How many nodes all aliases of a text may stand for; 100 characters count as one more."""

MAX_FINDINGS: Final = 20
"""Parsing ends when it has found this many."""


class Finding(NamedTuple):
    """Something that is wrong with a text."""

    #: Index into the text.
    at: int
    #: What kind of finding: the code of the issue that will be made of it.
    code: str
    message: str
    hint: str | None = None


class Place(NamedTuple):
    """Where a key and its value begin: indices into the text."""

    key: int
    value: int


#: By the identity of a mapping or list and the step into it; None: the whole text.
Places = dict[tuple[int, str | int] | None, Place]


class Parsed(NamedTuple):
    """What a text says."""

    #: The top-level mapping; without meaning where there are findings.
    data: JSONObject
    #: Of everything in *data*, if they were asked for.
    places: Places
    #: What is wrong with it, in the order of the text.
    findings: tuple[Finding, ...]


def parse(text: str, *, locate: bool = False) -> Parsed:
    """Parse *text*; *locate* adds the places, which takes a little longer."""
    unfit = _unfit(text)
    if unfit is not None:
        return Parsed({}, {}, (unfit,))
    builder = _Builder(text, locate=locate)
    data = builder.build()
    findings = sorted(dict.fromkeys(builder.findings), key=lambda finding: finding.at)
    return Parsed(data, builder.places, tuple(findings))


# --- what the parser must not get ---------------------------------------------------------------

#: What YAML 1.2 calls printable (§5.1), less U+0085, U+2028 and U+2029: these break lines in
#: YAML 1.1, which the parser follows, and do not in 1.2, so text with them would be changed.
_PRINTABLE: Final = re.compile(
    "[\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]*+"
)

#: The parser compares each such line with all others: minutes for a megabyte of them.
_TAG_DIRECTIVE: Final = re.compile(r"(?:\A|[\r\n])(?=%TAG\b)")


def _unfit(text: str) -> Finding | None:
    printable = _PRINTABLE.match(text)
    if printable and (end := printable.end()) < len(text):
        code = f"{ord(text[end]):04x}"
        message = f"the invisible character U+{code.upper()} cannot stand in a file"
        hint = f"remove it, or write \\u{code} in double quotes"
        return Finding(end, "yaml-encoding", message, hint)
    if "%TAG" in text and (found := _TAG_DIRECTIVE.search(text)):
        return Finding(found.end(), "yaml-tag", "tags are not allowed", "remove the %TAG line")
    return None


class _PythonParser(yaml.SafeLoader):
    """For where libyaml is missing: a tenth as fast, and made to refuse what that one refuses."""

    def get_event(self) -> Event:
        try:
            event: Event = super().get_event()  # type: ignore[no-untyped-call]
            if isinstance(event, ScalarEvent):
                event.value.encode()
        except (ValueError, OverflowError):  # "\ud800" or "\U00110000"
            problem = "found invalid Unicode character escape code"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=self.get_mark()) from None
        return event


_Parser: Any = getattr(yaml, "CSafeLoader", _PythonParser)


# --- events to data -----------------------------------------------------------------------------


class _Measure(NamedTuple):
    """What an alias of *value* stands for."""

    #: Held here, so that no other value can get its id.
    value: JSONValue
    nodes: int
    #: How many mappings and lists stand in each other.
    levels: int


class _Stop(Exception):
    """Going on makes no sense; the findings say why."""


#: Stands for an anchored value of which the end has not been seen.
_OPEN: Final = object()


class _Builder:
    """Builds the data of one text; a builder is used once."""

    def __init__(self, text: str, *, locate: bool) -> None:
        self.text = text
        self.locate = locate
        self.places: Places = {}
        self.findings: list[Finding] = []
        self.anchors: dict[str, Any] = {}
        self.measures: dict[int, _Measure] = {}
        self.aliased = 0

    def build(self) -> JSONObject:
        """The top-level mapping, as far as it could be built."""
        parser = _Parser(self.text)
        self.next: Callable[[], Event] = parser.get_event
        try:
            return self._document()
        except _Stop:
            return {}
        except yaml.MarkedYAMLError as error:
            self._report_syntax(error)
            return {}
        finally:
            parser.dispose()

    def _document(self) -> JSONObject:
        self.next()  # the stream starts
        if type(self.next()) is StreamEndEvent:
            self._fail(0, "yaml-empty", "the file is empty")
        root = self.next()
        if type(root) is not MappingStartEvent:
            self._fail_root(root)
        self.places[None] = Place(_at(root), _at(root))
        data: JSONObject = self._value(root, 0)
        self.next()  # the document ends
        event = self.next()
        if type(event) is not StreamEndEvent:
            hint = "one file is one document: remove the `---`, or split the file"
            self._report(_at(event), "yaml-documents", "a second document begins here", hint)
        return data

    def _value(self, event: Any, depth: int) -> Any:
        """The value that *event* begins, which stands in *depth* mappings and lists."""
        kind = type(event)
        if kind is AliasEvent:
            return self._alias(event, depth)
        if event.tag is not None:
            self._report_tag(event)
        anchor = event.anchor
        if anchor is not None:
            self._open_anchor(event)
        value: Any
        if kind is ScalarEvent:
            value = self._plain(event) if event.implicit[0] else event.value
        elif depth >= MAX_DEPTH:
            self._fail_depth(event)
        elif kind is MappingStartEvent:
            value = self._mapping(depth + 1)
        else:
            value = self._list(depth + 1)
        if anchor is not None:
            self.anchors[anchor] = value
        return value

    def _mapping(self, depth: int) -> JSONObject:
        mapping: JSONObject = {}
        keys: dict[str, Event] = {}
        while type(event := self.next()) is not MappingEndEvent:
            key = self._key(event, depth)
            value_event = self.next()
            value = self._value(value_event, depth)
            if key is None:
                continue
            if key in keys:
                self._report_duplicate(key, keys[key], event)
            keys[key] = event
            mapping[key] = value
            if self.locate:
                self.places[id(mapping), key] = Place(_at(event), _at(value_event))
        return mapping

    def _list(self, depth: int) -> list[JSONValue]:
        items: list[JSONValue] = []
        while type(event := self.next()) is not SequenceEndEvent:
            items.append(self._value(event, depth))
            if self.locate:
                self.places[id(items), len(items) - 1] = Place(_at(event), _at(event))
        return items

    def _key(self, event: Any, depth: int) -> str | None:
        """The text of a key, whatever it looks like; None if it is none."""
        if type(event) is not ScalarEvent:
            self._report_key(event)
            self._value(event, depth)  # read on behind it
            return None
        if event.tag is not None:
            self._report_tag(event)
        if event.anchor is not None:
            self._open_anchor(event)
            self.anchors[event.anchor] = event.value
        key: str = event.value
        if event.implicit[0] and key in {"<<", ""}:
            self._report_plain_key(event)
            return None
        return key

    def _plain(self, event: ScalarEvent) -> JSONValue:
        """What a scalar without quotes means."""
        try:
            return scalars.meaning(event.value)
        except Malformed as error:
            self._report(_at(event), "yaml-number", error.message, error.hint)
            return None

    # --- anchors and aliases

    def _open_anchor(self, event: Any) -> None:
        if event.anchor in self.anchors:
            message = f"the anchor `&{shown(event.anchor)}` is here twice"
            self._report(_at(event), "yaml-alias", message, "give each its own name")
        self.anchors[event.anchor] = _OPEN

    def _alias(self, event: Any, depth: int) -> Any:
        name = shown(event.anchor)
        if event.anchor not in self.anchors:
            message = f"`*{name}` refers to an anchor `&{name}`, which does not stand before it"
            hint = f'a text that begins with * needs quotes: "*{name}"'
            self._report(_at(event), "yaml-alias", message, hint)
            return None
        value = self.anchors[event.anchor]
        if value is _OPEN:
            self._report(_at(event), "yaml-alias", f"`*{name}` stands inside of what it refers to")
            return None
        measure = self._measure(value)
        self.aliased += measure.nodes
        if self.aliased > MAX_ALIASED:
            message = f"the aliases of this file stand for more than {MAX_ALIASED:,} values"
            self._fail(_at(event), "yaml-alias", message)
        if depth + measure.levels > MAX_DEPTH:
            self._fail_depth(event)
        return value

    def _measure(self, value: Any) -> _Measure:
        """How much an alias of *value* stands for; every container is counted once."""
        if isinstance(value, str):
            return _Measure(value, 1 + len(value) // 100, 0)
        if not isinstance(value, dict | list):
            return _Measure(value, 1, 0)
        if id(value) not in self.measures:
            inner = (*value, *value.values()) if isinstance(value, dict) else value
            parts = [self._measure(part) for part in inner]
            nodes = 1 + sum(part.nodes for part in parts)
            levels = 1 + max((part.levels for part in parts), default=0)
            self.measures[id(value)] = _Measure(value, nodes, levels)
        return self.measures[id(value)]

    # --- findings

    def _report(self, at: int, code: str, message: str, hint: str | None = None) -> None:
        self.findings.append(Finding(at, code, message, hint))
        if len(self.findings) >= MAX_FINDINGS:
            raise _Stop

    def _fail(self, at: int, code: str, message: str, hint: str | None = None) -> NoReturn:
        self._report(at, code, message, hint)
        raise _Stop

    def _fail_depth(self, event: Event) -> NoReturn:
        message = f"mappings and lists stand more than {MAX_DEPTH} deep in each other"
        self._fail(_at(event), "yaml-depth", message)

    def _fail_root(self, event: Any) -> NoReturn:
        """The document is something else than a mapping."""
        at = _at(event)
        if type(event) is not ScalarEvent:
            kind = "a list" if type(event) is SequenceStartEvent else "an alias"
            self._fail(at, "yaml-not-a-mapping", f"the file is {kind}, not `key: value` lines")
        if event.implicit[0] and not event.value:
            self._fail(at, "yaml-empty", "the file is empty")
        hint = "put a space behind the colon" if ":" in event.value else None
        self._fail(at, "yaml-not-a-mapping", "the file is a text, not `key: value` lines", hint)

    def _report_tag(self, event: Any) -> None:
        hint = "remove it; a text that begins with ! needs quotes"
        self._report(_at(event), "yaml-tag", f"tags are not allowed: `{shown(event.tag)}`", hint)

    def _report_duplicate(self, key: str, first: Event, second: Event) -> None:
        line = self.text.count("\n", 0, _at(first)) + 1
        message = f"the key `{shown(key)}` is here twice; the first is on line {line}"
        self._report(_at(second), "yaml-duplicate-key", message, "keep one of them")

    def _report_key(self, event: Event) -> None:
        at = _at(event)
        braces = self.text.find("{{", max(at - 1, 0), at + 2)  # the key is the outer or the inner
        if braces >= 0:
            self._report(braces, "yaml-key", *mistakes.UNQUOTED_TEMPLATE)
        else:
            self._report(at, "yaml-key", "a key must be a text", "write `key: value`")

    def _report_plain_key(self, event: ScalarEvent) -> None:
        at = _at(event)
        if event.value:
            hint = "write the keys out; whole values can be shared with `&name` and `*name`"
            self._report(at, "yaml-merge-key", "merge keys are not allowed: `<<`", hint)
        else:
            self._report(at, "yaml-key", "a key is missing here", 'an empty one is written ""')

    def _report_syntax(self, error: yaml.MarkedYAMLError) -> None:
        """What the parser could not go on from, unless its line has a finding already."""
        began: Any = error.context_mark or error.problem_mark
        scanning = (error.context or "").startswith("while scanning")
        mark: Any = began if scanning else error.problem_mark
        at: int = mark.index
        if all("\n" in self.text[finding.at : at] for finding in self.findings):
            message, hint = mistakes.explain(error.problem or "", self.text, at, began.index)
            self.findings.append(Finding(at, "yaml-syntax", message, hint))


def _at(event: Event) -> int:
    """The index into the text at which *event* begins."""
    mark: Any = event.start_mark
    index: int = mark.index
    return index
