"""A topic of another cluster, captured: a share of its partitions, each from the offset in the cursor."""

from collections.abc import AsyncGenerator

import msgspec

from cluster import connect
from cluster.client.client import Client
from cluster.client.decoding import ReadBatch, ReadRecord
from cluster.connectors.contract import Arrival, Arrived, Progress
from cluster.connectors.riverrun import MIRROR_OFFSET, MIRROR_PARTITION, MIRROR_TOPIC
from cluster.connectors.riverrun.failures import failure_of
from cluster.connectors.riverrun.options import RiverrunTopic
from cluster.errors import InvalidRoute, OffsetOutOfRange, RiverrunError, Unreachable


class TopicSource:
    """See Source. The cursor: by partition, the next offset."""

    def __init__(self, options: RiverrunTopic, share: int) -> None:
        self._options = options
        self._share = share
        self._where = f"topic {options.topic!r} at {options.servers}"
        self._client: Client | None = None
        self._batches: AsyncGenerator[ReadBatch, None] | None = None
        self._positions: dict[int, int] = {}
        self._cursor: bytes | None = None

    async def read(self, cursor: bytes | None) -> Arrived:
        """See Source."""
        try:
            if self._batches is None or cursor != self._cursor:
                await self._begin(cursor)
            assert self._batches is not None, "it was begun"
            if cursor is None:
                self._cursor = msgspec.json.encode(self._positions)
                return Arrived(records=[], cursor=self._cursor)
            batch = await anext(self._batches)
        except OffsetOutOfRange as error:
            await self.close()
            raise InvalidRoute(
                f"{self._where}: what comes next was deleted there before it was captured ({error.message}); deploy a "
                "new version, which begins anew, or keep records there for longer"
            ) from error
        except RiverrunError as error:
            await self.close()
            raise failure_of(error, self._where) from error
        except StopAsyncIteration as error:
            await self.close()
            raise Unreachable(f"{self._where}: the connection was closed") from error
        self._positions[batch.partition] = batch.position
        self._cursor = msgspec.json.encode(self._positions)
        return Arrived(records=[self._arrival(record) for record in batch.records], cursor=self._cursor)

    async def committed(self, cursor: bytes) -> None:
        """See Source: nobody there has to know."""

    async def close(self) -> None:
        """See Source."""
        batches, client = self._batches, self._client
        self._batches = self._client = None
        if batches is not None:
            await batches.aclose()
        if client is not None:
            await client.abandon()

    def progress(self) -> Progress | None:
        """See Source: it has no end."""

    async def _begin(self, cursor: bytes | None) -> None:
        await self.close()
        self._client = await connect(self._options.servers, tls=self._options.tls)
        places = await self._client.offsets(self._options.topic, at=self._options.start)
        mine = [number for number in places if number % self._options.tasks == self._share]
        if not mine:
            raise InvalidRoute(f"{self._where}: it has {len(places)} partitions for {self._options.tasks} tasks")
        if cursor is None:
            # Where it begins is fixed now, for all partitions: "latest" is not to be another place after a crash.
            self._positions = {number: _known(places[number].at) for number in mine}
        else:
            self._positions = msgspec.json.decode(cursor, type=dict[int, int])
            self._positions |= {number: places[number].first for number in mine if number not in self._positions}
        reader = self._client.read(self._options.topic, partitions=mine, start=dict(self._positions))
        self._batches = reader.batches()
        self._cursor = cursor

    def _arrival(self, record: ReadRecord) -> Arrival:
        return Arrival(
            value=record.value,
            key=record.key,
            timestamp_ns=record.timestamp_ns,
            headers=(
                *((header.name, header.value) for header in record.headers if not header.name.startswith("mirror-")),
                (MIRROR_TOPIC, self._options.topic.encode()),
                (MIRROR_PARTITION, b"%d" % record.partition),
                (MIRROR_OFFSET, b"%d" % record.offset),
            ),
        )


def _known(offset: int | None) -> int:
    assert offset is not None, "a place was asked for"
    return offset
