"""A pause."""

import pytest

from runner.execution import Execution
from runner.model import Status
from runner.types import JSONValue
from tests.world import World


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were asked for, in seconds; none is made."""
    asked: list[float] = []

    async def wait(_: Execution, seconds: float) -> None:
        asked.append(seconds)

    monkeypatch.setattr(Execution, "wait", wait)
    return asked


@pytest.mark.parametrize(
    ("milliseconds", "seconds"),
    [(0, 0.0), (1500, 1.5), (0.5, 0.0005), ("250", 0.25), ("2.5", 0.0025), (2592000000, 2592000.0)],
)
async def test_it_waits_as_long_as_it_is_told(
    world: World, pauses: list[float], milliseconds: JSONValue, seconds: float
) -> None:
    """Milliseconds, as a number or as text."""
    result = await world.operate("sleep", {"milliseconds": "{{ $trigger }}"}, milliseconds)

    assert result == (Status.RESOLVED, None)
    assert pauses == [seconds]


@pytest.mark.parametrize(
    "milliseconds",
    [-1, 2592000001, 1e300, "9" * 400, "1e9", "", None, True, [], "soon", " 5", "5\n"],
)
async def test_nonsense_rejects_instead_of_waiting(
    world: World, pauses: list[float], milliseconds: JSONValue
) -> None:
    """No pause is longer than a month, whatever the data says."""
    result = await world.operate("sleep", {"milliseconds": "{{ $trigger }}"}, milliseconds)

    assert result.status is Status.REJECTED
    assert pauses == []
