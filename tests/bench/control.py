"""
A bare event loop that ticks beside another process: what the machine does to both.

    python -m tests.bench.control PID

It prints a line `<time> <late> <waited>` (seconds) for each of its ticks that was late, or in
which a thread of PID waited for a processor: what the machine takes is not PID's fault. It is
the thread that waited longest which counts: it may hold the interpreter's lock meanwhile, and
then all others wait for it.
"""

import asyncio
import sys
import time
from contextlib import suppress
from pathlib import Path

_EVERY = 0.04
_WORTH = 0.005


async def tick(pid: int) -> None:
    """Until PID is gone."""
    threads = Path(f"/proc/{pid}/task")
    waited = _waited(threads)
    while True:
        began = time.monotonic()
        await asyncio.sleep(_EVERY)
        late = time.monotonic() - began - _EVERY
        before, waited = waited, _waited(threads)
        longest = max((waited[each] - before.get(each, 0.0) for each in waited), default=0.0)
        if late > _WORTH or longest > _WORTH:
            print(f"{time.time():.3f} {late:.3f} {longest:.3f}", flush=True)


def _waited(threads: Path) -> dict[str, float]:
    """Seconds that each of *threads* could have run and did not; see proc_pid_schedstat(5)."""
    found = {}
    for thread in threads.iterdir():
        with suppress(FileNotFoundError):  # it has just ended
            found[thread.name] = int((thread / "schedstat").read_text().split()[1]) / 1e9
    return found


if __name__ == "__main__":
    try:
        asyncio.run(tick(int(sys.argv[1])))
    except OSError:
        sys.exit(0)
