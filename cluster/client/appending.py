"""Appending a few records as one batch, all or none, under a condition if there is one. For compare-and-append.

It goes past the batching of `produce`: one request, answered before the next one to the same partition is sent. Each
partition has an identity of its own, so that a retry after a lost answer is a duplicate and not a false conflict:

1. What was numbered and not answered by a receipt or a plain refusal leaves the identity in doubt: it is not used
   again, because a request that is still under way could take the number of the next one.
2. A conflict is an answer even after a lost one: the node tells it only when what stands there is committed, so the
   lost request can never fit any more. Unless the end is below what is expected: then it still may, and the outcome is
   unknown. So is every other refusal after a lost answer.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from cluster.client.calls import TRIES_PER_TIMEOUT, Calls
from cluster.client.directory import Directory
from cluster.client.identities import Identities
from cluster.client.outgoing import size_of
from cluster.client.routing import TopicRoute
from cluster.client.tracing import current_trace
from cluster.client.window import Identity
from cluster.config import ClientOptions
from cluster.errors import (
    InvalidRequest,
    OffsetConflict,
    Outcome,
    OutcomeUnknown,
    OutOfSequence,
    RecordTooLarge,
    RiverrunError,
    Unavailable,
    UnknownProducer,
    UnknownTopic,
)
from cluster.records import Header, Receipt, Record
from cluster.trace import traced
from cluster.wire import api
from cluster.wire.api import stream_pb2
from cluster.wire.encoding import Headers
from cluster.world import Clock

T = TypeVar("T")
PUBLISH = "/riverrun.v1.StreamService/Publish"


class _Lane:
    """One partition: one append at a time."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.identity: Identity | None = None
        self.address = ""
        """Who answered the last one."""


class Appender:
    """The appends of one client."""

    def __init__(self, *, calls: Calls, directory: Directory, clock: Clock, options: ClientOptions) -> None:
        self._calls = calls
        self._directory = directory
        self._clock = clock
        self._options = options
        self._identities = Identities(calls, "")
        self._lanes: dict[tuple[bytes, int], _Lane] = {}

    async def append(
        self,
        topic: str,
        partition: int,
        records: Sequence[Record],
        *,
        expected_end: int | None = None,
        timeout_s: float | None = None,
    ) -> Receipt:
        """Append `records` as one batch: all of them, one behind the other, or none.

        With `expected_end` only if that is the partition's end, which is the offset that the first record then gets.
        `timeout_s` None: `ClientOptions.delivery_timeout_s`. Retries cannot append twice; the receipt of one that
        finds itself done says `duplicate`.
        Errors: OffsetConflict (its metadata has the `end`; nothing was appended), OutcomeUnknown, InvalidRequest,
        RecordTooLarge, UnknownTopic, UnknownPartition, Unavailable.
        """
        request = self._request(topic, partition, records, expected_end)
        total_s = self._options.delivery_timeout_s if timeout_s is None else timeout_s
        end_s = asyncio.get_running_loop().time() + total_s
        route = await _in_time(self._directory.route(topic), end_s)
        route.check_partition(partition)
        lane = self._lanes.setdefault((route.topic_id, partition), _Lane())
        await _in_time(lane.turn.acquire(), end_s)  # others of this client may append there
        try:
            try:
                return await self._under_identity(lane, request, route, end_s)
            except UnknownProducer:  # a plain refusal: the partition has forgotten it, or is of a topic made anew
                route = await _in_time(self._directory.refresh(topic), end_s)
                return await self._under_identity(lane, request, route, end_s)
        finally:
            lane.turn.release()

    def _request(
        self, topic: str, partition: int, records: Sequence[Record], expected_end: int | None
    ) -> stream_pb2.PublishRequest:
        if not records:
            raise InvalidRequest("an append holds at least one record")
        if expected_end is not None and (not isinstance(expected_end, int) or expected_end < 0):
            raise InvalidRequest(f"a partition's end is 0 or more; {expected_end!r} cannot be expected")
        now_ns = self._clock.wall_ns()
        limit_bytes = self._options.record_bytes_max
        try:
            for record in records:
                if size_of(record.value, record.key, record.headers) > limit_bytes + size_of(b"", None, ()):
                    raise RecordTooLarge(f"a record takes more than {limit_bytes} bytes", limit_bytes=str(limit_bytes))
            trace = current_trace()
            return stream_pb2.PublishRequest(
                topic=topic,
                partition=partition,
                records=[
                    api.record_to_pb(
                        replace(
                            record,
                            timestamp_ns=record.timestamp_ns or now_ns,
                            headers=traced(record.headers, trace),
                        )
                    )
                    for record in records
                ],
                expected_end=expected_end,
            )
        except (TypeError, ValueError, AttributeError) as error:
            raise InvalidRequest(
                f"records are made with Record(value=…, key=…), value and key are bytes: {error}"
            ) from error

    async def _under_identity(
        self, lane: _Lane, request: stream_pb2.PublishRequest, route: TopicRoute, end_s: float
    ) -> Receipt:
        """One append under the lane's identity, which is kept only if its next number is known afterwards (rule 1)."""
        identity = lane.identity
        if identity is None:
            identity = await _in_time(self._identities.fresh(), end_s)
        lane.identity = None
        request.producer_id, request.producer_epoch = identity.producer_id, identity.epoch
        request.base_sequence = identity.next_sequence
        attempts = _Attempts(self._calls, self._options, request, route, lane.address)
        try:
            receipt = await attempts.run(end_s)
        except (UnknownProducer, OutOfSequence):
            raise  # it is of no use any more
        except RiverrunError:
            if not attempts.doubtful:
                lane.identity = identity
            raise
        lane.address = attempts.address
        lane.identity = replace(identity, next_sequence=identity.next_sequence + len(request.records))
        return receipt


class _Attempts:
    """One numbered request, sent until it is answered or its time is up: to the leader if it is known, or any node."""

    def __init__(
        self,
        calls: Calls,
        options: ClientOptions,
        request: stream_pb2.PublishRequest,
        route: TopicRoute,
        otherwise: str,
    ) -> None:
        self._calls = calls
        self._options = options
        self._request = request
        self._encoded = request.SerializeToString()
        self._route = route
        self._strangers: set[str] = set()
        self.address = route.leader(request.partition) or otherwise or calls.servers[0]
        """Who is asked now."""
        self.doubtful = False
        """An attempt may have arrived of which no answer came."""

    async def run(self, end_s: float) -> Receipt:
        loop, backoff = asyncio.get_running_loop(), self._calls.backoff()
        share_s = min(max((end_s - loop.time()) / TRIES_PER_TIMEOUT, 0.1), self._options.request_timeout_s)
        last: RiverrunError | None = None
        while (left_s := end_s - loop.time()) > 0:
            try:
                return await self._once(min(left_s, share_s))
            except RiverrunError as error:
                last = error
                if self._is_answer(error):
                    break
            self._next_address(last)
            await asyncio.sleep(min(backoff.next_s(), max(end_s - loop.time(), 0.0)))
        if last is None:
            raise Unavailable("no time was left to send the records")
        if self.doubtful and not self._is_conflict_for_good(last):
            raise OutcomeUnknown(f"an answer was lost, then: {last.message}", **last.metadata) from last
        raise last

    async def _once(self, timeout_s: float) -> Receipt:
        doubtful, self.doubtful = self.doubtful, True  # also if whoever waits for this leaves
        try:
            answer = await self._calls.channel(self.address).call(PUBLISH, self._encoded, timeout_s=timeout_s)
        except RiverrunError as error:
            self.doubtful = doubtful or error.outcome is Outcome.UNKNOWN or error.code == "INTERNAL"
            raise
        (receipt,) = api.parse(stream_pb2.PublishResponse, answer).receipts
        return replace(api.receipt_from_pb(receipt), partition=receipt.partition)

    def _is_answer(self, error: RiverrunError) -> bool:
        if isinstance(error, UnknownTopic):  # news of a new topic may not have reached every node yet
            self._strangers.add(self.address)
            return self._calls.have_all_said(self._strangers)
        return not error.retry

    def _is_conflict_for_good(self, error: RiverrunError) -> bool:
        """Rule 2."""
        return isinstance(error, OffsetConflict) and int(error.metadata.get("end", "0")) > self._request.expected_end

    def _next_address(self, error: RiverrunError) -> None:
        number, servers = self._request.partition, self._calls.servers
        self._route.suspect(number, self.address)
        if hint := error.metadata.get("leader"):
            self._route.hint(number, hint)
            self.address = hint
            return
        place = servers.index(self.address) + 1 if self.address in servers else 0
        self.address = servers[place % len(servers)]


async def _in_time(work: Coroutine[object, object, T], end_s: float) -> T:
    """What is asked before anything is sent."""
    try:
        async with asyncio.timeout_at(end_s):
            return await work
    except TimeoutError:
        raise Unavailable("the time was up before the records could be sent") from None


def record_of(value: bytes, key: bytes | None, headers: Headers, timestamp_ns: int) -> Record:
    """A record from the arguments of `publish`; InvalidRequest if the headers are none.

    >>> record_of(b"3 apples", b"alice", {"via": b"phone"}, 0).headers
    (Header(name='via', value=b'phone'),)
    """
    try:
        pairs = (
            tuple(Header(name=name, value=content) for name, content in headers.items())
            if isinstance(headers, Mapping)
            else tuple(headers)
        )
    except TypeError as error:
        raise InvalidRequest(f"headers are names with bytes: {error}") from error
    return Record(value=value, key=key, headers=pairs, timestamp_ns=timestamp_ns)
