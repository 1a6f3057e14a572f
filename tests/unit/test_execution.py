"""One flow, walked by the real interpreter; what flows do from outside is in tests/flows."""

import asyncio

import pytest

from runner import execution
from runner.errors import InvalidPayload, OperationError
from runner.execution import pause
from runner.failures import brief, describe, summary
from runner.model import Retry, Status
from runner.types import JSONObject, JSONValue
from tests.world import Gate, Script, World

SLEEPER = """
name: One operation
trigger: operation
options: {{return: $last}}
operations:
  - {{key: work, type: sleep, options: {{milliseconds: 1}}{more}}}
"""


def sleeper(more: str = "") -> str:
    """A flow of one `sleep`, with *more* said of that operation."""
    return SLEEPER.format(more=f", {more}" if more else "")


# --- retry --------------------------------------------------------------------------------------


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were asked for; none is made."""
    asked: list[float] = []

    def none(retry: Retry, attempt: int) -> float:
        asked.append(pause(retry, attempt))
        return 0.0

    monkeypatch.setattr(execution, "pause", none)
    return asked


@pytest.mark.parametrize(("status", "tries"), [(503, 2), (404, 1)])
async def test_only_what_is_worth_it_is_tried_again(
    pauses: list[float], status: int, tries: int
) -> None:
    """`retry.when` looks at `$error`."""
    script = Script(OperationError("no", status=status), "done")
    world = World(script.operations)
    await world.load(one=sleeper("retry: {attempts: 3, when: {$error: {status: {_gte: 500}}}}"))

    result = await world.run("one")

    assert len(script.tries) == tries
    assert (result.status is Status.RESOLVED) is (tries == 2)


async def test_a_try_that_resolves_ends_the_retries(pauses: list[float]) -> None:
    """Two failures and a success are a success, with a pause behind each failure."""
    script = Script(OperationError("one"), ValueError("two"), "three")
    world = World(script.operations)
    await world.load(flow=sleeper("retry: {attempts: 5, delay: 2s}"))

    result = await world.run("flow")

    assert result == (Status.RESOLVED, "three")
    assert [each.attempt for each in script.tries] == [1, 2, 3]
    assert pauses == [2.0, 2.0]
    assert [each["attempt"] for each in world.said("operation.retried")] == [1, 2]
    assert [each["attempt"] for each in world.said("operation.resolved")] == [3]


async def test_the_last_failure_is_the_one_that_counts(pauses: list[float]) -> None:
    """When no try is left, the operation rejects with its last error."""
    script = Script(OperationError("one"), OperationError("two", code="TWO", status=404))
    world = World(script.operations)
    await world.load(flow=sleeper("retry: {attempts: 2, delay: 0s}"))

    result = await world.run("flow")

    error = {"name": "OperationError", "message": "two", "code": "TWO", "status": 404}
    assert (Status.REJECTED, error) == result
    assert pauses == [0.0]


async def test_options_see_which_try_it_is(pauses: list[float]) -> None:
    """Options are rendered anew for every try; the next operation begins with the first."""
    script = Script(OperationError(), OperationError(), None)
    world = World(script.operations)
    text = sleeper("retry: {attempts: 3}").replace(": 1}", ': "{{ $execution.attempt }}"}')
    await world.load(
        flow=f"{text}  - {{key: after, type: transform, options: {{json: '{{{{ $execution }}}}'}}}}"
    )

    result = await world.run("flow")

    assert [each["milliseconds"] for each in script.options] == [1, 2, 3]
    assert isinstance(result.value, dict)
    assert result.value["attempt"] == 1


async def test_without_retry_there_is_one_try(pauses: list[float]) -> None:
    """Nothing is tried again that does not ask for it."""
    world = World(Script(OperationError("once")).operations)
    await world.load(flow=sleeper())

    assert (await world.run("flow")).status is Status.REJECTED
    assert pauses == []


@pytest.mark.parametrize(
    ("retry", "expected"),
    [
        (Retry(attempts=9, delay=2.0), [2.0, 2.0, 2.0, 2.0]),
        (Retry(attempts=9, delay=0.0, backoff="exponential"), [0.0, 0.0, 0.0, 0.0]),
        (Retry(attempts=9, delay=1.0, backoff="exponential"), [1.0, 2.0, 4.0, 8.0]),
        (Retry(attempts=9, delay=1.0, backoff="exponential", max_delay=3.0), [1.0, 2.0, 3.0, 3.0]),
        (Retry(attempts=9, delay=5.0, max_delay=3.0), [3.0, 3.0, 3.0, 3.0]),
    ],
)
def test_a_pause_follows_its_backoff(retry: Retry, expected: list[float]) -> None:
    """Constant pauses stay, exponential ones double, and none is longer than `max_delay`."""
    assert expected == [pause(retry, attempt) for attempt in (1, 2, 3, 4)]


def test_jitter_spreads_a_pause_and_keeps_its_limit() -> None:
    """A jitter of 0.5 gives 50 % to 150 %, and never more than `max_delay`."""
    wide = Retry(attempts=9, delay=10.0, jitter=0.5)
    limited = Retry(attempts=9, delay=10.0, jitter=0.5, max_delay=10.0)

    assert all(5.0 <= pause(wide, 1) <= 15.0 for _ in range(200))
    assert all(pause(limited, 1) <= 10.0 for _ in range(200))
    assert len({pause(wide, 1) for _ in range(200)}) > 100


def test_the_longest_retry_has_a_finite_pause() -> None:
    """Doubling a hundred times does not overflow."""
    retry = Retry(attempts=100, delay=86_400.0, backoff="exponential", max_delay=60.0)

    assert pause(retry, 100) == 60.0


# --- failures -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("odd"), {"name": "ValueError", "message": "odd"}),
        (TimeoutError("the server"), {"name": "TimeoutError", "message": "the server"}),
        (
            InvalidPayload("bad"),
            {"name": "InvalidPayload", "message": "bad", "code": "INVALID_PAYLOAD"},
        ),
        (
            OperationError("no", code="NO", status=409, name="Refusal"),
            {"name": "Refusal", "message": "no", "code": "NO", "status": 409},
        ),
        (OperationError("no", data={"mine": 1}), {"mine": 1}),
    ],
)
@pytest.mark.parametrize("timeout", ["", "timeout: 1h"])
async def test_whatever_an_operation_raises_is_data(
    error: Exception, expected: JSONObject, timeout: str
) -> None:
    """A rejection has name and message, code and status where known, and never a stack."""
    world = World(Script(error).operations)
    await world.load(flow=sleeper(timeout))

    assert (Status.REJECTED, expected) == await world.run("flow")


def test_an_unexpected_error_without_words_still_has_a_name() -> None:
    """`raise KeyError` says no more than that."""
    assert describe(KeyError()) == {"name": "KeyError", "message": ""}


@pytest.mark.parametrize(
    ("value", "name", "message"),
    [
        (None, "Error", "the operation failed"),
        ("words", "Error", "words"),
        ({"name": "Mine", "message": "own"}, "Mine", "own"),
        ({"status": 500}, "Error", "the operation failed"),
        ([{"message": "a"}, {"message": "b"}], "Error", "a; b"),
        ([], "Error", "[]"),
    ],
)
def test_a_rejection_of_any_shape_has_a_summary(value: JSONValue, name: str, message: str) -> None:
    """`$error` and records always have a name and a message."""
    assert {"name": name, "message": message}.items() <= summary(value).items()
    assert {"name": name, "message": message} == brief(value)


# --- time ---------------------------------------------------------------------------------------


async def test_a_timeout_covers_one_try(pauses: list[float]) -> None:
    """A try that is too slow rejects, and the next try has its own time."""
    gate = Gate()
    world = World(gate.operations)
    await world.load(flow=sleeper("timeout: 1ms, retry: {attempts: 2}"))

    result = await world.run("flow")

    assert result.status is Status.REJECTED
    assert brief(result.value)["code"] == "TIMED_OUT"
    assert len(pauses) == 1
    assert gate.inside == 0


async def test_a_flow_that_is_too_slow_ends_its_operation() -> None:
    """The operation that runs is cancelled, and the record says when."""
    gate = Gate()
    world = World(gate.operations)
    await world.load(flow=sleeper().replace("trigger:", "timeout: 1ms\ntrigger:"))

    result = await world.run("flow")

    assert result.status is Status.TIMED_OUT
    assert gate.inside == 0
    assert [each["status"] for each in world.said("execution.finished")] == ["timed_out"]


# --- cancellation -------------------------------------------------------------------------------

PARENT = """
name: Starts three
trigger: operation
operations:
  - {key: each, type: trigger, options: {flow: child, payload: [1, 2, 3]}}
"""


@pytest.mark.parametrize("turns", range(8))
async def test_a_cancelled_task_leaves_a_record_of_every_execution(turns: int) -> None:
    """Whenever the cancellation comes, what has started is told to have finished."""
    world = World(Gate().operations)
    await world.load(flow=PARENT, child=sleeper())
    task = asyncio.create_task(world.run("flow"))
    for _ in range(turns):
        await asyncio.sleep(0)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    started = {each["execution_id"] for each in world.said("execution.started")}
    finished = [each["execution_id"] for each in world.said("execution.finished")]
    assert sorted(started) == sorted(finished)
    assert {"cancelled"} >= {each["status"] for each in world.said("execution.finished")}
    assert world.engine.running == 0


async def test_a_cancelled_execution_ends_without_harm_to_its_task() -> None:
    """`cancel` ends the execution, not the task that runs it, however often it is said."""
    gate = Gate()
    world = World(gate.operations)
    await world.load(flow=sleeper())
    begun = await world.begin("flow")
    task = asyncio.create_task(world.engine.result(begun))
    await gate.holds(1)

    begun.cancel()
    begun.cancel()
    result = await task

    assert result.status is Status.CANCELLED
    assert task.cancelling() == 0


async def test_an_execution_cancelled_before_it_runs_does_nothing() -> None:
    """It is recorded as cancelled, and no operation ran."""
    script = Script()
    world = World(script.operations)
    await world.load(flow=sleeper())
    begun = await world.begin("flow")

    begun.cancel()
    result = await world.engine.result(begun)

    assert result.status is Status.CANCELLED
    assert script.tries == []
    assert [each["status"] for each in world.said("execution.finished")] == ["cancelled"]


async def test_a_pause_between_tries_can_be_cancelled() -> None:
    """An execution that waits for its next try ends at once."""
    world = World(Script(OperationError("first")).operations)
    await world.load(flow=sleeper("retry: {attempts: 2, delay: 1h}"))
    begun = await world.begin("flow")
    task = asyncio.create_task(world.engine.result(begun))
    while not world.said("operation.retried"):
        await asyncio.sleep(0)

    begun.cancel()

    assert (await task).status is Status.CANCELLED


# --- turns --------------------------------------------------------------------------------------


async def test_a_long_flow_gives_others_their_turn() -> None:
    """A flow of a thousand operations without a pause lets other tasks run in between."""
    operations = "".join(
        f"  - {{key: o{n}, type: transform, options: {{json: {n}}}}}\n" for n in range(1000)
    )
    world = World()
    await world.load(
        flow=f"name: Long\ntrigger: operation\ntracking: none\noperations:\n{operations}"
    )
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counter = asyncio.create_task(count())
    await asyncio.sleep(0)
    before = turns
    result = await world.run("flow")
    counter.cancel()

    assert result.status is Status.RESOLVED
    assert turns - before >= 3
