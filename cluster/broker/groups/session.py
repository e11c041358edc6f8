"""One member's stream, as its coordinator has it: what is said to it, in order, and how it ends.

An error that nobody foresaw is a bug: it ends the stream and is raised by who serves it. Raised in a callback it would
end nothing, and the member would wait for ever.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence

from cluster.broker.groups.commands import Answer
from cluster.broker.groups.home import refusal
from cluster.types import Index, Offset, PartitionId, TopicId
from cluster.wire import api
from cluster.wire.attach import coordinator_pb2

LEFT = coordinator_pb2.AttachResponse(left=coordinator_pb2.LeftGroup()).SerializeToString()
"""The last message to a member that has gone."""


class Session:
    """Messages to the member's node; commits and releases under way are bounded.

    What the member holds is told as a whole, newest last.
    """

    def __init__(self, who: tuple[str, int], commits_max: int) -> None:
        self.who = who
        self.left = False
        """It wishes to leave: what it holds is of no interest to it any more."""
        self._out: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(commits_max)
        self._told: Index | None = None
        self._held: list[tuple[bytes, int, int, bool]] | None = None
        self._moved_s: dict[PartitionId, tuple[Offset, float]] = {}
        """The last position that it has committed, or -1, and since when: the loop's time."""

    async def messages(self) -> AsyncIterator[bytes]:
        """What to send, until the end; raises the error that ends it."""
        while (item := await self._out.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item

    def tell(self, changed: Index, held: Sequence[coordinator_pb2.HeldPartition]) -> None:
        """What the member holds as of the entry `changed`, if it was not told the same already.

        In a big group most changes are of others. Positions alone are no news: the member knows its own.
        """
        if self._told is not None and changed <= self._told:
            return
        self._told = changed
        known, self._held = self._held, [(h.topic_id, h.partition, h.generation, h.asked_back) for h in held]
        self._hold([PartitionId(TopicId(h.topic_id), h.partition) for h in held])
        if self._held != known:
            holdings = coordinator_pb2.Holdings(member=self.who[1], held=held)
            self._out.put_nowait(coordinator_pb2.AttachResponse(holdings=holdings).SerializeToString())

    def _hold(self, held: Sequence[PartitionId]) -> None:
        now_s = asyncio.get_running_loop().time()
        self._moved_s = {partition: self._moved_s.get(partition, (Offset(-1), now_s)) for partition in held}

    def commits(self, positions: Iterable[tuple[PartitionId, int, Offset]]) -> None:
        """The member says how far it is."""
        now_s = asyncio.get_running_loop().time()
        for partition, _, position in positions:
            if self._moved_s.get(partition, (position,))[0] != position:
                self._moved_s[partition] = position, now_s

    def quiet_s(self, partition: PartitionId) -> float | None:
        """For how long it has committed nothing new of a partition; None: it does not know that it holds it."""
        moved = self._moved_s.get(partition)
        return None if moved is None else asyncio.get_running_loop().time() - moved[1]

    async def room(self) -> None:
        """Wait while too many commits and releases are under way."""
        await self._room.acquire()

    def answer_when_done(self, correlation: int, reply: "asyncio.Future[Answer]") -> None:
        """Send what becomes of a commit. If that is not known here the stream ends: the commit comes again."""

        def done(reply: "asyncio.Future[Answer]") -> None:
            self._room.release()
            if reply.cancelled():
                return
            error = reply.exception()
            if error is not None:
                self.end(error)
                return
            outcome = coordinator_pb2.CommitOutcome(correlation=correlation)
            if reply.result().reason:
                outcome.error.CopyFrom(api.error_to_pb(refusal(reply.result())))
            self._out.put_nowait(coordinator_pb2.AttachResponse(outcome=outcome).SerializeToString())

        reply.add_done_callback(done)

    def released(self, reply: "asyncio.Future[Answer]") -> None:
        """What became of a release: where it failed the stream ends, and the node says it again elsewhere."""
        self._room.release()
        if reply.cancelled():
            return
        error = reply.exception()
        if error is None and reply.result().reason:
            error = refusal(reply.result())
        if error is not None:
            self.end(error)

    def say_left(self) -> None:
        """The member has gone, as it wished."""
        self._out.put_nowait(LEFT)

    def end_with(self, taking: "asyncio.Task[None]") -> None:
        """Nothing more is taken from the member's node."""
        self.end(None if taking.cancelled() else taking.exception())

    def end(self, error: BaseException | None) -> None:
        """Nothing more is said."""
        self._out.put_nowait(error)
