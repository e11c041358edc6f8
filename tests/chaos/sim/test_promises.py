"""What a replica has said of its disk, against what it comes back with."""

from chaos.arenas.sim.promises import Promises
from cluster.config import RaftOptions
from cluster.messages import AppendReply, RaftMessage, RequestVote, VoteReply
from cluster.raft import LogState, Member, Membership, Raft, Vote
from cluster.types import Index, NodeId, PartitionId, ReplicaId, Term, TopicId

ME, OTHER, THIRD = ReplicaId(1), ReplicaId(2), ReplicaId(3)
WHO = (PartitionId(TopicId(b"t" * 16), 0), ME)


def core(
    term: int = 3,
    vote: ReplicaId | None = OTHER,
    last: int = 5,
    *,
    recovering: bool = False,
    doubts: tuple[tuple[Index, Term], ...] = (),
) -> Raft:
    """As a disk has it: `last` entries of term 2."""
    return Raft(
        me=ME,
        membership=Membership(
            voters=tuple(Member(replica=ReplicaId(number), node=NodeId(number)) for number in (1, 2, 3))
        ),
        vote=Vote(term=Term(term), voted_for=vote),
        log=LogState(term_starts=((Index(1), Term(2)),), last_index=Index(last)),
        options=RaftOptions(),
        draw_election_ticks=lambda: 10,
        recovering=recovering,
        doubts=doubts,
    )


def voted(candidate: ReplicaId = OTHER) -> RaftMessage:
    """A vote in term 3."""
    return VoteReply(sender=ME, to=candidate, term=Term(3), granted=True)


ACKNOWLEDGED = AppendReply(sender=ME, to=OTHER, term=Term(3), match=Index(5))


def back(after: Raft, *messages: RaftMessage) -> str:
    """What is wrong with who comes back like this, when it had sent these."""
    promises = Promises()
    assert "" == promises.sending(WHO, core(), messages)
    return promises.came_back(WHO, after)


def test_a_vote_is_kept() -> None:
    """Its term, and for whom."""
    assert "" == back(core(), voted())
    assert "" == back(core(term=4, vote=None), voted())
    assert back(core(vote=None), voted()).startswith("vote forgotten: it voted for 2 in term 3")
    assert back(core(term=2, vote=None), voted()).startswith("term forgotten: it spoke in 3")
    assert "" == back(core(vote=None), VoteReply(sender=ME, to=OTHER, term=Term(3), granted=True, pre=True))


def test_there_is_one_vote_in_a_term() -> None:
    """A candidate's own is one, too."""
    own = RequestVote(sender=ME, to=OTHER, term=Term(3), last_index=Index(5), last_term=Term(2))
    promises = Promises()

    assert "" == promises.sending(WHO, core(), [voted(), voted()])
    assert promises.sending(WHO, core(), [voted(THIRD)]).startswith("two votes: for 2 and for 3 in term 3")
    assert promises.sending(WHO, core(), [own]).startswith("two votes: for 2 and for 1")


def test_what_was_acknowledged_is_there_or_known_to_be_missing() -> None:
    """In doubt, under recovery, or cut by a leader of a later term: all of these may be."""
    doubt = ((Index(5), Term(2)),)

    assert "" == back(core(), ACKNOWLEDGED)
    assert back(core(last=4), ACKNOWLEDGED).startswith("promise forgotten: it acknowledged 5 of term 2, and has 4 ")
    assert "" == back(core(last=4, doubts=doubt), ACKNOWLEDGED)
    assert "" == back(core(last=4, recovering=True), ACKNOWLEDGED)
    assert "" == back(core(term=4, vote=None, last=4), ACKNOWLEDGED)


def test_a_doubt_that_has_ended_promises_nothing() -> None:
    """Nobody else had it: it may go."""
    promises, doubted = Promises(), core(last=4, doubts=((Index(5), Term(2)),))
    promises.sending(WHO, core(), [ACKNOWLEDGED])
    assert "" == promises.came_back(WHO, doubted)
    promises.turned(WHO, doubted)
    doubted.doubts.clear()
    promises.turned(WHO, doubted)

    assert "" == promises.came_back(WHO, core(last=4))
