"""PySyncObj, driven by us: its clock and chance handed in, its log on our journal, its messages on our links.

It keeps its clock and randomness in module globals; they are set to this member's around every entry into it, so that
several members can live in one process. It ticks when we say. One instance is one configuration of the quorum, with
fixed members and a journal of its own. No snapshot is ever made: what bounds a journal is a seal, after which the next
instance begins with the state so far (`configurations.py`); so the holes of its snapshot transfer cannot be reached.
"""

import asyncio
import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty
from typing import Any

import pysyncobj
import structlog
from pysyncobj import FAIL_REASON, SyncObj, SyncObjConf, replicated
from pysyncobj import syncobj as module
from pysyncobj.node import Node

from cluster.config import ControllerOptions
from cluster.controller.quorum.guards import wrap
from cluster.controller.quorum.journal import NO_ROOM, DurableJournal
from cluster.controller.quorum.transport import LinkTransport, Send
from cluster.errors import DiskFull, InvalidRequest, OutcomeUnknown, RiverrunError, Unavailable
from cluster.types import NodeId
from cluster.world import Clock, Disk, Random

log_event = structlog.get_logger()
VERSION = "0.3.17"
JOURNAL = "controller/journal"
NEVER = 10**9
TOLD_STATES = {
    module._RAFT_STATE.LEADER: "controller_elected",  # noqa: SLF001
    module._RAFT_STATE.CANDIDATE: "controller_campaigns",  # noqa: SLF001
    module._RAFT_STATE.FOLLOWER: "controller_follows",  # noqa: SLF001
}
"""In a node's log."""
SURELY_NOT = {FAIL_REASON.QUEUE_FULL, FAIL_REASON.MISSING_LEADER, FAIL_REASON.NOT_LEADER, FAIL_REASON.REQUEST_DENIED}

Apply = Callable[[bytes], bytes]

_create_journal = module.createJournal
module.createJournal = lambda journal: journal if isinstance(journal, DurableJournal) else _create_journal(journal)


class _Machine(SyncObj):  # type: ignore[misc]
    def __init__(self, fold: Apply, *args: Any, **kwargs: Any) -> None:
        self._fold = fold
        super().__init__(*args, **kwargs)

    @replicated  # type: ignore[untyped-decorator]
    def apply(self, command: bytes) -> bytes:
        """Never raises: PySyncObj would try again for ever."""
        try:
            return self._fold(command)
        except RiverrunError as error:
            log_event.warning("command_refused", reason=error.reason)
            return b""


class PySyncObjQuorum:
    """See Quorum."""

    def __init__(
        self,
        *,
        me: NodeId,
        members: tuple[NodeId, ...],
        disk: Disk,
        clock: Clock,
        random: Random,
        options: ControllerOptions,
        send: Send,
        apply: Apply,
        number: int = 1,
        journal: DurableJournal | None = None,
    ) -> None:
        self.number = number
        found = pysyncobj.__version__ if hasattr(pysyncobj, "__version__") else VERSION
        assert found == VERSION, f"the guards were proved for PySyncObj {VERSION}, not {found}"
        self._me = me
        self._members = members
        self._disk = disk
        self._clock = clock
        self._random = random
        self._options = options
        self._send = send
        self._apply = apply
        self._core: _Machine | None = None
        self._transport: LinkTransport | None = None
        self._journal = journal
        self._full = False
        self._ended = False

    def start(self) -> None:
        """See Quorum."""
        if self._journal is None:
            self._journal = DurableJournal(self._disk, JOURNAL)
        journal = self._journal
        options = self._options
        conf = SyncObjConf(
            autoTick=False,
            journalFile=journal,
            useFork=False,
            dynamicMembershipChange=False,
            raftMinTimeout=options.election_s_min,
            raftMaxTimeout=options.election_s_max,
            leaderFallbackTimeout=options.election_s_max,
            appendEntriesPeriod=options.election_s_min / 4,
            appendEntriesUseBatch=False,
            appendEntriesBatchSizeBytes=1 << 30,
            commandsWaitLeader=False,
            commandsQueueSize=1000,
            logCompactionMinEntries=NEVER,
            logCompactionMinTime=NEVER,
            onStateChanged=self._tell_state,
        )

        def make_transport(core: SyncObj, self_node: Node, other_nodes: list[Node]) -> LinkTransport:
            self._transport = LinkTransport(
                journal,
                self._send,
                self._clock,
                options.election_s_min,
                core,
                self_node,
                other_nodes,
                forming=self.number == 1,
            )
            return self._transport

        with self._entered():
            self._core = _Machine(
                self._apply,
                Node(str(self._me)),
                [Node(str(member)) for member in self._members if member != self._me],
                conf,
                nodeClass=Node,
                transportClass=functools.partial(make_transport),
            )
        log_event.info("controller_started", node=self._me, term=self._core.raftCurrentTerm, configuration=self.number)

    def tick(self) -> None:
        """See Quorum. On a full disk this member is as if it were cut off: it says nothing that it has not written."""
        core, transport, journal = self._parts()
        with self._entered():
            try:
                journal.sync()  # the leader counts itself in this tick: what it counts is on disk
            except DiskFull as error:
                self._find_full(error)
                return
            self._full = False
            transport.tick()
            core.doTick(0.0)

    async def propose(self, command: bytes, *, timeout_s: float) -> bytes:
        """See Quorum."""
        if len(command) > self._options.command_bytes_max:
            raise InvalidRequest(
                f"a controller's command takes {len(command)} bytes; {self._options.command_bytes_max} are allowed"
            )
        if self._ended:
            raise Unavailable("this configuration of the quorum has ended")
        core, transport, journal = self._parts()
        if journal.full:
            raise Unavailable(NO_ROOM)
        leader = core._getLeader()  # noqa: SLF001
        if leader is not None and int(leader.id) != self._me and not transport.is_linked(leader.id):
            raise Unavailable("the controller's leader cannot be reached from here")
        done: asyncio.Future[tuple[Any, int]] = asyncio.get_running_loop().create_future()

        def answer(result: Any, reason: int) -> None:
            if not done.done():
                done.set_result((result, reason))

        with self._entered():
            core._applyCommand(wrap(command), answer, 0)  # noqa: SLF001  PySyncObj's way in for ready-made commands
        try:
            async with asyncio.timeout(timeout_s):
                result, reason = await done
        except TimeoutError:
            raise OutcomeUnknown("the controller did not answer in time") from None
        if reason == FAIL_REASON.SUCCESS and result:
            return bytes(result)
        if reason == FAIL_REASON.SUCCESS:  # it stands behind the seal, or another configuration's member took it
            raise OutcomeUnknown("the quorum's configuration ended meanwhile")
        if reason in SURELY_NOT:
            raise Unavailable(NO_ROOM if journal.full else "the controller has no leader now")
        raise OutcomeUnknown("the controller's leader changed before the command was applied")

    def leader(self) -> NodeId | None:
        """See Quorum."""
        core, transport, _ = self._parts()
        node = core._getLeader()  # noqa: SLF001
        if node is None or not transport.hears_leader(2 * self._options.election_s_max):
            return None
        return NodeId(int(node.id))

    def is_leader(self) -> bool:
        """See Quorum."""
        return bool(self._parts()[0]._isLeader())  # noqa: SLF001

    def is_formed(self) -> bool:
        """Whether a majority of this configuration has agreed on anything: then those before it are not needed."""
        return bool(self._parts()[0].raftCommitIndex > 1)

    def weight(self) -> tuple[int, int]:
        """How many entries its journal holds, in how many bytes; the state that it begins with is not counted."""
        journal = self._parts()[2]
        return len(journal), journal.size_bytes() - len(journal.beginning)

    def end(self) -> None:
        """Its configuration is over: it says nothing any more, and its journal is closed."""
        core = self._parts()[0]
        self._ended = True
        with self._entered():
            core.destroy()
        notifier = core._SyncObj__pipeNotifier  # noqa: SLF001  it has no way to close its pipe
        core._poller.unsubscribe(notifier._PipeNotifier__pipeR)  # noqa: SLF001
        os.close(notifier._PipeNotifier__pipeR)  # noqa: SLF001
        os.close(notifier._PipeNotifier__pipeW)  # noqa: SLF001

    def receive(self, node: NodeId, body: bytes) -> None:
        """See Quorum."""
        self._with_transport(lambda transport: transport.receive(str(node), body))

    def peer_up(self, node: NodeId) -> None:
        """See Quorum."""
        if node in self._members:
            self._with_transport(lambda transport: transport.peer_up(str(node)))

    def peer_down(self, node: NodeId) -> None:
        """See Quorum."""
        if node in self._members:
            self._with_transport(lambda transport: transport.peer_down(str(node)))

    def stop(self) -> None:
        """See Quorum."""
        if self._core is not None:
            with self._entered():
                self._core.destroy()

    def _tell_state(self, _: int, state: int) -> None:
        """For whoever looks for two leaders in one term, or for a term that fell."""
        if self._core is not None:
            log_event.info(
                TOLD_STATES[state], node=self._me, term=self._core.raftCurrentTerm, configuration=self.number
            )

    def _with_transport(self, act: Callable[[LinkTransport], None]) -> None:
        if self._transport is not None:
            with self._entered():
                act(self._transport)

    def _parts(self) -> tuple[_Machine, LinkTransport, DurableJournal]:
        assert self._core is not None, "start comes first"
        assert self._transport is not None
        assert self._journal is not None
        return self._core, self._transport, self._journal

    def _find_full(self, error: DiskFull) -> None:
        """What waits to be proposed here is refused: when there is room again its answer may be long forgotten."""
        if not self._full:
            log_event.warning("controller_disk_full", detail=error.message)
        self._full = True
        core = self._parts()[0]
        queue = core._SyncObj__commandsQueue  # noqa: SLF001  it has no way to take one back
        with contextlib.suppress(Empty):
            while True:
                core._SyncObj__callErrCallback(FAIL_REASON.REQUEST_DENIED, queue.get_nowait()[1])  # noqa: SLF001

    @contextmanager
    def _entered(self) -> Iterator[None]:
        """PySyncObj's globals are ours while we are in it."""
        clock, chance = module.monotonicTime, module.random
        module.monotonicTime, module.random = self._clock.monotonic_s, self._random
        try:
            yield
        finally:
            module.monotonicTime, module.random = clock, chance
