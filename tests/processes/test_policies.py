"""Retention and compaction on real nodes, under load and SIGKILL: nothing wrong is read, and the disk is bounded."""

import asyncio
import random
import signal
from collections.abc import Callable
from dataclasses import replace

import pytest

from cluster import TopicConfig, connect
from cluster.cli.config_file import read_config, write_config
from cluster.cli.dev import wait_ready
from cluster.cli.local import LocalCluster
from cluster.client.client import Client
from cluster.config import KIB, MIB
from cluster.errors import OffsetOutOfRange

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(150)]
LATEST, RECENT = "latest", "recent"
KEYS = 300
VALUE_BYTES = 1000
SEGMENT_BYTES = 512 * KIB
RETENTION_BYTES = 2 * MIB
WRITTEN_BYTES_MIN = 25 * MIB
"""On each topic, before the load ends."""
LOAD_S_MAX = 90.0


class Table:
    """Writes versions of keys to a compacted topic, a tombstone now and then, and the same to one with retention."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._random = random.Random(1)
        self.acknowledged: dict[bytes, int] = dict.fromkeys((b"k%d" % number for number in range(KEYS)), 0)
        """Of each key the newest version that is known to be in the log."""
        self.sent = dict(self.acknowledged)
        """Of each key the newest version that can be there."""
        self.overtaken = 0
        """How often a read missed a version because a newer one, behind the read's end, had taken its place."""
        self.deleted: set[tuple[bytes, int]] = set()
        """Versions that are tombstones."""
        self.versions = 0
        self.bytes = 0
        self.stopping = False

    async def run(self) -> None:
        """Batches of writes, each acknowledged before the next, so that versions of a key stand in their order."""
        while not self.stopping:
            written = []
            for key in self._random.sample(sorted(self.acknowledged), 100):
                self.versions += 1
                tombstone = self._random.random() < 0.1
                if tombstone:
                    self.deleted.add((key, self.versions))
                text = b"%d " % self.versions
                value = b"" if tombstone else text.ljust(VALUE_BYTES, b".")
                written.append((key, self.versions))
                self.sent[key] = self.versions
                await self._client.produce(LATEST, value, key=key, headers={"version": text})
                await self._client.produce(RECENT, text.ljust(VALUE_BYTES, b"."), key=key)
                self.bytes += VALUE_BYTES
            await self._client.flush()
            self.acknowledged.update(written)
            await asyncio.sleep(0.02)


async def check_table(client: Client, table: Table) -> int:
    """Read the compacted topic from its beginning: each key is at least as new as it was known to be before."""
    before = dict(table.acknowledged)
    found: dict[bytes, int] = {}
    last = {}
    count = 0
    async for record in client.read(LATEST, start="earliest", until="latest"):
        assert record.offset > last.get(record.partition, -1)
        last[record.partition] = record.offset
        version = next(int(header.value) for header in record.headers if header.name == "version")
        key = record.key or b""
        assert version > found.get(key, 0)
        assert bool(record.value) != ((key, version) in table.deleted)
        found[key] = version
        count += 1
    for key, version in before.items():
        if found.get(key, 0) >= version:
            continue
        if table.sent[key] > version:  # it may have been compacted away before the reader came by
            table.overtaken += 1
        else:  # only a tombstone may be gone, and what it deleted with it
            assert (key, version) in table.deleted
            assert key not in found
    return count


async def check_recent(client: Client, table: Table) -> None:
    """Follow the other topic: versions come in order, and nothing is missing but what retention has deleted."""
    position, seen, skipped = 0, 0, 0
    while not table.stopping:
        try:
            async for record in client.read(RECENT, partitions=[0], start=position, until="latest"):
                assert position == record.offset
                version = int(record.value.split(b" ")[0])
                assert version > seen
                position, seen = record.offset + 1, version
        except OffsetOutOfRange as error:
            first = int(error.metadata["first"])
            assert first > position
            skipped += first - position
            position = first
        await asyncio.sleep(0.05)


def taken(cluster: LocalCluster, node: int) -> int:
    """What a node's replicas take on its disk."""
    total = 0
    for path in (cluster.data_dir / f"node-{node}" / "data" / "replicas").rglob("*"):
        try:
            total += path.stat().st_blocks * 512 if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total


def prepared(cluster: LocalCluster) -> None:
    """Small segments, looked at often."""
    for node in cluster.nodes:
        config = read_config(cluster.config_path(node))
        write_config(
            replace(
                config,
                log=replace(config.log, segment_bytes_max=SEGMENT_BYTES, allocate_bytes_max=256 * KIB),
                broker=replace(config.broker, retention_check_s=0.5, compaction_check_s=0.5, segment_age_s_min=1.0),
            ),
            cluster.config_path(node),
        )


async def test_retention_and_compaction_under_load(
    make_cluster: Callable[[int], LocalCluster], capsys: pytest.CaptureFixture[str]
) -> None:
    """Some read from the beginning, one follows; every node is killed once; no disk takes more than it may."""
    cluster = make_cluster(3)
    prepared(cluster)
    cluster.start_all()
    await wait_ready(cluster)
    most, reads, records = 0, 0, 0
    async with connect(cluster.addresses) as client, connect(cluster.addresses) as reader:
        await client.create_topic(
            LATEST, partitions=2, replicas=3, config=TopicConfig(compacted=True, tombstone_ms=5_000)
        )
        await client.create_topic(
            RECENT,
            partitions=1,
            replicas=3,
            config=TopicConfig(retention_bytes=RETENTION_BYTES, lagging_bytes_max=4 * MIB),
        )
        table = Table(client)
        writing = asyncio.create_task(table.run())
        following = asyncio.create_task(check_recent(reader, table))
        to_kill = list(cluster.nodes)
        async with asyncio.timeout(LOAD_S_MAX):
            while table.bytes < WRITTEN_BYTES_MIN or to_kill:
                records += await check_table(reader, table)
                reads += 1
                most = max([most, *(taken(cluster, node) for node in cluster.nodes)])
                if to_kill and table.bytes > WRITTEN_BYTES_MIN * (4 - len(to_kill)) / 5:
                    node = to_kill.pop()
                    cluster.kill(node, signal.SIGKILL)
                    cluster.start(node)
                for task in (writing, following):
                    assert not task.done(), task.exception()
        table.stopping = True
        await asyncio.gather(writing, following)
        await wait_ready(cluster)
        await check_table(reader, table)
        await asyncio.sleep(12)  # tombstones get old, and go
        left = await check_table(reader, table)
        alive = sum((key, version) not in table.deleted for key, version in table.acknowledged.items())
        end = (await reader.offsets(LATEST))[0].end
    kept = KEYS * (VALUE_BYTES + 200)
    written_meanwhile = 8 * MIB  # between two looks, and while a pass goes on
    bound = 2 * kept + 2 * 2 * SEGMENT_BYTES + RETENTION_BYTES + 3 * 2 * SEGMENT_BYTES + written_meanwhile
    with capsys.disabled():
        print(
            f"\n{table.versions:,} versions of {KEYS} keys, {2 * table.bytes / MIB:.0f} MiB written to two topics; "
            f"{reads} reads of all ({records:,} records), none wrong, {table.overtaken} versions overtaken; "
            f"at most {most / MIB:.1f} MiB on a disk (bound {bound / MIB:.1f}); at the end {left} records, "
            f"{alive} keys, {end:,} offsets in partition 0"
        )
    assert most < bound < table.bytes
    assert reads > 5
