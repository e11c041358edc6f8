"""Who gets which partition: balanced in the end, nothing taken that need not be, the same on every replica."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.broker.groups.assignment import Plan, plan
from cluster.types import PartitionId, TopicId

A, B = TopicId(b"a" * 16), TopicId(b"b" * 16)
Holders = dict[PartitionId, int]

wanted = st.sampled_from([{A: 5}, {B: 3}, {A: 5, B: 3}])
members = st.dictionaries(st.integers(1, 6), wanted, max_size=6)


def settle(of: dict[int, dict[TopicId, int]], holders: Holders) -> tuple[Holders, int]:
    """Carry out plan after plan, each holder releasing what it was asked for; what is held then, and how much moved."""
    moved = 0
    asked: set[PartitionId] = set()
    for _ in range(100):
        made = plan(of, holders, asked)
        assert not {partition for partition, _ in made.grants} & set(holders), "nobody is given what another holds"
        holders |= dict(made.grants)
        moved += len(made.asked_back)
        asked |= set(made.asked_back)
        if not asked:
            return holders, moved
        released = min(asked)
        asked.discard(released)
        del holders[released]
    raise AssertionError("it never came to rest")


def test_one_member_gets_everything_and_a_second_half_of_it() -> None:
    """The first keeps what it has until it is asked; the highest partitions move."""
    first = plan({1: {A: 4}}, {}, ())
    assert Plan(tuple((PartitionId(A, n), 1) for n in range(4)), ()) == first

    second = plan({1: {A: 4}, 2: {A: 4}}, dict(first.grants), ())
    assert Plan((), (PartitionId(A, 3), PartitionId(A, 2))) == second


def test_who_leaves_is_replaced_without_any_other_move() -> None:
    """Three of two each; the third goes: its two are shared, the other four stay."""
    holders = {PartitionId(A, n): 1 + n // 2 for n in range(4)}
    made = plan({1: {A: 6}, 2: {A: 6}}, holders, ())

    assert Plan(((PartitionId(A, 4), 1), (PartitionId(A, 5), 2)), ()) == made


def test_what_a_member_does_not_want_any_more_is_asked_back() -> None:
    """It joined anew, with other topics."""
    made = plan({1: {B: 1}, 2: {A: 1}}, {PartitionId(A, 0): 1}, ())

    assert Plan(((PartitionId(B, 0), 1),), (PartitionId(A, 0),)) == made


@given(members, members)
@settings(max_examples=200, deadline=None)
def test_everything_is_held_and_balanced_in_the_end(
    before: dict[int, dict[TopicId, int]], after: dict[int, dict[TopicId, int]]
) -> None:
    """After any change of members every wanted partition has one holder who wants it, and no move could improve it."""
    holders, _ = settle(before, {})
    left = {partition: member for partition, member in holders.items() if member in after}
    holders, _ = settle(after, left)

    everything = {PartitionId(t, n) for topics in after.values() for t, count in topics.items() for n in range(count)}
    assert everything == set(holders)
    loads = {member: sum(holder == member for holder in holders.values()) for member in after}
    for partition, holder in holders.items():
        assert partition.topic in after[holder]
        for other, topics in after.items():
            assert partition.topic not in topics or loads[holder] - loads[other] < 2


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 24))
@settings(max_examples=200, deadline=None)
def test_no_more_moves_than_must(before: int, after: int, partitions: int) -> None:
    """Of members who want the same: what a newcomer needs for its share moves, and nothing else."""
    holders, _ = settle({n: {A: partitions} for n in range(before)}, {})
    left = {partition: member for partition, member in holders.items() if member < after}
    counts = [sum(holder == n for holder in left.values()) for n in range(after)]
    settled, moved = settle({n: {A: partitions} for n in range(after)}, dict(left))

    share, more = divmod(partitions, after)
    fair = sorted([share + 1] * more + [share] * (after - more))
    least = sum(max(have - due, 0) for have, due in zip(sorted(counts), fair, strict=True))
    assert least == moved
    assert fair == sorted(sum(holder == n for holder in settled.values()) for n in range(after))


def plainly(of: dict[int, dict[TopicId, int]], holders: Holders, asked: set[PartitionId]) -> Plan:
    """The rules as they are written, whatever it costs."""
    held: dict[int, set[PartitionId]] = {member: set() for member in of}
    due: dict[int, set[PartitionId]] = {member: set() for member in of}
    ask_back = [p for p in sorted(holders) if p not in asked and holders[p] in of and p.topic not in of[holders[p]]]
    for partition, holder in holders.items():
        if holder in of and partition not in asked and partition.topic in of[holder]:
            held[holder].add(partition)

    def load(member: int) -> tuple[int, int]:
        return len(held[member]) + len(due[member]), member

    everything = {PartitionId(t, n) for topics in of.values() for t, count in topics.items() for n in range(count)}
    for partition in sorted(everything - set().union(*held.values())):
        due[min((member for member in of if partition.topic in of[member]), key=load)].add(partition)

    def move() -> bool:
        for giver in sorted(of, key=load, reverse=True):
            for taker in sorted(of, key=load):
                for some in (due[giver], held[giver]):
                    movable = [partition for partition in some if partition.topic in of[taker]]
                    if movable and load(giver)[0] - load(taker)[0] >= 2:
                        some.remove(max(movable))
                        due[taker].add(max(movable))
                        if some is held[giver]:
                            ask_back.append(max(movable))
                        return True
        return False

    while move():
        pass
    grants = sorted((p, member) for member, partitions in due.items() for p in partitions if p not in holders)
    return Plan(tuple(grants), tuple(ask_back))


@given(members, st.dictionaries(st.builds(PartitionId, st.sampled_from([A, B]), st.integers(0, 4)), st.integers(1, 6)))
@settings(max_examples=500, deadline=None)
def test_the_quick_way_is_what_the_rules_say(of: dict[int, dict[TopicId, int]], holders: Holders) -> None:
    """Whoever holds what, and with some of it asked back."""
    asked = {partition for partition in holders if partition.number % 2}
    for waiting in (set(), asked):
        assert plainly(of, holders, waiting) == plan(of, holders, waiting)


@pytest.mark.slow
def test_a_big_group_changes_within_a_turn() -> None:
    """It runs in a replica's turn, and no leader may be silent for a second; one change once took two."""
    partitions, count = 4_096, 1_000
    holders = {PartitionId(A, n): n % count for n in range(partitions)}
    of = {member: {A: partitions} for member in range(count)}
    begin_s = time.process_time()
    for leaving in range(10):
        del of[leaving]
        left = {partition: member for partition, member in holders.items() if member in of}
        assert partitions == len(left) + len(plan(of, left, ()).grants)

    assert time.process_time() - begin_s < 5.0
