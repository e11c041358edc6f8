"""A group on real nodes while every one of them is killed in turn: every record is processed, the positions hold."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from chaos.checkers.groups import check_group, redelivered
from chaos.history import History, Kind
from cluster import connect
from cluster.cli.dev import wait_ready
from cluster.cli.local import LocalCluster
from cluster.client.client import Client
from cluster.config import ClientOptions
from cluster.errors import Outcome, RiverrunError
from tests.processes.test_kills import Load

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(150)]
TOPIC = "orders"
PARTITIONS = 12
GROUP = "workers"
COMMIT_EVERY = 20
PATIENCE_S = 60.0


class Worker:
    """A member that notes everything it is given and what it commits, in the history that the checker judges."""

    def __init__(self, client: Client, name: str, history: History) -> None:
        self._name = name
        self._history = history
        self._loop = asyncio.get_running_loop()
        self.subscription = client.subscribe(
            TOPIC, group=GROUP, name=name, options=ClientOptions(commit_interval_s=60.0)
        )
        self.given = 0
        self._moved = asyncio.Event()
        self._behind: dict[int, tuple[int, int]] = {}

    async def run(self) -> None:
        """Until the subscription is closed or abandoned."""
        async for record in self.subscription:
            generation = self.subscription.generation_of(TOPIC, record.partition)
            self._note(0, Kind.OK, "give", partition=record.partition, generation=generation, offset=record.offset)
            self._behind[record.partition] = generation, record.offset + 1
            self.given += 1
            self._moved.set()
            if self.given % COMMIT_EVERY == 0:
                await self._commit()

    async def holds(self, count: int) -> None:
        """Return when it holds so many partitions."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.subscription.assignment) != count:
                self._moved.clear()
                await self._moved.wait()

    async def _commit(self) -> None:
        begun = []
        for number, (generation, position) in self._behind.items():
            known = self.subscription.committed.get((TOPIC, number), position)
            if (
                self.subscription.generation_of(TOPIC, number) == generation and known < position
            ):  # else nobody is asked
                value = {"partition": number, "generation": generation, "position": position}
                begun.append((self._history.invoke(self._name, "commit", self._loop.time(), **value), value))
        kind = Kind.OK
        try:
            await self.subscription.commit()
        except (RiverrunError, TimeoutError) as error:
            refused = isinstance(error, RiverrunError) and error.outcome is Outcome.NOTHING and len(begun) == 1
            kind = Kind.FAIL if refused else Kind.INFO
        for operation, value in begun:
            self._note(operation, kind, "commit", **value)

    def _note(self, operation: int, kind: Kind, name: str, **value: int) -> None:
        self._history.end(operation, self._name, kind, name, self._loop.time(), **value)


@pytest.mark.long  # the scenario `kills` does as much
async def test_one_then_three_then_two_members_while_each_node_is_killed(
    make_cluster: Callable[[int], LocalCluster], tmp_path: Path
) -> None:
    """Duplicates only where a commit was not acknowledged; one member leaves, one vanishes."""
    cluster = make_cluster(3)
    cluster.start_all()
    await wait_ready(cluster)
    history = History()
    async with connect(cluster.addresses) as client:
        await client.create_topic(TOPIC, partitions=PARTITIONS, replicas=3)
        load = Load(client)
        producing = asyncio.create_task(load.run())
        clients = [await connect(cluster.addresses) for _ in range(3)]
        workers = [Worker(other, f"m{number}", history) for number, other in enumerate(clients)]
        running = [asyncio.create_task(workers[0].run())]
        await workers[0].holds(PARTITIONS)
        for node, number in zip(cluster.nodes, (1, 2, None), strict=True):
            await load.goes_on(500)
            cluster.kill(node, signal.SIGKILL)
            if number is not None:
                running.append(asyncio.create_task(workers[number].run()))
            await load.goes_on(500)
            cluster.start(node)
            await wait_ready(cluster)
        await asyncio.gather(*(worker.holds(PARTITIONS // 3) for worker in workers))
        await workers[1].subscription.close()
        await asyncio.gather(workers[0].holds(PARTITIONS // 2), workers[2].holds(PARTITIONS // 2))
        await workers[2].subscription.abandon()
        await workers[0].holds(PARTITIONS)
        load.stopping = True
        await producing
        ends = await client.offsets(TOPIC)
        await _reach(workers[0], {number: offsets.end for number, offsets in ends.items()})
        await workers[0].subscription.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for other in clients:
            await other.abandon()
    for number, offsets in ends.items():
        history.end(0, "final", Kind.OK, "end", 0.0, partition=number, first=offsets.first, end=offsets.end)
    with (tmp_path / "history.jsonl").open("w") as file:
        history.write(file)

    assert [] == check_group(history.events)
    given = sum(worker.given for worker in workers)
    again = redelivered(history.events)
    print(f"{load.sent} records, {given} given, {again} of them again because no commit of them was acknowledged")
    assert load.sent == given - again
    assert again <= COMMIT_EVERY * 8, "a member that is gone leaves what it had not committed, and not much more"


async def _reach(worker: Worker, ends: dict[int, int]) -> None:
    """Wait until the worker's positions are at the ends, but for the last record of each, which it works on."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            positions = {number: position for (_, number), position in worker.subscription.positions.items()}
            if all(positions.get(number, 0) >= end - 1 for number, end in ends.items()):
                await asyncio.sleep(0.5)
                return
            await asyncio.sleep(0.1)
