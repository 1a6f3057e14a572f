"""Directus' own answers: the same parameters, the same records, the same answer."""

from datetime import UTC, datetime
from typing import Any

import pytest

from runner.errors import InvalidQuery
from runner.query import export
from runner.query.run import one, run
from runner.web.listing import FLOWS
from tests.unit.query.data import RECORDED, TABLES, parse

CASES: list[dict[str, Any]] = RECORDED["cases"]


def _answer(case: dict[str, Any]) -> Any:
    try:
        query = parse(case["query"], FLOWS)
        if case["path"] != "/flows":
            return {"data": one(query, case["path"].removeprefix("/flows/"), TABLES)}
        data, meta = run(query, TABLES)
    except InvalidQuery as error:
        extensions = {**error.extensions, "code": error.code}
        return {"errors": [{"message": error.message, "extensions": extensions}]}
    if query.export:
        return export.write(query.export, data, "flows", datetime.now(UTC)).content.decode()
    return {"data": data, "meta": meta} if meta else {"data": data}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_an_answer_is_directus_own_or_differs_for_a_reason(case: dict[str, Any]) -> None:
    """A client that works with Directus works here."""
    expected = case.get("differs", case)["body"]

    assert _answer(case) == expected
    assert expected != case["body"] or "differs" not in case
