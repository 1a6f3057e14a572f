"""Who delivers, and does not give up before it is told that the delivery was accepted."""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Final

import aiohttp
from aiohttp import hdrs

from tests.chaos.flows import SECRET
from tests.chaos.seen import Seen

_PATIENCE: Final = aiohttp.ClientTimeout(total=3)
"""One that was stopped takes the connection, and never answers."""

_PAUSE: Final = 0.1
"""Seconds between attempts."""

_TWICE: Final = 0.2
"""So many deliveries come once more after they were accepted: somebody has missed the answer."""


class Sender:
    """Sends deliveries to whoever is at *addresses*, and notes what is answered."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        addresses: Callable[[], Sequence[str]],
        seen: Seen,
        chance: random.Random,
    ) -> None:
        self._session = session
        self._addresses = addresses
        self._seen = seen
        self._chance = chance
        self._accepted = asyncio.Condition()

    async def send(self, count: int, per_second: float) -> None:
        """Make *count* deliveries, and return when all are accepted."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(count):
                tasks.create_task(self._deliver(f"delivery-{number}"))
                await asyncio.sleep(1 / per_second)

    async def until(self, count: int) -> None:
        """Return when so many are accepted."""
        async with self._accepted:
            await self._accepted.wait_for(lambda: len(self._seen.accepted) >= count)

    async def _deliver(self, name: str) -> None:
        for _ in range(1 + (self._chance.random() < _TWICE)):
            while (id_ := await self._attempt(name)) is None:
                await asyncio.sleep(_PAUSE)
            async with self._accepted:
                self._seen.accepted[name].append(id_)
                self._accepted.notify_all()
            if await self.status(id_) == "unknown":
                self._seen.surprises.append(f"{id_} was accepted, and then not found")

    async def _attempt(self, name: str) -> str | None:
        """The execution that the delivery has; None: it is to be sent again, by the same name."""
        url = f"{self._chance.choice(self._addresses())}/flows/trigger/delivered"
        headers = {hdrs.AUTHORIZATION: f"Bearer {SECRET}", "Idempotency-Key": name}
        try:
            async with self._session.post(
                url, json={"name": name}, headers=headers, timeout=_PATIENCE
            ) as answer:
                if answer.status == 202:
                    said = await answer.json()
                    if said["durable"] is not True:
                        self._seen.surprises.append(f"{name} was accepted and not kept: {said}")
                    return str(said["id"])
                if answer.status != 503 or hdrs.RETRY_AFTER not in answer.headers:
                    text = f"{answer.status} {await answer.text()}"
                    self._seen.surprises.append(f"{name} was answered {text}")
        except (aiohttp.ClientError, TimeoutError):
            pass
        return None

    async def status(self, id_: str) -> str | None:
        """How an execution stands, as one of them says, and why; `unknown`: it is not found."""
        url = f"{self._chance.choice(self._addresses())}/executions/{id_}"
        try:
            async with self._session.get(url, timeout=_PATIENCE) as answer:
                if answer.status == 404:
                    return "unknown"
                if answer.status != 200:
                    return None
                stands = (await answer.json())["data"]
                error = stands["error"]
                return f"{stands['status']}{f' ({error})' if error else ''}"
        except (aiohttp.ClientError, TimeoutError):
            return None
