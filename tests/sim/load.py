"""Clients of a seed that produce, append on a condition, read and delete; its history says what they did and saw."""

import asyncio
import contextlib
import random
from collections import Counter

from chaos.history import History, Kind
from cluster.client.client import Client
from cluster.client.decoding import ReadRecord
from cluster.client.delivery import Delivery
from cluster.client.routing import partition_of_key
from cluster.config import ClientOptions
from cluster.errors import OffsetConflict, OffsetOutOfRange, Outcome, RiverrunError, UnknownTopic
from cluster.metadata import TopicConfig
from cluster.sim.clock import SimLoop
from cluster.sim.cluster import SimCluster
from tests.sim.seen import Seen
from tests.sim.swarm import Plan

TOPIC = "t"
AGAIN = "again"
TOMBSTONE_SHARE = 0.15
"""Of the records that are produced to a compacted topic: they delete their key."""
MORTAL_SHARE = 0.1
"""Of the records that are produced to a compacted topic: they are the first of a key that is then deleted for good."""
IDENTITY = "id"
"""The header that tells one tombstone from another."""
WRONG_SHARE = 0.2
"""Of the conditions: they expect more than is there, and may come true while the request is under way."""


class Load:
    """All of them; each goes on until `stopping`."""

    def __init__(
        self, loop: SimLoop, plan: Plan, cluster: SimCluster, history: History, outcome: Seen, chance: random.Random
    ) -> None:
        self._loop = loop
        self._plan = plan
        self._cluster = cluster
        self._history = history
        self._outcome = outcome
        self._random = chance
        self.stopping = False

    async def produce(self, number: int) -> None:
        options = ClientOptions(linger_s=self._plan.linger_s, delivery_timeout_s=200.0)
        client = self._cluster.client(f"producer-{number}", options)
        pending: set[asyncio.Task[None]] = set()
        mortal: list[str] = []
        count = 0
        while not self.stopping:
            for _ in range(self._random.randint(1, 6)):
                value = f"{number}.{count}"
                key, tombstone = self._next_key(value, mortal)
                count += 1
                partition = partition_of_key(key.encode(), self._plan.partitions)
                said = {"partition": partition, "key": key, "value": value} | ({"tombstone": True} if tombstone else {})
                operation = self._history.invoke(f"p{number}", "send", self._loop.now_s, **said)
                self._outcome.sent += 1
                headers = {IDENTITY: value.encode()} if tombstone else {}
                body = b"" if tombstone else value.encode()
                try:
                    delivery = await client.produce(TOPIC, body, key=key.encode(), headers=headers)
                except RiverrunError as error:
                    self._ended(operation, f"p{number}", error)
                    continue
                task = asyncio.create_task(self._await(operation, f"p{number}", delivery))
                pending.add(task)
                task.add_done_callback(pending.discard)
            await asyncio.sleep(self._random.uniform(0.05, self._plan.think_s))
            while len(pending) > 200:
                await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        if pending:
            await asyncio.wait(pending)
        await client.abandon()

    def _next_key(self, value: str, mortal: list[str]) -> tuple[str, bool]:
        """Whose record is next, and whether it deletes its key: some of the keys come once and are deleted for good."""
        chance = self._random.random() if self._plan.limits.compacted else 1.0
        if chance < MORTAL_SHARE:
            mortal.append(f"m{value}")
            return mortal[-1], False
        if chance < 2 * MORTAL_SHARE and mortal:
            return mortal.pop(0), True
        tombstone = bool(self._plan.limits.compacted) and self._random.random() < TOMBSTONE_SHARE
        return f"k{self._random.randrange(12)}", tombstone

    async def _await(self, operation: int, process: str, delivery: Delivery) -> None:
        try:
            receipt = await delivery
        except RiverrunError as error:
            self._ended(operation, process, error)
            return
        self._outcome.acknowledged += 1
        self._outcome.counts["duplicate_answered"] += receipt.duplicate
        self._history.end(operation, process, Kind.OK, "send", self._loop.now_s, offset=receipt.offset)

    async def append(self, number: int) -> None:
        """Read the end, append if it is still there; one after the other."""
        client = self._cluster.client(f"appender-{number}", ClientOptions(delivery_timeout_s=20.0))
        process, count = f"a{number}", 0
        while not self.stopping:
            await asyncio.sleep(self._random.uniform(0.1, self._plan.think_s))
            partition, value = self._random.randrange(self._plan.partitions), f"a{number}.{count}"
            count += 1
            try:
                end = (await client.offsets(TOPIC, [partition]))[partition].end
            except RiverrunError:
                continue
            end += self._random.random() < WRONG_SHARE
            place = {"partition": partition, "key": "c", "value": value, "expected_end": end}
            operation = self._history.invoke(process, "send", self._loop.now_s, **place)
            self._outcome.sent += 1
            try:
                receipt = await client.publish(TOPIC, value.encode(), key=b"c", partition=partition, expected_end=end)
            except RiverrunError as error:
                self._outcome.counts["conflict"] += isinstance(error, OffsetConflict)
                self._ended(operation, process, error)
                continue
            self._outcome.acknowledged += 1
            self._outcome.counts["appended_on_condition"] += 1
            self._history.end(operation, process, Kind.OK, "send", self._loop.now_s, offset=receipt.offset)
        await client.abandon()

    async def read(self, number: int) -> None:
        """Follow partitions while everything happens; what was read before an error was read all the same."""
        client = self._cluster.client(f"reader-{number}")
        process, positions = f"r{number}", Counter[int]()
        while not self.stopping:
            await asyncio.sleep(self._random.uniform(0.1, 2 * self._plan.think_s))
            partition = self._random.randrange(self._plan.partitions)
            operation = self._history.invoke(process, "read", self._loop.now_s, partition=partition)
            records, told = [], {}
            try:
                async with asyncio.timeout(20):
                    async for record in client.read(
                        TOPIC, partitions=[partition], start=positions[partition], until="latest"
                    ):
                        records.append(plain(record))  # noqa: PERF401  what came before an error counts
            except OffsetOutOfRange as error:
                self._outcome.counts["read_out_of_range"] += 1
                told = {"first": int(error.metadata["first"])}
            except (RiverrunError, TimeoutError):
                self._outcome.counts["reads_broken"] += 1
            positions[partition] = max(records[-1][0] + 1 if records else positions[partition], *told.values(), 0)
            self._outcome.counts["records_read"] += len(records)
            self._history.end(
                operation, process, Kind.OK, "read", self._loop.now_s, partition=partition, records=records, **told
            )
        await client.abandon()

    async def delete(self) -> None:
        """Now and then somebody deletes records, from the beginning to anywhere."""
        client = self._cluster.client("deleter")
        while not self.stopping:
            await asyncio.sleep(self._random.uniform(0.1, 2 * self._plan.deletes_every_s))
            partition = self._random.randrange(self._plan.partitions)
            try:
                place = (await client.offsets(TOPIC, [partition]))[partition]
            except RiverrunError:
                continue
            before = self._random.randint(place.first, place.end)
            operation = self._history.invoke("d", "delete", self._loop.now_s, partition=partition, before=before)
            kind = Kind.OK
            try:
                first = await client.delete_records(TOPIC, partition, before=before)
                if first < before:
                    raise AssertionError(f"deleted before {before}, and told that {first} is left")
            except RiverrunError as error:
                kind = Kind.INFO if error.outcome is Outcome.UNKNOWN else Kind.FAIL
            self._outcome.counts["deleted"] += kind is Kind.OK
            self._history.end(operation, "d", kind, "delete", self._loop.now_s, partition=partition, before=before)
        await client.abandon()

    async def remake(self) -> None:
        """A topic is made, written to, read and deleted, over and over: one of that name inherits nothing."""
        lives = 0
        while not self.stopping:
            lives += 1
            client = self._cluster.client(f"remaker-{lives}", ClientOptions(delivery_timeout_s=20.0))
            try:
                async with asyncio.timeout(30):
                    await self._one_life(client, b"%d." % lives)
                self._outcome.counts["topic_remade"] += 1
            except (RiverrunError, TimeoutError):
                await asyncio.sleep(self._random.uniform(0.0, 1.0))
            await client.abandon()

    async def _one_life(self, client: Client, mark: bytes) -> None:
        with contextlib.suppress(UnknownTopic):
            await client.delete_topic(AGAIN)  # whatever became of the one before
        config = TopicConfig(compacted=True, tombstone_ms=2_000)
        await client.create_topic(AGAIN, partitions=1, replicas=3, config=config)
        for number in range(self._random.randint(1, 60)):
            await client.publish(AGAIN, mark + b"%d" % number, key=b"k%d" % (number % 5))
        records = [record.value async for record in client.read(AGAIN, until="latest")]
        foreign = [value for value in records if not value.startswith(mark)]
        if foreign or not records:
            raise AssertionError(f"a topic that was made anew as {mark!r} has {records}")
        await asyncio.sleep(self._random.uniform(0.0, 3.0))
        await client.delete_topic(AGAIN)

    def _ended(self, operation: int, process: str, error: RiverrunError) -> None:
        kind = Kind.INFO if error.outcome is Outcome.UNKNOWN else Kind.FAIL
        self._history.end(operation, process, kind, "send", self._loop.now_s, error=error.reason)


def plain(record: ReadRecord) -> list[int | str]:
    """As histories have it; all records of the seeds have keys."""
    identity = record.value or next(header.value for header in record.headers if header.name == IDENTITY)
    return [record.offset, (record.key or b"").decode(), identity.decode()]
