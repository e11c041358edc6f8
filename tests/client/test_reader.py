"""Reading from a cluster in memory: ranges, merging, breaks, back-pressure, damage."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from cluster.client.positions import AtTime
from cluster.errors import (
    InvalidRequest,
    OffsetOutOfRange,
    UnknownPartition,
    UnknownTopic,
)
from cluster.types import Codec
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
async def test_everything_there_is(cluster):
    """All partitions, each in its order, until the end as it was."""
    cluster.make_topic("t", 3)
    for number in range(3):
        cluster.fill("t", number, 95)
    async with cluster.client() as client:
        found = await read(client, "t", until="latest")
    assert {number: values(number, 95) for number in range(3)} == found


@scenario
async def test_records_as_they_were(cluster):
    """Every field, and the place."""
    cluster.make_topic("t", 1)
    async with cluster.client() as client:
        await client.publish("t", b"v", key=b"", headers={"a": b"1", "b": b""}, timestamp_ns=5)
        await client.publish("t", b"", timestamp_ns=6)
        one, two = [record async for record in client.read("t", until="latest")]
    assert (b"v", b"", 5, 0, 0) == (one.value, one.key, one.timestamp_ns, one.offset, one.partition)
    assert [("a", b"1"), ("b", b"")] == [(header.name, header.value) for header in one.headers]
    assert (b"", None, (), 6, 1) == (two.value, two.key, two.headers, two.timestamp_ns, two.offset)


@pytest.mark.parametrize(
    ("start", "until", "expected"),
    [
        ("earliest", "latest", (0, 100)),
        ("latest", "latest", (0, 0)),
        (0, 100, (0, 100)),
        (37, "latest", (37, 100)),
        (37, 64, (37, 64)),
        (37, 38, (37, 38)),
        (37, 37, (0, 0)),
        (64, 37, (0, 0)),
        (100, "latest", (0, 0)),
        (AtTime(41), "latest", (40, 100)),
        (AtTime(46), "latest", (40, 100)),
        ("earliest", AtTime(46), (0, 40)),
        (AtTime(1_000), "latest", (0, 0)),
        (datetime(1970, 1, 1, tzinfo=UTC), "latest", (0, 100)),
        (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=1), "latest", (0, 0)),
        ({0: 90}, "latest", (90, 100)),
        ({7: 90}, {0: 10}, (0, 10)),
    ],
)
@scenario
async def test_from_where_to_where(cluster, start, until, expected):
    """Batches of ten: records outside of the range are dropped, a time begins with the batch that reaches it."""
    cluster.make_topic("t", 1)
    cluster.fill("t", 0, 100)
    async with cluster.client() as client:
        found = await read(client, "t", start=start, until=until)
    assert values(0, *expected) == found.get(0, [])


@pytest.mark.parametrize(
    ("start", "until", "error"),
    [
        (101, None, OffsetOutOfRange),
        (-1, None, InvalidRequest),
        ("now", None, InvalidRequest),
        (True, None, InvalidRequest),
        (1.5, None, InvalidRequest),
        ("earliest", "tomorrow", InvalidRequest),
        (datetime(2026, 1, 1), None, InvalidRequest),  # noqa: DTZ001  that is the point
        ({0: "now"}, None, InvalidRequest),
    ],
)
@scenario
async def test_places_that_are_none(cluster, start, until, error):
    """Refused before anything is read."""
    cluster.make_topic("t", 1)
    cluster.fill("t", 0, 100)
    async with cluster.client() as client:
        with pytest.raises(error):
            await read(client, "t", start=start, until=until)


@scenario
async def test_what_was_trimmed_is_out_of_range(cluster):
    """The error names what there is; "earliest" begins there."""
    partition = cluster.make_topic("t", 1).partitions[0]
    cluster.fill("t", 0, 100)
    partition.batches = partition.batches[5:]
    partition.first = 50
    async with cluster.client() as client:
        with pytest.raises(OffsetOutOfRange) as raised:
            await read(client, "t", start=10)
        assert {"first": "50", "end": "100"} == raised.value.metadata
        assert {0: values(0, 50, 100)} == await read(client, "t", until="latest")


@scenario
async def test_unknown_names(cluster):
    """A topic that is none, a partition that is none."""
    cluster.make_topic("t", 1)
    async with cluster.client() as client:
        with pytest.raises(UnknownTopic):
            await read(client, "nope")
        with pytest.raises(UnknownPartition):
            await read(client, "t", partitions=[0, 1])


@scenario
async def test_some_partitions(cluster):
    """Only those that were asked for."""
    cluster.make_topic("t", 3)
    for number in range(3):
        cluster.fill("t", number, 10)
    async with cluster.client() as client:
        found = await read(client, "t", partitions=[2, 0, 2], until="latest")
    assert {0: values(0, 10), 2: values(2, 10)} == found


@scenario
async def test_following_the_end(cluster):
    """Without `until` the reader waits for what comes, and knows how far behind it is."""
    cluster.make_topic("t", 1)
    cluster.fill("t", 0, 10)
    async with cluster.client() as client, client.read("t", start=5) as reader:
        assert 5 == (await anext(reader)).offset
        assert (6, 4) == (reader.positions[0], reader.lag_records)
        for _ in range(4):
            await anext(reader)
        assert ({0: 10}, 0) == (reader.positions, reader.lag_records)
        waiting = asyncio.create_task(anext(reader))
        await asyncio.sleep(60)
        assert not waiting.done()
        await client.publish("t", b"new")
        assert b"new" == (await waiting).value


@scenario
async def test_until_an_offset_that_is_not_there_yet(cluster):
    """The reader waits for it and ends."""
    cluster.make_topic("t", 1)
    cluster.fill("t", 0, 10)
    async with cluster.client() as client:
        reading = asyncio.create_task(read(client, "t", until=12))
        await asyncio.sleep(1)
        await asyncio.gather(*(client.publish("t", b"%d" % n) for n in range(5)))
        assert {0: [*values(0, 10), b"0", b"1"]} == await reading


@scenario
async def test_batches_know_where_they_leave_the_reader(cluster):
    """Lists of records, with position and end."""
    cluster.make_topic("t", 1)
    cluster.fill("t", 0, 100)
    async with cluster.client() as client:
        reader = client.read("t", start=5, until=95)
        batches = [batch async for batch in reader.batches()]
    assert values(0, 5, 95) == [record.value for batch in batches for record in batch.records]
    assert [batch.records[-1].offset + 1 for batch in batches] == [batch.position for batch in batches]
    assert {100} == {batch.end for batch in batches}
    assert 5_000 + 90 == batches[-1].append_time_ns
    assert {0: 95} == reader.positions


@pytest.mark.parametrize("codec", list(Codec))
@scenario
async def test_codecs(cluster, codec):
    """The reader names all that it can decompress."""
    cluster.make_topic("t", 1)
    cluster.fill("t", 0, 50, records_per_batch=25, codec=codec)
    assert codec is cluster.topics["t"].partitions[0].batches[0][1].codec
    async with cluster.client() as client:
        assert {0: values(0, 50)} == await read(client, "t", until="latest")


@scenario
async def test_positions_continue_in_another_reader(cluster):
    """What one reader was given and where another one begins fit together, to the record."""
    cluster.make_topic("t", 2)
    for number in range(2):
        cluster.fill("t", number, 50)
    found = {0: [], 1: []}
    async with cluster.client() as client:
        positions = "earliest"
        while True:
            async with client.read("t", start=positions, until="latest") as reader:
                for _ in range(7):
                    record = await anext(reader, None)
                    if record is not None:
                        found[record.partition].append(record.value)
                positions = reader.positions
            if positions == {0: 50, 1: 50}:
                break
    assert {number: values(number, 50) for number in range(2)} == found
