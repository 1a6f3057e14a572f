"""Databases that are not there, hang, go away, or change their address."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runner import settings
from runner.errors import OperationError
from runner.items import engines
from runner.items.databases import DATABASES, Database
from runner.model import Status
from runner.records import Recorder
from runner.redact import Redactor
from runner.settings import Settings
from tests import stored
from tests.postgres import Server
from tests.stored import Stored
from tests.world import World

ROOT = Path(__file__).parent.parent.parent.parent


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """A file with three articles."""
    with stored.sqlite(tmp_path) as place:
        place.execute(stored.ARTICLES)
        async with opened(place.settings()) as found:
            yield found


@contextlib.asynccontextmanager
async def opened(given: Settings) -> AsyncIterator[Database]:
    """Its `default`, until the block ends."""
    async with DATABASES.open(given) as databases:
        yield databases.get("default")


def settings_of(folder: Path, url: Any, **more: Any) -> Settings:
    """Settings with a database at *url*."""
    return Stored("", url, folder).settings(**more)


async def count(database: Database) -> int:
    """How many articles there are."""
    async with database.connection() as connection:
        return int((await connection.exec_driver_sql("SELECT count(*) FROM articles")).scalar())


async def code_of(database: Database) -> str | None:
    """What using it comes to."""
    try:
        await count(database)
    except OperationError as error:
        return error.own_code
    return None


async def read(world: World) -> Any:
    """What reading an article gives."""
    options = {
        "collection": "articles",
        "permissions": "$full",
        "key": 1,
        "query": {"fields": "id"},
    }
    return (await world.operate("item-read", options)).value


# --- where it is --------------------------------------------------------------------------------


async def test_a_mistyped_name_makes_no_new_file(tmp_path: Path) -> None:
    """An empty database in its place would only fail later, and elsewhere."""
    path = tmp_path / "nope.db"

    async with opened(settings_of(tmp_path, f"sqlite:///{path}")) as database:
        with pytest.raises(OperationError, match=r"unable to open .* not made by itself") as caught:
            await count(database)

    assert (caught.value.own_code, caught.value.own_status) == ("DATABASE_UNAVAILABLE", 503)
    assert not path.exists()


@pytest.mark.parametrize("name", ["a b.db", "a%20b.db", "a'b\".db", "ä&mode=memory.db", "x:y@z.db"])
async def test_a_file_may_be_called_whatever_one_likes(tmp_path: Path, name: str) -> None:
    """Nothing in its name is read as a parameter, or decoded."""
    with stored.sqlite(tmp_path) as place:
        place.execute(stored.ARTICLES)
    (tmp_path / "data.db").rename(tmp_path / name)

    async with opened(settings_of(tmp_path, f"sqlite:///{tmp_path / name}")) as database:
        assert await count(database) == 3


async def test_a_relative_path_begins_where_the_runner_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with every other path of the settings."""
    with stored.sqlite(tmp_path) as place:
        place.execute(stored.ARTICLES)
    monkeypatch.chdir(tmp_path)

    async with opened(settings_of(tmp_path, "sqlite:///data.db")) as database:
        assert await count(database) == 3


async def test_a_file_that_is_no_database_says_so(tmp_path: Path) -> None:
    """It is not written to, either."""
    path = tmp_path / "data.db"
    path.write_bytes(b"no database, but more than a header of one " * 50)

    async with opened(settings_of(tmp_path, f"sqlite:///{path}")) as database:
        assert await code_of(database) == "DATABASE_ERROR"

    assert path.read_bytes().startswith(b"no database")


async def test_several_databases_are_told_apart_by_name(tmp_path: Path) -> None:
    """`default` is the one of operations that name none."""
    with stored.sqlite(tmp_path) as place:
        place.execute(stored.ARTICLES)
        (tmp_path / "archive").mkdir()
        with stored.sqlite(tmp_path / "archive") as archive:
            archive.execute(stored.ARTICLES)
            archive.execute("UPDATE articles SET title = 'Old'")
            urls = {"default": {"url": place.url}, "archive": {"url": archive.url}}
            given = place.settings(databases=urls)
    world = World()
    asked = {
        "collection": "articles",
        "permissions": "$full",
        "key": 1,
        "query": {"fields": "title"},
    }

    async with world.opened(given):
        found: list[Any] = [
            (await world.operate("item-read", {**asked, **more})).value
            for more in ({}, {"database": "archive"}, {"database": "nope"})
        ]

    assert found[:2] == [{"title": "First"}, {"title": "Old"}]
    assert found[2]["code"] == "UNKNOWN_DATABASE"


async def test_an_address_is_read_again_for_every_connection(tmp_path: Path) -> None:
    """A password may have been rotated; connections that are open stay."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with stored.sqlite(tmp_path / name) as place:
            place.execute(stored.ARTICLES)
            place.execute(f"UPDATE articles SET title = '{name}'")
    secret = tmp_path / "DATABASE_URL"
    secret.write_text(f"sqlite:///{tmp_path}/one/data.db")
    given = settings_of(tmp_path, {"file": "DATABASE_URL"}, secrets_dir=str(tmp_path))
    titles = []

    async with opened(given) as database, database.connection() as first:
        secret.write_text(f"sqlite:///{tmp_path}/two/data.db")
        async with database.connection() as second:
            for each in (first, second):
                rows = await each.exec_driver_sql("SELECT title FROM articles WHERE id = 1")
                titles.append(rows.scalar())
        secret.unlink()
        async with database.connection():
            with pytest.raises(OperationError, match="'DATABASE_URL' is missing") as caught:
                await count(database)

    assert titles == ["one", "two"]
    assert caught.value.own_code == "DATABASE_UNAVAILABLE"


# --- secrets ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:rather%20secret@127.0.0.1:1/x",
        "postgresql://127.0.0.1:1/x?user=me&password=rather%20secret",
        "postgresql://me:rather%20secret@127.0.0.1:1/x?sslpassword=rather%20secret",
    ],
)
async def test_a_password_is_in_no_message_and_no_record(tmp_path: Path, url: str) -> None:
    """Neither the address nor the password alone, in whatever form."""
    redactor = Redactor()
    file = tmp_path / "settings.yaml"
    file.write_text(f'databases: {{default: {{url: "{url}"}}}}')
    given = settings.load({}, {}, file, redactor.learn)
    world = World()
    world.redactor = redactor
    world.recorder = Recorder(redactor, world.kept)

    async with opened(given) as database:
        with pytest.raises(OperationError) as caught:
            await count(database)
    world.recorder.emit("daemon.warning", message="the password is rather secret")

    assert caught.value.own_code == "DATABASE_UNAVAILABLE"
    assert "secret" not in caught.value.message
    assert "rather" not in repr(given)
    assert world.records[0]["message"] == "the password is --redacted--"


# --- what goes wrong ----------------------------------------------------------------------------


async def test_a_server_that_refuses_is_unavailable(tmp_path: Path) -> None:
    """The reason is the driver's."""
    async with opened(settings_of(tmp_path, "postgresql://me@127.0.0.1:1/x")) as database:
        with pytest.raises(
            OperationError, match=r"^the database \"default\" cannot be reached: Con"
        ):
            await count(database)


async def test_a_server_that_says_nothing_ends_in_time(tmp_path: Path) -> None:
    """`limits.request_time`, unless the operation says how long it may take."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://me@127.0.0.1:{silent.getsockname()[1]}/x"
        given = settings_of(tmp_path, url, limits={"request_time": "50ms"})
        async with opened(given) as database:
            late = await code_of(database)
            with pytest.raises(OperationError, match=r"longer than 0\.02 s"):
                async with database.connection(0.02):
                    pass

    assert late == "TIMED_OUT"


async def test_a_server_that_goes_away_is_told_and_found_again(
    postgres: Server, tmp_path: Path
) -> None:
    """One use finds out; when the server is back, the next one works."""
    with stored.postgresql(postgres, tmp_path) as place:
        place.execute(stored.ARTICLES)
        place.execute("CHECKPOINT")
        world = World()
        async with world.opened(place.settings()):
            before = await read(world)
            await asyncio.to_thread(postgres.stop, "immediate")
            try:
                gone = [await read(world), await read(world)]
            finally:
                await asyncio.to_thread(postgres.start)
            after = await read(world)

    assert before == after == {"id": 1}
    assert [each["code"] for each in gone] == ["DATABASE_UNAVAILABLE"] * 2


async def test_a_connection_that_an_administrator_ends_is_replaced(
    postgres: Server, tmp_path: Path
) -> None:
    """All that are open are given up with it."""
    with stored.postgresql(postgres, tmp_path) as place:
        place.execute(stored.ARTICLES)
        async with opened(place.settings()) as database:
            await count(database)
            place.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'gitops-flow-runner'"
            )
            codes = [await code_of(database), await code_of(database)]

    assert codes == ["DATABASE_UNAVAILABLE", None]


@pytest.mark.slow
async def test_a_server_that_hangs_in_a_statement_is_given_up(
    postgres: Server, tmp_path: Path
) -> None:
    """It is asked to stop; if it does not within five seconds, its connection ends."""
    with stored.postgresql(postgres, tmp_path) as place:
        place.execute(stored.ARTICLES)
        async with opened(place.settings()) as database:
            async with database.connection() as connection:
                rows = await connection.exec_driver_sql("SELECT pg_backend_pid()")
                pid = rows.scalar()
            os.kill(pid, signal.SIGSTOP)
            try:
                with pytest.raises(OperationError, match=r"longer than 0\.1 s"):
                    async with database.connection(0.1) as connection:
                        await connection.exec_driver_sql("SELECT 1")
                assert await count(database) == 3
            finally:
                os.kill(pid, signal.SIGCONT)


async def test_waiting_for_a_connection_ends_too(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are five; the sixth waits, and is told that all are in use."""
    monkeypatch.setattr(engines, "_PATIENCE", 0.05)

    async with contextlib.AsyncExitStack() as stack:
        for _ in range(engines.CONNECTIONS):
            await stack.enter_async_context(database.connection())
        with pytest.raises(OperationError, match="all 5 connections are in use") as caught:
            await count(database)

    assert caught.value.own_code == "DATABASE_BUSY"
    assert await count(database) == 3


async def test_a_read_that_is_cancelled_gives_its_connection_back(database: Database) -> None:
    """However often."""
    for turns in range(3 * engines.CONNECTIONS):
        task = asyncio.create_task(count(database))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async with contextlib.AsyncExitStack() as stack:
        for _ in range(engines.CONNECTIONS):
            await stack.enter_async_context(database.connection())
    assert await count(database) == 3


async def test_statements_that_nobody_should_write_are_told_apart(database: Database) -> None:
    """An error of the database is one line of its own words, without the statement."""
    with pytest.raises(OperationError) as caught:
        async with database.connection() as connection:
            await connection.exec_driver_sql("SELECT 'secret' FROM articles WHERE")

    assert caught.value.own_code == "DATABASE_ERROR"
    assert "SELECT" not in caught.value.message


# --- SQLite -------------------------------------------------------------------------------------


async def test_sqlite_keeps_its_promises(database: Database) -> None:
    """Foreign keys hold, readers do not wait for writers, and lower case is that of Unicode."""
    found = []
    async with database.connection() as connection:
        for query in ("PRAGMA foreign_keys", "PRAGMA journal_mode", "SELECT fold('ÄÖ')"):
            found += (await connection.exec_driver_sql(query)).scalars()

    assert found == [1, "wal", "äö"]


async def test_reading_does_not_wait_for_a_transaction_that_writes(database: Database) -> None:
    """It sees what was committed before."""
    async with database.transaction() as writing:
        await writing.exec_driver_sql("DELETE FROM articles")
        during = await count(database)
    after = await count(database)

    assert (during, after) == (3, 0)


# --- what it costs ------------------------------------------------------------------------------


def test_the_library_is_loaded_when_the_first_operation_needs_it() -> None:
    """A daemon whose flows know no items starts without it."""
    program = "import sys, runner.daemon; print('sqlalchemy' in sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True
    )

    assert done.stdout == b"False\n"


async def test_flows_that_need_it_have_it_loaded_before_they_run(tmp_path: Path) -> None:
    """Beside the loop; an address that cannot be used is told when it is."""
    with stored.sqlite(tmp_path) as place:
        place.execute(stored.ARTICLES)
        given = place.settings(databases={"default": {"url": place.url}})
    async with DATABASES.open(given) as databases:
        assert DATABASES.warm is not None
        DATABASES.warm(databases)

        assert await count(databases.get("default")) == 3


async def test_flows_can_be_in_place_while_their_database_is_not(tmp_path: Path) -> None:
    """They reject; others run."""
    world = World()
    async with world.opened(settings_of(tmp_path, f"sqlite:///{tmp_path}/nope.db")):
        rejected = await read(world)
        other = await world.operate("transform", {"json": 1})

    assert rejected["code"] == "DATABASE_UNAVAILABLE"
    assert other.status is Status.RESOLVED
