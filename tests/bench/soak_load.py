"""The load of the soak: callers of every kind, each at its own pace."""

import asyncio
import itertools
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple

import aiohttp
from aiohttp import web

from tests.bench.common import BODY
from tests.bench.soak_flows import SECRET, Repository

ADMIN = {"Authorization": "Bearer soak-admin-token"}
KNOWN = {"X-Soak": SECRET}
ORDER = {"id": 7, "lines": [{"sku": f"apple-{n}", "count": n} for n in range(8)]}

#: Bytes of what is refused as too large, and of what just fits.
_TOO_LARGE, _LARGE = 2 << 20, 900 << 10

#: How many deliveries are known that came before.
_REMEMBERED = 10_000


class Answer(NamedTuple):
    """What came back."""

    status: int
    body: Any


class Client:
    """Sends what the habits say, and counts what comes back."""

    def __init__(self, url: str, session: aiohttp.ClientSession, repository: Repository) -> None:
        self.url = url
        self.session = session
        self.repository = repository
        self.answers: Counter[int] = Counter()
        #: What nobody expected, and how often.
        self.surprises: Counter[str] = Counter()
        self.numbers = itertools.count()

    async def send(
        self, method: str, path: str, *, expect: int | tuple[int, ...] = 200, **more: Any
    ) -> Answer:
        """One request; an answer of another status than *expect* is a surprise."""
        expected = (expect,) if isinstance(expect, int) else expect
        async with self.session.request(method, self.url + path, **more) as response:
            raw = await response.read()
        self.answers[response.status] += 1
        is_json = response.content_type == "application/json"
        body = json.loads(raw) if raw and is_json else None
        if response.status not in expected:
            self.surprises[
                f"{method} {path.partition('?')[0]}: {response.status} {body}"[:300]
            ] += 1
        return Answer(response.status, body)

    async def start(self, flow: str, body: Any = ORDER, **more: Any) -> Answer:
        """POST to a flow."""
        return await self.send("POST", f"/flows/trigger/{flow}", json=body, **more)

    async def accepted(self, flow: str) -> str:
        """The id of an execution of *flow* that was accepted."""
        answer = await self.start(flow, expect=202, headers=KNOWN)
        return str(answer.body["id"]) if answer.status == 202 else ""


async def fill(client: Client) -> None:
    """
    Send as many named deliveries as the daemon remembers.

    What is bounded and fills slowly would look like a leak, and a leak like that.
    """

    async def caller(number: int) -> None:
        for each in range(number, _REMEMBERED, 4):
            headers = {**KNOWN, "Idempotency-Key": f"first-{each}"}
            await client.start("named", headers=headers)

    await asyncio.gather(*(caller(number) for number in range(4)))


# --- habits -------------------------------------------------------------------------------------


async def one(client: Client) -> None:
    """The usual webhook."""
    await client.send("POST", "/flows/trigger/one", data=BODY, headers=_JSON)


async def ten(client: Client) -> None:
    """One of ten operations, with all its records."""
    await client.send("POST", "/flows/trigger/ten", data=BODY, headers=_JSON)


async def named(client: Client) -> None:
    """A delivery with a name, and now and then the same again."""
    headers = {**KNOWN, "Idempotency-Key": f"named-{next(client.numbers)}"}
    for _ in range(random.choice((1, 1, 1, 2))):
        await client.start("named", headers=headers, expect=(200, 409))


async def later(client: Client) -> None:
    """An accepted delivery, twice."""
    headers = {**KNOWN, "webhook-id": f"later-{next(client.numbers)}"}
    first, second = await asyncio.gather(
        *(client.start("later", headers=headers, expect=202) for _ in range(2))
    )
    if first.status == second.status == 202 and first.body["id"] != second.body["id"]:
        client.surprises["a delivery that came twice has two executions"] += 1


async def rejected(client: Client) -> None:
    """The flow says no."""
    await client.start("rejected", expect=502)


async def slow(client: Client) -> None:
    """It takes too long."""
    await client.start("slow", expect=504)


async def script(client: Client) -> None:
    """In another process."""
    await client.start("script")


async def fan(client: Client) -> None:
    """Sub-flows, at once and one by one."""
    await client.start("fan")


async def limited(client: Client) -> None:
    """Somebody who was never here before, three times: the third is once too often."""
    body = {"who": f"caller-{next(client.numbers)}"}
    for status in (204, 204, 429):
        await client.start("limited", body, expect=status)


async def manual(client: Client) -> None:
    """By hand."""
    await client.start("manual", {}, headers=ADMIN)


async def event(client: Client) -> None:
    """An event that one flow is asked about and another is told of."""
    number = next(client.numbers)
    kind = random.choice(("order.placed", "order.paid"))
    headers = {**ADMIN, "ce-specversion": "1.0", "ce-source": "/soak", "ce-id": f"event-{number}"}
    headers["ce-type"] = f"com.example.{kind}"
    await client.send("POST", "/events", json={"id": number}, headers=headers, expect=(200, 202))


async def large(client: Client) -> None:
    """As much as goes, and more."""
    await client.start("one", {"id": "x" * _LARGE})
    # The answer may come before the body was read, and the connection go.
    with suppress(aiohttp.ClientConnectionError):
        await client.start("one", {"id": "x" * _TOO_LARGE}, expect=413)


async def gone(client: Client) -> None:
    """A caller that does not wait for the answer."""
    timeout = aiohttp.ClientTimeout(total=0.15)
    with suppress(TimeoutError):
        await client.start("slow", expect=504, timeout=timeout)


async def stranger(client: Client) -> None:
    """Nobody we know, and nothing there is."""
    await client.start("nowhere", expect=404)
    await client.start("named", expect=401)
    await client.send("GET", "/flows/nowhere", expect=(403, 404))


async def changing(client: Client) -> None:
    """The flow that is another one after every reload."""
    await client.start("changing")


async def lists(client: Client) -> None:
    """The listings, in both languages."""
    flows = "?fields=*,operations.*&sort=-name&limit=20"
    await client.send("GET", f"/flows{flows}", headers=ADMIN)
    query = "{ flows(limit: 10) { id name operations { key type } } }"
    await client.send("POST", "/graphql/system", json={"query": query}, headers=ADMIN)
    await client.send("GET", "/readyz?verbose")


async def history(client: Client) -> None:
    """What ran, and one of them."""
    query = '?filter={"flow":{"_eq":"later"}}&limit=20&fields=id,status,steps'
    found = await client.send("GET", f"/executions{query}", headers=ADMIN)
    for each in found.body["data"][:2] if found.status == 200 else ():
        await client.send("GET", f"/executions/{each['id']}", headers=ADMIN, expect=(200, 404))


async def stream(client: Client) -> None:
    """Somebody who looks on for a while; some do not even read."""
    url, reads = f"{client.url}/executions/stream", random.random() < 0.7
    async with client.session.get(url, headers=ADMIN) as response:
        client.answers[response.status] += 1
        with suppress(TimeoutError):
            async with asyncio.timeout(4):
                while reads and await response.content.readany():
                    pass
                await asyncio.sleep(4)


async def cancelled(client: Client) -> None:
    """One that is ended while it waits."""
    if id_ := await client.accepted("long"):
        await asyncio.sleep(random.random())
        await client.send("POST", f"/executions/{id_}/cancel", headers=ADMIN, expect=(200, 202))


async def replayed(client: Client) -> None:
    """One that ran is run again."""
    query = '?filter={"flow":{"_eq":"ten"}}&limit=1&fields=id'
    found = await client.send("GET", f"/executions{query}", headers=ADMIN)
    for each in found.body["data"] if found.status == 200 else ():
        path = f"/executions/{each['id']}/replay"
        await client.send("POST", path, headers=ADMIN, expect=(202, 404))


async def reload(client: Client) -> None:
    """Other flows; most of the time the daemon finds out by itself."""
    await asyncio.to_thread(client.repository.publish)
    if random.random() < 0.2:
        await client.send("POST", "/reload", headers=ADMIN)


_JSON = {"Content-Type": "application/json"}


class Habit(NamedTuple):
    """What some callers do again and again."""

    do: Callable[[Client], Awaitable[None]]
    #: How often, altogether.
    per_second: float
    #: So many at once.
    callers: int = 2


HABITS = (
    Habit(one, 15, 4),
    Habit(ten, 6, 4),
    Habit(named, 6, 4),
    Habit(later, 2, 4),
    Habit(rejected, 1),
    Habit(slow, 1, 3),
    Habit(script, 2, 4),
    Habit(fan, 1),
    Habit(limited, 3, 3),
    Habit(manual, 1),
    Habit(event, 3),
    Habit(large, 0.3),
    Habit(gone, 1),
    Habit(stranger, 1),
    Habit(changing, 1),
    Habit(lists, 1),
    Habit(history, 0.5),
    Habit(stream, 1, 5),
    Habit(cancelled, 1, 4),
    Habit(replayed, 0.5),
    Habit(reload, 0.3, 1),
)


async def run(client: Client, seconds: float) -> None:
    """All habits for so long."""
    until = time.monotonic() + seconds
    async with asyncio.TaskGroup() as tasks:
        for habit in HABITS:
            for number in range(habit.callers):
                tasks.create_task(_repeat(client, habit, number, until))


async def _repeat(client: Client, habit: Habit, number: int, until: float) -> None:
    """At an even pace; who is late does not make up for it."""
    pause = habit.callers / habit.per_second
    due = time.monotonic() + pause * number / habit.callers
    while due < until:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        try:
            await habit.do(client)
        except (aiohttp.ClientError, TimeoutError) as error:
            client.surprises[f"{habit.do.__name__}: {type(error).__name__}: {error}"[:300]] += 1
        due = max(due + pause, time.monotonic())


# --- what flows call ----------------------------------------------------------------------------


def sink() -> web.Application:
    """A server that does not always answer well, or soon."""
    app = web.Application()
    app.router.add_get("/flaky", _flaky)
    app.router.add_get("/hang", _hang)
    return app


async def _flaky(_: web.Request) -> web.Response:
    return web.json_response({"ok": True}, status=random.choice((200, 503)))


async def _hang(_: web.Request) -> web.Response:
    await asyncio.sleep(5)
    return web.Response()
