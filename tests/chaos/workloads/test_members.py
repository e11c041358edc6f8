"""The last member of a group, as it looks to the workload: by a client whose records come late."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from chaos.checkers.groups import check_group
from chaos.history import History
from chaos.workloads.load import Load, LogPlan
from chaos.workloads.members import finish_group
from cluster.client.offsets import PartitionOffsets
from cluster.sim.clock import simulate
from cluster.types import Offset

END = 3


@dataclass
class Given:
    """A record, as far as members look at it."""

    offset: int
    topic: str = "groups"
    partition: int = 0


class Late:
    """A client, its subscription, and where they are: of three records the last comes so much after the rest."""

    def __init__(self, late_s: float) -> None:
        self.random = random.Random(1)
        self.positions = {("groups", 0): 0}
        self.assignment = self.committed = dict[Any, int]()
        self._late_s = late_s

    def now_s(self) -> float:
        """Virtual time."""
        return asyncio.get_running_loop().time()

    def client(self, place: str, options: object) -> "Late":
        """Itself."""
        del place, options
        return self

    async def offsets(self, topic: str) -> dict[int, PartitionOffsets]:
        """One partition."""
        del topic
        return {0: PartitionOffsets(partition=0, first=Offset(0), end=Offset(END))}

    def subscribe(self, topic: str, **said: str) -> "Late":
        """Itself."""
        del topic, said
        return self

    def generation_of(self, topic: str, partition: int) -> int:
        """There is one."""
        del topic, partition
        return 1

    async def __aiter__(self) -> AsyncIterator[Given]:
        """What was given before is processed when the next one is asked for."""
        for offset in range(END):
            self.positions["groups", 0] = offset
            await asyncio.sleep(self._late_s if offset == END - 1 else 0.01)
            yield Given(offset)
        await asyncio.Event().wait()

    async def commit(self, *, timeout_s: float | None = None) -> None:
        """It is."""

    async def open(self) -> None:
        """It is."""

    async def close(self) -> None:
        """It is."""

    async def abandon(self) -> None:
        """It is."""


def judged(late_s: float) -> list[str]:
    """What is wrong with the group when it has finished."""
    history = History()
    arena: Any = Late(late_s)

    async def run() -> None:
        await finish_group(Load(arena, history, LogPlan(partitions=1), "groups"), "workers")

    simulate(run(), 1)
    return [anomaly.name for anomaly in check_group(history.events)]


def test_the_last_record_is_waited_for() -> None:
    """All before it are processed by then, and it is on its way: on a slow machine that takes seconds."""
    assert [] == judged(0.01)
    assert [] == judged(5.0)


def test_it_is_not_waited_for_without_end() -> None:
    """Then somebody has skipped it."""
    assert ["skipped"] == judged(100.0)
