"""`riverrun consume --group`: a member of a group that prints what it is given.

A record is committed when it was written to standard output, within `commit_interval_s`, and at the end. Whatever ends
it, Ctrl-C too, commits what was written and hands the partitions over at once; only a process that is killed is waited
for by its group, and what it wrote in its last moments is then given to another one again.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING

import click

from cluster.errors import RiverrunError

if TYPE_CHECKING:
    from cluster.client.client import Client
    from cluster.client.decoding import ReadRecord
    from cluster.client.positions import Place
    from cluster.client.subscription import Subscription

LOOK_S = 0.25
"""So often it is looked whether `--until latest` is reached."""
ASK_S = 1.0
"""So often the cluster is asked how far the group's other members are; only if what is held here is done."""

LEAVE_S_MAX = 2.0
"""An interrupted member waits at most so long for the cluster to hear that it leaves."""


async def print_as_member(
    client: "Client",
    topic: str,
    group: str,
    *,
    start: "Place",
    until_latest: bool,
    limit: int | None,
    write: "Callable[[ReadRecord], None]",
) -> None:
    """Print until `limit` records were printed, or with `until_latest` until the group has reached the ends as of now.

    That is: until the group's position in each partition, whoever holds it, is at or behind the partition's end as of
    the beginning. What comes later is printed as well while others are still behind.
    """
    ends = {number: known.end for number, known in (await client.offsets(topic)).items()} if until_latest else {}
    subscription = client.subscribe(topic, group=group, start=start, name=f"riverrun consume, {_process()}")
    await subscription.open()
    try:
        await _first_of(
            _print(subscription, limit, write),
            *([_wait_reached(client, subscription, topic, ends)] if until_latest else []),
        )
        await subscription.commit()  # what cannot be committed is told by the exit code
    except BaseException:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S_MAX):
                await subscription.close(processed=False)
        raise
    await subscription.close()


async def _first_of(*works: Coroutine[None, None, None]) -> None:
    """Run all until one of them ends; what it raised is raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


async def _print(subscription: "Subscription", limit: int | None, write: "Callable[[ReadRecord], None]") -> None:
    count = 0
    while limit is None or count < limit:
        try:
            write(await anext(subscription))
        except RiverrunError as error:
            if "next" not in error.metadata:
                raise
            where = f"partition {error.metadata.get('partition', '?')} goes on at offset {error.metadata['next']}"
            click.echo(f"riverrun: {error.message}; {where}", err=True)
        else:
            count += 1


async def _wait_reached(client: "Client", subscription: "Subscription", topic: str, ends: Mapping[int, int]) -> None:
    """Return when each partition is known to be processed up to its end: here, or as the cluster says."""
    while True:
        await asyncio.sleep(LOOK_S)
        if not _behind(subscription, topic, ends):
            return
        if any((topic, number) in subscription.assignment for number in _behind(subscription, topic, ends)):
            continue  # there is work here
        with contextlib.suppress(RiverrunError):  # it is asked again
            group = await client.describe_group(subscription.group)
            told = {part.partition: part.position or 0 for part in group.partitions if part.topic == topic}
            if all(told.get(number, 0) >= ends[number] for number in _behind(subscription, topic, ends)):
                return
        await asyncio.sleep(ASK_S - LOOK_S)


def _behind(subscription: "Subscription", topic: str, ends: Mapping[int, int]) -> list[int]:
    """The partitions that are not processed here up to their ends; those that others hold among them."""
    positions = subscription.positions
    return [number for number, end in ends.items() if positions.get((topic, number), 0) < end]


def _process() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"
