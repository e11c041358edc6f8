"""Who a producer is to the partitions that it writes to.

Without a name: the cluster gives an id that nobody else has, one for each topic that is produced to; a partition that
must start anew (see `window`) gets one of its own. With a name: opening it raises the epoch and fences whoever holds
it; each partition tells where the numbers continue.
"""

import asyncio

from cluster.client.calls import Calls
from cluster.client.window import Identity
from cluster.errors import UnknownTopic
from cluster.types import ProducerId
from cluster.wire import api
from cluster.wire.api import stream_pb2

OPEN_PRODUCER = "/riverrun.v1.StreamService/OpenProducer"
GET_OFFSETS = "/riverrun.v1.StreamService/GetOffsets"


class Identities:
    """Opens identities for the windows of one producer."""

    def __init__(self, calls: Calls, name: str) -> None:
        self._calls = calls
        self._name = name
        self._shared: dict[bytes, asyncio.Future[tuple[ProducerId, int]]] = {}
        """By topic id; a name has one, under the empty id."""

    @property
    def is_named(self) -> bool:
        """Whether the producer holds a name."""
        return bool(self._name)

    async def first(self, topic: str, topic_id: bytes, partition: int) -> Identity:
        """For a partition that this producer sends to for the first time."""
        if not self._name:
            producer_id, epoch = await self._share(topic_id)
            return Identity(producer_id=producer_id, epoch=epoch, next_sequence=0)
        producer_id, epoch = await self._share(b"")
        request = stream_pb2.GetOffsetsRequest(topic=topic, partitions=[partition], producer_id=producer_id)
        answer = await self._calls.call(GET_OFFSETS, request.SerializeToString(), repeatable=True, doubt=UnknownTopic)
        (offsets,) = api.parse(stream_pb2.GetOffsetsResponse, answer).partitions
        return Identity(producer_id=producer_id, epoch=epoch, next_sequence=offsets.next_sequence, first_of_epoch=True)

    async def fresh(self) -> Identity:
        """For a partition that starts anew; never for a named producer."""
        assert not self._name
        producer_id, epoch = await self._open()
        return Identity(producer_id=producer_id, epoch=epoch, next_sequence=0)

    async def open_name(self) -> None:
        """Take the name now, so that an earlier holder is fenced before anything is produced."""
        await self._share(b"")

    async def _share(self, topic_id: bytes) -> tuple[ProducerId, int]:
        opening = self._shared.get(topic_id)
        if opening is None or (opening.done() and (opening.cancelled() or opening.exception() is not None)):
            opening = self._shared[topic_id] = asyncio.ensure_future(self._open())
        return await asyncio.shield(opening)

    async def _open(self) -> tuple[ProducerId, int]:
        # Opening twice is harmless: an id is wasted, or our own epoch is raised once more.
        request = stream_pb2.OpenProducerRequest(name=self._name).SerializeToString()
        answer = await self._calls.call(OPEN_PRODUCER, request, repeatable=True)
        response = api.parse(stream_pb2.OpenProducerResponse, answer)
        return ProducerId(response.producer_id), response.producer_epoch

    async def close(self) -> None:
        """Stop opening."""
        for opening in self._shared.values():
            opening.cancel()
        await asyncio.gather(*self._shared.values(), return_exceptions=True)
