"""Whose turn it is."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import Conflict, Reentry, RequestsExceeded, RunnerError, Unavailable
from runner.model import Concurrency, RateLimit
from runner.turns import Rates, Turns

QUEUED = Concurrency(mode="queued")
FOREVER = 60.0


class Some:
    """An execution, as far as its turn is concerned."""

    def __init__(self, parent: "Some | None" = None) -> None:
        self._parent = parent
        self.cancelled = False

    @property
    def parent(self) -> "Some | None":
        """Who started it."""
        return self._parent

    def cancel(self) -> None:
        """Remember."""
        self.cancelled = True


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


def soon(coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
    """In a task of its own."""
    return asyncio.create_task(coroutine)


@pytest.mark.parametrize(
    ("concurrency", "error"),
    [
        (Concurrency(mode="single"), Conflict),
        (Concurrency(mode="parallel", width=2), Unavailable),
    ],
)
async def test_one_more_than_may_run_is_refused(
    concurrency: Concurrency, error: type[RunnerError]
) -> None:
    """`single` says that it runs, `parallel` that it runs as often as it may."""
    turns = Turns()
    first = Some()
    await turns.take("flow", first, concurrency, FOREVER)
    for _ in range(concurrency.width - 1):
        await turns.take("flow", Some(), concurrency, FOREVER)

    with pytest.raises(error):
        await turns.take("flow", Some(), concurrency, FOREVER)

    turns.give_back("flow", first)
    await turns.take("flow", Some(), concurrency, FOREVER)


async def test_other_keys_have_lines_of_their_own() -> None:
    """What one customer does keeps no other one waiting."""
    turns = Turns()

    await turns.take(("flow", "a"), Some(), Concurrency(mode="single"), FOREVER)

    await turns.take(("flow", "b"), Some(), Concurrency(mode="single"), FOREVER)


async def test_queued_executions_run_in_the_order_they_came() -> None:
    """One at a time; nobody overtakes."""
    turns, order = Turns(), list[int]()
    first = Some()
    await turns.take("flow", first, QUEUED, FOREVER)

    async def run(number: int) -> None:
        me = Some()
        await turns.take("flow", me, QUEUED, FOREVER)
        order.append(number)
        await asyncio.sleep(0)
        turns.give_back("flow", me)

    tasks = []
    for number in range(5):
        tasks.append(soon(run(number)))
        await settle()
    turns.give_back("flow", first)
    await asyncio.gather(*tasks)

    assert order == [0, 1, 2, 3, 4]


async def test_whoever_gives_up_lets_the_next_one_pass() -> None:
    """A caller that went away does not hold up the line."""
    turns, first, third = Turns(), Some(), Some()
    await turns.take("flow", first, QUEUED, FOREVER)
    second = soon(turns.take("flow", Some(), QUEUED, FOREVER))
    last = soon(turns.take("flow", third, QUEUED, FOREVER))
    await settle()

    second.cancel()
    await settle()
    turns.give_back("flow", first)
    await last

    turns.give_back("flow", third)
    await turns.take("flow", Some(), QUEUED, FOREVER)


async def test_a_turn_that_comes_in_the_moment_of_giving_up_goes_to_the_next_one() -> None:
    """Cancelled after its turn was given and before it woke up: the turn is not lost."""
    turns, first, third = Turns(), Some(), Some()
    await turns.take("flow", first, QUEUED, FOREVER)
    second = soon(turns.take("flow", Some(), QUEUED, FOREVER))
    last = soon(turns.take("flow", third, QUEUED, FOREVER))
    await settle()

    turns.give_back("flow", first)
    second.cancel()

    await asyncio.wait_for(last, 5)


async def test_patience_ends() -> None:
    """A line in which nothing moves is not waited in for ever."""
    turns = Turns()
    await turns.take("flow", Some(), QUEUED, FOREVER)

    with pytest.raises(Unavailable, match=r"within 0\.001 s"):
        await turns.take("flow", Some(), QUEUED, 0.001)


async def test_only_so_many_wait() -> None:
    """All lines together are bounded."""
    turns = Turns(max_waiting=1)
    await turns.take("flow", Some(), QUEUED, FOREVER)
    await turns.take("other", Some(), QUEUED, FOREVER)
    waiting = soon(turns.take("flow", Some(), QUEUED, FOREVER))
    await settle()

    with pytest.raises(Unavailable, match="Too many"):
        await turns.take("other", Some(), QUEUED, FOREVER)
    waiting.cancel()


async def test_restart_ends_what_runs_and_only_the_newest_one_follows() -> None:
    """What runs is cancelled, what waits for that is told that a newer one came."""
    turns, running, newest = Turns(), Some(), Some()
    restart = Concurrency(mode="restart")
    await turns.take("flow", running, restart, FOREVER)
    older = soon(turns.take("flow", Some(), restart, FOREVER))
    await settle()
    assert running.cancelled
    newer = soon(turns.take("flow", newest, restart, FOREVER))

    with pytest.raises(Conflict, match="newer"):
        await older
    turns.give_back("flow", running)
    await newer

    turns.give_back("flow", newest)


@pytest.mark.parametrize("mode", ["queued", "single", "restart"])
async def test_a_flow_that_waits_for_itself_is_refused(mode: str) -> None:
    """Its ancestor holds the turn until it ends, which it would not."""
    turns, concurrency = Turns(), Concurrency(mode=mode)
    grandparent = Some()
    await turns.take("flow", grandparent, concurrency, FOREVER)

    with pytest.raises(Reentry):
        await turns.take("flow", Some(Some(grandparent)), concurrency, FOREVER)
    assert not grandparent.cancelled


async def test_siblings_do_wait_for_each_other() -> None:
    """The elements of a list run one after another in a queued flow."""
    turns, parent = Turns(), Some()
    first, second = Some(parent), Some(parent)
    await turns.take("child", first, QUEUED, FOREVER)
    waiting = soon(turns.take("child", second, QUEUED, FOREVER))
    await settle()

    turns.give_back("child", first)

    await waiting


async def test_two_flows_that_wait_for_each_other_are_found() -> None:
    """A holds a and wants b, B holds b and wants a: the second one to ask is refused."""
    turns, a, b = Turns(), Some(), Some()
    await turns.take("a", a, QUEUED, FOREVER)
    await turns.take("b", b, QUEUED, FOREVER)
    waiting = soon(turns.take("b", Some(a), QUEUED, FOREVER))
    await settle()

    with pytest.raises(Reentry):
        await turns.take("a", Some(b), QUEUED, FOREVER)

    turns.give_back("b", b)
    await waiting


async def test_waiting_for_one_who_can_go_on_is_no_circle() -> None:
    """Of two that hold the line, one is free to end."""
    turns, two = Turns(), Concurrency(mode="queued", width=2)
    a, free = Some(), Some()
    await turns.take("a", a, two, FOREVER)
    await turns.take("a", free, two, FOREVER)
    waiting = soon(turns.take("a", Some(a), two, FOREVER))
    await settle()

    turns.give_back("a", free)

    await waiting


@given(
    gaps=st.lists(st.floats(0, 5), min_size=1, max_size=60),
    starts=st.integers(1, 5),
    per=st.floats(0.5, 10),
)
def test_a_rate_limit_lets_pass_what_it_says(gaps: list[float], starts: int, per: float) -> None:
    """The first ones at once, and over any time no more than that rate beside them."""
    now, passed = 0.0, list[float]()
    rates = Rates(lambda: now)
    for gap in gaps:
        now += gap
        try:
            rates.count("flow", RateLimit(starts=starts, per=per))
        except RequestsExceeded:
            continue
        passed.append(now)

    assert len(passed) >= min(starts, len(gaps))
    span = now - passed[0]
    assert len(passed) <= starts + span * starts / per + 1e-6


def test_a_rate_limit_says_when_to_come_again() -> None:
    """And then there is room."""
    now = 0.0
    rates, limit = Rates(lambda: now), RateLimit(starts=2, per=10)
    rates.count("flow", limit)
    rates.count("flow", limit)

    with pytest.raises(RequestsExceeded) as refused:
        rates.count("flow", limit)
    rates.count("another", limit)
    now = float(refused.value.retry_after)

    rates.count("flow", limit)


def test_quiet_names_are_forgotten() -> None:
    """A caller that makes up names does not fill the memory."""
    rates, limit = Rates(lambda: 0.0), RateLimit(starts=1, per=1)

    for number in range(20_001):
        rates.count(number, limit)

    rates.count(0, limit)
