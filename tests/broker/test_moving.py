"""Replicas move by the controller's plan, in whole clusters in virtual time, while records are published."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

import pytest

from cluster.broker.opening import REPLICAS
from cluster.client.client import Client
from cluster.config import NodeConfig
from cluster.controller.operations import Operations
from cluster.errors import NodeInUse
from cluster.metadata import Placement
from cluster.sim.clock import SimLoop, simulate
from cluster.sim.cluster import SimCluster
from cluster.types import NodeId
from tests.broker.test_trimming import TOPIC, read_all
from tests.node.test_metrics import scraped

Body = Callable[["Plans", Client], Awaitable[None]]


class Plans(SimCluster):
    """Five nodes, whose controller decides."""

    published = padding = 0

    def operations(self, node: int = 0) -> Operations:
        """What can be asked of a node; of any, if none is named."""
        return self.running[node or min(self.running)].controller.operations

    def placement(self, number: int = 0) -> Placement:
        """As it is by the newest metadata."""
        states = [node.controller.state for node in self.running.values()]
        newest = max(states, key=lambda state: state.version)
        return newest.topics[newest.by_name[TOPIC]].partitions[number]

    def leader(self) -> int:
        """The node that leads partition 0."""
        leader = self.leader_of(0)
        assert leader, "there is none"
        return leader

    def leader_of(self, number: int) -> int:
        """The same of any partition; 0: there is none now."""
        leaders = (
            node
            for node, one in self.running.items()
            for partition, run in one.broker.running.items()
            if partition.number == number and run.replica.raft.is_leader
        )
        return next(leaders, 0)

    def controller(self) -> int:
        """The node that decides."""
        return next(n for n, node in self.running.items() if node.controller.controller_node() == n)

    def files(self) -> dict[int, int]:
        """How many directories of replicas each node has."""
        disks = self.disks.items()
        return {n: sum(len(disk.list(f"{REPLICAS}/{t}")) for t in disk.list(REPLICAS)) for n, disk in disks}

    async def until(self, condition: Callable[[], object], every_s: float = 0.5) -> None:
        """It has come true, within two minutes."""
        async with asyncio.timeout(120):
            await asyncio.sleep(every_s)
            while not condition():  # noqa: ASYNC110  of virtual time
                await asyncio.sleep(every_s)

    async def settled(self) -> None:
        """Nothing moves, nothing is to be dropped."""
        both = range(2)
        await self.until(lambda: not any(p.target or p.removed or p.abandoned for p in map(self.placement, both)))

    async def publish(self, client: Client) -> None:
        """One after the other, until cancelled."""
        while True:
            await client.publish(TOPIC, b"%d" % self.published + b" " * self.padding, partition=0)
            self.published += 1
            await asyncio.sleep(0.02)


class SlowPlans(Plans):
    """What is made anew takes its time: records are large, and few of them are sent at once."""

    padding = 4_000

    def _config(self, number: int) -> NodeConfig:
        config = super()._config(number)
        return replace(config, broker=replace(config.broker, catch_up_bytes_per_s_max=250_000))


def on_five_nodes(body: Body, kind: type[Plans] = Plans) -> Callable[[], None]:
    """A test with a topic of two partitions on three of five nodes, to which is published all the time."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        cluster = kind(loop, nodes=5)
        await cluster.start_all()
        client = cluster.client("writer")
        await asyncio.sleep(3)  # of virtual time: they choose a controller
        await client.create_topic(TOPIC, partitions=2, replicas=3)
        await asyncio.sleep(2)
        publishing = asyncio.create_task(cluster.publish(client))
        await body(cluster, client)
        await asyncio.sleep(2)
        assert not publishing.done(), "a publish failed"
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)
        there = await read_all(client)
        assert list(range(cluster.published)) == there[: cluster.published]
        await client.abandon()
        assert [] == cluster.fabric.failed
        assert [] == cluster.fatal

    def test() -> None:
        for seed in (1, 2):
            simulate(run(), seed)

    test.__doc__ = body.__doc__
    return test


@pytest.mark.slow
@on_five_nodes
async def test_a_partition_goes_where_somebody_wants_it(cluster: Plans, client: Client) -> None:
    """Two of three replicas, the leader's among them; what is left over has no files any more."""
    del client
    old = [int(item.node) for item in cluster.placement().replicas]
    target = [node for node in cluster.nodes if node not in old] + [old[1]]
    await cluster.operations().reassign(TOPIC, {0: [NodeId(node) for node in target]})
    (moving,) = cluster.operations().reassignments()
    assert (tuple(target), False) == (moving.target, moving.back)
    await cluster.settled()
    await asyncio.sleep(10)  # leadership is handed over now and then
    assert target == [int(item.node) for item in cluster.placement().replicas]
    assert target[0] == cluster.leader()
    held = [int(item.node) for number in range(2) for item in cluster.placement(number).replicas]
    assert {node: held.count(node) for node in cluster.nodes} == cluster.files()


@pytest.mark.slow
@on_five_nodes
async def test_leaders_leave_a_draining_node_at_once(cluster: Plans, client: Client) -> None:
    """And go where they are to stay: nobody hands them on. What else is there follows as soon as it can."""
    del client
    node = cluster.leader()
    other = next(n for n in cluster.running if n != node)
    began_s = cluster.loop.now_s
    await cluster.operations(other).drain_node(NodeId(node), undo=False)
    await cluster.until(lambda: cluster.leader_of(0) not in {0, node}, every_s=0.01)
    assert cluster.loop.now_s - began_s < 0.5
    new = cluster.leader()
    assert cluster.placement().preferred_leader == new
    await cluster.until(lambda: not any(item.node == node for n in range(2) for item in cluster.placement(n).running))
    assert cluster.loop.now_s - began_s < 2
    await asyncio.sleep(12)
    assert new == cluster.leader()


@pytest.mark.slow
@on_five_nodes
async def test_a_drain_goes_on_when_leader_and_controller_die(cluster: Plans, client: Client) -> None:
    """Whoever decides next goes on with it; in the end the node holds nothing, and is gone for good when removed."""
    del client
    node = cluster.leader()
    other = next(n for n in cluster.running if n != node)
    await cluster.operations(other).drain_node(NodeId(node), undo=False)
    with pytest.raises(NodeInUse, match="drain it first"):
        await cluster.operations(other).remove_node(NodeId(node))
    for victim in (cluster.leader(), cluster.controller()):
        cluster.crash(victim)
        await asyncio.sleep(0.7)
        await cluster.start(victim)
    await cluster.until(lambda: not any(item.node == node for n in range(2) for item in cluster.placement(n).running))
    await cluster.settled()
    assert 0 == cluster.files()[node]
    await cluster.operations(other).remove_node(NodeId(node))
    cluster.crash(node)
    await cluster.start(node)
    await asyncio.sleep(5)
    assert ([node], []) == (cluster.removed, cluster.fatal), "it was told so, and has ended"


@pytest.mark.slow
@on_five_nodes
async def test_what_a_node_has_lost_is_made_anew_there(cluster: Plans, client: Client) -> None:
    """Under another id; it is not made elsewhere."""
    del client
    before = cluster.placement()
    node = next(int(item.node) for item in before.replicas if item.node != cluster.leader())
    cluster.crash(node)
    cluster.disks[node].remove(REPLICAS)
    cluster.disks[node].sync_directory(".")
    await cluster.start(node)
    await cluster.until(lambda: cluster.placement().replicas != before.replicas)
    await cluster.settled()
    after = cluster.placement()
    assert {item.node for item in before.replicas} == {item.node for item in after.replicas}
    old = {int(item.node): item.replica for item in before.replicas}
    new = {int(item.node): item.replica for item in after.replicas}
    assert new.pop(node) > old.pop(node)
    assert old == new


@pytest.mark.slow
@partial(on_five_nodes, kind=SlowPlans)
async def test_a_replica_that_is_lost_does_not_count_until_another_one_is_there(cluster: Plans, client: Client) -> None:
    """Its node is alive, and the partition quiet: status and metrics say all the same that there is one too few."""
    before = cluster.placement()
    node = next(int(item.node) for item in before.replicas if item.node != cluster.leader())
    lost = next(item.replica for item in before.replicas if item.node == node)
    cluster.crash(node)
    cluster.disks[node].remove(REPLICAS)
    cluster.disks[node].sync_directory(".")
    await cluster.start(node)
    said: list[str] = []
    while cluster.placement().replicas == before.replicas:
        await asyncio.sleep(0.1)
        if all(lost in one.controller.observed.lost() for one in cluster.running.values()):
            found = {item.number: item for item in (await client.cluster_status()).under_replicated}
            told = sum(scraped(one)["riverrun_under_replicated_partitions{}"] for one in cluster.running.values())
            if cluster.placement().replicas == before.replicas:
                assert told >= 1
                assert (2, 3) == (found[0].working, found[0].asked)
                said.append(found[0].why)
    assert len(said) > 4
    assert {f"node {node} has lost its files; another one is being made"} == set(said)
    await cluster.settled()
    await asyncio.sleep(6)
    assert 0 == (await client.cluster_status()).partitions_under_replicated


@pytest.mark.slow
@on_five_nodes
async def test_a_cancelled_move_leaves_nothing_behind(cluster: Plans, client: Client) -> None:
    """Neither while the new node is dead, nor when it returns with what it had got by then."""
    del client
    before = cluster.placement()
    (spare, *_) = [node for node in cluster.nodes if node not in {item.node for item in before.replicas}]
    stay = [item.node for item in before.replicas[:2]]
    await cluster.operations().reassign(TOPIC, {0: [*stay, NodeId(spare)]})
    running = cluster.running[spare].broker.running
    await cluster.until(lambda: any(partition.number == 0 for partition in running), every_s=0.001)
    cluster.crash(spare)
    await cluster.operations().cancel(TOPIC, [])
    await cluster.until(lambda: not cluster.placement().target)
    assert {item.replica for item in before.replicas} == {item.replica for item in cluster.placement().replicas}
    assert {spare} == {item.node for item in cluster.placement().removed}
    await cluster.start(spare)
    await cluster.settled()
    assert sum(item.node == spare for item in cluster.placement(1).replicas) == cluster.files()[spare]
