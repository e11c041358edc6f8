"""TopicService.DeleteRecords: from any node to the partition's leader, which deletes and says what is left."""

import asyncio

from cluster.broker.broker import Broker
from cluster.broker.forwarding import Forwarding, is_forwarded
from cluster.config import BrokerOptions
from cluster.errors import DeadlineExceeded, InvalidRequest, NotLeader
from cluster.types import Offset
from cluster.wire import api
from cluster.wire.api import topic_pb2
from cluster.world import Call

DELETE_RECORDS = "/riverrun.v1.TopicService/DeleteRecords"


class TrimService:
    """The handler of DeleteRecords."""

    def __init__(self, *, broker: Broker, forwarding: Forwarding, options: BrokerOptions) -> None:
        self._broker = broker
        self._forwarding = forwarding
        self._options = options

    async def delete_records(self, data: bytes, call: Call) -> bytes:
        """See the proto. Asking again is harmless: what is deleted stays deleted, and the first offset is told."""
        request = api.parse(topic_pb2.DeleteRecordsRequest, data)
        if request.before < 0:
            raise InvalidRequest(f"records are numbered from 0; there is no offset {request.before}")
        topic = self._broker.directory.topic_to_write(request.topic)
        partition = self._broker.directory.partition(topic, request.partition)
        running = self._broker.running.get(partition)
        if running is None or not running.replica.raft.is_leader:
            if not is_forwarded(call):
                return await self._forwarding.call(
                    self._forwarding.leader_address(partition), DELETE_RECORDS, data, call
                )
            if running is not None:
                raise running.replica.not_leader()
            raise NotLeader(f"node {self._broker.me} has no replica of partition {partition}")
        left_s = call.time_left_s()
        most_s = self._options.publish_wait_s_max
        try:
            async with asyncio.timeout(most_s if left_s is None else min(left_s, most_s)):
                first = await running.delete_records(Offset(request.before))
        except TimeoutError:
            raise DeadlineExceeded("the deletion was not committed in time; it may still be") from None
        return topic_pb2.DeleteRecordsResponse(first=first).SerializeToString()
