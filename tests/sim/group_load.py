"""Members of a group in a seed: they come, process, commit, go or vanish; what they saw is judged by chaos.checkers.

Some are cut off from all nodes for a while, go on with what they have, and commit it when the group has long given
their partitions to others: such a commit must be refused.
"""

import asyncio
import random

from chaos.history import History, Kind
from cluster.client.subscription import Subscription
from cluster.config import ClientOptions
from cluster.errors import OffsetOutOfRange, Outcome, RiverrunError, StaleGeneration, UnknownMember
from cluster.sim.clock import SimLoop
from cluster.sim.cluster import SimCluster
from tests.sim.seen import Seen

GROUP = "workers"
FINISH_S_MAX = 60.0
LOOK_S = 0.1
CUT_OFF_S = (3.0, 16.0)
LATE_S_MAX = 40.0
"""A member that is cut off lives for so long, and so long its commit may take."""


class GroupLoad:
    """All members of one group over the seed's topic."""

    def __init__(
        self,
        loop: SimLoop,
        cluster: SimCluster,
        topic: str,
        history: History,
        outcome: Seen,
        chance: random.Random,
        *,
        cut_off: float,
    ) -> None:
        self._loop = loop
        self._cluster = cluster
        self._topic = topic
        self._history = history
        self._outcome = outcome
        self._random = chance
        self._cut_off = cut_off
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
            cut_off = bool(self._cut_off) and self._random.random() < self._cut_off
            try:
                async with asyncio.timeout(LATE_S_MAX if cut_off else self._random.uniform(1.0, 20.0)):
                    await self._work(subscription, process, cut_off=cut_off)
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

    async def _work(self, subscription: Subscription, process: str, *, cut_off: bool = False) -> None:
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
                    if cut_off and self._random.random() < 0.05:
                        cut_off = False
                        await self._be_cut_off(subscription, process, given)
            except OffsetOutOfRange as error:
                if "next" not in error.metadata:
                    raise
                self._outcome.counts["group_skipped"] += 1

    async def _be_cut_off(self, subscription: Subscription, process: str, given: dict[int, tuple[int, int]]) -> None:
        """It knows nothing of that, and commits at some time what it had been given before."""
        self._outcome.counts["member_cut_off"] += 1
        cut_off_s = self._random.uniform(*CUT_OFF_S)
        self._cluster.cut_off(process, cut_off_s)
        await asyncio.sleep(self._random.uniform(0.5, 1.0) * cut_off_s)
        await self._commit(subscription, process, given, timeout_s=LATE_S_MAX)

    async def _commit(
        self,
        subscription: Subscription,
        process: str,
        given: dict[int, tuple[int, int]],
        *,
        timeout_s: float | None = None,
    ) -> None:
        """The history has a commit for each partition: some of them may be done when another is refused.

        What is committed already is not asked for again: nothing is learned about it now.
        """
        begun = []
        for number, (generation, position) in given.items():
            part = subscription._parts.get((self._topic, number))
            if part is not None and not part.asked_back and part.held[2] == generation and part.committed < position:
                value = {"partition": number, "generation": generation, "position": position}
                operation = self._history.invoke(process, "commit", self._loop.now_s, **value)
                begun.append((operation, value))
        try:
            await subscription.commit(timeout_s=timeout_s)
        except (RiverrunError, TimeoutError) as error:
            self._outcome.counts["commit_fenced"] += isinstance(error, StaleGeneration | UnknownMember)
            unknown = isinstance(error, TimeoutError) or error.outcome is Outcome.UNKNOWN or len(begun) > 1
            for operation, value in begun:
                kind = Kind.INFO if unknown else Kind.FAIL
                self._history.end(operation, process, kind, "commit", self._loop.now_s, **value)
        else:
            for operation, value in begun:
                self._history.end(operation, process, Kind.OK, "commit", self._loop.now_s, **value)
