"""`/notifications`: what the caller has been told, read-only."""

from typing import Final

from aiohttp import web

from runner.errors import Forbidden, MethodNotAllowed
from runner.inbox import INBOX
from runner.query import language
from runner.query.tables import Tables
from runner.web import reading
from runner.web.callers import identify
from runner.web.keys import ENGINE
from runner.web.listing import INBOXES, NOTIFICATIONS

_READING: Final = ("GET", "HEAD", "SEARCH")


async def listing(request: web.Request) -> web.Response:
    """
    `GET` and `SEARCH` of the caller's own inbox: nobody sees another one, admins neither.

    Raises Forbidden for who is no user.
    """
    caller = identify(request)
    user = caller.accountability.user
    if user is None:
        raise Forbidden("the caller is no user, and has no inbox")
    given = await reading.given(request)
    query = language.parse(given, NOTIFICATIONS, INBOXES, caller=caller.accountability.as_data())
    rows = await request.app[ENGINE].resources[INBOX].of(user)
    return await reading.many(query, Tables(INBOXES, {NOTIFICATIONS.name: rows}))


async def read_only(request: web.Request) -> web.Response:
    """What somebody was told stays as it is."""
    identify(request)
    raise MethodNotAllowed(request.method, _READING)
