"""Three real nodes whose every link is a proxy: cut off, deaf, mute, slow; the others go on, and it catches up."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from chaos.arenas.processes.arena import ProcessArena
from chaos.arenas.processes.links.fitting import Links
from chaos.history import History
from cluster.broker.publish_service import PUBLISH
from cluster.client.client import Client
from cluster.client.verifying import CopyState
from cluster.errors import RiverrunError
from cluster.real.network import RealNetwork
from cluster.wire.api import records_pb2, stream_pb2
from tests.chaos.links.conftest import require_server

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(120)]
TOPIC = "orders"
THIN = b"thin"
PATIENCE_S = 30.0


class Cluster:
    """An arena with a topic of one partition, and a client that publishes through its proxies."""

    def __init__(self, arena: ProcessArena, client: Client) -> None:
        self.arena = arena
        self.client = client
        self.acknowledged: list[bytes] = []

    async def publish(self, records: int = 20) -> int:
        """One after the other; the last one's offset."""
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(records):
                value = b"%d" % len(self.acknowledged)
                receipt = await (await self.client.produce(TOPIC, value, key=b"k"))
                self.acknowledged.append(value)
        return int(receipt.offset)

    async def leader(self) -> int:
        """Of the partition, as somebody says."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                (partition,) = (await self.client.describe_topic(TOPIC)).partitions
                if partition.leader is not None:
                    return int(partition.leader)
                await asyncio.sleep(0.05)

    async def caught_up(self, offset: int) -> None:
        """Return when every replica has it on its disk."""
        async with asyncio.timeout(PATIENCE_S):
            states: set[CopyState] = set()
            while states != {CopyState.HELD}:
                with contextlib.suppress(RiverrunError):
                    states = {copy.state for copy in (await self.client.verify(TOPIC, 0, offset)).copies}
                await asyncio.sleep(0.05)

    async def through(self, node: int) -> str:
        """Publish as a thin client does, at this node; the error's reason, or nothing."""
        request = stream_pb2.PublishRequest(topic=TOPIC, partition=0, records=[records_pb2.Record(value=THIN)])
        channel = RealNetwork().channel(self.arena.processes.launches[node].config.client.address)
        try:
            await channel.call(PUBLISH, request.SerializeToString(), timeout_s=2.0)
        except RiverrunError as error:
            return error.reason
        finally:
            await channel.close()
        return ""


@contextlib.asynccontextmanager
async def started(folder: Path) -> AsyncIterator[tuple[Cluster, Links]]:
    """Ready to be broken; ended with the block."""
    links = Links(require_server())
    arena = ProcessArena(folder, nodes=3, seed=1, fittings=[links], history=History())
    try:
        await arena.start()
        client = arena.client("test")
        await client.create_topic(TOPIC, partitions=1, replicas=3)
        yield Cluster(arena, client), links
        await client.abandon()
    finally:
        await arena.stop()


async def _broken(cluster: Cluster, fault: str, options: Mapping[str, Any], *, moves: bool) -> None:
    """The leader is hit: records go on, elsewhere if the leader has to change; mended, it catches up."""
    await cluster.publish()
    before = await cluster.leader()
    mend = await cluster.arena.injectors[fault].inject([before], options)
    assert mend is not None
    await cluster.publish()
    after = await cluster.leader()
    if fault == "partition_one":
        assert "" != await cluster.through(before), "what it passes on does not get to the others, either"
    await mend()
    await cluster.caught_up(await cluster.publish())

    assert not moves or before != after, f"{fault}: node {before} led on"


@pytest.mark.long  # the scenario `partitions` does as much
async def test_a_leader_is_cut_off(tmp_path: Path) -> None:
    """Or hears nobody: the others choose another one, and it follows when it hears them again."""
    async with started(tmp_path) as (cluster, _):
        leader = await cluster.leader()
        other = next(node for node in cluster.arena.nodes if node != leader)
        assert "" == await cluster.through(other), "a thin client gets to the leader through any node"
        await _broken(cluster, "partition_one", {"grouping": 1, "refused": False}, moves=True)
        await _broken(cluster, "cut_one_way", {"grouping": 1, "direction": "to", "one": False}, moves=True)
        await _all_is_there(cluster)
        await cluster.client.abandon()
        anomalies, copies = await cluster.arena.examine([TOPIC])
        assert [] == anomalies
        assert 3 == len(copies)
        figures = await cluster.arena.stop()

        assert () == tuple(figures.failures), "bytes went over each of the links, both ways"
        assert 15 == figures.counts["links"]
        assert 0 == figures.counts["link_server_restarts"]
        assert all(figures.counts[f"{way}_link_bytes"] > 1000 for way in ("peer", "forward", "client"))


@pytest.mark.long
async def test_links_that_are_slow_or_torn(tmp_path: Path) -> None:
    """What Toxiproxy can do to the leader's links, one after the other: records go on, and nothing is lost."""
    async with started(tmp_path) as (cluster, links):
        for fault, options in (
            ("latency", {"latency": 60, "jitter": 60}),
            ("bandwidth", {"rate": 200}),
            ("slicer", {"average_size": 128, "size_variation": 64, "delay": 100}),
            ("slow_close", {"delay": 500}),
            ("limit_data", {"bytes": 10_000}),
            ("timeout", {"timeout": 200}),
            ("reset_peer", {"timeout": 0}),
        ):
            await _broken(cluster, fault, {"direction": "both", **options}, moves=False)
        await _all_is_there(cluster)
        assert 0 == links.restarts


@pytest.mark.long
async def test_partitions_of_the_whole_cluster(tmp_path: Path) -> None:
    """Loudly, mute, halves, a bridge, one link, leaders alone: records go on; in a ring of three when it has ended.

    While some are cut off the proxies' server is killed: its successor cuts them off, too, until that is mended.
    """
    async with started(tmp_path) as (cluster, links):
        await _broken(cluster, "partition_one", {"grouping": 1, "refused": True}, moves=True)
        await _broken(cluster, "cut_one_way", {"grouping": 1, "direction": "from", "one": False}, moves=True)
        for fault in ("partition_majority", "partition_bridge", "cut", "partition_primaries"):
            await _broken(cluster, fault, {"grouping": 5, "refused": False}, moves=False)
        for fault in ("partition_majorities_ring", "partition_primaries"):
            mend = await cluster.arena.injectors[fault].inject([await cluster.leader()], {"grouping": 5})
            assert mend is not None
            assert links.server_pid is not None
            os.kill(links.server_pid, signal.SIGKILL)
            await mend()
            await cluster.caught_up(await cluster.publish())
        await _all_is_there(cluster)
        assert 2 == links.restarts


async def _all_is_there(cluster: Cluster) -> None:
    """What was acknowledged, once, in order."""
    read = [record.value async for record in cluster.client.read(TOPIC, until="latest") if record.value != THIN]
    assert cluster.acknowledged == read
