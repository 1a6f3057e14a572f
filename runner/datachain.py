"""What an execution knows: `$trigger`, `$last`, `$accountability`, `$env`, and a value per key."""

from collections.abc import Callable, Mapping

from runner.types import Chain, JSONObject, JSONValue

#: Roots that templates know and `$all` leaves out: they are not data of the flow.
_ASIDE = ("$secrets", "$error", "$execution")

#: Every root that is not the key of an operation.
ROOTS = ("$trigger", "$last", "$accountability", "$env", *_ASIDE)


class Secrets(dict[str, str]):
    """
    `$secrets`: reads a secret whenever a template asks for it, and keeps none.

    It is a dict so that templates walk through it as through everything else, and always empty so
    that nothing that writes it down can write a secret.
    """

    def __init__(self, read: Callable[[str], str]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, name: str) -> str:
        return self._read(name)


def begin(
    trigger_data: JSONValue,
    accountability: JSONObject | None,
    env: Mapping[str, str],
    secrets: Secrets,
    execution: JSONObject,
) -> JSONObject:
    """The chain before the first operation: `$last` is what started the flow."""
    return {
        "$trigger": trigger_data,
        "$last": trigger_data,
        "$accountability": accountability,
        "$env": env,
        "$secrets": secrets,
        "$error": None,
        "$execution": execution,
    }


def everything(chain: Chain) -> JSONObject:
    """`$all`: the chain without `$secrets`, `$error` and `$execution`."""
    return {key: value for key, value in chain.items() if key not in _ASIDE}
