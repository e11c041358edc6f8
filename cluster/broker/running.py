"""A replica that runs on this node, and how to ask it something."""

import asyncio

from cluster.actor import Ref
from cluster.broker.replica import Replica
from cluster.broker.requests import DeleteRecords, ReadBarrier, Reassign, Request, Unreadable
from cluster.errors import Closed, CorruptStorage, DiskFailed, RiverrunError, Unavailable
from cluster.metadata import Replica as Assigned
from cluster.metadata import TopicConfig
from cluster.records import Entry
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

    async def tell(self, request: Request) -> None:
        """Leave it to the replica. Unavailable: it has stopped at this node, and nothing was done."""
        try:
            await self.ref.tell(request)
        except Closed:
            raise Unavailable(f"the replica of partition {self.replica.partition} has stopped at this node") from None

    async def ask_end(self) -> Offset:
        """The committed end behind a read barrier; NotLeader if the replica does not lead."""
        reply: asyncio.Future[Offset] = asyncio.get_running_loop().create_future()
        await self.tell(ReadBarrier(reply))
        return await reply

    async def read_log(self, position: Offset, *, bytes_max: int) -> list[Entry]:
        """What is committed from `position` on. Unavailable: that cannot be read here, so this node ends, and heals.

        CorruptStorage: it cannot be read here, and nobody else has it. A restart would mend nothing.
        """
        replica = self.replica
        try:
            return replica.log.read(position, last=replica.raft.commit, bytes_max=bytes_max)
        except CorruptStorage as error:
            if len(replica.raft.voters) == 1:
                raise
            found: RiverrunError = error
        except OSError as error:
            found = DiskFailed(f"the disk failed: {error}")
        await self.tell(Unreadable(found))
        raise Unavailable(f"partition {replica.partition} cannot be read at this node, which ends") from found

    async def delete_records(self, before: Offset) -> Offset:
        """The first offset that is left when the records below `before` are deleted; NotLeader, OffsetOutOfRange."""
        reply: asyncio.Future[Offset] = asyncio.get_running_loop().create_future()
        await self.tell(DeleteRecords(before, reply))
        return await reply
