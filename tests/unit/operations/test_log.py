"""Something said in the records."""

import pytest

from runner.model import Status
from runner.types import JSONValue
from tests.world import World


@pytest.mark.parametrize(
    ("level", "severity"),
    [
        (None, "INFO"),
        ("debug", "DEBUG"),
        ("info", "INFO"),
        ("warn", "WARNING"),
        ("warning", "WARNING"),
        ("error", "ERROR"),
    ],
)
async def test_a_level_has_its_severity(world: World, level: str | None, severity: str) -> None:
    """`warn` is accepted beside `warning`."""
    options = {"message": "hello"} if level is None else {"message": "hello", "level": level}

    assert await world.operate("log", options) == (Status.RESOLVED, None)
    (said,) = world.said("log.message")
    assert (said["severity"], said["message"], said["operation"]) == (severity, "hello", "it")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("{{ $trigger.n }} of 10", "7 of 10"),
        ("{{ $trigger }}", '{"n":7}'),
        ({"n": "{{ $trigger.n }}"}, '{"n":7}'),
        (None, "null"),
        ("{{ $trigger.nothing }}", "null"),
        ("", ""),
    ],
)
async def test_a_message_is_text_or_json(world: World, message: JSONValue, expected: str) -> None:
    """What is not text is written as JSON."""
    await world.operate("log", {"message": message}, {"n": 7})

    assert [said["message"] for said in world.said("log.message")] == [expected]


async def test_a_secret_in_a_message_is_hidden() -> None:
    """Whatever an author writes, no record shows it."""
    world = World(secrets={"TOKEN": "s3cret-t0ken"})

    await world.operate("log", {"message": "Bearer {{ $secrets.TOKEN }}"})

    assert b"s3cret" not in b"".join(world.kept.lines)
    assert [said["message"] for said in world.said("log.message")] == ["Bearer --redacted--"]
