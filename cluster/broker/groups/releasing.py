"""Releases of a group on their way into the log: those that come while some are under way go together.

Each entry that frees something costs a plan for the whole group, and a large rebalance releases thousands of
partitions, most of them one by one. So there are as many plans as round trips of the log, not as partitions.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from cluster.broker.groups import commands
from cluster.broker.groups.home import propose
from cluster.broker.groups.session import Session
from cluster.broker.running import Running
from cluster.errors import RiverrunError
from cluster.types import PartitionId


class Releasing:
    """One group's. What waits is bounded by what each session may have without an answer."""

    def __init__(self, running: Running, group: str) -> None:
        self._running = running
        self._group = group
        self._waiting: list[tuple[Session, Sequence[tuple[PartitionId, int]]]] = []

    def add(self, session: Session, held: Sequence[tuple[PartitionId, int]]) -> None:
        """The session's member works on these (partition, generation) no more. The session is told what comes of it."""
        self._waiting.append((session, held))

    async def run(self) -> None:
        """Until nothing waits."""
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            released: dict[int, list[tuple[PartitionId, int]]] = defaultdict(list)
            for session, held in waiting:
                released[session.who[1]] += held
            try:
                reply = await propose(self._running, commands.ReleaseAll(self._group, list(released.items())))
            except RiverrunError as error:
                reply = asyncio.get_running_loop().create_future()
                reply.set_exception(error)
            await asyncio.wait([reply])
            for session, _ in waiting:
                session.released(reply)
