"""From a snapshot of a folder to compiled flows, with the work of the last time kept."""

import asyncio
import gc

from runner import settings
from runner.loader import Loader
from runner.model import Issue
from runner.operations import BUILTIN
from runner.source import Snapshot
from tests.world import snapshot

GOOD = b"name: Good\ntrigger: operation\n"
CALLS = b"name: Calls\ntrigger: operation\noperations: [{type: trigger, options: {flow: a}}]\n"


async def test_files_come_sorted_with_their_issues_in_order() -> None:
    """All issues of all files in one go, by path and then from top to bottom."""
    loader = Loader(BUILTIN, None)
    bad = b"name: 5\ntrigger: operation\nextra: 1\n"

    loaded = await loader.load(snapshot({"z.yaml": bad, "a/b.yaml": bad, "m.yaml": GOOD}))

    assert list(loaded.files) == ["a/b.yaml", "m.yaml", "z.yaml"]
    assert [(issue.path, issue.line) for issue in loaded.issues] == [
        ("a/b.yaml", 1), ("a/b.yaml", 3), ("z.yaml", 1), ("z.yaml", 3),
    ]  # fmt: skip
    assert loaded.broken
    assert (loaded.digest, loaded.revision) == ("d" * 64, "revision-1")


async def test_only_what_changed_is_compiled_again() -> None:
    """A file with the same bytes keeps its flow object."""
    loader = Loader(BUILTIN, None)
    first = await loader.load(snapshot({"a.yaml": GOOD, "b.yaml": GOOD}))

    second = await loader.load(snapshot({"a.yaml": GOOD, "b.yaml": GOOD + b"icon: x\n"}))

    assert second.files["a.yaml"].flow is first.files["a.yaml"].flow
    assert second.files["b.yaml"].flow is not first.files["b.yaml"].flow


async def test_links_are_looked_at_anew_every_time() -> None:
    """An unchanged file has an issue while the flow that it starts is away."""
    loader = Loader(BUILTIN, None)

    async def codes(**files: bytes) -> list[str]:
        content = {f"{name}.yaml": text for name, text in files.items()}
        return [issue.code for issue in (await loader.load(snapshot(content))).issues]

    assert await codes(a=GOOD, b=CALLS) == []
    assert await codes(b=CALLS) == ["unknown-flow"]
    assert await codes(a=GOOD, b=CALLS) == []


async def test_without_settings_nothing_is_attached() -> None:
    """`validate` without settings does not miss secrets; the daemon does."""
    hook = b"name: H\ntrigger: webhook\noptions: {auth: {kind: bearer, secret: S}}\n"

    checked = await Loader(BUILTIN, None).load(snapshot({"h.yaml": hook}))
    attached = await Loader(BUILTIN, settings.load({}, environ={})).load(snapshot({"h.yaml": hook}))

    assert checked.issues == []
    assert [issue.code for issue in attached.issues] == ["unknown-secret"]
    assert attached.files["h.yaml"].flow is not None


async def test_a_file_that_is_no_document_still_has_a_name() -> None:
    """It is listed under the key it would have, with its text kept."""
    loaded = await Loader(BUILTIN, None).load(snapshot({"a/b.yml": b"- not a flow\n"}))

    file = loaded.files["a/b.yml"]
    assert (file.key, file.name, file.flow) == ("a/b", "a/b", None)
    assert file.content == b"- not a flow\n"


async def test_what_could_not_be_read_is_a_file_with_an_issue() -> None:
    """Issues of the folder's reader stand beside those of the compiler."""
    known = snapshot({"a.yaml": GOOD})
    unread = Issue(path="b.yaml", line=1, column=1, code="outside-root", message="no")
    both = Issue(path="a.yaml", line=1, column=1, code="not-a-file", message="no")
    found = Snapshot(
        files=known.files, issues=(unread, both), digest="", revision="",
        kind="folder", atomic=True, newest_mtime=0.0,
    )  # fmt: skip

    loaded = await Loader(BUILTIN, None).load(found)

    assert [issue.code for issue in loaded.files["b.yaml"].issues] == ["outside-root"]
    assert loaded.files["b.yaml"].flow is None
    assert [issue.code for issue in loaded.files["a.yaml"].issues] == ["not-a-file"]


async def test_loading_many_files_gives_others_their_turn() -> None:
    """A thousand files are compiled in slices, and garbage is collected again afterwards."""
    files = {f"f{n}.yaml": GOOD + f"description: {n}\n".encode() for n in range(1000)}
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counter = asyncio.create_task(count())
    loaded = await Loader(BUILTIN, None).load(snapshot(files))
    counter.cancel()

    assert len(loaded.files) == 1000
    assert turns > 3
    assert gc.isenabled()


async def test_a_large_file_is_compiled_beside_the_loop() -> None:
    """One file may take seconds, most of all one that is wrong everywhere."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counter = asyncio.create_task(count())
    loaded = await Loader(BUILTIN, None).load(
        snapshot(
            {
                "a.yaml": GOOD
                + b"nonsense: 1\n"
                + b"".join(f"key{n}: 1\n".encode() for n in range(3000))
            }
        )
    )
    counter.cancel()

    assert len(loaded.issues) == 100
    assert turns > 3
