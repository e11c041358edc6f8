"""What an idle cluster costs: three nodes that hold a thousand partitions and have nothing to do."""

import asyncio
import shutil
import time
from pathlib import Path

from cluster import connect
from cluster.cli.dev import wait_ready
from cluster.cli.local import LocalCluster
from tests.bench.machine import cpu_s

TOPICS = 4
PARTITIONS = 250
SETTLE_S = 10.0
LOOK_S = 20.0
LED_S_MAX = 120.0


async def idle_cpu(directory: Path, port: int) -> float:
    """The share of one core that all three nodes take together."""
    data = directory / "idle"
    shutil.rmtree(data, ignore_errors=True)
    local = LocalCluster(data, nodes=3, port=port)
    local.start_all()
    try:
        await wait_ready(local)
        async with connect(local.addresses) as client:
            for number in range(TOPICS):
                await client.create_topic(f"quiet-{number}", partitions=PARTITIONS)
            deadline_s = time.perf_counter() + LED_S_MAX
            for number in range(TOPICS):
                while not all(part.leader for part in (await client.describe_topic(f"quiet-{number}")).partitions):
                    if time.perf_counter() > deadline_s:
                        raise RuntimeError(f"not every partition was led within {LED_S_MAX} s")
                    await asyncio.sleep(0.5)
        await asyncio.sleep(SETTLE_S)
        pids = [pid for node in local.nodes if (pid := local.pid(node)) is not None]
        assert len(pids) == len(local.nodes), local.stopped()
        before_s, begin_s = sum(map(cpu_s, pids)), time.perf_counter()
        await asyncio.sleep(LOOK_S)
        return (sum(map(cpu_s, pids)) - before_s) / (time.perf_counter() - begin_s)
    finally:
        local.stop()
        shutil.rmtree(data, ignore_errors=True)
