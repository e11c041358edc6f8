"""Jobs with an end, on simulated nodes: what was appended before `until` counts, and then they are done."""

import asyncio

import pytest

from cluster.processing.task_status import TaskState
from tests.processing.tasks import bounded
from tests.processing.tasks.bounded import Sold
from tests.processing.tasks.deployed import AppCluster, deploy, on_a_cluster
from tests.processing.tasks.shop import Count
from tests.processing.tasks.test_on_a_cluster import all_of, good, got, numbered, sell, status

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
