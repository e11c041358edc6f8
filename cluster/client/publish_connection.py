"""One PublishStream to one leader: batches of all its partitions, pipelined, answered by correlation.

It reports every attempt exactly once: answered, or lost when the stream broke. A stream on which attempts wait and
nothing has come back for `silence_s_max` counts as broken: a frozen node sends no error. What is sent behind an attempt
that waits is no sign of life, for somebody's buffers take it.
"""

import asyncio
from collections import deque
from typing import Protocol

from cluster.client.window import Attempt
from cluster.errors import REASONS, InvalidRequest, OutcomeUnknown, RiverrunError, Unavailable
from cluster.records import Receipt
from cluster.types import Durability
from cluster.wire import api
from cluster.wire.api import stream_pb2
from cluster.wire.encoding import publish_request
from cluster.world import Channel, Stream

PUBLISH_STREAM = "/riverrun.v1.StreamService/PublishStream"


class Reports(Protocol):
    """Whom a connection tells what became of the attempts that it was given."""

    def answered(self, connection: "PublishConnection", attempt: Attempt, answer: Receipt | RiverrunError) -> None:
        """The leader's answer to one attempt."""

    def broken(
        self, connection: "PublishConnection", lost: list[Attempt], unsent: list[Attempt], error: RiverrunError
    ) -> None:
        """The stream broke; nothing more will be reported by this connection."""


class PublishConnection:
    """The stream opens with the first attempt and is not reopened: a broken connection is replaced."""

    def __init__(
        self, address: str, channel: Channel, *, durability: Durability, silence_s_max: float, reports: Reports
    ) -> None:
        self.address = address
        self._durability = durability
        self._silence_s_max = silence_s_max
        self._reports = reports
        self._loop = asyncio.get_running_loop()
        self._correlation = 0
        self._outbox: deque[tuple[int, bytes, str]] = deque()
        self._open: dict[int, Attempt] = {}
        self._filled = asyncio.Event()
        self._moved_s = self._loop.time()
        self._unanswered = 0
        """Of those that were sent."""
        self._closed = False
        self._running = asyncio.create_task(self._run(channel), name=f"publish to {address}")
        self._watch: asyncio.TimerHandle | None = None

    def send_nowait(self, attempt: Attempt, topic: str, topic_id: bytes) -> None:
        """Put one attempt behind those before it. What waits here is bounded by the windows that it comes from."""
        self._correlation += 1
        if not self._open:
            self._moved_s = self._loop.time()
        self._open[self._correlation] = attempt
        self._outbox.append((self._correlation, topic_id, topic))
        self._filled.set()
        if self._watch is None:
            self._watch = self._loop.call_later(self._silence_s_max, self._look)

    async def close(self) -> None:
        """Drop the stream; attempts without an answer are reported as lost."""
        self._break(OutcomeUnknown("the client closed the connection"))
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    # --- the stream

    async def _run(self, channel: Channel) -> None:
        stream = channel.stream(PUBLISH_STREAM)
        sending = asyncio.create_task(self._send(stream))
        receiving = asyncio.create_task(self._receive(stream))
        try:
            done, _ = await asyncio.wait({sending, receiving}, return_when=asyncio.FIRST_COMPLETED)
            # The peer's own words, if there are any, say more than "could not send".
            if receiving not in done:
                await asyncio.wait({receiving}, timeout=0.0)
            ended = receiving if receiving.done() else sending
            error = None if ended.cancelled() else ended.exception()
            if error is None:
                error = Unavailable(f"{self.address} ended the stream")
            elif not isinstance(error, RiverrunError):
                raise error
            self._break(error)
        finally:
            sending.cancel()
            receiving.cancel()
            stream.cancel()
            await asyncio.gather(sending, receiving, return_exceptions=True)

    async def _send(self, stream: Stream) -> None:
        while True:
            while not self._outbox:
                self._filled.clear()
                await self._filled.wait()
            correlation, topic_id, topic = self._outbox.popleft()
            attempt = self._open.get(correlation)
            assert attempt is not None
            await stream.send(
                publish_request(
                    attempt.batch,
                    correlation=correlation,
                    topic=topic,
                    topic_id=topic_id,
                    partition=attempt.partition,
                    durability=self._durability,
                )
            )
            if self._unanswered <= 0:
                self._moved_s = self._loop.time()
            self._unanswered += 1

    async def _receive(self, stream: Stream) -> None:
        while (data := await stream.receive()) is not None:
            self._moved_s = self._loop.time()
            self._unanswered -= 1  # below 0 for a moment: the answer may come before `send` has returned
            response = api.parse(stream_pb2.PublishStreamResponse, data)
            attempt = self._open.pop(response.correlation, None)
            if attempt is None:
                raise InvalidRequest(f"{self.address} answered request {response.correlation}, which was not asked")
            answer = (
                api.receipt_from_pb(response.receipt)
                if response.WhichOneof("result") == "receipt"
                else _error_from_pb(response.error)
            )
            self._reports.answered(self, attempt, answer)

    # --- its end

    def _look(self) -> None:
        self._watch = None
        if not self._open:
            return
        left_s = self._moved_s + self._silence_s_max - self._loop.time()
        if left_s > 0:
            self._watch = self._loop.call_later(left_s, self._look)
        else:
            self._break(OutcomeUnknown(f"{self.address} did not answer for {self._silence_s_max} s"))
            self._running.cancel()

    def _break(self, error: RiverrunError) -> None:
        if self._closed:
            return
        self._closed = True
        if self._watch is not None:
            self._watch.cancel()
        waiting = {correlation for correlation, _, _ in self._outbox}
        lost = [attempt for correlation, attempt in self._open.items() if correlation not in waiting]
        unsent = [attempt for correlation, attempt in self._open.items() if correlation in waiting]
        self._open.clear()
        self._outbox.clear()
        self._reports.broken(self, lost, unsent, error)


def _error_from_pb(message: stream_pb2.Error) -> RiverrunError:
    """What the leader raised. A reason that this client does not know tells nothing about the outcome."""
    cls = REASONS.get(message.reason)
    if cls is None or cls is RiverrunError:
        return OutcomeUnknown(f"{message.reason}: {message.message}", **dict(message.metadata))
    return cls(message.message, **dict(message.metadata))
