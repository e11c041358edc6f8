"""Reading as a member of a group: partitions come and go, positions are the group's, and nothing is skipped.

Rules:
1. A record is *processed* when the application asks for the next one, commits, or leaves an `async with` block without
   an exception. Only what is processed is committed.
2. A partition that is asked back is released when the application holds no record of it any more, and after its
   position was committed: whoever gets it next begins behind what was processed here.
3. A partition that was lost (this member was away for longer than its grace) delivers nothing more; what was given of
   it and not committed is given to somebody else again.
4. A broken stream stops nothing: partitions are read from their leaders meanwhile, commits are said again.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from typing import Self

from cluster.client.calls import Calls
from cluster.client.decoding import ReadBatch, ReadRecord
from cluster.client.directory import Directory
from cluster.client.membership import Held, Membership
from cluster.client.part import Arrived, Part, goes_on
from cluster.client.positions import Place, position_of
from cluster.config import ClientOptions
from cluster.errors import (
    Closed,
    DeadlineExceeded,
    InvalidRequest,
    Outcome,
    RiverrunError,
    StaleGeneration,
    UnknownMember,
)
from cluster.types import Offset
from cluster.wire.api import group_pb2

OnMoved = Callable[[Sequence[tuple[str, int]]], None]


class Subscription:
    """Made by `Client.subscribe`. Iterate over records, or over `batches()` for speed; not both at once.

    Use it in `async with`: on the way out what was processed is committed and the partitions are handed over at once.
    Errors of `PASSED_BY` stand for one batch, OffsetOutOfRange for records that the topic's limits deleted before the
    group had them: iterating again goes on behind them (`metadata["next"]`). Any other error is the end.
    """

    def __init__(
        self,
        topics: Sequence[str],
        *,
        group: str,
        start: Place,
        name: str,
        calls: Calls,
        directory: Directory,
        options: ClientOptions,
        on_assigned: OnMoved | None = None,
        on_taken: OnMoved | None = None,
    ) -> None:
        if not topics:
            raise InvalidRequest("a subscription names at least one topic")
        self.group = group
        self.topics = tuple(topics)
        self._calls = calls
        self._directory = directory
        self._options = options
        self._on_assigned = on_assigned or _nobody
        self._on_taken = on_taken or _nobody
        self._membership = Membership(
            calls,
            directory,
            group=group,
            topics=topics,
            client=name,
            start=position_of(start),
            connect_timeout_s=options.request_timeout_s,
            on_response=self._on_response,
        )
        self._parts: dict[tuple[str, int], Part] = {}
        self._arrived: asyncio.Queue[Arrived] = asyncio.Queue(maxsize=1)
        self._given: tuple[Part, Offset] | None = None
        """The part of the record (or batch) that the application works on, and the position behind it."""
        self._batch: tuple[Part, ReadBatch, int] | None = None
        """What records are taken from, and the place of the next one."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._running: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        self._closed = False

    # --- what the application sees

    @property
    def assignment(self) -> frozenset[tuple[str, int]]:
        """The partitions, by topic and number, that are this member's now."""
        return frozenset(place for place, part in self._parts.items() if not part.asked_back)

    @property
    def positions(self) -> dict[tuple[str, int], Offset]:
        """By topic and number, the offset behind what was processed here; of what is this member's now."""
        return {place: part.processed for place, part in self._parts.items()}

    @property
    def committed(self) -> dict[tuple[str, int], Offset]:
        """By topic and number, the position that is known to be committed; of what is this member's now."""
        return {place: part.committed for place, part in self._parts.items()}

    def generation_of(self, topic: str, partition: int) -> int:
        """Of this member's hold of a partition: higher each time that it changes hands; 0: it is not this member's."""
        part = self._parts.get((topic, partition))
        return part.held[2] if part is not None else 0

    @property
    def is_over(self) -> bool:
        """Nothing more will come and nothing is held open."""
        return self._closed

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ReadRecord:
        self._processed()
        while self._batch is None:
            part, batch = await self._next_records()
            self._batch = part, batch, 0
        part, batch, place = self._batch
        record = batch.records[place]
        last = place + 1 == len(batch.records)
        self._batch = None if last else (part, batch, place + 1)
        self._given = part, batch.position if last else batch.records[place + 1].offset
        return record

    async def batches(self) -> AsyncGenerator[ReadBatch, None]:
        """The records in lists, as they arrived: several times as fast as one by one."""
        while True:
            self._processed()
            part, batch = await self._next_records()
            self._given = part, batch.position
            yield batch

    async def _next_records(self) -> tuple[Part, ReadBatch]:
        """Some records; where there are none left, compaction has removed them, and everything before was processed."""
        while True:
            part, batch = await self._next_batch()
            if batch.records:
                return part, batch
            part.processed = max(part.processed, batch.position)

    async def commit(self, *, timeout_s: float | None = None, processed: bool = True) -> None:
        """Everything that was given to the application is processed: return when that is on a majority's disks.

        `processed` False: the record that was given last is not.
        StaleGeneration: a partition was taken away meanwhile, and is not this member's any more; what was given of it
        will be given to another one. DeadlineExceeded or OutcomeUnknown: not known, and committing again is harmless.
        """
        if processed:
            self._processed()
        timeout_s = self._options.request_timeout_s if timeout_s is None else timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                await self._commit([part for part in self._parts.values() if part.processed > part.committed])
        except TimeoutError:
            raise DeadlineExceeded(f"the commit was not answered within {timeout_s} s, and may still count") from None

    async def open(self) -> Self:
        """Join now, instead of with the first record."""
        if self._closed:
            raise Closed("the subscription was closed")
        if self._running is None:
            self._running = asyncio.create_task(self._run(), name=f"member of {self.group}")
            self._start(self._commit_now_and_then())
        return self

    async def close(self, *, processed: bool = True) -> None:
        """Commit what is processed and hand everything over. `processed`: the record that was given last is, too."""
        if self._closed:
            return
        if processed:
            self._processed()
        self._closed = True
        if self._running is not None and not self._running.done():
            with contextlib.suppress(RiverrunError, TimeoutError):
                async with asyncio.timeout(self._options.request_timeout_s):
                    await self._commit([part for part in self._parts.values() if part.processed > part.committed])
                    await self._membership.drain()
        await self.abandon()

    async def abandon(self) -> None:
        """Stop at once: the group waits for this member for its grace, and gives its partitions to others then."""
        self._closed = True
        tasks = [*self._tasks, *([self._running] if self._running is not None else [])]
        for part in list(self._parts.values()):
            part.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._membership.fail_commits(Closed("the subscription was closed"))
        self._parts.clear()
        self._fail(Closed("the subscription was closed"))

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        await self.close(processed=kind is None)

    # --- records

    async def _next_batch(self) -> tuple[Part, ReadBatch]:
        await self.open()
        while True:
            if self._failure is not None:
                raise self._failure
            part, item = await self._arrived.get()
            if self._parts.get(part.held[:2]) is not part or part.asked_back:
                continue  # it came too late
            if isinstance(item, Exception):
                if goes_on(item):
                    part.processed = Offset(int(item.metadata["next"]))
                raise item
            return part, item

    def _processed(self) -> None:
        """The application is through with what it was given last."""
        if self._given is not None:
            part, position = self._given
            self._given = None
            part.processed = max(part.processed, position)
            if part.asked_back:
                self._start(self._hand_over(part))
        if self._batch is not None and (
            self._batch[0].asked_back or self._parts.get(self._batch[0].held[:2]) is not self._batch[0]
        ):
            self._batch = None

    # --- positions

    async def _commit(self, parts: Sequence[Part]) -> None:
        """Each part's processed position; the first failure is raised when all are through."""
        outcomes = await asyncio.gather(
            *(self._commit_part(part, part.processed) for part in parts), return_exceptions=True
        )
        failed = next((outcome for outcome in outcomes if outcome is not None), None)
        if failed is not None:
            raise failed

    async def _commit_part(self, part: Part, position: Offset) -> None:
        """Said again while its outcome is unknown, or nobody can take it just now."""
        backoff = self._calls.backoff()
        while True:
            try:
                await self._membership.commit([(part.held, position)])
            except (StaleGeneration, UnknownMember):
                self._lose([part])
                raise
            except RiverrunError as error:
                if not error.retry and error.outcome is not Outcome.UNKNOWN:
                    raise
                await asyncio.sleep(backoff.next_s())
            else:
                part.committed = max(part.committed, position)
                return

    async def _commit_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self._options.commit_interval_s)
            with contextlib.suppress(RiverrunError, TimeoutError):
                async with asyncio.timeout(self._options.request_timeout_s):
                    await self._commit([part for part in self._parts.values() if part.processed > part.committed])

    # --- partitions that come and go

    async def _run(self) -> None:
        try:
            await self._membership.run()
        except RiverrunError as error:
            self._membership.fail_commits(error)
            self._fail(error)
        except Exception as error:  # noqa: BLE001  the application's own, from what it wanted to be told
            self._membership.fail_commits(Closed("the subscription has failed"))
            self._fail(error)

    def _on_response(self, response: group_pb2.SubscribeResponse) -> None:
        match response.WhichOneof("response"):
            case "joined":
                still = {_held(held) for held in response.joined.held}
                self._lose([part for part in self._parts.values() if part.held not in still])
            case "assign":
                for assigned in response.assign.partitions:
                    self._begin(_held(assigned.held), Offset(assigned.position))
            case "revoke":
                self._hand_back([_held(held) for held in response.revoke.partitions])
            case "lose":
                lost = {_held(held) for held in response.lose.partitions}
                self._lose([part for part in self._parts.values() if part.held in lost])

    def _begin(self, held: Held, position: Offset) -> None:
        known = self._parts.get(held[:2])
        if known is not None and known.held == held:
            return  # it never stopped
        if known is not None:
            self._lose([known])
        part = self._parts[held[:2]] = Part(held, position)
        part.start(self._arrived, calls=self._calls, directory=self._directory, options=self._options)
        self._on_assigned([held[:2]])

    def _hand_back(self, asked: Sequence[Held]) -> None:
        for held in asked:
            part = self._parts.get(held[:2])
            if part is None or part.held != held:
                self._membership.release([held])  # it was released before, and that was not heard
            elif not part.asked_back:
                part.asked_back = True
                part.stop()
                if self._given is None or self._given[0] is not part:
                    self._start(self._hand_over(part))

    async def _hand_over(self, part: Part) -> None:
        """Rule 2. The commit is said until its outcome is known, or the part is lost."""
        with contextlib.suppress(RiverrunError):
            if part.processed > part.committed:
                await self._commit_part(part, part.processed)
        self._membership.release([part.held])
        self._lose([part])

    def _lose(self, parts: Sequence[Part]) -> None:
        """The application is told of each once, however it is learned."""
        gone = []
        for part in parts:
            part.stop()
            if self._parts.get(part.held[:2]) is part:
                del self._parts[part.held[:2]]
                gone.append(part.held[:2])
        if gone:
            self._on_taken(gone)

    # --- ends

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception):
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if self._failure is None:
            self._failure = error
        if self._arrived.empty():
            nobody = Part(("", 0, 0), Offset(0))
            self._arrived.put_nowait((nobody, error))


def _held(held: group_pb2.Held) -> Held:
    return held.topic, held.partition, held.generation


def _nobody(_: Sequence[tuple[str, int]]) -> None:
    """No application wants to be told."""
