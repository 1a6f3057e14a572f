"""Guessing credentials gets slow, for those who guess."""

import asyncio

import pytest

from runner.errors import RequestsExceeded
from runner.web import brake
from runner.web.brake import Brake

#: So many answers wait at most for one address.
WAITING = round(brake.MAX_WAIT / brake.PAUSE)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


async def failures(made: Brake, address: str, count: int) -> None:
    """So many failures that nobody has to wait for."""
    for _ in range(count):
        async with asyncio.timeout(0):
            await made.hold(address)


async def test_a_few_mistakes_cost_nothing() -> None:
    """Somebody who mistypes a token is answered at once."""
    await failures(Brake(Clock()), "192.0.2.1", brake.FREE)


async def test_one_more_waits_and_others_do_not() -> None:
    """Only the address that failed is slowed down."""
    made = Brake(Clock())
    await failures(made, "192.0.2.1", brake.FREE)

    with pytest.raises(TimeoutError):
        await failures(made, "192.0.2.1", 1)
    await failures(made, "192.0.2.2", 1)


async def test_who_would_wait_too_long_is_told_to_come_again() -> None:
    """Nobody can have many answers wait at the same time."""
    made = Brake(Clock())
    await failures(made, "192.0.2.1", brake.FREE)
    waiting = [asyncio.ensure_future(made.hold("192.0.2.1")) for _ in range(WAITING)]
    await asyncio.sleep(0)

    with pytest.raises(RequestsExceeded) as raised:
        await made.hold("192.0.2.1")

    assert raised.value.retry_after > brake.MAX_WAIT
    for task in waiting:
        assert not task.done()
        task.cancel()


async def test_failures_are_forgiven_in_time() -> None:
    """Who stops guessing is as good as new after a while."""
    clock = Clock()
    made = Brake(clock)
    await failures(made, "192.0.2.1", brake.FREE)

    clock.now += brake.FREE * brake.PAUSE

    await failures(made, "192.0.2.1", brake.FREE)


async def test_an_ipv6_network_is_one_caller() -> None:
    """Whoever has 2 to the 64 addresses does not get as many guesses."""
    made = Brake(Clock())
    await failures(made, "2001:db8::1", brake.FREE)

    with pytest.raises(TimeoutError):
        await failures(made, "2001:db8::2", 1)
    await failures(made, "2001:db8:0:1::1", 1)


async def test_addresses_are_forgotten_when_there_are_many() -> None:
    """Memory is bounded, whatever comes."""
    made = Brake(Clock())
    await failures(made, "192.0.2.1", brake.FREE)

    for number in range(10_000):
        await failures(made, f"unix:{number}", 1)

    await failures(made, "192.0.2.1", brake.FREE)
