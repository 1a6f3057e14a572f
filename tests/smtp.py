"""Mail servers on this machine: a real one, and some that misbehave."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Received:
    """A mail that arrived."""

    sender: str
    recipients: list[str]
    content: bytes
    #: Whether it came in private.
    encrypted: bool
    #: Who had logged in.
    user: str | None

    @property
    def message(self) -> EmailMessage:
        """What it says."""
        return message_from_bytes(self.content, EmailMessage, policy=policy.default)

    def part(self, kind: str) -> str:
        """Its `html` or its `plain` text."""
        found = self.message.get_body((kind,))
        assert found is not None
        return str(found.get_content()).replace("\r\n", "\n")


@dataclass(slots=True)
class MailServer:
    """Where it is, and what it has got; answers can be put in place of its own."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    #: Refusals by recipient.
    refusals: dict[str, str] = field(default_factory=dict)
    #: What it says of the mail itself.
    verdict: str = "250 taken"
    sessions: set[Any] = field(default_factory=set)
    most_at_once: int = 0

    @property
    def place(self) -> str:
        """`host:port`."""
        return f"{HOST}:{self.port}"

    # The names are those that aiosmtpd looks for.

    async def handle_RCPT(  # noqa: N802
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        """Take the recipient, or refuse."""
        if address in self.refusals:
            return self.refusals[address]
        envelope.rcpt_tos.append(address)
        return "250 fine"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        """Keep the mail."""
        self.received.append(
            Received(
                envelope.mail_from,
                list(envelope.rcpt_tos),
                envelope.original_content,
                server.transport.get_extra_info("sslcontext") is not None,
                session.auth_data and session.auth_data.login.decode(),
            )
        )
        return self.verdict


class _Session(SMTP):
    """Tells the server that it is there."""

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        super().connection_made(transport)
        here = self.event_handler
        here.sessions.add(self)
        here.most_at_once = max(here.most_at_once, len(here.sessions))

    def connection_lost(self, error: Exception | None) -> None:
        """End."""
        super().connection_lost(error)
        self.event_handler.sessions.discard(self)


@asynccontextmanager
async def mail_server(
    *,
    login: tuple[str, str] | None = None,
    starttls: ssl.SSLContext | None = None,
    implicit: ssl.SSLContext | None = None,
) -> AsyncIterator[MailServer]:
    """A real mail server; with *login* it knows one user, in private or not."""
    here = MailServer()

    def check(_server: Any, _session: Any, _envelope: Any, _how: str, given: Any) -> AuthResult:
        wanted = None if login is None else LoginPassword(login[0].encode(), login[1].encode())
        # A wrong password is repeated, as some servers do.
        message = f"535 no: {given.password.decode()} {login}"
        right = given == wanted
        return AuthResult(
            success=right, handled=right, message=None if right else message, auth_data=given
        )

    def session() -> SMTP:
        return _Session(
            here,
            tls_context=starttls,
            require_starttls=starttls is not None,
            auth_require_tls=False,
            authenticator=check if login else None,
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(session, HOST, 0, ssl=implicit)
    here.port = server.sockets[0].getsockname()[1]
    try:
        yield here
    finally:
        server.close()
        for each in here.sessions:
            each.transport.abort()
        await asyncio.sleep(0)


@asynccontextmanager
async def scripted(*replies: str | None) -> AsyncIterator[str]:
    """
    A server that says the next of *replies* whenever it is spoken to, and first of all.

    When nothing is left to say, it only listens; with None at the end, it hangs up. Gives
    `host:port`.
    """

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for reply in filter(None, replies):
                writer.write(reply.encode() + b"\r\n")
                await reader.readline()
            if None not in replies:
                await asyncio.Event().wait()
        finally:
            writer.transport.abort()

    tasks: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(talk(reader, writer)))

    server = await asyncio.start_server(begin, HOST, 0)
    try:
        yield f"{HOST}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


# --- certificates -------------------------------------------------------------------------------


def certificate(folder: Path, host: str = HOST) -> tuple[ssl.SSLContext, Path]:
    """What a server for *host* needs, and the file that makes clients trust it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a server of the tests")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    ca, private = folder / "ca.pem", folder / "key.pem"
    ca.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca, private)
    return context, ca
