"""Snapshots: which files are flows, that they belong together, and where they come from."""

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from runner import document, source
from runner.errors import SourceError
from runner.source import Snapshot

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "89abcdef0123456789abcdef0123456789abcdef"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty flows folder, with room beside it."""
    folder = tmp_path / "here" / "flows.d"
    folder.mkdir(parents=True)
    return folder


def write(folder: Path, *paths: str, content: str = "name: a\n") -> None:
    """Make files, and the folders they are in."""
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)


def issues(snapshot: Snapshot) -> list[tuple[str, str]]:
    """Path and code of every issue."""
    return [(issue.path, issue.code) for issue in snapshot.issues]


def git(folder: Path, *arguments: str) -> str:
    """Run the real git, without anybody's settings; what it says."""
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "init.defaultBranch=main"]
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    command = ["git", "-C", str(folder), *identity, *arguments]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


# --- which files --------------------------------------------------------------------------------


def test_every_yaml_file_in_any_folder_is_a_flow(root: Path) -> None:
    """Both endings count, at any depth; the paths are sorted and have forward slashes."""
    write(root, "b.yaml", "a.yml", "team/deep/c.yaml", "x.yaml/d.yaml")

    got = source.snapshot(root)

    assert list(got.files) == ["a.yml", "b.yaml", "team/deep/c.yaml", "x.yaml/d.yaml"]
    assert got.files["a.yml"] == b"name: a\n"
    assert got.issues == ()


@pytest.mark.parametrize(
    "path",
    [
        ".a.yaml", "_a.yaml", ".git/a.yaml", "_lib/a.yaml", "b/.c/a.yaml", "a.test.yaml",
        "a.test.yml", "a.yaml~", ".a.yaml.swp", "a.yaml.todo", "a.json", "yaml", "a.YAML", ".yaml",
    ],
)  # fmt: skip
def test_these_are_no_flows(root: Path, path: str) -> None:
    """Hidden and underscored names, tests, and what does not end in .yaml or .yml."""
    write(root, path)

    got = source.snapshot(root)

    assert (got.files, got.issues) == ({}, ())


def test_links_inside_the_folder_are_followed(root: Path) -> None:
    """A flow may be reached twice; a hidden folder can hold what links show."""
    write(root, "_shared/a.yaml", "team/b.yaml")
    (root / "c.yaml").symlink_to("_shared/a.yaml")
    (root / "shown").symlink_to(root / "_shared", target_is_directory=True)
    (root / "twin").symlink_to("team")

    got = source.snapshot(root)

    assert list(got.files) == ["c.yaml", "shown/a.yaml", "team/b.yaml", "twin/b.yaml"]
    assert got.issues == ()


def test_links_in_a_circle_end(root: Path) -> None:
    """A folder is not entered from within itself."""
    write(root, "a/b/c.yaml", "d/e.yaml")
    (root / "a/b/up").symlink_to("../..")
    (root / "a/b/self").symlink_to(".")
    (root / "a/over").symlink_to("../d")
    (root / "d/over").symlink_to("../a")

    got = source.snapshot(root)

    assert got.issues == ()
    assert set(got.files) == {"a/b/c.yaml", "a/over/e.yaml", "d/e.yaml", "d/over/b/c.yaml"}


def test_links_cannot_multiply_without_end(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty folders can be two to the thirty paths: so many entries are not looked at."""
    monkeypatch.setattr(source, "MAX_ENTRIES", 2000)
    for level in range(30):
        (root / f"_{level}").mkdir()
        (root / f"_{level}/a").symlink_to(f"../_{level + 1}")
        (root / f"_{level}/b").symlink_to(f"../_{level + 1}")
    (root / "_30").mkdir()
    (root / "start").symlink_to("_0")

    with pytest.raises(SourceError, match="holds more than 2,000 files and folders"):
        source.snapshot(root)


@pytest.mark.parametrize(("name", "path"), [("a.yaml", "a.yaml"), ("folder", "folder/")])
def test_links_out_of_the_folder_are_issues(root: Path, name: str, path: str) -> None:
    """No flow comes from elsewhere, not even from a folder whose name begins alike."""
    write(root.parent / "flows.d-secret", "a.yaml", "folder/b.yaml")
    (root / name).symlink_to(root.parent / "flows.d-secret" / name)

    got = source.snapshot(root)

    assert got.files == {}
    assert issues(got) == [(path, "outside-root")]
    assert [issue.path for issue in got.unread_folders] == [path] * path.endswith("/")


def test_a_folder_inside_cannot_lead_out_by_a_detour(root: Path) -> None:
    """What counts is where a link ends, not what it goes through."""
    write(root.parent, "secret/a.yaml")
    (root / "_way").symlink_to("..")
    (root / "a.yaml").symlink_to("_way/secret/a.yaml")

    assert issues(source.snapshot(root)) == [("a.yaml", "outside-root")]


def test_links_that_lead_nowhere_are_issues(root: Path) -> None:
    """The file may come back, but now it cannot be read."""
    (root / "gone.yaml").symlink_to("nothing")
    (root / "round.yaml").symlink_to("round.yaml")
    (root / "README.md").symlink_to("nothing")

    got = source.snapshot(root)

    assert issues(got) == [("gone.yaml", "unreadable"), ("round.yaml", "unreadable")]


def test_special_files_are_issues_and_are_not_opened(root: Path) -> None:
    """Opening a pipe would wait for ever."""
    os.mkfifo(root / "pipe.yaml")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "s.yaml"))
        (root / "null.yaml").symlink_to("/dev/null")

        got = source.snapshot(root)

    assert issues(got) == [
        ("null.yaml", "outside-root"), ("pipe.yaml", "not-a-file"), ("s.yaml", "not-a-file"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", [b"caf\xe9.yaml", b"a\nb.yaml", b"a\x1b[2J.yaml", b"\xff/a.yaml"])
def test_names_that_no_line_can_show_are_issues(root: Path, name: bytes) -> None:
    """A name that is not UTF-8 or not printable harms itself alone, and the output not at all."""
    write(root, os.fsdecode(name), "good.yaml")

    got = source.snapshot(root)

    assert list(got.files) == ["good.yaml"]
    assert [issue.code for issue in got.issues] == ["file-name"]
    assert got.issues[0].path.isprintable()


def test_a_file_over_the_limit_is_an_issue(root: Path) -> None:
    """What could not be parsed is not read; the limit itself may be reached."""
    (root / "big.yaml").write_bytes(b"#" * (document.MAX_BYTES + 1))
    (root / "fits.yaml").write_bytes(b"#" * document.MAX_BYTES)

    got = source.snapshot(root)

    assert {path: len(content) for path, content in got.files.items()} == {
        "fits.yaml": document.MAX_BYTES
    }
    assert issues(got) == [("big.yaml", "yaml-size")]


def test_all_files_together_have_a_limit(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that cannot be meant is refused before it fills the memory."""
    monkeypatch.setattr(source, "MAX_TOTAL", 20)
    write(root, "a.yaml", "b.yaml", "c.yaml")

    with pytest.raises(SourceError, match="have 24 bytes; 20 are allowed"):
        source.snapshot(root)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_an_issue(root: Path) -> None:
    """A file and a folder without permission do not keep the others from being read."""
    write(root, "good.yaml", "closed.yaml", "shut/a.yaml")
    (root / "closed.yaml").chmod(0)
    (root / "shut").chmod(0)

    got = source.snapshot(root)
    (root / "shut").chmod(0o700)

    assert list(got.files) == ["good.yaml"]
    assert issues(got) == [("closed.yaml", "unreadable"), ("shut/", "unreadable")]


def test_a_subpath_mount_is_a_warning(root: Path) -> None:
    """A file whose last name was removed below its mount is read, and will never change."""
    write(root.parent, "mounted.yaml")
    write(root, "a.yaml")
    program = (
        "import pathlib, sys; from runner import source; "
        "got = source.snapshot(pathlib.Path(sys.argv[1])); "
        "print(list(got.files), *(f'{i.severity} {i.code}' for i in got.issues))"
    )
    script = (
        'mount --bind "$1/mounted.yaml" "$2/a.yaml" && rm "$1/mounted.yaml" && "$3" -c "$4" "$2"'
    )
    inside = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*inside[:3], "true"], check=False).returncode
    ):
        pytest.skip("this system does not let us mount")

    arguments = [str(root.parent), str(root), sys.executable, program]
    done = subprocess.run([*inside, *arguments], check=True, capture_output=True, text=True)

    assert done.stdout == "['a.yaml'] warning subpath-mount\n"


# --- which folder -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "missing does not exist: create or mount it"),
        ("dangling", "dangling does not exist"),
        ("file", "file is not a folder: name the folder with the flows"),
        ("file/below", "below is not a folder"),
        ("round", "round cannot be read: Too many levels of symbolic links"),
    ],
)
def test_a_folder_that_is_none_is_an_error(tmp_path: Path, name: str, message: str) -> None:
    """The error says which folder, why, and what to do."""
    write(tmp_path, "file")
    (tmp_path / "dangling").symlink_to("nothing")
    (tmp_path / "round").symlink_to("round")

    with pytest.raises(SourceError, match=re.escape(message)):
        source.snapshot(tmp_path / name)


def test_an_empty_folder_is_no_error(root: Path) -> None:
    """Whether that is meant is not for us to say."""
    got = source.snapshot(root)

    assert (got.files, got.issues, got.newest_mtime) == ({}, (), 0.0)


def test_a_relative_path_is_understood(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`flows.d` is found in the working directory."""
    write(root, "a.yaml")
    monkeypatch.chdir(root.parent)

    assert source.snapshot(Path("flows.d")).digest == source.snapshot(root).digest
    assert source.watch_dirs(Path("flows.d")) == source.watch_dirs(root)


# --- the same content ---------------------------------------------------------------------------


def test_the_digest_is_of_the_content_alone(root: Path) -> None:
    """A rewrite with the same bytes, a touch, and unread files change nothing."""
    write(root, "a.yaml", "b/c.yaml")
    before = source.snapshot(root).digest

    shutil.copytree(root, root.parent / "copy")
    write(root, "a.yaml", "README.md", ".hidden.yaml")
    os.utime(root / "b/c.yaml", (0, 0))

    assert source.snapshot(root).digest == before
    assert source.snapshot(root.parent / "copy").digest == before


def _merge(root: Path) -> None:
    """Make one file of two, with what could be taken for the mark between them."""
    write(root, "a.yaml", content="name: a\nb.yaml\0name: a\n")
    (root / "b.yaml").unlink()


@pytest.mark.parametrize(
    "change",
    [
        lambda root: write(root, "a.yaml", content="name: b\n"),
        lambda root: write(root, "z.yaml"),
        lambda root: (root / "a.yaml").rename(root / "z.yaml"),
        lambda root: (root / "a.yaml").unlink(),
        lambda root: os.mkfifo(root / "z.yaml"),
        _merge,
    ],
    ids=["edit", "add", "rename", "remove", "issue", "merge"],
)
def test_the_digest_changes_with_the_content(root: Path, change: Callable[[Path], object]) -> None:
    """Every change of what would be loaded, issues included, is another generation."""
    write(root, "a.yaml", "b.yaml")
    before = source.snapshot(root).digest

    change(root)

    assert source.snapshot(root).digest != before


def test_an_edit_that_keeps_time_and_size_is_seen(root: Path) -> None:
    """Times of modification are not trusted."""
    write(root, "a.yaml", content="name: a\n")
    os.utime(root / "a.yaml", (1, 1))
    before = source.snapshot(root)

    write(root, "a.yaml", content="name: b\n")
    os.utime(root / "a.yaml", (1, 1))
    after = source.snapshot(root)

    assert before.newest_mtime == after.newest_mtime == 1.0
    assert after.files["a.yaml"] == b"name: b\n"
    assert before.digest != after.digest


def test_a_folder_that_never_rests_is_an_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What changed while it was read is read again, and in the end refused."""
    write(root, "a.yaml")
    real, reads = source._read, []

    def read_and_change(file: source._File) -> bytes:
        content = real(file)
        reads.append(content)
        write(root, "a.yaml", content="x" * len(reads))
        return content

    monkeypatch.setattr(source, "_read", read_and_change)

    with pytest.raises(SourceError, match="kept changing while it was read"):
        source.snapshot(root)
    assert len(reads) == source.MAX_TRIES


def test_a_change_while_it_is_read_leads_to_another_try(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never half of the old and half of the new: a file replaced in between is read anew."""
    write(root, "a.yaml", "b.yaml", content="old")
    real = source._read

    def read_and_replace_once(file: source._File) -> bytes:
        content = real(file)
        monkeypatch.setattr(source, "_read", real)
        for name in ("a.yaml", "b.yaml"):
            write(root, f".{name}", content="new")
            (root / f".{name}").rename(root / name)
        return content

    monkeypatch.setattr(source, "_read", read_and_replace_once)

    assert source.snapshot(root).files == {"a.yaml": b"new", "b.yaml": b"new"}


def test_a_pipe_that_takes_a_files_place_is_not_waited_for(root: Path) -> None:
    """Between finding and opening anything can happen; the wrong file is not read."""
    write(root, "a.yaml")
    found = source._Walk(str(root)).run().files["a.yaml"]
    (root / "a.yaml").unlink()
    os.mkfifo(root / "a.yaml")

    with pytest.raises(OSError, match="replaced"):
        source._read(found)


def test_no_snapshot_mixes_two_versions(root: Path) -> None:
    """While versions are swapped as fast as possible, every snapshot is one of them."""
    versions = root.parent / "versions"
    for version in ("1", "2"):
        write(versions / version, *(f"{n}.yaml" for n in range(20)), content=version)
    link, stop = root.parent / "link", threading.Event()
    link.symlink_to(versions / "1")

    def swap() -> None:
        while not stop.is_set():
            for version in ("2", "1"):
                (root.parent / "next").symlink_to(versions / version)
                (root.parent / "next").rename(link)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        got = [_try_snapshot(link) for _ in range(30)]
    finally:
        stop.set()
        swapper.join()

    assert all(len(set(one.files.values())) == 1 for one in got if one is not None)


def _try_snapshot(root: Path) -> Snapshot | None:
    """A snapshot, or None where the folder would not rest."""
    try:
        return source.snapshot(root)
    except SourceError:
        return None


# --- where it comes from ------------------------------------------------------------------------


def test_a_plain_folder_is_known_by_its_digest(root: Path) -> None:
    """Without a better name the revision is the beginning of the digest."""
    write(root, "a.yaml")

    got = source.snapshot(root)

    assert (got.kind, got.atomic) == ("folder", False)
    assert got.revision == f"sha256:{got.digest[:12]}"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A real git work tree with one commit and a flows folder."""
    folder = tmp_path / "repository"
    write(folder, "flows.d/a.yaml")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder


def _pack(repository: Path) -> Path:
    git(repository, "pack-refs", "--all")
    return repository


def _detach(repository: Path) -> Path:
    git(repository, "checkout", "-q", "--detach")
    return repository


def _worktree(repository: Path) -> Path:
    git(repository, "worktree", "add", "-q", "../worktree", "-b", "team/branch")
    git(repository / "../worktree", "commit", "-qm", "second", "--allow-empty")
    return repository.parent / "worktree"


def _packed_worktree(repository: Path) -> Path:
    return _pack(_worktree(repository))


def _submodule(repository: Path) -> Path:
    outer = repository.parent / "outer"
    outer.mkdir()
    git(outer, "init", "-q")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(repository), "in")
    return outer / "in"


@pytest.mark.parametrize("arrange", [Path, _pack, _detach, _worktree, _packed_worktree, _submodule])
def test_a_work_tree_is_known_by_its_commit(
    repository: Path, arrange: Callable[[Path], Path]
) -> None:
    """Loose and packed refs, a detached HEAD, worktrees and submodules: what git says."""
    folder = arrange(repository)

    got = source.snapshot(folder / "flows.d")

    assert (got.kind, got.revision) == ("git", git(folder, "rev-parse", "HEAD"))
    assert not got.atomic


def test_an_uncommitted_change_keeps_the_commit(repository: Path) -> None:
    """The revision says what is checked out; the digest says what is there."""
    before = source.snapshot(repository / "flows.d")
    write(repository, "flows.d/a.yaml", content="changed")
    after = source.snapshot(repository / "flows.d")

    assert before.revision == after.revision
    assert before.digest != after.digest


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("HEAD", "ref: refs/heads/none\n"),
        ("HEAD", "ref: refs/../../../secret\n"),
        ("HEAD", "ref: /etc/passwd\n"),
        ("HEAD", "not a commit\n"),
        ("HEAD", "ref: HEAD\n"),
        ("HEAD", "\0"),
        ("refs/heads/main", "ref: refs/heads/main\n"),
        ("refs/heads/main", "0123\n"),
        ("commondir", "/nowhere\0\n"),
    ],
)
def test_a_strange_repository_has_no_commit(repository: Path, file: str, content: str) -> None:
    """What cannot be understood is not guessed: the digest names the content."""
    (repository / ".git/refs/heads/main").unlink()
    (repository / ".git" / file).write_text(content)
    write(repository.parent, "secret", content=COMMIT)

    got = source.snapshot(repository / "flows.d")

    assert (got.kind, got.revision) == ("git", f"sha256:{got.digest[:12]}")


def test_a_broken_git_file_has_no_commit(root: Path) -> None:
    """A `.git` that leads nowhere is no reason to fail."""
    write(root.parent, ".git", content="gitdir: nowhere\0\n")

    got = source.snapshot(root)

    assert got.revision == f"sha256:{got.digest[:12]}"
    assert source.index_lock(root) is None


def configmap(root: Path, version: str, **files: str) -> None:
    """Do to *root* what the kubelet does when a ConfigMap has a new version."""
    old = (root / "..data").readlink() if (root / "..data").is_symlink() else None
    for key, content in files.items():
        write(root / version, f"{key}.yaml", content=content)
    (root / "..data_tmp").symlink_to(version)
    (root / "..data_tmp").rename(root / "..data")
    for name in {f"{key}.yaml".split("/")[0] for key in files}:
        if not (root / name).is_symlink():
            (root / name).symlink_to(f"..data/{name}")
    if old is not None:
        shutil.rmtree(root / old)


def test_a_configmap_is_known_by_its_version(root: Path) -> None:
    """The files are read from the version itself, and only once."""
    configmap(root, "..2026_08_22_10_00_00.1", a="1", b="2")
    first = source.snapshot(root)
    configmap(root, "..2026_08_22_10_00_01.2", a="3")
    second = source.snapshot(root)

    assert first.files == {"a.yaml": b"1", "b.yaml": b"2"}
    assert (first.kind, first.atomic) == ("configmap", True)
    assert first.revision == "..2026_08_22_10_00_00.1"
    assert second.files == {"a.yaml": b"3"}
    assert second.revision == "..2026_08_22_10_00_01.2"


def test_a_folder_of_a_configmap_is_known_by_its_version(root: Path) -> None:
    """Items of a ConfigMap can lie in folders, of which one holds the flows."""
    configmap(root, "..2026_08_22_10_00_00.1", **{"sub/a": "1"})

    got = source.snapshot(root / "sub")

    assert list(source.snapshot(root).files) == ["sub/a.yaml"]
    assert (got.kind, got.atomic) == ("configmap", True)
    assert (got.revision, list(got.files)) == ("..2026_08_22_10_00_00.1", ["a.yaml"])


def test_configmaps_below_the_folder_are_read_once(root: Path) -> None:
    """Several ConfigMaps mounted side by side are folders of one tree."""
    (root / "team").mkdir()
    configmap(root / "team", "..2026_08_22_10_00_00.1", a="1")
    write(root, "b.yaml")

    got = source.snapshot(root)

    assert list(got.files) == ["b.yaml", "team/a.yaml"]
    assert (got.kind, got.atomic) == ("folder", False)


def git_sync(volume: Path, commit: str, **files: str) -> None:
    """Do to *volume* what git-sync does when the branch has a new commit."""
    tree = volume / ".worktrees" / commit
    for name, content in files.items():
        write(tree, f"flows/{name}.yaml", content=content)
    write(tree, ".git", content=f"gitdir: {volume}/.git/worktrees/{commit}\n")
    (volume / "tmp").symlink_to(f".worktrees/{commit}")
    (volume / "tmp").rename(volume / "current")


@pytest.mark.parametrize("root", ["current", "current/flows"])
def test_git_sync_is_known_by_its_commit(tmp_path: Path, root: str) -> None:
    """The link's target is named after the commit, also where the flows are in a folder of it."""
    git_sync(tmp_path, COMMIT, a="1")
    first = source.snapshot(tmp_path / root)
    git_sync(tmp_path, OTHER, a="2")
    second = source.snapshot(tmp_path / root)

    assert (first.kind, first.revision, first.atomic) == ("git-sync", COMMIT, True)
    assert (second.kind, second.revision, second.atomic) == ("git-sync", OTHER, True)
    assert list(second.files.values()) == [b"2"]


def test_a_work_tree_of_git_sync_is_known_by_its_folder(tmp_path: Path) -> None:
    """Even when the link was resolved by somebody else."""
    git_sync(tmp_path, COMMIT, a="1")

    got = source.snapshot(tmp_path / ".worktrees" / COMMIT / "flows")

    assert (got.kind, got.revision) == ("git-sync", COMMIT)


def test_a_folder_behind_a_link_is_swapped_at_once(root: Path) -> None:
    """Who deploys by link does not have to wait for the files to settle."""
    write(root, "a.yaml")
    (root.parent / "link").symlink_to(root)

    got = source.snapshot(root.parent / "link")

    assert (got.kind, got.atomic) == ("folder", True)


# --- what to watch ------------------------------------------------------------------------------


def watched(root: Path) -> set[str]:
    """The paths to watch."""
    return {path for path, _, _ in source.watch_dirs(root)}


def test_every_real_folder_and_the_parent_are_watched(root: Path) -> None:
    """A change anywhere is seen, and so is the folder's own replacement."""
    write(root, "a/b/c.yaml", "d/README.md", ".git/index", "_lib/e.yaml")
    (root / "f.yaml").symlink_to("_lib/e.yaml")

    assert watched(root) == {
        str(folder)
        for folder in (root.parent, root, root / "a", root / "a/b", root / "d", root / "_lib")
    }


def test_the_parents_of_all_links_on_the_way_are_watched(tmp_path: Path) -> None:
    """A swap of any link that the path goes through is seen."""
    write(tmp_path, "one/data/flows/a.yaml")
    (tmp_path / "two").mkdir()
    (tmp_path / "two/link").symlink_to("../one/step")
    (tmp_path / "one/step").symlink_to("data")
    (tmp_path / "three").mkdir()
    (tmp_path / "three/way").symlink_to(tmp_path / "two")

    got = watched(tmp_path / "three/way/link/flows")

    assert {str(tmp_path / name) for name in ("one", "two", "three")} <= got
    assert str(tmp_path / "one/data/flows") in got


def test_of_a_configmap_the_folder_with_its_link_is_watched(root: Path) -> None:
    """The swap of `..data` happens there."""
    configmap(root, "..2026_08_22_10_00_00.1", a="1")

    assert {str(root), str(root / "..2026_08_22_10_00_00.1")} <= watched(root)


def test_of_git_sync_the_folder_with_its_link_is_watched(tmp_path: Path) -> None:
    """The swap of the link happens there."""
    git_sync(tmp_path, COMMIT, a="1")

    assert str(tmp_path) in watched(tmp_path / "current/flows")


def test_a_folder_made_anew_has_to_be_watched_anew(root: Path) -> None:
    """Its name is the same, its inode is not."""
    before = source.watch_dirs(root)
    root.rename(root.parent / "old")
    root.mkdir()

    after = source.watch_dirs(root)

    assert [path for path, _, _ in before] == [path for path, _, _ in after]
    assert before != after


def test_of_a_missing_folder_all_that_is_above_is_watched(tmp_path: Path) -> None:
    """It is seen when it comes, however much of the way is missing."""
    (tmp_path / "way").mkdir()
    (tmp_path / "way/link").symlink_to(tmp_path / "not/yet")
    (tmp_path / "not").mkdir()

    got = watched(tmp_path / "way/link/flows")

    assert {str(tmp_path / "way"), str(tmp_path / "not")} <= got


# --- git at work --------------------------------------------------------------------------------


@pytest.mark.parametrize("arrange", [Path, _worktree, _submodule])
def test_the_lock_of_git_is_found_while_it_is_held(
    repository: Path, arrange: Callable[[Path], Path]
) -> None:
    """Also of a worktree and a submodule, whose index is elsewhere."""
    folder = arrange(repository)
    lock = folder / git(folder, "rev-parse", "--git-path", "index.lock")

    assert source.index_lock(folder / "flows.d") is None
    lock.touch()
    found = source.index_lock(folder / "flows.d")
    lock.unlink()

    assert found is not None
    assert found.resolve() == lock.resolve()
    assert source.index_lock(folder / "flows.d") is None


def test_a_git_folder_that_cannot_be_looked_into_holds_no_lock(root: Path) -> None:
    """It may belong to somebody else; here its name is longer than the system takes."""
    (root / ".git").write_text(f"gitdir: {'x' * 300}\n")

    assert source.index_lock(root) is None


def test_without_git_there_is_no_lock(root: Path) -> None:
    """Neither in a plain folder nor in one that is missing."""
    write(root, "index.lock")

    assert source.index_lock(root) is None
    assert source.index_lock(root / "missing") is None
