"""Telling services by their Apprise URLs, over real HTTP on this machine."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from runner import settings
from runner.channels import Recipient
from runner.secrets import SecretMissing
from runner.services import ServiceError, Services
from tests.upstream import Upstream, reply, upstream


@pytest.fixture
async def server() -> AsyncIterator[Upstream]:
    """A service."""
    async with upstream() as each:
        yield each


@pytest.fixture
async def services() -> AsyncIterator[Services]:
    """What tells them."""
    made = Services(settings.load({"limits.request_time": "10s"}, {}))
    yield made
    made.close()


def recipient(*urls: str, name: str = "ops") -> Recipient:
    """Somebody with services."""
    return Recipient(name=name, user=None, read_urls=tuple(partial(str, url) for url in urls))


def at(server: Upstream, path: str) -> str:
    """The Apprise URL of a path."""
    return f"{server.url.replace('http://', 'json://')}/{path}"


async def failed(services: Services, *recipients: Recipient) -> dict[str, Any]:
    """What the data chain gets."""
    with pytest.raises(ServiceError) as caught:
        await services.tell(recipients, "T", "M")
    data = caught.value.as_data()
    assert isinstance(data, dict)
    return data


async def test_every_service_of_every_recipient_is_told(
    services: Services, server: Upstream
) -> None:
    """Title and text."""
    two = recipient(at(server, "a"), at(server, "b"))

    await services.tell([two, recipient(at(server, "c"), name="c"), recipient()], "T", "**M**")

    assert sorted(each.target for each in server.received) == ["/a", "/b", "/c"]
    bodies = [json.loads(each.body) for each in server.received]
    assert {(body["title"], body["message"]) for body in bodies} == {("T", "**M**")}


async def test_a_title_alone_is_enough(services: Services, server: Upstream) -> None:
    """A notification needs no message."""
    await services.tell([recipient(at(server, "a"))], "T", "")

    assert len(server.received) == 1


async def test_a_service_that_fails_is_named_and_not_shown(
    services: Services, server: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    """Which one it is, and not its URL; the others are told all the same; no library says more."""
    server.answer = lambda received: reply("500 No" if "s3cret" in received.target else "200 OK")
    urls = (at(server, "a"), at(server, "s3cret"), "nonsense", "json://127.0.0.1:1/s3cret")

    with caplog.at_level(logging.DEBUG):
        error = await failed(services, recipient(*urls))

    assert error["name"] == "ServiceError"
    assert error["code"] == "NOTIFY_FAILED"
    assert error["message"] == (
        '3 of 4 services could not be told: url 1 of the recipient "ops" (json) failed;'
        ' url 2 of the recipient "ops" is no Apprise URL;'
        ' url 3 of the recipient "ops" (json) failed'
    )
    assert error["failed"] == [
        {"recipient": "ops", "url": 1, "service": "json"},
        {"recipient": "ops", "url": 2, "service": None},
        {"recipient": "ops", "url": 3, "service": "json"},
    ]
    said = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    assert said == []


async def test_a_secret_that_is_missing_is_named(services: Services) -> None:
    """Its name is none."""

    def read() -> str:
        raise SecretMissing("the secret 'OPS_URL' is missing or empty")

    error = await failed(services, Recipient(name="ops", user=None, read_urls=(read,)))

    assert "'OPS_URL'" in error["message"]


async def test_what_takes_too_long_is_left(server: Upstream) -> None:
    """The time is for all of them together."""
    services = Services(settings.load({"limits.request_time": "1ms"}, {}))
    server.answer = lambda _: [b"HTTP/1.1 200 OK\r\n"]
    try:
        error = await failed(services, recipient(at(server, "a")))
    finally:
        services.close()

    assert error["code"] == "NOTIFY_TIMEOUT"


async def test_whoever_has_a_time_of_their_own_is_not_limited(server: Upstream) -> None:
    """The operation's `timeout` may be longer than the setting."""
    services = Services(settings.load({"limits.request_time": "0s"}, {}))
    try:
        await services.tell([recipient(at(server, "a"))], "T", "M", limited=False)
    finally:
        services.close()

    assert len(server.received) == 1


async def test_cancelling_ends_the_waiting(services: Services, server: Upstream) -> None:
    """Services that have not been told yet are not."""
    many = [recipient(*(at(server, f"{number}") for number in range(100)))]
    task = asyncio.create_task(services.tell(many, "T", "M"))
    await asyncio.sleep(0)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
