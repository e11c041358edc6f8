"""Who counts, and how that changes: learners, and joint memberships (§6 of the paper; thesis, chapter 4).

Rules:
1. A membership takes effect in a replica when it is appended there, committed or not. A truncation that drops it brings
   back the one before; a fold that takes the log's place brings its own; a restart finds the log's last.
2. Voters change in two steps. A joint membership names the new ones and, as outgoing, the old: whatever is decided
   meanwhile takes a majority of both. When it is committed, its leader, or the next one, appends the final membership
   by itself. Learners come and go in one step, alone or with these. The version of what follows is never lower.
3. One change at a time: none while a membership is not committed, and none before the leader has committed an entry of
   its own term, for until then it cannot know that.
4. A learner gets everything and counts for nothing: no vote of its own, no majority, no sleep, no beginning of another
   waits for it. But its vote can be needed by a candidate that takes it for a voter already; where it has to refuse
   that, for its log is newer, it may be that nobody can lead. So it campaigns then, leads without committing anything,
   and hands over to the first voter that has all of its log.
5. A leader that is not among the voters goes on without counting itself until the final membership is committed and
   its driver knows; then it hands over, and if nobody takes over in an election time, it just stops. It takes nothing
   more: a voter that comes to doubt what stands behind that membership asks voters (`tail`), and not it.
6. Votes and appends are taken from anybody, also from whom this log does not know: whoever counts knows who counts, and
   a log that is behind does not. A replica that its newest membership leaves out campaigns all the same until that is
   committed (it may be the only one that has it), and never counts itself.
7. A blank replica takes nothing but a fold: its log does not say what its leader's began with.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cluster.membership import Membership
from cluster.raft.progress import Progress, State
from cluster.raft.quorum import Quorum
from cluster.types import Index, ReplicaId

if TYPE_CHECKING:
    from cluster.raft.core import Raft


class Memberships:
    """Those of a log: of its fold, and of its entries."""

    __slots__ = ("_entries", "_of_fold")

    def __init__(self, of_fold: Membership, entries: Iterable[tuple[Index, Membership]]) -> None:
        self._of_fold = of_fold
        self._entries = dict(entries)

    @property
    def newest(self) -> Membership:
        """The one in effect."""
        return next(reversed(self._entries.values())) if self._entries else self._of_fold

    @property
    def index(self) -> Index:
        """Its entry; 0 if it is the fold's, and so is committed."""
        return next(reversed(self._entries)) if self._entries else Index(0)

    @property
    def of_fold(self) -> Membership:
        """The one that the log began with."""
        return self._of_fold

    def at(self, index: Index) -> Membership | None:
        """What the entry at `index` says, if it is one."""
        return self._entries.get(index)

    def all(self) -> tuple[Membership, ...]:
        """From the oldest to the newest."""
        return (self._of_fold, *self._entries.values())

    def append(self, index: Index, membership: Membership) -> None:
        """One more entry."""
        assert index > self.index, "memberships come one after another"
        self._entries[index] = membership

    def truncate_from(self, index: Index) -> bool:
        """The entry at `index` and all after it are gone; whether the one in effect is."""
        dropped = [at for at in self._entries if at >= index]
        for at in dropped:
            del self._entries[at]
        return bool(dropped)

    def trim_to(self, index: Index) -> None:
        """The fold stands for entries up to `index` now."""
        for at in [at for at in self._entries if at <= index]:
            self._of_fold = self._entries.pop(at)

    def reset(self, membership: Membership) -> None:
        """Nothing is left but a fold."""
        self._of_fold = membership
        self._entries.clear()


# --- any replica


def take_effect(core: "Raft") -> None:
    """Rule 1: the newest membership has changed."""
    newest = core.memberships.newest
    core.voters = newest.ids()
    outgoing = tuple(member.replica for member in newest.outgoing)
    core.quorum = Quorum(core.voters, outgoing) if outgoing else Quorum(core.voters)
    core.electors = tuple(replica for replica in core.quorum.members if replica != core.me)
    core.others = tuple(member.replica for member in newest.everybody() if member.replica != core.me)
    if core.is_leader:
        _follow_newest(core)


def may_campaign(core: "Raft") -> bool:
    """Rules 4 and 6."""
    if core.me in core.quorum.members or (core.needed and is_learner(core)):
        return True
    *before, newest = core.memberships.all()
    if core.memberships.index <= core.commit or newest.joint or not before:
        return False
    return core.me in {member.replica for member in (*before[-1].voters, *before[-1].outgoing)}


def is_learner(core: "Raft") -> bool:
    """Whether this replica is one, as far as it knows."""
    return any(member.replica == core.me for member in core.membership.learners)


# --- a leader


def may_change(core: "Raft") -> bool:
    """Rule 3."""
    return (
        core.is_leader
        and core.transferee is None
        and not core.leaving
        and not core.membership.joint
        and core.memberships.index <= core.commit
        and core.terms.term_at(core.commit) == core.term
    )


def is_step(old: Membership, new: Membership) -> bool:
    """Rule 2, for what a driver may ask for."""
    named = [member.replica for member in (*new.voters, *new.learners)]
    if not new.voters or len(named) != len(set(named)) or new.version < old.version:
        return False
    if new.joint:
        return new.outgoing == old.voters and not {member.replica for member in new.learners} & set(old.ids())
    return set(new.voters) == set(old.voters)


def _follow_newest(core: "Raft") -> None:
    """A leader sends to whoever belongs to the group now, and to nobody else."""
    for replica in [replica for replica in core.progress if replica not in core.others]:
        del core.progress[replica]
        if core.transferee == replica:
            core.transferee = None
    for replica in core.others:
        if replica not in core.progress:
            core.progress[replica] = Progress(Index(core.last_index + 1))


def go_on(core: "Raft", told_commit: Index) -> None:
    """The step that follows a committed membership of its own accord (rules 2 and 5), or being a learner (rule 4)."""
    if is_learner(core):
        _hand_over(core)
        return
    committed = core.memberships.index <= min(core.commit, told_commit)
    if not committed or core.terms.term_at(core.commit) != core.term:
        return
    if core.membership.joint:
        core.append_own(0, core.membership.final())
    elif core.me not in core.voters:
        _leave(core)


def _hand_over(core: "Raft") -> None:
    if not core.leaving:
        core.transfer(None)
        core.leaving = core.transferee is not None
    elif core.transferee is None:
        core.become_follower(core.term, None)


def _leave(core: "Raft") -> None:
    if not core.leaving:
        core.leaving = True
        core.transfer(None)
    if core.transferee is None:
        core.become_follower(core.term, None)


def is_caught_up(core: "Raft", replica: ReplicaId) -> bool:
    """See `Raft.is_caught_up`."""
    progress = core.progress.get(replica)
    if progress is None or progress.silent or progress.lacks_upto:
        return False
    return progress.state is State.REPLICATE and progress.known
