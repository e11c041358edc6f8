"""Random troubles, seed by seed: what the receipts and errors say is what the logs hold."""

import asyncio
import random

import pytest

from cluster.errors import InvalidRequest, NotLeader, Outcome, OutcomeUnknown, Overloaded, RiverrunError, Unavailable
from cluster.wire.records import decode_batch
from tests.client.scenario import scenario

PARTITIONS = 4


def seeds(first, *, few, many):
    """The first few always, the rest where there is time."""
    late = [pytest.param(seed, marks=pytest.mark.long) for seed in range(first + few, first + many)]
    return [*range(first, first + few), *late]


class Troubles:
    """Draws which troubles a seed has and how often, and makes them until it is told to stop."""

    def __init__(self, cluster, seed):
        self.cluster = cluster
        self.random = random.Random(seed)
        self.refuse = self.random.choice([0, 0.05, 0.3])
        self.unsure = self.random.choice([0, 0.05, 0.3])
        self.bad = self.random.choice([0, 0, 0.02])
        self.moves_s = self.random.choice([1e9, 2.0, 0.3])
        self.cuts_s = self.random.choice([1e9, 1.0, 0.2])
        self.freezes_s = self.random.choice([1e9, 8.0])
        cluster.network.loss = self.random.choice([0, 0.1])
        cluster.network.delay_s = self.random.choice([0.0005, 0.01])
        cluster.trouble, cluster.after = self.before, self.answer
        self.tasks = [
            asyncio.create_task(self.every(self.moves_s, self.move)),
            asyncio.create_task(self.every(self.cuts_s, self.cut)),
            asyncio.create_task(self.freeze()),
        ]

    def before(self, node, partition, batch):
        del node, partition
        if any(record.value.startswith(b"bad") for record in decode_batch(batch, 0)):
            raise InvalidRequest("this batch is not taken by anybody")
        if self.random.random() < self.refuse:
            raise self.random.choice([NotLeader, Overloaded, Unavailable])

    def answer(self, *_):
        if self.random.random() < self.unsure:
            raise OutcomeUnknown

    async def every(self, mean_s, act):
        while True:
            await asyncio.sleep(self.random.expovariate(1 / mean_s))
            act()

    def move(self):
        node = self.random.choice([0, 1, 2, None])
        self.cluster.move("t", self.random.randrange(PARTITIONS), node)

    def cut(self):
        self.cluster.network.cut(self.random.choice(self.cluster.addresses))

    async def freeze(self):
        while True:
            await asyncio.sleep(self.random.expovariate(1 / self.freezes_s))
            node = self.random.choice(self.cluster.addresses)
            self.cluster.network.frozen.add(node)
            await asyncio.sleep(self.random.random() * 6)
            self.cluster.network.frozen.discard(node)

    async def stop(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.cluster.trouble = self.cluster.after = None
        self.cluster.network.frozen.clear()
        self.cluster.network.loss = 0
        for partition in self.cluster.topics["t"].partitions:
            if partition.leader is None:
                self.cluster.move("t", partition.number, 0)


async def _produce(client, troubles, records, delay_s):
    sent = []
    for n in range(records):
        word = "bad" if troubles.random.random() < troubles.bad / 10 else "good"
        value = f"{word}{n}".encode()
        sent.append((value, await client.produce("t", value, partition=troubles.random.randrange(PARTITIONS))))
        if delay_s:
            await asyncio.sleep(troubles.random.random() * delay_s)
    return sent


async def _outcome(delivery):
    try:
        return await delivery
    except RiverrunError as error:
        return error


def check(cluster, sent, outcomes):
    """Compare what was said with what is there; the counts of acknowledged, refused and unknown records."""
    places = {}
    for partition in cluster.topics["t"].partitions:
        for record in partition.records():
            assert record.value not in places, f"{record.value} is there twice"
            places[record.value] = (partition.number, record.offset)
    acknowledged = {number: [] for number in range(PARTITIONS)}
    counts = [0, 0, 0]
    for (value, delivery), outcome in zip(sent, outcomes, strict=True):
        if not isinstance(outcome, RiverrunError):
            counts[0] += 1
            assert (outcome.partition, outcome.offset) == places.get(value), f"{value}: the receipt is not true"
            acknowledged[delivery.partition].append(outcome.offset)
        elif outcome.outcome is Outcome.NOTHING:
            counts[1] += 1
            assert value not in places, f"{value} failed with {outcome!r} and is there"
        else:
            counts[2] += 1
    for offsets in acknowledged.values():
        assert sorted(offsets) == offsets, "records were reordered"
    return counts


@pytest.mark.slow
@pytest.mark.parametrize("seed", seeds(0, few=16, many=40))
@scenario
async def test_troubles_that_end(cluster, seed):
    """With enough time everything but what nobody takes is acknowledged, once and in order."""
    cluster.make_topic("t", PARTITIONS)
    troubles = Troubles(cluster, seed)
    async with cluster.client(records_per_batch_max=5, batches_in_flight_max=4, delivery_timeout_s=3600.0) as client:
        sent = await _produce(client, troubles, 400, 0.05)
        await asyncio.sleep(5)
        await troubles.stop()
        outcomes = await asyncio.gather(*(_outcome(delivery) for _, delivery in sent))
    refused = [outcome for outcome in outcomes if isinstance(outcome, RiverrunError)]
    check(cluster, sent, outcomes)
    assert [] == [error for error in refused if not isinstance(error, InvalidRequest)]
    assert troubles.bad > 0 or not refused


@pytest.mark.slow
@pytest.mark.parametrize("seed", seeds(100, few=12, many=40))
@scenario
async def test_troubles_and_little_time(cluster, seed):
    """Where time runs out, an error that says "nothing was done" is true, and nothing is there twice."""
    cluster.make_topic("t", PARTITIONS)
    troubles = Troubles(cluster, seed)
    async with cluster.client(
        records_per_batch_max=3,
        batches_in_flight_max=4,
        delivery_timeout_s=troubles.random.choice([0.3, 2.0]),
        request_timeout_s=1.0,
    ) as client:
        sent = await _produce(client, troubles, 400, 0.05)
        await asyncio.sleep(5)
        await troubles.stop()
        outcomes = await asyncio.gather(*(_outcome(delivery) for _, delivery in sent))
    await asyncio.sleep(30)  # whatever is still travelling arrives
    check(cluster, sent, outcomes)
