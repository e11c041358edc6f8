"""Jobs with an end, on simulated nodes: what was appended before `until` counts, and then they are done."""

import asyncio

import pytest

from cluster.client.routing import partition_of_key
from cluster.processing.task_status import TaskState
from cluster.types import PartitionId
from tests.processing.tasks import bounded
from tests.processing.tasks.bounded import Sold
from tests.processing.tasks.deployed import AppCluster, a_node, deploy, on_a_cluster
from tests.processing.tasks.selling import TILLS, all_of, good, got, numbered, sell, status
from tests.processing.tasks.shop import Count, Sale

pytestmark = pytest.mark.slow
PARTITIONS = 2
STAGES = ("count", "everything.rekey", "everything", "totals", "all_totals.rekey", "all_totals")


def test_a_bounded_job_ends_with_all_that_came_before_its_end() -> None:
    """Every window closes, every stage says that it is finished, and what comes later is not read."""

    async def work(cluster: AppCluster) -> None:
        await deploy(cluster, bounded.app, "tests.processing.tasks.bounded", PARTITIONS)
        before = good(60)
        await sell(cluster, before)
        told = [await status(cluster, "__tasks.bounded.count.1", number) for number in range(PARTITIONS)]
        assert 0 < sum(task.records_in_per_s for task in told) < 100
        assert 0 < sum(task.records_out_per_s for task in told) < 100
        assert cluster.loop.now_s < bounded.UNTIL_S
        await asyncio.sleep(bounded.UNTIL_S + 1 - cluster.loop.now_s)
        await sell(cluster, good(20, first=60))
        assert numbered(before) == got(await all_of(cluster, "counts", Count, len(before)))
        async with asyncio.timeout(60):
            while left := await unfinished(cluster):  # noqa: ASYNC110
                await asyncio.sleep(1)
        assert [] == left
        told = [await status(cluster, "__tasks.bounded.count.1", number) for number in range(PARTITIONS)]
        assert len(before) == sum(task.progress.done for task in told if task.progress is not None)
        assert len(before) == sum(task.progress.total for task in told if task.progress is not None)
        for topic in ("totals", "all-totals"):
            assert len(before) == sum(sold.sales for sold in await everything(cluster, topic, Sold))

    on_a_cluster(work)


def test_what_is_on_its_way_to_disk_at_the_end_counts() -> None:
    """Appended before `until`, and committed two seconds later, for disks are slow just then."""

    async def work(cluster: AppCluster) -> None:
        await deploy(cluster, bounded.app, "tests.processing.tasks.bounded", PARTITIONS)
        sales = good(41)
        await sell(cluster, sales[:40])
        await all_of(cluster, "counts", Count, 40)
        await asyncio.sleep(bounded.UNTIL_S - 0.3 - cluster.loop.now_s)
        for disk in cluster.disks.values():
            disk.latency_s = 4.0
        late = asyncio.create_task(sell(cluster, sales[40:]))
        await asyncio.sleep(2)
        assert not late.done()
        for disk in cluster.disks.values():
            disk.latency_s = 0.001
        await late
        await asyncio.sleep(10)
        assert numbered(sales) == got(await everything(cluster, "counts", Count))
        async with asyncio.timeout(60):
            while await unfinished(cluster):  # noqa: ASYNC110
                await asyncio.sleep(1)
        for topic in ("totals", "all-totals"):
            assert len(sales) == sum(sold.sales for sold in await everything(cluster, topic, Sold))

    on_a_cluster(work)


def test_a_task_whose_node_is_ahead_ends_by_the_clock_of_its_input() -> None:
    """By five seconds: what is appended in those, by another node, which says when, is before the end."""

    async def work(cluster: AppCluster) -> None:
        await deploy(cluster, bounded.app, "tests.processing.tasks.bounded", PARTITIONS)
        await asyncio.sleep(2)
        leaders = {number: leader_of(cluster, "sales", number) for number in range(PARTITIONS)}
        tasks = {number: leader_of(cluster, "__tasks.bounded.totals.1", number) for number in range(PARTITIONS)}
        number = next(number for number in leaders if leaders[number] != tasks[number])
        ahead = tasks[number]
        cluster.clocks[ahead].offset_ns += 5_000_000_000
        till = next(till for till in TILLS if partition_of_key(till.encode(), PARTITIONS) == number)
        sold = [Sale(till, n) for n in range(12)]
        await asyncio.sleep(bounded.UNTIL_S - 7 - cluster.loop.now_s)
        for sale in sold[:-1]:
            await sell(cluster, [sale])
            await asyncio.sleep(0.5)
        assert bounded.UNTIL_S - 2 < cluster.loop.now_s < bounded.UNTIL_S
        await asyncio.sleep(1.2)
        assert cluster.loop.now_s < bounded.UNTIL_S
        await sell(cluster, sold[-1:])
        assert leaders[number] == leader_of(cluster, "sales", number)
        assert ahead == leader_of(cluster, "__tasks.bounded.totals.1", number)
        async with asyncio.timeout(60):
            while await unfinished(cluster):  # noqa: ASYNC110
                await asyncio.sleep(1)
        assert len(sold) == sum(found.sales for found in await everything(cluster, "totals", Sold))

    on_a_cluster(work)


def leader_of(cluster: AppCluster, topic: str, number: int) -> int:
    """The node that leads a partition."""
    partition = PartitionId(a_node(cluster).broker.directory.by_name[topic].id, number)
    return next(n for n, node in cluster.running.items() if node.broker.running[partition].replica.raft.is_leader)


async def unfinished(cluster: AppCluster) -> list[str]:
    """Tasks that do not say that they are done."""
    found = []
    for stage in STAGES:
        for number in range(PARTITIONS):
            told = await status(cluster, f"__tasks.bounded.{stage}.1", number)
            if told.state is not TaskState.FINISHED:
                found.append(f"{stage}/{number}: {told.state} {told.why}")
    return found


async def everything(cluster: AppCluster, topic: str, kind: type) -> list:
    """All records of a topic."""
    client = cluster.client(f"counter of {topic}")
    await client.open()
    count = sum(part.end for part in (await client.offsets(topic)).values())
    await client.abandon()
    return await all_of(cluster, topic, kind, count)
