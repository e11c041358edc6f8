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
from tests.processes.jumping_node import AHEAD, BACK, JUMP_NS

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(90)]
TOPIC = "orders"
KEYS = 20
PATIENCE_S = 20.0
STOPPED_S = 5.0


class Load:
    """Produces numbered values until told to stop, and remembers what was acknowledged."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.stopping = False
        self.acknowledged: set[int] = set()
        self.sent = 0
        self._more = asyncio.Event()

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
        self._more.set()

    async def goes_on(self, records: int = 200) -> None:
        """Return when so many more are acknowledged; the test fails if that takes too long."""
        enough = len(self.acknowledged) + records
        async with asyncio.timeout(PATIENCE_S):
            while len(self.acknowledged) < enough:
                self._more.clear()
                await self._more.wait()


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


async def _start(cluster: LocalCluster, partitions: int = 3) -> Client:
    cluster.start_all()
    await wait_ready(cluster)
    client = await connect(cluster.addresses)
    await client.create_topic(TOPIC, partitions=partitions, replicas=3)
    return client


@pytest.mark.parametrize("leads", [True, False], ids=["leader", "follower"])
async def test_a_killed_node_costs_nothing(make_cluster: Callable[[int], LocalCluster], leads: bool) -> None:  # noqa: FBT001
    """SIGKILL of the node that leads, or of one that follows, under load; then it comes back."""
    cluster = make_cluster(3)
    client = await _start(cluster, partitions=1)
    load = Load(client)
    running = asyncio.create_task(load.run())
    await load.goes_on()
    leader = await _leader(client)
    victim = leader if leads else next(node for node in cluster.nodes if node != leader)
    cluster.kill(victim)
    await load.goes_on(1000)  # two of three nodes are enough
    cluster.start(victim)
    await wait_ready(cluster)
    await load.goes_on()
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
    await load.goes_on()
    for node in cluster.nodes:
        cluster.kill(node)
    cluster.start_all()
    await wait_ready(cluster)
    await load.goes_on()
    load.stopping = True
    await running

    await _verify(load, client)
    await client.close()


async def test_a_node_that_stands_still_is_passed_over(make_cluster: Callable[[int], LocalCluster]) -> None:
    """SIGSTOP of the leader for five seconds: the others go on meanwhile; when it wakes it follows."""
    cluster = make_cluster(3)
    client = await _start(cluster)
    load = Load(client)
    running = asyncio.create_task(load.run())
    await load.goes_on()
    node = await _leader(client)
    cluster.kill(node, signal.SIGSTOP)
    stopped = asyncio.create_task(asyncio.sleep(STOPPED_S))
    await load.goes_on()
    assert not stopped.done(), "the others did not wait for it to wake"
    await stopped
    cluster.kill(node, signal.SIGCONT)
    await wait_ready(cluster)
    await load.goes_on()
    load.stopping = True
    await running

    await _verify(load, client)
    await client.close()


async def test_a_clock_that_jumps_costs_nothing(make_cluster: Callable[[int], LocalCluster]) -> None:
    """A leader's wall clock is set an hour ahead and then two back: append times never fall, nothing is lost."""
    cluster = make_cluster(3)
    cluster.program = ("-m", "tests.processes.jumping_node")
    client = await _start(cluster)
    await client.create_topic("timed", partitions=1)
    load = Load(client)
    running = asyncio.create_task(load.run())
    await load.goes_on()
    times = [(await client.publish("timed", b"before")).append_time_ns]
    for jump in (AHEAD, BACK, BACK):
        (timed,) = (await client.describe_topic("timed")).partitions
        assert timed.leader is not None
        cluster.kill(timed.leader, jump)
        times.append((await client.publish("timed", b"after")).append_time_ns)
        await load.goes_on()
    load.stopping = True
    await running

    assert sorted(times) == times
    assert times[1] - times[0] >= JUMP_NS, "the clock did jump"
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
