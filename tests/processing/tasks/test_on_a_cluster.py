"""An app on three simulated nodes: its tasks run where their logs are led, and go on elsewhere when a node is gone."""

import asyncio
import datetime as dt
from collections import Counter
from decimal import Decimal

import msgspec
import pytest

from cluster.processing.task_status import TaskState, TaskStatus
from cluster.types import PartitionId
from examples.retail.app import Purchase, Stock
from examples.retail.app import app as retail
from tests.processing.tasks import shop
from tests.processing.tasks.deployed import AppCluster, a_node, deploy, on_a_cluster, until
from tests.processing.tasks.shop import Count, Sale, Total

pytestmark = pytest.mark.slow
PARTITIONS = 4
TILLS = [f"t{number}" for number in range(10)]


def purchase(number: int) -> Purchase:
    """Of one of seven customers, one of five products, on one of a few days."""
    return Purchase(
        date=dt.date(2026, 1, 1) + dt.timedelta(days=number // 100),
        customer_id=f"c{number % 7}",
        sku=f"s{number % 5}",
        quantity=1 + number % 3,
        amount_usd=Decimal(number),
    )


async def sell(cluster: AppCluster, sales: list[Sale], *, at_s: float | None = None) -> None:
    """Publish them, each waited for."""
    client = cluster.client("tills")
    await client.open()
    for sale in sales:
        now = cluster.loop.now_s if at_s is None else at_s + sale.second
        await client.publish(
            "sales", msgspec.json.encode(sale), key=sale.till.encode(), timestamp_ns=int((1_800_000_000 + now) * 1e9)
        )
    await client.abandon()


async def all_of(cluster: AppCluster, topic: str, kind: type, count: int) -> list:
    """The first so many records of a topic, of all partitions; there are no more of them."""
    client = cluster.client(f"reader of {topic}")
    await client.open()
    decode = msgspec.json.Decoder(kind).decode
    found = []
    async with asyncio.timeout(120):
        async for record in client.read(topic, start="earliest"):
            found.append(decode(record.value))
            if len(found) >= count:
                break
    await asyncio.sleep(2)
    assert count == sum(part.end for part in (await client.offsets(topic)).values()), (
        f"more in {topic} than there should be"
    )
    await client.abandon()
    return found


async def status(cluster: AppCluster, topic: str, number: int) -> TaskStatus:
    """Of one task, wherever it is led."""

    async def ask() -> TaskStatus:
        error: Exception | None = None
        for node in cluster.running.values():
            directory = node.broker.directory
            try:
                assert node.tasks is not None
                return await node.tasks.status(PartitionId(directory.by_name[topic].id, number))
            except Exception as refused:  # noqa: BLE001  the last one is raised
                error = refused
        assert error is not None
        raise error

    return await until(ask)


def numbered(sales: list[Sale]) -> set[tuple[str, int, int]]:
    """What `count` makes of them, in their order."""
    seen: Counter[str] = Counter()
    expected = set()
    for sale in sales:
        seen[sale.till] += 1
        expected.add((sale.till, sale.number, seen[sale.till]))
    return expected


def got(counts: list[Count]) -> set[tuple[str, int, int]]:
    """The same of what came."""
    assert len({(c.till, c.number) for c in counts}) == len(counts), "something came twice"
    return {(c.till, c.number, c.count) for c in counts}


def good(count: int, *, first: int = 0) -> list[Sale]:
    """Of all tills in turn."""
    return [Sale(TILLS[number % len(TILLS)], number) for number in range(first, first + count)]


def test_every_purchase_counts_once_though_nodes_are_killed() -> None:
    """Stock is re-keyed and counted: the last count of each product is what was sold of it."""

    async def work(cluster: AppCluster) -> None:
        await deploy(cluster, retail, "examples.retail.app", PARTITIONS)
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
        await client.abandon()
        sold: Counter[str] = Counter()
        for item in bought:
            sold[item.sku] += item.quantity
        stock = await all_of(cluster, "stock", Stock, len(bought))
        assert sold == {sku: max(s.sold for s in stock if s.sku == sku) for sku in sold}

    on_a_cluster(work)


def test_user_code_that_ends_its_process_again_and_again() -> None:
    """Nothing is lost, and nothing counts twice."""

    async def work(cluster: AppCluster) -> None:
        await deploy(cluster, shop.app, "tests.processing.tasks.shop", PARTITIONS)
        sales = good(200)
        for first in range(0, 200, 40):
            for hosts in cluster.user_code.values():
                hosts.crash_next_work(after=1)
            await sell(cluster, sales[first : first + 40])
        assert numbered(sales) == got(await all_of(cluster, "counts", Count, len(sales)))
        assert 3 < sum(hosts.crashes for hosts in cluster.user_code.values())

    on_a_cluster(work)


def test_dead_letters_are_handled_after_a_fix_in_their_order() -> None:
    """With the records of their keys that came behind them; a strict processor stops instead, and goes on after it."""

    async def work(cluster: AppCluster) -> None:
        await deploy(cluster, shop.app, "tests.processing.tasks.shop", PARTITIONS)
        sales = good(60)
        sales[25] = Sale(sales[25].till, 25, bad=True)
        await sell(cluster, sales)
        parked = [sale for sale in sales[25:] if sale.till == sales[25].till]
        assert len(sales) - len(parked) == len(await all_of(cluster, "counts", Count, len(sales) - len(parked)))
        topics = {"__tasks.shop.strict.1": TaskState.STOPPED, "__tasks.shop.count.1": TaskState.RUNNING}
        for topic, expected in topics.items():
            states = {(await status(cluster, topic, number)).state for number in range(PARTITIONS)}
            assert expected in states, topic
        stopped = [await status(cluster, "__tasks.shop.strict.1", number) for number in range(PARTITIONS)]
        assert any("cannot handle 25" in told.why and "ValueError" in told.error_traceback for told in stopped)

        await deploy(cluster, shop.mended, "tests.processing.tasks.shop", PARTITIONS, name="mended")
        assert numbered(sales) == got(await all_of(cluster, "strict-counts", Count, len(sales)))
        redriven = 0
        for number in range(PARTITIONS):
            redriven += await redrive(cluster, "__tasks.shop.count.1", number)
        assert len(parked) == redriven
        assert numbered(sales) == got(await all_of(cluster, "counts", Count, len(sales)))

    on_a_cluster(work)


async def redrive(cluster: AppCluster, topic: str, number: int) -> int:
    """One task's."""

    async def ask() -> int:
        partition = PartitionId(a_node(cluster).broker.directory.by_name[topic].id, number)
        leader = next(n for n in cluster.running.values() if n.broker.running[partition].replica.raft.is_leader)
        assert leader.tasks is not None
        return await leader.tasks.redrive(partition)

    return await until(ask)


def test_windows_close_when_nothing_comes_any_more() -> None:
    """Half a minute later, on inputs that their leaders say to be at their end."""

    async def work(cluster: AppCluster) -> None:
        await deploy(cluster, shop.app, "tests.processing.tasks.shop", PARTITIONS)
        sales = [Sale(TILLS[n % 10], n, second=n // 10) for n in range(300)]
        await sell(cluster, sales, at_s=0)
        await asyncio.sleep(5)
        victim = next(iter(cluster.running))
        cluster.crash(victim)
        await asyncio.sleep(5)
        await cluster.start(victim)
        expected = Counter((sale.till, 1_800_000_000 + sale.second // 10 * 10) for sale in sales)
        totals = await all_of(cluster, "totals", Total, len(expected))
        assert expected == Counter({(total.till, total.start): total.sales for total in totals})

    on_a_cluster(work)


def test_time_goes_on_though_clocks_are_set_back() -> None:
    """Swarm seed 3: by an hour, on all nodes, and a window of ten seconds does not wait for that."""

    async def work(cluster: AppCluster) -> None:
        await deploy(cluster, shop.app, "tests.processing.tasks.shop", PARTITIONS)
        await sell(cluster, good(20))
        await asyncio.sleep(5)
        for node in cluster.running.values():
            node._world.clock.offset_ns -= 3_600_000_000_000
        totals = await all_of(cluster, "totals", Total, len(TILLS))
        assert 20 == sum(total.sales for total in totals)

    on_a_cluster(work)


def test_a_replica_that_is_far_behind_gets_the_state() -> None:
    """Its task's log has gone on without it; later it leads, alone with one other, and goes on rightly."""

    async def work(cluster: AppCluster) -> None:
        await deploy(cluster, shop.app, "tests.processing.tasks.shop", PARTITIONS)
        sales = good(600)
        await sell(cluster, sales[:50])
        cluster.crash(1)
        await sell(cluster, sales[50:400])
        await asyncio.sleep(20)
        await cluster.start(1)
        await asyncio.sleep(10)
        cluster.crash(2)
        await sell(cluster, sales[400:])
        assert numbered(sales) == got(await all_of(cluster, "counts", Count, len(sales)))
        assert cluster.fetched, "no state was fetched"

    on_a_cluster(work, short_logs=True)
