"""A disk with room for votes and for nothing else: what rests on term and vote leaves, what rests on entries waits."""

from cluster.config import RaftOptions
from cluster.messages import AppendEntries, AppendReply, EntryHeader, Heartbeat, HeartbeatReply, RequestVote, VoteReply
from cluster.raft import Raft
from cluster.types import Index, ReplicaId, Term
from tests.raft.test_core import Group

ME, OTHER, THIRD = ReplicaId(1), ReplicaId(2), ReplicaId(3)


def appended(term: int, index: int, prev_term: int = 0) -> AppendEntries:
    """One entry from the leader of `term`, replica 2."""
    return AppendEntries(
        sender=OTHER,
        to=ME,
        term=Term(term),
        prev_index=Index(index - 1),
        prev_term=Term(prev_term),
        entries=(EntryHeader(Index(index), Term(term), 10),),
        commit=Index(0),
        last_index=Index(index),
    )


def request(term: int) -> RequestVote:
    """Replica 3 asks, with a long log."""
    return RequestVote(sender=THIRD, to=ME, term=Term(term), last_index=Index(9), last_term=Term(8))


def without_room() -> tuple[Group, Raft]:
    """A follower that holds an entry of term 1 which its disk had no room for."""
    group = Group(options=RaftOptions(pre_vote=False, check_quorum=False))
    group.cores[1].step(appended(1, 1))
    group.take(1)
    assert [] == group.messages
    return group, group.cores[1]


def votes_written(group: Group) -> None:
    """The disk has taken the votes of all that waits, and nothing else."""
    group.cores[1].vote_persisted(group.tickets[1][-1])  # type: ignore[arg-type]
    group.take(1)


def test_a_vote_leaves_and_an_acknowledgement_waits() -> None:
    """Both had waited for room: of three replicas with one down nobody could be elected."""
    group, core = without_room()
    votes_written(group)
    assert [] == group.messages
    core.step(request(8))
    group.take(1)
    assert [] == group.messages, "not before it is on disk"
    votes_written(group)
    assert [VoteReply(sender=ME, to=THIRD, term=Term(8), granted=True)] == group.messages
    assert core.durable_index == 0
    group.sync(1)
    assert (1, 1) == (core.durable_index, len(group.messages)), "of an older term nothing is acknowledged"


def test_an_acknowledgement_of_the_same_term_waits_for_its_entries() -> None:
    """A heartbeat is answered, with nothing more than is on disk."""
    group, core = without_room()
    core.step(Heartbeat(sender=OTHER, to=ME, term=Term(1), commit=Index(0), barrier=3))
    votes_written(group)
    assert [HeartbeatReply(sender=ME, to=OTHER, term=Term(1), barrier=3, match=Index(0))] == group.messages
    group.sync(1)
    assert [AppendReply(sender=ME, to=OTHER, term=Term(1), match=Index(1))] == group.messages[1:]


def test_a_newer_vote_is_waited_for() -> None:
    """That an older one is on disk says nothing of it."""
    group, core = without_room()
    (ticket,) = group.tickets[1]
    core.step(request(8))
    group.take(1)
    core.vote_persisted(ticket)  # type: ignore[arg-type]
    group.take(1)
    assert [] == group.messages
    core.step(request(9))
    core.vote_persisted(group.tickets[1][-1])  # type: ignore[arg-type]
    assert not core.writes.has_released, "the vote in term 9 was not handed out"
    group.take(1)
    assert [] == group.messages


def test_a_candidate_without_room_counts_its_own_vote() -> None:
    """It leads, and what it appends is committed by the others' disks alone."""
    group, core = without_room()
    core.campaign()
    group.take(1)
    assert [] == group.messages
    votes_written(group)
    assert {RequestVote} == {type(message) for message in group.messages}
    core.step(VoteReply(sender=THIRD, to=ME, term=core.term, granted=True))
    assert core.is_leader
    group.take(1)
    core.step(AppendReply(sender=OTHER, to=ME, term=core.term, match=Index(2)))
    assert core.commit == 0
    core.step(AppendReply(sender=THIRD, to=ME, term=core.term, match=Index(2)))
    assert (2, 0) == (core.commit, core.durable_index)
