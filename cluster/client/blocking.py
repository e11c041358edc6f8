"""The client for scripts and threads: the same methods, errors and promises as `Client`, and each waits for its answer.

A thin twin: everything happens in the asynchronous client, which runs in the background (see there). Every object here
may be used from several threads.
"""

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Self

from cluster.client.background import Background
from cluster.client.blocking_subscription import BlockingSubscription
from cluster.client.client import Client
from cluster.client.decoding import ReadBatch, ReadRecord
from cluster.client.delivery import Delivery
from cluster.client.positions import Place, Places
from cluster.client.producer import Producer
from cluster.client.reader import Reader
from cluster.client.tracing import with_trace
from cluster.config import ClientOptions
from cluster.errors import Closed, Overloaded, Unavailable
from cluster.records import Receipt
from cluster.types import Durability, Offset
from cluster.wire.encoding import Headers


class BlockingDelivery:
    """One record on its way: see `Delivery`."""

    def __init__(self, background: Background, delivery: Delivery) -> None:
        self._background = background
        self._delivery = delivery

    @property
    def topic(self) -> str:
        """The topic's name."""
        return self._delivery.topic

    @property
    def partition(self) -> int:
        """The partition that the record was routed to."""
        return self._delivery.partition

    def done(self) -> bool:
        """Whether `result` returns at once."""
        return self._delivery.done()

    def result(self, timeout_s: float | None = None) -> Receipt:
        """The record's receipt, or why it was not acknowledged.

        DeadlineExceeded after `timeout_s` (None: `delivery_timeout_s` decides); it may be asked for again then.
        """
        return self._background.ask(lambda: self._delivery, timeout_s)


class _Producing:
    """`produce`, for a client and for a producer."""

    def __init__(self, background: Background, producer: Producer | Client) -> None:
        self._background = background
        self._put = producer.produce
        self._put_now = producer.produce_nowait

    def produce(
        self,
        topic: str,
        value: bytes,
        *,
        key: bytes | None = None,
        headers: Headers = (),
        timestamp_ns: int = 0,
        partition: int | None = None,
    ) -> BlockingDelivery:
        """Put one record on its way; waits only while the buffer is full. See `Producer.produce`."""
        background = self._background
        headers = with_trace(headers)  # of this thread: the loop in the background has none
        try:
            delivery = background.ask_now(
                lambda: self._put_now(
                    topic, value, key=key, headers=headers, timestamp_ns=timestamp_ns, partition=partition
                )
            )
        except (Unavailable, Overloaded):  # the topic is to be looked up, or room to be waited for
            delivery = background.ask(
                lambda: self._put(
                    topic, value, key=key, headers=headers, timestamp_ns=timestamp_ns, partition=partition
                )
            )
        return BlockingDelivery(background, delivery)


class BlockingProducer(_Producing):
    """Made by `BlockingClient.producer`; closed with it, or by `with`. See `Producer`."""

    def __init__(self, background: Background, producer: Producer) -> None:
        super().__init__(background, producer)
        self._producer = producer
        self.publish = background.blocking(producer.publish)
        """Produce one record and wait for its receipt: see `Producer.publish`."""
        self.flush = background.blocking(producer.flush)
        """Wait until all that was produced is acknowledged: see `Producer.flush`."""
        self.close = background.blocking(producer.close)
        """Flush, then stop: see `Producer.close`."""
        self.abandon = background.blocking(producer.abandon)
        """Stop at once: see `Producer.abandon`."""
        self.report = producer.report
        """What became of the records: see `Producer.report`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()


class BlockingReader(Iterator[ReadRecord]):
    """Made by `BlockingClient.read`: iterate over it; see `Reader` for its end, errors and how far it reads ahead.

    Closed by `close`, by `with`, at its end, when nobody holds it any more, and with the client.
    """

    def __init__(self, background: Background, reader: Reader) -> None:
        self._background = background
        self._reader = reader
        self._turn = threading.Lock()
        self._batch: ReadBatch | None = None
        self._next = 0
        self._closed = False
        self._finalizer = weakref.finalize(self, background.tell, reader.close)
        self._finalizer.atexit = False

    def __next__(self) -> ReadRecord:
        with self._turn:
            if self._closed:
                raise Closed("the reader was closed")
            while self._batch is None or self._next >= len(self._batch.records):
                if not self._background.ask(self._next_batch):
                    raise StopIteration
            record = self._batch.records[self._next]
            self._next += 1
            return record

    async def _next_batch(self) -> bool:
        """Kept here at once, for whoever asked may be interrupted as it comes; False: there is none."""
        if self._batch is not None and self._next < len(self._batch.records):
            return True
        async with contextlib.aclosing(self._reader.batches()) as batches:
            batch = await anext(batches, None)
        if batch is not None:
            self._batch, self._next = batch, 0
        return batch is not None

    @property
    def positions(self) -> dict[int, Offset]:
        """By partition, the offset after the last record that was given out: pass it as `start`."""
        with self._turn:
            positions = self._background.ask_now(lambda: self._reader.positions)
            batch = self._batch
            if batch is not None and self._next < len(batch.records):
                positions[batch.partition] = batch.records[self._next].offset
            return positions

    def close(self) -> None:
        """Stop reading; whoever waits for a record gets Closed."""
        self._closed = True
        self._finalizer.detach()
        self._background.ask(self._reader.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()


class BlockingClient(_Producing):
    """A connection to a cluster for those who wait for each answer; `connect_blocking` makes it.

    The methods are those of `Client`, and what is awaited there is returned here. After `close` everything raises
    Closed. It ends with its process, as if abandoned, with a ResourceWarning.
    """

    def __init__(self, make: Callable[[], Client]) -> None:
        background = Background(make)
        client = background.client
        super().__init__(background, client)
        self._client = client
        self._finalizer = weakref.finalize(
            self, background.leave, "a riverrun client was not closed: use it in a `with`, or call `close`"
        )
        blocking = background.blocking
        self.create_topic = blocking(client.create_topic)
        self.describe_topic = blocking(client.describe_topic)
        self.list_topics = blocking(client.list_topics)
        self.delete_topic = blocking(client.delete_topic)
        self.cluster_status = blocking(client.cluster_status)
        self.add_node = blocking(client.add_node)
        self.drain_node = blocking(client.drain_node)
        self.replace_node = blocking(client.replace_node)
        self.remove_node = blocking(client.remove_node)
        self.reassign_partitions = blocking(client.reassign_partitions)
        self.cancel_reassignments = blocking(client.cancel_reassignments)
        self.reassignments = blocking(client.reassignments)
        self.list_groups = blocking(client.list_groups)
        self.describe_group = blocking(client.describe_group)
        self.reset_group = blocking(client.reset_group)
        self.delete_group = blocking(client.delete_group)
        self.deploy_app = blocking(client.deploy_app)
        self.list_apps = blocking(client.list_apps)
        self.describe_app = blocking(client.describe_app)
        self.pause_app = blocking(client.pause_app)
        self.resume_app = blocking(client.resume_app)
        self.remove_app = blocking(client.remove_app)
        self.redrive_app = blocking(client.redrive_app)
        self.explain_partition = blocking(client.explain_partition)
        self.explain_group = blocking(client.explain_group)
        self.explain_task = blocking(client.explain_task)
        self.explain_node = blocking(client.explain_node)
        self.publish = blocking(client.publish)
        """Produce one record and wait for its receipt: see `Client.publish`."""
        self.append = blocking(client.append)
        """Append records as one batch, perhaps under a condition: see `Appender.append`."""
        self.flush = blocking(client.flush)
        """Wait until all that was produced is acknowledged: see `Producer.flush`."""
        self.offsets = blocking(client.offsets)
        """First offset and end of each partition: see `Client.offsets`."""
        self.verify = blocking(client.verify)
        """What every replica has on its disk at an offset: see `Client.verify`."""
        self.report = client.report
        """What became of the records: see `Producer.report`."""

    def producer(
        self,
        *,
        name: str = "",
        durability: Durability = Durability.MAJORITY_SYNCED,
        options: ClientOptions | None = None,
    ) -> BlockingProducer:
        """Another producer: see `Client.producer`."""
        background, client = self._background, self._client
        return BlockingProducer(
            background, background.ask(lambda: client.producer(name=name, durability=durability, options=options))
        )

    def read(
        self,
        topic: str,
        *,
        partitions: Sequence[int] | None = None,
        start: Places = "earliest",
        until: Places | None = None,
        options: ClientOptions | None = None,
    ) -> BlockingReader:
        """The records of a topic from `start` on, for ever or until a place: see `Client.read`."""
        background, client = self._background, self._client
        return BlockingReader(
            background,
            background.ask_now(
                lambda: client.read(topic, partitions=partitions, start=start, until=until, options=options)
            ),
        )

    def subscribe(
        self,
        topics: str | Sequence[str],
        *,
        group: str,
        start: Place = "earliest",
        name: str = "",
        options: ClientOptions | None = None,
    ) -> BlockingSubscription:
        """The records of topics as a member of a group: see `Client.subscribe`. Use it in `with`."""
        background, client = self._background, self._client
        return BlockingSubscription(
            background,
            background.ask_now(lambda: client.subscribe(topics, group=group, start=start, name=name, options=options)),
        )

    def close(self) -> None:
        """Acknowledge what was produced, stop reading, disconnect, end the thread. Raises as `Client.close` does."""
        self._finalizer.detach()
        self._background.close()

    def abandon(self) -> None:
        """Disconnect at once; what was produced and not acknowledged fails."""
        self._finalizer.detach()
        self._background.abandon()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()
