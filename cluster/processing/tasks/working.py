"""Works of one task, one after another: taken from its inputs, done by user code, and proposed as commits.

From a tip that is the log's, until the stage is changed, or something makes what was made ahead worthless: then all of
it is thrown away, and whoever leads begins another one of these.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NoReturn

from cluster.broker.requests import Command
from cluster.errors import HostFailed, ProcessorFailed, RiverrunError, Unavailable
from cluster.processing.commit import TaskCommit, checksum_of, encode
from cluster.processing.hosting.frames import TOO_LARGE
from cluster.processing.hosts import Host, Word
from cluster.processing.ledger import Accepted, Ledger, Refused
from cluster.processing.spec import InputKind, Kind
from cluster.processing.tasks.around import Around
from cluster.processing.tasks.feeding import Feeding
from cluster.processing.tasks.holding import Holding
from cluster.processing.tasks.keeper import Keeper
from cluster.processing.tasks.making import Making
from cluster.processing.tasks.plan import Plan
from cluster.processing.tasks.shipper import Shipper
from cluster.processing.tasks.suspicion import Suspicion
from cluster.processing.work import AFTER_ALL_TIME_NS, Batch, Effects, Fired, TimerClock, Work
from cluster.types import Index, Offset, PartitionId

TIMERS_PER_WORK_MAX = 1_000
LOOK_S = 1.0
"""A task whose time matters looks so often whether its inputs are idle."""
SAY_S = 5.0
"""One that has no timers, but whose readers want its watermark, says it so often while nothing comes."""
TELL_SHIPPED_S = 5.0
"""A task without works writes down so late what it has shipped."""
HEADERS_BYTES = 64 * 1024
"""More than what is said of a dead letter in its headers."""
NS_PER_S = 1_000_000_000


class Working:
    """`doing`: the work that user code has now. `finished`: no input has anything more, for good."""

    def __init__(
        self,
        plan: Plan,
        *,
        keeper: Keeper,
        tip: Ledger,
        host: Host,
        shipper: Shipper,
        suspicion: Suspicion,
        letters: dict[PartitionId, Offset],
        around: Around,
        replies: set[asyncio.Future[Any]],
        is_current: Callable[[], bool],
    ) -> None:
        self.plan = plan
        self.doing: Work | None = None
        self.finished = False
        self.unapplied: dict[int, Work] = {}
        """Proposed, and not applied here."""
        self.replies = replies
        self.failure: RiverrunError | None = None
        self._keeper = keeper
        self._tip = tip
        self._host = host
        host.on_end = self._host_ended
        host.on_word = self._host_says
        self.word = Word(ready=plan.spec.kind is Kind.SOURCE)
        """What a source or a sink said last."""
        self._poked = self.word.ready
        self._outside = plan.spec.kind in {Kind.SOURCE, Kind.SINK}
        self._holding = Holding()
        self._drained = False
        """A source has nothing more, for good."""
        self._shipper = shipper
        self._suspicion = suspicion
        self._letters = letters
        """Up to where dead letters are to be handled again: it outlives this one."""
        self._around = around
        self._is_current = is_current
        self._event = asyncio.Event()
        self._making = Making(
            term=keeper.replica.raft.term,
            producer=plan.producer,
            inputs=[topic.id for topic in plan.inputs],
            outputs=plan.outputs,
            record_bytes_max=around.config.broker.record_bytes_max,
            letter_bytes_max=around.config.broker.batch_bytes_max - HEADERS_BYTES,
        )
        self.feeding = self._feed(plan.sources)
        self._last_idle: list[tuple[int, int]] = []
        self._last_made_s = around.clock.monotonic_s()
        self._told = (tip.now_ns, self._last_made_s)
        """What time it was when somebody asked last, by both clocks."""
        self._ended = False
        """A work has told user code's windows that nothing more comes; their timers may still be due."""
        self.redrives: list[asyncio.Future[int]] = []

    def _feed(self, sources: Sequence[Any]) -> Feeding:
        around = self._around
        return Feeding(sources, self._tip.positions, reading=around.reading, clock=around.clock, on_change=self.changed)

    # --- what others say

    def changed(self) -> None:
        """Something may be possible now that was not."""
        self._event.set()

    def applied(self, commit: TaskCommit) -> None:
        """It is committed, and what it changed is in the store."""
        if self.unapplied.pop(commit.n, None) is not None:
            self._host.committed(commit.n)
        self._event.set()

    def _host_ended(self, error: HostFailed) -> None:
        """Nothing of this task was in its hands: another one is opened before there is work for it."""
        self.failure = error
        self._event.set()

    def _host_says(self, word: Word) -> None:
        self.word = word
        self._poked = self._poked or word.ready
        self._event.set()

    # --- the loop

    async def run(self) -> None:
        """Work, until the stage is not what it was; raises what ended it."""
        try:
            while self._is_current():
                self._raise()
                if self.redrives or self._letters:
                    await self._redrive()
                work = self._next()
                if work is not None:
                    await self._do(work)
                else:
                    await self._wait()
        finally:
            self.feeding.close()
            for waiting in self.redrives:
                if not waiting.done():
                    waiting.set_exception(Unavailable("the task began anew; ask again"))
                    waiting.exception()

    def _raise(self) -> None:
        error = self.failure or self.feeding.failure
        if error is not None:
            raise error
        self.plan.check_outputs(self._around.broker.directory.deleted)

    def _next(self) -> Work | None:
        if not self._has_room():
            return None
        now_ns = self._now_ns()
        fired = self._due(now_ns)
        options, suspicion = self._around.options, self._suspicion
        records_max = suspicion.records_max or self.plan.spec.batch_records_max or options.work_records_max
        catching_up = self.feeding.lag > options.work_records_max
        batches: list[Batch] = []
        if not (fired and suspicion.timers_apart):
            batches = self.feeding.take(
                records_max=records_max, bytes_max=options.work_bytes_max, oldest_first=catching_up
            )
        ended = not batches and self._is_over()
        self.finished = (ended and self._ended and not fired) or self._drained
        if self.finished:
            return None
        if not batches and not fired and not ended and not self._poked and not self._time_goes_on():
            return None
        self._poked = False
        return self._work(batches, fired, now_ns, in_time_order=catching_up, ended=ended)

    def _is_over(self) -> bool:
        """There is nothing more to come: inputs are at their end, or whoever writes them has said so of theirs."""
        streams = [source.spec for source in self.plan.sources if source.spec.kind is InputKind.STREAM]
        said = self._tip.watermark_ns == AFTER_ALL_TIME_NS and all(spec.internal for spec in streams)
        return said or self.feeding.finished

    def _work(
        self, batches: list[Batch], fired: list[Fired], now_ns: int, *, in_time_order: bool = False, ended: bool = False
    ) -> Work:
        self._last_idle = self.feeding.idle()
        return Work(
            task=self.plan.task,
            n=self._tip.n + 1,
            now_ns=now_ns,
            batches=batches,
            fired=fired,
            idle=self._last_idle,
            in_time_order=in_time_order,
            ended=ended,
            condemned=list(self._suspicion.condemned),
            records_max=self._suspicion.records_max or self._around.options.work_records_max,
        )

    def _now_ns(self) -> int:
        """Never back, and at time's own pace: a clock that was set back by an hour does not stop time for an hour."""
        clock, (then_ns, then_s) = self._around.clock, self._told
        passed_ns = int((clock.monotonic_s() - then_s) * NS_PER_S)
        now_ns = max(clock.wall_ns(), then_ns + passed_ns)
        self._told = (now_ns, clock.monotonic_s())
        return now_ns

    def _has_room(self) -> bool:
        options = self._around.options
        if len(self.unapplied) >= options.uncommitted_works_max:
            return False
        return self._shipper.shipping.bytes < options.unshipped_bytes_max

    def _due(self, now_ns: int) -> list[Fired]:
        count_max = self._suspicion.records_max or TIMERS_PER_WORK_MAX
        timers = self._tip.timers
        due = timers.due(TimerClock.EVENT, self._tip.watermark_ns, count_max)
        due += timers.due(TimerClock.PROCESSING, now_ns, count_max)
        return sorted(due, key=lambda fired: (fired.at_ns, fired.key, fired.name))[:count_max]

    def _time_goes_on(self) -> bool:
        """Nothing is to be read, and a work without records has a point: it moves the watermark."""
        look_s = self._look_s()
        if look_s is None:
            return False
        idle = self.feeding.idle()
        if idle != self._last_idle:
            return True
        return bool(idle) and len(idle) == len(self.feeding.feeds) and self._since_s() >= look_s

    async def _wait(self) -> None:
        """For something to happen; meanwhile the leaders of silent inputs are asked whether that was all."""
        self._event.clear()
        look_s = self._look_s()
        if look_s is not None:
            self.feeding.confirm(look_s)
        behind = self._shipper.shipping.shipped_upto > self._tip.shipped_upto and bool(self._tip.unshipped)
        wait_s = look_s if look_s is not None else TELL_SHIPPED_S if behind else None
        timer = None if wait_s is None else asyncio.get_running_loop().call_later(wait_s, self._event.set)
        try:
            await self._event.wait()
        finally:
            if timer is not None:
                timer.cancel()
        if behind and not self.unapplied and self._since_s() >= TELL_SHIPPED_S:
            nothing = Effects(state=[], timers=[], outputs=[], watermark_ns=self._tip.watermark_ns, counts={})
            await self._propose(self._nothing(), nothing)

    def _look_s(self) -> float | None:
        """How often it matters whether inputs are idle; None: it does not."""
        if len(self._tip.timers) or any(source.until_ns is not None for source in self.plan.sources):
            return LOOK_S
        return SAY_S if self.plan.spec.watermarks else None

    def _since_s(self) -> float:
        return self._around.clock.monotonic_s() - self._last_made_s

    def _nothing(self) -> Work:
        return self._work([], [], self._tip.now_ns)

    # --- one work

    async def _do(self, work: Work) -> None:
        self.doing = work
        began_s = self._around.clock.monotonic_s()
        try:
            effects = await self._host.run(work)
        except ProcessorFailed as error:
            if TOO_LARGE not in error.metadata:
                raise
            self._unfit(work, error.message)
        self.doing = None
        if effects.held:
            self._holding.add(work, effects)
        elif not self._outside or not effects.is_nothing or work.batches or work.fired or self._holding.is_any:
            await self._propose(*self._holding.released(work, effects))
        self._suspicion.passed(work)
        self._ended = self._ended or work.ended
        self._drained = effects.ended
        if work.in_time_order:  # history waits for what is live
            took_s = self._around.clock.monotonic_s() - began_s
            await asyncio.sleep(took_s * self._around.options.catch_up_pause)

    async def _propose(self, work: Work, effects: Effects) -> None:
        skipped = self.feeding.skipped()
        counts = {"deleted_unread": skipped} if skipped else {}
        shipped_upto = self._shipper.shipping.shipped_upto
        try:
            commit = self._making.commit(self._tip, work, effects, shipped_upto=shipped_upto, counts=counts)
        except ProcessorFailed as error:
            self._unfit(work, error.message)
        encoded = encode(commit)
        size_max = self._around.options.commit_bytes_max
        if len(encoded) > size_max:
            self._unfit(work, f"what comes of it takes {len(encoded)} bytes, and one commit may hold {size_max}")
        verdict = self._tip.take(commit, checksum_of(encoded), Index(0), commit.term)
        if isinstance(verdict, Refused):
            raise ProcessorFailed(f"{self.plan.name}: {verdict.message}")
        self._last_made_s = self._around.clock.monotonic_s()
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.unapplied[commit.n] = work
        await self._keeper.running.ref.tell(Command(encoded, reply))
        self.replies.add(reply)
        reply.add_done_callback(partial(self._decided, commit.n))

    def _unfit(self, work: Work, why: str) -> NoReturn:
        self._suspicion.unfit(work, why)
        raise Unavailable(f"a work is done again, with fewer records: {why}")

    def _decided(self, n: int, reply: "asyncio.Future[Any]") -> None:
        self.replies.discard(reply)
        if reply.cancelled():
            return
        error = reply.exception()
        if error is None and isinstance(reply.result(), Accepted):
            return
        if isinstance(error, RiverrunError):
            self.failure = error
        else:
            self.failure = Unavailable(f"commit {n} was refused: {reply.result() if error is None else error}")
        self._event.set()

    # --- dead letters, after a fix

    async def _redrive(self) -> None:
        """All that was parked when somebody asked, and nothing else meanwhile."""
        feeding = self._feed(self.plan.parked)
        try:
            while self.redrives or any(
                feed.position < self._letters.get(feed.source.partition, 0) for feed in feeding.feeds
            ):
                self._raise()
                if feeding.failure is not None:
                    raise feeding.failure
                if not self._is_current():
                    return
                if self.redrives:
                    await self._count_letters()
                batch = self._parked_batch(feeding) if self._has_room() else None
                if batch is None:
                    self._event.clear()
                    await self._event.wait()
                    continue
                now_ns = self._now_ns()
                await self._do(self._work([batch], [], now_ns))
        finally:
            feeding.close()
        self._letters.clear()

    async def _count_letters(self) -> None:
        """Those that are there now are to be handled; whoever asked gets how many that is."""
        while self.unapplied or self._shipper.shipping.shipped_upto < self._tip.n:
            self._raise()
            if not self._is_current():
                return
            self._event.clear()
            await self._event.wait()
        for source in self.plan.parked:
            offsets = await self._around.reading.offsets_of(source.topic, source.partition.number)
            self._letters[source.partition] = Offset(offsets.end)
        positions = self._tip.positions
        count = sum(max(end - positions[partition], 0) for partition, end in self._letters.items())
        for done in self.redrives:
            if not done.done():
                done.set_result(count)
        self.redrives.clear()

    def _parked_batch(self, feeding: Feeding) -> Batch | None:
        records_max = self._suspicion.records_max or self._around.options.work_records_max
        for feed in feeding.feeds:
            left = self._letters.get(feed.source.partition, 0) - feed.position
            if left > 0 and (batch := feed.take(min(left, records_max))) is not None:
                return batch
        return None
