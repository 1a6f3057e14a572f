"""What every operation type promises, whoever wrote it."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runner import jsontext, schema, settings
from runner.model import Status
from runner.operations import BUILTIN
from runner.settings import Settings
from runner.types import JSONObject
from tests import stored
from tests.smtp import mail_server
from tests.upstream import upstream
from tests.world import World

#: What the examples of the schemas speak of.
FLOWS = {
    "billing/price.yaml": b"name: Price\ntrigger: operation\noptions: {return: $trigger}\n",
}
DATA: JSONObject = {"body": {"id": 7, "total": 100, "pause": 0}}


def examples() -> list[Any]:
    """Every example of every type, named after it."""
    return [
        pytest.param(type_, example, id=f"{type_}-{number}")
        for type_ in BUILTIN
        for number, example in enumerate(schema.load(f"operations/{type_}")["examples"])
    ]


def flow(type_: str, options: JSONObject, **more: Any) -> bytes:
    """A flow that runs one operation behind an `order`."""
    order = {"id": 7, "total": 250, "lines": [1, 2, 3], "status": "paid"}
    operations = [
        {"key": "order", "type": "transform", "options": {"json": order}},
        {"key": "it", "type": type_, "options": options, **more},
    ]
    data = {"name": "x", "trigger": "operation", "operations": operations}
    return jsontext.write({**data, "options": {"return": "it"}})


@pytest.mark.parametrize("type_", list(BUILTIN))
def test_a_type_has_a_schema_with_examples(type_: str) -> None:
    """An editor completes it, and a reader sees how it is used."""
    loaded = schema.load(f"operations/{type_}")

    assert loaded["examples"]
    assert loaded["additionalProperties"] is False
    assert all(each.get("description") for each in loaded["properties"].values())


@pytest.fixture
async def warehouse() -> AsyncIterator[str]:
    """Where the server is that the examples call `http://warehouse`."""
    async with upstream() as server:
        yield server.url


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Settings]:
    """Settings that have whatever the examples need."""
    with stored.sqlite(tmp_path) as database:
        database.execute(stored.ARTICLES)
    async with mail_server() as server:
        file = tmp_path / "settings.yaml"
        file.write_text(
            "state: none\n"
            f"mail: {{url: 'smtp://{server.place}', from: runner@example.com}}\n"
            f"databases: {{default: {{url: '{database.url}'}}}}\n"
            "recipients: {ops: {user: 00000000-0000-4000-a000-0000000000e2}}\n"
        )
        yield settings.load({}, {}, file)


def asking(warehouse: str, options: JSONObject) -> JSONObject:
    """*options* with the address in place of the name."""
    there: JSONObject = json.loads(json.dumps(options).replace("http://warehouse", warehouse))
    return there


@pytest.mark.parametrize(("type_", "options"), examples())
async def test_an_example_compiles_and_runs(
    type_: str, options: JSONObject, warehouse: str, made: Settings
) -> None:
    """It resolves, or rejects as the type is there to do, with a JSON value."""
    world = World()
    text = flow(type_, asking(warehouse, options))
    loaded = await world.load_files({**FLOWS, "flow.yaml": text})

    async with world.opened(made):
        result = await world.run("flow", DATA)

    assert loaded.issues == []
    assert result.status is (Status.REJECTED if type_ == "throw-error" else Status.RESOLVED)
    assert jsontext.parse(jsontext.write(result.value)) == result.value


@pytest.mark.parametrize(("type_", "options"), examples())
async def test_an_example_can_be_cancelled_at_any_time(
    type_: str, options: JSONObject, warehouse: str, made: Settings
) -> None:
    """An execution that is told to end does, and says so, or had ended before."""
    text = flow(type_, asking(warehouse, options))
    for turns in range(4):
        world = World()
        await world.load_files({**FLOWS, "flow.yaml": text})
        async with world.opened(made):
            begun = await world.begin("flow", DATA)
            task = asyncio.create_task(world.engine.result(begun))
            for _ in range(turns):
                await asyncio.sleep(0)
            ended_before = task.done()

            begun.cancel()
            status = (await task).status

        assert ended_before or status is Status.CANCELLED
        finished = [each["flow"] for each in world.said("execution.finished")]
        assert finished.count("flow") == 1


@pytest.mark.parametrize("type_", list(BUILTIN))
async def test_options_that_no_schema_allows_are_refused(type_: str) -> None:
    """An unknown option is an issue of the file."""
    world = World()

    loaded = await world.load_files({"flow.yaml": flow(type_, {"no-such-option": 1})})

    assert "unknown-key" in {issue.code for issue in loaded.issues}


@pytest.mark.parametrize("type_", list(BUILTIN))
def test_a_type_declares_one_way_to_run(type_: str) -> None:
    """A handler, or what prepares one: never both, never none."""
    spec = BUILTIN.get(type_)

    assert spec is not None
    assert spec.type == type_
    assert (spec.handler is None) is not (spec.prepare is None)


def test_a_set_of_types_is_a_value() -> None:
    """Taking types away or putting others in gives another set."""
    fewer = BUILTIN.without("sleep", "trigger")

    assert "sleep" in set(BUILTIN)
    assert set(BUILTIN) - set(fewer) == {"sleep", "trigger"}
    assert fewer.get("sleep") is None
    assert set(fewer.with_(*filter(None, [BUILTIN.get("sleep")]))) == set(fewer) | {"sleep"}
