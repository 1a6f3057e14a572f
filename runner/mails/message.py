"""
A mail as it travels: headers, text and HTML (RFC 5322, 2045 to 2047).

Headers are written here and not by `email.message`, whose folding of long ones loses blanks and
puts commas into encoded words (seen in Python 3.11.7). They are on one line before anything else
is done with them, so that no value can begin a header of its own.
"""

import base64
import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final, NamedTuple

from runner.addresses import Mailbox, one_line
from runner.fit import well_formed
from runner.mails.bodies import Body


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """What is sent, and to whom."""

    sender: Mailbox
    to: tuple[Mailbox, ...]
    cc: tuple[Mailbox, ...] = ()
    #: Who gets it without the others seeing that.
    bcc: tuple[Mailbox, ...] = ()
    reply_to: tuple[Mailbox, ...] = ()
    #: None: it has none.
    subject: str | None
    body: Body
    #: The same for every try to send it, and for no other mail: letters, digits and `-`.
    id: str


class Envelope(NamedTuple):
    """A mail, ready for a server."""

    sender: str
    #: Everybody who gets it, once each.
    recipients: tuple[str, ...]
    #: With CRLF and in ASCII alone, which every server takes.
    content: bytes


def compose(mail: Mail, now: datetime) -> Envelope:
    """*mail* as it travels; its id makes the Message-ID."""
    everybody = (*mail.to, *mail.cc, *mail.bcc)
    recipients = dict.fromkeys(mailbox.address for mailbox in everybody)
    content = EmailMessage(policy=policy.SMTP.clone(cte_type="7bit"))
    content.set_content(well_formed(mail.body.text))
    content.add_alternative(well_formed(mail.body.html), subtype="html")
    lines = (f"{name}: {value}\r\n" for name, value in _headers(mail, now))
    written = "".join(lines).encode("ascii") + content.as_bytes()
    return Envelope(mail.sender.address, tuple(recipients), written)


def _headers(mail: Mail, now: datetime) -> Iterator[tuple[str, str]]:
    yield "From", _addresses([mail.sender])
    for name, mailboxes in (("To", mail.to), ("Cc", mail.cc), ("Reply-To", mail.reply_to)):
        if mailboxes:
            yield name, _addresses(mailboxes)
    if mail.subject is not None:
        yield "Subject", _text(one_line(mail.subject))
    yield "Date", format_datetime(now)
    yield "Message-ID", f"<{mail.id}@{mail.sender.domain}>"
    yield "Auto-Submitted", "auto-generated"  # RFC 3834: nobody's holiday reply is wanted


# --- headers ------------------------------------------------------------------------------------

_FOLD: Final = "\r\n "
#: Characters of a line that the name of the header and its value share; 998 is the end of it.
_LINE: Final = 66
#: Bytes that make, as base64, an encoded word of 75 characters.
_WORD: Final = 45
_ASCII: Final = re.compile(r"[ -~]*")
#: What may stand in a name without quotes; dots may only by an old rule.
_ATOMS: Final = re.compile(r"[A-Za-z0-9 !#$%&'*+/=?^_`{|}~-]+")


def _addresses(mailboxes: Iterable[Mailbox]) -> str:
    return f",{_FOLD}".join(map(_address, mailboxes))


def _address(mailbox: Mailbox) -> str:
    name = one_line(mailbox.name)
    if not name:
        return mailbox.address
    return f"{_name(name)}{_FOLD if len(name) > _LINE // 2 else ' '}<{mailbox.address}>"


def _name(name: str) -> str:
    if not _is_plain(name) or len(name) > _LINE:
        return _encoded(name)
    if _ATOMS.fullmatch(name):
        return name
    quoted = re.sub(r'(["\\])', r"\\\1", name)
    return f'"{quoted}"'


def _text(text: str) -> str:
    """Text as it is where that is allowed, folded at its blanks."""
    if not _is_plain(text) or any(len(word) > _LINE for word in text.split(" ")):
        return _encoded(text)
    return _FOLD.join(textwrap.wrap(text, _LINE, break_on_hyphens=False))


def _is_plain(text: str) -> bool:
    # `=?` begins an encoded word, for those who read it.
    return _ASCII.fullmatch(text) is not None and "=?" not in text


def _encoded(text: str) -> str:
    """Encoded words (RFC 2047), each of whole characters."""
    words, word = [], b""
    for character in text:
        byte = character.encode()
        if len(word) + len(byte) > _WORD:
            words.append(word)
            word = b""
        word += byte
    return _FOLD.join(f"=?utf-8?b?{base64.b64encode(each).decode()}?=" for each in (*words, word))
