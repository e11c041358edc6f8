"""What tasks are doing, asked at the leaders of their logs, and what they are told to do. One hop, each node once.

A node that does not answer, or one that has not heard of an app yet, makes no answer fail: of those tasks it is told
that nobody knows, and why.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from cluster.broker.broker import Broker
from cluster.broker.forwarding import Forwarding
from cluster.config import ProcessingOptions
from cluster.errors import RiverrunError
from cluster.metadata import Stage
from cluster.processing.app_messages import TaskKey, task_to_pb, trim_tracebacks, unknown_task
from cluster.processing.task_status import Tasks
from cluster.types import PartitionId
from cluster.wire.api import app_pb2
from cluster.world import Call

DESCRIBE = "/riverrun.v1.AppService/DescribeApp"
RESUME = "/riverrun.v1.AppService/ResumeApp"
REDRIVE = "/riverrun.v1.AppService/RedriveApp"
M = TypeVar("M")


class AskingTasks:
    """From one node."""

    def __init__(self, *, broker: Broker, forwarding: Forwarding, options: ProcessingOptions) -> None:
        self._broker = broker
        self._forwarding = forwarding
        self.tasks: Tasks | None = None
        """Of this node; None: it runs none, though it may lead their logs."""
        self._options = options

    # --- what they are doing

    async def statuses_here(self, stages: Sequence[Stage]) -> dict[TaskKey, app_pb2.Task]:
        """Of the tasks that run on this node."""
        here = self._led_here(stages)
        found = await asyncio.gather(*(self._status(partition) for partition in here.values()))
        return dict(zip(here, found, strict=True))

    async def statuses(self, stages: Sequence[Stage], data: bytes, call: Call) -> dict[TaskKey, app_pb2.Task]:
        """Of all tasks; `data` is the request, as it is sent on."""

        async def ask(address: str) -> dict[TaskKey, app_pb2.Task]:
            answer = app_pb2.DescribeAppResponse.FromString(await self._forwarding.call(address, DESCRIBE, data, call))
            return {(stage.name, stage.version, task.task): task for stage in answer.app.stages for task in stage.tasks}

        found, whys = await self._everywhere(stages, await self.statuses_here(stages), ask)
        trim_tracebacks([found[key] for key in sorted(found)])
        return {key: unknown_task(key[2], why) for key, why in whys.items()} | found

    async def _status(self, partition: PartitionId) -> app_pb2.Task:
        if self.tasks is None:
            return unknown_task(partition.number, self._no_tasks())
        try:
            status = await self.tasks.status(partition)
        except RiverrunError as error:
            return unknown_task(partition.number, error.message)
        return task_to_pb(partition.number, status, traceback_bytes_max=self._options.traceback_bytes_max)

    # --- going on

    def resume_here(self, stages: Sequence[Stage]) -> dict[TaskKey, app_pb2.Task]:
        """Those of this node go on, if they have stopped; the others are not in the answer."""
        here = self._led_here(stages)
        return {key: self._resume(partition) for key, partition in here.items()}

    async def resume(self, stages: Sequence[Stage], data: bytes, call: Call) -> dict[TaskKey, app_pb2.Task]:
        """All of them; those that could not be told are in the answer, with why."""

        async def ask(address: str) -> dict[TaskKey, app_pb2.Task]:
            answer = app_pb2.ResumeAppResponse.FromString(await self._forwarding.call(address, RESUME, data, call))
            return {(stage.name, stage.version, task.task): task for stage in answer.app.stages for task in stage.tasks}

        found, whys = await self._everywhere(stages, self.resume_here(stages), ask)
        return {key: unknown_task(key[2], why) for key, why in whys.items()} | {
            key: task for key, task in found.items() if task.why
        }

    def _resume(self, partition: PartitionId) -> app_pb2.Task:
        if self.tasks is None:
            return unknown_task(partition.number, self._no_tasks())
        try:
            self.tasks.resume(partition)
        except RiverrunError as error:
            return unknown_task(partition.number, error.message)
        return app_pb2.Task(task=partition.number)

    # --- redriving

    async def redrive_here(self, stages: Sequence[Stage]) -> dict[TaskKey, app_pb2.RedrivenTask]:
        """Those that run on this node."""
        return {key: await self._redrive(key, partition) for key, partition in self._led_here(stages).items()}

    async def redrive(self, stages: Sequence[Stage], data: bytes, call: Call) -> list[app_pb2.RedrivenTask]:
        """All of them: each was begun, or says why not."""

        async def ask(address: str) -> dict[TaskKey, app_pb2.RedrivenTask]:
            answer = app_pb2.RedriveAppResponse.FromString(await self._forwarding.call(address, REDRIVE, data, call))
            return {(task.stage, task.version, task.task): task for task in answer.tasks}

        found, whys = await self._everywhere(stages, await self.redrive_here(stages), ask)
        found |= {key: _redriven(key, error=why) for key, why in whys.items()}
        return [found[key] for key in sorted(found)]

    async def _redrive(self, key: TaskKey, partition: PartitionId) -> app_pb2.RedrivenTask:
        if self.tasks is None:
            return _redriven(key, error=self._no_tasks())
        try:
            return _redriven(key, records=await self.tasks.redrive(partition))
        except RiverrunError as error:
            return _redriven(key, error=error.message)

    # --- where they are

    def _no_tasks(self) -> str:
        return f"node {self._broker.me} leads its log, and runs no tasks"

    def _led_here(self, stages: Sequence[Stage]) -> dict[TaskKey, PartitionId]:
        running = self._broker.running
        return {
            key: partition
            for key, partition in _logs_of(stages).items()
            if partition in running and running[partition].replica.raft.is_leader
        }

    async def _everywhere(
        self, stages: Sequence[Stage], here: Mapping[TaskKey, M], ask: Callable[[str], Awaitable[dict[TaskKey, M]]]
    ) -> tuple[dict[TaskKey, M], dict[TaskKey, str]]:
        """What is told of each task, and why nothing is told of the others."""
        whys: dict[TaskKey, str] = {}
        wanted: dict[str, list[TaskKey]] = defaultdict(list)
        for key, partition in _logs_of(stages).items():
            if key not in here:
                try:
                    wanted[self._forwarding.leader_address(partition)].append(key)
                except RiverrunError as error:
                    whys[key] = error.message

        async def at(address: str, keys: Sequence[TaskKey]) -> dict[TaskKey, M]:
            why = f"the node at {address} does not lead its log any more; look again"
            told: dict[TaskKey, M] = {}
            try:
                async with asyncio.timeout(self._options.describe_wait_s_max):
                    told = await ask(address)
            except TimeoutError:
                why = f"the node at {address} did not answer in time"
            except RiverrunError as error:
                why = error.message
            whys.update({key: why for key in keys if key not in told})
            return {key: told[key] for key in keys if key in told}

        found = dict(here)
        for told in await asyncio.gather(*(at(address, keys) for address, keys in wanted.items())):
            found |= told
        return found, whys


def _logs_of(stages: Sequence[Stage]) -> dict[TaskKey, PartitionId]:
    return {
        (stage.name, stage.version, number): PartitionId(stage.topic, number)
        for stage in stages
        for number in range(stage.tasks)
    }


def _redriven(key: TaskKey, *, records: int = 0, error: str = "") -> app_pb2.RedrivenTask:
    return app_pb2.RedrivenTask(stage=key[0], version=key[1], task=key[2], records=records, error=error)
