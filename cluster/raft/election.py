"""Elections: §5.2 and §5.4.1, pre-vote and stickiness (thesis §9.6), a candidate's own vote counted once it is on disk.

A vote is granted, once a term, to a candidate whose log is at least as new as the voter's, whether or not the voter
knows it for a member: who counts votes knows who counts. Whoever granted it says so only when it is on disk. A pre-vote
asks the same question without changing anything.
"""

from typing import TYPE_CHECKING

from cluster.messages import RequestVote, VoteReply
from cluster.raft import replication, tail
from cluster.raft.ready import Role
from cluster.types import Index, ReplicaId, Term

if TYPE_CHECKING:
    from cluster.raft.core import Raft


def is_sticky(core: "Raft", message: RequestVote) -> bool:
    """Whether a request must be passed over because a live leader is heard (thesis §4.2.3, §9.6)."""
    if message.transfer or not core.options.check_quorum or message.term <= core.term:
        return False
    return hears_leader(core)


def hears_leader(core: "Raft") -> bool:
    """Whether this replica leads, or has heard its leader within the shortest election time."""
    if core.role is Role.LEADER:
        return True
    return core.leader is not None and core.elapsed < core.options.election_ticks_min


def ask_pre_votes(core: "Raft") -> None:
    """Ask whether there would be votes (thesis §9.6)."""
    core.role, core.leader = Role.PRE_CANDIDATE, None
    core.votes = {core.me: True}
    if core.quorum.has(core.votes):
        ask_votes(core, transfer=False)
        return
    for replica in core.electors:
        core.send_free(_request(core, replica, Term(core.term + 1), pre=True))


def ask_votes(core: "Raft", *, transfer: bool) -> None:
    """A new term, this replica's own vote in it, and the question to all others (§5.2)."""
    core.become_follower(Term(core.term + 1), None)
    core.role = Role.CANDIDATE
    core.voted_for = core.me
    core.writes.save_vote(core.vote_now(), new_term=True)
    for replica in core.electors:
        core.send(_request(core, replica, core.term, transfer=transfer))


def _request(core: "Raft", to: ReplicaId, term: Term, *, pre: bool = False, transfer: bool = False) -> RequestVote:
    return RequestVote(
        sender=core.me,
        to=to,
        term=term,
        last_index=core.last_index,
        last_term=core.last_term,
        pre=pre,
        transfer=transfer,
    )


def step_pre_vote(core: "Raft", message: RequestVote | VoteReply) -> None:
    """A pre-vote's question or answer: nobody's term changes but a lagging candidate's."""
    if isinstance(message, RequestVote):
        granted = (
            message.term > core.term
            and core.may_vote
            and knows_newest(core)
            and not hears_leader(core)
            and _accepts_log(core, message)
        )
        term = message.term if granted else core.term
        reply = VoteReply(sender=core.me, to=message.sender, term=term, granted=granted, pre=True)
        if granted:
            core.send_free(reply)
        else:
            core.send(reply)
    elif message.granted:
        if core.role is Role.PRE_CANDIDATE and message.term == core.term + 1:
            core.votes[message.sender] = True
            if core.quorum.has(core.votes) and core.may_campaign:
                ask_votes(core, transfer=False)
    elif message.term > core.term:
        core.become_follower(message.term, None)


def knows_newest(core: "Raft") -> bool:
    """Whether it is known what this replica can have acknowledged, so that it may judge a candidate's log."""
    return not core.recovering or core.owes is not None


def _accepts_log(core: "Raft", message: RequestVote) -> bool:
    """Whether the log allows the vote; if not, this replica may be needed itself (`configuration`, rule 4)."""
    accepted = is_new_enough(core, message)
    core.needed = core.needed or not accepted
    return accepted


def is_new_enough(core: "Raft", message: RequestVote) -> bool:
    """§5.4.1: the candidate's log is at least as new; a doubtful end counts as the most that it may have been."""
    return (message.last_term, message.last_index) >= newest(core)


def newest(core: "Raft") -> tuple[Term, Index]:
    """The newest entry that this replica can have acknowledged, here or not."""
    owes = None if tail.owes_uncounted(core) else core.owes
    ends = [(core.last_index, core.last_term), *core.doubts, tail.uncounted(core), owes]
    return max((term, index) for index, term in filter(None, ends))


def request_vote(core: "Raft", message: RequestVote) -> None:
    """§5.2, §5.4.1, in the message's own term."""
    granted = (
        core.may_vote
        and knows_newest(core)
        and core.voted_for in {None, message.sender}
        and core.leader is None
        and _accepts_log(core, message)
    )
    if granted and core.voted_for is None:
        core.voted_for = message.sender
        core.writes.save_vote(core.vote_now(), new_term=False)
        core.elapsed = 0
    core.send(VoteReply(sender=core.me, to=message.sender, term=core.term, granted=granted))


def vote_reply(core: "Raft", message: VoteReply) -> None:
    """A vote counts once a voter and term."""
    if core.role is Role.CANDIDATE:
        core.votes[message.sender] = message.granted
        count(core)


def count(core: "Raft") -> None:
    """Become leader with a majority; the own vote counts when it is on disk, a majority of refusals ends the try."""
    if core.writes.term_is_durable(core.vote_now()):
        core.votes[core.me] = True
    if core.quorum.has({replica for replica, granted in core.votes.items() if granted}):
        replication.become_leader(core)
    elif core.quorum.is_barred_by({replica for replica, granted in core.votes.items() if not granted}):
        core.become_follower(core.term, None)
