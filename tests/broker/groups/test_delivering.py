"""Records on their way to a member: each partition in its order, and bounded by what the member has committed."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from cluster.broker.groups.delivering import Delivering, Outstanding
from cluster.errors import OffsetOutOfRange
from cluster.sim.clock import simulate
from cluster.types import Offset, PartitionId, TopicId

ONE, OTHER = (PartitionId(TopicId(bytes(16)), number) for number in range(2))
MAX = 10


@dataclass
class FakeRead:
    """A read whose messages end at the given positions; below `first` everything was deleted."""

    positions: list[int]
    begin: Offset
    first: int = 0
    position: Offset = Offset(0)
    end: Offset = Offset(1000)

    async def messages(self) -> AsyncIterator[bytes]:
        """Each message is its position; then nothing more comes."""
        if self.begin < self.first:
            raise OffsetOutOfRange("deleted", first=str(self.first))
        for position in self.positions:
            if position > self.begin or position == self.positions[0]:
                self.position = Offset(position)
                yield b"%d" % position
        await asyncio.get_running_loop().create_future()


@dataclass
class Member:
    """Takes all that is there at once, with room for any number of messages."""

    taken: list[tuple[int, int]] = field(default_factory=list)
    skipped: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.delivering = Delivering(
            messages_max=100,
            uncommitted_records_max=MAX,
            on_filled=lambda: None,
            on_skipped=lambda _, first, following: self.skipped.append((first, following)),
        )

    def start(self, partition: PartitionId, positions: list[int], *, begin: int = 0, first: int = 0) -> None:
        """Messages that end at these positions."""
        self.delivering.start(partition, Offset(begin), lambda at: FakeRead(positions, at, first))  # type: ignore[arg-type,return-value]

    async def takes(self) -> list[tuple[int, int]]:
        """Partition and position of each message that comes now."""
        await asyncio.sleep(1)
        found = []
        while (item := self.delivering.take()) is not None:
            partition, position, _, message = item
            assert b"%d" % position == message
            found.append((partition.number, int(position)))
        return found


def test_a_partition_stops_at_the_bound_and_goes_on_with_a_commit() -> None:
    """Another one is not held up by it; an older answer, or one for what is not held, changes nothing."""

    async def run() -> None:
        member = Member()
        member.start(ONE, [104, 108, 112, 116, 120], begin=100)
        member.start(OTHER, [5])
        assert [(0, 104), (0, 108), (1, 5)] == sorted(await member.takes())
        member.delivering.committed(ONE, Offset(101))
        assert [] == await member.takes()
        member.delivering.committed(ONE, Offset(102))
        assert [(0, 112)] == await member.takes()
        member.delivering.committed(ONE, Offset(101))
        assert [] == await member.takes()
        member.delivering.committed(ONE, Offset(112))
        assert [(0, 116), (0, 120)] == await member.takes()
        member.delivering.stop(ONE)
        member.delivering.committed(ONE, Offset(120))
        await member.delivering.close()

    simulate(run(), 1)


def test_a_message_beyond_the_bound_comes_when_all_before_it_is_committed() -> None:
    """Nobody waits for ever, also where messages say only where the member stands."""

    async def run() -> None:
        member = Member()
        member.start(ONE, [0, 50, 50, 51, 100])
        assert [(0, 0), (0, 50), (0, 50)] == await member.takes()
        member.delivering.committed(ONE, Offset(49))
        assert [(0, 51)] == await member.takes()
        member.delivering.committed(ONE, Offset(50))
        assert [] == await member.takes()
        member.delivering.committed(ONE, Offset(51))
        assert [(0, 100)] == await member.takes()
        await member.delivering.close()

    simulate(run(), 1)


def test_what_was_deleted_counts_for_nothing() -> None:
    """It is never delivered: a member that committed all that it got gets more, whatever lies between."""

    async def run() -> None:
        member = Member()
        member.start(ONE, [1005, 1010, 1015], first=1000)
        assert [(0, 1005), (0, 1010)] == await member.takes()
        assert [(0, 1000)] == member.skipped
        member.delivering.committed(ONE, Offset(1005))
        assert [(0, 1015)] == await member.takes()
        await member.delivering.close()

    simulate(run(), 1)


def test_a_gap_behind_what_is_not_committed_yet() -> None:
    """The records before it count until they are committed, the gap never does."""

    async def run() -> None:
        outstanding = Outstanding(Offset(0), MAX)
        await outstanding.deliver(Offset(6))
        outstanding.skip(Offset(6), Offset(500))
        await outstanding.deliver(Offset(504))
        waiting = asyncio.create_task(outstanding.deliver(Offset(505)))
        for committed, done in ((0, False), (1, True)):
            outstanding.commit(Offset(committed))
            await asyncio.sleep(1)
            assert done == waiting.done()
        outstanding.commit(Offset(6))
        await outstanding.deliver(Offset(510))
        outstanding.skip(Offset(510), Offset(600))
        outstanding.skip(Offset(600), Offset(700))
        outstanding.commit(Offset(510))
        await outstanding.deliver(Offset(900))

    simulate(run(), 1)
