"""
What becomes of exports from Directus: golden files.

`imports/<name>.json` is an export; `imports/<name>/` holds the files that are made of it, and
`imports/<name>.issues` what is said meanwhile. `pytest --update-golden` rewrites both; read what it
wrote.
"""

import shutil
from pathlib import Path

import pytest

from runner import source
from runner.importers import directus, exports, folder
from runner.loader import Loader
from runner.model import Severity
from runner.operations import BUILTIN

FOLDER = Path(__file__).parent / "imports"
CASES = sorted(path.stem for path in FOLDER.glob("*.json"))
OUT = Path("flows")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issues show the paths that they were asked for, so these must be the same everywhere."""
    monkeypatch.chdir(tmp_path)


def imported(case: str) -> str:
    """Import a case into OUT; what there is to say."""
    flows = exports.read((FOLDER / f"{case}.json").read_bytes()).flows
    files = folder.plan(directus.convert(flows), OUT)
    for file in files:
        folder.write(file)
    return "".join(f"{issue}\n" for file in files for issue in file.issues)


def texts(root: Path) -> dict[str, str]:
    """All files below *root*."""
    return {path.name: path.read_text("utf-8") for path in root.iterdir()}


@pytest.mark.parametrize("case", CASES)
def test_an_export_becomes_the_files_that_were_written_down(
    case: str, pytestconfig: pytest.Config
) -> None:
    """Every file to the letter, and every issue with its place."""
    golden, issues = FOLDER / case, FOLDER / f"{case}.issues"

    said = imported(case)
    if pytestconfig.getoption("update_golden"):
        shutil.rmtree(golden, ignore_errors=True)
        shutil.copytree(OUT, golden)
        issues.write_text(said, "utf-8")

    assert texts(OUT) == texts(golden)
    assert said == issues.read_text("utf-8")


@pytest.mark.parametrize("case", CASES)
async def test_what_is_written_as_a_flow_is_one(case: str) -> None:
    """`validate` has no error to tell of it, in the folder as it is afterwards."""
    imported(case)

    loaded = await Loader(BUILTIN, None).load(source.snapshot(OUT))

    assert [str(each) for each in loaded.issues if each.severity is Severity.ERROR] == []


@pytest.mark.parametrize("case", CASES)
def test_a_second_import_changes_nothing(case: str) -> None:
    """Names, texts and issues are the same, so that there is nothing to write."""
    said = imported(case)
    before = texts(OUT)

    flows = exports.read((FOLDER / f"{case}.json").read_bytes()).flows
    files = folder.plan(directus.convert(flows), OUT)

    assert {file.standing for file in files} == {folder.Standing.SAME}
    assert {file.path.name: file.content.decode() for file in files} == before
    assert "".join(f"{issue}\n" for file in files for issue in file.issues) == said


def test_every_golden_file_belongs_to_an_export() -> None:
    """Nothing is left over of cases that are gone."""
    assert {path.name.partition(".")[0] for path in FOLDER.iterdir()} == set(CASES)
