"""What `item-read` finds, whichever database it looks in."""

from pathlib import Path
from typing import Any

import pytest

from runner import jsontext
from runner.model import Accountability, Status
from runner.types import JSONObject, JSONValue
from tests import stored
from tests.postgres import Server
from tests.stored import EDITOR, Stored
from tests.world import World

FIRST = {
    "id": 1,
    "title": "First",
    "status": "published",
    "views": 10,
    "tags": ["a", "b"],
    "created": "2024-01-01T00:00:00.000Z",
}


async def read(world: World, **options: JSONValue) -> Any:
    """What the operation resolves with, or the error it rejects with."""
    asked: JSONObject = {"collection": "articles", "permissions": "$full", **options}
    result = await world.operate("item-read", asked)
    return result.value


@pytest.mark.parametrize("key", [1, "1", [1], ["1"], [1.0]])
async def test_one_key_gives_the_item(world: World, key: JSONValue) -> None:
    """However it is written."""
    assert await read(world, key=key) == FIRST


@pytest.mark.parametrize("key", ["1,3", "3,1", [3, 1, 99], [1, 3, 1], "1,three,3"])
async def test_several_keys_give_a_list_of_those_that_are_there(
    world: World, key: JSONValue
) -> None:
    """In the order of their keys."""
    assert [item["id"] for item in await read(world, key=key)] == [1, 3]


@pytest.mark.parametrize("key", [99, "x", "1'; DROP TABLE articles; --", 1.5, "9" * 30, -1])
async def test_a_key_that_is_not_there_is_forbidden(world: World, key: JSONValue) -> None:
    """As in Directus, nobody is told whether it exists."""
    error = await read(world, key=key)

    assert (error["code"], error["status"]) == ("FORBIDDEN", 403)


@pytest.mark.parametrize("key", [None, "", []])
async def test_without_a_key_the_query_says_which(world: World, key: JSONValue) -> None:
    """All of them, if it says nothing."""
    assert [item["id"] for item in await read(world, key=key)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({"filter": {"status": {"_eq": "published"}}}, [1, 3]),
        ({"filter": {"views": {"_between": [15, 30]}}, "sort": "-views"}, [3, 2]),
        ('{"filter": {"views": {"_gt": 15}}, "sort": ["-views"], "limit": 1}', [3]),
        ({"search": "sec"}, [2]),
        ({"search": "20"}, [2]),
        ({"sort": ["-status", "-id"], "limit": 2}, [3, 1]),
        ({"sort": "views", "limit": 1, "page": 2}, [2]),
        ({"sort": "id", "offset": 2}, [3]),
        ({"limit": 0}, []),
        ({"filter": {"tags": {"_null": True}}}, [2]),
        ({"filter": {"tags": {"_nempty": True}}}, [1, 3]),
        ({"filter": {"count(tags)": {"_eq": 1}}}, [3]),
        ({"filter": {"created": {"_gte": "2024-02-01"}}}, [2, 3]),
        ({"filter": {"month(created)": {"_in": [1, 3]}}}, [1, 3]),
        ({"filter": {"_or": [{"id": 1}, {"title": {"_istarts_with": "SEC"}}]}}, [1, 2]),
        ({"filter": {"title": {"_nin": ["First", "Second"]}}}, [3]),
        ({"filter": {"created": {"_lt": "$NOW"}}, "limit": -1}, [1, 2, 3]),
        (None, [1, 2, 3]),
        ("", [1, 2, 3]),
    ],
)
async def test_a_query_says_which_items(world: World, query: JSONValue, ids: list[int]) -> None:
    """In the words of the listing."""
    assert [item["id"] for item in await read(world, query=query)] == ids


async def test_a_query_goes_with_keys(world: World) -> None:
    """What it filters out is not there."""
    published = {"filter": {"status": {"_eq": "published"}}, "fields": ["id"]}

    assert await read(world, key="1,2,3", query=published) == [{"id": 1}, {"id": 3}]
    assert (await read(world, key=2, query=published))["code"] == "FORBIDDEN"
    assert await read(world, key=1, query={"fields": "id,title"}) == {"id": 1, "title": "First"}


async def test_fields_say_what_of_the_items(world: World) -> None:
    """Functions and aliases too; what is no field is left out."""
    query = {
        "fields": ["id", "year(created)", "count(tags)", "json(tags, [0])", "name", "nope"],
        "alias": {"name": "title"},
        "limit": 2,
    }

    assert await read(world, query=query) == [
        {"id": 1, "created_year": 2024, "tags_count": 2, "tags_0_json": "a", "name": "First"},
        {"id": 2, "created_year": 2024, "tags_count": None, "tags_0_json": None, "name": "Second"},
    ]
    assert await read(world, query={"fields": "nope"}) == [{}, {}, {}]


async def test_an_aggregate_answers_for_groups(world: World) -> None:
    """Counts, sums, averages and extremes are numbers, whatever the database makes of them."""
    query = {
        "aggregate": {"count": ["*", "tags"], "sum": "views", "avg": "views", "max": "created"},
        "groupBy": ["status", "year(created)"],
        "sort": "-count",
    }

    assert await read(world, query=query) == [
        {
            "status": "published",
            "created_year": 2024,
            "count": {"*": 2, "tags": 2},
            "sum": {"views": 40},
            "avg": {"views": 20.0},
            "max": {"created": "2024-03-01T00:00:00.000Z"},
        },
        {
            "status": "draft",
            "created_year": 2024,
            "count": {"*": 1, "tags": 0},
            "sum": {"views": 20},
            "avg": {"views": 20.0},
            "max": {"created": "2024-02-01T00:00:00.000Z"},
        },
    ]
    assert await read(world, query={"aggregate": {"count": "*"}}) == [{"count": 3}]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("zzz", "INVALID_JSON"),
        ("[]", "INVALID_QUERY"),
        ({"filter": {"nope": 1}}, "INVALID_QUERY"),
        ({"sort": "nope"}, "INVALID_QUERY"),
        ({"aggregate": {"sum": "title"}}, "INVALID_QUERY"),
        ({"groupBy": "tags"}, "INVALID_QUERY"),
        ({"filter": {"views": {"_contains": "1"}}}, "INVALID_QUERY"),
        ({"filter": {"views": {"_eq": "many"}}}, "INVALID_QUERY"),
        ({"limit": "all"}, "INVALID_QUERY"),
    ],
)
async def test_a_query_that_means_nothing_rejects(
    world: World, query: JSONValue, code: str
) -> None:
    """In the words of the listing."""
    assert (await read(world, query=query))["code"] == code


# --- who may ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("permissions", "accountability", "may"),
    [
        ("$full", Accountability(), True),
        ("$public", None, False),
        ("editor", Accountability(), True),
        (EDITOR, Accountability(), True),
        ("$trigger", Accountability(role=EDITOR), True),
        ("$trigger", Accountability(), False),
        ("$trigger", Accountability(role="admin", admin=True), True),
        ("$trigger", None, True),
        (None, Accountability(), False),
        ("", Accountability(role=EDITOR), True),
        ("{{ $trigger }}", Accountability(), True),
    ],
)
async def test_permissions_say_who_reads(
    world: World, permissions: JSONValue, accountability: Accountability | None, may: bool
) -> None:
    """Without any, it is whoever caused the execution."""
    operation = {
        "key": "it",
        "type": "item-read",
        "options": {"collection": "articles", "permissions": permissions, "key": 1},
    }
    flow = {"name": "x", "trigger": "operation", "operations": [operation]}
    await world.load_files({"x.yaml": jsontext.write(flow)})

    result = await world.run("x", "$full", accountability)

    assert (result.status is Status.RESOLVED) is may
    assert may or result.value["code"] == "FORBIDDEN"  # type: ignore[index, call-overload]


@pytest.mark.parametrize(
    "collection", ["nope", "ARTICLES", "public.articles", "pg_user", "sqlite_master"]
)
async def test_a_collection_that_is_not_there_is_forbidden(world: World, collection: str) -> None:
    """Tables that belong to the database itself are no collections."""
    error = await read(world, collection=collection)

    assert (error["code"], error["status"]) == ("FORBIDDEN", 403)


# --- what is in the database --------------------------------------------------------------------

METACHARACTERS = [
    "'", '"', "`", "\\", "%", "_", "%%", "/%_", "';--", '"; DROP TABLE articles; --', ":x", "%(x)s",
    "?", "$1", "{}", "a b", "é", "[0]", "(x)",
]  # fmt: skip


@pytest.mark.parametrize("text", METACHARACTERS)
async def test_a_text_is_only_ever_a_text(world: World, database: Stored, text: str) -> None:
    """In filters, in searches and as a key: it is found as it is, and nothing else is."""
    database.execute("DELETE FROM articles")
    database.insert(
        "articles",
        [
            (1, f"before {text} after", text, 0, None, None),
            (2, "before x after", "x", 0, None, None),
        ],
    )
    for filter_ in (
        {"title": {"_contains": text}},
        {"title": {"_icontains": text}},
        {"title": {"_starts_with": f"before {text}"}},
        {"title": {"_iends_with": f"{text} AFTER"}},
        {"status": {"_eq": text}},
        {"status": {"_in": [text, "y"]}},
    ):
        found = await read(world, query={"filter": filter_, "fields": "id"})
        assert found == [{"id": 1}], filter_
    assert await read(world, query={"search": text, "fields": "id"}) == [{"id": 1}]
    assert (await read(world, key=f"{text}x"))["code"] == "FORBIDDEN"


@pytest.mark.parametrize("name", METACHARACTERS)
async def test_a_name_is_only_ever_a_name(world: World, database: Stored, name: str) -> None:
    """Tables and columns may be called whatever their database allows."""
    quoted = '"' + name.replace('"', '""') + '"'
    database.execute(f"CREATE TABLE {quoted} ({quoted} VARCHAR(99) PRIMARY KEY, n INTEGER)")
    database.execute(f"INSERT INTO {quoted} VALUES ('x', 1)")
    key = {} if "(" in name else {"filter": {name: {"_eq": "x"}}, "sort": f"-{name}"}

    assert await read(world, collection=name, query=key) == [{name: "x", "n": 1}]
    assert await read(world, collection=name, key="x") == {name: "x", "n": 1}


async def test_a_view_is_a_collection_too(world: World, database: Stored) -> None:
    """Its items have no key, unless a column is called id."""
    database.execute("CREATE VIEW titles AS SELECT title FROM articles")
    database.execute("CREATE VIEW short AS SELECT id, title FROM articles WHERE views > 10")

    assert await read(world, collection="titles", query={"limit": 1}) == [{"title": "First"}]
    assert (await read(world, collection="titles", key="First"))["code"] == "NO_PRIMARY_KEY"
    assert await read(world, collection="short", key=2) == {"id": 2, "title": "Second"}


async def test_a_key_of_two_columns_names_no_item(world: World, database: Stored) -> None:
    """Such items are found by queries, in the order of their keys."""
    database.execute("CREATE TABLE pairs (a INTEGER, b INTEGER, PRIMARY KEY (a, b))")
    database.execute("INSERT INTO pairs VALUES (2, 1), (1, 2), (1, 1)")

    pairs = await read(world, collection="pairs")

    assert [(each["a"], each["b"]) for each in pairs] == [(1, 1), (1, 2), (2, 1)]
    assert (await read(world, collection="pairs", key=1))["code"] == "NO_PRIMARY_KEY"


async def test_a_table_that_changes_beside_us_is_looked_at_again(
    world: World, database: Stored
) -> None:
    """Columns that go, come, and are asked for; tables that go and come."""
    assert await read(world, key=1) == FIRST

    database.execute("ALTER TABLE articles DROP COLUMN status")
    assert "status" not in await read(world, key=1)
    database.execute("ALTER TABLE articles ADD COLUMN rank INTEGER DEFAULT 7")
    world_after = await read(world, query={"filter": {"rank": 7}, "limit": 1})
    assert world_after[0]["rank"] == 7
    database.execute("DROP TABLE articles")
    assert (await read(world, key=1))["code"] == "FORBIDDEN"
    database.execute("CREATE TABLE articles (id INTEGER PRIMARY KEY, x INTEGER)")
    assert await read(world) == []


async def test_more_items_than_there_may_be_reject(world: World, database: Stored) -> None:
    """10,000 at most, whatever the limit says; a page of them is fine."""
    numbers = "WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 10007)"
    database.execute(f"{numbers} INSERT INTO articles (id, title) SELECT i, 'x' FROM n")

    assert (await read(world, query={"limit": -1}))["code"] == "RESULT_TOO_LARGE"
    assert (await read(world, query={"limit": 20_000}))["code"] == "RESULT_TOO_LARGE"
    assert len(await read(world, query={"limit": 10_000, "fields": "id"})) == 10_000
    assert len(await read(world)) == 100


async def test_a_larger_answer_than_there_may_be_rejects(database: Stored) -> None:
    """`limits.response` bounds it, and what is kept of it while it is read."""
    world = World()
    numbers = "WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
    database.execute(f"{numbers} INSERT INTO articles (id, title) SELECT i, 'x' FROM n")

    async with world.opened(database.settings(limits={"response": "40KiB"})):
        all_of_them = await read(world, query={"limit": -1})
        some = await read(world, query={"limit": 50})

    assert all_of_them["code"] == "RESULT_TOO_LARGE"
    assert len(some) == 50


# --- types --------------------------------------------------------------------------------------


async def test_every_type_of_postgresql_is_some_json(postgres: Server, tmp_path: Path) -> None:
    """What nothing is known of comes as the text that the database writes."""
    with stored.postgresql(postgres, tmp_path) as place:
        place.execute(
            """
            CREATE TYPE mood AS ENUM ('sad', 'happy');
            CREATE DOMAIN positive AS INTEGER CHECK (VALUE > 0);
            CREATE TABLE things (
                id UUID PRIMARY KEY, mood mood, positive positive, big BIGINT, price NUMERIC(10, 2),
                real REAL, flag BOOLEAN, day DATE, clock TIME, zoned TIMETZ, at TIMESTAMP,
                moment TIMESTAMPTZ, json JSON, jsonb JSONB, texts TEXT[], grid INTEGER[][],
                bytes BYTEA, span INTERVAL, address INET, range INT4RANGE, money MONEY, place POINT,
                bits BIT(3), xml XML, words TSVECTOR, moods mood[], chars CHAR(3), name NAME
            );
            INSERT INTO things VALUES (
                '00000000-0000-0000-0000-00000000000A', 'happy', 5, 9007199254740993, 12.30,
                0.5, true, '2024-02-29', '12:30', '12:30+02', '2024-02-29 12:30',
                '2024-02-29 12:30+02',
                '{"a": 12345678901234567890}', '[1]', '{a,NULL}', '{{1,2},{3,4}}',
                '\\x00ff', '1 day 2 hours', '10.0.0.1/8', '[1,5)', '$1.50', '(1,2)',
                B'101', '<a/>', 'a b', '{sad,happy}', 'ab', 'n'
            )
            """
        )
        world = World()
        async with world.opened(place.settings()):
            found = await read(
                world, collection="things", key="00000000-0000-0000-0000-00000000000A"
            )
            by_text = await read(
                world,
                collection="things",
                query={
                    "filter": {"mood": {"_contains": "pp"}, "span": "1 day 02:00:00"},
                    "search": "10.0.0.1",
                    "sort": "mood",
                    "fields": "positive",
                },
            )
            not_one_of_them = await read(
                world, collection="things", query={"filter": {"mood": "furious"}}
            )

    assert found == {
        "id": "00000000-0000-0000-0000-00000000000a",
        "mood": "happy",
        "positive": 5,
        "big": 9007199254740993,
        "price": 12.3,
        "real": 0.5,
        "flag": True,
        "day": "2024-02-29",
        "clock": "12:30:00",
        "zoned": "12:30:00+02",
        "at": "2024-02-29T12:30:00",
        "moment": "2024-02-29T10:30:00.000Z",
        "json": {"a": 12345678901234567890},
        "jsonb": [1],
        "texts": ["a", None],
        "grid": [[1, 2], [3, 4]],
        "bytes": "AP8=",
        "span": "1 day 02:00:00",
        "address": "10.0.0.1/8",
        "range": "[1,5)",
        "money": "$1.50",
        "place": "(1,2)",
        "bits": "101",
        "xml": "<a/>",
        "words": "'a' 'b'",
        "moods": "{sad,happy}",
        "chars": "ab ",
        "name": "n",
    }
    assert by_text == [{"positive": 5}]
    assert not_one_of_them == []


async def test_every_type_of_sqlite_is_some_json(tmp_path: Path) -> None:
    """Whatever a column is declared as, and whatever stands in it."""
    with stored.sqlite(tmp_path) as place:
        place.execute(
            """
            CREATE TABLE things (
                id INTEGER PRIMARY KEY, untyped, odd "VERY ODD(1, x)", price DECIMAL(10, 2),
                flag BOOLEAN, day DATE, at DATETIME, moment TIMESTAMP, json JSON, bytes BLOB,
                uuid UUID, long LONGTEXT, real REAL
            );
            INSERT INTO things VALUES
                (1, 'x', 'y', 12.30, 1, '2024-02-29', '2024-02-29 12:30:00', 1709209800000,
                 '{"a": 1}', x'00ff', 'a', 'b', 9e999),
                (2, x'00', 1.5, 'free', 'no', 5, 'soon', 'never', '{', 'text', NULL, 7, 1)
            """
        )
        world = World()
        async with world.opened(place.settings()):
            found = await read(world, collection="things")

    assert [list(each.values()) for each in found] == [
        [1, "x", "y", 12.3, True, "2024-02-29", "2024-02-29T12:30:00", "2024-02-29T12:30:00.000Z",
         {"a": 1}, "AP8=", "a", "b", None],
        [2, "AA==", 1.5, "free", "no", "1970-01-01", "soon", "never", "{", "text", None, "7", 1.0],
    ]  # fmt: skip
