"""Nodes go for good, or for a while: whoever asks for a topic that is not there is told so soon all the same."""

import asyncio

import pytest

from cluster.client.calls import GET_CLUSTER
from cluster.errors import RiverrunError, Unavailable, UnknownTopic
from tests.client.scenario import scenario

SOON_S = 0.5
TIMEOUT_S = 10.0


async def took_s(work):
    """How long it takes, in virtual seconds."""
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    await work
    return loop.time() - start_s


async def unknown(client, topic="nowhere"):
    """Ask for a topic that is not there."""
    with pytest.raises(UnknownTopic, match="there is no topic 'nowhere'"):
        await client.describe_topic(topic)


@scenario(nodes=4)
async def test_a_removed_node_is_forgotten_with_the_next_look_up(cluster):
    """It was learned only, and the cluster names it no longer: an unknown topic is one at once."""
    cluster.make_topic("t", 3)
    client = await cluster.client(servers=[cluster.addresses[0]]).open()
    assert set(cluster.addresses) == set(client._calls.servers)
    cluster.remove(3)
    await client.describe_topic("t")

    assert set(cluster.addresses[:3]) == set(client._calls.servers)
    assert await took_s(unknown(client)) < SOON_S
    assert cluster.addresses[3] not in {address for address, _ in cluster.network.calls[-5:]}


@scenario(nodes=4)
async def test_a_removed_node_is_forgotten_while_an_unknown_topic_is_looked_up(cluster):
    """Nobody had looked anything up since: then the cluster is asked who is there."""
    client = await cluster.client(servers=[cluster.addresses[0]]).open()
    cluster.remove(3)

    assert await took_s(unknown(client)) < SOON_S
    assert set(cluster.addresses[:3]) == set(client._calls.servers)


@scenario(nodes=4)
async def test_a_removed_node_that_was_given_is_asked_last(cluster):
    """It stays, in case that all others go; meanwhile nobody waits for it."""
    cluster.make_topic("t", 3)
    client = await cluster.client(servers=[cluster.addresses[3], *cluster.addresses[:3]]).open()
    cluster.remove(3)
    await client.describe_topic("t")
    assert cluster.addresses[3] == client._calls.servers[-1]
    cluster.network.calls.clear()

    for _ in range(3):
        assert await took_s(unknown(client)) < SOON_S
    assert cluster.addresses[3] not in {address for address, _ in cluster.network.calls}
    cluster.network.down = set(cluster.addresses[:3])
    cluster.removed.clear()
    assert "t" == (await client.describe_topic("t")).name


@scenario(nodes=4)
async def test_a_removed_machine_that_says_nothing_is_waited_for_once(cluster):
    """Not refused, but silent: it has its share of the first request's time, and none of the next one's."""
    client = await cluster.client(servers=[cluster.addresses[0]]).open()
    cluster.remove(3)
    cluster.network.down.clear()
    cluster.network.frozen.add(cluster.addresses[3])

    assert await took_s(unknown(client)) < TIMEOUT_S / 2
    assert await took_s(unknown(client)) < SOON_S


@scenario
async def test_a_node_that_is_dead_is_not_waited_for(cluster):
    """The others say so, and that there is no such topic."""
    client = await cluster.client().open()
    cluster.network.down.add(cluster.addresses[0])
    cluster.dead.add(cluster.addresses[0])

    assert await took_s(unknown(client)) < SOON_S
    assert set(cluster.addresses) == set(client._calls.servers)


@scenario
async def test_a_node_that_is_away_and_not_dead_is_waited_for(cluster):
    """It may know of the topic. As soon as it is taken for dead it need not be heard."""
    client = await cluster.client().open()
    cluster.network.down.add(cluster.addresses[1])
    asyncio.get_running_loop().call_later(2.0, cluster.dead.add, cluster.addresses[1])

    assert 2.0 < await took_s(unknown(client)) < 4.0


@scenario
async def test_nobody_is_dead_by_the_word_of_a_node_without_a_majority(cluster):
    """It may be the one that is cut off, and the topic made where it hears nothing."""
    client = await cluster.client().open()
    cluster.network.down.add(cluster.addresses[2])
    cluster.dead.add(cluster.addresses[2])
    cluster.troubled.update({0, 1})

    async def ask():
        with pytest.raises(RiverrunError) as caught:
            await client.describe_topic("nowhere")
        assert caught.type in {Unavailable, UnknownTopic}

    assert TIMEOUT_S / 2 < await took_s(ask())


@scenario
async def test_the_cluster_is_asked_about_nobody_while_all_answer(cluster):
    """What is new costs nothing where nothing is wrong."""
    client = await cluster.client().open()
    cluster.network.calls.clear()
    await unknown(client)

    assert ["GetTopic"] * 3 == [method for _, method in cluster.network.calls]
    assert "GetCluster" == GET_CLUSTER.rpartition("/")[2]


@scenario(nodes=4)
async def test_a_node_that_lags_does_not_make_a_client_forget(cluster):
    """Cut off from the others, it still names the first ones, and knows nothing of those that came and work."""
    cluster.make_topic("t", 3)
    client = await cluster.client(servers=cluster.addresses[:2]).open()
    cluster.version = 7
    await client.describe_topic("t")
    cluster.lagging[0] = cluster.lagging[1] = 5, cluster.addresses[:2]
    await client.describe_topic("t")

    assert set(cluster.addresses) == set(client._calls.servers)


@scenario(nodes=4)
async def test_the_channel_of_a_removed_node_is_closed_in_time(cluster):
    """Not at once, for a request may be under way on it; but nobody has it for ever."""
    cluster.make_topic("t", 4)
    client = await cluster.client(servers=[cluster.addresses[0]], metadata_age_s_max=10.0).open()
    for partition in range(4):
        await client.publish("t", b"x", partition=partition)
    gone = cluster.addresses[3]
    cluster.remove(3)
    cluster.move("t", 3, 0)
    await client.describe_topic("t")
    assert gone in client._calls._channels
    await asyncio.sleep(11.0)
    await client.describe_topic("t")

    assert gone not in client._calls._channels
