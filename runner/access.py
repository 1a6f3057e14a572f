"""Who calls, known by a bearer token, and what their role lets them do."""

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from runner.secrets import SecretMissing


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """What a caller may do."""

    name: str
    #: UUID, lower-case.
    id: str | None = None
    #: May do everything.
    admin: bool = False
    #: By area (`flows`, `executions`, `events`, `source`) what may be done there.
    verbs: Mapping[str, frozenset[str]] = field(default_factory=dict)
    #: By collection what may be done with its items.
    collections: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def allows(self, area: str, verb: str) -> bool:
        """Whether the role may *verb* in *area*: `allows("executions", "cancel")`."""
        return self.admin or verb in self.verbs.get(area, ())

    def allows_collection(self, name: str, verb: str) -> bool:
        """Whether the role may *verb* (`read`, `create`, …) items of the collection *name*."""
        return self.admin or verb in self.collections.get(name, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A caller that is known by a bearer token."""

    name: str
    role: Role
    #: UUID, lower-case.
    user: str | None = None
    #: Reads the token itself; raises SecretMissing.
    read: Callable[[], str] = field(repr=False)

    def matches(self, bearer: str) -> bool:
        """Whether *bearer* is the token now; the time taken does not tell how much of it is."""
        try:
            expected = self.read()
        except SecretMissing:
            return False
        return hmac.compare_digest(_bytes(expected), _bytes(bearer)) and expected != ""


def _bytes(text: str) -> bytes:
    # Headers and variables that are not UTF-8 arrive with lone surrogates in them.
    return text.encode("utf-8", "surrogatepass")
