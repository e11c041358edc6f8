"""Members of a group: they come, process, commit, go or vanish.

Some are cut off from all nodes for a while, go on with what they have, and commit it when the group has long given
their partitions to others: such a commit must be refused.
"""

import asyncio
from dataclasses import replace

from chaos.history import Kind
from chaos.workloads.load import Load
from chaos.workloads.reading import FINAL
from chaos.workloads.sitting import Seat
from cluster.client.offsets import PartitionOffsets
from cluster.client.subscription import Subscription
from cluster.config import ClientOptions
from cluster.errors import OffsetOutOfRange, RiverrunError, StaleGeneration, UnknownMember

FINISH_S_MAX = 60.0
"""So long the last member may get no further; as long as it does, it is waited for."""
LAST_S_MAX = 20.0
"""So long it may take until the last record of each partition is given, when all others are processed."""
LOOK_S = 0.1
CUT_OFF_S = (3.0, 16.0)
LATE_S_MAX = 40.0
"""A member that is cut off lives for so long, and so long its commit may take."""
LIFE_S_MIN = 1.0
STUCK = "stuck"
"""What the history has if the last member did not get to the end."""


async def take_part(load: Load, group: str, number: int) -> None:
    """One seat: a member after another, each for some seconds, until the load ends."""
    lives, chance = 0, load.random
    while not load.stopping:
        lives += 1
        process = f"m{number}.{lives}"
        client = load.client(process, ClientOptions(commit_interval_s=chance.choice((0.2, 1.0, 5.0))))
        subscription = client.subscribe(load.topic, group=group, name=process)
        cut_off = bool(load.plan.cut_off) and chance.random() < load.plan.cut_off
        lives_s = LATE_S_MAX if cut_off else chance.uniform(LIFE_S_MIN, load.plan.life_s_max)
        with Seat(load, client, place=f"member-{number}", process=process) as seat:
            try:
                async with asyncio.timeout(lives_s):
                    await _Member(load, subscription, process).work(cut_off=cut_off)
            except TimeoutError:
                pass
            except RiverrunError:
                load.counts["member_failed"] += 1
        if seat.vanished:
            continue
        if chance.random() < 0.5:
            load.counts["member_left"] += 1
            await subscription.close()
        else:
            load.counts["member_vanished"] += 1
            await subscription.abandon()
        await client.abandon()
        await load.think(0.0, 2.0)


async def finish_group(load: Load, group: str) -> None:
    """One last member processes all that is left, and the history has what there was, and whether it got there."""
    client = load.client("last", ClientOptions(commit_interval_s=0.2))
    ends = await client.offsets(load.topic)
    subscription = client.subscribe(load.topic, group=group, name="last")
    await subscription.open()
    working: asyncio.Task[None] | None = None
    member = _Member(load, subscription, "last")
    behind = dict(ends)
    reached, looks = -1, 0
    while looks < FINISH_S_MAX / LOOK_S:
        await asyncio.sleep(LOOK_S)
        positions = {number: position for (_, number), position in subscription.positions.items()}
        looks = looks + 1 if sum(positions.values()) <= reached else 0
        reached = max(reached, sum(positions.values()))
        behind = {number: there for number, there in ends.items() if positions.get(number, -1) < there.end - 1}
        if len(positions) == len(ends) and working is None:
            working = asyncio.create_task(member.work(dawdles=False))  # not before all are its own
        if working is not None and working.done():
            working.result()
        if not behind and working is not None:
            break
    for _ in range(int(LAST_S_MAX / LOOK_S)):
        if behind or all(member.is_at(number, there.end) for number, there in ends.items()):
            break
        await asyncio.sleep(LOOK_S)
    if working is not None:
        working.cancel()
    await subscription.close()
    begin = {number: there.first for number, there in (await client.offsets(load.topic)).items()}
    ends = {number: replace(there, first=begin[number]) for number, there in ends.items()}  # limits deleted meanwhile
    _say_ends(load, ends, behind)
    await client.abandon()


def _say_ends(load: Load, ends: dict[int, PartitionOffsets], behind: dict[int, PartitionOffsets]) -> None:
    now_s = load.arena.now_s()
    for number, there in ends.items():
        load.history.end(0, FINAL, Kind.OK, "end", now_s, partition=number, first=there.first, end=there.end)
    for number, there in behind.items():
        load.history.end(0, FINAL, Kind.INFO, STUCK, now_s, partition=number, end=there.end)


class _Member:
    """What one member does while it lives; `given` is, by partition, the generation and the position of its last."""

    def __init__(self, load: Load, subscription: Subscription, process: str) -> None:
        self._load = load
        self._subscription = subscription
        self._process = process
        self._given: dict[int, tuple[int, int]] = {}

    def is_at(self, number: int, end: int) -> bool:
        """Whether everything before that was processed, or given to it."""
        processed = self._subscription.positions.get((self._load.topic, number), 0)
        return max(processed, self._given.get(number, (0, 0))[1]) >= end

    async def work(self, *, cut_off: bool = False, dawdles: bool = True) -> None:
        """Process for ever; now and then dawdle, commit, or (once) be cut off."""
        load, subscription, chance = self._load, self._subscription, self._load.random
        while True:
            try:
                async for record in subscription:
                    generation = subscription.generation_of(record.topic, record.partition)
                    place = {"partition": record.partition, "generation": generation, "offset": record.offset}
                    load.ok(0, self._process, "give", **place)
                    load.counts["given"] += 1
                    self._given[record.partition] = generation, record.offset + 1
                    if dawdles and chance.random() < 0.05:
                        await load.think(0.0, 0.5)
                    if chance.random() < 0.05:
                        await self._commit()
                    if cut_off and chance.random() < 0.05:
                        cut_off = False
                        await self._be_cut_off()
            except OffsetOutOfRange as error:
                if "next" not in error.metadata:
                    raise
                load.counts["group_skipped"] += 1

    async def _be_cut_off(self) -> None:
        """It knows nothing of that, and commits at some time what it had been given before."""
        load = self._load
        load.counts["member_cut_off"] += 1
        cut_off_s = load.random.uniform(*CUT_OFF_S)
        load.arena.cut_off(load.place(self._process), cut_off_s)
        await load.think(0.5 * cut_off_s, cut_off_s)
        await self._commit(timeout_s=LATE_S_MAX)

    async def _commit(self, *, timeout_s: float | None = None) -> None:
        """The history has a commit for each partition: some of them may be done when another is refused.

        What is committed already is not asked for again: nothing is learned about it now.
        """
        load, begun = self._load, []
        for number, (generation, position) in self._given.items():
            if self._is_asked_for(number, generation, position):
                value = {"partition": number, "generation": generation, "position": position}
                begun.append((load.invoke(self._process, "commit", **value), value))
        try:
            await self._subscription.commit(timeout_s=timeout_s)
        except (RiverrunError, TimeoutError) as error:
            load.counts["commit_fenced"] += isinstance(error, StaleGeneration | UnknownMember)
            for operation, value in begun:
                unsure = len(begun) > 1  # whose position was refused is not said
                load.ended(operation, self._process, "commit", error, unsure=unsure, **value)
        else:
            for operation, value in begun:
                load.ok(operation, self._process, "commit", **value)

    def _is_asked_for(self, number: int, generation: int, position: int) -> bool:
        place, subscription = (self._load.topic, number), self._subscription
        return (
            place in subscription.assignment
            and subscription.generation_of(*place) == generation
            and subscription.committed[place] < position
        )
