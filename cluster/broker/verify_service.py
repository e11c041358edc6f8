"""StreamService.Verify: what each replica of a partition has on its disk at an offset. A receipt, checked.

The node that is asked asks the others, each for its own replica; what comes from them is marked as forwarded, so that
they ask nobody. Each reads the batch from its disk, not from memory, and computes its checksum anew. Who does not
answer in time is named, and keeps nobody waiting.
"""

import asyncio
from collections.abc import Sequence

import structlog

from cluster.broker.broker import Broker
from cluster.broker.forwarding import Forwarding, is_forwarded
from cluster.broker.replica import Replica
from cluster.config import BrokerOptions
from cluster.errors import InvalidRequest, RiverrunError, Unavailable
from cluster.log.inspection import inspect, is_still_there, locate
from cluster.metadata import Replica as Assigned
from cluster.records import Entry
from cluster.types import Offset, PartitionId
from cluster.wire import api
from cluster.wire.api import stream_pb2
from cluster.wire.records import decode_batch, record_checksum
from cluster.world import Call, Disk

log_event = structlog.get_logger()
VERIFY = "/riverrun.v1.StreamService/Verify"
LOOKS_MAX = 3
"""A log that moved on while its entry was read is looked at again, so often."""
SHARE_OF_TIME = 0.8
"""Of the caller's time, for the other nodes: the answer has to get back."""


class VerifyService:
    """Handler of Verify."""

    def __init__(self, *, broker: Broker, forwarding: Forwarding, disk: Disk, options: BrokerOptions) -> None:
        self._broker = broker
        self._forwarding = forwarding
        self._disk = disk
        self._options = options

    async def verify(self, data: bytes, call: Call) -> bytes:
        """See the proto."""
        request = api.parse(stream_pb2.VerifyRequest, data)
        if request.offset < 0:
            raise InvalidRequest(f"offsets begin at 0; there is no {request.offset}")
        topic = self._broker.directory.topic(request.topic)
        partition = self._broker.directory.partition(topic, request.partition)
        replicas = self._replicas(partition, topic.partitions[request.partition].replicas)
        offset = Offset(request.offset)
        running = self._broker.running.get(partition)
        if is_forwarded(call):
            copies = [await self._own(partition, running.assigned, offset)] if running is not None else []
        else:
            copies = list(
                await asyncio.gather(
                    *(
                        self._own(partition, replica, offset)
                        if replica.node == self._broker.me
                        else self._of_another(replica, data, call)
                        for replica in replicas
                    )
                )
            )
        return stream_pb2.VerifyResponse(copies=copies).SerializeToString()

    def _replicas(self, partition: PartitionId, placed: Sequence[Assigned]) -> list[Assigned]:
        """Those whose majority counts, by node: as the log says, if there is one here that knows."""
        running = self._broker.running.get(partition)
        if running is not None and not running.replica.raft.is_blank:
            raft = running.replica.raft
            members = {member.replica: member.node for member in raft.membership.everybody()}
            placed = [Assigned(replica=replica, node=members[replica]) for replica in raft.counted]
        return sorted(placed, key=lambda replica: replica.node)

    async def _of_another(self, assigned: Assigned, data: bytes, call: Call) -> stream_pb2.ReplicaCopy:
        copy = stream_pb2.ReplicaCopy(
            node=assigned.node, replica=assigned.replica, state=stream_pb2.COPY_STATE_UNREACHABLE
        )
        left_s = call.time_left_s()
        wait_s = self._options.verify_wait_s_max
        if left_s is not None:
            wait_s = min(wait_s, left_s * SHARE_OF_TIME)
        address = self._forwarding.address(assigned.node)
        try:
            if not address:
                raise Unavailable(f"the address of node {assigned.node} is not known")
            async with asyncio.timeout(wait_s):
                answer = await self._forwarding.call(address, VERIFY, data, call)
            for own in api.parse(stream_pb2.VerifyResponse, answer).copies:
                if own.replica == assigned.replica:
                    return own
            copy.detail = f"node {assigned.node} knows of no replica {assigned.replica}"
        except TimeoutError:
            copy.detail = f"node {assigned.node} did not answer within {wait_s:.1f} s"
        except RiverrunError as error:
            copy.detail = error.message
        return copy

    async def _own(self, partition: PartitionId, assigned: Assigned, offset: Offset) -> stream_pb2.ReplicaCopy:
        copy = stream_pb2.ReplicaCopy(node=assigned.node, replica=assigned.replica)
        running = self._broker.running.get(partition)
        if running is None or running.assigned.replica != assigned.replica:
            copy.state, copy.detail = stream_pb2.COPY_STATE_ABSENT, "the replica does not run"
        elif offset < running.replica.log.start_offset:
            copy.state = stream_pb2.COPY_STATE_TRIMMED
            copy.detail = f"its log begins at {running.replica.log.start_offset}"
        elif offset >= running.replica.log.end_offset:
            copy.state = stream_pb2.COPY_STATE_ABSENT
            copy.detail = f"its log ends at {running.replica.log.end_offset}"
        else:
            await self._look(running.replica, offset, copy)
        return copy

    async def _look(self, replica: Replica, offset: Offset, copy: stream_pb2.ReplicaCopy) -> None:
        for _ in range(LOOKS_MAX):
            place = locate(replica.log, offset)
            if place.index > replica.raft.durable_index or place.file is None:
                (entry,) = replica.log.entries(place.index, last=place.index, bytes_max=1, count_max=1)
                copy.state = stream_pb2.COPY_STATE_NOT_SYNCED
                _describe(entry, offset, copy)
                return
            found = await self._disk.run(lambda place=place: inspect(place, replica.partition))  # type: ignore[misc]
            if isinstance(found, Entry):
                copy.state = stream_pb2.COPY_STATE_HELD
                _describe(found, offset, copy)
                return
            if is_still_there(replica.log, place):
                log_event.error("copy_damaged", partition=str(replica.partition), detail=found)
                copy.state, copy.detail = stream_pb2.COPY_STATE_DAMAGED, found
                return
            if replica.log.closed or not replica.log.start_offset <= offset < replica.log.end_offset:
                break
        copy.state, copy.detail = stream_pb2.COPY_STATE_ABSENT, "its log changed while it was looked at; ask again"


def _describe(entry: Entry, offset: Offset, copy: stream_pb2.ReplicaCopy) -> None:
    if entry.batch is None:
        copy.state = stream_pb2.COPY_STATE_COMPACTED
        return
    copy.base_offset = entry.base_offset
    copy.record_count = entry.record_count
    copy.term = entry.term
    copy.checksum = entry.batch.computed_checksum()
    copy.compacted = entry.batch.compacted
    try:
        records = decode_batch(entry.batch, entry.base_offset)
    except RiverrunError:
        return  # as it was published; there is nothing but the batch's own checksum
    record = next((record for record in records if record.offset == offset), None)
    if record is None:
        copy.state = stream_pb2.COPY_STATE_COMPACTED
    else:
        copy.record_checksum = record_checksum(record)
