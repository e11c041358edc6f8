"""Cores with a mistake in how members change, for `planted`: what may look right until two majorities meet."""

from cluster.membership import Membership
from cluster.messages import EntryHeader, RaftMessage
from cluster.raft import Raft, Ready, configuration
from cluster.raft.configuration import Memberships
from cluster.raft.quorum import Quorum
from cluster.types import Index, Ticket


class JointByOneMajority(Raft):
    """While a membership is joint, a majority of the new voters decides alone."""

    @property
    def quorum(self) -> Quorum:
        """One set."""
        return Quorum(self.voters)

    @quorum.setter
    def quorum(self, quorum: Quorum) -> None:
        """Not heard."""


class LearnerCounted(Raft):
    """Learners count as voters do."""

    @property
    def quorum(self) -> Quorum:
        """Everybody who is there."""
        learners = tuple(member.replica for member in self.membership.learners)
        sets = [self.voters, tuple(member.replica for member in self.membership.outgoing)]
        return Quorum(*((*voters, *learners) for voters in sets if voters))

    @quorum.setter
    def quorum(self, quorum: Quorum) -> None:
        """Not heard."""


class _CommittedOnly(Memberships):
    """The newest one that is committed."""

    __slots__ = ("core",)

    @property
    def newest(self) -> Membership:
        committed = [said for index, said in self._entries.items() if index <= self.core.commit]
        return committed[-1] if committed else self.of_fold


class EffectiveAtCommit(Raft):
    """A membership takes effect when it is known to be committed, wherever that is."""

    def __init__(self, **arguments: object) -> None:
        super().__init__(**arguments)
        self.memberships = _CommittedOnly(self.memberships.of_fold, arguments["log"].memberships)
        self.memberships.core = self
        configuration.take_effect(self)

    def step(self, message: RaftMessage) -> None:
        before = self.membership
        super().step(message)
        self._look(before)

    def persisted(self, ticket: Ticket) -> None:
        before = self.membership
        super().persisted(ticket)
        self._look(before)

    def _look(self, before: Membership) -> None:
        if self.membership != before:
            configuration.take_effect(self)


class TwoChangesAtOnce(Raft):
    """One server more or less at a time, without joint memberships, and without waiting for the change before."""

    @property
    def may_change_membership(self) -> bool:
        """Whoever leads may."""
        return self.is_leader and self.transferee is None

    def propose_membership(self, membership: Membership, size_bytes: int) -> EntryHeader | None:
        """One step towards those voters."""
        if membership.joint:
            now = self.membership.voters
            more = [member for member in membership.voters if member not in now]
            gone = next((member for member in now if member not in membership.voters), None)
            voters = (*now, more[0]) if more else tuple(member for member in now if member != gone)
            membership = Membership(voters=voters)
        return self.append_own(size_bytes, membership)


class JointLeftEarly(Raft):
    """The final membership follows the joint one at once, before that is committed."""

    def ready(self) -> Ready | None:
        if self.is_leader and self.membership.joint and self.memberships.index == self.last_index:
            self.append_own(0, self.membership.final())
        return super().ready()


class _Sticky(Memberships):
    """The newest one that was ever appended."""

    __slots__ = ("stuck",)

    @property
    def newest(self) -> Membership:
        return self.stuck or Memberships.newest.fget(self)

    def append(self, index: Index, membership: Membership) -> None:
        self.stuck = None
        super().append(index, membership)

    def truncate_from(self, index: Index) -> bool:
        self.stuck = self.newest
        return super().truncate_from(index)


class NoRollBack(Raft):
    """A membership stays in effect when its entry is cut off."""

    def __init__(self, **arguments: object) -> None:
        super().__init__(**arguments)
        self.memberships = _Sticky(self.memberships.of_fold, arguments["log"].memberships)
        self.memberships.stuck = None


CHANGES: dict[str, type[Raft]] = {
    "joint_by_one_majority": JointByOneMajority,
    "effective_at_commit": EffectiveAtCommit,
    "learner_counted": LearnerCounted,
    "two_changes_at_once": TwoChangesAtOnce,
    "joint_left_early": JointLeftEarly,
    "no_roll_back": NoRollBack,
}
"""Of joint consensus and learners."""
