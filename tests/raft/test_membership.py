"""What follows from who belongs to a group: receipts, the rate for learners, doubts about what may have changed it."""

import pytest

from cluster.config import RaftOptions
from cluster.membership import BLANK, Member, Membership
from cluster.messages import AppendEntries, RequestVote, TailQuery, TailReply, VoteReply
from cluster.raft import LogState, Raft, Vote, configuration
from cluster.raft.quorum import Quorum
from cluster.types import Index, NodeId, ReplicaId, Term
from tests.raft.test_core import Group

ONE, TWO, THREE, FOUR, FIVE = (Member(replica=ReplicaId(n), node=NodeId(n)) for n in range(1, 6))
OLD = Membership(voters=(ONE, TWO, THREE))
JOINT = Membership(voters=(ONE, FOUR, FIVE), outgoing=OLD.voters)


def with_spares(*numbers: int) -> Group:
    """Three voters and blank replicas beside them; nobody sleeps."""
    group = Group(options=RaftOptions(idle_ticks_before_sleep=0))
    for number in numbers:
        group.cores[number] = Raft(
            me=ReplicaId(number),
            membership=BLANK,
            vote=Vote(term=Term(0), voted_for=None),
            log=LogState(),
            options=RaftOptions(),
            draw_election_ticks=lambda: 15,
        )
        group.tickets[number] = []
    return group


def test_a_joint_quorum_needs_both_majorities() -> None:
    """§6."""
    quorum = Quorum((ReplicaId(1), ReplicaId(2), ReplicaId(3)), (ReplicaId(3), ReplicaId(4), ReplicaId(5)))

    assert (1, 2, 3, 4, 5) == quorum.members
    assert [False, False, True] == [quorum.has(yes) for yes in ({1, 2, 3}, {3, 4, 5}, {1, 3, 4})]
    assert [True, True, False] == [quorum.is_barred_by(no) for no in ({1, 2}, {4, 5}, {1, 4})]
    assert 5 == quorum.reached({1: 9, 2: 8, 3: 7, 4: 5, 5: 4}.__getitem__)


@pytest.mark.parametrize(
    ("new", "right"),
    [
        (Membership(voters=(THREE, TWO, ONE)), True),
        (Membership(voters=OLD.voters, learners=(FOUR,)), True),
        (JOINT, True),
        (Membership(voters=(ONE, TWO)), False),
        (Membership(voters=(ONE, FOUR), outgoing=(ONE, TWO)), False),
        (Membership(voters=OLD.voters, learners=(ONE,)), False),
        (Membership(voters=(FOUR,), outgoing=OLD.voters, learners=(ONE,)), False),
        (BLANK, False),
    ],
    ids=["same", "learner", "joint", "fewer", "wrong_outgoing", "both", "leaves_to_learn", "nobody"],
)
def test_which_steps_there_are(new: Membership, right: bool) -> None:  # noqa: FBT001  a row of the table
    """§6: voters change through a joint membership only."""
    assert right == configuration.is_step(OLD, new)


def test_receipts_count_the_voters_whose_majority_is_needed_and_known() -> None:
    """Learners never; the old voters until the joint membership is committed: new ones may lack what was before."""
    group = with_spares(4, 5)
    leader = group.elect(1)
    leader.propose_membership(Membership(voters=OLD.voters, learners=(FOUR, FIVE)), 10)
    group.settle()
    entry = leader.propose(10)
    assert entry is not None
    group.settle(lambda message: message.to in {1, 4, 5} or not isinstance(message, AppendEntries))
    assert (3, 1) == (leader.voter_count, leader.synced_count(entry.index))
    for _ in range(30):
        leader.tick()
        group.settle()
    assert (3, 3) == (leader.voter_count, leader.synced_count(entry.index))
    said = leader.propose_membership(JOINT, 10)
    assert said is not None
    assert (ReplicaId(1), ReplicaId(2), ReplicaId(3)) == leader.counted
    group.settle()

    assert leader.membership == JOINT.final()
    assert ((1, 4, 5), 3) == (leader.counted, leader.synced_count(said.index))


def test_learners_are_sent_no_more_than_is_allowed_and_voters_are_not_slowed() -> None:
    """A whole append may go beyond; the next waits."""
    group = with_spares(4)
    leader = group.elect(1)
    for _ in range(200):
        leader.propose(1000)
    group.settle()
    leader.propose_membership(Membership(voters=OLD.voters, learners=(FOUR,)), 10)
    leader.catch_up_bytes = 10_000
    for _ in range(5):
        group.settle()
    assert Index(202) == leader.commit
    assert group.cores[4].last_index < 200
    assert leader.catch_up_bytes <= 0
    assert leader.match(ReplicaId(4)) < 200
    while group.cores[4].last_index < 202:
        before = group.cores[4].last_index
        leader.catch_up_bytes = 1
        group.settle()
        assert before < group.cores[4].last_index <= before + 64

    assert leader.is_caught_up(ReplicaId(4))


def test_a_vote_from_nobody_who_counts_elects_nobody() -> None:
    """§6: whoever is asked votes; the candidate counts its own voters only."""
    group = with_spares(4)
    candidate = group.cores[1]
    candidate.campaign(transfer=True)
    group.settle(lambda _: False)
    for stranger in (4, 5, 6):
        candidate.step(VoteReply(sender=ReplicaId(stranger), to=ReplicaId(1), term=Term(1), granted=True))
    assert not candidate.is_leader
    request = RequestVote(sender=ReplicaId(9), to=ReplicaId(4), term=Term(3), last_index=Index(0), last_term=Term(0))
    group.cores[4].step(request)
    group.take(4)
    group.messages.clear()
    group.tickets[4] = []
    assert ReplicaId(9) == group.cores[4].voted_for


def test_a_doubtful_replica_asks_those_too_who_came_since() -> None:
    """The entries that it cannot read may have changed the members: only the new ones can know what was committed."""
    core = Raft(
        me=ReplicaId(1),
        membership=OLD,
        vote=Vote(term=Term(1), voted_for=None),
        log=LogState(term_starts=((Index(1), Term(1)),), last_index=Index(9)),
        options=RaftOptions(),
        draw_election_ticks=lambda: 15,
        doubts=[(Index(10), Term(1))],
    )

    def answer(sender: int, state: int, membership: Membership | None = None) -> None:
        core.step(
            TailReply(
                sender=ReplicaId(sender),
                to=ReplicaId(1),
                term=Term(1),
                index=Index(10),
                state=state,
                entry_term=Term(1 if state == 2 else 0),
                membership=membership,
            )
        )

    answer(2, 0, JOINT.final())
    answer(3, 0)
    assert [(Index(10), Term(1))] == core.doubts
    for _ in range(2):
        core.tick()
    ready = core.ready()
    assert ready is not None
    asked = {message.to: message.after for message in ready.messages if isinstance(message, TailQuery)}
    assert {2: 9, 3: 9, 4: 9, 5: 9} == asked
    answer(4, 2)
    answer(5, 0)
    assert [(Index(10), Term(1))] == core.doubts


def test_who_is_asked_about_a_tail_tells_of_newer_members() -> None:
    """And of those only."""
    group = with_spares(4)
    leader = group.elect(1)
    leader.propose_membership(Membership(voters=OLD.voters, learners=(FOUR,)), 10)
    group.settle()
    group.messages.clear()
    said = leader.memberships.index
    for after in (said - 1, said):
        leader.step(
            TailQuery(sender=ReplicaId(2), to=ReplicaId(1), term=Term(1), index=Index(after + 1), after=Index(after))
        )
    group.take(1)
    replies = [message.membership for message in group.messages if isinstance(message, TailReply)]

    assert [leader.membership, None] == replies


def test_whoever_is_not_heard_has_not_caught_up() -> None:
    """It had, and is dead by now: no membership should come to rest on it."""
    group = Group(options=RaftOptions(idle_ticks_before_sleep=0))
    group.elect(1)
    leader = group.cores[1]
    assert [True, True] == [leader.is_caught_up(ReplicaId(number)) for number in (2, 3)]
    for _ in range(3 * leader.options.election_ticks_max):
        leader.tick()
        group.settle(lambda message: 3 not in {message.sender, message.to})
    assert [True, False] == [leader.is_caught_up(ReplicaId(number)) for number in (2, 3)]
