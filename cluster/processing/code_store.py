"""User code in the cluster: files in pieces in an internal topic, replicated like everything else, known by their hash.

A piece is a record with the key `<sha256, hex>/<number>`, so a compacted topic has it once, and forgets it when no app
has had it for long (`code_sweeping.py`). The pieces of a file stand in one partition, perhaps among others; it begins
where its piece 0 was put, and of pieces that came twice the first behind that counts. Whoever reads a file checks its
hash, so nothing that was damaged, or put there by mistake, is ever run.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

from cluster.broker.broker import Broker
from cluster.broker.read_service import PartitionRead, ReadService
from cluster.config import ProcessingOptions
from cluster.errors import CorruptStorage, DeadlineExceeded, InvalidRequest, RiverrunError, UnknownTopic
from cluster.metadata import Code
from cluster.processing.internal_topics import CODE_TOPIC
from cluster.processing.tasks.outlets import Outlets
from cluster.records import Record
from cluster.types import Offset, PartitionId
from cluster.wire.api import stream_pb2
from cluster.wire.records import make_batch
from cluster.world import Clock

T = TypeVar("T")
NS_PER_S = 1_000_000_000


class CodeStore:
    """`make_topic` makes the internal topic, or finds that it is there."""

    def __init__(
        self,
        *,
        broker: Broker,
        outlets: Outlets,
        reading: ReadService,
        make_topic: Callable[[str], Awaitable[PartitionId]],
        clock: Clock,
        options: ProcessingOptions,
    ) -> None:
        self._broker = broker
        self._outlets = outlets
        self._reading = reading
        self._make_topic = make_topic
        self._clock = clock
        self._options = options
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self._under_way: dict[Code, asyncio.Task[bytes]] = {}

    # --- writing

    async def store(self, content: bytes) -> Offset:
        """Where the file is, when it is on a majority's disks; one that an app has already is not put there again.

        Errors: DeadlineExceeded, and what a leader refuses a batch for.
        """
        sha256 = hashlib.sha256(content).digest()
        known = self._known(sha256)
        if known is not None:
            return known
        size = self._options.code_piece_bytes_max
        pieces = [content[begin : begin + size] for begin in range(0, len(content), size)]
        first = await self.store_piece(sha256, 0, pieces[0])
        for number, piece in enumerate(pieces[1:], 1):
            await self.store_piece(sha256, number, piece)
        return first

    async def store_piece(self, sha256: bytes, number: int, piece: bytes) -> Offset:
        """Put one piece there; its offset."""
        key = f"{sha256.hex()}/{number}".encode()
        batch = make_batch([Record(value=piece, key=key, timestamp_ns=self._clock.wall_ns())])

        async def publish() -> Offset:
            receipt = await (await self._outlets.send(await self._partition(), batch))
            return receipt.offset

        return await self._until_it_works(publish, f"piece {number} of the code was not stored in time")

    def _known(self, sha256: bytes) -> Offset | None:
        stages = (stage for app in self._broker.directory.apps.values() for stage in app.stages)
        return next((stage.code.offset for stage in stages if stage.code.sha256 == sha256), None)

    async def _partition(self) -> PartitionId:
        topic = self._broker.directory.by_name.get(CODE_TOPIC)
        return PartitionId(topic.id, 0) if topic is not None else await self._make_topic(CODE_TOPIC)

    # --- reading

    async def read(self, code: Code) -> bytes:
        """The file. CorruptStorage: there is no such file at that place. DeadlineExceeded: nobody answers now."""
        kept = self._kept.get(code.sha256)
        if kept is not None:
            self._kept.move_to_end(code.sha256)
            return kept
        task = self._under_way.get(code)
        if task is None:
            task = self._under_way[code] = asyncio.create_task(self._read(code), name=f"code/{code.name}")
            task.add_done_callback(lambda done: self._read_ended(code, done))
        return await asyncio.shield(task)

    async def check_age(self, code: Code) -> None:
        """InvalidRequest: it was uploaded so long ago that it may go at any time, and no app has it."""
        if self._known(code.sha256) is not None:
            return
        topic, at = self._broker.directory.topic(CODE_TOPIC), stream_pb2.Position(offset=code.offset)
        offsets = await self._reading.offsets_of(topic, 0, at)
        age_s = (self._clock.wall_ns() - offsets.at_append_time_ns) / NS_PER_S
        if age_s > self._options.code_unused_s / 2:
            raise InvalidRequest(f"{code.name} was uploaded {age_s / 3600:.1f} hours ago; upload it again")

    def close(self) -> None:
        """Whoever waits for a file is told that it does not come."""
        for task in self._under_way.values():
            task.cancel()

    def _read_ended(self, code: Code, task: "asyncio.Task[bytes]") -> None:
        self._under_way.pop(code, None)
        if not task.cancelled():
            task.exception()  # whoever asked may have left

    async def _read(self, code: Code) -> bytes:
        content = await self._until_it_works(lambda: self._collect(code), f"{code.name} was not read in time")
        if hashlib.sha256(content).digest() != code.sha256:
            raise CorruptStorage(f"the code of {code.name} is not what was deployed: its hash is another one")
        self._kept[code.sha256] = content
        while sum(map(len, self._kept.values())) > self._options.code_cache_bytes_max:
            self._kept.popitem(last=False)
        return content

    async def _collect(self, code: Code) -> bytes:
        topic = self._broker.directory.topic(CODE_TOPIC)
        request = stream_pb2.ReadRequest(
            topic=CODE_TOPIC,
            start=stream_pb2.Position(offset=code.offset),
            until=stream_pb2.Position(latest=True),
        )
        prefix = f"{code.sha256.hex()}/".encode()
        pieces: dict[int, bytes] = {}
        reading = PartitionRead(self._reading, topic, PartitionId(topic.id, 0), request)
        async with aclosing(reading.messages()) as messages:  # type: ignore[type-var]
            async for _ in messages:
                for record in reading.part.records:
                    if (
                        record.key.startswith(prefix) and record.value
                    ):  # a tombstone comes before what is put there again
                        pieces.setdefault(int(record.key[len(prefix) :]), record.value)
                if sum(map(len, pieces.values())) >= code.size_bytes:
                    break
        found = b"".join(piece for _, piece in sorted(pieces.items()))
        if len(found) != code.size_bytes or sorted(pieces) != list(range(len(pieces))):
            raise CorruptStorage(
                f"of the {code.size_bytes} bytes of {code.name} only {len(found)} are where they were said to be"
            )
        return found

    async def _until_it_works(self, attempt: Callable[[], Awaitable[T]], too_late: str) -> T:
        """Through changes of leaders: all of this may be done twice."""
        try:
            async with asyncio.timeout(self._options.code_wait_s_max):
                while True:
                    try:
                        return await attempt()
                    except UnknownTopic:
                        pass  # this node has not heard of it yet
                    except RiverrunError as error:
                        if not error.retry:
                            raise
                    await asyncio.sleep(self._reading.options.stream_retry_s)
        except TimeoutError:
            raise DeadlineExceeded(too_late) from None
