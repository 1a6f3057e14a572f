"""Where we answer otherwise than Directus on purpose, why, and what we answer."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runner.types import JSONObject

FILE: Final = Path(__file__).parent / "differences.json"


@dataclass(frozen=True, slots=True)
class Difference:
    """How the answer to one case differs."""

    #: Names in `Differences.reasons`.
    reasons: tuple[str, ...]
    #: The parts of our answer that differ, as we give them.
    ours: JSONObject


@dataclass(frozen=True, slots=True)
class Differences:
    """All of them."""

    #: A sentence by name.
    reasons: dict[str, str]
    #: By name of the case.
    cases: dict[str, Difference]

    def ours(self, name: str, recorded: JSONObject) -> JSONObject:
        """What we answer where Directus answered *recorded*."""
        difference = self.cases.get(name)
        return recorded if difference is None else {**recorded, **difference.ours}


def load() -> Differences:
    """Read the file."""
    data = json.loads(FILE.read_text("utf-8"))
    cases = {
        name: Difference(tuple(each["reasons"]), each["ours"])
        for name, each in data["cases"].items()
    }
    return Differences(data["reasons"], cases)


def save(differences: Differences) -> None:
    """Write the file: a line a case, sorted, to be read before it is committed."""
    reasons = json.dumps(differences.reasons, indent=1, ensure_ascii=False)
    lines = [
        f"{json.dumps(name)}: "
        + json.dumps({"reasons": each.reasons, "ours": each.ours}, ensure_ascii=False)
        for name, each in sorted(differences.cases.items())
    ]
    text = f'{{"reasons": {reasons},\n"cases": {{\n' + ",\n".join(lines) + "\n}}\n"
    FILE.write_text(text, "utf-8")


def note(known: Differences, name: str, recorded: JSONObject, answer: JSONObject) -> None:
    """Write down how the answer to a case differs now; why, a person has to say."""
    ours = {key: value for key, value in answer.items() if value != recorded[key]}
    before = known.cases.pop(name, None)
    if ours:
        known.cases[name] = Difference(("?",) if before is None else before.reasons, ours)
