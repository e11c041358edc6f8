"""Producing in trouble: lost answers, moving leaders, dead and frozen nodes, time that runs out, topics that go."""

import asyncio

import pytest

from cluster.errors import (
    DeadlineExceeded,
    Outcome,
    OutcomeUnknown,
    Overloaded,
    TopicDeleted,
    Unavailable,
    UnknownTopic,
)
from tests.client.scenario import scenario


def now_s():
    """Virtual seconds."""
    return asyncio.get_running_loop().time()


def batch_sizes(cluster, partition=0, topic="t"):
    """How many records each batch in the log holds."""
    return [batch.record_count for _, batch, _ in cluster.topics[topic].partitions[partition].batches]


@scenario
async def test_order_survives_a_lost_answer(cluster):
    """The first of several batches under way loses its answer: all are sent again, none is there twice."""
    cluster.make_topic("t", 1)
    lost = []

    def lose_first(node, partition, batch, receipt):
        del node, partition, receipt
        if batch.base_sequence == 1 and not lost:
            lost.append(batch)
            raise OutcomeUnknown

    cluster.after = lose_first
    async with cluster.client(records_per_batch_max=1) as client:
        deliveries = [await client.produce("t", b"%d" % n) for n in range(6)]
        receipts = await asyncio.gather(*deliveries)
        report = client.report()
    assert [0, 1, 2, 3, 4, 5] == [receipt.offset for receipt in receipts]
    assert [b"%d" % n for n in range(6)] == cluster.values("t", 0)
    assert receipts[1].duplicate
    assert (6, 0) == (report.records_acknowledged, report.records_failed)
    assert report.duplicates >= 1


@scenario
async def test_order_survives_a_lost_predecessor(cluster):
    """The first batch is refused for now, those behind it leave a gap: they follow it in their order."""
    cluster.make_topic("t", 1)
    refused = []

    def refuse_first(node, partition, batch):
        del node, partition
        if batch.base_sequence == 0 and not refused:
            refused.append(batch)
            raise Overloaded

    cluster.trouble = refuse_first
    async with cluster.client(records_per_batch_max=1) as client:
        receipts = await asyncio.gather(*[await client.produce("t", b"%d" % n) for n in range(6)])
    assert [0, 1, 2, 3, 4, 5] == [receipt.offset for receipt in receipts]
    assert [b"%d" % n for n in range(6)] == cluster.values("t", 0)


@scenario
async def test_a_hint_is_followed_at_once(cluster):
    """A leader that moved costs one hop, no look-up and no wait."""
    cluster.make_topic("t", 1)
    async with cluster.client() as client:
        await client.publish("t", b"a")
        cluster.move("t", 0, 2)
        cluster.network.calls.clear()
        before = now_s()
        await client.publish("t", b"b")
        assert now_s() - before < 0.015
        assert [] == cluster.network.calls
    assert [0, 0, 2] == [node for node, _, _ in cluster.published]


@scenario
async def test_a_node_that_dies(cluster):
    """Its partitions' records wait for the new leader; the other partitions do not notice."""
    cluster.make_topic("t", 3)
    async with cluster.client() as client:
        await asyncio.gather(*(client.publish("t", b"a", partition=number) for number in range(3)))
        cluster.network.down.add(cluster.addresses[0])
        cluster.network.cut(cluster.addresses[0])
        waiting = await client.produce("t", b"b", partition=0)
        before = now_s()
        await client.publish("t", b"b", partition=1)
        assert now_s() - before < 0.02
        await asyncio.sleep(3)
        assert not waiting.done()
        cluster.move("t", 0, 1)
        await waiting
        assert now_s() - before < 5
    assert [b"a", b"b"] == cluster.values("t", 0)


@scenario
async def test_a_node_that_freezes(cluster):
    """It sends no error; after `request_timeout_s` of silence its streams count as broken."""
    cluster.make_topic("t", 1)
    async with cluster.client(request_timeout_s=2.0) as client:
        await client.publish("t", b"a")
        cluster.network.frozen.add(cluster.addresses[0])
        waiting = await client.produce("t", b"b")
        await asyncio.sleep(1)
        cluster.move("t", 0, 1)
        await waiting
        assert now_s() < 4
        cluster.network.frozen.clear()
        await asyncio.sleep(5)
    assert [b"a", b"b"] == cluster.values("t", 0)


@scenario
async def test_a_node_that_freezes_while_much_is_sent(cluster):
    """Records behind those that wait do not put off the end: each took as long again as nothing was answered."""
    cluster.make_topic("t", 1)
    async with cluster.client(request_timeout_s=2.0) as client:
        await client.publish("t", b"a")
        cluster.network.frozen.add(cluster.addresses[0])
        first = await client.produce("t", b"b")
        cluster.move("t", 0, 1)
        others = []
        for _ in range(3):
            await asyncio.sleep(0.9)
            others.append(await client.produce("t", b"c"))
        assert first.done()
        await asyncio.gather(first, *others)
        cluster.network.frozen.clear()
        await asyncio.sleep(5)
    assert [b"a", b"b", *[b"c"] * 3] == cluster.values("t", 0)


@scenario
async def test_time_runs_out_before_anything_was_sent(cluster):
    """Nobody leads: the error says that nothing was done, and when."""
    cluster.make_topic("t", 1)
    cluster.move("t", 0, None)
    client = cluster.client(delivery_timeout_s=3.0)
    before = now_s()
    with pytest.raises(Unavailable) as raised:
        await client.publish("t", b"x")
    assert raised.value.outcome is Outcome.NOTHING
    assert 2.9 < now_s() - before < 3.1
    cluster.move("t", 0, 0)
    assert 0 == (await client.publish("t", b"y")).offset
    await client.close()
    assert [b"y"] == cluster.values("t", 0)


@scenario
async def test_time_runs_out_after_it_may_have_arrived(cluster):
    """Every answer is lost: the error says that the outcome is unknown. The record is there, once."""
    cluster.make_topic("t", 1)

    def lose(*_):
        raise OutcomeUnknown

    cluster.after = lose
    client = cluster.client(delivery_timeout_s=3.0)
    with pytest.raises(DeadlineExceeded) as raised:
        await client.publish("t", b"x")
    assert raised.value.outcome is Outcome.UNKNOWN
    cluster.after = None
    await client.publish("t", b"y")
    await client.close()
    assert [b"x", b"y"] == cluster.values("t", 0)


@pytest.mark.parametrize("named", [False, True])
@scenario
async def test_who_joins_an_open_batch_is_told_when_those_before_it_run_out_of_time(cluster, named):
    """Two batches may have arrived and nobody leads: the third is open, and what it waited for ends while it waits."""
    cluster.make_topic("t", 1)

    def lose(_node, _partition, batch, _receipt):
        if batch.base_sequence == 2:
            cluster.move("t", 0, None)
        raise OutcomeUnknown

    cluster.network.delay_s = 0.02
    client = cluster.client(delivery_timeout_s=1.0)
    producer = await client.producer(name="p" if named else "")
    await producer.publish("t", b"before")
    cluster.after = lose
    publishing = []
    for number in range(3):
        publishing.append(asyncio.create_task(producer.publish("t", b"%d" % number)))
        await asyncio.sleep(0.006)
    assert {0: 2} == producer.batches_under_way("t")
    await asyncio.sleep(2)
    cluster.after = None
    cluster.move("t", 0, 0)
    outcomes = await asyncio.wait_for(asyncio.gather(*publishing, return_exceptions=True), 5)
    assert [Outcome.UNKNOWN, Outcome.UNKNOWN] == [error.outcome for error in outcomes[:2]]
    assert outcomes[2].outcome is Outcome.NOTHING
    await client.close()
    assert [b"before", b"0", b"1"] == cluster.values("t", 0)


@scenario
async def test_a_failure_of_one_producer_takes_nothing_from_the_others(cluster):
    """When the client is closed they are flushed, too; then it raises."""
    cluster.make_topic("t1", 1)
    cluster.make_topic("t2", 1)
    cluster.move("t1", 0, None)
    client = cluster.client(delivery_timeout_s=1.0)
    other = await client.producer()
    lost = await client.produce("t1", b"lost")
    await asyncio.sleep(2)
    assert lost.done()
    kept = await other.produce("t2", b"kept")
    with pytest.raises(Unavailable):
        await client.close()
    assert [b"kept"] == cluster.values("t2", 0)
    assert 0 == (await kept).offset
    assert other.is_closed


@scenario
async def test_unknown_topic(cluster):
    """Believed when every node has said so."""
    async with cluster.client() as client:
        with pytest.raises(UnknownTopic):
            await client.produce("nope", b"x")
    assert set(cluster.addresses) == {address for address, method in cluster.network.calls if method == "GetTopic"}


@scenario
async def test_a_new_topic_that_not_all_nodes_have_heard_of(cluster):
    """The others are asked before an error is raised."""
    cluster.make_topic("t", 1)
    cluster.blind = {(0, "t"), (1, "t")}
    async with cluster.client() as client:
        cluster.move("t", 0, 2)
        assert 0 == (await client.publish("t", b"x")).offset


@scenario
async def test_a_deleted_topic_is_a_typed_stop(cluster):
    """What is under way fails; a topic of the same name made later is looked up anew and gets only what comes then."""
    cluster.make_topic("t", 2)
    async with cluster.client() as client:
        await client.publish("t", b"old")
        cluster.delete_topic("t")
        with pytest.raises(TopicDeleted):
            await client.publish("t", b"late")
        with pytest.raises(UnknownTopic):
            await client.publish("t", b"later")
        cluster.make_topic("t", 1)
        assert 0 == (await client.publish("t", b"new")).offset
    assert [b"new"] == cluster.values("t", 0)


@pytest.mark.parametrize("named", [None, 2], ids=["knows of no leader", "names one that is gone"])
@scenario
async def test_a_node_that_is_cut_off_is_not_asked_for_ever(cluster, named):
    """It answers clients and cannot know who leads by now; the others do."""
    cluster.make_topic("t", 1)
    async with cluster.client() as client:
        await client.publish("t", b"before")
        await client.flush()
        cluster.move("t", 0, 1)
        cluster.outdated[0] = named
        cluster.network.down.add(cluster.addresses[2])
        began_s = now_s()
        await client.publish("t", b"after")
        assert [b"before", b"after"] == [record.value async for record in client.read("t", until="latest")]
    assert now_s() - began_s < 3
