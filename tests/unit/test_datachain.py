"""What an execution knows, and what it never tells by accident."""

import pytest

from runner.datachain import ROOTS, Secrets, begin, everything
from runner.template import compile as compile_template


def test_a_chain_begins_with_what_started_it() -> None:
    """`$last` is the trigger data, and every root is there."""
    chain = begin({"n": 1}, {"user": "u"}, {"A": "1"}, Secrets(str), {"id": "x"})

    assert tuple(chain) == ("$trigger", "$last", "$accountability", "$env", "$secrets", "$error",
                            "$execution")  # fmt: skip
    assert set(chain) == set(ROOTS)
    assert chain["$last"] == chain["$trigger"] == {"n": 1}
    assert chain["$error"] is None


def test_everything_is_without_what_is_not_data() -> None:
    """`$all` leaves out `$secrets`, `$error` and `$execution`, and keeps the operations."""
    chain = {**begin(1, None, {}, Secrets(str), {}), "order": {"id": 7}}

    assert everything(chain) == {
        "$trigger": 1,
        "$last": 1,
        "$accountability": None,
        "$env": {},
        "order": {"id": 7},
    }


def test_a_secret_is_read_whenever_it_is_used() -> None:
    """Rotation needs no restart: nothing is kept."""
    values = iter(["old", "new"])
    chain = begin(None, None, {}, Secrets(lambda name: f"{name}-{next(values)}"), {})
    render = compile_template("{{ $secrets.TOKEN }}").render

    assert [render(chain), render(chain)] == ["TOKEN-old", "TOKEN-new"]


def test_secrets_written_down_are_empty() -> None:
    """Whatever prints the whole object prints no secret."""
    secrets = Secrets(lambda name: "s3cret")
    assert secrets["A"] == "s3cret"

    assert dict(secrets) == {}
    assert repr(secrets) == "{}"


def test_a_secret_that_cannot_be_read_says_why() -> None:
    """The reason is not swallowed: the operation rejects with it."""

    def read(name: str) -> str:
        raise ValueError(f"no {name}")

    chain = begin(None, None, {}, Secrets(read), {})

    with pytest.raises(ValueError, match="no TOKEN"):
        compile_template("{{ $secrets.TOKEN }}").render(chain)
