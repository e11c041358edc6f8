"""A log that cannot be read while its node runs: the node ends, as it does when it meets that itself, and heals.

Cluster seeds damage what a node reads when it starts; here a reader is the first to meet it.
"""

import asyncio
import errno
from unittest.mock import patch

import pytest

from cluster.client.client import Client
from cluster.errors import CorruptStorage, DiskFailed
from cluster.log import Log
from cluster.sim.cluster import SimCluster
from cluster.types import Offset
from tests.broker.test_full import read_all
from tests.broker.thin import RECORDS, TOPIC, in_a_cluster

pytestmark = pytest.mark.slow


def leading(cluster: SimCluster, topic: str) -> tuple[int, Log]:
    """Who leads a topic's first partition, and its log, of which nothing is in memory any more."""
    for node, running in cluster.running.items():
        topic_id = running.broker.directory.topic(topic).id
        for partition, run in running.broker.running.items():
            if partition.topic == topic_id and partition.number == 0 and run.replica.raft.is_leader:
                log = run.replica.log
                log._cache._bytes_max = 0
                log._cache.shrink(log.last_index)
                return node, log
    raise AssertionError(f"nobody leads {topic}/0")


def damage(cluster: SimCluster, topic: str) -> tuple[int, str]:
    """A bit of the first record of a topic's first partition flips on its leader's disk; who that is, and where."""
    node, log = leading(cluster, topic)
    segment, index = log.find(Offset(0))
    position, length = segment.span(index)
    cluster.disks[node].flip(segment.path, (position + length - 1) * 8)
    return node, log.directory


async def read_while_it_ends(cluster: SimCluster, reader: Client, node: int) -> BaseException:
    """All records, though the node would serve some of them, and one more is taken meanwhile; why it ended."""
    reading = asyncio.create_task(read_all(reader))
    await asyncio.wait([reading], timeout=3)
    publishing = asyncio.create_task(reader.publish(TOPIC, b"%d" % RECORDS, partition=0))
    await asyncio.wait([publishing], timeout=1)
    cluster.kill(node)
    assert list(range(RECORDS)) == (await reading)[:RECORDS]
    await publishing
    ((ended, error),) = cluster.fatal
    assert node == ended
    return error


@in_a_cluster
async def test_a_reader_that_meets_damage_is_served_by_the_others(cluster: SimCluster) -> None:
    """The node says so and ends; what is damaged is set aside when it starts again, and comes from the others."""
    node, directory = damage(cluster, TOPIC)
    reader = cluster.client("reader")

    assert isinstance(await read_while_it_ends(cluster, reader, node), CorruptStorage)

    await cluster.start(node)
    await asyncio.sleep(5)
    logs = [run.replica.log for run in cluster.running[node].broker.running.values()]
    assert [directory] == [log.directory for log in logs if log.recovered.quarantined]
    others = [other for other in cluster.nodes if other != node]
    cluster.crash(others[0])
    await asyncio.sleep(5)
    assert list(range(RECORDS + 1)) == await read_all(reader)
    await reader.abandon()


@in_a_cluster
async def test_a_reader_that_meets_a_disk_that_fails_is_served_by_the_others(cluster: SimCluster) -> None:
    """The node ends as if it could not write."""
    node, log = leading(cluster, TOPIC)
    reader = cluster.client("reader")
    file = log.find(Offset(0))[0].file

    with patch.object(file, "read", side_effect=OSError(errno.EIO, "Input/output error")):
        assert isinstance(await read_while_it_ends(cluster, reader, node), DiskFailed)
    await reader.abandon()


@in_a_cluster
async def test_what_has_no_other_copy_is_refused_and_its_node_goes_on(cluster: SimCluster) -> None:
    """A restart would mend nothing, and would set aside what is whole behind the damage."""
    client = cluster.client("single")
    await client.create_topic("single", partitions=1, replicas=1)
    for number in range(10):
        await client.publish("single", b"%d" % number)
    damage(cluster, "single")

    with pytest.raises(CorruptStorage):
        await anext(aiter(client.read("single", start="earliest")))
    found = [record.value async for record in client.read("single", start=1, until="latest")]
    assert [b"%d" % number for number in range(1, 10)] == found
    assert [] == cluster.fatal
    await client.abandon()
