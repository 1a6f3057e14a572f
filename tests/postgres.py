"""
A real PostgreSQL server of our own: on loopback, in a folder that goes away with it.

It is as fast as it can be, and forgets everything when the machine does. It refuses to run as root,
so then it runs as another user. What ends it when the tests end in whatever way is a pipe: its
watcher holds the other end, and stops the server when nobody holds ours.
"""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg
import pytest
from psycopg import sql

#: Users that it can run as when we are root: Debian's package makes the first.
_USERS: Final = ("postgres", "nobody")

_OPTIONS: Final = (
    "fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=50",
    "shared_buffers=16MB", "timezone=Etc/UTC", "lc_messages=C", "log_min_messages=fatal",
)  # fmt: skip

#: Stops the server in the folder that it is told, and removes that, when its standard input ends.
_WATCHER: Final = """
import os, pathlib, shutil, signal, sys
folder = pathlib.Path(sys.argv[1])
sys.stdin.read()
running = folder / "data" / "postmaster.pid"
if running.exists():
    os.kill(int(running.read_text().split()[0]), signal.SIGQUIT)
shutil.rmtree(folder, ignore_errors=True)
"""


def programs() -> Path | None:
    """The folder with `initdb` and `pg_ctl`, of the newest version there is."""
    found = shutil.which("initdb")
    if found and shutil.which("pg_ctl", path=Path(found).parent):
        return Path(found).parent
    folders = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    versions = {int(path.parts[-3]): path.parent for path in folders if path.parts[-3].isdigit()}
    return versions[max(versions)] if versions else None


class Server:
    """A server, which starts and stops as often as one likes; its data stays."""

    def __init__(self, folder: Path, bin_: Path) -> None:
        self._bin = bin_
        self._data = folder / "data"
        self._folder = folder
        self._user = _other_user()
        if self._user is not None:
            os.chown(folder, self._user.pw_uid, self._user.pw_gid)
        self.port = _free_port()
        self._run(
            "initdb", "-D", str(self._data), "-U", "test", "-A", "trust", "-E", "UTF8",
            "--locale=C.UTF-8", "--no-sync", "--no-instructions",
        )  # fmt: skip

    def url(self, database: str, *, password: str = "") -> str:
        """The address of a database, as the settings have it."""
        user = f"test:{password}" if password else "test"
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Have it answer."""
        options = " ".join(f"-c {each}" for each in _OPTIONS)
        where = f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories=''"
        self._run(
            "pg_ctl", "start", "-D", str(self._data), "-w", "-t", "60",
            "-l", str(self._folder / "log"), "-o", f"{where} {options}",
        )  # fmt: skip

    def stop(self, mode: str = "fast") -> None:
        """`fast` ends all connections, `immediate` pulls the plug."""
        self._run("pg_ctl", "stop", "-D", str(self._data), "-w", "-m", mode)

    def pid(self) -> int:
        """The process that all others of it belong to."""
        return int((self._data / "postmaster.pid").read_text().split()[0])

    @contextlib.contextmanager
    def database(self, name: str) -> Iterator[str]:
        """A new, empty database for the block: its address."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield self.url(name)
        finally:
            with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
                drop = sql.SQL("DROP DATABASE {} WITH (FORCE)")
                connection.execute(drop.format(sql.Identifier(name)))

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """See to it that it stops, also if this process is killed in the block."""
        watcher = subprocess.Popen(
            [sys.executable, "-c", _WATCHER, str(self._folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is not meant for it
        )
        try:
            yield
        finally:
            watcher.communicate(timeout=60)

    def _run(self, program: str, *arguments: str) -> None:
        # Not through pipes: the server would inherit them, and we would wait for their end.
        with (self._folder / f"{program}.out").open("w+") as out:
            done = subprocess.run(
                [self._bin / program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=120,
                check=False,
                cwd=self._folder,
                user=self._user and self._user.pw_uid,
                group=self._user and self._user.pw_gid,
                extra_groups=self._user and [],
            )
            out.seek(0)
            assert done.returncode == 0, out.read()


@contextlib.contextmanager
def server() -> Iterator[Server]:
    """A server that runs for the block. Skips the test where there is no PostgreSQL."""
    bin_ = programs()
    if bin_ is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    # Not below pytest's folders, which other users may not look into.
    folder = Path(tempfile.mkdtemp(prefix="runner-postgres-"))
    made = Server(folder, bin_)
    with made.watched():
        made.start()
        yield made


def _other_user() -> pwd.struct_passwd | None:
    if os.getuid() != 0:
        return None
    for name in _USERS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    pytest.skip(f"PostgreSQL refuses to run as root, and there is none of {', '.join(_USERS)}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
