"""A `Query`, and records that come page by page, more than should be in memory → the answer."""

from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter

from runner.query.model import EVERYTHING, Query, Schema
from runner.query.run import Answer, Budget, looks, ordering, passing, run
from runner.query.tables import Tables
from runner.types import JSONObject


class Sieve:
    """
    Takes records of a collection without relations, and keeps those that *query* may need.

    That is as many as it shows, of a grouping all that pass. Raises InvalidQuery where *budget*
    has too little left.
    """

    def __init__(self, query: Query, schema: Schema, budget: Budget) -> None:
        self._query = query
        self._schema = schema
        self._budget = budget
        nothing = Tables(schema, {})
        self._passes = passing(query, nothing)
        self._order = ordering(query, nothing)
        #: How many can be shown; None: no limit.
        self.most: int | None = None
        if query.grouping is None and query.limit is not None:
            self.most = query.offset + query.limit
        #: Those that were kept: where there are only so many, in the order that is asked for.
        self.rows: list[JSONObject] = []
        self._taken = self._passed = 0

    def take(self, records: Sequence[JSONObject]) -> None:
        """Look at some more records."""
        self._budget.looks(looks(self._query, self._tables(records)))
        found = list(records if self._passes is None else filter(self._passes, records))
        self._taken += len(records)
        self._passed += len(found)
        self.rows += found
        if self.most is not None:
            self.rows.sort(key=itemgetter(self._query.collection.primary_key))
            self.rows = list(self._order(self.rows)[: self.most])

    def answer(self) -> Answer:
        """The answer, when all were taken; its counts are those of all."""
        rest = replace(self._query, filter=EVERYTHING, search=None)
        found = run(rest, self._tables(self.rows), self._budget)
        counts = {"total_count": self._taken, "filter_count": self._passed}
        return found._replace(meta={name: counts[name] for name in self._query.meta} or None)

    def _tables(self, records: Sequence[JSONObject]) -> Tables:
        return Tables(self._schema, {self._query.collection.name: records})
