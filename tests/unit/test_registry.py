"""What runs after a swap, when files are good, broken, renamed or in each other's way."""

import pytest

from runner.model import Entry, Generation, State
from runner.registry import Registry, first_error
from tests.world import World

GOOD = "name: Good\ntrigger: operation\n"
BROKEN = "name: Broken\ntrigger: nonsense\n"
CALLER = """name: Caller
trigger: operation
operations: [{key: run, type: trigger, options: {flow: NAME}}]
"""
ID = "5a1a2c6e-9a53-4c58-8d5c-0d6f6a1c2b3d"


def states(world: World) -> dict[str, str]:
    """The state of every entry, by key."""
    return {key: entry.state.value for key, entry in world.registry.current.entries.items()}


def entry(world: World, key: str) -> Entry:
    """What is in place under *key*."""
    found = world.registry.current.find(key)
    assert found is not None
    return found


async def test_a_broken_file_harms_itself_alone(world: World) -> None:
    """One that never was good is invalid; the others run."""
    await world.load(a=GOOD, b=BROKEN)

    assert states(world) == {"a": "active", "b": "invalid"}
    assert entry(world, "b").flow is None
    assert entry(world, "b").running is None
    assert entry(world, "b").name == "Broken"
    assert first_error(entry(world, "b")) == "unknown-trigger"


async def test_a_file_that_never_was_good_is_found_by_its_own_id_and_key(world: World) -> None:
    """Whoever calls it by the address that it will have learns that it is broken, not unknown."""
    await world.load(a=f"id: {ID}\nkey: billing/a\n{BROKEN}")

    assert entry(world, ID) is entry(world, "billing/a")


@pytest.mark.parametrize("name", ["b", ID])
@pytest.mark.parametrize("broken", [f"id: {ID}\n{BROKEN}", "oops: ["])
async def test_a_broken_file_does_not_break_those_who_name_it(
    world: World, name: str, broken: str
) -> None:
    """A flow whose sub-flow is broken can still be changed: the fault is not its own."""
    caller = CALLER.replace("NAME", name)
    await world.load(a=caller, b=f"id: {ID}\n{GOOD}")
    await world.load(a=caller.replace("Caller", "Changed"), b=broken)

    assert states(world) == {"a": "active", "b": "stale"}
    assert entry(world, "a").name == "Changed"


async def test_a_broken_file_takes_no_id_from_another(world: World) -> None:
    """What runs keeps its address, whatever a broken file says."""
    await world.load(a=f"id: {ID}\n{GOOD}", b=f"id: {ID}\n{BROKEN}")

    assert entry(world, ID).key == "a"
    assert entry(world, "b").id != ID


async def test_a_file_that_breaks_keeps_its_last_good_version(world: World) -> None:
    """It is stale, with its issues, and heals with the file."""
    await world.load(a=GOOD)
    before = entry(world, "a").flow

    await world.load(a=BROKEN)

    assert states(world) == {"a": "stale"}
    assert entry(world, "a").running is before
    assert [issue.code for issue in entry(world, "a").issues] == ["unknown-trigger"]
    await world.load(a=GOOD)
    assert states(world) == {"a": "active"}
    assert entry(world, "a").issues == ()


async def test_what_an_earlier_process_knew_is_kept_too(world: World) -> None:
    """After a restart a broken file has the version that was good before."""
    await world.load(a=GOOD)
    flow = entry(world, "a").flow
    assert flow is not None
    loaded = await World().load(a=BROKEN)
    registry = Registry()

    registry.swap(loaded, kept={"a.yaml": flow})

    assert registry.current.entries["a"].state is State.STALE
    assert registry.current.entries["a"].running is flow


async def test_an_unchanged_file_keeps_its_very_flow(world: World) -> None:
    """The object stays, so counters and schedules that hang on it do too."""
    await world.load(a=GOOD, b=GOOD)
    before = entry(world, "a").flow

    await world.load(a=GOOD, b=GOOD + "description: changed\n")

    assert entry(world, "a").flow is before
    assert entry(world, "b").flow is not before


async def test_a_file_that_takes_the_key_of_another_replaces_nothing(world: World) -> None:
    """Both have the issue; the one that ran goes on, wherever the new one stands in the list."""
    await world.load(m=GOOD + "key: orders\n")
    before = entry(world, "orders").flow

    await world.load(a=GOOD + "key: orders\n", m=GOOD + "key: orders\n", z=GOOD + "key: orders\n")

    assert states(world) == {"orders": "stale", "a.yaml": "invalid", "z.yaml": "invalid"}
    assert entry(world, "orders").flow is before
    assert all(first_error(each) == "duplicate-key" for each in all_entries(world))


def all_entries(world: World) -> list[Entry]:
    """Everything that is in place."""
    return list(world.registry.current.entries.values())


async def test_a_file_that_takes_the_id_of_another_replaces_nothing(world: World) -> None:
    """As with keys."""
    id_ = "id: 00000000-0000-4000-a000-000000000001\n"
    await world.load(b=GOOD + id_)

    await world.load(a=GOOD + id_, b=GOOD + id_)

    assert states(world) == {"a": "invalid", "b": "stale"}
    assert entry(world, "00000000-0000-4000-a000-000000000001").key == "b"


async def test_a_good_file_may_take_the_key_that_a_broken_one_had(world: World) -> None:
    """What a broken file had never stands in the way of a healthy one."""
    await world.load(old=GOOD + "key: orders\n")

    await world.load(new=GOOD + "key: orders\n", old=BROKEN)

    assert states(world) == {"orders": "active", "old": "invalid"}
    assert entry(world, "orders").path == "new.yaml"


async def test_a_good_file_may_take_the_id_that_a_broken_one_had(world: World) -> None:
    """The same with ids: what is found by an id is the healthy flow."""
    id_ = "id: 00000000-0000-4000-a000-000000000001\n"
    await world.load(old=GOOD + id_)

    await world.load(new=GOOD + id_, old=BROKEN)

    assert states(world) == {"new": "active", "old": "invalid"}
    assert entry(world, "00000000-0000-4000-a000-000000000001").key == "new"


async def test_a_flow_may_be_switched_off(world: World) -> None:
    """By its own status or by the settings; it is listed and never starts."""
    loaded = await world.load(a=GOOD + "status: inactive\n", b=GOOD, c=GOOD)

    world.registry.swap(loaded, disabled=frozenset({"b"}))

    assert states(world) == {"a": "inactive", "b": "inactive", "c": "active"}
    assert entry(world, "b").running is None


async def test_a_removed_file_is_gone(world: World) -> None:
    """Nothing keeps a flow alive whose file was deleted."""
    await world.load(a=GOOD, b=GOOD)

    await world.load(a=GOOD)

    assert states(world) == {"a": "active"}


async def test_flows_are_found_by_key_and_by_id(world: World) -> None:
    """Any other name finds nothing."""
    await world.load(billing__orders=GOOD)
    found = entry(world, "billing/orders")

    assert world.registry.current.find(found.id) is found
    assert world.registry.current.find("orders") is None


async def test_generations_count_and_stay_as_they_were(world: World) -> None:
    """Whoever holds an old generation sees its flows, not those of the next one."""
    await world.load(a=GOOD)
    first = world.registry.current

    await world.load(b=GOOD)

    assert (first.number, world.registry.current.number) == (1, 2)
    assert list(first.entries) == ["a"]
    assert list(world.registry.current.entries) == ["b"]


async def test_subscribers_are_told_until_they_detach(world: World) -> None:
    """Each swap is told once, with the generation before and the one in place."""
    told: list[tuple[int, int]] = []

    def listen(before: Generation, after: Generation) -> None:
        assert world.registry.current is after
        told.append((before.number, after.number))

    detach = world.registry.subscribe(listen)
    await world.load(a=GOOD)
    await world.load(a=GOOD)
    detach()
    await world.load(a=GOOD)

    assert told == [(0, 1), (1, 2)]


def test_an_empty_registry_has_generation_zero() -> None:
    """Before the first load there is nothing to find."""
    assert Registry().current.number == 0
    assert Registry().current.find("a") is None
