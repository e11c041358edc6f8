"""A topic between stages keeps what its reader has not committed, and nothing else."""

import asyncio
from collections import Counter

import msgspec
import pytest

from cluster.errors import InvalidRequest, NotLeader, RefusedToStart
from cluster.processing.tasks.emptying import Emptying
from cluster.processing.tasks.plan import Plan, plan_of
from cluster.types import Offset, PartitionId, TopicId
from cluster.wire.tasks import DELETE_READ, delete_request
from examples.retail.app import Purchase, Stock
from examples.retail.app import app as retail
from tests.processing.tasks.deployed import AppCluster, a_node, deploy, on_a_cluster
from tests.processing.tasks.selling import all_of
from tests.processing.tasks.test_on_a_cluster import purchase

PARTITIONS = 4
BETWEEN = "__rekey.retail.inventory"


async def buy(cluster: AppCluster, first: int, end: int) -> list[Purchase]:
    """So many purchases, each waited for."""
    client = cluster.client(f"shop-{first}")
    await client.open()
    bought = [purchase(number) for number in range(first, end)]
    for item in bought:
        await client.publish("purchases", msgspec.json.encode(item), key=item.customer_id.encode())
    await client.abandon()
    return bought


async def ranges(cluster: AppCluster, topic: str) -> dict[int, tuple[int, int]]:
    """First offset and end of each partition, by its leader."""
    client = cluster.client(f"looks at {topic}")
    await client.open()
    found = {number: (part.first, part.end) for number, part in (await client.offsets(topic)).items()}
    await client.abandon()
    return found


def sold_of(bought: list[Purchase]) -> Counter[str]:
    """Of each product."""
    sold: Counter[str] = Counter()
    for item in bought:
        sold[item.sku] += item.quantity
    return sold


@pytest.mark.slow
def test_what_was_read_goes_and_nothing_is_lost_though_nodes_are_killed() -> None:
    """The counts are right to the last; of what went through the topic between stages, nothing is left."""

    async def work(cluster: AppCluster) -> None:
        await deploy(cluster, retail, "examples.retail.app", PARTITIONS)
        bought = []
        for victim in (1, 2, 3):
            bought += await buy(cluster, 100 * victim, 100 * victim + 100)
            await asyncio.sleep(2)
            cluster.crash(victim)
            await asyncio.sleep(1)
            await cluster.start(victim)
        stock = await all_of(cluster, "stock", Stock, len(bought))
        assert sold_of(bought) == {sku: max(s.sold for s in stock if s.sku == sku) for sku in sold_of(bought)}
        await asyncio.sleep(10)
        between = await ranges(cluster, BETWEEN)
        assert sum(end for _, end in between.values()) >= len(bought), "all went through it"
        assert {number: first for number, (first, _) in between.items()} == {n: end for n, (_, end) in between.items()}
        kept = await ranges(cluster, "purchases")
        assert {0} == {first for first, _ in kept.values()}, "what people wrote stays"

    on_a_cluster(work, delete_read_s=1.0)


class SaidReader:
    """A task of that plan that says how far it is."""

    def __init__(self, plan: Plan, positions: dict[PartitionId, Offset]) -> None:
        self.plan: Plan | None = plan
        self.positions = positions

    def committed_positions(self) -> dict[PartitionId, Offset]:
        """As said."""
        return self.positions


def test_what_is_not_committed_stays() -> None:
    """From every node, whoever leads the partition: up to the position, and no further."""

    async def work(cluster: AppCluster) -> None:
        await deploy(cluster, retail, "examples.retail.app", PARTITIONS)
        await buy(cluster, 0, 60)
        await all_of(cluster, "stock", Stock, 60)
        topic = a_node(cluster).broker.directory.by_name[BETWEEN]
        app, stage = next(
            (app, stage)
            for app in a_node(cluster).broker.directory.apps.values()
            for stage in app.stages
            if stage.name == "inventory"
        )
        before = await ranges(cluster, BETWEEN)
        number = max(before, key=lambda number: before[number][1])
        partition = PartitionId(topic.id, number)
        plan = plan_of(app, stage, number, a_node(cluster).broker.directory)
        for node in cluster.running.values():
            position = Offset(node.me)
            emptying = Emptying(broker=node.broker, links=node.links, channels=node.channels, every_s=0.5)
            running = asyncio.create_task(emptying.run(SaidReader(plan, {partition: position})))
            await asyncio.sleep(3)
            running.cancel()
            assert before | {number: (position, before[number][1])} == await ranges(cluster, BETWEEN)

    on_a_cluster(work)


def test_only_nodes_may_ask_and_only_for_topics_between_stages() -> None:
    """Whoever knows the cluster's secret, of a topic whose one reader is a task."""

    async def work(cluster: AppCluster) -> None:
        await deploy(cluster, retail, "examples.retail.app", PARTITIONS)
        await buy(cluster, 0, 20)
        asks, node = cluster.running[1], 2
        topic = a_node(cluster).broker.directory.by_name["purchases"]
        hello = asks.links.hello_on_control(node)
        good = asks.links.incarnation
        for partition, run, refusal in (
            (PartitionId(topic.id, 0), good, InvalidRequest),
            (PartitionId(TopicId(bytes(16)), 0), good, NotLeader),
            (PartitionId(topic.id, 0), good + 1, RefusedToStart),
        ):
            request = delete_request(hello, run, partition, Offset(1))
            with pytest.raises(refusal):
                await asks.channels(node).call(DELETE_READ, request, timeout_s=5)
        assert {0} == {first for first, _ in (await ranges(cluster, "purchases")).values()}

    on_a_cluster(work)
