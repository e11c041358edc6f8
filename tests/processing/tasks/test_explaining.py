"""What is told of tasks that do not go on: each with its cause, whichever node is asked."""

import asyncio

import pytest

from cluster.cli.explain import lines_of
from cluster.client.client import Client
from cluster.client.explaining import ExplanationView, FindingView, Severity
from cluster.config import ProcessingOptions
from cluster.errors import InvalidRequest, RiverrunError, UnknownApp
from cluster.processing.hosting.workers import Workers
from cluster.processing.task_status import TaskState
from tests.processing.tasks import flaky, shop
from tests.processing.tasks.deployed import AppCluster, a_node, deploy, on_a_cluster, until
from tests.processing.tasks.flaky import outside
from tests.processing.tasks.selling import TILLS, all_of, good, says, sell, stopped
from tests.processing.tasks.shop import Count, Sale

pytestmark = pytest.mark.slow
SHOP = "tests.processing.tasks.shop"
FLAKY = "tests.processing.tasks.flaky"


async def told(client: Client, app: str, stage: str, code: str) -> tuple[ExplanationView, FindingView]:
    """Ask about its first task until that is among the findings."""
    async with asyncio.timeout(60):
        while True:
            try:
                found = await client.explain_task(app, stage, 0)
            except RiverrunError as error:
                if not error.retry:
                    raise
            else:
                if code in found.codes:
                    print("\n".join(lines_of(found)))
                    return found, next(one for one in found.findings if one.code == code)
            await asyncio.sleep(0.5)


def test_code_that_raises_is_named_with_its_error() -> None:
    """It has stopped at a record: what it said, how many wait, how it goes on. Others are healthy."""

    async def work(cluster: AppCluster) -> None:
        client = cluster.client("c")
        await deploy(cluster, shop.app, SHOP, 1)
        await sell(cluster, good(20))
        await all_of(cluster, "strict-counts", Count, 20)  # it works, and what it writes has a leader
        await sell(cluster, [Sale(TILLS[0], 99, bad=True), *good(10, first=100)])
        await stopped(cluster, "__tasks.shop.strict.1")
        found, finding = await told(client, "shop", "strict", "TASK_FAILING")

        assert "task shop/strict@1/0: 1 thing is wrong" == found.summary
        assert Severity.CRITICAL is finding.severity
        assert "ValueError: cannot handle 99" in finding.cause
        assert 1 <= finding.numbers["lag_records"] <= 11
        assert "`riverrun app resume shop strict@1`" in finding.advice
        other, _ = await told(client, "shop", "count", "RECORDS_PUT_ASIDE")  # its log may have its leader later
        assert other.healthy, lines_of(other)
        await client.abandon()

    on_a_cluster(work)


def test_a_record_that_is_tried_again_is_named() -> None:
    """What its code calls is busy: it is said with the error, and that others go on."""

    async def work(cluster: AppCluster) -> None:
        client = cluster.client("c")
        outside.busy, outside.asked_s = True, []
        await deploy(cluster, flaky.app, FLAKY, 1)
        await sell(cluster, [*good(5), Sale(TILLS[0], 99, bad=True)])
        await says(cluster, "__tasks.flaky.count.1", TaskState.RUNNING, "tried again in")
        _, finding = await told(client, "flaky", "count", "TASK_FAILING")

        assert Severity.WARNING is finding.severity
        assert 1 == finding.numbers["retrying"]
        assert "TimeoutError: it is busy" in finding.cause
        await client.abandon()

    on_a_cluster(work)


def test_a_task_without_a_worker_is_named() -> None:
    """Its code runs outside and nobody has come to run it: the command that starts one."""

    async def work(cluster: AppCluster) -> None:
        client = cluster.client("c")
        for hosts in cluster.user_code.values():
            hosts._workers = Workers(ProcessingOptions(), version="")
        await deploy(cluster, shop.app, SHOP, 1, external=True)
        await sell(cluster, good(7))
        found, finding = await told(client, "shop", "strict", "TASK_WAITS_FOR_WORKER")

        assert Severity.CRITICAL is finding.severity
        assert f"`riverrun worker {SHOP} --connect HOST:PORT`" in finding.advice
        assert ("TASK_WAITS_FOR_WORKER",) == found.codes
        await client.abandon()

    on_a_cluster(work)


def test_a_paused_app_is_no_fault() -> None:
    """It is told as a note, with what waits meanwhile."""

    async def work(cluster: AppCluster) -> None:
        client = cluster.client("c")
        await deploy(cluster, shop.app, SHOP, 1)
        await until(lambda: a_node(cluster).controller.set_paused("shop", [("strict", 1)], paused=True))
        await says(cluster, "__tasks.shop.strict.1", TaskState.PAUSED, "")
        await sell(cluster, good(7))
        found, finding = await told(client, "shop", "strict", "PAUSED")

        assert (True, Severity.NOTE) == (found.healthy, finding.severity)
        assert "task shop/strict@1/0: nothing waits, 1 note" == found.summary
        assert "`riverrun app resume shop strict@1`" in finding.advice
        await client.abandon()

    on_a_cluster(work)


def test_a_task_whose_log_has_no_quorum_is_named_with_why() -> None:
    """Two of three nodes are gone: nobody runs it, for its log has no leader; and its inputs have none either."""

    async def work(cluster: AppCluster) -> None:
        client = cluster.client("c")
        await deploy(cluster, shop.app, SHOP, 1)
        await sell(cluster, good(7))
        for node in (2, 3):
            cluster.crash(node)
        await asyncio.sleep(5)
        found, finding = await told(client, "shop", "strict", "TASK_UNKNOWN")

        assert Severity.CRITICAL is finding.severity
        assert "NO_QUORUM" in found.codes
        quorum = next(one for one in found.findings if one.code == "NO_QUORUM")
        assert "partition __tasks.shop.strict.1/0" == quorum.about
        await client.abandon()

    on_a_cluster(work)


def test_a_task_that_is_not_there_is_refused() -> None:
    """With what there is."""

    async def work(cluster: AppCluster) -> None:
        client = cluster.client("c")
        await deploy(cluster, shop.app, SHOP, 1)
        with pytest.raises(UnknownApp, match="deployed are: shop"):
            await client.explain_task("none", "count", 0)
        with pytest.raises(UnknownApp, match=r"it has .*strict@1"):
            await client.explain_task("shop", "none", 0)
        with pytest.raises(InvalidRequest, match="has 1 tasks, numbered from 0; there is no 5"):
            await client.explain_task("shop", "strict", 5)
        await client.abandon()

    on_a_cluster(work)
