"""Real nodes on real disks that fill up, lose power, and are asked how often they synced."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from chaos.arenas.processes.ports import claimed_ports
from cluster import connect
from cluster.cli.dev import wait_ready
from cluster.cli.local import LocalCluster
from cluster.client.client import Client
from cluster.config import ClientOptions
from cluster.errors import Outcome, RiverrunError
from tests.processes.counting_node import COUNTER
from tests.processes.file_systems import grow, loop_disk, tiny

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(90)]
TOPIC = "orders"
BIG = b"x" * 50_000
USUAL_S = 0.016
"""Of a usual core, for `_slowness`."""


async def test_a_full_disk_refuses_and_forgets_nothing(make_cluster: Callable[[int], LocalCluster], data_dir: Path):
    """One node on a file system of 8 MiB: publishers hear DISK_FULL, the node lives, and with room it goes on."""
    with tiny(data_dir / "node-1" / "data", 8) as path:
        cluster = make_cluster(1)
        cluster.start_all()
        await wait_ready(cluster)
        kept: list[int] = []
        try:
            async with connect(cluster.addresses, options=ClientOptions(delivery_timeout_s=3.0)) as client:
                await client.create_topic(TOPIC, replicas=1)
                unknown = await _fill(client, kept)
                assert len(kept) > 20
                assert cluster.pid(1) is not None, cluster.last_words(1)
                grow(path, 64)
                async with asyncio.timeout(20):
                    while True:
                        try:
                            await client.publish(TOPIC, b"1000 ")
                            break
                        except RiverrunError:
                            await asyncio.sleep(0.1)
                found = [int(record.value.split()[0]) async for record in client.read(TOPIC, until="latest")]
            assert [*kept, 1000] == [number for number in found if number not in unknown]
            assert len(found) == len(set(found))
        finally:
            cluster.stop()


async def _fill(client: Client, kept: list[int]) -> set[int]:
    """Publish until that is refused with the reason; those before it that may have been appended."""
    unknown: set[int] = set()
    for number in range(400):
        try:
            await client.publish(TOPIC, b"%d " % number + BIG)
        except RiverrunError as error:
            refusal = error
        else:
            kept.append(number)
            continue
        if "disk is full" in refusal.message:
            return unknown
        assert refusal.outcome is Outcome.UNKNOWN
        unknown.add(number)
    pytest.fail("the disk was never full")


async def test_a_leader_with_a_full_disk_makes_room_for_another(
    make_cluster: Callable[[int], LocalCluster], data_dir: Path
):
    """One of three nodes fills up: the partitions that it led go on elsewhere, and it stays."""
    with tiny(data_dir / "node-1" / "data", 8):
        cluster = make_cluster(3)
        cluster.start_all()
        await wait_ready(cluster)
        try:
            async with connect(cluster.addresses[1:]) as client:
                await client.create_topic(TOPIC, partitions=3)
                async with asyncio.timeout(40):
                    for number in range(300):
                        await client.produce(TOPIC, b"%d " % number + BIG, partition=number % 3)
                        if number % 30 == 0:
                            await client.flush()
                    await client.flush()
                assert cluster.pid(1) is not None, cluster.last_words(1)
                found = [int(record.value.split()[0]) async for record in client.read(TOPIC, until="latest")]
                assert list(range(300)) == sorted(found)
        finally:
            cluster.stop()


@pytest.mark.long  # the scenario `power` does as much
async def test_power_loss_of_the_file_system(tmp_path: Path):
    """The file system below all three nodes is shut down under load, without a flush: what was acknowledged stays."""
    with loop_disk(tmp_path) as disk, claimed_ports(3) as port:
        cluster = LocalCluster(disk.path / "data", nodes=3, port=port)
        try:
            cluster.start_all()
            await wait_ready(cluster)
            acknowledged = await _publish_until_power_fails(cluster, disk.fail_power)
            assert len(acknowledged) > 50
            cluster.stop()
            disk.detach()
            disk.attach()
            cluster.start_all()
            await wait_ready(cluster)
            async with connect(cluster.addresses) as client:
                found = [int(record.value) async for record in client.read(TOPIC, until="latest")]
            assert set() == acknowledged - set(found)
            assert len(found) == len(set(found))
        finally:
            cluster.stop()


async def _publish_until_power_fails(cluster: LocalCluster, fail_power: Callable[[], None]) -> set[int]:
    acknowledged: set[int] = set()
    client = await connect(cluster.addresses, options=ClientOptions(delivery_timeout_s=3.0))
    await client.create_topic(TOPIC, partitions=3)

    async def publish(number: int) -> None:
        await client.publish(TOPIC, b"%d" % number, key=b"%d" % number)
        acknowledged.add(number)

    tasks = []
    for number in range(600):
        tasks.append(asyncio.create_task(publish(number)))
        await asyncio.sleep(0.002)
        if number == 400:
            fail_power()
    await asyncio.gather(*tasks, return_exceptions=True)
    await client.abandon()
    return acknowledged


async def test_each_acknowledgement_was_synced_by_a_majority(
    make_cluster: Callable[[int], LocalCluster], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """One publisher that waits for each receipt: every one needs a sync of its own on two nodes at least."""
    cluster = make_cluster(3)
    cluster.program = ("-m", "tests.processes.counting_node")
    prefix = str(tmp_path / "syncs")
    monkeypatch.setenv("COUNT_SYNCS", prefix)
    files = [Path(prefix + str(cluster.config_path(node)).replace("/", "_")) for node in cluster.nodes]
    for file in files:
        file.write_bytes(COUNTER.pack(0))

    def counts() -> list[int]:
        return [COUNTER.unpack(file.read_bytes())[0] for file in files]

    cluster.start_all()
    await wait_ready(cluster)
    async with connect(cluster.addresses) as client:
        await client.create_topic(TOPIC)
        await client.publish(TOPIC, b"first")
        before = counts()
        for number in range(100):
            receipt = await client.publish(TOPIC, b"%d" % number)
            assert receipt.replicas_synced >= 2
        made = sorted(after - earlier for after, earlier in zip(counts(), before, strict=True))
    assert sum(made) >= 200, f"syncs by node while 100 records were acknowledged one by one: {made}"
    assert made[-1] >= 100


@pytest.mark.timeout(120)
async def test_three_hundred_quiet_partitions_are_led_again(make_cluster: Callable[[int], LocalCluster]):
    """A node that led 300 sleeping groups dies: all have another leader within five seconds of a usual machine."""
    slowness = _slowness()
    cluster = make_cluster(3)
    cluster.start_all()
    await wait_ready(cluster)
    async with connect(cluster.addresses[1:], options=ClientOptions(request_timeout_s=60.0)) as client:
        for number in range(3):
            await client.create_topic(f"quiet-{number}", partitions=300)
        for _ in range(600):
            leaders = await _leaders(client)
            if None not in leaders and leaders.count(1) >= 300:
                break
            await asyncio.sleep(0.1)
        assert leaders.count(1) >= 300
        await asyncio.sleep(3)  # they fall asleep
        allowed_s = 5 * max(slowness, _slowness())  # a shared machine is not always as fast
        cluster.kill(1)
        loop = asyncio.get_running_loop()
        begin_s = loop.time()
        while True:
            leaders = await _leaders(client)
            spent_s = loop.time() - begin_s
            if None not in leaders and 1 not in leaders:
                break
            assert spent_s < allowed_s, (
                f"{sum(leader in {None, 1} for leader in leaders)} of 300 have no other leader yet"
            )
            await asyncio.sleep(0.05)
    print(f"led again after {spent_s:.2f} s; {allowed_s:.1f} s were allowed")


def _slowness() -> float:
    """How much longer than usual a core of this machine takes for the same work; at least 1."""
    taken_s = []
    for _ in range(5):
        begin_s = time.process_time()
        for number in range(1_000_000):
            _ = number & 7
        taken_s.append(time.process_time() - begin_s)
    return max(1.0, min(taken_s) / USUAL_S)


async def _leaders(client: object) -> list[int | None]:
    found: list[int | None] = []
    for number in range(3):
        topic = await client.describe_topic(f"quiet-{number}")  # type: ignore[attr-defined]
        found += [None if part.leader is None else int(part.leader) for part in topic.partitions]
    return found
