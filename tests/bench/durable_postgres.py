"""
Durable executions on PostgreSQL, beside what PostgreSQL and DBOS do by themselves.

Acceptance: 64 callers at once, beside the same micro-batches of nothing but the SQL function of
DBOS. Executions: five steps each, sixteen at once, beside a DBOS workflow of five DBOS steps.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
from dbos import DBOS, DBOSClient

from runner.ids import random_id
from runner.model import Resolved, Result, Status
from runner.store.base import Accepted, FlowText, Journal, Step
from runner.store.pg_connect import Database
from runner.store.pg_dispatch import _POLL
from runner.store.postgres import PostgresStore
from tests.bench.common import BODY, arguments, median, ratios, table
from tests.postgres import server

_CALLERS = 64
_AT_ONCE = 16
_STEPS = 5
_TEXT = FlowText("order", "order.yaml", "0" * 64, b"name: Order")

_BARE = """
select dbos.enqueue_workflow(
    'flow', 'bare', array[to_json(id), body::json],
    workflow_id => id, application_name => 'bare', app_version => '1'
) from unnest(%b::text[], %b::text[]) as given (id, body)
"""


def main() -> None:
    """Print rates and ratios."""
    options = arguments(__doc__)
    accepts, runs, rounds = (1000, 60, 1) if options.quick else (8000, 400, 3)
    with server() as postgres, postgres.database("bench") as url:
        asyncio.run(_open(url))
        own, bare = [], []
        for _ in range(rounds):
            bare.append(asyncio.run(_accept_bare(url, accepts)))
            own.append(asyncio.run(_accept(url, accepts)))
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("truncate dbos.workflow_status, runner.executions cascade")
        own_runs, bare_runs = [], []
        for _ in range(rounds):
            bare_runs.append(asyncio.run(_run_bare(url, runs)))
            own_runs.append(asyncio.run(_run(url, runs)))
    rows = [
        ["accepts", f"{median(own):.0f}/s", f"{median(bare):.0f}/s"],
        ["executions", f"{median(own_runs):.0f}/s", f"{median(bare_runs):.0f}/s"],
    ]
    table(["", "runner", "bare"], rows)
    ratios(
        {
            "accepts": median(own) / median(bare),
            "executions": median(own_runs) / median(bare_runs),
        }
    )


async def _open(url: str) -> None:
    async with PostgresStore(url):
        pass


def _execution(due: float = 0.0) -> Accepted:
    return Accepted(
        id=random_id(), flow="order", flow_id="1", digest=_TEXT.digest,
        pins={_TEXT.key: _TEXT.digest}, revision="main", generation=1, trigger="webhook",
        trigger_data={"body": BODY}, accountability=None, trace_id="0" * 32, due=due,
    )  # fmt: skip


# --- acceptance ---------------------------------------------------------------------------------


async def _accept(url: str, count: int) -> float:
    """Executions accepted a second."""
    async with PostgresStore(url) as store:
        return await _rate(count, lambda: store.accept(_execution(), [_TEXT]))


async def _accept_bare(url: str, count: int) -> float:
    """Workflows enqueued a second by two who take what has queued."""
    database = Database(url)
    await database.open(5)
    queue: asyncio.Queue[tuple[str, str, asyncio.Future[None]]] = asyncio.Queue()

    async def flush() -> None:
        while True:
            batch = [await queue.get()]
            while not queue.empty() and len(batch) < 256:
                batch.append(queue.get_nowait())
            ids, bodies, futures = zip(*batch, strict=True)
            await database.ask(_BARE, [list(ids), list(bodies)])
            for future in futures:
                future.set_result(None)

    async def enqueue() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.put_nowait((random_id(), BODY, future))
        await future

    flushers = [asyncio.create_task(flush()) for _ in range(2)]
    try:
        return await _rate(count, enqueue)
    finally:
        for flusher in flushers:
            flusher.cancel()
        await database.close()


async def _rate(count: int, do: Callable[[], Awaitable[Any]]) -> float:
    async def caller() -> None:
        for _ in range(count // _CALLERS):
            await do()

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(_CALLERS)))
    return count / (time.perf_counter() - began)


# --- executions ---------------------------------------------------------------------------------


async def _run(url: str, count: int) -> float:
    """Executions run to their end a second: all are queued before."""
    ended = 0
    all_ended = asyncio.Event()

    async def walk(execution: Accepted, journal: Journal) -> Result:
        nonlocal ended
        for number in range(_STEPS):
            await journal.record(Step(f"s{number}", 1, Resolved({"number": number})))
        ended += 1
        if ended == count:
            all_ended.set()
        return Result(Status.RESOLVED, None)

    async with PostgresStore(url) as store:
        await asyncio.gather(*(store.accept(_execution(), [_TEXT]) for _ in range(count)))
        serving = asyncio.create_task(store.serve(walk, _AT_ONCE))
        while not ended:  # the start is not what is measured
            await asyncio.sleep(0.001)
        began, before = time.perf_counter(), ended
        await all_ended.wait()
        rate = (count - before) / (time.perf_counter() - began)
        serving.cancel()
        await asyncio.wait([serving])
        return rate


async def _run_bare(url: str, count: int) -> float:
    """The same as workflows of DBOS, on its own loop as well."""
    ended = 0

    async def step(number: int) -> dict[str, int]:
        return {"number": number}

    async def flow(id_: str, body: object) -> None:
        nonlocal ended
        for number in range(_STEPS):
            await DBOS.run_step_async({"name": f"s{number}"}, step, number)
        ended += 1

    def launch() -> None:
        DBOS(
            config={
                "name": "bare", "application_version": "1", "system_database_url": url,
                "use_listen_notify": False, "run_migrations": False, "log_level": "ERROR",
            }
        )  # fmt: skip
        DBOS.workflow(name="flow")(flow)
        client = DBOSClient(system_database_url=url, application_name="bare")
        client.register_queue("bare", worker_concurrency=_AT_ONCE, polling_interval_sec=_POLL)
        client.destroy()
        DBOS.listen_queues(["bare"])
        DBOS.launch()

    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        ids = [random_id() for _ in range(count)]
        await connection.execute(_BARE, [ids, [BODY] * count])
    await asyncio.to_thread(launch)
    while not ended:
        await asyncio.sleep(0.001)
    began, before = time.perf_counter(), ended
    while ended < count:
        await asyncio.sleep(0.001)
    rate = (count - before) / (time.perf_counter() - began)
    await asyncio.to_thread(DBOS.destroy, destroy_registry=True)
    return rate


if __name__ == "__main__":
    main()
