"""Code that no app has any more goes: its pieces get tombstones in the topic, and compaction does the rest.

Whoever leads the topic's partition looks now and then. Rules:

1. A file goes when at every look for `code_unused_s` no app had it, and no piece of it has come for as long. So a
   deployment, which takes seconds, never loses what it has stored, or has found that an app has: only after that would
   the time begin. Whoever deploys what was uploaded long ago is told to upload it again (`CodeStore.check_age`).
2. The tombstones of a look are one batch, appended only if nothing has come since what they were decided on: a piece
   that comes in between stands before none of them.
3. Who begins to lead begins to count. A cluster whose nodes change their leaders every day keeps its code.
"""

import asyncio
from collections.abc import Collection

import structlog

from cluster.broker.broker import Broker
from cluster.broker.publish_service import PublishService
from cluster.broker.read_service import PartitionRead, ReadService
from cluster.config import ProcessingOptions
from cluster.errors import RiverrunError
from cluster.metadata import Topic
from cluster.processing.internal_topics import CODE_TOPIC
from cluster.records import Record
from cluster.types import NO_TERM, Offset, PartitionId, Term
from cluster.wire.api import stream_pb2
from cluster.wire.records import make_batch
from cluster.world import Clock

log_event = structlog.get_logger()


class Unused:
    """What is in the topic, by the files' hashes in hexadecimal, and since when nobody wants it. Pure."""

    def __init__(self) -> None:
        self._pieces: dict[str, set[bytes]] = {}
        self._since_s: dict[str, float] = {}

    def found(self, key: bytes, *, deleted: bool) -> None:
        """The next record of the topic; `deleted`: a tombstone."""
        sha256 = key.partition(b"/")[0].decode()
        self._since_s.pop(sha256, None)
        pieces = self._pieces.setdefault(sha256, set())
        if deleted:
            pieces.discard(key)
        else:
            pieces.add(key)
        if not pieces:
            del self._pieces[sha256]

    def look(self, used: Collection[str], now_s: float, unused_s: float) -> list[bytes]:
        """The keys of all pieces that may go now."""
        going: list[bytes] = []
        for sha256, pieces in self._pieces.items():
            if sha256 in used:
                self._since_s.pop(sha256, None)
            elif now_s - self._since_s.setdefault(sha256, now_s) >= unused_s:
                going += sorted(pieces)
        return going


class Sweeping:
    """On every node: it does nothing but where the topic's partition is led."""

    def __init__(
        self,
        *,
        broker: Broker,
        reading: ReadService,
        publishing: PublishService,
        clock: Clock,
        options: ProcessingOptions,
    ) -> None:
        self._broker = broker
        self._reading = reading
        self._publishing = publishing
        self._clock = clock
        self._options = options
        self._term: Term = NO_TERM
        self._unused = Unused()
        self._position = Offset(0)
        """Behind what was read in this term."""

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            await asyncio.sleep(self._options.code_look_s)
            try:
                await self._look()
            except RiverrunError as error:
                log_event.debug("code_not_swept", reason=error.reason, detail=error.message)

    async def _look(self) -> None:
        directory = self._broker.directory
        topic = directory.by_name.get(CODE_TOPIC)
        running = self._reading.led_here(PartitionId(topic.id, 0)) if topic is not None else None
        if topic is None or running is None:
            return
        if running.replica.raft.term != self._term:
            self._term, self._unused, self._position = running.replica.raft.term, Unused(), Offset(0)
        await self._read(topic)
        used = {stage.code.sha256.hex() for app in directory.apps.values() for stage in app.stages}
        going = self._unused.look(used, self._clock.monotonic_s(), self._options.code_unused_s)
        if going and running.replica.raft.term == self._term:
            now_ns = self._clock.wall_ns()
            batch = make_batch([Record(value=b"", key=key, timestamp_ns=now_ns) for key in going])
            partition = PartitionId(topic.id, 0)
            await (await self._publishing.enter(partition, batch, expected_end=self._position))
            log_event.info("code_swept", files=len({key.partition(b"/")[0] for key in going}), pieces=len(going))

    async def _read(self, topic: Topic) -> None:
        """What has come since the last look."""
        start = stream_pb2.Position(offset=self._position)
        if not self._position:
            start = stream_pb2.Position(earliest=True)
        request = stream_pb2.ReadRequest(topic=topic.name, start=start, until=stream_pb2.Position(latest=True))
        reading = PartitionRead(self._reading, topic, PartitionId(topic.id, 0), request)
        async for _ in reading.messages():
            for record in reading.part.records:
                self._unused.found(record.key, deleted=not record.value)
            self._position = reading.position
