"""Rendering beside what plain Python would do for the same text."""

from typing import Any

from runner import template
from tests.bench import common

_DATA: dict[str, Any] = {
    "$trigger": {"body": {"id": 12345, "total": 99.5, "customer": {"name": "Ann"}}},
    "$last": {"ok": True},
}
_TREE: dict[str, Any] = {
    "id": "{{ $trigger.body.id }}",
    "total": "{{ $trigger.body.total }}",
    "who": "{{ $trigger.body.customer.name }}",
    "fixed": {"a": 1, "b": "two", "c": [1, 2, 3], "d": None},
    "more": {"e": True, "f": "six"},
}
_TEXT = (
    "order {{ $trigger.body.id }} of {{ $trigger.body.customer.name }}: {{ $trigger.body.total }}"
)


def main() -> None:
    """Nanoseconds of CPU for each, best of several rounds in turn."""
    count = 2_000 if common.arguments(__doc__).quick else 200_000
    one = template.compile("{{ $trigger.body.total }}").render
    text = template.compile(_TEXT).render
    tree = template.compile(_TREE).render
    cases = {
        "one value, d[a][b][c]": lambda: _DATA["$trigger"]["body"]["total"],
        "one value, compiled": lambda: one(_DATA),
        "text with three, f-string": _native_text,
        "text with three, compiled": lambda: text(_DATA),
        "tree of 12 leaves, dict display": _native_tree,
        "tree of 12 leaves, compiled": lambda: tree(_DATA),
    }
    figures = {name: _time(work, count) for name, work in cases.items()}
    names = list(figures)
    rows, found = [], {}
    for native, compiled in zip(names[::2], names[1::2], strict=True):
        ratio = figures[compiled] / figures[native]
        rows += [
            [native, f"{figures[native]:.0f}", "1"],
            [compiled, f"{figures[compiled]:.0f}", f"{ratio:.1f}"],
        ]
        found[native.split(",")[0]] = ratio
    common.table(["what", "ns", "÷ native"], rows)
    common.ratios(found)


def _native_text() -> str:
    body = _DATA["$trigger"]["body"]
    return f"order {body['id']} of {body['customer']['name']}: {body['total']}"


def _native_tree() -> dict[str, Any]:
    body = _DATA["$trigger"]["body"]
    return {
        "id": body["id"], "total": body["total"], "who": body["customer"]["name"],
        "fixed": _TREE["fixed"], "more": _TREE["more"],
    }  # fmt: skip


def _time(work: Any, count: int) -> float:
    def loop() -> None:
        for _ in range(count):
            work()

    return common.best_of(5, loop, count)


if __name__ == "__main__":
    main()
