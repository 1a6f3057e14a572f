"""On whose behalf an operation acts: what its option `permissions` says, as a role."""

from typing import Final

from runner.access import Role
from runner.errors import Forbidden, OperationError
from runner.model import Accountability
from runner.schema import nearest, quoted
from runner.settings import Settings

TRIGGER: Final = "$trigger"
"""As whoever caused the execution; the runner itself, of a schedule for example, may everything."""

#: What is no role of the settings.
_KEYWORDS: Final = (TRIGGER, "$full", "$public")

_FULL: Final = Role(name="$full", admin=True)


def role(asked: str, accountability: Accountability | None, settings: Settings) -> Role:
    """
    The role that *asked* means: `$trigger`, `$full`, `$public`, or one of *settings* by name or id.

    Raises OperationError for a role that nobody has.
    """
    if asked == TRIGGER and accountability is not None:
        # Who has no role is the public: callers on this machine too, while there are no tokens.
        return (accountability.role and settings.role(accountability.role)) or settings.public
    if asked in ("$full", TRIGGER):
        return _FULL
    if asked == "$public":
        return settings.public
    found = settings.role(asked)
    if found is None:
        raise OperationError(f"the settings have no role {quoted(asked)}", code="UNKNOWN_ROLE")
    return found


def problem(asked: str, settings: Settings) -> tuple[str, str] | None:
    """What is wrong with *asked*, and a hint, where `role` could not say what it means."""
    if asked in _KEYWORDS or settings.role(asked) is not None:
        return None
    near = nearest(asked, {*settings.roles, *_KEYWORDS}, prefix="")
    hint = near or f"they have {', '.join(settings.roles)}"
    return f"the settings have no role {quoted(asked)}", hint


def require(who: Role, collection: str, verb: str) -> None:
    """Raise OperationError, in the words of Forbidden, unless *who* may *verb* in *collection*."""
    if not who.allows_collection(collection, verb):
        error = Forbidden()
        raise OperationError(
            error.message, name=Forbidden.__name__, code=error.code, status=error.status
        )
