"""Event flows around the writing of items: inside the transaction before, and after the commit."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from runner.model import Accountability, Status
from runner.operations import OperationContext
from runner.types import JSONObject, JSONValue
from tests import stored
from tests.stored import Stored
from tests.world import Gate, World, standing_in_for_sleep

#: Writes as its `$trigger` says.
WRITE = """
name: Write
trigger: operation
options: {return: $last}
operations:
  - key: it
    type: item-VERB
    options: {collection: articles, permissions: $full, emitEvents: true, OPTIONS}
"""


def writing(verb: str, options: str) -> bytes:
    """A flow that writes, and tells of it."""
    return WRITE.replace("VERB", verb).replace("OPTIONS", options).encode()


CREATE = writing("create", 'payload: "{{ $trigger }}"')


def listening(kind: str, verb: str, operations: str, more: str = "") -> bytes:
    """A flow that waits for a write of articles."""
    return f"""
name: Listens
trigger: event
options: {{type: {kind}, scope: [items.{verb}], collections: [articles] {more}}}
operations:
{operations}
""".encode()


def noting(text: str, **options: str) -> str:
    """An operation that makes a note."""
    more = "".join(f", {key}: {value}" for key, value in options.items())
    payload = f'payload: {{text: "{text}"}}'
    return f"  - {{type: item-create, options: {{collection: notes, {payload}{more}}}}}"


@pytest.fixture(autouse=True)
def notes(database: Stored) -> None:
    """A second table: what event flows write down."""
    database.execute("CREATE TABLE notes (id SERIAL, text TEXT NOT NULL)")


def noted(database: Stored) -> list[str]:
    """What they wrote."""
    return [text for (text,) in database.rows("SELECT text FROM notes ORDER BY id")]


def titles(database: Stored) -> list[str]:
    """What was written beside the three that were there."""
    return [row[0] for row in database.rows("SELECT title FROM articles WHERE id > 3 ORDER BY id")]


async def load(world: World, **flows: bytes) -> None:
    """Put flows in place that have no issue."""
    loaded = await world.load_files({f"{key}.yaml": text for key, text in flows.items()})
    assert list(map(str, loaded.issues)) == []


async def settled(world: World) -> None:
    """Wait until all action flows have ended."""
    await world.engine.drain(30)


def triggers(world: World, flow: str) -> list[Any]:
    """What each execution of a flow was started with."""
    return [
        each["data"]["trigger"] for each in world.said("execution.started") if each["flow"] == flow
    ]


LAST = "  - {key: m, type: transform, options: {json: {title: x}}}"


# --- what they are told -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "options", "filtered", "acted"),
    [
        (
            "create",
            "payload: [{title: a}, {title: b}]",
            [{"payload": {"title": "a"}}, {"payload": {"title": "b"}}],
            [{"payload": {"title": "a"}, "key": 4}, {"payload": {"title": "b"}, "key": 5}],
        ),
        (
            "update",
            "key: [1, 3], payload: {views: 5}",
            [{"payload": {"views": 5}, "keys": [1, 3]}],
            [{"payload": {"views": 5}, "keys": [1, 3]}],
        ),
        (
            "update",
            "payload: [{id: 1, views: 5}, {id: 3, views: 6}]",
            [{"payload": {"views": 5}, "keys": [1]}, {"payload": {"views": 6}, "keys": [3]}],
            [{"payload": {"views": 5}, "keys": [1]}, {"payload": {"views": 6}, "keys": [3]}],
        ),
        (
            "update",
            "query: {filter: {status: draft}}, payload: {}",
            [{"payload": {}, "keys": [2]}],
            [{"payload": {}, "keys": [2]}],
        ),
        (
            "delete",
            "key: '1,2'",
            [{"payload": ["1", "2"]}],
            [{"payload": ["1", "2"], "keys": ["1", "2"]}],
        ),
        ("delete", "key: []", [], []),
        ("delete", "query: {filter: {id: 99}}", [], []),
    ],
)
async def test_event_flows_are_told_what_directus_tells_them(
    world: World, verb: str, options: str, filtered: list[JSONObject], acted: list[JSONObject]
) -> None:
    """One event for each new item, one for all that change in the same way or go."""
    await load(
        world,
        write=writing(verb, options),
        filter=listening("filter", verb, LAST),
        action=listening("action", verb, LAST),
    )

    result = await world.run("write")
    await settled(world)

    assert result.status is Status.RESOLVED
    common = {"event": f"articles.items.{verb}", "collection": "articles"}
    assert triggers(world, "filter") == [{**each, **common} for each in filtered]
    assert sorted(triggers(world, "action"), key=str) == [{**each, **common} for each in acted]


async def test_without_emit_events_nobody_is_told(world: World, database: Stored) -> None:
    """As in Directus, it has to be asked for."""
    quiet = CREATE.replace(b"emitEvents: true", b"emitEvents: false")
    await load(
        world,
        write=quiet,
        filter=listening("filter", "create", "  - {type: throw-error}"),
        action=listening("action", "create", LAST),
    )

    await world.run("write", {"title": "quiet"})
    await settled(world)

    assert titles(database) == ["quiet"]
    assert triggers(world, "action") == []


# --- filter flows -------------------------------------------------------------------------------


async def test_filter_flows_change_the_payload_one_after_another(
    world: World, database: Stored
) -> None:
    """In the order of their keys; one without `return` changes nothing."""
    add = '  - {key: m, type: transform, options: {json: {title: "{{ $trigger.payload.title }}N"}}}'
    await load(
        world,
        write=CREATE,
        b=listening("filter", "create", add.replace("N", "2"), ", return: $last"),
        a=listening("filter", "create", add.replace("N", "1"), ", return: m"),
        c=listening("filter", "create", add.replace("N", "3")),
        action=listening("action", "create", LAST),
    )

    await world.run("write", [{"title": "x"}, {"title": "y"}])
    await settled(world)

    assert titles(database) == ["x12", "y12"]
    told = {each["payload"]["title"] for each in triggers(world, "action")}
    assert told == {"x12", "y12"}


@pytest.mark.parametrize(
    ("returned", "code"),
    [
        ("null", "FAILED_VALIDATION"),
        ("[]", "INVALID_PAYLOAD"),
        ('"text"', "INVALID_PAYLOAD"),
        ("{titel: x}", "INVALID_PAYLOAD"),
    ],
)
async def test_what_a_filter_flow_returns_is_checked_like_a_payload(
    world: World, database: Stored, returned: str, code: str
) -> None:
    """Null takes its place too, and lacks what is required."""
    make = f"  - {{key: m, type: transform, options: {{json: {{v: {returned}}}}}}}"
    await load(world, write=CREATE, filter=listening("filter", "create", make, ", return: m.v"))

    result = await world.run("write", {"title": "x"})

    assert result.status is Status.REJECTED
    assert code in str(result.value)
    assert titles(database) == []


@pytest.mark.parametrize(
    ("returned", "left"), [("[3]", {1, 2}), ("[]", {1, 2, 3}), ("{a: 1}", {2, 3}), ("null", {2, 3})]
)
async def test_a_filter_flow_can_name_other_keys_to_delete(
    world: World, database: Stored, returned: str, left: set[int]
) -> None:
    """What is no list of keys leaves them as they are, as in Directus."""
    make = f"  - {{key: m, type: transform, options: {{json: {{v: {returned}}}}}}}"
    await load(
        world,
        write=writing("delete", "key: 1"),
        filter=listening("filter", "delete", make, ", return: m.v"),
    )

    assert (await world.run("write")).status is Status.RESOLVED
    assert {id_ for (id_,) in database.rows("SELECT id FROM articles")} == left


async def test_a_filter_flow_that_rejects_undoes_everything(world: World, database: Stored) -> None:
    """What it wrote itself, the items before; nobody is told of what did not happen."""
    refuse = """
  - {type: condition, options: {filter: {$trigger: {payload: {title: {_neq: bad}}}}}, reject: no}
  - {type: log, options: {message: fine}, resolve: null}
  - {key: no, type: throw-error, options: {status: 409, code: NOT_THIS, message: not this one}}
"""
    await load(
        world,
        write=CREATE,
        filter=listening("filter", "create", noting("seen") + refuse),
        action=listening("action", "create", noting("acted")),
    )

    result = await world.run("write", [{"title": "good"}, {"title": "bad"}])
    await settled(world)

    assert result.status is Status.REJECTED
    assert result.value["code"] == "NOT_THIS"  # type: ignore[index, call-overload]
    assert result.value["status"] == 409  # type: ignore[index, call-overload]
    assert (titles(database), noted(database)) == ([], [])
    assert triggers(world, "action") == []


async def test_a_filter_flow_reads_and_writes_inside_the_transaction(
    world: World, database: Stored
) -> None:
    """It sees the items before its own, which nobody else does yet."""
    look = """
  - {key: found, type: item-read, options: {collection: articles, query: {filter: {title: a}}}}
"""
    await load(
        world,
        write=CREATE,
        filter=listening(
            "filter", "create", look + noting("{{ $trigger.payload.title }}{{ found[0].id }}")
        ),
    )

    result = await world.run("write", [{"title": "a"}, {"title": "b"}])

    assert result.value == [4, 5]
    assert noted(database) == ["a", "b4"]


async def test_what_a_filter_flow_catches_is_undone_alone(world: World, database: Stored) -> None:
    """In PostgreSQL, any error would spoil the whole transaction otherwise."""
    attempts = f"""
{noting("before")}
  - type: item-create
    options: {{collection: articles, payload: {{id: 1, title: x}}}}
    reject:
      - type: item-read
        options: {{collection: articles, key: 99}}
        reject:
          - {{type: item-create, options: {{collection: notes, payload: {{text: after}}}}}}
"""
    await load(world, write=CREATE, filter=listening("filter", "create", attempts))

    result = await world.run("write", {"title": "x"})

    assert result == (Status.RESOLVED, [4])
    assert noted(database) == ["before", "after"]


# --- action flows -------------------------------------------------------------------------------


async def test_action_flows_start_once_it_is_committed(database: Stored) -> None:
    """Not while the outermost transaction may still be undone, whoever wrote inside of it."""
    gate = Gate()
    world = World(gate.operations)
    hold = noting("inner", emitEvents="true") + "\n  - {type: sleep, options: {milliseconds: 1}}"
    notes_action = listening("action", "create", LAST).replace(b"[articles]", b"[notes]")
    await load(
        world,
        write=CREATE,
        filter=listening("filter", "create", hold),
        action=listening("action", "create", LAST),
        inner=notes_action,
    )

    async with world.opened(database.settings()):
        run = asyncio.create_task(world.run("write", {"title": "x"}))
        await gate.holds(1)
        before = (titles(database), noted(database), triggers(world, "inner"))
        gate.opened.set()
        await run
        await settled(world)

    assert before == ([], [], [])
    assert (titles(database), noted(database)) == (["x"], ["inner"])
    assert [each["key"] for each in triggers(world, "inner")] == [1]
    assert [each["key"] for each in triggers(world, "action")] == [4]


async def test_what_was_undone_alone_is_told_to_nobody(world: World, database: Stored) -> None:
    """Of a filter flow that rejects and is caught, nothing has happened."""
    nested = """
  - type: item-create
    options: {collection: notes, payload: [{text: a}, {text: null}], emitEvents: true}
    reject:
      - type: item-create
        options: {collection: notes, payload: {text: b}, emitEvents: true}
"""
    await load(
        world,
        write=CREATE,
        filter=listening("filter", "create", nested),
        inner=listening("action", "create", LAST).replace(b"[articles]", b"[notes]"),
    )

    await world.run("write", {"title": "x"})
    await settled(world)

    assert noted(database) == ["b"]
    assert [each["payload"]["text"] for each in triggers(world, "inner")] == ["b"]


async def test_an_action_flow_acts_for_whoever_caused_the_event(
    world: World, database: Stored
) -> None:
    """And may do what they may; its failure is nobody's."""
    await load(world, write=CREATE, action=listening("action", "create", noting("acted")))

    as_public = await world.run("write", {"title": "a"}, Accountability())
    await settled(world)

    assert as_public.status is Status.RESOLVED
    assert noted(database) == []
    assert [each["error"]["code"] for each in world.said("operation.rejected")] == ["FORBIDDEN"]


# --- loops --------------------------------------------------------------------------------------

AGAIN = """
  - type: item-create
    options: {collection: articles, payload: {title: again}, emitEvents: true, permissions: $full}
"""


async def test_a_filter_flow_that_causes_its_own_event_ends_and_undoes_all(
    database: Stored,
) -> None:
    """The innermost is refused, so all of them are."""
    world = World(max_depth=5)
    await load(world, write=CREATE, filter=listening("filter", "create", AGAIN))

    async with world.opened(database.settings()):
        result = await world.run("write", {"title": "x"})

    assert result.status is Status.REJECTED
    assert "deep" in str(result.value)
    assert len(triggers(world, "filter")) == 4
    assert titles(database) == []


async def test_an_action_flow_that_causes_its_own_event_ends(database: Stored) -> None:
    """What was committed stays; the record says why it went no further."""
    world = World(max_depth=5)
    await load(world, write=CREATE, action=listening("action", "create", AGAIN))

    async with world.opened(database.settings()):
        await world.run("write", {"title": "x"})
        while not world.said("trigger.refused"):
            await asyncio.sleep(0.01)

    assert titles(database) == ["x", *["again"] * 4]
    assert world.said("trigger.refused")[0]["error"]["code"] == "DEPTH_EXCEEDED"


# --- connections --------------------------------------------------------------------------------


async def test_a_filter_flow_that_hangs_gives_its_connection_back(database: Stored) -> None:
    """When its time is up, all is undone; and that more often than there are connections."""
    world = World(standing_in_for_sleep(_for_ever))
    hang = noting("hangs") + "\n  - {type: sleep, options: {milliseconds: 1}}"
    timed = CREATE.replace(b"    type: item-create", b"    type: item-create\n    timeout: 100ms")
    await load(
        world,
        write=timed,
        filter=listening("filter", "create", hang),
        quiet=CREATE.replace(b"emitEvents: true", b"emitEvents: false"),
    )

    async with world.opened(database.settings()):
        results = [await world.run("write", {"title": "x"}) for _ in range(7)]
        after = await world.run("quiet", {"title": "y"})

    assert {result.status for result in results} == {Status.REJECTED}
    assert {result.value["code"] for result in results} == {"TIMED_OUT"}  # type: ignore[index, call-overload]
    assert after.status is Status.RESOLVED
    assert (titles(database), noted(database)) == (["y"], [])


async def _for_ever(options: JSONObject, context: OperationContext) -> JSONValue:
    await asyncio.Event().wait()
    return None


async def test_a_flow_that_is_cancelled_in_the_middle_undoes_all(database: Stored) -> None:
    """And the database is free for the next."""
    gate = Gate()
    world = World(gate.operations)
    hold = noting("inner") + "\n  - {type: sleep, options: {milliseconds: 1}}"
    await load(world, write=CREATE, filter=listening("filter", "create", hold))

    async with world.opened(database.settings()):
        begun = await world.begin("write", {"title": "x"})
        run = asyncio.create_task(world.engine.result(begun))
        await gate.holds(1)
        begun.cancel()
        status = (await run).status
        gate.opened.set()
        after = await world.run("write", {"title": "y"})

    assert (status, after.status) == (Status.CANCELLED, Status.RESOLVED)
    assert (titles(database), noted(database)) == (["y"], ["inner"])


async def test_more_writes_than_connections_with_filter_flows_that_write(
    world: World, database: Stored
) -> None:
    """Each takes one connection, whatever happens inside of it: nobody waits for ever."""
    await load(
        world, write=CREATE, filter=listening("filter", "create", noting("n", emitEvents="true"))
    )

    runs = (world.run("write", {"title": f"{n}"}) for n in range(12))
    results = await asyncio.gather(*runs)

    assert {result.status for result in results} == {Status.RESOLVED}
    assert (len(titles(database)), len(noted(database))) == (12, 12)


async def test_transactions_of_two_databases_stand_in_each_other(
    database: Stored, tmp_path: Path
) -> None:
    """What is written to the other one stays; the way back to the first joins its transaction."""
    folder = tmp_path / "other"
    folder.mkdir()
    with stored.sqlite(folder) as other:
        other.execute("CREATE TABLE there (id SERIAL, text TEXT)")
        databases = {"default": {"url": database.url}, "other": {"url": other.url}}
        there = "{collection: there, payload: {text: x}, database: other, emitEvents: true}"
        fail = "\n  - {type: throw-error, options: {code: NO}}"
        back = listening("filter", "create", noting("back")).replace(b"[articles]", b"[there]")
        world = World()
        await load(
            world,
            write=CREATE,
            filter=listening(
                "filter", "create", f"  - {{type: item-create, options: {there}}}{fail}"
            ),
            back=back,
        )

        async with world.opened(database.settings(databases=databases)):
            result = await world.run("write", {"title": "x"})

        assert "NO" in str(result.value)
        assert other.rows("SELECT text FROM there") == [("x",)]
        assert (titles(database), noted(database)) == ([], [])
