"""Webhooks while flows change: nobody notices, and nothing is mixed."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from tests.acceptance.daemon import Daemon

RELOADS = 200
CALLERS = 8

PARENT = """name: Parent
trigger: webhook
tracking: none
options: {{method: POST, auth: none}}
operations:
  - {{key: child, type: trigger, options: {{flow: child, payload: null}}}}
  - {{key: pause, type: sleep, options: {{milliseconds: 1}}}}
  - {{key: again, type: trigger, options: {{flow: child, payload: null}}}}
  - key: answer
    type: transform
    options: {{json: {{own: {number}, child: "{{{{ child }}}}", again: "{{{{ again }}}}"}}}}
"""
CHILD = """name: Child
trigger: operation
tracking: none
options: {{return: $last}}
operations:
  - {{key: number, type: transform, options: {{json: {number}}}}}
"""


def publish(repository: Path, number: int) -> None:
    """Put a whole new version in place as git-sync does: one rename of a link."""
    folder = repository / f"version-{number}"
    folder.mkdir()
    (folder / "parent.yaml").write_text(PARENT.format(number=number))
    (folder / "child.yaml").write_text(CHILD.format(number=number))
    link = repository / "next"
    link.symlink_to(folder.name)
    link.replace(repository / "flows")


@pytest.mark.slow
async def test_no_request_fails_and_no_execution_mixes_generations_during_200_reloads(
    tmp_path: Path,
) -> None:
    """An execution keeps the flows it began with, to the end and in its sub-flows."""
    publish(tmp_path, 0)
    with Daemon(tmp_path) as daemon:
        assert daemon.post("/reload").status == 200
        done = asyncio.Event()
        async with aiohttp.ClientSession(daemon.url) as session, asyncio.TaskGroup() as tasks:
            callers = [tasks.create_task(call_until(done, session)) for _ in range(CALLERS)]
            await reload_often(tmp_path, session)
            done.set()
        answers = [answer for caller in callers for answer in caller.result()]

    assert len(answers) > RELOADS
    assert [a for a in answers if len({a["own"], a["child"], a["again"]}) != 1] == []
    assert max(answer["own"] for answer in answers) > RELOADS // 2


async def reload_often(repository: Path, session: aiohttp.ClientSession) -> None:
    """A new version after the other, each in place when its reload is answered."""
    for number in range(1, RELOADS + 1):
        publish(repository, number)
        async with session.post("/reload") as response:
            assert response.status == 200, await response.text()


async def call_until(done: asyncio.Event, session: aiohttp.ClientSession) -> list[dict[str, int]]:
    """Answers of the flow; the first one that is no answer ends the test."""
    answers = []
    while not done.is_set():
        async with session.post("/flows/trigger/parent", json={}) as response:
            assert response.status == 200, await response.text()
            answers.append(await response.json())
    return answers
