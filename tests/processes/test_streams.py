"""Ten thousand streams that have nothing to say, on one node: they cost little memory and nobody else's time."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster import connect
from cluster.cli.dev import wait_ready
from cluster.cli.local import LocalCluster
from cluster.real.network import RealNetwork
from cluster.real.tls import client_tls
from cluster.wire.api import group_pb2, stream_pb2
from cluster.world import Channel, Stream

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(180)]
READS, MEMBERS, GROUP_MEMBERS = 8_000, 2_000, 500
TOGETHER = 200
BYTES_PER_STREAM_MAX = 150_000
WAIT_S_MAX = 1.0
TOPIC = "quiet"
READ = "/riverrun.v1.StreamService/Read"
SUBSCRIBE = "/riverrun.v1.GroupService/Subscribe"


async def _read(channel: Channel) -> Stream:
    """A reader at the end of the topic, which was told where it stands."""
    stream = channel.stream(READ)
    request = stream_pb2.ReadRequest(topic=TOPIC, start=stream_pb2.Position(latest=True))
    await stream.send(request.SerializeToString())
    await stream.finish()
    assert await stream.receive() is not None
    return stream


async def _join(channel: Channel, number: int) -> Stream:
    """A member of one of several groups, which was told that it has joined."""
    stream = channel.stream(SUBSCRIBE)
    join = group_pb2.Join(group=f"group-{number // GROUP_MEMBERS}", topics=[TOPIC])
    await stream.send(group_pb2.SubscribeRequest(join=join).SerializeToString())
    assert await stream.receive() is not None
    return stream


def _resident_bytes(pid: int | None) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


async def test_ten_thousand_idle_streams(make_cluster: Callable[[int], LocalCluster]) -> None:
    """Readers and members of groups at one node; a publisher elsewhere on it waits no longer than a moment."""
    cluster = make_cluster(3)
    cluster.start_all()
    await wait_ready(cluster)
    network = RealNetwork(client_tls(None))
    async with connect(cluster.addresses) as client:
        for topic in (TOPIC, "busy"):
            await client.create_topic(topic, partitions=1)
        await client.publish("busy", b"first")
        channel = network.channel(cluster.address(1))
        before = _resident_bytes(cluster.pid(1))
        streams: list[Stream] = []
        for first in range(0, READS, TOGETHER):
            streams += await asyncio.gather(*(_read(channel) for _ in range(first, first + TOGETHER)))
        for first in range(0, MEMBERS, TOGETHER):
            streams += await asyncio.gather(*(_join(channel, n) for n in range(first, first + TOGETHER)))
        grown = _resident_bytes(cluster.pid(1)) - before
        loop = asyncio.get_running_loop()
        longest_s = 0.0
        for number in range(50):
            begin_s = loop.time()
            await client.publish("busy", b"%d" % number)
            longest_s = max(longest_s, loop.time() - begin_s)
        await channel.close()

    print(f"{len(streams)} streams: {grown / len(streams):,.0f} bytes each, a publish took at most {longest_s:.3f} s")
    assert READS + MEMBERS == len(streams)
    assert grown / len(streams) < BYTES_PER_STREAM_MAX
    assert longest_s < WAIT_S_MAX
