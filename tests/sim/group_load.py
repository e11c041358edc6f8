"""Members of a group in a seed: they come, process, commit, go or vanish; what they saw is judged by chaos.checkers."""

import asyncio
import random

from chaos.history import History, Kind
from cluster.client.subscription import Subscription
from cluster.config import ClientOptions
from cluster.errors import OffsetOutOfRange, Outcome, RiverrunError
from cluster.sim.clock import SimLoop
from cluster.sim.cluster import SimCluster
from tests.sim.seen import Seen

GROUP = "workers"
FINISH_S_MAX = 60.0
LOOK_S = 0.1


class GroupLoad:
    """All members of one group over the seed's topic."""

    def __init__(
        self, loop: SimLoop, cluster: SimCluster, topic: str, history: History, outcome: Seen, chance: random.Random
    ) -> None:
        self._loop = loop
        self._cluster = cluster
        self._topic = topic
        self._history = history
        self._outcome = outcome
        self._random = chance
        self.stopping = False

    async def member(self, number: int) -> None:
        """One seat: a member after another, each for some seconds, until the load ends."""
        lives = 0
        while not self.stopping:
            lives += 1
            process = f"m{number}.{lives}"
            client = self._cluster.client(
                process, ClientOptions(commit_interval_s=self._random.choice((0.2, 1.0, 5.0)))
            )
            subscription = client.subscribe(self._topic, group=GROUP, name=process)
            try:
                async with asyncio.timeout(self._random.uniform(1.0, 20.0)):
                    await self._work(subscription, process)
            except TimeoutError:
                pass
            except RiverrunError:
                self._outcome.counts["member_failed"] += 1
            if self._random.random() < 0.5:
                self._outcome.counts["member_left"] += 1
                await subscription.close()
            else:
                self._outcome.counts["member_vanished"] += 1
                await subscription.abandon()
            await client.abandon()
            await asyncio.sleep(self._random.uniform(0.0, 2.0))

    async def finish(self) -> None:
        """One last member processes all that is left, and says what there was."""
        client = self._cluster.client("last", ClientOptions(commit_interval_s=0.2))
        ends = await client.offsets(self._topic)
        subscription = client.subscribe(self._topic, group=GROUP, name="last")
        await subscription.open()
        working: asyncio.Task[None] | None = None
        for _ in range(int(FINISH_S_MAX / LOOK_S)):
            await asyncio.sleep(LOOK_S)
            positions = {number: position for (_, number), position in subscription.positions.items()}
            behind = [n for n, offsets in ends.items() if positions.get(n, -1) < offsets.end - 1]
            if len(positions) == len(ends) and working is None:
                working = asyncio.create_task(self._work(subscription, "last"))  # not before all are its own
            if working is not None and working.done():
                working.result()
            if not behind and working is not None:
                break
        else:
            raise AssertionError(f"the group did not process partitions {behind} to their ends: {positions}, {ends}")
        await asyncio.sleep(1.0)  # the last record of each is given by now
        working.cancel()
        await subscription.close()
        for number, offsets in ends.items():
            self._history.end(
                0, "final", Kind.OK, "end", self._loop.now_s, partition=number, first=offsets.first, end=offsets.end
            )
        await client.abandon()

    async def _work(self, subscription: Subscription, process: str) -> None:
        given: dict[int, tuple[int, int]] = {}
        while True:
            try:
                async for record in subscription:
                    generation = subscription.generation_of(record.topic, record.partition)
                    self._history.end(
                        0,
                        process,
                        Kind.OK,
                        "give",
                        self._loop.now_s,
                        partition=record.partition,
                        generation=generation,
                        offset=record.offset,
                    )
                    self._outcome.counts["given"] += 1
                    given[record.partition] = generation, record.offset + 1
                    if self._random.random() < 0.05:
                        await asyncio.sleep(self._random.uniform(0.0, 0.5))
                    if self._random.random() < 0.05:
                        await self._commit(subscription, process, given)
            except OffsetOutOfRange as error:
                if "next" not in error.metadata:
                    raise
                self._outcome.counts["group_skipped"] += 1

    async def _commit(self, subscription: Subscription, process: str, given: dict[int, tuple[int, int]]) -> None:
        """The history has a commit for each partition: some of them may be done when another is refused."""
        mine = {number for _, number in subscription.assignment}
        begun = []
        for number, (generation, position) in given.items():
            if number in mine and subscription.generation_of(self._topic, number) == generation:
                value = {"partition": number, "generation": generation, "position": position}
                operation = self._history.invoke(process, "commit", self._loop.now_s, **value)
                begun.append((operation, value))
        try:
            await subscription.commit()
        except (RiverrunError, TimeoutError) as error:
            unknown = isinstance(error, TimeoutError) or error.outcome is Outcome.UNKNOWN or len(begun) > 1
            for operation, value in begun:
                kind = Kind.INFO if unknown else Kind.FAIL
                self._history.end(operation, process, kind, "commit", self._loop.now_s, **value)
        else:
            for operation, value in begun:
                self._history.end(operation, process, Kind.OK, "commit", self._loop.now_s, **value)
