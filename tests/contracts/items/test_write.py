"""What `item-create`, `item-update` and `item-delete` do, whichever database they write to."""

import asyncio
from typing import Any

import pytest

from runner import jsontext
from runner.items.given import MAX_ITEMS
from runner.model import Accountability, Status
from runner.types import JSONObject, JSONValue
from tests.stored import Stored
from tests.world import World

BEFORE = [(1, "First", 10), (2, "Second", 20), (3, "Third", 30)]


async def write(world: World, verb: str, **options: JSONValue) -> Any:
    """What the operation resolves with, or the error it rejects with."""
    asked: JSONObject = {"collection": "articles", "permissions": "$full", **options}
    return (await world.operate(f"item-{verb}", asked)).value


async def item(world: World, key: JSONValue, collection: str = "articles") -> Any:
    """An item, as it is read."""
    return await write(world, "read", collection=collection, key=key)


def articles(database: Stored) -> list[tuple[Any, ...]]:
    """All of them, in short."""
    return database.rows("SELECT id, title, views FROM articles ORDER BY id")


# --- create -------------------------------------------------------------------------------------


async def test_an_item_gets_its_key_and_its_defaults_from_the_database(world: World) -> None:
    """The result is a list of keys, also of one item."""
    assert await write(world, "create", payload={"title": "New", "tags": {"a": [1, None]}}) == [4]

    made = await item(world, 4)

    assert made.pop("created").endswith("Z")
    expected = {"id": 4, "title": "New", "status": "draft", "views": 0, "tags": {"a": [1, None]}}
    assert made == expected


async def test_a_null_is_null_and_no_default(world: World) -> None:
    """Of a JSON column too, which could say null otherwise."""
    payload = {"title": "New", "status": None, "views": None, "tags": None}
    await write(world, "create", payload=payload)

    assert {**await item(world, 4), "created": None} == {"id": 4, **payload, "created": None}
    nulls = await write(world, "read", query={"filter": {"tags": {"_null": True}}, "fields": "id"})
    assert nulls == [{"id": 2}, {"id": 4}]


async def test_several_items_get_their_keys_in_their_order(world: World, database: Stored) -> None:
    """Whatever each of them leaves out."""
    payload: list[JSONValue] = [
        {"title": "a"},
        {"title": "b"},
        {"views": 7, "title": "c"},
        {"title": "d", "views": 8},
        {"title": "e", "id": 70},
        {"title": "f", "id": None},
        {"title": "g"},
    ]

    keys = await write(world, "create", payload=payload)

    titles = dict(database.rows("SELECT id, title FROM articles"))
    assert "".join(titles[key] for key in keys) == "abcdefg"
    assert keys[:5] == [4, 5, 6, 7, 70]


async def test_as_many_items_as_there_may_be_keep_their_order(
    world: World, database: Stored
) -> None:
    """A statement for as many as possible must not mix up keys."""
    keys = await write(world, "create", payload=[{"title": f"{n}"} for n in range(2500)])

    titles = dict(database.rows("SELECT id, title FROM articles"))
    assert [titles[key] for key in keys] == [f"{n}" for n in range(2500)]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [(None, None), ("", None), ("null", None), ([], []), ('{"title": "x"}', [4])],
)
async def test_a_payload_may_be_text_or_nothing(
    world: World, payload: JSONValue, expected: JSONValue
) -> None:
    """Nothing is written for nothing."""
    assert await write(world, "create", payload=payload) == expected


async def test_a_key_may_be_a_text(world: World, database: Stored) -> None:
    """It has to be given, where the database makes none."""
    database.execute("CREATE TABLE words (word VARCHAR(20) PRIMARY KEY, n INTEGER)")

    made = await write(world, "create", collection="words", payload=[{"word": "b"}, {"word": "a"}])
    missing = await write(world, "create", collection="words", payload={"n": 1})
    changed = await write(world, "update", collection="words", key="a", payload={"n": 5})

    assert made == ["b", "a"]
    assert missing[0]["extensions"] == {"field": "word", "type": "required"}
    assert changed == "a"
    assert await item(world, "a", "words") == {"word": "a", "n": 5}


async def test_a_key_may_be_a_number_that_the_database_does_not_make(
    world: World, database: Stored
) -> None:
    """SQLite would let it be null."""
    database.execute("CREATE TABLE numbers (n SMALLINT PRIMARY KEY, x INTEGER)")

    assert await write(world, "create", collection="numbers", payload={"n": 5}) == [5]
    missing = await write(world, "create", collection="numbers", payload={"x": 1})

    assert missing[0]["extensions"] == {"field": "n", "type": "required"}
    assert database.rows("SELECT n, x FROM numbers") == [(5, None)]


# --- what the database refuses ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "failures"),
    [
        ({}, [("title", "required")]),
        ({"views": 1}, [("title", "required")]),
        ({"title": None}, [("title", "nnull")]),
        ([{"title": "x"}, {"views": 1}], [("title", "required")]),
    ],
)
async def test_what_is_required_and_missing_is_named(
    world: World, database: Stored, payload: JSONValue, failures: list[tuple[str, str]]
) -> None:
    """As `condition` rejects: a list, of which each has a field."""
    errors = await write(world, "create", payload=payload)

    found = [(each["extensions"]["field"], each["extensions"]["type"]) for each in errors]
    assert found == failures
    assert {(each["code"], each["status"]) for each in errors} == {("FAILED_VALIDATION", 400)}
    assert articles(database) == BEFORE


async def test_all_that_is_missing_is_named_at_once(world: World, database: Stored) -> None:
    """The database itself names the first only."""
    database.execute(
        "CREATE TABLE needy (id SERIAL, a INTEGER NOT NULL, b INTEGER NOT NULL DEFAULT 1,"
        " c INTEGER NOT NULL, d INTEGER, e INTEGER NOT NULL)"
    )

    errors = await write(world, "create", collection="needy", payload={"c": 1, "e": None})

    fields = {each["extensions"]["field"]: each["extensions"]["type"] for each in errors}
    assert fields == {"a": "required", "e": "nnull"}


@pytest.mark.parametrize(
    ("payload", "code", "field"),
    [
        ({"id": 1, "email": "z"}, "RECORD_NOT_UNIQUE", "id"),
        ({"email": "secret-a"}, "RECORD_NOT_UNIQUE", "email"),
        ({"email": "z", "first": "secret-f", "last": "l"}, "RECORD_NOT_UNIQUE", "first, last"),
        ({"email": "z", "friend": 99}, "INVALID_FOREIGN_KEY", "friend"),
        ({"email": "z", "age": -1}, "FAILED_VALIDATION", None),
    ],
)
async def test_what_breaks_a_constraint_is_refused(
    world: World, database: Stored, payload: JSONObject, code: str, field: str | None
) -> None:
    """The error names fields, and never what is in them."""
    database.execute(
        "CREATE TABLE people (id SERIAL, email VARCHAR(99) UNIQUE, first VARCHAR(9),"
        " last VARCHAR(9), age INTEGER CHECK (age >= 0), friend INTEGER REFERENCES people (id),"
        " UNIQUE (first, last));"
        "INSERT INTO people (email, first, last) VALUES ('secret-a', 'secret-f', 'l')"
    )

    error = await write(world, "create", collection="people", payload=payload)

    assert (error["code"], error["status"]) == (code, 400)
    assert error["extensions"]["collection"] == "people"
    # SQLite does not say which reference it is.
    assert error["extensions"]["field"] in (field, None if code == "INVALID_FOREIGN_KEY" else field)
    assert "secret" not in str(error)
    assert database.rows("SELECT count(*) FROM people") == [(1,)]


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        ({"titel": "x"}, 'There is no field "titel" in "articles"; did you mean "title"?'),
        ({"title": "x", "%(x)s": 1}, 'There is no field "%(x)s" in "articles".'),
        ({"title": "x", "views": "many"}, '"views" in "articles" has to be an integer.'),
        ({"title": "x", "views": 1.5}, '"views" in "articles" has to be an integer.'),
        ({"title": "x", "views": 1e30}, '"views" in "articles" has to be an integer.'),
        ({"title": "x", "views": [1]}, '"views" in "articles" has to be an integer.'),
        ({"title": "x", "created": "soon"}, '"created" in "articles" has to be a date and time'),
        ({"title": "x", "created": {}}, '"created" in "articles" has to be a date and time'),
    ],
)
async def test_what_fits_no_field_is_refused(
    world: World, database: Stored, payload: JSONObject, told: str
) -> None:
    """Before anything is written, with the name of the field."""
    for verb, more in (("create", {}), ("update", {"key": 1})):
        error = await write(world, verb, payload=payload, **more)

        assert (error["code"], error["status"]) == ("INVALID_PAYLOAD", 400)
        assert told in error["message"]
    assert articles(database) == BEFORE


async def test_a_field_that_the_database_makes_is_refused(world: World, database: Stored) -> None:
    """Nobody can write it."""
    database.execute(
        "CREATE TABLE sums (id SERIAL, a INTEGER, twice INTEGER GENERATED ALWAYS AS (a * 2) STORED)"
    )

    assert await write(world, "create", collection="sums", payload={"a": 2}) == [1]
    error = await write(world, "create", collection="sums", payload={"a": 2, "twice": 5})

    assert error["message"] == 'Invalid payload. "twice" in "sums" is made by the database.'


async def test_one_item_that_is_refused_refuses_them_all(world: World, database: Stored) -> None:
    """All or nothing."""
    payload: list[JSONValue] = [{"title": "a"}, {"title": "b", "views": 1}, {"id": 1, "title": "c"}]

    error = await write(world, "create", payload=payload)

    assert error["code"] == "RECORD_NOT_UNIQUE"
    assert articles(database) == BEFORE


@pytest.mark.parametrize(
    ("collection", "code"), [("nope", "FORBIDDEN"), ("pairs", "NO_PRIMARY_KEY"),
    ("bare", "NO_PRIMARY_KEY"), ("seen", "NO_PRIMARY_KEY")],
)  # fmt: skip
@pytest.mark.parametrize("verb", ["create", "update", "delete"])
async def test_only_tables_with_a_primary_key_of_one_column_are_written(
    world: World, database: Stored, verb: str, collection: str, code: str
) -> None:
    """An item has a key, which is what its operations resolve with."""
    database.execute(
        "CREATE TABLE pairs (a INTEGER, b INTEGER, PRIMARY KEY (a, b));"
        "CREATE TABLE bare (id INTEGER, b INTEGER);"
        "CREATE VIEW seen AS SELECT id, title FROM articles"
    )
    options: JSONObject = {} if verb == "create" else {"key": 1}
    options |= {} if verb == "delete" else {"payload": {"a": 1}}

    assert (await write(world, verb, collection=collection, **options))["code"] == code


@pytest.mark.parametrize("verb", ["create", "update"])
async def test_more_items_than_there_may_be_are_refused(world: World, verb: str) -> None:
    """One operation is one transaction, which nobody should wait for too long."""
    options: JSONObject = {"collection": "articles", "payload": "{{ $trigger }}"}
    many: list[JSONValue] = [{"title": "x", "id": 1}] * (MAX_ITEMS + 1)

    result = await world.operate(f"item-{verb}", options, many)

    assert result.status is Status.REJECTED
    assert result.value["code"] in ("INVALID_PAYLOAD", "INVALID_OPTIONS")  # type: ignore[index, call-overload]


# --- update -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "result", "changed"),
    [
        (1, 1, {1}),
        ("1", "1", {1}),
        ([2], 2, {2}),
        ([1, 3], [1, 3], {1, 3}),
        ("1,3", ["1", "3"], {1, 3}),
        (99, 99, set()),
        ([1, 99], [1, 99], {1}),
        ([], [], set()),
        ([1, 1], [1, 1], {1}),
    ],
)
async def test_keys_say_which_items_change(
    world: World, database: Stored, key: JSONValue, result: JSONValue, changed: set[int]
) -> None:
    """They come back as they were given, also where there is no such item, as in Directus."""
    assert await write(world, "update", key=key, payload={"views": 77}) == result
    assert {id_ for id_, _, views in articles(database) if views == 77} == changed


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"filter": {"status": {"_eq": "published"}}}, [1, 3]),
        ('{"filter": {"id": {"_gt": 1}}, "sort": ["-id"], "limit": 1}', [3]),
        ({"search": "sec"}, [2]),
        ({"filter": {"id": 99}}, []),
        ({"limit": -1}, [1, 2, 3]),
        ({"limit": 2, "sort": "-views"}, [3, 2]),
        ({"filter": {"id": 1}, "fields": ["title"], "alias": {"id": "views"}}, [1]),
        ({"filter": {"id": 1}, "aggregate": {"count": "*"}, "groupBy": ["views"]}, [1]),
    ],
)
async def test_a_query_finds_the_items(
    world: World, database: Stored, query: JSONValue, found: list[int]
) -> None:
    """The result is the list of their keys, also of one."""
    assert await write(world, "update", query=query, payload={"views": 77}) == found
    assert {id_ for id_, _, views in articles(database) if views == 77} == set(found)


async def test_a_query_without_a_limit_means_all_that_it_finds(
    world: World, database: Stored
) -> None:
    """Changing the first hundred of them only would be a trap."""
    database.insert("articles", [(n, "x", "many", 0, None, None) for n in range(10, 260)])
    query = {"filter": {"status": "many"}}

    assert len(await write(world, "update", query=query, payload={"views": 1})) == 250
    assert len(await write(world, "delete", query=query)) == 250
    assert articles(database) == BEFORE


UNCHOSEN: list[tuple[JSONObject, str]] = [
    ({}, "INVALID_PAYLOAD"),
    ({"key": None}, "INVALID_PAYLOAD"),
    ({"key": ""}, "INVALID_PAYLOAD"),
    ({"key": None, "query": None}, "INVALID_PAYLOAD"),
    ({"key": ["{{ $trigger.missing }}"]}, "INVALID_OPTIONS"),
    ({"key": 1, "query": {"filter": {"id": 1}}}, "INVALID_PAYLOAD"),
    ({"query": {}}, "INVALID_QUERY"),
    ({"query": {"sort": "id"}}, "INVALID_QUERY"),
    ({"query": {"filter": {}}}, "INVALID_QUERY"),
    ({"query": {"filter": None, "limit": -1}}, "INVALID_QUERY"),
    ({"query": {"filter": "{{ $trigger.missing }}"}}, "INVALID_QUERY"),
    ({"query": {"search": ""}}, "INVALID_QUERY"),
    ({"query": {"filter": {"nope": 1}}}, "INVALID_QUERY"),
    ({"key": "one"}, "INVALID_PAYLOAD"),
]


@pytest.mark.parametrize("verb", ["update", "delete"])
async def test_nothing_means_every_item_by_mistake(
    world: World, database: Stored, verb: str
) -> None:
    """Directus would take all of them where neither key nor query says which."""
    payload: JSONObject = {"payload": {"views": 77}} if verb == "update" else {}
    for options, code in UNCHOSEN:
        error = await write(world, verb, **payload, **options)

        assert error["code"] == code, options
    assert articles(database) == BEFORE


@pytest.mark.parametrize("verb", ["update", "delete"])
async def test_an_operation_that_says_no_items_is_warned_of(world: World, verb: str) -> None:
    """It can be seen in the file that it always rejects."""
    operation = {"type": f"item-{verb}", "options": {"collection": "articles", "payload": {}}}
    if verb == "delete":
        del operation["options"]["payload"]  # type: ignore[attr-defined]
    flow = jsontext.write({"name": "x", "trigger": "operation", "operations": [operation]})

    loaded = await world.load_files({"x.yaml": flow})

    assert [(each.code, each.severity) for each in loaded.issues] == [("no-selection", "warning")]


@pytest.mark.parametrize("payload", [None, "", "null"])
async def test_no_payload_changes_nothing(
    world: World, database: Stored, payload: JSONValue
) -> None:
    """And resolves with null, whatever the key says."""
    assert await write(world, "update", key=1, payload=payload) is None
    assert await write(world, "update", payload=payload) is None
    assert articles(database) == BEFORE


async def test_an_empty_payload_changes_nothing(world: World, database: Stored) -> None:
    """The key comes back all the same."""
    assert await write(world, "update", key=1, payload={}) == 1
    assert articles(database) == BEFORE


async def test_a_list_changes_each_item_as_it_says(world: World, database: Stored) -> None:
    """Each element holds its primary key."""
    payload: list[JSONValue] = [{"id": 3, "title": "c"}, {"views": 1, "id": "1"}]

    assert await write(world, "update", payload=payload) == [3, "1"]
    assert articles(database) == [(1, "First", 1), (2, "Second", 20), (3, "c", 30)]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"payload": [{"id": 1, "views": 1}, {"views": 2}]}, "no primary key"),
        ({"payload": [{"id": None, "views": 2}]}, "no primary key"),
        ({"payload": [{"id": 1, "views": 1}], "key": 1}, "neither `key` nor `query`"),
        ({"payload": [{"id": 1, "views": 1}], "query": {"limit": -1}}, "neither `key` nor `query`"),
        ({"payload": [{"id": 1, "views": 1}, {"id": 2, "views": "x"}]}, "has to be an integer"),
    ],
)
async def test_a_list_that_cannot_be_meant_is_refused(
    world: World, database: Stored, options: JSONObject, told: str
) -> None:
    """As a whole."""
    error = await write(world, "update", **options)

    assert error["code"] == "INVALID_PAYLOAD"
    assert told in error["message"]
    assert articles(database) == BEFORE


async def test_what_is_required_cannot_become_null(world: World, database: Stored) -> None:
    """What an update leaves out is not missing."""
    errors = await write(world, "update", key=1, payload={"title": None, "status": None})

    assert [each["extensions"] for each in errors] == [{"field": "title", "type": "nnull"}]
    assert articles(database) == BEFORE


async def test_a_key_can_be_changed_unless_it_is_taken(world: World) -> None:
    """It is a field like others."""
    assert await write(world, "update", key=1, payload={"id": 9}) == 1
    assert (await write(world, "update", key=2, payload={"id": 9}))["code"] == "RECORD_NOT_UNIQUE"
    assert (await item(world, 9))["title"] == "First"


# --- delete -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "result", "left"),
    [
        ({"key": 1}, 1, {2, 3}),
        ({"key": "1"}, "1", {2, 3}),
        ({"key": [1]}, 1, {2, 3}),
        ({"key": [1, 2]}, [1, 2], {3}),
        ({"key": "1,3"}, ["1", "3"], {2}),
        ({"key": 99}, 99, {1, 2, 3}),
        ({"key": []}, [], {1, 2, 3}),
        ({"query": {"filter": {"status": {"_eq": "draft"}}}}, [2], {1, 3}),
        ({"query": {"filter": {"id": 99}}}, [], {1, 2, 3}),
        ({"query": {"limit": -1}}, [1, 2, 3], set()),
    ],
)
async def test_items_go(
    world: World, database: Stored, options: JSONObject, result: JSONValue, left: set[int]
) -> None:
    """Those that keys name, or a query finds; what comes back is as for an update."""
    assert await write(world, "delete", **options) == result
    assert {row[0] for row in articles(database)} == left


async def test_an_item_that_is_referred_to_stays(world: World, database: Stored) -> None:
    """With all that should have gone with it."""
    database.execute(
        "CREATE TABLE notes (id SERIAL, article INTEGER NOT NULL REFERENCES articles (id));"
        "INSERT INTO notes (article) VALUES (2)"
    )

    error = await write(world, "delete", key=[1, 2])

    assert (error["code"], error["status"]) == ("INVALID_FOREIGN_KEY", 400)
    assert articles(database) == BEFORE


async def test_a_reference_that_is_checked_at_the_end_is_refused_too(
    world: World, database: Stored
) -> None:
    """The commit fails, and says why."""
    database.execute(
        "CREATE TABLE notes (id SERIAL, article INTEGER"
        " REFERENCES articles (id) DEFERRABLE INITIALLY DEFERRED)"
    )

    error = await write(world, "create", collection="notes", payload={"article": 99})

    assert error["code"] == "INVALID_FOREIGN_KEY"
    assert database.rows("SELECT count(*) FROM notes") == [(0,)]


# --- who may ------------------------------------------------------------------------------------

ROLES: JSONObject = {
    "adds": {"collections": {"articles": ["create"]}},
    "changes": {"collections": {"articles": ["update", "delete"]}},
    "reads": {"collections": {"articles": ["read"]}},
    "elsewhere": {"collections": {"others": ["read", "create", "update", "delete"]}},
    "all": {"collections": {"articles": ["read", "create", "update", "delete"]}},
}
BY_QUERY: JSONObject = {"query": {"filter": {"id": 1}}}


@pytest.mark.parametrize(
    ("verb", "options", "may"),
    [
        ("create", {}, {"adds", "all", "$full"}),
        ("update", {"key": 1}, {"changes", "all", "$full"}),
        ("update", BY_QUERY, {"all", "$full"}),
        ("delete", {"key": 1}, {"changes", "all", "$full"}),
        ("delete", BY_QUERY, {"all", "$full"}),
    ],
)
async def test_a_role_says_what_may_be_written(
    database: Stored, verb: str, options: JSONObject, may: set[str]
) -> None:
    """Finding items takes the permission to read them, too."""
    world = World()
    payload: JSONObject = {} if verb == "delete" else {"payload": {"title": "x"}}
    allowed = set()

    async with world.opened(database.settings(roles=ROLES)):
        for role in (*ROLES, "$public", "$full"):
            done = await write(world, verb, permissions=role, **options, **payload)
            if isinstance(done, dict):
                assert (done["code"], done["status"]) == ("FORBIDDEN", 403)
            else:
                allowed.add(role)

    assert allowed == may


async def test_without_permissions_the_flow_says_who_writes(world: World) -> None:
    """And where it does not, it is whoever caused the execution."""
    operation = {
        "key": "it",
        "type": "item-create",
        "options": {"collection": "articles", "payload": {"title": "x"}},
    }
    flow = {"name": "x", "trigger": "operation", "operations": [operation]}
    files = {"caller.yaml": flow, "full.yaml": {**flow, "accountability": "$full"}}
    await world.load_files({name: jsontext.write(data) for name, data in files.items()})

    statuses = [
        (await world.run(key, None, who)).status
        for key, who in (("caller", Accountability()), ("caller", None), ("full", Accountability()))
    ]

    assert statuses == [Status.REJECTED, Status.RESOLVED, Status.RESOLVED]


# --- names and texts ----------------------------------------------------------------------------

METACHARACTERS = [
    "'", '"', "`", "\\", "%", "%%", "';--", '"; DROP TABLE articles; --', ":x", "%(x)s", "?", "$1",
    "{}", "a b", "é", "[0]", "(x)", "id_1", "param_1",
]  # fmt: skip


@pytest.mark.parametrize("column", ["id", "name"])
async def test_a_name_is_only_ever_a_name(world: World, database: Stored, column: str) -> None:
    """Of a table, of its key, of another column; and a text is only a text."""
    for name in METACHARACTERS:
        key, other = (name, "id") if column == "id" else ("id", name)
        table, *columns = ('"' + each.replace('"', '""') + '"' for each in (name, key, other))
        database.execute(
            f"CREATE TABLE {table} ({columns[0]} VARCHAR(99) PRIMARY KEY, {columns[1]} TEXT)"
        )

        made = [
            await write(world, "create", collection=name, payload={key: name, other: name}),
            await write(world, "create", collection=name, payload=[{key: "a"}, {key: "b"}]),
            await write(world, "update", collection=name, key=[name], payload={other: f"{name}!"}),
        ]

        assert made == [[name], ["a", "b"], name]
        assert await item(world, [name], name) == {key: name, other: f"{name}!"}
        assert await write(world, "delete", collection=name, key=[name, "a"]) == [name, "a"]
        assert database.rows(f"SELECT count(*) FROM {table}") == [(1,)]


# --- beside others ------------------------------------------------------------------------------


async def test_a_column_that_was_added_beside_us_can_be_written(
    world: World, database: Stored
) -> None:
    """Migrations need no restart."""
    assert await write(world, "create", payload={"title": "x"}) == [4]

    database.execute("ALTER TABLE articles ADD COLUMN rank INTEGER")

    assert await write(world, "create", payload={"title": "x", "rank": 7}) == [5]
    assert (await item(world, 5))["rank"] == 7


async def test_many_write_at_once(world: World, database: Stored) -> None:
    """More than there are connections: each waits for its turn."""
    options = {"collection": "articles", "permissions": "$full", "payload": "{{ $trigger }}"}
    operation = {"key": "it", "type": "item-create", "options": options}
    flow = {"name": "x", "trigger": "operation", "operations": [operation]}
    await world.load_files({"x.yaml": jsontext.write(flow)})

    runs = (world.run("x", {"title": f"{n}"}) for n in range(40))
    results = await asyncio.gather(*runs)

    assert {result.status for result in results} == {Status.RESOLVED}
    assert len(articles(database)) == 43
