"""The largest batches that nodes take, through channels of gRPC as it comes: no message is beyond what those accept."""

import asyncio
import json
import os
import urllib.request
from collections.abc import AsyncIterator, Callable, Sequence

import grpc
import pytest

from cluster import connect
from cluster.cli.dev import wait_ready
from cluster.cli.local import LocalCluster
from cluster.config import MIB, BrokerOptions
from cluster.records import Batch, Record
from cluster.types import Codec, Offset
from cluster.wire import api
from cluster.wire.api import group_pb2, stream_pb2
from cluster.wire.records import decode_batch, make_batch
from tests.spoken import thin_channel, web_context

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(120)]
TOPIC = "large"
HEAD_BYTES = 100
SERVICE = "/riverrun.v1.StreamService"
LARGEST, GROWING, MANY = 4, 60, 50_000
"""Records of three batches: one of the largest payload, one that grows to 60 MiB, one of very many."""
END = LARGEST + GROWING + MANY


def _largest() -> Batch:
    """As many random bytes as a batch may have: no codec helps."""
    values = [os.urandom(MIB - HEAD_BYTES) for _ in range(LARGEST)]
    too_many = len(_sealed(values).payload) - BrokerOptions().batch_bytes_max
    values[-1] = values[-1][:-too_many]
    batch = _sealed(values)
    assert BrokerOptions().batch_bytes_max == len(batch.payload)
    return batch


def _sealed(values: Sequence[bytes], codec: Codec = Codec.NONE) -> Batch:
    return make_batch([Record(value=value, timestamp_ns=1) for value in values], codec=codec)


async def _publish(channel: grpc.aio.Channel, batches: Sequence[Batch]) -> int:
    """The end after the receipts."""
    publish = channel.stream_stream(
        f"{SERVICE}/PublishStream",
        request_serializer=stream_pb2.PublishStreamRequest.SerializeToString,
        response_deserializer=stream_pb2.PublishStreamResponse.FromString,
    )
    requests = [
        stream_pb2.PublishStreamRequest(correlation=number, topic=TOPIC, batch=api.batch_to_pb(batch))
        for number, batch in enumerate(batches)
    ]
    end = 0
    async for answer in publish(iter(requests)):
        assert not answer.HasField("error"), answer.error
        end = answer.receipt.offset + answer.receipt.record_count
    return end


async def _reads(channel: grpc.aio.Channel, how: int) -> AsyncIterator[stream_pb2.ReadResponse]:
    """What a reader gets that can decompress nothing."""
    read = channel.unary_stream(
        f"{SERVICE}/Read",
        request_serializer=stream_pb2.ReadRequest.SerializeToString,
        response_deserializer=stream_pb2.ReadResponse.FromString,
    )
    until = stream_pb2.Position(latest=True)
    async for response in read(stream_pb2.ReadRequest(topic=TOPIC, format=how, until=until)):  # type: ignore[arg-type]
        yield response


async def _deliveries(channel: grpc.aio.Channel, how: int) -> AsyncIterator[stream_pb2.ReadResponse]:
    """What a member of a group gets that can decompress nothing."""
    subscribe = channel.stream_stream(
        "/riverrun.v1.GroupService/Subscribe",
        request_serializer=group_pb2.SubscribeRequest.SerializeToString,
        response_deserializer=group_pb2.SubscribeResponse.FromString,
    )
    stream = subscribe()
    join = group_pb2.Join(group=f"as-{how}", topics=[TOPIC], delivery=how)  # type: ignore[arg-type]
    await stream.write(group_pb2.SubscribeRequest(join=join))
    position = 0
    while position < END:
        response = await stream.read()
        if response.HasField("delivered"):
            position = response.delivered.read.position
            yield response.delivered.read
    stream.cancel()


async def _offsets(responses: AsyncIterator[stream_pb2.ReadResponse]) -> list[int]:
    """Of all records, each message's position looked at."""
    found: list[int] = []
    async for response in responses:
        records = [record.offset for record in response.records]
        for stored in response.batches:
            batch = api.batch_from_pb(stored.batch)
            records += [record.offset for record in decode_batch(batch, Offset(stored.base_offset))]
        assert not records or response.position == records[-1] + 1
        found += records
    return found


def _pages(url: str) -> list[int]:
    """The offsets that HTTP lists, up to behind the batches that are large."""
    found: list[int] = []
    while len(found) < LARGEST + GROWING:
        page = f"{url}/topics/{TOPIC}/records?from={len(found)}&limit=10"
        with urllib.request.urlopen(page, context=web_context()) as answer:
            found += [record["offset"] for record in json.load(answer)["records"]]
    return found


async def test_a_client_without_limits_of_its_own_publishes_and_reads_the_largest(
    make_cluster: Callable[[int], LocalCluster],
) -> None:
    """Through nodes that lead and that relay, decoded and not, by read and as a member; and by HTTP."""
    cluster = make_cluster(3)
    cluster.start_all()
    await wait_ready(cluster)
    async with connect(cluster.addresses) as client:
        await client.create_topic(TOPIC, partitions=1)
        leader = (await client.describe_topic(TOPIC)).partitions[0].leader
    growing = _sealed([b"%d" % number * (MIB // 2 - HEAD_BYTES) for number in range(10, 10 + GROWING)], Codec.ZSTD)
    many = _sealed([b"%d" % number for number in range(MANY)], Codec.LZ4)
    async with thin_channel(cluster.address(leader)) as channel:
        assert END == await _publish(channel, [_largest(), growing, many])
    for node in (leader, leader % 3 + 1):
        async with thin_channel(cluster.address(node)) as channel:
            for how in (stream_pb2.READ_FORMAT_RECORDS, stream_pb2.READ_FORMAT_BATCHES):
                assert list(range(END)) == await _offsets(_reads(channel, how))
            for how in (group_pb2.DELIVERY_RECORDS, group_pb2.DELIVERY_BATCHES):
                assert list(range(END)) == await _offsets(_deliveries(channel, how))
    pages = await asyncio.to_thread(_pages, cluster.http_url(leader))
    assert list(range(len(pages))) == pages
