"""The guard at the socket: every way to reach what must not be reached, against real servers."""

import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from ipaddress import ip_address

import pytest
from aiohttp.abc import ResolveResult

from runner.outgoing import Client, _listens
from runner.settings import Listen
from tests.upstream import (
    Names,
    Upstream,
    code,
    failure,
    found,
    opened,
    redirecting,
    reply,
    request,
    upstream,
)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """A client under the default settings."""
    async with opened() as each:
        yield each


@pytest.fixture
async def server() -> AsyncIterator[Upstream]:
    """A server that says what it was asked, unless a test has it answer otherwise."""
    async with upstream() as each:
        yield each


#: Names that this machine would look up, or that mean this machine in some program's eyes.
NAMES = {
    "localhost": [["127.0.0.1"]],
    "localhost.": [["127.0.0.1"]],
    "a.example": [["127.0.0.1"]],
    "mapped.example": [["::ffff:127.0.0.1"]],
    "nat64.example": [["64:ff9b::7f00:1"]],
    "zoned.example": [["fe80::1%1"]],
}

#: Every way to write an address of this machine, and ones that lead to it by a detour.
HERE = [
    "127.0.0.1", "127.0.0.2", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.1",
    "017700000001", "127.0.0.1.", "0.0.0.0", "0", "localhost", "LOCALHOST", "localhost.",
    "a.example", "mapped.example", "nat64.example", "[::1]", "[::]", "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]", "[2001:0:7f00:1::]", "[fe80::1]", "[0:0:0:0:0:ffff:127.0.0.1]",
    "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021", "2130706433.", "0x7f000001.",
    "zoned.example",
]  # fmt: skip


@pytest.mark.parametrize("host", HERE)
@pytest.mark.parametrize("family", ["0.0.0.0", "::"])
async def test_no_way_to_write_it_leads_here(host: str, family: str) -> None:
    """A URL that data have made reaches no server of this machine, however it is written."""
    async with upstream(host=family) as server, opened(resolver=Here()) as client:
        error = await failure(client, request(f"http://{host}:{server.port}/", tainted=True))

    assert error.own_code in ("EGRESS_DENIED", "ERR_INVALID_URL", "ENOTFOUND")
    assert server.connections == 0


class Here(Names):
    """Knows the names above; the rest is looked up as ever, which reads numbers as addresses."""

    def __init__(self) -> None:
        super().__init__(**NAMES)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """What the name leads to."""
        if host.rstrip(".") in self.names:
            return await super().resolve(host, port, family)
        read = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        return found(host, port, [str(each[4][0]) for each in read])


async def test_a_reviewed_url_reaches_its_neighbours(server: Upstream) -> None:
    """By address and by name: that is what a sidecar is for."""
    async with opened(resolver=Names(app=[["127.0.0.1"]])) as client:
        by_address = await client.send(request(server.url))
        by_name = await client.send(request(f"http://app:{server.port}/"))

    assert by_address.status == by_name.status == 200


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "::ffff:169.254.169.254", "168.63.129.16", "0.0.0.0", "224.0.0.1", "::",
     "2002:7f00:1::", "fe80::1%1"],
)  # fmt: skip
async def test_some_addresses_are_never_reached(address: str) -> None:
    """Not even by a URL that a person has reviewed: the name may lead there tomorrow."""
    async with opened(resolver=Names(name=[[address]])) as client:
        error = await failure(client, request("http://name/latest?secret=1"))

    assert error.own_code == "EGRESS_DENIED"
    assert "name:80" in error.message
    assert "secret" not in error.message


async def test_an_allowed_place_is_reached_by_tainted_urls(server: Upstream) -> None:
    """As an address, a network, or a name; no other name for the same address."""
    names = {"warehouse": [["127.0.0.1"]], "other": [["127.0.0.1"]]}
    tainted = request(server.url, tainted=True)
    by_name = request(f"http://warehouse:{server.port}", tainted=True)
    by_other = request(f"http://other:{server.port}", tainted=True)

    for entry in ("127.0.0.1", "127.0.0.0/8"):
        async with opened({"egress.allow": entry}) as client:
            assert (await client.send(tainted)).status == 200
    async with opened({"egress.allow": "warehouse"}, Names(**names)) as client:
        assert (await client.send(by_name)).status == 200
        assert await code(client, by_other) == "EGRESS_DENIED"
        assert await code(client, tainted) == "EGRESS_DENIED"


async def test_strict_and_deny_hold_for_reviewed_urls_too(server: Upstream) -> None:
    """The operator's word counts."""
    for rules in (
        {"egress.mode": "strict"},
        {"egress.deny": "127.0.0.0/8"},
        {"egress.allow": "127.0.0.1", "egress.deny": "::/0,127.0.0.1"},
    ):
        async with opened(rules) as client:
            assert await code(client, request(server.url)) == "EGRESS_DENIED"

    assert server.connections == 0


async def test_a_name_that_changes_its_mind_is_looked_at_again() -> None:
    """DNS rebinding: what was reached a moment ago by this name says nothing."""
    names = Names(rebind=[["127.0.0.1"], ["127.0.0.2"]])
    hang_up = reply("200 OK", b"", "Connection: close")
    async with (
        upstream(lambda _: hang_up, "0.0.0.0") as server,
        opened({"egress.allow": "127.0.0.1"}, names) as client,
    ):
        sent = request(f"http://rebind:{server.port}/", tainted=True)
        first = await client.send(sent)
        client._sessions[False].connector.clear_dns_cache()  # type: ignore[union-attr]
        second = await code(client, sent)

    assert (first.status, second) == (200, "EGRESS_DENIED")
    assert server.connections == 1


async def test_every_address_of_a_name_is_looked_at() -> None:
    """A name with a good address in front, which does not answer, and a bad one behind it."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        names = Names(both=[["127.0.0.1", "127.0.0.2"]], turned=[["127.0.0.2", "127.0.0.1"]])
        async with opened({"egress.allow": "127.0.0.1"}, names) as client:
            for host in ("both", "turned"):
                sent = request(f"http://{host}:{port}/", tainted=True)
                assert await code(client, sent) == "EGRESS_DENIED"


async def test_a_good_address_is_used_where_another_one_is_bad(server: Upstream) -> None:
    """The bad one is left out."""
    async with opened(
        {"egress.allow": "127.0.0.1"}, Names(both=[["169.254.169.254", "127.0.0.1"]])
    ) as client:
        sent = request(f"http://both:{server.port}/", tainted=True)

        assert (await client.send(sent)).status == 200


@pytest.mark.parametrize("tainted", [False, True])
async def test_a_redirect_to_another_origin_is_no_longer_reviewed(
    server: Upstream, *, tainted: bool
) -> None:
    """Nor does it ride on a connection that a reviewed request has left open there."""
    async with upstream() as front, opened({"egress.allow": "front"}, FRONT) as client:
        front.answer = redirecting(302, f"{server.url}/second")
        await client.send(request(server.url))  # leaves its connection in the pool

        first = request(f"http://front:{front.port}/first", tainted=tainted)
        denied = await code(client, first)

    assert denied == "EGRESS_DENIED"
    assert len(server.received) == 1


FRONT = Names(front=[["127.0.0.1"]])


async def test_a_tainted_request_opens_its_own_connection(server: Upstream) -> None:
    """The two policies share none, even to one address."""
    async with opened({"egress.allow": "127.0.0.1"}) as client:
        await client.send(request(server.url))
        await client.send(request(server.url, tainted=True))

    assert server.connections == 2


async def test_a_redirect_within_an_origin_stays_reviewed(client: Client, server: Upstream) -> None:
    """The flow file has named it."""
    server.answer = redirecting(302, f"{server.url}/second")

    assert (await client.send(request(f"{server.url}/first"))).status == 200


@pytest.mark.parametrize(
    ("listen", "host", "expected"),
    [
        ("127.0.0.1", "127.0.0.1", "EGRESS_DENIED"),
        ("127.0.0.1", "[::ffff:127.0.0.1]", "EGRESS_DENIED"),
        ("127.0.0.1", "localhost", "EGRESS_DENIED"),
        ("127.0.0.1", "0.0.0.0", "EGRESS_DENIED"),
        ("127.0.0.1", "127.0.0.2", "ECONNREFUSED"),
        ("localhost", "127.0.0.1", "EGRESS_DENIED"),
        ("0.0.0.0", "127.0.0.1", "EGRESS_DENIED"),
        ("0.0.0.0", "127.0.0.2", "EGRESS_DENIED"),
        ("0.0.0.0", "[::1]", "EGRESS_DENIED"),
        ("0.0.0.0", "0.0.0.0", "EGRESS_DENIED"),
        ("[::]", "127.0.0.1", "EGRESS_DENIED"),
        ("[::]", "[::1]", "EGRESS_DENIED"),
        ("[::]", "[::ffff:127.0.0.1]", "EGRESS_DENIED"),
        ("[::1]", "[::1]", "EGRESS_DENIED"),
        ("[::1]", "127.0.0.1", "ECONNREFUSED"),
    ],
)
async def test_where_this_runner_listens_is_out_of_reach(
    listen: str, host: str, expected: str
) -> None:
    """For reviewed URLs too: callers from this machine may be trusted, and this would be one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    rules = {"listen": f"{listen}:{port}", "egress.allow": "127.0.0.0/8,0.0.0.0/8,localhost"}

    async with opened(rules) as client:
        ours = await code(client, request(f"http://{host}:{port}/"))
        beside = await code(client, request(f"http://{host}:1/"))

    assert ours == expected
    assert beside == "ECONNREFUSED"


def test_own_addresses_are_known_by_binding_to_them() -> None:
    """Listening everywhere means on every address of this machine, whatever its name."""
    listen = Listen("0.0.0.0", 8055)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        with suppress(OSError):
            probe.connect(("198.51.100.1", 9))  # says which address would be used; sends nothing
        outer = probe.getsockname()[0]

    assert _listens(listen, ip_address("127.9.9.9"))
    assert _listens(listen, ip_address(outer))
    assert not _listens(listen, ip_address("198.51.100.1"))
    assert not _listens(listen, ip_address("2001:db8::1"))
