"""
Which addresses the `request` operation may reach: rules, no sockets.

They are asked about every socket before it is connected, with the address that it is about to be
connected to: what a name was resolved to earlier says nothing about where it leads now.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final, NamedTuple, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network


class Kind(StrEnum):
    """What an address is for, as far as it matters here."""

    PUBLIC = "public"
    PRIVATE = "private"
    LOOPBACK = "loopback"
    LINK_LOCAL = "link-local"
    METADATA = "metadata"
    MULTICAST = "multicast"
    RESERVED = "reserved"


# --- addresses ----------------------------------------------------------------------------------


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(map(ip_network, texts))


# Where clouds answer whoever asks from inside, with credentials. Azure's is a public address.
_METADATA: Final = _networks(
    "169.254.169.254",  # nearly all of them
    "169.254.170.2",  # AWS, containers
    "100.100.100.200",  # Alibaba
    "168.63.129.16",  # Azure
    "192.0.0.192",  # Oracle
    "fd00:ec2::254",  # AWS
    "fd20:ce::254",  # Google
    "fd00:42::42",  # Scaleway
)
_PRIVATE: Final = _networks(
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7",
    "100.64.0.0/10",  # between carriers and customers, and the pods of some clusters
)  # fmt: skip
# Not meant for us, though `ipaddress` takes most of them for global (seen in Python 3.11.7). The
# tunnels among them carry an IPv4 address that they would lead to.
_RESERVED: Final = _networks(
    "::/96",  # IPv4-compatible
    "2002::/16", "192.88.99.0/24",  # 6to4 and its relays
    "2001::/32",  # Teredo
    "64:ff9b:1::/48",  # NAT64 of a network's own
    "fec0::/10",  # site-local
    "100::/64",  # discarded
)  # fmt: skip
_NAT64: Final = IPv6Network("64:ff9b::/96")


def plain(address: Address) -> Address:
    """The IPv4 address that *address* stands for, where it is one in IPv6 clothes."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return IPv6Address(int(address))  # without a zone


def kind(address: Address) -> Kind:
    """What *address* is for; of IPv4 in IPv6 clothes, what that is for."""
    address = plain(address)
    if _within(address, _METADATA):
        return Kind.METADATA
    if address.is_loopback:
        return Kind.LOOPBACK
    if _within(address, _PRIVATE):
        return Kind.PRIVATE
    if address.is_link_local:
        return Kind.LINK_LOCAL
    if address.is_multicast:
        return Kind.MULTICAST
    if not address.is_global or address.is_reserved or _within(address, _RESERVED):
        return Kind.RESERVED
    return Kind.PUBLIC


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


# --- what the settings name ---------------------------------------------------------------------


class Places(NamedTuple):
    """Networks, addresses and host names that the settings list."""

    networks: tuple[Network, ...] = ()
    #: Lower-case, without a trailing dot.
    hosts: frozenset[str] = frozenset()

    def have(self, address: Address) -> bool:
        """Whether *address* is in one of the networks, as it is or as the IPv4 that it means."""
        return _within(address, self.networks) or _within(plain(address), self.networks)

    def name(self, address: Address) -> bool:
        """Whether *address* itself is listed, and not only a network around it."""
        alone = [each for each in self.networks if each.num_addresses == 1]
        return _within(address, alone) or _within(plain(address), alone)


_NOWHERE: Final = Places()

_LABEL: Final = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
#: A name that ends in a number is an address to some, in decimal or hexadecimal.
_HOST: Final = re.compile(
    rf"(?=.{{1,253}}\Z)(?:{_LABEL}\.)*(?!(?:[0-9]+|0x[0-9a-f]*)\Z){_LABEL}", re.ASCII
)


def place(text: str) -> Network | str:
    """
    The network or the host name that *text* is; an address is a network of one.

    Raises ValueError, in a sentence, when it is neither.
    """
    try:
        return ip_network(text, strict=False)
    except ValueError:
        host = bare(text.lower())
        if _HOST.fullmatch(host):
            return host
    raise ValueError(
        f'"{text}" is neither a network such as 10.0.0.0/8, nor an address, nor a host name'
    )


def places(texts: Iterable[str]) -> Places:
    """What *texts* list. Raises ValueError for the first that is no place."""
    found = [place(text) for text in texts]
    return Places(
        networks=tuple(each for each in found if not isinstance(each, str)),
        hosts=frozenset(each for each in found if isinstance(each, str)),
    )


def bare(host: str) -> str:
    """*host* without the dot at its end that says that it is complete."""
    return host.removesuffix(".")


# --- the rules ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Egress:
    """
    What may be reached.

    *deny* wins over everything, *allow* over the rest, with two exceptions. A host name that is
    allowed may lead to public, private and loopback addresses and no others: whoever answers for
    the name must not be able to point it at a metadata server. And where this runner listens is
    reached only when *allow* lists that address by itself, as callers from here may be trusted.
    """

    #: `default`, or `strict`: only what *allow* lists.
    mode: str = "default"
    allow: Places = _NOWHERE
    deny: Places = _NOWHERE

    def refusal(self, host: str, address: Address, *, reviewed: bool, ours: bool) -> str | None:
        """
        Why *address*, which is to be connected for the name *host*, is out of reach; or None.

        *reviewed*: host and port stand in the flow file, or the operator has said them; they come
        from nothing that the flow was given. *ours*: this runner listens there.
        """
        host = bare(host.lower())
        if host in self.deny.hosts or self.deny.have(address):
            return "egress.deny lists it"
        if ours and not self.allow.name(address):
            return "this runner listens there, and egress.allow does not list the very address"
        if self.allow.have(address):
            return None
        what = kind(address)
        if what not in (Kind.PUBLIC, Kind.PRIVATE, Kind.LOOPBACK):
            return f"it is a {what} address, and egress.allow does not list that"
        if host in self.allow.hosts:
            return None
        if self.mode == "strict":
            return "egress.mode is strict, and egress.allow does not list it"
        if what is not Kind.PUBLIC and not reviewed:
            return (
                f"it is a {what} address, which needs a URL whose host and port stand in the flow"
                " file, or a place in egress.allow"
            )
        return None
