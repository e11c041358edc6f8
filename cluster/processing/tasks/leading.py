"""The leader of a task, in one term: it begins where the log is, runs the user's code, and ships what is committed.

What goes wrong has three ways. What may be better in a moment (a leader that is gone, a topic that is not there yet, a
process that ended, user code that raised and has retries left) is tried again. What user code is to blame for stops the
task, until its stage is deployed anew, or resumed; shipping goes on. Everything else is a bug, and ends the node.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from cluster.broker.requests import Command
from cluster.errors import (
    HostFailed,
    InvalidApp,
    InvalidRoute,
    ProcessorFailed,
    RiverrunError,
    StateUnreadable,
    TopicDeleted,
    TriesLeft,
    Unavailable,
    Unreachable,
)
from cluster.metadata import App, Stage
from cluster.processing.commit import Begin, TaskCommit, decode, encode
from cluster.processing.hosts import CodeFile, Host, Seat
from cluster.processing.ledger import Ledger, Refused
from cluster.processing.spec import Kind
from cluster.processing.tasks.around import Around
from cluster.processing.tasks.beginning import first_command
from cluster.processing.tasks.keeper import Keeper
from cluster.processing.tasks.opening import opened
from cluster.processing.tasks.plan import Plan, plan_of
from cluster.processing.tasks.rates import Rates
from cluster.processing.tasks.rebinding import is_for_letters, is_rebound, new_sources, rebinding, way_out
from cluster.processing.tasks.retrying import Retrying
from cluster.processing.tasks.shipper import Shipper
from cluster.processing.tasks.suspicion import Suspicion
from cluster.processing.tasks.working import Working
from cluster.processing.work import Work
from cluster.types import Index, Offset, PartitionId, Term

log_event = structlog.get_logger()
AGAIN_S = 0.5
AWAY_S_MAX = 30.0
"""A destination that is away is tried again at longer and longer intervals, up to this."""
SHIPPED_AT_ONCE_MAX = 4
"""Batches under way to one destination: fewer than it remembers of a producer."""
BLAMED = (ProcessorFailed, StateUnreadable, InvalidApp, InvalidRoute, TopicDeleted)
"""Another try alone does not help."""


class Leading:
    """`state`: "running", "waiting", "paused" or "stopped"; `why`: a sentence; `failure`: what stopped it."""

    def __init__(self, keeper: Keeper, around: Around) -> None:
        self.state = "waiting"
        self.why = "it begins"
        self.failure: RiverrunError | None = None
        self.restarts = 0
        self.term: Term = keeper.replica.raft.term
        self.plan: Plan | None = None
        self.shipper: Shipper | None = None
        self.working: Working | None = None
        self._keeper = keeper
        self._around = around
        self._partition = keeper.replica.partition
        self.rates = Rates(around.clock.monotonic_s())
        self._suspicion = Suspicion()
        self._away_s = 0.0
        """How long it was waited for a destination that is away, the last time."""
        self.retrying = Retrying()
        self._tried: Stage | None = None
        """What `retrying` is of."""
        self._takes_up = False
        """It had stopped, as a topic was deleted, and goes on: with another one of its name, if there is one."""
        self._changed = asyncio.Event()
        self._moved = asyncio.Event()
        self._stopped_in: Stage | None = None
        """What has to become another stage, or to be resumed, before it goes on."""
        self._opening: CodeFile | None = None
        """What is waited for."""
        self._did: Work | None = None
        """What user code had when the last attempt ended."""
        self._replies: set[asyncio.Future[Any]] = set()

    @property
    def ledger(self) -> Ledger:
        """As of the log's last entry, which need not be committed."""
        machine = self._keeper.replica.log.fold.machine
        assert isinstance(machine, Ledger)
        return machine

    def metadata_changed(self) -> None:
        """Apps, topics or nodes are others now. Each time is told: a stage may be paused for no longer than that."""
        if not self._is_there(self._stopped_in):
            self._stopped_in = None
        self._changed.set()
        if self.working is not None:
            self.working.changed()

    def keeper_moved(self) -> None:
        """The keeper has applied something."""
        self._moved.set()

    # --- the whole term

    async def run(self) -> None:
        """Lead, until cancelled."""
        parts: list[asyncio.Task[None]] = []
        try:
            await self._begin()
            shipper = await self._take_over()
            works = (shipper.run(), self._work_on(), self._around.emptying.run(self))
            parts = [asyncio.create_task(work) for work in works]
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for part in done:
                part.result()  # none ends but by a bug
        finally:
            if self._keeper.on_applied == self._applied:
                self._keeper.on_applied = lambda _: None
            for part in parts:
                part.cancel()

    async def _work_on(self) -> None:
        while True:
            await self._work()

    async def _begin(self) -> None:
        """The log's first command, if it has none yet."""
        while self.ledger.begin is None:
            app, stage = await self._stage()
            try:
                plan = plan_of(app, stage, self._partition.number, self._around.broker.directory)
                begin = await first_command(plan, self._around.reading, self._around.clock.wall_ns())
                await self._decide(encode(begin))
            except RiverrunError as error:
                await self._again(error)

    async def _decide(self, command: bytes) -> None:
        """Append it; return when it is committed and applied here. Unavailable: it does not count."""
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        await self._keeper.running.ref.tell(Command(command, reply))
        verdict = await reply
        await self._settled()
        if isinstance(verdict, Refused):
            raise Unavailable(f"what was proposed does not count: {verdict.message}")

    async def _take_over(self) -> Shipper:
        """From what is applied, between two turns of the keeper, as soon as that has begun: it tells of the rest."""
        while True:
            async with self._keeper.turn:
                applying = self._keeper.applying
                if applying is not None and applying.ledger.begin is not None:
                    self.shipper = self._make_shipper(applying.ledger, applying.ledger.begin)
                    self._keeper.on_applied = self._applied
                    return self.shipper
            self._moved.clear()
            await self._moved.wait()

    def _make_shipper(self, ledger: Ledger, begin: Begin) -> Shipper:
        """With everything that is committed and not known to be shipped."""
        shipper = Shipper(
            shipped_upto=ledger.shipped_upto,
            in_flight_max=SHIPPED_AT_ONCE_MAX,
            producer=begin.producer,
            outlets=self._around.outlets,
            on_change=self._wake,
        )
        where = {unshipped.n: unshipped.index for unshipped in ledger.unshipped}
        for n in range(ledger.shipped_upto + 1, ledger.n + 1):
            if n in where:
                shipper.committed(self._read(where[n]))
            else:
                shipper.nothing(n)
        return shipper

    def _read(self, index: Index) -> TaskCommit:
        commit = decode(self._keeper.read_log(index, index)[0].control)
        assert isinstance(commit, TaskCommit), f"entry {index} was a commit when it was applied"
        return commit

    def _applied(self, commits: Sequence[TaskCommit]) -> None:
        assert self.shipper is not None
        self._away_s = 0.0
        now_s = self._around.clock.monotonic_s()
        for commit in commits:
            self.rates.add(
                now_s,
                sum(read.end - read.begin for read in commit.inputs),
                sum(output.record_count for output in commit.outputs),
            )
            self.shipper.committed(commit)
            if self.working is not None:
                self.working.applied(commit)

    def _wake(self) -> None:
        if self.working is not None:
            self.working.changed()

    # --- works

    async def _work(self) -> None:
        """One attempt, and what comes of its end."""
        app, stage = await self._stage()
        if stage != self._tried:
            self._tried, self.retrying = stage, Retrying()
        try:
            await self._attempt(app, stage)
        except TriesLeft as error:
            assert self._did is not None, "it came of a work"
            self.retrying.failed(self._did, error, self._around.clock.monotonic_s(), self._around.random.random())
        except BLAMED as error:
            await self._stop(error, stage)
        except HostFailed as error:
            self.restarts += 1
            log_event.warning("task_host_failed", task=self._name(), detail=error.message)
            try:
                self._blame(error)
            except ProcessorFailed as failed:
                await self._stop(failed, stage)
            else:
                self.state, self.why = "waiting", error.message
        except RiverrunError as error:
            await self._again(error)

    async def _attempt(self, app: App, stage: Stage) -> None:
        around, self._did = self._around, None
        await self._settled()
        tip = Ledger(self.ledger.encode())
        plan = self.plan = plan_of(app, stage, self._partition.number, around.broker.directory)
        assert tip.begin is not None, "the task has begun"
        if (self._takes_up and is_rebound(plan, tip)) or is_for_letters(plan, tip):
            await self._take_up(plan, tip)
            return
        self._takes_up = False
        plan.check_begun(tip.begin.outputs, tip.positions)
        host = await self._open(plan)
        assert self.shipper is not None
        try:
            self.working = Working(
                plan,
                keeper=self._keeper,
                tip=tip,
                host=host,
                shipper=self.shipper,
                suspicion=self._suspicion,
                retrying=self.retrying,
                around=around,
                replies=self._replies,
                is_current=lambda: around.stage_of(self._partition.topic) == (app, stage),
            )
            self.state, self.why, self.failure = "running", "", None
            await self.working.run()
        finally:
            self._did = self.working.doing if self.working is not None else None
            self.working = None
            if self._around.stage_of(self._partition.topic) is None:
                host.close(forget=True)
            else:
                host.close()

    async def _take_up(self, plan: Plan, tip: Ledger) -> None:
        """The topics that there are now, from their start."""
        firsts = {}
        for source in new_sources(plan, tip):
            offsets = await self._around.reading.offsets_of(source.topic, source.partition.number)
            firsts[source.partition] = Offset(offsets.first)
        await self._decide(encode(rebinding(plan, tip, firsts, term=self.term)))
        log_event.warning("task_topics_taken_up", task=plan.name, partitions=[str(partition) for partition in firsts])

    async def _open(self, plan: Plan) -> Host:
        around, stage = self._around, plan.stage
        content = await around.read_code(stage.code)
        code = CodeFile(name=stage.code.name, app=stage.code.app, content=content)
        seat = Seat(
            app=plan.app.name,
            stage=plan.spec.name,
            version=plan.spec.version,
            task=plan.task,
            tasks=stage.tasks,
            partitions=plan.partitions,
            alone=plan.spec.kind in {Kind.SOURCE, Kind.SINK},
            identity=plan.identity(around.config.cluster_id),
        )
        self.state, self.why, self._opening = "waiting", "its code is being started", code
        try:
            return await self._opened(code, seat, stage)
        finally:
            self._opening = None

    async def _opened(self, code: CodeFile, seat: Seat, stage: Stage) -> Host:
        """Unavailable: meanwhile the stage has become another one, whose code need not wait for that of this one."""
        hosts = self._around.processing.hosts
        opening = hosts.open(code, seat, self._keeper.read_state, external=stage.external)
        return await opened(opening, is_wanted=lambda: self._is_there(stage), changed=self._changed)

    def committed_positions(self) -> Mapping[PartitionId, Offset]:
        """See `emptying.Reader`."""
        applying = self._keeper.applying
        return applying.ledger.positions if applying is not None else {}

    @property
    def is_held_up(self) -> bool:
        """So much waits for its destinations that nothing more is made."""
        shipper = self.shipper
        return shipper is not None and shipper.shipping.bytes >= self._around.options.unshipped_bytes_max

    def trouble(self) -> str:
        """Why its code does not run just now, in a sentence, if that is known."""
        return "" if self._opening is None else self._around.processing.hosts.trouble(self._opening)

    async def _settled(self) -> None:
        """Return when nothing is under way any more: what was proposed is applied here, or will never be."""
        if self._replies:
            await asyncio.wait(self._replies)
        upto = self._keeper.replica.log.last_index
        while self._keeper.applying is None or self._keeper.applying.index < upto:
            self._moved.clear()
            await self._moved.wait()

    # --- what went wrong

    def _blame(self, error: HostFailed) -> None:
        """ProcessorFailed: at a timer. Not suspected: who only shared the process, and what a connector was given."""
        outside = self.plan is not None and self.plan.spec.outside
        if self._did is not None and error.metadata.get("at_work") != "no" and not outside:
            self._suspicion.failed(self._did, error)

    async def _stop(self, error: RiverrunError, stage: Stage) -> None:
        """Until the stage is another one, or somebody resumes it."""
        self.state, self.why, self.failure = "stopped", error.message, error
        if isinstance(error, TopicDeleted) and self.plan is not None:
            self.why += f"; {way_out(self.plan)}"
        log_event.warning("task_stopped", task=self._name(), reason=error.reason, detail=error.message)
        await self._until_changed(stage)
        self._suspicion, self._tried = Suspicion(), None
        self._takes_up = isinstance(error, TopicDeleted)

    async def _until_changed(self, stage: Stage) -> None:
        self._stopped_in = stage if self._is_there(stage) else None
        while self._stopped_in is not None:
            self._changed.clear()
            await self._changed.wait()

    def _is_there(self, stage: Stage | None) -> bool:
        found = self._around.stage_of(self._partition.topic)
        return found is not None and found[1] == stage

    async def _again(self, error: RiverrunError) -> None:
        """In a moment."""
        self.state, self.why = "waiting", error.message
        log_event.debug("task_again", task=self._name(), reason=error.reason, detail=error.message)
        wait_s = AGAIN_S
        if isinstance(error, Unreachable):
            wait_s = self._away_s = min(max(self._away_s * 2, AGAIN_S), AWAY_S_MAX)
        await asyncio.sleep(wait_s)

    async def _stage(self) -> tuple[App, Stage]:
        """The stage, as soon as it is there and not paused."""
        while (found := self._around.stage_of(self._partition.topic)) is None or found[1].paused:
            self.state, self.why = ("paused", "") if found is not None else ("waiting", "its app is not known here yet")
            self._tried = None
            self._changed.clear()
            await self._changed.wait()
        return found

    def _name(self) -> str:
        return self.plan.name if self.plan is not None else str(self._partition)

    # --- for others

    def resume(self) -> None:
        """Go on, if it has stopped."""
        self._stopped_in = None
        self._changed.set()

    async def redrive(self) -> int:
        """Begin to handle all dead letters again that are there now; how many. Unavailable: works are not done now."""
        if self.working is None:
            raise Unavailable(f"the task is {self.state}" + (f": {self.why}" if self.why else ""))
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.working.redrives.append(done)
        self.working.changed()
        return await done
