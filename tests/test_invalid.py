"""
What an author is told: golden issues of files with mistakes.

`invalid/<name>.yaml`, or a folder of several files, has its issues in `<name>.issues`, as the
command line prints them. `pytest --update-golden` rewrites those files; read what it wrote.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import runner
from runner import settings
from runner.loader import Loader
from runner.model import Issue
from runner.operations import BUILTIN
from tests.world import snapshot

FOLDER = Path(__file__).parent / "invalid"
CASES = sorted({path.with_suffix("") for path in FOLDER.iterdir()})

#: A file of more than a megabyte is not worth keeping: unit/test_document.py makes one; and here
#: everything is installed: unit/test_compiler.py asks for something that is not.
ELSEWHERE = {"missing-extra", "yaml-size"}


async def issues_of(case: Path) -> list[Issue]:
    """The issues of one file or folder, attached to settings that hold nothing."""
    root = case if case.is_dir() else case.parent
    files = case.rglob("*.yaml") if case.is_dir() else [case.with_suffix(".yaml")]
    content = {file.relative_to(root).as_posix(): file.read_bytes() for file in files}
    loader = Loader(BUILTIN, settings.load({"state": "none"}, environ={}))
    return (await loader.load(snapshot(content))).issues


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_mistake_is_told_as_it_was_written_down(
    case: Path, pytestconfig: pytest.Config
) -> None:
    """Every issue stands in its golden file, with position, message, hint and code."""
    golden = case.with_suffix(".issues")

    told = "".join(f"{issue}\n" for issue in await issues_of(case))
    if pytestconfig.getoption("update_golden"):
        golden.write_text(told, "utf-8")

    assert told
    assert golden.read_text("utf-8") == told


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_message_is_one_sentence_in_plain_words(case: Path) -> None:
    """A message begins without a capital, ends without a dot, is short and one line."""
    for issue in await issues_of(case):
        for text in (issue.message, issue.hint or "write it so"):
            assert re.fullmatch(r"[^A-Z\s].*[^.\s]", text), text
            assert len(text) < 250
        assert not re.search(r"\bNone\b|\bTrue\b|\bFalse\b|Error|Traceback", str(issue))


async def test_every_code_in_the_source_has_a_golden_file() -> None:
    """Whatever parser, schema, compiler and linker can say is seen here as an author sees it."""
    seen = {issue.code for case in CASES for issue in await issues_of(case)}

    assert seen == set(codes_in_the_source()) - ELSEWHERE


def codes_in_the_source() -> Iterator[str]:
    """Constants that look like a code, and arguments that stand where a code is expected."""
    folder = Path(runner.__file__).parent
    modules = (
        "document", "yaml12", "schema", "tree", "findings", "trigger_options", "operations/items",
        "compiler",
    )  # fmt: skip
    for module in modules:
        for node in ast.walk(ast.parse((folder / f"{module}.py").read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                looks_like_a_code = re.fullmatch("[a-z]+(-[a-z]+)+", node.value)
                yield from {node.value} if looks_like_a_code else ()
            if isinstance(node, ast.Call):
                yield from _codes(node)


def _codes(call: ast.Call) -> Iterator[str]:
    name = getattr(call.func, "attr", None) or getattr(call.func, "id", None)
    place = {"issue": 0, "Problem": 0, "_warn": 1, "_issue_at": 2, "malformed": 2}.get(str(name))
    match call.args[place] if place is not None and place < len(call.args) else None:
        case ast.Constant(value=str(code)):
            yield code
        case ast.JoinedStr(values=[ast.Constant(value=str(beginning)), _]):
            yield from (beginning + what for what in ("key", "id"))
