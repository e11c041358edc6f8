"""`GET /topics/{topic}/records`: some records as a list, and where to continue.

    {"records": [{"partition": 0, "offset": 17, …}], "next": "18", "finished": false}

Query: `partition` (all of them if none is named), `from` (earliest), `until` (latest: the end as it is now; `places`
says what else), `limit`, `format` (records, or cloudevents: what was published as an event is given as one). `next`
goes into the next request's `from`; `finished` says that `until` was reached. A list is bounded in records and bytes.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from cluster.broker.read_service import GET_OFFSETS, READ, merged
from cluster.broker.web.calls import Handlers, WebCall
from cluster.broker.web.cloud_events import is_event, to_structured
from cluster.broker.web.places import EARLIEST, LATEST, Place, parse_place, positions_text
from cluster.broker.web.queries import PARTITION_MAX, Query
from cluster.broker.web.records import from_record
from cluster.config import HttpOptions
from cluster.errors import DeadlineExceeded, InvalidRequest, RiverrunError
from cluster.wire.api import records_pb2, stream_pb2, topic_pb2

GET_TOPIC = "/riverrun.v1.TopicService/GetTopic"
PARAMETERS = {"partition", "from", "until", "limit", "format"}
FORMATS = {"records": False, "cloudevents": True}
RETRY_S = 0.1


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request reads."""

    topic: str
    partitions: list[int]
    start: Place
    until: Place | None
    limit: int | None
    as_events: bool

    def known_positions(self) -> dict[int, int]:
        """Where the read begins in the partitions for which that is an offset already."""
        return {number: at for number, at in self.start.by_partition.items() if number in self.partitions}


def as_json(record: records_pb2.Record, partition: int, *, as_events: bool) -> dict[str, Any]:
    """The record, or the event that it was published as, for JSON."""
    return to_structured(record) if as_events and is_event(record) else from_record(record, partition)


class Reading:
    """Answers reads; `events` follows with it."""

    def __init__(self, handlers: Handlers, options: HttpOptions) -> None:
        self._handlers = handlers
        self._options = options

    async def answer(self, request: Request, call: WebCall) -> Response:
        """The list; RiverrunError if there is none."""
        wanted = await self.wanted(request, call, start="earliest", until="latest")
        most = self._options.records_per_read_max
        limit = most if wanted.limit is None else min(wanted.limit, most)
        if len(wanted.partitions) > 1:
            wanted = await self.resolved(wanted, call)
        found = _List(wanted, limit=limit, bytes_max=self._options.read_bytes_max)
        try:
            async with asyncio.timeout(self._options.read_wait_s_max), aclosing(self.parts(wanted, call)) as parts:
                async for part in parts:
                    if found.is_full_with(part):
                        break
        except TimeoutError:
            if not found.records:
                raise DeadlineExceeded(
                    f"not every partition's leader answered within {self._options.read_wait_s_max:g} s"
                ) from None
        body = {"records": found.records, "next": found.next_text(), "finished": found.finished}
        return Response(msgspec.json.encode(body), 200, None, "application/json")

    async def wanted(self, request: Request, call: WebCall, *, start: str, until: str | None) -> Wanted:
        """What the request asks for; `start` and `until` are meant where it does not say."""
        query = Query(request, PARAMETERS)
        topic = request.path_params["topic"]
        partition = query.number("partition", PARTITION_MAX)
        limit = query.number("limit")
        if limit == 0:
            raise InvalidRequest("limit is at least 1")
        until = query.text("until") or until
        return Wanted(
            topic=topic,
            partitions=await self._partitions(topic, call) if partition is None else [partition],
            start=parse_place(query.text("from") or start, "from", EARLIEST),
            until=None if until is None else parse_place(until, "until", LATEST),
            limit=limit,
            as_events=query.choice("format", FORMATS) or False,
        )

    async def resolved(self, wanted: Wanted, call: WebCall) -> Wanted:
        """The same read, where "latest" or a time has become the offsets that it means now; waits a while for leaders.

        Otherwise a reader who leaves before the first record of a partition could not say where it stood there.
        """
        missing = [number for number in wanted.partitions if number not in wanted.start.by_partition]
        match wanted.start.at.WhichOneof("at"):
            case "earliest":
                return wanted
            case "offset":
                found = dict.fromkeys(missing, wanted.start.at.offset)
            case _:
                found = await self._offsets(wanted, missing, call)
        return replace(wanted, start=Place(EARLIEST, {**found, **wanted.start.by_partition}))

    async def _offsets(self, wanted: Wanted, partitions: list[int], call: WebCall) -> dict[int, int]:
        request = stream_pb2.GetOffsetsRequest(topic=wanted.topic, partitions=partitions, at=wanted.start.at)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._options.read_wait_s_max
        while partitions:
            try:
                answer = await self._handlers.ask(GET_OFFSETS, request, stream_pb2.GetOffsetsResponse, call)
            except RiverrunError as error:
                if not error.retry or loop.time() > deadline:
                    raise
                await asyncio.sleep(RETRY_S)
            else:
                return {item.partition: item.at for item in answer.partitions}
        return {}

    async def parts(self, wanted: Wanted, call: WebCall) -> AsyncGenerator[stream_pb2.ReadResponse, None]:
        """The node's answers for all partitions, as they come."""
        streams = [self._stream(wanted, number, call) for number in wanted.partitions]
        async with aclosing(streams[0] if len(streams) == 1 else merged(streams)) as messages:  # type: ignore[type-var]
            async for message in messages:
                yield stream_pb2.ReadResponse.FromString(message)

    def _stream(self, wanted: Wanted, number: int, call: WebCall) -> AsyncIterator[bytes]:
        request = stream_pb2.ReadRequest(topic=wanted.topic, partitions=[number], start=wanted.start.of(number))
        if wanted.until is not None:
            request.until.CopyFrom(wanted.until.of(number))
        return self._handlers.stream(READ, request, call)

    async def _partitions(self, topic: str, call: WebCall) -> list[int]:
        request = topic_pb2.GetTopicRequest(name=topic)
        answer = await self._handlers.ask(GET_TOPIC, request, topic_pb2.GetTopicResponse, call)
        return [partition.number for partition in answer.topic.partitions]


class _List:
    """The records of one answer, and how far each partition was read for it."""

    def __init__(self, wanted: Wanted, *, limit: int, bytes_max: int) -> None:
        self.records: list[dict[str, Any]] = []
        self._wanted = wanted
        self._limit = limit
        self._bytes_left = bytes_max
        self._positions = wanted.known_positions()
        self._done: set[int] = set()

    @property
    def finished(self) -> bool:
        """Whether every partition was read to where it shall stop."""
        return len(self._done) == len(self._wanted.partitions)

    def is_full_with(self, part: stream_pb2.ReadResponse) -> bool:
        """Take what there is room for; whether that was the last of it."""
        for record in part.records:
            if self._is_full():
                return True
            self.records.append(as_json(record, part.partition, as_events=self._wanted.as_events))
            self._positions[part.partition] = record.offset + 1
            self._bytes_left -= len(record.value)
        self._positions[part.partition] = part.position
        if part.finished:
            self._done.add(part.partition)
        return self.finished or self._is_full()

    def next_text(self) -> str:
        """For the next request's `from`."""
        return positions_text(self._positions, self._wanted.partitions)

    def _is_full(self) -> bool:
        return len(self.records) >= self._limit or self._bytes_left <= 0
