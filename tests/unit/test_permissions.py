"""On whose behalf an operation acts."""

from pathlib import Path

import pytest

from runner import permissions, settings
from runner.errors import OperationError
from runner.model import Accountability
from runner.settings import Settings

EDITOR = "00000000-0000-4000-a000-0000000000e1"
TEXT = f"""
roles:
  boss: {{admin: true}}
  editor: {{id: {EDITOR}, collections: {{notes: [create]}}}}
  public: {{collections: {{notes: [read]}}}}
"""


@pytest.fixture
def made(tmp_path: Path) -> Settings:
    """Settings with some roles."""
    file = tmp_path / "settings.yaml"
    file.write_text(TEXT)
    return settings.load({}, {}, file)


@pytest.mark.parametrize(
    ("asked", "accountability", "name"),
    [
        ("$trigger", None, "$full"),
        ("$trigger", Accountability(), "public"),
        ("$trigger", Accountability(role=EDITOR), "editor"),
        ("$trigger", Accountability(role="boss", admin=True), "boss"),
        ("$trigger", Accountability(role="no longer there"), "public"),
        ("$full", Accountability(role="editor"), "$full"),
        ("$public", Accountability(role="boss"), "public"),
        ("editor", None, "editor"),
        (EDITOR.upper(), None, "editor"),
    ],
)
def test_permissions_mean_a_role(
    made: Settings, asked: str, accountability: Accountability | None, name: str
) -> None:
    """The caller's, everything, the public's, or one by name or id."""
    assert permissions.problem(asked, made) is None
    assert permissions.role(asked, accountability, made).name == name


@pytest.mark.parametrize("asked", ["nobody", "$nobody", ""])
def test_a_role_that_nobody_has_is_refused(made: Settings, asked: str) -> None:
    """Nobody gets more for having misspelled it."""
    assert permissions.problem(asked, made) is not None
    with pytest.raises(OperationError, match="no role"):
        permissions.role(asked, None, made)


@pytest.mark.parametrize(
    ("asked", "verbs"),
    [("$full", "create read"), ("boss", "create read"), ("editor", "create"), ("$public", "read")],
)
def test_a_role_may_what_the_settings_say(made: Settings, asked: str, verbs: str) -> None:
    """In a collection; everything else is forbidden, in Directus' words."""
    who = permissions.role(asked, None, made)

    for verb in ("create", "read", "update"):
        if verb in verbs.split() or who.admin:
            permissions.require(who, "notes", verb)
            continue
        with pytest.raises(OperationError) as caught:
            permissions.require(who, "notes", verb)
        assert caught.value.as_data() == {
            "name": "Forbidden",
            "message": "You don't have permission to access this.",
            "code": "FORBIDDEN",
            "status": 403,
        }
