"""Hide secrets: by value wherever they were copied to, and by the name they stand under."""

import json
import re
import threading
from base64 import b64encode
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import quote, quote_plus

import orjson

from runner.fit import well_formed
from runner.types import JSONObject, JSONValue

PLACEHOLDER: Final = "--redacted--"
"""What stands where a secret was."""

SENSITIVE: Final = (
    "authorization", "cookie", "cookies", "token", "jwt", "bearer",
    "password", "passwords", "passwd", "pwd", "passphrase",
    "secret", "secrets", "credential", "credentials", "auth_data",
    "api_key", "access_key", "secret_key", "private_key", "signing_key", "encryption_key",
    "signature", "signature_256",
)  # fmt: skip
"""
A key that ends with one of these is sensitive: `Set-Cookie`, `x-api-key`, `clientSecret`.

Case does not count, and `_` stands for `_`, for `-` and for nothing. Its value is replaced
whole, unless it is null, true, false, empty, or replaced already.
"""

PAIRS: Final = ("header", "name", "key")
"""
Members that name the `value` beside them: `{header: Authorization, value: …}` is sensitive.

That is how the `request` operation, HAR files and many APIs write headers.
"""

SHORT: Final = 6
"""A secret of fewer characters is replaced only where it is the whole value."""

MAX_PIECES: Final = 1000
"""How many pieces of secrets are remembered; beyond it the longest unused secrets go."""

_MAX_HARMLESS: Final = 100_000
_PIECE: Final = 256
_MAX_SECRET: Final = 256 * _PIECE
# A character beyond the BMP is twelve long in a URL (`%F0%9F%98%80`) and with JSON's `\u`.
_LONGEST_FORM: Final = 12 * _PIECE

_SENSITIVE_NAME: Final = f"(?:{'|'.join(SENSITIVE)})".replace("_", "[-_]?")
_URL_SAFE: Final = str.maketrans("+/", "-_")


class Redactor:
    """
    Knows the secrets, and takes them out of what is about to be written.

    A secret is found as it is, as JSON writes it inside a text, percent-encoded, and as part of
    a base64 text. Safe to use from several threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: Every learned value with its pieces, the longest unused first.
        self._pieces: dict[str, tuple[str, ...]] = {}
        self._count = 0
        self._known: _Known | None = None

    def learn(self, value: str) -> None:
        """
        Never let *value* be written from now on.

        A value longer than 64 KiB is known by its beginning. At most `MAX_PIECES` pieces of 256
        characters are remembered; a value that is learned again counts as new.
        """
        value = well_formed(value)[:_MAX_SECRET]
        with self._lock:
            pieces = self._pieces.pop(value, None)
            if pieces is None:
                # Replacing a part of the placeholder would never come to an end.
                if value in PLACEHOLDER:
                    return
                pieces = _pieces(value)
                self._count += len(pieces)
                self._known = None
            self._pieces[value] = pieces
            while self._count > MAX_PIECES:
                self._count -= len(self._pieces.pop(next(iter(self._pieces))))

    def suspicious(self, line: bytes, credentials: Collection[str] = ()) -> bool:
        """
        Whether *line*, compact JSON as orjson writes it, may hold something to redact.

        It costs one pass over the line, however many secrets there are. *credentials* are
        secrets of this record alone.
        """
        known = self._known or self._compile()
        return bool(known.match(line)) or self.betrays(line, credentials)

    def betrays(self, line: bytes, credentials: Collection[str]) -> bool:
        """Whether *line* may hold one of *credentials*."""
        for credential in credentials:
            for needle in _forms(credential).needles:
                if needle in line:
                    return True
        return False

    def are_harmless(self, names: tuple[str | None, ...]) -> bool:
        """
        Whether none of *names* holds a secret: those of flows and operations, seen all the time.

        The answer is remembered until another secret is learned, as one pass of the matcher costs
        as much as everything else about a short record.
        """
        known = self._known or self._compile()
        if names in known.harmless:
            return True
        if known.match(orjson.dumps(names)):
            return False
        if len(known.harmless) >= _MAX_HARMLESS:
            known.harmless.clear()
        known.harmless.add(names)
        return True

    def redact(
        self, record: JSONObject, credentials: Collection[str] = ()
    ) -> tuple[JSONObject, list[str]]:
        """
        A copy of *record* without secrets, and the dotted paths where something was replaced.

        *record* is well-formed JSON of modest depth and size: the caller sees to that.
        """
        walk = _Walk(self._texts(credentials))
        return walk.members(record, ""), walk.paths

    def beginning(self, text: str, length: int, credentials: Collection[str] = ()) -> str:
        """
        At most *length* characters of the beginning of *text*, without secrets.

        Cutting first could leave a part of a secret at the end, which nobody would recognise.
        """
        hidden = self._texts(credentials)(well_formed(text[: length + _LONGEST_FORM]))
        return (hidden if len(text) <= length else hidden[:-_LONGEST_FORM])[:length]

    def _compile(self) -> "_Known":
        with self._lock:
            pieces = [piece for each in self._pieces.values() for piece in each]
            self._known = _Known(_matcher(pieces), _Replace(pieces), set())
            return self._known

    def _texts(self, credentials: Collection[str]) -> Callable[[str], str]:
        """What replaces the secrets in one text."""
        known = self._known or self._compile()
        own = _Replace([piece for value in credentials for piece in _pieces(well_formed(value))])

        def hide(text: str) -> str:
            # Most texts hold none of the learned secrets; the matcher knows at once.
            if len(text) < SHORT or known.match(orjson.dumps(text)):
                text = known.replace(text)
            return own(text) if own else text

        return hide


def held(line: bytes, credentials: Collection[str]) -> tuple[str, ...]:
    """Those of *credentials* that *line*, compact JSON as orjson writes it, may hold."""
    return tuple(
        each for each in credentials if any(needle in line for needle in _forms(each).needles)
    )


class _Known(NamedTuple):
    """The learned secrets, prepared for looking and for replacing."""

    match: Callable[[bytes], object]
    replace: "_Replace"
    #: Names that were found to hold none of them.
    harmless: set[tuple[str | None, ...]]


class _Replace:
    """Replaces some secrets in a text, the longest forms first."""

    def __init__(self, pieces: Iterable[str]) -> None:
        self._whole = {piece for piece in pieces if 0 < len(piece) < SHORT}
        texts = {text for piece in pieces if len(piece) >= SHORT for text in _forms(piece).texts}
        self._texts = sorted(texts, key=lambda text: (-len(text), text))

    def __bool__(self) -> bool:
        return bool(self._whole or self._texts)

    def __call__(self, text: str) -> str:
        if len(text) < SHORT:
            return PLACEHOLDER if text in self._whole else text
        for secret in self._texts:
            text = text.replace(secret, PLACEHOLDER)
        return text


class _Walk:
    """One copy of one record, and where it differs."""

    def __init__(self, hide: Callable[[str], str]) -> None:
        self._hide = hide
        self.paths: list[str] = []

    def members(self, source: JSONObject, at: str) -> JSONObject:
        copy: JSONObject = {}
        named = "value" in source and any(is_sensitive(str(source.get(name))) for name in PAIRS)
        for key, value in source.items():
            name = key if len(key) < SHORT else self._hide(key)
            while name != key and name in copy:
                name += "'"
            path = f"{at}.{name}" if at else name
            if name != key:
                self.paths.append(path)
            if (is_sensitive(key) or (named and key == "value")) and _tells(value):
                copy[name] = self._replaced(path)
            else:
                copy[name] = self._value(value, path)
        return copy

    def _value(self, value: JSONValue, at: str) -> JSONValue:
        if isinstance(value, str):
            text = self._hide(value)
            return value if text == value else self._replaced(at, text)
        if isinstance(value, dict):
            return self.members(value, at)
        if isinstance(value, list):
            return [self._value(item, f"{at}.{index}") for index, item in enumerate(value)]
        if value is None or isinstance(value, bool):
            return value
        number = orjson.dumps(value).decode()
        return value if self._hide(number) == number else self._replaced(at)

    def _replaced(self, at: str, text: str = PLACEHOLDER) -> str:
        self.paths.append(at)
        return text


def _tells(value: JSONValue) -> bool:
    """Whether a value under a sensitive key says anything that must not be read."""
    if value is None or isinstance(value, bool):
        return False
    return value not in ("", PLACEHOLDER, [], {})


def is_sensitive(name: str) -> bool:
    """Whether what stands under *name* is hidden: it ends with one of `SENSITIVE`."""
    return _ends_sensitive(name[-32:])


@lru_cache(maxsize=4096)
def _ends_sensitive(end: str) -> bool:
    return re.search(f"{_SENSITIVE_NAME}$", end, re.IGNORECASE | re.ASCII) is not None


# --- the forms of a secret ----------------------------------------------------------------------


class _Forms(NamedTuple):
    #: What to look for in a text.
    texts: tuple[str, ...]
    #: What to look for in a line of JSON; each finds at least what the texts find.
    needles: tuple[bytes, ...]


def _pieces(value: str) -> tuple[str, ...]:
    """*value* in equal parts, so that no form is long and a copy of a part is found too."""
    count = -(-len(value) // _PIECE)
    return tuple(
        value[len(value) * part // count : len(value) * (part + 1) // count]
        for part in range(count)
    )


@lru_cache(maxsize=1024)
def _forms(piece: str) -> _Forms:
    piece = well_formed(piece)
    if len(piece) < SHORT:
        whole = orjson.dumps(piece)
        return _Forms((piece,), (whole, whole[1:-1]) if _is_number(piece) else (whole,))
    # In capitals too: that is how `throw-error` writes a code.
    plain = {piece, piece.upper(), *_in_json(piece), *_in_url(piece)}
    cores, complete = _in_base64(piece.encode())
    needles = {orjson.dumps(text)[1:-1] for text in (*plain, *cores)}
    return _Forms((*plain, *cores, *complete), tuple(needles))


def _in_json(piece: str) -> Iterator[str]:
    """As a JSON text says it, and as JSON that stands in a text of JSON does."""
    for inner in (_utf8_json, json.dumps):
        once = inner(piece)[1:-1]
        yield once
        for outer in (_utf8_json, json.dumps):
            yield outer(once)[1:-1]


def _utf8_json(text: str) -> str:
    return orjson.dumps(text).decode()


def _in_url(piece: str) -> Iterator[str]:
    """As strict encoders write it, as forms, as paths, and as JavaScript's encodeURIComponent."""
    if quote(piece, safe="") == piece:
        return
    for text in (quote_plus(piece), *(quote(piece, safe) for safe in ("", "/", "!*'()"))):
        yield text
        yield re.sub("%..", lambda code: code[0].lower(), text)


def _in_base64(raw: bytes) -> tuple[set[str], set[str]]:
    """
    The characters that depend on *raw* alone, at each of the three places where it can begin
    inside what is encoded; and the text that encodes *raw* and nothing else.
    """
    cores = set()
    for offset, skip in enumerate((0, 2, 3)):
        text = b64encode(b"\0" * offset + raw).decode()
        cores.add(text[skip : (offset + len(raw)) * 8 // 6])
    whole = b64encode(raw).decode()
    complete = {whole, whole.rstrip("=")}
    return (
        cores | {text.translate(_URL_SAFE) for text in cores},
        complete | {text.translate(_URL_SAFE) for text in complete},
    )


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?[0-9][0-9.e+-]*", text) is not None


# --- one pass over a line -----------------------------------------------------------------------


def _matcher(pieces: Iterable[str]) -> Callable[[bytes], object]:
    """
    A function that says in one pass whether a line holds any of *pieces* or a sensitive key.

    Looking for the forms one by one with `in` takes 0.4 µs each for a line of 1 KB, and an
    automaton takes 2.5 µs for all of them.
    """
    import re2  # noqa: PLC0415 - 10 ms to load, and only who writes records needs it

    options = re2.Options()
    options.max_mem = 128 << 20
    options.log_errors = False
    lines = re2.Set.SearchSet(options)
    for pattern in (*_key_patterns(), *_value_patterns(pieces, re2.escape)):
        lines.Add(pattern)
    try:
        usable = lines.Compile() is not False
    except re2.error:
        usable = False
    return lines.Match if usable else lambda _: True


def _value_patterns(pieces: Iterable[str], escape: Callable[[bytes], bytes]) -> Iterator[bytes]:
    for piece in pieces:
        for needle in _forms(piece).needles:
            if len(piece) < SHORT and not needle.startswith(b'"'):
                yield b"[:,\\[]" + escape(needle) + b"[,\\]}]"
            else:
                yield escape(needle)


def _key_patterns() -> Iterator[bytes]:
    """A sensitive key before a value that tells something, and a pair with a sensitive name."""
    yield f'(?i){_SENSITIVE_NAME}":(?:{_TELLING})'.encode()
    yield f'"(?:{"|".join(PAIRS)})":"[^"]*(?i:{_SENSITIVE_NAME})"'.encode()


# Numbers, arrays, objects, and every string that is neither empty nor the placeholder. The
# automaton has no negation, so the strings are listed by where they leave the placeholder.
_TELLING: Final = "|".join(
    [
        "[-0-9{[]",
        '"[^"-]',
        *(f'"{PLACEHOLDER[:at]}[^{PLACEHOLDER[at]}]' for at in range(1, len(PLACEHOLDER))),
        f'"{PLACEHOLDER}[^"]',
    ]
)
