"""
Benchmarks: each is one command, prints a table, and as its last line one JSON object of ratios.

    python -m tests.bench.http        requests per second beside a bare aiohttp handler
    python -m tests.bench.logs        what a slow or stopped reader of stdout costs
    python -m tests.bench.load        10,000 flow files beside CSafeLoader and jsonschema
    python -m tests.bench.templates   rendering beside plain Python
    python -m tests.bench.dispatch    operations beside plain awaits
    python -m tests.bench.start       start and memory beside bare aiohttp
    python -m tests.bench.soak        ten minutes of mixed load: what grows, what leaks, what stalls

Every ratio is of things measured in turn in the same run, as machines differ from minute to
minute. `--quick` takes less of everything: enough to see that a benchmark works, not to quote it.
Those that need load use wrk (Debian: `apt-get install wrk`).
"""
