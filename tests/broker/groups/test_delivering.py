"""Records on their way to a member: each partition in its order, and bounded by what the member has committed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from cluster.broker.groups.delivering import Delivering, Extent, Outstanding
from cluster.errors import OffsetOutOfRange
from cluster.sim.clock import simulate
from cluster.types import Offset, PartitionId, TopicId
from cluster.wire.api import records_pb2, stream_pb2

ONE, OTHER = (PartitionId(TopicId(bytes(16)), number) for number in range(2))
MAX = 10


def records(begin: int, end: int, *, position: int = 0) -> stream_pb2.ReadResponse:
    """An answer with the records from `begin` to before `end`, decoded."""
    found = [records_pb2.Record(offset=offset) for offset in range(begin, end)]
    return stream_pb2.ReadResponse(records=found, position=position or end)


def batches(*spans: tuple[int, int], compacted: bool = False) -> stream_pb2.ReadResponse:
    """An answer with batches that take these offsets."""
    answer = stream_pb2.ReadResponse(position=spans[-1][1])
    for begin, end in spans:
        batch = records_pb2.Batch(record_count=end - begin, compacted=compacted)
        answer.batches.add(base_offset=begin, batch=batch)
    return answer


@dataclass
class FakeRead:
    """A read of given answers; below `first` everything was deleted."""

    answers: Sequence[stream_pb2.ReadResponse]
    begin: Offset
    first: int = 0
    part: stream_pb2.ReadResponse = field(default_factory=stream_pb2.ReadResponse)
    position: Offset = Offset(0)
    end: Offset = Offset(1000)

    async def messages(self) -> AsyncIterator[bytes]:
        """Each message is its position; then nothing more comes."""
        if self.begin < self.first:
            raise OffsetOutOfRange("deleted", first=str(self.first))
        for answer in self.answers:
            self.part, self.position = answer, Offset(answer.position)
            yield b"%d" % answer.position
        await asyncio.get_running_loop().create_future()


class Member:
    """It takes all that is there, and holds up nothing by that."""

    def __init__(self) -> None:
        self.skipped: list[tuple[int, int]] = []
        self.delivering = Delivering(
            messages_max=100,
            uncommitted_records_max=MAX,
            on_filled=lambda: None,
            on_skipped=lambda _, first, following: self.skipped.append((first, following)),
        )

    def start(self, partition: PartitionId, *answers: stream_pb2.ReadResponse, begin: int = 0, first: int = 0) -> None:
        """Deliver these."""
        self.delivering.start(partition, Offset(begin), lambda at: FakeRead(answers, at, first))  # type: ignore[arg-type,return-value]

    async def commits(self, partition: PartitionId, position: int) -> list[tuple[int, int]]:
        """What it takes after a commit."""
        self.delivering.committed(partition, Offset(position))
        return await self.takes()

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
        member.start(ONE, *(records(begin, begin + 4) for begin in range(100, 120, 4)), begin=100)
        member.start(OTHER, records(0, 5))
        assert [(0, 104), (0, 108), (1, 5)] == sorted(await member.takes())
        assert [] == await member.commits(ONE, 101)
        assert [(0, 112)] == await member.commits(ONE, 102)
        assert [] == await member.commits(ONE, 101)
        assert [(0, 116), (0, 120)] == await member.commits(ONE, 112)
        member.delivering.stop(ONE)
        assert [] == await member.commits(ONE, 120)
        await member.delivering.close()

    simulate(run(), 1)


def test_a_message_beyond_the_bound_comes_when_all_before_it_is_committed() -> None:
    """Nobody waits for ever, also where messages say only where the member stands."""

    async def run() -> None:
        member = Member()
        member.start(ONE, records(0, 0), records(0, 50), records(50, 50), records(50, 51), batches((51, 60), (60, 100)))
        assert [(0, 0), (0, 50), (0, 50)] == await member.takes()
        assert [] == await member.commits(ONE, 40)
        assert [(0, 51)] == await member.commits(ONE, 41)
        assert [] == await member.commits(ONE, 50)
        assert [(0, 100)] == await member.commits(ONE, 51)
        await member.delivering.close()

    simulate(run(), 1)


def test_what_was_deleted_counts_for_nothing() -> None:
    """It is never delivered: only what is."""

    async def run() -> None:
        member = Member()
        member.start(ONE, records(1000, 1005), records(1005, 1010), records(1010, 1015), first=1000)
        assert [(0, 1005), (0, 1010)] == await member.takes()
        assert [(0, 1000)] == member.skipped
        assert [(0, 1015)] == await member.commits(ONE, 1005)
        await member.delivering.close()

    simulate(run(), 1)


def test_what_was_compacted_counts_for_nothing() -> None:
    """Whoever has committed its last record has committed all that it got, whatever the position behind it is."""

    async def run() -> None:
        member = Member()
        member.start(ONE, records(0, 9, position=500), records(500, 500, position=900), records(900, 902))
        assert [(0, 500), (0, 900)] == await member.takes()
        assert [(0, 902)] == await member.commits(ONE, 8)
        member.start(OTHER, batches((0, 50), compacted=True), batches((50, 51)))
        assert [(1, 50)] == await member.takes()
        assert [(1, 51)] == await member.commits(OTHER, 30)
        await member.delivering.close()

    simulate(run(), 1)


def test_what_was_committed_before_it_is_delivered_counts_for_nothing() -> None:
    """A member may know more than its node: it was elsewhere before."""

    async def run() -> None:
        outstanding = Outstanding(MAX)
        outstanding.commit(Offset(100))
        for end in range(10, 101, 10):
            await outstanding.deliver(Extent(10, Offset(end), Offset(end)))
        await outstanding.deliver(Extent(10, Offset(110), Offset(110)))
        waiting = asyncio.create_task(outstanding.deliver(Extent(1, Offset(111), Offset(111))))
        await asyncio.sleep(1)
        assert not waiting.done()
        outstanding.commit(Offset(101))
        await waiting

    simulate(run(), 1)
