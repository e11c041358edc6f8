"""A keeper beside the log that it follows."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from cluster.processing.store_memory import MemoryStore
from tests.processing.tasks.kept import FLUSH_S, Task

T = TypeVar("T")


class Busy:
    """Stores that need a second for whatever they do, and while they apply something there comes more of it."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.now_s = 0.0
        self.store = MemoryStore()

    def monotonic_s(self) -> float:
        """See Clock."""
        return self.now_s

    def open(self, directory: str, owner: str) -> MemoryStore:
        """See Stores."""
        del directory, owner
        return self.store

    async def run(self, work: Callable[[], T]) -> T:
        """See Stores."""
        await asyncio.sleep(0)
        self.now_s += 1
        self.task.commit()
        return work()

    def soon(self, work: Callable[[], object]) -> None:
        """See Stores."""
        work()


def test_state_is_flushed_in_its_time_however_much_there_is_to_apply() -> None:
    """Without it the log would grow as long as there is always something new."""

    async def run() -> None:
        task = Task()
        stores = Busy(task)
        keeping = asyncio.create_task(task.keeper(stores, stores).run())
        while stores.now_s < 10 * FLUSH_S:  # noqa: ASYNC110  each turn of the loop is progress
            await asyncio.sleep(0)
        assert stores.store.applied.index - stores.store.flushed < 3 * FLUSH_S
        assert task.log.trim_limit > 0
        keeping.cancel()

    asyncio.run(run())
