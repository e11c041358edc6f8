"""Who is to belong to a partition, and the steps that lead there: one at a time, while its replica here leads.

The controller says who is to be there (`Reassign`); the log says who is. Whoever leads does the next step, and the one
after it when that is committed; so it does not matter who led when it began, or how often that changes. The steps:

1. Who is missing becomes a learner; who is neither wanted nor a voter stops being one.
2. When all that are missing have their logs recorded and have caught up: if this leader is not wanted, it hands over to
   a voter that is, and whose node is not about to stop. If nobody takes over, it goes on by itself.
3. One joint membership, from the voters that there are to exactly those that are wanted. The core goes on from there.
   Not while most of those that are wanted are away or behind: from then on nothing is decided without them.

Without a wish, learners that are no voters are taken out again: the move was given up.

Each membership carries the version of the wish that it was made for, and no leader acts on a wish that is older than
what its log says. Where a newer wish asks for nobody else than those who are there, that is said in the log, too: only
what is committed with its version confirms a wish, for an old leader can hear of it, and a new one not.
"""

from collections.abc import Callable
from dataclasses import dataclass

from cluster.broker.requests import Reassign
from cluster.config import BrokerOptions
from cluster.log import Log
from cluster.membership import Membership
from cluster.raft import Raft
from cluster.types import Index, ReplicaId, Term


@dataclass(frozen=True, slots=True)
class HandOver:
    """Somebody who will be there should lead."""

    to: ReplicaId


def next_step(
    now: Membership,
    wish: Reassign,
    *,
    me: ReplicaId,
    is_caught_up: Callable[[ReplicaId], bool],
    leaves: Callable[[ReplicaId], bool] = lambda _: False,
) -> Membership | HandOver | None:
    """What to do about it now, as the leader `me`; None: nothing, or not yet. `leaves`: it stops soon. Pure."""
    version = wish.version
    if now.joint or version < now.version:
        return None
    voters = set(now.ids())
    if wish.target is None:
        return Membership(voters=now.voters, version=version) if now.learners else None
    wanted = {member.replica for member in wish.target}
    missing = tuple(member for member in wish.target if member.replica not in voters)
    if {member.replica for member in missing} != {member.replica for member in now.learners}:
        return Membership(voters=now.voters, learners=missing, version=version)
    if wanted == voters or not wanted:
        return Membership(voters=now.voters, version=version) if wanted and version > now.version else None
    if not all(member.replica in wish.initialised and is_caught_up(member.replica) for member in missing):
        return None
    if 2 * sum(map(is_caught_up, wanted)) <= len(wanted):
        return None
    heirs = [item for item in now.ids() if item in wanted and is_caught_up(item) and not leaves(item)]
    if me not in wanted and heirs:
        return HandOver(heirs[0])
    return Membership(voters=wish.target, outgoing=now.voters, version=version)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a leader can say of its partition's membership: the newest one that is committed, by its entry.

    `behind_bytes`: how far the slowest learner is behind; 0 without one.
    """

    index: Index
    term: Term
    membership: Membership
    behind_bytes: int


class Changing:
    """One replica's. `propose` appends a membership, `told` hears of what has changed noticeably."""

    def __init__(
        self,
        *,
        me: ReplicaId,
        raft: Raft,
        log: Log,
        options: BrokerOptions,
        hand_over_ticks: int,
        leaves: Callable[[ReplicaId], bool],
        propose: Callable[[Membership], object],
        told: Callable[[], None],
    ) -> None:
        self._me = me
        self._raft = raft
        self._log = log
        self._options = options
        self._hand_over_ticks = hand_over_ticks
        self._leaves = leaves
        self._propose = propose
        self._told = told
        self._wish = Reassign(None, frozenset())
        self._handing_over: tuple[Term, int] | None = None
        """Since when, in which term."""
        self._last_told: tuple[Term, Index, int] | None = None

    def wish(self, wish: Reassign) -> None:
        """It is to be like this now."""
        self._wish = wish

    def look(self, now: int) -> None:
        """As the leader, at the end of a turn: the next step, if there is one, and who is to be told. `now`: ticks."""
        raft = self._raft
        if (self._wish.target is not None or raft.membership.learners) and raft.may_change_membership:
            self._step(now)
        if raft.membership_is_committed:
            said = (raft.term, self._log.fold.membership_index, self._notch())
            if said != self._last_told:
                self._last_told = said
                self._told()

    def _step(self, now: int) -> None:
        raft, wish = self._raft, self._wish
        step = next_step(raft.membership, wish, me=self._me, is_caught_up=self.is_caught_up, leaves=self._leaves)
        if isinstance(step, HandOver):
            if self._handing_over is None or self._handing_over[0] != raft.term:
                self._handing_over = (raft.term, now)
                raft.transfer(step.to)
            if raft.transferee is not None or now - self._handing_over[1] < self._hand_over_ticks:
                return
            step = Membership(voters=wish.target or (), outgoing=raft.membership.voters, version=wish.version)
        if step is not None and not self._log.full:
            self._propose(step)

    def is_caught_up(self, replica: ReplicaId) -> bool:
        """Whether it is there, and so little is missing that it may become a voter."""
        if replica == self._me:
            return True
        if replica in self._raft.away:
            return False  # in a group that slept when it died nobody has missed it yet, but its link is gone
        behind = self._log.bytes_after(self._raft.match(replica))
        return self._raft.is_caught_up(replica) and behind <= self._options.catch_up_left_bytes_max

    def standing(self) -> Standing | None:
        """For the controller; None if this replica does not lead or a change is not committed."""
        raft, fold = self._raft, self._log.fold
        if not raft.is_leader or not raft.membership_is_committed:
            return None
        return Standing(
            index=fold.membership_index,
            term=fold.membership_term,
            membership=fold.membership,
            behind_bytes=self._behind_bytes(),
        )

    def _behind_bytes(self) -> int:
        learners = self._raft.membership.learners
        return max((self._log.bytes_after(self._raft.match(member.replica)) for member in learners), default=0)

    def _notch(self) -> int:
        """The distance, coarsely: twice or half as far is worth telling."""
        return self._behind_bytes().bit_length()
