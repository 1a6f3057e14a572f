"""Read records as a log pipeline does, and hold them against what the schema promises."""

import json
from pathlib import Path
from typing import Any, NoReturn

import jsonschema
import jsonschema_rs

from runner.records import MAX_LINE, Record
from runner.types import JSONObject

SCHEMA: JSONObject = json.loads(
    Path(__file__).parent.parent.joinpath("schemas/log-record.schema.json").read_bytes()
)
_VALIDATOR = jsonschema_rs.Draft202012Validator(SCHEMA, validate_formats=True)


def check_record(line: bytes, max_line: int = MAX_LINE) -> JSONObject:
    """The record that *line* says; fails unless it is one line of JSON as the schema has it."""
    assert len(line) <= max_line
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    record: JSONObject = json.loads(line.decode(), parse_constant=_no_constant)
    for error in _VALIDATOR.iter_errors(record):
        raise AssertionError(f"{error.message} at {error.instance_path} in {record}")
    return record


def texts(value: Any) -> list[str]:
    """Every text in *value*: keys, values, and numbers as JSON writes them."""
    if isinstance(value, dict):
        return [text for item in value.items() for each in item for text in texts(each)]
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    return [value] if isinstance(value, str) else [json.dumps(value)]


class Kept:
    """A sink that keeps what it is given, checked."""

    def __init__(self, max_line: int = MAX_LINE) -> None:
        self.lines: list[bytes] = []
        self.records: list[JSONObject] = []
        self._max_line = max_line

    def write(self, record: Record, /) -> None:
        """Keep *record*; its two forms say the same."""
        self.lines.append(record.line)
        self.records.append(check_record(record.line, self._max_line))

    @property
    def last(self) -> JSONObject:
        """The newest record."""
        return self.records[-1]


def _no_constant(name: str) -> NoReturn:
    raise AssertionError(f"{name} is not JSON")


jsonschema.Draft202012Validator.check_schema(SCHEMA)
