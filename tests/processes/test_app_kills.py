"""Nodes, topics and deployments that go while an app runs: every record counts once, and none is late for it."""

import asyncio
import json
import socket
from collections import Counter
from collections.abc import Callable

import grpc
import pytest
from grpc import aio

from cluster import connect
from cluster.cli.dev import wait_ready
from cluster.cli.local import LocalCluster
from cluster.client.client import Client
from cluster.wire.api import app_pb2
from tests.processes import apps
from tests.processes.apps import code, counted, counts, deploy, look, sale, sell, states, stopped, why
from tests.spoken import thin_channel

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(240)]
MakeCluster = Callable[[int], LocalCluster]
WAVE = 60
STOP_S_MAX = 6.0
"""Of a node whose user code hangs: its own limits are a second for that."""
WINDOW = """
from cluster.processing.app import App
from cluster.processing.event import Event
from cluster.processing.windows import Window

class Sale(Event):
    till: str
    number: int
    at: int

class Total(Event):
    start: int
    sales: int

app = App("{app}")
sales = app.topic("{app}-sales", Sale, key="till", time="at")

@app.window(sales, tumbling="10s", tasks=1, to="{app}-totals")
def totals(window: Window, sales: list[Sale]) -> Total:
    return Total(int(window.start.timestamp()), len(sales))
"""


async def started(make_cluster: MakeCluster, nodes: int = 3, limits: str = apps.LIMITS) -> tuple[LocalCluster, Client]:
    """A cluster that takes apps."""
    cluster = make_cluster(nodes)
    apps.limit(cluster, limits)
    cluster.start_all()
    await wait_ready(cluster)
    return cluster, await connect(cluster.addresses)


async def test_each_node_in_turn_is_killed_under_load(make_cluster: MakeCluster) -> None:
    """And all of them at once, at the end: the counts are exact."""
    cluster, client = await started(make_cluster)
    name = "kills"
    await deploy(client, name, code(name))
    sales: list[bytes] = []

    async def wave() -> None:
        new = [sale(number) for number in range(len(sales), len(sales) + WAVE)]
        sales.extend(new)
        for first in range(0, WAVE, 5):
            await sell(client, name, new[first : first + 5])

    await wave()
    for victim in cluster.nodes:
        selling = asyncio.create_task(wave())
        await asyncio.sleep(0)
        cluster.kill(victim)
        await selling
        cluster.start(victim)
        await wait_ready(cluster)
    selling = asyncio.create_task(wave())
    await asyncio.sleep(0)
    for node in cluster.nodes:
        cluster.kill(node)
    cluster.start_all()
    await wait_ready(cluster)
    await selling
    await wave()

    assert counted(sales) == await counts(client, name, len(sales))
    stage = await look(client, name, lambda stage: states(stage) == {"running"} and stage.lag_records == 0)
    assert "" == why(stage)
    await client.close()


async def test_a_node_stops_at_once_though_its_user_code_hangs(make_cluster: MakeCluster) -> None:
    """SIGTERM does not wait for a work, and leaves no process behind."""
    cluster, client = await started(make_cluster, 1, apps.LIMITS.replace("work_s_max = 1.0", "work_s_max = 60.0"))
    name = "hangs"
    await deploy(client, name, code(name))
    await sell(client, name, [sale(0)])
    await counts(client, name, 1)
    await sell(client, name, [sale(1, "hang")])
    await look(client, name, lambda stage: states(stage) == {"running"} and stage.lag_records == 1)
    hosts = apps.children(cluster)
    assert hosts
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await client.close()
    codes = await asyncio.to_thread(cluster.stop)

    assert {1: 0} == codes
    assert loop.time() - began_s < STOP_S_MAX
    assert [] == [pid for pid in hosts if _lives(pid)]


def _lives(pid: int) -> bool:
    try:
        return apps.resident_bytes(pid) > 0
    except OSError:
        return False


@pytest.mark.long
async def test_no_event_is_late_because_its_leader_was_gone(make_cluster: MakeCluster) -> None:
    """A partition with one replica, whose node is killed: windows wait for it, though the others are far ahead."""
    cluster, client = await started(make_cluster)
    name = "late"
    await client.create_topic(f"{name}-sales", partitions=3, replicas=1)
    await client.deploy_app(WINDOW.format(app=name).encode(), file_name=f"{name}.py")
    topic = await client.describe_topic(f"{name}-sales")
    victim = topic.partitions[0].leader
    assert victim is not None
    expected: Counter[int] = Counter()

    async def sell_at(second: int, partitions: list[int], count: int = 5) -> None:
        for partition in partitions:
            for number in range(count):
                value = {"till": f"p{partition}", "number": number, "at": second * 10**9}
                await client.publish(
                    f"{name}-sales", json.dumps(value).encode(), key=b"p%d" % partition, partition=partition
                )
                expected[second // 10 * 10] += 1

    await sell_at(1_000_000, [0, 1, 2])
    others = [part.number for part in topic.partitions if part.leader != victim]
    cluster.kill(int(victim))
    await sell_at(1_000_100, others)
    await sell_at(1_000_200, others)
    cluster.start(int(victim))
    await wait_ready(cluster)
    await sell_at(1_000_003, [0])
    for second in (1_000_500, 1_001_000):
        await sell_at(second, [0, 1, 2])
    del expected[1_001_000]
    found: Counter[int] = Counter()
    async with asyncio.timeout(apps.PATIENCE_S):
        while found != expected:
            found.clear()
            async for record in client.read(f"{name}-totals", start="earliest", until="latest"):
                total = json.loads(record.value)
                found[total["start"]] += total["sales"] * (total["start"] in expected)
            found += Counter()
            await asyncio.sleep(apps.LOOK_S)
    app = await client.describe_app(name)
    assert 0 == sum(stage.counts.get("late", 0) for stage in app.stages)
    await client.close()


@pytest.mark.long
async def test_a_destination_without_a_majority_holds_the_task(make_cluster: MakeCluster) -> None:
    """Its node is gone: no more is made than may wait, the node's memory stays where it was, and nothing is dropped."""
    limits = apps.LIMITS + "unshipped_bytes_max = 262144\nwork_bytes_max = 65536\ncommit_bytes_max = 524288\n"
    cluster, client = await started(make_cluster, 3, limits)
    name = "slow"
    await client.create_topic(f"{name}-counts", partitions=1, replicas=1)
    body = 'seen.value += 1\n    return Count(sale.till + "x" * 20_000, sale.number, seen.value)'
    await deploy(client, name, code(name, body=body), partitions=1)
    await sell(client, name, [sale(0, till="t")])
    await apps.records(client, f"{name}-counts", 1)
    victim = (await client.describe_topic(f"{name}-counts")).partitions[0].leader
    assert victim is not None
    cluster.kill(int(victim))
    await sell(client, name, [sale(number, till="t") for number in range(1, 2_000)])
    stage = await look(client, name, lambda stage: any(task.unshipped_bytes > 200_000 for task in stage.tasks))
    node = next(task.node for task in stage.tasks)
    assert node is not None
    before = apps.resident_bytes(cluster.pid(int(node)))
    await sell(client, name, [sale(number, till="t") for number in range(2_000, 6_000)])
    stage = await look(client, name, lambda stage: (stage.lag_records or 0) > 4_000)
    (task,) = stage.tasks
    assert task.unshipped_bytes < 262_144 + 2 * 524_288  # and no more commits than are made ahead
    assert apps.resident_bytes(cluster.pid(int(node))) - before < 64 * 1024 * 1024
    assert "counts" in task.why, task
    cluster.start(int(victim))
    await wait_ready(cluster)
    values = await apps.records(client, f"{name}-counts", 6_000)
    assert list(range(1, 6_001)) == [json.loads(value)["count"] for value in values]
    await client.close()


@pytest.mark.long
async def test_topics_that_are_deleted_stop_the_task_until_it_is_resumed(make_cluster: MakeCluster) -> None:
    """Its output, and then its input, which is made again: it says what to do, and then goes on from the new start."""
    cluster, client = await started(make_cluster, 1)
    for name, topic, says in (
        ("no-output", "no-output-counts", "the topic 'no-output-counts', which it writes, was deleted"),
        ("no-input", "no-input-sales", "the topic 'no-input-sales', which it reads, was deleted"),
    ):
        await deploy(client, name, code(name), partitions=1)
        await sell(client, name, [sale(0)])
        await counts(client, name, 1)
        await client.delete_topic(topic)
        if topic.endswith("counts"):
            await sell(client, name, [sale(1)])
        stage = await look(client, name, lambda stage: bool(stopped(stage)))
        assert says in why(stage)
        await client.create_topic(topic, partitions=1)
        async with connect(cluster.addresses) as another:  # which does not know the topic as it was
            await sell(another, name, [sale(2)])
        assert f"riverrun app resume {name} count@1" in why(stage)
        told = await asyncio.to_thread(apps.riverrun, cluster, "app", "resume", name, "count@1")
        assert (f"resumed count@1 of {name}\n", "") == (told.stdout, told.stderr)
        await look(client, name, lambda stage: states(stage) == {"running"} and stage.lag_records == 0)
        rest = [sale(1), sale(2)] if topic.endswith("counts") else [sale(0), sale(2)]
        assert counted(rest) == await counts(client, name, 2)
    await client.close()


async def test_code_from_beyond_loopback_is_refused(make_cluster: MakeCluster) -> None:
    """Unless the configuration allows it; and a limit in the configuration is a limit."""
    address = _own_address()
    cluster = make_cluster(1)
    path = cluster.config_path(1)
    here, everywhere = (f'[client]\nbind = "{host}:{cluster.port}"' for host in ("127.0.0.1", "0.0.0.0"))
    told = f'{everywhere}\nadvertise = "127.0.0.1:{cluster.port}"'
    path.write_text("insecure = true\n" + path.read_text().replace(here, told))
    apps.limit(cluster)
    cluster.start_all()
    await wait_ready(cluster)
    with pytest.raises(aio.AioRpcError) as caught:
        await _deploy_from(f"{address}:{cluster.port}", "afar")
    assert grpc.StatusCode.PERMISSION_DENIED is caught.value.code()
    assert "own machine only" in str(caught.value.details())
    cluster.stop()
    apps.limit(cluster, "deploy_from_anywhere = true\n")
    cluster.start_all()
    await wait_ready(cluster)
    await _deploy_from(f"{address}:{cluster.port}", "afar")
    async with connect(cluster.address(1)) as client:
        await sell(client, "afar", [sale(1, "hang"), sale(2)])
        await apps.until(lambda: "a work took longer than 1 s" in cluster.log_path(1).read_text())


async def _deploy_from(address: str, name: str) -> None:
    request = app_pb2.DeployAppRequest(
        file_name=f"{name}.py", content=code(name), create_inputs=True, partitions_default=1
    )
    async with thin_channel(address, named="localhost") as channel:
        call = channel.unary_unary("/riverrun.v1.AppService/DeployApp")
        await call(request.SerializeToString(), timeout=30)


def _own_address() -> str:
    """An address of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            pytest.skip("this machine has no address but loopback")
        found = str(probe.getsockname()[0])
    if found.startswith("127."):
        pytest.skip("this machine has no address but loopback")
    return found
