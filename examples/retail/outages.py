"""What is killed while the purchases come: processes with user code and routes, then a node; and how they come back."""

import asyncio
import contextlib
import math
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cluster.cli.dev import wait_ready
from cluster.cli.local import LocalCluster
from cluster.client.app_views import TaskState
from cluster.client.client import Client
from cluster.errors import RiverrunError
from examples.retail.three_nodes import user_code_of

CODE_AT = 0.3
NODE_AT = 0.55
RESTART_AFTER_S = 3.0
LOOK_S = 0.01
LOOK_AT_PROCESSES_S = 0.05
AGAIN_S_MAX = 30.0
NOTHING_S_MAX = 60.0


class Deployed(NamedTuple):
    """What runs, by its name, and the file that it is in."""

    name: str
    file: Path


@dataclass
class Load:
    """By node: tasks that run there, of how many stages, and how many records they have before them."""

    tasks: Counter[int] = field(default_factory=Counter)
    stages: Counter[int] = field(default_factory=Counter)
    to_go: Counter[int] = field(default_factory=Counter)


@dataclass
class CodeOutage:
    """The end of a node's processes with user code and with routes.

    `records_to_go`, `deliveries_to_go`: what their tasks had not done when they were looked at last.
    """

    node: int = 0
    pids: frozenset[int] = frozenset()
    records_to_go: int = 0
    deliveries_to_go: int = 0
    again_after_s: float = 0.0


@dataclass
class NodeOutage:
    """The end of a node, and what it cost. `partition`: of the purchases, the one with most under way to it."""

    node: int = 0
    partition: int = -1
    batches_under_way: int = 0
    at_s: float = 0.0
    longest_gap_s: float = 0.0


class Outages:
    """Both of them. `routes`: of what `app` makes; all of it runs when `run` is called.

    `reached`: waits until such a share of the purchases is sent, from 0 to 1; `say`: tells people a line.
    """

    def __init__(
        self,
        client: Client,
        local: LocalCluster,
        *,
        app: Deployed,
        routes: Deployed,
        topic: str,
        reached: Callable[[float], Awaitable[None]],
        say: Callable[[str], None],
    ) -> None:
        self.of_code = CodeOutage()
        self.of_node = NodeOutage()
        self.next_at = CODE_AT
        """The share of the purchases after which something is killed next; infinite: nothing is."""
        self._client = client
        self._local = local
        self._app = app
        self._routes = routes
        self._topic = topic
        self._reached = reached
        self._say = say
        self._code_again: asyncio.Task[None] | None = None

    @property
    def all_killed(self) -> bool:
        """That is to be killed."""
        return self.next_at == math.inf

    async def run(self) -> None:
        """Kill, wait until all is back."""
        await self._reached(CODE_AT)
        await self._retried(self._kill_code)
        self.next_at = NODE_AT
        self._code_again = asyncio.create_task(self._wait_for_code(asyncio.get_running_loop().time()))
        await self._reached(NODE_AT)
        await self._retried(self._kill_node)
        self.next_at = math.inf
        await self._code_again
        await asyncio.sleep(RESTART_AFTER_S)
        self._local.start(self.of_node.node)
        self._say(f"started node {self.of_node.node} again")
        await wait_ready(self._local)
        self._say("all three nodes are back")

    async def _retried(self, kill: Callable[[], Awaitable[bool]]) -> None:
        """Until there is something under way that a kill can interrupt. TimeoutError: there was nothing for long."""
        try:
            async with asyncio.timeout(NOTHING_S_MAX):
                while True:
                    with contextlib.suppress(RiverrunError):  # nodes that change their roles
                        if await kill():
                            return
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            raise TimeoutError(
                f"nothing was under way that a kill could interrupt, for {NOTHING_S_MAX:.0f} s"
            ) from None

    # --- user code and routes

    async def _kill_code(self) -> bool:
        """SIGKILL all such processes of a node that has both to process and to deliver; False if none has."""
        app, routes = await self._load(self._app), await self._load(self._routes)
        busy = routes.to_go.keys() & app.to_go.keys()
        if not busy:
            return False
        node = max(busy, key=lambda node: (app.to_go[node], node))
        code, delivering = self._code_of(node)
        if not code or len(delivering) < routes.stages[node]:
            return False
        for pid in code | delivering:
            os.kill(pid, signal.SIGKILL)
        self.of_code = CodeOutage(
            node=node,
            pids=frozenset(code | delivering),
            records_to_go=app.to_go[node],
            deliveries_to_go=routes.to_go[node],
        )
        self._say(
            f"killed the process with user code and {len(delivering)} with routes on node {node} (SIGKILL), "
            f"with {app.to_go[node]:,} records to process and {routes.to_go[node]:,} to deliver"
        )
        return True

    def _code_of(self, node: int) -> tuple[set[int], set[int]]:
        """Its processes: those with user code, and those with routes."""
        code, routes = (user_code_of(self._local, node, each.file.name) for each in (self._app, self._routes))
        return code, routes

    async def _load(self, app: Deployed) -> Load:
        load = Load()
        for stage in (await self._client.describe_app(app.name)).stages:
            nodes = set[int]()
            for task in stage.tasks:
                if task.node is not None and task.state is TaskState.RUNNING:
                    nodes.add(task.node)
                    load.tasks[task.node] += 1
                    if task.lag_records:
                        load.to_go[task.node] += task.lag_records
            load.stages.update(nodes)
        return load

    async def _wait_for_code(self, killed_s: float) -> None:
        """Until the node has started others of both kinds; nobody tells it to. Some tasks may go on elsewhere."""
        loop = asyncio.get_running_loop()
        node, killed = self.of_code.node, self.of_code.pids
        while not all(pids - killed for pids in self._code_of(node)):
            if loop.time() - killed_s > AGAIN_S_MAX:
                self._say(f"node {node} did not start both again within {AGAIN_S_MAX:.0f} s")
                return
            await asyncio.sleep(LOOK_AT_PROCESSES_S)
        self.of_code.again_after_s = loop.time() - killed_s
        self._say(f"node {node} started them again by itself after {self.of_code.again_after_s * 1000:.0f} ms")

    # --- a node

    async def _kill_node(self) -> bool:
        """SIGKILL the leader of the partitions with most under way; False if nothing is under way right now."""
        app, routes = await self._load(self._app), await self._load(self._routes)
        topic = await self._client.describe_topic(self._topic)
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
            partition=max(led[node], key=lambda number: under_way[number]),
            batches_under_way=batches,
            at_s=asyncio.get_running_loop().time(),
        )
        self._say(
            f"killed node {node} (SIGKILL): the leader of {len(led[node])} partitions of purchases, "
            f"with {batches} batches to it under way, and of {app.tasks[node]} tasks and {routes.tasks[node]} of routes"
        )
        return True
