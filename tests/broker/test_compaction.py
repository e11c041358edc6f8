"""Of each key the newest record stays, deleted keys go, and nothing else changes: whole clusters in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from cluster import TopicConfig
from cluster.broker.replica import Replica
from cluster.broker.requests import Compacted
from cluster.client.client import Client
from cluster.config import ClientOptions, NodeConfig
from cluster.records import EntryKind
from cluster.sim.clock import SimLoop, simulate
from cluster.sim.cluster import SimCluster

pytestmark = pytest.mark.slow
TOPIC = "t"
Body = Callable[["Compacting", Client], Awaitable[None]]


class Compacting(SimCluster):
    """Small segments, looked at every second."""

    keys_max = 1000
    bytes_per_s_max = 1 << 25

    def _config(self, number: int) -> NodeConfig:
        config = super()._config(number)
        return replace(
            config,
            broker=replace(
                config.broker,
                compaction_check_s=1.0,
                compaction_chunk_bytes=500,
                compaction_bytes_per_s_max=self.bytes_per_s_max,
                segment_age_s_min=1.0,
                compaction_keys_max=self.keys_max,
            ),
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

    def bytes_of_logs(self) -> list[int]:
        """What each replica's segments take."""
        return [sum(facts.bytes for facts in replica.log.segments()) for replica in self.replicas()]


def compacted(
    *, keys_max: int = 1000, bytes_per_s_max: int = 1 << 25, **limits: int
) -> Callable[[Body], Callable[[], None]]:
    """A test on three nodes with a compacted topic of one partition."""

    def decorate(body: Body) -> Callable[[], None]:
        async def run() -> None:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, SimLoop)
            cluster = Compacting(loop)
            cluster.keys_max, cluster.bytes_per_s_max = keys_max, bytes_per_s_max
            await cluster.start_all()
            client = cluster.client("writer")
            await asyncio.sleep(3)  # of virtual time: they choose a controller
            await client.create_topic(TOPIC, partitions=1, replicas=3, config=TopicConfig(compacted=True, **limits))
            await body(cluster, client)
            await client.abandon()
            assert [] == cluster.fabric.failed
            assert [] == cluster.fatal

        def test() -> None:
            for seed in (1, 2):
                simulate(run(), seed)

        test.__doc__, test.__name__ = body.__doc__, body.__name__
        return test

    return decorate


async def fill(client: Client, first: int, end: int, *, keys: int = 7) -> dict[bytes, tuple[int, bytes]]:
    """Records of some keys, one after the other; the newest of each with its offset."""
    newest = {}
    for number in range(first, end):
        key, value = b"k%d" % (number % keys), b"%d %s" % (number, b"x" * 60)
        receipt = await client.publish(TOPIC, value, key=key)
        newest[key] = receipt.offset, value
    return newest


async def all_records(client: Client) -> list[tuple[int, bytes | None, bytes]]:
    """What a reader from the beginning gets."""
    return [
        (record.offset, record.key, record.value)
        async for record in client.read(TOPIC, start="earliest", until="latest")
    ]


@compacted()
async def test_only_the_newest_of_each_key_stays(cluster: Compacting, client: Client) -> None:
    """Offsets stay; every replica does it, whoever leads; the room that is taken has a bound."""
    sizes = []
    for start in range(0, 600, 100):
        newest = await fill(client, start, start + 100)
        await asyncio.sleep(4)
        found = await all_records(client)
        assert {key: (offset, value) for offset, key, value in found} == newest
        assert sorted(found) == found
        sizes.append(max(cluster.bytes_of_logs()))
    assert max(sizes) < 8_000 < 600 * 60
    for replica in cluster.replicas():
        entries = replica.log.entries(
            replica.log.first_index, last=replica.log.last_index, bytes_max=1 << 30, count_max=1 << 30
        )
        assert EntryKind.HOLE in {entry.kind for entry in entries}
        assert len(entries) < 100
    offsets = await client.offsets(TOPIC)
    assert (0, 600) == (offsets[0].first, offsets[0].end)


@compacted(tombstone_ms=8_000)
async def test_a_deleted_key_goes_and_later_its_tombstone(cluster: Compacting, client: Client) -> None:
    """The tombstone is seen for its time, also when nothing more is written; then nothing tells of the key."""
    await fill(client, 0, 50)
    receipt = await client.publish(TOPIC, b"", key=b"k3")
    await asyncio.sleep(6)
    found = await all_records(client)
    assert [(receipt.offset, b"")] == [(offset, value) for offset, key, value in found if key == b"k3"][-1:]
    await asyncio.sleep(20)
    keys = {key for _, key, _ in await all_records(client)}
    assert {b"k%d" % number for number in range(7)} - {b"k3"} == keys
    for replica in cluster.replicas():
        assert replica.log.tombstones_upto > 0


@compacted()
async def test_who_was_away_and_who_starts_again_has_the_same(cluster: Compacting, client: Client) -> None:
    """A node that was down while the others compacted gets holes from its leader; a restart finds everything."""
    await fill(client, 0, 40)
    away = next(node for node in cluster.nodes if node != cluster.leader())
    cluster.crash(away)
    await fill(client, 40, 300)
    await asyncio.sleep(5)
    await cluster.start(away)
    await asyncio.sleep(5)
    newest = await fill(client, 300, 320)
    await asyncio.sleep(5)
    for node in cluster.nodes:
        cluster.crash(node)
    await asyncio.sleep(1)
    await cluster.start_all()
    await asyncio.sleep(5)
    expected = None
    for _ in cluster.nodes:
        leader = cluster.leader()
        found = {key: (offset, value) for offset, key, value in await all_records(client)}
        assert newest == found
        folds = {replica.log.fold.end_offset: dict(replica.log.fold.producers) for replica in cluster.replicas()}
        assert 1 == len(folds)
        expected = expected or folds
        cluster.crash(leader)
        await asyncio.sleep(5)
        await cluster.start(leader)
        await asyncio.sleep(3)
    assert await client.publish(TOPIC, b"goes on", key=b"k1")


@compacted(keys_max=60)
async def test_more_keys_than_fit_into_memory_take_more_passes(cluster: Compacting, client: Client) -> None:
    """A pass that is full goes on with the next one; the result is the same."""
    keys = 90
    for start in range(0, 900, 300):
        newest = await fill(client, start, start + 300, keys=keys)
        await asyncio.sleep(60)
    found = {key: (offset, value) for offset, key, value in await all_records(client)}
    assert newest == found
    assert max(cluster.bytes_of_logs()) < 60_000 < 900 * 200


@compacted()
async def test_what_has_no_key_stays(cluster: Compacting, client: Client) -> None:
    """Nobody can say that a record without a key is superseded."""
    del cluster
    for number in range(60):
        await client.publish(TOPIC, b"%d %s" % (number, b"x" * 50), partition=0)
        await client.publish(TOPIC, b"%d %s" % (number, b"y" * 50), key=b"k", partition=0)
    await asyncio.sleep(5)
    found = await all_records(client)
    assert 60 == sum(key is None for _, key, _ in found)
    assert 1 <= sum(key == b"k" for _, key, _ in found) < 40


@compacted()
async def test_a_reader_at_any_place_goes_on(cluster: Compacting, client: Client) -> None:
    """Positions in holes are positions: reading from each gives what is at or behind it, to the end."""
    await fill(client, 0, 120)
    await asyncio.sleep(5)
    assert max(cluster.bytes_of_logs()) < 6_000
    found = await all_records(client)
    for start in [*range(0, 120, 11), 119, 120]:
        records = [record.offset async for record in client.read(TOPIC, start=start, until="latest")]
        assert [offset for offset, _, _ in found if offset >= start] == records


@compacted(tombstone_ms=4_000)
async def test_a_group_is_through_when_only_a_hole_is_left(cluster: Compacting, client: Client) -> None:
    """Its position moves over what compaction removed, also at the end: it lags behind nothing."""
    subscription = client.subscribe(TOPIC, group="g", options=ClientOptions(commit_interval_s=0.5))
    given: list[bytes | None] = []

    async def work() -> None:
        async for record in subscription:
            given.append(record.key)  # noqa: PERF401  seen while it goes on

    await fill(client, 0, 20)
    for number in range(7):
        await client.publish(TOPIC, b"", key=b"k%d" % number)
    await asyncio.sleep(30)
    assert [] == await all_records(client)
    assert max(cluster.bytes_of_logs()) < 6_000
    working = asyncio.create_task(work())
    await asyncio.sleep(5)
    assert [] == given
    (partition,) = (await client.describe_group("g")).partitions
    assert (27, 27) == (partition.position, partition.end)
    await client.publish(TOPIC, b"goes on", key=b"new")
    await asyncio.sleep(1)
    assert [b"new"] == given
    working.cancel()
    await subscription.close()


@compacted()
async def test_it_can_be_turned_off_and_on(cluster: Compacting, client: Client) -> None:
    """Live: without it nothing goes, with it the rest goes, too."""
    await client.alter_topic(TOPIC, unset=["compacted"])
    await fill(client, 0, 150)
    await asyncio.sleep(5)
    assert 150 == len(await all_records(client))
    await client.alter_topic(TOPIC, TopicConfig(compacted=True))
    await asyncio.sleep(5)
    assert len(await all_records(client)) < 70
    assert max(cluster.bytes_of_logs()) < 8_000


@compacted(bytes_per_s_max=500)
async def test_a_topic_may_be_deleted_while_it_is_compacted(cluster: Compacting, client: Client) -> None:
    """A pass whose files are gone ends quietly, wherever it was: looking for keys, or with a file in the making."""
    for wait_s in (25.0, 35.0, 43.3):
        writer = cluster.client(f"writer {wait_s}")
        await fill(writer, 0, 120)
        await asyncio.sleep(wait_s)
        await writer.delete_topic(TOPIC)
        await writer.abandon()
        await asyncio.sleep(40)
        assert [] == cluster.fatal
        await client.create_topic(TOPIC, partitions=1, replicas=3, config=TopicConfig(compacted=True))


@compacted(keys_max=5)
async def test_one_segment_may_have_more_keys_than_fit_into_memory(cluster: Compacting, client: Client) -> None:
    """Each pass goes on behind the one before, within a segment as well, and does not begin that one again."""
    await fill(client, 0, 30, keys=30)
    newest = await fill(client, 30, 150, keys=30)
    await asyncio.sleep(60)
    found = await all_records(client)
    assert {key: (offset, value) for offset, key, value in found} == newest
    assert len(found) < 75
    assert max(cluster.bytes_of_logs()) < 20_000


@compacted(bytes_per_s_max=1)
async def test_what_a_pass_saw_says_nothing_of_the_next_log(cluster: Compacting, client: Client) -> None:
    """A log that begins anew while a pass of the old one ends is all dirty: or old records of its keys would stay."""
    await fill(client, 0, 60)
    compacting = cluster.replicas()[0].compacting
    first = compacting.job()
    assert first is not None
    compacting.begin_anew()
    compacting.done(Compacted(first.sealed[-1].last_index, None, first.log_number))
    job = compacting.job()
    assert job is not None
    assert 0 == job.clean_upto
    compacting.done(Compacted(job.sealed[-1].last_index, None, job.log_number))
    assert compacting.job() is None


@compacted(bytes_per_s_max=500)
async def test_what_is_turned_off_removes_nothing_more(cluster: Compacting, client: Client) -> None:
    """Also a pass that is under way: whoever turned it off may want to read what is there."""
    await fill(client, 0, 120)
    for _ in range(100):
        await asyncio.sleep(1)
        if len(await all_records(client)) < 120:
            break
    await client.alter_topic(TOPIC, unset=["compacted"])
    await asyncio.sleep(1)
    found = await all_records(client)
    assert len(found) > 40
    await asyncio.sleep(60)
    assert found == await all_records(client)
    assert [] == cluster.fatal
