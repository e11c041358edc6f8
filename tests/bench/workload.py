"""What is asked of riverrun: the public per-record `produce`, every value different, every byte read back.

A value is a number and a piece of random bytes that the number chooses, so it can be checked without being kept.
"""

import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

from cluster.client.client import Client
from cluster.config import ClientOptions
from tests.bench.yardsticks import SINGLE_BYTES, Latencies, latencies

NUMBER_BYTES = 12
STEADY_PER_S = 250
"""Far from what two cores can do, so that it shows a latency and not a queue."""
OPTIONS = ClientOptions(linger_s=0.005)
"""The defaults, but for what a line of the table would say."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Of one pass over all records."""

    bytes_per_s: float
    records_per_s: float


class Values:
    """`count` different values of `size` bytes."""

    def __init__(self, size: int, count: int) -> None:
        self.size = size
        self.count = count
        self._filling = size - NUMBER_BYTES
        self._random = os.urandom(4096 + size)

    def value(self, number: int) -> bytes:
        """The value with that number."""
        start = number & 4095
        return b"%012d" % number + self._random[start : start + self._filling]

    def __iter__(self) -> Iterator[bytes]:
        return map(self.value, range(self.count))


async def produce(client: Client, topic: str, values: Values) -> Rates:
    """From the first `produce` until the last receipt; the topic and its leaders are known before."""
    await client.offsets(topic)
    begin_s = time.perf_counter()
    for value in values:
        await client.produce(topic, value)
    await client.flush()
    spent_s = time.perf_counter() - begin_s
    return Rates(values.size * values.count / spent_s, values.count / spent_s)


async def read_back(client: Client, topic: str, values: Values) -> Rates:
    """From the request until the last record; each is compared with what was produced."""
    check = _Check(topic, values)
    begin_s = time.perf_counter()
    async for record in client.read(topic, until="latest"):
        check.take(record.value)
    spent_s = time.perf_counter() - begin_s
    check.finish()
    return Rates(values.size * values.count / spent_s, values.count / spent_s)


async def read_as_member(client: Client, topic: str, values: Values) -> Rates:
    """The same as the only member of a group: from the first partition that it is given until all is committed."""
    check = _Check(topic, values)
    joined = asyncio.Event()
    async with client.subscribe(topic, group="bench", on_assigned=lambda _: joined.set()) as subscription:
        await joined.wait()
        begin_s = time.perf_counter()
        for _ in range(values.count):
            check.take((await anext(subscription)).value)
        await subscription.commit()
        spent_s = time.perf_counter() - begin_s
    check.finish()
    if (await client.describe_group("bench")).lag_records:
        raise AssertionError("what was committed is not what was read")
    return Rates(values.size * values.count / spent_s, values.count / spent_s)


class _Check:
    """Compares what is read with what was produced."""

    def __init__(self, topic: str, values: Values) -> None:
        self._topic = topic
        self._values = values
        self._seen = bytearray(values.count)

    def take(self, value: bytes) -> None:
        """One record."""
        number = int(value[:NUMBER_BYTES])
        if value != self._values.value(number):
            raise AssertionError(f"record {number} of {self._topic} was changed")
        self._seen[number] += 1

    def finish(self) -> None:
        """Each came once."""
        if self._seen.count(1) != self._values.count:
            raise AssertionError(f"{self._seen.count(0)} records of {self._topic} are missing, others came twice")


async def single_latency(client: Client, topic: str, count: int) -> Latencies:
    """Publish one record, wait for its receipt, publish the next."""
    values = Values(SINGLE_BYTES, count)
    spent = []
    for value in values:
        begin_s = time.perf_counter()
        await client.publish(topic, value)
        spent.append(time.perf_counter() - begin_s)
    return latencies(spent)


async def steady_latency(client: Client, topic: str, seconds: float) -> Latencies:
    """Records at a steady rate, each timed from when it was due until its receipt."""
    values = Values(SINGLE_BYTES, int(STEADY_PER_S * seconds))
    spent: list[float] = []
    waiting = set()

    async def publish(value: bytes, due_s: float) -> None:
        await client.publish(topic, value)
        spent.append(time.perf_counter() - due_s)

    begin_s = time.perf_counter()
    for number, value in enumerate(values):
        due_s = begin_s + number / STEADY_PER_S
        wait_s = due_s - time.perf_counter()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        task = asyncio.create_task(publish(value, due_s))
        waiting.add(task)
        task.add_done_callback(waiting.discard)
    await asyncio.gather(*waiting)
    return latencies(spent)
