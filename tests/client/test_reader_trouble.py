"""Reading in trouble: breaks, silence, deleted topics, slow readers, damage, the end."""

import asyncio
from dataclasses import replace

import pytest

from cluster.errors import (
    ChecksumMismatch,
    Closed,
    CorruptBatch,
    TopicDeleted,
    Unavailable,
)
from tests.client.scenario import scenario


def now_s():
    """Virtual seconds."""
    return asyncio.get_running_loop().time()


def values(partition, *numbers):
    """What `FakeCluster.fill` put there."""
    return [b"%d:%d" % (partition, n) for n in range(*numbers)]


async def read(client, *arguments, **options):
    """The values of all records, by partition, in the order in which they came."""
    found = {}
    async for record in client.read(*arguments, **options):
        found.setdefault(record.partition, []).append(record.value)
    return found


@scenario
async def test_breaks_are_not_seen(cluster):
    """Streams break, leaders move, a node is away: every record comes once, in order."""
    cluster.make_topic("t", 3)
    for number in range(3):
        cluster.fill("t", number, 3_000)
    done = asyncio.Event()

    async def trouble():
        rounds = 0
        while not done.is_set():
            rounds += 1
            address = cluster.random.choice(cluster.addresses)
            cluster.network.cut(address)
            cluster.move("t", rounds % 3, cluster.random.choice([0, 1, 2, None]))
            cluster.network.down = {cluster.random.choice(cluster.addresses)} if rounds % 4 == 0 else set()
            await asyncio.sleep(cluster.random.random() * 0.02)
            if rounds % 5 == 0:
                for number in range(3):
                    cluster.move("t", number, number)

    async with cluster.client() as client:
        troubling = asyncio.create_task(trouble())
        await asyncio.sleep(0.01)
        async with asyncio.timeout(300):
            found = await read(client, "t", start=0, until=3_000)
        done.set()
        await troubling
    assert {number: values(number, 3_000) for number in range(3)} == found


@scenario
async def test_a_silent_node_is_found_out(cluster):
    """A frozen leader sends no error; that there are new records elsewhere tells it from an idle one."""
    cluster.make_topic("t", 1)
    cluster.fill("t", 0, 10)
    async with cluster.client(request_timeout_s=2.0) as client, client.read("t") as reader:
        for _ in range(10):
            await anext(reader)
        cluster.network.frozen.add(cluster.addresses[0])
        cluster.move("t", 0, 1)
        cluster.fill("t", 0, 5)
        before = now_s()
        assert 10 == (await anext(reader)).offset
        assert now_s() - before < 5
        cluster.network.frozen.clear()


@scenario
async def test_no_leader_for_too_long(cluster):
    """A typed end, with the positions to go on from."""
    cluster.make_topic("t", 1)
    cluster.fill("t", 0, 10)
    async with cluster.client(read_retry_s_max=5.0) as client:
        reader = client.read("t")
        for _ in range(10):
            await anext(reader)
        cluster.move("t", 0, None)
        before = now_s()
        with pytest.raises(Unavailable):
            await anext(reader)
        assert 5 < now_s() - before < 7
        assert {0: 10} == reader.positions
        assert reader.is_over
        assert None is await anext(reader, None)


@scenario
async def test_a_deleted_topic_ends_the_reader(cluster):
    """Even if one of the same name is there."""
    cluster.make_topic("t", 1)
    async with cluster.client() as client, client.read("t") as reader:
        cluster.delete_topic("t")
        cluster.make_topic("t", 1)
        cluster.network.cut(cluster.addresses[0])
        with pytest.raises(TopicDeleted):
            await anext(reader)


@scenario
async def test_who_reads_slowly_slows_the_stream(cluster):
    """Nothing is read ahead but what the windows hold."""
    cluster.make_topic("t", 1)
    cluster.fill("t", 0, 5_000)
    async with cluster.client() as client, client.read("t") as reader:
        for _ in range(5):
            await anext(reader)
        await asyncio.sleep(60)
        before = cluster.read_messages
        await asyncio.sleep(60)
        assert (before, True) == (cluster.read_messages, before < 20)
        async for record in reader:
            if record.offset == 4_999:
                break
    assert 166 <= cluster.read_messages <= 168


def damage(partition, which, **changes):
    """Change one batch of the log as a disk or a bug would."""
    base, batch, time = partition.batches[which]
    partition.batches[which] = (base, replace(batch, **changes), time)


@scenario
async def test_a_damaged_batch_is_told_and_passed_by(cluster):
    """After three readings it is damaged where it is stored; the records before and behind it come."""
    partition = cluster.make_topic("t", 1).partitions[0]
    cluster.fill("t", 0, 50)
    damage(partition, 2, checksum=partition.batches[2][1].checksum ^ 1)
    async with cluster.client() as client:
        reader = client.read("t", until="latest")
        found = [(await anext(reader)).offset for _ in range(20)]
        with pytest.raises(ChecksumMismatch) as raised:
            await anext(reader)
        assert {"partition": "0", "offset": "20", "next": "30"} == raised.value.metadata
        assert {0: 30} == reader.positions
        found += [record.offset async for record in reader]
    assert [*range(20), *range(30, 50)] == found


@scenario
async def test_a_batch_damaged_on_its_way_is_read_again(cluster):
    """Nobody notices."""
    partition = cluster.make_topic("t", 1).partitions[0]
    cluster.fill("t", 0, 50)
    good = partition.batches[2]
    damage(partition, 2, checksum=good[1].checksum ^ 1)
    async with cluster.client() as client:
        reader = client.read("t", until="latest")
        first = await anext(reader)
        partition.batches[2] = good
        found = [record.offset async for record in reader]
    assert [0, *range(1, 50)] == [first.offset, *found]


@scenario
async def test_a_batch_that_lies_is_told_and_passed_by(cluster):
    """Its checksum is right and its content is not: published so, and it will not get better."""
    partition = cluster.make_topic("t", 1).partitions[0]
    cluster.fill("t", 0, 50)
    batch = partition.batches[2][1]
    for lie in ({"payload": b"\xff" * 20}, {"record_count": 9}, {"uncompressed_size": 7}):
        damage(partition, 2, **lie)
        damage(partition, 2, checksum=partition.batches[2][1].computed_checksum())
        async with cluster.client() as client:
            reader = client.read("t", until=50)
            for _ in range(20):
                await anext(reader)
            with pytest.raises(CorruptBatch):
                await anext(reader)
            rest = [record.offset async for record in reader]
        assert [*range(30, 50)] == rest
        partition.batches[2] = (20, batch, 0)


@scenario
async def test_closing_wakes_who_waits(cluster):
    """The one who waits for a record learns that none will come."""
    cluster.make_topic("t", 1)
    async with cluster.client() as client:
        reader = client.read("t")
        waiting = asyncio.create_task(anext(reader))
        await asyncio.sleep(1)
        await reader.close()
        with pytest.raises(Closed):
            await waiting
        with pytest.raises(Closed):
            await anext(reader)


@scenario
async def test_the_client_closes_its_readers(cluster):
    """Leaving a loop early leaves nothing behind when the client is closed."""
    cluster.make_topic("t", 2)
    cluster.fill("t", 0, 10)
    async with cluster.client() as client:
        async for _ in client.read("t"):
            break
        assert 2 == len(cluster.network.streams)
    await asyncio.sleep(1)
    assert [] == cluster.network.streams
