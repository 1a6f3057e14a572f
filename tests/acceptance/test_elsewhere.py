"""Executions that another replica runs: ended from here, and told of as if they ran here."""

import uuid
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.daemon import Daemon
from tests.acceptance.test_replicas import BEARER, TOKEN, WORK, Outside, until
from tests.postgres import Server

pytestmark = pytest.mark.timeout(240)

SETTINGS = """
roles: {admin: {admin: true}}
tokens: [{name: a, role: admin, token: the-admins-token}]
limits: {executions: 1}
"""
#: Nobody but its caller knows it.
SESSION = "the-session-of-a-caller"
CALLER = {**BEARER, "Cookie": f"session={SESSION}"}
ADMIN = {"Authorization": "Bearer the-admins-token"}


def test_what_runs_elsewhere_is_ended_and_redacted_as_what_runs_here(
    postgres: Server, tmp_path: Path
) -> None:
    """Of two executions each replica runs one; both are cancelled by asking the first."""
    outside, daemons = Outside(), []
    with ExitStack() as stack:
        stack.callback(outside.close)
        url = stack.enter_context(postgres.database(f"elsewhere_{uuid.uuid4().hex}"))
        for name in ("one", "other"):
            home = tmp_path / name
            home.mkdir()
            daemon = Daemon(home, settings=SETTINGS, environ={"RUNNER_STATE": url})
            (daemon.secrets / "TOKEN").write_text(TOKEN)
            daemon.write(work=WORK.replace("URL", outside.url))
            daemons.append(stack.enter_context(daemon))
            daemon.wait_for("generation.swapped")
        one, other = daemons
        ids = []
        for n in range(2):
            body = {"n": str(n), "note": f"it is {SESSION}"}
            ids.append(one.post("/flows/trigger/work", body, headers=CALLER).json["id"])
        until(lambda: sum(each.startswith("/second/") for each in outside.asked) == 2)

        answers = [one.post(f"/executions/{id_}/cancel", headers=ADMIN) for id_ in ids]
        for daemon in daemons:
            until(lambda: all(status(daemon, id_) == "cancelled" for id_ in ids))  # noqa: B023
        again = other.post(f"/executions/{ids[0]}/cancel", headers=ADMIN)
        told = [other.get(f"/executions/{id_}", headers=ADMIN) for id_ in ids]
        assert [each.stop() for each in daemons] == [0, 0]

    # What runs here may have ended by then; the other replica looks once a second.
    assert {each.status for each in answers} in ({202}, {200, 202})
    assert again.status == 409
    ends = [
        [each for each in daemon.records if each["event"] == "execution.finished"]
        for daemon in daemons
    ]
    assert [len(each) for each in ends] == [1, 1]
    assert {each["execution_id"] for (each,) in ends} == set(ids)
    assert {each["status"] for (each,) in ends} == {"cancelled"}
    for daemon in daemons:
        assert b"it is --redacted--" in daemon.stdout
        assert SESSION.encode() not in daemon.stdout
    for each in told:
        assert SESSION.encode() not in each.body


def status(daemon: Daemon, id_: str) -> str:
    """How an execution stands."""
    data = daemon.get(f"/executions/{id_}", headers=ADMIN).json["data"]
    return str(data["status"])
