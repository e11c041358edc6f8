"""Members of a group as processes: they share a topic, one is killed or leaves, and the other gets everything."""

import asyncio
import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster import connect_blocking
from cluster.cli.dev import wait_ready
from cluster.cli.local import LocalCluster
from cluster.client.blocking import BlockingClient
from cluster.errors import UnknownGroup

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(90)]
ROOT = Path(__file__).parents[2]
PARTITIONS = 6
GRACE_S = 5.0
WAIT_S_MAX = 40.0


class Member:
    """`riverrun consume --group` as a process; `lines` is what was taken of what it has printed."""

    def __init__(self, server: str, *more: str) -> None:
        consume = [sys.executable, "-m", "cluster.cli", "consume", "t", "--group", "g", "--from", "earliest", *more]
        self.process = subprocess.Popen(
            consume,
            cwd=ROOT,
            env=os.environ | {"RIVERRUN_SERVER": server},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self._arrived: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self._arrived.put(line.removesuffix("\n"))

    def take(self) -> None:
        """What it has printed by now; waits a little if that is nothing."""
        with contextlib.suppress(queue.Empty):
            self.lines.append(self._arrived.get(timeout=0.05))
            while True:
                self.lines.append(self._arrived.get_nowait())

    def end(self, number: signal.Signals) -> int:
        """Send it a signal, and take the rest of what it printed; its exit code."""
        self.process.send_signal(number)
        code = self.process.wait(20)
        self._reading.join()
        self.take()
        return code

    def stop(self) -> str:
        """End it, if it has not ended; what it had to complain about."""
        self.process.kill()
        self.process.wait()
        self._reading.join()
        assert self.process.stderr is not None
        with self.process.stderr as said:
            return said.read().strip()


@pytest.fixture
def client(make_cluster: Callable[[int], LocalCluster]) -> Iterator[BlockingClient]:
    """Of a node with the topic `t`."""
    cluster = make_cluster(1)
    cluster.start_all()
    asyncio.run(wait_ready(cluster))
    with connect_blocking(cluster.address(1)) as made:
        made.create_topic("t", partitions=PARTITIONS)
        yield made


@pytest.fixture
def members(client: BlockingClient) -> Iterator[list[Member]]:
    """Two of them, who share the topic."""
    (node,) = client.cluster_status().nodes
    made = [Member(node.client_address) for _ in range(2)]
    try:
        wait_held(client, [PARTITIONS // 2] * 2)
        yield made
    finally:
        assert ["", ""] == [member.stop() for member in made]


def wait_held(client: BlockingClient, counts: list[int]) -> None:
    """Until the members hold so many partitions each."""
    end_s = time.perf_counter() + WAIT_S_MAX
    while True:
        try:
            holders = [part.member for part in client.describe_group("g").partitions]
        except UnknownGroup:
            holders = []
        if counts == sorted(holders.count(member) for member in set(holders) - {None}):
            return
        assert time.perf_counter() < end_s, holders
        time.sleep(0.05)


def publish(client: BlockingClient, values: range) -> set[str]:
    """The numbers, spread over all partitions; what a member prints of them."""
    for number in values:
        client.produce("t", b"%d" % number, partition=number % PARTITIONS)
    client.flush()
    return {f"{number}" for number in values}


def test_a_member_is_killed_and_the_other_gets_everything(client: BlockingClient, members: list[Member]):
    """They share what comes; after a SIGKILL all that is new, or was not committed, goes to the one that is left."""
    first, second = members
    before = publish(client, range(600))
    while before - {*first.lines, *second.lines}:
        for member in members:
            member.take()
    assert 300 == len(first.lines) == len(second.lines)
    while client.describe_group("g").lag_records:
        time.sleep(0.05)  # what was printed is committed within a second
    more = publish(client, range(600, 660))
    first.end(signal.SIGKILL)
    more |= publish(client, range(660, 1200))
    while more - {*first.lines, *second.lines}:
        second.take()
    taken_over = second.lines[300:]

    assert {f"{number}" for number in range(660, 1200)} <= set(taken_over)
    assert len(taken_over) == len(set(taken_over))
    assert not before & set(taken_over)
    wait_held(client, [PARTITIONS])


def test_ctrl_c_hands_over_within_a_moment(client: BlockingClient, members: list[Member]):
    """Without waiting for the grace, and nothing is printed twice."""
    first, second = members
    before = publish(client, range(60))
    while before - {*first.lines, *second.lines}:
        for member in members:
            member.take()
    begin_s = time.perf_counter()
    assert 130 == first.end(signal.SIGINT)
    wait_held(client, [PARTITIONS])
    took_s = time.perf_counter() - begin_s
    after = publish(client, range(60, 120))
    while after - set(second.lines):
        second.take()

    assert took_s < GRACE_S - 1
    assert 120 == len(first.lines) + len(second.lines)


def test_the_group_ends_together(client: BlockingClient, members: list[Member]):
    """With `--until latest` a member ends when what there was is processed, whoever holds it."""
    (node,) = client.cluster_status().nodes
    values = publish(client, range(60))
    last = Member(node.client_address, "--until", "latest")
    try:
        assert 0 == last.process.wait(WAIT_S_MAX)
        assert 0 == client.describe_group("g").lag_records
    finally:
        assert "" == last.stop()
    while values - {*last.lines, *members[0].lines, *members[1].lines}:
        for member in (*members, last):
            member.take()


def test_ctrl_c_ends_it_without_a_cluster(make_cluster: Callable[[int], LocalCluster]):
    """Nobody is there to hand over to: it does not wait for long."""
    cluster = make_cluster(1)
    cluster.start_all()
    asyncio.run(wait_ready(cluster))
    with connect_blocking(cluster.address(1)) as client:
        client.create_topic("t", partitions=PARTITIONS)
        member = Member(cluster.address(1))
        wait_held(client, [PARTITIONS])
    cluster.stop()
    begin_s = time.perf_counter()
    try:
        assert 130 == member.end(signal.SIGINT)
        assert time.perf_counter() - begin_s < GRACE_S
    finally:
        assert "" == member.stop()
