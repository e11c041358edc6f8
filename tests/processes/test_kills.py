"""Three real nodes under SIGKILL and SIGSTOP: what was acknowledged is there, once, in order."""

import asyncio
import signal
from collections import Counter
from collections.abc import Callable

import pytest

from cluster import connect
from cluster.cli.dev import wait_ready
from cluster.cli.local import LocalCluster
from cluster.client.client import Client
from cluster.errors import RiverrunError

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(90)]
TOPIC = "orders"
KEYS = 20


class Load:
    """Produces numbered values until told to stop, and remembers what was acknowledged."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.stopping = False
        self.acknowledged: set[int] = set()
        self.sent = 0

    async def run(self) -> None:
        """Some hundred records a second, in batches, each awaited."""
        pending = set()
        while not self.stopping:
            for _ in range(5):
                number = self.sent
                self.sent += 1
                delivery = await self.client.produce(TOPIC, b"%d" % number, key=b"k%d" % (number % KEYS))
                task = asyncio.ensure_future(self._note(number, delivery))
                pending.add(task)
                task.add_done_callback(pending.discard)
            await asyncio.sleep(0.01)
        await self.client.flush()
        await asyncio.gather(*pending)

    async def _note(self, number: int, delivery: object) -> None:
        await delivery  # type: ignore[misc]
        self.acknowledged.add(number)


async def _verify(load: Load, client: Client) -> None:
    seen: Counter[int] = Counter()
    last: dict[bytes, int] = {}
    async for record in client.read(TOPIC, until="latest"):
        number = int(record.value)
        seen[number] += 1
        assert record.key is not None
        assert last.get(record.key, -1) < number, "a key's records are in order"
        last[record.key] = number

    assert set() == load.acknowledged - set(seen)
    assert [] == [number for number, count in seen.items() if count > 1]
    assert load.sent == len(seen)


async def _leader(client: Client) -> int:
    topic = await client.describe_topic(TOPIC)
    assert topic.partitions[0].leader is not None
    return int(topic.partitions[0].leader)


async def _start(cluster: LocalCluster) -> Client:
    cluster.start_all()
    await wait_ready(cluster)
    client = await connect(cluster.addresses)
    await client.create_topic(TOPIC, partitions=3, replicas=3)
    return client


async def test_a_killed_leader_costs_nothing(make_cluster: Callable[[int], LocalCluster]) -> None:
    """SIGKILL of the node that leads, under load; then it comes back."""
    cluster = make_cluster(3)
    client = await _start(cluster)
    load = Load(client)
    running = asyncio.create_task(load.run())
    await asyncio.sleep(1)
    node = await _leader(client)
    cluster.kill(node)
    before = len(load.acknowledged)
    await asyncio.sleep(3)
    assert len(load.acknowledged) > before + 100, "two of three nodes go on"
    cluster.start(node)
    await wait_ready(cluster)
    load.stopping = True
    await running

    await _verify(load, client)
    await client.close()


async def test_the_power_of_all_nodes_fails(make_cluster: Callable[[int], LocalCluster]) -> None:
    """SIGKILL of all three at once, under load; they come back and continue."""
    cluster = make_cluster(3)
    client = await _start(cluster)
    load = Load(client)
    running = asyncio.create_task(load.run())
    await asyncio.sleep(1)
    for node in cluster.nodes:
        cluster.kill(node)
    before = len(load.acknowledged)
    cluster.start_all()
    await wait_ready(cluster)
    for _ in range(100):
        if len(load.acknowledged) > before + 100:
            break
        await asyncio.sleep(0.1)
    assert len(load.acknowledged) > before + 100
    load.stopping = True
    await running

    await _verify(load, client)
    await client.close()


async def test_a_node_that_stands_still_is_passed_over(make_cluster: Callable[[int], LocalCluster]) -> None:
    """SIGSTOP of the leader for five seconds: the others go on; when it wakes it follows."""
    cluster = make_cluster(3)
    client = await _start(cluster)
    load = Load(client)
    running = asyncio.create_task(load.run())
    await asyncio.sleep(0.5)
    node = await _leader(client)
    cluster.kill(node, signal.SIGSTOP)
    before = len(load.acknowledged)
    await asyncio.sleep(5)
    assert len(load.acknowledged) > before + 100
    cluster.kill(node, signal.SIGCONT)
    await wait_ready(cluster)
    load.stopping = True
    await running

    await _verify(load, client)
    await client.close()


async def test_the_controllers_death_does_not_stop_records(make_cluster: Callable[[int], LocalCluster]) -> None:
    """Nothing on the path of a record waits for the controller; another one takes over."""
    cluster = make_cluster(3)
    client = await _start(cluster)
    controller = (await client.cluster_status()).controller
    assert controller is not None
    cluster.kill(int(controller))
    await client.publish(TOPIC, b"on")
    for _ in range(100):
        try:
            await client.create_topic("later", partitions=1, replicas=2, if_absent=True)
            break
        except RiverrunError:
            await asyncio.sleep(0.1)
    else:
        pytest.fail("no other controller within ten seconds")

    assert "later" in {topic.name for topic in await client.list_topics()}
    await client.close()
