"""What was imported is shown by the listing as Directus had it."""

import json
from collections.abc import Iterator

import pytest

from runner.types import JSONObject
from tests.conformance import world
from tests.conformance.cases import ALONE, TOGETHER, UPSTREAM, rest_row
from tests.conformance.world import STUDIO, World, spelt_out

ADMIN = {"Authorization": "Bearer admin-static-token"}

#: Of a trigger's options: what an import adds, and what has no effect here.
ADDED = ("auth", "error_on_reject", "expose_headers")
DROPPED = ("cacheEnabled", "cacheQueryParams")


@pytest.fixture(scope="session")
def listed(running: World) -> dict[str, JSONObject]:
    """The flows of the cases that run together, by id."""
    return _listed(running)


@pytest.fixture(scope="session")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A daemon with the flows of the other cases, which nobody asks anything else."""
    with world.running(tmp_path_factory.mktemp("silent"), ALONE) as running:
        yield running


def _listed(running: World) -> dict[str, JSONObject]:
    path = "/flows?fields=*,state,tracking,operations.*&limit=-1"
    answer = running.daemon.get(path, headers=ADMIN)
    text = answer.body.decode().replace(running.outside.upstream, UPSTREAM)
    return {each["id"]: each for each in json.loads(text)["data"]}


@pytest.mark.parametrize("name", TOGETHER)
def test_an_imported_flow_is_listed_as_it_was(
    name: str, running: World, listed: dict[str, JSONObject]
) -> None:
    """Every flow that was carried over keeps what it is, what it does, and all its ids."""
    _compare(name, running, listed)


def test_flows_that_need_a_daemon_of_their_own_are_listed_too(silent: World) -> None:
    """The same for those that would hear of each other."""
    listed = _listed(silent)
    for name in ALONE:
        _compare(name, silent, listed)


def _compare(name: str, running: World, listed: dict[str, JSONObject]) -> None:
    for flow in running.cases[name].all_flows:
        if flow["id"] in running.left:
            assert flow["id"] not in listed
        elif listed[flow["id"]]["state"] == "invalid":  # here: it asks for what is not there
            assert name == "mail/template_missing"
        else:
            row = rest_row(flow)
            if running.cases[name].group in STUDIO:
                row |= {"date_created": None, "user_created": None}  # which it does not export
            assert _shown(listed[flow["id"]]) == _expected(row)


def _shown(row: JSONObject) -> JSONObject:
    shown = {key: value for key, value in row.items() if key not in ("state", "tracking")}
    shown["accountability"] = {"none": None}.get(row["tracking"], row["tracking"])
    options = spelt_out(row["options"])
    shown["options"] = {key: value for key, value in options.items() if key not in ADDED}
    shown["operations"] = {each["id"]: _operation(each) for each in row["operations"]}
    return shown


def _expected(row: JSONObject) -> JSONObject:
    by_id = {each["id"]: each for each in row["operations"]}
    first = row["operation"] if row["operation"] in by_id else None
    options = spelt_out(row["options"])
    dropped = (*DROPPED, "return") if row["trigger"] == "manual" else DROPPED
    return {
        **row,
        "status": "active" if row["status"] == "active" else "inactive",
        "options": {key: value for key, value in options.items() if key not in dropped},
        "operation": first,
        "operations": {id_: _operation(by_id[id_]) for id_ in _reachable(by_id, first)},
    }


def _operation(row: JSONObject) -> JSONObject:
    """Without when it was made and by whom: here that is known of whole flows."""
    own = {key: value for key, value in row.items() if "_created" not in key}
    return {**own, "options": spelt_out(row["options"])}


def _reachable(by_id: dict[str, JSONObject], first: str | None) -> set[str]:
    found: set[str] = set()
    ahead = [first]
    while ahead:
        id_ = ahead.pop()
        if id_ is not None and id_ not in found:
            found.add(id_)
            ahead += [by_id[id_]["resolve"], by_id[id_]["reject"]]
    return found
