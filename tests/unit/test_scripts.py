"""The processes that run scripts: real ones, whatever the scripts do to them."""

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from runner import jsontext, scripts, settings
from runner.resources import Resources
from runner.scripts import SCRIPTS, Ran, Scripts
from runner.types import JSONValue

MiB = 1 << 20

#: The engine cannot be interrupted in it, and it takes hours.
STUCK = "return ('x'.repeat(2 ** 22)).indexOf('x'.repeat(2 ** 21) + 'y')"


@asynccontextmanager
async def opened(
    *, seconds: float = 10.0, memory: int = 32 * MiB, size: int = 2
) -> AsyncIterator[Scripts]:
    """Processes for the block."""
    pool = Scripts(seconds, memory, size)
    try:
        yield pool
    finally:
        await pool.close()


async def run(pool: Scripts, body: str, data: JSONValue = None) -> Ran:
    """What becomes of a function of *body*; `data.it` is *data*."""
    code = f"module.exports = async function(data) {{ {body} }}"
    return await pool.run(code, jsontext.write({"$env": {}, "it": data}))


def pids(pool: Scripts) -> set[int]:
    """The processes that there are."""
    return {worker._process.pid for worker in pool._workers}


async def busy(pool: Scripts, number: int = 1) -> list[int]:
    """The processes that run a script, as soon as there are so many."""
    while True:
        found = [worker._process.pid for worker in pool._workers if worker.call]
        if len(found) >= number:
            return found
        await asyncio.sleep(0)


def alive(pid: int) -> bool:
    """Whether there is such a process."""
    return Path(f"/proc/{pid}").exists()


def await_end(pid: int, seconds: float = 20) -> bool:
    """Whether *pid*, a process of any parent, ends in time."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], seconds)[0])
    finally:
        os.close(handle)


def code_of(ran: Ran) -> str | None:
    """The code of an error."""
    assert ran.error is not None
    return ran.error.own_code


# --- their number -------------------------------------------------------------------------------


async def test_processes_are_started_when_they_are_needed_and_stay() -> None:
    """None before the first script; one is enough for scripts that come one after another."""
    async with opened() as pool:
        assert pids(pool) == set()

        await run(pool, "return 1")
        first = pids(pool)
        await run(pool, "return 2")

        assert len(first) == 1
        assert pids(pool) == first


async def test_a_warm_pool_has_all_processes() -> None:
    """Warming it twice changes nothing."""
    async with opened(size=3) as pool:
        pool.warm()
        warmed = pids(pool)
        pool.warm()

        assert len(warmed) == 3
        assert pids(pool) == warmed
        assert (await run(pool, "return 1")).value == 1


async def test_a_hundred_scripts_at_once_take_turns() -> None:
    """Each gets its own result; no more processes than there may be."""
    async with opened() as pool:
        runs = [run(pool, "return data.it * 2", number) for number in range(100)]

        results = await asyncio.gather(*runs)

        assert [each.value for each in results] == [number * 2 for number in range(100)]
        assert len(pids(pool)) == 2


async def test_scripts_that_wait_are_served_in_order() -> None:
    """Whoever came first runs first."""
    ended: list[int] = []

    async def one(number: int) -> None:
        await run(pool, "return 1")
        ended.append(number)

    async with opened(size=1) as pool:
        await asyncio.gather(*map(one, range(10)))

    assert ended == list(range(10))


async def test_nothing_is_left_when_they_are_closed() -> None:
    """Neither of a process that runs, nor of one that only starts; what waits is refused."""
    async with opened(size=2) as pool:
        await run(pool, "return 1")
        task = asyncio.create_task(run(pool, "for (;;);"))
        await busy(pool)
        waiting = asyncio.create_task(run(pool, "return 1"))
        await asyncio.sleep(0)
        there = pids(pool)

    assert len(there) == 2
    assert not any(map(alive, there))
    assert code_of(await task) == "SCRIPT_LOST"
    assert code_of(await waiting) == "SCRIPTS_UNAVAILABLE"


async def test_the_resource_follows_the_settings() -> None:
    """Time and memory are those of the limits; there are two to four processes."""
    made = settings.load({"limits.script_time": "150ms", "limits.script_memory": "8MiB"}, {})
    resources = Resources()

    async with resources.opened([SCRIPTS], made):
        resources.warm([SCRIPTS])
        pool = resources[SCRIPTS]
        late = await run(pool, "for (;;);")
        large = await run(pool, "return 'x'.repeat(9e6).length")

        assert 2 <= len(pids(pool)) <= 4

    assert str(late.error) == "the script took longer than 0.15 s"
    assert str(large.error) == "the script needed more than 8 MiB of memory"


# --- scripts that do not end --------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        "for (;;);",
        "try { for (;;); } catch {} finally { return 1 }",
        "while (true) await null",
        "return /(a+)+$/.test('a'.repeat(40) + 'b')",
        "return [1].map(function f(x) { for (;;); })",
        "return {get a() { for (;;); }}",
        "(async () => { for (;;) await null })(); return 1",
        "function* all() { for (;;) yield 1 } for (const each of all());",
        "console.log({get a() { for (;;); }})",
        "let pairs = [1]; for (let n = 0; n < 60; n++) pairs = [pairs, pairs]; return pairs",
        "return new Array(1e9)",
    ],
)
async def test_a_script_that_does_not_end_is_ended(
    body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process lives on."""
    monkeypatch.setattr(scripts, "_GRACE", 30.0)
    async with opened(seconds=0.1, size=1) as pool:
        await run(pool, "return 1")
        before = pids(pool)

        ran = await run(pool, body)

        assert code_of(ran) == "TIMED_OUT"
        assert pids(pool) == before
        assert (await run(pool, "return 1")).value == 1


@pytest.mark.parametrize("body", [STUCK, "return new Array(4e9).join('')"])
async def test_a_script_that_cannot_be_interrupted_is_killed(body: str) -> None:
    """Its process goes, and another one takes its place."""
    async with opened(seconds=0.1, size=1) as pool:
        await run(pool, "return 1")
        before = pids(pool)

        ran = await run(pool, body)

        assert code_of(ran) == "TIMED_OUT"
        assert (await run(pool, "return 1")).value == 1
        assert pids(pool).isdisjoint(before)


async def test_an_endless_loop_leaves_others_alone() -> None:
    """They run in the meantime."""
    async with opened(seconds=60) as pool:
        loop = asyncio.create_task(run(pool, "for (;;);"))
        await busy(pool)

        results = await asyncio.gather(*(run(pool, "return 1") for _ in range(20)))

        assert not loop.done()
        assert [each.value for each in results] == [1] * 20
        loop.cancel()


async def test_waiting_is_not_counted() -> None:
    """A script that comes last has as much time as the first."""
    async with opened(seconds=0.3, size=1) as pool:
        tasks = [run(pool, "for (;;);") for _ in range(3)]

        *loops, last = await asyncio.gather(*tasks, run(pool, "return 1"))

    assert [code_of(each) for each in loops] == ["TIMED_OUT"] * 3
    assert last.value == 1


async def test_a_script_that_nobody_waits_for_is_killed() -> None:
    """Cancelling a call frees its process for the next one."""
    async with opened(size=1) as pool:
        task = asyncio.create_task(run(pool, "for (;;);"))
        (pid,) = await busy(pool)
        waiting = asyncio.create_task(run(pool, "return 1"))
        gone = asyncio.create_task(run(pool, "return 2"))
        await asyncio.sleep(0)

        gone.cancel()
        task.cancel()

        assert (await waiting).value == 1
        assert task.cancelled()
        assert gone.cancelled()
        assert not alive(pid)


async def test_a_call_that_is_cancelled_when_it_has_ended_kills_nobody() -> None:
    """The process may be at the next script by then."""
    async with opened(size=1) as pool:
        first = asyncio.create_task(run(pool, "return 1"))
        (pid,) = await busy(pool)
        (worker,) = pool._workers
        on_idle = worker._on_idle

        def cancel_first(idle: Any) -> None:
            first.cancel()  # its report is there, and it has not seen it yet
            on_idle(idle)

        worker._on_idle = cancel_first
        second = await run(pool, "return 2")

        assert second.value == 2
        assert first.cancelled()
        assert pids(pool) == {pid}


# --- scripts that take too much -----------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        "return new Array(1e9).fill(1)",
        "return 'x'.repeat(1e9)",
        "return new ArrayBuffer(1e9).byteLength",
        "const all = []; for (;;) all.push({x: 1})",
        "let all = null; for (;;) all = {all}",
        "globalThis.all = []; for (;;) all.push({x: 1})",
        "globalThis.all = []; try { for (;;) all.push({x: 1}) } finally { console.log('x') }",
        "throw new Error('x'.repeat(30e6))",
        "throw 'x'.repeat(30e6)",
    ],
)
async def test_a_script_that_takes_too_much_memory_is_ended(body: str) -> None:
    """And says so; what it leaves behind is small again."""
    async with opened(seconds=60, size=1) as pool:
        ran = await run(pool, body)

        assert code_of(ran) == "OUT_OF_MEMORY"
        assert str(ran.error) == "the script needed more than 32 MiB of memory"
        assert (await run(pool, "return 1")).value == 1


async def test_null_is_told_from_a_lack_of_memory() -> None:
    """The engine throws null too, where it has no memory even for an error."""
    lacking = "const all = []; for (;;) all.push({x: 1})"

    async with opened(seconds=60, size=1) as pool:
        rans = [await run(pool, each) for each in ("throw null", lacking, "throw null")]

    assert [each.error and each.error.as_data() for each in rans][::2] == [None, None]
    assert code_of(rans[1]) == "OUT_OF_MEMORY"


async def test_a_process_that_has_become_large_is_replaced() -> None:
    """Its script ends as it would; the memory is given back."""
    async with opened(seconds=60, size=1) as pool:
        await run(pool, "return 1")
        before = pids(pool)

        ran = await run(pool, "globalThis.x = 'x'.repeat(28e6); return x.length")

        assert ran.value == 28_000_000
        assert (await run(pool, "return 1")).value == 1
        assert pids(pool).isdisjoint(before)


async def test_large_texts_pass_in_both_directions() -> None:
    """Much more than what fits into a socket."""
    async with opened(seconds=60, memory=512 * MiB, size=1) as pool:
        text = "é" * 4_000_000

        ran = await run(pool, "return data.it", text)

    assert ran.value == text


async def test_a_result_without_end_is_refused() -> None:
    """However much memory a script may take, its result has 16 MiB."""
    async with opened(seconds=60, memory=512 * MiB, size=1) as pool:
        ran = await run(pool, "return 'x'.repeat(18e6)")

        assert str(ran.error) == "the result of the script is larger than 16 MiB"
        assert (await run(pool, "return 1")).value == 1


async def test_a_script_says_a_thousand_lines() -> None:
    """The last one counts the others."""
    async with opened(size=1) as pool:
        ran = await run(pool, "for (let n = 0; n < 1234; n++) console.info(n)")

    *said, last = ran.lines
    assert said == [("INFO", str(number)) for number in range(1000)]
    assert last == ("WARNING", "lines left out: 234")


async def test_a_script_says_64_ki_characters() -> None:
    """The line that would go beyond is cut."""
    async with opened(size=1) as pool:
        ran = await run(pool, "for (const n of [60000, 6000, 1]) console.log('x'.repeat(n))")

    whole, cut, last = (message for _, message in ran.lines)
    assert (len(whole), len(cut), cut[-2:]) == (60_000, 5_537, "x…")
    assert last == "lines left out: 1"


async def test_limits_beyond_reason_are_none() -> None:
    """A day and a terabyte are as good as no limit; nothing at all is a mebibyte."""
    async with opened(seconds=1e300, memory=1 << 100) as pool:
        assert (await run(pool, "return 1")).value == 1
    async with opened(memory=0) as pool:
        assert (await run(pool, "return 1")).value == 1
        assert code_of(await run(pool, "return 'x'.repeat(2e6)")) == "OUT_OF_MEMORY"


# --- processes that die -------------------------------------------------------------------------


async def test_a_process_that_dies_takes_one_script_along() -> None:
    """Whoever killed it, others go on, and one takes its place."""
    async with opened(seconds=60) as pool:
        task = asyncio.create_task(run(pool, "for (;;);"))
        (pid,) = await busy(pool)
        others = [asyncio.create_task(run(pool, "return 1")) for _ in range(20)]
        await busy(pool, 2)

        os.kill(pid, signal.SIGKILL)

        assert str((await task).error) == "the process of the script ended: Killed"
        assert [each.value for each in await asyncio.gather(*others)] == [1] * 20
        assert (await run(pool, "return 1")).value == 1
        assert len(pids(pool) - {pid}) == 2


async def test_a_process_that_dies_idle_is_not_missed() -> None:
    """The next script gets another one."""
    async with opened(size=1) as pool:
        await run(pool, "return 1")
        (pid,) = pids(pool)
        (worker,) = pool._workers

        os.kill(pid, signal.SIGKILL)
        await worker.ended

        assert (await run(pool, "return 1")).value == 1
        assert pid not in pids(pool)


async def test_processes_that_die_again_and_again_do_not_stop_it() -> None:
    """Each time one script is lost, and no more."""
    async with opened(size=1, seconds=60) as pool:
        for _ in range(5):
            task = asyncio.create_task(run(pool, "for (;;);"))
            (pid,) = await busy(pool)
            os.kill(pid, signal.SIGSEGV)
            assert str((await task).error) == "the process of the script ended: Segmentation fault"

        assert (await run(pool, "return 1")).value == 1


@pytest.mark.parametrize(
    "program",
    [
        "raise SystemExit(3)",
        "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
        "import no_such_module",
    ],
)
async def test_processes_that_do_not_start_are_not_started_for_ever(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits is told; the next script tries it once more."""
    log = tmp_path / "log"
    (tmp_path / "program.py").write_text(f"open({str(log)!r}, 'a').write('x')\n{program}")
    good = scripts._PROGRAM
    monkeypatch.setattr(scripts, "_PROGRAM", tmp_path / "program.py")

    async with opened() as pool:
        runs = [run(pool, "return 1") for _ in range(50)]
        results = await asyncio.gather(*runs)
        started = len(log.read_text())
        monkeypatch.setattr(scripts, "_PROGRAM", good)
        healed = await run(pool, "return 1")

    assert set(map(code_of, results)) == {"SCRIPTS_UNAVAILABLE"}
    assert started == 2
    assert healed.value == 1


async def test_a_process_that_hangs_at_its_start_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for it is told."""
    program = tmp_path / "program.py"
    program.write_text("import time; time.sleep(1000)")
    monkeypatch.setattr(scripts, "_PROGRAM", program)
    monkeypatch.setattr(scripts, "_PATIENCE", 0.1)

    async with opened(size=1) as pool:
        assert code_of(await run(pool, "return 1")) == "SCRIPTS_UNAVAILABLE"
        assert pids(pool) == set()


async def test_no_process_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is said too, and leaks nothing."""
    monkeypatch.setattr(sys, "executable", "/no/such/python")

    async with opened() as pool:
        assert code_of(await run(pool, "return 1")) == "SCRIPTS_UNAVAILABLE"
        pool.warm()

        assert pids(pool) == set()


@pytest.mark.parametrize(
    "answer",
    ["struct.pack('<I?', 1 << 30, False)", "struct.pack('<I?', 2, False) + b'{}more'", "b'ab'"],
)
async def test_a_process_that_is_not_itself_any_more_is_not_believed(
    answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should a script ever break out of its engine, its process can answer once, in its turn."""
    program = tmp_path / "program.py"
    program.write_text(
        "import os, struct\n"
        "os.write(0, struct.pack('<I?', 0, False))\n"
        "os.read(0, 65536)\n"
        f"os.write(0, {answer})\n"
    )
    monkeypatch.setattr(scripts, "_PROGRAM", program)

    async with opened(size=1) as pool:
        assert code_of(await run(pool, "return 1")) == "SCRIPT_LOST"


# --- what they may --------------------------------------------------------------------------------


async def test_a_process_finds_nothing_to_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """No environment, no open file of ours, no new file, no process, no core."""
    monkeypatch.setenv("DATABASE_PASSWORD", "s3cret")
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)

    async with opened(size=1) as pool:
        await run(pool, "return 1")
        (pid,) = pids(pool)
        process = Path(f"/proc/{pid}")
        environment = (process / "environ").read_bytes()
        files = {int(each.name): each.readlink() for each in (process / "fd").iterdir()}
        limits = (process / "limits").read_text()
        folder = (process / "cwd").readlink()

    assert b"s3cret" not in environment
    assert folder == Path("/")
    assert set(files) == {0, 1, 2, 3}
    assert files[3].name == "status"
    for name in ("core file size", "processes", "open files"):
        assert f"Max {name}".ljust(26) + "0 " in limits
    assert "Max address space         unlimited" not in limits


async def test_signals_of_the_terminal_do_not_reach_a_process() -> None:
    """Ctrl-C stops the runner, which lets its executions end first."""
    async with opened(size=1) as pool:
        await run(pool, "return 1")
        (pid,) = pids(pool)

        assert os.getsid(pid) == os.getpgid(pid) == pid


PARENT = """
import asyncio, sys
from runner.scripts import Scripts

async def main():
    pool = Scripts(0.2, 32 << 20, 2)
    data = b'{"$env": {}}'
    await pool.run("module.exports = () => 1", data)
    pool.warm()
    task = asyncio.create_task(pool.run(sys.argv[1], data))
    await asyncio.sleep(0)  # it has been sent
    print(*(worker._process.pid for worker in pool._workers), flush=True)
    sys.stdin.read()

asyncio.run(main())
"""


@pytest.mark.parametrize("body", ["return 1", "for (;;);", "while (true) await null", STUCK])
def test_no_process_outlives_a_runner_that_was_killed(body: str) -> None:
    """Whatever it does: an idle one sees it at once, a busy one when its time is over."""
    code = f"module.exports = async function() {{ {body} }}"
    command = [sys.executable, "-c", PARENT, code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        children = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()

    assert len(children) == 2
    assert all(await_end(pid) for pid in children)
