"""How many items operations read and create, beside bare SQLAlchemy: same statements, same pool."""

import asyncio
import contextlib
import gc
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from runner.compiler import Compiled
from runner.datachain import Secrets
from runner.execution import Execution, Shared
from runner.items.databases import DATABASES
from runner.loader import Loader
from runner.model import Flow, Generation, Start, Status
from runner.operations import BUILTIN
from runner.records import Recorder
from runner.redact import Redactor
from runner.resources import Resources
from tests import postgres, stored
from tests.bench import common
from tests.stored import Stored

_CALLS = 100

_READ = {
    "collection": "things",
    "query": {"filter": {"kind": {"_eq": "a"}}, "sort": ["-rank"], "limit": 10},
}
_THING = {"name": "x", "kind": "b", "rank": 1}
_CREATE = {"collection": "things", "payload": _THING}

_TABLE = "CREATE TABLE things (id SERIAL, name VARCHAR(99), kind VARCHAR(9), rank INTEGER);"
_INDEX = "CREATE INDEX by_kind ON things (kind, rank)"

_THINGS = Table(
    "things",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("name", String),
    Column("kind", String),
    Column("rank", Integer),
)

_Call = Callable[[], Awaitable[None]]


def main() -> None:
    """One after another, in turn with bare calls."""
    rounds = 3 if common.arguments(__doc__).quick else 30
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.install()
    ratios: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for place in _places(Path(folder)):
            ratios |= asyncio.run(_compare(place, rounds))
    common.ratios(ratios)


def _places(folder: Path) -> Iterator[Stored]:
    with stored.sqlite(folder) as place:
        yield place
    if postgres.programs() is not None:
        with postgres.server() as server, stored.postgresql(server, folder) as place:
            yield place


async def _compare(place: Stored, rounds: int) -> dict[str, float]:
    _fill(place)
    made, resources = place.settings(), Resources()
    shared = Shared(
        recorder=Recorder(Redactor()),
        env={},
        secrets=Secrets(lambda name: name),
        resources=resources,
    )
    rows, ratios = [], {}
    async with resources.opened([DATABASES], made):
        engine = resources[DATABASES].get("default").open()
        for name, options, bare in (
            ("item-read", _READ, _bare_read(engine.reading)),
            ("item-create", _CREATE, _bare_create(engine.writing)),
        ):
            if BUILTIN.get(name) is None:
                continue
            ours = _execution(name, options, shared)
            figures = [(await _per_call(bare), await _per_call(ours)) for _ in range(rounds)]
            least, whole = (statistics.median(each) for each in zip(*figures, strict=True))
            rows.append(
                [f"{place.kind}: {name}", f"{least * 1e6:.0f}", f"{whole * 1e6:.0f}",
                 f"{least / whole:.2f}"]
            )  # fmt: skip
            ratios[f"{place.kind}_{name.partition('-')[2]}"] = least / whole
    common.table(["µs a call", "bare", "the whole execution", "÷ bare"], rows)
    return ratios


def _fill(place: Stored) -> None:
    place.execute(_TABLE)
    kinds = ((key, f"thing {key}", "abc"[key % 3], key % 100) for key in range(1, 2001))
    place.insert("things", list(kinds))
    place.execute(_INDEX)
    if place.kind == "postgresql":
        place.execute("SELECT setval('things_id_seq', 3000)")


# --- calls --------------------------------------------------------------------------------------


def _bare_read(engine: AsyncEngine) -> _Call:
    """What somebody would write who needs this and nothing else."""

    async def call() -> None:
        table = _THINGS.c
        statement = (
            select(_THINGS)
            .where(table.kind == "a")
            .order_by(table.rank.desc().nulls_first(), table.id)
            .limit(10)
            .offset(0)
        )
        async with engine.connect() as connection:
            found = await connection.execute(statement)
            assert len([dict(row) for row in found.mappings()]) == 10

    return call


def _bare_create(engine: AsyncEngine) -> _Call:
    async def call() -> None:
        async with engine.begin() as connection:
            statement = insert(_THINGS).values(_THING).returning(_THINGS.c.id)
            found = await connection.execute(statement)
            assert found.scalar_one() > 0

    return call


def _execution(type_: str, options: Any, shared: Shared) -> _Call:
    flow = _flow(type_, options)

    async def call() -> None:
        now = datetime.now(UTC)
        generation = Generation(number=1, digest="", revision="", loaded=now, entries={}, keys={})
        start = Start(flow=flow, generation=generation, trigger_data=None)
        result = await Execution(start, shared).run()
        assert result.status is Status.RESOLVED, result

    return call


async def _per_call(call: _Call) -> float:
    """Seconds."""
    gc.collect()
    before = time.perf_counter()
    for _ in range(_CALLS):
        await call()
    return (time.perf_counter() - before) / _CALLS


def _flow(type_: str, options: Any) -> Flow:
    data = {
        "name": type_,
        "trigger": "operation",
        "tracking": "activity",
        "accountability": "$full",
        "operations": [{"key": "it", "type": type_, "options": options}],
    }
    compiled = Loader(BUILTIN, None).compile("x.yaml", json.dumps(data).encode())
    assert isinstance(compiled, Compiled)
    assert compiled.flow is not None, compiled.issues
    return compiled.flow


if __name__ == "__main__":
    main()
