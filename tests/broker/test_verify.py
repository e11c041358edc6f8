"""A receipt, checked on every replica's disk: whole clusters in virtual time."""

import asyncio

import pytest

from cluster.broker.forwarding import FORWARDED
from cluster.broker.verify_service import VERIFY
from cluster.client.client import Client
from cluster.client.verifying import CopyState, Verification
from cluster.errors import InvalidRequest, UnknownPartition, UnknownTopic
from cluster.log.inspection import Location, inspect, is_still_there, locate
from cluster.records import Receipt, Record
from cluster.sim.cluster import SimCluster
from cluster.types import Offset
from cluster.wire.api import stream_pb2
from tests.broker.thin import TOPIC, in_a_cluster, thin_channel

pytestmark = pytest.mark.slow


async def batch_of_three(client: Client) -> Receipt:
    """In partition 0, and known to all of its replicas."""
    receipt = await client.append(TOPIC, 0, [Record(value=b"%d" % number, timestamp_ns=1) for number in range(3)])
    await asyncio.sleep(1)
    return receipt


def place_on(cluster: SimCluster, node: int, offset: int) -> Location:
    """Where the record is on a node's disk."""
    (running,) = (run for part, run in cluster.running[node].broker.running.items() if part.number == 0)
    return locate(running.replica.log, Offset(offset))


def states(found: Verification) -> list[CopyState]:
    """By node."""
    return [copy.state for copy in found.copies]


@in_a_cluster
async def test_every_replica_has_it(cluster: SimCluster) -> None:
    """Each node, whoever is asked, for any record of the batch; on disk, with one checksum."""
    client = cluster.client("c")
    receipt = await batch_of_three(client)
    for offset in range(receipt.offset, receipt.offset + 3):
        found = await client.verify(TOPIC, 0, offset)
        assert [CopyState.HELD] * 3 == states(found)
        assert [1, 2, 3] == [copy.node for copy in found.copies]
        assert {(receipt.offset, 3, receipt.term)} == {
            (copy.base_offset, copy.record_count, copy.term) for copy in found.copies
        }
        assert 1 == len({copy.checksum for copy in found.copies})
        assert found.is_safe
        assert f"offset {offset} is on the disks of 3 of 3 replicas, with one checksum" == found.verdict()
    await client.abandon()


@in_a_cluster
async def test_a_flipped_bit_on_one_disk_is_found(cluster: SimCluster) -> None:
    """Wherever in the frame it is, though the node goes on serving the batch from memory."""
    client = cluster.client("c")
    receipt = await batch_of_three(client)
    place = place_on(cluster, 2, receipt.offset)
    for byte in (0, 6, 40, place.frame_bytes // 2, place.frame_bytes - 1):
        cluster.disks[2].flip(place.segment.path, (place.position + byte) * 8 + 3)
        found = await client.verify(TOPIC, 0, receipt.offset)
        cluster.disks[2].flip(place.segment.path, (place.position + byte) * 8 + 3)

        assert [CopyState.HELD, CopyState.DAMAGED, CopyState.HELD] == states(found), byte
        assert not found.is_safe
        assert f"offset {receipt.offset} is damaged on node 2; 2 of 3 replicas hold it intact" == found.verdict()
        assert "checksum" in found.copies[1].detail
    assert (await client.verify(TOPIC, 0, receipt.offset)).is_safe
    await client.abandon()


@in_a_cluster
async def test_a_stopped_node_is_named(cluster: SimCluster) -> None:
    """One of three: a majority holds it. Two of three: it is not known that a majority does."""
    client = cluster.client("c")
    receipt = await batch_of_three(client)
    cluster.crash(3)
    found = await client.verify(TOPIC, 0, receipt.offset)
    assert [CopyState.HELD, CopyState.HELD, CopyState.UNREACHABLE] == states(found)
    assert found.is_safe
    assert found.copies[2].detail
    cluster.crash(2)
    found = await client.verify(TOPIC, 0, receipt.offset)
    assert [CopyState.HELD, CopyState.UNREACHABLE, CopyState.UNREACHABLE] == states(found)
    assert not found.is_safe
    assert "on the disks of 1 of 3 replicas only; 2 are a majority" in found.verdict()
    await client.abandon()


@in_a_cluster
async def test_a_node_that_stands_still_keeps_nobody_waiting(cluster: SimCluster) -> None:
    """What the others say comes within the caller's time."""
    client = cluster.client("c")
    receipt = await batch_of_three(client)
    answer = thin_channel(cluster, 1)
    cluster.pause(3, 30)
    request = stream_pb2.VerifyRequest(topic=TOPIC, partition=0, offset=receipt.offset).SerializeToString()
    copies = stream_pb2.VerifyResponse.FromString(await answer.call(VERIFY, request, timeout_s=2)).copies

    assert "node 3 did not answer within 1.6 s" == copies[2].detail
    assert [stream_pb2.COPY_STATE_HELD] * 2 == [copy.state for copy in copies[:2]]
    await client.abandon()


@in_a_cluster
async def test_what_is_not_synced_says_so(cluster: SimCluster) -> None:
    """A follower whose disk is slow has it in memory."""
    client = cluster.client("c")
    await batch_of_three(client)
    leader = (await client.describe_topic(TOPIC)).partitions[0].leader
    slow = next(node for node in cluster.nodes if node != leader)
    cluster.disks[slow].latency_s = 20.0
    receipt = await client.publish(TOPIC, b"quick", partition=0)
    found = {copy.node: copy for copy in (await client.verify(TOPIC, 0, receipt.offset)).copies}
    cluster.disks[slow].latency_s = 0.001

    assert CopyState.NOT_SYNCED is found[slow].state
    assert 1 == len({copy.checksum for copy in found.values()})
    await client.abandon()


@in_a_cluster
async def test_beyond_the_end_there_is_nothing(cluster: SimCluster) -> None:
    """And what is no partition, topic or offset is refused by its name."""
    client = cluster.client("c")
    found = await client.verify(TOPIC, 0, 999)
    assert [CopyState.ABSENT] * 3 == states(found)
    assert not found.is_safe
    assert "no replica has offset 999: the partition ends before it" == found.verdict()
    with pytest.raises(UnknownPartition):
        await client.verify(TOPIC, 77, 0)
    with pytest.raises(UnknownTopic):
        await client.verify("absent", 0, 0)
    with pytest.raises(InvalidRequest, match="begin at 0"):
        await client.verify(TOPIC, 0, -1)
    with pytest.raises(InvalidRequest, match="numbers from 0"):
        await client.verify(TOPIC, -1, 0)
    await client.abandon()


@in_a_cluster
async def test_who_is_asked_by_a_node_answers_for_itself(cluster: SimCluster) -> None:
    """A forwarded request asks nobody else."""
    request = stream_pb2.VerifyRequest(topic=TOPIC, partition=0, offset=0).SerializeToString()
    answer = await thin_channel(cluster, 2).call(VERIFY, request, timeout_s=5, metadata={FORWARDED: "1"})

    assert [2] == [copy.node for copy in stream_pb2.VerifyResponse.FromString(answer).copies]


@in_a_cluster
async def test_a_file_that_cannot_be_read_is_damage_only_while_it_is_the_log_s(cluster: SimCluster) -> None:
    """What the log has closed or cut meanwhile is looked at again instead."""
    client = cluster.client("c")
    receipt = await batch_of_three(client)
    place = place_on(cluster, 1, receipt.offset)
    (running,) = (run for part, run in cluster.running[1].broker.running.items() if part.number == 0)
    assert is_still_there(running.replica.log, place)
    await running.ref.stop()

    found = inspect(place, running.replica.partition)
    assert isinstance(found, str)
    assert "cannot be read" in found
    assert not is_still_there(running.replica.log, place)
    await client.abandon()
