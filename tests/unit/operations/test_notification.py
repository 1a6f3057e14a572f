"""Whom an operation tells something, and what its flow gets of it."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runner import settings
from runner.inbox import INBOX
from runner.loader import Loader
from runner.model import Accountability, Result, Status
from runner.operations import notification
from runner.operations.base import Extra
from runner.types import JSONObject, JSONValue
from tests.upstream import Upstream, reply, upstream
from tests.world import World

ANN, ED = "00000000-0000-4000-a000-0000000000e1", "00000000-0000-4000-a000-0000000000e2"
STRANGER = "00000000-0000-4000-a000-0000000000e9"
TEXT = f"""
state: none
roles:
  editor: {{id: {STRANGER}, collections: {{directus_notifications: [create]}}}}
  reader: {{flows: [read]}}
tokens: [{{name: ed, role: editor, token: a-token, user: {ED.upper()}}}]
recipients:
  ops: {{user: {ANN}, urls: [{{env: FIRST}}]}}
  chat: {{urls: [{{env: FIRST}}, {{env: SECOND}}]}}
  quiet: {{user: {ED}}}
"""
FULL: JSONObject = {"recipient": "quiet", "subject": "S", "permissions": "$full"}
ROLE = Accountability(user=ED, role=STRANGER)


@pytest.fixture
async def server() -> AsyncIterator[Upstream]:
    """A service."""
    async with upstream() as each:
        yield each


class Office:
    """A world that can notify, opened."""

    def __init__(self, folder: Path, server: Upstream | None = None) -> None:
        file = folder / "settings.yaml"
        file.write_text(TEXT)
        url = "json://127.0.0.1:1" if server is None else server.url.replace("http", "json")
        environ = {"FIRST": f"{url}/first-s3cret", "SECOND": f"{url}/second-s3cret"}
        self.world = World()
        self.settings = settings.load({}, environ, file, self.world.redactor.learn)
        self.world.loader = Loader(self.world.operations, self.settings)
        #: What is in the inboxes.
        self.told: list[JSONObject] = []

    async def notify(
        self,
        trigger_data: JSONValue = None,
        accountability: Accountability | None = None,
        text: str | None = None,
        **options: JSONValue,
    ) -> Result:
        """Run one operation, or the flow in *text*; look at the inboxes afterwards."""
        flow = json.dumps(
            {
                "name": "N",
                "trigger": "operation",
                "options": {"return": "$last"},
                "operations": [{"type": "notification", "options": options}],
            }
        )
        await self.world.load(n=text or flow)
        async with self.world.opened(self.settings):
            result = await self.world.run("n", trigger_data, accountability)
            inbox = self.world.resources[INBOX]
            self.told = [row for user in (ANN, ED, STRANGER) for row in await inbox.of(user)]
        return result


async def refused(office: Office, **given: Any) -> JSONObject:
    """Why nobody is told."""
    result = await office.notify(**given)
    assert result.status is Status.REJECTED
    assert office.told == []
    assert isinstance(result.value, dict)
    return result.value


# --- who is told what ---------------------------------------------------------------------------


async def test_a_user_is_told(tmp_path: Path) -> None:
    """What stands in the options, from nobody."""
    office = Office(tmp_path)

    result = await office.notify({"v": 3}, **FULL, message="M {{ $trigger.v }}")

    assert result == (Status.RESOLVED, [1])
    (row,) = office.told
    assert {name: row[name] for name in row if name != "timestamp"} == {
        "id": 1, "status": "inbox", "recipient": ED, "sender": None, "subject": "S",
        "message": "M 3", "collection": None, "item": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "column", "value"),
    [
        ({}, "message", None),
        ({"message": {"a": 1}}, "message", '{"a":1}'),
        ({"message": 0}, "message", "0"),
        ({"subject": 7}, "subject", "7"),
        ({"collection": "articles"}, "collection", "articles"),
        ({"item": 5}, "item", "5"),
    ],
)
async def test_values_become_text(
    tmp_path: Path, options: JSONObject, column: str, value: JSONValue
) -> None:
    """What is none is written as JSON, and null stays null."""
    office = Office(tmp_path)

    await office.notify(**{**FULL, **options})

    assert office.told[0][column] == value


@pytest.mark.parametrize(
    ("recipient", "users", "services"),
    [
        ("quiet", [ED], 0),
        (ED, [ED], 0),
        (ED.upper(), [ED], 0),
        ("ops", [ANN], 1),
        (ANN, [ANN], 0),
        ("chat", [], 2),
        ("ops, quiet", [ANN, ED], 1),
        (["quiet", f"ops,{ED}", "chat", "chat"], [ED, ANN], 3),
    ],
)
async def test_everybody_who_is_named_is_told(
    tmp_path: Path, server: Upstream, recipient: JSONValue, users: list[str], services: int
) -> None:
    """Recipients by name: their user and their services. Users by id: their inbox. Once each."""
    office = Office(tmp_path, server)

    result = await office.notify(**{**FULL, "recipient": recipient, "message": "M"})

    assert result == (Status.RESOLVED, list(range(1, len(users) + 1)))
    assert sorted(row["recipient"] for row in office.told) == sorted(users)
    assert len(server.received) == services
    assert {json.loads(each.body)["title"] for each in server.received} <= {"S"}


async def test_a_retry_tells_users_once(tmp_path: Path, server: Upstream) -> None:
    """A service that fails rejects; the inbox has the notification all the same, and once."""
    server.answer = lambda _: reply("500 No")
    office = Office(tmp_path, server)
    operation = {"type": "notification", "options": {**FULL, "recipient": "ops"}}
    retry = {"attempts": 3, "delay": "1ms"}
    flow = {"name": "N", "trigger": "operation", "operations": [{**operation, "retry": retry}]}

    result = await office.notify(text=json.dumps(flow))

    assert isinstance(result.value, dict)
    assert result.value["code"] == "NOTIFY_FAILED"
    assert result.value["failed"] == [{"recipient": "ops", "url": 0, "service": "json"}]
    assert len(server.received) == 3
    assert len(office.told) == 1
    assert "s3cret" not in f"{result} {office.world.records}"


# --- who may ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("permissions", "accountability", "sender"),
    [
        ("$full", None, None),
        ("$full", ROLE, None),
        ("$trigger", None, None),
        ("$trigger", ROLE, ED),
        (None, ROLE, ED),
        ("editor", Accountability(), None),
        (STRANGER, Accountability(user=ANN), None),
        ("{{ $trigger.as }}", None, None),
    ],
)
async def test_who_may_tell_others(
    tmp_path: Path, permissions: str | None, accountability: Accountability | None, sender: str
) -> None:
    """The runner itself, and roles that have `create`; it comes from whoever they act for."""
    office = Office(tmp_path)

    result = await office.notify(
        {"as": "editor"}, accountability, **{**FULL, "permissions": permissions}
    )

    assert result.status is Status.RESOLVED
    assert office.told[0]["sender"] == sender


@pytest.mark.parametrize(
    ("permissions", "accountability"),
    [
        ("$public", None),
        ("$public", ROLE),
        ("$trigger", Accountability()),
        (None, Accountability()),
        ("reader", ROLE),
        ("{{ $trigger.as }}", ROLE),
    ],
)
async def test_who_may_not(
    tmp_path: Path, permissions: str | None, accountability: Accountability | None
) -> None:
    """The public may not, unless the settings say so."""
    error = await refused(
        Office(tmp_path),
        trigger_data={"as": "reader"},
        accountability=accountability,
        **{**FULL, "permissions": permissions},
    )

    assert error == {
        "name": "Forbidden",
        "message": "You don't have permission to access this.",
        "code": "FORBIDDEN",
        "status": 403,
    }


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipient", "says"),
    [
        ("nobody", '"nobody" is no recipient'),
        (STRANGER, "no user"),
        ("ops, nobody", "nobody"),
        (["ops", 7], "must be"),
        ("", "must be"),
        (" , ", "1 to 100 recipients"),
        (None, "must be"),
        (",".join(f"a{each}" for each in range(101)), "not 101"),
    ],
)
async def test_somebody_unknown_is_refused_before_anybody_is_told(
    tmp_path: Path, server: Upstream, recipient: JSONValue, says: str
) -> None:
    """An inbox that nobody can read would be none."""
    office = Office(tmp_path, server)

    error = await refused(office, trigger_data=recipient, **{**FULL, "recipient": "{{ $trigger }}"})

    assert error["code"] in ("INVALID_RECIPIENT", "INVALID_OPTIONS")
    assert says in error["message"]
    assert server.received == []


@pytest.mark.parametrize(
    ("option", "value", "code"),
    [
        ("subject", "s" * 256, "INVALID_OPTIONS"),
        ("subject", None, "INVALID_OPTIONS"),
        ("collection", "c" * 256, "INVALID_OPTIONS"),
        ("item", "i" * 256, "INVALID_OPTIONS"),
        ("message", "m" * 70_000, "NOTIFICATION_TOO_LARGE"),
        ("permissions", "nobody", "UNKNOWN_ROLE"),
    ],
)
async def test_what_is_too_long_or_unknown_is_refused(
    tmp_path: Path, option: str, value: JSONValue, code: str
) -> None:
    """Inboxes are bounded."""
    given = {**FULL, option: "{{ $trigger }}"}

    assert (await refused(Office(tmp_path), trigger_data=value, **given))["code"] == code


# --- what is told when the flow is loaded -------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("{recipient: ops, subject: S}", []),
        (f"{{recipient: 'ops,{ED}', subject: S, permissions: editor}}", []),
        ("{recipient: '{{ $trigger }}', subject: S, permissions: '{{ $last }}'}", []),
        (
            "{recipient: op, subject: S}",
            [
                '5:26: error: "op" is no recipient of the settings and no user of theirs'
                ' (did you mean "ops"?) [unknown-recipient]'
            ],
        ),
        (
            f"{{recipient: [ops, {STRANGER}], subject: S}}",
            [
                f'5:32: error: "{STRANGER}" is no recipient of the settings and no user of theirs'
                " (the settings have ops, chat, quiet) [unknown-recipient]"
            ],
        ),
        (
            "{recipient: ops, subject: S, permissions: editr}",
            [
                '5:56: error: the settings have no role "editr"'
                ' (did you mean "editor"?) [unknown-role]'
            ],
        ),
    ],
)
async def test_mistakes_in_the_text_are_told_at_once(
    tmp_path: Path, options: str, told: list[str]
) -> None:
    """At their place, with what to do about them."""
    head = "name: N\ntrigger: operation\noperations:\n  - type: notification\n"
    text = f"{head}    options: {options}\n"
    issues = await Office(tmp_path).world.issues(n=text)

    assert [str(issue).removeprefix("n.yaml:") for issue in issues] == told


@pytest.mark.parametrize(("urls", "found"), [(True, ["missing-extra"]), (False, [])])
def test_without_apprise_inboxes_still_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, urls: bool, found: list[str]
) -> None:
    """Only services need it."""
    monkeypatch.setattr(notification, "_APPRISE", Extra("notify", ("no_such_module",)))
    file = tmp_path / "settings.yaml"
    file.write_text(
        TEXT.replace("[{env: FIRST}", "[{env: FIRST}" if urls else "[").replace(
            ", {env: SECOND}", ", {env: SECOND}" if urls else ""
        )
    )
    made = settings.load({}, {}, file)

    assert [each.code for each in notification.attach(dict(FULL), made)] == found
