"""The client as a whole: servers, topics, the cluster, beginning and end."""

import asyncio

import pytest

from cluster import connect
from cluster.client.client import Connecting, addresses
from cluster.client.offsets import PartitionOffsets
from cluster.client.positions import AtTime
from cluster.errors import (
    DeadlineExceeded,
    InvalidRequest,
    OutcomeUnknown,
    TopicExists,
    Unavailable,
    UnknownTopic,
)
from tests.client.scenario import scenario


def now_s():
    """Virtual seconds."""
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a:1", ["a:1"]),
        ("a:1,b:2", ["a:1", "b:2"]),
        (" a:1 , b:2, ", ["a:1", "b:2"]),
        (["a:1", "[::1]:7171"], ["a:1", "[::1]:7171"]),
    ],
)
def test_addresses(given, expected):
    """As people write them."""
    assert expected == addresses(given)


@pytest.mark.parametrize("given", ["", ",", "a", "a:", ":1", "a:b", "a:0", "a:65536", "a:²", ["a:1", "b"], []])
def test_addresses_that_are_none(given):
    """Refused with the word that is wrong, before anything is connected."""
    with pytest.raises(InvalidRequest):
        addresses(given)


def test_a_url_is_no_address():
    """And is told what to leave out."""
    with pytest.raises(InvalidRequest, match="leave out http://"):
        addresses("a:1,http://b:7171")


@scenario
async def test_numbers_that_no_topic_has_are_refused(cluster):
    """Before anything is sent, as what the caller did wrong."""
    client = cluster.client()
    for numbers in ({"partitions": -1}, {"replicas": -1}, {"partitions": 1 << 32}):
        with pytest.raises(InvalidRequest, match="is no such number"):
            await client.create_topic("t", **numbers)
    with pytest.raises(InvalidRequest, match="is no such number"):
        await client.alter_topic("t", replicas=-1)


@scenario
async def test_connecting_by_await_and_by_block(cluster):
    """Both give the same client, open."""
    client = await Connecting(cluster.client)
    assert 3 == len((await client.cluster_status()).nodes)
    await client.close()
    async with Connecting(cluster.client) as client:
        assert 1 == (await client.cluster_status()).controller


@scenario
async def test_connecting_to_nobody(cluster):
    """One sentence says who was tried."""
    cluster.network.down = set(cluster.addresses)
    with pytest.raises(Unavailable, match="none of node0:7171, node1:7171, node2:7171 answers"):
        await Connecting(cluster.client)
    assert now_s() <= 11


@scenario
async def test_one_server_is_enough_to_know_all(cluster):
    """The others are learned, and used when the first is gone."""
    cluster.make_topic("t", 3)
    async with Connecting(lambda: cluster.client(servers="node0:7171")) as client:
        cluster.network.down = {"node0:7171"}
        assert "t" == (await client.describe_topic("t")).name


@scenario
async def test_a_silent_server_does_not_use_up_the_time(cluster):
    """The next one is asked while there is time."""
    cluster.make_topic("t", 1)
    cluster.network.frozen = {"node0:7171"}
    async with cluster.client() as client:
        before = now_s()
        await client.describe_topic("t", timeout_s=3.0)
        assert now_s() - before < 1.5


@scenario
async def test_topics(cluster):
    """Made, listed over several pages, described, deleted."""
    async with cluster.client() as client:
        made = await client.create_topic("t0", partitions=4)
        for number in range(1, 5):
            await client.create_topic(f"t{number}")
        assert ("t0", 4, 3, 1) == (made.name, len(made.partitions), made.replicas, made.partitioner_version)
        assert [1, 2, 3, 1] == [partition.leader for partition in made.partitions]
        assert "node1:7171" == made.partitions[1].leader_address
        assert [f"t{number}" for number in range(5)] == [topic.name for topic in await client.list_topics()]
        assert made == await client.describe_topic("t0")
        await client.delete_topic("t0")
        with pytest.raises(UnknownTopic):
            await client.describe_topic("t0")
        with pytest.raises(UnknownTopic):
            await client.delete_topic("t0")


@scenario
async def test_creating_twice(cluster):
    """An error, unless it was said that it may be there."""
    async with cluster.client() as client:
        first = await client.create_topic("t", partitions=2)
        with pytest.raises(TopicExists):
            await client.create_topic("t", partitions=2)
        assert first == await client.create_topic("t", partitions=2, if_absent=True)


@scenario
async def test_a_partition_without_a_leader_is_shown_as_such(cluster):
    """None, and no address."""
    cluster.make_topic("t", 1)
    cluster.move("t", 0, None)
    async with cluster.client() as client:
        (partition,) = (await client.describe_topic("t")).partitions
    assert (None, "") == (partition.leader, partition.leader_address)


@scenario
async def test_a_lost_answer_to_a_creation_is_not_hidden(cluster):
    """Repeating it would tell of a topic that exists, though it is our own; with `if_absent` it is repeated."""
    async with cluster.client() as client:
        cluster.network.loss = 1.0
        with pytest.raises(OutcomeUnknown):
            await client.create_topic("t")
        with pytest.raises(OutcomeUnknown):
            await client.delete_topic("t")
        assert {} == cluster.topics
        healing = asyncio.get_running_loop().call_later(0.5, setattr, cluster.network, "loss", 0.0)
        assert "u" == (await client.create_topic("u", if_absent=True)).name
        healing.cancel()


@scenario
async def test_deadlines(cluster):
    """Each call keeps its own."""
    cluster.make_topic("t", 1)
    cluster.network.frozen = set(cluster.addresses)
    async with cluster.client() as client:
        for call in (client.describe_topic("t", timeout_s=2.0), client.cluster_status(timeout_s=2.0)):
            before = now_s()
            with pytest.raises(DeadlineExceeded):
                await call
            assert now_s() - before <= 2.01


@scenario
async def test_the_cluster(cluster):
    """Nodes, the controller, who answered."""
    async with cluster.client() as client:
        status = await client.cluster_status()
    assert (b"c" * 16, 1, 1) == (status.cluster_id, status.controller, status.answered_by)
    assert [(1, True, "node0:7171"), (2, True, "node1:7171"), (3, True, "node2:7171")] == [
        (node.node, node.alive, node.client_address) for node in status.nodes
    ]


@scenario
async def test_offsets(cluster):
    """Of all partitions, of some, and at a place."""
    cluster.make_topic("t", 2)
    cluster.fill("t", 0, 30)
    async with cluster.client() as client:
        both = await client.offsets("t", at=AtTime(15))
        assert {
            0: PartitionOffsets(partition=0, first=0, end=30, at=10),
            1: PartitionOffsets(partition=1, first=0, end=0, at=0),
        } == both
        assert {1: PartitionOffsets(partition=1, first=0, end=0)} == await client.offsets("t", [1])


def test_connect_takes_servers_and_options():
    """Nothing is connected before it is awaited: this runs without a loop and without a cluster."""
    assert isinstance(connect("127.0.0.1:1"), Connecting)
