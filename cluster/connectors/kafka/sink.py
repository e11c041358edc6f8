"""A topic written to, at least once: see the package."""

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from cluster.connectors.contract import Delivery, Position
from cluster.connectors.kafka.calling import Calls, Troubles, configuration, error_of
from cluster.connectors.kafka.options import KafkaSink
from cluster.connectors.kafka.records import produced
from cluster.errors import InvalidRoute, RecordRefused, Unreachable

POLL_S = 0.05
UNKNOWN_TOPIC_S_MAX = 3.0
"""So long a topic may be unknown to a broker that has just heard of it."""
SPARE_S = 1.0
"""The library itself gives up before we do."""
MESSAGE_BYTES_MAX = 2 * 1024 * 1024
"""What the library lets through; what Kafka takes is for Kafka to say."""
_REFUSED = {
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.INVALID_RECORD,
    KafkaError.INVALID_TIMESTAMP,
    KafkaError._INVALID_DIFFERENT_RECORD,  # noqa: SLF001
}
"""A record's own fault, or that of one sent along with it."""


class TopicWriter:
    """See Sink. Connects at the first write."""

    def __init__(self, options: KafkaSink, identity: str) -> None:
        self._options, self._identity = options, identity
        self._where = options.summary
        self._calls = Calls()
        self._producer: Producer | None = None
        self._troubles = Troubles(self._where)

    async def last_position(self, lane: str) -> int | None:  # noqa: ARG002
        """See Sink: it is not kept there."""
        return None

    async def write(self, batch: Sequence[Delivery], position: Position) -> bool:
        """See Sink. What a refused record was sent along with may be there, and comes again with its id."""
        del position
        if not batch:
            return True
        records = [produced(delivery) for delivery in batch]
        faults = await self._all(records)
        if any(error.code() in _REFUSED for error in faults.values()):
            # Kafka refuses what was sent together together: alone, the one shows that is at fault.
            await self._calls(self._end)
            for place in sorted(faults):
                alone = await self._all([records[place]])
                if alone and alone[0].code() in _REFUSED:
                    raise RecordRefused(f"{self._where}: {alone[0].str()}", place=place)
                faults = alone
                if alone:
                    break
        if faults:
            raise self._troubles.worse(next(iter(faults.values())))
        return True

    async def settle(self) -> None:
        """See Sink: nothing is held."""

    async def close(self) -> None:
        """See Sink."""
        with contextlib.suppress(RuntimeError):  # closed before
            await self._calls(self._end)
        self._calls.end()

    async def _all(self, records: Sequence[dict[str, Any]]) -> dict[int, KafkaError]:
        """Hand them over and wait; by their places, what became of those that are not there."""
        unsettled = set(range(len(records)))
        faults: dict[int, KafkaError] = {}

        def settled(place: int, error: KafkaError | None, message: Message) -> None:  # noqa: ARG001
            unsettled.discard(place)
            if error is not None:
                faults[place] = error

        await self._calls(self._produce, records, settled, faults, unsettled)
        loop = asyncio.get_running_loop()
        end = loop.time() + self._options.timeout_s
        while unsettled:
            await self._calls(self._poll)
            if loop.time() > end and unsettled:
                raise Unreachable(f"{self._where} does not acknowledge in time")
        return dict(sorted(faults.items()))

    # In the thread:

    def _produce(
        self, records: Sequence[dict[str, Any]], settled: Any, faults: dict[int, KafkaError], unsettled: set[int]
    ) -> None:
        if self._producer is None:
            self._producer = self._made()
        for place, record in enumerate(records):
            try:
                self._producer.produce(self._options.topic, **record, on_delivery=partial(settled, place))
            except (KafkaException, BufferError) as error:
                if not isinstance(error, KafkaException):
                    raise Unreachable(f"{self._where}: too much is not acknowledged") from error
                unsettled.discard(place)
                faults[place] = error_of(error)

    def _made(self) -> Producer:
        self._troubles = Troubles(self._where)
        settings = {
            "linger.ms": 2,
            "message.max.bytes": MESSAGE_BYTES_MAX,
            "partitioner": "murmur2_random",  # as Kafka's own clients
            "topic.metadata.propagation.max.ms": int(UNKNOWN_TOPIC_S_MAX * 1000),
            "compression.type": self._options.compression_type,
            **configuration(self._options),
            "enable.idempotence": True,
            "acks": "all",
            "delivery.timeout.ms": max(500, int((self._options.timeout_s - SPARE_S) * 1000)),
            "error_cb": self._troubles.hear,
        }
        try:
            return Producer(settings)
        except (KafkaException, ValueError, TypeError) as error:
            what = error.args[0].str() if error.args and isinstance(error.args[0], KafkaError) else str(error)
            raise InvalidRoute(f"{self._where}: {what}") from error

    def _poll(self) -> None:
        assert self._producer is not None, "something was handed to it"
        self._producer.poll(POLL_S)
        self._troubles.raise_any()

    def _end(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()
            producer.poll(0)
