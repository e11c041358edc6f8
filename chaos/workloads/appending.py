"""Appenders: each reads a partition's end and appends one record if that is still the end."""

import itertools
from collections.abc import Iterator
from functools import partial

from chaos.workloads.load import Load
from chaos.workloads.sitting import keep_seat
from cluster.client.client import Client
from cluster.config import ClientOptions
from cluster.errors import OffsetConflict, RiverrunError

WRONG_SHARE = 0.2
"""Of the conditions: they expect more than is there, and may come true while the request is under way."""
KEY = "c"


async def append_on_condition(load: Load, number: int) -> None:
    """One after the other, until the load stops."""
    counter, options = itertools.count(), ClientOptions(delivery_timeout_s=20.0)
    work = partial(_append, load, number, counter)
    await keep_seat(load, f"appender-{number}", f"a{number}", work, options)


async def _append(load: Load, number: int, counter: Iterator[int], client: Client, process: str) -> None:
    chance = load.random
    while not load.stopping:
        await load.think(0.1, load.plan.think_s)
        partition, value = chance.randrange(load.plan.partitions), f"a{number}.{next(counter)}"
        try:
            end = int((await client.offsets(load.topic, [partition]))[partition].end)
        except RiverrunError:
            continue
        end += chance.random() < WRONG_SHARE
        operation = load.invoke(process, "send", partition=partition, key=KEY, value=value, expected_end=end)
        load.counts["sent"] += 1
        body, key = value.encode(), KEY.encode()
        try:
            receipt = await client.publish(load.topic, body, key=key, partition=partition, expected_end=end)
        except RiverrunError as error:
            load.counts["conflict"] += isinstance(error, OffsetConflict)
            load.ended(operation, process, "send", error)
            continue
        load.counts["acknowledged"] += 1
        load.counts["appended_on_condition"] += 1
        said = {"offset": receipt.offset, "synced": receipt.replicas_synced, "duplicate": receipt.duplicate}
        load.ok(operation, process, "send", **said)
