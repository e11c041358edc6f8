"""Producing: `produce` fills batches and returns; awaiting what it returned waits for the acknowledgement.

Promises:
- A record is acknowledged once, or fails with a typed error; an error says whether nothing was done or the outcome is
  unknown. No retry duplicates a record.
- Records of one partition are appended in the order of the `produce` calls that did not fail.
- What was produced and not acknowledged takes at most `buffer_bytes_max`; beyond it `produce` waits.
- No failure is silent: what nobody awaited is raised by the next `flush`, or by `close`.
"""

import asyncio
import copy
import sys
from collections import deque
from dataclasses import dataclass
from functools import partial as bind
from typing import Self

from cluster.client.accumulator import Accumulator
from cluster.client.calls import Calls
from cluster.client.delivery import Delivery, wait_settled
from cluster.client.directory import Directory
from cluster.client.dispatch import Dispatch
from cluster.client.identities import Identities
from cluster.client.outgoing import RECORD_OVERHEAD_BYTES, OutgoingBatch, size_of
from cluster.client.outlets import Outlet, TopicOutlets
from cluster.client.routing import partition_of_key
from cluster.client.tracing import API, with_trace
from cluster.client.window import Settled
from cluster.config import ClientOptions
from cluster.errors import Closed, Fenced, InvalidRequest, Overloaded, RecordTooLarge, RiverrunError, Unavailable
from cluster.records import RECENT_BATCHES_MAX, Receipt
from cluster.types import Codec, Durability
from cluster.wire.encoding import Headers
from cluster.world import Clock, Random

FAILURES_KEPT_MAX = 1_000
"""Failed batches remembered until the next flush, which raises the first that nobody has seen."""
BREATH_MASK = 255
"""Every 256 records of a batch `produce` lets the event loop run, so that a tight loop cannot starve the sending."""

_MODULES = sys.modules


@dataclass(frozen=True, slots=True, kw_only=True)
class ProducerReport:
    """What became of a producer's records so far. `batches_sent_again` counts retries, `duplicates` their receipts."""

    records_acknowledged: int = 0
    records_failed: int = 0
    batches_acknowledged: int = 0
    batches_sent_again: int = 0
    duplicates: int = 0
    buffered_bytes: int = 0


class Producer:
    """Made by `Client.producer`; closed with it, or by `async with`."""

    def __init__(
        self,
        *,
        calls: Calls,
        directory: Directory,
        clock: Clock,
        random: Random,
        options: ClientOptions,
        durability: Durability = Durability.MAJORITY_SYNCED,
        name: str = "",
    ) -> None:
        if not 1 <= options.batches_in_flight_max <= RECENT_BATCHES_MAX:
            raise InvalidRequest(
                f"batches_in_flight_max is {options.batches_in_flight_max}; it goes from 1 to {RECENT_BATCHES_MAX}: so "
                "many batches of a producer are remembered"
            )
        self._options = options
        self._random = random
        self._wall_ns = clock.wall_ns
        self._loop = asyncio.get_running_loop()
        self._now_s = self._loop.time
        self._record_bytes_max = options.record_bytes_max
        self._buffer_bytes_max = options.buffer_bytes_max
        self._accumulator = Accumulator(options, _codec(options.codec))
        self._identities = Identities(calls, name)
        self._dispatch = Dispatch(
            calls=calls,
            directory=directory,
            identities=self._identities,
            accumulator=self._accumulator,
            options=options,
            durability=durability,
            settle=self._settle,
        )
        self._topics = self._dispatch.topics
        self._hold = False
        """The next `produce` does not go straight on: the buffer is full, the loop is due, or the producer ended."""
        self._waiting_for_room: deque[asyncio.Future[None]] = deque()
        self._unsettled: dict[OutgoingBatch, None] = {}
        self._failed: deque[OutgoingBatch] = deque(maxlen=FAILURES_KEPT_MAX)
        self._ended: RiverrunError | None = None
        self._closed = False
        self._records_acknowledged = self._records_failed = self._batches_acknowledged = self._duplicates = 0

    @property
    def is_closed(self) -> bool:
        """Nothing is held any more."""
        return self._closed

    async def open(self) -> Self:
        """Take the name, if there is one: from here on earlier holders of it are fenced."""
        if self._identities.is_named:
            await self._identities.open_name()
        return self

    # --- producing

    async def produce(
        self,
        topic: str,
        value: bytes,
        *,
        key: bytes | None = None,
        headers: Headers = (),
        timestamp_ns: int = 0,
        partition: int | None = None,
    ) -> Delivery:
        """Put one record on its way; waits only while the buffer is full.

        `timestamp_ns` 0: now. `partition` None: by key; without a key, any. The returned `Delivery` may be awaited
        for the receipt, or dropped: `flush` then tells of failures.
        Errors: UnknownTopic, UnknownPartition, RecordTooLarge, InvalidRequest, Overloaded (no room for
        `delivery_timeout_s`), Fenced, Closed, Unavailable (the topic could not be looked up).
        """
        outlets = self._topics.get(topic)
        if outlets is None:
            outlets = await self._open_topic(topic)
        if self._hold:
            await self._wait_room()
        return self._put(outlets, value, key, headers, timestamp_ns, partition)

    def produce_nowait(
        self,
        topic: str,
        value: bytes,
        *,
        key: bytes | None = None,
        headers: Headers = (),
        timestamp_ns: int = 0,
        partition: int | None = None,
    ) -> Delivery:
        """`produce` without waiting: Overloaded if the buffer is full, Unavailable if the topic is not known yet."""
        self._check_open()
        outlets = self._topics.get(topic)
        if outlets is None:
            raise Unavailable(f"topic {topic!r} was not looked up yet; `produce` does it")
        if self._is_full():
            raise Overloaded(f"{self._accumulator.buffered_bytes} bytes wait for their acknowledgement")
        return self._put(outlets, value, key, headers, timestamp_ns, partition)

    async def publish(
        self,
        topic: str,
        value: bytes,
        *,
        key: bytes | None = None,
        headers: Headers = (),
        timestamp_ns: int = 0,
        partition: int | None = None,
    ) -> Receipt:
        """Produce one record and wait for its receipt."""
        delivery = await self.produce(
            topic, value, key=key, headers=headers, timestamp_ns=timestamp_ns, partition=partition
        )
        return await delivery

    def _put(
        self,
        outlets: TopicOutlets,
        value: bytes,
        key: bytes | None,
        headers: Headers,
        timestamp_ns: int,
        partition: int | None,
    ) -> Delivery:
        """The path of every record: nothing is done here that can be done once per batch."""
        try:
            if API in _MODULES:
                headers = with_trace(headers)
            size_bytes = (
                len(value) + RECORD_OVERHEAD_BYTES if key is None else len(value) + len(key) + RECORD_OVERHEAD_BYTES
            )
            if headers:
                size_bytes = size_of(value, key, headers)
        except (TypeError, ValueError, AttributeError) as error:
            raise InvalidRequest(f"value and key are bytes, headers are names with bytes: {error}") from error
        if size_bytes > self._record_bytes_max:
            self._check_size(size_bytes - RECORD_OVERHEAD_BYTES)
        if partition is not None:
            outlets.route.check_partition(partition)
        elif key is None:
            partition = outlets.keyless()
        else:
            partition = partition_of_key(key, outlets.partitions)
        outlet = outlets.outlets[partition]
        accumulator = self._accumulator
        batch = accumulator.add(outlet, value, key, headers, timestamp_ns or self._wall_ns(), size_bytes, self._now_s)
        count = batch.count
        if count == 1:
            self._begun(batch, outlet)
        if accumulator.ready:
            self._hold = True
            self._dispatch.ask_turn()
        elif not count & BREATH_MASK or accumulator.buffered_bytes >= self._buffer_bytes_max:
            self._hold = True
        return Delivery(batch, count - 1)

    def _begun(self, batch: OutgoingBatch, outlet: Outlet) -> None:
        self._unsettled[batch] = None
        batch.on_awaited = bind(self._dispatch.touch, outlet)
        if outlet.open is batch:
            self._dispatch.batch_opened()
        if outlet.window.ended is not None:
            self._dispatch.touch(outlet)

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self._record_bytes_max:
            raise RecordTooLarge(
                f"the record takes {size_bytes} bytes; at most {self._record_bytes_max} are allowed",
                limit_bytes=str(self._record_bytes_max),
            )

    async def _open_topic(self, topic: str) -> TopicOutlets:
        self._check_open()
        return await self._dispatch.open_topic(topic, self._random.randint(0, 1 << 16))

    # --- back-pressure

    def _is_full(self) -> bool:
        return self._accumulator.buffered_bytes >= self._buffer_bytes_max

    async def _wait_room(self) -> None:
        self._check_open()
        await asyncio.sleep(0)
        if self._is_full():
            try:
                async with asyncio.timeout(self._options.delivery_timeout_s):
                    while self._is_full():
                        self._check_open()
                        room: asyncio.Future[None] = self._loop.create_future()
                        self._waiting_for_room.append(room)
                        await room
            except TimeoutError:
                raise Overloaded(
                    f"{self._accumulator.buffered_bytes} bytes waited for {self._options.delivery_timeout_s} s without "
                    "an acknowledgement that makes room"
                ) from None
        self._check_open()
        self._hold = False  # only now: whoever else comes meanwhile has to look for room as well

    def _check_open(self) -> None:
        if self._ended is not None:
            raise copy.copy(self._ended) from self._ended

    # --- outcomes

    def _settle(self, settled: Settled) -> None:
        for batch, outcome in settled:
            batch.settle(outcome)
            self._accumulator.release(batch)
            self._unsettled.pop(batch, None)
            if isinstance(outcome, RiverrunError):
                self._records_failed += batch.count
                self._failed.append(batch)
                if isinstance(outcome, Fenced) and self._ended is None:
                    self._end(outcome)
            else:
                self._records_acknowledged += batch.count
                self._batches_acknowledged += 1
                self._duplicates += outcome.duplicate
        if self._waiting_for_room and not self._is_full():
            self._wake_waiting()

    def _wake_waiting(self) -> None:
        while self._waiting_for_room:
            room = self._waiting_for_room.popleft()
            if not room.done():
                room.set_result(None)

    def _end(self, error: RiverrunError) -> None:
        self._ended = error
        self._hold = True
        self._wake_waiting()

    async def flush(self) -> None:
        """Send everything now and return when all that was produced before is acknowledged.

        Raises the first failure since the last flush that nobody was told of.
        """
        self._accumulator.close_all()
        self._dispatch.ask_turn()
        for batch in list(self._unsettled):
            await wait_settled(batch)
        await asyncio.sleep(0)  # those who await deliveries are told before us
        failed, self._failed = self._failed, deque(maxlen=FAILURES_KEPT_MAX)
        for batch in failed:
            if batch.unseen_failures and isinstance(batch.outcome, RiverrunError):
                raise copy.copy(batch.outcome) from batch.outcome

    def report(self) -> ProducerReport:
        """What became of the records so far."""
        return ProducerReport(
            records_acknowledged=self._records_acknowledged,
            records_failed=self._records_failed,
            batches_acknowledged=self._batches_acknowledged,
            batches_sent_again=self._dispatch.retries,
            duplicates=self._duplicates,
            buffered_bytes=self._accumulator.buffered_bytes,
        )

    def batches_under_way(self, topic: str) -> dict[int, int]:
        """How many batches of each partition of `topic` were numbered for sending and are not acknowledged."""
        outlets = self._topics.get(topic)
        return {outlet.partition: outlet.window.batches_inside for outlet in outlets.outlets} if outlets else {}

    # --- the end

    async def close(self) -> None:
        """Flush, then stop. Raises what flush raises, after stopping."""
        try:
            if self._ended is None or self._unsettled:
                await self.flush()
        finally:
            await self.abandon()

    async def abandon(self) -> None:
        """Stop at once: what is not acknowledged fails, as unknown where it may have arrived."""
        closed = Closed("the producer was closed")
        if self._ended is None:
            self._end(closed)
        self._closed = True
        await self._dispatch.close(closed)
        await self._identities.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        """Flush on the way out of a block that went well; leave at once where it raised."""
        if kind is None:
            await self.close()
        else:
            await self.abandon()


def _codec(name: str) -> Codec:
    try:
        return Codec[name.upper()]
    except KeyError:
        names = ", ".join(codec.name.lower() for codec in Codec)
        raise InvalidRequest(f"no codec is called {name!r}; choose one of {names}") from None
