"""Producing against a cluster in memory: batching, order, back-pressure, time-outs, names, errors, the end."""

import asyncio

import pytest

from cluster.client.routing import partition_of_key
from cluster.config import ClientOptions
from cluster.errors import (
    Closed,
    Fenced,
    InvalidRequest,
    Overloaded,
    RecordTooLarge,
    Unavailable,
    UnknownPartition,
)
from cluster.records import RECENT_BATCHES_MAX
from cluster.types import Codec
from tests.client.scenario import scenario


def now_s():
    """Virtual seconds."""
    return asyncio.get_running_loop().time()


def batch_sizes(cluster, partition=0, topic="t"):
    """How many records each batch in the log holds."""
    return [batch.record_count for _, batch, _ in cluster.topics[topic].partitions[partition].batches]


@scenario
async def test_a_record_comes_back_with_its_receipt(cluster):
    """`publish` returns partition, offset and what was reached, and the record is there as it was given."""
    cluster.make_topic("t", 1)
    async with cluster.client() as client:
        first = await client.publish("t", b"one", key=b"k", headers={"h": b"v"}, timestamp_ns=17)
        second = await client.publish("t", b"two")
    assert (0, 0, 1, 2) == (first.partition, first.offset, first.record_count, first.replicas_synced)
    assert second.offset == 1
    one, two = cluster.topics["t"].partitions[0].records()
    assert (b"one", b"k", "h", b"v", 17) == (one.value, one.key, one.headers[0].name, one.headers[0].value, 17)
    assert (b"two", None, ()) == (two.value, two.key, two.headers)
    assert two.timestamp_ns > 1_000_000_000_000, "the client's clock fills in the time"


@scenario
async def test_records_of_a_batch_have_their_own_receipts(cluster):
    """Each delivery knows its place in the batch that they share."""
    cluster.make_topic("t", 1)
    async with cluster.client() as client:
        deliveries = [await client.produce("t", b"%d" % n) for n in range(5)]
        assert not deliveries[0].done()
        receipts = await asyncio.gather(*deliveries)
        assert [0, 1, 2, 3, 4] == [receipt.offset for receipt in receipts]
        assert deliveries[0].done()
        assert 3 == (await deliveries[3]).offset
    assert [5] == batch_sizes(cluster)


@scenario
async def test_keys_decide_the_partition(cluster):
    """Records with a key go where the partitioner says, in their order."""
    cluster.make_topic("t", 5)
    keys = [b"key-%d" % (n % 17) for n in range(200)]
    async with cluster.client(records_per_batch_max=7) as client:
        deliveries = [await client.produce("t", b"%d" % n, key=key) for n, key in enumerate(keys)]
        await client.flush()
    assert [partition_of_key(key, 5) for key in keys] == [delivery.partition for delivery in deliveries]
    for number in range(5):
        expected = [b"%d" % n for n, key in enumerate(keys) if partition_of_key(key, 5) == number]
        assert expected == cluster.values("t", number)


@scenario
async def test_records_without_a_key_fill_batches_and_go_round(cluster):
    """Full batches, spread evenly."""
    cluster.make_topic("t", 3)
    async with cluster.client(records_per_batch_max=10) as client:
        for n in range(90):
            await client.produce("t", b"%d" % n)
    assert [[10] * 3] * 3 == [batch_sizes(cluster, number) for number in range(3)]


@scenario
async def test_lingering_collects_what_comes(cluster):
    """Nobody waits, so records gather for `linger_s`."""
    cluster.make_topic("t", 1)
    async with cluster.client(linger_s=0.1) as client:
        for n in range(10):
            await client.produce("t", b"%d" % n)
            await asyncio.sleep(0.03)
    assert [4, 4, 2] == batch_sizes(cluster)


@scenario
async def test_batches_grow_with_the_load(cluster):
    """With two batches under way the next one collects until an answer comes, though it has lingered long enough."""
    cluster.make_topic("t", 1)
    cluster.network.delay_s = 0.05
    async with cluster.client(linger_s=0.001) as client:
        await client.publish("t", b"first")
        for n in range(200):
            await client.produce("t", b"%d" % n)
            await asyncio.sleep(0.001)
    assert [b"first", *[b"%d" % n for n in range(200)]] == cluster.values("t", 0)
    assert len(batch_sizes(cluster)) < 12


@scenario
async def test_who_waits_does_not_linger(cluster):
    """With nothing of the partition under way a publish takes a round trip, however long the linger."""
    cluster.make_topic("t", 1)
    async with cluster.client(linger_s=60.0) as client:
        await client.publish("t", b"first")
        before = now_s()
        await client.publish("t", b"x")
        assert now_s() - before < 0.01


@scenario
async def test_those_who_wait_together_share_batches(cluster):
    """A hundred publishers at once make a few batches, not a hundred."""
    cluster.make_topic("t", 1)
    async with cluster.client(linger_s=60.0) as client:
        await client.publish("t", b"first")
        await asyncio.gather(*(client.publish("t", b"%d" % n) for n in range(100)))
    assert [1, 100] == batch_sizes(cluster)


@scenario
async def test_batches_are_pipelined(cluster):
    """Several batches of a partition are under way at once: ten round trips take the time of about one."""
    cluster.make_topic("t", 1)
    cluster.network.delay_s = 0.1
    async with cluster.client(records_per_batch_max=1) as client:
        await client.publish("t", b"first")
        before = now_s()
        await asyncio.gather(*[await client.produce("t", b"%d" % n) for n in range(8)])
        pipelined_s = now_s() - before
    async with cluster.client(records_per_batch_max=1, batches_in_flight_max=1) as client:
        await client.publish("t", b"first")
        before = now_s()
        await asyncio.gather(*[await client.produce("t", b"%d" % n) for n in range(8)])
        assert (now_s() - before) / pipelined_s > 1.5


@scenario
async def test_compression(cluster):
    """Batches travel and rest compressed; what does not shrink stays as it is."""
    cluster.make_topic("t", 1)
    for codec in ("zstd", "lz4"):
        async with cluster.client(codec=codec) as client:
            await asyncio.gather(*[await client.produce("t", b"same " * 20) for _ in range(50)])
            await client.publish("t", b"x")
    codecs = [batch.codec for _, batch, _ in cluster.topics["t"].partitions[0].batches]
    assert [Codec.ZSTD, Codec.NONE, Codec.LZ4, Codec.NONE] == codecs
    assert [b"same " * 20] * 50 == cluster.values("t", 0)[:50]


@scenario
async def test_a_full_buffer_makes_produce_wait(cluster):
    """Memory is bounded: `produce` goes on when acknowledgements make room, and never before."""
    cluster.make_topic("t", 1)
    cluster.network.delay_s = 0.05
    async with cluster.client(buffer_bytes_max=10_000, batch_bytes_max=2_000) as client:
        high = 0
        for n in range(300):
            await client.produce("t", b"%0100d" % n)
            high = max(high, client.report().buffered_bytes)
        await client.flush()
        assert client.report().buffered_bytes == 0
    assert 9_000 < high <= 10_000 + 200
    assert [b"%0100d" % n for n in range(300)] == cluster.values("t", 0)


@scenario
async def test_many_who_wait_for_room_overrun_it_by_one_record(cluster):
    """The bound holds for many tasks as for one."""
    cluster.make_topic("t", 1)
    async with cluster.client(buffer_bytes_max=5_000, batch_bytes_max=1_000) as client:
        high = 0

        async def one(n):
            nonlocal high
            await client.produce("t", b"%0100d" % n)
            high = max(high, client.report().buffered_bytes)

        await asyncio.gather(*(one(n) for n in range(300)))
    assert 4_500 < high < 5_000 + 200
    assert 300 == cluster.topics["t"].partitions[0].end


@scenario
async def test_produce_nowait_refuses_instead(cluster):
    """Before the topic is known, and when the buffer is full."""
    cluster.make_topic("t", 1)
    async with cluster.client(buffer_bytes_max=10_000) as client:
        producer = await client.producer()
        with pytest.raises(Unavailable, match="not looked up"):
            producer.produce_nowait("t", b"x")
        await producer.publish("t", b"x")
        for _ in range(10_000 // 124 + 1):
            producer.produce_nowait("t", b"v" * 100)
        with pytest.raises(Overloaded):
            producer.produce_nowait("t", b"v" * 100)
        await producer.flush()
        assert 0 == (await producer.produce_nowait("t", b"x")).partition


@scenario
async def test_a_buffer_that_stays_full(cluster):
    """Without a leader `produce` waits until the time of the records before it is up; they fail, it goes on."""
    cluster.make_topic("t", 1)
    cluster.move("t", 0, None)
    client = cluster.client(buffer_bytes_max=1_000, delivery_timeout_s=2.0)
    first = [await client.produce("t", b"v" * 600) for _ in range(2)]
    await asyncio.sleep(0.1)
    third = await client.produce("t", b"v" * 600)
    assert 1.9 < now_s() < 2.1
    for delivery in first:
        with pytest.raises(Unavailable, match="nothing was appended"):
            await delivery
    cluster.move("t", 0, 0)
    assert 0 == (await third).offset
    await client.close()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"partition": 2}, UnknownPartition),
        ({"value": b"v" * 2_000}, RecordTooLarge),
        ({"value": b"v", "key": b"k" * 2_000}, RecordTooLarge),
        ({"value": "text"}, InvalidRequest),
        ({"value": None}, InvalidRequest),
        ({"key": 17}, InvalidRequest),
        ({"headers": {"h": 1}}, InvalidRequest),
        ({"headers": [("h", b"v")]}, InvalidRequest),
        ({"timestamp_ns": 1 << 63}, InvalidRequest),
    ],
)
@scenario
async def test_wrong_arguments(cluster, arguments, error):
    """Refused by `produce` itself; the producer goes on as if nothing had been."""
    cluster.make_topic("t", 2)
    async with cluster.client(record_bytes_max=1_000) as client:
        with pytest.raises(error):
            await client.produce("t", **{"value": b"v", **arguments})
        await client.publish("t", b"good")
        assert (1, 0) == (client.report().records_acknowledged, client.report().records_failed)


@scenario
async def test_a_largest_record(cluster):
    """The limit itself is allowed."""
    cluster.make_topic("t", 1)
    async with cluster.client(record_bytes_max=1_000) as client:
        assert 0 == (await client.publish("t", b"v" * 1_000)).offset


@pytest.mark.parametrize("batches", [0, RECENT_BATCHES_MAX + 1])
@scenario
async def test_no_more_batches_are_in_flight_than_a_partition_remembers(cluster, batches):
    """Of one that was sent again and is not remembered nobody knows the offset; without any nothing is sent."""
    with pytest.raises(InvalidRequest, match=f"from 1 to {RECENT_BATCHES_MAX}"):
        cluster.client(batches_in_flight_max=batches)
    client = cluster.client(batches_in_flight_max=RECENT_BATCHES_MAX)
    with pytest.raises(InvalidRequest):
        await client.producer(options=ClientOptions(batches_in_flight_max=batches))


@scenario
async def test_unknown_codec(cluster):
    """The error names those that there are."""
    with pytest.raises(InvalidRequest, match="none, zstd, lz4"):
        cluster.client(codec="rar")


@scenario
async def test_a_name_fences_its_earlier_holder_and_continues(cluster):
    """The second holder's records follow the first's; the first one's next records fail, as do all after them."""
    cluster.make_topic("t", 1)
    async with cluster.client() as client:
        first = await client.producer(name="importer")
        await first.publish("t", b"a")
        second = await client.producer(name="importer")
        await second.publish("t", b"b")
        with pytest.raises(Fenced):
            await first.publish("t", b"zombie")
        with pytest.raises(Fenced):
            await first.produce("t", b"zombie")
        await second.publish("t", b"c")
    assert [b"a", b"b", b"c"] == cluster.values("t", 0)
    (known,) = cluster.topics["t"].partitions[0].producers.values()
    assert (1, 3) == (known.epoch, known.next_sequence)


@scenario
async def test_flush_raises_what_nobody_saw(cluster):
    """Once; and not what somebody awaited."""
    cluster.make_topic("t", 1)
    cluster.move("t", 0, None)
    client = cluster.client(delivery_timeout_s=1.0)
    await client.produce("t", b"dropped")
    with pytest.raises(Unavailable):
        await client.flush()
    await client.flush()
    with pytest.raises(Unavailable):
        await client.publish("t", b"seen")
    await client.flush()
    assert client.report().records_failed == 2
    await client.close()


@scenario
async def test_close_raises_what_nobody_saw(cluster):
    """Leaving the block is the last chance to hear of it."""
    cluster.make_topic("t", 1)
    cluster.move("t", 0, None)
    with pytest.raises(Unavailable):
        async with cluster.client(delivery_timeout_s=1.0) as client:
            await client.produce("t", b"dropped")


@scenario
async def test_a_block_that_raises_does_not_wait(cluster):
    """The application's error comes through at once; what was not acknowledged fails with Closed."""
    cluster.make_topic("t", 1)
    cluster.move("t", 0, None)
    before = now_s()
    client = cluster.client()

    async def block():
        async with client:
            delivery = await client.produce("t", b"dropped")
            raise KeyError(delivery)

    with pytest.raises(KeyError) as raised:
        await block()
    (delivery,) = raised.value.args
    assert now_s() - before < 0.1
    with pytest.raises(Closed):
        await delivery
    with pytest.raises(Closed):
        await client.produce("t", b"late")


@scenario
async def test_a_cancelled_wait_disturbs_nobody(cluster):
    """Who gives up waiting for a delivery takes nothing from the others, nor the record back."""
    cluster.make_topic("t", 1)
    async with cluster.client() as client:
        delivery = await client.produce("t", b"x")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(_awaited(delivery)), timeout=0.0001)
        impatient = asyncio.create_task(_awaited(delivery))
        await asyncio.sleep(0)
        impatient.cancel()
        assert 0 == (await delivery).offset


async def _awaited(delivery):
    return await delivery


@scenario
async def test_a_tight_loop_does_not_starve_the_sending(cluster):
    """`produce` in a loop that never waits for anything else: batches leave while it runs."""
    cluster.make_topic("t", 1)
    cluster.network.delay_s = 0
    async with cluster.client(records_per_batch_max=1_000) as client:
        for n in range(20_000):
            await client.produce("t", b"%d" % n)
        assert client.report().records_acknowledged >= 2_000
    assert 20_000 == cluster.topics["t"].partitions[0].end
