"""A member of a group with nothing but the .proto file."""

import asyncio
from collections import deque

from cluster.sim.cluster import SimCluster
from cluster.types import Offset
from cluster.wire.api import group_pb2, stream_pb2
from tests.broker.thin import TOPIC, thin_channel

SUBSCRIBE = "/riverrun.v1.GroupService/Subscribe"


class ThinMember:
    """One stream to one node. `records` are (partition, offset); `position` is behind what came, by partition.

    `answers` are the reasons of refusals (none: "") by correlation, `answered` the (partition, position) in them.
    """

    def __init__(
        self, cluster: SimCluster, node: int, *, group: str = "g", session: bytes = b"", **join: object
    ) -> None:
        self._stream = thin_channel(cluster, node).stream(SUBSCRIBE)
        asked = {"topics": [TOPIC], "delivery": group_pb2.DELIVERY_RECORDS} | join
        self._first = group_pb2.SubscribeRequest(join=group_pb2.Join(group=group, session=session, **asked))
        self.joined = group_pb2.Joined()
        self.held: dict[int, int] = {}
        self.position: dict[int, int] = {}
        self.records: list[tuple[int, int]] = []
        self.answers: dict[int, str] = {}
        self.answered: list[tuple[int, int]] = []
        self.revoked: deque[group_pb2.Held] = deque()
        self.lost: set[int] = set()
        self.drained = False
        self.news = asyncio.Event()

    async def open(self) -> "ThinMember":
        """Join; return when the node has answered."""
        await self.begin()
        while not self.joined.member:
            await self.take()
        return self

    async def begin(self) -> None:
        """Say that it joins."""
        await self.say(self._first)

    async def say(self, request: group_pb2.SubscribeRequest) -> None:
        """One request."""
        await self._stream.send(request.SerializeToString())

    async def take(self) -> group_pb2.SubscribeResponse:
        """The next response, taken to heart; AssertionError at the end of the stream."""
        data = await self._stream.receive()
        assert data is not None, "the stream ended"
        response = group_pb2.SubscribeResponse.FromString(data)
        match response.WhichOneof("response"):
            case "joined":
                self.joined = response.joined
            case "assign":
                for part in response.assign.partitions:
                    self.held[part.held.partition] = part.held.generation
                    self.position.setdefault(part.held.partition, part.position)
            case "delivered":
                held, read = response.delivered.held, response.delivered.read
                assert read.partition == held.partition
                assert self.held.get(held.partition) == held.generation, "records of what is not held"
                self.records += [(held.partition, record.offset) for record in read.records]
                self.position[held.partition] = read.position
            case "revoke":
                self.revoked.extend(response.revoke.partitions)
            case "lose":
                for held in response.lose.partitions:
                    self.held.pop(held.partition)
                    self.lost.add(held.partition)
            case "committed":
                self.answers[response.committed.correlation] = response.committed.error.reason
                self.answered += [(item.held.partition, item.position) for item in response.committed.positions]
            case "drained":
                self.drained = True
        self.news.set()
        return response

    async def commit(self, number: int, position: int, *, generation: int | None = None) -> str:
        """Commit one position; the reason of the refusal, or nothing."""
        correlation = await self.say_commit(number, position, generation=generation)
        while correlation not in self.answers:
            await self.take()
        return self.answers[correlation]

    async def say_commit(self, number: int, position: int, *, generation: int | None = None) -> int:
        """Say that one position is to be committed; the correlation of the answer."""
        correlation = len(self.answers) + 1
        generation = self.held[number] if generation is None else generation
        held = group_pb2.Held(topic=TOPIC, partition=number, generation=generation)
        positions = [group_pb2.CommitPosition(held=held, position=Offset(position))]
        await self.say(
            group_pb2.SubscribeRequest(commit=group_pb2.Commit(correlation=correlation, positions=positions))
        )
        return correlation

    async def give_back(self) -> None:
        """Commit and release what was asked for."""
        while self.revoked:
            held = self.revoked.popleft()
            await self.commit(held.partition, self.position[held.partition])
            await self.say(group_pb2.SubscribeRequest(release=group_pb2.Release(partitions=[held])))
            self.held.pop(held.partition)

    async def take_until_held(self, count: int) -> None:
        """Until it holds so many, giving back what is asked for."""
        while len(self.held) != count:
            await self.take()
            await self.give_back()

    async def take_records(self, count: int) -> None:
        """Until so many have come."""
        while len(self.records) < count:
            await self.take()

    async def take_on(self) -> None:
        """Whatever comes."""
        while True:
            await self.take()

    async def leave(self) -> None:
        """Drain, and wait until that is done."""
        await self.say(group_pb2.SubscribeRequest(drain=group_pb2.Drain()))
        while not self.drained:
            await self.take()

    async def end(self) -> None:
        """Take what comes until the stream ends."""
        while await self._stream.receive() is not None:
            pass

    def break_stream(self) -> None:
        """As if the machine were gone."""
        self._stream.cancel()

    async def finish(self) -> None:
        """Say that nothing more will be said."""
        await self._stream.finish()


def at(offset: int) -> stream_pb2.Position:
    """An offset as a place to begin."""
    return stream_pb2.Position(offset=offset)
