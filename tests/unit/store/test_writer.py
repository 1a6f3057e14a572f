"""The thread that writes: many jobs to a commit, and nobody pays for another's mistake."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from runner.errors import StoreError
from runner.store.writer import Writer


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A file with a table of unique numbers."""
    file = sqlite3.connect(tmp_path / "x", isolation_level=None, check_same_thread=False)
    with closing(file) as opened:
        opened.execute("PRAGMA journal_mode = WAL")
        opened.execute("CREATE TABLE number (x INTEGER UNIQUE)")
        yield opened


@pytest.fixture
def statements(connection: sqlite3.Connection) -> list[str]:
    """What is executed from now on."""
    said: list[str] = []
    connection.set_trace_callback(said.append)
    return said


def check() -> None:
    """There is nothing to check."""


def explain(error: sqlite3.Error) -> StoreError:
    """As it is."""
    return StoreError(str(error))


@pytest.fixture
async def writer(connection: sqlite3.Connection) -> AsyncIterator[Writer]:
    """Writes to the file."""
    made = Writer(connection, check, explain)
    yield made
    await made.close()


def insert(x: int) -> Callable[[sqlite3.Connection], int]:
    """A job that inserts *x* and returns it."""

    def work(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO number VALUES (?)", (x,))
        return x

    return work


def numbers(connection: sqlite3.Connection) -> list[int]:
    """What is there, in the order in which it came."""
    return [x for (x,) in connection.execute("SELECT x FROM number ORDER BY rowid")]


async def test_what_queued_meanwhile_shares_a_commit(writer: Writer, statements: list[str]) -> None:
    """A thousand jobs of a moment are a handful of commits, in order."""
    done = await asyncio.gather(*(writer.do(insert(x)) for x in range(1000)))

    assert done == list(range(1000))
    assert statements.count("COMMIT") <= 6
    assert await writer.do(numbers) == list(range(1000))


async def test_a_bad_member_fails_alone(writer: Writer, statements: list[str]) -> None:
    """The others of its batch are committed."""
    values = [*range(20), 7, *range(20, 40)]

    done = await asyncio.gather(*(writer.do(insert(x)) for x in values), return_exceptions=True)

    (failed,) = (each for each in done if isinstance(each, BaseException))
    assert isinstance(failed, StoreError)
    assert failed.message == "UNIQUE constraint failed: number.x"
    assert done.index(failed) == 20
    assert sorted(await writer.do(numbers)) == list(range(40))


def insert_all(connection: sqlite3.Connection, items: Sequence[int]) -> list[tuple[int, int]]:
    """Each with how many there were at once."""
    connection.executemany("INSERT INTO number VALUES (?)", [(x,) for x in items])
    return [(x, len(items)) for x in items]


async def test_what_is_asked_for_one_after_another_is_done_at_once(writer: Writer) -> None:
    """Each gets its own; what stands in between is not overtaken."""
    first = [writer.do_among(insert_all, x) for x in range(1, 30)]
    between = writer.do(numbers)
    last = [writer.do_among(insert_all, x) for x in range(30, 60)]

    done = await asyncio.gather(*first, *last)

    assert [x for x, _ in done] == [*range(1, 60)]
    assert max(together for _, together in done) > 1
    assert await between == [*range(1, 30)]


async def test_of_what_is_done_at_once_a_bad_item_fails_alone(writer: Writer) -> None:
    """Nobody pays for the company they are in."""
    values = [*range(1, 20), 7, *range(20, 40)]

    done = await asyncio.gather(
        *(writer.do_among(insert_all, x) for x in values), return_exceptions=True
    )

    assert [at for at, each in enumerate(done) if isinstance(each, StoreError)] == [19]
    assert sorted(await writer.do(numbers)) == list(range(1, 40))


async def test_an_error_of_a_job_is_its_own(writer: Writer) -> None:
    """It is no trouble of the store, and what the job did is undone."""

    def work(connection: sqlite3.Connection) -> None:
        insert(1)(connection)
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await writer.do(work)

    assert writer.trouble is None
    assert await writer.do(numbers) == []


async def test_trouble_is_over_with_the_next_commit(connection: sqlite3.Connection) -> None:
    """Until then everybody is told."""
    trouble: list[StoreError] = [StoreError("away")]

    def look() -> None:
        for each in trouble:
            raise each

    writer = Writer(connection, look, explain)
    with pytest.raises(StoreError, match="away"):
        await writer.do(insert(1))
    told = [writer.trouble]
    trouble.clear()
    await writer.do(insert(2))
    told.append(writer.trouble)
    await writer.close()

    assert [str(each) for each in told] == ["away", "None"]
    assert numbers(connection) == [2]


async def test_who_goes_away_undoes_nothing(writer: Writer) -> None:
    """A job that is in the queue is done."""
    job = writer.do(insert(1))
    job.cancel()
    await writer.do(insert(2))

    assert await writer.do(numbers) == [1, 2]


async def test_what_cannot_be_in_a_transaction_is_not(
    writer: Writer, statements: list[str]
) -> None:
    """It has its turn like everybody else."""

    def work(connection: sqlite3.Connection) -> tuple[bool, list[int]]:
        return connection.in_transaction, numbers(connection)

    first, alone, last = writer.do(insert(1)), writer.do(work, alone=True), writer.do(insert(2))

    assert (await first, await alone, await last) == (1, (False, [1]), 2)


async def test_what_nobody_waits_for_is_done_a_little_with_each_commit(
    writer: Writer, statements: list[str]
) -> None:
    """Who waits is first."""
    for x in range(5):
        writer.offer(insert(x), size=1, things=1)
    waited = [writer.do(insert(x)) for x in range(10, 20)]
    await asyncio.gather(*waited)
    await writer.close()

    assert 5 <= statements.count("COMMIT") <= 7
    assert writer.dropped == 0


async def test_what_there_is_no_room_for_is_dropped_and_counted(writer: Writer) -> None:
    """The queue is bounded in bytes; when it is shorter there is room again."""
    for x in range(10):
        writer.offer(insert(x), size=1 << 20, things=7)
    assert writer.dropped == 2 * 7

    while len(await writer.do(numbers)) < 8:
        pass
    writer.offer(insert(99), size=8 << 20, things=7)
    await writer.close()

    assert writer.dropped == 2 * 7


async def test_where_nothing_can_begin_everybody_is_told_at_once(
    connection: sqlite3.Connection,
) -> None:
    """Who came later does not wait behind those who wait in vain."""
    tried: list[int] = []

    def busy() -> None:
        tried.append(1)
        raise StoreError("locked")

    writer = Writer(connection, busy, explain)
    waiting = [writer.do(insert(x)) for x in range(2000)]
    errors = await asyncio.gather(*waiting, return_exceptions=True)
    await writer.close()

    assert {str(error) for error in errors} == {"locked"}
    assert len(tried) <= 2  # the first may have come alone
    assert numbers(connection) == []


async def test_what_fails_and_nobody_waits_for_is_counted(writer: Writer) -> None:
    """Nobody else would hear of it."""
    await writer.do(insert(1))
    writer.offer(insert(1), size=1, things=3)
    await writer.close()

    assert writer.dropped == 3


async def test_closing_does_what_is_in_the_queue_and_nothing_after_it(
    connection: sqlite3.Connection,
) -> None:
    """Nobody waits for ever for a thread that has ended."""
    writer = Writer(connection, check, explain)
    jobs = [writer.do(insert(x)) for x in range(600)]
    writer.offer(partial(insert(600)), size=1, things=1)
    await writer.close()

    assert await asyncio.gather(*jobs) == list(range(600))
    assert len(numbers(connection)) == 601
    with pytest.raises(StoreError, match="closed"):
        await writer.do(insert(1000))
    writer.offer(insert(1000), size=1, things=1)
    assert writer.dropped == 1
