"""What must hold after every step of every host. Each is checked as it happens, at a cost that does not grow.

Of the paper (figure 3), over all hosts and all of time:
- election safety: one leader a term;
- leader append-only: a leader never drops an entry;
- log matching: an (index, term) names one command and one entry before it, wherever it was ever written. By induction
  two logs that share an entry share everything before it;
- leader completeness: a new leader has every entry that was committed in an *earlier* term (a late leader of an old
  term may miss newer ones, and that is right);
- state-machine safety: `chosen[index]` never changes; nobody drops an entry that it knows to be chosen, or one that is
  not on a majority of disks without it (else it may: what an older leader said can come late). That is over all
  memberships: two majorities that do not know of each other would choose twice.
And: term and commit never fall, terms not even over a restart; a confirmed read barrier sees every commit from before
it was asked; folds add up to what was chosen; each producer's commands are there once and in order; and nobody has a
record whose tombstone it has without content.

Of our own contract (`obligations`): nothing is said before it is durable; the leader commits what a majority has on
its disks, or both while its membership is joint; memberships follow one another in the steps that there are; the core
never believes in a copy that the disk does not hold. A planted bug must be found even without
these: they see the cause, the others see the harm.
"""

from collections.abc import Sequence
from typing import Protocol

from cluster.messages import AppendReply, HeartbeatReply, RaftMessage, RequestVote, TailQuery, TailReply, VoteReply
from cluster.raft import Membership, Raft, Vote
from cluster.types import Index, ReplicaId, Term
from tests.raft.sim.disk import Disk
from tests.raft.sim.stored import Command, Fold, StoredLog, deleted_by, digest_after, said_by


class Violation(Exception):
    """Something happened that must not."""


class Host(Protocol):
    """What is looked at."""

    me: ReplicaId
    core: Raft
    log: StoredLog
    disk: Disk
    commit_seen: Index
    term_seen: Term
    term_said: Term
    leads_since: Term


class Invariants:
    """All that was ever true in one world."""

    def __init__(self, *, empty: Fold, obligations: bool = True) -> None:
        self._obligations = obligations
        self._written: dict[tuple[Index, Term], tuple[Command, Term]] = {}
        self._leaders: dict[Term, ReplicaId] = {}
        self._elected_with: dict[Term, StoredLog] = {}
        self._votes_durable: set[tuple[ReplicaId, Vote]] = set()
        self.chosen: list[tuple[Term, Command]] = [(empty.term, (0, 0))]
        self.chosen_in: list[Term] = [Term(0)]
        self._digests: list[int] = [empty.digest]
        self.memberships: list[tuple[Index, Membership]] = [(Index(0), empty.membership)]
        """Those that were chosen."""
        self.acknowledged: dict[Command, Index] = {}
        self.places: dict[Command, Index] = {}
        self.disks: Sequence[Disk] = ()

    @property
    def commit(self) -> Index:
        """The highest index that any host knew to be committed."""
        return Index(len(self.chosen) - 1)

    # --- logs

    def appending(self, host: Host, index: Index, term: Term, command: Command, *, whole: bool) -> None:
        """Just before `host` has this entry in memory."""
        before = host.log.last_term
        known = self._written.setdefault((index, term), (command, before))
        if known != (command, before):
            raise Violation(
                f"log matching: entry {index} of term {term} is {command} after term {before} on {host.me}, "
                f"and was {known[0]} after term {known[1]}"
            )
        if command[0] > 0 and host.log.expected[command[0]] != command[1]:
            raise Violation(f"sequences: {command} at {index} where {host.log.expected[command[0]]} was expected")
        deleted = deleted_by(index)
        if not whole and deleted is not None and host.log.is_whole(deleted):
            raise Violation(f"back from the dead: {host.me} has record {deleted}, and not its tombstone at {index}")

    def truncating(self, host: Host, index: Index) -> None:
        """Just before `host` drops the entry at `index` and all after it."""
        if host.core.is_leader:
            raise Violation(f"leader append-only: {host.me} drops {index} while it leads term {host.core.term}")
        if index <= host.commit_seen:
            raise Violation(f"state-machine safety: {host.me} drops {index}, commit {host.commit_seen}")
        if index <= self.commit and host.log.term_at(index) == self.chosen[index][0]:
            self._look_for_others(host, index)

    def _look_for_others(self, host: Host, index: Index) -> None:
        term, membership = self.chosen[index][0], self.memberships[-1][1]
        for voters in filter(None, (membership.voters, membership.outgoing)):
            others = [member.replica for member in voters if member.replica != host.me]
            copies = sum(self.disks[replica - 1].holds(index, term) for replica in others)
            if copies <= len(voters) // 2:
                left = f"{copies} others of {len(voters)} voters have it"
                raise Violation(f"state-machine safety: {host.me} drops {index}, which was chosen; {left}")

    def folded(self, host: Host, fold: Fold) -> None:
        """`host` has or installs this fold."""
        if fold.index > self.commit:
            raise Violation(f"fold: {host.me} folds {fold.index}, beyond what was chosen, {self.commit}")
        if fold.digest != self._digests[fold.index] or fold.term != self.chosen[fold.index][0]:
            raise Violation(f"fold: at {fold.index} it is not what was chosen")
        if fold.membership != [said for index, said in self.memberships if index <= fold.index][-1]:
            raise Violation(f"fold: the membership at {fold.index} is not what was chosen")

    # --- after each turn

    def after_turn(self, host: Host) -> None:
        """`host` has taken a turn, and all that its core asked for was begun."""
        core = host.core
        core.validate()
        term, commit = core.term, core.commit
        if term < host.term_seen:
            raise Violation(f"terms never fall: {host.me} from {host.term_seen} to {term}")
        host.term_seen = term
        if core.last_index != host.log.last_index or core.last_term != host.log.last_term:
            raise Violation(f"driver and core disagree: {host.log.last_index} and {core.last_index} on {host.me}")
        if core.is_leader and host.leads_since != term:
            host.leads_since = term
            self._elected(host, term)
        if commit != host.commit_seen:
            raise Violation(f"commit: {host.me} said {host.commit_seen} and believes in {commit}")
        if self._obligations:
            if core.membership != host.log.membership:
                raise Violation(f"membership: {host.me} goes by {core.membership}; its log says {host.log.membership}")
            durable = core.durable_index
            if durable > host.log.fold.index and not host.disk.holds(durable, host.log.term_at(durable)):
                raise Violation(f"durable: {host.me} believes in its copy of {durable}; its disk does not hold it")

    def _elected(self, host: Host, term: Term) -> None:
        if self._leaders.setdefault(term, host.me) != host.me:
            raise Violation(f"election safety: {self._leaders[term]} and {host.me} lead term {term}")
        self._elected_with[term] = host.log.copy()
        index = self.commit
        while index > 0 and self.chosen_in[index] >= term:
            index = Index(index - 1)
        if index > host.log.fold.index and host.log.term_at(index) != self.chosen[index][0]:
            raise Violation(f"leader completeness: {host.me} leads term {term} without {index}, committed before")

    def committed(self, host: Host, commit: Index) -> None:
        """`host` says that everything up to `commit` is committed."""
        before = host.commit_seen
        host.commit_seen = commit
        if commit < before:
            raise Violation(f"commit never falls: {host.me} from {before} to {commit}")
        if commit > host.log.last_index:
            raise Violation(f"commit {commit} of {host.me} is beyond its last entry {host.log.last_index}")
        if self._obligations and host.core.is_leader:
            term = host.log.term_at(commit)
            for voters in filter(None, (host.log.membership.voters, host.log.membership.outgoing)):
                copies = sum(self.disks[member.replica - 1].holds(commit, term) for member in voters)
                if copies <= len(voters) // 2:
                    of = f"{copies} durable copies among {len(voters)} voters"
                    raise Violation(f"commit: {host.me} commits {commit} of term {term} with {of}")
        for index in range(max(before, host.log.fold.index) + 1, commit + 1):
            entry = (host.log.term_at(index) or Term(0), host.log.command_at(index))
            if index < len(self.chosen):
                if entry != self.chosen[index]:
                    raise Violation(f"state-machine safety: {index} is {self.chosen[index]}, and {entry} on {host.me}")
                continue
            self.chosen.append(entry)
            self.chosen_in.append(host.core.term)
            self._digests.append(digest_after(self._digests[-1], *entry))
            membership = said_by(entry[1])
            if membership is not None:
                self._changed(Index(index), membership)
            elif entry[1][0]:
                self.places[entry[1]] = Index(index)

    def _changed(self, index: Index, new: Membership) -> None:
        """A membership was chosen: it is a step from the one before."""
        old = self.memberships[-1][1]
        self.memberships.append((index, new))
        if not self._obligations:
            return
        if old.outgoing:
            right = new == Membership(voters=old.voters, learners=old.learners, version=old.version)
        else:
            right = new.outgoing == old.voters or (not new.outgoing and set(new.voters) == set(old.voters))
        if not right or new.version < old.version:
            raise Violation(f"membership: {new} was chosen at {index}, after {old}")

    # --- what is said

    def saying(self, host: Host, message: RaftMessage) -> None:
        """Just before the message leaves."""
        disk = host.disk
        if isinstance(message, TailQuery | TailReply):
            return  # facts about disks; their term has no effect on anybody
        if isinstance(message, RequestVote | VoteReply) and message.pre and getattr(message, "granted", True):
            return  # the term that somebody would campaign in; it binds nobody
        host.term_said = max(host.term_said, message.term)
        if not self._obligations:
            return
        if message.term > disk.vote.term:
            raise Violation(f"a term before it is durable: {message}")
        if isinstance(message, RequestVote) and disk.vote != Vote(term=message.term, voted_for=host.me):
            raise Violation(f"a campaign before the own vote is durable: {message}")
        if isinstance(message, VoteReply):
            if message.granted and disk.vote != Vote(term=message.term, voted_for=message.to):
                raise Violation(f"a vote before it is durable: {message}")
        elif isinstance(message, AppendReply | HeartbeatReply):
            self._vouching(host, message.match, message)

    def _vouching(self, host: Host, match: Index, message: RaftMessage) -> None:
        """A match index: the entry is durable here, and is the one of that term's leader."""
        if match <= host.disk.image.fold.index:
            return
        term = host.disk.image.term_at(match)
        if term is None:
            raise Violation(f"an acknowledgement before it is durable: {message}")
        elected = self._elected_with.get(message.term)
        if term == message.term:
            return  # only that leader made entries of that term, and log matching does the rest
        if elected is not None and match > elected.fold.index and elected.term_at(match) != term:
            raise Violation(f"an acknowledgement of another entry than the leader's: {message}")

    # --- clients

    def acknowledging(self, command: Command, index: Index) -> None:
        """A producer is told that its command is durable at `index` (0: it was folded)."""
        place = self.places.get(command)
        if place is None or index not in (0, place):
            raise Violation(f"{command} is acknowledged at {index}, and was chosen at {place}")
        self.acknowledged[command] = place

    def barrier_confirmed(self, host: Host, asked_at: Index) -> None:
        """A read barrier that was asked when `asked_at` was the highest commit anywhere."""
        if host.core.commit < asked_at:
            raise Violation(f"read barrier: {host.me} reads up to {host.core.commit}; {asked_at} was committed before")

    def restarted(self, host: Host) -> None:
        """`host` has a new core, made from what its disk holds."""
        if host.core.term < host.term_said:
            raise Violation(f"terms never fall: {host.me} spoke in {host.term_said}, came back in {host.core.term}")
        host.term_seen = host.core.term
        host.commit_seen = host.core.commit
        host.leads_since = Term(0)
        if host.log.fold.index:
            self.folded(host, host.log.fold)
