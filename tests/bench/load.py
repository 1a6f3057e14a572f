"""A cold load of 10,000 files beside CSafeLoader and jsonschema, and one changed file."""

import asyncio
import gc
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jsonschema
import yaml
from referencing import Registry as Schemas
from referencing import Resource
from referencing.jsonschema import DRAFT202012

from runner import schema, source
from runner.loader import Loader
from runner.operations import BUILTIN
from runner.registry import Registry
from tests.bench import common, flows

_BASE = "file:///schemas/"


def main() -> None:
    """Load the same files both ways, in turn."""
    quick = common.arguments(__doc__).quick
    count, rounds = (200, 1) if quick else (10_000, 3)
    with TemporaryDirectory() as temporary:
        root = Path(temporary)
        write(root, count)
        cold, naive, changed = [], [], []
        validator = naive_validator()
        for number in range(rounds):
            cold.append(timed(lambda: asyncio.run(load(root))))
            naive.append(timed(lambda: load_naively(root, validator)))
            changed += asyncio.run(change_one(root, number, 5 if quick else 20))
    small = asyncio.run(change_one_of_few(20))
    rows = [
        [f"CSafeLoader + jsonschema if/then, {count} files", f"{common.median(naive):.2f} s", "1"],
        [
            f"cold load of {count} files",
            f"{common.median(cold):.2f} s",
            f"{common.median(cold) / common.median(naive):.3f}",
        ],
        [
            f"one changed file of {count}: read all, compile one, swap",
            f"{common.median(changed) * 1000:.1f} ms",
            "",
        ],
        ["one changed file of 100: the same", f"{common.median(small) * 1000:.1f} ms", ""],
    ]
    common.table(["what", "time", "÷ naive"], rows)
    common.ratios(
        {
            "cold": common.median([a / b for a, b in zip(cold, naive, strict=True)]),
            "changed of 100 (ms)": common.median(small) * 1000,
            f"changed of {count} (ms)": common.median(changed) * 1000,
        }
    )


def write(root: Path, count: int) -> None:
    """*count* flow files in folders of a hundred."""
    for number in range(count):
        folder = root / f"team-{number // 100}"
        folder.mkdir(exist_ok=True)
        (folder / f"flow-{number}.yaml").write_text(flows.realistic(number))


def timed(work: Any) -> float:
    """Seconds that *work* takes."""
    gc.collect()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


async def load(root: Path) -> None:
    """Everything from the folder to a generation in place."""
    loaded = await Loader(BUILTIN, None).load(source.snapshot(root))
    assert not loaded.broken
    Registry().swap(loaded)


def naive_validator() -> Any:
    """The flow schema as it is, in jsonschema."""
    schemas: Any = Schemas().with_resources(
        (
            f"{_BASE}{name}.schema.json",
            Resource.from_contents(schema.load(name), default_specification=DRAFT202012),
        )
        for name in schema.names()
    )
    return jsonschema.Draft202012Validator({"$ref": f"{_BASE}flow.schema.json"}, registry=schemas)


def load_naively(root: Path, validator: Any) -> None:
    """What one would write first: parse and validate, nothing more."""
    for path in sorted(root.rglob("*.yaml")):
        data = yaml.load(path.read_bytes(), Loader=yaml.CSafeLoader)
        assert validator.is_valid(data)


async def change_one(root: Path, round_: int, times: int) -> list[float]:
    """Seconds from a look at the folder to the new generation, one file changed each time."""
    loader, registry = Loader(BUILTIN, None), Registry()
    registry.swap(await loader.load(source.snapshot(root)))
    gc.freeze()
    figures = []
    for number in range(times):
        file = root / "team-0" / "flow-7.yaml"
        file.write_text(flows.realistic(7) + f"# {round_} {number}\n")
        started = time.perf_counter()
        registry.swap(await loader.load(source.snapshot(root)))
        figures.append(time.perf_counter() - started)
    gc.unfreeze()
    return figures


async def change_one_of_few(times: int) -> list[float]:
    """The same in a folder of the usual size."""
    with TemporaryDirectory() as temporary:
        write(Path(temporary), 100)
        return await change_one(Path(temporary), 0, times)


if __name__ == "__main__":
    main()
