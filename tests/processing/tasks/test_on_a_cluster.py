"""An app on three simulated nodes: its tasks run where their logs are led, and go on elsewhere when a node is gone."""

import asyncio
import datetime as dt
from collections import Counter
from decimal import Decimal

import msgspec
import pytest

from examples.retail.app import Purchase, Stock, app
from tests.processing.tasks.deployed import AppCluster, deploy, on_a_cluster

pytestmark = pytest.mark.slow
MODULE = "examples.retail.app"
PARTITIONS = 4


def purchase(number: int) -> Purchase:
    """Of one of seven customers, one of five products, on one of a few days."""
    return Purchase(
        date=dt.date(2026, 1, 1) + dt.timedelta(days=number // 100),
        customer_id=f"c{number % 7}",
        sku=f"s{number % 5}",
        quantity=1 + number % 3,
        amount_usd=Decimal(number),
    )


async def all_of(cluster: AppCluster, topic: str, kind: type, count: int) -> list:
    """The first so many records of a topic, of all partitions."""
    client = cluster.client(f"reader of {topic}")
    await client.open()
    decode = msgspec.json.Decoder(kind).decode
    found = []
    async with asyncio.timeout(120):
        async for record in client.read(topic, start="earliest"):
            found.append(decode(record.value))
            if len(found) >= count:
                break
    await client.abandon()
    return found


def test_every_purchase_counts_once_though_nodes_are_killed() -> None:
    """Stock is re-keyed and counted: the last count of each product is what was sold of it."""

    async def work(cluster: AppCluster) -> None:
        await asyncio.sleep(3)
        await deploy(cluster, app, MODULE, PARTITIONS)
        client = cluster.client("shop")
        await client.open()
        bought = [purchase(number) for number in range(300)]
        for number, item in enumerate(bought):
            await client.publish("purchases", msgspec.json.encode(item), key=item.customer_id.encode())
            if number % 100 == 50:
                victim = 1 + number // 100
                cluster.crash(victim)
                await asyncio.sleep(1)
                await cluster.start(victim)
        sold: Counter[str] = Counter()
        for item in bought:
            sold[item.sku] += item.quantity
        stock = await all_of(cluster, "stock", Stock, len(bought))
        assert sold == {sku: max(s.sold for s in stock if s.sku == sku) for sku in sold}
        assert len(set(map(msgspec.json.encode, stock))) == len(stock)
        await client.abandon()

    on_a_cluster(work)
