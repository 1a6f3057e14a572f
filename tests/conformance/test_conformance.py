"""
Flows that move in from Directus answer as they did there.

Every recorded case is imported by `runner import directus` and asked over HTTP. What differs on
purpose stands in differences.json by the name of the case, with its reason and what we answer.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conformance import differences, test_api, world
from tests.conformance.cases import ALONE, TOGETHER, load
from tests.conformance.differences import Differences, note
from tests.conformance.world import World


@pytest.fixture(scope="module")
def known(request: pytest.FixtureRequest) -> Iterator[Differences]:
    """What is known to differ; `--update-golden` writes down what does now."""
    found = differences.load()
    yield found
    if request.config.getoption("--update-golden"):
        differences.save(found)


@pytest.mark.parametrize("name", TOGETHER)
def test_a_flow_answers_as_in_directus_or_as_the_differences_say(
    name: str,
    running: World,
    known: Differences,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> None:
    """Status, body, steps with their rendered options, trigger data, and what is there then."""
    _compare(name, running, known, request, record_property)


@pytest.mark.parametrize("name", ALONE)
def test_a_flow_that_is_alone_does_so_too(
    name: str,
    known: Differences,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
    tmp_path: Path,
) -> None:
    """The same for those that would hear of each other."""
    with world.running(tmp_path, [name]) as running:
        _compare(name, running, known, request, record_property)


def _compare(
    name: str,
    running: World,
    known: Differences,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> None:
    case = running.cases[name]
    recorded, answer = world.recorded(case), running.answer(case)
    # Of a flow that did not run, there is nothing to compare but the refusal.
    recorded = {key: recorded[key] for key in answer}
    if request.config.getoption("--update-golden"):
        note(known, name, recorded, answer)

    kind = "passed" if name not in known.cases else "differing" if answer["carried"] else "left"
    record_property("conformance", kind)
    assert answer == known.ours(name, recorded)


def test_every_difference_is_one_and_has_its_reason() -> None:
    """A difference that is gone, or that nobody explained, does not stay in the file."""
    known = differences.load()
    cases = {case.name: world.recorded(case) for case in (*load(), *test_api.CASES.values())}

    for name, difference in known.cases.items():
        assert difference.ours, name
        assert all(cases[name].get(part) != ours for part, ours in difference.ours.items()), name
    used = {reason for difference in known.cases.values() for reason in difference.reasons}
    assert used == set(known.reasons)


def test_nothing_but_what_the_differences_say_is_left_behind(
    running: World, known: Differences
) -> None:
    """What the importer cannot carry is known case by case."""
    left = {name for name in TOGETHER if running.cases[name].flow["id"] in running.left}

    expected = {name for name, each in known.cases.items() if each.ours.get("carried") is False}
    assert left == expected - set(ALONE)


def test_the_cases_are_all_there(tmp_path: Path) -> None:
    """A file that is lost makes the suite shorter, not greener."""
    assert len({*TOGETHER, *ALONE}) == len(TOGETHER) + len(ALONE) == 367
