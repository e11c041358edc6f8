"""Appending under a condition, on whole clusters in virtual time: exactly once, or a plain no, or unknown."""

import asyncio
import random

import pytest

from cluster.broker.publish_service import PUBLISH
from cluster.client.client import Client
from cluster.config import ClientOptions
from cluster.errors import InvalidRequest, OffsetConflict, Outcome, RiverrunError, UnknownPartition
from cluster.records import Record
from cluster.sim.clock import SimLoop, simulate
from cluster.sim.cluster import SimCluster
from cluster.wire.api import records_pb2, stream_pb2
from tests.broker.thin import TOPIC, in_a_cluster, thin_channel

pytestmark = pytest.mark.slow


async def end_of(client: Client, partition: int) -> int:
    """The committed end."""
    return int((await client.offsets(TOPIC, [partition]))[partition].end)


@in_a_cluster
async def test_the_condition_holds_or_nothing_is_appended(cluster: SimCluster) -> None:
    """At the expected end, and only there; the conflict names the end as it is."""
    client = cluster.client("c")
    end = await end_of(client, 1)
    receipt = await client.publish(TOPIC, b"next", partition=1, expected_end=end, headers={"h": b"1"})
    assert (end, 1, 1, False) == (receipt.offset, receipt.partition, receipt.record_count, receipt.duplicate)
    for wrong in (end, 0, end + 5):
        with pytest.raises(OffsetConflict, match=f"end is {end + 1}, not {wrong}") as refused:
            await client.publish(TOPIC, b"no", partition=1, expected_end=wrong)
        assert str(end + 1) == refused.value.metadata["end"]
    receipt = await client.append(TOPIC, 1, [Record(value=b"a"), Record(value=b"b", key=b"k")], expected_end=end + 1)
    assert (end + 1, 2) == (receipt.offset, receipt.record_count)
    receipt = await client.append(TOPIC, 1, [Record(value=b"c")])
    found = [record async for record in client.read(TOPIC, partitions=[1], start=end, until="latest")]

    assert end + 3 == receipt.offset
    assert [b"next", b"a", b"b", b"c"] == [record.value for record in found]
    assert "h" == found[0].headers[0].name
    assert all(record.timestamp_ns for record in found)
    await client.abandon()


@in_a_cluster
async def test_what_is_no_condition_is_refused(cluster: SimCluster) -> None:
    """By client and node alike."""
    client = cluster.client("c")
    with pytest.raises(InvalidRequest, match="names its partition"):
        await client.publish(TOPIC, b"v", expected_end=0)
    with pytest.raises(InvalidRequest, match="-1 cannot be expected"):
        await client.publish(TOPIC, b"v", partition=0, expected_end=-1)
    with pytest.raises(InvalidRequest, match="at least one"):
        await client.append(TOPIC, 0, [])
    with pytest.raises(InvalidRequest, match="bytes"):
        await client.append(TOPIC, 0, [Record(value="text")])  # type: ignore[arg-type]
    with pytest.raises(UnknownPartition):
        await client.append(TOPIC, 99, [Record(value=b"v")])
    record = records_pb2.Record(value=b"v")
    channel = thin_channel(cluster, 1)
    for request, sentence in (
        (stream_pb2.PublishRequest(topic=TOPIC, records=[record], expected_end=0), "names its partition"),
        (stream_pb2.PublishRequest(topic=TOPIC, records=[record], partition=0, expected_end=-7), "-7 cannot be"),
    ):
        with pytest.raises(InvalidRequest, match=sentence):
            await channel.call(PUBLISH, request.SerializeToString(), timeout_s=5)
    await client.abandon()


@in_a_cluster
async def test_a_retry_is_a_duplicate_before_it_is_a_conflict(cluster: SimCluster) -> None:
    """Through every node, the one that leads and those that forward; also after another one has come to lead."""
    client = cluster.client("c")
    end = await end_of(client, 2)
    request = stream_pb2.PublishRequest(
        topic=TOPIC,
        partition=2,
        records=[records_pb2.Record(value=b"once", timestamp_ns=1)],
        producer_id=1 << 40,
        expected_end=end,
    ).SerializeToString()

    async def receipt_at(node: int) -> records_pb2.Receipt:
        answer = await thin_channel(cluster, node).call(PUBLISH, request, timeout_s=5)
        return stream_pb2.PublishResponse.FromString(answer).receipts[0]

    first = await receipt_at(1)
    again = [await receipt_at(node) for node in cluster.nodes]
    leader = (await client.describe_topic(TOPIC)).partitions[2].leader
    assert leader is not None
    cluster.crash(int(leader))
    await client.publish(TOPIC, b"behind it", partition=2)
    again += [await receipt_at(node) for node in cluster.nodes if node != leader]

    assert (end, False) == (first.offset, first.duplicate)
    assert [(end, True)] * 5 == [(receipt.offset, receipt.duplicate) for receipt in again]
    await client.abandon()


class Counter:
    """One client's view of a counter that is the last record of partition 0; the first increment makes it 1."""

    def __init__(self, cluster: SimCluster, number: int) -> None:
        options = ClientOptions(request_timeout_s=0.4, delivery_timeout_s=1.0)
        self.client = cluster.client(f"counter-{number}", options)
        self.number = number
        self.sure: list[int] = []
        self.unsure: list[int] = []
        self.conflicts = 0

    async def increment(self) -> None:
        """Read, add one, append if nobody else did."""
        try:
            end = await end_of(self.client, 0)
            value = 0
            async for record in self.client.read(TOPIC, partitions=[0], start=max(end - 1, 0), until=end):
                value = int(record.value.split()[0])
        except RiverrunError:
            return
        try:
            await self.client.publish(TOPIC, b"%d %d" % (value + 1, self.number), partition=0, expected_end=end)
        except OffsetConflict:
            self.conflicts += 1
        except RiverrunError as error:
            if error.outcome is Outcome.UNKNOWN:
                self.unsure.append(value + 1)
        else:
            self.sure.append(value + 1)

    async def count(self, until_s: float) -> None:
        """Again and again."""
        loop = asyncio.get_running_loop()
        while loop.time() < until_s:
            await self.increment()
            await asyncio.sleep(0.05 * self.number)


async def _break_things(cluster: SimCluster, chance: random.Random, until_s: float) -> None:
    """Power of one node after another; the network slow, and cut."""
    loop = asyncio.get_running_loop()
    while loop.time() < until_s:
        await asyncio.sleep(chance.uniform(0.2, 2))
        node = chance.choice(cluster.nodes)
        cluster.fabric.delay_s_max = chance.choice((0.001, 0.02, 0.3))
        if chance.random() < 0.4:
            cluster.cut(node, chance.choice([other for other in cluster.nodes if other != node]))
        else:
            cluster.crash(node)
            await asyncio.sleep(chance.uniform(0.05, 3))
            await cluster.start(node)
        if chance.random() < 0.6:
            cluster.fabric.heal()
    cluster.fabric.heal()


async def _count_under_faults() -> tuple[int, int, int]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimLoop)
    cluster = SimCluster(loop)
    await cluster.start_all()
    reader = cluster.client("reader")
    await asyncio.sleep(3)
    await reader.create_topic(TOPIC, partitions=1, replicas=3)
    counters = [Counter(cluster, number) for number in range(4)]
    until_s = loop.time() + 25
    chance = random.Random(loop.random.getrandbits(64))
    await asyncio.gather(_break_things(cluster, chance, until_s), *(counter.count(until_s) for counter in counters))
    records = [record.value.decode().split() async for record in reader.read(TOPIC, until="latest")]
    found = [(int(value), int(number)) for value, number in records]

    assert list(range(1, len(found) + 1)) == [value for value, _ in found], "each is one more than the one before it"
    for counter in counters:
        mine = [value for value, number in found if number == counter.number]
        assert counter.sure == [value for value in mine if value in set(counter.sure)], "no success is lost"
        assert set(mine) <= {*counter.sure, *counter.unsure}, "what was refused was not done"
    assert [] == cluster.fabric.failed
    for client in (reader, *(counter.client for counter in counters)):
        await client.abandon()
    return len(found), sum(c.conflicts for c in counters), sum(len(c.unsure) for c in counters)


@pytest.mark.timeout(180)
def test_a_counter_under_faults_counts_each_success_once() -> None:
    """Four clients compare and append while nodes die: no success is lost, none counts twice, no refusal was done."""
    totals = [simulate(_count_under_faults(), seed)[0] for seed in range(1, 4)]

    increments, conflicts, unknown = (sum(column) for column in zip(*totals, strict=True))
    assert increments > 30
    assert conflicts > 5
    assert unknown > 0
