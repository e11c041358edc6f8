"""Records go as their topic says, or when somebody says so: whole clusters in virtual time."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from cluster import TopicConfig
from cluster.broker.publish_service import PUBLISH
from cluster.broker.read_service import READ
from cluster.broker.replica import Replica
from cluster.client.client import Client
from cluster.config import NodeConfig
from cluster.errors import InvalidRequest, OffsetOutOfRange, RiverrunError, UnknownPartition, UnknownTopic
from cluster.sim.clock import SimLoop, simulate
from cluster.sim.cluster import SimCluster
from cluster.types import Offset
from cluster.wire.api import records_pb2, stream_pb2, topic_pb2
from tests.broker.thin import thin_channel

pytestmark = pytest.mark.slow
TOPIC = "t"
Body = Callable[["Trims", Client], Awaitable[None]]


class Trims(SimCluster):
    """Small segments, looked at every second."""

    check_s = 1.0

    def _config(self, number: int) -> NodeConfig:
        config = super()._config(number)
        return replace(
            config,
            broker=replace(config.broker, retention_check_s=self.check_s, segment_age_s_min=1.0),
            log=replace(config.log, segment_bytes_max=2_000, allocate_bytes_min=512, allocate_bytes_max=512),
        )

    def replicas(self) -> list[Replica]:
        """The topic's replicas that run, by node."""
        return [run.replica for node in self.running.values() for run in node.broker.running.values()]

    def leader(self) -> int:
        """The node that leads the only partition."""
        return next(
            number
            for number, node in self.running.items()
            for run in node.broker.running.values()
            if run.replica.raft.is_leader
        )

    def files(self, node: int) -> list[str]:
        """Its segments on disk."""
        return sorted(path for path in self.disks[node].paths() if path.endswith(".log"))


def with_topic(*, check_s: float = 1.0, **limits: int) -> Callable[[Body], Callable[[], None]]:
    """A test on three nodes with a topic of one partition and these limits."""

    def decorate(body: Body) -> Callable[[], None]:
        async def run() -> None:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, SimLoop)
            cluster = Trims(loop)
            cluster.check_s = check_s
            await cluster.start_all()
            client = cluster.client("writer")
            await asyncio.sleep(3)  # of virtual time: they choose a controller
            await client.create_topic(TOPIC, partitions=1, replicas=3, config=TopicConfig(**limits))
            await body(cluster, client)
            await client.abandon()
            assert [] == cluster.fabric.failed
            assert [] == cluster.fatal

        def test() -> None:
            for seed in (1, 2):
                simulate(run(), seed)

        test.__doc__ = body.__doc__
        return test

    return decorate


async def fill(client: Client, first: int, end: int, size: int = 100) -> None:
    """Records whose values begin with their offsets."""
    for number in range(first, end):
        receipt = await client.publish(TOPIC, b"%d" % number + b" " * size)
        assert number == receipt.offset


async def read_all(client: Client) -> list[int]:
    """What there is."""
    return [int(record.value) async for record in client.read(TOPIC, until="latest")]


async def first_of(client: Client) -> int:
    """The first offset there is."""
    return (await client.offsets(TOPIC))[0].first


@with_topic(retention_bytes=4_000)
async def test_by_size_on_every_replica(cluster: Trims, client: Client) -> None:
    """The newest stay, everywhere the same, and no disk keeps what is gone."""
    await fill(client, 0, 150)
    await asyncio.sleep(5)
    first = await first_of(client)
    assert 60 < first < 145
    assert list(range(first, 150)) == await read_all(client)
    assert {first} == {replica.log.start_offset for replica in cluster.replicas()}
    for node in cluster.nodes:
        assert sum(cluster.disks[node].size_of(path) for path in cluster.files(node)) < 10_000
    with pytest.raises(OffsetOutOfRange) as raised:
        _ = [record async for record in client.read(TOPIC, start=first - 1)]
    assert {"first": str(first), "end": "150"} == raised.value.metadata


@with_topic(retention_ms=7 * 24 * 3_600_000)
async def test_an_idle_partition_with_a_limit_sleeps(cluster: Trims, client: Client) -> None:
    """Its leader looks once more when the records have become old, and does nothing for it until then."""
    await fill(client, 0, 3)
    await asyncio.sleep(10)
    assert all(replica.raft.asleep for replica in cluster.replicas())
    tick_s = cluster.running[1].config.broker.tick_s
    waits_s = sorted((replica.due_tick - replica._ticked) * tick_s for replica in cluster.replicas())
    assert 6.9 * 24 * 3600 < waits_s[0] < 7.1 * 24 * 3600
    assert [math.inf] * 2 == waits_s[1:]


@with_topic()
async def test_whoever_asks_for_what_was_deleted_is_told_what_there_is(cluster: Trims, client: Client) -> None:
    """Through any node, with a read that is relayed, too; a read that stops before the first offset ends at once."""
    await fill(client, 0, 10)
    await client.delete_records(TOPIC, 0, before=4)
    for node in cluster.nodes:
        stream = thin_channel(cluster, node).stream(READ)
        request = stream_pb2.ReadRequest(topic=TOPIC, partitions=[0], start=stream_pb2.Position(offset=3))
        await stream.send(request.SerializeToString())
        await stream.finish()
        with pytest.raises(OffsetOutOfRange) as raised:
            await stream.receive()
        assert {"first": "4", "end": "10"} == raised.value.metadata
    assert [4, 5] == [int(r.value) async for r in client.read(TOPIC, until=6)]
    assert [] == [r async for r in client.read(TOPIC, until=2)]


@with_topic(retention_ms=60_000)
async def test_by_age_of_a_topic_that_is_idle(cluster: Trims, client: Client) -> None:
    """The segment that takes entries, too; then the group sleeps on."""
    await fill(client, 0, 50)
    await asyncio.sleep(50)
    assert 0 == await first_of(client)
    await asyncio.sleep(15)
    assert [50] * 3 == [replica.log.start_offset for replica in cluster.replicas()]
    await asyncio.sleep(5)
    assert [1] * 3 == [len(cluster.files(node)) for node in cluster.nodes]
    assert [] == await read_all(client)
    await fill(client, 50, 51)
    assert [50] == await read_all(client)
    await asyncio.sleep(10)
    assert all(replica.raft.asleep for replica in cluster.replicas())
    assert not any(replica.due_tick < replica._ticked + 500 for replica in cluster.replicas())


@with_topic(retention_ms=40_000)
async def test_by_age_of_a_topic_that_is_slow(cluster: Trims, client: Client) -> None:
    """A record now and then never fills a segment; what is too old goes all the same, on every replica."""
    for number in range(60):
        await fill(client, number, number + 1, size=10)
        await asyncio.sleep(2)
    kept = await read_all(client)
    assert kept == list(range(60 - len(kept), 60))
    assert 20 <= len(kept) <= 28
    assert all(replica.log.segments()[0].base_offset > 0 for replica in cluster.replicas())


@with_topic(check_s=60, retention_bytes=1 << 20)
async def test_a_change_takes_effect_on_what_runs(cluster: Trims, client: Client) -> None:
    """Set, and it is looked at at once; unset, refused; and a description says it."""
    await fill(client, 0, 100)
    await asyncio.sleep(61)
    assert 0 == await first_of(client)
    assert len(cluster.files(cluster.leader())) > 3
    view = await client.alter_topic(TOPIC, TopicConfig(retention_bytes=3_000, lagging_bytes_max=1 << 20))
    assert TopicConfig(retention_bytes=3_000, lagging_bytes_max=1 << 20) == view.config
    await asyncio.sleep(1)
    first = await first_of(client)
    assert first > 50
    view = await client.alter_topic(TOPIC, unset=["retention_bytes", "lagging_bytes_max"])
    assert TopicConfig() == view.config == (await client.describe_topic(TOPIC)).config
    await fill(client, 100, 200)
    await asyncio.sleep(65)
    assert first == await first_of(client)
    with pytest.raises(InvalidRequest, match="retention_ms"):
        await client.alter_topic(TOPIC, TopicConfig(retention_ms=0))
    with pytest.raises(InvalidRequest, match="colour"):
        await client.alter_topic(TOPIC, unset=["colour"])
    with pytest.raises(UnknownTopic):
        await client.alter_topic("absent", TopicConfig(retention_ms=1))


@with_topic()
async def test_records_are_deleted_as_told(cluster: Trims, client: Client) -> None:
    """Through any node, again without harm; never beyond the end; a place in the middle of a segment counts."""
    await fill(client, 0, 100)
    for node, before, expected in ((1, 7, 7), (2, 33, 33), (3, 5, 33), (1, 33, 33)):
        request = topic_pb2.DeleteRecordsRequest(topic=TOPIC, before=before).SerializeToString()
        answer = await thin_channel(cluster, node).call("/riverrun.v1.TopicService/DeleteRecords", request, timeout_s=5)
        assert expected == topic_pb2.DeleteRecordsResponse.FromString(answer).first
    assert list(range(33, 100)) == await read_all(client)
    with pytest.raises(OffsetOutOfRange) as raised:
        await client.delete_records(TOPIC, 0, before=101)
    assert {"first": "33", "end": "100"} == raised.value.metadata
    with pytest.raises(InvalidRequest):
        await client.delete_records(TOPIC, 0, before=-1)
    with pytest.raises(UnknownPartition):
        await client.delete_records(TOPIC, 9, before=1)
    with pytest.raises(UnknownTopic):
        await client.delete_records("absent", 0, before=1)
    assert 100 == await client.delete_records(TOPIC, 0, before=100)
    assert [] == await read_all(client)
    await asyncio.sleep(2)
    assert [1] * 3 == [len(cluster.files(node)) for node in cluster.nodes]
    await fill(client, 100, 101)
    assert [100] == await read_all(client)


@with_topic()
async def test_a_time_before_the_start_is_the_start(cluster: Trims, client: Client) -> None:
    """Records that are deleted and still on disk are not found by their time either."""
    await fill(client, 0, 3)
    await client.delete_records(TOPIC, 0, before=2)
    assert {0} == {replica.log.segments()[0].base_offset for replica in cluster.replicas()}
    offsets = await client.offsets(TOPIC, at=datetime.fromtimestamp(1, tz=UTC))
    assert (2, 2, 3) == (offsets[0].first, offsets[0].at, offsets[0].end)
    assert [2] == [
        int(r.value) async for r in client.read(TOPIC, start=datetime.fromtimestamp(1, tz=UTC), until="latest")
    ]


@with_topic(lagging_bytes_max=4_000, retention_bytes=2_000)
async def test_who_lags_is_waited_for_and_then_starts_again(cluster: Trims, client: Client) -> None:
    """Up to the bound nothing goes that it needs; beyond, it gets the fold, and all replicas are equal in the end."""
    away = next(node for node in cluster.nodes if node != cluster.leader())
    await fill(client, 0, 5)
    cluster.crash(away)
    await fill(client, 5, 20)
    await asyncio.sleep(3)
    assert 0 == await first_of(client)
    await fill(client, 20, 150)
    await asyncio.sleep(5)
    first = await first_of(client)
    assert first > 60
    await cluster.start(away)
    await asyncio.sleep(5)
    await fill(client, 150, 152)
    await asyncio.sleep(3)
    first = await first_of(client)
    assert list(range(first, 152)) == await read_all(client)
    assert 1 == len({replica.raft.commit for replica in cluster.replicas()})
    assert 1 == len({replica.log.start_offset for replica in cluster.replicas()})
    assert all(replica.log.first_index > 5 for replica in cluster.replicas())


@with_topic()
async def test_a_duplicate_of_what_was_trimmed_is_still_a_duplicate(cluster: Trims, client: Client) -> None:
    """The producer's memory outlives its records; the term that they were written in is not known any more."""
    request = stream_pb2.PublishRequest(
        topic=TOPIC, partition=0, producer_id=9_999, records=[records_pb2.Record(value=b"once", timestamp_ns=1)]
    ).SerializeToString()
    channel = thin_channel(cluster, 1)
    first = stream_pb2.PublishResponse.FromString(await channel.call(PUBLISH, request, timeout_s=5)).receipts[0]
    await fill(client, 1, 3)
    assert 3 == await client.delete_records(TOPIC, 0, before=3)
    await asyncio.sleep(2)
    assert all(replica.log.first_index > 3 for replica in cluster.replicas())
    again = stream_pb2.PublishResponse.FromString(await channel.call(PUBLISH, request, timeout_s=5)).receipts[0]
    assert (0, False, 0, True, 0) == (first.offset, first.duplicate, again.offset, again.duplicate, again.term)


@with_topic()
async def test_a_leader_that_is_replaced_does_not_say_how_a_deletion_ended(cluster: Trims, client: Client) -> None:
    """Whoever asked may ask again: the client does, and the next leader has deleted it or does."""
    await fill(client, 0, 40)
    old = cluster.leader()
    for other in cluster.nodes:
        if other != old:
            cluster.cut(old, other)
    running = next(iter(cluster.running[old].broker.running.values()))
    asked = asyncio.create_task(running.delete_records(Offset(30)))
    answer = await client.delete_records(TOPIC, 0, before=20, timeout_s=20)
    assert 20 == answer
    cluster.fabric.heal()
    with pytest.raises(RiverrunError) as raised:
        await asked
    assert raised.value.retry
    await asyncio.sleep(5)
    assert {20} == {replica.log.start_offset for replica in cluster.replicas()}
    assert list(range(20, 40)) == await read_all(client)
