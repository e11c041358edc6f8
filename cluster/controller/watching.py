"""What the controller notices and plans, where the quorum's leader is.

What reports say becomes facts (`observing`), what should be elsewhere moves (`planning`), the quorum itself changes
(`seats`). A plan is its state, so whoever decides next goes on with it.
"""

from collections.abc import Awaitable, Callable, Iterable

import structlog

from cluster.actor import Alarm
from cluster.config import ControllerOptions
from cluster.controller.commands import Answer, Command, MoveReplicas, PreferLeaders, Seal
from cluster.controller.leading import preferred
from cluster.controller.observing import Observations
from cluster.controller.operations import Operations
from cluster.controller.planning import Plan
from cluster.controller.quorum import Quorum
from cluster.controller.seats import plan_seats, seal
from cluster.controller.state import MetadataState
from cluster.errors import RiverrunError
from cluster.metadata import Delta
from cluster.world import Clock

log_event = structlog.get_logger()
PLAN_ANYWAY_S = 10.0
"""Who leads is no decision, and may let the plan go on: it looks again so often."""
PLAN_AGAIN_S = 0.1
PLAN_REST = 10
"""A drain is planned anew whenever something is told, after so long, and so many times as long as a plan takes."""
PREFERRED_AT_ONCE_MAX = 1_000
"""Of one command."""


class Watching:
    """One node's. `decide` proposes a command until its outcome is known."""

    def __init__(
        self,
        *,
        state: MetadataState,
        quorum: Quorum,
        observed: Observations,
        operations: Operations,
        decide: Callable[[Command], Awaitable[Answer]],
        clock: Clock,
        options: ControllerOptions,
    ) -> None:
        self._state = state
        self._quorum = quorum
        self._observed = observed
        self._operations = operations
        self._decide = decide
        self._clock = clock
        self._options = options
        self._look = Alarm()
        self._plan_due_s = 0.0
        self._plan_again_s = 0.0
        """Not before, whatever is told."""
        self._rested: object = None
        """What was known when there was nothing to plan."""

    def on_decided(self, delta: Delta) -> None:
        """A drain begins with who shall lead instead; what is gone needs no memory."""
        if delta.deleted or delta.gone:
            self._observed.forget(frozenset(delta.deleted), frozenset(delta.gone))
        if any(node.draining for node in delta.nodes):
            self.look_at_once()

    def look_at_once(self) -> None:
        """Something that a plan waits for was told."""
        self._rested = None
        self._plan_due_s = min(self._plan_due_s, self._plan_again_s)
        self._look.ring()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._look.sleep(self._options.tick_s * 5)
            if not self._quorum.is_leader():
                continue
            began_s = self._clock.monotonic_s()
            done = await self._decide_all(list(self._observed.facts(self._state, self._quorum.members(), began_s)))
            began_s = self._clock.monotonic_s()
            if done and began_s >= self._plan_due_s:
                self._plan_due_s = began_s + self._options.plan_interval_s
                commands = self._planned()
                took_s = self._clock.monotonic_s() - began_s
                self._plan_again_s = began_s + max(PLAN_AGAIN_S, PLAN_REST * took_s)
                await self._decide_all(commands)

    async def _decide_all(self, commands: Iterable[Command]) -> bool:
        """In order, up to the first one that failed; whether there was none."""
        for command in commands:
            try:
                await self._decide(command)
            except RiverrunError as error:
                log_event.info("notice_again", command=type(command).__name__, reason=error.reason)
                return False
        return True

    def _planned(self) -> list[Command]:
        """What is next, if anything has changed since nothing was."""
        now_s = self._clock.monotonic_s()
        situation = self._observed.situation(self._state, self._operations.leading(), now_s)
        seen = (self._state.version, situation.lost, situation.gone, now_s // PLAN_ANYWAY_S)
        if seen == self._rested:
            return []
        commands: list[Command] = []
        if leaders := preferred(situation, PREFERRED_AT_ONCE_MAX):
            commands.append(PreferLeaders(leaders=leaders))
        if (sealing := self._seal(now_s)) is not None:
            commands.append(sealing)
        if moves := Plan(situation).moves:
            commands.append(MoveReplicas(moves=moves))
            log_event.info("replicas_moved", partitions=len(moves))
        self._rested = None if commands else seen
        return commands

    def _seal(self, now_s: float) -> Seal | None:
        """The next change of the quorum, or its journal's compaction; None: neither is due."""
        options, state = self._options, self._state
        deciding = self._quorum.members()
        lost = self._observed.lost_nodes(now_s, options.seat_lost_after_s, deciding)
        planned = plan_seats(state.nodes, state.quorum, deciding, lost=lost)
        reached = {*self._observed.up(), *deciding}
        if planned is not None and all(node in reached for node, _ in planned.seats):
            log_event.info("quorum_changes", configuration=planned.number, seats=planned.seats)
            return planned
        entries, size = self._quorum.weight()
        whole = all(node in state.nodes and state.nodes[node].directory for node in deciding)
        if whole and (entries > options.seal_after_commands or size > options.seal_after_bytes):
            return seal(state.nodes, state.quorum, deciding)
        return None
