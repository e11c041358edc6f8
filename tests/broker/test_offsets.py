"""What GetOffsets tells of a place, on whole clusters in virtual time."""

import asyncio

import pytest

from cluster.broker.publish_service import PUBLISH
from cluster.broker.read_service import GET_OFFSETS
from cluster.sim.clock import EPOCH_NS
from cluster.sim.cluster import SimCluster
from cluster.wire.api import records_pb2, stream_pb2
from tests.broker.thin import TOPIC, in_a_cluster, thin_channel

pytestmark = pytest.mark.slow


@in_a_cluster
async def test_when_the_record_at_a_place_was_appended(cluster: SimCluster) -> None:
    """As its receipt says; nothing where there is no record yet, and nothing where no place was asked for."""
    client = cluster.client("c")
    receipts = [await client.publish(TOPIC, b"v", partition=3) for _ in range(3)]
    end = receipts[-1].offset + 1
    for receipt in receipts:
        offsets = (await client.offsets(TOPIC, [3], at=receipt.offset))[3]
        assert (receipt.offset, receipt.append_time_ns) == (offsets.at, offsets.at_append_time_ns)
    first = (await client.offsets(TOPIC, [3], at="earliest"))[3].at_append_time_ns
    at_end = (await client.offsets(TOPIC, [3], at="latest"))[3]
    not_asked = (await client.offsets(TOPIC, [3]))[3]

    assert first is not None
    assert first < receipts[0].append_time_ns
    assert (end, None) == (at_end.at, at_end.at_append_time_ns)
    assert (None, None) == (not_asked.at, not_asked.at_append_time_ns)
    await client.abandon()


@in_a_cluster
async def test_a_leader_says_up_to_when_all_is_there(cluster: SimCluster) -> None:
    """By its own clock, which stamps; nothing while something that it has stamped is on its way to disk."""
    client = cluster.client("c")
    receipt = await client.publish(TOPIC, b"v", partition=3)
    asked = stream_pb2.GetOffsetsRequest(topic=TOPIC, partitions=[3])

    async def answer() -> stream_pb2.PartitionOffsets:
        data = await thin_channel(cluster, next(iter(cluster.nodes))).call(
            GET_OFFSETS, asked.SerializeToString(), timeout_s=5
        )
        return stream_pb2.GetOffsetsResponse.FromString(data).partitions[0]

    there = await answer()
    now_ns = EPOCH_NS + int(cluster.loop.now_s * 1e9)
    assert receipt.append_time_ns <= there.whole_before_ns <= now_ns < there.whole_before_ns + 1_000_000_000
    for disk in cluster.disks.values():
        disk.latency_s = 3.0
    late = asyncio.create_task(client.publish(TOPIC, b"v", partition=3))
    await asyncio.sleep(0.2)
    before = await answer()
    assert (receipt.offset + 1, False) == (before.end, before.HasField("whole_before_ns"))
    assert not late.done()
    for disk in cluster.disks.values():
        disk.latency_s = 0.001
    assert (await late).append_time_ns < (await answer()).whole_before_ns
    await client.abandon()


@in_a_cluster
async def test_the_receipt_of_a_duplicate_has_the_time_of_the_first(cluster: SimCluster) -> None:
    """It is that append's receipt."""
    record = records_pb2.Record(value=b"once", timestamp_ns=1)
    request = stream_pb2.PublishRequest(topic=TOPIC, partition=0, records=[record], producer_id=1 << 40)
    times = set()
    for node in cluster.nodes:
        answer = await thin_channel(cluster, node).call(PUBLISH, request.SerializeToString(), timeout_s=5)
        times.add(stream_pb2.PublishResponse.FromString(answer).receipts[0].append_time_ns)

    assert 1 == len(times)
    assert times != {0}
