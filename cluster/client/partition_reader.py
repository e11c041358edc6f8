"""Reading one partition through everything that may happen to its leader.

Every record of the range is delivered once, in order: the position moves only past what was delivered, and after a
break reading goes on there. A batch that cannot be decoded is reported once and passed by as a whole.
"""

import asyncio

from cluster.client.calls import Calls
from cluster.client.decoding import ReadBatch, ReadRecord, read_stored_batch
from cluster.client.directory import Directory
from cluster.client.offsets import Range, get_offsets
from cluster.client.routing import TopicRoute
from cluster.config import ClientOptions
from cluster.errors import (
    ChecksumMismatch,
    CorruptBatch,
    NotLeader,
    RiverrunError,
    TopicDeleted,
    Unavailable,
    UnknownCodec,
    UnknownTopic,
)
from cluster.types import Codec, Offset
from cluster.wire import api
from cluster.wire.api import records_pb2, stream_pb2
from cluster.world import Stream

READ = "/riverrun.v1.StreamService/Read"

CHECKSUM_TRIES_MAX = 3
"""A batch that arrives damaged is read again this often; then the damage is where it is stored."""

PASSED_BY = (ChecksumMismatch, CorruptBatch, UnknownCodec)
"""Errors that stand for one batch: the next call goes on behind it."""


class PartitionReader:
    """One partition from `position` to `stop`. `end` is the newest committed end that was heard of.

    `tell_holes`: whoever reads is told of a position that moved over offsets without records, by a batch of none.
    """

    def __init__(
        self,
        route: TopicRoute,
        partition: int,
        span: Range,
        *,
        calls: Calls,
        directory: Directory,
        options: ClientOptions,
        window_bytes: int,
        tell_holes: bool = False,
    ) -> None:
        self.partition = partition
        self.position = span.begin
        self.stop = span.stop
        self.end = span.end
        self._route = route
        self._calls = calls
        self._directory = directory
        self._options = options
        self._window_bytes = window_bytes
        self._tell_holes = tell_holes
        self._loop = asyncio.get_running_loop()
        self._backoff = calls.backoff()
        self._stream: Stream | None = None
        self._address = ""
        self._failing_since_s: float | None = None
        self._checksum_tries = 0
        self._raise_next: RiverrunError | None = None

    async def next(self) -> ReadBatch | None:
        """The next records; None at the stop.

        After an error of `PASSED_BY` the next call goes on behind that batch; any other error is the end.
        """
        while True:
            if self._raise_next is not None:
                error, self._raise_next = self._raise_next, None
                raise error
            if self.stop is not None and self.position >= self.stop:
                self.close()
                return None
            try:
                if self._stream is None:
                    self._stream = await self._open()
                data = await self._receive(self._stream)
                if data is None:
                    raise Unavailable(f"{self._address} ended the read")
                batch = self._take(api.parse(stream_pb2.ReadResponse, data))
            except RiverrunError as error:
                if isinstance(error, PASSED_BY) and not isinstance(error, ChecksumMismatch):
                    raise
                await self._recover(error)
                continue
            self._failing_since_s = None
            self._backoff.reset()
            if batch is not None:
                return batch

    def skip_to(self, position: Offset) -> None:
        """Go on there."""
        self.close()
        self.position = position

    def close(self) -> None:
        """Drop the stream."""
        if self._stream is not None:
            self._stream.cancel()
            self._stream = None

    # --- the stream

    async def _open(self) -> Stream:
        address = self._route.leader(self.partition)
        if not address:
            route = await self._directory.refresh(self._route.name)
            if route.topic_id != self._route.topic_id:
                raise TopicDeleted(f"topic {self._route.name!r} was deleted and made anew")
            address = route.leader(self.partition)
            if not address:
                raise Unavailable(f"partition {self.partition} of {self._route.name!r} has no leader now")
        self._address = address
        request = stream_pb2.ReadRequest(
            topic=self._route.name,
            topic_id=self._route.topic_id,
            partitions=[self.partition],
            start=stream_pb2.Position(offset=self.position),
            until=stream_pb2.Position(offset=self.stop) if self.stop is not None else None,
            format=stream_pb2.READ_FORMAT_BATCHES,
            codecs=[api.codec_to_pb(codec) for codec in Codec],
            window_bytes=self._window_bytes,
        )
        stream = self._calls.channel(address).stream(READ)
        try:
            await stream.send(request.SerializeToString())
            await stream.finish()
        except BaseException:
            stream.cancel()
            raise
        return stream

    async def _receive(self, stream: Stream) -> bytes | None:
        """The next message. A long silence is looked into: either there is nothing new, or the node is gone."""
        receiving = asyncio.ensure_future(stream.receive())
        try:
            while True:
                done, _ = await asyncio.wait({receiving}, timeout=self._options.request_timeout_s)
                if done:
                    return receiving.result()
                offsets = await get_offsets(self._calls, self._route.name, [self.partition])
                if offsets[self.partition].end > self.position and not receiving.done():
                    raise Unavailable(f"{self._address} is silent though there are new records")
        finally:
            if not receiving.done():
                receiving.cancel()
                await asyncio.gather(receiving, return_exceptions=True)
            elif not receiving.cancelled():
                receiving.exception()  # it may have ended while whoever reads was told to stop

    async def _recover(self, error: RiverrunError) -> None:
        """Come back after a wait, perhaps elsewhere; raise what another try cannot mend."""
        self.close()
        now_s = self._loop.time()
        if not (error.retry or isinstance(error, UnknownTopic)):
            raise error
        if self._failing_since_s is None:
            self._failing_since_s = now_s
        elif now_s - self._failing_since_s > self._options.read_retry_s_max:
            raise error
        leader = error.metadata.get("leader", "")
        if isinstance(error, NotLeader) and leader and leader != self._address:
            self._route.hint(self.partition, leader)
        elif self._address:
            self._route.suspect(self.partition, self._address)
        if isinstance(error, UnknownTopic):
            await self._doubt()
        await asyncio.sleep(self._backoff.next_s())

    async def _doubt(self) -> None:
        """One node does not know the topic: UnknownTopic if no other one does either."""
        try:
            await self._directory.refresh(self._route.name)
        except UnknownTopic:
            raise
        except RiverrunError:
            return  # nobody can tell now

    # --- what arrived

    def _take(self, response: stream_pb2.ReadResponse) -> ReadBatch | None:
        self.end, before = Offset(max(self.end, response.end)), self.position
        records: list[ReadRecord] = []
        append_time_ns = 0
        for stored in response.batches:
            try:
                found = read_stored_batch(stored, self.partition, self.position, self.stop, self._route.name)
            except ChecksumMismatch as error:
                self._checksum_tries += 1
                if self._checksum_tries < CHECKSUM_TRIES_MAX:
                    if not records:
                        raise
                    self.close()  # first deliver what is sound; the next call reads this batch again
                    break
                self._pass_by(stored, error)
                break
            except PASSED_BY as error:
                self._pass_by(stored, error)
                break
            self._checksum_tries = 0
            records += found
            append_time_ns = stored.append_time_ns
            self._move(stored.base_offset + stored.batch.record_count)
        else:
            self._move(response.position)
        if not records and not (self._tell_holes and self.position > before):
            return None
        return ReadBatch(
            partition=self.partition,
            records=records,
            position=self.position if self._raise_next is None or not records else Offset(records[-1].offset + 1),
            end=self.end,
            append_time_ns=append_time_ns,
            topic=self._route.name,
        )

    def _move(self, position: int) -> None:
        if self.stop is not None:
            position = min(position, self.stop)
        self.position = Offset(max(self.position, position))

    def _pass_by(self, stored: records_pb2.StoredBatch, error: RiverrunError) -> None:
        """Report the batch at the next call, and read on behind it."""
        error.metadata |= {
            "partition": str(self.partition),
            "offset": str(stored.base_offset),
            "next": str(stored.base_offset + stored.batch.record_count),
        }
        self._checksum_tries = 0
        self._raise_next = error
        self._move(stored.base_offset + stored.batch.record_count)
        self.close()  # what follows in this message is read again from there
