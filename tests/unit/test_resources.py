"""Resources live as long as the block that opened them, and are made once."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from runner import settings
from runner.resources import Resource, Resources
from runner.settings import Settings


@pytest.fixture
def made(tmp_path: Path) -> Settings:
    """The defaults."""
    return settings.load({"secrets_dir": str(tmp_path)}, {})


def opening(story: list[str], name: str) -> Callable[[Settings], AbstractAsyncContextManager[str]]:
    """Makes a text, and tells its story."""

    @asynccontextmanager
    async def open_(_: Settings) -> AsyncIterator[str]:
        story.append(f"open {name}")
        yield name
        story.append(f"close {name}")

    return open_


async def test_a_resource_of_several_types_is_opened_once_and_closed_in_reverse(
    made: Settings,
) -> None:
    """Two operation types that name one resource share it; the last one opened is closed first."""
    story: list[str] = []
    first, second = (Resource(open=opening(story, name)) for name in ("first", "second"))
    resources = Resources()

    async with resources.opened((first, second, first), made):
        story.append(f"{resources[first]} {resources[second]}")

    assert story == ["open first", "open second", "first second", "close second", "close first"]


async def test_a_resource_is_warmed_only_where_it_is_open_and_can_be(made: Settings) -> None:
    """Warming is an offer."""
    story: list[str] = []
    warm = Resource(open=opening(story, "warm"), warm=lambda name: story.append(f"warm {name}"))
    plain = Resource(open=opening(story, "plain"))
    resources = Resources()

    resources.warm((warm, plain))
    async with resources.opened((warm, plain), made):
        resources.warm((warm, plain))

    assert story == ["open warm", "open plain", "warm warm", "close plain", "close warm"]
