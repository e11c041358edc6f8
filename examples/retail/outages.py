"""What is killed while the purchases come: a process with user code, then a node; and how they come back."""

import asyncio
import contextlib
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cluster.cli.dev import wait_ready
from cluster.cli.local import LocalCluster
from cluster.client.app_views import TaskState
from cluster.client.client import Client
from cluster.errors import RiverrunError
from examples.retail.three_nodes import user_code_of

RESTART_AFTER_S = 3.0
LOOK_S = 0.01
LOOK_AT_PROCESSES_S = 0.05
AGAIN_S_MAX = 30.0
NOTHING_S_MAX = 60.0


@dataclass
class CodeOutage:
    """The end of a process with user code. `records_to_go`: what its tasks had not done when it was looked at last."""

    node: int = 0
    pid: int = 0
    tasks: int = 0
    records_to_go: int = 0
    again_after_s: float = 0.0


@dataclass
class NodeOutage:
    """The end of a node, and what it cost. `partition`: of the purchases, the one with most under way to it."""

    node: int = 0
    tasks: int = 0
    partition: int = -1
    batches_under_way: int = 0
    at_s: float = 0.0
    longest_gap_s: float = 0.0


class Outages:
    """Both of them. `share`: how many of the purchases are sent, from 0 to 1; `say`: tells people a line."""

    def __init__(
        self,
        client: Client,
        local: LocalCluster,
        *,
        app: str,
        topic: str,
        share: Callable[[], float],
        say: Callable[[str], None],
    ) -> None:
        self.of_code = CodeOutage()
        self.of_node = NodeOutage()
        self.all_killed = False
        self._client = client
        self._local = local
        self._app = app
        self._topic = topic
        self._share = share
        self._say = say
        self._code_again: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Kill, wait until all is back."""
        await self._reached(0.3)
        await self._retried(self._kill_code)
        self._code_again = asyncio.create_task(self._wait_for_code(asyncio.get_running_loop().time()))
        await self._reached(0.55)
        await self._retried(self._kill_node)
        self.all_killed = True
        await self._code_again
        await asyncio.sleep(RESTART_AFTER_S)
        self._local.start(self.of_node.node)
        self._say(f"started node {self.of_node.node} again")
        await wait_ready(self._local)
        self._say("all three nodes are back")

    async def _reached(self, share: float) -> None:
        while self._share() < share:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)

    async def _retried(self, kill: Callable[[], Awaitable[bool]]) -> None:
        """Until there is something under way that a kill can interrupt. TimeoutError: there was nothing for long."""
        async with asyncio.timeout(NOTHING_S_MAX):
            while True:
                with contextlib.suppress(RiverrunError):  # nodes that change their roles
                    if await kill():
                        return
                await asyncio.sleep(LOOK_S)

    # --- user code

    async def _kill_code(self) -> bool:
        """SIGKILL the process with user code whose tasks have most to do; False if no task has anything to do."""
        to_go, tasks = await self._tasks()
        if not to_go:
            return False
        node, records = to_go.most_common(1)[0]
        pid = user_code_of(self._local, node)
        if pid is None:
            return False
        os.kill(pid, signal.SIGKILL)
        self.of_code = CodeOutage(node=node, pid=pid, tasks=tasks[node], records_to_go=records)
        self._say(
            f"killed the process with user code on node {node} (SIGKILL): "
            f"{tasks[node]} tasks, with {records:,} records to go"
        )
        return True

    async def _tasks(self) -> tuple[Counter[int], Counter[int]]:
        """By node: records that running tasks have before them, and how many tasks run there."""
        to_go, tasks = Counter[int](), Counter[int]()
        app = await self._client.describe_app(self._app)
        for stage in app.stages:
            for task in stage.tasks:
                if task.node is not None and task.state is TaskState.RUNNING:
                    tasks[task.node] += 1
                    if task.lag_records:
                        to_go[task.node] += task.lag_records
        return to_go, tasks

    async def _wait_for_code(self, killed_s: float) -> None:
        """Until the node has started another process; nobody tells it to."""
        loop = asyncio.get_running_loop()
        node = self.of_code.node
        while user_code_of(self._local, node) in {None, self.of_code.pid}:
            if loop.time() - killed_s > AGAIN_S_MAX:
                self._say(f"node {node} did not start its user code again within {AGAIN_S_MAX:.0f} s")
                return
            await asyncio.sleep(LOOK_AT_PROCESSES_S)
        self.of_code.again_after_s = loop.time() - killed_s
        self._say(f"node {node} started it again by itself after {self.of_code.again_after_s * 1000:.0f} ms")

    # --- a node

    async def _kill_node(self) -> bool:
        """SIGKILL the leader of the partitions with most under way; False if nothing is under way right now."""
        topic = await self._client.describe_topic(self._topic)
        _, tasks = await self._tasks()
        led: dict[int, list[int]] = {}
        for item in topic.partitions:
            if item.leader is not None and int(item.leader) != self.of_code.node:
                led.setdefault(int(item.leader), []).append(item.number)
        under_way = self._client.batches_under_way(self._topic)
        node = max(led, key=lambda node: sum(under_way[p] for p in led[node]), default=0)
        batches = sum(under_way[p] for p in led.get(node, ()))
        if not batches:
            return False
        self._local.kill(node)
        self.of_node = NodeOutage(
            node=node,
            tasks=tasks[node],
            partition=max(led[node], key=lambda number: under_way[number]),
            batches_under_way=batches,
            at_s=asyncio.get_running_loop().time(),
        )
        self._say(
            f"killed node {node} (SIGKILL): the leader of {len(led[node])} partitions of purchases, "
            f"with {batches} batches to it under way, and of {tasks[node]} tasks"
        )
        return True
