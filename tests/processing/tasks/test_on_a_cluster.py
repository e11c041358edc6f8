"""An app on three simulated nodes: its tasks run where their logs are led, and go on elsewhere when a node is gone."""

import asyncio
import datetime as dt
from collections import Counter
from decimal import Decimal

import msgspec
import pytest

from cluster.processing.task_status import TaskState
from examples.retail.app import Purchase, Stock
from examples.retail.app import app as retail
from tests.processing.tasks import shop
from tests.processing.tasks.deployed import AppCluster, deploy, on_a_cluster
from tests.processing.tasks.selling import TILLS, all_of, good, got, led_as_preferred, numbered, redrive, sell, status
from tests.processing.tasks.shop import Count, Sale, Total

pytestmark = pytest.mark.slow
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
            await asyncio.sleep(20)  # until they run again: no record is to be hit by chance, over and over
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
            node.world.clock.offset_ns -= 3_600_000_000_000
        totals = await all_of(cluster, "totals", Total, len(TILLS))
        assert 20 == sum(total.sales for total in totals)

    on_a_cluster(work)


def test_a_leader_whose_clock_is_ahead_takes_no_time_ahead() -> None:
    """By ten minutes; its inputs are quiet, and event time goes on from the last event by the clock of most nodes.

    What happens when another one leads again is not late for it.
    """

    async def work(cluster: AppCluster) -> None:
        await deploy(cluster, shop.app, "tests.processing.tasks.shop", 1)
        log = "__tasks.shop.totals.1"
        await led_as_preferred(cluster, log)
        ahead = (await status(cluster, log, 0)).node
        cluster.crash(ahead)
        await asyncio.sleep(5)
        await sell(cluster, good(20))
        assert ahead != (await status(cluster, log, 0)).node
        await cluster.start(ahead)
        cluster.clocks[ahead].offset_ns += 600_000_000_000
        await asyncio.sleep(5)
        await led_as_preferred(cluster, log)
        assert ahead == (await status(cluster, log, 0)).node
        await asyncio.sleep(60)
        cluster.crash(ahead)
        await asyncio.sleep(5)
        assert (await status(cluster, log, 0)).watermark_ns < int((1_800_000_000 + cluster.loop.now_s) * 1e9)
        await sell(cluster, good(20, first=20))
        await asyncio.sleep(60)
        assert "late" not in (await status(cluster, log, 0)).counts
        client = cluster.client("counter")
        await client.open()
        totals = await all_of(cluster, "totals", Total, (await client.offsets("totals"))[0].end)
        await client.abandon()
        assert 40 == sum(total.sales for total in totals)

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
