"""Sales on a simulated cluster, what should come of them, and what its tasks say."""

import asyncio
from collections import Counter

import msgspec

from cluster.processing.task_status import TaskState, TaskStatus
from cluster.types import PartitionId
from tests.processing.tasks.deployed import AppCluster, a_node, until
from tests.processing.tasks.shop import Count, Sale

TILLS = [f"t{number}" for number in range(10)]


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


async def says(cluster: AppCluster, topic: str, state: TaskState, word: str) -> TaskStatus:
    """What the first task of a stage says in that state, with that word."""
    async with asyncio.timeout(60):
        while True:
            told = await status(cluster, topic, 0)
            if told.state == state and word in told.why:
                return told
            await asyncio.sleep(0.2)


async def stopped(cluster: AppCluster, topic: str, word: str = "") -> TaskStatus:
    """What the first task of a stage says when it has stopped, with that word."""
    return await says(cluster, topic, TaskState.STOPPED, word)


async def led_as_preferred(cluster: AppCluster, topic: str) -> None:
    """The first task of a stage is led where it stays; a first leader that is another one hands over in a moment."""
    directory = a_node(cluster).broker.directory
    async with asyncio.timeout(60):
        while True:
            found = directory.by_name[topic]
            node = cluster.running.get(found.partitions[0].preferred_leader)
            if node is not None and node.broker.running[PartitionId(found.id, 0)].replica.raft.is_leader:
                return
            await asyncio.sleep(0.1)


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


async def redrive(cluster: AppCluster, topic: str, number: int) -> int:
    """One task's."""

    async def ask() -> int:
        partition = PartitionId(a_node(cluster).broker.directory.by_name[topic].id, number)
        leader = next(n for n in cluster.running.values() if n.broker.running[partition].replica.raft.is_leader)
        assert leader.tasks is not None
        return await leader.tasks.redrive(partition)

    return await until(ask)


def resume(cluster: AppCluster, topic: str) -> None:
    """The first task of a stage, wherever it is led."""
    partition = PartitionId(a_node(cluster).broker.directory.by_name[topic].id, 0)
    for node in cluster.running.values():
        running = node.broker.running.get(partition)
        if running is not None and running.replica.raft.is_leader:
            assert node.tasks is not None
            node.tasks.resume(partition)


async def delete(cluster: AppCluster, topic: str) -> None:
    """A topic, while it is in use."""
    await until(lambda: a_node(cluster).controller.delete_topic(topic))


async def crash_at(cluster: AppCluster, sale: Sale) -> None:
    """Whoever is given it first ends."""
    for hosts in cluster.user_code.values():
        hosts.crash_next_work()
    await sell(cluster, [sale])
