"""A node that is about to stop leads nothing any more, whoever would have it."""

import asyncio

import pytest

from cluster.broker.requests import TransferLeadership
from cluster.sim.cluster import SimCluster
from cluster.types import NodeId, PartitionId
from tests.broker.web.client import on_nodes

ONE, TWO, THREE = map(NodeId, (1, 2, 3))


def led(cluster: SimCluster, node: int) -> list[PartitionId]:
    """What a node leads."""
    running = cluster.running[node].broker.running
    return [partition for partition, run in running.items() if run.replica.raft.is_leader]


async def make_orders(cluster: SimCluster) -> None:
    """Six partitions, two for each node to lead."""
    async with cluster.client("shop") as shop:
        await shop.create_topic("orders", partitions=6)
    await asyncio.sleep(8)
    assert [2, 2, 2] == [len(led(cluster, node)) for node in (1, 2, 3)]


@pytest.mark.slow
@on_nodes(3)
async def test_nobody_hands_back_what_a_node_that_stops_has_led(cluster: SimCluster) -> None:
    """However long its end takes, though it is preferred; when it is back, it leads again."""
    await make_orders(cluster)
    node = cluster.running[1]
    await node.drain()
    others = [cluster.running[number] for number in (2, 3)]
    assert [{ONE}, {ONE}] == [other.broker.leaders.leaving for other in others]
    await asyncio.sleep(12)  # it still answers
    assert [] == led(cluster, 1)
    assert 6 == len(led(cluster, 2)) + len(led(cluster, 3))
    await node.stop()
    cluster.kill(1)
    await cluster.start(1)
    await asyncio.sleep(8)
    assert [set(), set()] == [other.broker.leaders.leaving for other in others]
    assert 2 == len(led(cluster, 1))


@pytest.mark.slow
@on_nodes(3)
async def test_what_was_asked_before_it_was_known_is_refused(cluster: SimCluster) -> None:
    """The leader goes on after its time for that."""
    await make_orders(cluster)
    cluster.running[1].broker.leave()
    partition = led(cluster, 2)[0]
    run = cluster.running[2].broker.running[partition]
    await run.ref.tell(TransferLeadership(ONE))
    await asyncio.sleep(0.1)
    assert run.replica.raft.transferee is not None
    async with cluster.client("shop") as shop:
        await shop.publish("orders", b"meanwhile", partition=partition.number)
    assert partition in led(cluster, 2)
    assert run.replica.raft.transferee is None


@pytest.mark.slow
@on_nodes(3)
async def test_nodes_that_stop_together_keep_nobody_waiting(cluster: SimCluster) -> None:
    """Two of them hand over to the third one; all three have nobody to hand over to."""
    await make_orders(cluster)
    loop = cluster.loop
    began_s = loop.now_s
    await asyncio.gather(*(cluster.running[number].drain() for number in (1, 2)))
    assert loop.now_s - began_s < 1.0
    assert 6 == len(led(cluster, 3))
    await cluster.running[3].drain()
    assert loop.now_s - began_s < 1.0
    assert 6 == len(led(cluster, 3))


@pytest.mark.slow
@on_nodes(3)
async def test_leadership_goes_only_to_who_has_nearly_all(cluster: SimCluster) -> None:
    """For while it catches up nobody could publish; when it has, it is handed what it is meant to lead."""
    await make_orders(cluster)
    partition = led(cluster, 1)[0]
    cluster.crash(1)
    await asyncio.sleep(3)
    async with cluster.client("shop") as shop:
        for _ in range(5):
            await shop.publish("orders", b"while it was away", partition=partition.number)
    await asyncio.sleep(3)
    (now,) = [number for number in (2, 3) if partition in led(cluster, number)]
    broker = cluster.running[now].broker
    replica = broker.running[partition].replica
    assert 3 <= replica.behind_s(ONE) < 6
    assert not broker.may_transfer(partition, ONE, behind_s_max=0.5)
    assert 0 == replica.behind_s(NodeId(5 - now))
    await cluster.start(1)
    await asyncio.sleep(8)
    assert partition in led(cluster, 1)
