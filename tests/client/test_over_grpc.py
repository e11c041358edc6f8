"""The same client on the real network: gRPC on loopback, against the nodes that serve from memory."""

import asyncio

import pytest

from cluster.client.client import Client
from cluster.config import ClientOptions
from cluster.errors import Unavailable
from cluster.real.clock import RealClock, real_random
from cluster.real.network import RealNetwork
from tests.client.fake_cluster import FakeCluster

RECORDS = 3_000


async def serve(cluster):
    """Put every node of `cluster` on a port of its own."""
    listeners = []
    for number, address in enumerate(list(cluster.addresses)):
        listener = await RealNetwork().listen("127.0.0.1:0", cluster.network.routes[address], public=False)
        cluster.addresses[number] = listener.address
        listeners.append(listener)
    return listeners


def client_of(cluster, **options):
    """A client that knows only the last node."""
    return Client(
        cluster.addresses[-1],
        network=RealNetwork(),
        clock=RealClock(),
        random=real_random(),
        options=ClientOptions(**options),
    )


@pytest.mark.slow
async def test_a_leader_goes_while_records_stream():
    """Half-way one node stops and its partitions move: everything arrives once, in order, and is read back."""
    cluster = FakeCluster()
    listeners = await serve(cluster)
    cluster.make_topic("t", 3)
    client = await client_of(cluster, records_per_batch_max=20, codec="zstd").open()
    deliveries = []
    for n in range(RECORDS):
        deliveries.append(await client.produce("t", b"%d" % n, partition=n % 3, headers={"n": b"%d" % n}))
        if n == RECORDS // 2:
            await listeners[0].close(0)
            cluster.move("t", 0, 1)
    receipts = await asyncio.gather(*deliveries)
    assert [n // 3 for n in range(RECORDS)] == [receipt.offset for receipt in receipts]
    found = {0: [], 1: [], 2: []}
    async for record in client.read("t", until="latest"):
        found[record.partition].append(record.value)
    assert {p: [b"%d" % n for n in range(p, RECORDS, 3)] for p in range(3)} == found
    await client.close()
    for listener in listeners:
        await listener.close(0)


@pytest.mark.slow
async def test_nobody_listens():
    """The error comes within the request's time, and says so."""
    client = Client(
        "127.0.0.1:9",
        network=RealNetwork(),
        clock=RealClock(),
        random=real_random(),
        options=ClientOptions(request_timeout_s=0.5),
    )
    with pytest.raises(Unavailable, match="is the cluster running there"):
        await client.open()
    await client.abandon()
