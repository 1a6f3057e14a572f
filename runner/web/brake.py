"""
Slow down whoever tries wrong tokens, without holding up anybody else.

A right token is always taken, at once: callers behind one proxy have one address, and a stranger
among them must not lock the others out. Against guessing, tokens have to be long.
"""

import asyncio
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from math import ceil
from typing import Final

from runner.errors import RequestsExceeded

FREE: Final = 20
"""So many failures are answered at once."""

PAUSE: Final = 0.25
"""Seconds between the answers to further ones; so long it takes until one is forgiven."""

MAX_WAIT: Final = 5.0
"""Nobody is kept waiting for longer, but told to come again."""

#: Addresses that are remembered; who failed longest ago is forgotten first.
_REMEMBERED: Final = 10_000


class Brake:
    """
    Counts failures by address, as a bucket that leaks one in `PAUSE` seconds.

    That is the generic cell rate algorithm (ITU-T I.371): one time is kept for every address.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: When the last failure of an address will be forgiven.
        self._forgiven: OrderedDict[str, float] = OrderedDict()

    async def hold(self, address: str) -> None:
        """
        Return when one more failure of *address* may be answered.

        Raises RequestsExceeded when that would take longer than `MAX_WAIT`.
        """
        wait = self._wait(_network(address))
        if wait > MAX_WAIT:
            raise RequestsExceeded(retry_after=ceil(wait))
        if wait > 0:
            await asyncio.sleep(wait)

    def _wait(self, network: str) -> float:
        now = self._clock()
        forgiven = max(now, self._forgiven.get(network, now)) + PAUSE
        wait = forgiven - now - FREE * PAUSE
        if wait <= MAX_WAIT:
            # Those who are turned away do not make it worse for themselves for ever.
            self._forgiven[network] = forgiven
            self._forgiven.move_to_end(network)
        if len(self._forgiven) > _REMEMBERED:
            self._forgiven.popitem(last=False)
        return wait


def _network(address: str) -> str:
    """What one caller has: an IPv4 address, or the 64 bits of an IPv6 network."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if known.version == 4 else str(ipaddress.ip_network((known, 64), strict=False))
