"""Producing against a cluster in memory: order, retries, back-pressure, time-outs, errors."""

import asyncio

import pytest

from cluster.errors import UnknownTopic
from tests.client.scenario import scenario


@scenario
async def test_a_record_comes_back_with_its_receipt(cluster):
    """`publish` returns partition, offset and what was reached."""
    cluster.make_topic("t", 1)
    async with cluster.client() as client:
        first = await client.publish("t", b"one", key=b"k", headers={"h": b"v"})
        second = await client.publish("t", b"two")
    assert (0, 0, 1, 2) == (first.partition, first.offset, first.record_count, first.replicas_synced)
    assert 1 == second.offset
    record = cluster.topics["t"].partitions[0].records()[0]
    assert (b"one", b"k", "h", b"v") == (record.value, record.key, record.headers[0].name, record.headers[0].value)


@scenario
async def test_unknown_topic(cluster):
    """Every node says so."""
    async with cluster.client() as client:
        with pytest.raises(UnknownTopic):
            await client.produce("nope", b"x")


@scenario
async def test_many(cluster):
    """Many records, all there in order."""
    cluster.make_topic("t", 4)
    async with cluster.client(records_per_batch_max=10) as client:
        deliveries = [await client.produce("t", str(n).encode(), partition=n % 4) for n in range(1000)]
        receipts = await asyncio.gather(*deliveries)
    for p in range(4):
        assert [str(n).encode() for n in range(1000) if n % 4 == p] == cluster.values("t", p)
    assert [n // 4 for n in range(1000)] == [r.offset for r in receipts]
