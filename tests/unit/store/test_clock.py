"""The time of the machine."""

import asyncio
import time

import pytest

from runner.store.clock import SystemClock


async def test_an_alarm_for_the_past_rings_at_once() -> None:
    """It is not missed."""
    rung = asyncio.Event()

    SystemClock().alarm(time.time() - 5, rung.set)
    await rung.wait()


async def test_an_alarm_that_was_silenced_does_not_ring() -> None:
    """Even if it would have rung next."""
    rung: list[int] = []
    clock = SystemClock()
    last = asyncio.Event()

    clock.alarm(0, lambda: rung.append(1))()
    clock.alarm(0, last.set)
    await last.wait()

    assert rung == []


async def test_a_long_wait_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's time may be set meanwhile; early is better than hours late."""
    monkeypatch.setattr(SystemClock, "LOOK_AGAIN", 0.001)
    rung = asyncio.Event()

    SystemClock().alarm(time.time() + 86_400, rung.set)
    await rung.wait()
