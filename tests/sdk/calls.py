"""A call of the Directus SDK and what has to come of it; who calls, and the records there are."""

from typing import Any, Final, NamedTuple

from runner.types import JSONObject

LATEST: Final = "sdk-latest"
OLDEST: Final = "sdk-oldest"
BOTH: Final = (LATEST, OLDEST)

SETTINGS: Final = """
roles:
  reader: {flows: [read]}
  editor: {flows: [read, trigger], collections: {articles: [read]}}
  nobody: {}
tokens:
  - {name: rita, role: reader, token: the-token-of-rita}
  - {name: ed, user: 00000000-0000-4000-a000-0000000000e2, role: editor, token: the-token-of-ed}
  - {name: nemo, role: nobody, token: the-token-of-nemo}
"""
RITA: Final = "the-token-of-rita"
ED: Final = "the-token-of-ed"
NEMO: Final = "the-token-of-nemo"


class Call(NamedTuple):
    """One command of the SDK, sent by a client of its own."""

    name: str
    #: A function of the SDK, or `query` for GraphQL.
    command: str
    arguments: tuple[Any, ...] = ()
    #: What the SDK returns.
    value: Any = None
    #: Of the answer.
    status: int = 200
    #: Of the one error that is thrown, in place of a value; and a part of its message.
    code: str = ""
    says: str = ""
    token: str | None = RITA
    #: `search` for `withSearch`, else the token for `withToken`.
    helper: str | None = None
    #: Those that can make this call.
    sdks: tuple[str, ...] = BOTH

    def as_data(self) -> JSONObject:
        """As the program wants it."""
        return {
            "name": self.name,
            "command": self.command,
            "arguments": list(self.arguments),
            "token": self.token,
            "helper": self.helper,
        }


# --- the records of the folder `flows` -----------------------------------------------------------


def flow(number: int) -> str:
    """The id of a flow."""
    return f"00000000-0000-4000-a000-{number:012}"


def operation(number: int) -> str:
    """The id of an operation; the first digit is that of its flow."""
    return f"00000000-0000-4000-b000-{number:012}"


def rows(field: str, *values: str) -> list[dict[str, str]]:
    """Records with one field."""
    return [{field: value} for value in values]


ORDERS: Final = {
    "id": flow(1),
    "name": "Order intake",
    "icon": "bolt",
    "color": "#112233",
    "description": "Checks an order, and tells the warehouse",
    "status": "active",
    "trigger": "webhook",
    "accountability": "$trigger",
    "options": {"method": "POST", "auth": "none"},
    "operation": operation(11),
    "date_created": "2024-03-05T10:00:00.000Z",
    "user_created": None,
    "operations": [operation(11), operation(12), operation(13)],
}
LARGE: Final = {
    "id": operation(11),
    "name": "Large",
    "key": "large",
    "type": "condition",
    "position_x": 19,
    "position_y": 1,
    "options": {"filter": {"$trigger": {"body": {"total": {"_gte": 100}}}}},
    "resolve": operation(13),
    "reject": operation(12),
    "flow": flow(1),
    "date_created": "2024-03-05T10:00:00.000Z",
    "user_created": None,
}
