"""Schedules in the real daemon: by the real clock, over a change and a restart."""

from datetime import datetime, timedelta
from pathlib import Path

from tests.acceptance.daemon import Daemon

EVERY_SECOND = """
name: Tick
trigger: schedule
options: {cron: "* * * * * *", missed: once}
operations: [{key: said, type: log, options: {message: tick}}]
"""


def test_a_schedule_fires_every_second_until_it_goes(tmp_path: Path) -> None:
    """Attached, fired at its times, listed, kept in the state folder, and gone with its file."""
    with Daemon(tmp_path) as daemon:
        daemon.write(tick=EVERY_SECOND)
        attached = daemon.wait_for("trigger.attached", flow="tick")
        first = daemon.wait_for("execution.started", flow="tick", trigger="schedule")
        second = daemon.wait_for("execution.started", flow="tick")
        daemon.wait_for("log.message", flow="tick", message="tick")
        listed = daemon.get("/flows/tick?fields=next_fire,last_execution").json["data"]

        daemon.write(tick=EVERY_SECOND.replace("schedule", "operation").replace("options", "#"))
        daemon.wait_for("generation.swapped")
        (daemon.flows / "tick.yaml").unlink()

        assert daemon.stop() == 0

    times = [first["data"]["nominal"], second["data"]["nominal"]]
    assert attached["data"]["next_fire"] == times[0]
    one, other = map(datetime.fromisoformat, times)
    assert other - one == timedelta(seconds=1)
    assert datetime.fromisoformat(listed["next_fire"]) > other
    assert listed["last_execution"]["status"] == "resolved"
    assert all(each["event"] != "trigger.refused" for each in daemon.records)


def test_a_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    """What fired before does not fire again; what is kept is whole."""
    with Daemon(tmp_path) as daemon:
        daemon.write(tick=EVERY_SECOND)
        daemon.wait_for("execution.started", flow="tick")
        assert daemon.stop() == 0
        before = [each for each in daemon.records if each["event"] == "execution.started"]

    with Daemon(tmp_path) as again:
        after = again.wait_for("execution.started", flow="tick")

    assert after["execution_id"] not in {each["execution_id"] for each in before}
    assert after["data"]["nominal"] > before[-1]["data"]["nominal"]
