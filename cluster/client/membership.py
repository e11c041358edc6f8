"""The stream of one member of a group: joining, coming back with its session, and saying again what has no answer.

Records do not come on it: the member reads its partitions from their leaders. So a broken stream, or the death of the
node that it was on, stops nothing as long as the member is back within its grace. A node that has not heard of a topic
yet is passed over like one that is away: only all nodes together can say that there is none.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

from cluster.client.calls import Calls
from cluster.client.directory import Directory
from cluster.errors import Outcome, RiverrunError, Unavailable, UnknownTopic
from cluster.types import Offset
from cluster.wire import api
from cluster.wire.api import group_pb2, stream_pb2
from cluster.wire.status import error_from
from cluster.world import Stream

SUBSCRIBE = "/riverrun.v1.GroupService/Subscribe"
Held = tuple[str, int, int]
"""Topic, partition, generation."""


class Membership:
    """`on_response` gets everything but the answers to commits."""

    def __init__(
        self,
        calls: Calls,
        directory: Directory,
        *,
        group: str,
        topics: Sequence[str],
        client: str,
        start: stream_pb2.Position,
        connect_timeout_s: float,
        on_response: Callable[[group_pb2.SubscribeResponse], None],
    ) -> None:
        self._calls = calls
        self._directory = directory
        self._join = group_pb2.Join(
            group=group, topics=topics, client=client, start=start, delivery=group_pb2.DELIVERY_NONE
        )
        self._connect_timeout_s = connect_timeout_s
        self._on_response = on_response
        self._correlation = 0
        self._commits: dict[int, tuple[bytes, asyncio.Future[None]]] = {}
        self._outbox: asyncio.Queue[bytes] | None = None
        self._server = 0
        self._draining = False
        self.drained = asyncio.Event()

    def commit(self, positions: Sequence[tuple[Held, Offset]]) -> "asyncio.Future[None]":
        """Done when all of them are on a majority's disks, or failed with why none is; said again after a break."""
        self._correlation += 1
        number = self._correlation
        message = group_pb2.SubscribeRequest(
            commit=group_pb2.Commit(
                correlation=number,
                positions=[
                    group_pb2.CommitPosition(held=_held_to_pb(held), position=position) for held, position in positions
                ],
            )
        ).SerializeToString()
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._commits[number] = message, answer
        answer.add_done_callback(lambda _: self._commits.pop(number, None))
        self._say(message)
        return answer

    def release(self, held: Sequence[Held]) -> None:
        """These may go to others. If it is not heard they are asked back again."""
        release = group_pb2.Release(partitions=[_held_to_pb(item) for item in held])
        self._say(group_pb2.SubscribeRequest(release=release).SerializeToString())

    async def drain(self) -> None:
        """Return when the member has left, with all that it held."""
        self._draining = True
        self._say(DRAIN)
        await self.drained.wait()

    def _say(self, message: bytes) -> None:
        if self._outbox is not None:
            self._outbox.put_nowait(message)

    async def run(self) -> None:
        """Until the member has left; raises what another node cannot mend either."""
        backoff = self._calls.backoff()
        while not self.drained.is_set():
            try:
                async for response in self._stream():
                    backoff.reset()
                    self._take(response)
            except UnknownTopic:
                await self._look_up()
            except RiverrunError as error:
                if not error.retry and error.outcome is not Outcome.UNKNOWN:
                    raise
            if not self.drained.is_set():
                self._server += 1
                await asyncio.sleep(backoff.next_s())

    async def _look_up(self) -> None:
        """UnknownTopic if every node says it of one of the topics."""
        for topic in self._join.topics:
            try:
                await self._directory.refresh(topic)
            except UnknownTopic:
                raise
            except RiverrunError:
                return  # not known: the next node is asked to join

    async def _stream(self) -> AsyncIterator[group_pb2.SubscribeResponse]:
        servers = self._calls.servers
        address = servers[self._server % len(servers)]
        stream = self._calls.channel(address).stream(SUBSCRIBE)
        sending: asyncio.Task[None] | None = None
        try:
            try:
                async with asyncio.timeout(self._connect_timeout_s):
                    await stream.send(group_pb2.SubscribeRequest(join=self._join).SerializeToString())
                    message = await stream.receive()
            except TimeoutError:
                raise Unavailable(f"{address} did not answer a member in time") from None
            outbox: asyncio.Queue[bytes] = asyncio.Queue()
            for said, _ in self._commits.values():
                outbox.put_nowait(said)
            if self._draining:
                outbox.put_nowait(DRAIN)
            self._outbox = outbox
            sending = asyncio.create_task(_send_all(stream, outbox))
            while message is not None:
                yield api.parse(group_pb2.SubscribeResponse, message)
                message = await stream.receive()
        finally:
            self._outbox = None
            stream.cancel()
            if sending is not None:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)

    def _take(self, response: group_pb2.SubscribeResponse) -> None:
        match response.WhichOneof("response"):
            case "committed":
                _, answer = self._commits.get(response.committed.correlation, (b"", None))
                if answer is None or answer.done():
                    return
                if response.committed.HasField("error"):
                    error = response.committed.error
                    answer.set_exception(error_from(error.reason, error.message, dict(error.metadata)))
                    answer.exception()  # whoever committed may have left
                else:
                    answer.set_result(None)
            case "drained":
                self.drained.set()
            case "joined":
                self._join.session = response.joined.session
                self._on_response(response)
            case _:
                self._on_response(response)

    def fail_commits(self, error: RiverrunError) -> None:
        """Nobody is left waiting."""
        for _, answer in list(self._commits.values()):
            if not answer.done():
                answer.set_exception(error)
                answer.exception()


DRAIN = group_pb2.SubscribeRequest(drain=group_pb2.Drain()).SerializeToString()


def _held_to_pb(held: Held) -> group_pb2.Held:
    topic, partition, generation = held
    return group_pb2.Held(topic=topic, partition=partition, generation=generation)


async def _send_all(stream: Stream, outbox: "asyncio.Queue[bytes]") -> None:
    with contextlib.suppress(RiverrunError):  # whoever receives learns why
        while True:
            await stream.send(await outbox.get())
