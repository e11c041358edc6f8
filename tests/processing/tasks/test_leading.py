"""Whoever begins to lead a task, beside its keeper."""

import asyncio
import threading
from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

from cluster.processing.snapshot import Applied
from cluster.processing.store_memory import MemoryStore
from cluster.processing.tasks.around import Around
from cluster.processing.tasks.keeper import Keeper
from cluster.processing.tasks.leading import Leading
from cluster.processing.work import StateChange
from cluster.real.worker import Worker
from cluster.types import Index
from tests.processing.tasks.kept import Task


class Halting(MemoryStore):
    """It stops before it applies a commit, until it may go on."""

    def __init__(self, before: int) -> None:
        super().__init__()
        self._before = before
        self.halted, self.may_go_on = threading.Event(), threading.Event()

    def apply(self, applied: Applied, changes: Sequence[StateChange]) -> None:
        """See Store."""
        if applied.n == self._before:
            self.halted.set()
            assert self.may_go_on.wait(10)
        super().apply(applied, changes)


class Threaded:
    """One store, used on a thread of its own."""

    def __init__(self, store: MemoryStore) -> None:
        self.worker = Worker("stores")
        self.run = self.worker.run
        self.soon = self.worker.start
        self.store = store

    def open(self, directory: str, owner: str) -> MemoryStore:
        """See Stores."""
        del directory, owner
        return self.store


def leading_of(keeper: Keeper) -> Leading:
    """Whoever leads; its app is not known here."""
    leading = Leading(
        keeper,
        cast(
            "Around",
            SimpleNamespace(
                outlets=None,
                stage_of=lambda _: None,
                clock=SimpleNamespace(monotonic_s=lambda: 0.0),
                emptying=SimpleNamespace(run=lambda _: asyncio.Event().wait()),
            ),
        ),
    )
    keeper.on_change = leading.keeper_moved
    return leading


async def shipped(leading: Leading, upto: int, *parts: asyncio.Task[None]) -> None:
    """Return when it has shipped so many commits; none of these may end meanwhile."""
    async with asyncio.timeout(10):
        while leading.shipper is None or leading.shipper.shipping.shipped_upto < upto:
            await asyncio.sleep(0.001)
            for part in parts:
                assert not part.done(), part.exception()


def test_who_begins_to_lead_while_commits_are_applied_ships_each_of_them_once() -> None:
    """They are applied on another thread: what it is in the middle of is not yet what is known."""

    async def run() -> None:
        task, store = Task(), Halting(before=3)
        task.commit()
        stores = Threaded(store)
        keeper = task.keeper(stores, SimpleNamespace(monotonic_s=lambda: 0.0))
        keeping = asyncio.create_task(keeper.run())
        while not keeper.is_current:  # noqa: ASYNC110  its thread goes on
            await asyncio.sleep(0)
        for _ in range(3):
            task.commit()
        keeper.folded()
        await asyncio.to_thread(store.halted.wait, 10)
        leading = leading_of(keeper)
        led = asyncio.create_task(leading.run())
        for _ in range(10):
            await asyncio.sleep(0)
        store.may_go_on.set()
        await shipped(leading, 4, led, keeping)
        led.cancel()
        keeping.cancel()
        await asyncio.gather(led, keeping, return_exceptions=True)
        stores.worker.close()

    asyncio.run(run())


def test_who_begins_to_lead_before_the_beginning_is_committed_waits_for_it() -> None:
    """It was proposed by whoever led here a moment ago, in the same term."""

    async def run() -> None:
        task = Task()
        task.raft.commit = Index(0)
        stores = Threaded(MemoryStore())
        keeper = task.keeper(stores, SimpleNamespace(monotonic_s=lambda: 0.0))
        leading = leading_of(keeper)
        parts = [asyncio.create_task(keeper.run()), asyncio.create_task(leading.run())]
        while keeper.applying is None:  # noqa: ASYNC110  its thread goes on
            await asyncio.sleep(0)
        task.commit()
        keeper.folded()
        await shipped(leading, 1, *parts)
        for part in parts:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)
        stores.worker.close()

    asyncio.run(run())
