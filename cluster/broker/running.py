"""A replica that runs on this node, and how to ask it something."""

import asyncio

from cluster.actor import Ref
from cluster.broker.replica import Replica
from cluster.broker.requests import DeleteRecords, ReadBarrier, Reassign
from cluster.metadata import Replica as Assigned
from cluster.metadata import TopicConfig
from cluster.types import Offset


class Running:
    """A replica that runs here, and its mailbox."""

    __slots__ = ("assigned", "config", "preferred", "ref", "replica", "wish")

    def __init__(self, assigned: Assigned, replica: Replica, ref: Ref, *, preferred: bool, config: TopicConfig) -> None:
        self.assigned = assigned
        self.config = config
        self.preferred = preferred
        self.replica = replica
        self.ref = ref
        self.wish: Reassign | None = None
        """What it was told last of who is to belong to its partition."""

    async def ask_end(self) -> Offset:
        """The committed end behind a read barrier; NotLeader if the replica does not lead."""
        reply: asyncio.Future[Offset] = asyncio.get_running_loop().create_future()
        await self.ref.tell(ReadBarrier(reply))
        return await reply

    async def delete_records(self, before: Offset) -> Offset:
        """The first offset that is left when the records below `before` are deleted; NotLeader, OffsetOutOfRange."""
        reply: asyncio.Future[Offset] = asyncio.get_running_loop().create_future()
        await self.ref.tell(DeleteRecords(before, reply))
        return await reply
