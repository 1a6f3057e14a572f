"""How mails are handed over: to a real server, and to some that misbehave."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest

from runner.addresses import parse
from runner.channels import MailSettings
from runner.mails.message import Envelope
from runner.mails.sending import Mailer, MailError
from tests.smtp import HOST, certificate, mail_server, scripted

ANN, BOB = "ann@example.com", "bob@example.com"
CONTENT = b"Subject: S\r\n\r\n.a\r\n..\r\nb\r\n"
ENVELOPE = Envelope("runner@example.com", (ANN, BOB), CONTENT)


def mailer(url: str, **more: Any) -> Mailer:
    """What sends to *url*."""
    made = {"reply_to": None, "allow_plain": False, "ca_file": None, "max_recipients": 100}
    sender = parse("runner@example.com")
    given: dict[str, Any] = {"sender": sender, "timeout": 10.0, **made, **more}
    return Mailer(MailSettings(read_url=lambda: url, **given), Path("flows"))


async def refused(url: str, **more: Any) -> dict[str, Any]:
    """What the data chain gets when sending to *url* fails."""
    with pytest.raises(MailError) as caught:
        await mailer(url, **more).send(ENVELOPE)
    data = caught.value.as_data()
    assert isinstance(data, dict)
    assert data["name"] == "MailError"
    assert data["code"] == caught.value.own_code
    return data


# --- a real server ------------------------------------------------------------------------------


async def test_a_mail_arrives_as_it_was_handed_over() -> None:
    """Dots at the beginning of lines too, for everybody in the envelope."""
    async with mail_server() as server:
        await mailer(f"smtp://{server.place}").send(ENVELOPE)

    (received,) = server.received
    assert (received.sender, received.recipients) == (ENVELOPE.sender, [ANN, BOB])
    assert received.content == CONTENT


@pytest.mark.parametrize("scheme", ["smtp+starttls", "smtps"])
async def test_a_mail_travels_in_private(tmp_path: Path, scheme: str) -> None:
    """By STARTTLS, or from the first byte on; certificates are checked against `ca_file` too."""
    context, ca = certificate(tmp_path)
    tls: dict[str, Any] = {"starttls" if "start" in scheme else "implicit": context}
    async with mail_server(**tls) as server:
        await mailer(f"{scheme}://{server.place}", ca_file=ca).send(ENVELOPE)

    assert server.received[0].encrypted


@pytest.mark.parametrize("scheme", ["smtp+starttls", "smtps"])
@pytest.mark.parametrize(("trusted", "host"), [(False, HOST), (True, "127.0.0.2")])
async def test_a_server_that_nobody_vouches_for_gets_nothing(
    tmp_path: Path, scheme: str, trusted: bool, host: str
) -> None:
    """Neither with a certificate of its own making nor with that of another server."""
    context, ca = certificate(tmp_path, host)
    tls: dict[str, Any] = {"starttls" if "start" in scheme else "implicit": context}
    async with mail_server(**tls) as server:
        error = await refused(f"{scheme}://{server.place}", ca_file=ca if trusted else None)

    assert error["code"] == "MAIL_TLS"
    assert "self-signed" in error["message"] or "not valid for" in error["message"]
    assert server.received == []


async def test_without_starttls_nothing_is_sent() -> None:
    """There is no falling back: somebody in between could have taken the word out."""
    async with mail_server() as server:
        error = await refused(f"smtp+starttls://u:p@{server.place}")

    assert error["code"] == "MAIL_UNSUPPORTED"
    assert "STARTTLS" in error["message"]
    assert server.received == []


async def test_a_user_logs_in(tmp_path: Path) -> None:
    """In private, with what is special in a password."""
    context, ca = certificate(tmp_path)
    async with mail_server(login=("me@x.de", "p/:#ü"), starttls=context) as server:
        url = f"smtp+starttls://me%40x.de:p%2F%3A%23%C3%BC@{server.place}"
        await mailer(url, ca_file=ca).send(ENVELOPE)

    assert server.received[0].user == "me@x.de"


async def test_a_wrong_password_is_refused_and_not_shown() -> None:
    """Not even if the server repeats it."""
    async with mail_server(login=("me", "right-one")) as server:
        error = await refused(f"smtp://me:wr0ng-secret@{server.place}")

    assert (error["code"], error["responseCode"]) == ("MAIL_AUTH", 535)
    assert "wr0ng" not in str(error)
    assert "right-one" not in str(error)
    assert server.received == []


async def test_a_server_without_accounts_does_not_get_a_password() -> None:
    """Somebody has configured one, so that a server that wants none is not that server."""
    async with scripted("220 here", "250 here") as place:
        error = await refused(f"smtp://me:s3cret@{place}")

    assert error["code"] == "MAIL_UNSUPPORTED"
    assert "s3cret" not in str(error)


async def test_nobody_gets_a_mail_that_one_recipient_cannot_get() -> None:
    """So it can be sent again, and nobody has it twice; those who are refused are named."""
    async with mail_server() as server:
        server.refusals[BOB] = f"550 5.1.1 <{BOB}>: unknown"

        error = await refused(f"smtp://{server.place}")

    assert (error["code"], error["responseCode"]) == ("MAIL_RECIPIENTS", 550)
    assert error["rejected"] == [BOB]
    assert "1 of 2" in error["message"]
    assert server.received == []


@pytest.mark.parametrize("verdict", ["554 5.7.1 spam", "451 later", "552 too large"])
async def test_a_mail_that_is_refused_is_not_sent(verdict: str) -> None:
    """The server has read all of it, and does not want it."""
    async with mail_server() as server:
        server.verdict = verdict

        error = await refused(f"smtp://{server.place}")

    assert (error["code"], error["responseCode"]) == ("MAIL_REFUSED", int(verdict[:3]))
    assert verdict[4:] in error["message"]


async def test_many_mails_take_turns() -> None:
    """A server is not asked for more connections than servers like; all mails arrive."""
    async with mail_server() as server:
        sender = mailer(f"smtp://{server.place}")
        await asyncio.gather(*(sender.send(ENVELOPE) for _ in range(50)))

    assert len(server.received) == 50
    assert server.most_at_once <= 10


# --- servers that misbehave ---------------------------------------------------------------------

HELLO = ("220 here", "250 here")
UP_TO_DATA = (*HELLO, "250 fine", "250 fine", "250 fine", "354 go on")

#: What a server says, one after the other; what is told of it.
MISBEHAVING: dict[str, tuple[tuple[str | None, ...], str, int | None]] = {
    "busy": (("421 4.3.2 too busy",), "MAIL_REFUSED", 421),
    "no mail server": (("554 go away",), "MAIL_REFUSED", 554),
    "nonsense": (("HTTP/1.1 400 Bad Request",), "MAIL_REFUSED", -1),
    "silent and gone": ((None,), "MAIL_CONNECTION", None),
    "gone after hello": (("220 here", None), "MAIL_CONNECTION", None),
    "refuses the sender": ((*HELLO, "550 not you"), "MAIL_REFUSED", 550),
    "busy in the middle": ((*HELLO, "250 fine", "421 enough"), "MAIL_REFUSED", 421),
    "gone among recipients": ((*HELLO, "250 fine", "250 fine", None), "MAIL_CONNECTION", None),
    "wants no data": ((*UP_TO_DATA[:-1], "554 no"), "MAIL_REFUSED", 554),
    "gone in mid-message": ((*UP_TO_DATA, None), "MAIL_CONNECTION", None),
}


@pytest.mark.parametrize("name", MISBEHAVING)
async def test_a_server_that_misbehaves_is_told(name: str) -> None:
    """With its status where it has said one."""
    replies, code, status = MISBEHAVING[name]
    async with scripted(*replies) as place:
        error = await refused(f"smtp://{place}")

    assert (error["code"], error.get("responseCode")) == (code, status)
    assert "rejected" not in error


@pytest.mark.parametrize("said", range(len(UP_TO_DATA) + 1))
async def test_a_server_that_hangs_is_left(said: int) -> None:
    """Whatever it waits for: the time is for the whole mail."""
    async with scripted(*UP_TO_DATA[:said]) as place:
        error = await refused(f"smtp://{place}", timeout=0.2)

    assert error["code"] == "MAIL_TIMEOUT"
    assert "0.2 s" in error["message"]


async def test_whoever_has_a_time_of_their_own_is_not_limited() -> None:
    """The operation's `timeout` may be longer than the setting's."""
    async with scripted(*HELLO) as place:
        sending = mailer(f"smtp://{place}", timeout=0.0).send(ENVELOPE, limited=False)

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(sending, 0.2)


async def test_a_mail_that_was_taken_is_sent_however_the_server_says_goodbye() -> None:
    """A rejection would have it sent once more."""
    async with scripted(*UP_TO_DATA, "250 taken") as place:
        await asyncio.wait_for(mailer(f"smtp://{place}", timeout=0.5).send(ENVELOPE), 10)


@pytest.mark.parametrize("turns", [0, 3, 30, 300])
async def test_cancelling_leaves_nothing_behind(turns: int) -> None:
    """The connection is closed, in the middle of anything, and the next mail can be sent."""
    async with scripted(*UP_TO_DATA) as place:
        sender = mailer(f"smtp://{place}")
        before = asyncio.all_tasks()
        tasks = [asyncio.create_task(sender.send(ENVELOPE)) for _ in range(20)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

        assert all(task.cancelled() for task in tasks)
        assert sender._turns._value == 10
        assert not {task for task in asyncio.all_tasks() - before if "send" in repr(task)}


@pytest.mark.parametrize(
    "echo", ["{password}", "{user}", "{plain}", "x{password}x", "{password64}"]
)
async def test_what_a_server_repeats_of_a_login_is_not_told(echo: str) -> None:
    """Neither as it is nor in base64."""
    user, password = "the-user-name", "the-s3cret"
    forms = {
        "user": user,
        "password": password,
        "plain": base64.b64encode(f"\0{user}\0{password}".encode()).decode(),
        "password64": base64.b64encode(password.encode()).decode(),
    }
    script = ("220 hi", "250-hi\r\n250 AUTH PLAIN", "235 in", f"550 no {echo.format(**forms)}")
    async with scripted(*script) as place:
        error = await refused(f"smtp://{user}:{password}@{place}")

    assert error["responseCode"] == 550
    assert not [form for form in forms.values() if form in str(error)]


async def test_what_a_server_says_is_one_short_line() -> None:
    """Whatever it says, it does not fill a record."""
    async with scripted(*HELLO, "550-a\r\n550-\x1b[31mb\r\n550 " + "c" * 500) as place:
        error = await refused(f"smtp://{place}")

    assert "answers 550 a [31mb ccc" in error["message"]
    assert len(error["message"]) < 300


# --- settings that cannot be used ---------------------------------------------------------------


async def test_nobody_listens() -> None:
    """The reason is the system's, and the place is named."""
    error = await refused("smtp://127.0.0.1:1")

    assert error["code"] == "MAIL_CONNECTION"
    assert error["message"].endswith("127.0.0.1:1: Connection refused")


@pytest.mark.parametrize("url", ["http://s3cret", "smtp://me:s3cret@mx.example.com"])
async def test_a_url_that_cannot_be_used_is_told_without_being_shown(url: str) -> None:
    """It may have become so after the flow was loaded."""
    error = await refused(url)

    assert error["code"] == "MAIL_SETTINGS"
    assert "s3cret" not in str(error)


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_certificates_that_cannot_be_read_are_told(
    tmp_path: Path, content: str | None
) -> None:
    """Trusting fewer than was asked for would be told as a failure of the server."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)

    error = await refused("smtps://127.0.0.1:1", ca_file=file)

    assert error["code"] == "MAIL_SETTINGS"
    assert "mail.ca_file" in error["message"]
