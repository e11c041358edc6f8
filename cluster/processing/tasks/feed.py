"""One partition that a task reads, in its order, from whoever leads it.

It is read ahead by a few messages; who takes slowly is not sent more. Through changes of leaders the read goes on by
itself, and as long as nobody leads the partition it is just silent: it does not count as idle then, for idle means that
its leader has said, a moment ago, that there is nothing more.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from cluster.broker.read_service import PartitionRead, ReadService
from cluster.errors import OffsetOutOfRange, RiverrunError
from cluster.metadata import Topic
from cluster.processing.spec import InputSpec
from cluster.processing.work import Batch
from cluster.types import Codec, PartitionId
from cluster.wire import api
from cluster.wire.api import stream_pb2
from cluster.world import Clock

log_event = structlog.get_logger()
AHEAD_BYTES_MAX = 1024 * 1024
"""Read of one partition and not taken; beyond it the read waits."""
WORD_LOOKS = 3
"""A leader's word that there is nothing more is good for so many looks: it is asked at each."""
RETURN_S = 5.0
"""A leader has to say so for so long, without a gap: what could not be published while there was none comes by then."""
NS_PER_S = 1_000_000_000
_CODECS = [api.codec_to_pb(codec) for codec in Codec]


@dataclass(frozen=True, slots=True)
class Source:
    """One partition that a task reads. `until_ns`: what was appended from then on is not read; None: all is."""

    number: int
    spec: InputSpec
    topic: Topic
    partition: PartitionId
    until_ns: int | None


@dataclass(frozen=True, slots=True)
class _Item:
    """A batch as it is stored, or nothing up to `end`."""

    batch: Batch | None
    end: int
    oldest_ns: int


class Feed:
    """One partition. `position`: behind what was taken; `end`: the partition's, as it was last heard."""

    def __init__(
        self, source: Source, position: int, *, reading: ReadService, clock: Clock, on_change: Callable[[], None]
    ) -> None:
        self.source = source
        self.position = position
        self.end = -1
        self.skipped = 0
        """Offsets that were deleted before they were read, and nobody was told of yet."""
        self.done = False
        """All that is to be read was taken or is ready."""
        self._reading = reading
        self._clock = clock
        self._idle_s = source.spec.idle_ns / NS_PER_S
        self._return_s = min(RETURN_S, self._idle_s)
        self._on_change = on_change
        self._items: deque[_Item] = deque()
        self._bytes = 0
        self._taken = asyncio.Event()
        self._quiet_since_s = clock.monotonic_s()
        self._confirmed_s = -math.inf
        self._confirmed_since_s = clock.monotonic_s()
        """The leader has said so from then on."""
        self.look_s = 1.0
        """So often whoever takes wants to know whether this is idle."""

    # --- reading

    async def run(self) -> None:
        """Read until there is nothing more to be read; raises what another try cannot mend."""
        position = self.position
        while not self.done:
            read = PartitionRead(
                self._reading, self.source.topic, self.source.partition, self._request(position), forwarded=False
            )
            try:
                async for _ in read.messages():
                    self._take_in(read.part)
                    position = read.position
                    if self.done:
                        return
                    while self._bytes > AHEAD_BYTES_MAX:
                        self._taken.clear()
                        await self._taken.wait()
            except OffsetOutOfRange as error:
                first = int(error.metadata.get("first", -1))
                if first <= max(position, read.position):
                    raise
                position = self._skip(first)

    def _request(self, position: int) -> stream_pb2.ReadRequest:
        request = stream_pb2.ReadRequest(
            topic=self.source.topic.name, format=stream_pb2.READ_FORMAT_BATCHES, codecs=_CODECS
        )
        request.start.offset = position
        return request

    def _skip(self, first: int) -> int:
        last = self._items[-1].end if self._items else self.position
        log_event.warning(
            "input_deleted_unread",
            topic=self.source.topic.name,
            partition=self.source.partition.number,
            position=last,
            first=first,
        )
        self.skipped += first - last
        self._items.append(_Item(None, first, 0))
        self._on_change()
        return first

    def _take_in(self, part: stream_pb2.ReadResponse) -> None:
        until_ns = self.source.until_ns
        for stored in part.batches:
            if until_ns is not None and stored.append_time_ns >= until_ns:
                self.done = True
                break
            batch = stored.batch
            base = stored.base_offset
            last = self._items[-1].end if self._items else self.position
            end = base + batch.record_count
            if end <= last:
                continue
            item = Batch(
                input=self.source.number,
                partition=self.source.partition.number,
                payload=batch.payload,
                codec=api.codec_from_pb(batch.codec),
                uncompressed_size=batch.uncompressed_size,
                record_count=batch.record_count,
                base_offset=base,
                begin=last,
                end=end,
            )
            self._items.append(_Item(item, end, batch.min_timestamp_ns))
            self._bytes += len(batch.payload)
        else:
            last = self._items[-1].end if self._items else self.position
            if part.position > last:  # what was there is compacted away
                self._items.append(_Item(None, part.position, 0))
        self.end = part.end
        self._quiet_since_s = self._clock.monotonic_s()
        self._on_change()

    # --- taking

    @property
    def oldest_ns(self) -> int | None:
        """The earliest event time of what is next, as its producer has said it; None: there is nothing now."""
        return self._items[0].oldest_ns if self._items else None

    @property
    def lag(self) -> int:
        """Records that are there and were not taken, as far as it is known."""
        return max(self.end - self.position, 0)

    @property
    def finished(self) -> bool:
        """Everything was taken, and there will be nothing more."""
        return self.done and not self._items

    def take(self, records_max: int) -> Batch | None:
        """The next batch, or its first so many offsets; None: there is none."""
        while self._items:
            item = self._items[0]
            if item.batch is None:
                self._items.popleft()
                if not self._items:  # nobody else says that the position is there
                    return self._advance(self._nothing(item.end))
                continue
            batch = item.batch
            begin = self.position
            if batch.end - begin > records_max:
                return self._advance(_cut(batch, begin, begin + records_max))
            self._items.popleft()
            self._bytes -= len(batch.payload)
            self._taken.set()
            return self._advance(_cut(batch, begin, batch.end))
        return None

    def _nothing(self, end: int) -> Batch:
        return Batch(
            input=self.source.number,
            partition=self.source.partition.number,
            payload=b"",
            codec=Codec.NONE,
            uncompressed_size=0,
            record_count=0,
            base_offset=self.position,
            begin=self.position,
            end=end,
        )

    def _advance(self, batch: Batch) -> Batch:
        self.position = batch.end
        return batch

    # --- idleness

    def _is_quiet(self, less_s: float = 0.0) -> bool:
        """Nothing has come for as long as its topic wants before it counts as idle, or so much less."""
        if self.done or self._items or self.end != self.position:
            return False
        return self._clock.monotonic_s() - self._quiet_since_s >= self._idle_s - less_s

    @property
    def may_end(self) -> bool:
        """Whether its leader is to be asked if that was all, for its time is over."""
        until_ns = self.source.until_ns
        at_end = not self.done and not self._items and self.end == self.position
        return at_end and until_ns is not None and self._clock.wall_ns() >= until_ns

    @property
    def wants_word(self) -> bool:
        """Whether its leader is to be asked if that was all."""
        asked = self._clock.monotonic_s() - self._confirmed_s < self.look_s
        return self.may_end or (self._is_quiet(self._return_s) and not asked)

    @property
    def is_idle(self) -> bool:
        """It is quiet, and its leader has said for a while, and just now, that there is nothing more.

        Silence alone says nothing: there may have been no leader, and records that wait to be published.
        """
        if not self._is_quiet() or self._clock.monotonic_s() - self._confirmed_s >= WORD_LOOKS * self.look_s:
            return False
        return self._confirmed_s - self._confirmed_since_s >= self._return_s - self.look_s

    async def confirm(self) -> None:
        """Ask its leader."""
        asked_s = self._clock.monotonic_s()
        try:
            offsets = await self._reading.offsets_of(self.source.topic, self.source.partition.number)
        except RiverrunError as error:
            log_event.debug("input_unconfirmed", partition=str(self.source.partition), reason=error.reason)
            return
        self.end = max(self.end, offsets.end)
        if offsets.end == self.position and not self._items:
            if asked_s - self._confirmed_s >= WORD_LOOKS * self.look_s:
                self._confirmed_since_s = asked_s
            self._confirmed_s = asked_s
            until_ns = self.source.until_ns
            if until_ns is not None and offsets.whole_before_ns >= until_ns:  # by the clock that stamps, not by ours
                self.done = True
            self._on_change()


def _cut(batch: Batch, begin: int, end: int) -> Batch:
    if (begin, end) == (batch.begin, batch.end):
        return batch
    return Batch(
        input=batch.input,
        partition=batch.partition,
        payload=batch.payload,
        codec=batch.codec,
        uncompressed_size=batch.uncompressed_size,
        record_count=batch.record_count,
        base_offset=batch.base_offset,
        begin=begin,
        end=end,
    )
