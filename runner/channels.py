"""Ways to reach people, as the settings have them: the mail server, and recipients by name."""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from runner import addresses
from runner.addresses import Mailbox
from runner.secrets import Secrets
from runner.types import JSONObject
from runner.units import parse_duration


class Encryption(StrEnum):
    """What keeps a connection to a mail server private."""

    NONE = "none"
    #: The server is asked for it, and has to have it.
    STARTTLS = "starttls"
    #: From the first byte on.
    IMPLICIT = "implicit"


_SCHEMES: Final = {
    "smtp": (Encryption.NONE, 25),
    "smtp+starttls": (Encryption.STARTTLS, 587),
    "smtps": (Encryption.IMPLICIT, 465),
}


class Server(NamedTuple):
    """A mail server, and how to log in there."""

    host: str
    port: int
    encryption: Encryption
    #: Empty: nobody logs in.
    user: str = ""
    password: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailSettings:
    """How mails are sent; the settings may lack what that takes."""

    sender: Mailbox | None
    reply_to: Mailbox | None
    #: Whether `smtp://` may lead to another machine.
    allow_plain: bool
    #: Certificates of authorities that are trusted beside those of the system.
    ca_file: Path | None
    #: Seconds for one mail, from the connection to the server's word that it has it.
    timeout: float
    #: Of one mail.
    max_recipients: int
    #: Reads the URL of the server; raises SecretMissing.
    read_url: Callable[[], str] | None = field(repr=False)

    @property
    def missing(self) -> list[str]:
        """The settings without which no mail can be sent."""
        needed = {"mail.url": self.read_url, "mail.from": self.sender}
        return [name for name, value in needed.items() if value is None]

    def server(self) -> Server:
        """
        The mail server, as the URL says now.

        Raises SecretMissing, and ValueError, as `server` does, for a URL that cannot be used.
        """
        assert self.read_url is not None  # noqa: S101 - `missing` says so
        return server(self.read_url(), allow_plain=self.allow_plain)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """Somebody who can be told something."""

    name: str
    #: Whose inbox gets it: a UUID, lower-case.
    user: str | None
    #: Read the Apprise URLs of services that are told as well; raise SecretMissing.
    read_urls: tuple[Callable[[], str], ...] = field(repr=False)


def server(url: str, *, allow_plain: bool) -> Server:
    """
    The mail server that *url* says: `smtps://user:password@host:port`.

    `smtp://` is for this machine, unless *allow_plain*. Raises ValueError, in a sentence that has
    nothing of *url*, which is a secret.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in _SCHEMES or _has_more(parts):
        raise ValueError(
            "the address of the mail server must be smtps://user:password@host:port,"
            " smtp+starttls://… or smtp://…, with what is special in user and password"
            " percent-encoded"
        )
    encryption, usual_port = _SCHEMES[parts.scheme]
    if encryption is Encryption.NONE and not (allow_plain or _is_loopback(host)):
        raise ValueError(
            "smtp:// would send everything, the password too, so that others can read it: write"
            " smtp+starttls:// or smtps://, or set mail.allow_plain"
        )
    if bool(parts.username) is not bool(parts.password):
        raise ValueError("the address of the mail server needs a user and a password, or neither")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return Server(host, usual_port if port is None else port, encryption, user, password)


def _has_more(parts: SplitResult) -> bool:
    return bool(parts.path.strip("/") or parts.query or parts.fragment)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# --- from checked data --------------------------------------------------------------------------


def mail_settings(data: JSONObject, secrets: Secrets) -> MailSettings:
    """What the settings say under `mail`, where `server` and `addresses.parse` agree to it."""
    return MailSettings(
        sender=addresses.parse(data["from"]) if "from" in data else None,
        reply_to=addresses.parse(data["reply_to"]) if "reply_to" in data else None,
        allow_plain=data["allow_plain"],
        ca_file=Path(data["ca_file"]) if "ca_file" in data else None,
        timeout=parse_duration(data["timeout"]),
        max_recipients=data["max_recipients"],
        read_url=secrets.address_reader(data["url"]) if "url" in data else None,
    )


def recipients(data: JSONObject, secrets: Secrets) -> dict[str, Recipient]:
    """What the settings say under `recipients`."""
    return {
        name: Recipient(
            name=name,
            user=each["user"].lower() if "user" in each else None,
            read_urls=tuple(secrets.address_reader(url) for url in each.get("urls", ())),
        )
        for name, each in data.items()
    }
