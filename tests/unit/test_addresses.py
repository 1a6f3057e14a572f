"""What counts as a mail address, and what becomes of it."""

import re
from email.utils import formataddr, getaddresses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.addresses import MAX_TEXT, Mailbox, one_line, parse, parse_list

ANN = "ann@example.com"


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        (ANN, "", ANN),
        (f"  {ANN} ", "", ANN),
        (f"<{ANN}>", "", ANN),
        (f"Ann Lee <{ANN}>", "Ann Lee", ANN),
        (f'"Lee, Ann" <{ANN}>', "Lee, Ann", ANN),
        (rf'"Ann \"the\" Lee" <{ANN}>', 'Ann "the" Lee', ANN),
        (f"Ännchen <{ANN}>", "Ännchen", ANN),
        (f"Ann\r\nBcc: x <{ANN}>", "Ann Bcc: x", ANN),
        ("o'neil+tag@mail.example.co.uk", "", "o'neil+tag@mail.example.co.uk"),
        ("ann@b.example\nRCPT TO:<bob@b.example>", "ann@b.example RCPT TO:", "bob@b.example"),
        ("root@localhost", "", "root@localhost"),
        ("ann@münchen.example", "", "ann@xn--mnchen-3ya.example"),
    ],
)
def test_an_address_is_read(text: str, name: str, address: str) -> None:
    """With or without a name; of any domain, in ASCII; the name on one line."""
    assert parse(text) == Mailbox(name, address)


@pytest.mark.parametrize(
    "text",
    [
        "", "@", "ann", "ann@", "@example.com", "a b@example.com", "ann@exa mple.com",
        "ann@-example.com", "ann@example..com", ".ann@example.com", "ann@example.com.",
        "ann..lee@example.com", "änn@example.com", "ann@[127.0.0.1]", "ann@example.com>",
        "<ann@example.com", "Ann <ann@example.com> Lee", "ann@example.com\nRCPT TO:b@b",
        "ann@example.com\0", "a" * 65 + "@example.com", f"ann@{'a' * 64}.com", "ann@" + "a." * 200,
        "ann@" + "ü" * 5000, f"{ANN};bob@example.com", f"{ANN} bob@example.com",
        '"ann@b"@example.com',
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_in_a_short_sentence(text: str) -> None:
    """Nothing that could say more to a server than one address gets through."""
    with pytest.raises(ValueError, match="is no mail address") as caught:
        parse(text)

    assert len(str(caught.value)) < 150
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", []),
        (" , ", []),
        (f"{ANN},bob@example.com", ["", ""]),
        (f'"Lee, Ann" <{ANN}>, Bob <bob@example.com>,', ["Lee, Ann", "Bob"]),
        (rf'"A\", B" <{ANN}>', ['A", B']),
    ],
)
def test_a_list_has_commas_between_addresses(text: str, names: list[str]) -> None:
    """Those inside quotes are part of a name."""
    assert [each.name for each in parse_list(text)] == names


@pytest.mark.parametrize("text", [f'"{ANN}, bob@example.com', f"{ANN} bob@x.de", "a,b"])
def test_one_mistake_spoils_a_list(text: str) -> None:
    """Nobody gets a mail because somebody else was misspelled."""
    with pytest.raises(ValueError, match="is no mail address"):
        parse_list(text)


def test_a_list_is_bounded() -> None:
    """Reading takes time in proportion to a length that has an end."""
    with pytest.raises(ValueError, match="at most"):
        parse_list(f"{ANN}," * MAX_TEXT)


@given(st.lists(st.tuples(st.text(st.characters(min_codepoint=32, max_codepoint=126))), max_size=5))
def test_lists_are_read_as_the_standard_library_reads_them(given_names: list[tuple[str]]) -> None:
    """Another reading of the same format, for names in ASCII and quotes."""
    names = [" ".join(re.sub(r"[<>]", "", name).split()) for (name,) in given_names]
    text = ", ".join(formataddr((name, ANN)) for name in names)

    assert [(each.name, each.address) for each in parse_list(text)] == [
        (name, address) for name, address in getaddresses([text]) if address
    ]


@given(st.text(st.characters()))
def test_one_line_is_one_line(text: str) -> None:
    """Whatever the text: no end of a line, no control character, no half of a character."""
    line = one_line(text)

    assert len(line.splitlines()) <= 1
    assert re.search(r"[\x00-\x1f\x7f-\x9f]|  ", line) is None
    assert line.encode().decode() == line
    assert one_line(line) == line
