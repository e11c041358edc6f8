"""A topic that is made, written to, read and deleted, over and over: one of that name inherits nothing."""

import asyncio
import contextlib

from chaos.workloads.load import Load
from cluster.client.client import Client
from cluster.config import ClientOptions
from cluster.errors import RiverrunError, UnknownTopic
from cluster.metadata import TopicConfig

LIFE_S_MAX = 30.0
KEYS = 5
CONFIG = TopicConfig(compacted=True, tombstone_ms=2_000)


async def remake(load: Load, topic: str) -> None:
    """Until the load stops. Each life that was read goes into the history as `life`, with what was found in it."""
    lives = 0
    while not load.stopping:
        lives += 1
        client = load.client(f"remaker-{lives}", ClientOptions(delivery_timeout_s=20.0))
        try:
            async with asyncio.timeout(LIFE_S_MAX):
                await _one_life(load, client, topic, f"{lives}.")
            load.counts["topic_remade"] += 1
        except (RiverrunError, TimeoutError):
            await load.think(0.0, 1.0)
        await client.abandon()


async def _one_life(load: Load, client: Client, topic: str, mark: str) -> None:
    with contextlib.suppress(UnknownTopic):
        await client.delete_topic(topic)  # whatever became of the one before
    await client.create_topic(topic, partitions=1, replicas=load.plan.replicas, config=CONFIG)
    newest = {}
    """By key; whatever was not acknowledged ends this life without a word."""
    for number in range(load.random.randint(1, 60)):
        key, value = f"k{number % KEYS}", f"{mark}{number}"
        await client.publish(topic, value.encode(), key=key.encode())
        newest[key] = value
    operation = load.invoke("remaker", "life", topic=topic, mark=mark)
    values = [record.value.decode(errors="replace") async for record in client.read(topic, until="latest")]
    load.ok(operation, "remaker", "life", topic=topic, mark=mark, values=values, newest=list(newest.values()))
    await load.think(0.0, 3.0)
    await client.delete_topic(topic)
