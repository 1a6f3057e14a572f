"""Tell recipients through services of other people: chats, pagers, push, by their Apprise URLs."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache, partial
from typing import Any, Final, NamedTuple

from runner.channels import Recipient
from runner.errors import OperationError
from runner.resources import Resource
from runner.secrets import SecretMissing
from runner.settings import Settings
from runner.types import JSONObject
from runner.version import NAME

#: Apprise waits in threads; a service that hangs must not take all of them from everything else.
_THREADS: Final = 8


class ServiceError(OperationError):
    """
    A service could not be told.

    The data chain gets `failed` too: of each such service the recipient, the place among its
    `urls`, and the schema of the URL. The rest of a URL is a secret.
    """

    def __init__(self, message: str, code: str, failed: list[JSONObject]) -> None:
        data: JSONObject = {"name": "ServiceError", "message": message, "code": code}
        super().__init__(message, code=code, data=data | {"failed": failed})


class _Told(NamedTuple):
    """What became of one URL."""

    place: JSONObject
    #: Why it was not told; None: it was.
    problem: str | None


class Services:
    """Tells services."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="services")

    async def tell(
        self, recipients: Iterable[Recipient], title: str, text: str, *, limited: bool = True
    ) -> None:
        """
        Tell all services of *recipients*, at once; *text* is Markdown.

        That may take as long as one request may, or, when it is not *limited*, as the caller is
        ready to wait; a thread that waits for a service then cannot be stopped, and its connection
        gives up after some seconds. Raises ServiceError when one of them could not be told; the
        others have been.
        """
        seconds = self.settings.limits.request_time if limited else None
        loop = asyncio.get_running_loop()
        todo = [
            loop.run_in_executor(self._threads, partial(_tell, each, index, title, text))
            for each in recipients
            for index in range(len(each.read_urls))
        ]
        try:
            async with asyncio.timeout(seconds):
                told = await asyncio.gather(*todo)
        except TimeoutError:
            message = f"telling the services took longer than {seconds:g} s"
            raise ServiceError(message, "NOTIFY_TIMEOUT", []) from None
        problems = [each for each in told if each.problem is not None]
        if problems:
            message = f"{len(problems)} of {len(told)} services could not be told: " + "; ".join(
                str(each.problem) for each in problems
            )
            raise ServiceError(message, "NOTIFY_FAILED", [each.place for each in problems])

    def close(self) -> None:
        """Begin nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _tell(recipient: Recipient, index: int, title: str, text: str) -> _Told:
    """Tell one service; in a thread."""
    name = f'url {index} of the recipient "{recipient.name}"'
    place: JSONObject = {"recipient": recipient.name, "url": index, "service": None}
    try:
        url = recipient.read_urls[index]()
    except SecretMissing as error:
        return _Told(place, f"{name}: {error}")
    apprise = _apprise()
    service = apprise.Apprise(asset=_asset())
    if not service.add(url):
        return _Told(place, f"{name} is no Apprise URL")
    place["service"] = schema = url.partition("://")[0].lower()
    # Most services want a text, and can do without a title.
    said = {"title": title, "body": text} if text else {"body": title}
    try:
        done = service.notify(**said, body_format=apprise.NotifyFormat.MARKDOWN)
    except Exception as error:  # one of a hundred plugins: its failure is data
        return _Told(place, f"{name} ({schema}) failed with {type(error).__name__}")
    return _Told(place, None if done else f"{name} ({schema}) failed")


@cache
def _apprise() -> Any:
    # Half a second and 25 MB: it loads every service it knows.
    import apprise  # noqa: PLC0415

    # What it says of a failure has the answer of the service in it, and parts of the URL.
    logging.getLogger("apprise").disabled = True
    return apprise


@cache
def _asset() -> Any:
    apprise = _apprise()
    return apprise.AppriseAsset(
        app_id=NAME,
        app_desc=NAME,
        async_mode=False,
        storage_mode=apprise.PersistentStoreMode.MEMORY,  # no files of its own
    )


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Services]:
    services = Services(settings)
    try:
        yield services
    finally:
        services.close()


SERVICES: Final = Resource(open=_opened)
"""The services of the recipients in the settings."""
