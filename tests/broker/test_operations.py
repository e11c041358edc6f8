"""What people ask of nodes and placements, through a client: done, refused with a reason, and told as it goes."""

import asyncio
import contextlib
import io
from dataclasses import replace
from functools import partial

import pytest

from cluster.cli.cluster import _drained
from cluster.client.client import Client
from cluster.config import NodeConfig
from cluster.errors import (
    InvalidRequest,
    NodeInUse,
    NotEnoughNodes,
    OutcomeUnknown,
    ReassignmentInProgress,
    Unavailable,
    UnknownNode,
    UnknownPartition,
    UnknownTopic,
)
from cluster.metadata import Delta, TopicConfig
from cluster.sim.cluster import SimCluster
from cluster.types import NodeId
from tests.broker.test_moving import Plans, on_five_nodes
from tests.broker.test_trimming import TOPIC
from tests.broker.web.client import on_nodes


@pytest.mark.slow
@on_five_nodes
async def test_what_cannot_be_done_is_refused(cluster: Plans, client: Client) -> None:
    """With an error of its own and a sentence, and nothing has changed."""
    before = cluster.placement()
    with pytest.raises(UnknownNode, match="has no node 9; it has 1, 2, 3, 4, 5"):
        await client.drain_node(9)
    with pytest.raises(UnknownNode):
        await client.replace_node(1, replacement=7)
    with pytest.raises(UnknownTopic):
        await client.reassign_partitions("other", {0: [1, 2, 3]})
    with pytest.raises(UnknownPartition):
        await client.cancel_reassignments(TOPIC, [7])
    with pytest.raises(InvalidRequest, match="two replicas on node 1"):
        await client.reassign_partitions(TOPIC, {0: [1, 1, 2]})
    with pytest.raises(InvalidRequest, match="HOST:PORT"):
        await client.add_node(client_address="nowhere", peer_address="n:1")
    with pytest.raises(NotEnoughNodes, match="5 are alive"):
        await client.alter_topic(TOPIC, replicas=6)
    assert before == cluster.placement()
    assert () == (await client.reassignments()).moving


@pytest.mark.slow
@on_five_nodes
async def test_a_node_that_is_cut_off_refuses_nothing_by_what_it_heard_before(cluster: Plans, client: Client) -> None:
    """Scenario `changes`, seed 424: the removal of a drained node, for it had held replicas once; and seed 205."""
    old = next(node for node in cluster.nodes if node != cluster.controller())
    for other in cluster.nodes:
        if other != old:
            cluster.cut(old, other)
    with pytest.raises((Unavailable, OutcomeUnknown)):
        await cluster.operations(old).remove_node(NodeId(cluster.controller()))
    with pytest.raises((Unavailable, OutcomeUnknown)):
        await cluster.running[old].controller.create_topic(
            "wide", partitions=1, replicas=7, if_absent=False, config=TopicConfig()
        )
    cluster.fabric.heal()
    with pytest.raises(NodeInUse):
        await client.remove_node(cluster.controller())
    with pytest.raises(InvalidRequest, match="7 replicas need 7 nodes; 5 are alive"):
        await client.create_topic("wide", replicas=7)


@pytest.mark.slow
@on_nodes(1)
async def test_a_producers_name_is_no_larger_than_a_topics(cluster: SimCluster) -> None:
    """The controller keeps it for ever, on every node, so it is refused before it gets there."""
    async with cluster.client("importer") as client:
        with pytest.raises(InvalidRequest, match="249"):
            await client.producer(name="n" * 250)
        await client.producer(name="ñ ü/n" * 49)
    assert 1 == len(cluster.running[1].controller.state.producers)


@pytest.mark.slow
@on_five_nodes
async def test_a_topic_gets_as_many_replicas_as_somebody_asks_for(cluster: Plans, client: Client) -> None:
    """More, and then fewer again; meanwhile the cluster says which are missing."""
    topic = await client.alter_topic(TOPIC, replicas=5)
    assert 5 == topic.replicas
    view = await client.cluster_status()
    assert {(TOPIC, 0, 5), (TOPIC, 1, 5)} == {(item.topic, item.number, item.asked) for item in view.under_replicated}
    assert all("more are to be made" in item.why for item in view.under_replicated)
    await cluster.until(lambda: all(len(cluster.placement(number).replicas) == 5 for number in range(2)))
    await asyncio.sleep(1)
    assert 0 == (await client.cluster_status()).partitions_under_replicated
    await client.alter_topic(TOPIC, replicas=1)
    await cluster.until(lambda: all(len(cluster.placement(number).replicas) == 1 for number in range(2)))
    await cluster.settled()
    assert 2 == sum(cluster.files().values())


@pytest.mark.slow
@on_five_nodes
async def test_a_node_that_takes_another_ones_place_gets_everything(cluster: Plans, client: Client) -> None:
    """The old one is dead, and is removed when nothing is left of it; a second move at once is refused meanwhile."""
    old = int(cluster.placement().replicas[0].node)
    new = next(n for n in cluster.nodes if n not in {item.node for item in cluster.placement().replicas})
    cluster.crash(old)
    await asyncio.sleep(6)
    (node,) = [item for item in (await client.cluster_status()).nodes if item.node == old]
    assert "dead" == node.state
    await client.replace_node(old, replacement=new)
    await cluster.until(lambda: cluster.placement().target or old not in cluster.operations()._state.nodes, 0.05)
    if cluster.placement().target:
        with pytest.raises(ReassignmentInProgress, match="on its way"):
            await client.reassign_partitions(TOPIC, {0: [n for n in cluster.nodes if n != old][:3]})
    await cluster.until(lambda: old not in cluster.operations()._state.nodes)
    assert new in {item.node for item in cluster.placement().replicas}
    assert old not in {item.node for number in range(2) for item in cluster.placement(number).running}
    assert [] == [item for item in (await client.cluster_status()).nodes if item.node == old]


@pytest.mark.slow
@on_five_nodes
async def test_a_node_that_is_added_has_an_id_and_waits_to_be_started(cluster: Plans, client: Client) -> None:
    """It is shown, holds nothing, and can be removed again; its id does not return."""
    del cluster
    node = await client.add_node(client_address="h:1", peer_address="h:2", rack="r")
    assert (6, "added", "r") == (node.node, node.state, node.rack)
    assert node in (await client.cluster_status()).nodes
    await client.remove_node(6)
    assert 7 == (await client.add_node(client_address="h:1", peer_address="h:2")).node


@pytest.mark.slow
@on_five_nodes
async def test_a_topic_that_is_made_while_a_node_begins_to_drain_is_placed_anew(cluster: Plans, client: Client) -> None:
    """The drain comes first, and the node that places the topic has not heard of it."""
    node = next(n for n in cluster.nodes if n != cluster.controller())
    seen: list[set[int]] = []

    def hear(delta: Delta) -> None:
        seen.extend(
            {item.node for placement in topic.partitions for item in placement.running}
            for topic in delta.topics
            if topic.name == "new"
        )

    cluster.running[cluster.controller()].controller.subscribe(hear)
    await asyncio.gather(
        cluster.operations(cluster.controller()).drain_node(NodeId(node), undo=False),
        client.create_topic("new", partitions=5, replicas=3),
    )
    assert seen
    assert not any(node in there for there in seen)


class Impatient(Plans):
    """Nodes that are dead are given up soon."""

    def _config(self, number: int) -> NodeConfig:
        config = super()._config(number)
        return replace(config, controller=replace(config.controller, node_dead_after_s=1.0, node_lost_after_s=4.0))


@pytest.mark.slow
@partial(on_five_nodes, kind=Impatient)
async def test_who_waits_for_what_cannot_move_is_told_so(cluster: Plans, client: Client) -> None:
    """A dead node has the only replica of a partition: its replacement says what it waits for, and ends with it."""
    made = await client.create_topic("one", partitions=1, replicas=1)
    old = made.partitions[0].replicas[0].node
    cluster.kill(old)
    await asyncio.sleep(2)
    new = next(node for node in cluster.running if node != old)
    await client.replace_node(old, replacement=new)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        waiting = asyncio.create_task(_drained(client, old))
        await cluster.until(lambda: f"most of its replicas are lost, on node {old}" in said.getvalue())
        (line,) = [line for line in said.getvalue().splitlines() if "most of its replicas are lost" in line]
        assert "riverrun topic delete" in line
        told = next(one for one in (await client.explain_node(old)).findings if one.code == "DRAIN_WAITS")
        assert "has no leader" in told.cause
        assert "`riverrun explain partition one/0` says what it lacks" in told.advice
        await cluster.start(old)
        async with asyncio.timeout(60):
            await waiting
    cluster.nodes.remove(old)
