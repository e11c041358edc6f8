"""Readers: those that follow while everything happens, and the final one, which reads all there is and verifies it."""

import asyncio
from collections import Counter
from functools import partial

from chaos.workloads.load import Load
from chaos.workloads.producing import IDENTITY
from chaos.workloads.sitting import keep_seat
from cluster.client.client import Client
from cluster.client.decoding import ReadRecord
from cluster.client.verifying import CopyState, Verification
from cluster.errors import OffsetOutOfRange, RiverrunError

FINAL = "final"
CATCH_UP_S_MAX = 60.0
"""A replica that was away may take so long to have everything again, from the beginning of the final read."""
AGAIN_S = 2.0
"""A record is looked at for so long at least, however late it is."""
LOOK_S = 0.2
HERE = {CopyState.HELD, CopyState.COMPACTED}
"""What the copies are once everybody has everything."""


async def follow(load: Load, number: int) -> None:
    """Read partitions where one stopped; what was read before an error was read all the same."""
    await keep_seat(load, f"reader-{number}", f"r{number}", partial(_follow, load))


async def _follow(load: Load, client: Client, process: str) -> None:
    positions = Counter[int]()
    while not load.stopping:
        await load.think(0.1, 2 * load.plan.think_s)
        partition = load.random.randrange(load.plan.partitions)
        operation = load.invoke(process, "read", partition=partition)
        records: list[list[int | str]] = []
        told = {}
        start = positions[partition]
        try:
            async with asyncio.timeout(load.plan.read_timeout_s):
                async for record in client.read(load.topic, partitions=[partition], start=start, until="latest"):
                    records.append(plain(record))  # noqa: PERF401  what came before an error counts
        except OffsetOutOfRange as error:
            load.counts["read_out_of_range"] += 1
            told = {"first": int(error.metadata["first"])}
        except (RiverrunError, TimeoutError):
            load.counts["reads_broken"] += 1
        position = int(records[-1][0]) + 1 if records else start
        positions[partition] = max(position, *told.values(), 0)
        load.counts["records_read"] += len(records)
        load.ok(operation, process, "read", partition=partition, records=records, **told)


async def read_all(load: Load) -> None:
    """Everything that there is in the end, and of each partition some records on every replica's disk."""
    client, late_s = load.client(FINAL), load.arena.now_s() + CATCH_UP_S_MAX
    for partition in range(load.plan.partitions):
        operation = load.invoke(FINAL, "read", partition=partition)
        while True:
            there = (await client.offsets(load.topic, [partition]))[partition]
            reader = client.read(load.topic, partitions=[partition], start=there.first, until="latest")
            try:
                records = [plain(record) async for record in reader]
            except OffsetOutOfRange:
                continue  # trimmed in between
            break
        load.ok(
            operation, FINAL, "read", partition=partition, records=records, first=int(there.first), end=int(there.end)
        )
        for record in load.random.sample(records, min(len(records), load.plan.verified)):
            await _verify(load, client, partition, int(record[0]), late_s)
    await client.abandon()


async def _verify(load: Load, client: Client, partition: int, offset: int, late_s: float) -> None:
    """Every replica has it on its disk, with one checksum, as soon as all have caught up."""
    operation = load.invoke(FINAL, "verify", partition=partition, offset=offset)
    end_s = max(late_s, load.arena.now_s() + AGAIN_S)
    while True:
        found = await client.verify(load.topic, partition, offset)
        if _is_settled(load, found) or load.arena.now_s() > end_s:
            break
        await asyncio.sleep(LOOK_S)
    load.counts["receipts_verified"] += found.is_safe
    copies = [[copy.node, copy.state.value] for copy in found.copies]
    said = {"safe": found.is_safe, "copies": copies, "verdict": found.verdict()}
    load.ok(operation, FINAL, "verify", partition=partition, offset=offset, **said)


def _is_settled(load: Load, found: Verification) -> bool:
    """Every copy is there, or the topic's limits have deleted it since it was read: a majority of them knows that."""
    states = [copy.state for copy in found.copies]
    gone = 2 * states.count(CopyState.TRIMMED) > len(states)
    return (found.is_safe and set(states) <= HERE) or (gone and load.plan.has_retention)


def plain(record: ReadRecord) -> list[int | str]:
    """As histories have it; all records of these workloads have keys. Damaged ones may be no text."""
    identities = (header.value for header in record.headers if header.name == IDENTITY)
    identity = record.value or next(identities, b"")
    return [record.offset, (record.key or b"").decode(errors="replace"), identity.decode(errors="replace")]
