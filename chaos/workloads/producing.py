"""Producers: records of unique values with keys, many under way at a time; some delete keys of a compacted topic."""

import asyncio

from chaos.workloads.load import Load
from chaos.workloads.sitting import keep_seat
from cluster.client.client import Client
from cluster.client.delivery import Delivery
from cluster.client.routing import partition_of_key
from cluster.errors import RiverrunError

TOMBSTONE_SHARE = 0.15
"""Of the records that are produced to a compacted topic: they delete their key."""
MORTAL_SHARE = 0.1
"""Of the records that are produced to a compacted topic: they are the first of a key that is then deleted for good."""
IDENTITY = "id"
"""The header that tells one tombstone from another."""
BURST_MAX = 6
BURSTS_PER_S = 10.0
"""Of a producer that keeps a rate."""


class Producing:
    """One producer, idempotent as all are."""

    def __init__(self, load: Load, number: int) -> None:
        self._load = load
        self._number = number
        self._count = 0
        self._mortal: list[str] = []

    async def run(self) -> None:
        """Send until the load stops, and wait for what is under way."""
        options = self._load.plan.producer_options
        await keep_seat(self._load, f"producer-{self._number}", f"p{self._number}", self._work, options)

    async def _work(self, client: Client, process: str) -> None:
        self._mortal.clear()  # what an earlier client sent of them may be under way for ever
        pending: set[asyncio.Task[None]] = set()
        try:
            await self._send(client, process, pending)
            if pending:
                await asyncio.wait(pending)
        finally:
            for task in pending:
                task.cancel()

    async def _send(self, client: Client, process: str, pending: "set[asyncio.Task[None]]") -> None:
        load, plan = self._load, self._load.plan
        while not load.stopping:
            burst = load.random.randint(1, self._burst_max())
            for _ in range(burst):
                value = f"{self._number}.{self._count}"
                key, tombstone = self._next_key(value)
                self._count += 1
                said = {"partition": partition_of_key(key.encode(), plan.partitions), "key": key, "value": value}
                operation = load.invoke(process, "send", **said | ({"tombstone": True} if tombstone else {}))
                load.counts["sent"] += 1
                headers = {IDENTITY: value.encode()} if tombstone else {}
                body = b"" if tombstone else value.encode()
                try:
                    delivery = await client.produce(load.topic, body, key=key.encode(), headers=headers)
                except RiverrunError as error:
                    load.ended(operation, process, "send", error)
                    continue
                task = asyncio.create_task(self._await(operation, process, delivery))
                pending.add(task)
                task.add_done_callback(pending.discard)
            await load.think(*self._pause_s(burst))
            while len(pending) > plan.in_flight_max:
                await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)

    def _burst_max(self) -> int:
        each_per_s = self._load.plan.rate_per_s / self._load.plan.producers
        return max(BURST_MAX, round(2 * each_per_s / BURSTS_PER_S)) if each_per_s else BURST_MAX

    def _pause_s(self, burst: int) -> tuple[float, float]:
        plan = self._load.plan
        if not plan.rate_per_s:
            return 0.05, plan.think_s
        takes_s = burst * plan.producers / plan.rate_per_s
        return 0.5 * takes_s, 1.5 * takes_s

    def _next_key(self, value: str) -> tuple[str, bool]:
        """Whose record is next, and whether it deletes its key: some of the keys come once and are deleted for good."""
        chance, compacted = self._load.random, self._load.plan.is_compacted
        share = chance.random() if compacted else 1.0
        if share < MORTAL_SHARE:
            self._mortal.append(f"m{value}")
            return self._mortal[-1], False
        if share < 2 * MORTAL_SHARE and self._mortal:
            return self._mortal.pop(0), True
        tombstone = compacted and chance.random() < TOMBSTONE_SHARE
        return f"k{chance.randrange(self._load.plan.keys)}", tombstone

    async def _await(self, operation: int, process: str, delivery: Delivery) -> None:
        load = self._load
        try:
            receipt = await delivery
        except RiverrunError as error:
            load.ended(operation, process, "send", error)
            return
        load.counts["acknowledged"] += 1
        load.counts["duplicate_answered"] += receipt.duplicate
        said = {"offset": receipt.offset, "synced": receipt.replicas_synced, "duplicate": receipt.duplicate}
        load.ok(operation, process, "send", **said)
