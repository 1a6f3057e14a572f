"""
Hand mails to the server of the settings (RFC 5321): one connection each, and all or nothing.

The server is asked about every recipient before it gets the mail. If it refuses one, nobody gets
it: so a mail that was refused can be sent again, and nobody has it twice.
"""

import asyncio
import errno
import os
import re
import socket
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeAlias

from runner.addresses import one_line
from runner.channels import Encryption, MailSettings, Server
from runner.errors import OperationError
from runner.mails.message import Envelope
from runner.redact import PLACEHOLDER
from runner.resources import Resource
from runner.secrets import SecretMissing
from runner.settings import Settings
from runner.types import JSONValue

#: An aiosmtplib.SMTP: the library is only loaded when a mail is sent.
_Client: TypeAlias = Any

#: More would be turned away by many servers.
_MAX_CONNECTIONS: Final = 10
#: Seconds for a server that has the mail to say goodbye.
_GOODBYE: Final = 1.0
#: Characters of what a server says that are told.
_MAX_SAID: Final = 200


class MailError(OperationError):
    """
    The mail could not be sent.

    *code* begins with `MAIL_`. *more* is what else the data chain gets of it: `responseCode`, the
    status of the server where it has said one, and `rejected`, the recipients that it refuses.
    """

    def __init__(self, message: str, code: str, **more: JSONValue) -> None:
        data: JSONValue = {"name": "MailError", "message": message, "code": code, **more}
        super().__init__(message, code=code, data=data)


class Mailer:
    """Sends mails, a few at a time; *flows* is where their templates are."""

    def __init__(self, settings: MailSettings, flows: Path) -> None:
        self.settings = settings
        self.flows = flows
        self._turns = asyncio.Semaphore(_MAX_CONNECTIONS)
        self._trust: ssl.SSLContext | None = None

    async def send(self, envelope: Envelope, *, limited: bool = True) -> None:
        """
        Return when the server has taken the mail for all of its recipients.

        That may take as long as the setting says, or, when it is not *limited*, as the caller is
        ready to wait. Raises MailError; then nobody has got the mail, unless the connection broke
        or the time was up after all of it was sent: no protocol can tell what became of it then.
        """
        seconds = self.settings.timeout if limited else None
        server = _server(self.settings)
        try:
            async with asyncio.timeout(seconds) as limit, self._turns:
                client = await self._client(server)
                try:
                    await client.connect()
                    await _hand_over(client, envelope, server)
                    limit.reschedule(None)  # what comes now changes nothing
                    await _say_goodbye(client)
                except OperationError:
                    raise
                except Exception as error:
                    raise _failed(error, server) from None
                finally:
                    _drop(client)
        except TimeoutError:
            message = f"sending the mail took longer than {seconds:g} s"
            raise MailError(message, "MAIL_TIMEOUT") from None

    async def _client(self, server: Server) -> _Client:
        import aiosmtplib  # noqa: PLC0415 - most processes send no mail

        if self._trust is None and server.encryption is not Encryption.NONE:
            self._trust = await asyncio.to_thread(_trust, self.settings.ca_file)
        return aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            use_tls=server.encryption is Encryption.IMPLICIT,
            start_tls=server.encryption is Encryption.STARTTLS,
            tls_context=self._trust,
            username=server.user or None,
            password=server.password or None,
            local_hostname=_own_name(),
            timeout=None,
        )


def _server(settings: MailSettings) -> Server:
    """Raises MailError."""
    try:
        return settings.server()
    except (SecretMissing, ValueError) as error:
        raise MailError(str(error), "MAIL_SETTINGS") from None


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    """Takes a while: a system trusts many authorities. Raises MailError."""
    context = ssl.create_default_context()
    try:
        if ca_file is not None:
            context.load_verify_locations(ca_file)
    except OSError as error:  # an SSLError is one
        message = f"the certificates of mail.ca_file cannot be read: {error.strerror or error}"
        raise MailError(message, "MAIL_SETTINGS") from None
    return context


def _own_name() -> str:
    """What we call ourselves; looking up the whole name could take as long as DNS likes."""
    name = socket.gethostname()
    return name if re.fullmatch(r"[A-Za-z0-9.-]{1,253}", name) else "localhost"


# --- the conversation ---------------------------------------------------------------------------


async def _hand_over(client: _Client, envelope: Envelope, server: Server) -> None:
    """Raises MailError for recipients that are refused, else what aiosmtplib raises."""
    await client.mail(envelope.sender)
    offered = [await _offer(client, each) for each in envelope.recipients]
    refused = [refusal for refusal in offered if refusal is not None]
    if refused:
        first = refused[0]
        raise MailError(
            f"the mail server refuses {len(refused)} of {len(offered)} recipients, so nobody gets"
            f" the mail; it answers {first.code} {_said(first.message, server)}".rstrip(),
            "MAIL_RECIPIENTS",
            responseCode=first.code,
            rejected=[refusal.recipient for refusal in refused],
        )
    await client.data(envelope.content)


async def _offer(client: _Client, recipient: str) -> Any:
    """Name a recipient; gives the server's refusal, or None where it has none."""
    import aiosmtplib  # noqa: PLC0415 - loaded already

    try:
        await client.rcpt(recipient)
    except aiosmtplib.SMTPRecipientRefused as refusal:
        if not client.is_connected:  # 421: it wants nothing more of us
            raise
        return refusal
    return None


async def _say_goodbye(client: _Client) -> None:
    """Servers log who leaves without."""
    import aiosmtplib  # noqa: PLC0415 - loaded already

    with suppress(aiosmtplib.SMTPException, OSError):  # a TimeoutError is one
        async with asyncio.timeout(_GOODBYE):
            await client.quit()


def _drop(client: _Client) -> None:
    # Closing alone would wait until a server that hangs has read everything.
    if client.transport is not None:
        client.transport.abort()
    client.close()


# --- what went wrong ----------------------------------------------------------------------------


def _failed(error: Exception, server: Server) -> MailError:
    """*error* for the data chain; nothing of it may be a credential."""
    import aiosmtplib  # noqa: PLC0415 - loaded already

    cause = error.__cause__ or error
    if isinstance(cause, ssl.SSLError):
        why = getattr(cause, "verify_message", None) or cause.reason or "the handshake failed"
        message = f"no private connection to the mail server {_place(server)}: {why}"
        return MailError(message, "MAIL_TLS")
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        message = f"the mail server refuses user and password ({error.code})"
        return MailError(message, "MAIL_AUTH", responseCode=error.code)
    if isinstance(error, aiosmtplib.SMTPResponseException):
        message = f"the mail server answers {error.code} {_said(error.message, server)}".rstrip()
        return MailError(message, "MAIL_REFUSED", responseCode=error.code)
    if type(error) is aiosmtplib.SMTPException:  # the library's own words: no STARTTLS, no AUTH
        return MailError(f"the mail server lacks something: {error}", "MAIL_UNSUPPORTED")
    lost = "it was lost" if isinstance(error, aiosmtplib.SMTPException) else type(error).__name__
    why = (isinstance(cause, OSError) and _system_says(cause)) or lost
    message = f"no connection to the mail server {_place(server)}: {why}"
    return MailError(message, "MAIL_CONNECTION")


def _system_says(error: OSError) -> str | None:
    """Its words for the number, as asyncio writes some of its own beside that."""
    number = error.errno
    return os.strerror(number) if number and number in errno.errorcode else error.strerror


def _place(server: Server) -> str:
    host = f"[{server.host}]" if ":" in server.host else server.host
    return f"{host}:{server.port}"


def _said(text: str, server: Server) -> str:
    """What the server says, on one line; some repeat what they were told."""
    line = one_line(text)
    login = f"\0{server.user}\0{server.password}"
    for each in filter(None, (server.password, server.user)):
        for form in (login, each):
            line = line.replace(b64encode(form.encode("utf-8", "replace")).decode(), PLACEHOLDER)
        line = line.replace(each, PLACEHOLDER)
    return line[:_MAX_SAID]


# --- the resource -------------------------------------------------------------------------------


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Mailer]:
    yield Mailer(settings.mail, settings.flows)


MAILER: Final = Resource(open=_opened)
"""The mail server of the settings."""
