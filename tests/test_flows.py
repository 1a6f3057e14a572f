"""
Behaviour of flows, data-driven: one folder below `flows/` is one behaviour.

A folder holds flows (`flow.yaml`, or several) and `case.yaml`, which says what to start and what
is expected. No Python is needed to add one.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from runner import document
from runner.model import Accountability
from runner.types import JSONObject, JSONValue
from tests.world import World

FOLDER = Path(__file__).parent / "flows"


@dataclass(frozen=True, kw_only=True)
class Expect:
    """What must come of a case; what is absent is not looked at."""

    status: str
    #: The result's value, exactly: 1, 1.0 and true are three things.
    value: Any = ...
    #: Members of the result's value: of a rejection, the error.
    error: JSONObject = field(default_factory=dict)
    #: Roots of the data chain at the end, each exactly.
    chain: JSONObject = field(default_factory=dict)
    #: All records in order: `event operation`, those of other flows as `flow: event operation`.
    events: list[str] | None = None
    #: Parts of records, each of which one record must have.
    records: list[JSONObject] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One start of one flow."""

    folder: str
    name: str
    expect: JSONObject
    flow: str = "flow"
    trigger: JSONValue = None
    accountability: JSONObject | None = None
    env: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    max_depth: int = 16
    max_fanout: int = 10_000


def read_cases() -> list[Any]:
    """All cases of all folders, named `folder/case`."""
    files = sorted(FOLDER.glob("*/case.yaml"))
    cases = [
        Case(folder=file.parent.name, **each)
        for file in files
        for each in document.parse(file.name, file.read_bytes()).data["cases"]
    ]
    return [pytest.param(case, id=f"{case.folder}/{case.name}") for case in cases]


def read_flows(folder: str) -> dict[str, bytes]:
    """The flow files of a folder, by path."""
    root = FOLDER / folder
    return {
        file.relative_to(root).as_posix(): file.read_bytes()
        for file in root.rglob("*.yaml")
        if file.name != "case.yaml"
    }


@pytest.mark.parametrize("case", read_cases())
async def test_a_flow_does_what_its_case_says(case: Case) -> None:
    """Status, value, chain and records of an execution are those that `case.yaml` expects."""
    world = World(
        env=case.env,
        secrets=case.secrets,
        max_depth=case.max_depth,
        max_fanout=case.max_fanout,
    )
    await world.load_files(read_flows(case.folder))
    expect = Expect(**case.expect)
    who = None if case.accountability is None else Accountability(**case.accountability)

    execution = await world.begin(case.flow, case.trigger, who)
    result = await world.engine.result(execution)

    assert result.status == expect.status, result.value
    if expect.value is not ...:
        assert exact(result.value) == exact(expect.value)
    if expect.error:
        assert contains(result.value, expect.error), result.value
    for root, value in expect.chain.items():
        assert exact(execution.data.get(root)) == exact(value), f"chain: {root}"
    if expect.events is not None:
        assert [_event(record, case.flow) for record in world.records] == expect.events
    for wanted in expect.records:
        assert any(contains(record, wanted) for record in world.records), wanted


def test_every_folder_has_cases_that_expect_something() -> None:
    """A behaviour that nobody checks is not one."""
    folders = {path.name for path in FOLDER.iterdir() if path.is_dir()}

    checked = {param.values[0].folder for param in read_cases() if param.values[0].expect}

    assert folders == checked


def exact(value: JSONValue) -> str:
    """*value* as text in which values of different types differ."""
    return json.dumps(value, sort_keys=True, default=dict)


def contains(value: Any, part: Any) -> bool:
    """Whether *value* has every member of *part*, at every depth; lists are compared whole."""
    if isinstance(part, dict):
        return isinstance(value, dict) and all(
            key in value and contains(value[key], each) for key, each in part.items()
        )
    return exact(value) == exact(part)


def _event(record: JSONObject, flow: str) -> str:
    prefix = "" if record["flow"] == flow else f"{record['flow']}: "
    return f"{prefix}{record['event']} {record.get('operation', '')}".rstrip()
