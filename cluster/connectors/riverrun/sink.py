"""A topic of another cluster, written by one route alone: see the package for why each record is there once."""

from collections.abc import Sequence

import msgspec

from cluster import connect
from cluster.client.client import Client
from cluster.client.offsets import PartitionOffsets
from cluster.connectors.contract import Delivery, Position
from cluster.connectors.riverrun import LANE_HEADER, POSITION_HEADER
from cluster.connectors.riverrun.failures import failure_of
from cluster.connectors.riverrun.options import RiverrunTopicSink
from cluster.errors import InvalidRoute, OffsetConflict, RiverrunError, Unreachable
from cluster.records import Header, Record


class TopicSink:
    """See Sink."""

    def __init__(self, options: RiverrunTopicSink) -> None:
        self._options = options
        self._where = f"topic {options.topic!r} at {options.servers}"
        self._client: Client | None = None
        self._ends: dict[int, int] = {}
        """By partition, where the next batch has to stand."""

    async def last_position(self, lane: str) -> int | None:
        """See Sink: what the partition's last record says."""
        try:
            return await self._look(lane)
        except RiverrunError as error:
            raise failure_of(error, self._where) from error

    async def write(self, batch: Sequence[Delivery], position: Position) -> bool:
        """See Sink. Unreachable, too, if somebody else has written: then it is looked at anew."""
        if not batch:
            return True
        partition = _partition_of(position.lane)
        records = [_record(delivery) for delivery in batch]
        said = (
            Header(name=LANE_HEADER, value=position.lane.encode()),
            Header(name=POSITION_HEADER, value=b"%d" % position.end),
        )
        records[-1] = Record(
            value=records[-1].value,
            key=records[-1].key,
            headers=(*records[-1].headers, *said),
            timestamp_ns=records[-1].timestamp_ns,
        )
        try:
            client = await self._connected()
            if partition not in self._ends:
                await self._look(position.lane)
            receipt = await client.append(
                self._options.topic, partition, records, expected_end=self._ends[partition], timeout_s=15.0
            )
        except OffsetConflict as error:
            self._ends.pop(partition, None)
            raise Unreachable(
                f"{self._where}: partition {partition} does not end where this route left it; somebody else writes to "
                "it, or has just been replaced by this one"
            ) from error
        except RiverrunError as error:
            self._ends.pop(partition, None)
            raise failure_of(error, self._where) from error
        self._ends[partition] = receipt.offset + receipt.record_count
        return True

    async def settle(self) -> None:
        """See Sink: nothing is held."""

    async def close(self) -> None:
        """See Sink."""
        client, self._client = self._client, None
        if client is not None:
            await client.abandon()

    async def _connected(self) -> Client:
        if self._client is None:
            self._client = await connect(self._options.servers, tls=self._options.tls)
        return self._client

    async def _look(self, lane: str) -> int | None:
        partition = _partition_of(lane)
        client = await self._connected()
        offsets = await client.offsets(self._options.topic)
        if partition not in offsets:
            raise InvalidRoute(
                f"{self._where}: it has {len(offsets)} partitions, and there is something for partition {partition}; "
                "it needs as many as what is delivered to it"
            )
        place = offsets[partition]
        self._ends[partition] = place.end
        return await self._position_in(client, partition, place, lane)

    async def _position_in(self, client: Client, partition: int, place: PartitionOffsets, lane: str) -> int | None:
        if place.end == place.first:
            return None
        reader = client.read(
            self._options.topic, partitions=[partition], start=place.end - 1, until={partition: place.end}
        )
        headers: dict[str, bytes] = {}
        async for record in reader:
            headers = {header.name: header.value for header in record.headers}
        if headers.get(LANE_HEADER) != lane.encode():
            return None
        return int(headers[POSITION_HEADER])


def _partition_of(lane: str) -> int:
    return int(lane.rpartition("/")[2])


def _record(delivery: Delivery) -> Record:
    value = delivery.value
    return Record(
        value=value if isinstance(value, bytes) else b"" if value is None else msgspec.json.encode(value),
        key=delivery.key,
        headers=tuple(Header(name=name, value=content) for name, content in delivery.headers),
        timestamp_ns=delivery.timestamp_ns,
    )
