"""The last good text of every flow file, for all replicas that share a PostgreSQL database."""

import hashlib
import os
from collections.abc import Collection, Mapping
from typing import Any, Final, LiteralString

import psycopg

from runner.store.pg_connect import arguments, brief

_PATIENCE: Final = "-c statement_timeout=5000"

_DIGESTS: Final[LiteralString] = "select path, digest from runner.last_good"
_ALL: Final[LiteralString] = "select path, content from runner.last_good order by path"
_SOME: Final[LiteralString] = "select path, content from runner.last_good where path = any(%s)"

# In the order of their paths, as another replica may keep the same ones.
_KEEP: Final[LiteralString] = """
insert into runner.last_good (path, digest, content)
select * from unnest(%s::bytea[], %s::text[], %s::bytea[]) as given (path) order by path
on conflict (path) do update set digest = excluded.digest, content = excluded.content
"""
_FORGET: Final[LiteralString] = "delete from runner.last_good where path = any(%s)"


class LastGoodTable:
    """
    Keeps texts in the database at *url*, in which a PostgresStore has made its tables.

    Replicas may be at different revisions for a while. So each writes what changed for itself,
    and nothing else: what others have written it leaves as it is. No method raises, and each
    waits for PostgreSQL for some seconds at most.
    """

    def __init__(self, url: str) -> None:
        given = arguments(url)
        self._arguments = {**given, "options": f"{_PATIENCE} {given['options']}"}
        #: Digest by path of what there was at first, and of what was good here since.
        self._digests: dict[str, str] | None = None
        self._complaints: list[str] = []
        self._ill = False

    def recall(self, paths: Collection[str]) -> Mapping[str, bytes]:
        """The texts of those of *paths* that are kept."""
        return self._read(_SOME, [[os.fsencode(path) for path in paths]]) if paths else {}

    def recall_all(self) -> Mapping[str, bytes]:
        """All texts that are kept, by path, sorted."""
        return self._read(_ALL)

    def remember(self, good: Mapping[str, bytes], tree: Collection[str]) -> None:
        """Keep *good*, texts by path, and forget every path that is not in *tree*."""
        digests = {path: hashlib.sha256(text).hexdigest() for path, text in good.items()}
        known = self._digests
        if known is not None and known.keys() <= set(tree) and digests.items() <= known.items():
            return
        try:
            with psycopg.connect(**self._arguments) as connection:
                self._digests = self._changed(connection, good, digests, set(tree))
        except psycopg.Error as error:
            self._complain(f"the last good flows cannot be kept: {brief(error)}")
        else:
            self._ill = False

    def complaints(self) -> list[str]:
        """What went wrong since this was last asked; a lasting trouble is said once."""
        said, self._complaints = self._complaints, []
        return said

    def _changed(
        self,
        connection: psycopg.Connection,
        good: Mapping[str, bytes],
        digests: dict[str, str],
        tree: set[str],
    ) -> dict[str, str]:
        """Write the difference to what is known, and give what is known then."""
        known = self._digests
        if known is None:
            rows = connection.execute(_DIGESTS)
            known = {os.fsdecode(path): digest for path, digest in rows}
        gone = [os.fsencode(path) for path in known.keys() - tree]
        changed = [path for path, digest in digests.items() if known.get(path) != digest]
        if gone:
            connection.execute(_FORGET, [gone])
        if changed:
            texts = [good[path] for path in changed]
            paths = [os.fsencode(path) for path in changed]
            connection.execute(_KEEP, [paths, [digests[path] for path in changed], texts])
        return {path: digest for path, digest in known.items() if path in tree} | digests

    def _read(self, query: LiteralString, parameters: list[Any] | None = None) -> dict[str, bytes]:
        try:
            with psycopg.connect(**self._arguments) as connection:
                rows = connection.execute(query, parameters).fetchall()
        except psycopg.Error as error:
            self._complain(f"the last good flows cannot be read: {brief(error)}")
            return {}
        return {os.fsdecode(path): content for path, content in rows}

    def _complain(self, sentence: str) -> None:
        if not self._ill:
            self._complaints.append(sentence)
        self._ill = True
