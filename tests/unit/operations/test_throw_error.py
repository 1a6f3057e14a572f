"""A failure on purpose."""

import pytest

from runner.model import Status
from runner.types import JSONObject
from tests.world import World


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {},
            {"code": "INTERNAL_SERVER_ERROR", "status": 500,
             "message": "An unexpected error occurred."},
        ),
        (
            {"code": "my_code", "status": 418, "message": "no"},
            {"code": "MY_CODE", "status": 418, "message": "no"},
        ),
        (
            {"code": "{{ $trigger.code }}", "status": "{{ $trigger.status }}",
             "message": "{{ $trigger }}"},
            {"code": "GONE", "status": 410, "message": '{"code":"gone","status":"410"}'},
        ),
        ({"status": "404"}, {"status": 404}),
        ({"message": None}, {"message": "null"}),
    ],
)  # fmt: skip
async def test_it_rejects_as_it_is_told(
    world: World, options: JSONObject, expected: JSONObject
) -> None:
    """Codes are upper case, statuses are numbers, messages are text."""
    result = await world.operate("throw-error", options, {"code": "gone", "status": "410"})

    assert result.status is Status.REJECTED
    assert isinstance(result.value, dict)
    assert {"name": "Error", **expected}.items() <= result.value.items()
    assert list(result.value) == ["name", "message", "code", "status"]


async def test_null_options_are_none() -> None:
    """What needs no options may say so."""
    world = World()
    await world.load(
        one="name: x\ntrigger: operation\noperations: [{type: throw-error, options: null}]"
    )

    assert (await world.run("one")).status is Status.REJECTED


@pytest.mark.parametrize("status", [200, 399, 600, 404.5, "4044", "ok", None, True])
async def test_a_status_that_is_no_error_is_a_misfit(world: World, status: object) -> None:
    """A rejection never answers 200 because the data said so."""
    result = await world.operate("throw-error", {"status": "{{ $trigger.s }}"}, {"s": status})

    assert isinstance(result.value, dict)
    assert result.value["code"] == "INVALID_OPTIONS"
