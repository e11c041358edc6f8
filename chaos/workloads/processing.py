"""An app at work under fire: producers send numbered amounts, and each has to be counted exactly once.

The app is `processing_app.py`. At the end, when its tasks have read all there is, have shipped what came of it and have
closed their windows, inputs and outputs are read with fresh clients into the history.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from chaos.arenas.arena import Arena
from chaos.checkers.anomaly import Anomaly
from chaos.checkers.processing import FINAL, check_processing
from chaos.checkers.publishes import check_publishes
from chaos.checkers.replicas import check_replicas, copies_in
from chaos.history import Event, History, Kind
from chaos.workloads import processing_app
from chaos.workloads.outcomes import kind_of, reason_of
from cluster.client.app_views import AppView, TaskState
from cluster.client.client import Client
from cluster.client.delivery import Delivery
from cluster.client.routing import partition_of_key
from cluster.config import ClientOptions
from cluster.errors import RiverrunError

INPUT = "processing-amounts"
OUTPUTS = ("counts", "groups", "windows", "late")
AMOUNT_MAX = 1_000
UNDER_WAY_MAX = 200
"""Of a producer's sends."""
READ_S_MAX = 60.0
LOOK_S = 0.5
LOOKS = 3
"""So many times in a row all tasks have to be done: what one stage ships is another's input a moment later."""
PREPARE_S_MAX = 90.0


class ProcessingWorkload:
    """See `Workload`."""

    name: ClassVar[str] = "processing"
    options: ClassVar[Mapping[str, Any]] = {
        "producers": 3,
        "keys": 8,
        "groups": 4,
        "partitions": 3,
        "replicas": 3,
        "pause_s": 0.05,
        "delivery_timeout_s": 120.0,
        "no_failures": False,
        "caught_up_s_max": 120.0,
    }

    def __init__(self, arena: Arena, history: History, options: Mapping[str, Any]) -> None:
        self._arena = arena
        self._history = history
        self._options = {**self.options, **options}
        self._random = arena.random
        self._stopping = False

    @property
    def topics(self) -> Sequence[str]:
        """The inputs'."""
        return [INPUT]

    async def prepare(self) -> None:
        """The topic of inputs, and the app. Both are asked for until they are there."""
        client = self._arena.client("processing-deployer")
        options = self._options
        code = self._arena.code(processing_app.__name__)
        try:
            async with asyncio.timeout(PREPARE_S_MAX):
                await client.create_topic(
                    INPUT, partitions=options["partitions"], replicas=options["replicas"], if_absent=True
                )
                await client.deploy_app(code, file_name="processing_app.py", timeout_s=PREPARE_S_MAX)
        finally:
            await client.abandon()

    def stop(self) -> None:
        """See Workload."""
        self._stopping = True

    async def run(self) -> None:
        """See Workload."""
        await asyncio.gather(*(self._produce(number) for number in range(self._options["producers"])))

    @classmethod
    def judge(cls, events: Sequence[Event], options: Mapping[str, Any]) -> list[Anomaly]:
        """See Workload."""
        found = check_processing(events, window_s=processing_app.WINDOW_S)
        if {**cls.options, **options}["no_failures"]:
            found += check_publishes(events)
        copies = copies_in(events)
        replicas = {**cls.options, **options}["replicas"]
        return [*found, *check_replicas(copies, events, replicas=replicas)] if copies else found

    # --- producers

    async def _produce(self, number: int) -> None:
        process = f"processing-producer-{number}"
        timeout_s = self._options["delivery_timeout_s"]
        client = self._arena.client(process, ClientOptions(delivery_timeout_s=timeout_s, linger_s=0.0))
        pending: set[asyncio.Task[None]] = set()
        count = 0
        try:
            while not self._stopping:
                sending = await self._send(client, process, self._next(f"{number}.{count}"))
                count += 1
                pending = {task for task in pending if not task.done()}
                if sending is not None:
                    pending.add(sending)
                await asyncio.sleep(self._random.uniform(0.0, 2.0) * self._options["pause_s"])
                if len(pending) >= UNDER_WAY_MAX:
                    await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            if pending:
                await asyncio.wait(pending)
        finally:
            await client.abandon()

    def _next(self, name: str) -> dict[str, Any]:
        key = f"k{self._random.randrange(self._options['keys'])}"
        group = f"g{self._random.randrange(self._options['groups'])}"
        return {"id": name, "key": key, "group": group, "amount": self._random.randint(1, AMOUNT_MAX)}

    async def _send(self, client: Client, process: str, amount: Mapping[str, Any]) -> "asyncio.Task[None] | None":
        """On its way when this returns, behind what was sent before; the rest is the task's. None: it failed."""
        text, key = json.dumps(amount), str(amount["key"])
        partition = partition_of_key(key.encode(), self._options["partitions"])
        now_s = self._arena.now_s
        number = self._history.invoke(process, "send", now_s(), partition=partition, key=key, value=text)
        try:
            delivery = await client.produce(INPUT, text.encode(), key=key.encode())
        except RiverrunError as error:
            self._history.end(number, process, kind_of(error), "send", now_s(), error=reason_of(error))
            return None
        return asyncio.create_task(self._hear(number, process, delivery))

    async def _hear(self, number: int, process: str, delivery: Delivery) -> None:
        now_s = self._arena.now_s
        try:
            receipt = await delivery
        except RiverrunError as error:
            self._history.end(number, process, kind_of(error), "send", now_s(), error=reason_of(error))
        else:
            told = {"offset": receipt.offset, "duplicate": receipt.duplicate}
            self._history.end(number, process, Kind.OK, "send", now_s(), **told)

    # --- the end

    async def finish(self) -> None:
        """RuntimeError with what the tasks wait for, if they are not done within a bound."""
        watcher = self._arena.client("processing-watcher")
        try:
            await self._caught_up(watcher)
        finally:
            await watcher.abandon()
        reader = self._arena.client("processing-reader")
        try:
            async with asyncio.timeout(READ_S_MAX):
                await self._read_all(reader, "read", INPUT, {})
                for output in OUTPUTS:
                    await self._read_all(reader, "output", f"processing-{output}", {"topic": output})
        finally:
            await reader.abandon()

    async def _caught_up(self, client: Client) -> None:
        end_s = self._arena.now_s() + self._options["caught_up_s_max"]
        looks, why = 0, "nobody tells of the app"
        while looks < LOOKS:
            try:
                why = waits_for(await client.describe_app(processing_app.app.name))
            except RiverrunError as error:
                why = error.message
            looks = 0 if why else looks + 1
            if why and self._arena.now_s() > end_s:
                raise RuntimeError(f"the app has not caught up: {why}")
            await asyncio.sleep(LOOK_S)

    async def _read_all(self, client: Client, name: str, topic: str, said: Mapping[str, Any]) -> None:
        for partition, place in sorted((await client.offsets(topic)).items()):
            now_s = self._arena.now_s
            number = self._history.invoke(FINAL, name, now_s(), partition=partition, start=0, **said)
            found = [record async for record in client.read(topic, partitions=[partition], until="latest")]
            records = [
                [
                    record.offset,
                    None if record.key is None else record.key.decode(errors="replace"),
                    record.value.decode(errors="replace"),
                ]
                for record in found
            ]
            told = {"partition": partition, "first": place.first, "records": records, **said}
            times_ns = [record.timestamp_ns for record in found]
            self._history.end(number, FINAL, Kind.OK, name, now_s(), **told, times_ns=times_ns)


def waits_for(app: AppView) -> str:
    """What is not done yet, in a sentence; empty: all inputs are read, all outputs shipped, all windows closed."""
    for stage in app.stages:
        for task in stage.tasks:
            name = f"{stage.name}/{task.number}"
            if task.state is not TaskState.RUNNING or task.why:
                return f"{name} is {task.state}: {task.why}"
            if task.lag_records != 0:
                return f"{name} has {task.lag_records} records to read"
            if task.unshipped_bytes or task.timers:
                return f"{name} has {task.unshipped_bytes} bytes to ship and {task.timers} timers to wait for"
        if len(stage.tasks) != stage.task_count:
            return f"{stage.name} tells of {len(stage.tasks)} tasks, not {stage.task_count}"
    return ""
