"""The folder of a store: made, locked, and told apart from one that cannot be used."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from runner.errors import StoreError

_LOCK: Final = "store.lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """
    Have *folder* for this process alone; it is made, for its owner only, if it is not there.

    Raises StoreError when it cannot be had. The lock goes with the process, however that ends.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreError(
            f"the state folder {folder} cannot be used: {reason};"
            " --state names a folder that can be written, or `none`"
        ) from None
    try:
        _lock(lock, folder)
        yield
    finally:
        os.close(lock)


def _lock(lock: int, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 20, 0).decode("ascii", "replace").strip() or "another"
        raise StoreError(
            f"the state folder {folder} is in use by process {holder}:"
            " a folder serves one runner at a time, so stop that one, or name another folder"
        ) from None
    except OSError as error:
        raise StoreError(f"the state folder {folder} cannot be locked: {error.strerror}") from None
    try:
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    except OSError:  # the disk is full: the lock holds, and only the name of its holder is missing
        return
