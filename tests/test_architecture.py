"""What the layout promises: layers, doors, dependencies."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, Final

import pytest

from runner import schema
from runner.loader import Loader
from runner.operations import BUILTIN
from runner.source import snapshot

ROOT: Final = Path(__file__).parent.parent
MODULES: Final = sorted((ROOT / "runner").rglob("*.py"))
PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))

#: Takes 50 ms or more to import, and most processes never need it; or is not on every platform.
LAZY: Final = {
    *("cryptography", "jsonschema", "jwt", "qs_codec", "re2", "referencing", "uvloop"),
    *("aiosmtplib", "apprise", "jinja2", "markdown_it", "nh3", "sqlite3"),  # mails, notifications
    "croniter",  # on which days schedules fire
    *("dbos", "sqlalchemy"),  # the store for replicas, in threads
}

#: Found by name: Python asks for the first where the system knows no time zones, and SQLAlchemy
#: for the others where a database is one of theirs.
UNSEEN: Final = {"tzdata", "aiosqlite"}


def imports(tree: ast.AST) -> Iterator[tuple[str, ast.stmt]]:
    """The top-level names of all packages imported in *tree*."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0], node


def parsed(path: Path) -> ast.Module:
    """The syntax tree of a module."""
    return ast.parse(path.read_text("utf-8"))


def test_imports_keep_to_the_layers_and_doors() -> None:
    """The contracts of pyproject.toml hold."""
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-logo", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_imported_behind_the_layers_back(path: Path) -> None:
    """No TYPE_CHECKING-only imports, and inside functions only libraries that are slow to load."""
    tree = parsed(path)
    at_the_top = {id(node) for node in tree.body}

    hidden = {name for name, node in imports(tree) if id(node) not in at_the_top}

    # What these load late needs a library.
    if path.name in ("daemon.py", "graphql.py", "databases.py"):
        hidden -= {"runner"}
    assert hidden <= LAZY
    assert "TYPE_CHECKING" not in path.read_text("utf-8")


def test_what_is_imported_is_a_dependency_and_the_other_way_round() -> None:
    """Nothing works by chance, because something else happens to install it; nothing is unused."""
    used = {name for path in MODULES for name, _ in imports(parsed(path))}
    used -= {*sys.stdlib_module_names, "runner"}
    distributions = packages_distributions()

    wanted = {distributions[name][0].lower().replace("_", "-") for name in used}

    extras = PROJECT["project"]["optional-dependencies"]
    needs = [each for extra in extras.keys() - {"all", "dev"} for each in extras[extra]]
    declared = {name(each) for each in [*PROJECT["project"]["dependencies"], *needs]}
    assert wanted == declared - UNSEEN


def name(requirement: str) -> str:
    """The distribution that a requirement is about."""
    return re.split("[>=[]", requirement)[0].strip().lower().replace("_", "-")


def test_every_operation_has_a_schema_and_every_schema_an_operation() -> None:
    """What `validate` knows is what can run."""
    described = {
        each.partition("/")[2] for each in schema.names() if each.startswith("operations/")
    }

    assert described == set(BUILTIN)


def test_who_keeps_things_in_a_folder_loads_no_library_for_replicas(tmp_path: Path) -> None:
    """They take a second and fifty megabytes."""
    program = f"""
import asyncio, sys
from runner import daemon, settings
from runner.store.base import Retention

async def use():
    async with daemon.make_store(settings.load({{"state": {str(tmp_path)!r}}}, {{}})) as store:
        await store.retain(Retention())

asyncio.run(use())
print(*sorted({{"dbos", "psycopg", "psycopg_pool", "sqlalchemy"}} & sys.modules.keys()))
"""

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stdout == "\n"


async def test_the_example_flows_have_no_issue() -> None:
    """What a newcomer copies is right."""
    loaded = await Loader(BUILTIN, None).load(snapshot(ROOT / "flows.d"))

    assert list(map(str, loaded.issues)) == []
