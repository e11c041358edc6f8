"""Stores of tasks in memory, which outlive their node as files do, and lose in a crash what was not flushed."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import TypeVar

from cluster.processing.store_memory import MemoryStore

T = TypeVar("T")
WORK_S = 0.0005
"""What each piece of work takes."""


class SimStores:
    """See `cluster.processing.surroundings.Stores`. One for each node, through all of its incarnations."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._stores: dict[str, MemoryStore] = {}
        self._turn = asyncio.Lock()

    def open(self, directory: str, owner: str) -> MemoryStore:
        """See Stores."""
        del owner
        return self._stores.setdefault(directory, MemoryStore())

    def remove(self, directory: str) -> None:
        """See Stores."""
        self._stores.pop(directory, None)

    def bytes_in(self, directory: str) -> int:
        """See Stores."""
        store = self._stores.get(directory)
        return store.size_bytes if store is not None else 0

    async def run(self, work: Callable[[], T]) -> T:
        """See Stores."""
        async with self._turn:
            await asyncio.sleep(WORK_S)
            return work()

    def soon(self, work: Callable[[], object]) -> None:
        """See Stores."""
        work()

    async def close(self) -> None:
        """See Stores."""

    def crash(self) -> None:
        """The power fails: of each store some of the commits that were not flushed are gone."""
        self.forget_jobs()
        for store in self._stores.values():
            store.crash(self._random.randint(0, store.unflushed))

    def forget_jobs(self) -> None:
        """Whoever used them is gone, in the middle of whatever it did."""
        self._turn = asyncio.Lock()
