"""What real nodes do and log passes the checkers, while every node is killed in turn and started again."""

import asyncio
import itertools
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from chaos.checkers.liveness import check_liveness, unavailability
from chaos.checkers.log import check_log
from chaos.checkers.node_logs import check_node_log
from chaos.checkers.traces import check_traces, trace_events
from chaos.history import History, Kind, read_history
from cluster import connect
from cluster.cli.dev import wait_ready
from cluster.cli.local import LocalCluster
from cluster.client.client import Client
from cluster.client.delivery import Delivery
from cluster.errors import Outcome, RiverrunError

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(150)]
TOPIC, PARTITIONS, REPLICAS = "t", 4, 3
PATIENCE_S = 40.0


class Load:
    """One producer and one reader, into a history; times count from the first moment."""

    def __init__(self, client: Client, history: History) -> None:
        self._client = client
        self._history = history
        self._began_s = time.monotonic()  # noqa: TID251  real nodes, real time
        self._pending: set[asyncio.Task[None]] = set()
        self._moved = asyncio.Event()
        self.acknowledged = 0
        self.stopping = False

    def now_s(self) -> float:
        """The history's clock."""
        return time.monotonic() - self._began_s  # noqa: TID251  real nodes, real time

    async def produce(self) -> None:
        """Until it shall stop, and every send has an outcome."""
        for number in itertools.count():
            if self.stopping:
                break
            partition, value = number % PARTITIONS, f"v{number}"
            operation = self._history.invoke("p", "send", self.now_s(), partition=partition, key="k", value=value)
            delivery = await self._client.produce(TOPIC, value.encode(), key=b"k", partition=partition)
            task = asyncio.create_task(self._outcome(operation, delivery))
            self._pending.add(task)
            task.add_done_callback(self._pending.discard)
            await asyncio.wait({task}, timeout=0.005)
        await asyncio.gather(*self._pending)

    async def _outcome(self, operation: int, delivery: Delivery) -> None:
        kind, said = Kind.OK, {}
        try:
            receipt = await delivery
            said = {"offset": receipt.offset, "synced": receipt.replicas_synced}
            self.acknowledged += 1
            self._moved.set()
        except RiverrunError as error:
            kind = Kind.INFO if error.outcome is Outcome.UNKNOWN else Kind.FAIL
        self._history.end(operation, "p", kind, "send", self.now_s(), **said)

    async def goes_on(self, count: int) -> None:
        """Return when so many more are acknowledged; the test fails if that takes too long."""
        wanted = self.acknowledged + count
        async with asyncio.timeout(PATIENCE_S):
            while self.acknowledged < wanted:
                self._moved.clear()
                await self._moved.wait()

    async def read_all(self) -> None:
        """The final read."""
        for partition in range(PARTITIONS):
            operation = self._history.invoke("final", "read", self.now_s(), partition=partition)
            reader = self._client.read(TOPIC, partitions=[partition], start=0, until="latest")
            records = [[r.offset, (r.key or b"").decode(), (r.value or b"").decode()] async for r in reader]
            said = {"partition": partition, "records": records, "first": 0}
            self._history.end(operation, "final", Kind.OK, "read", self.now_s(), **said)


@pytest.mark.long  # the scenarios do as much
async def test_what_real_nodes_do_and_log_passes(make_cluster: Callable[[int], LocalCluster], tmp_path: Path) -> None:
    """Nothing lost, nothing out of order; one leader a term; no partition still for long; no traceback in a log."""
    cluster, history = make_cluster(3), History()
    faults, run = history.scoped("nemesis"), history.scoped("run")
    cluster.start_all()
    await wait_ready(cluster)
    async with connect(cluster.addresses) as client:
        await client.create_topic(TOPIC, partitions=PARTITIONS, replicas=REPLICAS)
        load = Load(client, history.scoped("log"))
        producing = asyncio.create_task(load.produce())
        for node in cluster.nodes:
            await load.goes_on(200)
            operation = faults.invoke("nemesis", "kill", load.now_s(), role="one", nodes=[node], options={})
            cluster.kill(node, signal.SIGKILL)
            await load.goes_on(200)
            cluster.start(node)
            await wait_ready(cluster)
            faults.end(operation, "nemesis", Kind.OK, "kill", load.now_s())
        for name in ("quiet", "healed"):
            run.end(0, "run", Kind.OK, name, load.now_s())
        await load.goes_on(200)
        load.stopping = True
        await producing
        await load.read_all()
    cluster.stop()

    with (tmp_path / "history.jsonl").open("w") as file:
        history.write(file)
    with (tmp_path / "history.jsonl").open() as file:
        events = list(read_history(file))
    mine = [event for event in events if event.scope == "log"]
    assert [] == check_log(mine, replicas=REPLICAS)
    assert [] == check_liveness(events, scope="log", replicas=REPLICAS)
    assert unavailability(events, scope="log", at_least_s=0.0)
    logs = {node: cluster.log_path(node).read_text().splitlines() for node in cluster.nodes}
    traces = [event for node, lines in logs.items() for event in trace_events(node, lines)]
    assert [] == check_traces(traces)
    assert 1 < len({event.value["term"] for event in traces if event.name == "leader_elected"})
    assert [] == [anomaly for node, lines in logs.items() for anomaly in check_node_log(node, lines)]
