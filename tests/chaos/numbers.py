"""A small workload for tests of runs: one producer, one record after the other; at the end all are read."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from chaos.arenas.arena import Arena
from chaos.checkers.anomaly import Anomaly
from chaos.checkers.log import check_log
from chaos.history import Event, History, Kind
from cluster.errors import Outcome, RiverrunError


class NumbersWorkload:
    """See `chaos.workloads.workload.Workload`."""

    name: ClassVar[str] = "numbers"
    options: ClassVar[Mapping[str, Any]] = {"think_s": 0.01, "fail_after": 0, "count": 0}
    """`count`: so many, and no more; 0: until it is stopped."""

    def __init__(self, arena: Arena, history: History, options: Mapping[str, Any]) -> None:
        self._arena = arena
        self._history = history
        self._options = options
        self._stopping = False

    @property
    def topics(self) -> Sequence[str]:
        return ["numbers"]

    async def prepare(self) -> None:
        client = self._arena.client("maker")
        await client.create_topic("numbers", partitions=1, replicas=3)
        await client.close()

    async def run(self) -> None:
        client, number = self._arena.client("producer"), 0
        while not self._stopping and not 0 < self._options["count"] <= number:
            number += 1
            value = f"{number}"
            said = {"partition": 0, "key": "k", "value": value}
            operation = self._history.invoke("p", "send", self._arena.now_s(), **said)
            try:
                receipt = await client.publish("numbers", value.encode(), key=b"k", partition=0)
            except RiverrunError as error:
                kind = Kind.INFO if error.outcome is Outcome.UNKNOWN else Kind.FAIL
                self._history.end(operation, "p", kind, "send", self._arena.now_s(), error=error.reason)
            else:
                self._history.end(operation, "p", Kind.OK, "send", self._arena.now_s(), offset=receipt.offset)
            if number == self._options["fail_after"]:
                raise ValueError("the workload itself is broken")
            await asyncio.sleep(self._options["think_s"])
        await client.close()

    def stop(self) -> None:
        self._stopping = True

    async def finish(self) -> None:
        client = self._arena.client("final")
        operation = self._history.invoke("final", "read", self._arena.now_s(), partition=0)
        records = [
            [record.offset, "k", record.value.decode()] async for record in client.read("numbers", until="latest")
        ]
        said = {"partition": 0, "records": records, "first": 0}
        self._history.end(operation, "final", Kind.OK, "read", self._arena.now_s(), **said)
        await client.close()

    @classmethod
    def judge(cls, events: Sequence[Event], options: Mapping[str, Any]) -> list[Anomaly]:
        del options
        return check_log(events)
