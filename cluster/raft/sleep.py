"""Idle groups sleep: no ticks, no heartbeats, until something is asked of them or a connection comes or goes.

Rules:
1. A leader that was idle for a while, with everything committed and on its disk, and on that of everybody who is not
   away, invites to sleep with a heartbeat. The voters that are away must be a minority, and whoever is behind is not
   invited. A leader that is no voter goes soon, and nobody would notice: it invites nobody.
2. A follower falls asleep if it agrees: it has what the leader has, on disk, and knows the commit.
3. The leader falls asleep when all that are not away have said that they do.
4. Failure is then noticed by connections: the driver wakes whoever shares a group with a node that came or went. A
   leader that is away is most likely gone, so its followers do not wait a whole election time to find out.

The driver's word about who is away is a hint. Wrong, it costs an election that is refused, or keeps a group awake; a
follower that was taken to be away and was not is awake, and any message of its wakes the others. But it has to become
right: one that a removed replica keeps asking for its vote says nothing to the others, and is left behind until then.
"""

from typing import TYPE_CHECKING

from cluster.raft.progress import Progress
from cluster.raft.ready import Role
from cluster.types import ReplicaId

if TYPE_CHECKING:
    from cluster.raft.core import Raft


def may_sleep(core: "Raft") -> bool:
    """A leader's side of rule 1."""
    limit = core.options.idle_ticks_before_sleep
    return (
        limit > 0
        and core.idle_ticks >= limit
        and core.commit == core.last_index == core.durable_index
        and not core.barriers
        and core.transferee is None
        and core.me in core.voters
        and core.quorum.has(set(core.quorum.members) - core.away)
        and all(progress.match == core.last_index for progress in present(core))
    )


def present(core: "Raft") -> list[Progress]:
    """The followers that are not away, as their leader sees them."""
    return [progress for replica, progress in core.progress.items() if replica not in core.away]


def wake(core: "Raft") -> None:
    """Look whether the others are still there."""
    if core.asleep:
        core.asleep = False
        core.elapsed = 0
        core.idle_ticks = 0
        if core.role is Role.LEADER:
            core.heartbeat_elapsed = core.options.heartbeat_ticks
        else:
            core.election_ticks = core.draw_election_ticks()


def set_away(core: "Raft", away: frozenset[ReplicaId]) -> None:
    """Rule 4."""
    gone, core.away = away - core.away, away
    wake(core)
    if core.leader in gone and core.role is Role.FOLLOWER:
        core.leader = None
        core.elapsed = 0
        core.election_ticks = max(core.draw_election_ticks() - core.options.election_ticks_min, 1)


def ticks_left(core: "Raft") -> int:
    """Until something has to be done: a heartbeat, the check of the quorum, a question, an election."""
    if core.role is Role.LEADER:
        options = core.options
        return min(options.heartbeat_ticks - core.heartbeat_elapsed, options.election_ticks_max - core.elapsed)
    if core.doubts or core.recovering:
        return 1
    return core.election_ticks - core.elapsed
