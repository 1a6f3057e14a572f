"""What a reader of the stream of executions gets that others are ahead of."""

import pytest

from runner.records import Recorder
from runner.redact import Redactor
from runner.web import executions


@pytest.fixture
def reader() -> executions._Reader:
    """One that has read nothing so far."""
    return executions._Reader()


@pytest.fixture
def recorder(reader: executions._Reader) -> Recorder:
    """Whose records it is to get."""
    return Recorder(Redactor(), reader)


async def test_what_has_come_meanwhile_is_written_in_one_go(
    reader: executions._Reader, recorder: Recorder
) -> None:
    """One write after the other would keep the loop from everybody else."""
    for number in range(10):
        recorder.emit("operation.resolved", attempt=number, flow="a", execution_id="e")

    some = await reader.some()

    assert some.count(b"event: operation.resolved\n") == 10
    assert reader.waiting.empty()


async def test_one_go_is_of_bounded_length(reader: executions._Reader, recorder: Recorder) -> None:
    """A connection takes so much at a time anyway."""
    for _ in range(500):
        data = {"text": "x" * 1000}
        recorder.emit("operation.resolved", data=data, flow="a", execution_id="e")

    lengths = []
    while not reader.waiting.empty():
        lengths.append(len(await reader.some()))

    assert len(lengths) > 5
    assert max(lengths) < executions._AT_ONCE + 2000


async def test_who_is_too_far_behind_misses_some_and_they_are_counted(
    reader: executions._Reader, recorder: Recorder
) -> None:
    """Nobody's memory grows for somebody who does not read."""
    for _ in range(2 * executions._BEHIND // 1000):
        data = {"text": "x" * 1000}
        recorder.emit("operation.resolved", data=data, flow="a", execution_id="e")
    missed, events = reader.missed, b""
    while not reader.waiting.empty():
        events += await reader.some()

    assert missed > 500
    assert len(events) < executions._BEHIND + 200
    assert events.endswith(b'"data":{"reason":"stream","count":%d}}\n\n' % missed)
    assert reader.missed == 0
