"""Topics between stages keep only what their one reader has not committed: the leader of its task has the rest deleted.

Nobody else reads them, and no task reads again what it has committed; without this they would hold each input a second
time, for ever. Kafka Streams does the same with its repartition topics (`repartition.purge.interval.ms`). Nothing
depends on it: what fails is asked for again the next time. Segments leave the disks whole, as everywhere, and what a
follower still needs stays, as with limits.

What goes was committed one look ago: a replica of the task's log that is behind by less finds its records still there,
should it be all that is left of it (`riverrun cluster recover`).
"""

import asyncio
from collections.abc import Mapping
from typing import Protocol

import structlog

from cluster.broker.broker import Broker
from cluster.broker.peer_channels import PeerChannels
from cluster.errors import InvalidRequest, NotLeader, RiverrunError, Unavailable
from cluster.processing.internal_topics import REKEY_PREFIX
from cluster.processing.tasks.plan import Plan
from cluster.types import Offset, PartitionId, TopicId
from cluster.wire import api
from cluster.wire.links import Links
from cluster.wire.tasks import DELETE_READ, delete_request, introduction_of, task_pb2
from cluster.world import Call

log_event = structlog.get_logger()
WAIT_S_MAX = 10.0
"""Until a deletion is committed."""


class Reader(Protocol):
    """A task, at its leader."""

    plan: Plan | None

    def committed_positions(self) -> Mapping[PartitionId, Offset]:
        """How far its inputs were read by commits that a majority has."""


class Emptying:
    """Of one node: for the tasks that it leads, and for the partitions that it leads."""

    def __init__(self, *, broker: Broker, links: Links, channels: PeerChannels, every_s: float) -> None:
        self._broker = broker
        self._links = links
        self._channels = channels
        self._every_s = every_s

    async def run(self, reader: Reader) -> None:
        """Have deleted what a task has read, as long as it is led here."""
        seen: dict[PartitionId, Offset] = {}
        asked: dict[PartitionId, Offset] = {}
        while True:
            await asyncio.sleep(self._every_s)
            positions = reader.committed_positions()
            sources = reader.plan.sources if reader.plan is not None else ()
            for partition in [source.partition for source in sources if source.spec.internal]:
                position, seen[partition] = seen.get(partition, Offset(0)), positions.get(partition, Offset(0))
                if position > asked.get(partition, 0):
                    try:
                        await self.delete(partition, position)
                    except RiverrunError as error:
                        log_event.debug("read_not_deleted", partition=str(partition), detail=error.message)
                    else:
                        asked[partition] = position

    async def delete(self, partition: PartitionId, before: Offset) -> None:
        """Return when that is committed; RiverrunError: perhaps it never will be."""
        running = self._broker.running.get(partition)
        if running is not None and running.replica.raft.is_leader:
            await self._delete_here(partition, before)
            return
        node = self._broker.leader_elsewhere(partition)
        if node is None:
            raise NotLeader(f"partition {partition} has no leader that this node knows of")
        hello = self._links.hello_on_control(node)
        request = delete_request(hello, self._links.incarnation, partition, before)
        await self._channels(node).call(DELETE_READ, request, timeout_s=WAIT_S_MAX)

    async def serve(self, data: bytes, call: Call) -> bytes:
        """Handler of DeleteRead."""
        request = api.parse(task_pb2.DeleteReadRequest, data)
        self._links.check(*introduction_of(request.introduction), call)
        partition = PartitionId(TopicId(request.topic_id), request.partition)
        first = await self._delete_here(partition, Offset(request.before))
        return task_pb2.DeleteReadResponse(first=first).SerializeToString()

    async def _delete_here(self, partition: PartitionId, before: Offset) -> Offset:
        running, topic = self._broker.running.get(partition), self._broker.directory.topics.get(partition.topic)
        if running is None or topic is None:
            raise NotLeader(f"node {self._broker.me} has no replica of partition {partition}")
        if not topic.name.startswith(REKEY_PREFIX):
            raise InvalidRequest(f"{topic.name!r} is no topic between stages: what is read there stays")
        before = running.replica.trimming.spared(before)
        if before <= (first := running.replica.log.start_offset):
            return first
        try:
            async with asyncio.timeout(WAIT_S_MAX):
                return await running.delete_records(before)
        except TimeoutError:
            raise Unavailable(f"a majority of {partition} did not commit a deletion in {WAIT_S_MAX:g} s") from None
