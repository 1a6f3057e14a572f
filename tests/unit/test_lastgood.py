"""What ran last is known after a restart, whatever became of the disk."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.lastgood import LastGoodFolder

ROOT = Path("flows")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the texts are kept; not there yet."""
    return tmp_path / "state" / "last-good"


def files(folder: Path) -> dict[str, bytes]:
    """Everything in *folder*, by name."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_what_is_remembered_is_recalled_by_another_process(folder: Path) -> None:
    """Texts outlive the object that kept them."""
    LastGoodFolder(folder, ROOT).remember(
        {"a.yaml": b"A", "b/c.yaml": b"C"}, ["a.yaml", "b/c.yaml"]
    )

    assert LastGoodFolder(folder, ROOT).recall(["b/c.yaml", "never.yaml"]) == {"b/c.yaml": b"C"}
    assert LastGoodFolder(folder, ROOT).recall_all() == {"a.yaml": b"A", "b/c.yaml": b"C"}


def test_only_the_owner_may_read(folder: Path) -> None:
    """The folder is 0700 and its files are 0600, whatever the umask."""
    before = os.umask(0)
    try:
        LastGoodFolder(folder, ROOT).remember({"a.yaml": b"A"}, ["a.yaml"])
    finally:
        os.umask(before)

    (file,) = folder.iterdir()
    assert [stat.S_IMODE(each.stat().st_mode) for each in (folder.parent, folder, file)] == [
        0o700,
        0o700,
        0o600,
    ]


def test_only_what_changed_is_written(folder: Path) -> None:
    """A text that is kept already is left as it is, by the next process too."""
    last_good = LastGoodFolder(folder, ROOT)
    last_good.remember({"a.yaml": b"A", "b.yaml": b"B"}, ["a.yaml", "b.yaml"])
    before = {file.name: file.stat().st_ino for file in folder.iterdir()}

    last_good.remember({"a.yaml": b"A", "b.yaml": b"B2"}, ["a.yaml", "b.yaml"])
    LastGoodFolder(folder, ROOT).remember({"a.yaml": b"A", "b.yaml": b"B2"}, ["a.yaml", "b.yaml"])

    after = {file.name: file.stat().st_ino for file in folder.iterdir()}
    assert sum(before[name] == after[name] for name in before) == 1
    assert LastGoodFolder(folder, ROOT).recall_all() == {"a.yaml": b"A", "b.yaml": b"B2"}


def test_a_file_that_is_broken_now_stays_known(folder: Path) -> None:
    """What is in the tree and not good keeps the text that was."""
    last_good = LastGoodFolder(folder, ROOT)
    last_good.remember({"a.yaml": b"A", "b.yaml": b"B"}, ["a.yaml", "b.yaml"])

    last_good.remember({"b.yaml": b"B"}, ["a.yaml", "b.yaml"])

    assert last_good.recall(["a.yaml"]) == {"a.yaml": b"A"}


def test_a_file_that_left_the_tree_is_forgotten(folder: Path) -> None:
    """A deleted flow does not come back by a restart."""
    last_good = LastGoodFolder(folder, ROOT)
    last_good.remember({"a.yaml": b"A", "b.yaml": b"B"}, ["a.yaml", "b.yaml"])

    last_good.remember({"b.yaml": b"B"}, ["b.yaml"])

    assert last_good.recall_all() == {"b.yaml": b"B"}
    assert len(files(folder)) == 1


def test_a_file_that_comes_back_is_remembered_again(folder: Path) -> None:
    """Forgetting leaves nothing behind that would keep the text from being written."""
    last_good = LastGoodFolder(folder, ROOT)
    for good in ({"a.yaml": b"A"}, {}, {"a.yaml": b"A"}):
        last_good.remember(good, good.keys())

    assert last_good.recall_all() == {"a.yaml": b"A"}


def test_what_was_good_in_another_folder_is_not_recalled(folder: Path, tmp_path: Path) -> None:
    """Two folders with the same file names never run each other's flows."""
    LastGoodFolder(folder, tmp_path / "one").remember({"a.yaml": b"A"}, ["a.yaml"])

    other = LastGoodFolder(folder, tmp_path / "two")

    assert other.recall(["a.yaml"]) == {}
    assert other.recall_all() == {}


def test_what_was_good_in_another_folder_is_replaced(folder: Path, tmp_path: Path) -> None:
    """The same text under the same name belongs to the folder that had it last."""
    LastGoodFolder(folder, tmp_path / "one").remember({"a.yaml": b"A"}, ["a.yaml"])

    LastGoodFolder(folder, tmp_path / "two").remember({"a.yaml": b"A"}, ["a.yaml"])

    assert LastGoodFolder(folder, tmp_path / "two").recall_all() == {"a.yaml": b"A"}
    assert LastGoodFolder(folder, tmp_path / "one").recall_all() == {}


def _damage(file: Path, how: str) -> None:
    content = file.read_bytes()
    damaged = {
        "cut": content[:-1],
        "empty": b"",
        "grown": content + b"!",
        "flipped": content.replace(b"good", b"evil"),
        "garbage": b"\xff\x00" * 40,
        "no digest": content.partition(b"\n")[2],
    }
    file.write_bytes(damaged[how])


@pytest.mark.parametrize("how", ["cut", "empty", "grown", "flipped", "garbage", "no digest"])
def test_a_damaged_text_is_ignored_and_said_once(folder: Path, how: str) -> None:
    """A flow is never compiled from what a crash or a bad disk left of it."""
    LastGoodFolder(folder, ROOT).remember({"a.yaml": b"good"}, ["a.yaml"])
    (file,) = folder.iterdir()
    _damage(file, how)
    last_good = LastGoodFolder(folder, ROOT)

    assert last_good.recall(["a.yaml"]) == {}
    assert last_good.recall_all() == {}
    assert last_good.complaints() == [f"{file} is damaged and ignored"]
    assert last_good.complaints() == []


def test_a_text_under_the_name_of_another_is_damaged(folder: Path) -> None:
    """A copied file does not become a flow of another path."""
    last_good = LastGoodFolder(folder, ROOT)
    last_good.remember({"a.yaml": b"A", "b.yaml": b"B"}, ["a.yaml", "b.yaml"])
    one, two = folder.iterdir()

    one.write_bytes(two.read_bytes())

    assert len(last_good.recall_all()) == 1
    assert len(last_good.complaints()) == 1


def test_a_damaged_text_is_written_anew(folder: Path) -> None:
    """The next good load heals what was damaged, although the text is the same."""
    LastGoodFolder(folder, ROOT).remember({"a.yaml": b"good"}, ["a.yaml"])
    (file,) = folder.iterdir()
    _damage(file, "cut")

    LastGoodFolder(folder, ROOT).remember({"a.yaml": b"good"}, ["a.yaml"])

    assert LastGoodFolder(folder, ROOT).recall_all() == {"a.yaml": b"good"}


def test_a_write_that_was_interrupted_leaves_no_trace(folder: Path) -> None:
    """Half of a text is under another name, is not recalled, and is removed."""
    LastGoodFolder(folder, ROOT).remember({"a.yaml": b"A"}, ["a.yaml"])
    (file,) = folder.iterdir()
    file.with_suffix(".tmp").write_bytes(b"half")

    last_good = LastGoodFolder(folder, ROOT)

    assert last_good.recall_all() == {"a.yaml": b"A"}
    last_good.remember({"a.yaml": b"A"}, ["a.yaml"])
    assert list(folder.iterdir()) == [file]


def test_files_of_others_are_left_alone(folder: Path) -> None:
    """Only what has a name like ours is ever removed."""
    folder.mkdir(parents=True)
    (folder / "README").write_text("mine")

    LastGoodFolder(folder, ROOT).remember({}, [])

    assert files(folder) == {"README": b"mine"}


def test_a_folder_that_cannot_be_written_is_said_once_until_it_can(folder: Path) -> None:
    """Reloads go on without the disk; when it is there again, everything is kept."""
    folder.parent.mkdir()
    folder.write_text("a file is in the way")
    last_good = LastGoodFolder(folder, ROOT)

    for _ in range(3):
        last_good.remember({"a.yaml": b"A"}, ["a.yaml"])
    (complaint,) = last_good.complaints()
    assert str(folder) in complaint

    folder.unlink()
    last_good.remember({"a.yaml": b"A"}, ["a.yaml"])

    assert last_good.complaints() == []
    assert LastGoodFolder(folder, ROOT).recall_all() == {"a.yaml": b"A"}


def test_a_file_that_cannot_be_read_is_said(folder: Path) -> None:
    """What is there and cannot be read is not taken for nothing."""
    last_good = LastGoodFolder(folder, ROOT)
    last_good.remember({"a.yaml": b"A"}, ["a.yaml"])
    (file,) = folder.iterdir()
    file.unlink()
    file.mkdir()

    assert last_good.recall(["a.yaml"]) == {}
    (complaint,) = last_good.complaints()
    assert "cannot be read" in complaint


def test_without_a_folder_nothing_is_kept(tmp_path: Path) -> None:
    """`state: none` leaves the disk alone."""
    last_good = LastGoodFolder(None, ROOT)
    last_good.remember({"a.yaml": b"A"}, ["a.yaml"])

    assert last_good.recall(["a.yaml"]) == {}
    assert last_good.recall_all() == {}
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=25)  # each waits for the disk several times
@given(texts=st.dictionaries(st.text(min_size=1), st.binary(), max_size=5))
def test_any_path_and_any_text_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, texts: dict[str, bytes]
) -> None:
    """Line breaks, slashes, dots and bytes that are no text mean nothing here."""
    folder = tmp_path_factory.mktemp("state") / "last-good"

    LastGoodFolder(folder, ROOT).remember(texts, texts.keys())

    assert LastGoodFolder(folder, ROOT).recall_all() == texts
    assert LastGoodFolder(folder, ROOT).recall(texts.keys()) == texts
