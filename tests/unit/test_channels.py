"""The mail server that a URL of the settings means."""

from pathlib import Path

import pytest

from runner import settings
from runner.channels import Encryption, Server, server
from runner.redact import Redactor

NONE, STARTTLS, IMPLICIT = Encryption


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://127.0.0.1", Server("127.0.0.1", 25, NONE)),
        ("smtp://localhost:1025/", Server("localhost", 1025, NONE)),
        ("smtp://[::1]:25", Server("::1", 25, NONE)),
        ("smtp+starttls://mx.example.com", Server("mx.example.com", 587, STARTTLS)),
        ("SMTPS://u:p@mx.example.com", Server("mx.example.com", 465, IMPLICIT, "u", "p")),
        (
            "smtps://me%40example.com:p%2F%3A%23@mx:1",
            Server("mx", 1, IMPLICIT, "me@example.com", "p/:#"),
        ),
        ("smtps://u:p@ss@mx", Server("mx", 465, IMPLICIT, "u", "p@ss")),
    ],
)
def test_a_url_says_how_to_reach_the_server(url: str, expected: Server) -> None:
    """Scheme, host, port, and who logs in."""
    assert server(url, allow_plain=False) == expected


@pytest.mark.parametrize(
    "url",
    [
        "", "s3cret", "http://u:s3cret@mx", "smtp://", "smtps://u:s3cret@", "smtps://u:s3/cret@mx",
        "smtps://u:s3#cret@mx", "smtps://u:s3cret@mx:port", "smtps://u:s3cret@mx:99999",
        "smtps://s3cret@mx", "smtps://:s3cret@mx", "smtp://u:s3cret@mx", "smtp://u:s3cret@10.0.0.1",
        "smtps://u:s3cret@mx?x=1", "smtps://u:s3cret@[mx",
    ],
)  # fmt: skip
def test_a_url_that_means_no_server_is_refused_without_being_shown(url: str) -> None:
    """It is a secret."""
    with pytest.raises(ValueError, match=r"mail server|smtp://") as caught:
        server(url, allow_plain=False)

    assert "cret" not in str(caught.value)


def test_in_the_clear_to_another_machine_only_if_that_is_said() -> None:
    """A password does not travel readable because of three missing letters."""
    assert server("smtp://u:p@mx.example.com", allow_plain=True).encryption is NONE
    with pytest.raises(ValueError, match=r"mail\.allow_plain"):
        server("smtp://u:p@mx.example.com", allow_plain=False)


def test_the_password_alone_is_never_written_either(tmp_path: Path) -> None:
    """It is in the URL, and servers repeat it without the rest."""
    redactor = Redactor()
    file = tmp_path / "settings.yaml"
    file.write_text("mail: {url: {env: SMTP_URL}, from: a@example.com}")
    environ = {"SMTP_URL": "smtps://me:pass%2Fword@mx"}

    settings.load({}, environ, file, redactor.learn).mail.server()

    told, _ = redactor.redact({"said": "no: pass/word", "raw": "pass%2Fword"})
    assert told == {"said": "no: --redacted--", "raw": "--redacted--"}


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("{}", ["mail.url", "mail.from"]),
        ("mail: {from: a@example.com}", ["mail.url"]),
        ("mail: {url: 'smtp://localhost'}", ["mail.from"]),
        ("mail: {url: 'smtp://localhost', from: a@example.com}", []),
    ],
)
def test_settings_say_what_they_lack_for_mail(
    tmp_path: Path, text: str, missing: list[str]
) -> None:
    """A part may come from the environment; flows that need all of it are told."""
    file = tmp_path / "settings.yaml"
    file.write_text(text)

    assert settings.load({}, {}, file).mail.missing == missing


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("mail: {from: nobody}", "1:14"),
        ("mail: {reply_to: 'a@b, c@d'}", "1:18"),
        ("mail: {url: 'http://u:s3cret@mx'}", "1:13"),
    ],
)
def test_mistakes_in_the_settings_have_a_place(tmp_path: Path, text: str, at: str) -> None:
    """And do not show what is secret."""
    file = tmp_path / "settings.yaml"
    file.write_text(text)

    with pytest.raises(settings.InvalidSettings, match=f":{at}: error: ") as caught:
        settings.load({}, {}, file)

    assert "s3cret" not in str(caught.value)


def test_users_are_those_of_tokens_and_recipients(tmp_path: Path) -> None:
    """Whoever can have an inbox."""
    file = tmp_path / "settings.yaml"
    first, second = "00000000-0000-4000-a000-0000000000E1", "00000000-0000-4000-a000-0000000000e2"
    file.write_text(
        "roles: {r: {}}\n"
        f"tokens: [{{name: a, role: r, token: s, user: {first}}}, {{name: b, role: r, token: t}}]\n"
        f"recipients: {{ops: {{user: {second}}}, chat: {{urls: ['json://localhost']}}}}\n"
    )

    assert settings.load({}, {}, file).users == {first.lower(), second}
