"""Where secrets are read, and what is never read."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.secrets import SecretMissing, Secrets


def test_secret_file_wins_over_the_variable(tmp_path: Path) -> None:
    """A mounted file is the fresher of the two; one newline at its end is not part of it."""
    (tmp_path / "KEY").write_text("from file\n\n")
    secrets = Secrets(tmp_path, {"KEY": "from variable", "OTHER": "text"})

    assert secrets.get("KEY") == "from file\n"
    assert secrets.get("OTHER") == "text"


@pytest.mark.parametrize("age", [0, 3600])
@pytest.mark.parametrize("new", ["second", "rotate"])
def test_rewritten_secret_is_read_again(tmp_path: Path, age: int, new: str) -> None:
    """Rotation needs no restart, be the new value as long as the old one and written at once."""
    file = tmp_path / "KEY"
    file.write_text("first!")
    os.utime(file, (file.stat().st_atime - age, file.stat().st_mtime - age))
    secrets = Secrets(tmp_path, {})
    assert secrets.get("KEY") == "first!"

    file.write_text(new)

    assert secrets.get("KEY") == new


def test_secret_written_twice_in_one_tick_is_read_twice(tmp_path: Path) -> None:
    """A file that changed just now is not trusted to look different when it changes again."""
    file = tmp_path / "KEY"
    file.write_text("aaaa")
    tick = file.stat().st_mtime_ns
    secrets = Secrets(tmp_path, {})
    secrets.get("KEY")

    file.write_text("bbbb")
    os.utime(file, ns=(tick, tick))

    assert secrets.get("KEY") == "bbbb"


def test_unchanged_secret_is_not_read_again(tmp_path: Path) -> None:
    """A secret that is used a thousand times a second costs a look at its file, not a read."""
    file = tmp_path / "KEY"
    file.write_text("aaaa")
    os.utime(file, ns=(0, 0))
    secrets = Secrets(tmp_path, {})
    secrets.get("KEY")

    file.write_text("bbbb")
    os.utime(file, ns=(0, 0))

    assert secrets.get("KEY") == "aaaa"


def test_secret_mounted_as_kubernetes_does_rotates(tmp_path: Path) -> None:
    """KEY → ..data/KEY → ..one/KEY: swapping `..data` swaps the secret."""
    for name in ("..one", "..two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "KEY").write_text(name)
    (tmp_path / "..data").symlink_to("..one")
    (tmp_path / "KEY").symlink_to("..data/KEY")
    secrets = Secrets(tmp_path, {})
    assert secrets.get("KEY") == "..one"

    (tmp_path / "..tmp").symlink_to("..two")
    (tmp_path / "..tmp").rename(tmp_path / "..data")

    assert secrets.get("KEY") == "..two"


@pytest.mark.parametrize(
    "name", ["../KEY", "/etc/passwd", "..", ".", "", "a/b", "a\0b", "KEY\n", "ключ"]
)
def test_name_that_is_a_path_is_refused(tmp_path: Path, name: str) -> None:
    """No name leads out of the folder."""
    (tmp_path / "KEY").write_text("outside")
    folder = tmp_path / "secrets"
    folder.mkdir()

    with pytest.raises(SecretMissing, match="cannot name a secret"):
        Secrets(folder, {name: "x"}).get(name)


def test_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    """Whoever may write the folder cannot make the runner read what they may not."""
    (tmp_path / "outside").write_text("s3cret")
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "KEY").symlink_to(tmp_path / "outside")

    with pytest.raises(SecretMissing, match="link out of the folder"):
        Secrets(folder, {"KEY": "not even then"}).get("KEY")


def make_fifo(path: Path) -> None:
    """Reading it would wait for ever."""
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.write_bytes(b"s3cret\xff"), "not UTF-8"),
        (lambda path: path.write_bytes(b"x" * (1 << 20) + b"y"), "larger than 1 MiB"),
        (lambda path: path.mkdir(), "not a regular file"),
        (make_fifo, "not a regular file"),
        (lambda path: path.symlink_to(path.name), "symbolic links"),
        (lambda path: path.symlink_to("gone"), "missing or empty"),
        (lambda path: path.write_text("\n"), "missing or empty"),
        (lambda path: None, "missing or empty"),
    ],
)
def test_secret_that_cannot_be_read_is_missing_and_never_shown(
    tmp_path: Path, make: Callable[[Path], object], words: str
) -> None:
    """The message names the secret and the reason, and holds nothing of the value."""
    make(tmp_path / "KEY")
    secrets = Secrets(tmp_path, {})

    with pytest.raises(SecretMissing, match=words) as caught:
        secrets.get("KEY")

    assert "'KEY'" in caught.value.message
    assert "s3cret" not in caught.value.message
    assert "KEY" not in secrets


def test_settings_are_never_secrets() -> None:
    """A flow cannot read how the runner is set up."""
    secrets = Secrets(None, {"RUNNER_STATE": "x", "KEY": "y"})

    assert "RUNNER_STATE" not in secrets
    assert "KEY" in secrets


def test_every_value_is_told_before_it_is_given(tmp_path: Path) -> None:
    """What the redactor has to hide it knows first, and each value once."""
    heard: list[str] = []
    secrets = Secrets(tmp_path, {"A": "one"}, heard.append)
    (tmp_path / "B").write_text("two")
    for _ in range(3):
        secrets.get("A"), secrets.get("B")
    (tmp_path / "B").write_text("three")
    secrets.get("B")

    assert heard == ["one", "two", "three"]
