"""Whatever happens in whatever order: what was accepted ends, and ends once."""

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from runner.store.base import Journal, Store, WakeAt
from tests.unit.store.places import TEXT, InFolder, Walker, execution, status, step

_AT_ONCE = 3


class Life(RuleBasedStateMachine):
    """A store and what it goes through; between two rules it is at rest."""

    store: Store
    walker: Walker
    serving: asyncio.Task[None]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.place = InFolder(Path(self.folder.name))
        #: Of everything that was accepted, how many steps are kept.
        self.steps: dict[str, int] = {}
        #: How those ended that have.
        self.ended: dict[str, str] = {}
        #: Of those that run.
        self.journals: dict[str, Journal] = {}
        self.do(self._open())

    def do(self, what: Coroutine[Any, Any, object]) -> None:
        """Have *what* happen, and what follows from it: the first that are left run."""
        self.runner.run(what)
        self.runner.run(self._settle())

    @property
    def live(self) -> list[str]:
        """What has not ended, in the order in which it was accepted."""
        return [id_ for id_ in self.steps if id_ not in self.ended]

    # --- rules

    @rule()
    def accept(self) -> None:
        """A delivery comes."""
        self.do(self._accept(str(len(self.steps)), new=True))

    @precondition(lambda self: self.steps)
    @rule(data=st.data())
    def accept_again(self, data: Any) -> None:
        """One that came before comes again."""
        id_ = data.draw(st.sampled_from(list(self.steps)))
        self.do(self._accept(id_, new=False))

    @precondition(lambda self: self.journals)
    @rule(data=st.data())
    def record(self, data: Any) -> None:
        """A walk takes a step."""
        id_ = data.draw(st.sampled_from(sorted(self.journals)))
        self.do(self.journals[id_].record(step(str(self.steps[id_]))))
        self.steps[id_] += 1

    @precondition(lambda self: self.journals)
    @rule(data=st.data())
    def wait(self, data: Any) -> None:
        """A walk returns, to be called again."""
        id_ = data.draw(st.sampled_from(sorted(self.journals)))
        del self.journals[id_]
        self.walker.end(id_, WakeAt(0))
        self.do(asyncio.sleep(0))

    @precondition(lambda self: self.journals)
    @rule(data=st.data())
    def end(self, data: Any) -> None:
        """A walk comes to its end."""
        id_ = data.draw(st.sampled_from(sorted(self.journals)))
        self.walker.end(id_)
        self.do(self._ended(id_, "resolved"))

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        """Somebody has had enough of one that runs or is queued."""
        id_ = data.draw(st.sampled_from(self.live))
        assert self.runner.run(self.store.cancel(id_))
        self.do(self._ended(id_, "cancelled"))

    @precondition(lambda self: self.ended)
    @rule(data=st.data())
    def cancel_too_late(self, data: Any) -> None:
        """Somebody has had enough of one that has ended."""
        id_ = data.draw(st.sampled_from(sorted(self.ended)))
        assert not self.runner.run(self.store.cancel(id_))

    @rule()
    def restart(self) -> None:
        """A daemon stops, and another starts."""
        self.runner.run(self._close())
        self.do(self._open())

    @rule()
    def crash(self) -> None:
        """A process is killed, and another starts."""
        self.runner.run(self.place.crash())
        self.restart()

    # --- what always holds

    @invariant()
    def what_has_ended_stays_so(self) -> None:
        """And nothing else has, and nothing is lost."""
        seen = self.runner.run(self.store.executions())

        assert {each.id for each in seen} == self.steps.keys()
        ended = {each.id: each.status for each in seen if each.finished is not None}
        assert ended == self.ended

    def teardown(self) -> None:
        """Everything that is left can be ended."""
        while self.journals:
            id_ = next(iter(self.journals))
            self.walker.end(id_)
            self.do(self._ended(id_, "resolved"))
        self.what_has_ended_stays_so()
        self.runner.run(self._close())
        self.runner.close()
        self.folder.cleanup()

    # --- how it is done

    async def _open(self) -> None:
        self.store = self.place.store()
        await self.store.__aenter__()
        self.walker = Walker()
        self.journals.clear()
        self.serving = asyncio.create_task(self.store.serve(self.walker, _AT_ONCE))

    async def _close(self) -> None:
        self.serving.cancel()
        await asyncio.wait([self.serving])
        await self.store.__aexit__(None, None, None)

    async def _accept(self, id_: str, *, new: bool) -> None:
        assert await self.store.accept(execution(id_), [TEXT]) == new
        self.steps.setdefault(id_, 0)

    async def _ended(self, id_: str, how: str) -> None:
        self.journals.pop(id_, None)
        self.ended[id_] = how
        await status(self.store, id_, how)

    async def _settle(self) -> None:
        while self.journals.keys() != set(self.live[:_AT_ONCE]):
            each, journal = await self.walker.next()
            self.journals[each.id] = journal
            for number in range(self.steps[each.id]):
                assert journal.recorded(str(number)) == step(str(number))
        assert self.walker.began.empty()


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=10, stateful_step_count=25, deadline=None)
