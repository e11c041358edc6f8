"""What the library alone gets wrong, each hole by its name, and what stands in front of it. The library is real."""

import pickle
from collections import Counter

import pytest

from cluster.errors import CorruptStorage, InvalidRequest, OutcomeUnknown, Unavailable
from cluster.sim.disk import SimCrash
from cluster.types import NodeId
from tests.controller.quorum.members import Members, command

JOURNAL = "controller/journal"


async def agreed(count: int = 5) -> tuple[Members, NodeId]:
    """Three members with so many commands, and who leads."""
    members = Members()
    leader = members.leader()
    for number in range(count):
        assert b"done" == await members.propose(leader, command(number))
    members.step(20)
    return members, leader


async def test_commands_are_applied_everywhere_in_one_order():
    """The ground on which everything else stands."""
    members, leader = await agreed()
    other = next(node for node in members.nodes if node != leader)
    assert b"done" == await members.propose(other, command(5))
    members.step(20)
    expected = [command(number) for number in range(6)]
    assert [expected] * 3 == list(members.applied.values())


async def test_no_sync_what_was_acknowledged_survives_the_power_loss_of_all():
    """Alone it never syncs: an acknowledged command was in the page cache of a majority, and gone with the power."""
    members, _ = await agreed()
    for node in members.nodes:
        members.power_loss(node)
    for node in members.nodes:
        members.start(node)
    leader = members.leader()
    assert b"done" == await members.propose(leader, command(99))
    assert [command(number) for number in (0, 1, 2, 3, 4, 99)] == members.applied[leader]


@pytest.mark.slow
async def test_no_sync_a_vote_is_on_disk_before_it_is_given():
    """The power goes at every disk operation of an election and three commands: one leader a term, nothing lost."""
    crashed = 0
    for stop in range(200):
        members = Members(seed=stop + 1)
        victim = members.nodes[stop % 3]
        members.disks[victim].crash_at_operation = members.disks[victim].operations + stop // 3
        acknowledged = []
        leaders: dict[int, NodeId] = {}
        for _ in range(400):
            try:
                members.step()
            except SimCrash:
                crashed += 1
                members.power_loss(victim)
                members.start(victim)
            for node, quorum in members.running.items():
                if quorum.is_leader():
                    term = members.core(node).raftCurrentTerm
                    assert node == leaders.setdefault(term, node), f"two leaders in term {term}"
            if leaders and members.clock.now_s > 1004:
                break
        members.disks[victim].crash_at_operation = None
        leader = members.leader()
        for number in range(3):
            assert b"done" == await members.propose(leader, command(number))
            acknowledged.append(command(number))
        assert acknowledged == members.applied[leader]
    assert crashed > 20


async def test_no_checksum_a_flipped_bit_refuses_the_start():
    """Alone it takes a flipped bit for a command."""
    members, leader = await agreed()
    members.power_loss(leader)
    members.disks[leader].flip(JOURNAL, 30 * 8)
    with pytest.raises(CorruptStorage, match="damaged"):
        members.start(leader)


async def test_a_torn_last_record_is_cut():
    """It was never synced, so nobody was ever told of it."""
    members, leader = await agreed()
    members.power_loss(leader)
    disk = members.disks[leader]
    file = disk.open(JOURNAL)
    end = len(file.read(0, file.size()).rstrip(b"\0"))
    file.write(end - 3, [bytes(3)])
    file.sync()
    members.start(leader)
    assert b"done" == await members.propose(members.leader(), command(9))


async def test_h1_h2_snapshots_are_refused():
    """H1: a snapshot's first part commits an unverified tail. H2: an older snapshot is installed over a newer log."""
    members, leader = await agreed()
    follower = next(node for node in members.nodes if node != leader)
    before, commit = members.journal(follower), members.core(follower).raftCommitIndex
    term = members.core(leader).raftCurrentTerm
    for serialized in (None, (b"snapshot", True, True)):
        message = {"type": "append_entries", "term": term, "commit_index": 10_000, "serialized": serialized}
        members.inject(leader, follower, message)
    assert before == members.journal(follower)
    assert commit == members.core(follower).raftCommitIndex


async def test_h3_entries_are_not_sent_again_after_every_answer():
    """Alone every acknowledgement rewinds the next index: ten times the bytes at a round trip of 100 ms."""
    members, leader = await agreed(1)
    members.delay_steps = 3
    members.sent.clear()
    for number in range(60):
        members.core(leader)._applyCommand(pickle.dumps((0, (command(100 + number),)), 5), None, 0)
        members.step()
    members.delay_steps = 0
    members.step(30)
    times = Counter(
        (to, entry[1])
        for sender, to, message in members.sent
        if sender == leader and message["type"] == "append_entries"
        for entry in message["entries"]
    )
    assert {61} == {len(applied) for applied in members.applied.values()}
    assert 120 == len(times)
    assert max(times.values()) == 1


async def test_h4_an_old_append_does_not_cut_what_is_behind_it():
    """Alone a repeated append deletes everything behind it, also what was acknowledged and applied."""
    members, leader = await agreed()
    follower = next(node for node in members.nodes if node != leader)
    log = members.journal(follower)
    term = members.core(leader).raftCurrentTerm
    for upto in range(1, len(log)):
        message = {
            "type": "append_entries",
            "term": term,
            "commit_index": 1,
            "entries": [list(entry) for entry in log[1:upto]],
            "prevLogIdx": log[0][1],
            "prevLogTerm": log[0][2],
        }
        members.inject(leader, follower, message)
        assert log == members.journal(follower)


async def test_h5_a_big_command_arrives():
    """Alone a command above 64 KiB is cut into pieces of the wrong length, and nothing is ever agreed again."""
    members, leader = await agreed(1)
    big = command(7, size=200_000)
    assert b"done" == await members.propose(leader, big)
    members.step(20)
    assert {big} == {applied[-1] for applied in members.applied.values()}


async def test_h6_a_member_far_behind_catches_up():
    """Alone it goes back one entry a round trip, and with a backlog for ever."""
    members, leader = await agreed(1)
    behind = next(node for node in members.nodes if node != leader)
    members.allow = lambda sender, to: behind not in {sender, to}
    for number in range(300):
        members.core(leader)._applyCommand(pickle.dumps((0, (command(100 + number, size=1000),)), 5), None, 0)
    members.step(20)
    assert 1 == len(members.applied[behind])
    members.allow = lambda _sender, _to: True
    members.delay_steps = 2
    members.step(150)
    assert 301 == len(members.applied[behind])


async def test_h7_an_answer_of_an_older_term_is_not_counted():
    """Alone a late acknowledgement of an earlier leadership commits what is on one disk only."""
    members, leader = await agreed(1)
    members.allow = lambda sender, _to: sender != leader  # it is heard by nobody
    proposal = pickle.dumps((0, (command(50),)), 5)
    members.core(leader)._applyCommand(proposal, None, 0)
    members.step(2)
    commit = members.core(leader).raftCommitIndex
    last = members.journal(leader)[-1][1]
    assert commit < last
    old = members.core(leader).raftCurrentTerm - 1
    for node in members.nodes:
        if node != leader:
            late = {"type": "next_node_idx", "next_node_idx": last + 1, "reset": False, "success": True, "epoch": old}
            members.inject(node, leader, late)
    members.running[leader].tick()
    assert commit == members.core(leader).raftCommitIndex


def test_h8_a_vote_counts_once():
    """Alone two copies of one vote elect a leader of five."""
    members = Members(count=5)
    candidate = members.nodes[0]
    members.allow = lambda sender, _to: sender == candidate
    core = members.core(candidate)
    for _ in range(200):
        for node in members.nodes[1:]:
            members.inject(node, candidate, {"type": "prevote_ok"})
        members.step()
        if core.raftCurrentTerm > 0 and any(message["type"] == "request_vote" for _, _, message in members.sent):
            break
    for _ in range(4):
        members.inject(members.nodes[1], candidate, {"type": "response_vote", "term": core.raftCurrentTerm})
    members.running[candidate].tick()
    assert not members.running[candidate].is_leader()


async def test_h9_a_command_that_is_refused_does_not_stop_the_others():
    """Alone an exception while applying is tried again on every tick, on every member, for ever."""
    members, leader = await agreed(1)

    def refuse(_: bytes) -> bytes:
        raise InvalidRequest("poison")

    for node in members.nodes:
        members.core(node)._fold = refuse
    assert isinstance(await members.propose(leader, command(66)), OutcomeUnknown)
    for node in members.nodes:
        members.core(node)._fold = lambda _: b"again"
    assert b"again" == await members.propose(leader, command(67))


async def test_h10_a_proposal_always_gets_an_answer():
    """Alone a callback may stay silent. Cut off: unknown, as the command may be agreed yet; without a leader: no."""
    members, leader = await agreed(1)
    members.allow = lambda _sender, _to: False
    with pytest.raises(OutcomeUnknown):
        await members.running[leader].propose(command(70), timeout_s=0.01)
    lonely = Members()
    lonely.allow = lambda _sender, _to: False
    assert isinstance(await lonely.propose(lonely.nodes[0], command(1)), Unavailable)


@pytest.mark.parametrize(
    "harm",
    [
        b"\0" + pickle.dumps(print),
        b"\0" + pickle.dumps((0, (b"junk",))),
        b"\1anything",
        b"\2" + pickle.dumps(["rem", "2", None]),
        b"\3" + pickle.dumps(print),
    ],
)
async def test_h12_and_pickle_only_our_one_command_enters(harm: bytes):
    """Commands are pickles there, and methods numbers in a sorted list: neither code nor another method gets in.

    Nor does what would change members, or the version, there: in an append it would be unpickled as it stands.
    """
    members, leader = await agreed(1)
    follower = next(node for node in members.nodes if node != leader)
    before = members.journal(leader)
    with pytest.raises(InvalidRequest):
        members.inject(follower, leader, {"type": "apply_command", "command": harm})
    last = members.journal(follower)[-1]
    message = {
        "type": "append_entries",
        "term": members.core(leader).raftCurrentTerm,
        "commit_index": last[1] + 1,
        "entries": [[harm, last[1] + 1, last[2]]],
        "prevLogIdx": last[1],
        "prevLogTerm": last[2],
    }
    with pytest.raises(InvalidRequest):
        members.inject(leader, follower, message)
    assert before == members.journal(leader)


async def test_no_pre_vote_a_member_that_hears_nothing_disturbs_nobody():
    """Alone one that can send but not hear deposes the leader again and again."""
    members, leader = await agreed(1)
    deaf = next(node for node in members.nodes if node != leader)
    term = members.core(leader).raftCurrentTerm
    members.allow = lambda _sender, to: to != deaf
    members.step(500)
    assert term == members.core(leader).raftCurrentTerm
    members.allow = lambda _sender, _to: True
    members.step(200)
    assert leader == members.leader()
    assert term == members.core(deaf).raftCurrentTerm
