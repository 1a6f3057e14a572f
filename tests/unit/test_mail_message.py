"""A mail as it travels, read by another reader of the same standards."""

import re
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import getaddresses
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runner.addresses import Mailbox, one_line
from runner.fit import well_formed
from runner.mails.bodies import Body
from runner.mails.message import Mail, compose

NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
SENDER = Mailbox("Runner", "runner@example.com")
ANN, BOB = Mailbox("Ann", "ann@example.com"), Mailbox("", "bob@example.com")
ID = "00000000-0000-4000-a000-0000000000e2"


def mail(**more: Any) -> Mail:
    """A small one."""
    given = {"to": (ANN,), "subject": "S", "body": Body("<p>a</p>\n", "a\n"), "id": ID, **more}
    return Mail(**{"sender": SENDER, **given})


def read(content: bytes) -> EmailMessage:
    """As a mail program reads it."""
    return message_from_bytes(content, EmailMessage, policy=policy.default)


def header(content: bytes, name: str) -> str:
    """One header, unfolded and not decoded."""
    folded = message_from_bytes(content)[name]
    return re.sub(r"\r?\n(?=[ \t])", "", str(folded))


def decoded(text: str) -> str:
    """Encoded words as text."""
    return str(make_header(decode_header(text)))


def test_a_mail_has_all_that_a_mail_needs() -> None:
    """Sender, recipients, subject, date, a name of its own, and who gets no answer."""
    made = compose(mail(to=(ANN, BOB), cc=(BOB,), reply_to=(ANN,)), NOW)

    message = read(made.content)
    assert {name: str(message[name]) for name in message} == {
        "From": "Runner <runner@example.com>",
        "To": "Ann <ann@example.com>, bob@example.com",
        "Cc": "bob@example.com",
        "Reply-To": "Ann <ann@example.com>",
        "Subject": "S",
        "Date": "Sat, 31 Jan 2026 12:00:00 +0000",
        "Message-ID": f"<{ID}@example.com>",
        "Auto-Submitted": "auto-generated",
        "MIME-Version": "1.0",
        "Content-Type": str(message["Content-Type"]),
    }
    assert message.get_content_type() == "multipart/alternative"
    kinds = [part.get_content_type() for part in message.iter_parts()]
    assert kinds == ["text/plain", "text/html"]  # the last one is the best


def test_hidden_recipients_are_in_the_envelope_alone() -> None:
    """Once each; nobody who gets the mail sees them."""
    hidden = Mailbox("Hidden", "hidden@example.com")

    made = compose(mail(to=(ANN, BOB, ANN), bcc=(hidden, BOB)), NOW)

    assert made.sender == SENDER.address
    assert made.recipients == (ANN.address, BOB.address, hidden.address)
    assert b"idden" not in made.content


def test_a_mail_may_have_no_subject_and_nobody_in_sight() -> None:
    """Then it has no such header: an empty one would be wrong."""
    message = read(compose(mail(to=(), bcc=(ANN,), subject=None), NOW).content)

    assert "Subject" not in message
    assert "To" not in message


@pytest.mark.parametrize(
    "value", ["a\r\nBcc: evil@x", "a\nBcc: evil@x", "a\rBcc: e", "a\0\x85\u2028Bcc: e"]
)
def test_no_value_begins_a_header(value: str) -> None:
    """In subject and names, an end of a line is a blank."""
    box = Mailbox(value, "a@example.com")

    made = compose(mail(sender=box, to=(box,), reply_to=(box,), subject=value), NOW)

    message = read(made.content)
    assert "Bcc" not in message
    assert len(message.keys()) == 9
    assert message["Subject"] == one_line(value)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("Ann Lee", "Ann Lee <a@example.com>"),
        ("Lee, Ann", '"Lee, Ann" <a@example.com>'),
        ('Ann "the" Lee\\', r'"Ann \"the\" Lee\\" <a@example.com>'),
        ("a@b.c", '"a@b.c" <a@example.com>'),
        ("Ä", "=?utf-8?b?w4Q=?= <a@example.com>"),
        ("=?utf-8?b?w4Q=?=", "=?utf-8?b?PT91dGYtOD9iP3c0UT0/PQ==?= <a@example.com>"),
        ("", "a@example.com"),
    ],
)
def test_a_name_is_written_as_it_has_to_be(name: str, written: str) -> None:
    """As it is where that is allowed; in quotes; or in encoded words."""
    made = compose(mail(to=(Mailbox(name, "a@example.com"),)), NOW)

    assert header(made.content, "To") == written


def normal(text: str) -> str:
    """Text with one kind of line end, and none at its end, which mail adds."""
    return re.sub(r"\r\n?", "\n", text.encode("utf-8", "replace").decode()).rstrip("\n")


texts = st.text(max_size=300) | st.text(st.sampled_from('ab ,."\\<>@=?é𝄞\r\n\0'), max_size=99)


@settings(deadline=None, max_examples=100)
@given(subject=texts, name=texts, text=texts, html=texts, count=st.integers(1, 40))
@example(subject="word " * 300, name="x" * 200, text="a" * 2000, html="é" * 2000, count=100)
@example(subject="=?utf-8?q?a?= " * 9, name='"' * 40, text=".\n..\n", html="From me\n", count=1)
@example(subject="\ud800", name="\ud800", text="\ud800", html="\ud800", count=1)
def test_whatever_is_written_is_read_again(
    subject: str, name: str, text: str, html: str, count: int
) -> None:
    """Any subject, name and body; in ASCII, and in lines that every server takes."""
    boxes = tuple(Mailbox(one_line(name), f"a{each}@example.com") for each in range(count))
    sender = Mailbox(name, "runner@example.com")

    made = compose(mail(sender=sender, to=boxes, subject=subject, body=Body(html, text)), NOW)

    assert made.content.isascii()
    assert max(map(len, made.content.split(b"\r\n"))) <= 998
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", made.content)
    assert decoded(header(made.content, "Subject")) == one_line(subject)
    people = getaddresses([header(made.content, "To")])
    assert [(decoded(who), where) for who, where in people] == list(boxes)
    ((who, where),) = getaddresses([header(made.content, "From")])
    assert (decoded(who), where) == (one_line(name), sender.address)
    for kind, expected in (("plain", text), ("html", html)):
        part = read(made.content).get_body((kind,))
        assert part is not None
        assert normal(part.get_content()) == normal(well_formed(expected))
