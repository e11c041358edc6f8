"""Works of one task, one after another: taken from its inputs, done by user code, and proposed as commits.

From a tip that is the log's, until the stage is changed, or something makes what was made ahead worthless: then all of
it is thrown away, and whoever leads begins another one of these.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from cluster.errors import HostFailed, ProcessorFailed, RiverrunError, Unavailable
from cluster.processing.commit import TaskCommit
from cluster.processing.hosting.frames import TOO_LARGE
from cluster.processing.hosts import Host, Word
from cluster.processing.ledger import Ledger
from cluster.processing.spec import InputKind, Kind
from cluster.processing.tasks.around import Around
from cluster.processing.tasks.feeding import Feeding
from cluster.processing.tasks.holding import Holding
from cluster.processing.tasks.keeper import Keeper
from cluster.processing.tasks.making import Making
from cluster.processing.tasks.plan import Plan
from cluster.processing.tasks.proposing import Proposing
from cluster.processing.tasks.retrying import Retrying
from cluster.processing.tasks.shipper import Shipper
from cluster.processing.tasks.suspicion import Suspicion
from cluster.processing.tasks.task_time import TaskTime
from cluster.processing.work import AFTER_ALL_TIME_NS, Batch, Effects, Fired, TimerClock, Work
from cluster.types import Offset, PartitionId

TIMERS_PER_WORK_MAX = 1_000
LOOK_S = 1.0
"""A task whose time matters looks so often whether its inputs are idle."""
SAY_S = 5.0
"""One that has no timers, but whose readers want its watermark, says it so often while nothing comes."""
TELL_SHIPPED_S = 5.0
"""A task without works writes down so late what it has shipped."""
HEADERS_BYTES = 64 * 1024
"""More than what is said of a dead letter in its headers."""


class Working:
    """`doing`: the work that user code has now. `word`: what a source or a sink said last.

    `finished`: no input has anything more, for good.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        keeper: Keeper,
        tip: Ledger,
        host: Host,
        shipper: Shipper,
        suspicion: Suspicion,
        retrying: Retrying,
        around: Around,
        replies: set[asyncio.Future[Any]],
        is_current: Callable[[], bool],
    ) -> None:
        self.plan = plan
        self.doing: Work | None = None
        self.finished = False
        self.failure: RiverrunError | None = None
        self._tip = tip
        self._host = host
        host.on_end = self._host_ended
        host.on_word = self._host_says
        self.word = Word(ready=plan.spec.kind is Kind.SOURCE)
        self._poked = self.word.ready
        self._outside = plan.spec.kind in {Kind.SOURCE, Kind.SINK}
        self._holding = Holding()
        self._drained = False
        """A source has nothing more, for good."""
        self._shipper = shipper
        self._suspicion = suspicion
        self._retrying = retrying
        self._around = around
        self._is_current = is_current
        self._event = asyncio.Event()
        self._proposing = Proposing(
            name=plan.name,
            keeper=keeper,
            tip=tip,
            making=Making(
                term=keeper.replica.raft.term,
                producer=plan.producer,
                inputs=[topic.id for topic in plan.inputs],
                outputs=plan.outputs,
                record_bytes_max=around.config.broker.record_bytes_max,
                letter_bytes_max=around.config.broker.batch_bytes_max - HEADERS_BYTES,
            ),
            suspicion=suspicion,
            options=around.options,
            replies=replies,
            on_change=self.changed,
        )
        self._looked_s = around.clock.monotonic_s()
        """When it was found that there is nothing to do."""
        self.feeding = self._feed(plan.sources)
        self._last_idle: list[tuple[int, int]] = []
        self._last_made_s = around.clock.monotonic_s()
        self._time = TaskTime(around.clock, around.come_ns, tip.now_ns)
        self._ended = False
        """A work has told user code's windows that nothing more comes; their timers may still be due."""
        self.redrives: list[asyncio.Future[int]] = []

    def _feed(self, sources: Sequence[Any]) -> Feeding:
        around = self._around
        return Feeding(
            sources,
            self._tip.positions,
            reading=around.reading,
            clock=around.clock,
            on_change=self.changed,
            held=self._retrying.held,
        )

    @property
    def has_unapplied(self) -> bool:
        """Whether something was proposed that is not applied here."""
        return bool(self._proposing.unapplied)

    # --- what others say

    def changed(self) -> None:
        """Something may be possible now that was not."""
        self._event.set()

    def applied(self, commit: TaskCommit) -> None:
        """It is committed, and what it changed is in the store."""
        if self._proposing.applied(commit.n):
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
                if self.redrives or self.plan.redrives(self._tip.redrive):
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
        error = self.failure or self._proposing.failure or self.feeding.failure
        if error is not None:
            raise error
        self.plan.check_outputs(self._around.broker.directory.deleted)

    def _next(self) -> Work | None:
        self._looked_s = self._around.clock.monotonic_s()
        if not self._has_room():
            return None
        now_ns = self._time.now_ns()
        timer = self._retrying.timer
        if timer is not None and self._tip.timers.at_ns(timer[0].key, timer[0].name) == timer[0].at_ns:
            is_due = timer[1].due_s <= self._looked_s
            return self._work([], [timer[0]], now_ns, failures=timer[1].failures) if is_due else None
        fired = self._due(now_ns)
        options, suspicion = self._around.options, self._suspicion
        records_max = suspicion.records_max or self.plan.spec.batch_records_max or options.work_records_max
        catching_up = self.feeding.lag > options.work_records_max
        batches: list[Batch] = []
        if not (fired and suspicion.timers_apart):
            held, failures = self.feeding.take_held(self._looked_s)
            if held is not None:
                return self._work([held], fired, now_ns, failures=failures)
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
        self,
        batches: list[Batch],
        fired: list[Fired],
        now_ns: int,
        *,
        in_time_order: bool = False,
        ended: bool = False,
        failures: int = 0,
        redriven: bool = False,
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
            failures=failures,
            redriven=redriven,
        )

    def _has_room(self) -> bool:
        options = self._around.options
        if len(self._proposing.unapplied) >= options.uncommitted_works_max:
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
        look_s = self._look_s()
        if look_s is not None:
            self.feeding.confirm(look_s)
        behind = self._shipper.shipping.shipped_upto > self._tip.shipped_upto and bool(self._tip.unshipped)
        await self._until_changed(look_s if look_s is not None else TELL_SHIPPED_S if behind else None)
        if behind and not self._proposing.unapplied and self._since_s() >= TELL_SHIPPED_S:
            await self._propose(self._nothing(), self._no_effects())

    async def _until_changed(self, wait_s: float | None = None) -> None:
        """Or until it is time to try something again, or `wait_s` have passed."""
        self._event.clear()
        retry_s = self._retrying.wait_s(self._looked_s)
        waits_s = [seconds for seconds in (wait_s, retry_s) if seconds is not None]
        timer = asyncio.get_running_loop().call_later(min(waits_s), self._event.set) if waits_s else None
        try:
            await self._event.wait()
        finally:
            if timer is not None:
                timer.cancel()

    def _look_s(self) -> float | None:
        """How often it matters whether inputs are idle; None: it does not."""
        if len(self._tip.timers) or any(source.until_ns is not None for source in self.plan.sources):
            return LOOK_S
        return SAY_S if self.plan.spec.watermarks else None

    def _since_s(self) -> float:
        return self._around.clock.monotonic_s() - self._last_made_s

    def _nothing(self) -> Work:
        return self._work([], [], self._tip.now_ns)

    def _no_effects(self) -> Effects:
        return Effects(state=[], timers=[], outputs=[], watermark_ns=self._tip.watermark_ns, counts={})

    # --- one work

    async def _do(self, work: Work) -> None:
        self.doing = work
        began_s = self._around.clock.monotonic_s()
        try:
            effects = await self._host.run(work)
        except ProcessorFailed as error:
            if TOO_LARGE not in error.metadata:
                raise
            self._proposing.unfit(work, error.message)
        self.doing = None
        if effects.held:
            self._holding.add(work, effects)
        elif not self._outside or not effects.is_nothing or work.batches or work.fired or self._holding.is_any:
            await self._propose(*self._holding.released(work, effects))
        self._suspicion.passed(work)
        self._retrying.passed(work)
        self._ended = self._ended or work.ended
        self._drained = effects.ended
        if work.in_time_order:  # history waits for what is live
            took_s = self._around.clock.monotonic_s() - began_s
            await asyncio.sleep(took_s * self._around.options.catch_up_pause)

    async def _propose(
        self, work: Work, effects: Effects, *, redrive: Sequence[tuple[PartitionId, Offset]] = ()
    ) -> None:
        skipped = self.feeding.skipped()
        await self._proposing.propose(
            work,
            effects,
            shipped_upto=self._shipper.shipping.shipped_upto,
            counts={"deleted_unread": skipped} if skipped else {},
            redrive=redrive,
        )
        self._last_made_s = self._around.clock.monotonic_s()

    # --- dead letters, after a fix

    async def _redrive(self) -> None:
        """All that was parked when somebody asked, and nothing else meanwhile. The log knows what that is."""
        feeding = self._feed(self.plan.parked)
        try:
            while self.redrives or self.plan.redrives(self._tip.redrive):
                self._raise()
                if feeding.failure is not None:
                    raise feeding.failure
                if not self._is_current():
                    return
                if self.redrives:
                    await self._begin_redrive()
                    continue
                self._looked_s = self._around.clock.monotonic_s()
                batch, failures = self._letters(feeding) if self._has_room() else (None, 0)
                if batch is None and not self._poked:
                    await self._until_changed()
                    continue
                self._poked = False
                batches = [] if batch is None else [batch]
                redriven = bool(batches) and feeding.has_taken(self._tip.redrive)
                await self._do(self._work(batches, [], self._time.now_ns(), failures=failures, redriven=redriven))
        finally:
            feeding.close()

    async def _begin_redrive(self) -> None:
        """Of those letters that are there now; whoever asked gets how many they are when the log has it."""
        if not await self._all_arrived():
            return
        asked, ends = list(self.redrives), {}
        for source in self.plan.parked:
            offsets = await self._around.reading.offsets_of(source.topic, source.partition.number)
            if offsets.end > self._tip.positions[source.partition]:
                ends[source.partition] = Offset(offsets.end)
        count = sum(end - self._tip.positions[partition] for partition, end in ends.items())
        if ends:
            await self._propose(self._nothing(), self._no_effects(), redrive=list(ends.items()))
        elif self.plan.parked:  # no letter is there, so no key waits for any
            await self._do(self._work([], [], self._time.now_ns(), redriven=True))
        if not await self._all_arrived():
            return
        for done in asked:
            self.redrives.remove(done)
            if not done.done():
                done.set_result(count)

    async def _all_arrived(self) -> bool:
        """Wait until all that was made is in the log, and its outputs where they belong; False: it is over."""
        while self._proposing.unapplied or self._shipper.shipping.shipped_upto < self._tip.n:
            self._raise()
            if not self._is_current():
                return False
            self._event.clear()
            await self._event.wait()
        return True

    def _letters(self, feeding: Feeding) -> tuple[Batch | None, int]:
        records_max = self._suspicion.records_max or self._around.options.work_records_max
        return feeding.take_letters(self._tip.redrive, records_max=records_max, now_s=self._looked_s)
