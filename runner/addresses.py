"""Mail addresses as people write them: `ann@example.com`, `Ann Lee <ann@example.com>`, lists."""

import re
from typing import Final, NamedTuple

from runner.fit import well_formed

MAX_TEXT: Final = 1 << 16
"""Characters of a list of addresses that are read; a hundred of the longest have half of it."""

#: Ends of lines and everything else that is no letter: it could begin a header of its own.
_CONTROL: Final = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]+")
_MARK: Final = re.compile(r'\\.|[",]', re.DOTALL)
_NAMED: Final = re.compile(r"([^<>]*)<([^<>]*)>")
#: RFC 5321, 4.1.2, without quoted local parts: nobody has one.
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL: Final = re.compile(rf"(?=.{{1,64}}$){_ATOM}(?:\.{_ATOM})*")
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN: Final = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*")
_SHOWN: Final = 100


class Mailbox(NamedTuple):
    """Somebody who can get mail."""

    #: On one line; empty where there is none.
    name: str
    #: ASCII: `local@domain`.
    address: str

    @property
    def domain(self) -> str:
        """What stands behind the `@`."""
        return self.address.rpartition("@")[2]


def parse(text: str) -> Mailbox:
    """
    The one address in *text*, with or without a name.

    A domain with letters beyond ASCII is written in Punycode (IDNA 2003). Raises ValueError, in a
    sentence, for what is no address.
    """
    named = _NAMED.fullmatch(text.strip())
    name, spec = ("", text) if named is None else named.groups()
    local, _, domain = spec.strip().rpartition("@")
    try:
        # Python's codec for this asks for whole labels, and quadratic time for very long ones.
        ascii_domain = domain.encode("idna").decode() if len(domain) < 256 else ""
    except UnicodeError:
        ascii_domain = ""
    if not _LOCAL.fullmatch(local) or not _DOMAIN.fullmatch(ascii_domain):
        raise ValueError(f"{_short(text)} is no mail address")
    return Mailbox(one_line(_unquoted(name.strip())), f"{local}@{ascii_domain}")


def parse_list(text: str) -> list[Mailbox]:
    """All addresses in *text*, between commas. Raises ValueError as `parse` does."""
    if len(text) > MAX_TEXT:
        raise ValueError(f"a list of addresses has at most {MAX_TEXT} characters")
    return [parse(part) for part in _parts(text) if part.strip()]


def one_line(text: str) -> str:
    """*text* with a blank for every run of blanks, ends of lines and control characters."""
    return _CONTROL.sub(" ", well_formed(text)).strip(" ")


def _parts(text: str) -> list[str]:
    parts, start, quoted = [], 0, False
    for mark in _MARK.finditer(text):
        if mark[0] == '"':
            quoted = not quoted
        elif mark[0] == "," and not quoted:
            parts.append(text[start : mark.start()])
            start = mark.end()
    return [*parts, text[start:]]


def _unquoted(name: str) -> str:
    if len(name) < 2 or not name.startswith('"') or not name.endswith('"'):
        return name
    return re.sub(r"\\(.)", r"\1", name[1:-1], flags=re.DOTALL)


def _short(text: str) -> str:
    line = one_line(text)
    return f'"{line[:_SHOWN]}{"…" if len(line) > _SHOWN else ""}"'
