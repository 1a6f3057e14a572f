"""One trial: load, a plan of what happens to whom, and what was seen of it all."""

import asyncio
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import aiohttp

from runner.store.pg_leases import TTL
from tests.chaos.cluster import Cluster
from tests.chaos.flows import DELIVERY, TICK, TICK_FLOW
from tests.chaos.promise import Verdict, judge
from tests.chaos.seen import Effect, Schedule, Seen, tick
from tests.chaos.sender import Sender
from tests.chaos.sink import sink
from tests.postgres import Server

_PAUSED: Final = TTL + 4
"""Seconds that a process is stopped: others have taken its work over by then."""

_AWAY: Final = 1.5
"""Seconds that PostgreSQL is away."""

_PATIENCE: Final = 60.0
"""Seconds in which something must finish, until all has; and until the first tick is seen."""

_LOOK: Final = 0.5
"""Seconds between two looks whether it has ..."""

_AT_ONCE: Final = 16
"""... of so many at a time."""

_UNDER_WAY: Final = {"queued", "running", "waiting", "unknown"}


class Plan(NamedTuple):
    """What is to happen; in which order, and to whom, follows from the *seed*."""

    deliveries: int
    per_second: float
    #: How often a process is killed, how often one is stopped for longer than its lease, and how
    #: often PostgreSQL is stopped as if somebody had pulled the plug.
    kills: int
    pauses: int = 0
    outages: int = 0
    replicas: int = 1
    seed: int = 1


async def trial(
    plan: Plan, home: Path, postgres: Server | None = None, state: str | None = None
) -> Verdict:
    """Carry out *plan* with daemons below *home*; *state* is a database of *postgres*."""
    seen, chance = Seen(), random.Random(plan.seed)
    cluster = Cluster(home, plan.replicas, state, seen)
    try:
        async with sink(seen.effects) as address, aiohttp.ClientSession() as session:
            await cluster.start(address)
            await _first(seen.effects)
            sender = Sender(session, cluster.addresses, seen, chance)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(sender.send(plan.deliveries, plan.per_second))
                tasks.create_task(_suffer(plan, cluster, postgres, sender, chance))
            schedule = _ticks(seen)
            await _settled(seen, schedule, sender)
            await cluster.stop()
    finally:
        await asyncio.to_thread(cluster.end)
    return judge(seen, DELIVERY, TICK, schedule)


async def _suffer(
    plan: Plan, cluster: Cluster, postgres: Server | None, sender: Sender, chance: random.Random
) -> None:
    """Spread over all deliveries, do one thing after the other to somebody."""
    acts = ["kill"] * plan.kills + ["pause"] * plan.pauses + ["outage"] * plan.outages
    chance.shuffle(acts)
    async with asyncio.TaskGroup() as pauses:
        for number, act in enumerate(acts, 1):
            await sender.until(plan.deliveries * number // (len(acts) + 1))
            whom = chance.randrange(len(cluster))
            if act == "kill":
                await cluster.kill(whom)
                await cluster.replace(whom)
            elif act == "pause":  # meanwhile the world goes on
                pauses.create_task(cluster.pause(whom, _PAUSED))
            elif postgres is not None:
                await _pull_the_plug(postgres)


async def _pull_the_plug(postgres: Server) -> None:
    await asyncio.to_thread(postgres.stop, "immediate")
    await asyncio.sleep(_AWAY)
    await asyncio.to_thread(postgres.start)


# --- at its end ---------------------------------------------------------------------------------


def _ticks(seen: Seen) -> Schedule:
    """From the first that was seen until now: each second."""
    now = int(time.time())
    seconds = {tick(TICK_FLOW, second): second for second in range(now - 3600, now + 1)}
    found = (seconds.get(each.execution, now) for each in seen.effects)
    return Schedule(TICK_FLOW, min(found), now)


async def _settled(seen: Seen, schedule: Schedule, sender: Sender) -> None:
    """Wait until all has finished, or for long nothing does, and note how it stands."""
    moved = time.monotonic()
    places = asyncio.Semaphore(_AT_ONCE)

    async def follow(id_: str) -> None:
        nonlocal moved
        while seen.statuses.get(id_, "unknown") in _UNDER_WAY:
            async with places:
                status = await sender.status(id_)
            if status is not None:
                seen.statuses[id_] = status
            if time.monotonic() > moved + _PATIENCE:
                return
            await asyncio.sleep(_LOOK)
        moved = time.monotonic()

    ids = {each for executions in seen.accepted.values() for each in executions}
    await asyncio.gather(*map(follow, ids | schedule.executions()))


async def _first(effects: Sequence[Effect]) -> None:
    """Wait for the first tick: from then on, every one must come."""
    async with asyncio.timeout(_PATIENCE):
        while not effects:
            await asyncio.sleep(_LOOK)
