"""Which addresses may be reached: a table of every form an address can take."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import egress
from runner.egress import Egress, Kind, place, places

#: What reaches which kind of address. In `ipaddress` of Python 3.11.7, those with a * are global.
ADDRESSES = {
    Kind.PUBLIC: (
        "93.184.216.34", "8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "223.255.255.255",
        "2606:4700::1111", "2a00:1450:4001::1", "::ffff:8.8.8.8", "64:ff9b::808:808",
    ),
    Kind.LOOPBACK: (
        "127.0.0.1", "127.1.2.3", "127.255.255.255", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1",
        "64:ff9b::7f00:1",  # *
    ),
    Kind.PRIVATE: (
        "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.1.1",
        "100.64.0.1", "100.127.255.255", "fc00::1", "fd12:3456::1", "::ffff:10.0.0.1",
        "64:ff9b::a00:1",  # *
    ),
    Kind.LINK_LOCAL: ("169.254.0.1", "169.254.255.1", "fe80::1", "fe80::1%2", "::ffff:169.254.1.1"),
    Kind.METADATA: (
        "169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192",
        "168.63.129.16",  # *
        "fd00:ec2::254", "fd20:ce::254", "fd00:42::42", "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",  # *
    ),
    Kind.MULTICAST: (
        "224.0.0.1",  # *
        "239.255.255.250",
        "ff02::1",  # *
        "::ffff:224.0.0.1",
    ),
    Kind.RESERVED: (
        "0.0.0.0", "0.1.2.3", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1",
        "203.0.113.1", "240.0.0.1", "255.255.255.255", "::", "2001:db8::1", "100::1",
        "::127.0.0.1",  # *
        "::7f00:1",  # *
        "fec0::1",  # *
        "64:ff9b:1::1",  # *
        "2002:7f00:1::",  # * 6to4 of 127.0.0.1
        "2001:0:7f00:1::",  # Teredo
        "192.88.99.1",  # *
        "::ffff:0.0.0.0", "64:ff9b::",
    ),
}  # fmt: skip

INNER = (Kind.PRIVATE, Kind.LOOPBACK)
NEVER = (Kind.LINK_LOCAL, Kind.METADATA, Kind.MULTICAST, Kind.RESERVED)

every_address = pytest.mark.parametrize(
    ("kind", "text"), [(kind, text) for kind, texts in ADDRESSES.items() for text in texts]
)


def refused(
    rules: Egress, text: str, *, host: str = "", reviewed: bool = False, ours: bool = False
) -> bool:
    """Whether *rules* keep a request from the address *text*."""
    return rules.refusal(host, ip_address(text), reviewed=reviewed, ours=ours) is not None


@every_address
def test_the_kind_of_an_address_is_that_of_what_it_leads_to(kind: Kind, text: str) -> None:
    """Whatever clothes it wears."""
    assert egress.kind(ip_address(text)) is kind


@every_address
def test_what_is_reached_without_any_setting(kind: Kind, text: str) -> None:
    """A reviewed URL gets to the neighbours, a tainted one to the world, and none to the rest."""
    assert refused(Egress(), text, reviewed=True) is (kind in NEVER)
    assert refused(Egress(), text, reviewed=False) is (kind in NEVER or kind in INNER)


@every_address
def test_where_this_runner_listens_is_out_of_reach(kind: Kind, text: str) -> None:
    """Even for reviewed URLs, and even inside a network that is allowed."""
    around = Egress(allow=places(["0.0.0.0/0", "::/0"]))

    assert refused(Egress(), text, reviewed=True, ours=True)
    assert refused(around, text, reviewed=True, ours=True)
    assert not refused(Egress(allow=places([text.partition("%")[0]])), text, ours=True)


@every_address
def test_an_address_that_is_allowed_is_reached(kind: Kind, text: str) -> None:
    """By itself or in a network, whatever kind it is, in both modes."""
    for entry in (text.partition("%")[0], "::/0" if ":" in text else "0.0.0.0/0"):
        assert not refused(Egress(allow=places([entry])), text)
        assert not refused(Egress(mode="strict", allow=places([entry])), text)


@every_address
def test_deny_wins_over_everything(kind: Kind, text: str) -> None:
    """Over the mode, and over the same entry in `allow`."""
    entry = places([text.partition("%")[0], "shop.example"])

    assert refused(Egress(allow=entry, deny=entry), text, reviewed=True)
    assert refused(Egress(deny=places(["shop.example"])), text, host="Shop.Example.", reviewed=True)


@every_address
def test_a_host_that_is_allowed_leads_to_the_neighbours_and_no_further(
    kind: Kind, text: str
) -> None:
    """Whoever answers for the name could point it anywhere: not at a metadata server, not at us."""
    for mode in ("default", "strict"):
        rules = Egress(mode=mode, allow=places(["Warehouse."]))

        assert refused(rules, text, host="warehouse") is (kind in NEVER)
        assert refused(rules, text, host="WAREHOUSE.") is (kind in NEVER)
        assert refused(rules, text, host="warehouse", ours=True)


@every_address
def test_strict_reaches_only_what_is_listed(kind: Kind, text: str) -> None:
    """Reviewed or not."""
    assert refused(Egress(mode="strict"), text, reviewed=True)
    assert refused(Egress(mode="strict", allow=places(["9.9.9.9"])), text, host="x", reviewed=True)


def test_ipv4_is_named_as_such_whatever_it_wears() -> None:
    """A rule about 10.0.0.0/8 means those addresses in IPv6 clothes too."""
    rules = Egress(allow=places(["10.0.0.0/8"]), deny=places(["10.1.0.0/16"]))

    assert not refused(rules, "::ffff:10.0.0.1")
    assert not refused(rules, "64:ff9b::a00:1")
    assert refused(rules, "::ffff:10.1.0.1")
    assert refused(rules, "64:ff9b::a01:1")


@given(st.ip_addresses(v=4))
def test_wearing_ipv6_changes_nothing(address: IPv4Address) -> None:
    """Mapped and translated addresses are what they lead to."""
    mapped = IPv6Address((0xFFFF << 32) | int(address))
    translated = IPv6Address((0x64FF9B << 96) | int(address))

    assert egress.kind(mapped) is egress.kind(translated) is egress.kind(address)


@given(st.ip_addresses())
def test_only_global_addresses_are_public(address: IPv4Address | IPv6Address) -> None:
    """We never say public where Python says that it is not."""
    if egress.kind(address) is Kind.PUBLIC:
        assert egress.plain(address).is_global


@pytest.mark.parametrize(
    "text",
    ["10.0.0.0/8", "10.0.0.1/8", "127.0.0.1", "::1", "fd00::/8", "warehouse", "Shop.Example.com",
     "shop.example.com.", "my_db", "xn--bcher-kva.example", "a-b.c", "1password.com", "3.pool.ntp"],
)  # fmt: skip
def test_networks_addresses_and_hosts_are_places(text: str) -> None:
    """What people write there."""
    place(text)


@pytest.mark.parametrize(
    "text",
    ["", " ", "http://shop", "shop:80", "127.0.0.1:80", "[::1]", "*.shop", "shop/", "10.0.0.0/33",
     "10.0.0", "1.2.3.4.5", "256.0.0.1", "0x7f000001", "2130706433", "a..b", ".a", "-a", "a-",
     "bücher.example", "a b", "a\n", "x" * 64, "a." * 127 + "ab"],
)  # fmt: skip
def test_what_is_no_place_is_said_to_be_none(text: str) -> None:
    """A rule that could never match is a mistake; so is one that some read as an address."""
    with pytest.raises(ValueError, match="is neither a network such as"):
        place(text)
