"""Whether the store can be used: said when that changes, also while nobody asks it for anything."""

import asyncio
from typing import Final

from runner.errors import StoreError
from runner.records import Recorder
from runner.store.base import Store

_EVERY: Final = 1.0
"""Seconds between looks."""

_WELL: Final = 3
"""So many looks without trouble make the end of one: a disk that is nearly full takes some."""


class Troubles:
    """Records what keeps *store* from being used, each trouble once until it is over."""

    def __init__(self, store: Store, recorder: Recorder, every: float = _EVERY) -> None:
        self._store = store
        self._recorder = recorder
        self._every = every
        #: Of the trouble that is not over.
        self._said: set[str] = set()
        #: Looks since it was last seen.
        self._looks = 0

    async def watch(self) -> None:
        """Look until it is cancelled."""
        while True:
            self._look()
            await asyncio.sleep(self._every)

    def _look(self) -> None:
        trouble = self._store.trouble
        self._looks = 0 if trouble is not None else self._looks + 1
        if trouble is not None and trouble not in self._said:
            self._said.add(trouble)
            error = {"name": "StoreError", "message": trouble, "code": StoreError.code}
            self._recorder.emit("store.failed", error=error)
        elif self._said and self._looks >= _WELL:
            self._said.clear()
            self._recorder.emit("store.recovered")
