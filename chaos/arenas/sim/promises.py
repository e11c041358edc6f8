"""What replicas have said of their disks, looked at when one comes back: Raft lives from it that this is kept.

- a term that was spoken in is not forgotten;
- a vote that was given is not forgotten, and nobody else is given one in that term;
- what was acknowledged to a leader, or by it, is there, or in doubt, or known to be missing, while no later term is
  known: a replica that ends below it, and does not know that, votes for who lacks it.

A replica whose doubt has ended may be without what was in doubt.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cluster.messages import AppendEntries, AppendReply, Heartbeat, HeartbeatReply, RaftMessage, RequestVote, VoteReply
from cluster.raft import Raft
from cluster.raft.election import knows_newest, newest
from cluster.types import Index, PartitionId, ReplicaId, Term

Who = tuple[PartitionId, ReplicaId]


@dataclass(slots=True)
class Said:
    """By one replica, in whatever it sent."""

    term: Term = Term(0)
    vote: ReplicaId | None = None
    """In that term."""
    acknowledged: tuple[Term, Index] = (Term(0), Index(0))
    """To the leader of that term, or by it: the last entry."""
    doubts: int = 0
    """When it was last looked at."""

    def in_term(self, term: Term) -> "Said":
        """Itself, and nothing is left of what was said in an earlier term."""
        if term > self.term:
            self.term, self.vote, self.acknowledged = term, None, (Term(0), Index(0))
        return self


@dataclass(slots=True)
class Promises:
    """Of all replicas of one cluster. What is wrong is returned as a sentence, "" if nothing is."""

    said: dict[Who, Said] = field(default_factory=dict)

    def sending(self, who: Who, core: Raft, messages: Sequence[RaftMessage]) -> str:
        """Just before they leave. What is said of votes that are not asked for yet (pre-votes) binds nobody."""
        said = self.said.setdefault(who, Said())
        for message in messages:
            match message:
                case RequestVote(pre=False, sender=candidate) | VoteReply(pre=False, granted=True, to=candidate):
                    before = said.in_term(message.term)
                    if message.term == before.term and before.vote not in {None, candidate}:
                        return f"two votes: for {before.vote} and for {candidate} in term {message.term}"
                    before.vote = candidate
                case AppendReply(match=match) | HeartbeatReply(match=match):
                    before = said.in_term(message.term)
                    term = core.terms.term_at(match)
                    if message.term == before.term and term is not None:
                        before.acknowledged = term, match
                case AppendEntries() | Heartbeat():  # a leader counts its own copy
                    before = said.in_term(message.term)
                    term = core.terms.term_at(core.durable_index)
                    if message.term == before.term and term is not None:
                        before.acknowledged = term, core.durable_index
                case _:
                    pass
        return ""

    def turned(self, who: Who, core: Raft) -> None:
        """After a turn: where a doubt has ended, nothing is promised of it any more."""
        said = self.said.setdefault(who, Said())
        if len(core.doubts) < said.doubts:
            said.acknowledged = Term(0), Index(0)
        said.doubts = len(core.doubts)

    def came_back(self, who: Who, core: Raft) -> str:
        """A replica as its disk has it, before its first turn."""
        said = self.said.setdefault(who, Said())
        said.doubts = len(core.doubts)
        if core.term < said.term:
            return f"term forgotten: it spoke in {said.term}, and came back in {core.term}"
        if core.term > said.term:
            return ""
        if said.vote not in {None, core.voted_for}:
            return f"vote forgotten: it voted for {said.vote} in term {said.term}, and came back without"
        if knows_newest(core) and newest(core) < said.acknowledged:
            (term, index), (newest_term, last) = said.acknowledged, newest(core)
            return f"promise forgotten: it acknowledged {index} of term {term}, and has {last} of term {newest_term}"
        return ""
