"""Nodes that have not heard of a new topic yet: what one of them says is not the end of anything."""

import asyncio

import pytest

from cluster.errors import UnknownTopic
from tests.client.scenario import scenario


@scenario
async def test_a_member_joins_at_a_node_that_knows_its_topic(cluster):
    """The first one that it asks does not."""
    cluster.make_topic("t", 1)
    cluster.fill("t", 0, 2)
    cluster.move("t", 0, 1)
    cluster.blind = {(0, "t")}
    async with cluster.client() as client, asyncio.timeout(10):
        subscription = client.subscribe("t", group="g")
        assert [b"0:0", b"0:1"] == [(await anext(subscription)).value for _ in range(2)]
    assert [0, 1] == [node for node, _ in cluster.joins]


@pytest.mark.parametrize("dead", [False, True])
@scenario
async def test_a_topic_that_no_node_knows_is_told_to_a_member(cluster, dead):
    """Of its topics any; nodes that are dead have nothing to say."""
    cluster.make_topic("t", 1)
    if dead:
        cluster.dead.add(cluster.addresses[1])
        cluster.network.down.add(cluster.addresses[1])
    async with cluster.client() as client, asyncio.timeout(10):
        with pytest.raises(UnknownTopic):
            await anext(client.subscribe(["t", "nowhere"], group="g"))


@scenario
async def test_a_named_producer_continues_where_a_node_knows_that_says_it(cluster):
    """The one that is asked for the next number does not know the topic yet."""
    cluster.make_topic("t", 2)
    async with cluster.client() as client:
        producer = await client.producer(name="p")
        await producer.publish("t", b"a", partition=0)
        cluster.move("t", 1, 2)
        cluster.blind = {(0, "t"), (1, "t")}
        assert 0 == (await producer.publish("t", b"b", partition=1)).offset
    assert [b"b"] == cluster.values("t", 1)


@scenario
async def test_a_named_producer_is_told_of_a_topic_that_no_node_knows(cluster):
    """All of them have said so."""
    cluster.make_topic("t", 2)
    async with cluster.client() as client:
        producer = await client.producer(name="p")
        await producer.publish("t", b"a", partition=0)
        cluster.blind = {(node, "t") for node in range(3)}
        with pytest.raises(UnknownTopic):
            await producer.publish("t", b"b", partition=1)
